"""The text of programs: readable, the same in every process, and different where programs are."""

from __future__ import annotations

import math
import struct
from dataclasses import fields, replace

import pytest
from programs import at, collatz, const, everything, function, i32, load, local, one, operation, sums, u32

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import (
    AtomicOp,
    BinaryOp,
    CompareOp,
    QueryName,
    Root,
    Scope,
    Service,
    Type,
    UnaryOp,
    WarpOp,
)
from pyringkernel.compiler.printer import expression, to_text

X, Y = local("x"), local("y", Type.U32)
FRAME, STATE = at(Root.FRAME, 0), at(Root.STATE, 0)

SUMS = """\
program made version 2
state 16 frame 0 shared 0 bytes
block 1 checked
features i64
target 0 'host'
target 1 'next'
topic 0 'news'
reply 0x22220001 8 bytes
reply 0x22220002 16 bytes

    9 | entry reads Ask 0x11110001 16 bytes: def handle() may fail:
      |     local i: u32
      |     local n: i32
   10 |     for i in 0u32 step 1u32 count 4u32:
   11 |         n = i32[message + i * 4]
   12 |         i64[state + 0] = (i64[state + 0] + i64(n))
   13 |     if (i32[message + 4] == 0i32):
   13 |         count error 4294901761u32
   13 |     i32[state + 8] = (i32[message + 0] // i32[message + 4])
   14 |     reply 0x22220001 8 bytes[state + 0]
"""


def test_a_whole_program():
    assert ir.IR_VERSION == 2  # it is in the text below
    assert to_text(sums()) == SUMS


def test_the_text_does_not_depend_on_the_order_of_sets():
    names = ["i64", "warp", "f16", "sin", "send", "atomics"]
    texts = {to_text(replace(sums(), features=frozenset(order))) for order in (names, names[::-1])}
    assert len(texts) == 1


EXPRESSIONS = {
    const(Type.BOOL, True): "True",
    const(Type.I8, -5): "-5i8",
    const(Type.F32, -0.0): "-0.0f32",
    const(Type.F64, 1e300): "1e+300f64",
    const(Type.F16, math.inf): "inff16",
    const(Type.F64, struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]): "nan:7ff8000000000001f64",
    const(Type.U32, ir.ErrorCode.INDEX): "4294901762u32",
    X: "x",
    local("not a name"): "'not a name'",
    local("if"): "'if'",
    local("True"): "'True'",
    local("ctx.failed"): "'ctx.failed'",
    load(Type.BOOL, Root.STATE, 0): "bool[state + 0]",
    load(Type.F32, Root.MESSAGE, 8, (Y, 4), (u32(2), 1)): "f32[message + 8 + y * 4 + 2u32 * 1]",
    ir.Unary(Type.I32, UnaryOp.NEG, X): "(-x)",
    ir.Unary(Type.BOOL, UnaryOp.NOT, const(Type.BOOL, False)): "(not False)",
    ir.Unary(Type.F32, UnaryOp.SIN, const(Type.F32, 0.5)): "sin(0.5f32)",
    ir.Binary(Type.I32, BinaryOp.SHR, X, i32(1)): "(x >> 1i32)",
    ir.Binary(Type.F32, BinaryOp.HYPOT, *[const(Type.F32, 2.0)] * 2): "hypot(2.0f32, 2.0f32)",
    ir.Compare(CompareOp.GE, X, i32(1)): "(x >= 1i32)",
    ir.Select(Type.I32, const(Type.BOOL, True), X, i32(1)): "(x if True else 1i32)",
    ir.Cast(Type.U8, X): "u8(x)",
    ir.Bitcast(Type.F32, Y): "bits.f32(y)",
    ir.TripCount(Type.U32, X, X, i32(1)): "trip_count.u32(x, x, 1i32)",
    ir.Test(ir.TestOp.IS_INF, const(Type.F32, 2.0)): "is_inf(2.0f32)",
    ir.Query(QueryName.THREAD_ID): "ctx.thread_id",
}  # fmt: skip


@pytest.mark.parametrize(("node", "text"), EXPRESSIONS.items(), ids=EXPRESSIONS.values())
def test_expressions(node, text):
    assert expression(node) == text
    assert f" = {text}\n" in to_text(operation(node))


