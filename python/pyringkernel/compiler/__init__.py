"""The compiler of handlers: from a Python function to code for each target.

The path is source.py (the function's text and names) -> syntax.py (what the language has) -> frontend/ (types, and the
meaning as ir.py's Program) -> one emitter per target. diagnostics.py is how all of them say what is wrong.

Nothing here is imported by `import pyringkernel`; it is loaded when the first handler is compiled.
"""
