"""Numbers: literals of the language, and bytes of fields."""

from __future__ import annotations

import struct

from pyringkernel.compiler.ir import Type

from .chooser import Chooser, chance, pick, weighted

FLOATS = {
    Type.F16: ("<e", "<H", 65504.0, 2.0**-24),
    Type.F32: ("<f", "<I", 3.4028234663852886e38, 1.401298464324817e-45),
}
FLOATS[Type.F64] = ("<d", "<Q", 1.7976931348623157e308, 5e-324)


def bounds(scalar: Type) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    if scalar.is_signed:
        return -(1 << (scalar.bits - 1)), (1 << (scalar.bits - 1)) - 1
    return 0, (1 << scalar.bits) - 1


def integer(chooser: Chooser, scalar: Type) -> int:
    """A value of an integer type: mostly small."""
    low, high = bounds(scalar)
    kind = weighted(chooser, [(50, "small"), (10, "minus"), (14, "edge"), (14, "any"), (12, "byte")])
    if kind == "small":
        return chooser.integer(0, 9)
    if kind == "minus":
        return max(low, -chooser.integer(1, 9))
    if kind == "edge":
        return pick(chooser, [high, low, high - 1, low + 1, high // 2, high // 2 + 1])
    if kind == "byte":
        return chooser.integer(0, min(high, 255))
    return chooser.integer(low, high)


def floating(chooser: Chooser, scalar: Type) -> float:
    """A finite value that the type may have to round."""
    most, least = FLOATS[scalar][2:]
    kind = weighted(chooser, [(40, "plain"), (25, "whole"), (12, "edge"), (23, "any")])
    if kind == "plain":
        return pick(chooser, [0.5, 0.1, 1.0, 2.5, -0.75, 3.3, 100.25, -1.5])
    if kind == "whole":
        return float(chooser.integer(-20, 100))
    if kind == "edge":
        return pick(chooser, [0.0, -0.0, most, -most, least, 2049.0, 16777217.0 if scalar is not Type.F16 else 4099.0])
    return chooser.integer(-1000000, 1000000) / 2.0 ** chooser.integer(0, 20) / (16.0 if scalar is Type.F16 else 1.0)


def literal(chooser: Chooser, scalar: Type, plain: bool = False) -> str:
    """Text of an untyped constant that may become this type; `plain`: no names."""
    if scalar is Type.BOOL:
        return pick(chooser, ["False", "True"])
    if scalar.is_integer:
        value = integer(chooser, scalar)
        return hex(value) if value > 255 and chance(chooser, 20) else str(value)
    if not plain and chance(chooser, 8):
        return pick(chooser, ["math.inf", "-math.inf", "math.nan", "math.pi", "math.e"])
    if chance(chooser, 25):
        return str(chooser.integer(-9, 99))
    return repr(floating(chooser, scalar))


def raw(chooser: Chooser, scalar: Type) -> bytes:
    """Bytes of a field."""
    if scalar is Type.BOOL:
        return bytes([chooser.integer(0, 1) if not chance(chooser, 4) else chooser.integer(0, 255)])
    if scalar.is_integer:
        return (integer(chooser, scalar) & ((1 << scalar.bits) - 1)).to_bytes(scalar.size, "little")
    value_code, bits_code, most, _ = FLOATS[scalar]
    if chance(chooser, 6):
        return struct.pack(bits_code, chooser.integer(0, (1 << scalar.bits) - 1))
    value = floating(chooser, scalar)
    if chance(chooser, 8):
        value = pick(chooser, [float("inf"), float("-inf"), float("nan")])
    return struct.pack(value_code, max(-most, min(most, value)) if value == value and abs(value) < most * 4 else value)
