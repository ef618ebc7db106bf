"""The doubles by ctypes, for their own tests."""

from __future__ import annotations

import ctypes
import time
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, INVALID_VALUE, OUT_OF_MEMORY, NOT_READY = 0, 1, 2, 600
ILLEGAL_ADDRESS, LAUNCH_FAILED, COOPERATIVE_TOO_LARGE, UNKNOWN = 700, 719, 720, 999
OPTIONS = ("--std=c++17", "-default-device", "-fmad=false", "-arch=sm_90")


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.001)


class Nvrtc:
    """The double of NVRTC."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)

    def compile(
        self, text: str, *, options: Sequence[str] = OPTIONS, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """The result, the image, the log."""
        program, given = c_void_p(), headers or {}
        array = c_char_p * len(given)
        texts, names = (array(*(one.encode() for one in part)) for part in (given.values(), given))
        made = self.library.nvrtcCreateProgram(byref(program), text.encode(), b"test.cu", len(given), texts, names)
        assert made == OK
        result = self.library.nvrtcCompileProgram(
            program, len(options), (c_char_p * len(options))(*(option.encode() for option in options))
        )
        image, log = self._read(program, "CUBIN"), self._read(program, "ProgramLog")
        assert self.library.nvrtcDestroyProgram(byref(program)) == OK
        return result, image, log.rstrip(b"\0").decode()

    def _read(self, program: c_void_p, what: str) -> bytes:
        size = c_size_t()
        assert getattr(self.library, f"nvrtcGet{what}Size")(program, byref(size)) == OK
        out = ctypes.create_string_buffer(size.value + 1)
        assert getattr(self.library, f"nvrtcGet{what}")(program, out) == OK
        return out.raw[: size.value]

    def image(self, text: str) -> bytes:
        result, image, log = self.compile(text)
        assert result == OK, log
        return image


class Driver:
    """The double of the driver, with the context of its first device."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.library.rk_double_entry.restype = c_char_p
        self.context = c_void_p()
        self.do("cuInit", 0)
        self.do("cuDevicePrimaryCtxRetain", byref(self.context), 0)
        self.do("cuCtxSetCurrent", self.context)

    def call(self, name: str, *values: Any) -> int:
        return int(getattr(self.library, name)(*values))

    def do(self, name: str, *values: Any) -> None:
        result = self.call(name, *values)
        assert result == OK, f"{name}: {result}"

    def control(self, name: str, *values: Any) -> int:
        encoded = (value.encode() if isinstance(value, str) else value for value in values)
        return int(getattr(self.library, f"rk_double_{name}")(*encoded))

    def entries(self) -> list[str]:
        names: list[str] = []
        while (name := self.library.rk_double_entry(len(names))) is not None:
            names.append(name.decode())
        return names

    def module(self, image: bytes) -> c_void_p:
        module = c_void_p()
        self.do("cuModuleLoadData", byref(module), image)
        return module

    def function(self, module: c_void_p, name: str) -> c_void_p:
        function = c_void_p()
        self.do("cuModuleGetFunction", byref(function), module, name.encode())
        return function

    def stream(self) -> c_void_p:
        stream = c_void_p()
        self.do("cuStreamCreateWithPriority", byref(stream), c_uint(1), c_int(0))
        return stream

    def words(self, count: int = 64) -> tuple[Any, c_uint64]:
        """Mapped memory, zeroed: for the host and for the device."""
        host, device = c_void_p(), c_uint64()
        self.do("cuMemHostAlloc", byref(host), c_size_t(8 * count), c_uint(3))
        self.do("cuMemHostGetDevicePointer_v2", byref(device), host, c_uint(0))
        ctypes.memset(host, 0, 8 * count)
        return (c_uint64 * count).from_address(int(host.value or 0)), device

    def launch(
        self, function: c_void_p, stream: c_void_p, values: Sequence[Any], *, blocks: int = 1, threads: int = 1,
        cooperative: bool = True,
    ) -> int:  # fmt: skip
        kept = [c_uint64(value) if isinstance(value, int) else value for value in values]
        pointers = (c_void_p * len(kept))(*(ctypes.addressof(one) for one in kept))
        shape = [c_uint(n) for n in (blocks, 1, 1, threads, 1, 1, 0)]
        if cooperative:
            return self.call("cuLaunchCooperativeKernel", function, *shape, stream, pointers)
        return self.call("cuLaunchKernel", function, *shape, stream, pointers, None)
