"""NVIDIA's run-time compiler, opened when the first handler is compiled for a GPU."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import NvrtcError
from .finding import VARIABLE, Candidate, candidates, looked_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger("pyringkernel")

OLDEST = (12, 4)  # PTX ISA 8.4: accesses of 16 bytes of scope sys
_SUCCESS, _COMPILATION_FAILED = 0, 6
FUNCTIONS = (  # all that are called: a library without one of them is refused
    "nvrtcVersion",
    "nvrtcGetErrorString",
    "nvrtcGetNumSupportedArchs",
    "nvrtcGetSupportedArchs",
    "nvrtcCreateProgram",
    "nvrtcCompileProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetProgramLogSize",
    "nvrtcGetProgramLog",
    "nvrtcGetCUBINSize",
    "nvrtcGetCUBIN",
)
_OTHERWISE = "or use backend='cpu'"


def install_hint(major: int = 13) -> str:
    """What to type to get an NVRTC of this major version."""
    return f"pip install 'pyringkernel[{'cuda' if major >= 13 else 'cuda12'}]'"


@dataclass(frozen=True)
class Compiled:
    """`ok`: there is a CUBIN. `log`: errors and warnings."""

    ok: bool
    log: str
    cubin: bytes = b""


class Nvrtc:
    """One library. Any thread: NVRTC locks for itself, and calls release the interpreter lock."""

    def __init__(self, candidate: Candidate, library: Any) -> None:
        self.path = candidate.path
        self.origin = candidate.origin
        self.handle: int = library._handle
        self._library = library
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "telling its version")
        self.version = (major.value, minor.value)
        self._preload_builtins()
        self.archs = self._supported_archs()

    def __str__(self) -> str:
        return f"NVRTC {self.version[0]}.{self.version[1]}"

    @property
    def identity(self) -> str:
        """What makes its code different from that of others: a library that the user names may be of any make."""
        text = f"{self} {','.join(map(str, self.archs))}"
        if self.origin != VARIABLE:
            return text
        info = os.stat(self.path)
        return f"{text} {os.path.realpath(self.path)} {info.st_size} {info.st_mtime_ns}"

    def arch_for(self, capability: tuple[int, int]) -> str:
        """What to compile for: code of the same major version and no newer minor one runs. Raises NvrtcError."""
        major, minor = capability
        fitting = [arch for arch in self.archs if arch // 10 == major and arch % 10 <= minor]
        if fitting:
            return f"sm_{max(fitting)}"
        raise NvrtcError(
            f"the device has compute capability {major}.{minor}; {self} ({self.path}) compiles for "
            f"{', '.join(f'sm_{arch}' for arch in self.archs)}: install another one, {_OTHERWISE}"
        )

    def compile(self, text: str, name: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        """`headers`: by the names that #include gives. Raises NvrtcError when it does not work at all."""
        handle = ctypes.c_void_p()
        names, contents = _strings(headers.keys()), _strings(headers.values())
        create = self._library.nvrtcCreateProgram
        result = create(ctypes.byref(handle), text.encode(), name.encode(), len(headers), contents, names)
        self._check(result, "taking a program")
        try:
            result = self._library.nvrtcCompileProgram(handle, len(options), _strings(options))
            said = self._get(handle, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if result == _COMPILATION_FAILED:
                return Compiled(False, said)
            self._check(result, f"compiling with {' '.join(options)}", said)
            return Compiled(True, said, self._get(handle, "CUBIN"))
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(handle))

    def _get(self, handle: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(handle, ctypes.byref(size)), f"giving its {what}")
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(handle, buffer), f"giving its {what}")
        return buffer.raw

    def _preload_builtins(self) -> None:
        """It opens its second half by name when it compiles, and would not find it beside itself in a wheel."""
        path = os.path.join(os.path.dirname(self.path), "libnvrtc-builtins.so.{}.{}".format(*self.version))
        if os.path.isabs(path) and os.path.exists(path):
            try:
                ctypes.CDLL(path)
            except OSError as error:
                raise NvrtcError(f"{path} cannot be loaded: {error}: {install_hint(self.version[0])}") from error

    def _supported_archs(self) -> tuple[int, ...]:
        count = ctypes.c_int()
        self._check(self._library.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "telling what it compiles for")
        archs = (ctypes.c_int * max(count.value, 1))()
        self._check(self._library.nvrtcGetSupportedArchs(archs), "telling what it compiles for")
        return tuple(sorted(archs[: count.value]))

    def _check(self, result: int, doing: str, said: str = "") -> None:
        if result == _SUCCESS:
            return
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        name = (self._library.nvrtcGetErrorString(result) or b"an unknown error").decode(errors="replace")
        more = f": {said.strip()}" if said.strip() else ""
        raise NvrtcError(f"NVRTC ({self.path}) failed at {doing}: {name} ({result}){more}")


def _strings(values: Any) -> Any:
    encoded = [value.encode() for value in values]
    return (ctypes.c_char_p * max(len(encoded), 1))(*encoded)


@functools.cache
def _open(candidate: Candidate) -> Nvrtc:
    library = ctypes.CDLL(candidate.path)
    missing = [name for name in FUNCTIONS if not hasattr(library, name)]
    if missing:
        raise OSError(f"it has no {', '.join(missing)}")
    return Nvrtc(candidate, library)


def find(driver: int) -> Nvrtc:
    """The first NVRTC that fits a driver; `driver`: as cuDriverGetVersion says, 12040 for 12.4. Raises NvrtcError."""
    refused: dict[int, str] = {}  # by library: the loader knows one by several names
    for candidate in candidates():
        try:
            found = _open(candidate)
        except (OSError, NvrtcError) as error:
            log.debug("%s is no NVRTC: %s", candidate.path, error)
            if os.path.isabs(candidate.path) or candidate.origin == VARIABLE:
                refused[id(candidate)] = f"{candidate.path} ({candidate.origin}) cannot be used: {error}"
            continue
        why = _misfit(found, driver)
        if not why:
            return found
        refused.setdefault(found.handle, why)
    raise NvrtcError(_nothing_found(list(refused.values()), driver // 1000))


def _misfit(found: Nvrtc, driver: int) -> str:
    if found.version < OLDEST:
        return f"{found} ({found.path}) is too old: needed is {OLDEST[0]}.{OLDEST[1]} or newer"
    if found.version[0] > driver // 1000:
        return (
            f"{found} ({found.path}) is newer than the driver, which is for CUDA {driver // 1000}.{driver % 1000 // 10}"
        )
    return ""


def _nothing_found(refused: Sequence[str], major: int) -> str:
    if not refused:
        return (
            f"no NVRTC found, which compiles handlers for the GPU; looked for {looked_for()}: "
            f"{install_hint(major)}, {_OTHERWISE}"
        )
    todo = f"correct {VARIABLE}" if os.environ.get(VARIABLE) else f"update the driver, or {install_hint(major)}"
    return f"no NVRTC fits: {'; '.join(refused)}: {todo}, {_OTHERWISE}"
