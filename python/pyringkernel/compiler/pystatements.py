"""Functions and statements as Python trees, with the lines of the user's file."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import ir, ops
from .pyexpressions import MACHINE, MEMORY, Expressions, Names, local_name, method, read

if TYPE_CHECKING:
    from .ir import Body, Function, Local


def function_tree(function: Function, functions: dict[str, Function], names: Names) -> ast.stmt:
    """`def` with the machine as its first parameter. The lines that no statement has are the function's."""
    maker = _Statements(function, functions, names)
    begin: list[ast.stmt] = [_set(MEMORY, ast.Attribute(read(MACHINE), "memory", ast.Load()))]
    begin += [_set(local_name(local.name), ast.Constant(ops.zero_of(local.type))) for local in function.locals]
    body = [_at(stmt, function.line) for stmt in begin] + maker.body(function.body)
    parameters = [ast.arg(MACHINE), *(ast.arg(local_name(local.name)) for local in function.parameters)]
    # Parsed, and then filled: a FunctionDef has other fields in every version of Python.
    tree = ast.parse("def f(): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.name, tree.args.args, tree.body = function.name, parameters, body
    return _at(tree, function.line)


def _at(tree: ast.stmt, line: int) -> ast.stmt:
    """Gives the statement a position, and all in it down to other statements, which got theirs before."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if "lineno" in node._attributes:
            position = {"lineno": max(line, 1), "end_lineno": max(line, 1), "col_offset": 0, "end_col_offset": 0}
            vars(node).update(position)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    return tree


def _set(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


class _Statements(Expressions):
    """Trees of the statements of one function."""

    def __init__(self, function: Function, functions: dict[str, Function], names: Names) -> None:
        super().__init__(names)
        self.function = function
        self.functions = functions

    def body(self, body: Body) -> list[ast.stmt]:
        made = [_at(tree, stmt.line or self.function.line) for stmt in body for tree in _TREES[type(stmt)](self, stmt)]
        return made or [_at(ast.Pass(), self.function.line)]

    def gives(self, target: Local | None, call: ast.expr) -> list[ast.stmt]:
        return [ast.Expr(call) if target is None else _set(local_name(target.name), call)]

    def do(self, name: str, *arguments: ast.expr) -> list[ast.stmt]:
        """A call of the machine."""
        return [ast.Expr(method(MACHINE, name, *arguments))]


def _store(to: _Statements, stmt: ir.Store) -> list[ast.stmt]:
    kind = to.type_of(stmt.value.type)
    return [ast.Expr(method(MEMORY, "store", kind, *to.address(stmt.place), to.tree(stmt.value)))]


def _copy(to: _Statements, stmt: ir.Copy) -> list[ast.stmt]:
    data = method(MEMORY, "read", *to.address(stmt.source), ast.Constant(stmt.size))
    return [ast.Expr(method(MEMORY, "write", *to.address(stmt.target), data))]


def _zero(to: _Statements, stmt: ir.Zero) -> list[ast.stmt]:
    return [ast.Expr(method(MEMORY, "write", *to.address(stmt.target), ast.Constant(bytes(stmt.size))))]


def _if(to: _Statements, stmt: ir.If) -> list[ast.stmt]:
    if isinstance(stmt.condition, ir.Query) and stmt.condition.name is ir.QueryName.FAILED:
        return to.body(stmt.otherwise) if stmt.otherwise else []  # an exception has left the function
    otherwise = to.body(stmt.otherwise) if stmt.otherwise else []
    return [ast.If(to.tree(stmt.condition), to.body(stmt.then), otherwise)]


def _loop(to: _Statements, stmt: ir.Loop) -> list[ast.stmt]:
    turns = method(MACHINE, "turns", ast.Constant(stmt.line))
    return [ast.For(ast.Name("_rk_turn", ast.Store()), turns, to.body(stmt.body), [])]


def _for(to: _Statements, stmt: ir.For) -> list[ast.stmt]:
    begin = [to.tree(stmt.start), to.tree(stmt.step), to.tree(stmt.count), ast.Constant(stmt.line)]
    items = method(MACHINE, "items", to.type_of(stmt.variable.type), *begin)
    return [ast.For(ast.Name(local_name(stmt.variable.name), ast.Store()), items, to.body(stmt.body), [])]


def _call(to: _Statements, stmt: ir.Call) -> list[ast.stmt]:
    arguments = [read(MACHINE), *(to.tree(argument) for argument in stmt.arguments)]
    return to.gives(stmt.target, ast.Call(read(to.names.function(stmt.function)), arguments, []))


def _reply(to: _Statements, stmt: ir.Reply) -> list[ast.stmt]:
    payload = [*to.address(stmt.payload), ast.Constant(stmt.size)]
    return to.do("reply", ast.Constant(stmt.type_id), *payload, ast.Constant(stmt.line))


def _send(to: _Statements, stmt: ir.Send) -> list[ast.stmt]:
    payload = [*to.address(stmt.payload), ast.Constant(stmt.size)]
    options = [to.optional(stmt.instance), to.optional(stmt.priority), to.optional(stmt.deadline)]
    what = [ast.Constant(stmt.target), ast.Constant(stmt.type_id)]
    return to.do("send", *what, *payload, *options, ast.Constant(stmt.line))


def _publish(to: _Statements, stmt: ir.Publish) -> list[ast.stmt]:
    what = [ast.Constant(stmt.topic), ast.Constant(stmt.type_id), *to.address(stmt.payload)]
    call = method(MACHINE, "publish", *what, ast.Constant(stmt.size), ast.Constant(stmt.retain))
    return to.gives(stmt.target, call)


def _service(to: _Statements, stmt: ir.CallService) -> list[ast.stmt]:
    service = to.value(f"service_{stmt.service.text}", stmt.service)
    return to.gives(stmt.target, method(MACHINE, "service", service, *map(to.tree, stmt.arguments)))


def _atomic(to: _Statements, stmt: ir.Atomic) -> list[ast.stmt]:
    what = [to.value(f"atomic_{stmt.op.value}", stmt.op), to.type_of(stmt.type), *to.address(stmt.place)]
    return to.gives(stmt.target, method(MACHINE, "atomic", *what, to.tree(stmt.value), to.optional(stmt.expected)))


def _warp(to: _Statements, stmt: ir.Warp) -> list[ast.stmt]:
    op = to.value(f"warp_{stmt.op.value}", stmt.op)
    return to.gives(stmt.target, method(MACHINE, "warp", op, to.tree(stmt.value)))


def _fail(to: _Statements, stmt: ir.Fail) -> list[ast.stmt]:
    return to.do("fail", ast.Constant(int(stmt.code)), ast.Constant(stmt.line))


def _return(to: _Statements, stmt: ir.Return) -> list[ast.stmt]:
    return [ast.Return(None if stmt.value is None else to.tree(stmt.value))]


_TREES: dict[type[Any], Callable[[_Statements, Any], list[ast.stmt]]] = {
    ir.SetLocal: lambda to, stmt: [_set(local_name(stmt.local.name), to.tree(stmt.value))],
    ir.Store: _store,
    ir.Copy: _copy,
    ir.Zero: _zero,
    ir.If: _if,
    ir.Loop: _loop,
    ir.For: _for,
    ir.Break: lambda to, stmt: [ast.Break()],
    ir.Continue: lambda to, stmt: [ast.Continue()],
    ir.Return: _return,
    ir.Call: _call,
    ir.CountError: lambda to, stmt: to.do("count_error", to.tree(stmt.code), ast.Constant(stmt.line)),
    ir.Fail: _fail,
    ir.Reply: _reply,
    ir.Send: _send,
    ir.Publish: _publish,
    ir.CallService: _service,
    ir.Atomic: _atomic,
    ir.Barrier: lambda to, stmt: [ast.Pass()],  # there is one thread
    ir.Fence: lambda to, stmt: [ast.Pass()],
    ir.Warp: _warp,
}
