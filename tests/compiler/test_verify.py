"""Each rule of the intermediate representation, with a program that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from programs import (
    ANSWER,
    ASK,
    add,
    at,
    collatz,
    const,
    entry,
    everything,
    failing,
    function,
    i32,
    load,
    local,
    one,
    program,
    sums,
    u32,
)

from pyringkernel.compiler import ir
from pyringkernel.compiler.features import ALL_FEATURES, features_of
from pyringkernel.compiler.ir import BinaryOp, CompareOp, QueryName, Root, Scope, Service, Type, UnaryOp, WarpOp
from pyringkernel.compiler.verify import IrError, verify

X, Y = local("x"), local("y", Type.F32)
FAILED = ir.Query(QueryName.FAILED)
U = u32(0)
STATE, MESSAGE = at(Root.STATE, 0), at(Root.MESSAGE, 0)
FALSE = const(Type.BOOL, False)
SPIN = ir.Loop((ir.Break(),))


@pytest.mark.parametrize("make", [sums, collatz, everything])
def test_good_programs_pass(make):
    verify(make())


def store(node: ir.Expr) -> list[ir.Stmt]:
    """The place does not matter: the value is looked at first."""
    return [ir.Store(STATE, node)]


EXPRESSIONS = {
    "int out of range": (const(Type.U8, 256), "256 is no u8"),
    "bool for an int": (const(Type.I32, True), "True is no i32"),
    "int for a float": (const(Type.F32, 1), "1 is no f32"),
    "float that is not exact": (const(Type.F32, 0.1), "0.1 is no f32"),
    "unknown local": (local("nobody"), "'nobody' is not among the locals"),
    "local of another type": (local("x", Type.U32), "u32 'x' is not among"),
    "load outside": (load(Type.I64, Root.STATE, 16), "bytes 16 to 24 of state, which has 16"),
    "load across the end": (load(Type.I64, Root.MESSAGE, 16), "message"),
    "load before": (load(Type.I32, Root.FRAME, -4), "bytes -4 to 0 of frame"),
    "load of the header's end": (load(Type.U64, Root.HEADER, 64), "header, which has 64"),
    "load not aligned": (load(Type.I32, Root.STATE, 2), "offset 2 is not aligned to 4"),
    "stride not aligned": (load(Type.I32, Root.STATE, 0, (U, 6)), "stride 6 is not aligned to 4"),
    "stride of nothing": (load(Type.I32, Root.STATE, 0, (U, 0)), "stride 0"),
    "index of another type": (load(Type.I32, Root.STATE, 0, (i32(0), 4)), "i32 where u32 is expected"),
    "invert of a float": (ir.Unary(Type.F32, UnaryOp.INVERT, Y), "invert of f32"),
    "not of an int": (ir.Unary(Type.I32, UnaryOp.NOT, X), "not of i32"),
    "popcount of a signed": (ir.Unary(Type.I32, UnaryOp.POPCOUNT, X), "popcount of i32"),
    "sine of an int": (ir.Unary(Type.I32, UnaryOp.SIN, X), "sin of i32"),
    "negation of a bool": (ir.Unary(Type.BOOL, UnaryOp.NEG, FALSE), "neg of bool"),
    "operand of another type": (ir.Unary(Type.I64, UnaryOp.NEG, X), "operand: i32 where i64 is expected"),
    "test of an int": (ir.Test(ir.TestOp.IS_NAN, X), "i32 where one of"),
    "floordiv of floats": (ir.Binary(Type.F32, BinaryOp.FLOORDIV, Y, Y), "floordiv of f32"),
    "truediv of ints": (ir.Binary(Type.I32, BinaryOp.TRUEDIV, X, X), "truediv of i32"),
    "and of floats": (ir.Binary(Type.F32, BinaryOp.AND, Y, Y), "and of f32"),
    "addition of bools": (ir.Binary(Type.BOOL, BinaryOp.ADD, FALSE, FALSE), "add of bool"),
    "left of another type": (ir.Binary(Type.F32, BinaryOp.ADD, X, Y), "left: i32 where f32 is expected"),
    "right of another type": (ir.Binary(Type.I32, BinaryOp.SHL, X, U), "right: u32 where i32 is expected"),
    "comparison of two types": (ir.Compare(CompareOp.EQ, X, Y), "right: f32 where i32 is expected"),
    "order of bools": (ir.Compare(CompareOp.LT, FALSE, FALSE), "lt of bool"),
    "condition that is a number": (ir.Select(Type.I32, X, X, X), "condition: i32 where bool is expected"),
    "then of another type": (ir.Select(Type.I32, FALSE, Y, X), "then: f32"),
    "otherwise of another type": (ir.Select(Type.I32, FALSE, X, Y), "otherwise: f32"),
    "bits of another size": (ir.Bitcast(Type.I64, Y), "f32 as i64"),
    "bits of a bool": (ir.Bitcast(Type.U8, FALSE), "bool as u8"),
    "count that is signed": (ir.TripCount(Type.I32, X, X, X), "a count of i32"),
    "count of another width": (ir.TripCount(Type.U64, X, X, X), "a count of u64 for i32"),
    "stop of another type": (ir.TripCount(Type.U32, X, U, X), "stop: u32"),
    "step of another type": (ir.TripCount(Type.U32, X, X, U), "step: u32"),
    "failed as a value": (FAILED, "FAILED is the condition of an If only"),
    "deep inside": (ir.Cast(Type.U8, ir.Unary(Type.F32, UnaryOp.NEG, const(Type.F32, 7))), "body[0].value.operand.operand"),
}  # fmt: skip


@pytest.mark.parametrize(("node", "text"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expressions(node, text):
    with pytest.raises(IrError) as caught:
        verify(one(store(node), locals=[X, Y], state=16, frame=8))
    assert text in str(caught.value)
    assert str(caught.value).startswith("entry Ask.body[0].value")


def service(name: Service, *arguments: ir.Expr, target: ir.Local | None = None) -> ir.CallService:
    return ir.CallService(target, name, arguments)


STATEMENTS = {
    "value of another type": ([ir.SetLocal(X, Y)], "f32 where i32 is expected"),
    "unknown local": ([ir.SetLocal(local("z"), X)], "'z' is not among the locals"),
    "store outside": ([ir.Store(at(Root.STATE, 16), X)], "bytes 16 to 20 of state"),
    "store to the header": ([ir.Store(at(Root.HEADER, 0), X)], "the header is read-only"),
    "store to the message": ([ir.Store(MESSAGE, X)], "writes the message, which is read-only"),
    "copy to the message": ([ir.Copy(MESSAGE, STATE, 4)], "writes the message"),
    "copy that is too long": ([ir.Copy(STATE, MESSAGE, 17)], "bytes 0 to 17 of state"),
    "copy from outside": ([ir.Copy(STATE, at(Root.MESSAGE, 12), 8)], "source: bytes 12 to 20 of message"),
    "zero that is too long": ([ir.Zero(at(Root.FRAME, 4), 8)], "bytes 4 to 12 of frame"),
    "size below nothing": ([ir.Zero(STATE, -1)], "bytes 0 to -1"),
    "condition that is a number": ([ir.If(X, ())], "condition: i32 where bool is expected"),
    "break in no loop": ([ir.Break()], "it is in no loop"),
    "continue in no loop": ([ir.If(FALSE, (ir.Continue(),))], "body[0].then[0]: it is in no loop"),
    "for over floats": ([ir.For(Y, Y, Y, U, ())], "the variable is f32"),
    "start of another type": ([ir.For(X, U, i32(1), U, ())], "start: u32"),
    "step of another type": ([ir.For(X, i32(1), U, U, ())], "step: u32"),
    "count that is signed": ([ir.For(X, X, X, X, ())], "count: i32 where one of"),
    "unknown variable": ([ir.For(local("z"), X, X, U, ())], "'z' is not among the locals"),
    "result of an entry": ([ir.Return(X)], "the function has no result"),
    "unknown function": ([ir.Call(None, "nobody", ())], "nobody is not among the functions before"),
    "code of another type": ([ir.CountError(X)], "i32 where u32 is expected"),
    "code that does not fail": ([ir.Fail(ir.ErrorCode.INDEX)], "0xffff0002 fails no message"),
    "code of the user": ([ir.Fail(7)], "0x7 fails no message"),
    "reply outside": ([ir.Reply(ANSWER, at(Root.STATE, 12), 8)], "payload: bytes 12 to 20 of state"),
    "reply of no class": ([ir.Reply(ANSWER + 7, STATE, 8)], "is not in the program's replies"),
    "reply of another size": ([ir.Reply(ANSWER, STATE, 4)], "with 4 bytes is not in the program's replies"),
    "unknown target": ([ir.Send(2, ANSWER, STATE, 8)], "target 2 of 2"),
    "instance of another type": ([ir.Send(0, ANSWER, STATE, 8, X)], "instance: i32"),
    "priority of another type": ([ir.Send(0, ANSWER, STATE, 8, None, X)], "priority: i32"),
    "deadline of another type": ([ir.Send(0, ANSWER, STATE, 8, None, None, Y)], "deadline: f32"),
    "unknown topic": ([ir.Publish(None, 1, ANSWER, STATE, 8)], "topic 1 of 1"),
    "publish to another type": ([ir.Publish(X, 0, ANSWER, STATE, 8)], "a result of u32 for the target 'x' of i32"),
    "service without argument": ([service(Service.UPDATE_CLOCK)], "0 arguments for 1 parameters"),
    "service of another type": ([service(Service.UPDATE_CLOCK, X)], "arguments[0]: i32"),
    "service to another type": ([service(Service.NOW, target=X)], "a result of u64 for the target 'x'"),
    "service without result": ([service(Service.REQUEST_TERMINATION, target=X)], "a result of None"),
    "room of a target in a variable": ([service(Service.FREE_SLOTS, load(Type.U32, Root.STATE, 0))], "constant index"),
    "room of no target": ([service(Service.FREE_SLOTS, u32(2))], "constant index"),
    "atomic of a float": ([ir.Atomic(None, ir.AtomicOp.ADD, Type.F32, STATE, Y)], "atomics are not of f32"),
    "atomic on the frame": ([ir.Atomic(None, ir.AtomicOp.ADD, Type.I32, at(Root.FRAME, 0), X)], "not on frame"),
    "atomic not aligned": ([ir.Atomic(None, ir.AtomicOp.ADD, Type.I64, at(Root.STATE, 4), X)], "not aligned to 8"),
    "atomic value of another type": ([ir.Atomic(None, ir.AtomicOp.ADD, Type.I32, STATE, U)], "value: u32"),
    "atomic to another type": ([ir.Atomic(Y, ir.AtomicOp.ADD, Type.I32, STATE, X)], "a result of i32"),
    "swap without expected": ([ir.Atomic(None, ir.AtomicOp.CAS, Type.I32, STATE, X)], "CAS has it"),
    "expected without swap": ([ir.Atomic(None, ir.AtomicOp.ADD, Type.I32, STATE, X, X)], "`expected` is for CAS"),
    "expected of another type": ([ir.Atomic(None, ir.AtomicOp.CAS, Type.I32, STATE, X, U)], "expected: u32"),
    "vote of a number": ([ir.Warp(None, WarpOp.ALL, X)], "all of i32"),
    "sum of bools": ([ir.Warp(None, WarpOp.REDUCE_ADD, FALSE)], "reduce_add of bool"),
    "shuffle without lane": ([ir.Warp(None, WarpOp.SHUFFLE, X)], "`operand` is for shuffles"),
    "vote with lane": ([ir.Warp(None, WarpOp.ANY, FALSE, U)], "`operand` is for shuffles"),
    "lane of another type": ([ir.Warp(None, WarpOp.SHUFFLE, X, X)], "operand: i32"),
    "ballot to another type": ([ir.Warp(X, WarpOp.BALLOT, FALSE)], "a result of u64"),
    "barrier of the system": ([ir.Barrier(Scope.SYSTEM)], "scope is not the system"),
    "failed without call": ([ir.If(FAILED, (ir.Return(),))], "right after a call that may fail"),
    "no statement": ([X], "Local is no statement"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "text"), STATEMENTS.values(), ids=STATEMENTS)
def test_statements(body, text):
    may_fail = any(isinstance(stmt, (ir.Reply, ir.Send, ir.Fail, ir.For)) for stmt in body)
    with pytest.raises(IrError) as caught:
        verify(one(body, locals=[X, Y], state=16, frame=8, may_fail=may_fail))
    assert text in str(caught.value)


MAY = function("may", [ir.Reply(ANSWER, STATE, 8)], may_fail=True)
GIVES = function("gives", [ir.Return(X)], parameters=[X], result=Type.I32)


def calls(*body: ir.Stmt, functions: list[ir.Function] | None = None, **more) -> ir.Program:
    may_fail = any(isinstance(stmt, ir.Call) and stmt.function == "may" for stmt in body)
    main = function("handle", body, locals=[X, Y], may_fail=more.pop("may_fail", may_fail))
    return program([entry(main)], [MAY, GIVES] if functions is None else functions, state=16, **more)


def test_calls_that_are_right():
    verify(calls(*failing(ir.Call(None, "may", ())), ir.Call(X, "gives", (X,)), ir.Call(None, "gives", (i32(2),))))


def recursive() -> ir.Program:
    return calls(functions=[function("may", [ir.Call(None, "may", ())])])


CALLS = {
    "test is missing": (calls(ir.Call(None, "may", ())), "nothing tests FAILED after this call"),
    "something else comes first": (calls(ir.Call(None, "may", ()), SPIN), "is followed by: if FAILED, return"),
    "test does not return": (calls(ir.Call(None, "may", ()), ir.If(FAILED, ())), "is followed by: if FAILED, return"),
    "test is not needed": (calls(ir.Call(None, "gives", (X,)), ir.If(FAILED, (ir.Return(),))), "that may fail only"),
    "too many arguments": (calls(ir.Call(None, "gives", (X, X))), "2 arguments for 1 parameters"),
    "argument of another type": (calls(ir.Call(None, "gives", (U,))), "arguments[0]: u32 where i32"),
    "result of another type": (calls(ir.Call(Y, "gives", (X,))), "a result of i32 for the target 'y' of f32"),
    "no result": (calls(ir.Call(X, "may", ())), "a result of None for the target 'x'"),
    "callee comes later": (calls(functions=[function("a", [ir.Call(None, "gives", (i32(1),))]), GIVES]), "gives is not among"),
    "recursion": (recursive(), "may is not among the functions before this one"),
    "two of one name": (calls(functions=[GIVES, GIVES]), "function gives: there are two"),
    "two locals of one name": (calls(functions=[function("a", [], locals=[X, local("x", Type.F32)])]), "named 'x'"),
    "parameter and local of one name": (calls(functions=[function("a", [], parameters=[X], locals=[X])]), "named 'x'"),
    "path without result": (
        calls(functions=[function("a", [ir.If(FALSE, (ir.Return(i32(1)),))], result=Type.I32)]), "ends without the result"),
    "nothing for the result": (calls(functions=[function("a", [ir.Return()], result=Type.I32)]), "it gives nothing for i32"),
    "result of another type than the function's": (
        calls(functions=[function("a", [ir.Return(U)], result=Type.I32)]), "u32 where i32 is expected"),
    "result where there is none": (calls(functions=[function("a", [ir.Return(U)])]), "the function has no result"),
    "loop that does not count as failing": (calls(functions=[function("a", [SPIN])]), "function a: may_fail is False"),
    "failing that does not": (calls(functions=[function("a", [], may_fail=True)]), "function a: may_fail is True"),
    "failing by a call": (calls(*failing(ir.Call(None, "may", ())), may_fail=False), "entry Ask: may_fail is False"),
    "writer of a message that is read-only": (
        calls(ir.Call(None, "w", ()), functions=[function("w", [ir.Store(MESSAGE, i32(1))])]), "writes the message"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "text"), CALLS.values(), ids=CALLS)
def test_functions(broken, text):
    with pytest.raises(IrError) as caught:
        verify(broken)
    assert text in str(caught.value)


def test_paths_that_end_need_no_result():
    for body in (
        [ir.If(FALSE, (ir.Return(i32(1)),), (ir.Fail(ir.ErrorCode.ASSERTION),))],
        [ir.Loop((ir.If(FALSE, (ir.Return(i32(1)),)), ir.Loop((ir.Break(),))))],
    ):
        verify(calls(functions=[function("a", body, result=Type.I32, may_fail=True)]))
    leaves = ir.Loop((ir.If(FALSE, (ir.Break(),)),))
    with pytest.raises(IrError, match="ends without the result"):
        verify(calls(functions=[function("a", [leaves], result=Type.I32, may_fail=True)]))


def test_a_function_may_use_no_more_of_a_message_than_each_of_its_callers_has():
    reads = function("reads", [ir.SetLocal(X, load(Type.I32, Root.MESSAGE, 12))], locals=[X])
    main = function("handle", [ir.Call(None, "reads", ())])
    small, large = entry(main, size=8), entry(main, type_id=ASK + 1)
    verify(program([large], [reads]))
    with pytest.raises(IrError, match="entry Ask: byte 16 of the message, which has 8"):
        verify(program([large, small], [reads]))


PROGRAMS = {
    "no entries": (replace(sums(), entries=()), "it has no entries"),
    "size below nothing": (replace(sums(), shared_size=-1), "sizes"),
    "no threads": (replace(sums(), block_size=0), "block of 0"),
    "reply without type": (replace(sums(), replies=((0, 8),)), "reply 0x0 of 8 bytes"),
    "two entries for a class": (replace(sums(), entries=sums().entries * 2), "taken"),
    "entry without type": (program([entry(function("handle", []), type_id=0)]), "out of range"),
    "entry with parameters": (program([entry(function("handle", [], parameters=[X]))]), "neither parameters nor a result"),
    "entry with a result": (
        program([entry(function("handle", [ir.Return(X)], result=Type.I32))]), "neither parameters nor a result"),
    "feature that is missing": (replace(sums(), features=frozenset()), "features lack ['i64']"),
    "feature that is not used": (replace(sums(), features=frozenset(["i64", "warp"])), "have ['warp'] in excess"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "text"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs(broken, text):
    with pytest.raises(IrError) as caught:
        verify(broken)
    assert text in str(caught.value)


@pytest.mark.parametrize("stmt", [ir.SetLocal(X, SPIN), ir.Store(at(Root.STATE, 0, (SPIN, 4)), i32(1))])
def test_statements_are_no_expressions(stmt):
    good = one([], locals=[X], state=4)
    broken = replace(good.entries[0], function=replace(good.entries[0].function, body=(stmt,)))
    with pytest.raises(IrError, match="Loop is no expression"):
        verify(replace(good, entries=(broken,)))


# -- features ---------------------------------------------------------------------------------------------------------


def of(kind: Type) -> ir.Local:
    return local("v", kind)


def copy_of(kind: Type) -> list[ir.Stmt]:
    return [ir.Store(STATE, load(kind, Root.MESSAGE, 0))]


def sum_of(kind: Type) -> list[ir.Stmt]:
    value = load(kind, Root.MESSAGE, 0)
    return [ir.Store(STATE, add(value, value))]


FEATURES = {
    "": [copy_of(Type.I8), copy_of(Type.U16), copy_of(Type.F32), sum_of(Type.I32), [ir.Barrier(Scope.BLOCK)],
         [ir.Store(STATE, ir.Cast(Type.U8, load(Type.I32, Root.STATE, 4)))],
         [service(Service.TICK)]],
    "i8": [sum_of(Type.I8), sum_of(Type.U8), [ir.Store(STATE, ir.Compare(CompareOp.LT, *[load(Type.U8, Root.STATE, 0)] * 2))]],
    "i16": [sum_of(Type.I16), sum_of(Type.U16), [ir.Store(STATE, ir.Bitcast(Type.U16, load(Type.I16, Root.STATE, 0)))]],
    "i64": [copy_of(Type.I64), sum_of(Type.U64), [service(Service.UPDATE_CLOCK, const(Type.U64, 1))]],
    "f16": [copy_of(Type.F16)],
    "f64": [copy_of(Type.F64), [ir.Store(STATE, ir.Cast(Type.F64, load(Type.F32, Root.STATE, 0)))]],
    "atomics": [[ir.Atomic(None, ir.AtomicOp.MAX, Type.U32, STATE, U)]],
    "atomics atomics64 i64": [[ir.Atomic(None, ir.AtomicOp.MAX, Type.U64, STATE, const(Type.U64, 1))]],
    "warp": [[ir.Warp(None, WarpOp.ANY, FALSE)], [ir.Barrier(Scope.WARP)],
             [ir.Store(STATE, ir.Query(QueryName.LANE_ID))]],
    "shared": [[ir.Zero(at(Root.SHARED, 0), 0)]],
    "sync_grid": [[ir.Barrier(Scope.GRID)]],
    "send": [[ir.Publish(None, 0, ANSWER, STATE, 8)]],
    "sin": [[ir.Store(STATE, ir.Unary(Type.F32, UnaryOp.SIN, load(Type.F32, Root.STATE, 0)))]],
    "fmod": [[ir.Store(STATE, ir.Binary(Type.F32, BinaryOp.FMOD, *[load(Type.F32, Root.STATE, 0)] * 2))]],
}  # fmt: skip


@pytest.mark.parametrize(("names", "bodies"), FEATURES.items(), ids=[name or "none" for name in FEATURES])
def test_features(names, bodies):
    for body in bodies:
        made = one(body, state=16)
        assert sorted(made.features) == names.split()
        assert made.features <= ALL_FEATURES
        verify(made)


def test_features_are_found_everywhere():
    made = collatz()
    assert features_of(made) == {"i64"}
    assert features_of(replace(made, functions=())) == {"i64"}
    inner = ir.If(FALSE, (ir.For(X, X, X, U, (ir.If(FALSE, (), (ir.Barrier(Scope.GRID),)),)),))
    assert features_of(one([inner], locals=[X])) == {"sync_grid"}
    assert features_of(one([], locals=[of(Type.F64)])) == {"f64"}
    assert features_of(one([], shared=4)) == {"shared"}
    deadline = const(Type.F64, 0.5)
    send = ir.Send(0, ANSWER, STATE, 8, None, None, deadline)
    assert features_of(one([send], state=16)) == {"send"}
    assert features_of(one([replace(send, deadline=add(deadline, deadline))], state=16)) == {"send", "f64"}
