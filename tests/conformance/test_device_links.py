"""Kernels that send to each other where a device may carry the messages in its own memory: what is promised holds there
too. On a CPU nothing is carried so, and on a device everything is that can be: `linked` says how many."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from actors import Number, Tally, recorder

import pyringkernel as rk

W = 60.0
ON_DEVICE = os.environ.get("RK_TEST_BACKENDS", "cpu") != "cpu"


@rk.message
class Item:
    source: rk.u32 = 0
    n: rk.u64 = 0


@rk.message
class Go:
    first: rk.u64 = 0
    count: rk.u64 = 0
    instance: rk.u32 = 0
    priority: rk.u32 = 1
    base: rk.u32 = 0


@rk.state
class Sent:
    count: rk.u64
    handled: rk.u64


@rk.state
class Seen:
    count: rk.u64
    total: rk.u64
    reordered: rk.u64
    next: rk.Array[rk.u64, 128]


@rk.message
class Ball:
    left: rk.u32 = 0
    hits: rk.u32 = 0


@rk.kernel(publishes_to=["target"])
def stream(ctx: rk.Context, state: Sent, msg: Go) -> None:
    """n, n + 1, ... to any instance of the target; what cannot be sent fails the message in hand."""
    state.handled += 1
    for i in range(msg.count):
        ctx.send("target", Item(source=msg.base + ctx.instance_id(), n=msg.first + i))
        state.count += 1


@rk.kernel(publishes_to=["target"])
def to_one(ctx: rk.Context, state: Sent, msg: Go) -> None:
    state.handled += 1
    for i in range(msg.count):
        ctx.send(
            "target", Item(source=ctx.instance_id(), n=msg.first + i), instance=msg.instance, priority=msg.priority
        )
        state.count += 1


@rk.kernel(id="target")
def check(ctx: rk.Context, state: Seen, msg: Item) -> None:
    """Counts; what has a smaller number than the one before from the same source came out of order."""
    state.count += 1
    state.total += msg.n
    if msg.n < state.next[msg.source]:
        state.reordered += 1
    state.next[msg.source] = msg.n + 1


@rk.kernel(id="target")
def fragile(ctx: rk.Context, state: Seen, msg: Item) -> None:
    state.count += 1
    assert msg.n % 10 != 7, "seven"


def start(rt: rk.Runtime, engine: Any, source: Any = stream, target: Any = check, **options: Any) -> Any:
    to = rt.launch(target, **options, **engine)
    return rt.launch(source, **engine), to


def totals(kernel: rk.Kernel) -> Any:
    """States of a kernel that rests."""
    return list(kernel.states)


def paused(*kernels: rk.Kernel) -> None:
    for kernel in kernels:
        kernel.deactivate(timeout=W)


def expect_linked(kernel: rk.Kernel, at_least: int = 1, at_most: int | None = None) -> None:
    found = kernel.telemetry().linked
    if not ON_DEVICE:
        assert found == 0
        return
    assert found >= at_least
    assert at_most is None or found <= at_most


def balanced(stats: Any) -> bool:
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)


def settled(rt: rk.Runtime, until: Any) -> Any:
    until(lambda: rt.telemetry().stats.in_flight == 0)
    stats = rt.telemetry().stats
    assert balanced(stats)
    return stats


# -- what goes by a link


def test_a_stream_arrives_whole_in_order_and_without_the_host(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine)
    for first in range(0, 1000, 50):
        source.send(Go(first, 50))
    until(lambda: target.telemetry().processed == 1000)
    expect_linked(target, 1000)
    (edge,) = rt.edges
    stats = edge.stats()
    assert (stats.accepted, stats.delivered, stats.in_flight) == (1000, 1000, 0)
    assert stats.linked == (1000 if ON_DEVICE else 0)
    assert stats.credits == stats.capacity
    paused(source, target)
    assert (source.state_object.count, target.state_object.count) == (1000, 1000)
    assert target.state_object.reordered == 0
    assert target.state_object.total == sum(range(1000))
    settled(rt, until)


def test_two_kernels_play_with_each_other(rt: rk.Runtime, engine: Any, until: Any) -> None:
    @rk.kernel(id="left", publishes_to=["right"])
    def left(ctx: rk.Context, msg: Ball) -> None:
        if msg.left == 0:
            ctx.send("host", Ball(0, msg.hits))
        else:
            ctx.send("right", Ball(msg.left - 1, msg.hits + 1))

    @rk.kernel(id="right", publishes_to=["left"])
    def right(ctx: rk.Context, msg: Ball) -> None:
        if msg.left == 0:
            ctx.send("host", Ball(0, msg.hits))
        else:
            ctx.send("left", Ball(msg.left - 1, msg.hits + 1))

    ends = [rt.launch(one, autostart=False, **engine) for one in (left, right)]
    for end in ends:
        end.activate(timeout=W)
    for _ in range(3):
        ends[0].send(Ball(400, 0))
        assert ends[0].receive(timeout=W) == Ball(0, 400)
    expect_linked(ends[0], 600)
    expect_linked(ends[1], 600)


def test_every_instance_to_every_instance(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, instances=3, **engine)
    source = rt.launch(to_one, instances=3, **engine)
    for round_ in range(5):
        for of in range(3):
            for to in range(3):
                source.send(Go(first=round_ * 20, count=20, instance=to), instance=of)
    until(lambda: target.telemetry().processed == 5 * 9 * 20)
    expect_linked(target, 5 * 9 * 20)
    paused(source, target)
    assert [state.count for state in totals(target)] == [300] * 3
    assert all(state.reordered == 0 for state in totals(target))


def test_what_any_instance_may_have_is_dealt_out(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine, instances=4)
    source.send(Go(0, 400))
    until(lambda: target.telemetry().processed == 400)
    expect_linked(target, 390)
    paused(source, target)
    assert sum(state.count for state in totals(target)) == 400
    assert all(90 <= state.count <= 110 for state in totals(target))


def test_a_message_of_a_link_knows_where_it_comes_from_and_may_be_answered(
    rt: rk.Runtime, engine: Any, until: Any
) -> None:
    @rk.kernel(id="squares")
    def squares(ctx: rk.Context, msg: Number) -> Number:
        return Number(msg.n * msg.n)

    @rk.kernel(publishes_to=["squares"])
    def sums(ctx: rk.Context, state: Tally, msg: Number | Go) -> None:
        if isinstance(msg, Go):
            state.seen = msg.count
            state.total = 0
            for i in range(msg.count):
                ctx.send("squares", Number(i))
        else:
            state.seen -= 1
            state.total += msg.n
            if state.seen == 0:
                ctx.send("host", Number(state.total))

    to = rt.launch(squares, **engine)
    kernel = rt.launch(sums, **engine)
    for count in (1, 10, 200):
        kernel.send(Go(count=count))
        assert kernel.receive(timeout=W) == Number(sum(i * i for i in range(count)))
    expect_linked(to, 211)


def test_other_priorities_and_receivers_that_the_host_has_to_look_at_for_go_by_it(
    rt: rk.Runtime, engine: Any, until: Any
) -> None:
    target = rt.launch(check, dedup=16, **engine)
    source = rt.launch(to_one, **engine)
    source.send(Go(0, 10, 0, 1))
    until(lambda: target.telemetry().processed == 10)
    expect_linked(target, 0, 0)
    target.terminate(timeout=W)
    target = rt.launch(check, **engine)
    source.send(Go(0, 10, 0, 3))
    until(lambda: target.telemetry().processed == 10)
    expect_linked(target, 0, 0)
    source.send(Go(0, 10, 0, 1))
    until(lambda: target.telemetry().processed == 20)
    expect_linked(target, 10, 10)


def test_a_kernel_of_python_gets_what_a_linked_one_would(rt: rk.Runtime, engine: Any, until: Any) -> None:
    seen: list[int] = []

    @rk.kernel(publishes_to=["target"])
    def forward(ctx: rk.Context, msg: Number) -> None:
        ctx.send("target", msg)

    rt.launch(recorder(seen), name="target")
    kernel = rt.launch(forward, **engine)
    for n in range(20):
        kernel.send(Number(n))
    until(lambda: seen == list(range(20)))


# -- full


def test_a_full_link_fails_the_message_and_has_the_capacity_of_its_edge(
    rt: rk.Runtime, engine: Any, until: Any
) -> None:
    target = rt.launch(check, autostart=False, **engine)
    source = rt.launch(stream, autostart=False, **engine)
    edge = rt.connect(source, target, capacity=8)
    source.activate(timeout=W)
    source.send(Go(0, 20))
    until(lambda: source.error_count == 1)
    assert "inbox is full" in rt.dead_letters.drain()[0].error
    stats = edge.stats()
    assert (stats.accepted, stats.in_flight, stats.credits) == (8, 8, 0)
    assert target.telemetry().in_flight == 8
    assert edge.congested
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 8)
    source.send(Go(8, 4))
    until(lambda: target.telemetry().processed == 12)
    assert not edge.congested
    expect_linked(target, 12)
    paused(source, target)
    assert source.state_object.count == 12
    assert target.state_object.reordered == 0


def test_a_link_that_drops_the_newest_counts_them(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, autostart=False, **engine)
    source = rt.launch(stream, autostart=False, **engine)
    edge = rt.connect(source, target, overflow="drop_newest", capacity=4)
    source.activate(timeout=W)
    source.send(Go(0, 10))
    until(lambda: source.telemetry().processed == 1)
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 4)
    stats = edge.stats()
    assert (stats.accepted, stats.delivered, stats.dropped, stats.in_flight) == (10, 4, 6, 0)
    assert balanced(stats)
    seen = target.telemetry()
    assert (seen.accepted, seen.dropped) == (10, 6)
    assert source.error_count == 0
    expect_linked(target, 4)
    paused(target)
    assert target.state_object.total == 0 + 1 + 2 + 3
    settled(rt, until)


def test_credits_are_those_of_the_link(rt: rk.Runtime, engine: Any, until: Any) -> None:
    @rk.kernel(publishes_to=["target"])
    def look(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("target", Item(0, msg.n))
        return Number(ctx.free_slots("target"))

    target = rt.launch(check, autostart=False, capacity=8, **engine)
    kernel = rt.launch(look, autostart=False, **engine)
    kernel.activate(timeout=W)
    assert [kernel.call(Number(n), timeout=W).n for n in range(5)] == [7, 6, 5, 4, 3]
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 5)
    assert kernel.call(Number(5), timeout=W).n >= 7


def test_a_sender_of_an_edge_that_blocks_waits_with_its_next_message(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, autostart=False, **engine)
    source = rt.launch(stream, autostart=False, capacity=16, **engine)
    edge = rt.connect(source, target, overflow="block", capacity=4)
    source.activate(timeout=W)
    for first in range(0, 60, 6):
        source.send(Go(first, 6))
    until(lambda: edge.stats().blocked >= 1)
    assert source.telemetry().processed == 1
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 60)
    until(lambda: source.telemetry().in_flight == 0)
    expect_linked(target, 60)
    paused(source, target)
    assert source.error_count == 0
    assert target.state_object.reordered == 0
    assert edge.stats().blocked >= 1
    settled(rt, until)


def test_what_does_not_fit_beside_a_ring_that_blocks_fails_the_message(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, autostart=False, **engine)
    source = rt.launch(stream, autostart=False, capacity=8, **engine)
    rt.connect(source, target, overflow="block", capacity=4)
    source.activate(timeout=W)
    source.send(Go(0, 100))
    until(lambda: source.error_count == 1)
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 12)
    paused(source, target)
    assert (source.state_object.count, target.state_object.reordered) == (12, 0)


@pytest.mark.parametrize("size", [2, 3])
def test_a_cycle_of_links_that_block_never_stands_still(rt: rk.Runtime, engine: Any, until: Any, size: int) -> None:
    """Each ball becomes two until it is used up: all of them wait for room in the next one's ring."""

    def player(name: str, next_name: str) -> Any:
        @rk.kernel(id=name, publishes_to=[next_name])
        def play(ctx: rk.Context, state: Tally, msg: Ball) -> None:
            state.seen += 1
            if msg.left > 0:
                ctx.send(next_name, Ball(msg.left - 1, msg.hits))
                ctx.send(next_name, Ball(msg.left - 1, msg.hits))

        return play

    names = [f"p{n}" for n in range(size)]
    ring = [player(name, names[(n + 1) % size]) for n, name in enumerate(names)]
    kernels = [rt.launch(one, autostart=False, capacity=1024, **engine) for one in ring]
    for n, kernel in enumerate(kernels):
        rt.connect(kernel, kernels[(n + 1) % size], overflow="block", capacity=2)
    for kernel in kernels:
        kernel.activate(timeout=W)
    for kernel in kernels:
        kernel.send(Ball(7))
    until(lambda: sum(kernel.telemetry().processed for kernel in kernels) == size * (2**8 - 1))
    settled(rt, until)
    assert all(kernel.error_count == 0 for kernel in kernels)
    for kernel in kernels:
        expect_linked(kernel, 100)


