"""Reads the handlers of tests/compiler/rejected and the errors that stand in them as comments.

A case is a function at the top of a file there, and what is expected stands above the line that it is about:

    def list_local(ctx, msg: Ping):
        # error 9: a list cannot be a local
        # hint: rk.zeros(rk.f32, 8) makes a local array
        d = [1, 2]

`9` is the column. Names that begin with `_` are helpers of the next case; their errors are that case's errors.

`python tests/compiler/rejected_cases.py --write [FILE...]` writes what is said now behind each `# error`.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyringkernel.compiler.frontend import translate
from pyringkernel.errors import TranslationError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "rejected"
TOPICS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "common")
_ERROR = re.compile(r"\s*# error(?: (\d+): (.*))?$")
_HINT = re.compile(r"\s*# hint: (.*)$")


@dataclass(frozen=True)
class Expected:
    """Line in the file, column, message, hint."""

    line: int
    column: int
    message: str
    hint: str


@dataclass(frozen=True)
class Case:
    """A handler and what is said of it."""

    topic: str
    name: str
    function: Any
    expected: tuple[Expected, ...]


def _expected(lines: list[str], first: int, last: int) -> tuple[Expected, ...]:
    """Of the lines first to last, counted from 1. A comment is about the next line that is none."""
    found: list[Expected] = []
    waiting: list[tuple[int, str, str]] = []
    for number in range(first, last + 1):
        text = lines[number - 1]
        if error := _ERROR.match(text):
            waiting.append((int(error[1] or 0), error[2] or "", ""))
        elif (hint := _HINT.match(text)) and waiting:
            waiting[-1] = (*waiting[-1][:2], hint[1])
        elif text.strip():
            found += [Expected(number, *one) for one in waiting]
            waiting = []
    return tuple(found)


def cases(topic: str) -> Iterator[Case]:
    """All cases of a file."""
    path = FOLDER / f"{topic}.py"
    text = path.read_text()
    module = importlib.import_module(f"rejected.{topic}")
    first = 1
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        else:
            continue
        function = getattr(module, name)
        if not name.startswith("_") and callable(function):
            last = node.end_lineno or first
            yield Case(topic, name, function, _expected(text.splitlines(), first, last))
            first = last + 1


def diagnostics(function: Any) -> tuple[Expected, ...]:
    """What the compiler says of a handler."""
    try:
        translate(function)
    except TranslationError as error:
        return tuple(Expected(d.line, d.column, d.message, d.hint) for d in error.diagnostics)
    return ()


def _write(topic: str) -> None:
    """Fills in the comments; those that no error belongs to become `# error` alone, and are printed."""
    path = FOLDER / f"{topic}.py"
    said: dict[int, list[Expected]] = {}
    for case in cases(topic):
        found = diagnostics(case.function)
        for one in found:
            said.setdefault(one.line, []).append(one)
        if [e.line for e in case.expected] != [f.line for f in found]:
            sys.stderr.write(f"{path}: {case.name}: marked {[e.line for e in case.expected]}, found {found}\n")
    out: list[str] = []
    marked = False
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if _ERROR.match(text):
            marked = True
        elif not (marked and _HINT.match(text)):
            if marked and text.strip():
                space = text[: len(text) - len(text.lstrip())]
                for one in said.get(number, [Expected(number, 0, "", "")]):
                    out.append(f"{space}# error {one.column}: {one.message}" if one.message else f"{space}# error")
                    out += [f"{space}# hint: {one.hint}"] * bool(one.hint)
                marked = False
            out.append(text)
    path.write_text("\n".join(out) + "\n")


if __name__ == "__main__" and sys.argv[1:2] == ["--write"]:
    for given in sys.argv[2:] or TOPICS:
        _write(given)
