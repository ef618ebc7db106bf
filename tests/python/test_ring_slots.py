"""claim() and peek(): slots in place, views that die with their block, and a ring that survives misuse."""

from __future__ import annotations

import gc
import itertools
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel.errors import (
    ReleasedError,
    RingClosedError,
    RingFullError,
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


@rk.message
class SlotItem:
    n: rk.u32 = 11
    data: rk.Array[rk.f32, 2] = (1.0, 2.0)


# -- claim


@each_claimable
@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_a_claimed_slot_is_published_at_the_end_of_its_block(cls: Any, layout: Any, policy: Any, capacity: int) -> None:
    ring = cls(capacity, 8, layout=layout, overflow=policy)
    for lap in range(3 * capacity):
        with ring.claim() as slot:
            assert (slot.nbytes, slot.readonly, bytes(slot)) == (8, False, bytes(8))
            slot[:3] = b"%03d" % lap
            assert len(ring) == 0
            assert ring.try_pop() is None
        assert len(ring) == 1
        assert ring.pop() == b"%03d" % lap + bytes(5)


@each_claimable
def test_an_exception_abandons_a_claim(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    with pytest.raises(ZeroDivisionError), ring.claim() as slot:
        slot[:] = b"12345678"
        1 / 0  # noqa: B018
    assert (len(ring), ring.stats().accepted) == (0, 0)
    with ring.claim() as slot:
        assert bytes(slot) == bytes(8)  # nothing of the abandoned message shows
        slot[0] = 1
    assert ring.pop() == b"\1" + bytes(7)


@each_claimable
def test_a_claim_of_a_message_ring_starts_with_defaults(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype=SlotItem, layout=layout, overflow=policy)
    for _ in range(3):
        with ring.claim() as item:
            assert item == SlotItem()
            item.n = 5
            item.data[1] = 9
        assert ring.pop() == SlotItem(5, [1, 9])


@each_claimable
def test_a_claim_of_a_dtype_ring_is_a_buffer(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype="f8", layout=layout, overflow=policy)
    with ring.claim() as slot:
        np.frombuffer(slot, "f8")[0] = 2.5
    assert ring.pop() == 2.5


@each_ring
@pytest.mark.parametrize("policy", ["fail", "drop_newest"])
def test_a_full_ring_has_nothing_to_claim(cls: Any, policy: Any) -> None:
    ring = cls(1, 8, overflow=policy)
    ring.push(b"x")
    with pytest.raises(RingFullError), ring.claim():
        pytest.fail("the block of a refused claim ran")
    assert ring.pop() == b"x"
    with ring.claim():
        pass
    assert ring.pop() == bytes(8)


@each_ring
def test_a_closed_ring_has_nothing_to_claim_and_nothing_to_peek(cls: Any) -> None:
    ring = cls(2, 8)
    ring.close()
    for guard in (ring.claim, ring.peek):
        with pytest.raises(RingClosedError), guard():
            pytest.fail("the block ran")


@each_ring
def test_a_ring_that_drops_its_oldest_cannot_be_claimed(cls: Any) -> None:
    ring = cls(2, 8, overflow="drop_oldest")
    with pytest.raises(UnsupportedError, match="push"), ring.claim():
        pytest.fail("the block ran")


@each_claimable
def test_a_view_of_a_claim_is_dead_after_the_block(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    with ring.claim() as slot:
        pass
    for use in (
        lambda: slot[0],
        lambda: bytes(slot),
        lambda: slot.__setitem__(0, 1),
        lambda: np.frombuffer(slot, "u1"),
    ):
        with pytest.raises(ValueError):
            use()


# -- peek


@each_kind
@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_a_peeked_message_is_released_at_the_end_of_its_block(
    cls: Any, layout: Any, policy: Any, capacity: int
) -> None:
    ring = cls(capacity, 8, layout=layout, overflow=policy)
    for lap in range(3 * capacity):
        ring.push(b"%03d" % lap)
        with ring.peek() as slot:
            assert (bytes(slot), slot.readonly) == (b"%03d" % lap, True)
        assert (len(ring), ring.stats().delivered) == (0, lap + 1)
    assert ring.try_pop() is None


@each_kind
def test_a_peek_that_raises_hands_the_message_back_to_the_producer(cls: Any, layout: Any, policy: Any) -> None:
    """The block saw the message: it counts as delivered, as with pop()."""
    ring = cls(1, 8, layout=layout, overflow=policy)
    ring.push(b"x")
    with pytest.raises(ZeroDivisionError), ring.peek():
        1 / 0  # noqa: B018
    assert ring.try_pop() is None
    ring.push(b"y")
    assert ring.pop() == b"y"


@each_kind
def test_peeking_a_message_ring_shows_the_message_in_place(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype=SlotItem, layout=layout, overflow=policy)
    ring.push(SlotItem(3, [4, 5]))
    with ring.peek() as item:
        assert (type(item), item.n, item.data.tolist()) == (SlotItem, 3, [4, 5])
        kept = item.copy()
    with pytest.raises(ReleasedError, match="copy"):
        item.n  # noqa: B018
    assert kept.data.tolist() == [4, 5]


@each_kind
def test_a_view_of_a_peek_is_dead_after_the_block(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    ring.push(b"abc")
    with ring.peek() as slot, pytest.raises(TypeError):
        slot[0] = 1
    for use in (lambda: slot[0], lambda: bytes(slot), lambda: np.frombuffer(slot, "u1")):
        with pytest.raises(ValueError):
            use()


@each_kind
def test_nothing_else_takes_the_message_that_is_peeked(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    ring.push(b"a")
    with ring.peek() as slot:
        for take in (ring.pop, ring.try_pop, ring.pop_many, lambda: ring.pop_many(timeout=0.01), ring.peek().__enter__):
            with pytest.raises(ViewInUseError):
                take()
        ring.push(b"b")
        assert bytes(slot) == b"a"
    assert ring.pop() == b"b"


@each_claimable
def test_nothing_else_fills_the_slot_that_is_claimed(cls: Any, layout: Any, policy: Any) -> None:
    """A push inside a claim would take the same slot, and the claim would publish one that nobody filled."""
    ring = cls(2, 8, layout=layout, overflow=policy)
    rows = np.full((1, 8), 7, "u1")
    with ring.claim() as slot:
        slot[0] = 1
        for put in (
            lambda: ring.push(b"b"),
            lambda: ring.try_push(b"b"),
            lambda: ring.push_many(rows),
            ring.claim().__enter__,
        ):
            with pytest.raises(ViewInUseError):
                put()
    assert ring.stats().accepted == 1
    assert ring.pop() == b"\1" + bytes(7)
    assert ring.try_pop() is None


@each_claimable
def test_a_peek_and_a_claim_can_be_open_together(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    ring.push(b"12345678")
    with ring.peek() as source, ring.claim() as target:
        target[:] = source
    assert ring.pop() == b"12345678"
    assert ring.stats().delivered == 2


# -- views that are kept


@each_claimable
def test_an_array_that_is_kept_stops_the_publication(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    kept = None
    with pytest.raises(ViewInUseError, match="copy"), ring.claim() as slot:
        kept = np.frombuffer(slot, "u1")
    assert len(ring) == 0
    kept[0] = 1  # still memory of the ring, and of nobody else
    del kept, slot
    gc.collect()
    with ring.claim() as slot:
        slot[0] = 2
    assert ring.pop() == b"\2" + bytes(7)
    assert ring.try_pop() is None


@each_kind
def test_an_array_that_is_kept_keeps_the_message_in_the_ring(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    ring.push(b"12345678")
    ring.push(b"second")
    with pytest.raises(ViewInUseError), ring.peek() as slot:
        kept = np.frombuffer(slot, "u1")
    assert kept.tobytes() == b"12345678"
    del kept, slot
    gc.collect()
    assert [ring.pop(), ring.pop()] == [b"12345678", b"second"]


@each_kind
def test_a_slot_is_not_handed_back_while_an_array_points_into_it(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype=SlotItem, layout=layout, overflow=policy)
    ring.push(SlotItem(1, [1, 1]))
    ring.push(SlotItem(2, [2, 2]))
    with pytest.raises(ViewInUseError), ring.peek() as item:
        kept = item.data
    for take in (ring.pop, ring.try_pop, ring.pop_many, ring.peek().__enter__):
        with pytest.raises(ViewInUseError):
            take()
    assert kept.tolist() == [1, 1]
    del kept, item
    gc.collect()
    assert ring.pop() == SlotItem(1, [1, 1])
    assert ring.pop() == SlotItem(2, [2, 2])


@each_claimable
def test_a_claimed_slot_is_nobodys_while_an_array_points_into_it(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype=SlotItem, layout=layout, overflow=policy)
    with pytest.raises(ViewInUseError), ring.claim() as item:
        kept = item.data
    for put in (lambda: ring.push(SlotItem()), lambda: ring.try_push(SlotItem()), ring.claim().__enter__):
        with pytest.raises(ViewInUseError):
            put()
    kept[0] = 99
    del kept, item
    gc.collect()
    ring.push(SlotItem(7))
    assert ring.pop() == SlotItem(7)


@each_kind
def test_views_made_of_views_count_too(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, 8, layout=layout, overflow=policy)
    ring.push(b"12345678")
    for make in (
        memoryview,
        lambda slot: slot[2:4],
        lambda slot: np.frombuffer(slot, "u1")[::2],
        lambda slot: slot.cast("I"),
    ):
        with pytest.raises(ViewInUseError), ring.peek() as slot:
            kept = make(slot)
        assert kept is not None
        del kept, slot
        gc.collect()
    assert ring.pop() == b"12345678"


@each_ring
def test_releasing_the_view_by_hand_is_harmless(cls: Any) -> None:
    ring = cls(2, 8)
    with ring.claim() as slot:
        slot[0] = 1
        slot.release()
    with ring.peek() as slot:
        slot.release()
    assert ring.stats().delivered == 1


@each_ring
def test_an_array_keeps_the_memory_of_a_ring_that_is_gone(cls: Any) -> None:
    ring = cls(2, 8)
    ring.push(b"12345678")
    with pytest.raises(ViewInUseError), ring.peek() as slot:
        kept = np.frombuffer(slot, "u1")
    del ring, slot
    gc.collect()
    rings = [cls(2, 8) for _ in range(20)]
    for ring in rings:
        ring.push(b"\xff" * 8)
    assert kept.tobytes() == b"12345678"