STATEMENTS = {
    ir.Copy(FRAME, STATE, 8): "8 bytes[frame + 0] = [state + 0]",
    ir.Zero(FRAME, 8): "8 bytes[frame + 0] = 0",
    ir.Loop((ir.Break(),)): "loop:",
    ir.Fail(ir.ErrorCode.ASSERTION): "fail 0xffff0101",
    ir.Call(X, "f", (X, i32(1))): "x = call f(x, 1i32)",
    ir.Call(None, "f g", ()): "call 'f g'()",
    ir.Send(1, 7, FRAME, 8, Y, None, const(Type.F64, 0.5)): "send 0x00000007 8 bytes[frame + 0] to 1 instance y deadline 0.5f64",
    ir.Send(1, 7, FRAME, 8, None, Y): "send 0x00000007 8 bytes[frame + 0] to 1 priority y",
    ir.Publish(Y, 0, 7, FRAME, 8, True): "y = publish 0x00000007 8 bytes[frame + 0] on 0 retain",
    ir.Publish(None, 0, 7, FRAME, 8): "publish 0x00000007 8 bytes[frame + 0] on 0",
    ir.CallService(None, Service.FREE_SLOTS, (u32(1),)): "service free_slots(1u32)",
    ir.Atomic(X, AtomicOp.CAS, Type.I32, STATE, i32(1), i32(2)): "x = atomic cas i32[state + 0], 1i32 if 2i32",
    ir.Atomic(None, AtomicOp.ADD, Type.I32, STATE, X): "atomic add i32[state + 0], x",
    ir.Barrier(Scope.WARP): "barrier warp",
    ir.Fence(Scope.SYSTEM): "fence system",
    ir.Warp(X, WarpOp.SHUFFLE_UP, X, Y): "x = warp shuffle_up x, y",
    ir.Return(X): "return x",
}  # fmt: skip


@pytest.mark.parametrize(("stmt", "text"), STATEMENTS.items(), ids=STATEMENTS.values())
def test_statements(stmt, text):
    lines = to_text(one([replace(stmt, line=123)])).splitlines()
    assert f"  123 |     {text}" in lines


def test_the_else_of_an_if():
    stmt = ir.If(
        const(Type.BOOL, True),
        (ir.Return(None, 5),),
        (ir.If(const(Type.BOOL, False), (ir.Return(None, 7),), (), 6),),
        4,
    )
    assert to_text(one([stmt])).endswith(
        "    4 |     if True:\n    5 |         return\n      |     else:\n    6 |         if False:\n    7 |             return\n"
    )


@pytest.mark.parametrize("make", [sums, collatz, everything])
def test_every_change_of_a_node_changes_the_text(make):
    """Each field of each statement and expression, one after the other."""
    made = make()
    text = to_text(made)
    changes = list(changed(made))
    assert len(changes) > 50
    for path, other in changes:
        if not path.endswith((".file", ".checked")):
            assert to_text(other) != text, path
    assert to_text(replace(made, checked=False)) != text


def changed(node, path="program"):
    """(where, the same but for one leaf) for all leaves."""
    for item in fields(node):
        value = getattr(node, item.name)
        for where, other in others(value, f"{path}.{item.name}"):
            yield where, replace(node, **{item.name: other})


def others(value, path):
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            for where, other in others(item, f"{path}[{index}]"):
                yield where, (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, Type):
        return  # an expression's type follows from its parts; those of locals are below
    elif isinstance(value, (Root, UnaryOp, BinaryOp, CompareOp, AtomicOp, WarpOp, Scope, QueryName)):
        yield path, next(other for other in type(value) if other is not value)
    elif isinstance(value, (int, float)):
        yield path, value + 1
    elif isinstance(value, str):
        yield path, value + "_"
    elif isinstance(value, frozenset):
        yield path, value | {"another"}
    elif hasattr(value, "__dataclass_fields__"):
        yield from changed(value, path)


def test_types_of_locals_parameters_and_results_are_in_the_text():
    plain = function("f", [], parameters=[X], result=Type.I32, locals=[Y])
    other = [
        replace(plain, parameters=(local("x", Type.I64),)),
        replace(plain, locals=(local("y", Type.U64),)),
        replace(plain, result=Type.I64),
        replace(plain, result=None),
    ]
    texts = {to_text(replace(sums(), functions=(made,))) for made in [plain, *other]}
    assert len(texts) == 5


def test_where_the_source_lies_is_not_in_the_text():
    assert to_text(one([], file="a.py")) == to_text(one([], file="b.py"))
