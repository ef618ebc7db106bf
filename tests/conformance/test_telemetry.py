"""Telemetry: counts that equal what was sent, latencies that bound what happened, sums in which no message is missing."""

from __future__ import annotations

import dataclasses
import pickle
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from actors import Number, double, echo, odd_only, sink, tally

import pyringkernel as rk
from pyringkernel.errors import DeadlineExpiredError, HandlerError, InvalidArgumentError, KernelTerminatedError

W = 60.0
MS = 1_000_000


def napping(ctx: rk.Context, msg: Number) -> Number:
    """Takes msg.n milliseconds."""
    time.sleep(msg.n / 1000)
    return msg


def holds(stats: rk.RingStats) -> bool:
    """The conservation law."""
    return stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight


# -- counts


def test_a_kernel_that_did_nothing_shows_zeros(rt: rk.Runtime) -> None:
    seen = rt.launch(echo, instances=3).telemetry()
    assert (seen.name, seen.instances) == ("echo", 3)
    counts = (seen.processed, seen.failed, seen.dropped, seen.expired, seen.restarts, seen.accepted, seen.in_flight)
    assert counts == (0,) * 7
    for latency in (seen.handler, seen.queueing):
        assert (latency.count, latency.min_ns, latency.max_ns, latency.p50, latency.p999) == (0, 0, 0, 0, 0)
        assert latency.mean_ns == 0.0


def test_counts_equal_what_was_sent(rt: rk.Runtime, gate: Any, until: Any) -> None:
    odd, slow = rt.launch(odd_only, max_failures=64), rt.launch(gate, name="slow", dedup=8)
    for n in range(40):
        with suppress(HandlerError):
            odd.call(Number(n), timeout=W)
    slow.send(Number(0))
    until(gate.entered.is_set)
    late = [slow.ask(Number(n), deadline=0.0) for n in range(3)]
    for _ in range(4):
        slow.send(Number(7), message_id=2**60)
    waiting = slow.telemetry()
    assert (waiting.accepted, waiting.in_flight, waiting.processed) == (8, 8, 0), "the one in hand is not done"
    gate.open.set()
    assert all(isinstance(one.exception(W), DeadlineExpiredError) for one in late)
    until(lambda: slow.telemetry().in_flight == 0)
    seen = odd.telemetry()
    assert (seen.accepted, seen.processed, seen.failed, seen.expired, seen.dropped) == (40, 40, 20, 0, 0)
    seen = slow.telemetry()
    assert (seen.accepted, seen.processed, seen.failed, seen.expired, seen.dropped) == (8, 2, 0, 3, 3)
    assert seen.high_water >= 7
    assert seen.handler.count == seen.queueing.count == seen.processed


def test_restarts_are_counted(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only, supervisor=rt.supervisor(intensity=10), instances=2)
    for n in range(6):
        with pytest.raises(HandlerError):
            kernel.call(Number(2 * n), timeout=W, instance=n % 2)
    assert kernel.call(Number(1), timeout=W, instance=0) == Number(1), "the last restart is over"
    assert kernel.call(Number(1), timeout=W, instance=1) == Number(1)
    assert kernel.telemetry().restarts == kernel.restarts == 6
    assert [one.restarts for one in kernel.instance_telemetry()] == [3, 3]


def test_instances_add_up_to_the_kernel(rt: rk.Runtime, until: Any) -> None:
    kernel = rt.launch(tally, instances=4)
    for n in range(100):
        kernel.send(Number(n), instance=n % 3)
    until(lambda: kernel.telemetry().in_flight == 0)
    whole, parts = kernel.telemetry(), kernel.instance_telemetry()
    assert [one.processed for one in parts] == [34, 33, 33, 0]
    assert [one.handler.count for one in parts] == [34, 33, 33, 0]
    for name in ("processed", "failed", "dropped", "expired", "restarts", "accepted", "in_flight"):
        assert sum(getattr(one, name) for one in parts) == getattr(whole, name)
    for name in ("handler", "queueing"):
        assert sum((getattr(one, name) for one in parts[1:]), getattr(parts[0], name)) == getattr(whole, name)


