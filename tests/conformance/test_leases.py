"""Kernels that leave their device and come back, many times a second: nobody who sends to them notices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

W = 60.0
FOR_EVER = 666


@rk.kernel
def sometimes_endless(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    while msg.n == FOR_EVER:
        state.total += 1
    return Number(state.seen)


@rk.kernel
def long_or_short(ctx: rk.Context, state: Tally, msg: Number) -> None:
    for i in range(msg.n):
        state.total += i & 1
    state.seen += 1
    ctx.send("host", Number(state.seen))


@rk.kernel(block_size=2)
def together(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    ctx.sync_grid()
    if ctx.thread_id() == 0:
        state.seen += 1
    ctx.sync_grid()
    return Number(state.seen)


@pytest.fixture
def rt(backend: str) -> Iterator[rk.Runtime]:
    """A runtime with leases of 4 ms, where there are any."""
    with rk.Runtime(backend=backend, lease=0.004) as runtime:
        yield runtime


def for_seconds(seconds: float) -> Iterator[int]:
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += 1
        yield n


def test_state_goes_on_from_lease_to_lease(rt: rk.Runtime, machine: Any) -> None:
    kernel = rt.launch(sometimes_endless, instances=2, **machine)
    for n in for_seconds(0.3):
        assert [kernel.call(Number(1), instance=i, timeout=W).n for i in (0, 1)] == [n, n]


@pytest.mark.parametrize("at", [0.0, 0.05], ids=["at once", "later"])
def test_a_handler_that_does_not_return_keeps_nobody_waiting(
    rt: rk.Runtime, machine: Any, at: float, until: Callable[..., Any]
) -> None:
    """Its grid cannot leave any more: the others stay with it."""
    kernel = rt.launch(sometimes_endless, instances=4, **machine)
    other = rt.launch(sometimes_endless, name="other", **machine)
    kernel.call(Number(1), instance=1, timeout=W)
    time.sleep(at)
    kernel.send(Number(FOR_EVER), instance=1)
    until(lambda: kernel.busy)
    for n in for_seconds(0.3):
        assert [kernel.call(Number(1), instance=i, timeout=W).n for i in (0, 2, 3)] == [n] * 3
        assert other.call(Number(1), timeout=W).n == n
    assert kernel.busy
    kernel.terminate(timeout=0.8)
    assert kernel.stats().dead_lettered == 1


def test_handlers_longer_than_a_lease_lose_nothing(rt: rk.Runtime, machine: Any, until: Callable[..., Any]) -> None:
    kernel = rt.launch(long_or_short, instances=3, **machine)
    for n in range(60):
        kernel.send(Number(2_000_000 if n % 7 == 0 else 1), instance=n % 3)
    got = sorted(kernel.receive(timeout=W).n for _ in range(60))
    assert got == sorted(list(range(1, 21)) * 3)


def test_a_barrier_of_all_instances_is_not_torn_apart(rt: rk.Runtime, backend: str, machine: Any) -> None:
    if backend == "cpu":
        pytest.skip("a barrier of all instances is of devices")
    kernel = rt.launch(together, instances=3, **machine)
    for n in for_seconds(0.5):
        asked = [kernel.ask(Number(1), instance=i) for i in range(3)]
        assert [one.result(timeout=W).n for one in asked] == [n] * 3
