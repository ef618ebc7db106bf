"""What statements do, and what the interpreter does not let pass."""

from __future__ import annotations

import math
import struct

import pytest
from harness import FUEL, Recorder, Script, run_interpreter, run_python, slot_of
from programs import (
    ANSWER,
    add,
    at,
    collatz,
    const,
    entry,
    everything,
    failing,
    function,
    i32,
    less,
    load,
    local,
    one,
    operands,
    operation,
    program,
    sums,
    u32,
)

from pyringkernel.compiler import ir
from pyringkernel.compiler.interpreter import Interpreter
from pyringkernel.compiler.ir import AtomicOp, BinaryOp, ErrorCode, QueryName, Root, Service, Type, UnaryOp, WarpOp
from pyringkernel.compiler.memory import InterpreterError
from pyringkernel.compiler.services import DEFAULT_PRIORITY

ENGINES = pytest.mark.parametrize("run", [run_interpreter, run_python])  # they are one language
X, K = local("x"), local("k", Type.U8)
STATE = at(Root.STATE, 0)
ASK = struct.pack("<4i", 7, 2, -3, 100)


def state_after(run, body, *, locals=(), state=8, message=ASK, **more) -> bytes:
    return run(one(body, locals=locals, state=state, may_fail=True, **more), [(0, message)]).state


def numbers(data: bytes, code: str = "i") -> list[int]:
    return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


# -- values -----------------------------------------------------------------------------------------------------------


@ENGINES
def test_expressions_are_computed_by_the_operations(run):
    a, b = operands(Type.I32, Type.I32)
    cases = {
        ir.Unary(Type.I32, UnaryOp.NEG, a): -7,
        ir.Binary(Type.I32, BinaryOp.FLOORDIV, a, b): -3,
        ir.Binary(Type.I32, BinaryOp.MOD, a, b): -2,
        ir.Select(Type.I32, less(a, b), a, b): -3,
        ir.Cast(Type.I32, less(b, a)): 1,
        ir.Cast(Type.I32, ir.Test(ir.TestOp.IS_NAN, const(Type.F32, math.nan))): 1,
        ir.Bitcast(Type.I32, const(Type.F32, -0.0)): -(1 << 31),
        ir.Cast(Type.I32, ir.TripCount(Type.U32, b, a, const(Type.I32, 4))): 3,
        ir.Cast(Type.I32, const(Type.F64, 1e300)): (1 << 31) - 1,
        ir.Cast(Type.I32, ir.Query(QueryName.BLOCK_DIM)): 1,
        ir.Cast(Type.I32, ir.Query(QueryName.THREAD_ID)): 0,
    }
    for node, expected in cases.items():
        outcome = run(operation(node), [(0, struct.pack("<iiiiq", 7, 0, -3, 0, 0))])
        assert numbers(outcome.state)[0] == expected, node


@ENGINES
def test_queries_say_which_instance_of_which_kernel(run):
    body = [
        ir.Store(STATE, ir.Query(QueryName.INSTANCE_ID)),
        ir.Store(at(Root.STATE, 4), ir.Query(QueryName.KERNEL_ID)),
    ]
    assert numbers(run(one(body, state=8), [(0, ASK)], instance=3, kernel=9).state) == [3, 9]


@ENGINES
def test_any_byte_but_0_is_a_true_bool_and_1_is_stored(run):
    body = [ir.Store(at(Root.STATE, index), load(Type.BOOL, Root.MESSAGE, index)) for index in range(4)]
    assert state_after(run, body, state=4, message=bytes([0, 1, 2, 255]) + bytes(12)) == b"\0\1\1\1"


@ENGINES
def test_places_are_offset_and_terms(run):
    body = [ir.Store(at(Root.STATE, 4, (u32(2), 8), (u32(1), 4)), load(Type.I32, Root.MESSAGE, 0, (u32(3), 4)))]
    assert numbers(state_after(run, body, state=32)) == [0] * 6 + [100, 0]


