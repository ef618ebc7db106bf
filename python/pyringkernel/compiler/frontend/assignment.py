"""Assignments: to locals, whose type is that of the first one, and to memory."""

from __future__ import annotations

import ast
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import ir
from ..source import MISSING
from . import copying, expressions, places, ranges
from .operators import binary, coerce, default, scalar
from .scope import Broken, Fixed, Object, ScalarVariable
from .types import source_of, spell, widest
from .values import (
    Choice,
    Method,
    Nothing,
    Number,
    Scalar,
    Sequence,
    Shape,
    Struct,
    Value,
    View,
    describe,
    shape_of_annotation,
    shape_text,
)  # fmt: skip

if TYPE_CHECKING:
    from .scope import FunctionScope


_REBOUND = "choose another name; what is done with either of two things is a @rk.device function of it"


def assign(scope: FunctionScope, node: ast.Assign) -> None:
    """target = value, a = b = value, a, b = x, y"""
    if any(isinstance(target, (ast.Tuple, ast.List)) for target in node.targets):
        _assign_several(scope, node)
        return
    value = expressions.lower(scope, node.value)
    if len(node.targets) > 1 and isinstance(value, Scalar):
        value = replace(value, expr=scope.hoist(value.expr))
    if len(node.targets) > 1 and isinstance(value, View) and value.fresh:
        scope.fail(node, f"{shape_text(value.shape)} cannot have two names", "make one for each name")
    for target in node.targets:
        assign_to(scope, target, node.value, value)


def _assign_several(scope: FunctionScope, node: ast.Assign) -> None:
    """All values are calculated before the first is assigned."""
    if len(node.targets) > 1:
        scope.fail(node, "several assignments to tuples in one statement", "write a statement for each")
    target, given = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and not isinstance(given, (ast.Tuple, ast.List)):
        for one, value in zip(target.elts, _elements(scope, given, len(target.elts)), strict=True):
            assign_to(scope, one, given, value)
        return
    if not isinstance(target, ast.Tuple) or not isinstance(given, ast.Tuple) or len(target.elts) != len(given.elts):
        scope.fail(node, "both sides need as many parts", "write a, b = x, y")
    values = expressions.operands(scope, given.elts)
    kept: list[Value] = []
    for part, value in zip(given.elts, values, strict=True):
        if isinstance(value, Scalar):
            kept.append(replace(value, expr=scope.freeze(value.expr)))
        elif isinstance(value, (Number, Choice)):
            kept.append(value)
        else:
            scope.fail(part, f"{describe(value)} in an assignment of several", "write a statement for each")
    for one, part, value in zip(target.elts, given.elts, kept, strict=True):
        assign_to(scope, one, part, value)


def _elements(scope: FunctionScope, node: ast.expr, count: int) -> list[Value]:
    """Those of an array of this length, all read."""
    value = expressions.lower(scope, node)
    shape = value.shape if isinstance(value, View) else None
    fits = isinstance(shape, Sequence) and shape.kind != "Vec" and isinstance(shape.element, ir.Type)
    if not isinstance(value, View) or not isinstance(shape, Sequence) or not fits or shape.count != count:
        scope.fail(node, f"found {describe(value)}, need an array of {count} numbers", "read the elements: a = v[0]")
    kept: list[Value] = []
    for index in range(count):
        read = places.read(scope, value.at(shape.element, index * shape.stride))
        assert isinstance(read, Scalar)
        kept.append(replace(read, expr=scope.freeze(read.expr)))
    return kept


def assign_to(scope: FunctionScope, target: ast.expr, node: ast.expr, value: Value) -> None:
    """target = value; `node` is the value's text."""
    if isinstance(target, ast.Name):
        _assign_name(scope, target, node, value)
        return
    mark = scope.mark()
    view = places.reference(scope, target)
    copying.store(scope, view, node, scope.keep(value, mark), source_of(target))


def _assign_name(scope: FunctionScope, target: ast.Name, node: ast.expr, value: Value) -> None:
    name = target.id
    held = scope.variables.get(name)
    if isinstance(held, Fixed):
        scope.fail(target, f"{name} is a parameter, which stays what it is", "choose another name")
    if isinstance(held, Broken):
        scope.assigned(name)
        return
    if isinstance(value, View):
        _name_memory(scope, target, node, value, held)
        scope.assigned(name)
        return
    if not isinstance(value, (Number, Choice, Scalar)):
        scope.fail(node, f"found {describe(value)}, which cannot be a local", _no_local(value, node))
    if isinstance(held, Object):
        scope.fail(target, f"{name} is {shape_text(held.view.shape)}, found {describe(value)}", "choose another name")
    stamp = isinstance(value, Scalar) and value.stamp
    if held is None:
        kind = value.type if isinstance(value, Scalar) else default(value)
        if isinstance(value, Number):
            scalar(scope, node, value)  # tells what does not fit before the name gets its type
        held = scope.declare(name, kind, stamp)
        held.from_literal = not isinstance(value, Scalar)
    set_scalar(scope, target, node, held, value)


