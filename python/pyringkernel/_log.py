"""The package's logger, "pyringkernel": made when something is logged, because `import logging` takes 3 ms."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


@cache
def logger() -> Logger:
    """Says nothing unless the program gives it, or the root logger, a handler."""
    import logging

    made = logging.getLogger("pyringkernel")
    made.addHandler(logging.NullHandler())
    return made
