"""What is known of loops before they are written: how much work a turn is, and whether the items can overflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir import (
    Call,
    CallService,
    Const,
    Copy,
    Expr,
    For,
    Function,
    If,
    Local,
    Loop,
    Publish,
    Query,
    Reply,
    Send,
    SetLocal,
    Stmt,
    TripCount,
    Zero,
)

if TYPE_CHECKING:
    from ..ir import Body

# Statements between two polls of the cancel word in a loop of known work: tens of microseconds. A poll in every turn
# would keep LLVM from vectorising.
POLL_EVERY = 1 << 16


def constant_of(node: Expr) -> int | None:
    """The value of an integer constant."""
    return int(node.value) if isinstance(node, Const) and not node.type.is_float else None


def weight(body: Body, functions: dict[str, int | None]) -> int | None:
    """About how many statements a run of `body` is; None when nobody knows, and when it waits for the runtime.
    `functions`: the weights of callees."""
    total = 1
    for stmt in body:
        cost = _weight_of(stmt, functions)
        if cost is None:
            return None
        total += cost
    return total if total <= POLL_EVERY else None


def _weight_of(stmt: Stmt, functions: dict[str, int | None]) -> int | None:
    if isinstance(stmt, (Loop, Reply, Send, Publish, CallService)):
        return None
    if isinstance(stmt, If):
        then, otherwise = weight(stmt.then, functions), weight(stmt.otherwise, functions)
        return None if then is None or otherwise is None else max(then, otherwise)
    if isinstance(stmt, For):
        count, turn = constant_of(stmt.count), weight(stmt.body, functions)
        return None if count is None or turn is None else count * turn
    if isinstance(stmt, Call):
        return functions.get(stmt.function)
    if isinstance(stmt, (Copy, Zero)):
        return 1 + stmt.size // 64
    return 1


@dataclass
class Definitions:
    """The only value that a local ever gets, for those assigned in one place."""

    values: dict[str, Expr | None]

    @staticmethod
    def of(function: Function) -> Definitions:
        """Of a function's locals. None: assigned more than once, or by something else than SetLocal."""
        values: dict[str, Expr | None] = {local.name: None for local in function.parameters}
        _collect(function.body, values)
        return Definitions(values)

    def resolve(self, node: Expr) -> Expr:
        """The value behind a local that has one definition. The local is that, or still 0."""
        found = self.values.get(node.name) if isinstance(node, Local) else None
        return node if found is None else found


def _collect(body: Body, values: dict[str, Expr | None]) -> None:
    for stmt in body:
        if isinstance(stmt, SetLocal):
            values[stmt.local.name] = None if stmt.local.name in values else stmt.value
            continue
        if isinstance(stmt, For):
            values[stmt.variable.name] = None
        target = getattr(stmt, "target", None)
        if isinstance(target, Local):
            values[target.name] = None
        for part in ("then", "otherwise", "body"):
            _collect(getattr(stmt, part, ()), values)


def _is_stable(node: Expr) -> bool:
    return isinstance(node, (Const, Query))


def overflow_flags(loop: For, definitions: Definitions) -> str:
    """The flags that `start + k * step` and `k * step` may carry, because no item of the loop overflows. They tell
    LLVM that addresses grow evenly."""
    kind = loop.variable.type
    if loop.count.type.bits != kind.bits:
        return ""
    start, step, count = constant_of(loop.start), constant_of(loop.step), constant_of(loop.count)
    if start is not None and step is not None and count is not None:
        inside = start >= 0 and step >= 0 and start + max(count - 1, 0) * step < 1 << (kind.bits - 1)
        return " nuw nsw" if inside else ""
    trips = definitions.resolve(loop.count)
    if not isinstance(trips, TripCount) or trips.start.type is not kind:
        return ""
    # Of constants and queries only: a local may have changed between the count and the loop.
    if (trips.start, trips.step) != (loop.start, loop.step) or not all(map(_is_stable, (loop.start, loop.step))):
        return ""
    if not kind.is_signed:
        return " nuw"
    low, increment = constant_of(loop.start), constant_of(loop.step)
    return " nuw nsw" if low is not None and low >= 0 and increment is not None and increment > 0 else ""
