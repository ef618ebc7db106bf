"""verify's rules for expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from . import ir
from .ir import BinaryOp, CompareOp, QueryName, Type, UnaryOp
from .ops import holds

if TYPE_CHECKING:
    from .ir import Expr, Place

_INTEGERS = frozenset(kind for kind in Type if kind.is_integer)
_UNSIGNED = frozenset(kind for kind in _INTEGERS if not kind.is_signed)
_FLOATS = frozenset(kind for kind in Type if kind.is_float)
_NUMBERS = _INTEGERS | _FLOATS
_BOOL = frozenset([Type.BOOL])

_UNARY: dict[UnaryOp, frozenset[Type]] = {
    UnaryOp.NEG: _NUMBERS,
    UnaryOp.INVERT: _INTEGERS,
    UnaryOp.NOT: _BOOL,
    UnaryOp.ABS: _NUMBERS,
    UnaryOp.POPCOUNT: _UNSIGNED,
    UnaryOp.CLZ: _UNSIGNED,
    UnaryOp.CTZ: _UNSIGNED,
}  # all others: floats

_BINARY: dict[BinaryOp, frozenset[Type]] = {
    **dict.fromkeys((BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX), _NUMBERS),
    **dict.fromkeys((BinaryOp.FLOORDIV, BinaryOp.MOD, BinaryOp.SHL, BinaryOp.SHR), _INTEGERS),
    **dict.fromkeys((BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR), _INTEGERS | _BOOL),
}  # all others: floats


class Checker(Protocol):
    """What the rules need of the check of a function."""

    def error(self, text: str) -> NoReturn: ...
    def known(self, local: ir.Local) -> None: ...
    def value(self, node: Expr, name: str) -> None: ...
    def typed(self, node: Expr, kind: Type, name: str) -> None: ...
    def one_of(self, node: Expr, kinds: tuple[Type, ...], name: str) -> None: ...
    def place(self, place: Place, size: int, align: int, name: str, *, writes: bool = False) -> None: ...


def check_expression(check: Checker, node: Expr) -> None:
    """The node and all below it."""
    rule = _RULES.get(type(node))
    if rule is None:
        check.error(f"{type(node).__name__} is no expression")
    rule(check, node)


def _constant(check: Checker, node: ir.Const) -> None:
    if not holds(node.type, node.value):
        check.error(f"{node.value!r} is no {node.type!r}")


def _load(check: Checker, node: ir.Load) -> None:
    check.place(node.place, node.type.size, node.type.size, "place")


def _unary(check: Checker, node: ir.Unary) -> None:
    if node.type not in _UNARY.get(node.op, _FLOATS):
        check.error(f"{node.op.value} of {node.type!r}")
    check.typed(node.operand, node.type, "operand")


def _test(check: Checker, node: ir.Test) -> None:
    check.one_of(node.operand, tuple(_FLOATS), "operand")


def _binary(check: Checker, node: ir.Binary) -> None:
    if node.type not in _BINARY.get(node.op, _FLOATS):
        check.error(f"{node.op.value} of {node.type!r}")
    check.typed(node.left, node.type, "left")
    check.typed(node.right, node.type, "right")


def _compare(check: Checker, node: ir.Compare) -> None:
    check.value(node.left, "left")
    check.typed(node.right, node.left.type, "right")
    if node.left.type is Type.BOOL and node.op not in (CompareOp.EQ, CompareOp.NE):
        check.error(f"{node.op.value} of bool")


def _select(check: Checker, node: ir.Select) -> None:
    check.typed(node.condition, Type.BOOL, "condition")
    check.typed(node.then, node.type, "then")
    check.typed(node.otherwise, node.type, "otherwise")


def _cast(check: Checker, node: ir.Cast) -> None:
    check.value(node.operand, "operand")


def _bitcast(check: Checker, node: ir.Bitcast) -> None:
    check.value(node.operand, "operand")
    if Type.BOOL in (node.type, node.operand.type) or node.type.size != node.operand.type.size:
        check.error(f"{node.operand.type!r} as {node.type!r}")


def _trip_count(check: Checker, node: ir.TripCount) -> None:
    if node.type not in (Type.U32, Type.U64):
        check.error(f"a count of {node.type!r}")
    check.value(node.start, "start")
    kind = node.start.type
    if not kind.is_integer or kind.size != node.type.size:
        check.error(f"a count of {node.type!r} for {kind!r}")
    check.typed(node.stop, kind, "stop")
    check.typed(node.step, kind, "step")


def _query(check: Checker, node: ir.Query) -> None:
    if node.name is QueryName.FAILED:
        check.error("FAILED is the condition of an If only")


_RULES: dict[type[Any], Callable[[Checker, Any], None]] = {
    ir.Const: _constant,
    ir.Local: lambda check, node: check.known(node),
    ir.Load: _load,
    ir.Unary: _unary,
    ir.Test: _test,
    ir.Binary: _binary,
    ir.Compare: _compare,
    ir.Select: _select,
    ir.Cast: _cast,
    ir.Bitcast: _bitcast,
    ir.TripCount: _trip_count,
    ir.Query: _query,
}
