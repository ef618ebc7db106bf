"""Methods of ctx."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .. import ir
from ..ir import AtomicOp, CompareOp, ErrorCode, QueryName, Root, Scope, Service, Type, WarpOp
from . import expressions, messaging, objects, places
from .operators import coerce, scalar
from .types import source_of, spell, zero
from .values import NOTHING, Scalar, Text, Value, View, describe

if TYPE_CHECKING:
    from .scope import FunctionScope

Handler: TypeAlias = "Callable[[FunctionScope, ast.Call], Value]"

_QUERIES = {one.value: one for one in QueryName if one is not QueryName.FAILED}
_BARRIERS = {"sync_threads": Scope.BLOCK, "sync_warp": Scope.WARP, "sync_grid": Scope.GRID}
_ATOMICS = {f"atomic_{one.value}": one for one in AtomicOp}
_SERVICES = {
    one.text: one
    for one in (Service.NOW, Service.TICK, Service.PENDING, Service.REQUEST_TERMINATION, Service.IS_TERMINATING)
}
_SHUFFLES = {one.value: one for one in (WarpOp.SHUFFLE, WarpOp.SHUFFLE_UP, WarpOp.SHUFFLE_DOWN, WarpOp.SHUFFLE_XOR)}
_VOTES = {"ballot": (WarpOp.BALLOT, Type.U64), "all": (WarpOp.ALL, Type.BOOL), "any": (WarpOp.ANY, Type.BOOL)}
_REDUCTIONS = {"add": WarpOp.REDUCE_ADD, "min": WarpOp.REDUCE_MIN, "max": WarpOp.REDUCE_MAX}
_FENCES = {one.value: one for one in Scope}
_ATOMIC_TYPES = (Type.I32, Type.U32, Type.I64, Type.U64)


def call(scope: FunctionScope, node: ast.Call, name: str) -> Value:
    """ctx.name(...)"""
    if name in _QUERIES:
        arguments(scope, node, name, (), 0)
        return Scalar(ir.Query(_QUERIES[name]))
    if name in _BARRIERS:
        arguments(scope, node, name, (), 0)
        scope.emit(ir.Barrier(_BARRIERS[name]))
        return NOTHING
    if name in _SERVICES:
        return _service(scope, node, name, _SERVICES[name])
    if name in _ATOMICS:
        return _atomic(scope, node, name, _ATOMICS[name])
    if name in _SHUFFLES:
        return _shuffle(scope, node, name, _SHUFFLES[name])
    if name in _VOTES:
        return _vote(scope, node, name)
    handler = _OTHERS.get(name)
    if handler is not None:
        return handler(scope, node)
    known = [*_QUERIES, *_BARRIERS, *_SERVICES, *_ATOMICS, *_SHUFFLES, *_VOTES, *_OTHERS]
    near = difflib.get_close_matches(name, known, 1)
    return scope.fail(node.func, f"ctx has no {name!r}", f"did you mean ctx.{near[0]}?" if near else "")


def arguments(
    scope: FunctionScope, node: ast.Call, name: str, names: tuple[str, ...], required: int
) -> dict[str, ast.expr]:
    """By name, in the order of the call."""
    if len(node.args) > len(names):
        most = len(names)
        found = f"ctx.{name}: found {len(node.args)} arguments, need {'at most ' if required < most else ''}{most}"
        scope.fail(node, found, "")
    given: dict[str, ast.expr] = {}
    for key, value in [*zip(names, node.args, strict=False), *((k.arg or "**", k.value) for k in node.keywords)]:
        if key not in names:
            scope.fail(value, f"ctx.{name} has no argument {key!r}", f"it has {', '.join(names)}" if names else "")
        if key in given:
            scope.fail(value, f"ctx.{name}: {key} is given twice", "")
        given[key] = value
    missing = [one for one in names[:required] if one not in given]
    if missing:
        scope.fail(node, f"ctx.{name}: {missing[0]} is missing", f"it has {', '.join(names)}")
    return given


def _evaluated(
    scope: FunctionScope, node: ast.Call, name: str, names: tuple[str, ...]
) -> tuple[dict[str, ast.expr], dict[str, Value]]:
    given = arguments(scope, node, name, names, len(names))
    return given, dict(zip(given, expressions.operands(scope, list(given.values())), strict=True))


# -- the runtime --------------------------------------------------------------------------------------------------------


def _service(scope: FunctionScope, node: ast.Call, name: str, service: Service) -> Value:
    arguments(scope, node, name, (), 0)
    if service.result is None:
        scope.emit(ir.CallService(None, service))
        return NOTHING
    found = scope.temporary(service.result)
    scope.emit(ir.CallService(found, service))
    return Scalar(found, stamp=service in (Service.NOW, Service.TICK))


def _update_clock(scope: FunctionScope, node: ast.Call) -> Value:
    given, values = _evaluated(scope, node, "update_clock", ("timestamp",))
    value = values["timestamp"]
    stamp = isinstance(value, Scalar) and value.stamp
    time = value.expr if stamp else coerce(scope, given["timestamp"], value, Type.U64, "timestamp")  # type: ignore[union-attr]
    accepted = scope.temporary(Type.BOOL)
    scope.emit(ir.CallService(accepted, Service.UPDATE_CLOCK, (time,)))
    scope.count_error(ir.Unary(Type.BOOL, ir.UnaryOp.NOT, accepted), ErrorCode.CLOCK_SKEW)
    return NOTHING


def _free_slots(scope: FunctionScope, node: ast.Call) -> Value:
    given, values = _evaluated(scope, node, "free_slots", ("target",))
    target = messaging.target_index(scope, given["target"], values["target"], "free_slots")
    found = scope.temporary(Type.U64)
    scope.emit(ir.CallService(found, Service.FREE_SLOTS, (ir.Const(Type.U32, target),)))
    return Scalar(found)


def _report_error(scope: FunctionScope, node: ast.Call) -> Value:
    given, values = _evaluated(scope, node, "report_error", ("code",))
    code = coerce(scope, given["code"], values["code"], Type.U32, "code")
    if isinstance(code, ir.Const) and code.value >= 0xFFFF0000:
        scope.fail(given["code"], f"the code {code.value:#x} is one of the language's own", "use one below 0xFFFF0000")
    scope.emit(ir.CountError(code))
    return NOTHING


# -- threads ------------------------------------------------------------------------------------------------------------


def _constant_text(scope: FunctionScope, node: ast.expr, value: Value, what: str, allowed: dict[str, object]) -> str:
    if isinstance(value, Text) and value.value in allowed:
        return value.value
    found = repr(value.value) if isinstance(value, Text) else describe(value)
    names = ", ".join(repr(one) for one in allowed)
    return scope.fail(node, f"{what}: found {found}, need one of {names}", "")


def _fence(scope: FunctionScope, node: ast.Call) -> Value:
    given = arguments(scope, node, "fence", ("scope",), 0)
    name = "block"
    if "scope" in given:
        value = expressions.lower(scope, given["scope"])
        name = _constant_text(scope, given["scope"], value, "ctx.fence", dict(_FENCES))
    scope.emit(ir.Fence(_FENCES[name]))
    return NOTHING


def _atomic(scope: FunctionScope, node: ast.Call, name: str, op: AtomicOp) -> Value:
    names = ("place", "expected", "value") if op is AtomicOp.CAS else ("place", "value")
    given = arguments(scope, node, name, names, len(names))
    place_node = given.pop("place")
    view = places.reference(scope, place_node)
    if not isinstance(view.shape, Type) or view.place.root not in (Root.STATE, Root.SHARED, Root.BUFFER):
        found = describe(view) if not isinstance(view.shape, Type) else f"{source_of(place_node)}, which nobody shares"
        scope.fail(
            place_node,
            f"ctx.{name}: found {found}",
            "name a field or element of the state, of ctx.shared() or of an rk.Ref",
        )
    kind = view.shape
    if kind not in _ATOMIC_TYPES:
        need = "rk.i32, rk.u32, rk.i64 or rk.u64"
        scope.fail(place_node, f"ctx.{name}: found {spell(kind)}, need {need}", "change the type of the field")
    values = dict(zip(given, expressions.operands(scope, list(given.values())), strict=True))
    exprs = {key: coerce(scope, given[key], value, kind, key) for key, value in values.items()}
    old = scope.temporary(kind)
    if view.guard is not None:
        scope.emit(ir.SetLocal(old, zero(kind)))
    with scope.guarded(view):
        scope.emit(ir.Atomic(old, op, kind, view.place, exprs["value"], exprs.get("expected")))
    return Scalar(old)


def _lane_value(scope: FunctionScope, node: ast.expr, value: Value, name: str) -> ir.Expr:
    expr = scalar(scope, node, value)
    if expr.type is Type.BOOL:
        scope.fail(node, f"ctx.{name}: found bool, need a number", f"write rk.u32({source_of(node)})")
    return expr


def _shuffle(scope: FunctionScope, node: ast.Call, name: str, op: WarpOp) -> Value:
    given, values = _evaluated(scope, node, name, ("value", "lane" if op is WarpOp.SHUFFLE else "n"))
    (value_node, operand_node), (value, operand) = given.values(), values.values()
    expr = _lane_value(scope, value_node, value, name)
    by = coerce(scope, operand_node, operand, Type.U32, "lane" if op is WarpOp.SHUFFLE else "n")
    found = scope.temporary(expr.type)
    scope.emit(ir.Warp(found, op, expr, by))
    return Scalar(found)


def _vote(scope: FunctionScope, node: ast.Call, name: str) -> Value:
    given = arguments(scope, node, name, ("value",), 1)
    expr = expressions.condition(scope, given["value"], f"ctx.{name}")
    op, result = _VOTES[name]
    found = scope.temporary(result)
    scope.emit(ir.Warp(found, op, expr))
    return Scalar(found)


def _warp_reduce(scope: FunctionScope, node: ast.Call) -> Value:
    given, values = _evaluated(scope, node, "warp_reduce", ("value", "op"))
    name = _constant_text(scope, given["op"], values["op"], "ctx.warp_reduce", dict(_REDUCTIONS))
    expr = _lane_value(scope, given["value"], values["value"], "warp_reduce")
    found = scope.temporary(expr.type)
    scope.emit(ir.Warp(found, _REDUCTIONS[name], expr))
    return Scalar(found)


def _shared(scope: FunctionScope, node: ast.Call) -> Value:
    shape = objects.array_shape(scope, node, "ctx.shared")
    place = ir.Place(Root.SHARED, scope.program.allot(Root.SHARED, shape.size, node))
    return View(shape, place, fresh=True)


_OTHERS: dict[str, Handler] = {
    "update_clock": _update_clock,
    "free_slots": _free_slots,
    "report_error": _report_error,
    "fence": _fence,
    "warp_reduce": _warp_reduce,
    "shared": _shared,
    "send": messaging.send,
    "reply": messaging.reply,
    "publish": messaging.publish,
}

__all__ = ["CompareOp", "arguments", "call"]
