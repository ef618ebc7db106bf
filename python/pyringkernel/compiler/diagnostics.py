"""Errors in a handler's text: collected with their places, shown with the line, carets and a hint.

A translation goes on after an error, so that all errors of a handler are shown at once: `fail` leaves a statement,
`statement` goes on with the next. What follows from an error that was already told is kept quiet with `suppress`.
"""

from __future__ import annotations

import ast
import contextlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ..errors import TranslationError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SHOWN = 20
_LONG_NUMBER = re.compile(r"\d{41,}")


@dataclass(frozen=True)
class SourceText:
    """Lines of a file, as they are there. `first_line` is the number of the first of them."""

    file: str
    lines: tuple[str, ...]
    first_line: int

    def line(self, number: int) -> str:
        """The line of this number in the file, without its end; "" when it is not among ours."""
        index = number - self.first_line
        return self.lines[index].rstrip("\r\n") if 0 <= index < len(self.lines) else ""

    def column(self, number: int, byte_offset: int) -> int:
        """The column, from 1 and in characters, of ast's offset, which is from 0 and in UTF-8 bytes."""
        return len(self.line(number).encode()[:byte_offset].decode(errors="replace")) + 1


@dataclass(frozen=True, order=True)
class Diagnostic:
    """One error. Lines and columns count from 1, columns in characters; `end_column` is behind the last one."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str
    hint: str = ""
    source: str = ""  # the text of `line`

    def __str__(self) -> str:
        """As compilers show it: place and message, the line, carets, the hint."""
        shown = [f"{self.file}:{self.line}:{self.column}: error: {self.message}"]
        if self.source:
            end = self.end_column if self.end_line == self.line else len(self.source) + 1
            shown += ["    " + self.source, "    " + _carets(self.source, self.column, end)]
        if self.hint:
            shown.append(f"    hint: {self.hint}")
        return "\n".join(shown)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _carets(line: str, column: int, end: int) -> str:
    """Carets below the columns; tabs stay tabs, so that both lines are indented alike."""
    before = "".join("\t" if c == "\t" else " " * _width(c) for c in line[: column - 1])
    return before + "^" * max(1, sum(_width(c) for c in line[column - 1 : end - 1]))


def _shortened(number: re.Match[str]) -> str:
    return f"{number[0][:10]}...{number[0][-10:]}"


class Rejected(Exception):  # noqa: N818 (a way out of a statement, never seen outside of the compiler)
    """The statement in hand cannot be translated; why is already collected."""


class Diagnostics:
    """Collects the errors of one translation. `text` is where the nodes that are given come from."""

    def __init__(self, text: SourceText) -> None:
        self._text = text
        self._found: dict[tuple[str, int, int, str], Diagnostic] = {}
        self._suppressed = 0

    def add(self, node: ast.AST, message: str, hint: str = "") -> None:
        """An error at this node. The same message at the same place is kept once."""
        if self._suppressed:
            return
        line = getattr(node, "lineno", self._text.first_line)
        end_line = getattr(node, "end_lineno", None) or line
        column = self._text.column(line, getattr(node, "col_offset", 0))
        end_offset = getattr(node, "end_col_offset", None)
        end_column = column + 1 if end_offset is None else self._text.column(end_line, end_offset)
        message, hint = (_LONG_NUMBER.sub(_shortened, one) for one in (message, hint))
        self._found.setdefault(
            (self._text.file, line, column, message),
            Diagnostic(self._text.file, line, column, end_line, end_column, message, hint, self._text.line(line)),
        )

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        """As `add`, and leaves the statement: raises Rejected."""
        self.add(node, message, hint)
        raise Rejected(message)

    @contextlib.contextmanager
    def statement(self) -> Iterator[None]:
        """Around the translation of a statement: `fail` inside ends here."""
        with contextlib.suppress(Rejected):
            yield

    @contextlib.contextmanager
    def suppress(self) -> Iterator[None]:
        """Inside, nothing is collected: for what only follows from an error that was told."""
        self._suppressed += 1
        try:
            yield
        finally:
            self._suppressed -= 1

    @contextlib.contextmanager
    def reading(self, text: SourceText) -> Iterator[None]:
        """Inside, nodes come from another text: that of a device function."""
        outer, self._text = self._text, text
        try:
            yield
        finally:
            self._text = outer

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        """In the order of the text."""
        return iter(sorted(self._found.values()))

    def raise_if_any(self, name: str) -> None:
        """Raises TranslationError with all that was collected."""
        if self._found:
            raise translation_error(name, tuple(self)) from None


def translation_error(name: str, diagnostics: tuple[Diagnostic, ...]) -> TranslationError:
    """The error for the user, with the first diagnostics written out."""
    count = f"{len(diagnostics)} errors" if len(diagnostics) != 1 else "1 error"
    shown = [f"{name} cannot be compiled: {count}", *map(str, diagnostics[:MOST_SHOWN])]
    if len(diagnostics) > MOST_SHOWN:
        shown.append(f"and {len(diagnostics) - MOST_SHOWN} more")
    return TranslationError("\n".join(shown), diagnostics)