def test_counts_of_a_terminated_kernel_stay_readable(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, autostart=False)
    for n in range(5):
        kernel.send(Number(n))
    kernel.terminate()
    seen = kernel.telemetry()
    assert (seen.accepted, seen.processed, seen.in_flight) == (5, 0, 0)
    assert kernel.stats().dead_lettered == 5
    assert len(kernel.instance_telemetry()) == 1


# -- latencies


def test_the_handlers_time_is_measured(rt: rk.Runtime) -> None:
    kernel = rt.launch(napping)
    for n in (0, 0, 0, 0, 0, 0, 0, 0, 0, 20):
        kernel.call(Number(n), timeout=W)
    handler = kernel.telemetry().handler
    assert handler.count == 10
    assert handler.max_ns >= 20 * MS
    assert handler.percentile(100) == handler.p999 == handler.max_ns
    assert handler.sum_ns >= 20 * MS
    assert handler.mean_ns >= 2 * MS
    assert handler.min_ns <= handler.p50 <= handler.p99 <= handler.p999 <= handler.max_ns
    assert handler.min_ns < 20 * MS, "the short ones are told from the long one"


def test_a_percentile_is_within_five_percent_of_the_time_inside(rt: rk.Runtime) -> None:
    inside: list[int] = []

    def measured(ctx: rk.Context, msg: Number) -> Number:
        begun = time.perf_counter_ns()
        time.sleep(msg.n / 1000)
        inside.append(time.perf_counter_ns() - begun)
        return msg

    kernel = rt.launch(measured)
    for n in (1, 2, 3, 5, 8, 13, 21):
        kernel.call(Number(n), timeout=W)
    handler = kernel.telemetry().handler
    for rank, least in enumerate(sorted(inside), 1):
        assert handler.percentile(100 * rank / len(inside)) >= 0.95 * least
    assert handler.sum_ns >= 0.95 * sum(inside)


def test_the_time_in_the_inbox_is_measured(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, autostart=False)
    asked = [kernel.ask(Number(n)) for n in range(4)]
    time.sleep(0.03)
    kernel.activate()
    for one in asked:
        one.result(W)
    seen = kernel.telemetry()
    assert seen.queueing.count == 4
    assert seen.queueing.min_ns >= 25 * MS
    assert seen.handler.count == 4


def test_a_message_that_fails_is_measured_too_and_one_that_expired_is_not(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only, autostart=False)
    asked = [kernel.ask(Number(2)), kernel.ask(Number(3), deadline=0.0), kernel.ask(Number(3))]
    kernel.activate()
    assert [type(one.exception(W)) for one in asked] == [HandlerError, DeadlineExpiredError, type(None)]
    seen = kernel.telemetry()
    assert (seen.handler.count, seen.queueing.count, seen.processed, seen.expired) == (2, 2, 2, 1)


def test_the_difference_of_two_readings_is_the_interval(rt: rk.Runtime) -> None:
    kernel = rt.launch(napping)
    for _ in range(20):
        kernel.call(Number(0), timeout=W)
    kernel.call(Number(30), timeout=W)
    before = kernel.telemetry().handler
    for _ in range(5):
        kernel.call(Number(2), timeout=W)
    after = kernel.telemetry().handler
    interval = after - before
    assert interval.count == 5
    assert interval.min_ns >= 0.95 * 2 * MS, "none of the short ones before"
    assert interval.sum_ns == after.sum_ns - before.sum_ns
    assert interval.buckets()[1].sum() == 5
    assert interval + before == after or (interval + before).count == after.count
    assert (after - after).count == 0
    with pytest.raises(InvalidArgumentError, match="no earlier copy"):
        _ = before - after
    with pytest.raises(TypeError):
        _ = after - 3  # type: ignore[operator]


def test_buckets_are_as_numpy_has_them(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    for n in range(50):
        kernel.call(Number(n), timeout=W)
    edges, counts = kernel.telemetry().handler.buckets()
    assert len(edges) == len(counts) + 1
    assert counts.sum() == 50
    assert (np.diff(edges.astype(np.float64)) > 0).all()
    assert not edges.flags.writeable
    assert not counts.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        counts[0] = 1


@pytest.mark.parametrize("p", [-0.1, 100.1, float("nan"), "50", None, True])
def test_a_percentage_that_cannot_be_is_refused(rt: rk.Runtime, p: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="p: found .* need a percentage from 0 to 100"):
        rt.launch(echo).telemetry().handler.percentile(p)


# -- copies


def test_a_reading_does_not_change(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)
    kernel.call(Number(1), timeout=W)
    seen, all_seen = kernel.telemetry(), rt.telemetry()
    shown, rows = repr(seen), seen.handler.buckets()[1].copy()
    for n in range(50):
        kernel.call(Number(n), timeout=W)
    assert (repr(seen), seen.processed, all_seen.kernels[0].processed) == (shown, 1, 1)
    assert (seen.handler.buckets()[1] == rows).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.processed = 5  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(seen)) == seen


