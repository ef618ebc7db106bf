"""Compiled handlers that send: to the host, to themselves, to others, to topics; and what happens when nobody takes it."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Number, Tally, recorder, tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason

S = rk.KernelState
W = 60.0


@rk.message
class Order:
    n: rk.u64 = 0
    instance: rk.u32 = 0
    priority: rk.u32 = 1
    deadline: rk.f64 = 0.0


@rk.message
class Facts:
    delivered: rk.u32 = 0
    pending: rk.u64 = 0
    free: rk.u64 = 0


@rk.kernel(publishes_to=["target"])
def forward(ctx: rk.Context, msg: Number) -> Number:
    ctx.send("target", msg)
    return msg


@rk.kernel
def burst(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    """Sends 0, 1, ...; its state says how many were taken."""
    state.seen = 0
    for n in range(msg.n):
        ctx.send("target", Number(n))
        state.seen += 1
    return msg


def fails(kernel: rk.Kernel, message: Any) -> str:
    """Why, as its dead letter says; the caller is told too."""
    with pytest.raises(rk.HandlerError) as caught:
        kernel.call(message, timeout=W)
    (letter,) = kernel._runtime.dead_letters.drain()
    assert letter.reason is DeadLetterReason.HANDLER_FAILED
    return str(caught.value.__cause__ or caught.value) + "\n" + letter.error


def balanced(stats: Any) -> bool:
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)


# -- to the host, to itself, to others


def test_what_is_sent_to_the_host_is_received_in_order_with_the_replies(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def many(ctx: rk.Context, msg: Number) -> Number:
        for i in range(msg.n):
            ctx.send("host", Number(i))
        ctx.reply(Number(100))
        ctx.reply(Number(101))
        return Number(102)

    kernel = rt.launch(many, **engine)
    kernel.send(Number(3))
    assert [kernel.receive(timeout=W).n for _ in range(6)] == [0, 1, 2, 100, 101, 102]
    assert kernel.call(Number(0), timeout=W).n == 100  # the first one answers, the others are for receive()
    assert [kernel.receive(timeout=W).n for _ in range(2)] == [101, 102]


def test_a_handler_sends_to_its_own_kernel(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel(id="countdown")
    def count_down(ctx: rk.Context, state: Tally, msg: Number) -> None:
        state.seen += 1
        if msg.n == 0:
            ctx.send("host", Number(state.seen))
        else:
            ctx.send("countdown", Number(msg.n - 1))

    kernel = rt.launch(count_down, **engine)
    kernel.send(Number(500))
    assert kernel.receive(timeout=W) == Number(501)


def test_replies_of_compiled_kernels_come_back_to_compiled_kernels(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def squares(ctx: rk.Context, msg: Order) -> Number:
        return Number(msg.n * msg.n)

    @rk.kernel(publishes_to=["squares"])
    def sums(ctx: rk.Context, state: Tally, msg: Number | Order) -> None:
        if isinstance(msg, Order):
            state.seen = msg.n
            state.total = 0
            for i in range(msg.n):
                ctx.send("squares", Order(n=i))
        else:
            state.seen -= 1
            state.total += msg.n
            if state.seen == 0:
                ctx.send("host", Number(state.total))

    rt.launch(squares, **engine)
    kernel = rt.launch(sums, **engine)
    for count in (1, 10, 300):
        kernel.send(Order(n=count))
        assert kernel.receive(timeout=W) == Number(sum(i * i for i in range(count)))


def test_instance_priority_and_deadline_of_a_send(rt: rk.Runtime, engine: Any, until: Any) -> None:
    seen: list[tuple[int, int, int]] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.n, ctx.instance_id(), int(msg.header.priority)))

    @rk.kernel(publishes_to=["target"])
    def post(ctx: rk.Context, msg: Order) -> Number:
        ctx.send("target", Number(msg.n), instance=msg.instance, priority=msg.priority, deadline=msg.deadline)
        return Number(msg.n)

    target = rt.launch(record, name="target", instances=3, autostart=False)
    kernel = rt.launch(post, **engine)
    orders = [Order(n, n % 3, n % 4) for n in range(12)]
    orders += [Order(20, 0, 9), Order(21, 0, 1, 1000.0), Order(22, 0, 1, -1.0), Order(23, 0, 1, 1e-9)]
    orders += [Order(24, 0, 1, float("inf")), Order(25, 0, 1, 3e9), Order(26, 0, 1, float("nan"))]
    for order in orders:
        assert kernel.call(order, timeout=W).n == order.n
    assert "gone" in fails(kernel, Order(1, instance=3)) or "instance" in str(kernel.last_error)
    target.activate()
    until(lambda: len(seen) == len(orders) - 1)
    expected = {(n, n % 3, n % 4) for n in range(12)} | {(20, 0, 3)} | {(n, 0, 1) for n in (21, 22, 24, 25, 26)}
    assert set(seen) == expected
    for index in range(3):  # what is more urgent came first
        priorities = [priority for _, instance, priority in seen if instance == index]
        assert priorities == sorted(priorities, reverse=True)
    (letter,) = rt.dead_letters.browse()
    assert (letter.message.n, letter.reason) == (23, DeadLetterReason.EXPIRED)


def test_a_reply_has_the_priority_of_its_request(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def level(ctx: rk.Context, msg: Number) -> Number:
        return Number(rk.u64(msg.header.priority))

    kernel = rt.launch(level, **engine)
    for priority in rk.Priority:
        answer = kernel.call(Number(), timeout=W, priority=priority)
        assert (answer.n, answer.header.priority) == (priority, priority)


def test_what_is_sent_has_normal_priority_unless_told(rt: rk.Runtime, engine: Any, until: Any) -> None:
    seen: list[tuple[int, int]] = []

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.n, int(msg.header.priority)))

    @rk.kernel(publishes_to=["target"])
    def pass_on(ctx: rk.Context, msg: Number) -> None:
        ctx.send("target", msg)
        ctx.send("target", Number(msg.n + 1), priority=rk.Priority.LOW)
        ctx.publish("topic", Number(msg.n + 2))

    target = rt.launch(record, name="target")
    rt.subscribe("topic", target)
    rt.launch(pass_on, **engine).send(Number(0), priority=rk.Priority.CRITICAL)
    until(lambda: sorted(seen) == [(0, 1), (1, 0), (2, 1)])


def test_a_reply_for_a_kernel_that_is_gone_is_no_failure(rt: rk.Runtime, engine: Any, until: Any) -> None:
    server = rt.launch(tally, autostart=False, max_failures=0, **engine)

    @rk.kernel(publishes_to=["tally"])
    def client(ctx: rk.Context, msg: Number) -> None:
        ctx.send("tally", msg)

    asking = rt.launch(client, **engine)
    for n in range(10):
        asking.send(Number(n))
    until(lambda: asking.telemetry().processed == 10)
    asking.terminate()
    server.activate()
    assert server.call(Number(5), timeout=W) == Number(50)
    assert (server.state, server.error_count) == (S.ACTIVE, 0)


# -- who may send to whom


def test_a_target_that_was_not_declared_is_refused_by_launch(rt: rk.Runtime, engine: Any) -> None:
    rt.launch(recorder([]), name="target")
    with pytest.raises(rk.UndeclaredTargetError, match=r"'burst' sends to 'target', .*publishes_to.*connect"):
        rt.launch(burst, **engine)
    assert list(rt.kernels) == ["target"]
    kernel = rt.launch(burst, publishes_to=["target"], **engine)
    assert kernel.call(Number(3), timeout=W) == Number(3)


def test_an_edge_may_be_made_before_activation(rt: rk.Runtime, engine: Any, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target")
    kernel = rt.launch(burst, autostart=False, **engine)
    rt.connect(kernel, target)
    kernel.activate()
    kernel.call(Number(4), timeout=W)
    until(lambda: seen == [0, 1, 2, 3])


def test_a_send_without_an_edge_fails_the_message(rt: rk.Runtime, engine: Any) -> None:
    rt.launch(recorder([]), name="target")
    kernel = rt.launch(burst, autostart=False, **engine)
    kernel.activate()
    told = fails(kernel, Number(2))
    assert "no edge leads there" in told
    assert "rt.connect()" in told


def test_a_receiver_that_is_gone_fails_the_message_until_there_is_another(
    rt: rk.Runtime, engine: Any, until: Any
) -> None:
    first: list[int] = []
    second: list[int] = []
    target = rt.launch(recorder(first), name="target")
    kernel = rt.launch(forward, **engine)
    kernel.call(Number(1), timeout=W)
    until(lambda: first == [1])
    target.terminate()
    told = fails(kernel, Number(2))
    assert "gone" in told or "no kernel is named 'target'" in told
    rt.launch(recorder(second), name="target")
    kernel.call(Number(3), timeout=W)
    until(lambda: second == [3])
    assert first == [1]


# -- back-pressure


def test_a_full_receiver_fails_the_message_and_says_so(rt: rk.Runtime, engine: Any, until: Any) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)
    kernel = rt.launch(burst, autostart=False, **engine)
    rt.connect(kernel, target, capacity=4)
    kernel.activate()
    assert "inbox is full" in fails(kernel, Number(10))
    kernel.deactivate()
    assert kernel.state_object.seen == 4
    target.activate()
    until(lambda: seen == [0, 1, 2, 3])  # what was sent before stays
    assert balanced(kernel.stats())


@pytest.mark.parametrize(
    ("overflow", "arrived"), [("drop_newest", [0, 1, 2, 3]), ("drop_oldest", [6, 7, 8, 9]), ("block", list(range(10)))]
)
def test_overflow_policies(rt: rk.Runtime, engine: Any, until: Any, overflow: Any, arrived: list[int]) -> None:
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)
    kernel = rt.launch(burst, capacity=16, autostart=False, **engine)
    edge = rt.connect(kernel, target, overflow=overflow, capacity=4)
    kernel.activate()
    kernel.send(Number(10))
    kernel.send(Number(0))
    until(lambda: kernel.telemetry().processed >= 1)
    target.activate()
    until(lambda: kernel.telemetry().processed == 2)
    until(lambda: seen == arrived)
    until(lambda: edge.stats().in_flight == 0)
    stats = edge.stats()
    assert balanced(stats)
    assert (stats.delivered, stats.dropped) == (len(arrived), 10 - len(arrived))
    assert kernel.error_count == 0


def test_credits_and_what_waits(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel(publishes_to=["target"])
    def look(ctx: rk.Context, msg: Number) -> Facts:
        ctx.send("target", msg)
        return Facts(pending=ctx.pending(), free=ctx.free_slots("target"))

    rt.launch(recorder([]), name="target", autostart=False, capacity=8)
    kernel = rt.launch(look, autostart=False, **engine)
    operations = [kernel.ask(Number(n)) for n in range(5)]
    kernel.activate()
    found = [one.result(timeout=W) for one in operations]
    assert [one.free for one in found] == [7, 6, 5, 4, 3]
    assert [one.pending for one in found] == [4, 3, 2, 1, 0]


def test_a_kernel_that_is_not_there_has_no_free_slots(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def look(ctx: rk.Context, msg: Number) -> Facts:
        return Facts(free=ctx.free_slots("nobody"))

    kernel = rt.launch(look, autostart=False, **engine)
    kernel.activate()
    assert kernel.call(Number(), timeout=W).free == 0


# -- topics


def test_published_messages_are_counted_and_retained(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def tell(ctx: rk.Context, msg: Number) -> Facts:
        first = ctx.publish("prices/gold", msg)
        second = ctx.publish("prices/silver", Number(msg.n + 1), retain=True)
        ctx.publish("nobody", msg)
        return Facts(delivered=10 * first + second)

    kernel = rt.launch(tell, **engine)
    assert kernel.call(Number(1), timeout=W).delivered == 0
    everything, gold = rt.subscribe("prices/*"), rt.subscribe("prices/gold")
    assert everything.receive(timeout=W) == Number(2)  # retained
    assert kernel.call(Number(5), timeout=W).delivered == 21
    assert [everything.receive(timeout=W).n for _ in range(2)] == [5, 6]
    assert gold.receive(timeout=W) == Number(5)
    assert gold.try_receive() is None
    late = rt.subscribe("prices/#")
    assert late.receive(timeout=W) == Number(6)


def test_a_compiled_kernel_can_subscribe(rt: rk.Runtime, engine: Any, until: Any) -> None:
    kernel = rt.launch(tally, **engine)
    rt.subscribe("numbers", kernel)
    assert [rt.publish("numbers", Number(n)) for n in (1, 2, 3)] == [1, 1, 1]
    until(lambda: kernel.telemetry().processed == 3)
    assert kernel.call(Number(0), timeout=W) == Number(6)
    assert rt.publish("numbers", Order()) == 1
    until(lambda: [one.reason for one in rt.dead_letters.browse()] == [DeadLetterReason.WRONG_TYPE])
    assert kernel.state is S.ACTIVE
