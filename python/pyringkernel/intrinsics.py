"""What the language of compiled handlers has and Python has not.

Compiled, these are one or a few instructions. In plain Python they give the same results where the argument says enough:
a Python int has no width, a NumPy scalar has one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

from .errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from .scalars import Array


def _dtype(value: Any) -> Any:
    """Of a NumPy scalar; None for Python's own numbers."""
    return getattr(value, "dtype", None)


def _unsigned(name: str, x: Any) -> tuple[int, int | None]:
    """The value, and its width in bits when the argument has one."""
    dtype = _dtype(x)
    if isinstance(x, bool) or not hasattr(x, "__index__") or (dtype is not None and dtype.kind != "u"):
        raise InvalidArgumentError(f"rk.{name}: found {x!r} of type {type(x).__name__}, need an unsigned integer")
    value = x.__index__()
    if value < 0:
        raise InvalidArgumentError(f"rk.{name}: found {value}, need an unsigned integer: rk.{name}(rk.u32(x))")
    return value, None if dtype is None else 8 * dtype.itemsize


def popcount(x: int) -> int:
    """How many bits of an unsigned integer are 1."""
    return _unsigned("popcount", x)[0].bit_count()


def clz(x: int) -> int:
    """How many zeros an unsigned integer begins with; of 0: its width.

    In plain Python it needs a NumPy scalar, which has a width: raises UnsupportedError for an int.
    """
    value, width = _unsigned("clz", x)
    if width is None:
        raise UnsupportedError("rk.clz: an int has no width; use it in a compiled handler, or give a NumPy scalar")
    return width - value.bit_length()


def ctz(x: int) -> int:
    """How many zeros an unsigned integer ends with; of 0: its width, so in plain Python UnsupportedError for an int."""
    value, width = _unsigned("ctz", x)
    if value:
        return (value & -value).bit_length() - 1
    if width is None:
        raise UnsupportedError("rk.ctz: the int 0 has no width; use it in a compiled handler, or give a NumPy scalar")
    return width


_SAME_SIZE = {2: ("e", "H"), 4: ("f", "I"), 8: ("d", "Q")}


def bitcast(kind: type[Any], x: float) -> Any:
    """The bits of x as another scalar type of the same size: ``rk.bitcast(rk.u32, 1.0)`` is 0x3F800000.

    In plain Python, x has the size of `kind`: a float is rounded to it, an int wraps.
    """
    code, size = getattr(kind, "code", "?"), getattr(kind, "size", 0)
    if code == "?":
        raise InvalidArgumentError(f"rk.bitcast: found {kind!r}, need a number type, as in rk.bitcast(rk.u32, x)")
    dtype = _dtype(x)
    if isinstance(x, bool) or (dtype is not None and (dtype.itemsize != size or dtype.kind not in "iuf")):
        raise InvalidArgumentError(f"rk.bitcast: found {x!r} of type {dtype or 'bool'}, need {size} bytes for {kind!r}")
    if not hasattr(x, "__index__"):
        if size not in _SAME_SIZE:
            raise InvalidArgumentError(f"rk.bitcast: found the float {x!r}, and no float has {size} byte as {kind!r}")
        float_code, int_code = _SAME_SIZE[size]
        try:
            packed = struct.pack("<" + float_code, x)
        except OverflowError:
            packed = struct.pack("<" + float_code, float("inf") if x > 0 else float("-inf"))
        bits = int(struct.unpack("<" + int_code, packed)[0])
    else:
        whole: Any = x
        bits = whole.__index__() & ((1 << 8 * size) - 1)
    return struct.unpack("<" + code, bits.to_bytes(size, "little"))[0]


def zeros(kind: type[Any], count: int) -> Array:
    """An array of zeros: ``rk.zeros(rk.f32, 8)``. Compiled, it is memory of the thread, and the length is a constant."""
    import numpy as np

    code = getattr(kind, "numpy", None)
    if not isinstance(code, str):
        raise InvalidArgumentError(f"rk.zeros: found {kind!r}, need a scalar type, as in rk.zeros(rk.f32, 8)")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidArgumentError(f"rk.zeros: found a length of {count!r}, need an int of 1 or more")
    return cast("Array", np.zeros(count, dtype=code))