def test_readings_are_rows_of_arrays(rt: rk.Runtime) -> None:
    first, second = rt.launch(double), rt.launch(sink, name="a/quite/long/name")
    for n in range(7):
        first.call(Number(n), timeout=W)
    table = rt.telemetry().as_numpy()
    assert table.shape == (2,)
    assert table["name"].tolist() == ["double", "a/quite/long/name"]
    assert table["processed"].tolist() == [7, 0]
    assert table["handler_count"].tolist() == [7, 0]
    assert table["handler_p50_ns"][0] == first.telemetry().handler.p50
    one = second.telemetry().as_numpy()
    assert one.shape == ()
    assert one["name"] == "a/quite/long/name"
    assert first.telemetry().as_numpy().dtype.names == table.dtype.names


def test_a_runtime_without_kernels_has_a_table_without_rows(rt: rk.Runtime) -> None:
    seen = rt.telemetry()
    assert seen.as_numpy().shape == (0,)
    assert (seen.kernels, seen.workers, seen.dead_letters) == ((), rt.workers, 0)
    assert seen.stats.accepted == 0


# -- while it works


def test_telemetry_is_readable_while_a_handler_is_inside(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate, name="slow")
    for n in range(3):
        kernel.send(Number(n))
    gate.entered.wait(W)
    seen = kernel.telemetry()
    assert (seen.accepted, seen.processed, seen.in_flight) == (3, 0, 3)
    assert kernel.busy
    assert rt.telemetry().kernels[0].in_flight == 3


def test_a_handler_reads_its_own_telemetry(rt: rk.Runtime) -> None:
    seen: list[int] = []

    def watches(ctx: rk.Context, msg: Number) -> Number:
        seen.append(kernel.telemetry().processed)
        return msg

    kernel = rt.launch(watches)
    for n in range(4):
        kernel.call(Number(n), timeout=W)
    assert seen == [0, 1, 2, 3]


def test_readings_under_load_never_go_back_and_never_lose_a_message(rt: rk.Runtime, threads: Any) -> None:
    kernel, stop = rt.launch(double, instances=2), threading.Event()

    def sends(who: int) -> int:
        sent = 0
        while not stop.is_set():
            kernel.call(Number(who), timeout=W)
            sent += 1
        return sent

    sending = [threads.start(sends, who) for who in range(3)]
    before = rt.telemetry()
    end = time.monotonic() + 0.4
    try:
        while time.monotonic() < end:
            now = rt.telemetry()
            one, earlier = now.kernels[0], before.kernels[0]
            assert one.processed >= earlier.processed
            assert one.accepted >= earlier.accepted
            assert one.accepted >= one.processed
            assert one.handler.count >= one.processed
            assert (one.handler - earlier.handler).count == one.handler.count - earlier.handler.count
            assert holds(now.stats)
            before = now
    finally:
        stop.set()
    total = sum(one.result() for one in sending)
    seen = kernel.telemetry()
    assert (seen.accepted, seen.processed, seen.handler.count) == (total, total, total)


# -- the whole runtime


