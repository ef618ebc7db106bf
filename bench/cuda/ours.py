"""Our side of the round trip in C: a runtime of the C++ library, without Python in the loop."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu import ROOT, GpuError
from handlers import Request, make_mirror
from loop import build, build_folder
from setting import Setting

from pyringkernel.compiler.engines import device_code

LEASE_NS = 250_000_000


def static_library() -> Path:
    """The C++ library, as the last build of the package left it."""
    folders = (build_folder() / "cmake", *(ROOT / "build" / name for name in ("dev", "release", "bench")))
    found = [folder / "libringkernel.a" for folder in folders if (folder / "libringkernel.a").is_file()]
    if not found:
        raise GpuError(f"no libringkernel.a in {', '.join(map(str, folders))}")
    return found[0]


def device_code_of(setting: Setting, handler: Any) -> dict[str, Any]:
    """The handler's code for this device, as the package compiles it."""
    with setting.runtime() as rt:
        if not rt._cuda:
            raise GpuError(f"the {rt.backend} backend runs no device code")
        return device_code(handler, handler.device_engine(rt._cuda[0]))


@contextlib.contextmanager
def resident_echo(setting: Setting) -> Iterator[tuple[int, int]]:
    """A RoundTrip of loop.cc and its context, while an echo kernel is resident."""
    archive = static_library()
    path = build("ours", f"-I{ROOT / 'cpp' / 'include'}", str(archive), after=archive)
    code = device_code_of(setting, make_mirror(setting.threads))
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise GpuError(str(error)) from error
    library.rk_ours_open.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(1000)
    ours = library.rk_ours_open(
        0,
        ctypes.c_uint64(LEASE_NS),
        code["image"],
        ctypes.c_uint64(len(code["image"])),
        code["arch"].encode(),
        *(ctypes.c_uint32(code[name]) for name in ("block_size", "shared", "message")),
        ctypes.c_uint32(Request.type_id),
        error,
        ctypes.c_uint64(len(error)),
    )
    if not ours:
        raise GpuError(f"the C++ library: {error.value.decode(errors='replace')}")
    try:
        yield ctypes.cast(library.rk_ours_round_trip, ctypes.c_void_p).value or 0, ours
    finally:
        library.rk_ours_close(ctypes.c_void_p(ours))
