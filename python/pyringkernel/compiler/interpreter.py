"""Runs a program by walking over it: slow, and what the language means. One thread, in a block and a grid of one.

A message that fails leaves the handler by an exception. That is the same as the returns that the language asks for, since
a caller does nothing but return when its callee has failed (see verify).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import ops
from .ir import (
    Atomic,
    Barrier,
    Binary,
    Bitcast,
    Break,
    Call,
    CallService,
    Cast,
    Compare,
    Const,
    Continue,
    Copy,
    CountError,
    Fail,
    Fence,
    For,
    Function,
    If,
    Load,
    Local,
    Loop,
    Publish,
    Query,
    Reply,
    Return,
    Select,
    Send,
    SetLocal,
    Store,
    Test,
    TripCount,
    Unary,
    Warp,
    Zero,
)
from .machine import Machine
from .services import Failed, Report

if TYPE_CHECKING:
    from .ir import Body, Expr, Place, Program, Root
    from .services import Services

_NEXT, _BREAK, _CONTINUE, _RETURN = range(4)  # how a body ends


class Interpreter:
    """A program (that `verify` accepts) to run. `fuel`: how many back edges of loops one message may take; the next
    one ends it as a cancellation does."""

    def __init__(self, program: Program, *, fuel: int | None = None, instance: int = 0, kernel: int = 0) -> None:
        self.program = program
        self.fuel = fuel
        self.instance = instance
        self.kernel = kernel
        self._functions = {function.name: function for function in program.functions}

    def run(self, entry: int, state: bytearray, slot: bytes | bytearray | memoryview, services: Services) -> Report:
        """Handles one message: 64 bytes of header and the payload, with the entry of that index."""
        who = (self.fuel, self.instance, self.kernel)
        machine = Machine(self.program, self.program.entries[entry], state, slot, services, *who)
        with contextlib.suppress(Failed):
            _Activation(self._functions, machine, self.program.entries[entry].function, ()).run()
        return machine.report


class _Activation:
    """A function at work: its locals."""

    def __init__(
        self, functions: dict[str, Function], machine: Machine, function: Function, arguments: tuple[Any, ...]
    ) -> None:
        self.functions = functions
        self.machine = machine
        self.function = function
        self.result: Any = None
        self.locals = {local.name: ops.zero_of(local.type) for local in function.locals}
        self.locals.update(zip((local.name for local in function.parameters), arguments, strict=True))

    def run(self) -> Any:
        self.body(self.function.body)
        return self.result

    def body(self, body: Body) -> int:
        for stmt in body:
            self.machine.memory.line = stmt.line
            end = _STATEMENTS[type(stmt)](self, stmt)
            if end:
                return end
        return _NEXT

    def value(self, node: Expr) -> Any:
        return _EXPRESSIONS[type(node)](self, node)

    def at(self, place: Place) -> tuple[Root, int]:
        """Root and address. The address does not wrap."""
        base = 0 if place.base is None else self.value(place.base)
        return place.root, base + place.offset + sum(self.value(term.index) * term.stride for term in place.terms)

    def assign(self, target: Local | None, value: Any) -> None:
        if target is not None:
            self.locals[target.name] = value


# -- expressions ------------------------------------------------------------------------------------------------------


def _unary(run: _Activation, node: Unary) -> Any:
    return ops.unary(node.op, node.type)(run.value(node.operand))


def _binary(run: _Activation, node: Binary) -> Any:
    return ops.binary(node.op, node.type)(run.value(node.left), run.value(node.right))


def _compare(run: _Activation, node: Compare) -> Any:
    return ops.compare(node.op)(run.value(node.left), run.value(node.right))


def _select(run: _Activation, node: Select) -> Any:
    # Both, as a target may: neither may do anything but have a value.
    then, otherwise = run.value(node.then), run.value(node.otherwise)
    return then if run.value(node.condition) else otherwise


def _trip_count(run: _Activation, node: TripCount) -> Any:
    return ops.trip_count(run.value(node.start), run.value(node.stop), run.value(node.step))


_EXPRESSIONS: dict[type[Any], Callable[[_Activation, Any], Any]] = {
    Const: lambda run, node: node.value,
    Local: lambda run, node: run.locals[node.name],
    Load: lambda run, node: run.machine.memory.load(node.type, *run.at(node.place)),
    Unary: _unary,
    Test: lambda run, node: ops.test(node.op)(run.value(node.operand)),
    Binary: _binary,
    Compare: _compare,
    Select: _select,
    Cast: lambda run, node: ops.cast(node.operand.type, node.type)(run.value(node.operand)),
    Bitcast: lambda run, node: ops.bitcast(node.operand.type, node.type)(run.value(node.operand)),
    TripCount: _trip_count,
    Query: lambda run, node: run.machine.query(node.name),
}


# -- statements -------------------------------------------------------------------------------------------------------


def _set_local(run: _Activation, stmt: SetLocal) -> int:
    run.locals[stmt.local.name] = run.value(stmt.value)
    return _NEXT


def _store(run: _Activation, stmt: Store) -> int:
    run.machine.memory.store(stmt.value.type, *run.at(stmt.place), run.value(stmt.value))
    return _NEXT


def _copy(run: _Activation, stmt: Copy) -> int:
    memory = run.machine.memory
    memory.write(*run.at(stmt.target), memory.read(*run.at(stmt.source), stmt.size))
    return _NEXT


def _zero(run: _Activation, stmt: Zero) -> int:
    run.machine.memory.write(*run.at(stmt.target), bytes(stmt.size))
    return _NEXT


def _if(run: _Activation, stmt: If) -> int:
    return run.body(stmt.then if run.value(stmt.condition) else stmt.otherwise)


def _loop(run: _Activation, stmt: Loop) -> int:
    end = _NEXT
    for _ in run.machine.turns(stmt.line):
        end = run.body(stmt.body)
        if end in (_BREAK, _RETURN):
            break
    return _RETURN if end == _RETURN else _NEXT


def _for(run: _Activation, stmt: For) -> int:
    start, step, count = run.value(stmt.start), run.value(stmt.step), run.value(stmt.count)
    for item in run.machine.items(stmt.variable.type, start, step, count, stmt.line):
        run.locals[stmt.variable.name] = item
        end = run.body(stmt.body)
        if end == _RETURN:
            return _RETURN
        if end == _BREAK:
            break
    return _NEXT


def _return(run: _Activation, stmt: Return) -> int:
    run.result = None if stmt.value is None else run.value(stmt.value)
    return _RETURN


def _call(run: _Activation, stmt: Call) -> int:
    arguments = tuple(run.value(argument) for argument in stmt.arguments)
    run.assign(stmt.target, _Activation(run.functions, run.machine, run.functions[stmt.function], arguments).run())
    return _NEXT


def _count_error(run: _Activation, stmt: CountError) -> int:
    run.machine.count_error(run.value(stmt.code), stmt.line)
    return _NEXT


def _fail(run: _Activation, stmt: Fail) -> int:
    run.machine.fail(stmt.code, stmt.line)
    return _NEXT


def _reply(run: _Activation, stmt: Reply) -> int:
    run.machine.reply(stmt.type_id, *run.at(stmt.payload), stmt.size, stmt.line)
    return _NEXT


def _send(run: _Activation, stmt: Send) -> int:
    instance = None if stmt.instance is None else run.value(stmt.instance)
    priority = None if stmt.priority is None else run.value(stmt.priority)
    deadline = None if stmt.deadline is None else run.value(stmt.deadline)
    root, address = run.at(stmt.payload)
    run.machine.send(stmt.target, stmt.type_id, root, address, stmt.size, instance, priority, deadline, stmt.line)
    return _NEXT


def _publish(run: _Activation, stmt: Publish) -> int:
    root, address = run.at(stmt.payload)
    got = run.machine.publish(stmt.topic, stmt.type_id, root, address, stmt.size, stmt.retain)
    run.assign(stmt.target, got)
    return _NEXT


def _call_service(run: _Activation, stmt: CallService) -> int:
    run.assign(stmt.target, run.machine.service(stmt.service, *(run.value(node) for node in stmt.arguments)))
    return _NEXT


def _atomic(run: _Activation, stmt: Atomic) -> int:
    root, address = run.at(stmt.place)
    expected = None if stmt.expected is None else run.value(stmt.expected)
    run.assign(stmt.target, run.machine.atomic(stmt.op, stmt.type, root, address, run.value(stmt.value), expected))
    return _NEXT


def _warp(run: _Activation, stmt: Warp) -> int:
    run.assign(stmt.target, run.machine.warp(stmt.op, run.value(stmt.value)))
    return _NEXT


def _nothing(run: _Activation, stmt: Barrier | Fence) -> int:
    return _NEXT  # there is one thread


_STATEMENTS: dict[type[Any], Callable[[_Activation, Any], int]] = {
    SetLocal: _set_local,
    Store: _store,
    Copy: _copy,
    Zero: _zero,
    If: _if,
    Loop: _loop,
    For: _for,
    Break: lambda run, stmt: _BREAK,
    Continue: lambda run, stmt: _CONTINUE,
    Return: _return,
    Call: _call,
    CountError: _count_error,
    Fail: _fail,
    Reply: _reply,
    Send: _send,
    Publish: _publish,
    CallService: _call_service,
    Atomic: _atomic,
    Barrier: _nothing,
    Fence: _nothing,
    Warp: _warp,
}
