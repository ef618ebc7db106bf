"""Handlers by name, as a worker finds them again: the module, or the file of the main program, and the path in it."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path
from typing import Any

from ..compiled import CompiledHandler
from ..errors import UnsupportedError

MAIN = "__rk_worker__"  # what __name__ is in the main program's file when a worker runs it


def reference_to(handler: Any) -> dict[str, str]:
    """Raises UnsupportedError for what another process could not find."""
    if not isinstance(handler, CompiledHandler):
        raise UnsupportedError(
            f"isolate=True: found {type(handler).__name__}, need a compiled handler: one of @rk.kernel"
        )
    function = handler.__wrapped__
    module, name = function.__module__, function.__qualname__
    if "<" in name:
        raise UnsupportedError(f"isolate=True: {name} is made inside a function; define it at the top of a module")
    if module != "__main__":
        return {"module": module, "name": name}
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not Path(file).is_file():
        raise UnsupportedError("isolate=True: a handler typed in has no file; define it in a module and import it")
    return {"file": str(Path(file).resolve()), "name": name}


_files: dict[str, dict[str, Any]] = {}


def find(reference: dict[str, str]) -> Any:
    """In the worker."""
    if "module" in reference:
        place: Any = importlib.import_module(reference["module"])
    else:
        file = reference["file"]
        if file not in _files:
            _files[file] = runpy.run_path(file, run_name=MAIN)
        first, *rest = reference["name"].split(".")
        place = _files[file].get(first)
        for part in rest:
            place = getattr(place, part, None)
        if not isinstance(place, CompiledHandler):
            raise LookupError(f"{reference['name']} is not in {file} when that is not the main program")
        return place
    for part in reference["name"].split("."):
        place = getattr(place, part)
    return place
