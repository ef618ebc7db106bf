"""The driver and NVRTC by ctypes, for what the benchmark runs beside the library: baselines, floors, litmus tests.

The library has its own way to both; this one is a second opinion and must not share its mistakes. RINGKERNEL_CUDA_DRIVER
and RINGKERNEL_NVRTC name other libraries, such as the doubles.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
DEVICE_CODE = (ROOT / "kernels" / "cuda", ROOT, ROOT / "cpp" / "include", HERE)
PATIENCE_S = 20.0
NOT_READY = 600
HOST_PORTABLE_MAPPED = 3
ATTRIBUTES = {
    "SM clock kHz": 13,
    "multiprocessors": 16,
    "memory clock kHz": 36,
    "L2 bytes": 38,
    "major": 75,
    "minor": 76,
}


class GpuError(Exception):
    """The driver, NVRTC or the device did not do what the benchmark needs."""


def open_library(variable: str, names: list[str], before: Callable[[str], None] | None = None) -> ctypes.CDLL:
    given = os.environ.get(variable)
    tried = [given] if given else names
    for name in tried:
        try:
            if before is not None:
                before(name)
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    raise GpuError(f"no library of {', '.join(tried)} could be opened")


def nvrtc_names(most: int) -> list[str]:
    """Those of NVIDIA's wheels before those of the system: they come with their builtins. None newer than the driver."""
    wheels = [path for entry in sys.path for path in glob.glob(f"{entry}/nvidia/*/lib/libnvrtc.so.*[0-9]")]
    toolkits = glob.glob("/usr/local/cuda*/lib64/libnvrtc.so.*[0-9]")
    numbered = [(int(path.split(".so.")[1].split(".")[0]), path) for path in [*toolkits, *wheels]]
    fitting = [path for major, path in sorted(numbered, key=lambda one: one[0], reverse=True) if major <= most]
    system = [f"libnvrtc.so.{major}" for major in (13, 12) if major <= most]
    return [*sorted(fitting, key=lambda path: path not in wheels), *system, "libnvrtc.so"]


def includes_of(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line.split('"')[1] for line in lines if line.startswith("#include") and '"' in line]


def with_headers(text: str) -> dict[str, str]:
    """Every header that the text needs, by the name it is included with."""
    found: dict[str, str] = {}
    todo: list[tuple[str, Path | None]] = [(name, None) for name in includes_of(text)]
    while todo:
        name, beside = todo.pop()
        if name in found:
            continue
        folders = (*DEVICE_CODE, beside) if beside else DEVICE_CODE
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            raise GpuError(f"{name}: not in {', '.join(map(str, folders))}")
        found[name] = path.read_text()
        todo += [(inner, path.parent) for inner in includes_of(found[name])]
    return found


def preload_builtins(library: str) -> None:
    """NVRTC opens its second half by name when it compiles, and that of some wheels does not find it beside itself."""
    for path in glob.glob(str(Path(library).parent / "libnvrtc-builtins.so*")) if os.path.isabs(library) else []:
        with contextlib.suppress(OSError):
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


class Nvrtc:
    """Compiles texts of this folder for one architecture. most: the major version that the driver is for."""

    def __init__(self, most: int = 99) -> None:
        self._nvrtc = open_library("RINGKERNEL_NVRTC", nvrtc_names(most), preload_builtins)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def cubin(self, name: str, arch: str, before: str = "") -> bytes:
        text = before + (HERE / name).read_text()
        headers = with_headers(text)
        program = ctypes.c_void_p()
        strings = ctypes.c_char_p * len(headers)
        sources = strings(*(value.encode() for value in headers.values()))
        names = strings(*(key.encode() for key in headers))
        args = (text.encode(), name.encode(), len(headers), sources, names)
        if result := self._nvrtc.nvrtcCreateProgram(ctypes.byref(program), *args):
            raise GpuError(f"{name}: nvrtcCreateProgram returned {result}")
        options = [b"--std=c++17", b"-default-device", b"-fmad=false", f"-arch={arch}".encode()]
        result = self._nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        try:
            if result:
                log = " ".join(self._text(program, "ProgramLog").split())
                raise GpuError(f"{name} does not compile: {log[:500]}")
            return self._bytes(program, "CUBIN")
        finally:
            self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        if result := getattr(self._nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)):
            raise GpuError(f"nvrtcGet{what}Size returned {result}")
        data = ctypes.create_string_buffer(size.value)
        getattr(self._nvrtc, f"nvrtcGet{what}")(program, data)
        return data.raw

    def _text(self, program: ctypes.c_void_p, what: str) -> str:
        return self._bytes(program, what).rstrip(b"\0").decode(errors="replace")


