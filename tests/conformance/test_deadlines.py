"""Deadlines, and messages that come twice."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import numpy as np
import pytest
from actors import Gate, Number, echo, odd_only, recorder, sink
from priorities_parts import by_priority

import pyringkernel as rk
from pyringkernel.errors import (
    DeadlineExpiredError,
    HandlerError,
    InvalidArgumentError,
    KernelError,
)

S = rk.KernelState


P = rk.Priority


W = 60.0


EXPIRED = rk.DeadLetterReason.EXPIRED


# -- deadlines


def test_a_message_that_is_begun_in_time_is_handled(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    assert kernel.call(Number(1), timeout=W, deadline=W) == Number(1)
    assert kernel.call(Number(2), timeout=W, deadline=1e9) == Number(2)
    kernel.send(Number(3), deadline=60)
    assert kernel.receive(timeout=W) == Number(3)
    assert kernel.telemetry().expired == 0


def test_a_message_that_waited_too_long_is_a_dead_letter(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    kernel.send(Number(1), deadline=0.001)
    kernel.send(Number(2), deadline=W)
    kernel.send(Number(3))
    kernel.send(Number(4), deadline=0.0)
    time.sleep(0.005)
    kernel.activate()
    kernel.terminate(W)
    assert seen == [2, 3]
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (4, 2, 2, 0)
    assert kernel.telemetry().expired == 2
    assert kernel.error_count == 0
    letters = rt.dead_letters.browse(reason=EXPIRED, kernel=kernel)
    assert [letter.message for letter in letters] == [Number(1), Number(4)]


def test_a_call_whose_message_expires_is_told_so(rt: rk.Runtime, threads: Any, until: Any) -> None:
    kernel = rt.launch(echo, autostart=False)
    calling = threads.start(lambda: kernel.call(Number(1), timeout=W, deadline=0.001))
    until(lambda: kernel.stats().accepted == 1)
    time.sleep(0.005)
    kernel.activate()
    error = calling.error()
    assert isinstance(error, DeadlineExpiredError)
    assert isinstance(error, KernelError)
    assert isinstance(error, TimeoutError)
    assert "echo" in str(error)
    assert "deadline" in str(error)
    assert kernel.call(Number(2), timeout=W) == Number(2)


def test_an_operation_whose_message_expires_has_the_error(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, autostart=False)
    late = kernel.ask(Number(1), deadline=0.0)
    in_time = kernel.ask(Number(2), deadline=W)
    time.sleep(0.002)
    kernel.activate()
    with pytest.raises(DeadlineExpiredError):
        late.result(W)
    assert isinstance(late.exception(W), DeadlineExpiredError)
    assert in_time.result(W) == Number(2)


def test_a_handler_that_takes_longer_than_the_deadline_is_not_stopped(rt: rk.Runtime, gate: Gate, threads: Any) -> None:
    """The deadline is for its beginning."""
    kernel = rt.launch(gate)
    calling = threads.start(lambda: kernel.call(Number(1), timeout=W, deadline=5.0))
    assert gate.entered.wait(W)
    time.sleep(0.002)
    gate.open.set()
    assert calling.result() == Number(1)


def test_messages_expire_behind_a_handler_that_takes_long(rt: rk.Runtime, gate: Gate) -> None:
    """Also within one run of messages."""
    kernel = rt.launch(gate, autostart=False)
    kernel.send(Number(1))
    kernel.send(Number(2), deadline=0.001)
    kernel.send(Number(3))
    kernel.activate()
    assert gate.entered.wait(W)
    time.sleep(0.005)
    gate.open.set()
    kernel.terminate(W)
    assert gate.handled == [1, 3]


def test_an_expired_message_wakes_neither_max_failures_nor_a_supervisor(rt: rk.Runtime) -> None:
    kernels = [
        rt.launch(echo, name="alone", max_failures=0, autostart=False),
        rt.launch(echo, name="watched", supervisor=rt.supervisor(intensity=0), autostart=False),
    ]
    for kernel in kernels:
        for n in range(5):
            kernel.send(Number(n), deadline=0.0)
        time.sleep(0.002)
        kernel.activate()
        assert kernel.call(Number(9), timeout=W) == Number(9)
        assert (kernel.state, kernel.restarts, kernel.telemetry().expired) == (S.ACTIVE, 0, 5)


def test_deadlines_and_priorities_go_together(rt: rk.Runtime) -> None:
    seen: list[tuple[int, int]] = []
    kernel = rt.launch(by_priority(seen), autostart=False)
    kernel.send(Number(1), priority=P.CRITICAL, deadline=0.0)
    kernel.send(Number(2), priority=P.LOW, deadline=W)
    kernel.send(Number(3), priority=P.HIGH, deadline=W)
    time.sleep(0.002)
    kernel.activate()
    kernel.terminate(W)
    assert seen == [(P.HIGH, 3), (P.LOW, 2)]


def test_a_message_between_kernels_may_have_a_deadline(rt: rk.Runtime) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)

    def first(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("target", Number(1), deadline=0.001)
        ctx.send("target", Number(2), deadline=W)
        ctx.send("target", Number(3))
        return msg

    rt.launch(first, publishes_to=["target"]).call(Number(), timeout=W)
    time.sleep(0.005)
    target.activate()
    target.terminate(W)
    assert seen == [2, 3]


def test_a_deadline_does_not_pass_to_what_the_handler_sends(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def last(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.header.deadline)

    def first(ctx: rk.Context, msg: Number) -> None:
        assert msg.header.deadline != 0
        ctx.send("last", msg)

    rt.launch(last)
    rt.launch(first, publishes_to=["last"]).send(Number(1), deadline=W)
    until(lambda: seen == [0])


@pytest.mark.parametrize("deadline", [-1, -1e-9, -math.inf, math.nan, math.inf, 1e300, "1", b"1", [1]], ids=repr)
def test_a_deadline_that_cannot_be_is_refused(rt: rk.Runtime, deadline: Any) -> None:
    kernel = rt.launch(sink)
    for use in (
        lambda: kernel.send(Number(), deadline=deadline),
        lambda: kernel.try_send(Number(), deadline=deadline),
        lambda: kernel.call(Number(), deadline=deadline),
        lambda: kernel.ask(Number(), deadline=deadline),
    ):
        with pytest.raises(InvalidArgumentError, match="deadline: found .*need seconds from now"):
            use()
    assert kernel.stats().accepted == 0


@pytest.mark.parametrize("deadline", [-1.0, math.nan, math.inf])
def test_a_handler_with_a_deadline_that_cannot_be_learns_it(rt: rk.Runtime, deadline: float) -> None:
    def wrong(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("host", msg, deadline=deadline)
        return msg

    kernel = rt.launch(wrong)
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert kernel.outbox_stats().accepted == 1  # the answer of the error alone


# -- duplicates


def test_a_message_id_that_was_seen_is_dropped_and_counted(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=16)
    for n, message_id in enumerate([7, 8, 7, 7, 9, 8]):
        kernel.send(Number(n), message_id=message_id)
    kernel.terminate(W)
    assert seen == [0, 1, 4]
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dropped, s.dead_lettered, s.in_flight) == (6, 3, 3, 0, 0)
    assert kernel.telemetry().dropped == 3


def test_without_dedup_ids_may_repeat(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    for n in range(3):
        kernel.send(Number(n), message_id=5)
    kernel.terminate(W)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("window", [1, 2, 3, 64, 100])
def test_the_last_n_ids_are_remembered_and_no_more(rt: rk.Runtime, window: int) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=window, capacity=1024)
    ids = list(range(1, window + 1))
    for message_id in [*ids, *ids]:  # all of them are known the second time
        kernel.send(Number(message_id), message_id=message_id)
    kernel.send(Number(999), message_id=999)  # which pushes the first one out
    kernel.send(Number(1), message_id=1)
    kernel.terminate(W)
    assert seen == [*ids, 999, 1]


@pytest.mark.parametrize("seed", range(4))
def test_dedup_does_what_a_list_of_the_last_ids_does(rt: rk.Runtime, seed: int) -> None:
    choose = random.Random(seed)
    window = choose.choice([1, 5, 32])
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=window, capacity=1024)
    recent: list[int] = []
    expected = []
    for n in range(600):
        message_id = choose.choice([choose.randint(1, 2 * window), 2**63 - 1, 2**62])
        kernel.send(Number(n), message_id=message_id)
        if message_id not in recent:
            recent = [*recent, message_id][-window:]
            expected.append(n)
    kernel.terminate(W)
    assert seen == expected


def test_each_instance_remembers_for_itself(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=8, instances=2)
    for instance in (0, 1, 0, 1):
        kernel.send(Number(instance), message_id=3, instance=instance)
    kernel.terminate(W)
    assert sorted(seen) == [0, 1]
    assert kernel.stats().dropped == 2


def test_ids_given_by_the_runtime_are_never_duplicates(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=4096)
    message = Number(1)
    for _ in range(50):
        kernel.send(message)  # the same object: each send gives it an id of its own
    rows = np.zeros(50, Number.dtype)
    assert kernel.send_many(rows) == 50
    kernel.terminate(W)
    assert len(seen) == 100


def test_an_id_of_ones_own_is_never_given_by_the_runtime(rt: rk.Runtime) -> None:
    """Neither is a later message taken for a duplicate, nor does a call get the reply to another message."""
    kernel = rt.launch(echo, dedup=4096, capacity=4096)
    message = Number(0)
    kernel.send(message)
    assert kernel.receive(timeout=W) == message
    near = message.header.message_id % 2**63
    ids = [*range(1, 200), *range(near, near + 200)]
    for message_id in dict.fromkeys(ids):
        kernel.send(Number(1), message_id=message_id)
    for _ in range(200):
        assert kernel.call(Number(2), timeout=W) == Number(2)
    assert kernel.stats().dropped == 0


def test_a_restarted_kernel_still_knows_what_it_has_seen(rt: rk.Runtime) -> None:
    seen: list[int] = []

    def fail_once(ctx: rk.Context, msg: Number) -> Number:
        seen.append(msg.n)
        if msg.n == 1:
            raise ValueError
        return msg

    kernel = rt.launch(fail_once, dedup=8, supervisor=rt.supervisor())
    kernel.send(Number(0), message_id=1)
    kernel.send(Number(1), message_id=2)
    kernel.send(Number(0), message_id=1)
    kernel.send(Number(1), message_id=2)
    assert kernel.call(Number(3), timeout=W) == Number(3)
    assert (seen, kernel.restarts, kernel.stats().dropped) == ([0, 1, 3], 1, 2)


def test_an_id_of_ones_own_is_in_the_header(rt: rk.Runtime) -> None:
    seen: list[int] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.header.message_id)

    kernel = rt.launch(record)
    for message_id in (1, 12345, 2**63 - 1):
        message = Number()
        kernel.send(message, message_id=message_id)
        assert message.header.message_id == message_id
    kernel.terminate(W)
    assert seen == [1, 12345, 2**63 - 1]


def test_a_message_whose_handler_raised_counts_as_seen(rt: rk.Runtime) -> None:
    """At most once: a second try is the sender's decision, under another id."""
    kernel = rt.launch(odd_only, dedup=8)
    for _ in range(3):
        kernel.send(Number(2), message_id=4)
    assert kernel.call(Number(1), timeout=W) == Number(1)
    assert (kernel.error_count, kernel.stats().dropped) == (1, 2)


