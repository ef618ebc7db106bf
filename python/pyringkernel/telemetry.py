"""What a kernel and a runtime have counted and measured: copies that do not change, in ints and NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgumentError
from .rings import RingStats

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def _whole(name: str, value: Any) -> int:
    """A count as an int from 0; NumPy's integers are welcome."""
    try:
        number = -1 if isinstance(value, bool) else int(value.__index__())
    except (AttributeError, TypeError):
        number = -1
    if number < 0:
        raise InvalidArgumentError(f"{name}: found {value!r}, need an int from 0")
    return number


def _percentage(p: Any) -> float:
    try:
        number = math.nan if isinstance(p, bool | str) else float(p)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if 0 <= number <= 100:
        return number
    raise InvalidArgumentError(f"p: found {p!r}, need a percentage from 0 to 100")


def _get(core: Mapping[str, Any], name: str) -> Any:
    if not isinstance(core, Mapping):
        raise InvalidArgumentError(f"found {type(core).__name__}, need a dict with {name!r}")
    if name in core:
        return core[name]
    raise InvalidArgumentError(f"{name}: missing, found {', '.join(map(str, core)) or 'nothing'}")


def _whole_array(name: str, values: Any) -> npt.NDArray[np.uint64]:
    """`values` as a read-only u64 array of one dimension; not copied when nobody can write to it."""
    import numpy as np

    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.dtype.kind == "i" and (array < 0).any()):
        raise InvalidArgumentError(
            f"{name}: found {array.dtype} of shape {array.shape}, need one dimension of ints from 0"
        )
    if array.dtype != np.uint64 or array.flags.writeable or array.base is not None:
        array = array.astype(np.uint64)
        array.flags.writeable = False
    return array


def _duration(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g}{unit}"
    return f"{ns:.3g}ns"


