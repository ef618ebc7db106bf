"""Which memories an expression reads, and which a statement writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ir
from ..ir import Root
from ..walk import operands_of, statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def roots_read(expr: ir.Expr) -> frozenset[Root]:
    """The memories that it loads from."""
    found = frozenset((expr.place.root,)) if isinstance(expr, ir.Load) else frozenset()
    for part in operands_of(expr):
        found |= roots_read(part)
    return found


def roots_written(body: Iterable[ir.Stmt], functions: Mapping[str, frozenset[Root]]) -> frozenset[Root]:
    """The memories that may be different afterwards. `functions`: the same, of functions by name."""
    found: set[Root] = set()
    for one in statements(tuple(body)):
        if isinstance(one, (ir.Store, ir.Atomic)):
            found.add(one.place.root)
        elif isinstance(one, (ir.Copy, ir.Zero)):
            found.add(one.target.root)
        elif isinstance(one, ir.Call):
            found |= functions[one.function]
    return frozenset(found)


def shared_roots(body: Iterable[ir.Stmt]) -> frozenset[Root]:
    """The memories that other threads may have changed behind a barrier in the body."""
    waits = any(isinstance(one, (ir.Barrier, ir.Fence)) for one in statements(tuple(body)))
    return frozenset((Root.STATE, Root.SHARED, Root.MESSAGE, Root.BUFFER)) if waits else frozenset()


def may_fail(body: Iterable[ir.Stmt], functions: Iterable[str]) -> bool:
    """Whether it may leave the function early: a loop may be cancelled."""
    known = frozenset(functions)
    for one in statements(tuple(body)):
        if isinstance(one, (ir.Fail, ir.Reply, ir.Send, ir.Loop, ir.For)):
            return True
        if isinstance(one, ir.Call) and one.function in known:
            return True
    return False
