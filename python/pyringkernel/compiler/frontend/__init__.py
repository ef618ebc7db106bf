"""From a Python function to a Program: types, and the order in which things happen.

translate.py is the entry; scope.py is a function while it is lowered; expressions.py and statements.py go through the
syntax tree, and what they meet decides which of the other files says what it means. One idea a file.
"""

from .translate import translate

__all__ = ["translate"]
