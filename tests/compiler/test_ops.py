"""Operations on values: all pairs of 8-bit integers, all f16, and drawn values of the wider types, against NumPy's
arithmetic and exact fractions."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pytest
from comparing import ulps_between
from hypothesis import given
from hypothesis import strategies as st

from pyringkernel.compiler import ir, ops
from pyringkernel.compiler.elementary import ELEMENTARY, ELEMENTARY_PAIRS
from pyringkernel.compiler.ir import BinaryOp, CompareOp, Type, UnaryOp

INTEGERS = [kind for kind in Type if kind.is_integer]
FLOATS = [kind for kind in Type if kind.is_float]
NUMPY = {kind: np.dtype(("f" if kind.is_float else kind.kind[0]) + str(kind.size)) for kind in [*INTEGERS, *FLOATS]}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.0, -2.0, 3.0, -3.0, 1e-300, 1e300, -1e300]
SPECIAL += [math.inf, -math.inf, math.nan, 5e-324, 2.0**53, 2.0**53 + 2, -7.25]
ALL_F16 = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def values_of(kind: Type) -> st.SearchStrategy:
    if kind.is_float:
        return st.floats(width=kind.bits)
    low, high = ops.lowest(kind), ops.highest(kind)
    edges = [low, low + 1, high, high - 1, 0, 1, *([-1] if kind.is_signed else [])]
    powers = st.integers(0, kind.bits - 1).map(lambda n: ops.wrap_to(kind)(1 << n))
    return st.one_of(st.sampled_from(edges), powers, st.integers(low, high))


def same_float(kind: Type, left: float, right: float) -> bool:
    pack = ops.STRUCTS[kind].pack
    return ulps_between(kind, pack(left), pack(right)) == 0


# -- integers ---------------------------------------------------------------------------------------------------------


def wide(op: BinaryOp, left: np.ndarray, right: np.ndarray, bits: int) -> np.ndarray:
    """In 64 bits, where nothing of 8 bits wraps."""
    safe = np.where(right == 0, 1, right)
    return {
        BinaryOp.ADD: lambda: left + right,
        BinaryOp.SUB: lambda: left - right,
        BinaryOp.MUL: lambda: left * right,
        BinaryOp.FLOORDIV: lambda: np.where(right == 0, 0, np.floor_divide(left, safe)),
        BinaryOp.MOD: lambda: np.where(right == 0, 0, np.mod(left, safe)),
        BinaryOp.AND: lambda: np.bitwise_and(left, right),
        BinaryOp.OR: lambda: np.bitwise_or(left, right),
        BinaryOp.XOR: lambda: np.bitwise_xor(left, right),
        BinaryOp.SHL: lambda: left << (right & (bits - 1)),
        BinaryOp.SHR: lambda: left >> (right & (bits - 1)),
        BinaryOp.MIN: lambda: np.minimum(left, right),
        BinaryOp.MAX: lambda: np.maximum(left, right),
    }[op]()


INTEGER_OPS = list(BinaryOp)[: list(BinaryOp).index(BinaryOp.TRUEDIV)]
INTEGER_OPS += list(BinaryOp)[list(BinaryOp).index(BinaryOp.AND) : list(BinaryOp).index(BinaryOp.COPYSIGN)]


@pytest.mark.parametrize("kind", [Type.I8, Type.U8], ids=repr)
@pytest.mark.parametrize("op", INTEGER_OPS, ids=lambda op: op.value)
def test_all_pairs_of_8_bit_integers(op: BinaryOp, kind: Type):
    items = np.arange(ops.lowest(kind), ops.highest(kind) + 1, dtype=np.int64)
    left, right = (grid.ravel() for grid in np.meshgrid(items, items))
    expected = wide(op, left, right, 8).astype(NUMPY[kind])
    function = ops.binary(op, kind)
    found = [function(a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert found == expected.tolist()


@pytest.mark.parametrize("kind", INTEGERS, ids=repr)
@pytest.mark.parametrize("op", [op for op in INTEGER_OPS if op not in (BinaryOp.FLOORDIV, BinaryOp.MOD)])
@given(data=st.data())
def test_wider_integers_are_as_numpys_which_wrap(op: BinaryOp, kind: Type, data: st.DataObject):
    left, right = data.draw(values_of(kind)), data.draw(values_of(kind))
    with np.errstate(all="ignore"):
        arrays = np.array([left], NUMPY[kind]), np.array([right], NUMPY[kind])
        expected = int(wide(op, *arrays, kind.bits)[0])
    assert ops.binary(op, kind)(left, right) == expected


@pytest.mark.parametrize("kind", INTEGERS, ids=repr)
@given(data=st.data())
def test_division_rounds_down_and_the_remainder_has_the_sign_of_the_divisor(kind: Type, data: st.DataObject):
    left, right = data.draw(values_of(kind)), data.draw(values_of(kind))
    quotient = ops.binary(BinaryOp.FLOORDIV, kind)(left, right)
    rest = ops.binary(BinaryOp.MOD, kind)(left, right)
    if right == 0:
        assert (quotient, rest) == (0, 0)
    elif kind.is_signed and (left, right) == (ops.lowest(kind), -1):
        assert (quotient, rest) == (left, 0)
    else:
        assert quotient == math.floor(Fraction(left, right))
        assert quotient * right + rest == left


@pytest.mark.parametrize("kind", INTEGERS, ids=repr)
@given(data=st.data())
def test_negation_inversion_and_magnitude_wrap(kind: Type, data: st.DataObject):
    value = data.draw(values_of(kind))
    with np.errstate(all="ignore"):
        array = np.array([value], NUMPY[kind])
        assert ops.unary(UnaryOp.NEG, kind)(value) == int((-array)[0])
        assert ops.unary(UnaryOp.INVERT, kind)(value) == int((~array)[0])
        assert ops.unary(UnaryOp.ABS, kind)(value) == int(np.abs(array)[0])


def test_the_least_integer_is_its_own_negation_and_magnitude():
    for kind in (Type.I8, Type.I16, Type.I32, Type.I64):
        low = ops.lowest(kind)
        assert ops.unary(UnaryOp.NEG, kind)(low) == low
        assert ops.unary(UnaryOp.ABS, kind)(low) == low
        assert ops.binary(BinaryOp.FLOORDIV, kind)(low, -1) == low


@pytest.mark.parametrize("kind", [kind for kind in INTEGERS if not kind.is_signed], ids=repr)
@given(data=st.data())
def test_bits_are_counted_as_in_the_binary_text(kind: Type, data: st.DataObject):
    value = data.draw(values_of(kind))
    text = f"{value:0{kind.bits}b}"
    assert ops.unary(UnaryOp.POPCOUNT, kind)(value) == text.count("1")
    assert ops.unary(UnaryOp.CLZ, kind)(value) == (text.index("1") if value else kind.bits)
    assert ops.unary(UnaryOp.CTZ, kind)(value) == (text[::-1].index("1") if value else kind.bits)


def test_bools():
    for a in (False, True):
        assert ops.unary(UnaryOp.NOT, Type.BOOL)(a) is (not a)
        for b in (False, True):
            assert ops.binary(BinaryOp.AND, Type.BOOL)(a, b) is (a and b)
            assert ops.binary(BinaryOp.OR, Type.BOOL)(a, b) is (a or b)
            assert ops.binary(BinaryOp.XOR, Type.BOOL)(a, b) is (a != b)


# -- conversions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", INTEGERS, ids=repr)
@pytest.mark.parametrize("source", INTEGERS, ids=repr)
@given(data=st.data())
def test_integers_wrap_into_others(source: Type, target: Type, data: st.DataObject):
    value = data.draw(values_of(source))
    assert ops.cast(source, target)(value) == int(np.array([value], NUMPY[source]).astype(NUMPY[target])[0])


FINITE_F16 = sorted(float(x) for x in ALL_F16 if np.isfinite(x))


def nearest_f16(value: int) -> float:
    """By looking for it. 2**16 stands for infinity, as for IEEE."""
    table = [*FINITE_F16, 65536.0]
    if abs(value) >= 65536:
        return math.copysign(math.inf, value)
    above = bisect_left(table, abs(value))
    if table[above] == abs(value):
        return float(value)
    low, high = Fraction(table[above - 1]), Fraction(table[above])
    middle = (low + high) / 2
    is_even = struct.unpack("<H", struct.pack("<e", float(low)))[0] % 2 == 0
    chosen = low if abs(value) < middle or (abs(value) == middle and is_even) else high
    return math.copysign(math.inf if chosen == 65536 else float(chosen), value)


@given(value=st.integers(-70000, 70000))
def test_integers_round_once_to_f16(value: int):
    assert ops.cast(Type.I32, Type.F16)(value) == nearest_f16(value)


def test_the_largest_f16_is_rounded_to_from_both_sides():
    cast = ops.cast(Type.U32, Type.F16)
    assert [cast(65504), cast(65519), cast(65520)] == [65504.0, 65504.0, math.inf]
    assert cast(2049) == 2048.0  # a tie, to even
    assert cast(2051) == 2052.0


@pytest.mark.parametrize("source", [Type.I32, Type.U32, Type.I64, Type.U64], ids=repr)
@given(data=st.data())
def test_integers_round_once_to_f32_and_f64(source: Type, data: st.DataObject):
    near = st.tuples(st.integers(24, source.bits - 2), st.integers(-3, 3), st.integers(0, 1 << 24)).map(
        lambda t: ops.wrap_to(source)((1 << t[0]) + (t[2] << max(t[0] - 24, 0)) + t[1])
    )
    value = data.draw(st.one_of(values_of(source), near))
    for target in (Type.F32, Type.F64):
        expected = float(np.array([value], NUMPY[source]).astype(NUMPY[target])[0])  # one instruction of the machine
        assert ops.cast(source, target)(value) == expected


def test_a_conversion_to_f32_by_way_of_f64_would_be_wrong():
    value = (1 << 62) + (1 << 38) + 1  # just above a tie; in f64 it is the tie
    assert ops.cast(Type.I64, Type.F32)(value) == float((1 << 62) + (1 << 39))
    assert ops.round_to(Type.F32)(float(value)) == float(1 << 62)


def saturated(value: float, kind: Type) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return ops.highest(kind) if value > 0 else ops.lowest(kind)
    return min(max(math.trunc(Fraction(value)), ops.lowest(kind)), ops.highest(kind))


@pytest.mark.parametrize("kind", INTEGERS, ids=repr)
def test_every_f16_saturates_to_an_integer(kind: Type):
    cast = ops.cast(Type.F16, kind)
    for value in map(float, ALL_F16):
        assert cast(value) == saturated(value, kind)


@pytest.mark.parametrize("kind", INTEGERS, ids=repr)
@given(value=st.one_of(st.floats(), st.sampled_from([2.0**n for n in (7, 8, 31, 32, 63, 64)])))
def test_f64_saturates_to_an_integer(kind: Type, value: float):
    for near in (value, -value, math.nextafter(value, 0.0)):
        assert ops.cast(Type.F64, kind)(near) == saturated(near, kind)


@given(value=st.one_of(st.floats(), st.floats(-7e4, 7e4), st.floats(-1e-4, 1e-4), st.floats(width=32)))
def test_f64_rounds_once_to_f16_and_f32(value: float):
    with np.errstate(all="ignore"):
        for kind in (Type.F16, Type.F32):
            expected = float(np.float64(value).astype(NUMPY[kind]))
            assert same_float(kind, ops.cast(Type.F64, kind)(value), expected)


def test_every_f16_is_exact_in_the_wider_types_and_comes_back():
    for value in map(float, ALL_F16):
        for wider in (Type.F32, Type.F64):
            there = ops.cast(Type.F16, wider)(value)
            assert same_float(Type.F64, there, value)
            assert same_float(Type.F16, ops.cast(wider, Type.F16)(there), value)


def test_bool_is_0_or_1_and_everything_but_0_is_true():
    for kind in (*INTEGERS, *FLOATS):
        assert ops.cast(Type.BOOL, kind)(True) == 1
        assert type(ops.cast(Type.BOOL, kind)(True)) is (float if kind.is_float else int)
        assert ops.cast(kind, Type.BOOL)(ops.zero_of(kind)) is False
        assert ops.cast(kind, Type.BOOL)(ops.cast(Type.BOOL, kind)(True)) is True
    assert ops.cast(Type.F64, Type.BOOL)(math.nan) is True
    assert ops.cast(Type.F64, Type.BOOL)(-0.0) is False
    assert ops.cast(Type.BOOL, Type.BOOL)(True) is True


@pytest.mark.parametrize("target", [*INTEGERS, *FLOATS], ids=repr)
@given(data=st.data())
def test_bits_are_kept_as_numpys_view_does(target: Type, data: st.DataObject):
    for source in (kind for kind in [*INTEGERS, *FLOATS] if kind.size == target.size):
        value = data.draw(values_of(source).filter(lambda value: value == value))
        expected = np.array([value], NUMPY[source]).view(NUMPY[target])[0].item()
        found = ops.bitcast(source, target)(value)
        assert found == expected or (found != found and expected != expected)
        assert ops.holds(target, found)


def test_holds_knows_the_values_of_a_type():
    assert ops.holds(Type.U8, 255)
    assert not ops.holds(Type.U8, 256)
    assert not ops.holds(Type.U8, -1)
    assert not ops.holds(Type.I32, True)
    assert not ops.holds(Type.BOOL, 1)
    assert ops.holds(Type.F32, 0.5)
    assert not ops.holds(Type.F32, 0.1)
    assert not ops.holds(Type.F64, 1)
    assert ops.holds(Type.F16, math.nan)
    assert ops.holds(Type.F16, -math.inf)


# -- floats -----------------------------------------------------------------------------------------------------------

NUMPY_UNARY = {
    UnaryOp.NEG: np.negative, UnaryOp.ABS: np.abs, UnaryOp.FLOOR: np.floor, UnaryOp.CEIL: np.ceil,
    UnaryOp.TRUNC: np.trunc, UnaryOp.SQRT: np.sqrt,
}  # fmt: skip
NUMPY_BINARY = {
    BinaryOp.ADD: np.add, BinaryOp.SUB: np.subtract, BinaryOp.MUL: np.multiply, BinaryOp.TRUEDIV: np.divide,
    BinaryOp.FMOD: np.fmod, BinaryOp.COPYSIGN: np.copysign,
}  # fmt: skip


@pytest.mark.parametrize("op", NUMPY_UNARY, ids=lambda op: op.value)
def test_exact_functions_of_every_f16(op: UnaryOp):
    function = ops.unary(op, Type.F16)
    for value, expected in zip(ALL_F16.tolist(), NUMPY_UNARY[op](ALL_F16).tolist(), strict=True):
        assert same_float(Type.F16, function(value), expected), value


@pytest.mark.parametrize("kind", FLOATS, ids=repr)
@given(data=st.data())
def test_exact_functions_are_ieees(kind: Type, data: st.DataObject):
    floats = st.one_of(values_of(kind), st.floats(-4, 4, width=kind.bits))
    left, right = data.draw(floats), data.draw(floats)
    with np.errstate(all="ignore"):
        a, b = np.array([left], NUMPY[kind]), np.array([right], NUMPY[kind])
        for op, reference in NUMPY_UNARY.items():
            assert same_float(kind, ops.unary(op, kind)(left), float(reference(a)[0])), op
        for op, reference in NUMPY_BINARY.items():
            assert same_float(kind, ops.binary(op, kind)(left, right), float(reference(a, b)[0])), op


def test_signs_of_zeros_and_nans():
    assert math.copysign(1.0, ops.unary(UnaryOp.CEIL, Type.F32)(-0.5)) == -1.0
    assert math.copysign(1.0, ops.unary(UnaryOp.NEG, Type.F32)(0.0)) == -1.0
    assert math.copysign(1.0, ops.unary(UnaryOp.ABS, Type.F32)(-0.0)) == 1.0
    assert math.copysign(1.0, ops.unary(UnaryOp.SQRT, Type.F64)(-0.0)) == -1.0
    for kind in FLOATS:
        negative = ops.unary(UnaryOp.NEG, kind)(math.copysign(math.nan, 1.0))
        assert math.copysign(1.0, negative) == -1.0
        assert math.copysign(1.0, ops.unary(UnaryOp.ABS, kind)(negative)) == 1.0
        assert ops.binary(BinaryOp.COPYSIGN, kind)(2.0, negative) == -2.0


def test_min_and_max_take_the_left_one_unless_the_right_one_is_beyond():
    low, high = ops.binary(BinaryOp.MIN, Type.F32), ops.binary(BinaryOp.MAX, Type.F32)
    assert low(1.0, math.nan) == high(1.0, math.nan) == 1.0
    assert math.isnan(low(math.nan, 1.0))
    assert math.isnan(high(math.nan, 1.0))
    assert math.copysign(1.0, low(0.0, -0.0)) == 1.0
    assert math.copysign(1.0, high(-0.0, 0.0)) == -1.0
    assert (low(2.0, 1.0), high(1.0, 2.0)) == (1.0, 2.0)


def test_comparisons_with_nan_are_false_but_for_ne():
    for op in CompareOp:
        assert ops.compare(op)(math.nan, math.nan) is (op is CompareOp.NE)
        assert ops.compare(op)(1, 2) is (op in (CompareOp.NE, CompareOp.LT, CompareOp.LE))
        assert ops.compare(op)(0.0, -0.0) is (op in (CompareOp.EQ, CompareOp.LE, CompareOp.GE))


def test_tests():
    found = {op: [ops.test(op)(value) for value in (1.0, math.inf, math.nan)] for op in ir.TestOp}
    assert found[ir.TestOp.IS_NAN] == [False, False, True]
    assert found[ir.TestOp.IS_INF] == [False, True, False]
    assert found[ir.TestOp.IS_FINITE] == [True, False, False]


NUMPY_ELEMENTARY = {op: getattr(np, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(op.value, op.value))
                    for op in ELEMENTARY}  # fmt: skip
NUMPY_PAIRS = {BinaryOp.ATAN2: np.arctan2, BinaryOp.POW: np.power, BinaryOp.HYPOT: np.hypot}
ULPS = 4  # what NumPy's own functions are good for


@pytest.mark.parametrize("op", ELEMENTARY, ids=lambda op: op.value)
@given(value=st.one_of(st.sampled_from(SPECIAL), st.floats(-30, 30), st.floats()))
def test_elementary_functions_have_ieee_results(op: UnaryOp, value: float):
    with np.errstate(all="ignore"):
        expected = float(NUMPY_ELEMENTARY[op](np.float64(value)))
    found = ops.unary(op, Type.F64)(value)
    assert ulps_between(Type.F64, struct.pack("<d", found), struct.pack("<d", expected)) <= ULPS
    single = ops.round_to(Type.F32)(value)
    with np.errstate(all="ignore"):
        rounded = float(np.float32(NUMPY_ELEMENTARY[op](np.float64(single))))
    found = ops.unary(op, Type.F32)(single)
    assert ulps_between(Type.F32, struct.pack("<f", found), struct.pack("<f", rounded)) <= 1


@pytest.mark.parametrize("op", ELEMENTARY_PAIRS, ids=lambda op: op.value)
def test_elementary_functions_of_all_pairs_of_special_values(op: BinaryOp):
    for left in SPECIAL:
        for right in SPECIAL:
            # Arrays: for one exponent of 0.5 NumPy takes a square root, and -inf has another.
            expected = NUMPY_PAIRS[op](np.array([left, left]), np.array([right, right])).tolist()[0]
            found = ops.binary(op, Type.F64)(left, right)
            bits = [struct.pack("<d", value) for value in (found, expected)]
            assert ulps_between(Type.F64, *bits) <= ULPS, (left, right, found, expected)


def test_results_of_narrow_floats_are_theirs():
    for kind in (Type.F16, Type.F32):
        assert ops.unary(UnaryOp.EXP, kind)(90.0 if kind is Type.F32 else 12.0) == math.inf
        for op in ELEMENTARY:
            assert ops.holds(kind, ops.unary(op, kind)(0.75))
        for op in ELEMENTARY_PAIRS:
            assert ops.holds(kind, ops.binary(op, kind)(0.75, 0.625))


# -- counting ---------------------------------------------------------------------------------------------------------


def test_trip_counts_of_small_ranges():
    for start in range(-5, 6):
        for stop in range(-5, 6):
            assert ops.trip_count(start, stop, 0) == 0
            for step in (-7, -3, -2, -1, 1, 2, 3, 7):
                assert ops.trip_count(start, stop, step) == len(range(start, stop, step))


def test_trip_counts_at_the_ends_of_64_bits():
    low, high = ops.lowest(Type.I64), ops.highest(Type.I64)
    assert ops.trip_count(low, high, 1) == (1 << 64) - 1
    assert ops.trip_count(high, low, -1) == (1 << 64) - 1
    assert ops.trip_count(high, low, low) == 2
    assert ops.trip_count(low, high, high) == 3
