"""Expressions: from syntax to values. What has effects becomes statements in front, in Python's order."""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import ir
from ..diagnostics import Rejected
from ..ir import BinaryOp, Type
from ..source import MISSING, Kind, attribute, classify
from . import calls, places
from .operators import MOST_BITS, binary, compare, default, negate, scalar, unary, unify
from .types import source_of, spell
from .values import (
    NOTHING,
    Choice,
    ContextValue,
    HeaderValue,
    Items,
    Method,
    Number,
    Outside,
    Raw,
    Scalar,
    Text,
    Value,
    View,
    describe,
)  # fmt: skip

if TYPE_CHECKING:
    from .scope import FunctionScope


def lower(scope: FunctionScope, node: ast.expr) -> Value:
    """Any expression."""
    handler = _HANDLERS.get(type(node))
    if handler is None:
        scope.fail(node, f"{type(node).__name__} is not part of the language", "")
    outer, scope.line = scope.line, node.lineno
    try:
        return handler(scope, node)
    finally:
        scope.line = outer


def condition(scope: FunctionScope, node: ast.expr, where: str) -> ir.Expr:
    """A BOOL. `where`: "if"."""
    value = lower(scope, node)
    if isinstance(value, Scalar) and value.type is Type.BOOL:
        return value.expr
    text = source_of(node)
    if isinstance(value, (Number, Choice)) or (isinstance(value, Scalar) and not value.stamp):
        hint = "write True or False" if isinstance(value, Number) else f"write {text} != 0"
        return scope.fail(node, f"{where}: found {describe(value)}, need a bool", hint)
    hint = f"write len({text}) != 0" if isinstance(value, View) and hasattr(value.shape, "count") else ""
    return scope.fail(node, f"{where}: found {describe(value)}, need a bool", hint)


def operands(scope: FunctionScope, nodes: list[ast.expr]) -> list[Value]:
    """Several expressions from left to right."""
    values: list[Value] = []
    for node in nodes:
        mark = scope.mark()
        value = lower(scope, node)
        values = [scope.keep(one, mark) for one in values]
        values.append(value)
    return values


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def outside(scope: FunctionScope, node: ast.expr, found: object, name: str) -> Value:
    """What a name from outside of the function is here."""
    known = classify(found)
    if known.kind is Kind.CONSTANT:
        value = known.value
        if isinstance(value, bool):
            return Scalar(ir.Const(Type.BOOL, value))
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            scope.fail(node, f"{name} has more than {MOST_BITS} bits", "no integer type holds it")
        if isinstance(value, str) and not _is_unicode(value):
            scope.fail(node, f"{name} is not valid Unicode", "it has half of a surrogate pair")
        return Text(value) if isinstance(value, str) else Number(value)
    if known.kind is Kind.OTHER and found is not None:
        hint = "keep it in the state, or make it a bool, int, float, str or enum member before the handler"
        if isinstance(found, (list, tuple, bytes)):
            numbers = [one for one in found if isinstance(one, (int, float))]
            element = "u8" if isinstance(found, bytes) else "i32" if all(isinstance(n, int) for n in numbers) else "f32"
            hint = f"make it a field of the state, with a default: table: rk.Array[rk.{element}, {len(found)}] = {name}"
        scope.fail(node, f"{name} is a {type(found).__name__}, which a handler cannot read", hint)
    return NOTHING if found is None else Outside(known)


def _constant(scope: FunctionScope, node: ast.Constant) -> Value:
    value = node.value
    if isinstance(value, bool):
        return Scalar(ir.Const(Type.BOOL, value))
    if isinstance(value, (int, float)):
        return Number(value)
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, bytes):
        return Raw(value)
    if value is None:
        return NOTHING
    return scope.fail(node, f"found {value!r}, need a number", "")


def _name(scope: FunctionScope, node: ast.Name) -> Value:
    held = scope.variables.get(node.id)
    if held is not None or node.id in scope.stores:
        return places.read_variable(scope, node, held)
    found = scope.source.resolve(node.id)
    if found is MISSING:
        scope.fail(
            node, f"the name {node.id!r} is not known", "give it a value in the handler, or in the module before it"
        )
    return outside(scope, node, found, node.id)


