"""Functions of `math`, and rk.popcount, rk.clz, rk.ctz, rk.bitcast."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ... import intrinsics
from .. import ir, ops
from ..ir import BinaryOp, TestOp, Type, UnaryOp
from . import calls, expressions
from .operators import scalar, unify
from .types import scalar_type, source_of, spell
from .values import Number, Outside, Scalar, Value, describe

if TYPE_CHECKING:
    from .scope import FunctionScope

Handler: TypeAlias = "Callable[[FunctionScope, ast.Call], Value]"

_UNARY = (
    "floor", "ceil", "trunc", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "exp2",
    "expm1", "log", "log2", "log10", "log1p", "cbrt",
)  # fmt: skip
_BINARY = {
    "copysign": BinaryOp.COPYSIGN, "fmod": BinaryOp.FMOD, "atan2": BinaryOp.ATAN2, "pow": BinaryOp.POW,
    "hypot": BinaryOp.HYPOT,
}  # fmt: skip
# Python's give an int, which has neither infinities nor -0.0.
_WHOLE = {op.value: ops.unary(op, Type.F64) for op in (UnaryOp.FLOOR, UnaryOp.CEIL, UnaryOp.TRUNC)}
_TESTS = {"isnan": TestOp.IS_NAN, "isinf": TestOp.IS_INF, "isfinite": TestOp.IS_FINITE}


def _float(scope: FunctionScope, node: ast.expr, value: Value, name: str) -> ir.Expr:
    expr = _default(value) or scalar(scope, node, value)
    if not expr.type.is_float:
        scope.fail(node, f"math.{name}: found {spell(expr.type)}, need a float", f"write rk.f32({source_of(node)})")
    return expr


def _default(value: Value) -> ir.Expr | None:
    """A constant without a partner as an f32."""
    if isinstance(value, Number):
        return ir.Const(Type.F32, ops.cast(Type.F64, Type.F32)(float(value.value)))
    return None


def _fold(scope: FunctionScope, node: ast.Call, function: Callable[..., Any], values: list[Value]) -> Number | None:
    """Of constants, as Python calculates it."""
    numbers = [one.value for one in values if isinstance(one, Number)]
    if len(numbers) != len(values):
        return None
    try:
        return Number(float(function(*numbers)))
    except (ArithmeticError, ValueError, TypeError) as error:
        return scope.fail(node, f"{source_of(node)}: {error}", "")


def _unary(name: str, op: UnaryOp) -> Handler:
    def handler(scope: FunctionScope, node: ast.Call) -> Value:
        if name == "log" and len(node.args) == 2:
            scope.fail(node, "math.log with a base is not part of the language", "write math.log(x) / math.log(base)")
        [argument] = calls.positional(scope, node, f"math.{name}", 1)
        value = expressions.lower(scope, argument)
        folded = _fold(scope, node, _WHOLE[name] if name in _WHOLE else getattr(math, name), [value])
        if folded is not None:
            return folded
        expr = _float(scope, argument, value, name)
        return Scalar(ir.Unary(expr.type, op, expr))

    return handler


def _binary(name: str, op: BinaryOp) -> Handler:
    def handler(scope: FunctionScope, node: ast.Call) -> Value:
        arguments = calls.positional(scope, node, f"math.{name}", 2)
        values = expressions.operands(scope, arguments)
        folded = _fold(scope, node, getattr(math, name), values)
        if folded is not None:
            return folded
        for argument, value in zip(arguments, values, strict=True):
            if not isinstance(value, Number):
                _float(scope, argument, value, name)
        left, right = unify(scope, node, f"math.{name}", (arguments[0], values[0]), (arguments[1], values[1]))
        return Scalar(ir.Binary(left.type, op, left, right))

    return handler


def _test(name: str, op: TestOp) -> Handler:
    def handler(scope: FunctionScope, node: ast.Call) -> Value:
        [argument] = calls.positional(scope, node, f"math.{name}", 1)
        value = expressions.lower(scope, argument)
        if isinstance(value, Number):
            return Scalar(ir.Const(Type.BOOL, bool(getattr(math, name)(value.value))))
        return Scalar(ir.Test(op, _float(scope, argument, value, name)))

    return handler


def _bits(name: str, op: UnaryOp) -> Handler:
    def handler(scope: FunctionScope, node: ast.Call) -> Value:
        [argument] = calls.positional(scope, node, f"rk.{name}", 1)
        expr = scalar(scope, argument, expressions.lower(scope, argument))
        if not expr.type.is_integer or expr.type.is_signed:
            hint = f"write rk.{name}(rk.u32({source_of(argument)}))"
            scope.fail(argument, f"rk.{name}: found {spell(expr.type)}, need an unsigned integer", hint)
        return Scalar(ir.Unary(expr.type, op, expr))

    return handler


def _bitcast(scope: FunctionScope, node: ast.Call) -> Value:
    arguments = calls.positional(scope, node, "rk.bitcast", 2)
    target, value = expressions.operands(scope, arguments)
    kind = scalar_type(target.known.value) if isinstance(target, Outside) else None
    if kind is None or kind is Type.BOOL:
        scope.fail(
            arguments[0], f"rk.bitcast: found {describe(target)}, need a number type", "write rk.bitcast(rk.u32, x)"
        )
    expr = scalar(scope, arguments[1], value)
    if expr.type is Type.BOOL:
        scope.fail(
            arguments[1], "rk.bitcast: found bool, need a number", f"write {spell(kind)}({source_of(arguments[1])})"
        )
    if expr.type.size != kind.size:
        found = f"rk.bitcast: {spell(expr.type)} has {expr.type.size} bytes, {spell(kind)} has {kind.size}"
        scope.fail(node, found, "cast to a type of the same size first")
    return Scalar(expr if expr.type is kind else ir.Bitcast(kind, expr))


def _fabs(scope: FunctionScope, node: ast.Call) -> Value:
    return _unary("fabs", UnaryOp.ABS)(scope, node)


FUNCTIONS: dict[object, Handler] = {
    intrinsics.popcount: _bits("popcount", UnaryOp.POPCOUNT),
    intrinsics.clz: _bits("clz", UnaryOp.CLZ),
    intrinsics.ctz: _bits("ctz", UnaryOp.CTZ),
    intrinsics.bitcast: _bitcast,
    math.fabs: _fabs,
}
FUNCTIONS |= {getattr(math, name): _unary(name, UnaryOp(name)) for name in _UNARY if hasattr(math, name)}
FUNCTIONS |= {getattr(math, name): _binary(name, op) for name, op in _BINARY.items()}
FUNCTIONS |= {getattr(math, name): _test(name, op) for name, op in _TESTS.items()}
