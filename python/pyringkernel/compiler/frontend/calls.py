"""Calls: casts, constructors, device functions, builtins, methods."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ... import intrinsics
from .. import ir
from ..ir import BinaryOp, Type, UnaryOp
from ..source import Kind
from . import branches, context, copying, device, expressions, mathematics, objects, places
from .operators import cast_value, scalar, unify
from .types import scalar_type, source_of, spell
from .values import (
    NOTHING,
    Choice,
    ContextValue,
    Method,
    Number,
    Outside,
    Raw,
    Scalar,
    Sequence,
    Text,
    Value,
    View,
    describe,
)  # fmt: skip

if TYPE_CHECKING:
    from .scope import FunctionScope

Handler: TypeAlias = "Callable[[FunctionScope, ast.Call], Value]"


def lower_call(scope: FunctionScope, node: ast.Call) -> Value:
    """What is called decides; it has a name."""
    callee = expressions.lower(scope, node.func)
    if isinstance(callee, Method):
        if isinstance(callee.owner, ContextValue):
            return context.call(scope, node, callee.name)
        return _method(scope, node, callee.owner, callee.name)
    if not isinstance(callee, Outside):
        return scope.fail(node, f"{source_of(node.func)} is {describe(callee)}, which cannot be called", "")
    kind, value = callee.known.kind, callee.known.value
    if kind is Kind.SCALAR:
        return _cast(scope, node, value)
    if kind in (Kind.MESSAGE, Kind.STATE):
        return objects.construct(scope, node, value)
    if kind is Kind.DEVICE:
        return device.call(scope, node, value)
    handler = _BUILTINS.get(value) or mathematics.FUNCTIONS.get(value) if kind is Kind.FUNCTION else None
    if handler is not None:
        return handler(scope, node)
    return _refuse(scope, node, callee)


def _refuse(scope: FunctionScope, node: ast.Call, callee: Outside) -> Value:
    name, value = source_of(node.func), callee.known.value
    if value in (int, float, range):
        hints: dict[object, str] = {
            int: f"write rk.i32({_arguments_text(node)})",
            float: f"write rk.f32({_arguments_text(node)})",
            range: "write for i in range(n)",
        }
        scope.fail(node, f"{name}() is not part of the language here", hints[value])
    hint = "call @rk.device functions, math functions, and methods of ctx"
    if callee.known.kind is Kind.HANDLER:
        hint = "send it a message: ctx.send(...)"
    elif getattr(value, "__code__", None) is not None:
        hint = f"decorate {name} with @rk.device"
    elif getattr(value, "__module__", "") == "math":
        hint = "of math there are floor, sqrt, sin, exp, log, pow and others; see the language's list"
    scope.fail(node, f"{name} is {callee.known.kind.value} that cannot be called here", hint)


def _arguments_text(node: ast.Call) -> str:
    return ", ".join(source_of(one) for one in node.args) or "0"


def positional(scope: FunctionScope, node: ast.Call, name: str, count: int) -> list[ast.expr]:
    """The arguments, of which there must be `count`."""
    if node.keywords:
        scope.fail(
            node.keywords[0].value, f"{name}: arguments have no names here", f"write {name}(x, ...) without names"
        )
    if len(node.args) != count:
        given = len(node.args) + len(node.keywords)
        plural = "s" if count != 1 else ""
        found = f"{name}: found {given}, need {count} argument{plural}"
        scope.fail(node, found, "")
    return list(node.args)


# -- methods of arrays --------------------------------------------------------------------------------------------------


def _method(scope: FunctionScope, node: ast.Call, owner: View, name: str) -> Value:
    shape = owner.shape
    assert isinstance(shape, Sequence)
    if name == "clear":
        positional(scope, node, "clear", 0)
        copying.clear(scope, owner, shape)
    else:
        [argument] = positional(scope, node, "append", 1)
        copying.append(scope, node, owner, shape, expressions.lower(scope, argument))
    return NOTHING


# -- casts and builtins -------------------------------------------------------------------------------------------------


def _cast(scope: FunctionScope, node: ast.Call, cls: object) -> Value:
    kind = scalar_type(cls)
    assert kind is not None
    if not node.args and not node.keywords:
        return cast_value(scope, node, Number(0), kind)
    [argument] = positional(scope, node, spell(kind), 1)
    return cast_value(scope, argument, expressions.lower(scope, argument), kind)


def _bool(scope: FunctionScope, node: ast.Call) -> Value:
    [argument] = positional(scope, node, "bool", 1)
    return cast_value(scope, argument, expressions.lower(scope, argument), Type.BOOL)


def _ord(scope: FunctionScope, node: ast.Call) -> Value:
    [argument] = positional(scope, node, "ord", 1)
    value = expressions.lower(scope, argument)
    if not isinstance(value, (Text, Raw)) or len(value.value) != 1:
        scope.fail(argument, f"ord: found {describe(value)}, need one character", "write ord('a')")
    return Number(ord(value.value))


def _len(scope: FunctionScope, node: ast.Call) -> Value:
    [argument] = positional(scope, node, "len", 1)
    value = expressions.lower(scope, argument)
    if not isinstance(value, View) or not isinstance(value.shape, Sequence):
        scope.fail(
            argument,
            f"len: found {describe(value)}, need an array",
            "only rk.Array, rk.Vec, rk.Bytes and rk.Ref have one",
        )
    return places.length(scope, value, value.shape)


def _abs(scope: FunctionScope, node: ast.Call) -> Value:
    [argument] = positional(scope, node, "abs", 1)
    value = expressions.lower(scope, argument)
    if isinstance(value, Number):
        return Number(abs(value.value))
    expr = scalar(scope, argument, value)
    if expr.type is Type.BOOL:
        scope.fail(argument, "abs: found bool, need a number", f"write rk.u32({source_of(argument)})")
    if expr.type.is_integer and not expr.type.is_signed:
        return Scalar(expr)
    return Scalar(ir.Unary(expr.type, UnaryOp.ABS, expr))


def _extreme(name: str, op: BinaryOp) -> Handler:
    def handler(scope: FunctionScope, node: ast.Call) -> Value:
        if node.keywords or len(node.args) < 2:
            scope.fail(node, f"{name}: need two or more numbers", "write a loop over the elements of an array")
        values = expressions.operands(scope, node.args)
        if all(isinstance(one, Number) for one in values):
            numbers = [one.value for one in values if isinstance(one, Number)]
            return Number(min(numbers) if op is BinaryOp.MIN else max(numbers))
        # Constants take the type of all others, which are made one type first.
        joined: ir.Expr | None = None
        for argument, value in zip(node.args, values, strict=True):
            if not isinstance(value, (Number, Choice)):
                other = value if joined is None else Scalar(joined)
                joined = unify(scope, node, name, (node.args[0], other), (argument, value))[0]
        kind = joined.type if joined is not None else None
        if kind is Type.BOOL:
            scope.fail(node, f"{name}: found bool, need numbers", "write and / or")
        result: ir.Expr | None = None
        for argument, value in zip(node.args, values, strict=True):
            partner = Scalar(ir.Const(kind, 0 if kind.is_integer else 0.0)) if kind is not None else Number(0)
            expr = unify(scope, node, name, (argument, value), (argument, partner))[0]
            result = expr if result is None else ir.Binary(expr.type, op, result, expr)
        assert result is not None
        return Scalar(result)

    return handler


_BUILTINS: dict[object, Handler] = {
    builtins.isinstance: branches.is_instance,
    builtins.bool: _bool,
    builtins.len: _len,
    builtins.abs: _abs,
    builtins.ord: _ord,
    builtins.min: _extreme("min", BinaryOp.MIN),
    builtins.max: _extreme("max", BinaryOp.MAX),
    intrinsics.zeros: objects.zeros,
}