@ENGINES
def test_locals_are_zero_when_a_function_begins(run):
    counts = function("counts", [ir.SetLocal(X, add(X, i32(1))), ir.Return(X)], locals=[X], result=Type.I32)
    y = local("y")
    body = [ir.Call(y, "counts", ()), ir.Call(y, "counts", ()), ir.Store(STATE, y)]
    made = program([entry(function("handle", body, locals=[y]))], [counts], state=4)
    assert numbers(run(made, [(0, ASK), (0, ASK)]).state) == [1]


# -- memory -----------------------------------------------------------------------------------------------------------


@ENGINES
def test_copies_may_overlap_and_zeros_are_written(run):
    body = [
        ir.Copy(STATE, at(Root.MESSAGE, 0), 16),
        ir.Copy(at(Root.STATE, 4), STATE, 12),
        ir.Zero(at(Root.STATE, 8), 4),
    ]
    assert numbers(state_after(run, body, state=16)) == [7, 7, 0, -3]


@ENGINES
def test_a_message_that_is_written_is_a_copy(run):
    body = [ir.Store(at(Root.MESSAGE, 0), i32(5)), ir.Copy(STATE, at(Root.MESSAGE, 0), 8)]
    made = one(body, state=8, writes_message=True)
    slot = slot_of(made, 0, ASK, 0)
    assert numbers(run(made, [(0, ASK)]).state) == [5, 2]
    Interpreter(made).run(0, bytearray(8), slot, Recorder())
    assert slot == slot_of(made, 0, ASK, 0)


@ENGINES
def test_the_header_is_in_front_of_the_message(run):
    body = [ir.Store(STATE, load(Type.U64, Root.HEADER, 16))]
    outcome = run(one(body, state=8), [(0, ASK), (0, ASK)])
    assert numbers(outcome.state, "Q") == [1001]  # message_id of the second


@ENGINES
def test_the_frame_has_no_promised_bytes_and_shared_memory_is_zero(run):
    body = [
        ir.Copy(STATE, at(Root.FRAME, 0), 4),
        ir.Copy(at(Root.STATE, 4), at(Root.SHARED, 0), 4),
        ir.Zero(at(Root.FRAME, 0), 4),
        ir.Store(at(Root.SHARED, 0), i32(3)),
    ]
    outcome = run(one(body, state=8, frame=4, shared=4), [(0, ASK), (0, ASK)])
    assert outcome.state == b"\xa5\xa5\xa5\xa5\0\0\0\0"


INDEX = load(Type.U32, Root.MESSAGE, 0)
FORBIDDEN = {
    "load behind the end": (ir.Store(STATE, load(Type.I32, Root.STATE, 4, (INDEX, 1))), 1, "bytes 5 to 9 of state"),
    "load that is not aligned": (ir.Store(STATE, load(Type.I32, Root.MESSAGE, 0, (INDEX, 1))), 2, "not aligned to 4"),
    "store behind the end": (ir.Store(at(Root.STATE, 0, (INDEX, 4)), i32(1)), 2, "bytes 8 to 12 of state"),
    "an address does not wrap": (ir.Store(at(Root.STATE, 0, (INDEX, 4)), i32(1)), 1 << 30, "of state"),
    "store to a message": (ir.Store(at(Root.MESSAGE, 0), i32(1)), 0, "message is read-only"),
    "store to the header": (ir.Store(at(Root.HEADER, 0), i32(1)), 0, "header is read-only"),
    "copy from behind the end": (ir.Copy(STATE, at(Root.MESSAGE, 8, (INDEX, 1)), 8), 1, "bytes 9 to 17 of message"),
    "copy to a message": (ir.Copy(at(Root.MESSAGE, 0), STATE, 4), 0, "message is read-only"),
    "zero behind the end": (ir.Zero(at(Root.FRAME, 0, (INDEX, 1)), 4), 1, "bytes 1 to 5 of frame"),
    "reply from behind the end": (ir.Reply(ANSWER, at(Root.MESSAGE, 0, (INDEX, 8)), 8), 2, "bytes 16 to 24"),
    "atomic that is not aligned": (
        ir.Atomic(None, AtomicOp.ADD, Type.I32, at(Root.STATE, 0, (INDEX, 1)), i32(1)), 2, "not aligned"),
    "the value that a select does not take": (
        ir.Store(STATE, ir.Select(Type.I32, less(u32(9), INDEX), load(Type.I32, Root.STATE, 0, (INDEX, 4)), i32(0))),
        3, "bytes 12 to 16 of state"),
}  # fmt: skip


