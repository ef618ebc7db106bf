"""Edges while they are used: credits and marks, senders that wait, cycles of kernels."""

from __future__ import annotations

import random
from typing import Any

import pytest
from actors import Gate, Number, Text, echo, recorder, sink
from edges_parts import W, balanced, cause_in, forward, paused_pair

import pyringkernel as rk
from pyringkernel.errors import (
    HandlerError,
    KernelHungError,
    KernelTerminatedError,
    RingFullError,
    UnknownKernelError,
)

S = rk.KernelState


POLICIES = ["fail", "block", "drop_newest", "drop_oldest"]


# -- credits and marks


def test_credits_fall_with_each_message_and_come_back(rt: rk.Runtime, until: Any) -> None:
    credits: list[int] = []

    def send(ctx: rk.Context, msg: Number) -> Number:
        credits.append(ctx.free_slots("target"))
        if msg.n:
            ctx.send("target", msg)
        credits.append(ctx.free_slots("target"))
        return msg

    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)
    source = rt.launch(send, name="source")
    edge = rt.connect(source, target, capacity=4)
    for n in range(1, 5):
        source.call(Number(n), timeout=W)
    assert credits == [4, 3, 3, 2, 2, 1, 1, 0]
    assert (edge.stats().credits, edge.stats().capacity, edge.stats().lanes) == (0, 4, 1)
    target.activate()
    until(lambda: edge.stats().credits == 4)
    credits.clear()
    source.call(Number(0), timeout=W)
    assert credits == [4, 4]


def test_a_sender_that_minds_its_credits_is_never_refused(rt: rk.Runtime) -> None:
    seen: list[int] = []

    def send(ctx: rk.Context, msg: Number) -> Number:
        sent = min(ctx.free_slots("target"), msg.n)
        for _ in range(sent):
            ctx.send("target", msg)
        return Number(sent)

    target = rt.launch(recorder(seen), name="target")
    source = rt.launch(send, name="source")
    rt.connect(source, target, capacity=8)
    sent = sum(source.call(Number(20), timeout=W).n for _ in range(50))
    target.terminate(W)
    assert len(seen) == sent >= 8
    assert source.error_count == 0


def test_credits_towards_nobody_are_none(rt: rk.Runtime) -> None:
    def look(ctx: rk.Context, msg: Number) -> Number:
        return Number(ctx.free_slots("sink"))

    rt.launch(sink)
    assert rt.launch(look).call(Number(1), timeout=W).n == 0  # no edge

    def far(ctx: rk.Context, msg: Number) -> Number:
        return Number(ctx.free_slots("nobody"))

    assert isinstance(cause_in(rt.launch(far)), UnknownKernelError)


