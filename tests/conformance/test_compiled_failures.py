"""Compiled handlers that fail, count errors, are restarted, restored, or get bytes that nobody checked."""

from __future__ import annotations

import ctypes
import inspect
import struct
from typing import Any

import numpy as np
import pytest
from actors import Number, Tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason

S = rk.KernelState
W = 60.0
HOUR = 3600.0
DIVISION_BY_ZERO, INDEX, RANGE_STEP, VEC_FULL, CLOCK_SKEW = range(0xFFFF0001, 0xFFFF0006)


@rk.kernel
def picky(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    """Refuses even numbers, after it has changed state and message."""
    n = msg.n
    state.seen += 1
    msg.n += 1000
    assert n % 2 == 1, "even"
    state.total += n
    return Number(state.total)


ASSERT_LINE = inspect.getsourcelines(picky.__wrapped__)[1] + 6


def refused(kernel: rk.Kernel, message: Any) -> str:
    with pytest.raises(rk.HandlerError) as caught:
        kernel.call(message, timeout=W)
    return str(caught.value.__cause__ or caught.value)


def numbers(values: Any) -> np.ndarray[Any, Any]:
    rows = np.zeros(len(values), Number.dtype)
    rows["n"] = values
    return rows


def balanced(stats: Any) -> bool:
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)


# -- a message that fails


