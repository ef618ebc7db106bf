"""for over arrays, enumerate() of them and constants: each becomes a loop over range() that reads the item first."""

from __future__ import annotations

import ast
import copy
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir import Type
from . import expressions, places
from .operators import default
from .scope import Object, ScalarVariable
from .types import source_of, spell, widest
from .values import Number, Scalar, Sequence, View, describe

if TYPE_CHECKING:
    from .scope import FunctionScope

MOST_CONSTANTS = 16  # in for x in (1, 2, 3): each turn looks for its own


def as_range(scope: FunctionScope, node: ast.For) -> ast.For:
    """The loop over range() that the loop means; a loop over range() as it is."""
    if _calls(node.iter, "range"):
        return node
    over, item, index = _parts(scope, node)
    text = item.id
    if index is None:
        index = ast.Name(_unused(scope, f"{text}_index"), ast.Store())
    read = ast.Name(index.id, ast.Load())
    if isinstance(over, (ast.Tuple, ast.List)):
        count, value = _constants(scope, over, item, read)
    else:
        count, value = _elements(scope, over, item, read)
    first = ast.Assign([ast.Name(text, ast.Store())], value)
    call = ast.Call(ast.Name("range", ast.Load()), [count], [])
    loop = ast.For(index, call, [first, *node.body], [])
    for new, like in ((index, node.target), (first, node.target), (call, node.iter)):
        for one in ast.walk(new):
            if not hasattr(one, "lineno"):
                ast.copy_location(one, like)
    return ast.copy_location(loop, node)


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _parts(scope: FunctionScope, node: ast.For) -> tuple[ast.expr, ast.Name, ast.Name | None]:
    """What is gone through, the name of the item, and that of its number."""
    if isinstance(node.target, ast.Name):
        return node.iter, node.target, None
    assert isinstance(node.iter, ast.Call)
    assert isinstance(node.target, ast.Tuple)
    index, item = node.target.elts
    assert isinstance(index, ast.Name)
    assert isinstance(item, ast.Name)
    _own(scope, node.iter, "enumerate", enumerate)
    return node.iter.args[0], item, index


def _own(scope: FunctionScope, node: ast.AST, name: str, builtin: object) -> None:
    if name in scope.stores or scope.source.resolve(name) is not builtin:
        scope.fail(node, f"{name} is not Python's own here", f"give the other {name} another name")


def _unused(scope: FunctionScope, name: str) -> str:
    found = next(
        one for one in itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2))) if scope.is_free(one)
    )
    scope.take(found)
    return found


def _constants(
    scope: FunctionScope, over: ast.Tuple | ast.List, item: ast.Name, index: ast.Name
) -> tuple[ast.expr, ast.expr]:
    """The first if the number is 0, else the second if it is 1, ..."""
    if not 1 <= len(over.elts) <= MOST_CONSTANTS:
        found = f"a loop over {len(over.elts)} constants, need 1 to {MOST_CONSTANTS}"
        scope.fail(over, found, "keep them in an array of the state: for x in state.table")
    for element in over.elts:
        value = expressions.lower(scope, element)
        if not isinstance(value, Number):
            hint = "write numbers, or go through an array"
            scope.fail(element, f"found {describe(value)}, need a constant", hint)
    floats = any(isinstance(getattr(expressions.lower(scope, one), "value", 0), float) for one in over.elts)
    _new_variable(scope, item, default(Number(0.0 if floats else 0)))
    choice = over.elts[-1]
    for number, element in reversed(list(enumerate(over.elts[:-1]))):
        test = ast.Compare(copy.copy(index), [ast.Eq()], [ast.Constant(number)])
        choice = ast.IfExp(test, element, choice)
    return ast.Constant(len(over.elts)), choice


def _elements(scope: FunctionScope, over: ast.expr, item: ast.Name, index: ast.Name) -> tuple[ast.expr, ast.expr]:
    """Array, Vec, Bytes and Ref; which one it is, is found once, before the loop."""
    view = expressions.lower(scope, over)
    if not isinstance(view, View) or not isinstance(view.shape, Sequence):
        number = isinstance(view, Scalar) and view.type.is_integer
        hint = f"write for {item.id} in range({source_of(over) if number else 'n'})"
        scope.fail(over, f"found {describe(view)}, need an array or range()", hint)
    if not _is_path(over):
        name = _unused(scope, f"{item.id}_array")
        fresh = view.fresh
        kept = replace(view, fresh=False, owner=name) if fresh else places.alias(scope, view)
        scope.variables[name] = Object(kept, own=fresh)
        scope.aliases.add(name)
        scope.assigned(name)
        over = ast.Name(name, ast.Load())
    if view.owner:
        scope.aliased.add(view.owner)
    _new_variable(scope, item, view.shape.element if isinstance(view.shape.element, Type) else None)
    if not view.shape.varies:
        return ast.Constant(view.shape.count), ast.Subscript(over, index, ast.Load())
    _own(scope, over, "len", len)
    return ast.Call(ast.Name("len", ast.Load()), [over], []), ast.Subscript(over, index, ast.Load())


def _is_path(node: ast.expr) -> bool:
    """It is always the same place."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_path(node.value))


def _new_variable(scope: FunctionScope, item: ast.Name, kind: Type | None) -> None:
    """A name that only loops use is a variable of its own in each; `kind` is None for a name of something in memory."""
    held = scope.variables.get(item.id)
    if item.id not in scope.loops_own:
        fits = (
            kind is not None and isinstance(held, ScalarVariable) and widest(held.local.type, kind) is held.local.type
        )
        if isinstance(held, ScalarVariable) and (held.stamp or not fits):
            found = "something in memory" if kind is None else spell(kind)
            message = f"{item.id} is {spell(held.local.type)}, and an element is {found}"
            scope.fail(item, message, "choose another name for the loop's variable")
        return
    if not isinstance(held, (Object, ScalarVariable)):
        return
    if isinstance(held, ScalarVariable) and held.local.type is kind:
        return
    if kind is not None and item.id in scope.locals:
        scope.declare_again(item.id, kind)
    else:
        del scope.variables[item.id]
