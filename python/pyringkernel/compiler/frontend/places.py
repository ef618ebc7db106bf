"""Memory: fields, elements and lengths, with the tests that keep indices inside."""

from __future__ import annotations

import ast
import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from ...messages import layout_of
from .. import ir
from ..ir import BinaryOp, CompareOp, Root, Type
from ..source import MISSING
from . import effects, expressions
from .operators import cast, scalar
from .ranges import interval
from .scope import Broken, Fixed, Object, ScalarVariable, Variable
from .types import source_of, spell, whole, zero
from .values import (
    REFERENCE_COUNT,
    HeaderValue,
    Method,
    Number,
    Scalar,
    Sequence,
    Struct,
    Value,
    View,
    describe,
    shape_of_row,
)

if TYPE_CHECKING:
    from .scope import FunctionScope

# MessageHeader of abi/message_header.h
HEADER_FIELDS = {
    "version": (Type.U8, 0), "priority": (Type.U8, 1), "hops": (Type.U8, 2), "flags": (Type.U8, 3),
    "type_id": (Type.U32, 4), "payload_size": (Type.U32, 8), "message_id": (Type.U64, 16),
    "correlation_id": (Type.U64, 24), "source": (Type.U64, 32), "dest": (Type.U64, 40), "hlc": (Type.U64, 48),
    "timestamp": (Type.U64, 48), "deadline": (Type.U64, 56),
}  # fmt: skip


# -- names --------------------------------------------------------------------------------------------------------------


def read_variable(scope: FunctionScope, node: ast.Name, held: Variable | None) -> Value:
    """A variable's value; an error when it may have none."""
    if isinstance(held, Broken):
        scope.give_up()
    if isinstance(held, Fixed):
        return held.value
    if held is None or node.id not in scope.flow.assigned:
        if not scope.flow.reachable:
            scope.give_up()
        hint = f"give {node.id} a value before, on every way to this line"
        if scope.source.resolve(node.id) is not MISSING:
            hint = f"it is assigned in this function, and so hides the outer {node.id}; choose another name"
        scope.fail(node, f"{node.id} may be unassigned here", hint)
    if isinstance(held, ScalarVariable):
        return Scalar(held.local, held.stamp)
    return held.view


# -- fields -------------------------------------------------------------------------------------------------------------


def reference(scope: FunctionScope, node: ast.expr) -> View:
    """The place that an expression names: of a scalar too, which is not loaded."""
    if isinstance(node, ast.Attribute):
        owner = expressions.lower(scope, node.value)
        if isinstance(owner, View) and isinstance(owner.shape, Struct) and not _is_header(scope, node, owner):
            return _field(scope, node, owner, owner.shape)
        if isinstance(owner, (View, Scalar)):
            scope.fail(node, f"{describe(owner)} has no field {node.attr!r}", "")
        header = "the header is that of the message that came" if isinstance(owner, HeaderValue) else ""
        hint = header or "assign to a local, a field or an element"
        scope.fail(node, f"{source_of(node)} cannot be changed here", hint)
    if isinstance(node, ast.Subscript):
        return subscript(scope, node)
    value = expressions.lower(scope, node)
    if not isinstance(value, View):
        scope.fail(node, f"found {describe(value)}, need a field or an element", "name one: state.x or state.data[i]")
    return value


def member(scope: FunctionScope, node: ast.Attribute, owner: View) -> Value:
    """owner.attr as a value."""
    shape = owner.shape
    if isinstance(shape, Struct):
        if _is_header(scope, node, owner):
            return HeaderValue()
        return read(scope, _field(scope, node, owner, shape))
    if isinstance(shape, Sequence) and shape.kind == "Vec" and node.attr in ("append", "clear"):
        return Method(owner, node.attr, node)
    hint = f"write len({source_of(node.value)})" if node.attr in ("size", "shape", "count", "__len__") else ""
    if isinstance(shape, Sequence) and shape.kind != "Ref" and node.attr in ("append", "clear"):
        hint = f"its length is always {shape.count}; make it an rk.Vec"
    return scope.fail(node, f"{shape} has no attribute {node.attr!r}", hint)


def _is_header(scope: FunctionScope, node: ast.Attribute, owner: View) -> bool:
    if node.attr != "header":
        return False
    place = owner.place
    whole = place.root is Root.MESSAGE and place.offset == 0 and not place.terms
    if not (whole and isinstance(owner.shape, Struct) and owner.shape.cls is scope.message_class):
        scope.fail(node, "only the message in hand has a header", "read it in the handler, from its message")
    return True


