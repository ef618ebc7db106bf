"""Small programs by hand: every operation of ir.py on operands from the message, with a reply that has all the results."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from typing import Any

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import BinaryOp, CompareOp, Place, Root, TestOp, Type, UnaryOp

REPLY, MESSAGE = 0x51, 0x52
CODES = dict(zip(Type, "?bhiqBHIQefd", strict=True))
INTEGERS = [kind for kind in Type if kind.is_integer]
FLOATS = [kind for kind in Type if kind.is_float]

_BITS = (UnaryOp.POPCOUNT, UnaryOp.CLZ, UnaryOp.CTZ)
_EXACT = (UnaryOp.FLOOR, UnaryOp.CEIL, UnaryOp.TRUNC, UnaryOp.SQRT)
ELEMENTARY = list(UnaryOp)[list(UnaryOp).index(UnaryOp.SIN) :]
ELEMENTARY_PAIRS = [BinaryOp.ATAN2, BinaryOp.POW, BinaryOp.HYPOT]


def at(root: Root, offset: int, *terms: ir.Term) -> Place:
    return Place(root, offset, terms)


def const(kind: Type, value: bool | int | float) -> ir.Const:
    return ir.Const(kind, value)


def function(*body: ir.Stmt, locals_: tuple[ir.Local, ...] = (), may_fail: bool = True) -> ir.Function:
    return ir.Function("handler", (), None, locals_, body, may_fail)


def program(handler: ir.Function, *functions: ir.Function, **changes: Any) -> ir.Program:
    """One entry, with 16 bytes of payload unless `size` says otherwise."""
    size, writes = changes.pop("size", 16), changes.pop("writes_message", False)
    given: dict[str, Any] = {
        "name": "handler", "entries": (ir.Entry("Message", MESSAGE, size, writes, handler),), "functions": functions,
        "state_size": 64, "frame_size": 64, "shared_size": 0, "targets": ("host",), "topics": (), "features": frozenset(),
    }  # fmt: skip
    return ir.Program(**(given | changes))


def pack(kind: Type, value: bool | int | float) -> bytes:
    return struct.pack("<" + CODES[kind], value)


@dataclass
class Results:
    """A program that replies with the values of expressions."""

    program: ir.Program
    kinds: list[Type]
    names: list[str]

    @property
    def floats(self) -> dict[str | int, list[tuple[int, Type]]]:
        return {REPLY: [(8 * index, kind) for index, kind in enumerate(self.kinds) if kind.is_float]}


def replying(named: list[tuple[str, ir.Expr]], size: int = 16) -> Results:
    frame = 8 * len(named)
    stores = [ir.Store(at(Root.FRAME, 8 * index), node) for index, (_, node) in enumerate(named)]
    body = (ir.Zero(at(Root.FRAME, 0), frame), *stores, ir.Reply(REPLY, at(Root.FRAME, 0), frame))
    made = program(function(*body), frame_size=frame, size=size)
    return Results(made, [node.type for _, node in named], [name for name, _ in named])


def exact_of(kind: Type, a: ir.Expr, b: ir.Expr) -> list[tuple[str, ir.Expr]]:
    """Every operation on this type whose result is one value."""
    if kind is Type.BOOL:
        unary, binary = [UnaryOp.NOT], [BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR]
    elif kind.is_integer:
        unary = [UnaryOp.NEG, UnaryOp.INVERT, UnaryOp.ABS, *(() if kind.is_signed else _BITS)]
        skip = (BinaryOp.TRUEDIV, BinaryOp.COPYSIGN, BinaryOp.FMOD, *ELEMENTARY_PAIRS)
        binary = [op for op in BinaryOp if op not in skip]
    else:
        unary = [UnaryOp.NEG, UnaryOp.ABS, *_EXACT]
        binary = [
            BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.TRUEDIV, BinaryOp.MIN, BinaryOp.MAX, BinaryOp.COPYSIGN,
            BinaryOp.FMOD,
        ]  # fmt: skip
    found: list[tuple[str, ir.Expr]] = [(op.value, ir.Unary(kind, op, a)) for op in unary]
    found += [(op.value, ir.Binary(kind, op, a, b)) for op in binary]
    ordered = [CompareOp.EQ, CompareOp.NE] if kind is Type.BOOL else list(CompareOp)
    found += [(op.value, ir.Compare(op, a, b)) for op in ordered]
    found += [(op.value, ir.Test(op, a)) for op in TestOp if kind.is_float]
    found += [(f"to {to.text}", ir.Cast(to, a)) for to in Type if to is not kind]
    found += [
        (f"bits as {to.text}", ir.Bitcast(to, a))
        for to in Type
        if to is not kind and to.size == kind.size and Type.BOOL not in (to, kind)
    ]
    found.append(("select", ir.Select(kind, ir.Compare(CompareOp.EQ, a, b), b, a)))
    if kind in (Type.I32, Type.I64, Type.U32, Type.U64):
        counts = Type.U32 if kind.size == 4 else Type.U64
        found.append(("trip count", ir.TripCount(counts, a, b, const(kind, 3))))
        found.append(("trip count by a", ir.TripCount(counts, const(kind, 0), b, a)))
        found.append(("trip count to 9", ir.TripCount(counts, a, const(kind, 9), b)))
    return found


def edges_of(kind: Type) -> list[bool | int | float]:
    """Values at which something changes."""
    if kind is Type.BOOL:
        return [False, True]
    if kind.is_integer:
        low = -(1 << (kind.bits - 1)) if kind.is_signed else 0
        high = (1 << (kind.bits - (1 if kind.is_signed else 0))) - 1
        near = [0, 1, 2, 3, 7, -1, -2, -3, -7, low, low + 1, low // 2, high, high - 1, high // 2 + 1, kind.bits, 100]
        powers = [65519, 65520, 65535, (1 << 24) + 1, (1 << 25) + 2, (1 << 53) + 1, (1 << 62) + (1 << 38) + 1]
        return [value for value in dict.fromkeys([*near, *powers]) if low <= value <= high]
    digits, least, largest = {
        Type.F16: (11, 2.0**-24, 65504.0),
        Type.F32: (24, 2.0**-149, float.fromhex("0x1.fffffep127")),
        Type.F64: (53, 5e-324, float.fromhex("0x1.fffffffffffffp1023")),
    }[kind]
    ulp = 2.0 ** (1 - digits)
    values = [
        0.0, 0.5, 1.0, 1.0 + ulp, 1.5, 2.5, 3.0, 7.0, 127.5, 128.0, 255.5, 1000.0, 0.1, least, 3 * least, largest, math.inf,
        2.0**14 - 0.5, 2.0**15, 2.0**31, 2.0**32, 2.0**63, 2.0**64, 65519.99, 65520.0, 2.0**-25 * 1.0000001, 2.0**-14 * 0.9997,
    ]  # fmt: skip
    held = []
    for value in values:
        try:
            held.append(struct.unpack("<" + CODES[kind], struct.pack("<" + CODES[kind], value))[0])
        except OverflowError:
            continue
    return [*dict.fromkeys(held), *(-value for value in dict.fromkeys(held)), math.nan]


def pairs_of(kind: Type) -> list[tuple[bool | int | float, bool | int | float]]:
    return list(itertools.product(edges_of(kind), repeat=2))
