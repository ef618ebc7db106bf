"""Kernels of one runtime on several devices: edges, topics and checkpoints between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally

import pyringkernel as rk
from pyringkernel import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

W = 60.0


@rk.kernel(publishes_to=["next"])
def pass_on(ctx: rk.Context, state: Tally, msg: Number) -> None:
    state.seen += 1
    ctx.send("next", msg)


@rk.kernel(publishes_to=["pong"])
def ping(ctx: rk.Context, msg: Number) -> None:
    if msg.n == 0:
        ctx.send("host", msg)
    else:
        ctx.send("pong", Number(msg.n - 1))


@rk.kernel(publishes_to=["ping"])
def pong(ctx: rk.Context, msg: Number) -> None:
    ctx.send("ping", msg)


@rk.kernel
def keeper(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += msg.n
    return Number(state.seen)


@rk.kernel
def show(ctx: rk.Context, msg: Number) -> None:
    ctx.send("host", msg)


@rk.kernel
def herald(ctx: rk.Context, msg: Number) -> Number:
    ctx.publish("news/all", msg)
    return msg


@pytest.fixture
def rt(backend: str) -> Iterator[rk.Runtime]:
    """A runtime with two devices."""
    if backend != "cuda":
        pytest.skip("the CPU is one device")
    if _core.cuda_driver()[2] < 2:
        pytest.skip("this machine has one device")
    with rk.Runtime(backend=backend, device=[0, 1]) as runtime:
        yield runtime


def test_kernels_are_where_they_were_asked_to_be(rt: rk.Runtime) -> None:
    assert [one.index for one in rt.devices] == [0, 1]
    assert rt.device == rt.devices[0]
    placed = [rt.launch(keeper, name=f"k{where}", device=where) for where in (None, 1, 0)]
    assert [kernel.device for kernel in placed] == [rt.devices[0], rt.devices[1], rt.devices[0]]
    assert [kernel.call(Number(2), timeout=W).n for kernel in placed] == [2, 2, 2]
    with pytest.raises(rk.InvalidArgumentError, match="this runtime has 0, 1"):
        rt.launch(keeper, name="nowhere", device=2)
    with pytest.raises(rk.InvalidArgumentError, match="runs on the CPU"):
        rt.launch(lambda ctx, msg: None, name="python", accepts=[Number], device=1)


@pytest.mark.parametrize("to", [1, 0])
def test_messages_between_two_devices_arrive_once_and_in_order(
    rt: rk.Runtime, to: int, until: Callable[..., Any]
) -> None:
    last = rt.launch(show, name="next", device=to)
    first = rt.launch(pass_on, name="first", device=1 - to)
    edge = rt.connect(first, last, overflow="block", capacity=16)
    for n in range(300):
        first.send(Number(n), timeout=W)
    assert [last.receive(timeout=W).n for _ in range(300)] == list(range(300))
    until(lambda: edge.stats().in_flight == 0)
    stats = edge.stats()
    assert (stats.accepted, stats.delivered, stats.dropped, stats.dead_lettered) == (300, 300, 0, 0)


def test_a_message_goes_to_and_fro_between_two_devices(rt: rk.Runtime) -> None:
    one = rt.launch(ping, device=0, autostart=False)
    two = rt.launch(pong, device=1, autostart=False)
    one.activate()
    two.activate()
    one.send(Number(100))
    assert one.receive(timeout=W).n == 0


def test_what_is_published_on_one_device_is_heard_on_the_other(rt: rk.Runtime) -> None:
    hears = rt.launch(show, device=1)
    rt.subscribe("news/#", hears)
    speaks = rt.launch(herald, device=0)
    for n in range(20):
        speaks.call(Number(n), timeout=W)
    assert [hears.receive(timeout=W).n for _ in range(20)] == list(range(20))


def test_a_checkpoint_of_one_device_goes_on_on_another(rt: rk.Runtime, tmp_path: Path) -> None:
    before = rt.launch(keeper, device=0)
    assert [before.call(Number(n), timeout=W).n for n in (1, 2, 3)] == [1, 3, 6]
    before.deactivate()
    before.send(Number(10))
    shot = before.snapshot()
    before.terminate()
    shot.save(tmp_path / "keeper")
    after = rt.launch(keeper, device=1, restore=tmp_path / "keeper")
    assert after.device == rt.devices[1]
    assert after.call(Number(1), timeout=W).n == 17


def test_a_supervisor_restarts_its_children_of_both_devices(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    @rk.kernel
    def fragile(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        assert msg.n != 13, "unlucky"
        state.seen += 1
        return Number(state.seen)

    boss = rt.supervisor("one_for_all")
    children = [rt.launch(fragile, name=f"child{i}", supervisor=boss, device=i) for i in range(2)]
    assert [child.call(Number(1), timeout=W).n for child in children] == [1, 1]
    with pytest.raises(rk.HandlerError):
        children[0].call(Number(13), timeout=W)
    until(lambda: [child.generation for child in children] == [1, 1])
    assert [child.call(Number(1), timeout=W).n for child in children] == [1, 1]
