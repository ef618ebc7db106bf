"""``python -m pyringkernel``: where the C++ files are, and what this machine offers."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shlex
import sys
from typing import TYPE_CHECKING

import numpy as np

from . import __version__, abi
from ._devices import devices
from ._explain import TARGETS, explain
from ._paths import get_cmake_dir, get_include
from .errors import RingKernelError
from .runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyringkernel", description="RingKernel for Python.")
    parser.add_argument("--version", action="store_true", help="the version of this package")
    parser.add_argument(
        "--cmakedir", action="store_true", help="where ringkernelConfig.cmake is, for -Dringkernel_DIR="
    )
    parser.add_argument("--includes", action="store_true", help="compiler flags that find the C++ headers")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("doctor", help="what there is on this machine, and what is not and why")
    commands.add_parser("devices", help="the backends, their devices, and why one cannot be used")
    _add_explain(commands)
    asked = parser.parse_args(arguments)
    if not (asked.version or asked.cmakedir or asked.includes or asked.command):
        parser.error("nothing was asked for; see --help")
    try:
        if asked.version:
            print(__version__)
        if asked.cmakedir:
            print(get_cmake_dir())
        if asked.includes:
            print("-I" + shlex.quote(get_include()))
    except RingKernelError as error:
        print(error, file=sys.stderr)
        return 1
    if asked.command == "explain":
        return explain(asked.file, asked.target or list(TARGETS), asked.handler)
    if asked.command == "devices":
        return devices()
    return doctor() if asked.command == "doctor" else 0


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("explain", help="what the compiled handlers of a file are translated to")
    parser.add_argument("file", help="a Python file; it is imported")
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be given again (default: all)")
    parser.add_argument("--handler", action="append", default=[], help="its name; may be given again (default: all)")


def doctor() -> int:
    """Prints the versions, the machine and its backends. Returns 0 when kernels can run here."""
    _line("pyringkernel", f"{__version__}, ABI {'.'.join(map(str, abi.VERSION))}, in {os.path.dirname(__file__)}")
    _line("python", f"{platform.python_implementation()} {platform.python_version()}, {_lock()}")
    _line("numpy", np.__version__)
    _line("platform", platform.platform())
    _line("cpus", f"{os.cpu_count()}, {_usable_cpus()} of them usable by this process")
    _line("c++", _cpp_files())
    _line("compiler", _compiler())
    print("backends")
    try:
        with Runtime() as runtime:
            taken, skipped = runtime.backend, runtime.skipped
    except RingKernelError as error:
        _line("  none", str(error))
        return 1
    _line(f"  {taken}", "available; backend='auto' takes it")
    if taken != "cpu":
        _line("  cpu", "available, and it runs what is not compiled")
    for name, reason in skipped.items():
        _line(f"  {name}", f"not available: {reason}")
    return 0


def _line(name: str, text: str) -> None:
    print(f"{name:<14}{text}")


def _lock() -> str:
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    return "with the GIL" if enabled() else "free-threaded"


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compiler() -> str:
    from .compiler.cache import default_cache
    from .compiler.engines import has_llvm

    if not has_llvm():
        return "bytecode; for machine code: pip install 'pyringkernel[jit]'"
    cache = default_cache()
    kept = f"kept in {cache.path}" if cache is not None else "not kept"
    return f"machine code by llvmlite {importlib.metadata.version('llvmlite')}, {kept}"


def _cpp_files() -> str:
    try:
        return f"CMake package in {get_cmake_dir()}"
    except RingKernelError as error:
        return str(error)


if __name__ == "__main__":
    raise SystemExit(main())
