"""send, try_send, send_many, receive, receive_many, call, ctx.reply: what goes in, what comes out, in which order."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from actors import Gate, Number, Stamp, Text, Unknown, Values, double, echo, either, recorder, scaler, sink

import pyringkernel as rk
from pyringkernel.errors import (
    CallTimeoutError,
    InvalidArgumentError,
    ReceiveTimeoutError,
    RingTimeoutError,
    WrongMessageError,
)

W = 60.0  # a wait that only a hang uses up


def numbers(*values: int) -> np.ndarray[Any, Any]:
    batch = np.zeros(len(values), Number.dtype)
    batch["n"] = values
    return batch


# -- one message


def test_a_call_returns_the_reply(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)
    request = Number(21)
    assert kernel.call(request, timeout=W) == Number(42)
    assert kernel.call(request, W) == Number(42)
    assert kernel.call(request) == Number(42)
    assert request == Number(21)


def test_arrays_go_there_and_back(rt: rk.Runtime) -> None:
    kernel = rt.launch(scaler)
    data = np.linspace(-1, 1, 64, dtype=np.float32)
    reply = kernel.call(Values(2.5, data), timeout=W)
    np.testing.assert_array_equal(reply.data, data * np.float32(2.5))


def test_a_handler_changes_its_own_copy_of_a_message(rt: rk.Runtime) -> None:
    kernel = rt.launch(scaler)
    request = Values(2, np.ones(64))
    kernel.call(request, timeout=W)
    assert request.data.tolist() == [1] * 64


def test_what_was_sent_is_what_the_message_held_when_it_was_sent(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    message = Number(1)
    for n in range(5):
        message.n = n
        kernel.send(message)
    kernel.activate()
    kernel.terminate()
    assert seen == [0, 1, 2, 3, 4]


def test_a_union_is_dispatched_on_the_class(rt: rk.Runtime) -> None:
    kernel = rt.launch(either)
    assert set(kernel.accepts) == {Number, Text}
    assert kernel.call(Number(1), timeout=W) == Number(2)
    assert kernel.call(Text(b"abc"), timeout=W) == Text(b"ABC")


def test_replies_of_sends_are_received_in_order(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)
    for n in range(300):
        kernel.send(Number(n))
    assert [kernel.receive(timeout=W).n for _ in range(300)] == [2 * n for n in range(300)]


@pytest.mark.parametrize("wrong", [Text(b"x"), Unknown(), None, 5, b"bytes", Number], ids=repr)
def test_a_message_that_the_handler_does_not_take_is_refused(rt: rk.Runtime, wrong: Any) -> None:
    kernel = rt.launch(echo)
    for give in (kernel.send, kernel.try_send, kernel.call):
        with pytest.raises(WrongMessageError, match="echo"):
            give(wrong)
    assert kernel.stats().accepted == 0


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", b"", [1]], ids=repr)
def test_a_timeout_that_cannot_be_is_refused(rt: rk.Runtime, timeout: Any) -> None:
    kernel = rt.launch(sink)
    for use in (
        lambda: kernel.send(Number(1), timeout=timeout),
        lambda: kernel.call(Number(1), timeout=timeout),
        lambda: kernel.receive(timeout=timeout),
    ):
        with pytest.raises(InvalidArgumentError, match="timeout"):
            use()
    for use in (lambda: kernel.send_many(numbers(1), timeout=timeout), lambda: kernel.receive_many(timeout=timeout)):
        with pytest.raises((InvalidArgumentError, TypeError)):
            use()
    assert kernel.stats().accepted == 0


def test_wrong_calls_are_type_errors(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    for use in (
        lambda: kernel.send(),
        lambda: kernel.send(Number(1), 1, 2),
        lambda: kernel.send(Number(1), wait=1),
        lambda: kernel.try_send(),
        lambda: kernel.receive(1, 2),
        lambda: kernel.receive(wait=1),
        lambda: kernel.call(),
        lambda: kernel.call(Number(1), 1, 2),
        lambda: kernel.call(Number(1), wait=1),
        lambda: kernel.send(foo=Number(1)),
    ):
        with pytest.raises(TypeError):
            use()


def test_nothing_to_receive_is_a_timeout(rt: rk.Runtime) -> None:
    kernel = rt.launch(sink)
    kernel.send(Number(1))
    start = time.monotonic()
    with pytest.raises(ReceiveTimeoutError, match=r"sink.*0\.03"):
        kernel.receive(timeout=0.03)
    with pytest.raises(ReceiveTimeoutError):
        kernel.receive_many(timeout=0.03)
    assert time.monotonic() - start >= 0.06
    with pytest.raises(ReceiveTimeoutError):
        kernel.receive(timeout=0)


def test_a_call_that_gets_no_reply_is_a_timeout(rt: rk.Runtime) -> None:
    kernel = rt.launch(sink)
    start = time.monotonic()
    with pytest.raises(CallTimeoutError, match=r"sink.*0\.03"):
        kernel.call(Number(1), timeout=0.03)
    assert time.monotonic() - start >= 0.03
    kernel.terminate()
    assert kernel.stats().delivered == 1


def test_a_late_reply_is_not_the_reply_of_the_next_call(rt: rk.Runtime, gate: Gate) -> None:
    kernel = rt.launch(gate)
    with pytest.raises(CallTimeoutError):
        kernel.call(Number(1), timeout=0.02)
    gate.open.set()
    assert kernel.call(Number(2), timeout=W) == Number(2)
    assert kernel.receive(timeout=W) == Number(1)  # nobody waits for it any more


# -- several replies, none, other classes


def test_a_handler_may_reply_several_times_and_return_one_more(rt: rk.Runtime) -> None:
    def many(ctx: rk.Context, msg: Number) -> Number:
        for n in range(3):
            ctx.reply(Number(msg.n + n))
        return Number(msg.n + 3)

    kernel = rt.launch(many)
    kernel.send(Number(10))
    assert [kernel.receive(timeout=W).n for _ in range(4)] == [10, 11, 12, 13]
    assert kernel.call(Number(20), timeout=W) == Number(20)  # the first reply is the answer
    assert [kernel.receive(timeout=W).n for _ in range(3)] == [21, 22, 23]


def test_a_reply_without_a_return_value_answers_the_call(rt: rk.Runtime) -> None:
    def reply_only(ctx: rk.Context, msg: Number) -> None:
        ctx.reply(Text(b"%d" % msg.n))

    assert rt.launch(reply_only).call(Number(7), timeout=W) == Text(b"7")


def test_a_reply_may_be_of_any_message_class(rt: rk.Runtime) -> None:
    def other(ctx: rk.Context, msg: Number) -> Unknown:
        return Unknown(msg.n)

    assert rt.launch(other).call(Number(7), timeout=W) == Unknown(7)


def test_messages_larger_than_the_default_need_room(rt: rk.Runtime) -> None:
    @rk.message
    class Large:
        data: rk.Array[rk.u8, 1000]

    def grow(ctx: rk.Context, msg: Number) -> None:
        ctx.reply(Large(np.full(1000, msg.n, "u1")))

    kernel = rt.launch(grow, max_message_size=1000)
    assert kernel.call(Number(9), timeout=W).data.tolist() == [9] * 1000
    annotated = rt.launch(lambda ctx, msg: msg, name="large", accepts=[Large])
    assert annotated.call(Large(np.ones(1000, "u1")), timeout=W).data.sum() == 1000


# -- batches


def test_batches_go_in_and_out_as_arrays(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)
    assert kernel.send_many(numbers(*range(500))) == 500
    got: list[int] = []
    while len(got) < 500:
        batch = kernel.receive_many(max=64, timeout=W)
        assert batch.dtype == Number.dtype
        assert 1 <= len(batch) <= 64
        got += batch["n"].tolist()
    assert got == [2 * n for n in range(500)]


def test_a_received_batch_is_writable_and_ones_own(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    kernel.send_many(numbers(1, 2, 3))
    batch = kernel.receive_many(timeout=W)
    batch["n"] += 1
    while len(batch) < 3:
        batch = np.concatenate([batch, kernel.receive_many(timeout=W)])


def test_a_batch_holds_messages_of_one_class(rt: rk.Runtime) -> None:
    kernel = rt.launch(either, autostart=False)
    kernel.send(Number(1))
    kernel.send(Number(2))
    kernel.send(Text(b"a"))
    kernel.send(Number(3))
    kernel.activate()
    kernel.terminate()
    batches = [kernel.receive_many(timeout=W) for _ in range(3)]
    assert [b.dtype for b in batches] == [Number.dtype, Text.dtype, Number.dtype]
    assert [batches[0]["n"].tolist(), batches[2]["n"].tolist()] == [[2, 3], [4]]


def test_an_array_of_another_dtype_is_refused(rt: rk.Runtime) -> None:
    kernel = rt.launch(either)
    for wrong in (np.zeros(3), np.zeros(3, Values.dtype), [Number(1)], None, b"12345678", Number(1)):
        with pytest.raises(WrongMessageError, match="Number"):
            kernel.send_many(wrong)
    with pytest.raises((WrongMessageError, TypeError)):
        kernel.send_many(np.zeros((2, 2), Number.dtype))
    assert kernel.send_many(numbers()) == 0
    assert kernel.stats().accepted == 0


def test_a_strided_batch_is_sent_in_order(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    assert kernel.send_many(numbers(*range(10))[::-3]) == 4
    assert [kernel.receive(timeout=W).n for _ in range(4)] == [9, 6, 3, 0]


@pytest.mark.parametrize("most", [0, -1])
def test_a_batch_has_at_least_one_message(rt: rk.Runtime, most: int) -> None:
    with pytest.raises(InvalidArgumentError):
        rt.launch(echo).receive_many(max=most, timeout=0)


# -- back-pressure


def test_a_full_inbox_is_false_for_try_send_and_a_timeout_for_send(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), capacity=2, autostart=False)
    assert kernel.try_send(Number(0)) is True
    assert kernel.try_send(Number(1)) is True
    assert kernel.try_send(Number(2)) is False
    start = time.monotonic()
    for give in (lambda: kernel.send(Number(3), timeout=0.02), lambda: kernel.send(Number(3), 0.02)):
        with pytest.raises(RingTimeoutError, match="inbox"):
            give()
    with pytest.raises(CallTimeoutError):
        kernel.call(Number(3), timeout=0.02)
    assert kernel.send_many(numbers(4, 5), timeout=0.02) == 0
    assert time.monotonic() - start >= 0.08
    assert kernel.stats().in_flight == 2
    kernel.activate()
    kernel.terminate()
    assert seen == [0, 1]


def test_a_send_waits_until_a_full_inbox_has_room(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), capacity=2, autostart=False)

    def produce() -> None:
        for n in range(20):
            kernel.send(Number(n), timeout=W)
        kernel.send_many(numbers(*range(20, 40)), timeout=None)

    producer = threads.start(produce)
    time.sleep(0.02)
    kernel.activate()
    producer.result()
    kernel.terminate()
    assert seen == list(range(40))


def test_a_batch_that_does_not_fit_is_sent_in_part(rt: rk.Runtime) -> None:
    kernel = rt.launch(sink, capacity=4, autostart=False)
    assert kernel.send_many(numbers(*range(10)), timeout=0.01) == 4
    assert kernel.stats().in_flight == 4


def test_a_send_that_waits_ends_when_the_kernel_does(rt: rk.Runtime, threads: Any) -> None:
    from pyringkernel.errors import KernelTerminatedError

    kernel = rt.launch(sink, capacity=2, autostart=False)

    def fill() -> None:
        while True:
            kernel.send(Number(1), timeout=W)

    filling = threads.start(fill)
    while kernel.stats().in_flight < 2:
        time.sleep(0.001)
    kernel.terminate()
    assert isinstance(filling.error(), KernelTerminatedError)


@pytest.mark.parametrize("capacity", [1, 2, 8])
def test_a_kernel_waits_for_room_in_its_outbox_and_loses_nothing(rt: rk.Runtime, capacity: int, threads: Any) -> None:
    kernel = rt.launch(double, capacity=capacity)
    producer = threads.start(lambda: [kernel.send(Number(n), timeout=W) for n in range(100)])
    assert [kernel.receive(timeout=W).n for _ in range(100)] == [2 * n for n in range(100)]
    producer.result()


# -- headers and time


def test_headers_tell_who_when_and_what_for(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    request = Number(1)
    request.header.priority = rk.Priority.HIGH
    reply = kernel.call(request, timeout=W)
    assert request.header.message_id > 0
    assert request.header.dest == reply.header.source == kernel.address
    assert reply.header.correlation_id == request.header.message_id
    assert reply.header.hops == request.header.hops + 1 == 1
    assert reply.header.type_id == Number.type_id
    assert reply.header.payload_size == Number.wire_size
    assert reply.header.priority == rk.Priority.HIGH


def test_message_ids_are_unique_over_all_kernels_of_a_runtime(rt: rk.Runtime) -> None:
    kernels = [rt.launch(echo, name=f"k{n}") for n in range(3)]
    ids = []
    for kernel in kernels * 10:
        request = Number(1)
        kernel.call(request, timeout=W)
        ids.append(request.header.message_id)
    assert len(set(ids)) == 30


def test_a_handler_sees_the_header_of_its_message(rt: rk.Runtime) -> None:
    def show(ctx: rk.Context, msg: Number) -> Stamp:
        stamp = msg.header.timestamp
        return Stamp(stamp.time, msg.header.priority, msg.header.correlation_id)

    request = Number(1)
    request.header.priority, request.header.correlation_id = rk.Priority.CRITICAL, 77
    reply = rt.launch(show).call(request, timeout=W)
    assert (reply.time, reply.node_id, reply.shard_id) == (request.header.hlc, rk.Priority.CRITICAL, 77)


def test_time_moves_forward_from_the_request_through_the_handler_to_the_reply(rt: rk.Runtime) -> None:
    inside: list[rk.HlcTimestamp] = []

    def stamp(ctx: rk.Context, msg: Number) -> Number:
        inside.extend([msg.header.timestamp, ctx.now(), ctx.tick(), ctx.tick(), ctx.now()])
        return msg

    kernel = rt.launch(stamp)
    for n in range(50):
        inside.clear()
        before = rt.tick()
        reply = kernel.call(Number(n), timeout=W)
        after = rt.tick()
        request, now, tick, tick2, now2 = inside
        assert before < request < tick < tick2 < reply.header.timestamp < after
        assert request <= now <= tick
        assert tick2 <= now2
        assert rt.now() >= after


def test_stamps_of_a_kernel_carry_its_node_and_its_own_shard(backend: str) -> None:
    def stamp(ctx: rk.Context, msg: Number) -> Stamp:
        tick = ctx.tick()
        return Stamp(tick.time, tick.node_id, tick.shard_id)

    with rk.Runtime(backend=backend, node_id=4095) as rt:
        replies = [rt.launch(stamp, name=name).call(Number(1), timeout=W) for name in "ab"]
        assert {reply.node_id for reply in replies} == {4095}
        assert len({reply.shard_id for reply in replies} | {0}) == 3
        assert rt.tick().node_id == 4095
        for reply in replies:
            assert (reply.header.timestamp.node_id, reply.header.timestamp.shard_id) == (4095, reply.shard_id)


def test_the_context_says_where_it_runs(rt: rk.Runtime) -> None:
    found: list[Any] = []

    def show(ctx: rk.Context, msg: Number) -> Number:
        ctx.sync_threads()
        ctx.sync_warp()
        ctx.sync_grid()
        found.append(
            (
                ctx.thread_id(),
                ctx.block_id(),
                ctx.global_thread_id(),
                ctx.warp_id(),
                ctx.lane_id(),
                ctx.block_dim(),
                ctx.grid_dim(),
                ctx.instance_id(),
                ctx.is_terminating(),
            )
        )
        return Number(ctx.kernel_id())

    kernel = rt.launch(show)
    assert kernel.call(Number(1), timeout=W).n == kernel.address >> 36 & 0xFFFF
    assert found == [(0, 0, 0, 0, 0, 1, 1, 0, False)]


# -- counts


def test_counts_are_conserved_in_both_directions(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)
    for n in range(40):
        kernel.send(Number(n))
    for n in range(10):
        kernel.call(Number(n), timeout=W)
    for _ in range(40):
        kernel.receive(timeout=W)
    kernel.terminate()
    for s in (kernel.stats(), kernel.outbox_stats()):
        assert (s.accepted, s.delivered, s.dropped, s.dead_lettered, s.in_flight) == (50, 50, 0, 0, 0)
    telemetry = kernel.telemetry()
    assert (telemetry.processed, telemetry.handler.count, telemetry.queueing.count) == (50, 50, 50)
    assert telemetry.handler.min_ns <= telemetry.handler.mean_ns <= telemetry.handler.max_ns
    assert (telemetry.accepted, telemetry.in_flight, telemetry.dropped, telemetry.failed) == (50, 0, 0, 0)