class LatencyHistogram:
    """Durations in nanoseconds, counted in buckets; immutable.

    A percentile is at most 1/32 off, and exact below 32 ns. ``later - earlier`` is what was recorded between two copies
    of one histogram, ``a + b`` what both recorded. While nothing was recorded, everything is 0.

    counts: records in each bucket. count, sum_ns, min_ns, max_ns: of all records. edges: the least duration of each
    bucket in ns, and the end of the last one, which that one includes. Raises InvalidArgumentError when they do not agree.
    """

    __slots__ = ("_count", "_counts", "_edges", "_max", "_min", "_sum")

    _counts: npt.NDArray[np.uint64]
    _edges: npt.NDArray[np.uint64]

    def __init__(self, counts: Any, count: int, sum_ns: int, min_ns: int, max_ns: int, edges: Any) -> None:
        self._counts = _whole_array("counts", counts)
        self._edges = _whole_array("edges", edges)
        self._count = _whole("count", count)
        self._sum = _whole("sum_ns", sum_ns)
        self._min = _whole("min_ns", min_ns)
        self._max = _whole("max_ns", max_ns)
        self._check()

    def _check(self) -> None:
        if len(self._counts) == 0 or len(self._edges) != len(self._counts) + 1:
            raise InvalidArgumentError(
                f"edges: found {len(self._edges)} for {len(self._counts)} buckets, need one more than buckets"
            )
        if not (self._edges[1:] > self._edges[:-1]).all():
            raise InvalidArgumentError("edges: need ascending ones")
        held = int(self._counts.sum())
        if self._count != held:
            raise InvalidArgumentError(f"count: found {self._count}, the buckets hold {held}")
        if self._min > self._max:
            raise InvalidArgumentError(f"min_ns: found {self._min}, more than max_ns {self._max}")

    @classmethod
    def from_core(cls, core: Mapping[str, Any]) -> LatencyHistogram:
        """From a dict with counts, count, sum, min, max and edges. Raises InvalidArgumentError."""
        return cls(*(_get(core, name) for name in ("counts", "count", "sum", "min", "max", "edges")))

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return self._count

    @property
    def sum_ns(self) -> int:
        """All durations together, in nanoseconds."""
        return self._sum

    @property
    def min_ns(self) -> int:
        """The shortest, in nanoseconds; of an interval, to within its bucket."""
        return self._min

    @property
    def max_ns(self) -> int:
        """The longest, in nanoseconds; of an interval, to within its bucket."""
        return self._max

    @property
    def mean_ns(self) -> float:
        """The average, in nanoseconds."""
        if self._count == 0:
            return 0.0
        return min(max(self._sum / self._count, float(self._min)), float(self._max))

    @property
    def p50(self) -> int:
        """The median, in nanoseconds."""
        return self.percentile(50)

    @property
    def p99(self) -> int:
        """What 99 % do not exceed, in nanoseconds."""
        return self.percentile(99)

    @property
    def p999(self) -> int:
        """What 99.9 % do not exceed, in nanoseconds."""
        return self.percentile(99.9)

    def percentile(self, p: float) -> int:
        """The duration in nanoseconds that `p` percent (0 to 100) do not exceed. Raises InvalidArgumentError."""
        # As in histogram.h: without the slack, 64.4 % of 250 are more than 161.
        percent = _percentage(p)
        rank = math.ceil(percent * self._count / 100 * (1 - 1e-15))
        if rank <= 1:
            return self._min
        if rank >= self._count or percent == 100:
            return self._max
        import numpy as np

        bucket = int(np.searchsorted(np.cumsum(self._counts), np.uint64(rank)))
        edge, end = int(self._edges[bucket]), int(self._edges[bucket + 1])
        return min(max(edge + (end - edge) // 2, self._min), self._max)

    def buckets(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """(edges, counts), both read-only; edges in nanoseconds, one more than counts, as numpy.histogram has them."""
        return self._edges, self._counts

    def __sub__(self, earlier: LatencyHistogram) -> LatencyHistogram:
        if not isinstance(earlier, LatencyHistogram):
            return NotImplemented
        self._need_same_edges(earlier)
        if (self._counts < earlier._counts).any():
            raise InvalidArgumentError("the right side is no earlier copy of the same histogram: it holds more")
        counts = self._counts - earlier._counts
        used = counts.nonzero()[0]
        if len(used) == 0:
            return LatencyHistogram(counts, 0, 0, 0, 0, self._edges)
        low, high = int(used[0]), int(used[-1])
        least = min(max(self._min, int(self._edges[low])), self._highest_in(low))
        most = min(max(self._max, int(self._edges[high])), self._highest_in(high))
        total = max(self._sum - earlier._sum, 0)
        return LatencyHistogram(counts, self._count - earlier._count, total, least, most, self._edges)

    def __add__(self, other: LatencyHistogram) -> LatencyHistogram:
        if not isinstance(other, LatencyHistogram):
            return NotImplemented
        self._need_same_edges(other)
        filled = [one for one in (self, other) if one._count]
        return LatencyHistogram(
            self._counts + other._counts,
            self._count + other._count,
            self._sum + other._sum,
            min((one._min for one in filled), default=0),
            max((one._max for one in filled), default=0),
            self._edges,
        )

    def _highest_in(self, bucket: int) -> int:
        last = bucket == len(self._counts) - 1  # it includes its end
        return int(self._edges[bucket + 1]) - (0 if last else 1)

    def _need_same_edges(self, other: LatencyHistogram) -> None:
        import numpy as np

        if self._edges is not other._edges and not np.array_equal(self._edges, other._edges):
            raise InvalidArgumentError("the histograms have different buckets")

    def _key(self) -> tuple[int, int, int, int, bytes, bytes]:
        return self._count, self._sum, self._min, self._max, self._counts.tobytes(), self._edges.tobytes()

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, LatencyHistogram) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._count, self._sum, self._min, self._max))

    def __reduce__(self) -> Any:
        return LatencyHistogram, (self._counts, self._count, self._sum, self._min, self._max, self._edges)

    def __repr__(self) -> str:
        if self._count == 0:
            return "<LatencyHistogram count=0>"
        named = {"min": self._min, "p50": self.p50, "p99": self.p99, "p999": self.p999, "max": self._max}
        return f"<LatencyHistogram count={self._count} {' '.join(f'{k}={_duration(v)}' for k, v in named.items())}>"


_LATENCIES = ("handler", "queueing")
_OF_LATENCY = ("count", "min_ns", "max_ns", "mean_ns", "p50_ns", "p99_ns", "p999_ns")