def test_a_sender_that_waits_can_be_paused_and_ended(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, autostart=False, **engine)
    source = rt.launch(stream, autostart=False, capacity=16, **engine)
    edge = rt.connect(source, target, overflow="block", capacity=2)
    source.activate(timeout=W)
    for first in range(0, 30, 6):
        source.send(Go(first, 6))
    until(lambda: edge.stats().blocked >= 1)
    source.deactivate(timeout=W)
    source.activate(timeout=W)
    assert source.telemetry().processed == 1
    source.terminate(timeout=4.0)
    assert source.telemetry().processed == 1
    target.terminate(timeout=W)
    stats = settled(rt, until)
    assert rt.dead_letters.stats().total == 4 + 6
    assert stats.dead_lettered <= 4 + 6


# -- pauses, ends, replacements


def test_a_paused_receiver_keeps_what_comes(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine)
    source.send(Go(0, 10))
    until(lambda: target.telemetry().processed == 10)
    for first in range(10, 60, 10):
        paused(target)
        source.send(Go(first, 10))
        until(lambda: target.telemetry().in_flight == 10)
        assert target.state_object.count == first
        target.activate(timeout=W)
        until(lambda: target.telemetry().in_flight == 0)
    paused(source)
    source.send(Go(60, 10))
    source.activate(timeout=W)
    until(lambda: target.telemetry().processed == 70)
    expect_linked(target, 70)
    paused(target)
    assert target.state_object.reordered == 0