def test_an_expired_message_does_not_count_as_seen(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), dedup=8, autostart=False)
    kernel.send(Number(1), message_id=4, deadline=0.0)
    kernel.send(Number(2), message_id=4)
    time.sleep(0.002)
    kernel.activate()
    kernel.terminate(W)
    assert seen == [2]


def test_an_operation_for_a_duplicate_ends(rt: rk.Runtime) -> None:
    """It must not wait for a reply that nobody will send."""
    kernel = rt.launch(echo, dedup=8)
    assert kernel.ask(Number(1), message_id=5).result(W) == Number(1)
    again = kernel.ask(Number(2), message_id=5)
    with pytest.raises(InvalidArgumentError, match="message_id: found 5.*echo"):
        again.result(W)
    assert again.done()
    assert kernel.call(Number(3), timeout=W) == Number(3)


@pytest.mark.parametrize("message_id", [0, -1, 2**63, 2**64, "1", 1.0], ids=repr)
def test_a_message_id_that_cannot_be_is_refused(rt: rk.Runtime, message_id: Any) -> None:
    kernel = rt.launch(sink, dedup=8)
    for use in (kernel.send, kernel.try_send):
        with pytest.raises(InvalidArgumentError, match="message_id: found .*need"):
            use(Number(), message_id=message_id)
    assert kernel.stats().accepted == 0


@pytest.mark.parametrize("dedup", [-1, 2**24 + 1, 1.5, "8", None, True], ids=repr)
def test_a_number_of_ids_that_cannot_be_is_refused(rt: rk.Runtime, dedup: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="dedup: found .*need how many"):
        rt.launch(sink, dedup=dedup)
    assert rt.kernels == {}


@pytest.mark.parametrize("verb", ["send", "try_send", "call", "ask"])
def test_options_that_do_not_exist_are_type_errors(rt: rk.Runtime, verb: str) -> None:
    kernel = rt.launch(echo)
    with pytest.raises(TypeError):
        getattr(kernel, verb)(Number(), urgency=1)
    with pytest.raises(TypeError):
        getattr(kernel, verb)()
    with pytest.raises(TypeError):
        getattr(kernel, verb)(Number(), 1.0, 2)
    assert kernel.stats().accepted == 0
