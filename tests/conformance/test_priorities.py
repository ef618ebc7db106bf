"""Priorities, deadlines and duplicates: what is delivered first, what too late, and what only once."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from actors import Gate, Number, sink
from priorities_parts import by_priority

import pyringkernel as rk
from pyringkernel.errors import (
    HandlerError,
    InvalidArgumentError,
)

P = rk.Priority


W = 60.0


PATIENCE = 64


def handled(rt: rk.Runtime, sends: list[int], **options: Any) -> list[tuple[int, int]]:
    """Sends one message for each priority in `sends` to a paused kernel; what it was given then, in order."""
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_priority(seen), name="ordered", capacity=1024, autostart=False, **options)
    for n, priority in enumerate(sends):
        kernel.send(Number(n), priority=priority)
    kernel.activate()
    kernel.terminate(W)
    assert len(seen) == len(sends)
    return seen


def check_bounds(order: list[int]) -> None:
    """No priority waits longer than PATIENCE messages of higher ones, and none goes before a higher one without need."""
    for at, one in enumerate(order):
        for low in range(one):
            if low not in order[at:]:
                continue
            run = 0
            while run <= at and order[at - run] > low:
                run += 1
            assert run <= PATIENCE, f"priority {low} waited while {run} higher ones were delivered, up to {at}"
        if any(later > one for later in order[at:]):
            before = order[max(at - PATIENCE, 0) : at]
            higher = sum(p > one for p in before)
            assert higher >= PATIENCE - 4, f"priority {one} at {at} went before a higher one after {higher} of them"


# -- priorities


def test_higher_priorities_are_delivered_first(rt: rk.Runtime) -> None:
    seen = handled(rt, [P.LOW, P.NORMAL, P.HIGH, P.CRITICAL] * 8)
    assert [p for p, _ in seen] == [P.CRITICAL] * 8 + [P.HIGH] * 8 + [P.NORMAL] * 8 + [P.LOW] * 8


def test_normal_is_the_default_and_the_header_counts_too(rt: rk.Runtime) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_priority(seen), autostart=False)
    kernel.send(Number(0))
    urgent = Number(1)
    urgent.header.priority = P.HIGH
    kernel.send(urgent)
    overruled = Number(2)
    overruled.header.priority = P.CRITICAL
    kernel.send(overruled, priority=P.LOW)
    kernel.activate()
    kernel.terminate(W)
    assert seen == [(P.HIGH, 1), (P.NORMAL, 0), (P.LOW, 2)]


@pytest.mark.parametrize("seed", range(8))
def test_order_holds_within_each_priority_whatever_is_mixed(rt: rk.Runtime, seed: int) -> None:
    choose = random.Random(seed)
    sends = [choose.choice(list(P)) for _ in range(300)]
    seen = handled(rt, sends)
    for priority in P:
        assert [n for p, n in seen if p == priority] == [n for n, p in enumerate(sends) if p == priority]
    check_bounds([p for p, _ in seen])


@pytest.mark.parametrize(("low", "high"), [(P.LOW, P.NORMAL), (P.NORMAL, P.HIGH), (P.HIGH, P.CRITICAL), (0, 3)])
def test_a_lower_priority_gets_its_turn_after_64_higher_ones(rt: rk.Runtime, low: int, high: int) -> None:
    order = [p for p, _ in handled(rt, [low] * 3 + [high] * 300)]
    assert order == ([high] * PATIENCE + [low]) * 3 + [high] * (300 - 3 * PATIENCE)


def test_each_lower_priority_gets_one_turn(rt: rk.Runtime) -> None:
    order = [p for p, _ in handled(rt, [P.LOW] * 2 + [P.NORMAL] * 2 + [P.HIGH] * 2 + [P.CRITICAL] * 200)]
    assert order[:PATIENCE] == [P.CRITICAL] * PATIENCE
    assert sorted(order[PATIENCE : PATIENCE + 3]) == [P.LOW, P.NORMAL, P.HIGH]
    assert order[PATIENCE + 3] == P.CRITICAL
    check_bounds(order)


def test_nobody_waits_for_nothing(rt: rk.Runtime) -> None:
    """Fewer than 64 higher ones: no turn is given early, and none is owed from before."""
    assert [p for p, _ in handled(rt, [P.LOW] * 5 + [P.HIGH] * 63)] == [P.HIGH] * 63 + [P.LOW] * 5


def test_a_flood_of_urgent_messages_does_not_starve_the_others(rt: rk.Runtime, until: Any) -> None:
    """The flood never ends by itself: each urgent message sends the next."""
    seen: list[int] = []
    stop = False

    def flood(ctx: rk.Context, msg: Number) -> None:
        if msg.header.priority == P.LOW:
            seen.append(msg.n)
        elif not stop:
            ctx.send("flood", Number(0), priority=P.CRITICAL)

    kernel = rt.launch(flood)
    for _ in range(8):
        kernel.send(Number(0), priority=P.CRITICAL)
    for n in range(20):
        kernel.send(Number(n), priority=P.LOW)
    until(lambda: len(seen) == 20)
    stop = True
    assert seen == list(range(20))


def test_priorities_hold_among_several_senders(rt: rk.Runtime, threads: Any) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_priority(seen), autostart=False)
    threads.run_all(4, lambda k: [kernel.send(Number(100 * k + n), priority=k) for n in range(15)])
    kernel.activate()
    kernel.terminate(W)
    assert [p for p, _ in seen] == [3] * 15 + [2] * 15 + [1] * 15 + [0] * 15
    assert [n % 100 for _, n in seen] == list(range(15)) * 4


def test_priorities_hold_between_kernels(rt: rk.Runtime, until: Any) -> None:
    seen: list[tuple[int, int]] = []
    target = rt.launch(by_priority(seen), name="target", autostart=False)

    def spread(ctx: rk.Context, msg: Number) -> Number:
        for priority in P:
            for n in range(3):
                ctx.send("target", Number(n), priority=priority)
        return msg

    rt.launch(spread, publishes_to=["target"]).call(Number(), timeout=W)
    target.activate()
    until(lambda: len(seen) == 12)
    assert seen == [(p, n) for p in reversed(P) for n in range(3)]


def test_a_message_to_the_host_is_received_by_priority(rt: rk.Runtime, until: Any) -> None:
    def spread(ctx: rk.Context, msg: Number) -> None:
        for priority in P:
            ctx.send("host", Number(priority), priority=priority)

    kernel = rt.launch(spread)
    kernel.send(Number())
    until(lambda: kernel.outbox_stats().in_flight == 4)
    assert [kernel.receive(timeout=W).n for _ in range(4)] == [3, 2, 1, 0]


def test_each_priority_has_room_of_its_own(rt: rk.Runtime) -> None:
    """A full inbox does not keep out what is urgent."""
    kernel = rt.launch(sink, capacity=2, autostart=False)
    for priority in P:
        assert [kernel.try_send(Number(n), priority=priority) for n in range(3)] == [True, True, False]
    assert kernel.stats().in_flight == 8
    kernel.activate()
    kernel.terminate(W)
    assert kernel.stats().delivered == 8


def test_rows_of_an_array_have_a_priority(rt: rk.Runtime) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_priority(seen), autostart=False)
    rows = np.zeros(3, Number.dtype)
    for priority in (P.LOW, P.CRITICAL, P.NORMAL):
        rows["n"] = priority
        assert kernel.send_many(rows, priority=priority) == 3
    kernel.activate()
    kernel.terminate(W)
    assert seen == [(3, 3)] * 3 + [(1, 1)] * 3 + [(0, 0)] * 3


def test_a_pause_does_not_disturb_the_order(rt: rk.Runtime, gate: Gate) -> None:
    seen: list[tuple[int, int]] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.header.priority, msg.n))
        if len(seen) == 1:
            gate(ctx, msg)

    kernel = rt.launch(record)
    kernel.send(Number(0), priority=P.LOW)
    assert gate.entered.wait(W)
    for n in range(1, 4):
        kernel.send(Number(n), priority=P.LOW)
        kernel.send(Number(n), priority=P.HIGH)
    gate.open.set()
    kernel.deactivate(W)
    kernel.activate(W)
    kernel.terminate(W)
    assert seen[1:] == [(2, 1), (2, 2), (2, 3), (0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize("priority", [-1, 4, 256, 2**70, "HIGH", 1.5, b"1"], ids=repr)
def test_a_priority_that_cannot_be_is_refused(rt: rk.Runtime, priority: Any) -> None:
    kernel = rt.launch(sink)
    rows = np.zeros(1, Number.dtype)
    for use in (
        lambda: kernel.send(Number(), priority=priority),
        lambda: kernel.try_send(Number(), priority=priority),
        lambda: kernel.call(Number(), priority=priority),
        lambda: kernel.ask(Number(), priority=priority),
        lambda: kernel.send_many(rows, priority=priority),
    ):
        with pytest.raises(InvalidArgumentError, match=r"priority: found .*need 0 \(LOW\) to 3 \(CRITICAL\)"):
            use()
    assert kernel.stats().accepted == 0


@pytest.mark.parametrize("priority", [-1, 4, 2**40])
def test_a_handler_with_a_priority_that_cannot_be_learns_it(rt: rk.Runtime, priority: int) -> None:
    def wrong(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("host", msg, priority=priority)
        return msg

    with pytest.raises(HandlerError) as caught:
        rt.launch(wrong).call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, (InvalidArgumentError, TypeError))
