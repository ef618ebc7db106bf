"""CUDA streams of a program that knows nothing of this package: the driver by ctypes. On the double too."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Driver:
    """The functions of libcuda that the tests need; each raises when it fails."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ.get("RINGKERNEL_CUDA_DRIVER", "libcuda.so.1"))
        self._context = ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), 0)

    def call(self, name: str, *given: Any) -> None:
        result = getattr(self._library, name)(*given)
        assert result == 0, f"{name}: {result}"

    def enter(self) -> None:
        self.call("cuCtxSetCurrent", self._context)

    def read(self, address: int, size: int) -> bytes:
        self.enter()
        into = ctypes.create_string_buffer(size)
        self.call("cuMemcpyDtoH_v2", into, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return into.raw

    def allocate(self, size: int) -> int:
        self.enter()
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        self.enter()
        self.call("cuMemFree_v2", ctypes.c_uint64(address))


class Stream:
    """One that speaks the protocol of cuda.core. Its work waits behind gates."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._handle = ctypes.c_void_p()
        self._kept: list[Any] = []
        driver.enter()
        driver.call("cuStreamCreate", ctypes.byref(self._handle), 1)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle

    @property
    def handle(self) -> int:
        assert self._handle.value is not None
        return self._handle.value

    def gate(self) -> threading.Event:
        """What is queued behind it waits until the event is set."""
        event = threading.Event()

        @HOST_FUNCTION
        def wait(_: object) -> None:
            event.wait(60)

        self._kept.append(wait)
        self._driver.enter()
        self._driver.call("cuLaunchHostFunc", self._handle, wait, None)
        return event

    def write(self, address: int, values: Any) -> None:
        self._kept.append(values)
        self._driver.enter()
        there, size = ctypes.c_uint64(address), ctypes.c_size_t(values.nbytes)
        self._driver.call("cuMemcpyHtoDAsync_v2", there, ctypes.c_void_p(values.ctypes.data), size, self._handle)

    def synchronize(self) -> None:
        self._driver.enter()
        self._driver.call("cuStreamSynchronize", self._handle)

    def close(self) -> None:
        self.synchronize()
        self._driver.call("cuStreamDestroy_v2", self._handle)
