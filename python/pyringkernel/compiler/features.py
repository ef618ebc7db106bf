"""What a program asks of a target: the names in Program.features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ir
from .ir import BinaryOp, QueryName, Root, Scope, Type, UnaryOp
from .walk import expressions, places_of, statements, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ir import Expr, Function, Program, Stmt

_ELEMENTARY = list(UnaryOp)[list(UnaryOp).index(UnaryOp.SIN) :]
APPROXIMATE = frozenset([*_ELEMENTARY, BinaryOp.ATAN2, BinaryOp.POW, BinaryOp.HYPOT])  # may differ by ulps
NAMED_OPS = APPROXIMATE | {BinaryOp.FMOD}

# A value of such a type anywhere, also one that is only loaded and stored.
_WIDE = {Type.F16: "f16", Type.F64: "f64", Type.I64: "i64", Type.U64: "i64"}
# Arithmetic only: such a value may be kept in a wider register, as a conversion, a load and a store do.
_NARROW = {Type.I8: "i8", Type.U8: "i8", Type.I16: "i16", Type.U16: "i16"}
_OF_ROOT = {Root.SHARED: "shared", Root.BUFFER: "references"}
_LANE_QUERIES = (QueryName.WARP_ID, QueryName.LANE_ID)

ALL_FEATURES = frozenset(
    [*_WIDE.values(), *_NARROW.values(), "atomics", "atomics64", "warp", "shared", "sync_grid", "send", "references"]
    + [op.value for op in NAMED_OPS]
)


def features_of(program: Program) -> frozenset[str]:
    """Those that the program has. Program.features is this set, whatever the program says of itself."""
    found = {"shared"} if program.shared_size else set()
    if any(entry.references for entry in program.entries):
        found.add("references")
    for function in [*program.functions, *(entry.function for entry in program.entries)]:
        found.update(_of_function(function))
    return frozenset(found)


def _of_function(function: Function) -> Iterator[str]:
    for local in (*function.parameters, *function.locals):
        yield from _of_type(local.type)
    if function.result is not None:
        yield from _of_type(function.result)
    for stmt in statements(function.body):
        yield from _of_statement(stmt)
        for node in expressions(stmt):
            if not (isinstance(stmt, ir.Send) and node is stmt.deadline and isinstance(node, ir.Const)):
                yield from _of_expression(node)


def _of_type(kind: Type) -> Iterator[str]:
    if kind in _WIDE:
        yield _WIDE[kind]


def _of_arithmetic(kind: Type) -> Iterator[str]:
    if kind in _NARROW:
        yield _NARROW[kind]


def _of_expression(node: Expr) -> Iterator[str]:
    yield from _of_type(node.type)
    if isinstance(node, (ir.Unary, ir.Binary)):
        yield from _of_arithmetic(node.type)
        if node.op in NAMED_OPS:
            yield node.op.value
    elif isinstance(node, ir.Compare):
        yield from _of_arithmetic(node.left.type)
    elif isinstance(node, ir.Bitcast):
        yield from _of_arithmetic(node.type)
        yield from _of_arithmetic(node.operand.type)
    elif isinstance(node, ir.Load) and node.place.root in _OF_ROOT:
        yield _OF_ROOT[node.place.root]
    elif isinstance(node, ir.Query) and node.name in _LANE_QUERIES:
        yield "warp"


def _of_statement(stmt: Stmt) -> Iterator[str]:
    yield from (_OF_ROOT[place.root] for place in places_of(stmt) if place.root in _OF_ROOT)
    target = target_of(stmt)
    if target is not None:
        yield from _of_type(target.type)
    if isinstance(stmt, ir.Atomic):
        yield from ("atomics", "atomics64", "i64") if stmt.type.size == 8 else ("atomics",)
    elif isinstance(stmt, ir.Warp):
        yield "warp"
        yield from _of_arithmetic(stmt.value.type)
    elif isinstance(stmt, ir.Barrier):
        yield from {Scope.GRID: ("sync_grid",), Scope.WARP: ("warp",)}.get(stmt.scope, ())
    elif isinstance(stmt, (ir.Send, ir.Publish)):
        yield "send"
