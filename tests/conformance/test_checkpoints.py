"""Checkpoints: a kernel goes on in another runtime; damaged, foreign and unfitting ones are refused before anything runs."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally, double, echo, recorder, sink, tally

import pyringkernel as rk
from pyringkernel.errors import (
    InvalidStateTransition,
    KernelHungError,
    RingFullError,
)

if TYPE_CHECKING:
    pass
from checkpoints_parts import W, full_snapshot


def adds(ctx: rk.Context, state: Tally, msg: Number) -> None:
    state.seen += 1
    state.total += msg.n


# -- going on


def test_state_messages_and_clock_go_on_in_a_new_runtime(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    for n in range(5):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    for n in range(10, 14):
        kernel.send(Number(n))
    snap = kernel.snapshot()
    assert (snap.kernel, snap.instances, snap.messages, snap.version) == ("tally", 1, 4, (1, 0))
    assert snap.layout == [("seen", "u64", 0), ("total", "u64", 8)]
    restored = later.launch(tally, restore=snap)
    assert restored.call(Number(0), timeout=W) == Number(10 + 10 + 11 + 12 + 13)
    restored.deactivate()
    assert restored.state_object == Tally(10, 56)
    assert later.now() > snap.hlc
    assert rt.now() >= snap.hlc


def test_the_first_kernel_is_not_disturbed(rt: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    kernel.call(Number(1), timeout=W)
    assert kernel.snapshot().messages == 0
    assert kernel.state == rk.KernelState.ACTIVE
    assert kernel.call(Number(2), timeout=W) == Number(3)
    kernel.deactivate()
    kernel.send(Number(4))
    assert kernel.snapshot().messages == 1
    assert kernel.state == rk.KernelState.DEACTIVATED
    kernel.activate()
    assert kernel.call(Number(0), timeout=W) == Number(7), "the message that waited was not taken"


def test_messages_come_in_order_with_priority_deadline_and_id(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    seen: list[Any] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.n, msg.header.priority, msg.header.message_id))

    kernel = rt.launch(record, autostart=False)
    for n in range(4):
        kernel.send(Number(n), message_id=1000 + n)
    kernel.send(Number(50), priority=3, message_id=7)
    kernel.send(Number(60), deadline=0.0)
    restored = later.launch(record, restore=kernel.snapshot())
    until(lambda: len(seen) == 5 and restored.telemetry().expired == 1)
    assert seen == [(50, 3, 7), (0, 1, 1000), (1, 1, 1001), (2, 1, 1002), (3, 1, 1003)]


def test_every_instance_keeps_its_own(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally, instances=5)
    for n in range(5):
        kernel.call(Number(100 * n), timeout=W, instance=n)
    kernel.deactivate()
    for n in range(1, 5):
        for _ in range(n):
            kernel.send(Number(1), instance=n)
    snap = kernel.snapshot()
    assert (snap.instances, snap.messages) == (5, 10)
    restored = later.launch(tally, instances=5, restore=snap)
    assert [restored.call(Number(0), timeout=W, instance=n).n for n in range(5)] == [0, 101, 202, 303, 404]


def test_the_turn_of_the_instances_goes_on(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally, instances=3)
    for n in range(4):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    restored = later.launch(tally, instances=3, restore=kernel.snapshot())
    restored.call(Number(1000), timeout=W)
    restored.deactivate()
    assert [state.total for state in restored.states] == [3, 1001, 2]


def test_more_messages_than_the_new_capacity_go_on(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    kernel, seen = rt.launch(sink, autostart=False), []
    for n in range(500):
        kernel.send(Number(n))
    restored = later.launch(recorder(seen), name="sink", capacity=4, restore=kernel.snapshot())
    until(lambda: len(seen) == 500)
    assert seen == list(range(500))
    assert restored.stats().accepted == 500


def test_a_kernel_without_state_and_messages_has_a_snapshot_too(rt: rk.Runtime, later: rk.Runtime) -> None:
    snap = rt.launch(echo).snapshot()
    assert (snap.messages, snap.layout) == (0, [])
    assert later.launch(echo, restore=snap).call(Number(5), timeout=W) == Number(5)


def test_a_snapshot_of_a_snapshot_is_the_same_state(rt: rk.Runtime, later: rk.Runtime) -> None:
    snap = full_snapshot(rt)
    again = later.launch(tally, name="full", instances=2, autostart=False, restore=snap).snapshot()
    assert (again.messages, again.instances, again.layout) == (snap.messages, snap.instances, snap.layout)
    assert again.hlc > snap.hlc
    with rk.Runtime() as third:
        kernel = third.launch(tally, name="other", instances=2, restore=again)
        assert sum(kernel.call(Number(0), timeout=W, instance=n).n for n in range(2)) == 6 + sum(range(10, 16))


def test_who_had_asked_is_not_answered_and_nobody_else_is_either(rt: rk.Runtime, later: rk.Runtime) -> None:
    """The first ids of two runtimes are alike: a reply to what was restored must not be taken for one to a new message."""
    kernel = rt.launch(double, autostart=False)
    for n in range(4):
        kernel.ask(Number(100 + n))
    restored = later.launch(double, autostart=False, restore=kernel.snapshot())
    asked = [restored.ask(Number(n)) for n in range(4)]
    restored.activate()
    assert [one.result(W).n for one in asked] == [0, 2, 4, 6]
    assert restored.call(Number(1), timeout=W) == Number(2)
    assert [restored.receive(W).n for _ in range(4)] == [200, 202, 204, 206], "they are for whoever receives"


def test_what_was_restored_is_no_duplicate_of_what_is_sent(rt: rk.Runtime, later: rk.Runtime, until: Any) -> None:
    kernel, seen = rt.launch(sink, autostart=False), []
    for n in range(3):
        kernel.send(Number(n))
    restored = later.launch(recorder(seen), name="sink", dedup=64, restore=kernel.snapshot())
    for n in range(3, 6):
        restored.send(Number(n))
    until(lambda: restored.telemetry().in_flight == 0)
    assert sorted(seen) == list(range(6))


def test_a_failed_or_terminated_kernel_shows_its_last_state(rt: rk.Runtime, later: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    kernel.call(Number(5), timeout=W)
    kernel.terminate()
    snap = kernel.snapshot()
    assert snap.messages == 0
    assert later.launch(tally, restore=snap).call(Number(1), timeout=W) == Number(6)


def test_a_handler_that_does_not_return_is_an_error_and_the_kernel_goes_on(
    rt: rk.Runtime, gate: Any, until: Any
) -> None:
    kernel = rt.launch(gate, name="slow")
    kernel.send(Number(1))
    until(gate.entered.is_set)
    with pytest.raises(KernelHungError, match="'slow' did not return in time"):
        kernel.snapshot(timeout=0.02)
    gate.open.set()
    assert kernel.call(Number(2), timeout=W) == Number(2)
    assert kernel.snapshot().messages == 0


def test_a_hung_kernel_has_no_snapshot(rt: rk.Runtime, gate: Any, until: Any) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=0.02)
    kernel.send(Number(1))
    until(lambda: kernel.hung)
    with pytest.raises(InvalidStateTransition, match="'stuck' is Failed: a snapshot needs one that rests"):
        kernel.snapshot()


def test_a_supervised_kernel_begins_anew_after_a_restart(rt: rk.Runtime, later: rk.Runtime) -> None:
    """A restart goes back to the initial state; the snapshot is not it."""

    def fragile(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        if msg.n == 13:
            raise ValueError
        state.total += msg.n
        return Number(state.total)

    kernel = rt.launch(fragile)
    kernel.call(Number(5), timeout=W)
    restored = later.launch(fragile, restore=kernel.snapshot(), supervisor=later.supervisor())
    assert restored.call(Number(1), timeout=W) == Number(6)
    with pytest.raises(rk.HandlerError):
        restored.call(Number(13), timeout=W)
    assert restored.call(Number(1), timeout=W) == Number(1)


# -- under load


def test_a_snapshot_of_a_busy_kernel_loses_nothing(rt: rk.Runtime, later: rk.Runtime, threads: Any, until: Any) -> None:
    """What a snapshot holds is, for each instance, a beginning of what was sent to it: handled first, then waiting."""
    kernel, stop = rt.launch(adds, instances=3, capacity=64), threading.Event()

    def sends(instance: int) -> int:
        n = 0
        while not stop.is_set():
            with suppress(RingFullError, rk.RingTimeoutError):
                kernel.send(Number(n + 1), timeout=1.0, instance=instance)
                n += 1
        return n

    sending = [threads.start(sends, n) for n in range(3)]
    snaps = []
    for _ in range(8):
        time.sleep(0.01)
        snaps.append(kernel.snapshot(W))
    stop.set()
    sent = [one.result() for one in sending]
    until(lambda: kernel.telemetry().in_flight == 0)
    kernel.deactivate()
    assert [state.seen for state in kernel.states] == sent, "the snapshots took nothing away"
    assert kernel.stats().accepted == sum(sent)
    for number, snap in enumerate(snaps):
        restored = later.launch(adds, name=f"r{number}", instances=3, restore=snap)
        until(lambda restored=restored: restored.telemetry().in_flight == 0)
        restored.deactivate()
        for state, most in zip(restored.states, sent, strict=True):
            assert state.total == state.seen * (state.seen + 1) // 2, "a number is missing, or there twice"
            assert state.seen <= most
    assert any(snap.messages for snap in snaps), "none was taken while messages waited"


def test_two_threads_snapshot_while_others_pause_and_resume(rt: rk.Runtime, threads: Any) -> None:
    kernel, stop = rt.launch(tally), threading.Event()

    def snaps(_: int) -> int:
        taken = 0
        while not stop.is_set():
            kernel.snapshot(W)
            taken += 1
        return taken

    def pauses() -> None:
        while not stop.is_set():
            with suppress(InvalidStateTransition):
                kernel.deactivate(W)
            with suppress(InvalidStateTransition):
                kernel.activate(W)

    running = [threads.start(snaps, 0), threads.start(snaps, 1), threads.start(pauses)]
    total = 0
    for n in range(200):
        total += n
        assert kernel.call(Number(n), timeout=W) == Number(total)
    stop.set()
    assert all(one.result() != 0 for one in running)
