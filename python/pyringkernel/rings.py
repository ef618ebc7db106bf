"""Lock-free rings between threads of one process."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import _core
from .errors import ForkedProcessError, InvalidArgumentError, RingTimeoutError, SlotTooSmallError

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self

Overflow = Literal["fail", "block", "drop_newest", "drop_oldest"]
Layout = Literal["packed", "turn"]
Wait = Literal["latency", "balanced", "throughput"]

_OVERFLOW = {"fail": 0, "block": 1, "drop_newest": 2, "drop_oldest": 3}
_LAYOUT = {"packed": 0, "turn": 1}
_WAIT = {"latency": 0, "balanced": 16, "throughput": 64}


@dataclass(frozen=True)
class RingStats:
    """Message counts since the ring was made: ``accepted == delivered + dropped + dead_lettered + in_flight``, always.

    ``high_water`` is the deepest backlog seen at a look; a peak between two looks may be missed.
    """

    accepted: int
    delivered: int
    dropped: int
    dead_lettered: int
    in_flight: int
    high_water: int


def _choose(name: str, value: str, table: dict[str, int]) -> int:
    if value in table:
        return table[value]
    raise InvalidArgumentError(f"{name}: found {value!r}, need one of {', '.join(map(repr, table))}")


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{name}: found {value!r}, need an int")
    if value < 0 or value >= 2**63:
        from .errors import CapacityError

        kind = CapacityError if name == "capacity" else SlotTooSmallError
        raise kind(f"{name}: found {value}, need a positive number that fits memory")
    return value


def _item(slot_size: int | None, dtype: Any) -> tuple[int, Any]:
    """Slot size in bytes, and what an item is: None (bytes), a message class or a NumPy dtype."""
    if dtype is None:
        return 64 if slot_size is None else _count("slot_size", slot_size), None
    if isinstance(dtype, type) and issubclass(dtype, _core.Message):
        item, size = dtype, dtype.wire_size
    else:
        import numpy as np

        item = np.dtype(dtype)
        size = item.itemsize
        if item.hasobject:
            raise InvalidArgumentError(f"dtype: found {item}, need one without Python objects")
    if slot_size is not None and slot_size != size:
        raise SlotTooSmallError(
            f"slot_size: found {slot_size}, an item of {dtype} has {size} bytes; leave slot_size out"
        )
    return size, item


def _order(order_by: str | int | None, item: Any, slot_size: int) -> int:
    """The byte offset of the u64 to merge by; -1: none."""
    if order_by is None:
        return -1
    if isinstance(order_by, str):
        from ._arrays import item_dtype

        dtype = item_dtype(item, slot_size)
        if dtype is None or dtype.fields is None or order_by not in dtype.fields:
            raise InvalidArgumentError(f"order_by: the items have no field {order_by!r}")
        field, order_by = dtype.fields[order_by][:2]
        if field.str != "<u8":
            raise InvalidArgumentError(f"order_by: found a field of {field}, need u64")
    if type(order_by) is not int or not 0 <= order_by <= slot_size - 8:
        raise InvalidArgumentError(
            f"order_by: found {order_by!r}, need the name of a field or an offset from 0 to {slot_size - 8}"
        )
    return order_by


class _Ring(_core.Ring):
    """What both rings share; see SpscRing."""

    def _make(
        self,
        capacity: int,
        slot_size: int | None,
        dtype: Any,
        overflow: str,
        layout: str,
        wait: str,
        producers: int,
        order_by: str | int | None,
    ) -> None:
        size, item = _item(slot_size, dtype)
        super().__init__(
            _count("capacity", capacity),
            size,
            item,
            _choose("overflow", overflow, _OVERFLOW),
            _choose("layout", layout, _LAYOUT),
            _choose("wait", wait, _WAIT),
            producers,
            _order(order_by, item, size),
        )

    def push_many(self, array: Any, timeout: float | None = None) -> int:
        """Push the rows of an array: uint8 of shape (n, slot_size), or one dimension of the ring's dtype.

        Returns how many were accepted: fewer than n when the ring fills, and waits for room as push() does. Raises
        WrongItemError, RingClosedError.
        """
        from . import _arrays

        data, count = _arrays.rows(array, self.item_type, self.slot_size)
        return self._push_rows(data, count, timeout) if count else 0

    def pop_many(
        self, max: int = 4096, out: np.ndarray[Any, Any] | None = None, timeout: float | None = 0.0
    ) -> np.ndarray[Any, Any]:
        """Pop up to `max` messages into a new array, or into `out` (the filled part is returned).

        Waits up to `timeout` seconds for the first one; the array is empty when there is none. Raises RingClosedError
        when the ring is closed and drained, WrongItemError for an `out` that does not fit.
        """
        from . import _arrays

        if type(max) is not int or max < 0:
            raise InvalidArgumentError(f"max: found {max!r}, need an int from 0")
        if out is not None:
            out = _arrays.checked_out(out, self.item_type, self.slot_size)
            max = len(out)
        if timeout != 0.0 or self.closed:
            try:
                self._wait_message(timeout)
            except RingTimeoutError:  # pragma: no cover - _wait_message answers, it does not raise this
                max = 0
        target = out if out is not None else _arrays.blank(min(max, len(self)), self.item_type, self.slot_size)
        return target[: self._pop_rows(target, len(target))]

    def stats(self) -> RingStats:
        """Exact counts; the sum holds at any time."""
        return RingStats(**self._stats())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ForkedProcessError):  # a forked child leaves its parent's block: nothing of it is ours
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"{type(self).__name__} belongs to one process and cannot be pickled")

    def __repr__(self) -> str:
        s = self.stats()
        closed = " closed" if self.closed else ""
        return f"<{type(self).__name__} {s.in_flight}/{self.capacity} slot_size={self.slot_size}{closed}>"


class SpscRing(_Ring):
    """Single-producer, single-consumer ring; each side is the first thread that uses it.

    capacity: messages, a power of two. slot_size: bytes a message may have (default 64), or dtype: a message class or
    NumPy dtype, then items are of that type. overflow: what push does when the ring is full. layout: "packed", or "turn"
    for the shortest round trip of up to 56 bytes. wait: how long a consumer that outruns its producer may wait before it
    looks again.

    Raises CapacityError, SlotTooSmallError, RingMemoryError, InvalidArgumentError.
    """

    def __init__(
        self,
        capacity: int,
        slot_size: int | None = None,
        *,
        dtype: Any = None,
        overflow: Overflow = "fail",
        layout: Layout = "packed",
        wait: Wait = "latency",
    ) -> None:
        self._make(capacity, slot_size, dtype, overflow, layout, wait, 0, None)


class MpscRing(_Ring):
    """Many-producer, single-consumer ring: each producing thread has a lane of `capacity` messages of its own.

    lanes: how many there are; when more threads than lanes - 1 produce at one time, the others share the last lane behind
    a lock. order_by: the
    name or byte offset of a u64 (an HLC time, say) by which lanes are merged; without it they take turns. The rest is as
    for SpscRing.
    """

    def __init__(
        self,
        capacity: int,
        slot_size: int | None = None,
        *,
        dtype: Any = None,
        overflow: Overflow = "fail",
        layout: Layout = "packed",
        wait: Wait = "latency",
        lanes: int = 64,
        order_by: str | int | None = None,
    ) -> None:
        if isinstance(lanes, bool) or not isinstance(lanes, int) or not 2 <= lanes <= 4096:
            raise InvalidArgumentError(f"lanes: found {lanes!r}, need 2 to 4096")
        self._make(capacity, slot_size, dtype, overflow, layout, wait, lanes, order_by)
