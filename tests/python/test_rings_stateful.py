"""Random use of every kind of ring against a deque: contents, answers and counts agree at every step."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import pyringkernel as rk
from pyringkernel.errors import RingClosedError, RingFullError, RingTimeoutError, UnsupportedError

SLOT = 8
messages = st.binary(max_size=SLOT)
rows = st.lists(st.binary(min_size=SLOT, max_size=SLOT), max_size=9)


class RingMachine(RuleBasedStateMachine):
    """One producer and one consumer, which is what both kinds of ring have in common."""

    cls: Any
    layout: Any
    policy: Any

    @initialize(capacity=st.sampled_from([1, 2, 4]))
    def make(self, capacity: int) -> None:
        self.ring = self.cls(capacity, SLOT, layout=self.layout, overflow=self.policy)
        self.capacity = capacity
        self.items: deque[bytes] = deque()
        self.accepted = self.delivered = self.dropped = 0
        self.closed = False

    # -- the model

    def full(self) -> bool:
        return len(self.items) == self.capacity

    def model_push(self, data: bytes) -> bool:
        """What a push that does not wait answers; the model takes the message."""
        if self.full() and self.policy in ("fail", "block"):
            return False
        self.accepted += 1
        if self.full():
            self.dropped += 1
            if self.policy == "drop_newest":
                return True
            self.items.popleft()
        self.items.append(data)
        return True

    def model_pop(self) -> bytes:
        self.delivered += 1
        return self.items.popleft()

    # -- producing

    @rule(data=messages)
    def try_push(self, data: bytes) -> None:
        if self.closed:
            with pytest.raises(RingClosedError):
                self.ring.try_push(data)
        else:
            assert self.ring.try_push(data) is self.model_push(data)

    @rule(data=messages, wait=st.booleans())
    def push(self, data: bytes, wait: bool) -> None:
        timeout = 0.0 if wait or self.policy == "block" else None
        if self.closed:
            with pytest.raises(RingClosedError):
                self.ring.push(data, timeout=timeout)
        elif self.model_push(data):
            self.ring.push(data, timeout=timeout)
        else:
            with pytest.raises(RingTimeoutError if timeout is not None else RingFullError):
                self.ring.push(data, timeout=timeout)

    @rule(batch=rows)
    def push_many(self, batch: list[bytes]) -> None:
        array = np.frombuffer(b"".join(batch), "u1").reshape(len(batch), SLOT)
        if self.closed and batch:
            with pytest.raises(RingClosedError):
                self.ring.push_many(array, timeout=0.0)
            return
        expected = 0
        for data in batch:
            if not self.model_push(data):
                break
            expected += 1
        assert self.ring.push_many(array, timeout=0.0) == expected

    @rule(data=messages, fail=st.booleans())
    def claim(self, data: bytes, fail: bool) -> None:
        if self.policy == "drop_oldest":
            with pytest.raises(UnsupportedError):
                self.ring.claim().__enter__()
        elif self.closed:
            with pytest.raises(RingClosedError):
                self.ring.claim().__enter__()
        elif not self.full():
            self.fill(data, fail)
        elif self.policy != "block":
            with pytest.raises(RingFullError):
                self.ring.claim().__enter__()

    def fill(self, data: bytes, fail: bool) -> None:
        try:
            with self.ring.claim() as slot:
                assert bytes(slot) == bytes(SLOT)
                slot[: len(data)] = data
                if fail:
                    raise InterruptedError
        except InterruptedError:
            return
        assert self.model_push(data.ljust(SLOT, b"\0"))

    # -- consuming

    @rule()
    def try_pop(self) -> None:
        if self.items:
            assert self.ring.try_pop() == self.model_pop()
        elif self.closed:
            with pytest.raises(RingClosedError):
                self.ring.try_pop()
        else:
            assert self.ring.try_pop() is None

    @rule()
    def pop(self) -> None:
        if self.items:
            assert self.ring.pop() == self.model_pop()
        else:
            with pytest.raises(RingClosedError if self.closed else RingTimeoutError):
                self.ring.pop(timeout=0.0)

    @rule(most=st.integers(0, 6), how=st.sampled_from(["plain", "out", "wait"]))
    def pop_many(self, most: int, how: str) -> None:
        if self.closed and not self.items:
            with pytest.raises(RingClosedError):
                self.ring.pop_many(most)
            return
        most += how == "wait" and most == 0  # a look that takes nothing may still hold a copy (drop_oldest)
        expected = [self.model_pop().ljust(SLOT, b"\0") for _ in range(min(most, len(self.items)))]
        if how == "out":
            found = self.ring.pop_many(out=np.empty((most, SLOT), "u1"))
        else:
            found = self.ring.pop_many(most, timeout=0.001 if how == "wait" else 0.0)
        assert [row.tobytes() for row in found] == expected

    @precondition(lambda self: self.items)
    @rule(fail=st.booleans())
    def peek(self, fail: bool) -> None:
        try:
            with self.ring.peek() as slot:
                assert bytes(slot) == self.items[0]
                if fail:
                    raise InterruptedError
        except InterruptedError:
            pass
        self.model_pop()

    # -- life

    @rule()
    def change_hands(self) -> None:
        self.ring.release_producer()
        self.ring.release_consumer()

    @precondition(lambda self: self.accepted > 12)
    @rule()
    def close(self) -> None:
        self.ring.close()
        self.closed = True

    @invariant()
    def counts_agree(self) -> None:
        s = self.ring.stats()
        assert (s.accepted, s.delivered, s.dropped, s.dead_lettered) == (self.accepted, self.delivered, self.dropped, 0)
        assert s.in_flight == len(self.ring) == len(self.items)
        assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight
        assert len(self.items) <= s.high_water <= self.capacity
        assert self.ring.closed is self.closed


@pytest.mark.parametrize("policy", ["fail", "block", "drop_newest", "drop_oldest"])
@pytest.mark.parametrize("layout", ["packed", "turn"])
@pytest.mark.parametrize("cls", [rk.SpscRing, rk.MpscRing])
def test_a_ring_is_a_bounded_queue(cls: Any, layout: str, policy: str) -> None:
    machine = type("Machine", (RingMachine,), {"cls": cls, "layout": layout, "policy": policy})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=40))


class LanesMachine(RuleBasedStateMachine):
    """Several producers of one MpscRing, played by one thread that swaps its role: FIFO for each lane."""

    policy: Any

    @initialize(capacity=st.sampled_from([1, 2, 4]))
    def make(self, capacity: int) -> None:
        self.ring = rk.MpscRing(capacity, dtype="u8", overflow=self.policy, order_by=0)
        self.capacity = capacity
        self.items: list[int] = []
        self.next = 0

    @rule(count=st.integers(1, 3))
    def push_rising_keys(self, count: int) -> None:
        for _ in range(count):
            if self.ring.try_push(np.uint64(self.next)) and not (
                self.policy == "drop_newest" and len(self.items) == self.capacity
            ):
                self.items.append(self.next)
            self.next += 1

    @rule()
    def pop_the_smallest(self) -> None:
        found = self.ring.try_pop()
        assert found == (self.items.pop(0) if self.items else None)

    @invariant()
    def the_sum_holds(self) -> None:
        s = self.ring.stats()
        assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight
        assert s.in_flight == len(self.items)


@pytest.mark.parametrize("policy", ["fail", "drop_newest"])
def test_an_ordered_ring_is_a_bounded_queue_too(policy: str) -> None:
    machine = type("Machine", (LanesMachine,), {"policy": policy})
    run_state_machine_as_test(machine, settings=settings(max_examples=15))