@dataclass(frozen=True, repr=False)
class KernelTelemetry:
    """Counts of messages and two latencies of one kernel, or of one of its instances.

    ``accepted`` and ``in_flight`` are those of its inbox, ``high_water`` its deepest backlog seen. ``linked``: how many
    of the messages that are over came from other kernels of its GPU in its memory, without the host. ``errors_reported`` and
    ``last_error`` (its code, 0: none) are of errors that failed no message. ``handler`` is the time inside the handler,
    ``queueing`` the time from send to its beginning, in nanoseconds.
    """

    name: str
    instances: int
    processed: int
    failed: int
    dropped: int
    expired: int
    restarts: int
    accepted: int
    in_flight: int
    high_water: int
    linked: int
    errors_reported: int
    last_error: int
    handler: LatencyHistogram
    queueing: LatencyHistogram

    @classmethod
    def from_core(cls, core: Mapping[str, Any]) -> KernelTelemetry:
        """From a dict with the names of the fields. Raises InvalidArgumentError."""
        name = _get(core, "name")
        if not isinstance(name, str):
            raise InvalidArgumentError(f"name: found {name!r}, need a str")
        counts = {count: _whole(count, _get(core, count)) for count in _COUNTS}
        handler, queueing = (LatencyHistogram.from_core(_get(core, latency)) for latency in _LATENCIES)
        return cls(name=name, handler=handler, queueing=queueing, **counts)

    def as_numpy(self) -> np.ndarray[Any, Any]:
        """A structured array without dimensions: the counts, and ``handler_`` and ``queueing_`` with ``count``,
        ``min_ns``, ``max_ns``, ``mean_ns``, ``p50_ns``, ``p99_ns``, ``p999_ns``.
        """
        return _table([self]).reshape(())

    def __repr__(self) -> str:
        return (
            f"<KernelTelemetry {self.name!r} processed={self.processed} failed={self.failed} in_flight={self.in_flight}"
            f" handler p50={_duration(self.handler.p50)} p99={_duration(self.handler.p99)}>"
        )


_COUNTS = tuple(field.name for field in fields(KernelTelemetry) if field.name not in ("name", *_LATENCIES))


def _row(kernel: KernelTelemetry) -> tuple[Any, ...]:
    latencies: list[float] = []
    for one in (kernel.handler, kernel.queueing):
        latencies += [one.count, one.min_ns, one.max_ns, one.mean_ns, one.p50, one.p99, one.p999]
    return (kernel.name, *(getattr(kernel, count) for count in _COUNTS), *latencies)


def _table(kernels: list[KernelTelemetry]) -> np.ndarray[Any, Any]:
    """One row a kernel; the column of names is as wide as the longest."""
    import numpy as np

    width = max([1, *(len(kernel.name) for kernel in kernels)])
    columns: list[tuple[str, str]] = [("name", f"<U{width}"), *((count, "<u8") for count in _COUNTS)]
    for latency in _LATENCIES:
        columns += [(f"{latency}_{part}", "<f8" if part == "mean_ns" else "<u8") for part in _OF_LATENCY]
    return np.array([_row(kernel) for kernel in kernels], np.dtype(columns))


@dataclass(frozen=True, repr=False)
class RuntimeTelemetry:
    """All kernels of a runtime, its workers, and where every message is.

    ``steals``: how often a worker took over another's instance; ``parks``: how often one went to sleep.
    ``dead_letters``: all that ever were. ``stats``: the sum over all inboxes, of kernels and of the
    host.
    """

    kernels: tuple[KernelTelemetry, ...]
    workers: int
    steals: int
    parks: int
    dead_letters: int
    stats: RingStats

    @classmethod
    def from_core(cls, core: Mapping[str, Any]) -> RuntimeTelemetry:
        """From a dict with the names of the fields: kernels is a list of dicts, stats a dict. Raises
        InvalidArgumentError.
        """
        counts = {name: _whole(name, _get(core, name)) for name in ("workers", "steals", "parks", "dead_letters")}
        stats = _get(core, "stats")
        of_rings = {field.name: _whole(field.name, _get(stats, field.name)) for field in fields(RingStats)}
        kernels = _get(core, "kernels")
        if not isinstance(kernels, list | tuple):
            raise InvalidArgumentError(f"kernels: found {type(kernels).__name__}, need a list of dicts")
        return cls(
            kernels=tuple(KernelTelemetry.from_core(one) for one in kernels), stats=RingStats(**of_rings), **counts
        )

    def as_numpy(self) -> np.ndarray[Any, Any]:
        """A structured array with one row a kernel; the columns are those of KernelTelemetry.as_numpy()."""
        return _table(list(self.kernels))

    def __repr__(self) -> str:
        s = self.stats
        return (
            f"<RuntimeTelemetry kernels={len(self.kernels)} workers={self.workers} accepted={s.accepted}"
            f" delivered={s.delivered} in_flight={s.in_flight} dead_letters={self.dead_letters}>"
        )
