"""Programs made by hand, and short names to make them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyringkernel.compiler import ir
from pyringkernel.compiler.features import features_of
from pyringkernel.compiler.ir import BinaryOp, Compare, CompareOp, Const, Place, Program, Root, Type

if TYPE_CHECKING:
    from collections.abc import Sequence

ASK, ANSWER = 0x11110001, 0x22220001


def const(kind: Type, value: Any) -> Const:
    return Const(kind, value)


def u32(value: int) -> Const:
    return Const(Type.U32, value)


def i32(value: int) -> Const:
    return Const(Type.I32, value)


def local(name: str, kind: Type = Type.I32) -> ir.Local:
    return ir.Local(kind, name)


def add(left: ir.Expr, right: ir.Expr) -> ir.Binary:
    return ir.Binary(left.type, BinaryOp.ADD, left, right)


def less(left: ir.Expr, right: ir.Expr) -> Compare:
    return Compare(CompareOp.LT, left, right)


def at(root: Root, offset: int, *terms: tuple[ir.Expr, int]) -> Place:
    """at(Root.STATE, 8, (index, 4))"""
    return Place(root, offset, tuple(ir.Term(index, stride) for index, stride in terms))


def load(kind: Type, root: Root, offset: int, *terms: tuple[ir.Expr, int]) -> ir.Load:
    return ir.Load(kind, at(root, offset, *terms))


def function(
    name: str,
    body: Sequence[ir.Stmt],
    *,
    parameters: Sequence[ir.Local] = (),
    result: Type | None = None,
    locals: Sequence[ir.Local] = (),
    may_fail: bool = False,
    line: int = 1,
    file: str = "",
) -> ir.Function:
    return ir.Function(name, tuple(parameters), result, tuple(locals), tuple(body), may_fail, file, line)


def entry(main: ir.Function, *, size: int = 16, type_id: int = ASK, writes_message: bool = False) -> ir.Entry:
    return ir.Entry("Ask", type_id, size, writes_message, main)


def program(
    entries: Sequence[ir.Entry],
    functions: Sequence[ir.Function] = (),
    *,
    state: int = 0,
    frame: int = 0,
    shared: int = 0,
    **more: Any,
) -> Program:
    """With the features that it has, and replies of 8 and 16 bytes."""
    made = Program(
        name="made",
        entries=tuple(entries),
        functions=tuple(functions),
        state_size=state,
        frame_size=frame,
        shared_size=shared,
        targets=more.pop("targets", ("host", "next")),
        topics=more.pop("topics", ("news",)),
        features=frozenset(),
        replies=more.pop("replies", ((ANSWER, 8), (ANSWER + 1, 16))),
        **more,
    )
    return ir.Program(**{**vars(made), "features": features_of(made)})


def one(body: Sequence[ir.Stmt], **more: Any) -> Program:
    """A program with one entry that has this body: one(body, locals=[...], may_fail=True, size=16, state=8, ...)."""
    of_function = {name: more.pop(name) for name in ("locals", "may_fail", "line", "file") if name in more}
    of_entry = {name: more.pop(name) for name in ("size", "type_id", "writes_message") if name in more}
    return program([entry(function("handle", body, **of_function), **of_entry)], **more)


# -- whole programs ---------------------------------------------------------------------------------------------------


def operation(node: ir.Expr) -> Program:
    """Stores the value of a pure expression, which may use `operands`, at the begin of a state of 8 bytes."""
    return one([ir.Store(at(Root.STATE, 0), node, 2)], size=24, state=8)


def operands(*kinds: Type) -> list[ir.Load]:
    """Scalars of the message, 8 bytes apart."""
    return [load(kind, Root.MESSAGE, 8 * index) for index, kind in enumerate(kinds)]


def failing(call: ir.Call, result: ir.Expr | None = None) -> list[ir.Stmt]:
    """A call of a function that may fail, and what has to follow it."""
    return [call, ir.If(ir.Query(ir.QueryName.FAILED), (ir.Return(result, call.line),), line=call.line)]


def sums() -> Program:
    """Entry 0 adds the message's four i32 to the state's i64 at 0 and replies with it. Divides, by the second of them:
    the quotient goes to the state at 8."""
    i, n = local("i", Type.U32), local("n")
    divisor = load(Type.I32, Root.MESSAGE, 4)
    quotient = ir.Binary(Type.I32, BinaryOp.FLOORDIV, load(Type.I32, Root.MESSAGE, 0), divisor)
    total = load(Type.I64, Root.STATE, 0)
    body = [
        ir.For(i, u32(0), u32(1), u32(4), (
            ir.SetLocal(n, load(Type.I32, Root.MESSAGE, 0, (i, 4)), 11),
            ir.Store(at(Root.STATE, 0), add(total, ir.Cast(Type.I64, n)), 12),
        ), 10),
        ir.If(Compare(CompareOp.EQ, divisor, i32(0)), (ir.CountError(u32(ir.ErrorCode.DIVISION_BY_ZERO), 13),), line=13),
        ir.Store(at(Root.STATE, 8), quotient, 13),
        ir.Reply(ANSWER, at(Root.STATE, 0), 8, 14),
    ]  # fmt: skip
    return one(body, locals=[i, n], state=16, may_fail=True, line=9)


def collatz() -> Program:
    """A loop with break and continue in a device function, which fails for n < 1: the number of steps to 1."""
    n, steps, found = local("n", Type.I64), local("steps", Type.U32), local("found", Type.U32)
    two, one_ = const(Type.I64, 2), const(Type.I64, 1)
    even = Compare(CompareOp.EQ, ir.Binary(Type.I64, BinaryOp.MOD, n, two), const(Type.I64, 0))
    count = function(
        "count",
        [
            ir.If(less(n, one_), (ir.Fail(ir.ErrorCode.ASSERTION, 21),), line=20),
            ir.Loop((
                ir.If(Compare(CompareOp.EQ, n, one_), (ir.Break(23),), line=23),
                ir.SetLocal(steps, add(steps, u32(1)), 24),
                ir.If(even, (ir.SetLocal(n, ir.Binary(Type.I64, BinaryOp.FLOORDIV, n, two), 26), ir.Continue(27)), line=25),
                ir.SetLocal(n, add(ir.Binary(Type.I64, BinaryOp.MUL, n, const(Type.I64, 3)), one_), 28),
            ), 22),
            ir.Return(steps, 29),
        ],
        parameters=[n], result=Type.U32, locals=[steps], may_fail=True, line=19,
    )  # fmt: skip
    body = [
        *failing(ir.Call(found, "count", (load(Type.I64, Root.MESSAGE, 0),), 10)),
        ir.Store(at(Root.STATE, 4), found, 11),
        ir.Zero(at(Root.FRAME, 0), 8, 12),
        ir.Store(at(Root.FRAME, 0), found, 12),
        ir.Reply(ANSWER, at(Root.FRAME, 0), 8, 12),
        ir.Store(at(Root.STATE, 0), add(load(Type.U32, Root.STATE, 0), u32(1)), 13),
    ]
    main = entry(function("handle", body, locals=[found], may_fail=True, line=9))
    return program([main], [count], state=8, frame=8)


def everything() -> Program:
    """Every statement and most expressions, in two entries; the second writes its message."""
    flag, time, got = local("flag", Type.BOOL), local("time", Type.U64), local("got", Type.U32)
    old, x, k = local("old", Type.I64), local("x", Type.F32), local("k", Type.I32)
    at_offset = local("at offset", Type.U32)
    half = const(Type.F32, 0.5)
    scale = function(
        "scale(message)",
        [
            ir.Store(at(Root.MESSAGE, 0, (at_offset, 1)), ir.Binary(Type.F32, BinaryOp.MUL, load(Type.F32, Root.MESSAGE, 0, (at_offset, 1)), x), 42),
            ir.Return(less(half, x), 43),
        ],
        parameters=[at_offset, x], result=Type.BOOL, line=41,
    )  # fmt: skip
    ask = Place(Root.FRAME, 8)
    first = [
        ir.Copy(ask, at(Root.MESSAGE, 0), 16, 2),
        ir.Copy(at(Root.FRAME, 12), ask, 8, 2),
        ir.CallService(time, ir.Service.NOW, (), 3),
        ir.CallService(time, ir.Service.TICK, (), 3),
        ir.CallService(flag, ir.Service.UPDATE_CLOCK, (time,), 4),
        ir.If(ir.Unary(Type.BOOL, ir.UnaryOp.NOT, flag), (ir.CountError(u32(ir.ErrorCode.CLOCK_SKEW), 4),), line=4),
        ir.Store(at(Root.STATE, 8), time, 4),
        ir.CallService(time, ir.Service.PENDING, (), 5),
        ir.CallService(time, ir.Service.FREE_SLOTS, (u32(1),), 5),
        ir.Store(at(Root.STATE, 16), flag, 5),
        ir.Atomic(old, ir.AtomicOp.ADD, Type.I64, at(Root.STATE, 24), const(Type.I64, -3), None, 6),
        ir.Atomic(None, ir.AtomicOp.CAS, Type.U32, at(Root.SHARED, 4), u32(9), u32(0), 6),
        ir.Store(at(Root.STATE, 32), old, 6),
        ir.Store(at(Root.STATE, 40), load(Type.U32, Root.SHARED, 4), 6),
        ir.Barrier(ir.Scope.BLOCK, 7),
        ir.Fence(ir.Scope.SYSTEM, 7),
        ir.Warp(got, ir.WarpOp.SHUFFLE, add(u32(4), ir.Query(ir.QueryName.BLOCK_DIM)), u32(3), 7),
        ir.Store(at(Root.STATE, 44), got, 7),
        ir.Send(1, ANSWER, at(Root.FRAME, 8), 8, u32(3), u32(7), const(Type.F64, 0.25), 8),
        ir.Send(0, ANSWER, at(Root.HEADER, 16), 8, line=8),
        ir.Publish(got, 0, ANSWER + 1, ask, 16, True, 9),
        ir.Store(at(Root.STATE, 48), got, 9),
        ir.CallService(flag, ir.Service.IS_TERMINATING, (), 10),
        ir.If(flag, (ir.Return(None, 10),), (ir.CallService(None, ir.Service.REQUEST_TERMINATION, (), 11),), 10),
        ir.Reply(ANSWER + 1, ask, 16, 12),
    ]
    bits = ir.Bitcast(Type.U32, load(Type.F32, Root.MESSAGE, 4))
    second = [
        ir.For(k, i32(6), i32(-2), ir.TripCount(Type.U32, i32(6), i32(-1), i32(-2)), (
            ir.If(Compare(CompareOp.EQ, k, i32(4)), (ir.Continue(32),), line=32),
            ir.Call(flag, "scale(message)", (ir.Binary(Type.U32, BinaryOp.SHL, ir.Cast(Type.U32, k), u32(1)), half), 33),
            ir.SetLocal(k, i32(100), 33),
        ), 31),
        ir.Store(at(Root.STATE, 52), ir.Select(Type.U32, ir.Test(ir.TestOp.IS_NAN, load(Type.F32, Root.MESSAGE, 4)), u32(1), bits), 34),
        ir.Reply(ANSWER + 1, at(Root.MESSAGE, 0), 16, 35),
    ]  # fmt: skip
    entries = [
        entry(function("first", first, locals=[flag, time, got, old], may_fail=True, line=1)),
        entry(
            function("second", second, locals=[flag, k], may_fail=True, line=30), type_id=ASK + 1, writes_message=True
        ),
    ]
    return program(entries, [scale], state=56, frame=24, shared=8)
