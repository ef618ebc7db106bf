"""What NVRTC says about a text, at the lines of the user's file."""

from __future__ import annotations

import linecache
import re

from ...errors import DeviceCompileError
from ..diagnostics import MOST_SHOWN, Diagnostic

_ERROR = re.compile(
    r"^(?P<file>.+?)\((?P<line>\d+)\): (?:catastrophic )?error(?: #[\w-]+)?: (?P<message>.*)$", re.MULTILINE
)


def errors_of(log: str) -> tuple[Diagnostic, ...]:
    """The errors of a log, in its order. Thanks to #line those of handlers are in the user's files."""
    return tuple(_diagnostic(found["file"], int(found["line"]), found["message"]) for found in _ERROR.finditer(log))


def _diagnostic(file: str, line: int, message: str) -> Diagnostic:
    source = linecache.getline(file, line).rstrip()
    first = len(source) - len(source.lstrip()) + 1
    return Diagnostic(file, line, first, line, max(len(source), first) + 1, message, source=source)


def compile_error(name: str, arch: str, compiler: str, log: str) -> DeviceCompileError:
    """The error for the user, with the first errors of the log written out."""
    found = errors_of(log)
    count = f"{len(found)} errors" if len(found) != 1 else "1 error"
    shown = [f"handler {name!r} cannot be compiled for {arch} by {compiler}: {count}", *map(str, found[:MOST_SHOWN])]
    if len(found) > MOST_SHOWN:
        shown.append(f"and {len(found) - MOST_SHOWN} more")
    if not found:
        shown = [f"handler {name!r} cannot be compiled for {arch} by {compiler}:", log.strip()]
    shown.append("    hint: launch(..., engine='llvm') or engine='vm' runs it on the CPU")
    return DeviceCompileError("\n".join(shown), found, log)
