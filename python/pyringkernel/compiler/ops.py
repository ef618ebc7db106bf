"""The meaning of every pure operation, on Python values: an int in its type's range, a float that its type holds
exactly, or a bool. This is the definition of the language: every engine gives the same bits.

Two freedoms remain. The functions from SIN on in UnaryOp, ATAN2, POW and HYPOT may differ by a few ulps. And which NaN
a NaN is (its sign and payload) is defined by NEG, ABS and COPYSIGN only; an operation that makes a NaN, a conversion,
and a trip through memory as another width may change it.

`unary`, `binary`, `compare`, `cast`, `bitcast` and `trip_count` give a function for the types at hand.
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from .elementary import ELEMENTARY, ELEMENTARY_PAIRS, fmod, sqrt
from .ir import BinaryOp, CompareOp, TestOp, Type, UnaryOp

Value: TypeAlias = "bool | int | float"
One: TypeAlias = "Callable[[Any], Any]"
Two: TypeAlias = "Callable[[Any, Any], Any]"

CODES = {
    Type.BOOL: "?", Type.I8: "b", Type.I16: "h", Type.I32: "i", Type.I64: "q", Type.U8: "B", Type.U16: "H",
    Type.U32: "I", Type.U64: "Q", Type.F16: "e", Type.F32: "f", Type.F64: "d",
}  # fmt: skip
STRUCTS = {kind: struct.Struct("<" + code) for kind, code in CODES.items()}
PRECISION = {Type.F16: 11, Type.F32: 24, Type.F64: 53}  # bits of the significand, the hidden one counted
LARGEST = {
    Type.F16: 65504.0,
    Type.F32: float.fromhex("0x1.fffffep127"),
    Type.F64: float.fromhex("0x1.fffffffffffffp1023"),
}


def lowest(kind: Type) -> int:
    """The least integer of the type."""
    return -(1 << (kind.bits - 1)) if kind.is_signed else 0


def highest(kind: Type) -> int:
    """The largest integer of the type."""
    return (1 << (kind.bits - (1 if kind.is_signed else 0))) - 1


def zero_of(kind: Type) -> Value:
    """What a local variable has when its function begins."""
    return False if kind is Type.BOOL else 0.0 if kind.is_float else 0


def holds(kind: Type, value: object) -> bool:
    """Whether `value` is one of the type's."""
    if kind is Type.BOOL:
        return isinstance(value, bool)
    if kind.is_float:
        return isinstance(value, float) and (value != value or round_to(kind)(value) == value)
    return isinstance(value, int) and not isinstance(value, bool) and lowest(kind) <= value <= highest(kind)


# -- rounding and wrapping --------------------------------------------------------------------------------------------


@functools.cache
def wrap_to(kind: Type) -> One:
    """int -> the integer of the type that is equal modulo 2**bits."""
    mask = (1 << kind.bits) - 1
    if not kind.is_signed:
        return lambda value: value & mask
    half = 1 << (kind.bits - 1)
    return lambda value: ((value + half) & mask) - half


@functools.cache
def round_to(kind: Type) -> One:
    """float -> the nearest float of the type, ties to even; beyond the largest: infinite."""
    if kind is Type.F64:
        return float
    pack, unpack = STRUCTS[kind].pack, STRUCTS[kind].unpack

    def rounded(value: float) -> float:
        try:
            return float(unpack(pack(value))[0])
        except OverflowError:  # struct refuses what rounds to infinity
            return math.copysign(math.inf, value)

    return rounded


@functools.cache
def _int_to_float(kind: Type) -> One:
    """int -> the nearest float of the type, ties to even. Not through f64: rounding 2**62 + 2**38 + 1 to 53 bits makes
    it a tie for f32 that it is not."""
    if kind is Type.F64:
        return float  # CPython rounds to nearest even
    precision, largest = PRECISION[kind], LARGEST[kind]

    def rounded(value: int) -> float:
        magnitude = abs(value)
        shift = magnitude.bit_length() - precision
        if shift > 0:
            kept, lost, half = magnitude >> shift, magnitude & ((1 << shift) - 1), 1 << (shift - 1)
            if lost > half or (lost == half and kept & 1):
                kept += 1
            magnitude = kept << shift  # at most `precision` bits again, or the next power of two
        result = float(magnitude) if magnitude <= largest else math.inf
        return -result if value < 0 else result

    return rounded


@functools.cache
def _float_to_int(kind: Type) -> One:
    """float -> int: towards zero; beyond the range the nearest end of it; NaN: 0."""
    low, high = lowest(kind), highest(kind)

    def saturated(value: float) -> int:
        if value != value:
            return 0
        if math.isinf(value):
            return high if value > 0 else low
        return min(max(int(value), low), high)

    return saturated


# -- unary ------------------------------------------------------------------------------------------------------------


def _whole(step: Callable[[float], int]) -> One:
    """FLOOR, CEIL and TRUNC give a float, with the operand's sign when it is a zero: ceil(-0.5) = -0.0."""

    def apply(value: float) -> float:
        if not math.isfinite(value):
            return value
        return math.copysign(float(step(value)), value)

    return apply


def _invert_sign(value: float) -> float:
    return -value


_FLOAT_UNARY: dict[UnaryOp, One] = {
    UnaryOp.NEG: _invert_sign,
    UnaryOp.ABS: abs,
    UnaryOp.FLOOR: _whole(math.floor),
    UnaryOp.CEIL: _whole(math.ceil),
    UnaryOp.TRUNC: _whole(math.trunc),
}

_TESTS: dict[TestOp, One] = {TestOp.IS_NAN: math.isnan, TestOp.IS_INF: math.isinf, TestOp.IS_FINITE: math.isfinite}


