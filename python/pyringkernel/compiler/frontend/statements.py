"""Statements, one after the other: a refused one is told, and the next is looked at."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import ir
from ..diagnostics import Rejected
from ..ir import ErrorCode
from . import assignment, branches, expressions, loops, messaging
from .operators import coerce, negate
from .scope import join
from .types import spell
from .values import Nothing

if TYPE_CHECKING:
    from .scope import FunctionScope


def body(scope: FunctionScope, nodes: list[ast.stmt]) -> None:
    """Until the end, or to where it is left: what is behind is never reached."""
    for node in nodes:
        if not scope.flow.reachable:
            return
        statement(scope, node)


def statement(scope: FunctionScope, node: ast.stmt) -> None:
    """Any statement."""
    outer, scope.line = scope.line, node.lineno
    handler = _HANDLERS.get(type(node))
    try:
        if handler is None or (type(node) not in _COMPOUND and scope.refused(node)):
            scope.give_up()  # the syntax was refused
        handler(scope, node)
    except Rejected:
        scope.spoil(node)
        if isinstance(node, ast.Return):
            scope.flow = join()
    scope.line = outer


def _pass(scope: FunctionScope, node: ast.Pass) -> None:
    pass


def _expression(scope: FunctionScope, node: ast.Expr) -> None:
    if not isinstance(node.value, ast.Constant):  # a docstring
        expressions.lower(scope, node.value)


def _assert(scope: FunctionScope, node: ast.Assert) -> None:
    test = expressions.condition(scope, node.test, "assert")
    failed = ir.Fail(int(ErrorCode.ASSERTION), line=scope.line)
    if not isinstance(test, ir.Const):
        scope.emit(ir.If(negate(test), (failed,)))
    elif not test.value:
        scope.emit(failed)
        scope.flow = join()


def _return(scope: FunctionScope, node: ast.Return) -> None:
    none = node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)
    if scope.message_class is not None:
        if not none:
            assert node.value is not None
            messaging.answer(scope, node.value)
        scope.emit(ir.Return())
    elif none:
        if scope.result is not None:
            scope.fail(node, f"{scope.source.name} returns {spell(scope.result)}, found no value", "write return x")
        scope.emit(ir.Return())
    else:
        assert node.value is not None
        value = expressions.lower(scope, node.value)
        if scope.result is None:
            if not isinstance(value, Nothing):
                hint = f"write def {scope.source.name}(...) -> rk.f32"
                scope.fail(node.value, f"{scope.source.name} is annotated to return nothing", hint)
            scope.emit(ir.Return())
        else:
            scope.emit(ir.Return(coerce(scope, node.value, value, scope.result, "the result")))
    scope.flow = join()


_COMPOUND = (ast.If, ast.While, ast.For, ast.Match)
_HANDLERS: dict[type[ast.stmt], Callable[..., None]] = {
    ast.Assign: assignment.assign,
    ast.AnnAssign: assignment.annotated,
    ast.AugAssign: assignment.augmented,
    ast.If: branches.lower_if,
    ast.Match: branches.lower_match,
    ast.While: loops.lower_while,
    ast.For: loops.lower_for,
    ast.Break: loops.leave,
    ast.Continue: loops.leave,
    ast.Return: _return,
    ast.Assert: _assert,
    ast.Expr: _expression,
    ast.Pass: _pass,
}
