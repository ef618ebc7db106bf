"""Statements of a function as LLVM instructions: memory, branches, calls, errors and failure. Loops: llvm_loops.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..ir import (
    Barrier,
    Body,
    Break,
    Call,
    Continue,
    Copy,
    CountError,
    Fail,
    Fence,
    Function,
    If,
    Local,
    Return,
    SetLocal,
    Stmt,
    Store,
    Type,
    Zero,
)
from . import exprs as at
from .exprs import Expressions
from .facts import Definitions
from .text import ROOTS, TYPES, Writer, identifier, zero


@dataclass(frozen=True)
class Callee:
    """What a call needs to know of a function."""

    symbol: str
    result: Type | None
    weight: int | None


class Lowering(Expressions):
    """Writes one function's body. `leave` writes what a return is: in an entry, going on to the next message."""

    def __init__(
        self, writer: Writer, function: Function, callees: dict[str, Callee], leave: Callable[[str], None]
    ) -> None:
        locals_ = (*function.parameters, *function.locals)
        names = {local.name: "%" + identifier(index, local.name) for index, local in enumerate(locals_)}
        super().__init__(writer, names)
        self.function = function
        self.callees = callees
        self.weights = {name: callee.weight for name, callee in callees.items()}
        self.definitions = Definitions.of(function)
        self.leave = leave
        self.loops: list[tuple[str, str]] = []  # (where continue goes, where break goes), innermost last
        for local in locals_:
            writer.variable(names[local.name][1:], TYPES[local.type])

    def run(self) -> None:
        """The whole body, locals zeroed first; its end is a return."""
        for local in self.function.locals:
            self.w.effect(f"store {TYPES[local.type]} {zero(local.type)}, ptr {self.locals[local.name]}")
        self.body(self.function.body)
        if self.w.open:
            self.leave(self.nothing())

    def nothing(self) -> str:
        """The result of a function that fails, or that runs into its end."""
        return "" if self.function.result is None else zero(self.function.result)

    def body(self, body: Body) -> None:
        """Statements, up to the first that does not go on to the next."""
        for stmt in body:
            if not self.w.open:
                return
            _STATEMENTS[type(stmt)](self, stmt)

    def set(self, target: Local | None, value: str) -> None:
        """target = value"""
        if target is not None:
            self.w.effect(f"store {TYPES[target.type]} {value}, ptr {self.locals[target.name]}")

    def store_call(self, offset: int, value: int | str) -> None:
        """To a u32 of rk_call."""
        self.w.effect(f"store i32 {value}, ptr {self.call_field(offset)}, align 4")

    def fail(self, code: int, line: int) -> None:
        """The message fails; the function returns."""
        self.store_call(at.FAILED, _signed(code))
        self.store_call(at.FAIL_LINE, line)
        self.leave(self.nothing())


def _signed(code: int) -> int:
    return int(code) - (1 << 32) if code >= 1 << 31 else int(code)


def _set_local(s: Lowering, stmt: SetLocal) -> None:
    s.set(stmt.local, s.value(stmt.value))


def _store(s: Lowering, stmt: Store) -> None:
    pointer = s.address(stmt.place)
    s.store(stmt.value.type, s.value(stmt.value), pointer)


def _copy(s: Lowering, stmt: Copy) -> None:
    target, source = s.address(stmt.target), s.address(stmt.source)
    name = "llvm.memmove" if stmt.target.root is stmt.source.root else "llvm.memcpy"
    pointers = ("ptr", target), ("ptr", source)
    s.w.intrinsic(f"{name}.p0.p0.i64", "void", *pointers, ("i64", str(stmt.size)), ("i1", "false"))


def _zero(s: Lowering, stmt: Zero) -> None:
    zero_bytes(s.w, s.address(stmt.target), stmt.size)


def zero_bytes(w: Writer, pointer: str, size: int) -> None:
    """memset"""
    w.intrinsic("llvm.memset.p0.i64", "void", ("ptr", pointer), ("i8", "0"), ("i64", str(size)), ("i1", "false"))


def _if(s: Lowering, stmt: If) -> None:
    then, end = s.w.label("then"), s.w.label("end")
    otherwise = s.w.label("else") if stmt.otherwise else end
    s.w.branch(s.value(stmt.condition), then, otherwise, rare=_is_rare(stmt.then))
    s.w.begin(then)
    s.body(stmt.then)
    reached = not stmt.otherwise or s.w.open
    if stmt.otherwise:
        if s.w.open:
            s.w.jump(end)
        s.w.begin(otherwise)
        s.body(stmt.otherwise)
        reached = reached or s.w.open
    if reached:
        s.w.begin(end)


def _is_rare(body: Body) -> bool:
    return bool(body) and isinstance(body[0], (Fail, CountError))


def _break(s: Lowering, stmt: Break) -> None:
    s.w.jump(s.loops[-1][1])


def _continue(s: Lowering, stmt: Continue) -> None:
    s.w.jump(s.loops[-1][0])


def _return(s: Lowering, stmt: Return) -> None:
    s.leave(s.nothing() if stmt.value is None else s.value(stmt.value))


def _call(s: Lowering, stmt: Call) -> None:
    callee = s.callees[stmt.function]
    arguments = ["ptr %call", *(f"ptr {name}" for name in ROOTS.values()), *map(s.typed, stmt.arguments)]
    result = "void" if callee.result is None else TYPES[callee.result]
    call = f"call fastcc {result} {callee.symbol}({', '.join(arguments)})"
    if stmt.target is None or callee.result is None:
        s.w.effect(call)
    else:
        s.set(stmt.target, s.w.value(call))


def _count_error(s: Lowering, stmt: CountError) -> None:
    code = s.value(stmt.code)
    errors = s.w.value(f"load i32, ptr {s.call_field(at.ERRORS)}, align 4")
    s.store_call(at.ERRORS, s.w.value(f"add i32 {errors}, 1"))
    s.store_call(at.LAST_ERROR, code)
    s.store_call(at.ERROR_LINE, stmt.line)


def _fail(s: Lowering, stmt: Fail) -> None:
    s.fail(stmt.code, stmt.line)


def _nothing(s: Lowering, stmt: Barrier | Fence) -> None:
    """There is one thread."""


_STATEMENTS: dict[type[Any], Callable[[Any, Any], None]] = {
    SetLocal: _set_local,
    Store: _store,
    Copy: _copy,
    Zero: _zero,
    If: _if,
    Break: _break,
    Continue: _continue,
    Return: _return,
    Call: _call,
    CountError: _count_error,
    Fail: _fail,
    Barrier: _nothing,
    Fence: _nothing,
}


def register(kind: type[Stmt], write: Callable[[Any, Any], None]) -> None:
    """Says how a kind of statement is written; for the modules that go on with this one."""
    _STATEMENTS[kind] = write