def _parts(shape: Shape) -> str:
    return "name a field of it" if isinstance(shape, Struct) else "write a loop over the elements"


def _no_local(value: Value, node: ast.expr) -> str:
    if isinstance(value, Nothing):
        return "it has no result: write the call as a statement" if isinstance(node, ast.Call) else ""
    if isinstance(value, Method):
        return f"call it: {source_of(node)}()"
    return "use it by its own name, where it is needed"


def set_scalar(scope: FunctionScope, target: ast.Name, node: ast.expr, held: ScalarVariable, value: Value) -> None:
    """A scalar variable = value."""
    name, kind = target.id, held.local.type
    stamp = isinstance(value, Scalar) and value.stamp
    if held.stamp != stamp:
        what = "a timestamp" if held.stamp else spell(kind)
        scope.fail(node, f"{name} is {what}, found {describe(value)}", "choose another name")
    if stamp:
        assert isinstance(value, Scalar)
        expr = value.expr
    else:
        literal_hint = held.from_literal and isinstance(value, Scalar) and widest(value.type, kind) is not kind
        if literal_hint and isinstance(value, Scalar):
            message = f"{name} is {spell(kind)} since its first assignment, found {spell(value.type)}"
            scope.fail(node, message, f"write {name}: {spell(value.type)} = ... where it is assigned first")
        expr = coerce(scope, node, value, kind, name)
    scope.emit(ir.SetLocal(held.local, expr))
    once = scope.stores.get(name) == 1 and all(name != one.name for one in scope.parameters)
    if once and kind.is_integer:
        found = ranges.interval(scope, expr)
        if found != ranges.of_type(kind):
            scope.bounds[name] = found
    scope.assigned(name)


def _name_memory(scope: FunctionScope, target: ast.Name, node: ast.expr, value: View, held: object) -> None:
    """A name for an object that was made here, or another name of what is there."""
    name, text = target.id, shape_text(value.shape)
    if isinstance(held, ScalarVariable):
        scope.fail(target, f"{name} is {spell(held.local.type)}, found {text}", "choose another name")
    if isinstance(held, Object):
        _assign_object(scope, target, node, value, held)
        return
    if value.fresh:
        scope.variables[name] = Object(replace(value, fresh=False, owner=name), own=True)
        return
    owner = scope.variables.get(value.owner)
    if isinstance(owner, Object) and owner.own and owner.view.place == value.place and owner.view.shape == value.shape:
        scope.fail(node, f"{value.owner} cannot have a second name", f"use {value.owner}, or construct another {text}")
    if value.owner:
        scope.aliased.add(value.owner)
    scope.aliases.add(name)
    scope.variables[name] = Object(places.alias(scope, value), own=False)


def _assign_object(scope: FunctionScope, target: ast.Name, node: ast.expr, value: View, held: Object) -> None:
    name = target.id
    if not held.own:
        scope.fail(target, f"{name} is another name of something, which it stays", _REBOUND)
    if held.view.shape != value.shape:
        found = f"{name} is {shape_text(held.view.shape)}, found {shape_text(value.shape)}"
        scope.fail(target, found, "choose another name")
    if not isinstance(value.shape, Struct):
        scope.fail(target, f"{name} is a local array, which is made once", "assign its elements")
    if not value.fresh:
        scope.fail(node, f"{name} is an object of its own and cannot become a name of another", "assign its fields")
    if name in scope.aliased:
        scope.fail(target, f"a part of {name} has another name, so it cannot be assigned again", "choose another name")
    scope.emit(ir.Copy(held.view.place, value.place, value.shape.size))


def annotated(scope: FunctionScope, node: ast.AnnAssign) -> None:
    """x: rk.u32 = 0"""
    if not isinstance(node.target, ast.Name):
        scope.fail(node.target, "only a local can be annotated", "remove the annotation")
    name, shape = node.target.id, annotation(scope, node.annotation)
    held = scope.variables.get(name)
    if isinstance(held, Fixed):
        scope.fail(node.target, f"{name} is a parameter, which stays what it is", "choose another name")
    if isinstance(held, ScalarVariable) and held.local.type is not shape:
        scope.fail(node.annotation, f"{name} is {spell(held.local.type)} already", "annotate its first assignment")
    if isinstance(held, Object) and held.view.shape != shape:
        scope.fail(node.annotation, f"{name} is {shape_text(held.view.shape)} already", "choose another name")
    if isinstance(shape, ir.Type):
        variable = held if isinstance(held, ScalarVariable) else scope.declare(name, shape)
        if node.value is not None:
            set_scalar(scope, node.target, node.value, variable, expressions.lower(scope, node.value))
        return
    if node.value is None:
        scope.fail(node, f"{name}: {shape_text(shape)} needs a value", "make the object here")
    value = expressions.lower(scope, node.value)
    if not isinstance(value, View) or value.shape != shape:
        scope.fail(node.value, f"{name}: found {describe(value)}, need {shape_text(shape)}", "")
    assign_to(scope, node.target, node.value, value)


