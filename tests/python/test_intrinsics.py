"""popcount, clz, ctz, bitcast, zeros and @rk.device in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyringkernel as rk


@given(st.integers(0, 2**64 - 1))
def test_popcount_counts_ones(x: int) -> None:
    assert rk.popcount(x) == bin(x).count("1")


@given(st.integers(1, 2**64 - 1))
def test_ctz_counts_zeros_at_the_end(x: int) -> None:
    assert x % 2 ** rk.ctz(x) == 0
    assert x >> rk.ctz(x) & 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_numpy_scalars_have_a_width(kind: Any) -> None:
    width = 8 * kind().itemsize
    assert [rk.clz(kind(0)), rk.ctz(kind(0)), rk.clz(kind(1)), rk.clz(kind(3))] == [width, width, width - 1, width - 2]
    assert rk.clz(kind(2 ** (width - 1))) == 0
    assert rk.popcount(kind(2**width - 1)) == width


def test_an_int_has_no_width() -> None:
    with pytest.raises(rk.UnsupportedError, match="an int has no width; use it in a compiled handler"):
        rk.clz(1)
    with pytest.raises(rk.UnsupportedError, match="the int 0 has no width"):
        rk.ctz(0)


@pytest.mark.parametrize("function", [rk.popcount, rk.clz, rk.ctz])
@pytest.mark.parametrize("x", [-1, 1.5, True, "1", None, np.int32(1), np.float32(1)])
def test_only_unsigned_integers_have_bits_to_count(function: Any, x: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match="need an unsigned integer"):
        function(x)


@pytest.mark.parametrize(
    ("kind", "x", "expected"),
    [
        (rk.u32, 1.0, 0x3F800000),
        (rk.u64, 1.0, 0x3FF0000000000000),
        (rk.u16, 1.0, 0x3C00),
        (rk.f32, 0x3F800000, 1.0),
        (rk.f64, -(2**63), -0.0),
        (rk.i8, 255, -1),
        (rk.u8, -1, 255),
        (rk.u32, 1e300, 0x7F800000),
        (rk.f32, 0.1, float(np.float32(0.1))),
        (rk.u64, np.float64(1), 0x3FF0000000000000),
        (rk.i32, np.float32(-0.0), -(2**31)),
        (rk.f16, np.uint16(0x3C00), 1.0),
    ],
)
def test_bitcast_keeps_the_bits(kind: Any, x: Any, expected: Any) -> None:
    found = rk.bitcast(kind, x)
    assert found == expected
    assert math.copysign(1, found) == math.copysign(1, expected)


@given(st.floats(width=32, allow_nan=False))
def test_bitcast_there_and_back(x: float) -> None:
    assert rk.bitcast(rk.f32, rk.bitcast(rk.u32, x)) == x


@pytest.mark.parametrize(
    ("kind", "x"),
    [(rk.u64, np.float32(1)), (rk.u8, 1.0), (rk.u32, True), (rk.boolean, 1), (int, 1), (rk.u8, np.bool_(True))],
)
def test_bitcast_needs_numbers_of_one_size(kind: Any, x: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match=r"rk\.bitcast"):
        rk.bitcast(kind, x)


def test_zeros_is_an_array_of_zeros() -> None:
    made = rk.zeros(rk.f32, 8)
    assert (made.dtype, made.shape, made.any()) == (np.dtype("f4"), (8,), False)
    assert rk.zeros(rk.boolean, 2).tolist() == [False, False]


@pytest.mark.parametrize(("kind", "count"), [(float, 1), (rk.f32, 0), (rk.f32, -1), (rk.f32, 1.0), (rk.f32, True)])
def test_zeros_needs_a_type_and_a_length(kind: Any, count: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match=r"rk\.zeros"):
        rk.zeros(kind, count)


def test_a_device_function_stays_callable() -> None:
    @rk.device
    def twice(x: int) -> int:
        return 2 * x

    assert twice(4) == 8
    assert twice.__rk_device__  # type: ignore[attr-defined]


@pytest.mark.parametrize("thing", [len, int, "text", None, math.sqrt])
def test_only_functions_can_be_device_functions(thing: Any) -> None:
    with pytest.raises(rk.HandlerSignatureError, match=r"@rk\.device: found"):
        rk.device(thing)
