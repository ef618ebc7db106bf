"""Misused claims and peeks: left open, left twice, left in another thread, opened by many. The ring survives all of it."""

from __future__ import annotations

import gc
import itertools
import threading
from typing import Any

import pytest

import pyringkernel as rk
from pyringkernel.errors import (
    RingClosedError,
    RingKernelError,
    SecondConsumerError,
    SecondProducerError,
    UnsupportedError,
    ViewInUseError,
)

RINGS = [rk.SpscRing, rk.MpscRing]
LAYOUTS = ["packed", "turn"]
CLAIMABLE = ["fail", "block", "drop_newest"]
each_claimable = pytest.mark.parametrize(
    ("cls", "layout", "policy"),
    list(itertools.product(RINGS, LAYOUTS, CLAIMABLE)),
    ids=lambda v: getattr(v, "__name__", v),
)
each_kind = pytest.mark.parametrize(
    ("cls", "layout", "policy"),
    list(itertools.product(RINGS, LAYOUTS, [*CLAIMABLE, "drop_oldest"])),
    ids=lambda v: getattr(v, "__name__", v),
)
each_ring = pytest.mark.parametrize("cls", RINGS)


RINGS = [rk.SpscRing, rk.MpscRing]
LAYOUTS = ["packed", "turn"]
each_ring = pytest.mark.parametrize("cls", RINGS)


# -- guards used in other ways


@each_ring
@pytest.mark.parametrize("name", ["claim", "peek"])
def test_a_guard_can_be_made_and_never_entered(cls: Any, name: str) -> None:
    ring = cls(2, 8)
    ring.push(b"x")
    for _ in range(3):
        getattr(ring, name)()
    assert ring.pop() == b"x"


@each_ring
@pytest.mark.parametrize("name", ["claim", "peek"])
def test_leaving_a_guard_that_was_not_entered_is_an_error(cls: Any, name: str) -> None:
    ring = cls(2, 8)
    ring.push(b"x")
    with pytest.raises((RingKernelError, RuntimeError)) as caught:
        getattr(ring, name)().__exit__(None, None, None)
    assert not isinstance(caught.value, SystemError)
    guard = getattr(ring, name)()
    with guard:
        pass
    with pytest.raises((RingKernelError, RuntimeError)) as caught:
        guard.__exit__(None, None, None)
    assert not isinstance(caught.value, SystemError)


@each_ring
@pytest.mark.parametrize("name", ["claim", "peek"])
def test_a_guard_can_be_entered_again_after_its_block(cls: Any, name: str) -> None:
    ring = cls(4, 8)
    ring.push(b"x")
    ring.push(b"y")
    guard = getattr(ring, name)()
    for _ in range(2):
        with guard, pytest.raises(ViewInUseError):
            guard.__enter__()
    assert ring.stats().accepted + ring.stats().delivered == 4


@each_ring
@pytest.mark.parametrize("name", ["claim", "peek"])
def test_a_guard_that_is_dropped_while_open_does_not_lock_the_ring(cls: Any, name: str) -> None:
    ring = cls(4, 8)
    ring.push(b"x")
    guard = getattr(ring, name)()
    guard.__enter__()
    del guard
    gc.collect()
    ring.push(b"y")
    assert ring.pop(timeout=5) is not None
    with ring.claim() as slot:
        slot[0] = 1
    with ring.peek():
        pass


def test_two_producers_of_an_mpsc_ring_may_claim_at_the_same_time(threads: Any) -> None:
    """Each has a lane of its own."""
    ring = rk.MpscRing(4, 8)
    both = threading.Barrier(2)

    def produce(n: int) -> None:
        with ring.claim() as slot:
            slot[0] = n + 1
            both.wait(10)

    threads.run_all(2, produce)
    assert sorted(ring.pop()[0] for _ in range(2)) == [1, 2]


def test_a_thread_without_a_lane_of_its_own_cannot_claim(threads: Any) -> None:
    ring = rk.MpscRing(4, 8, lanes=2)
    gate = threading.Barrier(3)

    def produce(n: int) -> str:
        ring.push(b"%d" % n)
        gate.wait(30)
        try:
            with ring.claim():
                return "claimed"
        except UnsupportedError:
            return "refused"
        except ViewInUseError:
            return "in use"
        finally:
            gate.wait(30)

    assert sorted(threads.run_all(3, produce)) == ["claimed", "refused", "refused"]


@pytest.mark.parametrize("name", ["claim", "peek"])
def test_a_block_that_ends_in_another_thread_is_an_error_and_no_crash(run_script: Any, name: str) -> None:
    code, out, errors = run_script(f"""
        ring = rk.SpscRing(4, 8)
        ring.push(b"x")
        ring.try_pop()
        ring.push(b"y")
        guard = ring.{name}()
        guard.__enter__()
        def leave():
            try:
                guard.__exit__(None, None, None)
                print("left")
            except rk.errors.RingKernelError as error:
                print(type(error).__name__)
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    """)
    assert code == 0, errors
    assert out.strip() in ("SecondProducerError", "SecondConsumerError", "ViewInUseError")


@each_ring
def test_a_peek_belongs_to_the_consuming_thread(cls: Any, threads: Any) -> None:
    ring = cls(4, 8)
    ring.push(b"x")
    with ring.peek():
        assert isinstance(threads.start(ring.try_pop).error(), (SecondConsumerError, ViewInUseError))
        assert isinstance(threads.start(ring.peek().__enter__).error(), (SecondConsumerError, ViewInUseError))
    assert ring.try_pop() is None


def test_a_claim_belongs_to_the_producing_thread(threads: Any) -> None:
    ring = rk.SpscRing(4, 8)
    with ring.claim():
        assert isinstance(threads.start(ring.push, b"y").error(), (SecondProducerError, ViewInUseError))
        assert isinstance(threads.start(ring.claim().__enter__).error(), (SecondProducerError, ViewInUseError))
    assert ring.stats().accepted == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_giving_up_a_role_inside_its_block_does_not_break_the_ring(layout: Any, threads: Any) -> None:
    ring = rk.SpscRing(2, 8, layout=layout)
    with pytest.raises(RingKernelError), ring.claim() as slot:
        slot[0] = 1
        ring.release_producer()
    ring.release_producer()
    while ring.try_pop() is not None:
        pass
    threads.run(ring.push, b"other")
    assert ring.pop() == b"other"
    s = ring.stats()
    assert s.accepted == s.delivered + s.in_flight
    assert s.in_flight <= ring.capacity


@each_ring
def test_closing_inside_a_claim_loses_or_delivers_the_message_but_counts_it(cls: Any) -> None:
    ring = cls(2, 8)
    try:
        with ring.claim() as slot:
            slot[0] = 1
            ring.close()
    except RingClosedError:
        pass
    taken = 0
    with pytest.raises(RingClosedError):
        while True:
            ring.pop(timeout=5)
            taken += 1
    s = ring.stats()
    assert s.accepted == s.delivered == taken