def _attribute(scope: FunctionScope, node: ast.Attribute) -> Value:
    owner = lower(scope, node.value)
    if isinstance(owner, View):
        return places.member(scope, node, owner)
    if isinstance(owner, ContextValue):
        return Method(owner, node.attr, node)
    if isinstance(owner, HeaderValue):
        return places.header_field(scope, node)
    if isinstance(owner, Scalar) and owner.stamp:
        if node.attr == "time":
            return Scalar(owner.expr)
        scope.fail(node, f"a timestamp has no {node.attr!r} here", "it has .time, in ticks of the clock")
    if isinstance(owner, Outside):
        return _outer_attribute(scope, node, owner)
    if isinstance(owner, Number) and node.attr == "value":
        return owner  # of an enum's member
    return scope.fail(node, f"{describe(owner)} has no attribute {node.attr!r}", "")


def _outer_attribute(scope: FunctionScope, node: ast.Attribute, owner: Outside) -> Value:
    found = attribute(owner.known.value, node.attr)
    name = source_of(node)
    if found is MISSING or (owner.known.kind in (Kind.MESSAGE, Kind.STATE) and not isinstance(found, int)):
        scope.fail(node, f"{source_of(node.value)} has no {node.attr!r}", _spelling(owner.known.value, node.attr))
    return outside(scope, node, found, name)


def _spelling(owner: object, name: str) -> str:
    import difflib

    names = getattr(owner, "__members__", None) or getattr(owner, "__all__", None) or dir(owner)
    near = difflib.get_close_matches(name, [one for one in names if not one.startswith("_")], 1)
    return f"did you mean {near[0]}?" if near else ""


def _subscript(scope: FunctionScope, node: ast.Subscript) -> Value:
    return places.read(scope, places.subscript(scope, node))


def _binary(scope: FunctionScope, node: ast.BinOp) -> Value:
    left, right = operands(scope, [node.left, node.right])
    if isinstance(left, Items) and isinstance(node.op, ast.Mult):
        return _repeated(scope, node, left, right)
    return binary(scope, node, node.op, (node.left, left), (node.right, right))


def _repeated(scope: FunctionScope, node: ast.BinOp, items: Items, count: Value) -> Value:
    """[x] * n"""
    if not isinstance(count, Number) or not isinstance(count.value, int) or not 0 < count.value < 2**16:
        hint = "write a number from 1 to 65535, or a constant of the module"
        scope.fail(node.right, f"found {describe(count)}, need how often the elements are there", hint)
    return Items(items.nodes * count.value, items.values * count.value)


def _unary(scope: FunctionScope, node: ast.UnaryOp) -> Value:
    if isinstance(node.op, ast.Not):
        return Scalar(negate(condition(scope, node.operand, "not")))
    return unary(scope, node, lower(scope, node.operand))


def _bool(scope: FunctionScope, node: ast.BoolOp) -> Value:
    word = "and" if isinstance(node.op, ast.And) else "or"
    result = condition(scope, node.values[0], word)
    for right in node.values[1:]:
        result = short_circuit(scope, word, result, functools.partial(condition, scope, right, word))
    return Scalar(result)


def short_circuit(scope: FunctionScope, word: str, left: ir.Expr, right: Callable[[], ir.Expr]) -> ir.Expr:
    """`left and right()`, or "or". A right side that acts does so only when it is asked."""
    stops = word == "or"
    if isinstance(left, ir.Const):
        return left if left.value is stops else right()
    with scope.block() as body:
        value = right()
    if not body:
        if isinstance(value, ir.Const):
            return value if value.value is stops else left
        return ir.Binary(Type.BOOL, BinaryOp.OR if stops else BinaryOp.AND, left, value)
    found = scope.temporary(Type.BOOL)
    scope.emit(ir.SetLocal(found, left))
    body.append(ir.SetLocal(found, value, line=scope.line))
    scope.emit(ir.If(negate(found) if stops else found, tuple(body)))
    return found


