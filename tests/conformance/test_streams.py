"""Work of others on the same GPU: messages that a stream sends behind it, states that are read where they lie."""

from __future__ import annotations

import gc
import os
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from actors import Number, Tally
from cuda_streams import Driver, Stream

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

W = 60.0
NO_GPU = os.environ.get("RK_TEST_BACKENDS", "cpu") == "cpu"
needs_gpu = pytest.mark.skipif(NO_GPU, reason="needs a CUDA stream")


@rk.kernel
def show(ctx: rk.Context, msg: Number) -> None:
    ctx.send("host", msg)


@rk.kernel
def keeper(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += msg.n
    return Number(state.seen)


@rk.message
class Cells:
    cells: rk.Ref[rk.u64]


@rk.kernel
def total(ctx: rk.Context, msg: Cells) -> None:
    sum = rk.u64(0)
    for i in range(len(msg.cells)):
        sum += msg.cells[i]
    ctx.send("host", Number(sum))


@rk.kernel(compiled=False)
def on_the_host(ctx: rk.Context, msg: Number) -> None:
    ctx.send("host", msg)


@pytest.fixture(scope="module")
def driver() -> Driver:
    return Driver()


@pytest.fixture
def stream(driver: Driver) -> Iterator[Stream]:
    made = Stream(driver)
    yield made
    made.close()


@needs_gpu
@pytest.mark.parametrize("handler", [show, on_the_host], ids=["gpu", "cpu"])
def test_a_message_waits_for_the_work_before_it(rt: rk.Runtime, stream: Stream, handler: Any) -> None:
    kernel = rt.launch(handler)
    gate = stream.gate()
    message = Number(1)
    kernel.send(message, after=stream)
    message.n = 99  # it was copied
    kernel.send(Number(2))
    assert kernel.receive(timeout=W).n == 2
    with pytest.raises(rk.ReceiveTimeoutError):
        kernel.receive(timeout=0.05)
    gate.set()
    assert kernel.receive(timeout=W).n == 1


@needs_gpu
def test_none_of_many_is_lost(rt: rk.Runtime, stream: Stream) -> None:
    kernel = rt.launch(on_the_host)
    gate = stream.gate()
    for n in range(200):
        kernel.send(Number(n), after=stream)
    gate.set()
    assert sorted(kernel.receive(timeout=W).n for _ in range(200)) == list(range(200))


@needs_gpu
def test_several_streams_send_to_instances_and_priorities(
    rt: rk.Runtime, driver: Driver, until: Callable[..., Any]
) -> None:
    kernel = rt.launch(keeper, instances=2)
    streams = [Stream(driver) for _ in range(4)]
    for n in range(40):
        kernel.send(Number(1), after=streams[n % 4], instance=n % 2, priority=n % 3, timeout=None)
    for one in streams:
        one.close()
    until(lambda: [kernel.call(Number(0), instance=i, timeout=W).n for i in range(2)] == [20, 20])


@needs_gpu
def test_streams_of_others_are_known_by_their_attributes(rt: rk.Runtime, stream: Stream) -> None:
    kernel = rt.launch(show)

    class ExternalStream(SimpleNamespace):
        pass

    handle = stream.handle
    kinds: list[Any] = [
        ExternalStream(cuda_stream=handle, device_index=0),  # PyTorch
        ExternalStream(ptr=handle, device_id=0),  # CuPy
        ExternalStream(handle=SimpleNamespace(value=handle)),  # Numba
        ExternalStream(handle=SimpleNamespace(value=None)),  # its default stream
        handle,
        0,
    ]
    for n, kind in enumerate(kinds):
        kernel.send(Number(n), after=kind)
        assert kernel.receive(timeout=W).n == n


@pytest.mark.parametrize("found", ["x", -1, True, 1.5, object(), SimpleNamespace(ptr=3)], ids=repr)
def test_what_is_no_stream_is_refused(rt: rk.Runtime, found: Any) -> None:
    kernel = rt.launch(show)
    with pytest.raises(rk.InvalidArgumentError, match="after: found .*need a CUDA stream"):
        kernel.send(Number(1), after=found)
    kernel.send(Number(2), after=None)
    assert kernel.receive(timeout=W).n == 2


@pytest.mark.skipif(not NO_GPU, reason="there is a driver")
def test_without_a_driver_it_is_said(rt: rk.Runtime) -> None:
    kernel = rt.launch(show)
    with pytest.raises(rk.BackendUnavailableError):
        kernel.send(Number(1), after=0)
    with pytest.raises(rk.InvalidArgumentError, match="instance"):
        kernel.send(Number(1), after=0, instance=7)
    assert rt.dead_letters.stats().total == 0


@needs_gpu
def test_a_kernel_that_has_ended_meanwhile_leaves_a_dead_letter(rt: rk.Runtime, stream: Stream) -> None:
    kernel = rt.launch(show)
    gate = stream.gate()
    kernel.send(Number(7), after=stream)
    kernel.terminate()
    gate.set()
    stream.synchronize()
    (letter,) = rt.dead_letters.drain()
    assert (letter.message.n, letter.reason) == (7, rk.DeadLetterReason.UNDELIVERABLE)
    assert "when the stream came to it" in letter.error


@needs_gpu
def test_a_full_inbox_makes_the_stream_wait_and_then_a_dead_letter(rt: rk.Runtime, stream: Stream) -> None:
    kernel = rt.launch(on_the_host, capacity=2, autostart=False)
    gate = stream.gate()  # they come from one thread of the driver then
    for n in range(3):
        kernel.send(Number(n), after=stream, timeout=0.2)
    gate.set()
    stream.synchronize()
    (letter,) = rt.dead_letters.drain()
    assert (letter.message.n, letter.reason) == (2, rk.DeadLetterReason.BACKPRESSURE)
    kernel.send(Number(3), after=stream, timeout=W)
    time.sleep(0.05)
    kernel.activate()
    assert sorted(kernel.receive(timeout=W).n for _ in range(3)) == [0, 1, 3]


@needs_gpu
def test_a_runtime_may_be_closed_before_the_stream_comes_to_it(backend: str, driver: Driver) -> None:
    stream = Stream(driver)
    gate = stream.gate()

    def closed() -> weakref.ref[rk.Runtime]:
        with rk.Runtime(backend=backend) as rt:
            rt.launch(show).send(Number(1), after=stream)
        return weakref.ref(rt)

    gone = closed()
    gc.collect()
    assert gone() is None
    gate.set()
    stream.close()


@needs_gpu
def test_a_state_is_seen_where_it_lies(rt: rk.Runtime, driver: Driver) -> None:
    kernel = rt.launch(keeper, instances=2)
    kernel.call(Number(5), instance=0, timeout=W)
    kernel.call(Number(11), instance=1, timeout=W)
    kernel.deactivate()
    views = [kernel.state_view(i)["seen"] for i in range(2)]
    for view, wanted in zip(views, (5, 11), strict=True):
        assert not hasattr(view, "__array_interface__")
        interface = view.__cuda_array_interface__
        assert (interface["shape"], interface["typestr"], interface["version"]) == ((), "<u8", 3)
        assert view.__dlpack_device__() == (2, 0)
        assert np.frombuffer(driver.read(interface["data"][0], 8), np.uint64)[0] == wanted
    kernel.activate()
    kernel.call(Number(1), instance=1, timeout=W)
    kernel.terminate()
    assert np.frombuffer(driver.read(views[1].address, 8), np.uint64)[0] == 12, "it stays as long as the view"


class DeviceArray:
    """As CuPy's: memory of a device."""

    def __init__(self, driver: Driver, count: int) -> None:
        self.address = driver.allocate(8 * count)
        self.__cuda_array_interface__ = {
            "data": (self.address, False),
            "shape": (count,),
            "typestr": "<u8",
            "strides": None,
            "version": 3,
        }


@needs_gpu
def test_an_array_is_ready_when_the_message_behind_it_comes(rt: rk.Runtime, driver: Driver, stream: Stream) -> None:
    kernel = rt.launch(total)
    array = DeviceArray(driver, 1000)
    values = np.arange(1000, dtype=np.uint64)
    with rt.register(array) as buffer:
        gate = stream.gate()
        stream.write(array.address, values)
        kernel.send(Cells(buffer), after=stream)
        gate.set()
        assert kernel.receive(timeout=W).n == values.sum()
        kernel.terminate()
    driver.free(array.address)