@functools.cache
def unary(op: UnaryOp, kind: Type) -> One:
    """The function of a Unary node."""
    if kind is Type.BOOL:
        return {UnaryOp.NOT: operator.not_}[op]
    if kind.is_float:
        if op in _FLOAT_UNARY:  # exact in every type
            return _FLOAT_UNARY[op]
        return _then(sqrt if op is UnaryOp.SQRT else ELEMENTARY[op], round_to(kind))
    bits = kind.bits
    integer: dict[UnaryOp, One] = {
        UnaryOp.NEG: _then(operator.neg, wrap_to(kind)),
        UnaryOp.INVERT: _then(operator.invert, wrap_to(kind)),
        UnaryOp.ABS: _then(abs, wrap_to(kind)),
    }
    if not kind.is_signed:
        integer[UnaryOp.POPCOUNT] = int.bit_count
        integer[UnaryOp.CLZ] = lambda value: bits - value.bit_length()
        integer[UnaryOp.CTZ] = lambda value: (value & -value).bit_length() - 1 if value else bits
    return integer[op]


def test(op: TestOp) -> One:
    """The function of a Test node."""
    return _TESTS[op]


def _then(first: One, second: One) -> One:
    return lambda value: second(first(value))


# -- binary -----------------------------------------------------------------------------------------------------------


def divide(left: float, right: float) -> float:
    """IEEE division."""
    if right != 0.0:
        return left / right
    if left == 0.0 or left != left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def minimum(left: Any, right: Any) -> Any:
    """So min(NaN, 1) is NaN, min(1, NaN) is 1, and min(0.0, -0.0) is 0.0."""
    return right if right < left else left


def maximum(left: Any, right: Any) -> Any:
    """As minimum."""
    return right if right > left else left


# f16 and f32 are computed in f64 and then rounded. For + - * / and sqrt the two roundings give what one would have given,
# as f64 has at least 2p + 2 bits for their p (Figueroa, "When is double rounding innocuous?", SIGNUM Newsletter 30(3),
# 1995); that holds for results below the normal range too, where + and - are exact, * is exact in f64, and a quotient is
# never that near to a tie without being one. FMOD and COPYSIGN are exact.
_FLOAT_BINARY: dict[BinaryOp, Two] = {
    BinaryOp.ADD: operator.add,
    BinaryOp.SUB: operator.sub,
    BinaryOp.MUL: operator.mul,
    BinaryOp.TRUEDIV: divide,
    BinaryOp.MIN: minimum,
    BinaryOp.MAX: maximum,
    BinaryOp.COPYSIGN: math.copysign,
    BinaryOp.FMOD: fmod,
    **ELEMENTARY_PAIRS,
}

_BOOL_BINARY: dict[BinaryOp, Two] = {
    BinaryOp.AND: operator.and_,
    BinaryOp.OR: operator.or_,
    BinaryOp.XOR: operator.xor,
}

_INTEGER_BINARY: dict[BinaryOp, Two] = {
    BinaryOp.ADD: operator.add,
    BinaryOp.SUB: operator.sub,
    BinaryOp.MUL: operator.mul,
    BinaryOp.FLOORDIV: lambda left, right: left // right if right else 0,
    BinaryOp.MOD: lambda left, right: left % right if right else 0,
    BinaryOp.AND: operator.and_,
    BinaryOp.OR: operator.or_,
    BinaryOp.XOR: operator.xor,
    BinaryOp.MIN: minimum,
    BinaryOp.MAX: maximum,
}


@functools.cache
def binary(op: BinaryOp, kind: Type) -> Two:
    """The function of a Binary node."""
    if kind is Type.BOOL:
        return _BOOL_BINARY[op]
    if kind.is_float:
        return _pair_then(_FLOAT_BINARY[op], round_to(kind))
    wrap, mask = wrap_to(kind), kind.bits - 1
    if op is BinaryOp.SHL:
        return lambda left, right: wrap(left << (right & mask))
    if op is BinaryOp.SHR:  # of a negative number arithmetic, as in Python
        return lambda left, right: left >> (right & mask)
    return _pair_then(_INTEGER_BINARY[op], wrap)


def _pair_then(first: Two, second: One) -> Two:
    return lambda left, right: second(first(left, right))


_COMPARE: dict[CompareOp, Two] = {
    CompareOp.EQ: operator.eq,
    CompareOp.NE: operator.ne,
    CompareOp.LT: operator.lt,
    CompareOp.LE: operator.le,
    CompareOp.GT: operator.gt,
    CompareOp.GE: operator.ge,
}


def compare(op: CompareOp) -> Two:
    """The function of a Compare node."""
    return _COMPARE[op]


# -- conversions ------------------------------------------------------------------------------------------------------


@functools.cache
def cast(source: Type, target: Type) -> One:
    """The function of a Cast node."""
    if target is Type.BOOL:
        return lambda value: value != 0  # NaN is not 0
    if source.is_float:
        return round_to(target) if target.is_float else _float_to_int(target)
    if target.is_float:
        return _int_to_float(target)
    return _then(int, wrap_to(target))  # int: of a bool


@functools.cache
def bitcast(source: Type, target: Type) -> One:
    """The function of a Bitcast node."""
    pack, unpack = STRUCTS[source].pack, STRUCTS[target].unpack
    return lambda value: unpack(pack(value))[0]


def trip_count(start: int, stop: int, step: int) -> int:
    """The function of a TripCount node. Not len(range()), which ends at 2**63 - 1."""
    if step > 0:
        return max(0, -((start - stop) // step))
    return max(0, -((stop - start) // -step)) if step < 0 else 0
