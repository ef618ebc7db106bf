"""Rings used by one thread: arguments, every capacity, layout and policy, batches, close, counts."""

from __future__ import annotations

import itertools
import pickle
import time
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel.errors import (
    CapacityError,
    InvalidArgumentError,
    RingClosedError,
    RingFullError,
    RingKernelError,
    RingMemoryError,
    RingTimeoutError,
    SlotTooSmallError,
    WrongItemError,
)

RINGS = [rk.SpscRing, rk.MpscRing]
LAYOUTS = ["packed", "turn"]
POLICIES = ["fail", "block", "drop_newest", "drop_oldest"]
KINDS = list(itertools.product(RINGS, LAYOUTS, POLICIES))
each_kind = pytest.mark.parametrize(("cls", "layout", "policy"), KINDS, ids=lambda v: getattr(v, "__name__", v))
each_ring = pytest.mark.parametrize("cls", RINGS)


@rk.message
class RingItem:
    n: rk.u32
    text: rk.Bytes[4] = b""


@rk.message
class RingOther:
    n: rk.u32
    text: rk.Bytes[4] = b""


def holds(ring: Any) -> None:
    """The sum that is always true."""
    s = ring.stats()
    assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight, s
    assert min(s.accepted, s.delivered, s.dropped, s.in_flight) >= 0
    assert s.in_flight == len(ring) <= ring.capacity


# -- arguments


@each_ring
@pytest.mark.parametrize("capacity", [0, -1, 3, 6, 1000, 2**62 - 1, -(2**70), 2**63, 2**70])
def test_a_capacity_that_is_no_power_of_two_is_refused(cls: Any, capacity: int) -> None:
    with pytest.raises(CapacityError, match=r"capacity: found -?\d+"):
        cls(capacity)


@each_ring
@pytest.mark.parametrize("capacity", [2**36, 2**40, 2**46, 2**56, 2**62])
def test_a_ring_that_does_not_fit_memory_is_refused(cls: Any, capacity: int) -> None:
    with pytest.raises((RingMemoryError, CapacityError)):
        cls(capacity, 4096)


@each_ring
@pytest.mark.parametrize("capacity", [True, False, 4.0, "4", None, b"4", [4]], ids=repr)
def test_a_capacity_that_is_no_int_is_refused(cls: Any, capacity: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="capacity"):
        cls(capacity)


@each_ring
@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, SlotTooSmallError),
        (-1, SlotTooSmallError),
        (2**70, SlotTooSmallError),
        (2**31 + 1, RingMemoryError),
        (2**62, RingMemoryError),
        (True, InvalidArgumentError),
        (8.0, InvalidArgumentError),
        ("8", InvalidArgumentError),
    ],
)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_slot_size_that_cannot_be_is_refused(cls: Any, size: Any, error: type[Exception], policy: Any) -> None:
    with pytest.raises(error):
        cls(4, size, overflow=policy)


@each_ring
@pytest.mark.parametrize("name", ["overflow", "layout", "wait"])
@pytest.mark.parametrize("value", ["", "nothing", None, 0, b"fail"], ids=repr)
def test_an_unknown_choice_is_refused_and_the_choices_are_listed(cls: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}: .*need one of '"):
        cls(4, **{name: value})


@pytest.mark.parametrize("lanes", [0, 1, -4, 4097, 2.0, "4", True, None], ids=repr)
def test_lanes_are_2_to_4096(lanes: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="lanes"):
        rk.MpscRing(4, lanes=lanes)


@pytest.mark.parametrize("order_by", ["n", "", -1, 57, 2**70, 1.5, b"n", [0]], ids=repr)
def test_an_order_that_names_no_u64_is_refused(order_by: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="order_by"):
        rk.MpscRing(4, order_by=order_by)


@pytest.mark.parametrize("field", ["n", "text", "nothing"])
def test_an_order_by_a_field_that_is_no_u64_is_refused(field: str) -> None:
    with pytest.raises(InvalidArgumentError, match="order_by"):
        rk.MpscRing(4, dtype=RingItem, order_by=field)