def test_a_receiver_that_is_terminated_handles_what_it_has(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine)
    source.send(Go(0, 500))
    until(lambda: source.telemetry().processed == 1)
    target.terminate(timeout=W)
    assert target.telemetry().processed == 500
    assert target.state_object.count == 500
    assert not rt.dead_letters.drain()
    source.send(Go(500, 1))
    until(lambda: source.error_count == 1)
    settled(rt, until)


def test_what_a_paused_receiver_has_is_a_dead_letter_when_it_is_terminated(
    rt: rk.Runtime, engine: Any, until: Any
) -> None:
    source, target = start(rt, engine)
    source.send(Go(0, 5))
    until(lambda: target.telemetry().processed == 5)
    paused(target)
    source.send(Go(5, 20))
    until(lambda: source.telemetry().processed == 2)
    target.terminate(timeout=W)
    letters = rt.dead_letters.drain()
    assert [letter.reason for letter in letters] == [rk.DeadLetterReason.TERMINATED] * 20
    assert {letter.kernel for letter in letters} == {"target"}
    assert settled(rt, until).dead_lettered == 20


def test_a_dead_letter_of_a_link_can_be_replayed(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine, target=fragile, max_failures=64)
    source.send(Go(0, 20))
    until(lambda: target.telemetry().failed == 2)
    expect_linked(target, 20)
    assert [letter.reason for letter in rt.dead_letters.browse()] == [rk.DeadLetterReason.HANDLER_FAILED] * 2
    assert rt.dead_letters.replay() == 2
    until(lambda: target.telemetry().failed == 4)
    settled(rt, until)