def _field(scope: FunctionScope, node: ast.Attribute, owner: View, shape: Struct) -> View:
    rows = layout_of(shape.cls).rows
    for row in rows:
        if row.name == node.attr:
            return owner.at(shape_of_row(row), row.offset)
    names = [row.name for row in rows]
    near = difflib.get_close_matches(node.attr, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
    return scope.fail(node, f"{shape} has no field {node.attr!r}", hint)


def header_field(scope: FunctionScope, node: ast.Attribute) -> Value:
    """msg.header.attr"""
    found = HEADER_FIELDS.get(node.attr)
    if found is None:
        near = difflib.get_close_matches(node.attr, list(HEADER_FIELDS), 1)
        scope.fail(node, f"the header has no {node.attr!r}", f"did you mean {near[0]}?" if near else "")
    kind, offset = found
    return Scalar(ir.Load(kind, ir.Place(Root.HEADER, offset)), stamp=node.attr == "timestamp")


# -- elements -----------------------------------------------------------------------------------------------------------


def subscript(scope: FunctionScope, node: ast.Subscript) -> View:
    """The place of owner[index]."""
    owner = expressions.lower(scope, node.value)
    if not isinstance(owner, View) or not isinstance(owner.shape, Sequence):
        scope.fail(node, f"{describe(owner)} has no elements", "only rk.Array, rk.Vec, rk.Bytes and rk.Ref have")
    if isinstance(node.slice, (ast.Slice, ast.Tuple)):
        what = "slices are" if isinstance(node.slice, ast.Slice) else "an index of several numbers is"
        scope.fail(node.slice, f"{what} not part of the language", "write a loop over the elements")
    return element(scope, node.slice, owner, owner.shape, expressions.lower(scope, node.slice))


def element(scope: FunctionScope, node: ast.expr, owner: View, shape: Sequence, value: Value) -> View:
    """The place of owner[value]."""
    if shape.kind == "Ref" and owner.guard is not None:
        owner = alias(scope, owner)  # what is missing is an empty reference
    if isinstance(value, Number):
        if isinstance(value.value, float):
            scope.fail(node, f"an index of {value.value}: integers only", whole(value.value))
        return _constant_element(scope, node, owner, shape, value.value)
    expr = scalar(scope, node, value)
    if not expr.type.is_integer:
        scope.fail(node, f"an index of {spell(expr.type)}: integers only", f"write rk.u32({source_of(node)})")
    if isinstance(expr, ir.Const):
        return _constant_element(scope, node, owner, shape, int(expr.value))
    proved = not scope.program.checked or _proved(scope, owner, shape, expr)
    if not proved or effects.roots_read(expr):
        expr = scope.hoist(expr)
    place = owner.place
    term = ir.Term(cast(expr, Type.U32), shape.stride)
    if shape.kind == "Ref":
        return _far_element(scope, owner, shape, term, None if proved else expr)
    made = replace(place, offset=place.offset + shape.first, terms=(*place.terms, term))
    found = replace(owner, shape=shape.element, place=made, fresh=False)
    return found if proved else _check(scope, owner, found, shape, expr)


def _constant_element(scope: FunctionScope, node: ast.expr, owner: View, shape: Sequence, index: int) -> View:
    count = shape.count
    if index < 0 and shape.varies:
        scope.fail(node, f"index {index} of {shape}: its length varies", "write v[len(v) - 1] for the last element")
    if shape.kind == "Ref":
        if index >= 1 << 32:
            scope.fail(node, f"index {index}: a reference has less than 2**32 elements", "")
        term = ir.Term(ir.Const(Type.U32, index), shape.stride)
        return _far_element(scope, owner, shape, term, term.index if scope.program.checked else None)
    number = index + count if index < 0 else index
    if not 0 <= number < count:
        scope.fail(node, f"index {index} is outside of {shape}", f"its elements are 0 to {count - 1}")
    found = owner.at(shape.element, shape.first + number * shape.stride)
    if shape.kind != "Vec" or not scope.program.checked:
        return found
    return _check(scope, owner, found, shape, ir.Const(Type.U32, number))


def _proved(scope: FunctionScope, owner: View, shape: Sequence, index: ir.Expr) -> bool:
    if not shape.varies:
        return interval(scope, index).within(0, shape.count - 1)
    return isinstance(index, ir.Local) and owner.place in scope.below.get(index.name, ())


def _far_element(scope: FunctionScope, owner: View, shape: Sequence, term: ir.Term, index: ir.Expr | None) -> View:
    """Of a Ref, with the guard that the index is inside unless it is None. Address and count are read together: the
    reference may be another one later."""
    assert isinstance(shape.element, Type)
    guard = None
    if index is not None:
        wide = Type.U64 if index.type.size == 8 else Type.U32
        count = scope.hoist(cast(_count(scope, owner), wide))
        guard = ir.Compare(CompareOp.LT, cast(index, wide), count)
    base = scope.hoist(read_guarded(scope, owner, ir.Load(Type.U64, owner.place)).expr)
    assert isinstance(base, ir.Local)
    return View(shape.element, ir.Place(Root.BUFFER, 0, (term,), base), guard)


def _count(scope: FunctionScope, owner: View) -> ir.Expr:
    """Of the elements that a Ref leads to."""
    place = replace(owner.place, offset=owner.place.offset + REFERENCE_COUNT)
    return read_guarded(scope, owner, ir.Load(Type.U32, place)).expr


def _check(
    scope: FunctionScope, owner: View, found: View, shape: Sequence, index: ir.Const | ir.Local | ir.Expr
) -> View:
    """`found`, with the guard that the index is inside. Negative numbers are large ones without a sign."""
    wide = Type.U64 if index.type.size == 8 else Type.U32

    def inside() -> ir.Expr:
        bound: ir.Expr = ir.Const(wide, shape.count)
        if shape.kind == "Vec":
            bound = scope.hoist(cast(_length(owner, shape), wide))
        return ir.Compare(CompareOp.LT, cast(index, wide), bound)

    if owner.guard is None:
        return replace(found, guard=inside(), counted=False)
    if shape.kind != "Vec" and not owner.counted:
        return replace(found, guard=ir.Binary(Type.BOOL, BinaryOp.AND, owner.guard, inside()))
    ok = scope.temporary(Type.BOOL)
    scope.emit(ir.SetLocal(ok, zero(Type.BOOL)))
    with scope.guarded(owner):
        scope.emit(ir.SetLocal(ok, inside()))
        scope.count_error(ir.Unary(Type.BOOL, ir.UnaryOp.NOT, ok), ir.ErrorCode.INDEX)
    return replace(found, guard=ok, counted=True)


def _length(owner: View, shape: Sequence) -> ir.Expr:
    """Of a Vec: what is stored, which a sender may have made too large."""
    return ir.Binary(Type.U32, BinaryOp.MIN, ir.Load(Type.U32, owner.place), ir.Const(Type.U32, shape.count))


def length(scope: FunctionScope, owner: View, shape: Sequence) -> Value:
    """len(owner)"""
    if shape.kind == "Ref":
        return Scalar(_count(scope, owner))
    if shape.kind != "Vec":
        return Number(shape.count)
    return read_guarded(scope, owner, _length(owner, shape))


# -- loads --------------------------------------------------------------------------------------------------------------


def read(scope: FunctionScope, view: View) -> Value:
    """A scalar's value; the view itself of everything else."""
    if not isinstance(view.shape, Type):
        return view
    return read_guarded(scope, view, ir.Load(view.shape, view.place))


def read_guarded(scope: FunctionScope, view: View, expr: ir.Expr) -> Scalar:
    """What is read from the view; 0 when it is not there."""
    if view.guard is None:
        return Scalar(expr)
    found = scope.temporary(expr.type)
    if view.counted:
        scope.emit(ir.SetLocal(found, zero(expr.type)))
        scope.emit(ir.If(view.guard, (ir.SetLocal(found, expr, line=scope.line),)))
        return Scalar(found)
    missed = (
        ir.SetLocal(found, zero(expr.type), line=scope.line),
        ir.CountError(ir.Const(Type.U32, int(ir.ErrorCode.INDEX)), line=scope.line),
    )
    scope.emit(ir.If(view.guard, (ir.SetLocal(found, expr, line=scope.line),), missed))
    return Scalar(found)


def settled(scope: FunctionScope, view: View, node: ast.AST) -> View:
    """The view, or a copy of it that is surely there: zeros where the view is not."""
    if view.guard is None:
        return view
    copy = ir.Place(Root.FRAME, scope.program.allot(Root.FRAME, view.shape.size, node))
    scope.emit(ir.Zero(copy, view.shape.size))
    with scope.guarded(view):
        scope.emit(ir.Copy(copy, view.place, view.shape.size))
    return View(view.shape, copy, fresh=True)


def alias(scope: FunctionScope, view: View) -> View:
    """The view for later: its indices are those of now."""
    terms = tuple(ir.Term(scope.freeze(term.index), term.stride) for term in view.place.terms)
    frozen = replace(view, place=replace(view.place, terms=terms), fresh=False)
    if view.guard is None:
        return frozen
    guard = scope.freeze(view.guard)
    if not view.counted:
        scope.count_error(ir.Unary(Type.BOOL, ir.UnaryOp.NOT, guard), ir.ErrorCode.INDEX)
    return replace(frozen, guard=guard, counted=True)


__all__ = ["Object", "alias", "element", "header_field", "length", "member", "read", "read_variable", "reference"]
