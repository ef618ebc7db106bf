"""What ctx and the language give to compiled handlers: the clock, the header, the end, device functions, atomics."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from actors import Number, Tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason

S = rk.KernelState
W = 60.0
CLOCK_SKEW = 0xFFFF0005


@rk.message
class Times:
    now: rk.u64 = 0
    first: rk.u64 = 0
    second: rk.u64 = 0
    after: rk.u64 = 0
    ordered: rk.boolean = False


@rk.message
class Head:
    message_id: rk.u64
    correlation_id: rk.u64
    source: rk.u64
    dest: rk.u64
    deadline: rk.u64
    hlc: rk.u64
    kind: rk.u32
    size: rk.u32
    priority: rk.u8
    hops: rk.u8
    flags: rk.u8


# -- the clock


@rk.kernel
def clock(ctx: rk.Context, msg: Number) -> Times:
    now = ctx.now()
    first = ctx.tick()
    second = ctx.tick()
    if msg.n != 0:
        ctx.update_clock(msg.n)
    ordered = now <= first and first < second and second >= first and first != second
    return Times(now=now.time, first=first.time, second=second.time, after=ctx.tick().time, ordered=ordered)


def test_the_stamps_of_a_handler_and_the_host_are_in_order(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(clock, **engine)
    last = 0
    for _ in range(20):
        before = rt.tick().time
        found = kernel.call(Number(), timeout=W)
        assert last < before < found.first < found.second < found.after < rt.tick().time
        assert before <= found.now < found.second
        assert found.ordered
        assert found.after < found.header.timestamp.time  # the reply was sent after that
        last = found.header.timestamp.time


def test_a_stamp_from_the_near_future_is_merged(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(clock, **engine)
    ahead = rt.now().time + (1 << 28)  # a sixteenth of a second
    found = kernel.call(Number(ahead), timeout=W)
    assert found.second < ahead < found.after
    assert kernel.error_count == 0


def test_a_stamp_too_far_ahead_is_refused_and_counted(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(clock, **engine)
    far = rt.now().time + (86_400 << 32)
    found = kernel.call(Number(far), timeout=W)
    assert found.second < found.after < far
    assert (kernel.error_count, kernel.telemetry().last_error) == (1, CLOCK_SKEW)


# -- the header and numbers of the kernel


@rk.kernel
def header(ctx: rk.Context, msg: Number) -> Head:
    return Head(
        message_id=msg.header.message_id,
        correlation_id=msg.header.correlation_id,
        source=msg.header.source,
        dest=msg.header.dest,
        deadline=msg.header.deadline,
        hlc=msg.header.hlc,
        kind=msg.header.type_id,
        size=msg.header.payload_size,
        priority=msg.header.priority,
        hops=msg.header.hops,
        flags=msg.header.flags,
    )


def test_a_handler_reads_the_header_of_its_message(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(header, instances=2, **engine)
    sent = Number(7)
    before = rt.tick().time
    found = kernel.call(sent, timeout=W, priority=rk.Priority.HIGH, deadline=100.0, instance=1)
    assert found.message_id == sent.header.message_id == found.header.correlation_id
    assert (found.kind, found.size, found.priority) == (Number.type_id, 8, int(rk.Priority.HIGH))
    assert (found.source, found.hops, found.correlation_id) == (0, 0, 0)
    assert found.dest == found.header.source
    assert before < found.hlc < found.header.timestamp.time
    assert 99 << 32 < found.deadline - before < 101 << 32
    assert kernel.call(Number(), timeout=W).deadline == 0


def test_what_a_handler_is_told_of_itself(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def who(ctx: rk.Context, msg: Number) -> Head:
        size = ctx.block_dim() * 10 + ctx.grid_dim()
        ids = ctx.thread_id() + ctx.block_id() + ctx.global_thread_id() + ctx.warp_id() + ctx.lane_id()
        ctx.sync_threads()
        ctx.sync_warp()
        ctx.fence("system")
        return Head(0, 0, rk.u64(ctx.instance_id()), rk.u64(ctx.kernel_id()), 0, 0, size, ids, 0, 0, 0)

    kernels = [rt.launch(who, name=f"k{n}", instances=3, **engine) for n in range(2)]
    found = [[kernel.call(Number(), timeout=W, instance=i) for i in range(3)] for kernel in kernels]
    assert [[one.source for one in of] for of in found] == [[0, 1, 2]] * 2
    numbers = [{one.dest for one in of} for of in found]
    assert [len(one) for one in numbers] == [1, 1]
    assert numbers[0] != numbers[1]
    for kernel, of in zip(kernels, found, strict=True):
        if kernel.backend == "cpu":  # each instance is a grid of one block, with one thread
            assert [(one.kind, one.size) for one in of] == [(11, 0)] * 3
        else:  # a block of one grid
            assert [(one.kind, one.size) for one in of] == [(13, 2 * i) for i in range(3)]


# -- the end


@rk.kernel
def last(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    before = ctx.is_terminating()
    if msg.n == 0:
        ctx.request_termination()
    return Number(100 * state.seen + (10 if before else 0) + (1 if ctx.is_terminating() else 0))


def test_a_handler_asks_for_the_end_and_what_waits_is_handled(rt: rk.Runtime, engine: Any, until: Any) -> None:
    kernel = rt.launch(last, autostart=False, **engine)
    for n in (1, 0, 1, 1):
        kernel.send(Number(n))
    kernel.activate()
    assert [kernel.receive(timeout=W).n for _ in range(4)] == [100, 201, 311, 411]
    until(lambda: kernel.state is S.TERMINATED)
    assert len(rt.dead_letters) == 0
    with pytest.raises(rk.KernelTerminatedError):
        kernel.send(Number(1))


def test_under_a_supervisor_the_end_is_a_new_beginning(rt: rk.Runtime, engine: Any, until: Any) -> None:
    sup = rt.supervisor(intensity=5, period=3600.0)
    kernel = rt.launch(last, supervisor=sup, **engine)
    assert kernel.call(Number(1), timeout=W).n == 100
    assert kernel.call(Number(0), timeout=W).n == 201
    until(lambda: kernel.restarts == 1)
    assert kernel.call(Number(1), timeout=W).n == 100


# -- runs of messages


@rk.kernel
def count(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    return Number(msg.n)


def rows(values: Any) -> np.ndarray[Any, Any]:
    made = np.zeros(len(values), Number.dtype)
    made["n"] = values
    return made


def test_deadlines_in_the_middle_of_a_run(rt: rk.Runtime, engine: Any, until: Any) -> None:
    kernel = rt.launch(count, autostart=False, capacity=2048, **engine)
    for n in range(1000):
        kernel.send(Number(n), deadline=1e-9 if n % 7 == 3 else 1000.0 if n % 7 == 4 else None)
    kernel.activate()
    kept = [n for n in range(1000) if n % 7 != 3]
    assert [kernel.receive(timeout=W).n for _ in kept] == kept
    until(lambda: len(rt.dead_letters) == 1000 - len(kept))
    letters = rt.dead_letters.browse()
    assert {one.reason for one in letters} == {DeadLetterReason.EXPIRED}
    assert [one.message.n for one in letters] == [n for n in range(1000) if n % 7 == 3]
    assert kernel.telemetry().expired == len(letters)
    kernel.terminate()
    assert kernel.state_object.seen == len(kept)


@pytest.mark.parametrize("seed", range(4))
def test_higher_priorities_overtake_and_lower_ones_get_a_turn(rt: rk.Runtime, engine: Any, seed: int) -> None:
    @rk.kernel
    def place(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        state.seen += 1
        return Number((msg.n << 32) | state.seen)

    kernel = rt.launch(place, autostart=False, **engine)
    priorities = np.random.default_rng(seed).integers(0, 4, 1200)
    for n, priority in enumerate(priorities):
        kernel.send(Number(n), priority=int(priority))
    kernel.activate()
    answers = [kernel.receive(timeout=W).n for _ in range(1200)]
    handled = [n >> 32 for n in sorted(answers, key=lambda n: n & 0xFFFFFFFF)]
    for priority in range(4):
        assert [n for n in handled if priorities[n] == priority] == [
            n for n in range(1200) if priorities[n] == priority
        ]
    waiting = [int((priorities == p).sum()) for p in range(4)]
    passed_over = [0] * 4  # by more urgent ones in a row, since one of this priority was handled
    for n in handled:
        mine = int(priorities[n])
        assert passed_over[mine] >= 64 or not any(waiting[mine + 1 :])
        assert all(passed_over[p] < 128 for p in range(4) if waiting[p])
        waiting[mine] -= 1
        passed_over = [0 if p == mine else passed_over[p] + (p < mine) for p in range(4)]


def test_duplicates_are_dropped(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(count, autostart=False, dedup=64, **engine)
    for n in (1, 2, 1, 3, 2):
        kernel.send(Number(n), message_id=n)
    kernel.activate()
    assert [kernel.receive(timeout=W).n for _ in range(3)] == [1, 2, 3]
    kernel.terminate()
    assert (kernel.stats().dropped, kernel.state_object.seen) == (2, 3)


# -- what a body may contain

FACTOR = 2.5


@rk.message
class Samples:
    values: rk.Array[rk.f32, 8]
    limit: rk.f32 = 0.0


@rk.device
def clamp(x: rk.f32, limit: rk.f32) -> rk.f32:
    return min(max(x, -limit), limit)


@rk.device
def energy(values: rk.Array[rk.f32, 8], limit: rk.f32) -> rk.f32:
    total: rk.f32 = 0.0
    for i in range(8):
        x = clamp(values[i], limit)
        total += x * x
    return total


@rk.device
def scale(values: rk.Array[rk.f32, 8], by: rk.f32) -> None:
    for i in range(len(values)):
        values[i] *= by


@rk.kernel
def analyse(ctx: rk.Context, msg: Samples) -> Samples:
    work = rk.zeros(rk.f32, 8)
    for i in range(8):
        work[7 - i] = msg.values[i]
    scale(work, FACTOR)
    scale(msg.values, 0.5)
    return Samples(values=work, limit=energy(work, msg.limit) + energy(msg.values, math.inf))


def test_device_functions_work_on_what_they_are_given(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(analyse, **engine)
    rng = np.random.default_rng(6)
    for _ in range(10):
        values = rng.normal(size=8).astype(np.float32)
        found = kernel.call(Samples(values=values, limit=1.5), timeout=W)
        work = values[::-1] * np.float32(2.5)
        assert struct.pack("<8f", *found.values) == work.tobytes()
        total = [np.float32(0), np.float32(0)]
        for i in range(8):
            x, y = np.clip(work[i], np.float32(-1.5), np.float32(1.5)), values[i] * np.float32(0.5)
            total = [total[0] + x * x, total[1] + y * y]
        assert found.limit == total[0] + total[1]


def test_a_handler_of_a_function_has_the_constants_of_its_time(rt: rk.Runtime, engine: Any) -> None:
    def multiplier(factor: int, name: str) -> Any:
        @rk.kernel(id=name)
        def multiply(ctx: rk.Context, msg: Number) -> Number:
            return Number(msg.n * factor)

        factor *= 1000  # too late
        return multiply

    kernels = [rt.launch(multiplier(n, f"by{n}"), **engine) for n in (2, 3)]
    assert [kernel.call(Number(5), timeout=W).n for kernel in kernels] == [10, 15]


def test_atomics_and_shared_memory(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def use(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        scratch = ctx.shared(rk.u32, 4)
        scratch[1] += 5  # zeros at the start of each message
        old = ctx.atomic_add(state.total, msg.n)
        was = ctx.atomic_cas(state.seen, 0, 9)
        ctx.atomic_max(scratch[2], 3)
        return Number(old * 1000 + was * 100 + rk.u64(scratch[1]) * 10 + rk.u64(scratch[2]))

    kernel = rt.launch(use, **engine)
    assert [kernel.call(Number(n), timeout=W).n for n in (4, 6, 0)] == [53, 4953, 10953]