def test_a_sender_that_ends_leaves_what_it_sent(rt: rk.Runtime, engine: Any, until: Any) -> None:
    target = rt.launch(check, **engine)
    for life in range(4):
        source = rt.launch(stream, **engine)
        paused(target)
        source.send(Go(life * 50, 50))
        source.terminate(timeout=W)
        assert target.telemetry().in_flight == 50
        target.activate(timeout=W)
        until(lambda: target.telemetry().in_flight == 0)
    assert target.telemetry().processed == 200
    expect_linked(target, 200)
    (edge,) = rt.edges
    assert edge.stats().linked == (200 if ON_DEVICE else 0)
    paused(target)
    assert target.state_object.reordered == 0
    settled(rt, until)


def test_a_successor_is_linked_anew_whatever_its_size(rt: rk.Runtime, engine: Any, until: Any) -> None:
    """The first messages of a successor go by the host, until the sender has heard of the change."""
    lives = (1, 1, 3, 2)
    target = rt.launch(check, instances=lives[0], **engine)
    source = rt.launch(stream, **engine)
    handled = 0

    def all_linked(life: int) -> bool:
        before = target.telemetry()
        source.send(Go(life * 10000 + before.processed, 20))
        until(lambda: target.telemetry().processed == before.processed + 20)
        return not ON_DEVICE or target.telemetry().linked - before.linked == 20

    for life in range(len(lives)):
        until(lambda life=life: all_linked(life))
        paused(target)
        assert all(state.reordered == 0 for state in totals(target))
        handled += sum(state.count for state in totals(target))
        target.terminate(timeout=W)
        if life + 1 < len(lives):
            target = rt.launch(check, instances=lives[life + 1], **engine)
    paused(source)
    assert source.state_object.count == handled
    settled(rt, until)


