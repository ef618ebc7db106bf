"""Typed numbers, written without the compiler's own operators: what the language says that they do, a second time."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from pyringkernel.compiler.ir import ErrorCode, Type

MANTISSA = {Type.F16: (11, 15), Type.F32: (24, 127), Type.F64: (53, 1023)}
CODE = {Type.F16: "<e", Type.F32: "<f", Type.F64: "<d"}
INTEGER_CODE = {Type.U16: "<H", Type.I16: "<h", Type.U32: "<I", Type.I32: "<i", Type.U64: "<Q", Type.I64: "<q"}


class Counter:
    """Where errors are counted."""

    def __init__(self) -> None:
        self.errors = 0
        self.last = 0

    def count(self, code: int) -> None:
        """The handler goes on."""
        self.errors += 1
        self.last = code


def rounded(scalar: Type, value: float) -> float:
    """To the nearest float of this type."""
    if scalar is Type.F64 or not math.isfinite(value):
        return value
    try:
        return float(struct.unpack(CODE[scalar], struct.pack(CODE[scalar], value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def from_integer(scalar: Type, value: int) -> float:
    """Rounded once: to the nearest, ties to even."""
    digits, most = MANTISSA[scalar]
    extra = max(0, abs(value).bit_length() - digits)
    size = abs(value)
    if extra:
        size, rest = size >> extra, size & ((1 << extra) - 1)
        half = 1 << (extra - 1)
        size += rest > half or (rest == half and size & 1)
    if size << extra >= 1 << (most + 1):
        return math.copysign(math.inf, value)
    return math.copysign(float(size << extra), value) if value else 0.0


def wrapped(scalar: Type, value: int) -> int:
    """Modulo the width."""
    value &= (1 << scalar.bits) - 1
    return value - (1 << scalar.bits) if scalar.is_signed and value >> (scalar.bits - 1) else value


def convert(scalar: Type, value: Any) -> Any:
    """A cast, of a Number, a bool, or a constant."""
    source = value.value if isinstance(value, Number) else value
    if scalar is Type.BOOL:
        return bool(source)
    if scalar.is_float:
        given = from_integer(scalar, int(source)) if isinstance(source, int) else rounded(scalar, source)
        return Number(scalar, given)
    if isinstance(source, float):
        low = -(1 << (scalar.bits - 1)) if scalar.is_signed else 0
        high = (1 << (scalar.bits - scalar.is_signed)) - 1
        if math.isnan(source):
            return Number(scalar, 0)
        return Number(
            scalar, int(max(low, min(high, source))) if math.isinf(source) else max(low, min(high, int(source)))
        )
    return Number(scalar, wrapped(scalar, int(source)))


def quiet(function: Callable[..., Any], *values: float) -> float:
    """NumPy's function of f64, with IEEE results and no warnings."""
    with np.errstate(all="ignore"):
        return float(function(*(np.float64(value) for value in values)))


def fmod(left: float, right: float) -> float:
    """C's."""
    return quiet(np.fmod, left, right)


class Number:
    """A value with a type. `errors` is set before a program runs."""

    __slots__ = ("type", "value")
    errors = Counter()

    def __init__(self, scalar: Type, value: Any) -> None:
        self.type = scalar
        self.value = value

    def _partner(self, other: Any) -> Any:
        if not isinstance(other, Number):
            return convert(self.type, other).value
        if other.type is not self.type:
            raise TypeError(f"{self.type} and {other.type}")
        return other.value

    def _make(self, value: Any) -> Number:
        if self.type.is_float:
            return Number(self.type, rounded(self.type, float(value)))
        return Number(self.type, wrapped(self.type, int(value)))

    def __repr__(self) -> str:
        return f"{self.type}({self.value!r})"

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return bool(self.value != 0)

    def __int__(self) -> int:
        return int(self.value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == self._partner(other))

    def __ne__(self, other: object) -> bool:
        return bool(self.value != self._partner(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < self._partner(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= self._partner(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > self._partner(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= self._partner(other))

    def __neg__(self) -> Number:
        return self._make(-self.value)

    def __pos__(self) -> Number:
        return self

    def __invert__(self) -> Number:
        return self._make(~self.value)

    def __abs__(self) -> Number:
        return self._make(abs(self.value))

    def __pow__(self, exponent: Any) -> Number:
        if self.type.is_float:
            return self._make(quiet(np.power, self.value, self._partner(exponent)))
        return self._make(self.value**exponent)

    def __lshift__(self, count: Any) -> Number:
        return self._make(self.value << (int(count) % self.type.bits))

    def __rshift__(self, count: Any) -> Number:
        return self._make(self.value >> (int(count) % self.type.bits))

    def _apply(self, name: str, left: Any, right: Any) -> Number:
        if name in ("floordiv", "mod") and right == 0:
            Number.errors.count(ErrorCode.DIVISION_BY_ZERO)
            return self._make(0)
        if self.type.is_float:
            return self._make(quiet(_FLOATS[name], left, right))
        return self._make(_INTEGERS[name](left, right))


_FLOATS: dict[str, Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide}
_INTEGERS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def _install(name: str) -> None:
    def forward(self: Number, other: Any) -> Number:
        return self._apply(name, self.value, self._partner(other))

    def backward(self: Number, other: Any) -> Number:
        return self._apply(name, self._partner(other), self.value)

    setattr(Number, f"__{name}__", forward)
    setattr(Number, f"__r{name}__", backward)


for _name in (*_INTEGERS, "truediv"):
    _install(_name)


def bitcast(scalar: Type, value: Number) -> Number:
    """The same bits."""
    codes = {**INTEGER_CODE, **CODE, Type.U8: "<B", Type.I8: "<b"}
    return Number(scalar, struct.unpack(codes[scalar], struct.pack(codes[value.type], value.value))[0])


def count_bits(name: str, value: Number) -> Number:
    """popcount, clz or ctz."""
    text = format(value.value, f"0{value.type.bits}b")
    if name == "popcount":
        return Number(value.type, text.count("1"))
    text = text[::-1] if name == "ctz" else text
    return Number(value.type, len(text) - len(text.lstrip("0")))
