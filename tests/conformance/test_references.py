"""Messages that refer to registered memory: what handlers do there, and what is refused before they run."""

from __future__ import annotations

import gc
import os
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pinned
import pytest

import pyringkernel as rk
from pyringkernel import DeadLetterReason

W = 60.0


@rk.message
class Pair:
    a: rk.f32
    x: rk.Ref[rk.f32]
    y: rk.Ref[rk.f32]


@rk.message
class Done:
    n: rk.u32
    y: rk.Ref[rk.f32] = None


@rk.message
class Cells:
    cells: rk.Ref[rk.u64]
    turns: rk.u32 = 0


@rk.kernel
def saxpy(ctx: rk.Context, msg: Pair) -> Done:
    for i in range(min(len(msg.x), len(msg.y))):
        msg.y[i] += msg.a * msg.x[i]
    return Done(n=len(msg.y), y=msg.y)


@rk.kernel
def first(ctx: rk.Context, msg: Pair) -> Done:
    return Done(n=rk.u32(msg.x[0]) + len(msg.y))


@rk.kernel
def count(ctx: rk.Context, msg: Cells) -> None:
    for _ in range(msg.turns):
        ctx.atomic_add(msg.cells[0], 1)


@rk.kernel
def wait_for_it(ctx: rk.Context, msg: Cells) -> Done:
    ctx.atomic_add(msg.cells[1], 1)
    while ctx.atomic_add(msg.cells[0], 0) == 0:
        pass
    return Done(n=rk.u32(msg.cells[2]))


@rk.kernel
def add(ctx: rk.Context, msg: Pair) -> None:
    for i in range(min(len(msg.x), len(msg.y))):
        msg.y[i] += msg.a * msg.x[i]


@rk.kernel(publishes_to=["next"])
def forward(ctx: rk.Context, msg: Pair) -> None:
    ctx.send("next", Pair(a=msg.a * 2.0, x=msg.x, y=msg.y))


@rk.kernel(compiled=False)
def by_python(ctx: rk.Context, msg: Pair) -> Done:
    y = msg.y.array()
    y += msg.a * msg.x.array()
    return Done(n=len(y), y=msg.y)


@pytest.fixture
def how(engine: dict[str, Any]) -> dict[str, Any]:
    return engine


@pytest.fixture
def fast(machine: dict[str, Any]) -> dict[str, Any]:
    return machine


@pytest.fixture
def host(rt: rk.Runtime) -> rk.Runtime:
    return rt


def zeros(n: int, dtype: Any) -> np.ndarray[Any, Any]:
    """That the kernels of this run reach: a device reaches memory of the host only where it is pinned."""
    return pinned.zeros(n, dtype) if "cpu" not in os.environ.get("RK_TEST_BACKENDS", "cpu") else np.zeros(n, dtype)


def ones(n: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    made = zeros(n, dtype)
    made[:] = 1
    return made


def why(kernel: rk.Kernel, message: Any) -> str:
    with pytest.raises(rk.HandlerError) as caught:
        kernel.call(message, timeout=W)
    return str(caught.value.__cause__ or caught.value)


def test_a_handler_works_on_the_array_itself(host: rk.Runtime, how: Any) -> None:
    x, y = ones(1000), ones(1000)
    x[:] = np.arange(1000)
    bx, by = host.register(x, writable=False), host.register(y)
    kernel = host.launch(saxpy, **how)
    reply = kernel.call(Pair(2.0, bx, by), timeout=W)
    assert (y == 2 * np.arange(1000) + 1).all()
    assert (reply.n, reply.y, host.buffer(reply.y)) == (1000, by.ref(), by)
    assert kernel.call(Pair(1.0, bx[10:12], by[:2]), timeout=W).n == 2
    assert y[:3].tolist() == [11.0, 14.0, 5.0]
    assert reply.y.array()[2] == 5.0


def test_a_released_buffer_is_refused(host: rk.Runtime, how: Any, until: Callable[..., Any]) -> None:
    bx, by = host.register(ones(8)), host.register(ones(8))
    kernel = host.launch(first, **how)
    message = Pair(2.0, bx, by)
    assert kernel.call(message, timeout=W).n == 9
    by.release()
    for _ in range(10):  # no fault of the handler
        assert f"the reference in y is stale: buffer {by.key} was released, or never was registered" in why(
            kernel, message
        )
    assert kernel.state is rk.KernelState.ACTIVE
    until(lambda: not bx.in_use)
    letter = host.dead_letters.browse()[0]
    assert letter.reason is DeadLetterReason.WRONG_TYPE
    assert "stale" in str(letter.error)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"key": 12345}, "buffer 12345 was released, or never was registered"),
        ({"key": 0}, "buffer 0 was released, or never was registered"),
        ({"address": 0}, "malformed: it leads out of buffer"),
        ({"address": -4}, "malformed: it leads out of buffer"),
        ({"address": 4}, "malformed: it leads out of buffer"),
        ({"address": 2}, "malformed: it leads out of buffer"),
        ({"count": 1}, "malformed: it leads out of buffer"),
        ({"count": 2**32 - 9}, "malformed: it leads out of buffer"),
    ],
)
def test_a_forged_reference_is_refused(
    host: rk.Runtime, how: Any, change: dict[str, int], text: str, until: Callable[..., Any]
) -> None:
    bx = host.register(ones(8))
    kernel = host.launch(saxpy, **how)
    rows = np.zeros(1, Pair.dtype)
    reference = {"address": bx.address, "count": 8, "key": bx.key}
    for name, by in change.items():
        reference[name] = by if name == "key" or by == 0 else reference[name] + by
    rows["x"] = rows["y"] = tuple(reference.values())
    kernel.send_many(rows)
    until(lambda: kernel.telemetry().failed == 1 or host.dead_letters.browse())
    assert text in str(host.dead_letters.browse()[0].error)
    assert kernel.call(Pair(1.0, bx, bx), timeout=W).n == 8