def annotation(scope: FunctionScope, node: ast.expr) -> Shape:
    """The type that an annotation in the body names."""
    found: object = MISSING
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        with contextlib.suppress(SyntaxError):
            quoted = ast.parse(node.value, mode="eval").body
            for one in ast.walk(quoted):
                ast.copy_location(one, node)
            return annotation(scope, quoted)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) == 2:
        kind = getattr(scope.source.resolve_path(node.value), "__name__", "")
        element, count = annotation(scope, node.slice.elts[0]), expressions.lower(scope, node.slice.elts[1])
        if kind in ("Array", "Vec") and isinstance(count, Number) and not isinstance(element, Sequence):
            return Sequence(kind, element, int(count.value))
    elif isinstance(node, ast.Subscript):
        kind = getattr(scope.source.resolve_path(node.value), "__name__", "")
        count = expressions.lower(scope, node.slice)
        if kind == "Ref":
            element = annotation(scope, node.slice)
            if isinstance(element, ir.Type):
                return Sequence(kind, element, 0)
        if kind == "Bytes" and isinstance(count, Number):
            return Sequence(kind, ir.Type.U8, int(count.value))
    elif isinstance(node, (ast.Name, ast.Attribute)):
        found = scope.source.resolve_path(node)
    shape = None if found is MISSING else shape_of_annotation(found)
    if shape is None:
        hint = "write rk.i32, or another width" if found is int else "write rk.f32 or rk.f64" if found is float else ""
        scope.fail(
            node, f"the annotation {source_of(node)} is no type of the language", hint or "write rk.u32, rk.f32, ..."
        )
    return shape


def augmented(scope: FunctionScope, node: ast.AugAssign) -> None:
    """target op= value; the target's place is found once, before the value."""
    if isinstance(node.target, ast.Name):
        _augment_name(scope, node, node.target)
        return
    target = places.reference(scope, node.target)
    if not isinstance(target.shape, ir.Type):
        scope.fail(node.target, f"found {shape_text(target.shape)}, need a number", _parts(target.shape))
    if target.guard is not None and _augment_at_once(scope, node, target, target.shape):
        return
    old: Value = places.read(scope, target)
    target = replace(target, counted=True)
    mark = scope.mark()
    value = expressions.lower(scope, node.value)
    old = scope.keep(old, mark)
    new = binary(scope, node, node.op, (node.target, old), (node.value, value))
    copying.store(scope, target, node.value, new, source_of(node.target))


def _augment_at_once(scope: FunctionScope, node: ast.AugAssign, target: View, kind: ir.Type) -> bool:
    """Load, operation and store below one test, where nothing else is between them. False: nothing was done."""
    if not _is_simple(node.value):
        return False
    with scope.block() as body:
        value = expressions.lower(scope, node.value)
        loaded = Scalar(ir.Load(kind, target.place))
        new = binary(scope, node, node.op, (node.target, loaded), (node.value, value))
    if body:
        return False
    with scope.guarded(target):
        copying.store(scope, replace(target, guard=None), node.value, new, source_of(node.target))
    return True


def _is_simple(node: ast.expr) -> bool:
    """Whether lowering it twice is as lowering it once: it calls nothing."""
    return not any(isinstance(one, ast.Call) for one in ast.walk(node))


def _augment_name(scope: FunctionScope, node: ast.AugAssign, target: ast.Name) -> None:
    held = scope.variables.get(target.id)
    read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
    old = places.read_variable(scope, read, held)
    if not isinstance(held, ScalarVariable):
        found = f"{target.id} is {describe(old)}, need a number"
        scope.fail(target, found, "" if not isinstance(held, Fixed) else "name a field of it")
    value = expressions.lower(scope, node.value)
    if held.from_literal and isinstance(value, Scalar) and not value.stamp:
        _literal_hint(scope, node, target, held, value)
    new = binary(scope, node, node.op, (target, old), (node.value, value))
    set_scalar(scope, target, node.value, held, new)


def _literal_hint(
    scope: FunctionScope, node: ast.AugAssign, target: ast.Name, held: ScalarVariable, value: Scalar
) -> None:
    """`n = 0` and then `n += msg.count`: the better place for a type is the first assignment."""
    kind, shift = held.local.type, isinstance(node.op, (ast.LShift, ast.RShift, ast.Pow))
    fits = value.type.kind == kind.kind and value.type.size <= kind.size
    if fits or shift or value.type is ir.Type.BOOL or kind is ir.Type.BOOL:
        return
    if value.type.is_float == kind.is_float:
        message = f"{target.id} is {spell(kind)} since its first assignment, found {spell(value.type)}"
        scope.fail(node, message, f"write {target.id}: {spell(value.type)} = ... where it is assigned first")
