"""The allow-list of the language: the whole tree of a function is looked at before anything is made of it.

What is not allowed by name here is refused, also in branches that are never compiled. Types and names are not looked
at, but for what reads better when told early: builtins that cannot be called, decorators of others.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import math
from typing import TYPE_CHECKING, Any, NoReturn

from .. import device_functions, handlers
from . import refused
from .source import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .diagnostics import Diagnostics
    from .source import FunctionSource

MOST_DEPTH = 100
MOST_NODES = 10_000


def check_syntax(source: FunctionSource, diagnostics: Diagnostics) -> None:
    """Collects what the language does not have. Raises TranslationError at once for a tree too large or too deep."""
    _check_size(source, diagnostics)
    _Checker(source, diagnostics).function(source.node)


def _check_size(source: FunctionSource, diagnostics: Diagnostics) -> None:
    """Without recursion, so that what follows may use it."""

    def too_much(node: ast.AST, message: str) -> NoReturn:
        diagnostics.add(node, message, "split the function into device functions")
        diagnostics.raise_if_any(source.name)
        raise AssertionError("unreachable: an error was added")

    nodes: list[tuple[ast.AST, int, ast.AST]] = [(source.node, 1, source.node)]
    for count, (node, depth, parent) in enumerate(nodes, 1):
        placed = node if isinstance(node, (ast.stmt, ast.expr)) else parent
        if depth > MOST_DEPTH:
            too_much(placed, f"this is nested more than {MOST_DEPTH} deep")
        if count > MOST_NODES:
            too_much(source.node, f"the function has more than {MOST_NODES} nodes")
        nodes.extend((child, depth + 1, placed) for child in ast.iter_child_nodes(node))


def _ours(value: object) -> bool:
    """rk.kernel, rk.device, what rk.kernel(...) returns, or a partial of these."""
    while isinstance(value, functools.partial):
        value = value.func
    made_here = inspect.isfunction(value) and value.__module__ == handlers.__name__
    return value is device_functions.device or made_here


class _Checker:
    """A method for each statement and expression that is allowed; what has none is refused."""

    def __init__(self, source: FunctionSource, diagnostics: Diagnostics) -> None:
        self._source = source
        self._locals = frozenset(source.function.__code__.co_varnames)
        self._diagnostics = diagnostics
        self._add = diagnostics.add

    def _refuse(self, node: ast.AST, text: tuple[str, str]) -> None:
        self._add(node, *text)

    # -- the function

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """The whole of it."""
        if isinstance(node, ast.AsyncFunctionDef):
            self._refuse(node, refused.STATEMENTS["AsyncFunctionDef"])
        for decorator in node.decorator_list:
            self._decorator(decorator)
        for parameter in getattr(node, "type_params", []):
            self._add(
                parameter, "a generic function cannot be compiled", "annotate with the types that it is used with"
            )
        self._arguments(node.args)
        first = node.body[0]
        has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        has_docstring = has_docstring and isinstance(first.value.value, str)  # type: ignore[attr-defined]
        self._body(node.body[1:] if has_docstring else node.body)

    def _decorator(self, node: ast.expr) -> None:
        path = node.func if isinstance(node, ast.Call) else node
        first = path
        while isinstance(first, ast.Attribute):
            first = first.value
        if isinstance(first, ast.Name) and self._source.resolve(first.id) is MISSING:
            return  # a local of where the function is made: one that wraps the function is found by its __wrapped__
        if not _ours(self._source.resolve_path(path)):
            self._add(node, "only @rk.kernel and @rk.device can decorate compiled functions", "remove this decorator")

    def _arguments(self, args: ast.arguments) -> None:
        if args.vararg is not None:
            self._add(args.vararg, "*args cannot be compiled", "name each parameter")
        if args.kwarg is not None:
            self._add(args.kwarg, "**kwargs cannot be compiled", "name each parameter")
        for one in args.kwonlyargs:
            self._add(one, "keyword-only parameters cannot be compiled", "write it before the *")
        for default in [*args.defaults, *(d for d in args.kw_defaults if d is not None)]:
            self._add(default, "defaults of parameters cannot be compiled", "give the value where it is called")

    # -- statements

    def _body(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        name = type(node).__name__
        check = getattr(self, f"_stmt_{name.lower()}", None)
        if check is not None:
            check(node)
            return
        self._refuse(node, refused.STATEMENTS.get(name, (f"{name} cannot be compiled", "")))
        if name in ("Try", "TryStar", "With", "AsyncWith", "AsyncFor"):  # the inside is likely to stay
            self._body(getattr(node, "body", []))

    def _stmt_pass(self, node: ast.Pass) -> None: ...
    def _stmt_break(self, node: ast.Break) -> None: ...
    def _stmt_continue(self, node: ast.Continue) -> None: ...

    def _stmt_return(self, node: ast.Return) -> None:
        if node.value is not None and not _is_none(node.value):
            self._expr(node.value)

    def _stmt_expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            self._add(node, "text is no statement", "write a comment: # ...")
        elif isinstance(node.value, ast.Constant) and node.value.value is Ellipsis:
            self._add(node, "... cannot be compiled", "write pass")
        elif isinstance(node.value, ast.Call) or type(node.value).__name__ in refused.EXPRESSIONS:
            self._expr(node.value)
        else:
            self._add(node, "this statement does nothing", "assign the value, or remove it")

    def _stmt_assert(self, node: ast.Assert) -> None:
        self._expr(node.test)
        if node.msg is not None and not _is_text(node.msg):
            self._add(node.msg, "the text of an assert is a literal", 'write assert x > 0, "x is positive"')

    def _stmt_if(self, node: ast.If) -> None:
        while True:  # a chain of elif is no nesting
            self._expr(node.test)
            self._body(node.body)
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            node = node.orelse[0]
        self._body(node.orelse)

    def _stmt_while(self, node: ast.While) -> None:
        self._expr(node.test)
        self._body(node.body)
        self._no_else(node)

    def _stmt_for(self, node: ast.For) -> None:
        self._loop_target(node)
        over = node.iter
        callee = over.func.id if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) else ""
        if callee == "enumerate" and isinstance(over, ast.Call):
            if len(over.args) == 1 and not over.keywords:
                over = over.args[0]
            else:
                self._add(over, "enumerate() counts from 0 here", "write for i, x in enumerate(v), and add to i")
                over = ast.Tuple([], ast.Load())
        if isinstance(over, (ast.Tuple, ast.List)):
            for element in over.elts:
                self._expr(element)
        elif callee == "range" or isinstance(over, (ast.Name, ast.Attribute, ast.Subscript)):
            self._expr(over)
        else:
            hint = refused.BUILTINS.get(callee, "write for i in range(n), or for x in v")
            self._add(over, "a loop goes over range(), an array or enumerate() of one", hint)
        self._body(node.body)
        self._no_else(node)

    def _loop_target(self, node: ast.For) -> None:
        """i, or i, x of enumerate()."""
        enumerates = isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name)
        if enumerates and isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name):
            enumerates = node.iter.func.id == "enumerate"
        parts = node.target.elts if isinstance(node.target, ast.Tuple) else []
        if enumerates and not (len(parts) == 2 and all(isinstance(one, ast.Name) for one in parts)):
            self._add(node.target, "enumerate() gives a number and an element", "write for i, x in enumerate(v)")
        elif not enumerates and not isinstance(node.target, ast.Name):
            self._add(node.target, "a loop has one variable", "write for i in range(n), or for i, x in enumerate(v)")

    def _no_else(self, node: ast.For | ast.While) -> None:
        if node.orelse:
            self._add(node.orelse[0], "else of a loop cannot be compiled", "set a flag before break, and test it")
            self._body(node.orelse)

    def _stmt_assign(self, node: ast.Assign) -> None:
        known = len(self._diagnostics)
        for target in node.targets:
            self._target(target, node.value)
        if len(self._diagnostics) > known:
            return
        if any(isinstance(target, ast.Name) for target in node.targets):
            self._local_value(node.value)
        elif isinstance(node.value, ast.Tuple) and all(isinstance(t, ast.Tuple) for t in node.targets):
            for element in node.value.elts:
                self._expr(element)
        else:
            self._value(node.value)

    def _target(self, node: ast.expr, value: ast.expr) -> None:
        """What is assigned to, in a plain assignment."""
        if not isinstance(node, ast.Tuple):
            self._single_target(node)
        elif any(isinstance(element, ast.Starred) for element in node.elts):
            self._add(node, *refused.EXPRESSIONS["Starred"])
        elif isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)):
            for element in node.elts:
                self._single_target(element)
        elif not isinstance(value, ast.Tuple):
            called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
            hint = refused.BUILTINS["divmod"] if called == "divmod" else "write a, b = x, y"
            self._add(node, "only a tuple or an array can be taken apart", hint)
        elif len(value.elts) != len(node.elts):
            found = f"found {len(value.elts)} values for {len(node.elts)} targets"
            self._add(node, found, "write as many values as targets")
        else:
            for element in node.elts:
                self._single_target(element)

    def _single_target(self, node: ast.expr) -> None:
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            self._expr(node)
        elif not isinstance(node, ast.Name):
            self._add(node, "this cannot be assigned to", "write a, b = x, y with names, fields or elements")

    def _local_value(self, node: ast.expr) -> None:
        if isinstance(node, ast.List):
            self._refuse(node, refused.LOCAL_LIST)
        else:
            self._expr(node)

    def _stmt_annassign(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name):
            self._add(node.target, "only a local can be annotated", "a field has the type of its class")
        if node.value is not None:
            self._local_value(node.value)

    def _stmt_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.MatMult):
            self._refuse(node, refused.OPERATORS["MatMult"])
            return
        self._single_target(node.target)
        self._expr(node.value)

    def _stmt_match(self, node: ast.Match) -> None:
        self._expr(node.subject)
        for case in node.cases:
            self._pattern(case.pattern)
            if case.guard is not None:
                self._expr(case.guard)
            self._body(case.body)

    def _pattern(self, node: ast.pattern) -> None:
        name = type(node).__name__
        if isinstance(node, ast.MatchOr):
            for one in node.patterns:
                self._pattern(one)
        elif isinstance(node, ast.MatchValue):
            self._expr(node.value)
        elif isinstance(node, ast.MatchSingleton):
            if node.value is None:
                self._refuse(node, refused.NONE)
        elif isinstance(node, ast.MatchClass):
            if node.patterns or node.kwd_patterns:
                self._add(node, "fields cannot be matched", "write case A(): and read msg.x in it")
        elif isinstance(node, ast.MatchAs):
            if node.name is not None:
                self._add(node, "a name cannot be captured", "write case _: and use the value that was matched")
        else:
            self._refuse(node, refused.PATTERNS.get(name, (f"{name} cannot be compiled", "")))

    # -- expressions

    def _value(self, node: ast.expr) -> None:
        """Where an array may be given: what is assigned, and arguments. So a list and bytes are allowed too."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List):
            self._value(node.left)  # [x] * n
            self._expr(node.right)
        elif isinstance(node, ast.List):
            for element in node.elts:
                self._expr(element)
        elif not _is_bytes(node):
            self._expr(node)

    def _expr(self, node: ast.expr) -> None:
        name = type(node).__name__
        check = getattr(self, f"_expr_{name.lower()}", None)
        if check is not None:
            check(node)
        else:
            self._refuse(node, refused.EXPRESSIONS.get(name, (f"{name} cannot be compiled", "")))

    def _expr_name(self, node: ast.Name) -> None: ...

    def _expr_list(self, node: ast.List) -> None:
        self._refuse(node, refused.LIST)

    def _expr_tuple(self, node: ast.Tuple) -> None:
        self._refuse(node, refused.TUPLE)

    def _expr_constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, str):
            self._refuse(node, refused.TEXT)
        elif isinstance(value, bytes):
            self._refuse(node, refused.BYTES)
        elif isinstance(value, complex):
            self._add(node, "complex numbers cannot be compiled", refused.BUILTINS["complex"])
        elif value is None:
            self._refuse(node, refused.NONE)
        elif value is Ellipsis:
            self._add(node, "... cannot be compiled", "write the value")
        elif isinstance(value, int) and value >= 2**64:
            self._add(node, "this number has more than 64 bits", "the largest is 2**64 - 1")
        elif isinstance(value, float) and math.isinf(value):
            self._add(node, "this number is too large for f64", "write math.inf for infinity")

    def _expr_attribute(self, node: ast.Attribute) -> None:
        self._expr(node.value)

    def _expr_subscript(self, node: ast.Subscript) -> None:
        self._expr(node.value)
        if isinstance(node.slice, ast.Tuple):
            self._add(node.slice, "an array has one index", "compute it: data[row * columns + column]")
        else:
            self._expr(node.slice)

    def _expr_binop(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.MatMult):
            self._refuse(node, refused.OPERATORS["MatMult"])
            return
        self._expr(node.left)
        self._expr(node.right)

    def _expr_unaryop(self, node: ast.UnaryOp) -> None:
        self._expr(node.operand)

    def _expr_boolop(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self._expr(value)

    def _expr_ifexp(self, node: ast.IfExp) -> None:
        for part in (node.body, node.test, node.orelse):
            self._expr(part)

    def _expr_compare(self, node: ast.Compare) -> None:
        last = node.comparators[-1]
        several = isinstance(last, (ast.Tuple, ast.List)) and last.elts
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)) and (several or _is_bytes(last)):
            for operand in [node.left, *(last.elts if isinstance(last, (ast.Tuple, ast.List)) else [])]:
                self._expr(operand)
            return
        bad = [type(op).__name__ for op in node.ops if type(op).__name__ in refused.OPERATORS]
        if bad:
            self._refuse(node, refused.OPERATORS[bad[0]])
            return
        for operand in [node.left, *node.comparators]:
            self._expr(operand)

    def _expr_call(self, node: ast.Call) -> None:
        if not self._callee(node):
            return
        is_type_test = isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        for argument in node.args[:1] if is_type_test else node.args:  # the classes are names or a tuple of names
            self._argument(argument)
        for keyword in node.keywords:
            if keyword.arg is None:
                self._add(keyword.value, "** cannot be compiled", "write each keyword")
            else:
                self._argument(keyword.value)

    def _callee(self, node: ast.Call) -> bool:
        """True when the arguments are worth looking at."""
        func = node.func
        if isinstance(func, ast.Name):
            hint = refused.BUILTINS.get(func.id)
            is_builtin = func.id not in self._locals and self._source.resolve(func.id) is vars(builtins).get(func.id, 0)
            if hint is not None and is_builtin:
                if func.id in ("int", "float") and len(node.args) == 1 and not _is_text(node.args[0]):
                    hint = f"name the width: rk.{func.id[0]}32({ast.unparse(node.args[0])})"
                self._add(node, f"{func.id}() cannot be compiled", hint)
                return False
        elif isinstance(func, ast.Attribute):
            return self._callee_attribute(func)
        elif type(func).__name__ in refused.EXPRESSIONS:
            self._expr(func)
            return False
        else:
            self._add(func, "only what has a name can be called", "write f(x), ctx.now() or math.sqrt(x)")
            return False
        return True

    def _callee_attribute(self, func: ast.Attribute) -> bool:
        """Methods of literals are told as what they are; others are for the types to say."""
        if _is_text(func.value):
            self._refuse(func, refused.TEXT)
            return False
        self._expr(func.value)
        return True

    def _argument(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if any("\ud800" <= character <= "\udfff" for character in node.value):
                self._add(node, "this text is not valid Unicode", "it has half of a surrogate pair")
        elif not _is_none(node):
            self._value(node)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_bytes(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bytes)


def _is_none(node: Any) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