@each_ring
def test_a_dtype_decides_the_slot_size(cls: Any) -> None:
    assert cls(4, dtype="f8").slot_size == 8
    assert cls(4, dtype=RingItem).slot_size == RingItem.wire_size
    assert cls(4, 8, dtype="f8").slot_size == 8
    with pytest.raises(SlotTooSmallError, match="leave slot_size out"):
        cls(4, 64, dtype="f8")
    with pytest.raises(InvalidArgumentError, match="Python objects"):
        cls(4, dtype=object)
    with pytest.raises((SlotTooSmallError, InvalidArgumentError)):
        cls(4, dtype="V0")
    with pytest.raises(TypeError):
        cls(4, dtype="no such dtype")


def test_the_defaults_are_64_byte_slots_of_bytes() -> None:
    ring = rk.SpscRing(8)
    assert (ring.capacity, ring.slot_size, ring.item_type, ring.closed, len(ring)) == (8, 64, None, False, 0)
    assert repr(ring) == "<SpscRing 0/8 slot_size=64>"
    ring.close()
    assert repr(ring) == "<SpscRing 0/8 slot_size=64 closed>"


def test_a_ring_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(rk.SpscRing(2))


def test_a_subclass_that_forgets_init_is_refused() -> None:
    class Lazy(rk.SpscRing):
        def __init__(self) -> None:
            pass

    with pytest.raises((TypeError, RuntimeError)):
        Lazy().try_pop()


def test_a_ring_whose_init_failed_is_an_error_to_use_and_no_crash(run_script: Any) -> None:
    """A debugger or a test runner shows such an object: its repr, its attributes."""
    code, out, errors = run_script("""
        ring = rk.SpscRing.__new__(rk.SpscRing)
        uses = [lambda: repr(ring), lambda: len(ring), lambda: ring.stats(), lambda: ring.closed, lambda: ring.capacity,
                lambda: ring.slot_size, lambda: ring.item_type, lambda: ring.producers, lambda: ring.close(),
                lambda: ring.release_producer(), lambda: ring.release_consumer(), lambda: ring.push(b"x"),
                lambda: ring.pop_many(), lambda: ring.claim(), lambda: ring.peek(), lambda: ring._wait_message(0.0)]
        for n, use in enumerate(uses):
            try:
                use()
            except Exception as error:
                assert isinstance(error, (RuntimeError, TypeError)), error
            else:
                print("no error from", n)
    """)
    assert (code, out) == (0, ""), errors


# -- one message


@each_kind
@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_messages_come_out_in_order_through_many_laps(cls: Any, layout: Any, policy: Any, capacity: int) -> None:
    ring = cls(capacity, 16, layout=layout, overflow=policy)
    for lap in range(5):
        for n in range(capacity):
            ring.push(b"%d-%d" % (lap, n))
            assert len(ring) == n + 1
            holds(ring)
        for n in range(capacity):
            assert ring.pop() == b"%d-%d" % (lap, n)
            holds(ring)
        assert ring.try_pop() is None
    assert ring.stats().accepted == ring.stats().delivered == 5 * capacity


@each_kind
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 55, 56, 57, 63, 64])
def test_a_message_keeps_its_length(cls: Any, layout: Any, policy: Any, size: int) -> None:
    ring = cls(2, 64, layout=layout, overflow=policy)
    data = bytes(range(1, size + 1))
    for source in (data, bytearray(data), memoryview(data)):
        ring.push(source)
        assert ring.pop() == data
    ring.push(b"\xff" * 64)
    assert ring.try_pop() == b"\xff" * 64
    assert ring.try_push(data) is True
    assert ring.try_pop() == data


