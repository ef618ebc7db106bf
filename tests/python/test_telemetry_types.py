"""Histograms and telemetry as values: exact arithmetic, bounded error, nothing that changes, and no nonsense accepted."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyringkernel import RingKernelError, RingStats
from pyringkernel.errors import InvalidArgumentError
from pyringkernel.telemetry import KernelTelemetry, LatencyHistogram, RuntimeTelemetry

BUCKETS = 592
LONGEST = 2**40


def edge(bucket: int) -> int:
    return bucket if bucket < 16 else (16 + bucket % 16) << (bucket // 16 - 1)


EDGES = np.array([edge(b) for b in range(BUCKETS + 1)], np.uint64)

# All magnitudes alike, with the ends of many octaves.
durations = st.integers(0, 40).flatmap(
    lambda octave: st.integers(max(2**octave - 2, 0), min(2 ** (octave + 1), LONGEST))
)
samples = st.lists(durations, max_size=200)


def core_of(values: list[int]) -> dict[str, Any]:
    """What the C++ histogram answers after recording `values`."""
    places = np.searchsorted(EDGES, np.array(values, np.uint64), "right") - 1
    counts = np.bincount(np.minimum(places, BUCKETS - 1), minlength=BUCKETS).astype(np.uint64)
    ends = {"min": min(values, default=0), "max": max(values, default=0)}
    return {"counts": counts, "count": len(values), "sum": sum(values), **ends, "edges": EDGES}


def histogram(values: list[int]) -> LatencyHistogram:
    return LatencyHistogram.from_core(core_of(values))


def nearest_rank(values: list[int], per_mille: int) -> int:
    return sorted(values)[max(math.ceil(per_mille * len(values) / 1000), 1) - 1]


# -- histograms


@given(samples.filter(bool), st.integers(0, 1000))
@example([31] * 2 + [0] * 998, 998)
@example([1] * 161 + [31] * 89, 644)  # 64.4 * 250 / 100 is a little more than 161
@example([LONGEST, LONGEST - 1, 0], 500)
def test_a_percentile_is_within_a_thirty_second_of_the_exact_one(values: list[int], per_mille: int) -> None:
    exact = nearest_rank(values, per_mille)
    found = histogram(values).percentile(per_mille / 10)
    assert type(found) is int
    assert abs(found - exact) <= exact // 32


@given(samples.filter(bool))
def test_counts_sums_and_ends_are_exact(values: list[int]) -> None:
    h = histogram(values)
    assert (h.count, h.sum_ns, h.min_ns, h.max_ns) == (len(values), sum(values), min(values), max(values))
    assert h.mean_ns == pytest.approx(sum(values) / len(values))
    assert (h.percentile(0), h.percentile(100)) == (min(values), max(values))
    assert (h.p50, h.p99, h.p999) == (h.percentile(50), h.percentile(99), h.percentile(99.9))
    assert h.min_ns <= h.p50 <= h.p99 <= h.p999 <= h.max_ns


def test_an_empty_one_answers_0() -> None:
    h = histogram([])
    assert (h.count, h.sum_ns, h.min_ns, h.max_ns, h.mean_ns, h.p50, h.p999) == (0,) * 7
    assert repr(h) == "<LatencyHistogram count=0>"


def test_counts_beyond_the_precision_of_a_float_find_the_right_bucket() -> None:
    counts = np.zeros(BUCKETS, np.uint64)
    counts[3], counts[5], counts[600 - 16] = 2**62, 2**62, 1
    h = LatencyHistogram(counts, 2**63 + 1, 2**66, 3, LONGEST, EDGES)
    assert (h.percentile(49), h.percentile(51), h.percentile(100)) == (3, 5, LONGEST)


@given(samples, samples)
def test_later_minus_earlier_is_what_came_between(first: list[int], then: list[int]) -> None:
    between, whole = histogram(first + then) - histogram(first), histogram(then)
    assert between.count == len(then)
    assert between.sum_ns == sum(then)
    assert between.buckets()[1].tolist() == whole.buckets()[1].tolist()
    assert between.min_ns <= whole.min_ns
    assert between.max_ns >= whole.max_ns
    assert whole.min_ns - between.min_ns <= whole.min_ns // 16
    assert between.max_ns - whole.max_ns <= whole.max_ns // 16 or not then


@given(samples, samples)
def test_a_sum_is_that_of_all_records(left: list[int], right: list[int]) -> None:
    assert histogram(left) + histogram(right) == histogram(left + right)


@given(samples)
def test_subtracting_itself_leaves_nothing(values: list[int]) -> None:
    assert histogram(values) - histogram(values) == histogram([])


def test_a_reading_that_is_not_earlier_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="earlier"):
        histogram([5]) - histogram([5, 5])
    with pytest.raises(InvalidArgumentError, match="earlier"):
        histogram([5, 5]) - histogram([7])


def test_histograms_with_other_buckets_do_not_mix() -> None:
    other = LatencyHistogram([1], 1, 5, 5, 5, [0, 10])
    with pytest.raises(InvalidArgumentError, match="different buckets"):
        other + histogram([5])
    with pytest.raises(InvalidArgumentError, match="different buckets"):
        histogram([5]) - other


@pytest.mark.parametrize("other", [0, None, "x", [1]], ids=repr)
def test_only_histograms_are_added_and_subtracted(other: Any) -> None:
    with pytest.raises(TypeError):
        histogram([1]) + other
    with pytest.raises(TypeError):
        histogram([1]) - other
    assert histogram([1]) != other


# -- immutable


def test_the_arrays_given_and_got_cannot_change_a_histogram() -> None:
    counts, edges = np.array([1, 2], np.uint64), np.array([0, 10, 20], np.uint64)
    view = counts[:]
    view.flags.writeable = False  # read-only, but its owner is not
    h = LatencyHistogram(view, 3, 30, 5, 15, edges)
    counts[0] = edges[0] = 7
    assert h.buckets()[1].tolist() == [1, 2]
    assert h.buckets()[0].tolist() == [0, 10, 20]
    for array in h.buckets():
        assert array.dtype == np.uint64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("name", ["count", "sum_ns", "min_ns", "max_ns", "mean_ns", "p50", "p99", "p999", "other"])
def test_a_histogram_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(histogram([1]), name, 1)


@given(samples)
def test_copies_and_pickles_are_equal_and_one_key(values: list[int]) -> None:
    h = histogram(values)
    for other in (copy.copy(h), copy.deepcopy(h), pickle.loads(pickle.dumps(h)), histogram(values)):
        assert other == h
        assert hash(other) == hash(h)
        assert not other.buckets()[1].flags.writeable


def test_histograms_that_differ_in_one_bucket_are_not_equal() -> None:
    assert LatencyHistogram([1, 0], 1, 9, 9, 9, [0, 10, 20]) != LatencyHistogram([0, 1], 1, 9, 9, 9, [0, 10, 20])


def test_repr_is_one_line_with_units() -> None:
    text = repr(histogram([0, 1500, 2_000_000, 3 * 10**9]))
    assert "\n" not in text
    for part in ("count=4", "min=0ns", "p50=1.5", "us", "max=3s"):
        assert part in text


# -- bad arguments


@pytest.mark.parametrize(
    "p", [-0.1, 100.1, math.nan, math.inf, -math.inf, True, "50", None, [50], 10**400], ids=lambda p: str(p)[:9]
)
def test_what_is_no_percentage_is_refused(p: Any) -> None:
    for values in ([], [1, 2, 3]):
        with pytest.raises(InvalidArgumentError, match="percentage"):
            histogram(values).percentile(p)


def test_numbers_of_numpy_are_welcome() -> None:
    h = LatencyHistogram([np.int32(2)], np.uint64(2), np.int64(4), np.uint8(1), np.uint8(3), [0, 4])
    assert (h.count, h.percentile(np.float32(50))) == (2, 1)
    assert type(h.count) is int


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("counts", [-1, 2]),
        ("counts", [0.5, 0.5]),
        ("counts", [[1, 0]]),
        ("counts", []),
        ("counts", None),
        ("counts", "ab"),
        ("counts", [2**64, 1]),
        ("counts", [1]),
        ("counts", [1, 1]),
        ("edges", [0, 10]),
        ("edges", [0, 20, 10]),
        ("edges", [0, 10, 10]),
        ("edges", [0.0, 1.0, 2.0]),
        ("edges", None),
        ("count", 2),
        ("count", -1),
        ("count", 1.0),
        ("count", True),
        ("count", None),
        ("sum", -1),
        ("sum", "9"),
        ("min", 10),
        ("min", -1),
        ("max", math.nan),
    ],
    ids=str,
)
def test_parts_that_do_not_agree_are_refused(name: str, value: Any) -> None:
    good = {"counts": [1, 0], "count": 1, "sum": 9, "min": 9, "max": 9, "edges": [0, 10, 20]}
    assert LatencyHistogram.from_core(good).p50 == 9
    with pytest.raises(InvalidArgumentError):
        LatencyHistogram.from_core({**good, name: value})


# -- telemetry

KERNEL = {
    "name": "adder",
    "instances": 2,
    "processed": 10,
    "failed": 1,
    "dropped": 3,
    "expired": 4,
    "restarts": 5,
    "accepted": 2**63 + 1,
    "in_flight": 7,
    "high_water": 8,
    "linked": 6,
    "errors_reported": 11,
    "last_error": 0xFFFF0001,
    "handler": core_of([100, 200, 300]),
    "queueing": core_of([]),
}
STATS = {"accepted": 9, "delivered": 4, "dropped": 2, "dead_lettered": 1, "in_flight": 2, "high_water": 8}
RUNTIME = {
    "kernels": [KERNEL, {**KERNEL, "name": "a/much/longer name é"}],
    "workers": 2,
    "steals": 3,
    "parks": 4,
    "dead_letters": 1,
    "stats": STATS,
}


def test_kernel_telemetry_has_what_the_core_says() -> None:
    t = KernelTelemetry.from_core(KERNEL)
    for field in dataclasses.fields(t):
        if field.name not in ("handler", "queueing"):
            assert getattr(t, field.name) == KERNEL[field.name]
    assert t.handler == histogram([100, 200, 300])
    assert t.queueing.count == 0
    assert t == KernelTelemetry.from_core(dict(KERNEL))
    assert t == pickle.loads(pickle.dumps(t))
    assert hash(t) == hash(copy.deepcopy(t))
    assert t != KernelTelemetry.from_core({**KERNEL, "queueing": core_of([1])})


def test_kernel_telemetry_as_numpy_is_one_record() -> None:
    t = KernelTelemetry.from_core(KERNEL)
    array = t.as_numpy()
    assert array.shape == ()
    for field in dataclasses.fields(t):
        if field.name not in ("handler", "queueing"):
            assert array[field.name] == KERNEL[field.name], field.name
    for part in ("count", "min_ns", "max_ns", "mean_ns"):
        assert array[f"handler_{part}"] == getattr(t.handler, part)
        assert array[f"queueing_{part}"] == 0
    for part in ("p50", "p99", "p999"):
        assert array[f"handler_{part}_ns"] == getattr(t.handler, part)


def test_runtime_telemetry_as_numpy_has_one_row_a_kernel() -> None:
    t = RuntimeTelemetry.from_core(RUNTIME)
    array = t.as_numpy()
    assert array.shape == (2,)
    assert array["name"].tolist() == ["adder", "a/much/longer name é"]
    assert array["accepted"].tolist() == [2**63 + 1] * 2, "no float in between"
    assert array["handler_count"].sum() == 6
    assert np.concatenate([array, t.kernels[0].as_numpy().reshape(1)]).shape == (3,)


def test_a_runtime_without_kernels_has_no_rows_and_the_same_columns() -> None:
    t = RuntimeTelemetry.from_core({**RUNTIME, "kernels": []})
    assert t.kernels == ()
    assert t.as_numpy().shape == (0,)
    assert t.as_numpy().dtype.names == RuntimeTelemetry.from_core(RUNTIME).as_numpy().dtype.names


def test_runtime_telemetry_has_what_the_core_says() -> None:
    t = RuntimeTelemetry.from_core(RUNTIME)
    assert (t.workers, t.steals, t.parks, t.dead_letters) == (2, 3, 4, 1)
    assert t.stats == RingStats(**STATS)
    assert [k.name for k in t.kernels] == ["adder", "a/much/longer name é"]
    assert t == pickle.loads(pickle.dumps(t))


@pytest.mark.parametrize("core", [KERNEL, RUNTIME], ids=["kernel", "runtime"])
def test_telemetry_is_frozen_and_its_repr_one_line(core: dict[str, Any]) -> None:
    t = (KernelTelemetry if core is KERNEL else RuntimeTelemetry).from_core(core)
    assert "\n" not in repr(t)
    for field in dataclasses.fields(t):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(t, field.name, 1)


@pytest.mark.parametrize("name", KERNEL)
def test_what_a_kernel_lacks_or_has_wrong_is_named(name: str) -> None:
    without = {key: value for key, value in KERNEL.items() if key != name}
    with pytest.raises(InvalidArgumentError, match=name):
        KernelTelemetry.from_core(without)
    for wrong in (None, -1, 1.5, [1]):
        with pytest.raises(InvalidArgumentError):
            KernelTelemetry.from_core({**KERNEL, name: wrong})


@pytest.mark.parametrize("name", RUNTIME)
def test_what_a_runtime_lacks_or_has_wrong_is_named(name: str) -> None:
    without = {key: value for key, value in RUNTIME.items() if key != name}
    with pytest.raises(RingKernelError, match=name):
        RuntimeTelemetry.from_core(without)
    for wrong in (None, -1, 1.5, [1]):
        with pytest.raises(RingKernelError):
            RuntimeTelemetry.from_core({**RUNTIME, name: wrong})


def test_the_module_needs_no_numpy_until_it_is_used(run_script: Any) -> None:
    code = "import pyringkernel.telemetry; print('numpy' in sys.modules)"
    assert run_script(code)[:2] == (0, "False\n")