def _compare(scope: FunctionScope, node: ast.Compare) -> Value:
    if isinstance(node.ops[0], (ast.In, ast.NotIn)):
        return _is_one_of(scope, node, isinstance(node.ops[0], ast.In))
    if len(node.ops) == 1:
        left, right = operands(scope, [node.left, node.comparators[0]])
        return Scalar(compare(scope, node, node.ops[0], (node.left, left), (node.comparators[0], right)))
    last_node, last = node.left, lower(scope, node.left)
    result: ir.Expr = ir.Const(Type.BOOL, True)

    def step(op: ast.cmpop, right_node: ast.expr, final: bool) -> ir.Expr:
        nonlocal last_node, last
        mark = scope.mark()
        right = lower(scope, right_node)
        if isinstance(right, Scalar) and not final:
            right = Scalar(scope.hoist(right.expr), right.stamp)
        found = compare(scope, node, op, (last_node, scope.keep(last, mark)), (right_node, right))
        last_node, last = right_node, right
        return found

    for number, (op, right_node) in enumerate(zip(node.ops, node.comparators, strict=True)):
        final = number == len(node.ops) - 1
        result = short_circuit(scope, "and", result, functools.partial(step, op, right_node, final))
        if isinstance(result, ir.Const) and not result.value:
            break
    return Scalar(result)


def _is_one_of(scope: FunctionScope, node: ast.Compare, positive: bool) -> Value:
    """x in (a, b), x in b"ab": all are calculated, then compared."""
    given = node.comparators[0]
    if isinstance(given, ast.Constant):
        assert isinstance(given.value, bytes)
        left = lower(scope, node.left)
        parts: list[tuple[ast.expr, Value]] = [(given, Number(byte)) for byte in sorted(set(given.value))]
    else:
        assert isinstance(given, (ast.Tuple, ast.List))
        left, *values = operands(scope, [node.left, *given.elts])
        parts = list(zip(given.elts, values, strict=True))
    if isinstance(left, Scalar):
        left = Scalar(scope.hoist(left.expr), left.stamp)
    found: ir.Expr = ir.Const(Type.BOOL, False)
    for part, value in parts:
        one = compare(scope, node, ast.Eq(), (node.left, left), (part, value))
        if isinstance(found, ir.Const):
            found = found if found.value else one
        elif isinstance(one, ir.Const):
            found = one if one.value else found
        else:
            found = ir.Binary(Type.BOOL, BinaryOp.OR, found, one)
    return Scalar(found if positive else negate(found))


def _choice(scope: FunctionScope, node: ast.IfExp) -> Value:
    test = condition(scope, node.test, "if")
    if isinstance(test, ir.Const):
        return _decided(scope, node, bool(test.value))
    with scope.block() as then_body:
        then = lower(scope, node.body)
    with scope.block() as other_body:
        otherwise = lower(scope, node.orelse)
    for part, value in ((node.body, then), (node.orelse, otherwise)):
        if not isinstance(value, (Number, Choice, Scalar)):
            hint = "write an if statement with what is done with it in both branches"
            scope.fail(part, f"found {describe(value)}, need a number", hint)
    pure = not then_body and not other_body
    if isinstance(then, (Number, Choice)) and isinstance(otherwise, (Number, Choice)) and pure:
        return Choice(test, then, otherwise)
    stamp = isinstance(then, Scalar) and isinstance(otherwise, Scalar) and then.stamp and otherwise.stamp
    if stamp:
        first, second = then.expr, otherwise.expr  # type: ignore[union-attr]
    else:
        first, second = unify(scope, node, "if", (node.body, then), (node.orelse, otherwise))
    if pure:
        return Scalar(ir.Select(first.type, test, first, second), stamp)
    found = scope.temporary(first.type)
    then_body.append(ir.SetLocal(found, first, line=scope.line))
    other_body.append(ir.SetLocal(found, second, line=scope.line))
    scope.emit(ir.If(test, tuple(then_body), tuple(other_body)))
    return Scalar(found, stamp)


def _decided(scope: FunctionScope, node: ast.IfExp, test: bool) -> Value:
    """Of the side that is not taken there is the type only; none where it is not for this message's class."""
    taken, other = (node.body, node.orelse) if test else (node.orelse, node.body)
    value = lower(scope, taken)
    if not isinstance(value, (Number, Choice, Scalar)):
        return value
    with contextlib.suppress(Rejected), scope.diagnostics.suppress(), scope.block():
        partner = lower(scope, other)
        if isinstance(partner, Scalar) and not partner.stamp:
            return Scalar(unify(scope, node, "if", (taken, value), (other, partner))[0])
    return value


def _list(scope: FunctionScope, node: ast.List) -> Value:
    return Items(tuple(node.elts), tuple(operands(scope, node.elts)))


def _call(scope: FunctionScope, node: ast.Call) -> Value:
    return calls.lower_call(scope, node)


_HANDLERS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.List: _list,
    ast.Call: _call,
}

__all__ = ["condition", "default", "lower", "operands", "scalar", "spell"]
