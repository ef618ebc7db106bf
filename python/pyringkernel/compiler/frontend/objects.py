"""Objects that a handler makes: messages and local arrays, in the thread's frame."""

from __future__ import annotations

import ast
import struct
from typing import TYPE_CHECKING, Any

from ... import _core
from ...messages import layout_of
from .. import ir, ops
from ..ir import Root, Type
from . import copying, expressions
from .operators import coerce
from .types import source_of
from .values import Number, Outside, Scalar, Sequence, Struct, Value, View, describe, shape_of_annotation, shape_of_row

if TYPE_CHECKING:
    from ...messages import FieldRow
    from .scope import FunctionScope

_HEADER_BYTES = 64


def construct(scope: FunctionScope, node: ast.Call, cls: type[Any]) -> View:
    """Cls(a=1, ...): an object of its own, complete with defaults and zero padding."""
    layout = layout_of(cls)
    given = _arguments(scope, node, cls, layout.rows)
    rows = {row.name: row for row in layout.rows}
    values = expressions.operands(scope, list(given.values()))
    ready: list[tuple[FieldRow, ast.expr, Value]] = []
    for (name, argument), value in zip(given.items(), values, strict=True):
        shape = shape_of_row(rows[name])
        if isinstance(shape, Type):
            value = Scalar(coerce(scope, argument, value, shape, f"field {name}"))
        ready.append((rows[name], argument, value))
    made = View(Struct(cls), ir.Place(Root.FRAME, scope.program.allot(Root.FRAME, layout.size, node)), fresh=True)
    if not _covered(layout.rows, layout.size, set(given)):
        scope.emit(ir.Zero(made.place, layout.size))
    missing = [row for row in layout.rows if row.name not in given]
    _store_defaults(scope, made, cls, missing)
    for row, argument, value in ready:
        copying.store(scope, made.at(shape_of_row(row), row.offset), argument, value, f"field {row.name}")
    return made


def _arguments(scope: FunctionScope, node: ast.Call, cls: type[Any], rows: tuple[FieldRow, ...]) -> dict[str, ast.expr]:
    """By field, in the order that they are evaluated in."""
    names = [row.name for row in rows]
    if len(node.args) > len(names):
        scope.fail(
            node.args[len(names)], f"{cls.__name__} has {len(names)} fields, found {len(node.args)} arguments", ""
        )
    given: dict[str, ast.expr] = {}
    for name, argument in [*zip(names, node.args, strict=False), *((k.arg, k.value) for k in node.keywords)]:
        if isinstance(argument, ast.Starred) or name is None:
            scope.fail(argument, "arguments cannot be unpacked here", "write each field")
        if name not in names:
            scope.fail(argument, f"{cls.__name__} has no field {name!r}", f"it has {', '.join(names[:8])}")
        if name in given:
            scope.fail(argument, f"the field {name!r} is given twice", "")
        given[name] = argument
    defaults = cls.__dict__.get("__rk_defaults__", frozenset())
    missing = [name for name in names if name not in given and name not in defaults]
    if missing:
        what = "a value for the field" if len(missing) == 1 else "values for the fields"
        hint = f"write {cls.__name__}(..., {missing[0]}=...), or give it a default in the class"
        scope.fail(node, f"{cls.__name__}: need {what} {', '.join(missing)}", hint)
    return given


def _covered(rows: tuple[FieldRow, ...], size: int, given: set[str]) -> bool:
    """Whether storing what is given writes every byte: no padding, nothing with a varying part."""
    end = 0
    for row in rows:
        shape = shape_of_row(row)
        if row.offset != end or row.name not in given or (isinstance(shape, Sequence) and shape.kind == "Vec"):
            return False
        end = row.offset + shape.size
    return end == size


def _store_defaults(scope: FunctionScope, made: View, cls: type[Any], missing: list[FieldRow]) -> None:
    """What is not zero in the class's defaults; the rest is zero already."""
    if not missing:
        return
    content = _core.zeroed(cls).to_bytes()[_HEADER_BYTES:]
    for row in missing:
        _store_constant(scope, made.at(shape_of_row(row), row.offset), content, row.offset)


def _store_constant(scope: FunctionScope, target: View, content: bytes, offset: int) -> None:
    shape = target.shape
    if not any(content[offset : offset + shape.size]):
        return
    if isinstance(shape, Type):
        value = struct.unpack_from("<" + ops.CODES[shape], content, offset)[0]
        scope.emit(ir.Store(target.place, ir.Const(shape, value)))
    elif isinstance(shape, Struct):
        for row in layout_of(shape.cls).rows:
            _store_constant(scope, target.at(shape_of_row(row), row.offset), content, offset + row.offset)
    else:
        if shape.kind == "Vec":
            _store_constant(scope, target.at(Type.U32, 0), content, offset)
        if _store_equal(scope, target, shape, content[offset + shape.first : offset + shape.size]):
            return
        for index in range(shape.count):
            step = shape.first + index * shape.stride
            _store_constant(scope, target.at(shape.element, step), content, offset + step)


def _store_equal(scope: FunctionScope, target: View, shape: Sequence, content: bytes) -> bool:
    """A long array of equal scalars, in a loop; False for all others."""
    kind = shape.element
    if (
        not isinstance(kind, Type)
        or shape.count <= copying.MOST_STORES
        or content != content[: kind.size] * shape.count
    ):
        return False
    index = scope.temporary(Type.U32)
    first = target.at(kind, shape.first).place
    place = ir.Place(first.root, first.offset, (*first.terms, ir.Term(index, kind.size)))
    value = ir.Const(kind, struct.unpack_from("<" + ops.CODES[kind], content)[0])
    stored = ir.Store(place, value, line=scope.line)
    start, step, count = (ir.Const(Type.U32, number) for number in (0, 1, shape.count))
    scope.emit(ir.For(index, start, step, count, (stored,)))
    return True


def zeros(scope: FunctionScope, node: ast.Call) -> Value:
    """rk.zeros(rk.f32, 8)"""
    shape = array_shape(scope, node, "rk.zeros")
    place = ir.Place(Root.FRAME, scope.program.allot(Root.FRAME, shape.size, node))
    scope.emit(ir.Zero(place, shape.size))
    return View(shape, place, fresh=True)


def array_shape(scope: FunctionScope, node: ast.Call, what: str) -> Sequence:
    """Of a call (element type, constant length)."""
    if len(node.args) != 2 or node.keywords:
        scope.fail(node, f"{what}: need a type and a length", f"write {what}(rk.f32, 8)")
    element_value, count = (expressions.lower(scope, one) for one in node.args)
    element = shape_of_annotation(element_value.known.value) if isinstance(element_value, Outside) else None
    if element is None or isinstance(element, Sequence):
        found = describe(element_value)
        scope.fail(
            node.args[0], f"{what}: found {found}, need a type", "write a type such as rk.f32, or a message class"
        )
    if isinstance(count, Scalar) and isinstance(count.expr, ir.Const):
        count = Number(count.expr.value)
    if not isinstance(count, Number) or not isinstance(count.value, int):
        text = source_of(node.args[1])
        scope.fail(
            node.args[1], f"{what}: the length {text} is not a constant", "write a number, or a constant of the module"
        )
    if not 0 < count.value < 2**31:
        scope.fail(node.args[1], f"{what}: a length of {count.value}", "write a number from 1 to 2**31 - 1")
    return Sequence("Array", element, count.value)
