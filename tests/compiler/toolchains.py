"""Compilers for generated text: NVRTC, clang as a second opinion, and g++ with shims that make it a host program."""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.dialect_cuda import CUDA
from pyringkernel.compiler.emit.dialect_msl import MSL
from pyringkernel.compiler.emit.emit_c import emit_program
from pyringkernel.compiler.emit.targets import refuse

SHIMS = Path(__file__).with_name("shims")
INCLUDE = Path(__file__).parents[2] / "cpp" / "include"
DIALECTS = {"cuda": CUDA, "msl": MSL}
CUDA_OPTIONS = ("--std=c++17", "-default-device", "-fmad=false")

clang = shutil.which("clang++-19") or shutil.which("clang++")
gcc = shutil.which("g++")


# -- NVRTC ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compiled:
    """`log` has errors and warnings; `ok` says whether there is a result."""

    ok: bool
    log: str
    cubin: bytes = b""
    ptx: str = ""


@functools.lru_cache(maxsize=1)
def nvrtc() -> Any:
    """The library from the wheel, or None."""
    spec = importlib.util.find_spec("nvidia")
    for base in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(glob.glob(f"{base}/*/lib/libnvrtc.so.*")):
            for builtins in glob.glob(f"{os.path.dirname(path)}/libnvrtc-builtins.so.*"):
                ctypes.CDLL(builtins)
            return ctypes.CDLL(path)
    return None


def compile_cuda(text: str, arch: str, options: Sequence[str] = CUDA_OPTIONS) -> Compiled:
    """`arch`: sm_90 for a CUBIN, compute_90 for PTX."""
    library = nvrtc()
    handle = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(handle), text.encode(), b"handlers.cu", 0, None, None)
    try:
        given = [f"-arch={arch}".encode(), *(option.encode() for option in options)]
        failed = library.nvrtcCompileProgram(handle, len(given), (ctypes.c_char_p * len(given))(*given))
        log = _result(handle, "ProgramLog").rstrip(b"\0").decode()
        if failed:
            return Compiled(False, log)
        if arch.startswith("sm_"):
            return Compiled(True, log, cubin=_result(handle, "CUBIN"))
        return Compiled(True, log, ptx=_result(handle, "PTX").rstrip(b"\0").decode())
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(handle))


def _result(handle: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    assert getattr(nvrtc(), f"nvrtcGet{what}Size")(handle, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc(), f"nvrtcGet{what}")(handle, buffer) == 0
    return buffer.raw


def cuda_kernel(program: ir.Program, lines: bool = True) -> str:
    """Handlers with services that do nothing and a kernel that handles one message: all of it is compiled."""
    services = (SHIMS / "cuda_stubs.cuh").read_text()
    return f'{emit_program(program, CUDA, lines=lines, prelude=True)}\n#line 1 "cuda_stubs.cuh"\n{services}'


# -- clang ------------------------------------------------------------------------------------------------------------


def _syntax(text: str, suffix: str, options: Sequence[str]) -> Compiled:
    assert clang is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"text{suffix}"
        path.write_text(text)
        done = subprocess.run(
            [clang, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *options, str(path)],
            capture_output=True,
            text=True,
            timeout=120,
        )
    return Compiled(done.returncode == 0, done.stderr)


# What a program may well contain: the compiler of handlers has its own opinion of such things.
_QUIET = (
    "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unused-variable", "-Wno-unused-const-variable",
    "-Wno-unused-but-set-variable", "-Wno-unused-but-set-parameter", "-Wno-self-assign", "-Wno-tautological-compare",
    "-Wno-tautological-bitwise-compare", "-Wno-tautological-overlap-compare", "-Wno-unknown-pragmas",
)  # fmt: skip


def check_cuda(text: str) -> Compiled:
    """CUDA text by clang's own CUDA front end, with declarations of what NVRTC has built in."""
    options = (
        "--cuda-device-only",
        "-nocudainc",
        "-nocudalib",
        "--cuda-gpu-arch=sm_80",
        "-std=c++17",
        "-Wno-unknown-cuda-version",
        *_QUIET,
    )
    return _syntax(text, ".cu", ("-x", "cuda", *options, "-include", str(SHIMS / "cuda_clang.h")))


def check_msl(text: str) -> Compiled:
    """MSL text as C++ for OpenCL: address spaces are real there."""
    options = ("-x", "clcpp", "-cl-std=CLC++2021", "--target=spir64", "-Xclang", "-finclude-default-header")
    return _syntax(text, ".clcpp", (*options, "-I", str(SHIMS / "metal_spaces"), *_QUIET))


# -- host -------------------------------------------------------------------------------------------------------------

_numbers = itertools.count()
HOST_OPTIONS = ("-O1", "-ffp-contract=off", "-fno-fast-math", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused")
SANITIZED = ("-fsanitize=undefined", "-fsanitize=float-cast-overflow")


def host_text(programs: Sequence[ir.Program], dialect: Dialect) -> tuple[str, list[list[str]]]:
    """One translation unit for many programs, and the names of each one's rk_run functions."""
    parts = [f'#include "{dialect.name}_host.h"', dialect.prelude(), f'#include "{dialect.name}_services.h"']
    exports = []
    for program in programs:
        refuse(program, dialect.name)
        space = f"p{next(_numbers)}"
        text = emit_program(program, dialect, lines=True, prelude=False)
        parts.append(f"namespace {space} {{\n{text}}}  // namespace {space}")
        names = []
        for number, entry in enumerate(program.entries):
            names.append(f"rk_run_{space}_{number}")
            parts.append(f"RK_SHIM_EXPORT({names[-1]}, {space}, 0x{entry.type_id:X}u, {entry.size}u)")
        exports.append(names)
    return "\n".join(parts) + "\n", exports


def build_host(
    programs: Sequence[ir.Program],
    dialect: str = "cuda",
    *,
    compiler: str | None = None,
    options: Sequence[str] = HOST_OPTIONS,
    sanitize: bool = False,
) -> list[list[tuple[int, Any]]]:
    """Compiles the text of the programs as C++ for this machine; gives `entries` of run_native for each of them.
    `sanitize`: undefined behaviour is told on stderr as "runtime error"."""
    text, exports = host_text(programs, DIALECTS[dialect])
    return build_text(text, exports, compiler=compiler, options=options, sanitize=sanitize)


def build_text(
    text: str,
    exports: Sequence[Sequence[str]],
    *,
    compiler: str | None = None,
    options: Sequence[str] = HOST_OPTIONS,
    sanitize: bool = False,
) -> list[list[tuple[int, Any]]]:
    """As build_host, of what host_text gave."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "text.cpp", Path(folder) / "text.so"
        source.write_text(text)
        command = [compiler or gcc or clang or "c++", "-std=c++20", "-shared", "-fPIC", *options]
        command += SANITIZED if sanitize else ()
        command += ["-I", str(SHIMS), "-I", str(SHIMS / "metal"), "-I", str(INCLUDE), str(source), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[:4000]}"
        assert not done.stderr, done.stderr[:4000]
        loaded = ctypes.CDLL(str(library))
    _kept.append(loaded)
    return [[(_address(loaded, name), None) for name in names] for names in exports]


_kept: list[ctypes.CDLL] = []  # code must not be unloaded while addresses of it are used


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address