def test_an_edge_is_congested_from_its_high_to_its_low_mark(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    def taker(ctx: rk.Context, msg: Number) -> None:
        if msg.n == 6:
            gate(ctx, msg)

    target = rt.launch(taker, name="target", autostart=False)
    source = rt.launch(forward("target"), name="source")
    edge = rt.connect(source, target, capacity=16, high_water=8, low_water=2)
    for n in range(7):
        source.call(Number(n), timeout=W)
        assert not edge.congested
    source.call(Number(7), timeout=W)
    assert edge.congested
    assert edge.stats().congested
    assert "congested" in repr(edge)
    target.activate()
    assert gate.entered.wait(W)  # 0 to 5 are handled, 6 is in hand, 7 waits
    until(lambda: not edge.congested)
    assert edge.stats().in_flight == 2
    for n in range(5):
        source.call(Number(100 + n), timeout=W)
        assert not edge.congested  # up to 7: between the marks it stays what it was
    source.call(Number(105), timeout=W)
    assert edge.congested
    gate.open.set()
    until(lambda: not edge.congested)


def test_an_edge_whose_kernels_have_ended_keeps_its_counts(rt: rk.Runtime) -> None:
    seen, source, target, edge = paused_pair(rt, "drop_newest")
    source.call(Number(10), timeout=W)
    target.activate()
    source.terminate()
    target.terminate()
    s = edge.stats()
    assert (s.accepted, s.delivered, s.dropped, s.in_flight) == (10, 4, 6, 0)
    assert (s.credits, s.congested) == (0, False)


def test_a_kernel_that_took_the_place_of_another_uses_the_same_edge(rt: rk.Runtime, until: Any) -> None:
    old: list[int] = []
    new: list[int] = []
    first = rt.launch(recorder(old), name="target")
    source = rt.launch(forward("target"), name="source")
    edge = rt.connect(source, first, capacity=4)
    for n in range(3):
        source.call(Number(n), timeout=W)
    until(lambda: old == [0, 1, 2])
    first.terminate()
    rt.launch(recorder(new), name="target")
    for n in range(3, 6):
        source.call(Number(n), timeout=W)
    until(lambda: new == [3, 4, 5])
    assert (edge.stats().accepted, edge.stats().lanes) == (6, 1)


# -- a sender that waits is in nobody's way


def test_a_sender_that_waits_does_not_block_others_on_its_worker(backend: str, until: Any) -> None:
    """One worker for all of them."""
    with rk.Runtime(backend=backend, workers=1) as rt:
        seen, source, target, edge = paused_pair(rt, "block", capacity=1)
        other = rt.launch(echo, worker=0)
        source.send(Number(8))
        until(lambda: edge.stats().blocked >= 1)
        assert [other.call(Number(n), timeout=W).n for n in range(200)] == list(range(200))
        assert seen == []
        target.activate()
        until(lambda: seen == list(range(8)))


def test_many_senders_that_wait_for_one_receiver_all_get_through(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)
    sources = []
    for k in range(20):

        def send(ctx: rk.Context, msg: Number, k: int = k) -> None:
            for n in range(5):
                ctx.send("target", Number(1000 * k + 5 * msg.n + n))

        sources.append(rt.launch(send, name=f"s{k}"))
        rt.connect(sources[-1], target, overflow="block", capacity=1)
    for kernel in sources:
        for n in range(4):
            kernel.send(Number(n))
    until(lambda: all(e.stats().blocked for e in rt.edges))
    target.activate()
    until(lambda: len(seen) == 400)
    for k in range(20):
        assert [n - 1000 * k for n in seen if n // 1000 == k] == list(range(20))


def test_an_instance_that_waits_does_not_stop_its_siblings(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    rt.launch(sink, autostart=False)
    rt.launch(recorder(seen), name="open")

    def send(ctx: rk.Context, msg: Number) -> None:
        for _ in range(3):
            ctx.send("sink" if ctx.instance_id() == 0 else "open", msg)

    source = rt.launch(send, name="source", instances=2, publishes_to=["open"])
    edge = rt.connect(source, "sink", overflow="block", capacity=1)
    source.send(Number(1), instance=0)
    until(lambda: edge.stats().blocked >= 1)
    for n in range(10):
        source.send(Number(n), instance=1)
    until(lambda: len(seen) == 30)


def test_a_sender_that_waits_can_be_terminated_and_what_waits_is_a_dead_letter(rt: rk.Runtime) -> None:
    _, source, target, edge = paused_pair(rt, "block", capacity=1)
    assert source.call(Number(3), timeout=W).n == 3
    source.terminate(timeout=0.3)
    assert source.state is S.TERMINATED
    letters = rt.dead_letters.browse(reason=rk.DeadLetterReason.BACKPRESSURE)
    assert [letter.message for letter in letters] == [Number(1), Number(2)]
    assert (edge.stats().accepted, edge.stats().in_flight) == (1, 1)
    target.activate()
    target.terminate()
    assert target.stats().delivered == 1


def test_a_sender_that_waits_learns_that_its_receiver_is_gone(rt: rk.Runtime, until: Any) -> None:
    _, source, target, _ = paused_pair(rt, "block", capacity=1)
    source.call(Number(3), timeout=W)
    target.terminate(timeout=0.3)
    until(lambda: len(rt.dead_letters) == 3)
    reasons = [letter.reason for letter in rt.dead_letters.browse()]
    assert sorted(r.name for r in reasons) == ["TERMINATED", "UNDELIVERABLE", "UNDELIVERABLE"]
    with pytest.raises(HandlerError) as caught:  # it goes on, and finds nobody
        source.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, (KernelTerminatedError, UnknownKernelError))


def test_close_ends_senders_that_wait(backend: str) -> None:
    rt = rk.Runtime(backend=backend)
    _, source, target, _ = paused_pair(rt, "block", capacity=1)
    source.call(Number(5), timeout=W)
    rt.close(timeout=0.5)
    assert [source.state, target.state] == [S.TERMINATED] * 2
    assert rt.dead_letters.stats().total == 5


# -- oneself


@pytest.mark.parametrize("declared", [False, True])
def test_a_kernel_may_send_to_itself_without_an_edge_and_with_one(rt: rk.Runtime, declared: bool, until: Any) -> None:
    seen: list[int] = []

    def count(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)
        if msg.n < 300:
            ctx.send("count", Number(msg.n + 1))

    kernel = rt.launch(count, capacity=2, publishes_to=["count"] if declared else [])
    kernel.send(Number(0))
    until(lambda: len(seen) == 301)
    assert seen == list(range(301))


@pytest.mark.parametrize("capacity", [1, 2, 8])
def test_a_flood_to_oneself_is_refused_when_it_is_too_much_and_loses_nothing_else(
    rt: rk.Runtime, capacity: int, until: Any
) -> None:
    seen: list[int] = []

    def flood(ctx: rk.Context, msg: Number) -> Number | None:
        if msg.n:
            seen.append(msg.n)
            return None
        sent = 0
        try:
            while True:
                ctx.send("flood", Number(sent + 1))
                sent += 1
        except RingFullError:
            return Number(sent)

    kernel = rt.launch(flood, capacity=capacity)
    sent = kernel.call(Number(0), timeout=W).n
    assert sent == 2 * capacity  # in the ring, and beside it
    until(lambda: len(seen) == sent)
    assert seen == list(range(1, sent + 1))
    assert kernel.call(Number(0), timeout=W).n == sent


def test_an_edge_to_oneself_has_the_policy_that_it_was_given(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def again(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)
        if msg.n == 0:
            for n in range(1, 9):
                ctx.send("again", Number(n))

    kernel = rt.launch(again)
    edge = rt.connect(kernel, kernel, overflow="drop_newest", capacity=2)
    kernel.send(Number(0))
    until(lambda: len(seen) == 3)
    assert seen == [0, 1, 2]
    assert (edge.stats().accepted, edge.stats().dropped) == (8, 6)


# -- cycles


def relay(successors: list[str], seen: list[int], refused: list[int], choose: random.Random) -> Any:
    """Passes a message on to one of `successors` until its hops are used up. Counts what does not fit."""

    def pass_on(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)
        if msg.n and successors:
            try:
                ctx.send(choose.choice(successors), Number(msg.n - 1))
            except RingFullError:
                refused.append(msg.n)

    return pass_on


class Graph:
    """Kernels and edges at random; what happened to the messages."""

    def __init__(self, rt: rk.Runtime, seed: int, policies: list[str], kernels: int = 6) -> None:
        choose = random.Random(seed)
        self.seen: list[int] = []
        self.refused: list[int] = []
        self.kernels = []
        names = [f"k{n}" for n in range(kernels)]
        ways: dict[str, list[str]] = {one: choose.sample(names, choose.randint(1, 3)) for one in names}
        for n, name in enumerate(names):
            handler = relay(ways[name], self.seen, self.refused, random.Random(f"{seed} {n}"))
            capacity, instances = choose.choice([1, 2, 4]), choose.choice([1, 1, 2])
            self.kernels.append(rt.launch(handler, name=name, capacity=capacity, instances=instances, autostart=False))
        for source, targets in ways.items():
            for target in targets:
                overflow = choose.choice(policies)
                capacity = choose.choice([2, 4] if overflow == "drop_oldest" else [1, 2])
                rt.connect(source, target, overflow=overflow, capacity=capacity)  # type: ignore[arg-type]
        for kernel in self.kernels:
            kernel.activate()

    def settled(self) -> bool:
        """Nothing waits, beside the rings neither."""
        return all(k.stats().in_flight == 0 and not k.busy for k in self.kernels) and self.accounted()

    def accounted(self) -> bool:
        """Each message that was handled was handed in, passed on, or is counted as lost."""
        stats = [k.stats() for k in self.kernels]
        return sum(s.accepted for s in stats) == len(self.seen) + sum(s.dropped + s.dead_lettered for s in stats)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_cycle_of_edges_that_block_never_stands_still(rt: rk.Runtime, size: int, until: Any) -> None:
    """More messages than all rings hold together walk around."""
    seen: list[int] = []
    refused: list[int] = []
    kernels = []
    for n in range(size):
        handler = relay([f"k{(n + 1) % size}"], seen, refused, random.Random(n))
        kernels.append(rt.launch(handler, name=f"k{n}", capacity=2, autostart=False))
    for n in range(size):
        rt.connect(f"k{n}", f"k{(n + 1) % size}", overflow="block", capacity=1)
    for kernel in kernels:
        kernel.activate()
    messages, hops = 5 * size, 60
    for n in range(messages):
        kernels[n % size].send(Number(hops), timeout=W)
    until(lambda: len(seen) + sum(refused) == messages * (hops + 1))
    assert sorted(set(seen)) == list(range(min(seen), hops + 1))
    for kernel in kernels:
        kernel.terminate(W)
        s = kernel.stats()
        assert balanced(s)
        assert s.in_flight == 0


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_of_edges_that_block_never_stand_still(rt: rk.Runtime, seed: int, until: Any) -> None:
    graph = Graph(rt, seed, ["block"])
    messages, hops = 30, 15
    for n in range(messages):
        graph.kernels[n % len(graph.kernels)].send(Number(hops), timeout=W)
    # A message that was refused with n hops left is not seen another n times.
    until(lambda: len(graph.seen) + sum(graph.refused) == messages * (hops + 1))
    until(graph.settled)
    assert rt.dead_letters.stats().total == 0
    assert all(balanced(e.stats()) for e in rt.edges)


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_of_all_policies_account_for_every_message(rt: rk.Runtime, seed: int, until: Any) -> None:
    graph = Graph(rt, 100 + seed, POLICIES)
    sent = 0
    for n in range(60):
        graph.kernels[n % len(graph.kernels)].send(Number(10), timeout=W)
        sent += 1
    until(graph.settled)
    edges = [e.stats() for e in rt.edges]
    assert all(balanced(s) and s.in_flight == 0 for s in edges)
    totals = rt.telemetry().stats
    assert totals.accepted == sent + sum(s.accepted for s in edges)
    assert balanced(totals)
    assert totals.dropped == sum(s.dropped for s in edges)


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_can_be_closed_at_any_time(backend: str, seed: int) -> None:
    with rk.Runtime(backend=backend, dead_letters=4096) as rt:
        graph = Graph(rt, 200 + seed, POLICIES)
        for n in range(40):
            graph.kernels[n % len(graph.kernels)].try_send(Number(50))
        graph.kernels[seed].deactivate(W)
    for kernel in graph.kernels:
        assert kernel.state is S.TERMINATED
        s = kernel.stats()
        assert balanced(s)
        assert s.in_flight == 0


def test_a_cycle_through_a_paused_kernel_waits_and_goes_on(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []
    refused: list[int] = []
    a = rt.launch(relay(["b"], seen, refused, random.Random(1)), name="a", capacity=4, autostart=False)
    b = rt.launch(relay(["a"], seen, refused, random.Random(2)), name="b", capacity=4, autostart=False)
    rt.connect(a, b, overflow="block", capacity=1)
    rt.connect(b, a, overflow="block", capacity=1)
    a.activate()
    for _ in range(3):
        a.send(Number(20))
    until(lambda: len(seen) == 2)  # one in the ring of b, one beside it
    b.activate()
    until(lambda: len(seen) + sum(refused) == 3 * 21)


def test_what_a_handler_refused_may_be_sent_as_text_instead(rt: rk.Runtime, until: Any) -> None:
    """A full edge leaves the context as it was."""
    rt.launch(sink, autostart=False)

    def report(ctx: rk.Context, msg: Number) -> None:
        try:
            ctx.send("sink", msg)
        except RingFullError as error:
            ctx.send("host", Text(type(error).__name__.encode()))

    source = rt.launch(report)
    rt.connect(source, "sink", capacity=1)
    source.send(Number(1))
    source.send(Number(2))
    assert source.receive(timeout=W).text.rstrip(b"\0") == b"RingFullError"


def test_pausing_a_sender_whose_handler_hangs_says_so(rt: rk.Runtime, gate: Gate) -> None:
    """Waiting for room is not hanging; waiting inside a handler is."""
    kernel = rt.launch(gate, name="stuck")
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    with pytest.raises(KernelHungError, match="stuck"):
        kernel.deactivate(0.02)
    gate.open.set()
