"""Expressions and places of a function as LLVM values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ir import (
    Binary,
    Bitcast,
    Cast,
    Compare,
    Const,
    Expr,
    Load,
    Local,
    Place,
    Query,
    QueryName,
    Select,
    Test,
    TripCount,
    Type,
    Unary,
)
from . import ops as ops
from .text import ROOTS, TYPES, Writer, constant

# Offsets in rk_call of ringkernel/compiled.h.
SERVICES, STATE, FRAME, SHARED, MESSAGE, SLOT, CANCEL, TASK = 0, 16, 24, 32, 40, 48, 56, 96
FAILED, FAIL_LINE, ERRORS, LAST_ERROR, ERROR_LINE, INSTANCE, KERNEL, LEAVE = 64, 68, 72, 76, 80, 84, 88, 92
HEADER_SIZE = 64


class Expressions:
    """Writes expressions. `locals`: the variable of each local's name."""

    def __init__(self, writer: Writer, locals_: dict[str, str]) -> None:
        self.w = writer
        self.locals = locals_
        self.far: set[str] = set()  # pointers into buffers

    def value(self, node: Expr) -> str:
        """An LLVM value, of TYPES[node.type]."""
        return _WRITERS[type(node)](self, node)

    def typed(self, node: Expr) -> str:
        """Type and value."""
        return f"{TYPES[node.type]} {self.value(node)}"

    def address(self, place: Place) -> str:
        """A pointer."""
        if place.base is not None:
            pointer = self.w.value(f"inttoptr i64 {self.value(place.base)} to ptr")
        else:
            pointer = ROOTS[place.root]
        offset = str(place.offset)
        flags = " nuw nsw" if place.offset >= 0 else ""
        for term in place.terms:
            index = self.w.value(f"zext i32 {self.value(term.index)} to i64")
            bytes_ = self.w.value(f"mul nuw nsw i64 {index}, {term.stride}") if term.stride != 1 else index
            offset = bytes_ if offset == "0" else self.w.value(f"add{flags} i64 {bytes_}, {offset}")
        if offset != "0":
            pointer = self.w.value(f"getelementptr inbounds i8, ptr {pointer}, i64 {offset}")
        if place.base is not None:
            self.far.add(pointer)
        return pointer

    def apart(self, pointer: str) -> str:
        """Says that buffers never overlap with the memories, where a program has both: an address in a message might
        lead anywhere, and nothing would stay in registers while a buffer is written to."""
        if not self.w.module.has_buffers:
            return ""
        return ", !alias.scope !5, !noalias !4" if pointer in self.far else ", !alias.scope !4, !noalias !5"

    def load(self, kind: Type, pointer: str) -> str:
        """The scalar at a pointer."""
        if kind is not Type.BOOL:
            return self.w.value(f"load {TYPES[kind]}, ptr {pointer}, align {kind.size}{self.apart(pointer)}")
        byte = self.w.value(f"load i8, ptr {pointer}, align 1")
        return self.w.value(f"icmp ne i8 {byte}, 0")

    def store(self, kind: Type, value: str, pointer: str) -> None:
        """The scalar to a pointer."""
        if kind is Type.BOOL:
            value = self.w.value(f"zext i1 {value} to i8")
        text = "i8" if kind is Type.BOOL else TYPES[kind]
        self.w.effect(f"store {text} {value}, ptr {pointer}, align {kind.size}{self.apart(pointer)}")

    # -- rk_call

    def call_field(self, offset: int) -> str:
        """A pointer into rk_call."""
        return self.w.fixed(f"call.{offset}", f"getelementptr inbounds i8, ptr %call, i64 {offset}")

    def call_constant(self, offset: int, kind: str) -> str:
        """What the runtime set in rk_call and never changes."""
        pointer = self.call_field(offset)
        return self.w.fixed(f"call.{offset}.value", f"load {kind}, ptr {pointer}, align 4, !invariant.load !0")

    def query(self, name: QueryName) -> str:
        """The value of a Query node: one thread, in a block and a grid of one."""
        if name is QueryName.FAILED:
            failed = self.w.value(f"load i32, ptr {self.call_field(FAILED)}, align 4")
            return self.w.value(f"icmp ne i32 {failed}, 0")
        if name in (QueryName.KERNEL_ID, QueryName.INSTANCE_ID):
            return self.call_constant(KERNEL if name is QueryName.KERNEL_ID else INSTANCE, "i32")
        return "1" if name in (QueryName.BLOCK_DIM, QueryName.GRID_DIM) else "0"


def _load(e: Expressions, node: Load) -> str:
    return e.load(node.type, e.address(node.place))


def _local(e: Expressions, node: Local) -> str:
    return e.w.value(f"load {TYPES[node.type]}, ptr {e.locals[node.name]}")


def _unary(e: Expressions, node: Unary) -> str:
    return ops.unary(e.w, node.op, node.type, e.value(node.operand))


def _test(e: Expressions, node: Test) -> str:
    return ops.test(e.w, node.op, node.operand.type, e.value(node.operand))


def _binary(e: Expressions, node: Binary) -> str:
    return ops.binary(e.w, node.op, node.type, e.value(node.left), e.value(node.right))


def _compare(e: Expressions, node: Compare) -> str:
    return ops.compare(e.w, node.op, node.left.type, e.value(node.left), e.value(node.right))


def _select(e: Expressions, node: Select) -> str:
    return e.w.value(f"select i1 {e.value(node.condition)}, {e.typed(node.then)}, {e.typed(node.otherwise)}")


def _cast(e: Expressions, node: Cast) -> str:
    return ops.cast(e.w, node.operand.type, node.type, e.value(node.operand))


def _bitcast(e: Expressions, node: Bitcast) -> str:
    return ops.bitcast(e.w, node.operand.type, node.type, e.value(node.operand))


def _trip_count(e: Expressions, node: TripCount) -> str:
    start, stop, step = e.value(node.start), e.value(node.stop), e.value(node.step)
    return ops.trip_count(e.w, node.type, node.start.type.is_signed, start, stop, step)


_WRITERS: dict[type[Any], Callable[[Expressions, Any], str]] = {
    Const: lambda e, node: constant(node),
    Local: _local,
    Load: _load,
    Unary: _unary,
    Test: _test,
    Binary: _binary,
    Compare: _compare,
    Select: _select,
    Cast: _cast,
    Bitcast: _bitcast,
    TripCount: _trip_count,
    Query: lambda e, node: e.query(node.name),
}
