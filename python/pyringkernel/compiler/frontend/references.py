"""Which references of a message a handler writes through: a buffer that is registered as read-only is refused there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ...messages import layout_of
from .. import ir
from ..ir import Root
from ..walk import statements
from .values import REFERENCE_BYTES, SCALARS

if TYPE_CHECKING:
    from .program import ProgramBuilder

# Where the address of a buffer came from: the offset of a reference in the message; the same behind a parameter of the
# function (its name, offset); None: nobody knows.
Source: TypeAlias = "int | tuple[str, int] | None"


def references_of(cls: type[Any], function: ir.Function, program: ProgramBuilder) -> tuple[ir.Reference, ...]:
    """The references of a message class, as an entry has them."""
    rows = layout_of(cls).references
    written = written_by(function, program)
    if written and any(_may_change(stmt, row.offset, program) for stmt in statements(function.body) for row in rows):
        written = frozenset((None,))
    return tuple(
        ir.Reference(row.name, row.offset, SCALARS[row.scalar], None in written or row.offset in written)
        for row in rows
    )


def written_by(function: ir.Function, program: ProgramBuilder) -> frozenset[Source]:
    """Where the addresses that the function stores to came from; its callees are finished."""
    sources: dict[str, set[Source]] = {}
    found: set[Source] = set()
    for stmt in statements(function.body):
        if isinstance(stmt, ir.SetLocal) and isinstance(stmt.value, ir.Load) and stmt.value.type is ir.Type.U64:
            sources.setdefault(stmt.local.name, set()).add(_source(stmt.value.place, function))
    for stmt in statements(function.body):
        if isinstance(stmt, (ir.Store, ir.Atomic)) and stmt.place.base is not None:
            found |= sources.get(stmt.place.base.name, {None})
        elif isinstance(stmt, ir.Call):
            found |= {_outside(one, stmt, program, function) for one in program.far[stmt.function]}
    return frozenset(found)


def _source(place: ir.Place, function: ir.Function) -> Source:
    if place.root is not Root.MESSAGE or len(place.terms) > 1:
        return None
    if not place.terms:
        return place.offset
    (term,) = place.terms
    is_parameter = term.stride == 1 and isinstance(term.index, ir.Local) and term.index in function.parameters
    return (term.index.name, place.offset) if is_parameter and isinstance(term.index, ir.Local) else None


def _outside(source: Source, call: ir.Call, program: ProgramBuilder, caller: ir.Function) -> Source:
    """What a callee's source is to its caller."""
    if not isinstance(source, tuple):
        return source
    name, offset = source
    callee = next(one for one in program.functions if one.name == call.function)
    index = [one.name for one in callee.parameters].index(name)
    argument = call.arguments[index]
    if isinstance(argument, ir.Const):
        return int(argument.value) + offset
    if isinstance(argument, ir.Local) and argument in caller.parameters:
        return argument.name, offset
    return None


def _may_change(stmt: ir.Stmt, offset: int, program: ProgramBuilder) -> bool:
    """Whether the message's reference there may be another one afterwards."""
    if isinstance(stmt, ir.Call):
        return Root.MESSAGE in program.writes[stmt.function]
    if isinstance(stmt, ir.Store):
        place, size = stmt.place, stmt.value.type.size
    elif isinstance(stmt, (ir.Copy, ir.Zero)):
        place, size = stmt.target, stmt.size
    else:
        return False
    if place.root is not Root.MESSAGE:
        return False
    return bool(place.terms) or (place.offset < offset + REFERENCE_BYTES and offset < place.offset + size)