def test_totals_obey_the_conservation_law_and_are_the_sums_of_the_parts(rt: rk.Runtime, until: Any) -> None:
    """Calls, failures, expiry, duplicates, drops, topics, edges, left-overs and unread mail, all at once."""

    @rk.kernel(compiled=False, publishes_to=["leaky"])
    def spreads(ctx: rk.Context, msg: Number) -> None:
        ctx.send("leaky", msg)
        ctx.publish("numbers/all", msg)

    leaky = rt.launch(sink, name="leaky", autostart=False)
    spreader = rt.launch(spreads, autostart=False)
    rt.connect(spreader, leaky, overflow="drop_oldest", capacity=4)
    spreader.activate()
    odd, twins = rt.launch(odd_only, max_failures=64), rt.launch(tally, instances=2, dedup=16)
    idle, gone = rt.launch(echo, name="idle", autostart=False), rt.launch(sink, name="gone", autostart=False)
    host, full = rt.subscribe("numbers/#"), rt.subscribe("numbers/*", capacity=2)
    for n in range(30):
        with suppress(HandlerError):
            odd.call(Number(n), timeout=W)
        twins.send(Number(n), message_id=2**50 + n // 3)
        spreader.send(Number(n))
        gone.send(Number(n))
    expired = [odd.ask(Number(1), deadline=0.0) for _ in range(3)]
    assert all(isinstance(one.exception(W), DeadlineExpiredError) for one in expired)
    for n in range(5):
        idle.send(Number(n))
        assert host.receive(W) == Number(n)
    gone.terminate()
    until(lambda: spreader.telemetry().processed == 30 and twins.telemetry().in_flight == 0)
    seen = rt.telemetry()
    assert holds(seen.stats)
    kernels = [leaky, spreader, odd, twins, idle, gone]
    parts = [
        *(kernel.stats() for kernel in kernels),
        *(kernel.outbox_stats() for kernel in kernels),
        host.stats(),
        full.stats(),
    ]
    assert all(map(holds, parts))
    # 3 error replies came through the port of ask(), which belongs to no kernel
    assert seen.stats.accepted == sum(one.accepted for one in parts) + 3
    for name in ("dropped", "dead_lettered", "in_flight"):
        assert getattr(seen.stats, name) == sum(getattr(one, name) for one in parts), name
    assert leaky.stats().dropped == 26
    assert seen.stats.in_flight == leaky.stats().in_flight + 5 + 25 + 2 + twins.outbox_stats().in_flight
    buried = rt.dead_letters.stats()
    assert seen.dead_letters == buried.total == 15 + 3 + 28 + 30, (
        "failed, expired, refused by a full subscriber, left over"
    )


def test_what_ended_stays_in_the_totals(rt: rk.Runtime, until: Any) -> None:
    for n in range(5):
        kernel = rt.launch(sink, name=f"short{n}")
        for m in range(10):
            kernel.send(Number(m))
        kernel.terminate()
    del kernel
    last = rt.launch(echo, name="last")
    last.call(Number(1), timeout=W)
    seen = rt.telemetry()
    assert [one.name for one in seen.kernels] == ["last"]
    assert holds(seen.stats)
    assert seen.stats.accepted == 5 * 10 + 2, "a call and its reply"
    assert seen.stats.in_flight == 0


def test_telemetry_of_a_closed_runtime_says_how_it_ended(backend: str) -> None:
    rt = rk.Runtime(backend=backend)
    kernel, paused = rt.launch(echo), rt.launch(sink, autostart=False)
    for n in range(10):
        kernel.call(Number(n), timeout=W)
        paused.send(Number(n))
    rt.close()
    seen = rt.telemetry()
    assert holds(seen.stats)
    assert seen.stats.accepted == 30
    assert seen.stats.dead_lettered == 10
    assert kernel.telemetry().processed == 10
    with pytest.raises(KernelTerminatedError):
        kernel.send(Number(1))


def test_the_law_holds_at_rest_after_a_storm(rt: rk.Runtime, threads: Any, until: Any) -> None:
    """Kernels are launched, sent to, asked, cancelled and terminated at the same time."""

    def storm(who: int) -> int:
        sent = 0
        for round_ in range(6):
            kernel = rt.launch(echo, name=f"k{who}.{round_}", instances=2)
            for n in range(40):
                asked = kernel.ask(Number(n))
                sent += 1
                if n % 2:
                    asked.cancel()
                else:
                    kernel.send(Number(n))
                    sent += 1
            if round_ % 2:
                kernel.terminate()
        return sent

    sent = sum(threads.run_all(4, storm))
    until(lambda: all(one.in_flight == 0 for one in rt.telemetry().kernels))
    seen = rt.telemetry()
    assert holds(seen.stats)
    assert seen.stats.accepted >= sent
    alive = [kernel for kernel in rt.kernels.values() if kernel.state == rk.KernelState.ACTIVE]
    assert len(alive) == 4 * 3
    assert all(holds(kernel.stats()) and holds(kernel.outbox_stats()) for kernel in alive)