class HostMemory:
    """Pinned and mapped: `address` for the host, `device` for kernels. Lives as long as the Gpu."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        host, device = ctypes.c_void_p(), ctypes.c_uint64()
        gpu.do("cuMemHostAlloc", ctypes.byref(host), ctypes.c_size_t(size), HOST_PORTABLE_MAPPED)
        gpu.do("cuMemHostGetDevicePointer_v2", ctypes.byref(device), host, 0)
        self.address, self.device, self.size = int(host.value or 0), device.value, size
        self.clear()

    def clear(self) -> None:
        ctypes.memset(self.address, 0, self.size)

    def words(self) -> Any:
        """As an array of u64."""
        import numpy as np

        return np.ctypeslib.as_array((ctypes.c_uint64 * (self.size // 8)).from_address(self.address))


class Gpu:
    """One device, its primary context, and one stream. `double` is true when it is no GPU."""

    def __init__(self, index: int = 0, double: bool = False) -> None:
        self.double = double
        self.driver = open_library("RINGKERNEL_CUDA_DRIVER", ["libcuda.so.1"])
        self.path = os.environ.get("RINGKERNEL_CUDA_DRIVER", "libcuda.so.1")
        self.do("cuInit", 0)
        device, context, version = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
        self.do("cuDeviceGet", ctypes.byref(device), index)
        self.do("cuDriverGetVersion", ctypes.byref(version))
        self.do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.do("cuCtxSetCurrent", context)
        self.device, self.driver_version = device, f"{version.value // 1000}.{version.value % 1000 // 10}"
        self.stream = self.new_stream()
        self._nvrtc: Nvrtc | None = None
        self._modules: dict[str, ctypes.c_void_p] = {}

    def do(self, name: str, *args: Any) -> None:
        """A call of the driver; raises what it says when it fails."""
        function = getattr(self.driver, name, None)
        if function is None:
            raise GpuError(f"the driver has no {name}")
        if result := function(*args):
            text = ctypes.c_char_p()
            self.driver.cuGetErrorName(result, ctypes.byref(text))
            raise GpuError(f"{name}: {(text.value or b'error').decode()} ({result})")

    def has(self, name: str) -> bool:
        return getattr(self.driver, name, None) is not None

    def attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self.do("cuDeviceGetAttribute", ctypes.byref(value), number, self.device)
        return value.value

    def about(self) -> dict[str, Any]:
        name = ctypes.create_string_buffer(256)
        self.do("cuDeviceGetName", name, 256, self.device)
        found: dict[str, Any] = {"gpu": name.value.decode(), "driver supports CUDA": self.driver_version}
        for what, number in ATTRIBUTES.items():
            if self.double and what not in ("major", "minor"):
                continue  # invented
            try:
                found[what] = self.attribute(number)
            except GpuError:
                found[what] = None
        found["compute capability"] = f"{found.pop('major')}.{found.pop('minor')}"
        return found

    @property
    def arch(self) -> str:
        return f"sm_{self.attribute(75)}{self.attribute(76)}"

    @property
    def nvrtc(self) -> Nvrtc:
        self._nvrtc = self._nvrtc or Nvrtc(int(self.driver_version.split(".")[0]))
        return self._nvrtc

    def new_stream(self) -> ctypes.c_void_p:
        stream = ctypes.c_void_p()
        self.do("cuStreamCreateWithPriority", ctypes.byref(stream), 1, 0)
        return stream

    def function(self, text: str, name: str, before: str = "") -> ctypes.c_void_p:
        """A kernel of one of this folder's texts, compiled when it is first asked for; `before`: what it begins with."""
        key = before + text
        if key not in self._modules:
            module = ctypes.c_void_p()
            self.do("cuModuleLoadData", ctypes.byref(module), self.nvrtc.cubin(text, self.arch, before))
            self._modules[key] = module
        function = ctypes.c_void_p()
        self.do("cuModuleGetFunction", ctypes.byref(function), self._modules[key], name.encode())
        return function

    def memory(self, size: int) -> int:
        """Device memory, zeroed; lives as long as the process."""
        address = ctypes.c_uint64()
        self.do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self.zero(address.value, size)
        return address.value

    def zero(self, address: int, size: int) -> None:
        nothing = ctypes.create_string_buffer(size)
        self.do("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), nothing, ctypes.c_size_t(size), self.stream)
        self.wait()

    def read(self, address: int, words: int) -> list[int]:
        data = (ctypes.c_uint64 * words)()
        self.do("cuMemcpyDtoHAsync_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(8 * words), self.stream)
        self.wait()
        return list(data)

    def launch(
        self, function: ctypes.c_void_p, blocks: int, threads: int, *values: int, together: bool = False
    ) -> None:
        """Parameters are u64. together: all blocks run at once, or it raises."""
        given = [ctypes.c_uint64(value) for value in values]
        pointers = (ctypes.c_void_p * len(given))(*(ctypes.addressof(one) for one in given))
        shape = (blocks, 1, 1, threads, 1, 1, 0)
        if together:
            self.do("cuLaunchCooperativeKernel", function, *shape, self.stream, pointers)
        else:
            self.do("cuLaunchKernel", function, *shape, self.stream, pointers, None)

    def wait(self, seconds: float = PATIENCE_S) -> None:
        """Until the stream is idle. Never for ever: a kernel that hangs is an error."""
        end = time.monotonic() + seconds
        while (result := self.driver.cuStreamQuery(self.stream)) == NOT_READY:
            if time.monotonic() > end:
                raise GpuError(f"what was launched did not end within {seconds:.0f} s")
        if result:
            raise GpuError(f"cuStreamQuery returned {result}")


def refuse_unnamed_doubles(double: bool) -> None:
    """What another driver than the system's has measured must not pass for a GPU's."""
    if not double and os.environ.get("RINGKERNEL_CUDA_DRIVER"):
        raise GpuError("RINGKERNEL_CUDA_DRIVER is set: say --double, or unset it")


def open_gpu(double: bool) -> Gpu:
    """Eager loading: a lazily loaded kernel may need the device to be idle, which it is not beside a resident one."""
    refuse_unnamed_doubles(double)
    os.environ.setdefault("CUDA_MODULE_LOADING", "EAGER")
    return Gpu(double=double)