def test_a_buffer_of_another_type_is_refused(host: rk.Runtime, how: Any) -> None:
    bx = host.register(ones(8, np.int32))
    kernel = host.launch(first, **how)
    forged = rk.BufferRef(bx.address, 8, bx.key, "f32")
    assert f"malformed: buffer {bx.key} does not hold rk.f32" in why(kernel, Pair(1.0, forged, None))


def test_a_read_only_buffer_is_only_read(host: rk.Runtime, how: Any) -> None:
    bx = host.register(ones(8), writable=False)
    kernel = host.launch(saxpy, **how)
    text = f"the handler writes to y, and buffer {bx.key} was registered with writable=False"
    assert text in why(kernel, Pair(1.0, None, bx))
    assert kernel.call(Pair(1.0, bx, None), timeout=W).n == 0
    assert host.launch(first, **how).call(Pair(1.0, bx, bx), timeout=W).n == 9


of_the_cpu = pytest.mark.skipif("cpu" not in os.environ.get("RK_TEST_BACKENDS", "cpu"), reason="a kernel of the host")
of_a_device = pytest.mark.skipif("cpu" in os.environ.get("RK_TEST_BACKENDS", "cpu"), reason="a kernel of a device")


class OnDevice:
    def __init__(self, address: int, count: int) -> None:
        self.__cuda_array_interface__ = {"shape": (count,), "typestr": "<f4", "data": (address, False), "version": 3}


@of_the_cpu
def test_memory_of_a_device_is_refused_by_a_kernel_of_the_host(host: rk.Runtime, how: Any) -> None:
    there = host.register(OnDevice(0x7F0000000000, 16))
    assert (there.device, there.size, there.dtype) == (0, 16, "f32")
    kernel = host.launch(first, **how)
    assert f"buffer {there.key} in x is in memory that this kernel cannot reach" in why(kernel, Pair(1.0, there, None))
    assert kernel.call(Pair(1.0, None, None), timeout=W).n == 0


@of_a_device
def test_memory_that_a_device_does_not_reach_is_refused(host: rk.Runtime, how: Any) -> None:
    pageable = host.register(np.ones(8, np.float32))
    kernel = host.launch(first, **how)
    assert f"buffer {pageable.key} in x is in memory that this kernel cannot reach" in why(
        kernel, Pair(1.0, pageable, None)
    )
    assert kernel.call(Pair(1.0, None, None), timeout=W).n == 0
    with pytest.raises(rk.UnsuitableBufferError, match="CUDA knows no such memory at 0x7f0000000000"):
        host.register(OnDevice(0x7F0000000000, 16))


