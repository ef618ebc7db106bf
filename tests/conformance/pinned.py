"""Memory of the CUDA driver, by ctypes: pinned memory of the host as NumPy arrays, and memory of device 0."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from typing import Any

import numpy as np


def _driver() -> ctypes.CDLL:
    """With the primary context of device 0 current in this thread; a runtime has opened it."""
    library = ctypes.CDLL(os.environ.get("RINGKERNEL_CUDA_DRIVER") or "libcuda.so.1")
    device, context = c_int(), c_void_p()
    _check(library.cuInit(0))
    _check(library.cuDeviceGet(byref(device), 0))
    _check(library.cuDevicePrimaryCtxRetain(byref(context), device))
    _check(library.cuCtxSetCurrent(context))
    return library


def _check(result: int) -> None:
    assert result == 0, f"the CUDA driver says {result}"


def zeros(n: int, dtype: Any) -> np.ndarray[Any, Any]:
    """Pinned and mapped, until the process ends: the driver waits for the device when it frees, and a handler of a test
    may wait for the test."""
    size = np.dtype(dtype).itemsize * n
    memory = c_void_p()
    _check(_driver().cuMemHostAlloc(byref(memory), c_size_t(size), 3))
    assert memory.value is not None
    ctypes.memset(memory, 0, size)
    block = (ctypes.c_ubyte * size).from_address(memory.value)
    return np.frombuffer(block, dtype)


class DeviceMemory:
    """Of device 0; `size` in bytes."""

    def __init__(self, size: int) -> None:
        made = c_uint64()
        _check(_driver().cuMemAlloc_v2(byref(made), c_size_t(size)))
        self.address, self.size = made.value, size

    def write(self, values: np.ndarray[Any, Any]) -> None:
        _check(_driver().cuMemcpyHtoD_v2(c_uint64(self.address), c_void_p(values.ctypes.data), c_size_t(values.nbytes)))

    def read(self, dtype: Any) -> np.ndarray[Any, Any]:
        values = np.zeros(self.size // np.dtype(dtype).itemsize, dtype)
        _check(_driver().cuMemcpyDtoH_v2(c_void_p(values.ctypes.data), c_uint64(self.address), c_size_t(self.size)))
        return values