def test_a_receiver_that_fails_leaves_letters(rt: rk.Runtime, engine: Any, until: Any) -> None:
    source, target = start(rt, engine, target=fragile, max_failures=2)
    source.send(Go(0, 200))
    until(lambda: target.state is rk.KernelState.FAILED)
    until(lambda: source.telemetry().in_flight == 0)
    stats = settled(rt, until)
    paused(source)
    sent = source.state_object.count
    letters = rt.dead_letters.stats().total
    handled = target.telemetry().processed - target.telemetry().failed
    assert handled + letters - (1 if source.error_count else 0) == sent
    assert stats.dead_lettered == letters


def test_a_supervised_receiver_begins_anew_and_loses_nothing(rt: rk.Runtime, engine: Any, until: Any) -> None:
    supervisor = rt.supervisor(intensity=1000)
    target = rt.launch(fragile, supervisor=supervisor, **engine)
    source = rt.launch(stream, **engine)
    source.send(Go(0, 100))
    until(lambda: target.telemetry().processed == 100)
    until(lambda: target.restarts == 10)
    expect_linked(target, 100)
    seen = target.telemetry()
    assert (seen.failed, seen.in_flight) == (10, 0)
    settled(rt, until)


def test_a_snapshot_has_what_waits_in_links(rt: rk.Runtime, engine: Any, until: Any, backend: str) -> None:
    source, target = start(rt, engine, instances=2)
    source.send(Go(0, 20))
    until(lambda: target.telemetry().processed == 20)
    paused(target)
    source.send(Go(20, 31))
    until(lambda: source.telemetry().processed == 2)
    snap = target.snapshot()
    assert snap.messages == 31
    target.activate(timeout=W)
    until(lambda: target.telemetry().processed == 51)
    with rk.Runtime(backend=backend) as later:
        again = later.launch(check, instances=2, restore=snap, **engine)
        until(lambda: again.telemetry().processed == 31)
        paused(again)
        assert sum(state.count for state in totals(again)) == 51
        assert sum(state.total for state in totals(again)) == sum(range(51))
        assert all(state.reordered == 0 for state in totals(again))


# -- everything at once


@pytest.mark.parametrize("seed", range(4))
def test_every_message_is_handled_or_a_letter_whatever_is_done_to_the_kernels(
    rt: rk.Runtime, engine: Any, until: Any, seed: int
) -> None:
    dice = random.Random(seed)
    instances = dice.choice((1, 2))
    capacity, overflow = dice.choice((8, 64, 1024)), dice.choice(("fail", "block"))
    handled = reordered = sent = failed = 0
    targets: list[rk.Kernel] = []
    sources = []

    def launch_target() -> rk.Kernel:
        targets.append(rt.launch(check, instances=dice.choice((1, 2)), capacity=capacity, **engine))
        return targets[-1]

    def launch_source(name: str) -> rk.Kernel:
        options = {"name": name, "instances": instances, "max_failures": 64, "failure_window": 0.001}
        sources.append(rt.launch(stream, **options, **engine))
        return sources[-1]

    def send(source: rk.Kernel, count: int) -> None:
        """Each life of a source is a stream of its own."""
        source.send(Go(first, count, base=2 * sources.index(source)))

    target = launch_target()
    active = [launch_source("a"), launch_source("b")]
    for source in active:
        rt.connect(source, target, overflow=overflow, capacity=capacity)
    first = 0
    for _ in range(40):
        for source in active:
            send(source, dice.randrange(30))
        first += 30
        match dice.randrange(10):
            case 0 | 1:
                target.deactivate(timeout=W)
                for source in active:
                    send(source, 10)
                first += 10
                target.activate(timeout=W)
            case 2:
                target.terminate(timeout=W)
                target = launch_target()
            case 3:
                target.deactivate(timeout=W)
                target.terminate(timeout=W)
                target = launch_target()
            case 4:
                source = dice.choice(active)
                source.deactivate(timeout=W)
                source.activate(timeout=W)
            case 5:
                active[0].terminate(timeout=W)
                active[0] = launch_source("a")
            case 6:
                target.snapshot()
            case _:
                pass
    stats = settled(rt, until)
    for source in active:
        source.terminate(timeout=W)
    target.terminate(timeout=W)
    for source in sources:
        sent += sum(state.count for state in totals(source))
        failed += source.error_count
    for one in targets:
        handled += sum(state.count for state in totals(one))
        reordered += sum(state.reordered for state in totals(one))
    letters = rt.dead_letters.stats()
    assert reordered == 0
    assert letters.by_reason[rk.DeadLetterReason.HANDLER_FAILED] == failed
    assert sent == handled + letters.by_reason[rk.DeadLetterReason.TERMINATED]
    assert stats.dead_lettered == letters.total
