"""What NVRTC is given for a handler: one text, the headers that it includes, and options."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..._paths import device_roots
from ...errors import UnsupportedError
from ..emit.dialect_cuda import CUDA
from ..emit.targets import emit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..ir import Program

RESIDENT = "kernels/cuda/resident.cuh"  # the loop that takes messages and calls rk_dispatch()

# The meaning of the language: each operation is rounded for itself; never with --use_fast_math.
OPTIONS = ("--std=c++17", "-default-device", "-fmad=false")

# Of a handler: a block has 48 KiB that are known when it is compiled, and the resident kernel keeps its own there.
MOST_SHARED = 47 * 1024

# What a handler is told of itself: block 0 is the router, and each other one an instance.
_WHERE = """#define RK_BLOCK_DIM {0}u
#define RK_BLOCK_ID(call) (call)->instance_id
#define RK_GRID_DIM(call) (gridDim.x - 1u)
#define RK_REFERENCES {1}
"""

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.MULTILINE)


def _where(program: Program) -> str:
    return _WHERE.format(program.block_size, int("references" in program.features))


def device_text(program: Program, *, lines: bool = True) -> str:
    """The prelude, the handlers and the resident kernel. Raises UnsupportedOnTargetError."""
    text = emit(program, "cuda", lines=lines)
    return f'{_where(program)}{text}\n#line 1 "resident"\n#include "{RESIDENT}"\n'


# How the two halves call each other when they are compiled apart. The handler's half works on a copy of the call, so that
# its compiler sees all that happens to it, and can keep it in registers.
_HANDLERS_CALL = """
__device__ bool rk_dispatch_linked(rk_call* call, u32 type_id, u8* state, const u8* header, u8* message, u8* shared) {
  rk_call mine = *call;
  const bool known = rk_dispatch(&mine, type_id, state, header, message, shared);
  *call = mine;
  return known;
}
"""
_RUNTIME_CALLS = """
enum : u32 {{ RK_SHARED_SIZE = {0}u, RK_BLOCK_SIZE = {1}u }};
__device__ bool rk_writes_message(u32 type_id);
__device__ bool rk_accepts(u32 type_id, u32 size);
__device__ bool rk_dispatch_linked(rk_call* call, u32 type_id, u8* state, const u8* header, u8* message, u8* shared);
#define rk_dispatch rk_dispatch_linked
#line 1 "resident"
#include "{2}"
"""
_ALONE = re.compile(r"^(__device__ (?:void rk_handle_\w+|bool rk_dispatch)\()", re.MULTILINE)
_REGISTERS, _ROUTER_THREADS = 65536, 128
_OF_RUNTIME = 96  # registers: five blocks of the router's size on a multiprocessor


def handler_text(program: Program, *, lines: bool = True) -> str:
    """The prelude and the handlers, to be linked with runtime_text(). Raises UnsupportedOnTargetError."""
    text = _ALONE.sub(r"static \1", emit(program, "cuda", lines=lines))  # nobody else calls these
    return f'{_where(program)}{text}\n#line 1 "rk_dispatch_linked"{_HANDLERS_CALL}'


def runtime_text(program: Program) -> str:
    """The resident kernel for handlers with blocks and shared memory of these sizes."""
    calls = _RUNTIME_CALLS.format(program.shared_size, program.block_size, RESIDENT)
    return f"{_where(program)}{CUDA.prelude()}{calls}"


def options_apart(program: Program, *, runtime: bool) -> tuple[str, str]:
    """Functions that are compiled apart do not see the kernel's launch bounds: a block must find its registers."""
    most = min(255, _REGISTERS // max(program.block_size, _ROUTER_THREADS) // 8 * 8)
    return "-rdc=true", f"--maxrregcount={min(most, _OF_RUNTIME) if runtime else most}"


@functools.cache
def device_headers() -> dict[str, str]:
    """All that RESIDENT includes, itself too, by the names that #include gives. Raises UnsupportedError."""
    return headers_of([RESIDENT], device_roots())


def headers_of(names: Sequence[str], roots: Sequence[Path]) -> dict[str, str]:
    """These headers and what they include, from the roots or from the folder of who includes them."""
    found: dict[str, tuple[Path, str]] = {}
    waiting = [(name, Path()) for name in names]
    while waiting:
        name, includer = waiting.pop()
        path = _place_of(name, includer, roots)
        if name in found:
            if found[name][0] != path:
                raise UnsupportedError(f"{path} and {found[name][0]} are both included as {name!r}: rename one")
            continue
        text = path.read_text(encoding="utf-8")
        found[name] = (path, text)
        waiting += [(other, path.parent) for other in included_by(text)]
    return {name: text for name, (_, text) in sorted(found.items())}


def included_by(text: str) -> Iterator[str]:
    """Names in quotes; those in angle brackets are the compiler's own."""
    return (match[1] for match in _INCLUDE.finditer(text))


def _place_of(name: str, includer: Path, roots: Sequence[Path]) -> Path:
    folders = ([includer] if includer != Path() else []) + list(roots)
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    looked = ", ".join(str(folder) for folder in folders)
    raise UnsupportedError(f"found no {name} in {looked}: install pyringkernel again")
