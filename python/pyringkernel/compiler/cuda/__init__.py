"""Machine code for NVIDIA GPUs, made by NVRTC from the handlers' CUDA C++ and the resident kernel (the extra "cuda").

code = compile_device(program, find(driver), capability)
code.image  # a CUBIN with rk_resident and rk_report_layout

NVRTC is opened with the first compilation; neither a GPU nor a CUDA toolkit is needed for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cache import CompileCache, default_cache, key_of
from ..verify import verify
from .messages import compile_error
from .nvrtc import Nvrtc, find
from .text import OPTIONS, device_headers, device_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ir import Program

__all__ = ["DeviceProgram", "compile_device", "device_headers", "device_text", "find"]

_FORMAT = "cuda cubin 1"


@dataclass(frozen=True)
class DeviceProgram:
    """`image`: a CUBIN for `arch`. `log`: the compiler's warnings; "" when the image came from the cache."""

    image: bytes
    arch: str
    log: str = ""
    from_cache: bool = False
    compile_ms: float = 0.0


def compile_device(
    program: Program,
    compiler: Nvrtc,
    capability: tuple[int, int],
    *,
    cache: bool | CompileCache = True,
    line_info: bool = False,
) -> DeviceProgram:
    """Compiles a program for devices of this compute capability. `cache`: True: that of default_cache(), False: none.
    `line_info`: for profilers and compute-sanitizer.

    Raises UnsupportedOnTargetError, DeviceCompileError for what the compiler refuses, NvrtcError when it does not work.
    """
    start = time.perf_counter()
    verify(program)
    arch = compiler.arch_for(capability)
    options = [*OPTIONS, f"-arch={arch}", *(["-lineinfo"] if line_info else [])]
    text, headers = device_text(program), device_headers()
    store = default_cache() if cache is True else cache or None
    key = _key(compiler, options, text, headers) if store is not None else ""
    kept = store.get(key) if store is not None else None
    if kept is not None:
        return DeviceProgram(kept, arch, "", True, _ms_since(start))
    made = compiler.compile(text, f"{program.name}.cu", headers, options)
    if not made.ok:
        raise compile_error(program.name, arch, str(compiler), made.log)
    if store is not None:
        store.put(key, made.cubin)
    return DeviceProgram(made.cubin, arch, made.log, False, _ms_since(start))


def _key(compiler: Nvrtc, options: Sequence[str], text: str, headers: dict[str, str]) -> str:
    parts = [_FORMAT, compiler.identity, *options, text]
    for name, content in headers.items():
        parts += [name, content]
    return key_of(parts)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