def test_an_assertion_tells_the_caller_its_text_file_and_line(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(picky, **engine)
    assert f"assertion failed: even ({__file__}:{ASSERT_LINE})" in refused(kernel, Number(4))
    assert kernel.call(Number(5), timeout=W) == Number(5)
    assert (kernel.state, kernel.error_count, kernel.telemetry().failed) == (S.ACTIVE, 1, 1)
    kernel.deactivate()
    assert kernel.state_object == Tally(2, 5)  # what it stored before stays


def test_the_dead_letter_has_the_message_as_it_was_sent(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(picky, **engine)
    refused(kernel, Number(4))
    (letter,) = rt.dead_letters.browse()
    assert (letter.reason, letter.message, letter.kernel) == (DeadLetterReason.HANDLER_FAILED, Number(4), "picky")
    assert f"{__file__}:{ASSERT_LINE}" in letter.error
    assert kernel.stats().dead_lettered == 1


def test_failures_in_a_flood_fail_just_these_messages(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(picky, autostart=False, max_failures=64, capacity=2048, **engine)
    values = [2 * n + 1 for n in range(1000)]
    for n in range(20, 1000, 30):  # 33 of them
        values[n] = 2 * n
    kernel.send_many(numbers(values), timeout=W)
    kernel.activate()
    odd = [v for v in values if v % 2]
    found: list[int] = []
    while len(found) < len(odd):
        found += kernel.receive_many(timeout=W)["n"].tolist()
    assert found == np.cumsum(odd).tolist()
    assert [one.message.n for one in rt.dead_letters.browse()] == [v for v in values if v % 2 == 0]
    stats = kernel.stats()
    assert balanced(stats)
    assert (stats.accepted, stats.delivered, stats.dead_lettered) == (1000, 967, 33)


@pytest.mark.parametrize("allowed", [0, 2])
def test_too_many_failures_fail_the_kernel(rt: rk.Runtime, engine: Any, until: Any, allowed: int) -> None:
    kernel = rt.launch(picky, autostart=False, max_failures=allowed, failure_window=HOUR, **engine)
    for n in (1, 2, 4, 6, 8, 10):
        kernel.send(Number(n))
    kernel.activate()
    until(lambda: kernel.state is S.FAILED)
    until(lambda: len(rt.dead_letters) == 5)
    reasons = [one.reason for one in rt.dead_letters.browse()]
    failed = allowed + 1
    assert reasons == [DeadLetterReason.HANDLER_FAILED] * failed + [DeadLetterReason.TERMINATED] * (5 - failed)
    assert kernel.telemetry().failed == failed
    with pytest.raises(rk.KernelFailedError):
        kernel.send(Number(1))


def test_a_restart_makes_the_state_anew_and_keeps_what_waits(rt: rk.Runtime, engine: Any, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR)
    kernel = rt.launch(picky, state=Tally(0, 100), supervisor=sup, autostart=False, **engine)
    for n in (1, 3, 4, 5, 6, 7, 9):
        kernel.send(Number(n))
    kernel.activate()
    assert [kernel.receive(timeout=W).n for _ in range(5)] == [101, 104, 105, 107, 116]
    until(lambda: kernel.restarts == 2)
    assert (kernel.state, sup.restarts) == (S.ACTIVE, 2)
    assert [one.message.n for one in rt.dead_letters.browse()] == [4, 6]


def test_an_instance_that_fails_is_restarted_alone(rt: rk.Runtime, engine: Any, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR)
    kernel = rt.launch(picky, instances=2, supervisor=sup, **engine)
    assert [kernel.call(Number(3), timeout=W, instance=i).n for i in (0, 1)] == [3, 3]
    with pytest.raises(rk.HandlerError):
        kernel.call(Number(2), timeout=W, instance=1)
    assert [kernel.call(Number(5), timeout=W, instance=i).n for i in (0, 1)] == [8, 5]


def test_a_snapshot_carries_the_state_over(rt: rk.Runtime, engine: Any, tmp_path: Any) -> None:
    kernel = rt.launch(picky, instances=2, **engine)
    assert [kernel.call(Number(n), timeout=W, instance=n % 4 // 2).n for n in (1, 3, 5, 7)] == [1, 3, 6, 10]
    kernel.snapshot().save(tmp_path / "picky")
    kernel.call(Number(9), timeout=W, instance=0)
    kernel.terminate()
    again = rt.launch(picky, instances=2, restore=tmp_path / "picky", **engine)
    assert [again.call(Number(1), timeout=W, instance=i).n for i in (0, 1)] == [7, 11]
    again.deactivate()
    assert again.states == [Tally(3, 7), Tally(3, 11)]


# -- errors that are counted


@rk.message
class Numbers:
    what: rk.u32 = 0
    a: rk.i32 = 0
    b: rk.i32 = 0
    values: rk.Array[rk.i32, 4] = (10, 20, 30, 40)
    more: rk.Vec[rk.i32, 3] = ()


@rk.kernel
def careless(ctx: rk.Context, msg: Numbers) -> Numbers:
    answer = Numbers(what=msg.what, more=msg.more)
    match msg.what:
        case 0:
            answer.a = msg.a // msg.b
            answer.b = msg.a % msg.b
        case 1:
            answer.a = msg.values[msg.a]
            answer.values[msg.a] = 77
        case 2:
            for i in range(0, 10, msg.b):
                answer.a += i
        case 3:
            answer.more.append(msg.a)
        case 4:
            answer.a = msg.more[msg.a]
        case 5:
            ctx.report_error(rk.u32(msg.a))
        case _:
            answer.a = msg.a // msg.b
            ctx.report_error(3)
            answer.b = msg.values[msg.a]
    return answer


ERRORS = [
    (Numbers(0, 7, 0), (0, 0), 2, DIVISION_BY_ZERO),
    (Numbers(0, -7, 2), (-4, 1), 0, 0),
    (Numbers(0, -(2**31), -1), (-(2**31), 0), 0, 0),
    (Numbers(1, 4), (0, 0), 2, INDEX),
    (Numbers(1, -1), (0, 0), 2, INDEX),
    (Numbers(1, 3), (40, 0), 0, 0),
    (Numbers(2, 0, 0), (0, 0), 1, RANGE_STEP),
    (Numbers(2, 0, 4), (12, 0), 0, 0),
    (Numbers(3, 5, more=(1, 2, 3)), (0, 0), 1, VEC_FULL),
    (Numbers(4, 2, more=(1, 2)), (0, 0), 1, INDEX),
    (Numbers(4, 1, more=(1, 2)), (2, 0), 0, 0),
    (Numbers(5, 12), (0, 0), 1, 12),
    (Numbers(5, -65537), (0, 0), 1, 0xFFFEFFFF),
    (Numbers(5, 0), (0, 0), 1, 0),
    (Numbers(6, 9, 0), (0, 0), 3, INDEX),
]


@pytest.mark.parametrize(("sent", "answer", "count", "code"), ERRORS)
def test_an_error_is_counted_and_the_message_answered(
    rt: rk.Runtime, engine: Any, sent: Any, answer: Any, count: int, code: int
) -> None:
    kernel = rt.launch(careless, max_failures=0, **engine)
    found = kernel.call(sent, timeout=W)
    assert (found.a, found.b) == answer
    assert list(found.more) == list(sent.more)
    seen = kernel.telemetry()
    assert (kernel.error_count, seen.errors_reported, seen.last_error, seen.failed) == (count, count, code, 0)
    assert (kernel.state, len(rt.dead_letters)) == (S.ACTIVE, 0)


def test_errors_in_a_flood_are_counted_for_each_message(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(careless, autostart=False, **engine)
    for n in range(500):
        kernel.send(Numbers(0, n, n % 3))
    kernel.activate()
    answers = [kernel.receive(timeout=W) for _ in range(500)]
    expected = [(n // (n % 3), n % (n % 3)) if n % 3 else (0, 0) for n in range(500)]
    assert [(one.a, one.b) for one in answers] == expected
    kernel.terminate()
    assert (kernel.error_count, kernel.telemetry().last_error) == (2 * 167, DIVISION_BY_ZERO)


def test_report_and_failure_in_one_message_both_count(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def both(ctx: rk.Context, msg: Number) -> Number:
        ctx.report_error(5)
        assert msg.n != 0
        return msg

    kernel = rt.launch(both, **engine)
    refused(kernel, Number(0))
    assert kernel.call(Number(1), timeout=W) == Number(1)
    seen = kernel.telemetry()
    assert (kernel.error_count, seen.errors_reported, seen.failed, seen.last_error) == (3, 2, 1, 5)


# -- bytes that nobody checked


@rk.message
class Bag:
    items: rk.Vec[rk.u32, 6] = ()
    guard: rk.u32 = 0xABCD


@rk.message
class Report:
    length: rk.u32 = 0
    total: rk.u64 = 0
    last: rk.u32 = 0
    guard: rk.u32 = 0
    taken: rk.Vec[rk.u32, 6] = ()


@rk.state
class Kept:
    before: rk.u64
    items: rk.Vec[rk.u32, 6]
    after: rk.u64


@rk.kernel
def unpack(ctx: rk.Context, state: Kept, msg: Bag) -> None:
    answer = Report(length=len(msg.items), guard=msg.guard)
    for i in range(len(msg.items)):
        answer.total += msg.items[i]
    answer.taken = msg.items
    state.items = msg.items
    state.items.append(1)
    msg.items.append(5)
    answer.last = msg.items[5]
    if state.before != 0 or state.after != 0 or msg.guard != answer.guard:
        answer.guard = 0
    ctx.send("host", answer)


@pytest.mark.parametrize("length", [0, 5, 6, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_beyond_the_bound_is_the_bound(rt: rk.Runtime, engine: Any, length: int, until: Any) -> None:
    payload = struct.pack("<8I", length, 1, 2, 3, 4, 5, 6, 0xABCD)

    def lie(context: int, state: int, message: int) -> int:
        send = ctypes.c_void_p.from_address(context + 24).value  # rk_context::send in ringkernel/native.h
        u32, pointer = ctypes.c_uint32, ctypes.c_void_p
        function = ctypes.CFUNCTYPE(ctypes.c_int, pointer, u32, u32, ctypes.c_char_p, u32, u32)(send)
        return int(function(context, 0, Bag.type_id, payload, len(payload), 1))

    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(lie)
    kernel = rt.launch(unpack, **engine)
    liar = rt.launch(rk.NativeHandler(native, accepts=[Number], id="liar", publishes_to=["unpack"]))
    liar.send(Number())
    held = min(length, 6)
    answer = kernel.receive(timeout=W)
    assert (answer.length, answer.guard) == (held, 0xABCD)
    assert answer.total == sum(range(1, held + 1))
    assert list(answer.taken) == list(range(1, held + 1))
    assert answer.last == (6 if held == 6 else 5 if held == 5 else 0)
    kernel.deactivate()
    assert list(kernel.state_object.items) == [*range(1, held + 1), 1][:6]
    with pytest.raises(rk.InvalidMessageError):  # from the host it does not come this far
        Bag.from_payload(struct.pack("<8I", max(length, 7), 1, 2, 3, 4, 5, 6, 0))


def test_a_payload_of_another_size_is_refused(rt: rk.Runtime, engine: Any, until: Any) -> None:
    def cut(context: int, state: int, message: int) -> int:
        send = ctypes.c_void_p.from_address(context + 24).value
        u32, pointer = ctypes.c_uint32, ctypes.c_void_p
        function = ctypes.CFUNCTYPE(ctypes.c_int, pointer, u32, u32, ctypes.c_char_p, u32, u32)(send)
        return int(function(context, 0, Bag.type_id, bytes(8), 8, 1))

    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(cut)
    kernel = rt.launch(unpack, max_failures=0, **engine)
    liar = rt.launch(rk.NativeHandler(native, accepts=[Number], id="liar", publishes_to=["unpack"]))
    for _ in range(3):
        liar.send(Number())
    kernel.send(Bag((9,)))
    assert kernel.receive(timeout=W).total == 9
    until(lambda: kernel.telemetry().failed == 3)
    letters = rt.dead_letters.browse()
    assert [one.reason for one in letters] == [DeadLetterReason.WRONG_TYPE] * 3
    assert "8" in letters[0].error
    assert "32" in letters[0].error
    assert kernel.state is S.ACTIVE
