"""Programs by hand that together have every statement, with messages and answers for them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from harness import Script
from programs import ANSWER, add, at, const, entry, function, less, load, local, one, program, u32

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import AtomicOp, BinaryOp, Root, Scope, Service, Type, WarpOp

STATE, MESSAGE, FRAME, SHARED = Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED
REPLIES = ((ANSWER, 8), (ANSWER, 16), (ANSWER, 64))
FULL = int(ir.ErrorCode.SEND_FULL)


@dataclass(frozen=True)
class Case:
    program: ir.Program
    messages: list[tuple[int, bytes]]
    state: bytes | None = None
    script: Script | None = None


def _numbers(*values: int) -> list[tuple[int, bytes]]:
    return [(0, struct.pack("<iIiI", value, abs(value) % 7, -value, 5)) for value in values]


def cases() -> list[Case]:
    some = _numbers(0, 1, 5, -3, 12)
    made = [loops(), nested_for(), copies(), callers(), errors(), changes_message(), header(), queries(), many()]
    found = [Case(each, some if len(each.entries) == 1 else [(0, some[0][1]), (1, some[1][1])]) for each in made]
    refusing = [None, Script(refuse={0: FULL, 3: FULL}), Script(refuse_clock=frozenset({1}), terminating=True)]
    for script in refusing:
        found.append(Case(services(), some, script=script))
    found += [Case(device(kind), some, state=bytes(range(64))) for kind in (Type.I32, Type.U32, Type.I64, Type.U64)]
    return found


def loops() -> ir.Program:
    i, total = local("i"), local("total")
    turn = (
        ir.SetLocal(i, add(i, const(Type.I32, 1)), line=3),
        ir.If(less(const(Type.I32, 9), i), (ir.Break(line=4),), line=4),
        ir.If(ir.Compare(ir.CompareOp.EQ, i, load(Type.I32, MESSAGE, 0)), (ir.Continue(line=5),), line=5),
        ir.SetLocal(total, add(total, i), line=6),
    )
    store = ir.Store(at(STATE, 0), add(load(Type.I32, STATE, 0), total), line=7)
    return one([ir.Loop(turn, line=2), store], locals=[i, total], state=8, may_fail=True)


def nested_for() -> ir.Program:
    """Down and up, with a variable that the body changes, and a Continue."""
    i, j, total = local("i"), local("j", Type.U64), local("total")
    count = ir.TripCount(Type.U32, const(Type.I32, 7), load(Type.I32, MESSAGE, 0), const(Type.I32, -2))
    inner = ir.For(
        j,
        const(Type.U64, 2**64 - 2),
        const(Type.U64, 1),
        ir.Cast(Type.U64, load(Type.U32, MESSAGE, 4)),
        (
            ir.If(ir.Compare(ir.CompareOp.EQ, j, const(Type.U64, 0)), (ir.Continue(),)),
            ir.SetLocal(total, add(total, ir.Cast(Type.I32, j))),
        ),
        line=4,
    )
    outer = ir.For(
        i,
        const(Type.I32, 7),
        const(Type.I32, -2),
        count,
        (inner, ir.SetLocal(total, add(total, i)), ir.SetLocal(i, const(Type.I32, 100))),
        line=3,
    )
    stores: list[ir.Stmt] = [ir.Store(at(STATE, 0), total), ir.Store(at(STATE, 4), i), ir.Store(at(STATE, 8), j)]
    return one([outer, *stores], locals=[i, j, total], state=16, may_fail=True)


def copies() -> ir.Program:
    """Of all widths, and overlapping in both directions."""
    k = local("k", Type.U32)
    body: list[ir.Stmt] = [
        ir.SetLocal(k, ir.Binary(Type.U32, BinaryOp.AND, load(Type.U32, MESSAGE, 4), u32(3))),
        ir.Copy(at(STATE, 0), at(MESSAGE, 0), 16),
        ir.Copy(at(STATE, 20), at(MESSAGE, 4), 12),
        ir.Copy(at(STATE, 34), at(MESSAGE, 2), 6),
        ir.Copy(at(STATE, 41), at(MESSAGE, 0), 3),
        ir.Copy(at(STATE, 4), at(STATE, 0), 24),
        ir.Copy(at(STATE, 24), at(STATE, 27, (k, 1)), 13),
        ir.Copy(at(FRAME, 0), at(STATE, 0), 64),
        ir.Copy(at(FRAME, 1, (k, 1)), at(FRAME, 0), 40),
        ir.Zero(at(FRAME, 8), 16),
        ir.Zero(at(FRAME, 3, (k, 2)), 5),
        ir.Store(at(FRAME, 32, (k, 8)), const(Type.U64, 2**63 + 5)),
        ir.Reply(ANSWER, at(FRAME, 0), 64, line=9),
    ]
    return one(body, locals=[k], state=64, frame=64, may_fail=True, replies=REPLIES)


def callers() -> ir.Program:
    """Functions with results, with memory by offset, and that fail."""
    x, y, offset = local("x"), local("y"), local("offset", Type.U32)
    failing = function(
        "check it",
        [
            ir.If(less(x, const(Type.I32, 0)), (ir.Fail(0xFFFF0101, line=20),), line=19),
            ir.Return(add(x, load(Type.I32, STATE, 0, (offset, 1)))),
        ],
        parameters=[x, offset],
        result=Type.I32,
        may_fail=True,
    )
    storing = function("store", [ir.Store(at(STATE, 0, (offset, 1)), x), ir.Return()], parameters=[offset, x])
    lower = ir.If(less(x, y), (ir.Return(x),), (ir.Return(y),))
    least = function("least", [lower], parameters=[x, y], result=Type.I32)
    failed = ir.Query(ir.QueryName.FAILED)
    body: list[ir.Stmt] = [
        ir.Call(None, "store", (u32(4), load(Type.I32, MESSAGE, 0)), line=3),
        ir.Call(x, "check it", (load(Type.I32, MESSAGE, 0), u32(0)), line=4),
        ir.If(failed, (ir.Return(),), line=4),
        ir.Call(y, "least", (x, const(Type.I32, 4)), line=5),
        ir.Call(None, "store", (u32(8), y), line=6),
        ir.Call(None, "store", (u32(0), x), line=6),
    ]
    return program([entry(function("handle", body, locals=[x, y], may_fail=True))], [failing, storing, least], state=16)


def errors() -> ir.Program:
    negative = less(load(Type.I32, MESSAGE, 0), const(Type.I32, 0))
    body: list[ir.Stmt] = [
        ir.If(negative, (ir.CountError(u32(0xFFFF0002), line=3),), (ir.CountError(u32(17), line=5),), line=2),
        ir.CountError(load(Type.U32, MESSAGE, 4), line=6),
    ]
    return one(body)


def changes_message() -> ir.Program:
    body: list[ir.Stmt] = [
        ir.Store(at(MESSAGE, 0), add(load(Type.I32, MESSAGE, 0), const(Type.I32, 1))),
        ir.Copy(at(MESSAGE, 4), at(MESSAGE, 0), 8),
        ir.Reply(ANSWER, at(MESSAGE, 0), 16),
    ]
    return one(body, writes_message=True, may_fail=True, replies=REPLIES)


def header() -> ir.Program:
    body: list[ir.Stmt] = [
        ir.Copy(at(STATE, 0), at(Root.HEADER, 0), 64),
        ir.Store(at(STATE, 64), load(Type.U8, Root.HEADER, 1)),
    ]
    return one(body, state=72)


def queries() -> ir.Program:
    names = [name for name in ir.QueryName if name is not ir.QueryName.FAILED]
    body: list[ir.Stmt] = [ir.Store(at(STATE, 4 * n), ir.Query(name)) for n, name in enumerate(names)]
    return one(body, state=64)


def many() -> ir.Program:
    """Two entries of one name."""
    first = function("handle", [ir.Store(at(STATE, 0), u32(1))])
    second = function("handle", [ir.Store(at(STATE, 4), u32(2))])
    return program([entry(first), entry(second, type_id=0x11110009)], state=8)


def services() -> ir.Program:
    """Everything that the runtime is asked for."""
    long, flag, got = local("long", Type.U64), local("flag", Type.BOOL), local("got", Type.U32)
    body: list[ir.Stmt] = [ir.Copy(at(FRAME, 0), at(MESSAGE, 0), 16)]
    for n, (service, arguments) in enumerate(_asked().items()):
        if service.result is None:
            body.append(ir.CallService(None, service, arguments))
            continue
        target = flag if service.result is Type.BOOL else long
        body += [ir.CallService(target, service, arguments), ir.Store(at(STATE, 8 * n), target)]
    body += [
        ir.Reply(ANSWER, at(FRAME, 0), 16, line=21),
        ir.Send(0, ANSWER, at(MESSAGE, 0), 8, line=22),
        ir.Send(1, ANSWER, at(FRAME, 8), 8, load(Type.U32, MESSAGE, 4), load(Type.U32, MESSAGE, 12), line=23),
        ir.Send(1, ANSWER, at(STATE, 8), 8, deadline=const(Type.F64, 0.5), line=24),
        ir.Publish(got, 0, ANSWER, at(STATE, 0), 8, line=25),
        ir.Publish(None, 0, ANSWER, at(FRAME, 0), 8, retain=True, line=26),
        ir.Store(at(STATE, 56), got),
    ]
    return one(body, locals=[long, flag, got], state=64, frame=16, may_fail=True, replies=REPLIES)


def _asked() -> dict[Service, tuple[ir.Expr, ...]]:
    given: dict[Service, tuple[ir.Expr, ...]] = dict.fromkeys(Service, ())
    given[Service.UPDATE_CLOCK] = (ir.Cast(Type.U64, load(Type.U32, MESSAGE, 4)),)
    given[Service.FREE_SLOTS] = (u32(1),)
    return given


def device(kind: Type) -> ir.Program:
    """Threads, warps, atomics and shared memory with values of this type."""
    old, votes, flag, lane = (
        local("old", kind),
        local("votes", Type.U64),
        local("flag", Type.BOOL),
        local("lane", Type.U32),
    )
    size, value = kind.size, load(kind, STATE, 0)
    body: list[ir.Stmt] = [ir.SetLocal(lane, ir.Binary(Type.U32, BinaryOp.MOD, load(Type.U32, MESSAGE, 4), u32(4)))]
    if kind in (Type.I32, Type.U32, Type.I64, Type.U64):
        for place in (at(STATE, 0), at(SHARED, 0, (lane, size))):
            body += _atomics(kind, old, place, value)
    body += [ir.Barrier(scope) for scope in (Scope.WARP, Scope.BLOCK)] + [ir.Fence(scope) for scope in Scope]
    for op in (WarpOp.SHUFFLE, WarpOp.SHUFFLE_UP, WarpOp.SHUFFLE_DOWN, WarpOp.SHUFFLE_XOR):
        body += [ir.Warp(old, op, value, lane), ir.Store(at(SHARED, 32), old)]
    for op in (WarpOp.REDUCE_ADD, WarpOp.REDUCE_MIN, WarpOp.REDUCE_MAX):
        body += [ir.Warp(old, op, value), ir.Store(at(STATE, 8), old)]
    near = less(u32(1), lane)
    for n, op in enumerate((WarpOp.ALL, WarpOp.ANY)):
        body += [ir.Warp(flag, op, near), ir.Store(at(STATE, 16 + n), flag)]
    body += [
        ir.Warp(votes, WarpOp.BALLOT, near),
        ir.Store(at(STATE, 24), votes),
        ir.Copy(at(STATE, 32), at(SHARED, 0), 32),
    ]
    return one(body, locals=[old, votes, flag, lane], state=64, shared=64)


def _atomics(kind: Type, old: ir.Local, place: ir.Place, value: Any) -> list[ir.Stmt]:
    made: list[ir.Stmt] = []
    for op in AtomicOp:
        expected = ir.Load(kind, place) if op is AtomicOp.CAS else None
        made += [
            ir.Atomic(old, op, kind, place, ir.Cast(kind, load(Type.I32, MESSAGE, 0)), expected),
            ir.Store(at(STATE, 40), ir.Binary(kind, BinaryOp.XOR, old, load(kind, STATE, 40))),
        ]
    return [*made, ir.Atomic(None, AtomicOp.CAS, kind, place, const(kind, 9), const(kind, 77))]


def endless() -> ir.Program:
    return one([ir.Loop((ir.Store(at(STATE, 0), u32(1)),), line=3)], state=8, may_fail=True)


def long_for() -> ir.Program:
    k = local("k", Type.U32)
    body = [ir.For(k, u32(0), u32(1), u32(2**32 - 1), (ir.Store(at(STATE, 0), k),), line=4)]
    return one(body, locals=[k], state=8, may_fail=True)
