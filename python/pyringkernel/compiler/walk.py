"""What a node is made of, for the passes that look at every node once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ir import Body, Expr, Place, Stmt


def places_of(stmt: Stmt) -> tuple[Place, ...]:
    """Those that the statement itself names."""
    if isinstance(stmt, ir.Copy):
        return (stmt.target, stmt.source)
    if isinstance(stmt, ir.Zero):
        return (stmt.target,)
    if isinstance(stmt, (ir.Store, ir.Atomic)):
        return (stmt.place,)
    if isinstance(stmt, (ir.Reply, ir.Send, ir.Publish)):
        return (stmt.payload,)
    return ()


_VALUES: dict[type[object], tuple[str, ...]] = {
    ir.SetLocal: ("value",),
    ir.Store: ("value",),
    ir.If: ("condition",),
    ir.For: ("start", "step", "count"),
    ir.Return: ("value",),
    ir.CountError: ("code",),
    ir.Send: ("instance", "priority", "deadline"),
    ir.Atomic: ("value", "expected"),
    ir.Warp: ("value", "operand"),
}

_OPERANDS: dict[type[object], tuple[str, ...]] = {
    ir.Unary: ("operand",),
    ir.Test: ("operand",),
    ir.Binary: ("left", "right"),
    ir.Compare: ("left", "right"),
    ir.Select: ("condition", "then", "otherwise"),
    ir.Cast: ("operand",),
    ir.Bitcast: ("operand",),
    ir.TripCount: ("start", "stop", "step"),
}


def values_of(stmt: Stmt) -> list[Expr]:
    """The expressions that the statement itself has, but for those in its places."""
    if isinstance(stmt, (ir.Call, ir.CallService)):
        return list(stmt.arguments)
    found = (getattr(stmt, name) for name in _VALUES.get(type(stmt), ()))
    return [value for value in found if value is not None]


def _in_place(place: Place) -> list[Expr]:
    found: list[Expr] = [] if place.base is None else [place.base]
    return found + [term.index for term in place.terms]


def operands_of(node: Expr) -> list[Expr]:
    """The expressions right below this one."""
    if isinstance(node, ir.Load):
        return _in_place(node.place)
    return [getattr(node, name) for name in _OPERANDS.get(type(node), ())]


def bodies_of(stmt: Stmt) -> tuple[Body, ...]:
    """Those inside of the statement."""
    if isinstance(stmt, ir.If):
        return (stmt.then, stmt.otherwise)
    return (stmt.body,) if isinstance(stmt, (ir.Loop, ir.For)) else ()


def target_of(stmt: Stmt) -> ir.Local | None:
    """The local that the statement gives a value to."""
    if isinstance(stmt, ir.SetLocal):
        return stmt.local
    if isinstance(stmt, ir.For):
        return stmt.variable
    if isinstance(stmt, (ir.Call, ir.Publish, ir.CallService, ir.Atomic, ir.Warp)):
        return stmt.target
    return None


def statements(body: Body) -> Iterator[Stmt]:
    """All, the inner ones too."""
    for stmt in body:
        yield stmt
        for inner in bodies_of(stmt):
            yield from statements(inner)


def expressions(stmt: Stmt) -> Iterator[Expr]:
    """All in the statement, those in places too, but for those of inner statements."""
    waiting = values_of(stmt) + [node for place in places_of(stmt) for node in _in_place(place)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += operands_of(node)
