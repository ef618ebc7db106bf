"""push_many and pop_many: whole arrays in and out, in every layout and policy, mixed with single messages."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel.errors import (
    RingKernelError,
    WrongItemError,
)

RINGS = [rk.SpscRing, rk.MpscRing]
LAYOUTS = ["packed", "turn"]
POLICIES = ["fail", "block", "drop_newest", "drop_oldest"]
KINDS = list(itertools.product(RINGS, LAYOUTS, POLICIES))
each_kind = pytest.mark.parametrize(("cls", "layout", "policy"), KINDS, ids=lambda v: getattr(v, "__name__", v))
each_ring = pytest.mark.parametrize("cls", RINGS)


@rk.message
class BatchItem:
    n: rk.u32
    text: rk.Bytes[4] = b""


def holds(ring: Any) -> None:
    """The sum that is always true."""
    s = ring.stats()
    assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight, s
    assert min(s.accepted, s.delivered, s.dropped, s.in_flight) >= 0
    assert s.in_flight == len(ring) <= ring.capacity


# -- batches


@each_kind
@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_batches_and_single_messages_mix(cls: Any, layout: Any, policy: Any, capacity: int) -> None:
    ring = cls(capacity, dtype="u4", layout=layout, overflow=policy)
    out, pushed = [], 0
    for lap in range(7):
        batch = np.arange(pushed, pushed + 1 + lap % capacity, dtype="u4")
        assert ring.push_many(batch) == len(batch)
        pushed += len(batch)
        holds(ring)
        if lap % 2:
            out.append(int(ring.pop()))
        out += ring.pop_many().tolist()
        holds(ring)
    assert out == list(range(pushed))


@pytest.mark.parametrize("layout", LAYOUTS)
@each_ring
def test_push_many_accepts_what_fits(cls: Any, layout: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout)
    assert ring.push_many(np.arange(10, dtype="u4")) == 4
    assert ring.push_many(np.arange(10, dtype="u4")) == 0
    assert ring.push_many(np.arange(0, dtype="u4")) == 0
    assert ring.pop_many(3).tolist() == [0, 1, 2]
    assert ring.push_many(np.arange(10, 20, dtype="u4"), timeout=0.02) == 3
    assert ring.pop_many().tolist() == [3, 10, 11, 12]
    assert ring.pop_many().tolist() == []


@each_ring
@pytest.mark.parametrize(("policy", "expected"), [("drop_newest", [0, 1, 2, 3]), ("drop_oldest", [6, 7, 8, 9])])
def test_push_many_drops_by_policy(cls: Any, policy: Any, expected: list[int]) -> None:
    ring = cls(4, dtype="u4", overflow=policy)
    assert ring.push_many(np.arange(10, dtype="u4")) == 10
    assert ring.pop_many().tolist() == expected
    assert ring.stats().dropped == 6
    holds(ring)


@each_kind
def test_pop_many_gets_what_a_wait_found(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout, overflow=policy)
    ring.push_many(np.arange(3, dtype="u4"))
    assert ring.pop_many(timeout=1.0).tolist() == [0, 1, 2]


@each_kind
def test_pop_many_gets_everything_after_single_pops(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout, overflow=policy)
    ring.push_many(np.arange(3, dtype="u4"))
    assert ring.try_pop() == 0
    assert ring.pop_many().tolist() == [1, 2]
    assert ring.try_pop() is None


@each_kind
def test_pop_many_fills_what_it_is_given(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout, overflow=policy)
    ring.push_many(np.arange(4, dtype="u4"))
    out = np.full(3, 99, "u4")
    found = ring.pop_many(out=out)
    assert found.tolist() == [0, 1, 2]
    assert np.shares_memory(found, out)
    found = ring.pop_many(out=out)
    assert found.tolist() == [3]
    assert out.tolist() == [3, 1, 2]
    assert len(ring.pop_many(out=out[:0])) == 0
    read_only = np.zeros(3, "u4")
    read_only.flags.writeable = False
    for wrong in (np.zeros(3, "i4"), np.zeros((3, 1), "u4"), np.zeros(6, "u4")[::2], read_only, [0, 0], bytearray(12)):
        with pytest.raises(WrongItemError):
            ring.pop_many(out=wrong)


def test_batches_of_bytes_are_rows() -> None:
    ring = rk.SpscRing(4, 8)
    rows = np.arange(24, dtype="u1").reshape(3, 8)
    assert ring.push_many(rows) == 3
    assert ring.pop() == rows[0].tobytes()
    found = ring.pop_many()
    assert found.dtype == np.uint8
    assert np.array_equal(found, rows[1:])
    ring.push(b"abc")
    assert ring.pop_many().tobytes() == b"abc\0\0\0\0\0"
    assert ring.push_many(np.zeros(2, "V8")) == 2
    assert ring.pop() == bytes(8)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 7), "u1"),
        np.zeros(16, "u1"),
        np.zeros((2, 8), "i1"),
        np.zeros((2, 2, 8), "u1"),
        np.zeros(2, "V7"),
        b"12345678",
        [1, 2],
        None,
        5,
    ],
    ids=lambda v: type(v).__name__,
)
def test_rows_of_another_shape_are_refused(wrong: Any) -> None:
    ring = rk.SpscRing(4, 8)
    with pytest.raises(WrongItemError):
        ring.push_many(wrong)
    assert len(ring) == 0


def test_batches_of_messages_are_structured_arrays() -> None:
    ring = rk.MpscRing(4, dtype=BatchItem)
    batch = np.zeros(3, BatchItem.dtype)
    batch["n"] = 1, 2, 3
    assert ring.push_many(batch[::-1]) == 3
    assert ring.pop() == BatchItem(3)
    assert ring.pop_many()["n"].tolist() == [2, 1]
    with pytest.raises(WrongItemError):
        ring.push_many(np.zeros(3, "f4"))


@each_ring
@pytest.mark.parametrize("most", [-1, 2.5, "3", None], ids=repr)
def test_a_maximum_that_cannot_be_is_refused(cls: Any, most: Any) -> None:
    ring = cls(4)
    ring.push(b"x")
    with pytest.raises((RingKernelError, TypeError)):
        ring.pop_many(most)
    assert ring.pop() == b"x"


@each_ring
def test_a_maximum_of_zero_takes_nothing(cls: Any) -> None:
    ring = cls(4)
    ring.push(b"x")
    assert len(ring.pop_many(0)) == 0
    assert ring.pop() == b"x"
