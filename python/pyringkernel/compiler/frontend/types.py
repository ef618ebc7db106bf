"""Types as users write them, and constants that have no type yet."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

from .. import ops
from ..ir import Const, Type

if TYPE_CHECKING:
    from ..diagnostics import Diagnostics

BY_NAME = {"boolean": Type.BOOL} | {one.text: one for one in Type if one is not Type.BOOL}
_WIDER = {"int": "i", "uint": "u", "float": "f"}


def spell(kind: Type) -> str:
    """rk.u32, and bool."""
    return "bool" if kind is Type.BOOL else f"rk.{kind.text}"


def scalar_type(value: object) -> Type | None:
    """The type that `rk.u32` or `bool` names; None for everything else."""
    if value is bool:
        return Type.BOOL
    name = value.__name__ if isinstance(value, type) and "rk_index" in value.__dict__ else ""
    return BY_NAME.get(name)


def source_of(node: ast.AST, limit: int = 40) -> str:
    """The text of a short expression; "..." for a long one."""
    text = ast.unparse(node)
    return text if len(text) <= limit and "\n" not in text else "..."


def grouped(node: ast.AST) -> str:
    """The same as an operand of any operator."""
    simple = isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant))
    return source_of(node) if simple else f"({source_of(node)})"


def of_width(like: Type, size: int) -> Type:
    """The type of the kind of `like` with this many bytes."""
    return next(one for one in Type if one.kind == like.kind and one.size == size)


def widest(left: Type, right: Type) -> Type | None:
    """The larger of two types of one kind, or the signed one if it is larger than the one without a sign, so that
    every value of both fits; None for all others."""
    larger, smaller = (left, right) if left.size >= right.size else (right, left)
    if larger.kind == smaller.kind:
        return larger
    holds = larger.is_integer and larger.is_signed and smaller.is_integer and larger.size > smaller.size
    return larger if holds else None


def default_type(value: int | float) -> Type:
    """Of a literal without a partner."""
    return Type.F32 if isinstance(value, float) else Type.I32


def _fitting(value: int, kind: Type) -> str:
    """For i32, which is also what a literal without a partner is, the type that holds it; else how to wrap it."""
    holding = (one for one in (Type.U32, Type.I64, Type.U64) if ops.lowest(one) <= value <= ops.highest(one))
    wider = next(holding, None)
    if wider is None:
        return "no integer type holds it"
    if kind is Type.I32:
        return f"write {spell(wider)}({value})"
    return f"write {spell(kind)}({value}), which wraps, or use a wider type"


def whole(value: int | float) -> str:
    """A hint for a float where an integer is needed."""
    return f"write {int(value)}" if math.isfinite(value) else "write an integer"


def literal(diagnostics: Diagnostics, node: ast.AST, value: int | float, kind: Type) -> Const:
    """A literal as a constant of the type; an error at `node` when the type does not hold it."""
    if kind is Type.BOOL:
        diagnostics.fail(node, f"found {value}, need a bool", "write True, False, or a comparison such as x != 0")
    if kind.is_integer:
        if isinstance(value, float):
            is_whole = value == value and abs(value) < 2**64 and value == int(value)
            hint = (
                f"write {int(value)}, or {spell(kind)}({value})"
                if is_whole
                else f"write {spell(kind)}(...) around it, or cast the integer: rk.f32(...)"
            )
            diagnostics.fail(node, f"found the float {value}, need {spell(kind)}", hint)
        if not ops.lowest(kind) <= value <= ops.highest(kind):
            message = f"{value} does not fit {spell(kind)} ({ops.lowest(kind)} to {ops.highest(kind)})"
            diagnostics.fail(node, message, _fitting(value, kind))
        return Const(kind, value)
    return Const(kind, _float(diagnostics, node, value, kind))


def _float(diagnostics: Diagnostics, node: ast.AST, value: int | float, kind: Type) -> float:
    rounded = cast_number(value, kind).value
    if isinstance(value, int) and rounded != value:
        message = f"{value} is not exact in {spell(kind)}"
        diagnostics.fail(node, message, f"write {spell(kind)}({value}) to round it")
    if rounded in (float("inf"), float("-inf")) and value != rounded:
        diagnostics.fail(node, f"{value} does not fit {spell(kind)}", "write math.inf, or use a wider type")
    return rounded


def cast_number(value: Any, kind: Type) -> Const:
    """An explicit cast of a constant: integers wrap, floats to integers saturate, to nearest for floats."""
    if kind is Type.BOOL:
        return Const(kind, value != 0)
    if isinstance(value, float):
        return Const(kind, ops.cast(Type.F64, kind)(value))
    if kind.is_integer:
        return Const(kind, ops.wrap_to(kind)(int(value)))
    return Const(kind, ops.cast(Type.I64, kind)(value) if abs(value) < 2**1024 - 2**970 else _infinity(value))


def _infinity(value: int) -> float:
    return float("inf") if value > 0 else float("-inf")


def zero(kind: Type) -> Const:
    """0 of the type."""
    return Const(kind, ops.zero_of(kind))
