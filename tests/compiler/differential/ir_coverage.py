"""Which parts of the intermediate representation a set of programs uses."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import BinaryOp, Type, UnaryOp

TRANSCENDENTAL = frozenset(
    [op for op in UnaryOp if list(UnaryOp).index(op) >= list(UnaryOp).index(UnaryOp.SIN)]
    + [BinaryOp.ATAN2, BinaryOp.POW, BinaryOp.HYPOT]
)
ENUMS = (
    *(ir.UnaryOp, ir.TestOp, ir.BinaryOp, ir.CompareOp, ir.QueryName, ir.Service, ir.AtomicOp, ir.Scope, ir.WarpOp),
    ir.Root,
)
TYPED = (ir.Const, ir.Local, ir.Load, ir.Unary, ir.Binary, ir.Select, ir.Cast, ir.Bitcast, ir.TripCount, ir.Atomic)


def nodes(thing: Any) -> Iterator[Any]:
    """Every node below, itself included."""
    if isinstance(thing, tuple):
        for one in thing:
            yield from nodes(one)
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        yield thing
        for field in dataclasses.fields(thing):
            yield from nodes(getattr(thing, field.name))


def used(program: ir.Program) -> Counter[str]:
    """Names of what the program has: kinds of nodes, members of enums, kinds with types, operators with types."""
    counts: Counter[str] = Counter()
    for node in nodes(program):
        kind = type(node).__name__
        counts[kind] += 1
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if isinstance(value, ENUMS):
                counts[f"{type(value).__name__}.{value.name}"] += 1
        if isinstance(node, TYPED):
            counts[f"{kind} {node.type}"] += 1
        if isinstance(node, ir.Unary | ir.Binary):
            counts[f"{node.op.name} {node.type}"] += 1
        if isinstance(node, ir.Compare):
            counts[f"{node.op.name} {node.left.type}"] += 1
        if isinstance(node, ir.Cast | ir.Bitcast):
            counts[f"{kind} {node.operand.type} to {node.type}"] += 1
    return counts


def everything() -> set[str]:
    """What there is: kinds of nodes, members of enums, and kinds with types."""
    kinds = [*ir.Expr.__args__, *ir.Stmt.__args__, ir.Term, ir.Place, ir.Function, ir.Entry, ir.Program]
    names = {kind.__name__ for kind in kinds}
    names |= {f"{one.__name__}.{member.name}" for one in ENUMS for member in _members(one)}
    types = {
        ir.TripCount: (Type.U32, Type.U64),
        ir.Atomic: (Type.I32, Type.U32, Type.I64, Type.U64),
        ir.Unary: tuple(Type),
        ir.Bitcast: tuple(one for one in Type if one is not Type.BOOL),
    }
    return names | {f"{kind.__name__} {one}" for kind in TYPED for one in types.get(kind, tuple(Type))}


def _members(one: type[enum.Enum]) -> list[enum.Enum]:
    return list(one)
