"""while, and for over range(), which other loops are made into."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .. import ir, ops
from ..diagnostics import Rejected
from ..ir import CompareOp, Type
from . import expressions, iteration, ranges, statements
from .branches import attempt
from .operators import negate, scalar, typed, widen
from .scope import Fixed, LoopFlow, Object, ScalarVariable, join
from .types import of_width, source_of, spell, whole, widest, zero
from .values import Choice, Number, Sequence, Value, View

if TYPE_CHECKING:
    from .scope import Flow, FunctionScope

_UNSIGNED = {4: Type.U32, 8: Type.U64}


def lower_while(scope: FunctionScope, node: ast.While) -> None:
    """A Loop that begins with its condition."""
    _can_end(scope, node.test)
    with scope.block() as body:
        test = attempt(scope, node.test, "while")
        if isinstance(test, ir.Const) and not test.value:
            return
        ends: list[Flow] = []
        if not isinstance(test, ir.Const):
            ends.append(scope.flow)
            if test is not None:
                scope.emit(ir.If(negate(test), (ir.Break(line=scope.line),)))
        flow = LoopFlow()
        scope.loops.append(flow)
        statements.body(scope, node.body)
        scope.loops.pop()
    scope.flow = join(*ends, *flow.breaks)
    scope.emit(ir.Loop(tuple(body)))


def _can_end(scope: FunctionScope, test: ast.expr) -> None:
    """Counting down to below 0 without a sign never ends."""
    for part in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
        if not isinstance(part, ast.Compare) or not isinstance(part.left, ast.Name) or len(part.ops) != 1:
            continue
        number, name = part.comparators[0], part.left.id
        held = scope.variables.get(name)
        of_zero = isinstance(part.ops[0], ast.GtE) and isinstance(number, ast.Constant) and number.value == 0
        if of_zero and isinstance(held, ScalarVariable) and not held.stamp and held.local.type.kind == "uint":
            signed = spell(of_width(Type.I32, max(4, held.local.type.size)))
            message = f"{name} is {spell(held.local.type)}, which is never below 0"
            scope.fail(part, message, f"write {name} = {signed}(...) where it is assigned first")


def leave(scope: FunctionScope, node: ast.Break | ast.Continue) -> None:
    """break, continue"""
    if isinstance(node, ast.Break):
        scope.loops[-1].breaks.append(scope.flow)
        scope.emit(ir.Break())
    else:
        scope.loops[-1].continues.append(scope.flow)
        scope.emit(ir.Continue())
    scope.flow = join()


def lower_for(scope: FunctionScope, node: ast.For) -> None:
    """for i in range(...), and what means one"""
    try:
        if scope.refused(node.iter) or scope.refused(node.target):
            scope.give_up()
        node = iteration.as_range(scope, node)
        assert isinstance(node.target, ast.Name)
        header = _Header(scope, node, node.target)
    except Rejected:
        scope.spoil(node.target)
        before = scope.flow
        scope.loops.append(LoopFlow())
        with scope.block():
            statements.body(scope, node.body)
        scope.loops.pop()
        scope.flow = before
        return
    _loop(scope, node, header)


def _loop(scope: FunctionScope, node: ast.For, header: _Header) -> None:
    name, before, flow = header.variable.local.name, scope.flow, LoopFlow()
    known = scope.bounds.pop(name, None)
    assert isinstance(node.target, ast.Name)
    if node.target.id not in ranges.stored_in(node.body):
        header.tell_bounds(node)
    scope.loops.append(flow)
    with scope.block() as body:
        if header.item is not header.variable.local:
            scope.emit(ir.SetLocal(header.variable.local, widen(header.item, header.variable.local.type)))
        scope.assigned(node.target.id)
        statements.body(scope, node.body)
    scope.loops.pop()
    scope.below.pop(name, None)
    scope.bounds.pop(name, None)
    if known is not None and scope.stores.get(node.target.id) == 1:
        scope.bounds[name] = known
    ends = [scope.flow, *flow.continues, *flow.breaks]
    runs = isinstance(header.count, ir.Const) and header.count.value != 0
    after = join(*ends)  # a For is no end of a function, though its first turn may always return
    scope.flow = after if runs and after.reachable else join(before, *ends)
    scope.emit(ir.For(header.item, header.start, header.step, header.count, tuple(body)))


class _Header:
    """The loop's variable and its items."""

    def __init__(self, scope: FunctionScope, node: ast.For, target: ast.Name) -> None:
        self.scope = scope
        call = node.iter
        assert isinstance(call, ast.Call)
        if "range" in scope.stores or scope.source.resolve("range") is not range:
            scope.fail(call.func, "range is not Python's own here", "give the other range another name")
        if call.keywords:
            scope.fail(call, "range() has no keywords", "write range(start, stop, step)")
        if not 1 <= len(call.args) <= 3:
            scope.fail(call, f"range() with {len(call.args)} arguments", "write range(start, stop, step)")
        self.nodes = call.args
        self.vecs = self._vecs_of_length()
        values = expressions.operands(scope, call.args)
        kind = self._type(call, target, values)
        exprs = [scope.hoist(self._as(one, value, kind)) for one, value in zip(call.args, values, strict=True)]
        self.start: ir.Expr = exprs[0] if len(exprs) > 1 else zero(kind)
        self.stop: ir.Expr = exprs[1] if len(exprs) > 1 else exprs[0]
        self.step: ir.Expr = exprs[2] if len(exprs) > 2 else ir.Const(kind, 1)
        self.variable = self._variable(target, kind)
        self.item = self.variable.local if self.variable.local.type is kind else scope.temporary(kind)
        if not isinstance(self.step, ir.Const) or self.step.value == 0:
            scope.count_error(ir.Compare(CompareOp.EQ, self.step, zero(kind)), ir.ErrorCode.RANGE_STEP)
        self.count = self._count(kind)

    def _type(self, call: ast.Call, target: ast.Name, values: list[Value]) -> Type:
        """The common type of the arguments, at least 32 bits; of literals alone that of the variable, or rk.i32."""
        found: Type | None = None
        for node, value in zip(self.nodes, values, strict=True):
            if isinstance(value, (Number, Choice)):
                continue
            expr = scalar(self.scope, node, value)
            if not expr.type.is_integer:
                text = source_of(node)
                self.scope.fail(node, f"range: found {spell(expr.type)}, need an integer", f"write rk.i32({text})")
            both = expr.type if found is None else widest(found, expr.type)
            if both is None:
                hint = f"write {spell(found or expr.type)}({source_of(node)})"
                self.scope.fail(
                    call, f"range of {spell(found or expr.type)} and {spell(expr.type)}: mixed signedness", hint
                )
            found = both
        if found is None:
            held = self.scope.variables.get(target.id)
            usable = isinstance(held, ScalarVariable) and held.local.type.is_integer and held.local.type.size >= 4
            return held.local.type if usable and isinstance(held, ScalarVariable) else Type.I32
        if found.size < 4:
            return Type.I32 if found.is_signed else Type.U32
        return found

    def _as(self, node: ast.expr, value: Value, kind: Type) -> ir.Expr:
        if isinstance(value, Number) and isinstance(value.value, float):
            self.scope.fail(node, f"range: found {value.value}, need an integer", whole(value.value))
        if isinstance(value, Number) and value.value < 0 and not kind.is_signed:
            others = [one for one in self.nodes if one is not node and not isinstance(one, ast.Constant)]
            text = f"rk.{'i32' if kind.size == 4 else 'i64'}({source_of(others[0])})" if others else "a signed type"
            self.scope.fail(node, f"range: {value.value} does not fit {spell(kind)}", f"write {text}")
        found = typed(self.scope, node, value, kind)
        return widen(scalar(self.scope, node, value), kind) if found is None else found

    def _variable(self, target: ast.Name, kind: Type) -> ScalarVariable:
        name = target.id
        held = self.scope.variables.get(name)
        if held is None:
            return self.scope.declare(name, kind)
        if isinstance(held, (Fixed, Object)):
            self.scope.fail(target, f"{name} is no number", "choose another name for the loop's variable")
        if not isinstance(held, ScalarVariable):
            self.scope.give_up()
        if name in self.scope.loops_own and held.local.type is not kind:
            return self.scope.declare_again(name, kind)
        if held.stamp or widest(held.local.type, kind) is not held.local.type:
            hint = f"choose another name, or write range({spell(held.local.type)}(...))"
            self.scope.fail(target, f"{name} is {spell(held.local.type)}, and the range is of {spell(kind)}", hint)
        return held

    def _count(self, kind: Type) -> ir.Expr:
        unsigned = _UNSIGNED[kind.size]
        start, stop, step = self.start, self.stop, self.step
        if isinstance(start, ir.Const) and isinstance(stop, ir.Const) and isinstance(step, ir.Const):
            count = ops.trip_count(int(start.value), int(stop.value), int(step.value))
            return ir.Const(unsigned, count)
        one = isinstance(step, ir.Const) and step.value == 1
        if isinstance(start, ir.Const) and start.value == 0 and one and not kind.is_signed:
            return stop
        return ir.TripCount(unsigned, start, stop, step)

    # -- what is known in the body

    def _vecs_of_length(self) -> list[tuple[ast.expr, ir.Place]]:
        """The Vec of range(len(v)), range(0, len(v)) and range(0, len(v), 2); all of range(min(len(v), len(w), n)). The
        same by a name that is assigned once."""
        stop = self.nodes[0] if len(self.nodes) == 1 else self.nodes[1]
        self.steady = isinstance(stop, ast.Name)
        if isinstance(stop, ast.Name):
            stop = self._only_value(stop)
        stops = stop.args if self._calls(stop, "min", min) and isinstance(stop, ast.Call) else [stop]
        return [found for one in stops if (found := self._vec_of_length(one)) is not None]

    def _only_value(self, name: ast.Name) -> ast.expr:
        """What the variable is assigned, when that is the only value it ever has; else itself."""
        if self.scope.stores.get(name.id) != 1 or any(one.name == name.id for one in self.scope.parameters):
            return name
        for one in ast.walk(self.scope.source.node):
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name) and one.targets[0].id == name.id:
                return one.value
        return name

    def _calls(self, node: ast.expr, name: str, builtin: object) -> bool:
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        return called and self.scope.source.resolve(name) is builtin and name not in self.scope.stores

    def _vec_of_length(self, stop: ast.expr) -> tuple[ast.expr, ir.Place] | None:
        if not self._calls(stop, "len", len) or not isinstance(stop, ast.Call) or len(stop.args) != 1:
            return None
        if not all(isinstance(node, (ast.Name, ast.Attribute)) for node in _path(stop.args[0])):
            return None
        with self.scope.diagnostics.suppress(), self.scope.block():
            value = expressions.lower(self.scope, stop.args[0])
        if isinstance(value, View) and isinstance(value.shape, Sequence) and value.shape.varies:
            return stop.args[0], value.place
        return None

    def tell_bounds(self, node: ast.For) -> None:
        """The variable's interval, and the Vec whose length it stays below; it is not assigned in the body."""
        scope, name = self.scope, self.variable.local.name
        start, step = ranges.interval(scope, self.start), ranges.interval(scope, self.step)
        found = ranges.of_range(start, ranges.interval(scope, self.stop), step)
        if found is not None:
            scope.bounds[name] = found
        if start.low >= 0 and step.low >= 0:
            body = scope.source.node.body if self.steady else node.body  # since the name got its value
            stay = [place for vec, place in self.vecs if not ranges.may_change_length(scope, body, vec)]
            if stay:
                scope.below[name] = stay


def _path(node: ast.expr) -> list[ast.expr]:
    return [node, *_path(node.value)] if isinstance(node, ast.Attribute) else [node]