@each_kind
@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_a_full_ring_does_what_its_policy_says(cls: Any, layout: Any, policy: Any, capacity: int) -> None:
    ring = cls(capacity, 8, layout=layout, overflow=policy)
    for n in range(capacity):
        assert ring.try_push(b"%d" % n)
    if policy in ("fail", "block"):
        assert ring.try_push(b"new") is False
        with pytest.raises(RingTimeoutError):
            ring.push(b"new", timeout=0.0)
        if policy == "fail":
            with pytest.raises(RingFullError, match=str(capacity)):
                ring.push(b"new")
        expected = [b"%d" % n for n in range(capacity)]
        dropped = 0
    else:
        assert ring.try_push(b"new") is True
        ring.push(b"newer")
        kept = [b"%d" % n for n in range(capacity)]
        expected = kept if policy == "drop_newest" else [*kept, b"new", b"newer"][-capacity:]
        dropped = 2
    holds(ring)
    s = ring.stats()
    assert (s.accepted, s.dropped, s.in_flight, s.high_water) == (capacity + dropped, dropped, capacity, capacity)
    assert [ring.pop() for _ in range(capacity)] == expected
    assert ring.try_pop() is None
    holds(ring)


@each_ring
def test_data_longer_than_a_slot_is_refused(cls: Any) -> None:
    ring = cls(2, 8)
    for push in (ring.push, ring.try_push):
        with pytest.raises(SlotTooSmallError, match="found 9 bytes, a slot of this ring holds 8"):
            push(b"123456789")
    assert len(ring) == 0


@each_ring
@pytest.mark.parametrize("wrong", ["text", 5, None, [1], memoryview(b"abcdef")[::2], np.zeros(6, "u1")[::2]], ids=repr)
def test_what_has_no_contiguous_bytes_is_refused(cls: Any, wrong: Any) -> None:
    ring = cls(2, 8)
    for push in (ring.push, ring.try_push):
        with pytest.raises(WrongItemError):
            push(wrong)
    assert len(ring) == 0


@each_kind
def test_a_ring_of_messages_gives_messages_back(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype=RingItem, layout=layout, overflow=policy)
    item = RingItem(7, b"abc")
    ring.push(item)
    item.n = 8
    ring.push(item)
    assert ring.item_type is RingItem
    assert [ring.pop(), ring.try_pop()] == [RingItem(7, b"abc"), RingItem(8, b"abc")]
    for wrong in (RingOther(1), b"12345678", None, RingItem):
        with pytest.raises(WrongItemError, match="RingItem"):
            ring.push(wrong)


