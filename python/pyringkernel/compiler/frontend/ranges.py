"""What is proved about integers: indices that cannot be outside need no check."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import ir, ops
from ..ir import BinaryOp, Type

if TYPE_CHECKING:
    from .scope import FunctionScope


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included."""

    low: int
    high: int

    def within(self, low: int, high: int) -> bool:
        """Whether all of it is in low..high."""
        return low <= self.low and self.high <= high


def of_type(kind: Type) -> Interval:
    """All values of an integer type."""
    return Interval(ops.lowest(kind), ops.highest(kind))


def interval(scope: FunctionScope, expr: ir.Expr) -> Interval:
    """What an integer expression's value is in."""
    every = of_type(expr.type)
    if isinstance(expr, ir.Const):
        return Interval(int(expr.value), int(expr.value))
    if isinstance(expr, ir.Local):
        return scope.bounds.get(expr.name, every)
    found: Interval | None = None
    if isinstance(expr, ir.Cast) and expr.operand.type.is_integer:
        found = interval(scope, expr.operand)
    elif isinstance(expr, ir.Cast) and expr.operand.type is Type.BOOL:
        found = Interval(0, 1)
    elif isinstance(expr, ir.Select):
        then, otherwise = interval(scope, expr.then), interval(scope, expr.otherwise)
        found = Interval(min(then.low, otherwise.low), max(then.high, otherwise.high))
    elif isinstance(expr, ir.Binary):
        found = _binary(expr.op, interval(scope, expr.left), interval(scope, expr.right))
    return found if found is not None and found.within(every.low, every.high) else every


def _binary(op: BinaryOp, left: Interval, right: Interval) -> Interval | None:
    if op is BinaryOp.ADD:
        return Interval(left.low + right.low, left.high + right.high)
    if op is BinaryOp.SUB:
        return Interval(left.low - right.high, left.high - right.low)
    if op is BinaryOp.MUL:
        ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
        return Interval(min(ends), max(ends))
    if op is BinaryOp.MIN:
        return Interval(min(left.low, right.low), min(left.high, right.high))
    if op is BinaryOp.MAX:
        return Interval(max(left.low, right.low), max(left.high, right.high))
    if op is BinaryOp.MOD and right.low > 0:
        return left if left.within(0, right.low - 1) else Interval(0, right.high - 1)
    if op is BinaryOp.FLOORDIV and right.low == right.high > 0:
        return Interval(left.low // right.low, left.high // right.low)
    if op is BinaryOp.AND and (left.low >= 0 or right.low >= 0):
        return Interval(0, min(one.high for one in (left, right) if one.low >= 0))
    if op is BinaryOp.SHR and right.low == right.high and left.low >= 0:  # by the right operand & (width - 1)
        return Interval(left.low >> right.low, left.high >> right.low) if 0 <= right.low < 8 else Interval(0, left.high)
    return None


def of_range(start: Interval, stop: Interval, step: Interval) -> Interval | None:
    """What the items of range(start, stop, step) are in; None when nothing is known. A step of 0 has no items."""
    if step.low >= 0:
        return Interval(start.low, max(start.low, stop.high - 1))
    if step.high <= 0:
        return Interval(min(stop.low + 1, start.high), start.high)
    return None


def stored_in(body: list[ast.stmt]) -> set[str]:
    """The names that are assigned there."""
    return {
        node.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def loops_own(function: ast.FunctionDef) -> set[str]:
    """The names that are nothing but variables of for loops, none inside of another of its name: each loop can have a
    variable of its own."""
    inside: dict[str, int] = {}
    nested: set[str] = set()
    for loop in ast.walk(function):
        if not isinstance(loop, ast.For):
            continue
        names = [one for part in loop.body for one in ast.walk(part) if isinstance(one, ast.Name)]
        for name in {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}:
            used = [one for one in names if one.id == name]
            inside[name] = inside.get(name, 0) + 1 + len(used)
            if any(isinstance(one.ctx, ast.Store) for one in used):
                nested.add(name)
    everywhere: dict[str, int] = {}
    for one in ast.walk(function):
        if isinstance(one, ast.Name):
            everywhere[one.id] = everywhere.get(one.id, 0) + 1
    return {name for name, count in inside.items() if count == everywhere[name]} - nested


def may_change_length(scope: FunctionScope, body: list[ast.stmt], vec: ast.expr) -> bool:
    """Whether the length of a Vec may change in the body; True if in doubt."""
    nodes = [node for statement in body for node in ast.walk(statement)]
    path = {node.attr for node in ast.walk(vec) if isinstance(node, ast.Attribute)}
    names = {node.id for node in ast.walk(vec) if isinstance(node, ast.Name)}
    nested = any(isinstance(node, ast.Subscript) for node in ast.walk(vec))
    other_ways = scope.message_class is None or any(name in scope.aliases for name in names)
    augmented = {id(node.target) for node in nodes if isinstance(node, ast.AugAssign)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in ("append", "clear"):
            return True
        if isinstance(node, ast.Call) and _is_device(scope, node.func):
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names:
            return True
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            if id(node) in augmented:
                continue  # of a scalar
            through = node.attr in path if isinstance(node, ast.Attribute) else nested
            if through or other_ways:
                return True
    return False


def _is_device(scope: FunctionScope, func: ast.expr) -> bool:
    return hasattr(scope.source.resolve_path(func), "__rk_device__")
