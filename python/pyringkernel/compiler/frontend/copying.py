"""Assignment to a place in memory: of scalars, structs, arrays, lists and bytes."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import ir
from ..ir import BinaryOp, Type
from . import effects, places
from .operators import coerce
from .types import source_of, zero
from .values import Items, Nothing, Raw, Scalar, Sequence, Struct, Value, View, describe, shape_text

if TYPE_CHECKING:
    from .scope import FunctionScope

MOST_STORES = 32  # of equal elements; more are a loop


def store(scope: FunctionScope, target: View, node: ast.AST, value: Value, what: str) -> None:
    """target = value. `node`: of the value; `what`: "field x", for errors."""
    shape = target.shape
    if isinstance(shape, Type):
        expr = coerce(scope, node, value, shape, what)
        with scope.guarded(target):
            scope.emit(ir.Store(target.place, expr))
    elif isinstance(shape, Struct):
        if not isinstance(value, View) or value.shape != shape:
            hint = f"write {shape}(...), or another {shape}"
            scope.fail(node, f"{what}: found {describe(value)}, need {shape}", hint)
        source = places.settled(scope, value, node)
        with scope.guarded(target):
            scope.emit(ir.Copy(target.place, source.place, shape.size))
    else:
        _store_sequence(scope, target, shape, node, value, what)


def _store_sequence(
    scope: FunctionScope, target: View, shape: Sequence, node: ast.AST, value: Value, what: str
) -> None:
    if shape.kind == "Ref" and isinstance(value, Nothing):
        with scope.guarded(target):
            scope.emit(ir.Zero(target.place, shape.size))
    elif shape.kind == "Ref" and not (isinstance(value, View) and value.shape == shape):
        hint = "give it a reference of a message; memory is registered by the host, with rt.register()"
        scope.fail(node, f"{what}: found {describe(value)}, need {shape}", hint)
    elif isinstance(value, Items):
        _store_items(scope, target, shape, node, value, what)
    elif isinstance(value, Raw):
        _store_bytes(scope, target, shape, node, value.value, what)
    elif isinstance(value, View) and isinstance(value.shape, Sequence) and _takes(shape, value.shape):
        source = places.settled(scope, value, node)
        _copy_sequence(scope, target, shape, source, value.shape)
    else:
        hint = ""
        if isinstance(value, View) and isinstance(value.shape, Sequence) and value.shape.element == shape.element:
            hint = "write a loop over the elements that both have"
        scope.fail(node, f"{what}: found {describe(value)}, need {shape}", hint)


def _takes(target: Sequence, source: Sequence) -> bool:
    """Whether all that the source may hold fits."""
    if target.kind == "Vec":
        return source.kind in ("Vec", "Array") and source.element == target.element and source.count <= target.count
    return source == target


def _copy_sequence(scope: FunctionScope, target: View, shape: Sequence, source: View, from_: Sequence) -> None:
    elements = source.at(shape.element, from_.first).place
    size = from_.size - from_.first
    if shape.kind != "Vec":
        with scope.guarded(target):
            scope.emit(ir.Copy(target.place, elements, size))
        return
    count: ir.Expr = ir.Const(Type.U32, from_.count)
    if from_.kind == "Vec":
        count = scope.hoist(ir.Binary(Type.U32, BinaryOp.MIN, ir.Load(Type.U32, source.place), count))
    with scope.guarded(target):
        scope.emit(ir.Copy(target.at(shape.element, shape.first).place, elements, size))
        _zero_behind(scope, target, shape, from_.count)
        scope.emit(ir.Store(target.place, count))


def _store_items(scope: FunctionScope, target: View, shape: Sequence, node: ast.AST, items: Items, what: str) -> None:
    count = len(items.values)
    if count > shape.count or (shape.kind != "Vec" and count != shape.count):
        up_to = "up to " if shape.kind == "Vec" else ""
        scope.fail(node, f"{what}: found {count} elements, need {up_to}{shape.count}", f"it is {shape}")
    values: list[Value] = []
    for item_node, value in zip(items.nodes, items.values, strict=True):
        if isinstance(shape.element, Type):  # all are read before the first is stored
            expr = coerce(scope, item_node, value, shape.element, "element")
            values.append(Scalar(scope.hoist(expr) if target.place.root in effects.roots_read(expr) else expr))
        elif isinstance(value, View) and not value.fresh and value.place.root is target.place.root:
            hint = f"assign the elements one by one, or write {shape_text(shape.element)}(...)"
            scope.fail(item_node, f"{source_of(item_node)} may be changed before it is read", hint)
        else:
            values.append(value)
    if isinstance(shape.element, Type) and count > MOST_STORES and all(one is items.values[0] for one in items.values):
        _store_equal(scope, target, shape, shape.element, values[0], count)
        return
    with scope.guarded(target):
        inside = View(shape, target.place)
        for index, (item_node, value) in enumerate(zip(items.nodes, values, strict=True)):
            place = inside.at(shape.element, shape.first + index * shape.stride)
            store(scope, place, item_node, value, "element")
        if shape.kind == "Vec":
            _zero_behind(scope, target, shape, count)
            scope.emit(ir.Store(target.place, ir.Const(Type.U32, count)))


def _store_equal(scope: FunctionScope, target: View, shape: Sequence, kind: Type, value: Value, count: int) -> None:
    """[x] * n, in a loop."""
    assert isinstance(value, Scalar)
    expr = scope.hoist(value.expr)
    index = scope.temporary(Type.U32)
    first = target.at(kind, shape.first).place
    place = replace(first, terms=(*first.terms, ir.Term(index, kind.size)))
    start, step, turns = (ir.Const(Type.U32, number) for number in (0, 1, count))
    with scope.guarded(target):
        scope.emit(ir.For(index, start, step, turns, (ir.Store(place, expr, line=scope.line),)))
        if shape.kind == "Vec":
            _zero_behind(scope, target, shape, count)
            scope.emit(ir.Store(target.place, turns))


def _store_bytes(scope: FunctionScope, target: View, shape: Sequence, node: ast.AST, raw: bytes, what: str) -> None:
    if shape.kind != "Bytes":
        scope.fail(node, f"{what}: found bytes, need {shape}", "write a list: [1, 2, 3]")
    if len(raw) > shape.count:
        scope.fail(node, f"{what}: found {len(raw)} bytes, need up to {shape.count}", f"it is {shape}")
    with scope.guarded(target):
        for index, byte in enumerate(raw):
            scope.emit(ir.Store(target.at(Type.U8, index).place, ir.Const(Type.U8, byte)))
        if len(raw) < shape.count:
            scope.emit(ir.Zero(target.at(Type.U8, len(raw)).place, shape.count - len(raw)))


def append(scope: FunctionScope, node: ast.Call, target: View, shape: Sequence, value: Value) -> None:
    """v.append(value): counts an error when it is full."""
    argument = node.args[0]
    if isinstance(shape.element, Type):
        value = Scalar(coerce(scope, argument, value, shape.element, "element"))
    elif isinstance(value, View):
        value = places.settled(scope, value, argument)
    with scope.guarded(target):
        count = scope.temporary(Type.U32)
        scope.emit(ir.SetLocal(count, ir.Load(Type.U32, target.place)))
        with scope.block() as room:
            term = ir.Term(count, shape.stride)
            base = target.at(shape.element, shape.first).place
            place = ir.Place(base.root, base.offset, (*base.terms, term))
            store(scope, View(shape.element, place), argument, value, "element")
            scope.emit(ir.Store(target.place, ir.Binary(Type.U32, BinaryOp.ADD, count, ir.Const(Type.U32, 1))))
        full = ir.CountError(ir.Const(Type.U32, int(ir.ErrorCode.VEC_FULL)), line=scope.line)
        scope.emit(ir.If(ir.Compare(ir.CompareOp.LT, count, ir.Const(Type.U32, shape.count)), tuple(room), (full,)))


def clear(scope: FunctionScope, target: View, shape: Sequence) -> None:
    """v.clear()"""
    with scope.guarded(target):
        _zero_behind(scope, target, shape, 0)
        scope.emit(ir.Store(target.place, zero(Type.U32)))


def _zero_behind(scope: FunctionScope, target: View, shape: Sequence, count: int) -> None:
    """What is behind the elements of a Vec is zeros: equal messages have equal bytes, and nothing old is sent."""
    if count < shape.count:
        rest = target.at(shape.element, shape.first + count * shape.stride)
        scope.emit(ir.Zero(rest.place, (shape.count - count) * shape.stride))
