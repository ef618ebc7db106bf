"""Instances: actors that share a handler, each with an inbox and a state of its own. Who gets which message, and in what
order."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
from actors import Gate, Number, Tally, Text, echo, sink, tally
from instances_parts import Order, by_instance, who

import pyringkernel as rk
from pyringkernel.errors import HandlerError, InvalidArgumentError, KernelTerminatedError

S = rk.KernelState


W = 60.0


@rk.message
class Refund:
    n: rk.u64 = 0
    customer: rk.u32 = 0


@rk.message
class Weight:
    customer: rk.f64 = 0.0


@rk.message
class Named:
    name: rk.Bytes[16] = b""
    path: rk.Vec[rk.u16, 8] = ()


# -- what they have of their own


def test_each_instance_knows_its_number(rt: rk.Runtime) -> None:
    kernel = rt.launch(who, instances=5)
    assert kernel.instances == 5
    assert [kernel.call(Number(), timeout=W, instance=i).n for i in range(5)] == list(range(5))


def test_one_instance_is_the_default_and_has_the_number_zero(rt: rk.Runtime) -> None:
    kernel = rt.launch(who)
    assert (kernel.instances, kernel.call(Number(), timeout=W).n) == (1, 0)
    assert kernel.call(Number(), timeout=W, instance=0).n == 0


def test_each_instance_has_a_state_of_its_own(rt: rk.Runtime) -> None:
    kernel = rt.launch(tally, instances=3, state=Tally(0, 100))
    for i in range(3):
        for n in range(i + 1):
            assert kernel.call(Number(10**i), timeout=W, instance=i).n == 100 + (n + 1) * 10**i
    kernel.deactivate()
    assert [(one.seen, one.total) for one in kernel.states] == [(1, 101), (2, 120), (3, 400)]
    assert kernel.state_object == kernel.states[0]
    kernel.activate()
    assert kernel.call(Number(0), timeout=W, instance=2).n == 400


def test_the_initial_state_is_copied_for_each(rt: rk.Runtime) -> None:
    first = Tally(1, 1)
    kernel = rt.launch(tally, instances=4, state=first)
    first.total = 77
    kernel.call(Number(5), timeout=W, instance=1)
    kernel.terminate()
    assert [one.total for one in kernel.states] == [1, 6, 1, 1]
    assert first.total == 77


def test_instances_without_state_have_none(rt: rk.Runtime) -> None:
    assert rt.launch(echo, instances=3).states == [None] * 3


def test_states_survive_their_kernel_and_its_runtime(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(tally, instances=2)
        kernel.call(Number(3), timeout=W, instance=1)
    states = kernel.states
    del kernel, rt
    gc.collect()
    assert [one.total for one in states] == [0, 3]


def test_one_instance_never_handles_two_messages_at_once_and_several_do(rt: rk.Runtime, until: Any) -> None:
    """Each waits inside until all have come: with one worker for all of them that would never happen."""
    inside: list[int] = []
    together = threading.Barrier(4)

    def meet(ctx: rk.Context, msg: Number) -> None:
        me = ctx.instance_id()
        assert me not in inside
        inside.append(me)
        together.wait(W)
        inside.remove(me)

    kernel = rt.launch(meet, instances=4)
    for n in range(12):
        kernel.send(Number(n))
    until(lambda: kernel.stats().delivered + kernel.stats().dead_lettered == 12)
    assert kernel.error_count == 0


def test_an_instance_that_hangs_does_not_stop_the_others(rt: rk.Runtime, gate: Gate) -> None:
    def maybe(ctx: rk.Context, msg: Number) -> Number:
        return gate(ctx, msg) if ctx.instance_id() == 1 else msg

    kernel = rt.launch(maybe, instances=3)
    kernel.send(Number(1), instance=1)
    assert gate.entered.wait(W)
    assert kernel.busy
    for n in range(50):
        assert kernel.call(Number(n), timeout=W, instance=2 * (n % 2)).n == n
    gate.open.set()
    assert kernel.receive(timeout=W) == Number(1)


def test_counts_and_telemetry_of_instances_add_up(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, instances=3)
    for i, count in enumerate([5, 0, 7]):
        for n in range(count):
            kernel.call(Number(n), timeout=W, instance=i)
    assert [t.processed for t in kernel.instance_telemetry()] == [5, 0, 7]
    total = kernel.telemetry()
    assert (total.processed, total.instances, total.handler.count) == (12, 3, 12)
    kernel.terminate()
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.in_flight) == (12, 12, 0)


def test_pausing_pauses_all_instances(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_instance(seen), instances=4)
    kernel.deactivate()
    for n in range(8):
        kernel.send(Number(n))
    assert (seen, kernel.stats().in_flight) == ([], 8)
    kernel.activate()
    until(lambda: len(seen) == 8)


def test_terminating_drains_all_instances(rt: rk.Runtime) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_instance(seen), instances=4, capacity=256)
    for n in range(400):
        kernel.send(Number(n))
    kernel.terminate(W)
    assert sorted(n for _, n in seen) == list(range(400))
    with pytest.raises(KernelTerminatedError):
        kernel.send(Number(1), instance=2)


# -- round robin


def test_round_robin_gives_every_instance_its_share(rt: rk.Runtime) -> None:
    kernel = rt.launch(who, instances=4)
    assert [kernel.call(Number(n), timeout=W).n for n in range(12)] == [0, 1, 2, 3] * 3


def test_round_robin_is_shared_by_all_senders(rt: rk.Runtime, threads: Any) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_instance(seen), instances=5)
    threads.run_all(4, lambda k: [kernel.send(Number(k), timeout=W) for _ in range(50)])
    kernel.terminate(W)
    assert Counter(i for i, _ in seen) == dict.fromkeys(range(5), 40)


def test_round_robin_holds_for_rows_of_an_array_and_for_kernels(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []
    rt.launch(by_instance(seen), name="many", instances=3)
    rows = np.zeros(30, Number.dtype)
    rows["n"] = range(30)
    assert rt.kernels["many"].send_many(rows, timeout=W) == 30
    until(lambda: len(seen) == 30)
    assert Counter(i for i, _ in seen) == dict.fromkeys(range(3), 10)

    def burst(ctx: rk.Context, msg: Number) -> None:
        for n in range(30):
            ctx.send("many", Number(n))

    rt.launch(burst, publishes_to=["many"]).send(Number())
    until(lambda: len(seen) == 60)
    assert Counter(i for i, _ in seen) == dict.fromkeys(range(3), 20)


def test_an_address_does_not_disturb_the_round(rt: rk.Runtime) -> None:
    kernel = rt.launch(who, instances=3)
    assert [kernel.call(Number(), timeout=W, instance=2).n for _ in range(5)] == [2] * 5
    assert [kernel.call(Number(), timeout=W).n for _ in range(3)] == [0, 1, 2]


# -- by key


def test_equal_keys_go_to_one_instance_whoever_sends_them(rt: rk.Runtime, threads: Any) -> None:
    seen: list[tuple[int, int]] = []

    def record(ctx: rk.Context, msg: Order) -> None:
        seen.append((ctx.instance_id(), msg.customer))

    def passer(ctx: rk.Context, msg: Number) -> None:
        ctx.send("keyed", Order(msg.n, 1))

    keyed = rt.launch(record, name="keyed", instances=7, routing="key:customer", capacity=2048)
    relay = rt.launch(passer, publishes_to=["keyed"])
    rows = np.zeros(100, Order.dtype)
    rows["customer"] = range(100)

    def send(k: int) -> None:
        for customer in range(100):
            keyed.send(Order(customer, k), timeout=W)
            relay.send(Number(customer), timeout=W)
        assert keyed.send_many(rows, timeout=W) == 100

    threads.run_all(3, send)
    relay.terminate(W)
    keyed.terminate(W)
    assert len(seen) == 3 * 300
    homes: dict[int, set[int]] = {}
    for instance, customer in seen:
        homes.setdefault(customer, set()).add(instance)
    assert all(len(one) == 1 for one in homes.values())
    assert len({instance for instance, _ in seen}) == 7  # and they are spread


def test_only_the_key_decides(rt: rk.Runtime) -> None:
    def where(ctx: rk.Context, msg: Order) -> Number:
        return Number(ctx.instance_id())

    kernel = rt.launch(where, instances=8, routing="key:customer")
    assert len({kernel.call(Order(5, n), timeout=W).n for n in range(40)}) == 1


def test_one_key_in_several_classes_is_one_key(rt: rk.Runtime) -> None:
    """At different offsets."""

    def where(ctx: rk.Context, msg: Order | Refund) -> Number:
        return Number(ctx.instance_id())

    kernel = rt.launch(where, instances=8, routing="key:customer")
    for customer in range(50):
        there = kernel.call(Order(customer, 3), timeout=W).n
        assert kernel.call(Refund(4, customer), timeout=W).n == there


@pytest.mark.parametrize("field", ["name", "path"])
def test_a_key_may_be_an_array(rt: rk.Runtime, field: str) -> None:
    """Equal ones are equal whatever was in the field before."""

    def where(ctx: rk.Context, msg: Named) -> Number:
        return Number(ctx.instance_id())

    kernel = rt.launch(where, instances=64, routing=f"key:{field}")
    homes = []
    for n in range(30):
        fresh = Named(b"%d" % n, [n])
        used = Named(b"x" * 16, [9] * 8)
        used.name = b"%d" % n
        used.path = [n]
        assert getattr(used, field) == getattr(fresh, field)
        homes.append(kernel.call(fresh, timeout=W).n)
        assert kernel.call(used, timeout=W).n == homes[-1]
    assert len(set(homes)) > 5


def test_keys_that_differ_in_one_bit_are_spread(rt: rk.Runtime) -> None:
    kernel = rt.launch(who, instances=16, routing="key:n")
    for shift in (0, 8, 32, 57):
        homes = Counter(kernel.call(Number(n << shift), timeout=W).n for n in range(128))
        assert len(homes) > 10
        assert max(homes.values()) < 40


def test_an_address_overrules_the_key(rt: rk.Runtime) -> None:
    kernel = rt.launch(who, instances=4, routing="key:n")
    assert [kernel.call(Number(5), timeout=W, instance=i).n for i in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("accepts", "routing", "says"),
    [
        ([Order], "key:nothing", "nothing.*customer"),
        ([Order, Text], "key:customer", "Text.*customer.*text"),
        ([Order], "key:", "''"),
        ([Order, Weight], "key:customer", "customer.*one type"),
        ([Order], "random", "random.*round_robin.*key:"),
        ([Order], "", "round_robin"),
        ([Order], None, "None"),
        ([Order], 5, "5"),
        ([Order], "KEY:customer", "key:<field>"),
        ([Order], "key:header", "header"),
    ],
    ids=str,
)
def test_a_routing_that_cannot_be_is_refused(rt: rk.Runtime, accepts: Any, routing: Any, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        rt.launch(lambda ctx, msg: None, name="it", accepts=accepts, routing=routing)
    assert rt.kernels == {}


# -- by address


@pytest.mark.parametrize("instance", [-1, 3, 2**40, "0", 1.0, b"1"], ids=repr)
def test_an_instance_that_is_not_there_is_refused(rt: rk.Runtime, instance: Any) -> None:
    kernel = rt.launch(sink, instances=3)
    rows = np.zeros(1, Number.dtype)
    for use in (
        lambda: kernel.send(Number(), instance=instance),
        lambda: kernel.try_send(Number(), instance=instance),
        lambda: kernel.call(Number(), instance=instance),
        lambda: kernel.ask(Number(), instance=instance),
        lambda: kernel.send_many(rows, instance=instance),
    ):
        with pytest.raises(InvalidArgumentError, match="instance: found .*need"):
            use()
    assert kernel.stats().accepted == 0


@pytest.mark.parametrize("instance", [-1, 3, 2**20, 2**40])
def test_a_handler_that_names_an_instance_that_is_not_there_learns_it(rt: rk.Runtime, instance: int) -> None:
    rt.launch(sink, instances=3)

    def wrong(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("sink", msg, instance=instance)
        return msg

    kernel = rt.launch(wrong, publishes_to=["sink"])
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert f"found {instance}" in str(caught.value.__cause__)
    assert kernel.state is S.ACTIVE


def test_a_handler_sends_to_the_instance_that_it_names(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []
    rt.launch(by_instance(seen), name="many", instances=4)

    def spread(ctx: rk.Context, msg: Number) -> None:
        for i in (3, 1, 1, 0, 2):
            ctx.send("many", Number(i), instance=i)

    rt.launch(spread, publishes_to=["many"]).send(Number())
    until(lambda: len(seen) == 5)
    assert all(instance == n for instance, n in seen)


def test_instances_of_one_kernel_send_to_each_other(rt: rk.Runtime, until: Any) -> None:
    """A token goes around; nobody had to be declared."""
    seen: list[int] = []

    def pass_on(ctx: rk.Context, msg: Number) -> None:
        seen.append(ctx.instance_id())
        if msg.n:
            ctx.send("pass_on", Number(msg.n - 1), instance=(ctx.instance_id() + 1) % 5)

    rt.launch(pass_on, instances=5, capacity=2).send(Number(99), instance=0)
    until(lambda: len(seen) == 100)
    assert seen == list(range(5)) * 20


def test_a_reply_goes_to_the_instance_that_asked(rt: rk.Runtime, until: Any) -> None:
    back: list[tuple[int, int]] = []

    def asker(ctx: rk.Context, msg: Number) -> None:
        if msg.n < 1000:
            ctx.send("echo", Number(1000 + ctx.instance_id()))
        else:
            back.append((ctx.instance_id(), msg.n - 1000))

    rt.launch(echo, instances=3)
    kernel = rt.launch(asker, instances=4, publishes_to=["echo"])
    for n in range(40):
        kernel.send(Number(n))
    until(lambda: len(back) == 40)
    assert all(instance == asked for instance, asked in back)


def test_the_source_of_a_message_names_the_instance_that_sent_it(rt: rk.Runtime, until: Any) -> None:
    sources: set[int] = set()

    def last(ctx: rk.Context, msg: Number) -> None:
        sources.add(msg.header.source)

    def first(ctx: rk.Context, msg: Number) -> None:
        ctx.send("last", msg)

    rt.launch(last)
    kernel = rt.launch(first, instances=3, publishes_to=["last"])
    for i in range(3):
        kernel.send(Number(i), instance=i)
    until(lambda: len(sources) == 3)
    assert kernel.address in sources
