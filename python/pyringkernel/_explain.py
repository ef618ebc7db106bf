"""``python -m pyringkernel explain FILE``: what the handlers of a file are translated to."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from .compiled import CompiledHandler
from .errors import RingKernelError, TranslationError, UnsupportedError, UnsupportedOnTargetError

TARGETS = ("ir", "bytecode", "llvm", "cuda", "msl", "wgsl")


def explain(path: str, targets: list[str], names: list[str]) -> int:
    """Imports the file, and prints each handler's text for each target. Returns the exit status.

    What a target lacks is said in the place of its text, and is no failure.
    """
    handlers = _handlers_of(path)
    if handlers is None:
        return 1
    chosen = {name: one for name, one in handlers.items() if not names or name in names or one.id in names}
    unknown = [n for n in names if not any(n in (name, one.id) for name, one in handlers.items())]
    if unknown or not chosen:
        what = f"no handler {', '.join(map(repr, unknown))}" if unknown else "no compiled handler"
        there = f"; there are {', '.join(handlers)}" if handlers else ": decorate functions with @rk.kernel"
        print(f"{path}: {what}{there}", file=sys.stderr)
        return 1
    try:
        _print_all(chosen, targets)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _print_all(handlers: dict[str, CompiledHandler[Any, Any]], targets: list[str]) -> None:
    for name, handler in handlers.items():
        for target in targets:
            print(f"==== {name}: {target} {'=' * max(0, 100 - len(name) - len(target))}")
            try:
                print(handler.source(target).rstrip())
            except (UnsupportedOnTargetError, UnsupportedError) as error:
                print(f"({error})")


def _handlers_of(path: str) -> dict[str, CompiledHandler[Any, Any]] | None:
    """By the name that they have in the file, in its order; None when it cannot be imported, and why was printed."""
    file = Path(path)
    if not file.is_file():
        print(f"{path}: no such file", file=sys.stderr)
        return None
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        names = runpy.run_path(str(file), run_name="__explain__")
    except TranslationError as error:
        print(error, file=sys.stderr)
        return None
    except RingKernelError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return None
    finally:
        sys.path.pop(0)
    return {name: value for name, value in names.items() if isinstance(value, CompiledHandler)}
