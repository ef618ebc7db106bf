"""Machine code for NVIDIA GPUs, made by NVRTC from the handlers' CUDA C++ and the resident kernel (the extra "cuda").

code = compile_device(program, find(driver), capability)
code.image  # a CUBIN with rk_resident and rk_report_layout

NVRTC is opened with the first compilation; neither a GPU nor a CUDA toolkit is needed for it. Where nvJitLink is, the
resident kernel is compiled once for each size of blocks and kept, and handlers are linked to it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import NvrtcError
from ..cache import CompileCache, default_cache, key_of
from ..verify import verify
from .linking import Linker, linker_for
from .messages import compile_error
from .nvrtc import Nvrtc, find
from .text import OPTIONS, device_headers, device_text, handler_text, options_apart, runtime_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ir import Program

__all__ = ["DeviceProgram", "compile_device", "device_headers", "device_text", "find"]

log = logging.getLogger("pyringkernel")

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
    store = default_cache() if cache is True else cache or None
    linker = linker_for(compiler)
    text, headers = device_text(program), device_headers()
    key = _key(compiler, [*options, str(linker)], text, headers) if store is not None else ""
    kept = store.get(key) if store is not None else None
    if kept is not None:
        return DeviceProgram(kept, arch, "", True, _ms_since(start))
    linked = _linked(program, compiler, linker, arch, options, store) if linker is not None else None
    image, said = linked or _compiled(program.name, compiler, arch, text, headers, options)
    if store is not None:
        store.put(key, image)
    return DeviceProgram(image, arch, said, False, _ms_since(start))


def _compiled(
    name: str, compiler: Nvrtc, arch: str, text: str, headers: dict[str, str], options: Sequence[str]
) -> tuple[bytes, str]:
    """The image, and what the compiler said."""
    made = compiler.compile(text, f"{name}.cu", headers, options)
    if not made.ok:
        raise compile_error(name, arch, str(compiler), made.log)
    return made.cubin, made.log


_runtimes: dict[str, bytes] = {}  # relocatable resident kernels of this process, by key
_runtimes_lock = threading.Lock()


def _runtime(program: Program, compiler: Nvrtc, arch: str, options: Sequence[str], store: CompileCache | None) -> bytes:
    """The resident kernel for handlers of this shape; the first time takes as long as ten handlers."""
    text, headers = runtime_text(program), device_headers()
    key = _key(compiler, options, text, headers)
    with _runtimes_lock:
        image = _runtimes.get(key) or (store.get(key) if store is not None else None)
        if image is None:
            image, _ = _compiled("resident", compiler, arch, text, headers, options)
            if store is not None:
                store.put(key, image)
        _runtimes[key] = image
        return image


def _linked(
    program: Program,
    compiler: Nvrtc,
    linker: Linker,
    arch: str,
    options: Sequence[str],
    store: CompileCache | None,
) -> tuple[bytes, str] | None:
    """None: it cannot be linked, for whatever reason; together they can be compiled all the same."""
    apart = [*options, *options_apart(program, runtime=False)]
    handler, said = _compiled(program.name, compiler, arch, handler_text(program), {}, apart)
    resident = _runtime(program, compiler, arch, [*options, *options_apart(program, runtime=True)], store)
    parts = [("resident", resident), (program.name, handler)]
    try:
        return linker.link(parts, [f"-arch={arch}", *(["-lineinfo"] if "-lineinfo" in options else [])]), said
    except NvrtcError as error:
        log.warning("%r is compiled with the resident kernel instead of being linked to it: %s", program.name, error)
        return None


def _key(compiler: Nvrtc, options: Sequence[str], text: str, headers: dict[str, str]) -> str:
    parts = [_FORMAT, compiler.identity, *options, text]
    for name, content in headers.items():
        parts += [name, content]
    return key_of(parts)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
