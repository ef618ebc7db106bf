"""Calls of device functions: each is lowered once for every binding of its references to memories."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import _core
from ...errors import HandlerSignatureError, TranslationError
from .. import ir
from ..ir import BinaryOp, QueryName, Root, Type
from ..source import FunctionSource
from ..syntax import check_syntax
from ..walk import statements as statements_of
from ..walk import target_of
from . import effects, expressions
from .operators import coerce
from .scope import Fixed, Flow, FunctionScope, ScalarVariable
from .types import spell, zero
from .values import NOTHING, ContextValue, Scalar, Shape, Value, View, describe, shape_of_annotation, shape_text

if TYPE_CHECKING:
    from .program import ProgramBuilder


_INSTEAD = ((int, "write rk.i32"), (float, "write rk.f32"))


@dataclass(frozen=True)
class Parameter:
    """`shape` is None for the context."""

    name: str
    shape: Shape | None


@dataclass
class Device:
    """A device function that was looked at. `made`: its functions by the memories of its references."""

    source: FunctionSource
    parameters: tuple[Parameter, ...]
    result: Type | None
    made: dict[tuple[Root, ...], ir.Function | None]


def call(scope: FunctionScope, node: ast.Call, function: Any) -> Value:
    """function(...)"""
    found = _look_at(scope, node, function)
    given = _arguments(scope, node, found)
    values = expressions.operands(scope, list(given.values()))
    roots: list[Root] = []
    exprs: dict[str, ir.Expr] = {}
    guarded: list[View] = []
    for (name, argument), value in zip(given.items(), values, strict=True):
        shape = next(one.shape for one in found.parameters if one.name == name)
        if shape is None:
            if not isinstance(value, ContextValue):
                scope.fail(argument, f"{name}: found {describe(value)}, need the context", "write ctx")
        elif isinstance(shape, Type):
            exprs[name] = coerce(scope, argument, value, shape, name)
        else:
            if not isinstance(value, View) or value.shape != shape:
                hint = ""
                scope.fail(argument, f"{name}: found {describe(value)}, need {shape_text(shape)}", hint)
            exprs[name] = address(value.place)
            guarded += [value] if value.guard is not None else []
    by_name = dict(zip(given, values, strict=True))
    order = [one.name for one in found.parameters]
    roots = [value.place.root for name in order if isinstance(value := by_name[name], View)]
    made = _specialise(scope, node, found, tuple(roots))
    return _emit_call(scope, made, tuple(exprs[name] for name in order if name in exprs), guarded)


def _emit_call(scope: FunctionScope, made: ir.Function, arguments: tuple[ir.Expr, ...], guarded: list[View]) -> Value:
    """The call; not where a reference is to nothing."""
    target = scope.temporary(made.result) if made.result is not None else None
    if target is not None and guarded:
        scope.emit(ir.SetLocal(target, zero(target.type)))
    with scope.guarded(*guarded):
        scope.emit(ir.Call(target, made.name, arguments))
        if made.may_fail:
            value = zero(scope.result) if scope.result is not None else None
            scope.emit(ir.If(ir.Query(QueryName.FAILED), (ir.Return(value, line=scope.line),)))
    return NOTHING if target is None else Scalar(target)


def address(place: ir.Place) -> ir.Expr:
    """Offset in the root, in bytes."""
    found: ir.Expr | None = None
    for term in place.terms:
        scaled = term.index
        if term.stride != 1:
            scaled = ir.Binary(Type.U32, BinaryOp.MUL, scaled, ir.Const(Type.U32, term.stride))
        found = scaled if found is None else ir.Binary(Type.U32, BinaryOp.ADD, found, scaled)
    offset = ir.Const(Type.U32, place.offset)
    if found is None:
        return offset
    return ir.Binary(Type.U32, BinaryOp.ADD, found, offset) if place.offset else found


def _arguments(scope: FunctionScope, node: ast.Call, found: Device) -> dict[str, ast.expr]:
    """By parameter, in the order of the call."""
    names = [one.name for one in found.parameters]
    signature = f"{found.source.name}({', '.join(names)})"
    given: dict[str, ast.expr] = {}
    if len(node.args) > len(names):
        scope.fail(
            node, f"{found.source.name}: found {len(node.args)} arguments, need {len(names)}", f"it is {signature}"
        )
    for name, argument in [*zip(names, node.args, strict=False), *((k.arg or "**", k.value) for k in node.keywords)]:
        if name not in names or name in given:
            problem = "is given twice" if name in given else "is no parameter"
            scope.fail(argument, f"{found.source.name}: {name} {problem}", f"it is {signature}")
        given[name] = argument
    missing = [name for name in names if name not in given]
    if missing:
        scope.fail(node, f"{found.source.name}: {missing[0]} is missing", f"it is {signature}")
    return given


def _look_at(scope: FunctionScope, node: ast.Call, function: Any) -> Device:
    """Its text and annotations; once for a program."""
    program = scope.program
    held = program.devices.get(function)
    if held is None:
        if function in program.devices:
            scope.give_up()
        program.devices[function] = None
        source = _read(scope, node, function)
        with program.diagnostics.reading(source.text):
            known = len(program.diagnostics)
            check_syntax(source, program.diagnostics)
            if len(program.diagnostics) == known:
                held = _signature(program, source)
        program.devices[function] = held
    if held is None:
        scope.give_up()
    return held


def _read(scope: FunctionScope, node: ast.Call, function: Any) -> FunctionSource:
    """Its text; what is wrong with all of it is told where it is called."""
    try:
        source = FunctionSource(function)
        _ = source.annotations
    except TranslationError as error:
        why = error.diagnostics[0]
        scope.fail(node, f"{function.__name__} cannot be called: {why.message}", why.hint)
    except HandlerSignatureError as error:
        scope.fail(node, f"{function.__name__} cannot be called: {error}", "make the classes before the function")
    return source


def _signature(program: ProgramBuilder, source: FunctionSource) -> Device | None:
    parameters: list[Parameter] = []
    known = len(program.diagnostics)
    for one in source.parameters:
        shape = shape_of_annotation(one.annotation)
        if shape is None and one.annotation is not _core.Context:
            if one.annotation is None:
                message, hint = f"the parameter {one.name} has no annotation", f"write {one.name}: rk.f32"
            else:
                message = f"the parameter {one.name} is of no type of the language"
                instead = [text for cls, text in _INSTEAD if one.annotation is cls]
                hint = instead[0] if instead else "write rk.f32, or a message class"
            program.diagnostics.add(one.node, message, hint)
        parameters.append(Parameter(one.name, shape))
    returns = source.returns
    nothing = returns is None or returns is type(None)
    result = None if nothing else shape_of_annotation(returns)
    if not nothing and not isinstance(result, Type):
        at = source.node.returns or source.node
        hint = "return a scalar; write aggregates through a parameter"
        program.diagnostics.add(at, f"{source.name} cannot return {ast.unparse(at)}", hint)
    if len(program.diagnostics) > known:
        return None
    return Device(source, tuple(parameters), result if isinstance(result, Type) else None, {})


def _specialise(scope: FunctionScope, node: ast.Call, found: Device, roots: tuple[Root, ...]) -> ir.Function:
    program, name = scope.program, found.source.name
    if any(one is found for one in program.lowering):
        cycle = [one.source.name for one in program.lowering] + [name]
        cycle = cycle[cycle.index(name) :]
        scope.fail(node, f"recursion: {' calls '.join(cycle)}", "write a loop")
    if roots not in found.made:
        found.made[roots] = None
        program.lowering.append(found)
        known, refused = len(program.diagnostics), program.refused
        program.refused = set()  # nothing of it, or it would not have come so far
        with program.diagnostics.reading(found.source.text):
            made = _lower(program, found, roots)
        program.refused = refused
        program.lowering.pop()
        if len(program.diagnostics) == known:
            found.made[roots] = made
    made_before = found.made[roots]
    if made_before is None:
        scope.give_up()
    return made_before


def _lower(program: ProgramBuilder, found: Device, roots: tuple[Root, ...]) -> ir.Function:
    from . import statements

    inner = FunctionScope(program, found.source, None)
    inner.result = found.result
    left = list(roots)
    for one in found.parameters:
        if one.shape is None:
            inner.variables[one.name] = Fixed(ContextValue())
        elif isinstance(one.shape, Type):
            local = ir.Local(one.shape, one.name)
            inner.parameters.append(local)
            inner.variables[one.name] = ScalarVariable(local)
        else:
            local = ir.Local(Type.U32, one.name)
            inner.parameters.append(local)
            place = ir.Place(left.pop(0), 0, (ir.Term(local, 1),))
            inner.variables[one.name] = Fixed(View(one.shape, place))
    inner.flow = Flow(True, frozenset(one.name for one in found.parameters))
    statements.body(inner, found.source.node.body)
    if inner.flow.reachable and found.result is not None:
        hint = f"return a {spell(found.result)} on every way"
        program.diagnostics.add(_heading(found.source.node), f"{found.source.name} may end without a result", hint)
    made = finished(inner, program.unique(found.source.name), found.result)
    program.finish(made)
    return made


def _heading(node: ast.FunctionDef) -> ast.AST:
    """The annotation of the result, or the last statement."""
    return node.returns or node.body[-1]


def finished(scope: FunctionScope, name: str, result: Type | None) -> ir.Function:
    """The function of what was lowered."""
    body = tuple(scope.out)
    assigned = {target_of(one) for one in statements_of(body)}
    return ir.Function(
        name,
        tuple(scope.parameters),
        result,
        tuple(one for one in scope.locals.values() if one in assigned),
        body,
        effects.may_fail(body, scope.program.may_fail),
        scope.source.text.file,
        scope.source.node.lineno,
    )