@each_kind
def test_a_ring_of_a_dtype_gives_scalars_back(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(2, dtype="f8", layout=layout, overflow=policy)
    ring.push(np.float64(1.5))
    ring.push(np.array([2.5]))
    assert [ring.pop(), ring.try_pop()] == [1.5, 2.5]
    for wrong in (b"1234", np.float32(1), np.zeros(2)):
        with pytest.raises(WrongItemError):
            ring.push(wrong)


def test_a_dtype_of_the_same_size_but_another_kind_is_refused() -> None:
    ring = rk.SpscRing(2, dtype="f8")
    with pytest.raises(WrongItemError):
        ring.push(np.int64(1))


def test_a_pop_inside_a_pop_gives_no_message_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler or a finalizer can run where an item becomes a scalar, and use the same ring."""
    from pyringkernel import _arrays

    ring = rk.SpscRing(4, dtype="u4")
    ring.push_many(np.arange(3, dtype="u4"))
    plain, inside = _arrays.scalar, []

    def scalar(data: bytes, dtype: Any) -> Any:
        monkeypatch.setattr(_arrays, "scalar", plain)
        inside.append(int(ring.pop()))
        return plain(data, dtype)

    monkeypatch.setattr(_arrays, "scalar", scalar)
    outer = int(ring.pop())
    assert sorted([outer, *inside, int(ring.pop())]) == [0, 1, 2]
    assert ring.try_pop() is None
    holds(ring)


@each_ring
def test_wrong_calls_are_type_errors(cls: Any) -> None:
    ring = cls(2)
    for call in (
        lambda: ring.push(),
        lambda: ring.push(b"", 0, 0),
        lambda: ring.push(b"", foo=1),
        lambda: ring.push(foo=b""),
        lambda: ring.push(timeout=b""),
        lambda: ring.push(timeout=1),
        lambda: ring.try_push(),
        lambda: ring.pop(0, 0),
        lambda: ring.pop(wait=0),
        lambda: ring.try_pop(0),
        lambda: cls(),
        lambda: cls(2, nothing=3),
    ):
        with pytest.raises(TypeError):
            call()


@each_ring
@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf"), "1", b"1", [1]], ids=repr)
def test_a_timeout_that_cannot_be_is_refused(cls: Any, timeout: Any) -> None:
    ring = cls(2)
    for call in (
        lambda: ring.push(b"x", timeout=timeout),
        lambda: ring.pop(timeout),
        lambda: ring.pop_many(timeout=timeout),
        lambda: ring.push_many(np.zeros((1, 64), "u1"), timeout=timeout),
    ):
        with pytest.raises((InvalidArgumentError, TypeError)):
            call()
    assert len(ring) == 0


@each_kind
def test_a_wait_ends_at_its_timeout_and_not_before(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(1, layout=layout, overflow=policy)
    start = time.monotonic()
    with pytest.raises(RingTimeoutError, match=r"0\.03"):
        ring.pop(timeout=0.03)
    assert len(ring.pop_many(timeout=0.03)) == 0
    assert time.monotonic() - start >= 0.06
    ring.push(b"x")
    if policy in ("fail", "block"):
        start = time.monotonic()
        with pytest.raises(RingTimeoutError):
            ring.push(b"y", 0.03)
        assert time.monotonic() - start >= 0.03
    assert ring.pop(timeout=1e300) == b"x"


# -- close


@each_kind
def test_a_closed_ring_is_drained_and_then_says_so(cls: Any, layout: Any, policy: Any) -> None:
    ring = cls(4, dtype="u4", layout=layout, overflow=policy)
    ring.push_many(np.arange(4, dtype="u4"))
    ring.close()
    ring.close()
    assert ring.closed
    for push in (
        lambda: ring.push(np.uint32(9)),
        lambda: ring.try_push(np.uint32(9)),
        lambda: ring.push(np.uint32(9), timeout=9),
        lambda: ring.push_many(np.arange(2, dtype="u4")),
    ):
        with pytest.raises(RingClosedError):
            push()
    assert ring.pop() == 0
    assert ring.pop(timeout=9) == 1
    assert ring.pop_many(1).tolist() == [2]
    assert ring.try_pop() == 3
    for pop in (
        ring.pop,
        lambda: ring.pop(9),
        ring.try_pop,
        ring.pop_many,
        lambda: ring.pop_many(timeout=9),
        lambda: ring.pop_many(out=np.zeros(2, "u4")),
    ):
        with pytest.raises(RingClosedError):
            pop()
    holds(ring)
    assert ring.stats().delivered == 4


@each_ring
def test_a_ring_is_closed_by_its_with_block(cls: Any) -> None:
    with cls(2) as ring:
        ring.push(b"x")
    assert ring.closed
    assert ring.pop() == b"x"


@each_ring
def test_a_ring_closed_before_its_first_use_is_closed_for_both_sides(cls: Any) -> None:
    ring = cls(2)
    ring.close()
    with pytest.raises(RingClosedError):
        ring.pop()
    with pytest.raises(RingClosedError):
        ring.push(b"x")


@each_ring
@pytest.mark.parametrize("policy", ["fail", "block", "drop_newest"])
def test_a_full_ring_that_is_closed_says_closed_and_not_full(cls: Any, policy: Any) -> None:
    ring = cls(1, overflow=policy)
    ring.push(b"x")
    ring.close()
    with pytest.raises(RingClosedError):
        ring.push(b"y")
    assert ring.stats().dropped == 0


def test_every_ring_error_is_also_the_builtin_that_fits() -> None:
    for error, builtin in [
        (CapacityError, ValueError),
        (SlotTooSmallError, ValueError),
        (RingMemoryError, MemoryError),
        (WrongItemError, TypeError),
        (RingFullError, BufferError),
        (RingTimeoutError, TimeoutError),
        (RingClosedError, ConnectionError),
        (InvalidArgumentError, ValueError),
    ]:
        assert issubclass(error, builtin)
        assert issubclass(error, RingKernelError)
