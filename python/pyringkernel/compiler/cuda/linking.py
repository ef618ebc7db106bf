"""nvJitLink, NVIDIA's linker of device code, where it is: then the resident kernel is compiled once and kept, and a
handler is compiled alone and linked to it, which takes a tenth of the time.

It lies beside NVRTC: in the wheel nvidia-nvjitlink, or in the CUDA toolkit. Without it both are compiled together.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import NvrtcError
from .finding import VARIABLE as NVRTC_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .nvrtc import Nvrtc

log = logging.getLogger("pyringkernel")

VARIABLE = "RINGKERNEL_NVJITLINK"  # path of a library; "none": handlers are compiled together with the resident kernel
_CUBIN = 1
_FUNCTIONS = ("nvJitLinkVersion", "nvJitLinkCreate", "nvJitLinkAddData", "nvJitLinkComplete", "nvJitLinkGetLinkedCubin")


class Linker:
    """One library. Any thread: each link has a handle of its own."""

    def __init__(self, path: str, library: Any) -> None:
        self.path = path
        self._library = library
        major, minor = ctypes.c_uint(), ctypes.c_uint()
        self._check(None, library.nvJitLinkVersion(ctypes.byref(major), ctypes.byref(minor)), "telling its version")
        self.version = (major.value, minor.value)

    def __str__(self) -> str:
        return f"nvJitLink {self.version[0]}.{self.version[1]}"

    def link(self, parts: Sequence[tuple[str, bytes]], options: Sequence[str]) -> bytes:
        """A CUBIN of relocatable ones, given with names for its messages. Raises NvrtcError."""
        handle, given = ctypes.c_void_p(), [option.encode() for option in options]
        strings = (ctypes.c_char_p * len(given))(*given)
        result = self._library.nvJitLinkCreate(ctypes.byref(handle), ctypes.c_uint32(len(given)), strings)
        self._check(handle, result, f"beginning with {' '.join(options)}")
        try:
            for name, image in parts:
                added = self._library.nvJitLinkAddData(
                    handle, _CUBIN, image, ctypes.c_size_t(len(image)), name.encode()
                )
                self._check(handle, added, f"taking {name}")
            self._check(handle, self._library.nvJitLinkComplete(handle), "linking")
            return self._get(handle, "LinkedCubin")
        finally:
            self._library.nvJitLinkDestroy(ctypes.byref(handle))

    def _get(self, handle: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        if getattr(self._library, f"nvJitLinkGet{what}Size")(handle, ctypes.byref(size)) != 0:
            raise NvrtcError(f"nvJitLink ({self.path}) does not give its {what}")
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        if getattr(self._library, f"nvJitLinkGet{what}")(handle, buffer) != 0:
            raise NvrtcError(f"nvJitLink ({self.path}) does not give its {what}")
        return buffer.raw[: size.value]

    def _check(self, handle: ctypes.c_void_p | None, result: int, doing: str) -> None:
        if result == 0:
            return
        said = self._get(handle, "ErrorLog").rstrip(b"\0").decode(errors="replace") if handle else ""
        raise NvrtcError(f"nvJitLink ({self.path}) failed at {doing}: error {result}: {said.strip()}")


def _candidates(compiler: Nvrtc) -> Iterator[str]:
    given = os.environ.get(VARIABLE, "")
    if given:
        yield from [given] if given != "none" else []
        return
    if compiler.origin == NVRTC_VARIABLE:
        return  # a library of any make, whose code this linker need not know
    name, folder = f"libnvJitLink.so.{compiler.version[0]}", Path(compiler.path).parent
    if not folder.is_absolute():
        yield name
        return
    for place in (
        folder,
        folder.parent.parent / "nvjitlink" / "lib",
    ):  # cu13/lib has both; in wheels for 12 it is apart
        if (place / name).exists():
            yield str(place / name)


@functools.cache
def _open(path: str) -> Linker | None:
    try:
        library = ctypes.CDLL(path)
        missing = [name for name in _FUNCTIONS if not hasattr(library, name)]
        if missing:
            raise OSError(f"it has no {', '.join(missing)}")
        return Linker(path, library)
    except (OSError, NvrtcError) as error:
        log.debug("%s is no nvJitLink: %s", path, error)
        return None


def linker_for(compiler: Nvrtc) -> Linker | None:
    """One that knows the code of this NVRTC: of its major version, and no older. None: there is none."""
    for path in _candidates(compiler):
        found = _open(path)
        if found is not None and found.version[0] == compiler.version[0] and found.version >= compiler.version:
            return found
    return None
