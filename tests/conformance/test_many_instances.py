"""Instances: order, many of them, and their workers."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Gate, Number, echo, recorder, sink, tally
from instances_parts import Order, by_instance, who

import pyringkernel as rk
from pyringkernel.errors import CapacityError, InvalidArgumentError

S = rk.KernelState


W = 60.0


# -- order


@pytest.mark.parametrize("capacity", [1, 4, 1024])
def test_order_holds_for_each_sender_and_instance(rt: rk.Runtime, capacity: int, threads: Any) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_instance(seen), instances=3, capacity=capacity)

    def send(k: int) -> None:
        for n in range(100):
            kernel.send(Number(1000 * k + n), timeout=W, instance=(n * n + k) % 3)

    threads.run_all(4, send)
    kernel.terminate(W)
    for k in range(4):
        for i in range(3):
            mine = [n - 1000 * k for instance, n in seen if instance == i and n // 1000 == k]
            assert mine == [n for n in range(100) if (n * n + k) % 3 == i]


def test_order_holds_along_a_chain_of_instances(rt: rk.Runtime, until: Any) -> None:
    """A key keeps its way through several stages, and with it its order."""
    seen: list[tuple[int, int]] = []

    def stage(target: str) -> Any:
        def pass_on(ctx: rk.Context, msg: Order) -> None:
            ctx.send(target, msg)

        return pass_on

    def last(ctx: rk.Context, msg: Order) -> None:
        seen.append((msg.customer, msg.n))

    rt.launch(last, instances=5, routing="key:customer")
    rt.launch(stage("last"), name="middle", instances=3, routing="key:customer", publishes_to=["last"])
    first = rt.launch(stage("middle"), name="first", instances=4, routing="key:customer", publishes_to=["middle"])
    for target in (("first", "middle"), ("middle", "last")):
        rt.connect(*target, overflow="block", capacity=2)
    for n in range(40):
        for customer in range(10):
            first.send(Order(customer, n), timeout=W)
    until(lambda: len(seen) == 400)
    for customer in range(10):
        assert [n for one, n in seen if one == customer] == list(range(40))


def test_what_an_instance_sends_to_the_host_stays_in_order_replies_included(rt: rk.Runtime) -> None:
    def talk(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("host", Number(10 * msg.n))
        ctx.reply(Number(10 * msg.n + 1))
        ctx.send("host", Number(10 * msg.n + 2))
        return Number(10 * msg.n + 3)

    kernel = rt.launch(talk, capacity=2)
    sent = 0
    got: list[int] = []
    while len(got) < 120:
        if sent < 30:
            sent += kernel.try_send(Number(sent))
        got.append(kernel.receive(timeout=W).n)
    assert got == [10 * n + k for n in range(30) for k in range(4)]


# -- many


def test_twenty_thousand_idle_instances_come_and_go(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(tally, instances=20_000)
        assert kernel.instances == 20_000
        for i in (0, 19_999, 7):
            assert kernel.call(Number(i), timeout=W, instance=i).n == i
        assert len(kernel.instance_telemetry()) == 20_000
    assert kernel.state is S.TERMINATED
    assert kernel.stats().delivered == 3


def test_all_of_many_instances_can_be_woken_and_paused(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_instance(seen), instances=5000, capacity=2)
    for n in range(5000):
        kernel.send(Number(n))
    until(lambda: len(seen) == 5000)
    assert sorted(seen) == [(n, n) for n in range(5000)]
    kernel.deactivate(W)
    for n in range(5000):
        kernel.send(Number(n))
    assert kernel.stats().in_flight == 5000
    kernel.activate(W)
    until(lambda: len(seen) == 10_000)


def test_many_kernels_of_one_instance_come_and_go(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:
        kernels = [rt.launch(echo, name=f"k{n}") for n in range(500)]
        assert [k.call(Number(n), timeout=W).n for n, k in enumerate(kernels)] == list(range(500))
    assert {k.state for k in kernels} == {S.TERMINATED}


@pytest.mark.parametrize("instances", [0, -1, 2**20 - 1, 2**70, 1.0, "2", None, True], ids=repr)
def test_a_number_of_instances_that_cannot_be_is_refused(rt: rk.Runtime, instances: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="instances.*found.*need 1 to"):
        rt.launch(sink, instances=instances)
    assert rt.kernels == {}


def test_the_capacity_of_each_of_many_instances_is_checked_at_once(rt: rk.Runtime) -> None:
    with pytest.raises(CapacityError):
        rt.launch(sink, instances=1000, capacity=3)
    assert rt.kernels == {}


# -- workers


def test_a_kernel_can_be_pinned_to_each_worker_and_to_no_other(backend: str) -> None:
    with rk.Runtime(backend=backend, workers=3) as rt:
        assert rt.workers == 3
        for worker in range(3):
            kernel = rt.launch(who, name=f"k{worker}", instances=4, worker=worker)
            assert [kernel.call(Number(), timeout=W).n for _ in range(8)] == [0, 1, 2, 3] * 2
        for worker in (-1, 3, 2**40, 1.0, "0", True):
            with pytest.raises(InvalidArgumentError, match="worker.*0 to 2"):
                rt.launch(sink, worker=worker)  # type: ignore[arg-type]


def test_pinned_neighbours_of_a_handler_that_blocks_go_on(backend: str, gate: Gate) -> None:
    with rk.Runtime(backend=backend, workers=1) as rt:
        rt.launch(gate, name="slow", worker=0).send(Number(1))
        assert gate.entered.wait(W)
        neighbour = rt.launch(echo, worker=0)
        assert [neighbour.call(Number(n), timeout=W).n for n in range(50)] == list(range(50))
        gate.open.set()


@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_does_the_same(backend: str, workers: int, pin: bool, threads: Any) -> None:
    with rk.Runtime(backend=backend, workers=workers, pin_workers=pin) as rt:
        seen: list[int] = []
        last = rt.launch(recorder(seen), name="last", instances=3)

        def pass_on(ctx: rk.Context, msg: Number) -> Number:
            ctx.send("last", msg)
            return msg

        first = rt.launch(pass_on, instances=5, publishes_to=["last"])
        threads.run_all(3, lambda k: [first.call(Number(100 * k + n), timeout=W) for n in range(60)])
        first.terminate(W)
        last.terminate(W)
        assert sorted(seen) == [100 * k + n for k in range(3) for n in range(60)]
