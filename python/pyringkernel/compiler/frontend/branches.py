"""if, match, and tests of the message's class, which are decided when the handler is compiled."""

from __future__ import annotations

import ast
import types
import typing
from typing import TYPE_CHECKING, Any

from .. import ir
from ..diagnostics import Rejected
from ..ir import BinaryOp, Type
from ..source import Kind, classify
from . import expressions, statements
from .operators import compare, negate, scalar
from .scope import join
from .types import source_of
from .values import Number, Scalar, Struct, Value, View, describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scope import FunctionScope

MOST_CASES = 100  # each is nested in the one before


def lower_if(scope: FunctionScope, node: ast.If) -> None:
    """A test that is decided leaves one branch; the other is not looked at."""
    test = attempt(scope, node.test, "if")
    branch(scope, test, lambda: statements.body(scope, node.body), lambda: statements.body(scope, node.orelse))


def attempt(scope: FunctionScope, node: ast.expr, where: str) -> ir.Expr | None:
    """A condition; None when it was refused, and what depends on it is worth looking at all the same."""
    try:
        return None if scope.refused(node) else expressions.condition(scope, node, where)
    except Rejected:
        return None


def branch(scope: FunctionScope, test: ir.Expr | None, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    """if test: then() else: otherwise()"""
    if isinstance(test, ir.Const):
        (then if test.value else otherwise)()
        return
    before = scope.flow
    with scope.block() as then_body:
        then()
    after, scope.flow = scope.flow, before
    with scope.block() as other_body:
        otherwise()
    scope.flow = join(after, scope.flow)
    if test is None:
        return
    if not then_body and other_body:
        test, then_body, other_body = negate(test), other_body, then_body
    if then_body:
        scope.emit(ir.If(test, tuple(then_body), tuple(other_body)))


# -- classes ------------------------------------------------------------------------------------------------------------


def is_instance(scope: FunctionScope, node: ast.Call) -> Value:
    """isinstance(msg, A), (A, B) or A | B"""
    if len(node.args) != 2 or node.keywords:
        scope.fail(node, "isinstance needs a message and classes", "write isinstance(msg, A)")
    subject = expressions.lower(scope, node.args[0])
    return Scalar(ir.Const(Type.BOOL, _class_of(scope, node.args[0], subject) in classes(scope, node.args[1])))


def _class_of(scope: FunctionScope, node: ast.expr, subject: Value) -> type[Any]:
    if isinstance(subject, View) and isinstance(subject.shape, Struct):
        return subject.shape.cls
    return scope.fail(node, f"found {describe(subject)}, need a message", "numbers have one type, which is known")


def classes(scope: FunctionScope, node: ast.expr) -> tuple[type[Any], ...]:
    """The classes that are named."""
    if isinstance(node, ast.Tuple):
        return tuple(one for part in node.elts for one in classes(scope, part))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return classes(scope, node.left) + classes(scope, node.right)
    found = scope.source.resolve_path(node)
    several = typing.get_args(found) if typing.get_origin(found) in (typing.Union, types.UnionType) else (found,)
    for one in several:
        if classify(one).kind not in (Kind.MESSAGE, Kind.STATE):
            scope.fail(node, f"{source_of(node)} is no message class", "name a class made by @rk.message")
    return typing.cast("tuple[type[Any], ...]", several)


# -- match --------------------------------------------------------------------------------------------------------------


def lower_match(scope: FunctionScope, node: ast.Match) -> None:
    """On a message, an integer or a bool."""
    if scope.refused(node.subject):
        scope.give_up()
    subject = expressions.lower(scope, node.subject)
    if len(node.cases) > MOST_CASES:
        scope.fail(
            node.cases[MOST_CASES].pattern,
            f"match has more than {MOST_CASES} cases",
            "match on a part of the number first",
        )
    if isinstance(subject, View) and isinstance(subject.shape, Struct):
        _cases(scope, node.subject, subject, node.cases)
        return
    if not isinstance(subject, Number):
        expr = scalar(scope, node.subject, subject)
        if expr.type.is_float:
            scope.fail(node.subject, f"found {describe(subject)}, need an integer or a bool", "compare floats with if")
        subject = Scalar(scope.freeze(expr))
    _cases(scope, node.subject, subject, node.cases)


def _cases(scope: FunctionScope, node: ast.expr, subject: Value, cases: list[ast.match_case]) -> None:
    if not cases:
        return
    first, line = cases[0], scope.line
    scope.line = first.pattern.lineno
    test: ir.Expr | None
    try:
        if scope.refused(first.pattern) or (first.guard is not None and scope.refused(first.guard)):
            scope.give_up()
        test = _pattern(scope, node, subject, first.pattern)
        if first.guard is not None and not (isinstance(test, ir.Const) and not test.value):
            test = expressions.short_circuit(scope, "and", test, lambda: _guard(scope, first))
    except Rejected:
        test = None

    def rest() -> None:
        _cases(scope, node, subject, cases[1:])

    branch(scope, test, lambda: statements.body(scope, first.body), rest)
    scope.line = line


def _guard(scope: FunctionScope, case: ast.match_case) -> ir.Expr:
    assert case.guard is not None
    return expressions.condition(scope, case.guard, "case")


def _pattern(scope: FunctionScope, node: ast.expr, subject: Value, pattern: ast.pattern) -> ir.Expr:
    """Whether the subject is what the pattern says."""
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and pattern.name is None:
        return ir.Const(Type.BOOL, True)
    if isinstance(pattern, ast.MatchOr):
        result: ir.Expr = ir.Const(Type.BOOL, False)
        for one in pattern.patterns:
            found = _pattern(scope, node, subject, one)
            if isinstance(found, ir.Const) or isinstance(result, ir.Const):
                result = found if isinstance(result, ir.Const) and not result.value else result
                result = found if isinstance(found, ir.Const) and found.value else result
            else:
                result = ir.Binary(Type.BOOL, BinaryOp.OR, result, found)
        return result
    if isinstance(pattern, ast.MatchClass) and not pattern.patterns and not pattern.kwd_patterns:
        return ir.Const(Type.BOOL, _class_of(scope, node, subject) in classes(scope, pattern.cls))
    if isinstance(subject, View):
        scope.fail(pattern, "a message is matched by its class", "write case A():, or case _:")
    if isinstance(pattern, ast.MatchValue):
        return compare(
            scope, pattern, ast.Eq(), (node, subject), (pattern.value, expressions.lower(scope, pattern.value))
        )
    if isinstance(pattern, ast.MatchSingleton) and isinstance(pattern.value, bool):
        expr = scalar(scope, node, subject)
        if expr.type is not Type.BOOL:
            scope.fail(pattern, f"found {describe(subject)}, need a bool", "match numbers with numbers")
        return expr if pattern.value else negate(expr)
    return scope.fail(pattern, "this pattern is not part of the language", "write a number, A() or _")


__all__ = ["attempt", "branch", "is_instance", "lower_if", "lower_match"]
