"""Topics: several messages at once, handlers that publish, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Text, recorder, sink

import pyringkernel as rk
from pyringkernel import DeadLetterReason
from pyringkernel.errors import (
    InvalidArgumentError,
    ReceiveTimeoutError,
    RingClosedError,
    RuntimeClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
from topics_parts import balanced, waiting

W = 60.0  # a wait that only a hang uses up


# -- several messages at once, iteration, closing


def test_many_messages_are_received_as_an_array(rt: rk.Runtime) -> None:
    sub = rt.subscribe("t")
    for n in range(100):
        rt.publish("t", Number(n))
    rt.publish("t", Text(b"x"))
    rt.publish("t", Number(100))
    first = sub.receive_many(timeout=W)
    assert first.dtype == Number.dtype
    assert first["n"].tolist() == list(range(100))
    assert len(sub.receive_many(timeout=W)) == 1
    assert sub.receive_many(max=1, timeout=W)["n"].tolist() == [100]
    with pytest.raises(ReceiveTimeoutError):
        sub.receive_many(timeout=0.01)
    with pytest.raises(InvalidArgumentError, match="max"):
        sub.receive_many(max=0)


def test_iteration_ends_when_the_subscription_is_closed(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t", capacity=1024)
    reader = threads.start(lambda: [message.n for message in sub])
    for n in range(500):
        rt.publish("t", Number(n))
    sub.close()
    assert reader.result() == list(range(500))


def test_what_is_there_can_be_received_after_the_close(rt: rk.Runtime) -> None:
    with rt.subscribe("t") as sub:
        for n in range(3):
            rt.publish("t", Number(n))
    assert sub.closed
    assert rt.publish("t", Number(3)) == 0
    assert sub.receive(timeout=W) == Number(0)
    assert list(sub) == [Number(1), Number(2)]
    assert sub.try_receive() is None
    for use in (sub.receive, sub.receive_many):
        with pytest.raises(RingClosedError, match="'t'"):
            use()
    sub.close()
    assert (sub.stats().accepted, sub.stats().delivered) == (3, 3)


def test_a_receiver_that_waits_wakes_when_its_subscription_is_closed(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t")
    readers = [threads.start(sub.receive) for _ in range(3)]
    sub.close()
    assert all(isinstance(one.error(), RingClosedError) for one in readers)


def test_a_closed_runtime_closes_its_subscriptions(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t")
    rt.publish("t", Number(1))
    rt.close()
    assert sub.closed
    assert list(sub) == [Number(1)]
    with pytest.raises(RuntimeClosedError):
        rt.publish("t", Number(2))
    with pytest.raises(RuntimeClosedError):
        rt.subscribe("t")
    sub.close()


def test_a_subscription_says_what_it_is(rt: rk.Runtime) -> None:
    sub = rt.subscribe("a/#")
    rt.publish("a/b", Number(1))
    assert repr(sub) == "<Subscription 'a/#' to host in=1>"
    assert repr(rt.subscribe("b", rt.launch(sink))).startswith("<Subscription 'b' to 'sink'")
    sub.close()
    assert "closed" in repr(sub)


# -- handlers that publish


def test_a_handler_publishes(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def splitter(ctx: rk.Context, msg: Number) -> Number:
        reached = sum(ctx.publish(f"digit/{digit}", Number(int(digit))) for digit in str(msg.n))
        return Number(reached)

    even, every = rt.subscribe("digit/2"), rt.subscribe("digit/*")
    assert rt.launch(splitter).call(Number(1232), timeout=W) == Number(6)
    assert waiting(even) == [2, 2]
    assert waiting(every) == [1, 2, 3, 2]


def test_what_a_handler_retains_waits_for_subscribers(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def keeper(ctx: rk.Context, msg: Number) -> Number:
        ctx.publish("last", msg, retain=True)
        return msg

    kernel = rt.launch(keeper)
    for n in range(3):
        kernel.call(Number(n), timeout=W)
    assert waiting(rt.subscribe("last")) == [2]


def test_a_handler_does_not_wait_for_a_subscriber_that_blocks(rt: rk.Runtime) -> None:
    @rk.kernel(compiled=False)
    def eager(ctx: rk.Context, msg: Number) -> Number:
        return Number(sum(ctx.publish("t", Number(n)) for n in range(msg.n)))

    sub = rt.subscribe("t", capacity=4, overflow="block")
    assert rt.launch(eager).call(Number(10), timeout=W) == Number(4)
    assert waiting(sub) == [0, 1, 2, 3]
    assert rt.dead_letters.stats().by_reason[DeadLetterReason.SUBSCRIBER_FULL] == 6


def test_a_kernel_may_publish_to_itself(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    seen: list[int] = []

    @rk.kernel(compiled=False)
    def countdown(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)
        if msg.n > 0:
            ctx.publish("count", Number(msg.n - 1))

    rt.subscribe("count", rt.launch(countdown))
    rt.publish("count", Number(300))
    until(lambda: len(seen) == 301)
    assert seen == list(range(300, -1, -1))


def test_a_chain_of_topics_carries_every_message_once(rt: rk.Runtime, until: Callable[..., Any]) -> None:
    def stage(level: int) -> Any:
        def forward(ctx: rk.Context, msg: Number) -> None:
            ctx.publish(f"stage/{level + 1}", msg)

        return forward

    for level in range(5):
        kernel = rt.launch(stage(level), name=f"stage{level}", accepts=[Number])
        rt.subscribe(f"stage/{level}", kernel, capacity=1024)
    end = rt.subscribe("stage/5", capacity=1024)
    for n in range(500):
        rt.publish("stage/0", Number(n))
    assert [end.receive(timeout=W).n for _ in range(500)] == list(range(500))
    assert len(rt.dead_letters) == 0


# -- many at once


def test_the_messages_of_each_publisher_stay_in_order(rt: rk.Runtime, threads: Any) -> None:
    publishers, each = 6, 400
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    rt.subscribe("t/#", kernel, capacity=4096)
    subs = [rt.subscribe(pattern, capacity=4096) for pattern in ("t/#", "t/*", "#")]

    def publish(index: int) -> int:
        return sum(rt.publish(f"t/{index}", Number(index * each + n)) for n in range(each))

    assert sum(threads.run_all(publishers, publish)) == publishers * each * 4
    kernel.terminate()
    for got in (seen, *map(waiting, subs)):
        assert sorted(got) == list(range(publishers * each))
        for index in range(publishers):
            mine = [n for n in got if n // each == index]
            assert mine == sorted(mine)
    assert len({tuple(waiting(sub)) for sub in subs}) == 1, "drained"


def test_handlers_and_threads_publish_into_one_subscription(rt: rk.Runtime, threads: Any) -> None:
    each = 300

    def forward(ctx: rk.Context, msg: Number) -> None:
        ctx.publish("all", msg)

    kernels = [rt.launch(forward, name=f"k{i}", accepts=[Number]) for i in range(3)]
    sub = rt.subscribe("all", capacity=4096)

    def feed(index: int) -> None:
        for n in range(each):
            message = Number(index * each + n)
            if index < 3:
                kernels[index].send(message)
            else:
                rt.publish("all", message)

    threads.run_all(6, feed)
    got = [sub.receive(timeout=W).n for _ in range(6 * each)]
    assert sorted(got) == list(range(6 * each))
    for index in range(6):
        mine = [n for n in got if n // each == index]
        assert mine == sorted(mine)


def test_subscriptions_may_come_and_go_while_others_publish(rt: rk.Runtime, threads: Any) -> None:
    stay = rt.subscribe("t/#", capacity=4096)
    done = []

    def publish(index: int) -> None:
        for n in range(500):
            rt.publish(f"t/{n % 3}", Number(index * 500 + n), retain=n % 50 == 0)
        done.append(index)

    def visit(index: int) -> int:
        total = 0
        while len(done) < 2:
            with rt.subscribe(("t/1", "t/*", "#")[index % 3], capacity=4) as sub:
                stats = sub.stats()
                assert balanced(stats)
                total += len(waiting(sub))
        return total

    threads.run_all(4, lambda i: publish(i) if i < 2 else visit(i))
    got = waiting(stay)
    assert sorted(got) == list(range(1000))
    totals = rt.telemetry().stats
    assert balanced(totals)
    assert totals.dead_lettered == rt.dead_letters.stats().total


def test_several_threads_read_one_subscription(rt: rk.Runtime, threads: Any) -> None:
    sub = rt.subscribe("t", capacity=2048)

    def read() -> list[int]:
        return [message.n for message in sub]

    readers = [threads.start(read) for _ in range(4)]
    for n in range(1000):
        rt.publish("t", Number(n))
    sub.close()
    parts = [one.result() for one in readers]
    assert sorted(n for part in parts for n in part) == list(range(1000))
    assert all(part == sorted(part) for part in parts)


def test_counts_survive_the_subscription(rt: rk.Runtime) -> None:
    for n in range(5):
        with rt.subscribe("t", capacity=2) as sub:
            for k in range(4):
                rt.publish("t", Number(10 * n + k))
            waiting(sub)
    totals = rt.telemetry().stats
    assert balanced(totals)
    assert (totals.accepted, totals.delivered, totals.dead_lettered) == (20, 10, 10)
