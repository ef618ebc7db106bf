"""Expressions as Python trees."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import ir, ops

if TYPE_CHECKING:
    from .ir import Expr, Place

MACHINE = "_rk_machine"
MEMORY = "_rk_memory"
_PREFIX = "_rk_"


class Names:
    """What the code can name beside its locals: the globals of all functions of a program."""

    def __init__(self) -> None:
        # Builtins are for what a user types into a debugger.
        self.bound: dict[str, Any] = {"__builtins__": builtins, "__name__": "handler"}
        self._functions: dict[str, str] = {}

    def bind(self, name: str, value: Any) -> str:
        """The name that `value` has: always the same for `name`."""
        self.bound.setdefault(_PREFIX + name, value)
        return _PREFIX + name

    def bind_function(self, function: str, value: Callable[..., Any]) -> None:
        """A device function; its number makes its name a valid one."""
        self._functions[function] = self.bind(f"function_{len(self._functions)}", value)

    def function(self, function: str) -> str:
        """The name of a function that was bound."""
        return self._functions[function]


def local_name(name: str) -> str:
    """The user's name where it is one; what the compiler made up, or Python reserves, becomes one."""
    if name.isidentifier() and not keyword.iskeyword(name) and not name.startswith(("_rk_", "__")):
        return name
    return "_rk_local_" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def read(name: str) -> ast.expr:
    """A name's value."""
    return ast.Name(name, ast.Load())


def method(owner: str, name: str, *arguments: ast.expr) -> ast.Call:
    """owner.name(arguments)"""
    return ast.Call(ast.Attribute(read(owner), name, ast.Load()), list(arguments), [])


class Expressions:
    """Trees of the expressions of one function."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def tree(self, node: Expr) -> ast.expr:
        """The expression's; all positions are the statement's, which fills them in."""
        return _TREES[type(node)](self, node)

    def optional(self, node: Expr | None) -> ast.expr:
        """None for None."""
        return ast.Constant(None) if node is None else self.tree(node)

    def value(self, name: str, value: Any) -> ast.expr:
        """A Python object of ours that has no literal."""
        return read(self.names.bind(name, value))

    def apply(self, name: str, function: Callable[..., Any], *operands: Expr) -> ast.expr:
        """A function of ops.py on expressions."""
        return ast.Call(self.value(name, function), [self.tree(operand) for operand in operands], [])

    def address(self, place: Place) -> list[ast.expr]:
        """Root and address, as two arguments."""
        total: ast.expr = ast.Constant(place.offset)
        if place.base is not None:
            total = ast.BinOp(self.tree(place.base), ast.Add(), total)
        for term in place.terms:
            part = ast.BinOp(self.tree(term.index), ast.Mult(), ast.Constant(term.stride))
            total = ast.BinOp(total, ast.Add(), part)
        return [self.value(f"root_{place.root.value}", place.root), total]

    def type_of(self, kind: ir.Type) -> ast.expr:
        """A Type, as an argument."""
        return self.value(kind.text, kind)


def _constant(to: Expressions, node: ir.Const) -> ast.expr:
    return ast.Constant(int(node.value) if node.type.is_integer else node.value)  # int: of an ErrorCode


def _load(to: Expressions, node: ir.Load) -> ast.expr:
    return method(MEMORY, "load", to.type_of(node.type), *to.address(node.place))


def _unary(to: Expressions, node: ir.Unary) -> ast.expr:
    return to.apply(f"{node.op.value}_{node.type.text}", ops.unary(node.op, node.type), node.operand)


def _binary(to: Expressions, node: ir.Binary) -> ast.expr:
    return to.apply(f"{node.op.value}_{node.type.text}", ops.binary(node.op, node.type), node.left, node.right)


_COMPARE: dict[ir.CompareOp, ast.cmpop] = {
    ir.CompareOp.EQ: ast.Eq(),
    ir.CompareOp.NE: ast.NotEq(),
    ir.CompareOp.LT: ast.Lt(),
    ir.CompareOp.LE: ast.LtE(),
    ir.CompareOp.GT: ast.Gt(),
    ir.CompareOp.GE: ast.GtE(),
}


def _compare(to: Expressions, node: ir.Compare) -> ast.expr:
    return ast.Compare(to.tree(node.left), [_COMPARE[node.op]], [to.tree(node.right)])


def _select(to: Expressions, node: ir.Select) -> ast.expr:
    return ast.IfExp(to.tree(node.condition), to.tree(node.then), to.tree(node.otherwise))


def _cast(to: Expressions, node: ir.Cast) -> ast.expr:
    source = node.operand.type
    return to.apply(f"{node.type.text}_of_{source.text}", ops.cast(source, node.type), node.operand)


def _bitcast(to: Expressions, node: ir.Bitcast) -> ast.expr:
    source = node.operand.type
    return to.apply(f"bits_{node.type.text}_of_{source.text}", ops.bitcast(source, node.type), node.operand)


def _query(to: Expressions, node: ir.Query) -> ast.expr:
    return method(MACHINE, "query", to.value(f"query_{node.name.value}", node.name))


_TREES: dict[type[Any], Callable[[Expressions, Any], ast.expr]] = {
    ir.Const: _constant,
    ir.Local: lambda to, node: read(local_name(node.name)),
    ir.Load: _load,
    ir.Unary: _unary,
    ir.Test: lambda to, node: to.apply(node.op.value, ops.test(node.op), node.operand),
    ir.Binary: _binary,
    ir.Compare: _compare,
    ir.Select: _select,
    ir.Cast: _cast,
    ir.Bitcast: _bitcast,
    ir.TripCount: lambda to, node: to.apply("trip_count", ops.trip_count, node.start, node.stop, node.step),
    ir.Query: _query,
}
