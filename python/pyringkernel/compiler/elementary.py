"""Functions of real numbers on f64, with IEEE results in place of Python's exceptions."""

from __future__ import annotations

import math
from collections.abc import Callable

from .ir import BinaryOp, UnaryOp


def sqrt(value: float) -> float:
    """Correctly rounded; of a negative number NaN, of -0.0 -0.0."""
    return math.sqrt(value) if value >= 0.0 else math.nan


def fmod(left: float, right: float) -> float:
    """C's fmod, exact, with the sign of `left`."""
    if math.isinf(left) or right == 0.0:
        return math.nan
    return math.fmod(left, right)


def _exp2(value: float) -> float:
    return math.pow(2.0, value)


def _cbrt(value: float) -> float:
    """math.cbrt came with Python 3.11. One step of Newton's method takes pow's result to within an ulp."""
    if value == 0.0 or not math.isfinite(value):
        return value
    magnitude = abs(value)
    root = math.pow(magnitude, 1.0 / 3.0)
    root -= (root - magnitude / (root * root)) / 3.0
    return math.copysign(root, value)


def _pow(left: float, right: float) -> float:
    """C's pow (Annex F of C11)."""
    odd = right.is_integer() and math.fmod(right, 2.0) != 0.0
    if left == 0.0 and right < 0.0:
        return math.copysign(math.inf, left) if odd else math.inf
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0.0 and odd else math.inf
    except ValueError:  # a negative number to a fraction
        return math.nan


def _total(function: Callable[[float], float], pole: float | None = None) -> Callable[[float], float]:
    """`function` with NaN outside of its domain, infinities for what is too large, and -inf at `pole`."""

    def apply(value: float) -> float:
        if value == pole:
            return -math.inf
        try:
            return function(value)
        except OverflowError:  # only sinh is negative there
            return -math.inf if function is math.sinh and value < 0.0 else math.inf
        except ValueError:
            return math.nan

    return apply


ELEMENTARY: dict[UnaryOp, Callable[[float], float]] = {
    UnaryOp.SIN: _total(math.sin),
    UnaryOp.COS: _total(math.cos),
    UnaryOp.TAN: _total(math.tan),
    UnaryOp.ASIN: _total(math.asin),
    UnaryOp.ACOS: _total(math.acos),
    UnaryOp.ATAN: _total(math.atan),
    UnaryOp.SINH: _total(math.sinh),
    UnaryOp.COSH: _total(math.cosh),
    UnaryOp.TANH: _total(math.tanh),
    UnaryOp.EXP: _total(math.exp),
    UnaryOp.EXP2: _total(_exp2),
    UnaryOp.EXPM1: _total(math.expm1),
    UnaryOp.LOG: _total(math.log, pole=0.0),
    UnaryOp.LOG2: _total(math.log2, pole=0.0),
    UnaryOp.LOG10: _total(math.log10, pole=0.0),
    UnaryOp.LOG1P: _total(math.log1p, pole=-1.0),
    UnaryOp.CBRT: _cbrt,
}

ELEMENTARY_PAIRS: dict[BinaryOp, Callable[[float, float], float]] = {
    BinaryOp.ATAN2: math.atan2,
    BinaryOp.POW: _pow,
    BinaryOp.HYPOT: math.hypot,
}
