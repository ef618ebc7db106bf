"""Operators on values that are lowered already: which types go together, and what is tested in front."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import ir, ops
from ..ir import BinaryOp, CompareOp, Type, UnaryOp
from . import ranges
from .types import cast_number, default_type, grouped, literal, of_width, source_of, spell, widest, zero
from .values import Choice, Number, Scalar, Value, View, describe

if TYPE_CHECKING:
    from .scope import FunctionScope

BINARY: dict[type[ast.operator], BinaryOp] = {
    ast.Add: BinaryOp.ADD, ast.Sub: BinaryOp.SUB, ast.Mult: BinaryOp.MUL, ast.FloorDiv: BinaryOp.FLOORDIV,
    ast.Mod: BinaryOp.MOD, ast.Div: BinaryOp.TRUEDIV, ast.BitAnd: BinaryOp.AND, ast.BitOr: BinaryOp.OR,
    ast.BitXor: BinaryOp.XOR, ast.LShift: BinaryOp.SHL, ast.RShift: BinaryOp.SHR, ast.Pow: BinaryOp.POW,
}  # fmt: skip
COMPARE: dict[type[ast.cmpop], CompareOp] = {
    ast.Eq: CompareOp.EQ, ast.NotEq: CompareOp.NE, ast.Lt: CompareOp.LT, ast.LtE: CompareOp.LE, ast.Gt: CompareOp.GT,
    ast.GtE: CompareOp.GE,
}  # fmt: skip
SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.Div: "/", ast.BitAnd: "&",
    ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.Pow: "**", ast.Eq: "==", ast.NotEq: "!=",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~",
    ast.Not: "not",
}  # fmt: skip
_FOLD: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Div: operator.truediv, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.Pow: operator.pow,
}  # fmt: skip
_BITS = (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)
_SHIFTS = (BinaryOp.SHL, BinaryOp.SHR)
MOST_BITS = 4096  # of folded integers


# -- types --------------------------------------------------------------------------------------------------------------


def typed(scope: FunctionScope, node: ast.AST, value: Value, kind: Type) -> ir.Expr | None:
    """An untyped constant as one of the type; None for a value that has a type."""
    if isinstance(value, Number):
        return literal(scope.diagnostics, node, value.value, kind)
    if isinstance(value, Choice):
        then, otherwise = typed(scope, node, value.then, kind), typed(scope, node, value.otherwise, kind)
        assert then is not None
        assert otherwise is not None
        return ir.Select(kind, value.condition, then, otherwise)
    return None


def default(value: Number | Choice) -> Type:
    """The type of a constant that has no partner."""
    if isinstance(value, Number):
        return default_type(value.value)
    kinds = {default(value.then), default(value.otherwise)}
    return Type.F32 if Type.F32 in kinds else Type.I32


def scalar(scope: FunctionScope, node: ast.AST, value: Value) -> ir.Expr:
    """A scalar of any type; a constant gets its default one."""
    if isinstance(value, (Number, Choice)):
        found = typed(scope, node, value, default(value))
        assert found is not None
        return found
    if isinstance(value, Scalar) and not value.stamp:
        return value.expr
    return scope.fail(node, f"found {describe(value)}, need a number", _hint_for_number(value, node))


def _hint_for_number(value: Value, node: ast.AST) -> str:
    if isinstance(value, Scalar):
        return f"write {source_of(node)}.time for the number"
    if isinstance(value, View):
        return "name a field or an element of it"
    return ""


def coerce(scope: FunctionScope, node: ast.AST, value: Value, kind: Type, what: str) -> ir.Expr:
    """A value for a place of the type: widened within its kind, else an error. `what`: "field x"."""
    found = typed(scope, node, value, kind)
    if found is not None:
        return found
    if isinstance(value, Scalar) and not value.stamp:
        if value.type is kind:
            return value.expr
        if widest(value.type, kind) is kind:
            return ir.Cast(kind, value.expr)
        hint = f"write {_nonzero(node)}" if kind is Type.BOOL else f"write {_cast(kind, node)}"
        return scope.fail(node, f"{what}: found {spell(value.type)}, need {spell(kind)}", hint)
    hint = f"write {source_of(node)}.time" if isinstance(value, Scalar) else ""
    return scope.fail(node, f"{what}: found {describe(value)}, need {spell(kind)}", hint)


def _nonzero(node: ast.AST) -> str:
    return f"{grouped(node)} != 0" if isinstance(node, (ast.IfExp, ast.BoolOp)) else f"{source_of(node)} != 0"


def _cast(kind: Type, node: ast.AST) -> str:
    return f"{'rk.boolean' if kind is Type.BOOL else spell(kind)}({source_of(node)})"


def mixed(
    scope: FunctionScope, node: ast.AST, sign: str, left: tuple[ast.AST, Type], right: tuple[ast.AST, Type]
) -> None:
    """The error about two types that do not go together, with the casts to write."""
    (left_node, one), (right_node, two) = left, right
    if sign in ("min", "max", "if"):
        shown = f"{sign} of {spell(one)} and {spell(two)}"
    else:
        shown = f"{spell(one)} {sign} {spell(two)}"
    if Type.BOOL in (one, two):
        flag, other = (left_node, two) if one is Type.BOOL else (right_node, one)
        scope.fail(node, f"{shown}: a bool and a number", f"write {_cast(other, flag)}")
    if one.is_float != two.is_float:
        whole, other = (left_node, two) if two.is_float else (right_node, one)
        scope.fail(node, f"{shown}: an integer and a float", f"write {_cast(other, whole)}")
    size = max(one.size, two.size)
    as_two, as_one = of_width(two, size), of_width(one, size)
    hint = f"write {_cast(as_two, left_node)} or {_cast(as_one, right_node)}"
    scope.fail(node, f"{shown}: mixed signedness", hint)


def unify(
    scope: FunctionScope, node: ast.AST, sign: str, left: tuple[ast.AST, Value], right: tuple[ast.AST, Value]
) -> tuple[ir.Expr, ir.Expr]:
    """Two operands as one type."""
    (left_node, one), (right_node, two) = left, right
    if isinstance(one, (Number, Choice)) and isinstance(two, (Number, Choice)):
        kind = Type.F32 if Type.F32 in (default(one), default(two)) else Type.I32
        return coerce(scope, left_node, one, kind, sign), coerce(scope, right_node, two, kind, sign)
    for number, (other_node, other) in ((one, right), (two, left)):
        floats = isinstance(number, Number) and isinstance(number.value, float)
        in_text = not isinstance(node, ast.pattern)
        flag = isinstance(number, Number) and isinstance(other, Scalar) and other.type is Type.BOOL
        if flag and sign in "+-*//%**" and isinstance(other, Scalar):
            scope.fail(
                node,
                f"{describe(one)} {sign} {describe(two)}: a bool and a number",
                f"write {_cast(Type.I32, other_node)}",
            )
        if floats and in_text and isinstance(other, Scalar) and other.type.is_integer and not other.stamp:
            hint = f"write {_cast(Type.F32, other_node)} or {_cast(Type.F64, other_node)}"
            shown = f"{describe(one)} {sign} {describe(two)}" if sign not in ("min", "max", "if") else sign
            scope.fail(node, f"{shown}: an integer and a float", hint)
    if isinstance(one, (Number, Choice)):
        expr = scalar(scope, right_node, two)
        return coerce(scope, left_node, one, expr.type, sign), expr
    if isinstance(two, (Number, Choice)):
        expr = scalar(scope, left_node, one)
        return expr, coerce(scope, right_node, two, expr.type, sign)
    first, second = scalar(scope, left_node, one), scalar(scope, right_node, two)
    kind_of_both = widest(first.type, second.type)
    if kind_of_both is None:
        mixed(scope, node, sign, (left_node, first.type), (right_node, second.type))
        scope.give_up()
    return widen(first, kind_of_both), widen(second, kind_of_both)


def widen(expr: ir.Expr, kind: Type) -> ir.Expr:
    """The same value in a wider type of its kind."""
    if expr.type is kind:
        return expr
    if isinstance(expr, ir.Const):
        return ir.Const(kind, expr.value)
    return ir.Cast(kind, expr)


def cast(value: ir.Expr, kind: Type) -> ir.Expr:
    """An explicit cast; of a constant a constant."""
    if value.type is kind:
        return value
    if isinstance(value, ir.Const):
        return ir.Const(kind, ops.cast(value.type, kind)(value.value))
    return ir.Cast(kind, value)


# -- operators ----------------------------------------------------------------------------------------------------------


def binary(
    scope: FunctionScope, node: ast.AST, op: ast.operator, left: tuple[ast.AST, Value], right: tuple[ast.AST, Value]
) -> Value:
    """left op right; may emit the test of a divisor."""
    one, two = left[1], right[1]
    if isinstance(one, Number) and isinstance(two, Number):
        return fold(scope, node, op, one.value, two.value)
    found, sign = BINARY.get(type(op)), SIGNS.get(type(op), "@")
    if found is None:
        scope.fail(node, f"the operator {sign} does not exist here", "write the sum of products as a loop")
    if found is BinaryOp.POW:
        return Scalar(power(scope, node, left, right))
    if found in _SHIFTS:
        return Scalar(_shift(scope, node, found, left, right))
    first, second = unify(scope, node, sign, left, right)
    kind = first.type
    if kind is Type.BOOL and found not in _BITS:
        hint = "write " + " and ".join(_cast(Type.U32, one) for one, _ in (left, right))
        scope.fail(node, f"bool {sign} bool: bools are no numbers", hint)
    if kind.is_float and found in _BITS:
        scope.fail(
            node, f"{spell(kind)} {sign} {spell(kind)}: integers only", "write rk.bitcast(rk.u32, x) for the bits"
        )
    if found in (BinaryOp.FLOORDIV, BinaryOp.MOD):
        return Scalar(_divide(scope, node, found, first, second, (left[0], right[0])))
    if found is BinaryOp.TRUEDIV and not kind.is_float:
        a, b = source_of(left[0]), source_of(right[0])
        hint = f"write {grouped(left[0])} // {grouped(right[0])}, or rk.f32({a}) / rk.f32({b})"
        scope.fail(node, f"{spell(kind)} / {spell(kind)}: / is for floats", hint)
    return Scalar(ir.Binary(kind, found, first, second))


def fold(scope: FunctionScope, node: ast.AST, op: ast.operator, left: int | float, right: int | float) -> Number:
    """Of two constants, as Python calculates it."""
    sizes = [one.bit_length() for one in (left, right) if isinstance(one, int)]
    large = False
    if len(sizes) == 2 and isinstance(right, int) and isinstance(left, int):
        large = isinstance(op, ast.LShift) and right > MOST_BITS
        large |= isinstance(op, ast.Pow) and right > 1 and sizes[0] * right > MOST_BITS and abs(left) > 1
    try:
        found = math.nan if large else _FOLD[type(op)](left, right)
        if isinstance(found, int) and found.bit_length() > MOST_BITS:
            large = True
    except (ArithmeticError, TypeError, ValueError, KeyError) as error:
        hint = "write math.inf, math.nan or 0 where that is meant" if isinstance(error, ZeroDivisionError) else ""
        scope.fail(node, f"{left} {SIGNS.get(type(op), '@')} {right}: {error.args[-1]}", hint)
    if large:
        scope.fail(node, f"{left} {SIGNS[type(op)]} {right} is too large for every type")
    if isinstance(found, complex):
        scope.fail(node, f"{left} ** {right} is a complex number", "the language has real numbers only")
    return Number(found)


def _shift(
    scope: FunctionScope, node: ast.AST, op: BinaryOp, left: tuple[ast.AST, Value], right: tuple[ast.AST, Value]
) -> ir.Expr:
    sign = "<<" if op is BinaryOp.SHL else ">>"
    value = scalar(scope, *left)
    if not value.type.is_integer:
        scope.fail(node, f"{spell(value.type)} {sign} ...: integers only", f"write {_cast(Type.U32, left[0])}")
    kind, amount = value.type, right[1]
    if isinstance(amount, Number) and isinstance(amount.value, int):
        if not 0 <= amount.value < kind.bits:
            wider = next((one for one in (Type.U32, Type.U64) if one.bits > amount.value > 0), None)
            hint = f"shift by 0 to {kind.bits - 1}"
            if wider is not None:
                hint += f", or write {_cast(of_width(kind, wider.size), left[0])} {sign} {amount.value}"
            scope.fail(right[0], f"a shift by {amount.value} of {spell(kind)}, which has {kind.bits} bits", hint)
        return ir.Binary(kind, op, value, ir.Const(kind, amount.value))
    by = scalar(scope, *right)
    if not by.type.is_integer:
        scope.fail(right[0], f"a shift by {spell(by.type)}: integers only", f"write {_cast(kind, right[0])}")
    most = ranges.interval(scope, by)
    if isinstance(left[1], Number) and most != ranges.of_type(by.type) and kind.bits <= most.high < 64:
        text = f"a shift by up to {most.high} of {left[1].value}, which is {spell(kind)} here"
        scope.fail(node, text, f"write {_cast(Type.U64, left[0])} {sign} {grouped(right[0])}")
    return ir.Binary(kind, op, value, cast(by, kind))


def _divide(
    scope: FunctionScope, node: ast.AST, op: BinaryOp, left: ir.Expr, right: ir.Expr, nodes: tuple[ast.AST, ast.AST]
) -> ir.Expr:
    if left.type.is_float:
        a, b = source_of(nodes[0]), source_of(nodes[1])
        sign, hint = (
            ("//", f"math.floor({grouped(nodes[0])} / {grouped(nodes[1])})")
            if op is BinaryOp.FLOORDIV
            else ("%", f"math.fmod({a}, {b})")
        )
        scope.fail(node, f"{spell(left.type)} {sign} {spell(left.type)}: integers only", f"write {hint}")
    if not (isinstance(right, ir.Const) and right.value != 0):
        right = scope.hoist(right)
        scope.count_error(ir.Compare(CompareOp.EQ, right, zero(right.type)), ir.ErrorCode.DIVISION_BY_ZERO)
    return ir.Binary(left.type, op, left, right)


def power(scope: FunctionScope, node: ast.AST, left: tuple[ast.AST, Value], right: tuple[ast.AST, Value]) -> ir.Expr:
    """Floats: POW. An integer to a constant power: multiplications."""
    base, exponent = left[1], right[1]
    if isinstance(base, Scalar) and isinstance(exponent, Number) and base.type.is_integer:
        value = exponent.value
        if isinstance(value, int) and 0 <= value <= 64:
            return _multiply(scope, scalar(scope, *left), value)
        hint = f"write rk.f32({source_of(left[0])}) ** {value}"
        scope.fail(node, f"{spell(base.type)} ** {value}: the exponent of an integer is a constant from 0 to 64", hint)
    if isinstance(exponent, Scalar) and exponent.type.is_integer:
        hint = f"write rk.f32({source_of(left[0])}) ** rk.f32({source_of(right[0])}), or a loop"
        scope.fail(node, f"{describe(base)} ** {spell(exponent.type)}: the exponent is no constant", hint)
    first, second = unify(scope, node, "**", left, right)
    if not first.type.is_float:
        scope.fail(node, f"{spell(first.type)} ** {spell(second.type)}: no numbers", "")
    return ir.Binary(first.type, BinaryOp.POW, first, second)


def _multiply(scope: FunctionScope, base: ir.Expr, exponent: int) -> ir.Expr:
    """By squaring, so that 64 are 6 multiplications; wrapping, the order of factors is the same to all."""
    if exponent == 0:
        return ir.Const(base.type, 1)
    found: ir.Expr | None = None
    factor: ir.Expr = base if exponent == 1 else scope.hoist(base)
    while True:
        if exponent & 1:
            found = factor if found is None else ir.Binary(base.type, BinaryOp.MUL, found, factor)
        exponent >>= 1
        if not exponent:
            return found if found is not None else factor
        factor = scope.hoist(ir.Binary(base.type, BinaryOp.MUL, factor, factor))


def unary(scope: FunctionScope, node: ast.UnaryOp, value: Value) -> Value:
    """-x, +x, ~x"""
    op, sign = node.op, SIGNS[type(node.op)]
    if isinstance(value, Number):
        if isinstance(op, ast.Invert) and isinstance(value.value, float):
            scope.fail(node, f"~{value.value}: integers only")
        return Number(
            -value.value
            if isinstance(op, ast.USub)
            else ~int(value.value)
            if isinstance(op, ast.Invert)
            else value.value
        )
    if isinstance(value, Choice) and not isinstance(op, ast.UAdd):
        value = Scalar(scalar(scope, node.operand, value))
    if isinstance(value, Choice):
        return value
    expr = scalar(scope, node.operand, value)
    if expr.type is Type.BOOL:
        hint = f"write not {grouped(node.operand)}" if sign == "~" else f"write {sign}{_cast(Type.I32, node.operand)}"
        scope.fail(node, f"{sign}bool: a bool is no number", hint)
    if isinstance(op, ast.UAdd):
        return Scalar(expr)
    if isinstance(op, ast.Invert):
        if expr.type.is_float:
            scope.fail(node, f"~{spell(expr.type)}: integers only", "write rk.bitcast(rk.u32, x) for the bits")
        return Scalar(ir.Unary(expr.type, UnaryOp.INVERT, expr))
    return Scalar(ir.Unary(expr.type, UnaryOp.NEG, expr))


def negate(expr: ir.Expr) -> ir.Expr:
    """not expr"""
    if isinstance(expr, ir.Const):
        return ir.Const(Type.BOOL, not expr.value)
    if isinstance(expr, ir.Unary) and expr.op is UnaryOp.NOT:
        return expr.operand
    return ir.Unary(Type.BOOL, UnaryOp.NOT, expr)


def compare(
    scope: FunctionScope, node: ast.AST, op: ast.cmpop, left: tuple[ast.AST, Value], right: tuple[ast.AST, Value]
) -> ir.Expr:
    """left op right, a BOOL."""
    one, two = left[1], right[1]
    found = COMPARE.get(type(op))
    if found is None:
        scope.fail(node, "only == != < <= > >= compare here", "write a comparison of numbers")
    if isinstance(one, Number) and isinstance(two, Number):
        return ir.Const(Type.BOOL, bool(ops.compare(found)(one.value, two.value)))
    if isinstance(one, Scalar) and isinstance(two, Scalar) and one.stamp and two.stamp:
        return ir.Compare(found, one.expr, two.expr)
    for value in (one, two):
        if isinstance(value, View):
            hint = "compare its fields" if not hasattr(value.shape, "count") else "compare its elements in a loop"
            scope.fail(node, f"found {describe(value)}, need a number", hint)
    first, second = unify(scope, node, SIGNS[type(op)], left, right)
    if first.type is Type.BOOL and found not in (CompareOp.EQ, CompareOp.NE):
        scope.fail(node, f"bool {SIGNS[type(op)]} bool: bools have no order", "write == or !=")
    return ir.Compare(found, first, second)


def cast_value(scope: FunctionScope, node: ast.AST, value: Value, kind: Type) -> Value:
    """rk.u32(x)"""
    if isinstance(value, Number):
        return Scalar(cast_number(value.value, kind))
    if isinstance(value, Choice):
        then, otherwise = cast_value(scope, node, value.then, kind), cast_value(scope, node, value.otherwise, kind)
        assert isinstance(then, Scalar)
        assert isinstance(otherwise, Scalar)
        return Scalar(ir.Select(kind, value.condition, then.expr, otherwise.expr))
    return Scalar(cast(scalar(scope, node, value), kind))