@pytest.mark.parametrize(("stmt", "index", "text"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_accesses_outside_are_refused(stmt, index, text):
    made = one([stmt], state=8, frame=4, may_fail=True)
    with pytest.raises(InterpreterError, match=text):
        run_interpreter(made, [(0, struct.pack("<I12x", index))])


def test_the_error_says_the_line():
    with pytest.raises(InterpreterError, match="line 17: "):
        run_interpreter(one([ir.Store(at(Root.STATE, 0), i32(1), 17)], state=2), [(0, ASK)])


def test_a_state_or_slot_that_is_too_short_is_refused():
    made = sums()
    with pytest.raises(InterpreterError, match="15 bytes of state"):
        Interpreter(made).run(0, bytearray(15), slot_of(made, 0, ASK, 0), Recorder())
    with pytest.raises(InterpreterError, match="79 bytes in the slot"):
        Interpreter(made).run(0, bytearray(16), slot_of(made, 0, ASK, 0)[:-1], Recorder())


# -- control ----------------------------------------------------------------------------------------------------------


def append(value: ir.Expr) -> list[ir.Stmt]:
    """state[1 + state[0]] = value; state[0] += 1: what a loop did, in its order."""
    count = load(Type.U32, Root.STATE, 0)
    return [ir.Store(at(Root.STATE, 4, (count, 4)), value), ir.Store(STATE, add(count, u32(1)))]


def items_of(run, body, *locals) -> list[int]:
    count, *items = numbers(state_after(run, body, locals=locals, state=64))
    return items[:count]


@ENGINES
def test_for_gives_the_items_and_goes_on_where_it_was(run):
    body = [*append(X), ir.SetLocal(X, i32(50))]
    loop = ir.For(X, i32(3), i32(-2), u32(4), tuple(body))
    assert items_of(run, [loop, *append(X)], X) == [3, 1, -1, -3, 50]


@ENGINES
def test_for_wraps_in_the_type_of_its_variable(run):
    loop = ir.For(K, const(Type.U8, 250), const(Type.U8, 3), const(Type.U64, 4), tuple(append(ir.Cast(Type.I32, K))))
    assert items_of(run, [loop], K) == [250, 253, 0, 3]


@ENGINES
def test_for_without_turns_leaves_its_variable(run):
    loop = ir.For(X, i32(3), i32(1), u32(0), tuple(append(X)))
    assert items_of(run, [ir.SetLocal(X, i32(9)), loop, *append(X)], X) == [9]


@ENGINES
def test_for_evaluates_its_bounds_once(run):
    count = ir.Cast(Type.U32, X)
    loop = ir.For(X, X, X, count, (*append(X), ir.SetLocal(X, i32(1))))
    assert items_of(run, [ir.SetLocal(X, i32(3)), loop], X) == [3, 6, 9]


@ENGINES
def test_break_and_continue_are_of_the_innermost_loop(run):
    y = local("y")
    inner = ir.For(y, i32(0), i32(1), u32(5), (
        ir.If(ir.Compare(ir.CompareOp.EQ, y, i32(1)), (ir.Continue(),)),
        ir.If(ir.Compare(ir.CompareOp.EQ, y, i32(3)), (ir.Break(),)),
        *append(add(X, y)),
    ))  # fmt: skip
    outer = ir.Loop((
        ir.SetLocal(X, add(X, i32(10))),
        ir.If(ir.Compare(ir.CompareOp.EQ, X, i32(20)), (ir.Continue(),)),
        ir.If(less(i32(30), X), (ir.Break(),)),
        inner,
    ))  # fmt: skip
    assert items_of(run, [outer, *append(X)], X, y) == [10, 12, 30, 32, 40]


@ENGINES
def test_return_leaves_all_loops(run):
    loop = ir.Loop((ir.For(X, i32(0), i32(1), u32(5), (*append(X), ir.Return())),))
    assert items_of(run, [loop, *append(i32(9))], X) == [0]


@ENGINES
def test_functions_get_values_and_give_one(run):
    y = local("y")
    twice = function("twice", [ir.SetLocal(X, add(X, X)), ir.Return(X)], parameters=[X], result=Type.I32)
    quad = function(
        "quad",
        [ir.Call(y, "twice", (X,)), ir.Call(y, "twice", (y,)), ir.Return(y)],
        parameters=[X], locals=[y], result=Type.I32,
    )  # fmt: skip
    body = [
        ir.SetLocal(X, i32(3)),
        ir.Call(y, "quad", (add(X, i32(1)),)),
        ir.Call(None, "quad", (X,)),
        *append(y),
        *append(X),
    ]
    made = program([entry(function("handle", body, locals=[X, y]))], [twice, quad], state=16)
    assert numbers(run(made, [(0, ASK)]).state) == [2, 16, 3, 0]


# -- errors and failures ----------------------------------------------------------------------------------------------


@ENGINES
def test_sums(run):
    outcome = run(sums(), [(0, struct.pack("<4i", 7, 2, -3, 100)), (0, struct.pack("<4i", -7, 2, 0, 0))])
    assert struct.unpack("<qi4x", outcome.state) == (101, -4)
    assert [struct.unpack("<q", reply)[0] for reply in outcome.replies] == [106, 101]
    assert (outcome.errors, outcome.failed, outcome.handled) == (0, 0, 2)


@ENGINES
def test_a_counted_error_does_not_end_the_handler(run):
    outcome = run(sums(), [(0, struct.pack("<4i", 5, 0, 0, 0)), (0, ASK)])
    assert (outcome.errors, outcome.last_error, outcome.error_line) == (1, ErrorCode.DIVISION_BY_ZERO, 13)
    assert outcome.reports[1].errors == 0
    assert len(outcome.replies) == 2


@ENGINES
def test_the_last_error_is_kept_and_all_are_counted(run):
    body = [ir.CountError(u32(5), 3), ir.CountError(u32(6), 4)]
    report = run(one(body), [(0, ASK)]).reports[0]
    assert (report.errors, report.last_error, report.error_line, report.failed) == (2, 6, 4, 0)


@ENGINES
def test_a_failure_keeps_what_was_done_and_leaves_all_functions(run):
    inner = function(
        "inner",
        [ir.Store(STATE, i32(1)), ir.Fail(ErrorCode.ASSERTION, 8), *append(X)],
        result=Type.I32,
        locals=[X],
        may_fail=True,
    )
    outer = function("outer", [*failing(ir.Call(X, "inner", ()), i32(0)), ir.Store(at(Root.STATE, 4), i32(2)), ir.Return(X)],
                     result=Type.I32, locals=[X], may_fail=True)  # fmt: skip
    body = [ir.Reply(ANSWER, STATE, 8), *failing(ir.Call(None, "outer", ())), ir.Store(at(Root.STATE, 4), i32(3))]
    made = program([entry(function("handle", body, may_fail=True))], [inner, outer], state=8)
    outcome = run(made, [(0, ASK)])
    assert numbers(outcome.state) == [1, 0]
    assert (outcome.failed, outcome.fail_line) == (ErrorCode.ASSERTION, 8)
    assert len(outcome.replies) == 1


@ENGINES
def test_device_functions_that_fail_only_sometimes(run):
    messages = [(0, struct.pack("<q8x", value)) for value in (27, 0, 1, 6)]
    outcome = run(collatz(), messages)
    assert [struct.unpack("<I4x", reply)[0] for reply in outcome.replies] == [111, 0, 8]
    assert [report.failed for report in outcome.reports] == [0, ErrorCode.ASSERTION, 0, 0]
    assert numbers(outcome.state) == [3, 8]


@ENGINES
@pytest.mark.parametrize("refused", [0, 1, 2])
def test_what_is_not_accepted_fails_the_message_there(run, refused):
    body = [
        ir.Reply(ANSWER, STATE, 8, 5),
        *append(i32(1)),
        ir.Send(0, ANSWER, STATE, 8, line=6),
        *append(i32(2)),
        ir.Send(1, ANSWER, STATE, 8, line=7),
    ]
    made = one(body, state=16, may_fail=True)
    outcome = run(made, [(0, ASK)], script=Script(refuse={refused: ErrorCode.SEND_CLOSED}))
    assert (outcome.failed, outcome.fail_line) == (ErrorCode.SEND_CLOSED, 5 + refused)
    assert numbers(outcome.state)[0] == refused
    assert len(outcome.effects) == refused + 1


@ENGINES
def test_a_loop_without_end_runs_out_of_fuel(run):
    body = [ir.Loop((*append(X), ir.Store(STATE, u32(0)), ir.SetLocal(X, add(X, i32(1)))), 4)]
    outcome = run(one(body, locals=[X], state=8, may_fail=True), [(0, ASK), (0, ASK)], fuel=10)
    assert [report.failed for report in outcome.reports] == [ErrorCode.CANCELLED] * 2
    assert outcome.fail_line == 4
    assert numbers(outcome.state) == [0, 10]  # each message has fuel of its own


@ENGINES
def test_only_going_back_costs_fuel(run):
    three = one([ir.For(X, i32(0), i32(1), u32(3), tuple(append(X)))], locals=[X], state=16, may_fail=True)
    assert run(three, [(0, ASK)], fuel=2).failed == 0
    outcome = run(three, [(0, ASK)], fuel=1)
    assert outcome.failed == ErrorCode.CANCELLED
    assert numbers(outcome.state) == [2, 0, 1, 0]
    once = one([ir.Loop((ir.Break(),)), ir.For(X, i32(0), i32(1), u32(1), ())], locals=[X], may_fail=True)
    assert run(once, [(0, ASK)], fuel=0).failed == 0
    goes_on = one([ir.Loop((ir.Continue(),))], may_fail=True)
    assert run(goes_on, [(0, ASK)], fuel=FUEL // 1000).failed == ErrorCode.CANCELLED


def test_without_a_limit_a_long_loop_ends():
    made = one([ir.For(X, i32(0), i32(1), u32(5000), ())], locals=[X], may_fail=True)
    assert Interpreter(made).run(0, bytearray(), slot_of(made, 0, ASK, 0), Recorder()).failed == 0


# -- effects ----------------------------------------------------------------------------------------------------------


@ENGINES
def test_every_effect_reaches_the_services_in_order(run):
    outcome = run(everything(), [(0, ASK)])
    data = struct.pack("<4i", 7, 7, 2, 100)
    clock = Script().clock
    assert outcome.effects == [
        ("now",),
        ("tick",),
        ("update_clock", clock + 7),
        ("send", ANSWER, data[:8], 0, 1, 3, 3, 0.25),
        ("send", ANSWER, struct.pack("<Q", 1000), 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0.0),
        ("publish", ANSWER + 1, data, 0, 0, True),
        ("request_termination",),
        ("reply", ANSWER + 1, data, 0),
    ]
    assert struct.unpack("<8xQ?7xqqIII4x", outcome.state) == (clock + 7, True, -3, 0, 9, 5, 2)


@ENGINES
def test_answers_of_the_services_are_used(run):
    script = Script(refuse_clock=frozenset([0]), terminating=True)
    outcome = run(everything(), [(0, ASK)], script=script)
    assert (outcome.last_error, outcome.error_line) == (ErrorCode.CLOCK_SKEW, 4)
    assert "request_termination" not in [effect[0] for effect in outcome.effects]
    assert outcome.replies == []


@ENGINES
def test_a_deadline_that_is_not_ahead_is_none(run):
    values = [math.nan, -1.0, 0.0, 1e-9]
    body = [ir.Send(0, ANSWER, STATE, 8, None, u32(2), const(Type.F64, value)) for value in values]
    outcome = run(one(body, state=8, may_fail=True), [(0, ASK)])
    assert [effect[-2:] for effect in outcome.effects] == [(2, 0.0), (2, 0.0), (2, 0.0), (2, 1e-9)]


@ENGINES
def test_a_priority_beyond_the_highest_is_the_highest(run):
    body = [ir.Send(0, ANSWER, STATE, 8, None, u32(value)) for value in (0, 3, 4, DEFAULT_PRIORITY)]
    outcome = run(one([*body, ir.Send(0, ANSWER, STATE, 8)], state=8, may_fail=True), [(0, ASK)])
    assert [effect[-2] for effect in outcome.effects] == [0, 3, 3, 3, DEFAULT_PRIORITY]


@ENGINES
@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        (AtomicOp.ADD, (1 << 31) - 1, -(1 << 31) + 4),
        (AtomicOp.SUB, 7, -2),
        (AtomicOp.MIN, -9, -9),
        (AtomicOp.MAX, -9, 5),
        (AtomicOp.AND, 6, 4),
        (AtomicOp.OR, 6, 7),
        (AtomicOp.XOR, 6, 3),
        (AtomicOp.EXCHANGE, 6, 6),
    ],
)
def test_atomics_give_the_old_value(run, op, value, expected):
    body = [
        ir.Store(STATE, i32(5)),
        ir.Atomic(X, op, Type.I32, STATE, i32(value)),
        ir.Store(at(Root.STATE, 4), X),
    ]
    assert numbers(state_after(run, body, locals=[X])) == [expected, 5]


@ENGINES
def test_a_swap_happens_only_when_the_old_value_is_the_expected(run):
    for expected, result in ((5, 8), (6, 5)):
        body = [
            ir.Store(STATE, i32(5)),
            ir.Atomic(X, AtomicOp.CAS, Type.I32, STATE, i32(8), i32(expected)),
            ir.Store(at(Root.STATE, 4), X),
        ]
        assert numbers(state_after(run, body, locals=[X])) == [result, 5]


@ENGINES
def test_a_warp_of_one_lane_gives_its_own_value(run):
    ballot, vote = local("ballot", Type.U64), local("vote", Type.BOOL)
    true = const(Type.BOOL, True)
    body = []
    for op in WarpOp:
        if op is WarpOp.BALLOT:
            body += [ir.Warp(ballot, op, true), *append(ir.Cast(Type.I32, ballot))]
        elif op in (WarpOp.ALL, WarpOp.ANY):
            body += [ir.Warp(vote, op, true), *append(ir.Cast(Type.I32, vote))]
        else:
            body += [ir.Warp(X, op, i32(6), u32(2) if "shuffle" in op.value else None), *append(X)]
    assert items_of(run, body, X, ballot, vote) == [6, 6, 6, 6, 1, 1, 1, 6, 6, 6]


@ENGINES
def test_services_are_asked_even_when_nobody_wants_the_answer(run):
    outcome = run(one([ir.CallService(None, Service.TICK), ir.CallService(None, Service.NOW)]), [(0, ASK)])
    assert outcome.effects == [("tick",), ("now",)]