@of_a_device
def test_memory_of_the_device_is_worked_on_where_it_is(host: rk.Runtime, how: Any) -> None:
    memory = pinned.DeviceMemory(64)
    memory.write(np.arange(16, dtype=np.float32))
    there = host.register(OnDevice(memory.address, 16))
    assert (there.device, there.size) == (0, 16)
    kernel = host.launch(saxpy, **how)
    assert kernel.call(Pair(2.0, there, there), timeout=W).n == 16
    assert memory.read(np.float32).tolist() == [3.0 * n for n in range(16)]
    by_cpu = host.launch(first, name="by_cpu", compiled=False)
    assert "is in memory that this kernel cannot reach" in why(by_cpu, Pair(1.0, there, None))


def test_an_index_outside_is_counted(host: rk.Runtime, how: Any) -> None:
    kernel = host.launch(first, **how)
    assert kernel.call(Pair(1.0, None, host.register(ones(3))), timeout=W).n == 3
    assert (kernel.telemetry().errors_reported, kernel.telemetry().last_error) == (1, 0xFFFF0002)


def test_a_reference_goes_on_to_the_next_kernel(host: rk.Runtime, how: Any, until: Callable[..., Any]) -> None:
    x, y = ones(100), ones(100)
    host.launch(add, name="next", **how)
    kernel = host.launch(forward, **how)
    kernel.send(Pair(1.5, host.register(x), host.register(y)))
    until(lambda: y[99] == 4.0)
    assert y.tolist() == [4.0] * 100


def test_instances_share_a_buffer(host: rk.Runtime, fast: Any, until: Callable[..., Any]) -> None:
    cells = zeros(1, np.uint64)
    kernel = host.launch(count, instances=4, **fast)
    buffer = host.register(cells)
    for _ in range(16):
        kernel.send(Cells(buffer, 20_000))
    until(lambda: cells[0] >= 16 * 20_000 and not buffer.in_use)
    assert cells[0] == 16 * 20_000


def test_a_handler_keeps_what_is_released_meanwhile(host: rk.Runtime, fast: Any, until: Callable[..., Any]) -> None:
    # A GPU's memory is freed while no handler runs, and one will: closed runtimes of other tests have to be gone.
    until(lambda: gc.collect() >= 0 and sum(isinstance(one, rk.Runtime) for one in gc.get_objects()) == 1)
    cells = zeros(3, np.uint64)
    gone: Any = weakref.ref(cells)
    cells[2] = 42
    buffer = host.register(cells)
    kernel, other = host.launch(wait_for_it, **fast), host.launch(count, **fast)
    asked = kernel.ask(Cells(buffer))
    until(lambda: gone()[1] == 1)
    assert buffer.in_use
    buffer.release()
    assert (buffer.in_use, buffer.released, buffer.array) == (True, True, None)
    del cells
    gc.collect()
    assert gone() is not None
    assert "stale" in why(other, Cells(rk.BufferRef(buffer.address, 1, buffer.key, "u64")))
    gone()[0] = 1
    assert asked.result(timeout=W).n == 42
    until(lambda: not buffer.in_use)
    until(lambda: gc.collect() >= 0 and gone() is None)


def test_closing_the_runtime_releases_its_buffers() -> None:
    with rk.Runtime() as one, rk.Runtime() as other:
        mine, theirs = one.register(ones(4)), other.register(ones(4))
        assert (one.buffer(mine.ref()), one.buffer(theirs.ref()), other.buffer(mine.ref())) == (mine, None, None)
        other.close()
        assert (mine.released, theirs.released) == (False, True)
        with pytest.raises(rk.RuntimeClosedError):
            other.register(ones(4))
    assert mine.released


def test_a_handler_that_is_stopped_gives_its_buffer_back(
    host: rk.Runtime, fast: Any, until: Callable[..., Any]
) -> None:
    buffer = host.register(zeros(4, np.uint64))
    kernel = host.launch(wait_for_it, **fast)
    kernel.send(Cells(buffer))
    until(lambda: buffer.in_use)
    started = time.monotonic()
    kernel.terminate(timeout=1.0)
    until(lambda: not buffer.in_use)
    assert time.monotonic() - started < W


def test_a_python_handler_gets_the_array(host: rk.Runtime) -> None:
    y = ones(5)
    kernel = host.launch(by_python)
    buffer = host.register(y)
    assert kernel.call(Pair(3.0, buffer, buffer), timeout=W).n == 5
    assert y.tolist() == [4.0] * 5
    message = Pair(3.0, buffer, buffer)
    buffer.release()
    assert "stale" in why(kernel, message)
