"""Rings between threads: blocking, close, roles and their hand-over, many producers, order."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel.errors import RingClosedError, RingTimeoutError, SecondConsumerError, SecondProducerError

RINGS = [rk.SpscRing, rk.MpscRing]
each_ring = pytest.mark.parametrize("cls", RINGS)
each_layout = pytest.mark.parametrize("layout", ["packed", "turn"])
each_wait = pytest.mark.parametrize("wait", ["latency", "balanced", "throughput"])


@rk.message
class Stamped:
    key: rk.u64
    producer: rk.u32
    n: rk.u32


# -- blocking


@each_ring
@each_layout
@each_wait
def test_everything_sent_arrives_in_order_through_a_tiny_ring(cls: Any, layout: Any, wait: Any, threads: Any) -> None:
    ring = cls(2, dtype="u8", overflow="block", layout=layout, wait=wait)

    def produce() -> None:
        for n in range(500):
            ring.push(np.uint64(n))
        ring.push_many(np.arange(500, 1000, dtype="u8"))
        ring.close()

    producer = threads.start(produce)
    seen: list[int] = []
    with pytest.raises(RingClosedError):
        while True:
            seen.append(int(ring.pop()))
    producer.result()
    assert seen == list(range(1000))
    s = ring.stats()
    assert (s.accepted, s.delivered, s.dropped, s.in_flight) == (1000, 1000, 0, 0)


@each_ring
def test_a_pop_waits_for_the_push_of_another_thread(cls: Any, threads: Any) -> None:
    ring = cls(2)
    for how in (ring.pop, lambda: ring.pop(timeout=60), lambda: ring.pop(None)):
        waiting = threads.start(how)
        time.sleep(0.02)
        ring.push(b"x")
        assert waiting.result() == b"x"


@each_ring
def test_a_peek_waits_for_the_push_of_another_thread(cls: Any, threads: Any) -> None:
    ring = cls(2, 8)

    def look() -> bytes:
        with ring.peek() as slot:
            return bytes(slot)

    waiting = threads.start(look)
    time.sleep(0.02)
    ring.push(b"x")
    assert waiting.result() == b"x"


@each_ring
def test_a_claim_waits_for_room_when_the_ring_blocks(cls: Any, threads: Any) -> None:
    ring = cls(1, 8, overflow="block")

    def produce() -> None:
        for n in range(3):
            with ring.claim() as slot:
                slot[0] = n

    producer = threads.start(produce)
    assert [ring.pop()[0] for _ in range(3)] == [0, 1, 2]
    producer.result()


@each_ring
def test_a_push_waits_for_room_until_its_timeout(cls: Any, threads: Any) -> None:
    ring = cls(1)
    ready = threading.Event()

    def produce() -> None:
        ring.push(b"first")
        with pytest.raises(RingTimeoutError):
            ring.push(b"late", timeout=0.02)
        ready.set()
        ring.push(b"second", timeout=60)

    producer = threads.start(produce)
    assert ready.wait(60)
    assert ring.pop() == b"first"
    producer.result()
    assert ring.pop() == b"second"


@each_ring
@each_layout
@pytest.mark.parametrize("how", ["pop", "pop timeout", "pop_many", "peek"])
def test_close_wakes_a_waiting_consumer(cls: Any, layout: Any, how: str, threads: Any) -> None:
    ring = cls(2, layout=layout)
    waits = {
        "pop": ring.pop,
        "pop timeout": lambda: ring.pop(timeout=1000),
        "pop_many": lambda: ring.pop_many(timeout=None),
        "peek": lambda: ring.peek().__enter__(),
    }
    waiting = threads.start(waits[how])
    time.sleep(0.03)
    ring.close()
    assert isinstance(waiting.error(), RingClosedError)


@each_ring
@each_layout
@pytest.mark.parametrize("how", ["push", "push timeout", "push_many", "claim"])
def test_close_wakes_a_waiting_producer(cls: Any, layout: Any, how: str, threads: Any) -> None:
    ring = cls(1, 8, layout=layout, overflow="block")
    rows = np.zeros((3, 8), "u1")
    waits = {
        "push": lambda: ring.push(b"y"),
        "push timeout": lambda: ring.push(b"y", timeout=1000),
        "push_many": lambda: ring.push_many(rows),
        "claim": lambda: ring.claim().__enter__(),
    }
    full = threading.Event()

    def produce() -> None:
        ring.push(b"x")
        full.set()
        waits[how]()

    waiting = threads.start(produce)
    assert full.wait(60)
    time.sleep(0.03)
    ring.close()
    assert isinstance(waiting.error(), RingClosedError)
    assert ring.pop() == b"x"


@each_ring
def test_a_close_during_a_wait_still_delivers_what_was_pushed_before(cls: Any, threads: Any) -> None:
    for _ in range(50):
        ring = cls(2)
        waiting = threads.start(ring.pop)
        ring.push(b"x")
        ring.close()
        assert waiting.result() == b"x"


# -- roles


def test_a_second_producer_of_an_spsc_ring_is_refused_until_the_first_lets_go(threads: Any) -> None:
    ring = rk.SpscRing(8, 8)
    ring.push(b"mine")
    rows = np.zeros((1, 8), "u1")
    for put in (
        lambda: ring.push(b"x"),
        lambda: ring.try_push(b"x"),
        lambda: ring.push_many(rows),
        lambda: ring.claim().__enter__(),
    ):
        assert isinstance(threads.start(put).error(), SecondProducerError)
    assert len(ring) == 1
    ring.release_producer()
    threads.run(ring.push, b"theirs")
    assert [ring.pop(), ring.pop()] == [b"mine", b"theirs"]


@each_ring
def test_a_second_consumer_is_refused_until_the_first_lets_go(cls: Any, threads: Any) -> None:
    ring = cls(8, 8)
    for n in range(5):
        ring.push(b"%d" % n)
    assert ring.pop() == b"0"
    for take in (
        ring.pop,
        ring.try_pop,
        ring.pop_many,
        lambda: ring.pop(timeout=0),
        lambda: ring.pop_many(timeout=1),
        lambda: ring.peek().__enter__(),
    ):
        assert isinstance(threads.start(take).error(), SecondConsumerError)
    ring.release_consumer()
    assert threads.run(ring.pop) == b"1"


@each_ring
def test_only_its_owner_can_give_a_role_up(cls: Any, threads: Any) -> None:
    ring = cls(8, 8)
    ring.push(b"1")
    ring.push(b"2")
    assert ring.pop() == b"1"
    threads.run(ring.release_producer)
    threads.run(ring.release_consumer)
    assert isinstance(threads.start(ring.pop).error(), SecondConsumerError)
    if cls is rk.SpscRing:
        assert isinstance(threads.start(ring.push, b"x").error(), SecondProducerError)


@each_ring
def test_a_role_can_be_given_up_before_it_was_taken_and_taken_again(cls: Any) -> None:
    ring = cls(2)
    for _ in range(3):
        ring.release_producer()
        ring.release_consumer()
        ring.push(b"x")
        ring.release_producer()
        ring.release_producer()
        assert ring.pop() == b"x"


@each_ring
@each_layout
def test_a_thread_that_has_ended_has_given_up_its_roles(cls: Any, layout: Any, threads: Any) -> None:
    """As soon as join() returns, and every time."""
    ring = cls(4, 8, layout=layout)
    for n in range(150):
        threads.run(ring.push, b"%d" % n)
        assert threads.run(ring.pop) == b"%d" % n
    assert ring.producers <= 2


@each_ring
@each_layout
@pytest.mark.parametrize("policy", ["fail", "drop_newest", "drop_oldest"])
def test_a_role_that_changes_hands_loses_nothing(cls: Any, layout: Any, policy: Any, threads: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout, overflow=policy)

    def turn(n: int) -> list[int]:
        ring.push_many(np.arange(3 * n, 3 * n + 3, dtype="u4"))
        got = [int(ring.pop()), *ring.pop_many().tolist()]
        ring.release_producer()
        ring.release_consumer()
        return got

    out = [item for n in range(10) for item in (turn(n) if n % 2 else threads.run(turn, n))]
    assert out == list(range(30))


# -- many producers


@pytest.mark.parametrize(("producers", "lanes"), [(70, 64), (12, 4), (3, 2)])
@each_layout
def test_more_producers_than_lanes_lose_nothing_and_keep_their_order(
    producers: int, lanes: int, layout: Any, threads: Any
) -> None:
    ring = rk.MpscRing(4, dtype=Stamped, overflow="block", layout=layout, lanes=lanes)
    each = 20
    gate = threading.Barrier(producers)

    def produce(who: int) -> None:
        gate.wait(60)
        for n in range(each):
            ring.push(Stamped(0, who, n))
        gate.wait(60)

    started = [threads.start(produce, who) for who in range(producers)]
    seen: dict[int, list[int]] = {who: [] for who in range(producers)}
    for _ in range(producers * each):
        item = ring.pop(timeout=60)
        seen[item.producer].append(item.n)
    for one in started:
        one.result()
    assert seen == {who: list(range(each)) for who in range(producers)}
    assert ring.producers == min(producers, lanes)
    assert ring.try_pop() is None
    s = ring.stats()
    assert (s.accepted, s.delivered, s.in_flight) == (producers * each, producers * each, 0)


@pytest.mark.parametrize("policy", ["fail", "drop_newest", "drop_oldest"])
def test_counts_are_conserved_whatever_many_threads_do(policy: Any, threads: Any) -> None:
    ring = rk.MpscRing(8, dtype="u8", overflow=policy, lanes=4)
    producers, each = 6, 300
    stop = threading.Event()
    sums: list[bool] = []

    def watch() -> None:
        while not stop.is_set():
            s = ring.stats()
            sums.append(
                s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight and 0 <= s.in_flight < 2**32
            )

    def produce(who: int) -> int:
        accepted = 0
        for n in range(each):
            if n % 3:
                accepted += ring.try_push(np.uint64(who))
            else:
                accepted += ring.push_many(np.full(4, who, "u8"))
        return accepted

    watcher = threads.start(watch)
    started = [threads.start(produce, who) for who in range(producers)]
    popped = 0
    while any(one.thread.is_alive() for one in started):
        popped += len(ring.pop_many())
        popped += ring.try_pop() is not None
    accepted = sum(one.result() for one in started)
    stop.set()
    watcher.result()
    while ring.try_pop() is not None:
        popped += 1
    s = ring.stats()
    assert all(sums)
    assert (s.accepted, s.delivered, s.in_flight) == (accepted, popped, 0)
    assert s.accepted == s.delivered + s.dropped


@pytest.mark.parametrize("by", ["key", 0])
@each_layout
@pytest.mark.parametrize("policy", ["fail", "drop_oldest"])
def test_lanes_are_merged_by_the_order_asked_for(by: Any, layout: Any, policy: Any, threads: Any) -> None:
    ring = rk.MpscRing(16, dtype=Stamped, order_by=by, layout=layout, overflow=policy)
    done = threading.Barrier(4)

    def produce(who: int) -> None:
        for n in range(10):
            ring.push(Stamped(2**63 + 10 * n + (7 * who + 3 * n) % 10, who, n))
        done.wait(60)

    threads.run_all(4, produce)
    items = [ring.pop() for _ in range(40)]
    assert [item.key for item in items] == sorted(item.key for item in items)
    assert {item.producer for item in items} == {0, 1, 2, 3}


@pytest.mark.parametrize("policy", ["fail", "drop_oldest"])
def test_an_order_holds_for_batches_and_peeks_too(policy: Any, threads: Any) -> None:
    ring = rk.MpscRing(16, dtype=Stamped, order_by="key", overflow=policy)
    done = threading.Barrier(3)

    def produce(who: int) -> None:
        batch = np.zeros(8, Stamped.dtype)
        batch["key"] = np.arange(8) * 3 + who
        assert ring.push_many(batch) == 8
        done.wait(60)

    threads.run_all(3, produce)
    keys: list[int] = []
    with ring.peek() as item:
        keys.append(item.key)
    keys += ring.pop_many(10)["key"].tolist()
    keys.append(ring.pop().key)
    keys += ring.pop_many()["key"].tolist()
    while (item := ring.try_pop()) is not None:
        keys.append(item.key)
    assert keys == list(range(24))


@pytest.mark.parametrize("policy", ["fail", "drop_newest", "drop_oldest"])
def test_pop_many_finds_the_messages_of_every_lane(policy: Any, threads: Any) -> None:
    ring = rk.MpscRing(8, dtype="u4", overflow=policy)
    done = threading.Barrier(5)

    def produce(who: int) -> None:
        ring.push_many(np.arange(3 * who, 3 * who + 3, dtype="u4"))
        done.wait(60)

    threads.run_all(5, produce)
    first = int(ring.try_pop())
    assert ring.stats().delivered == 1
    assert len(ring) == 14
    assert sorted([first, *ring.pop_many().tolist()]) == list(range(15))


def test_without_an_order_no_lane_starves(threads: Any) -> None:
    ring = rk.MpscRing(1024, dtype="u4")
    done = threading.Barrier(3)

    def produce(who: int) -> None:
        ring.push_many(np.full(1000, who, "u4"))
        done.wait(60)

    threads.run_all(3, produce)
    first = [int(ring.pop()) for _ in range(600)]
    assert set(first) == {0, 1, 2}


# -- one thread, many rings


def test_one_thread_may_produce_into_and_consume_from_many_rings() -> None:
    rings = [cls(2, 8) for cls, _ in itertools.product(RINGS, range(40))]
    for lap in range(3):
        for n, ring in enumerate(rings):
            ring.push(b"%d" % (n + lap))
        for n, ring in enumerate(rings):
            assert ring.pop() == b"%d" % (n + lap)
    assert {ring.producers for ring in rings} == {1}
