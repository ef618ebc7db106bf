"""Bytecode does what the interpreter does: for every operation and type at the edges, for control flow, memory, services
and failure."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import programs
import pytest
import scalar_programs as sp
from harness import Script, assert_same, run_interpreter, run_native
from scalar_programs import at, const, function, program

from pyringkernel import _core
from pyringkernel.compiler import ir
from pyringkernel.compiler.bytecode import assembler as bytecode_assembler
from pyringkernel.compiler.bytecode import disassemble, encode
from pyringkernel.compiler.bytecode.ops import OPCODES
from pyringkernel.compiler.ir import BinaryOp, CompareOp, Local, Root, Term, Type
from pyringkernel.errors import InvalidArgumentError, UnsupportedError

BOOL, I8, U16, I32, U32, I64, U64, F32 = (
    Type.BOOL, Type.I8, Type.U16, Type.I32, Type.U32, Type.I64, Type.U64, Type.F32,
)  # fmt: skip
STATE, MESSAGE, FRAME, SHARED = Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED


def run(made: ir.Program, messages: list[tuple[int, bytes]], **given: Any) -> Any:
    loaded = _core.VmProgram(encode(made))
    return run_native(loaded.entries, made, messages, **given)


def agree(made: ir.Program, messages: list[tuple[int, bytes]], **given: Any) -> Any:
    """The outcome, after the interpreter has said the same."""
    floats, ulps = given.pop("floats", None), given.pop("ulps", 0)
    got = run(made, messages, **given)
    given.pop("batch", None)
    assert_same(run_interpreter(made, messages, **given), got, floats=floats, ulps=ulps)
    return got


def pair(kind: Type, x: Any, y: Any) -> bytes:
    return sp.pack(kind, x).ljust(8, b"\0") + sp.pack(kind, y).ljust(8, b"\0")


def add(left: ir.Expr, right: ir.Expr) -> ir.Binary:
    return ir.Binary(left.type, BinaryOp.ADD, left, right)


def bump(offset: int = 0, by: ir.Expr | None = None) -> ir.Store:
    """state[offset] += by"""
    place = at(STATE, offset)
    return ir.Store(place, add(ir.Load(U32, place), by or const(U32, 1)))


def names_of(made: ir.Program) -> list[str]:
    """The operations, in their order."""
    lines = disassemble(encode(made)).splitlines()
    return [line.split()[1] for line in lines if line.split()[0].isdigit()]


# -- operations -------------------------------------------------------------------------------------------------------


def assert_results(results: sp.Results, pairs: list[Any], messages: list[tuple[int, bytes]]) -> None:
    want, got = run_interpreter(results.program, messages).replies, run(results.program, messages).replies
    assert len(got) == len(want) == len(pairs)
    for given, one, other in zip(pairs, want, got, strict=True):
        for index, (kind, name) in enumerate(zip(results.kinds, results.names, strict=True)):
            here = slice(8 * index, 8 * index + 8)
            if one[here] != other[here]:
                left, right = (struct.unpack_from("<" + sp.CODES[kind], data, 8 * index)[0] for data in (one, other))
                assert left != left, f"{name} of {given}: {right!r}, not {left!r}"
                assert right != right, f"{name} of {given}: {right!r}, not NaN"


@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.text)
def test_every_exact_operation_agrees_with_the_interpreter_at_the_edges(kind: Type) -> None:
    results = sp.replying(sp.exact_of(kind, ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))))
    pairs = sp.pairs_of(kind)
    assert_results(results, pairs, [(0, pair(kind, x, y)) for x, y in pairs])


@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.text)
def test_operations_on_constants_give_the_same(kind: Type) -> None:
    """Powers of two as divisors have operations of their own."""
    for y in sp.edges_of(kind):
        named = sp.exact_of(kind, ir.Load(kind, at(MESSAGE, 0)), const(kind, y))
        results = sp.replying([(f"{name}, {y}", node) for name, node in named])
        values = sp.edges_of(kind)
        assert_results(results, values, [(0, pair(kind, x, x)) for x in values])


@pytest.mark.parametrize("kind", list(Type), ids=lambda kind: kind.text)
def test_conditions_jump_as_comparisons_compare(kind: Type) -> None:
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    body: list[ir.Stmt] = []
    conditions: list[ir.Expr] = [
        ir.Compare(op, a, b) for op in ([CompareOp.EQ, CompareOp.NE] if kind is BOOL else CompareOp)
    ]
    conditions += [ir.Unary(BOOL, ir.UnaryOp.NOT, node) for node in list(conditions)]
    for number, condition in enumerate(conditions):
        then = ir.Store(at(STATE, number), const(Type.U8, 1))
        body.append(ir.If(condition, (then,), (ir.Store(at(STATE, number), const(Type.U8, 2)),)))
    made = program(function(*body))
    for x, y in itertools.product(sp.edges_of(kind)[::3] + sp.edges_of(kind)[-1:], repeat=2):
        agree(made, [(0, pair(kind, x, y))])


def test_and_and_or_in_conditions_leave_out_what_does_not_matter() -> None:
    p, q, r = (ir.Load(BOOL, at(MESSAGE, offset)) for offset in range(3))

    def both(op: BinaryOp, left: ir.Expr, right: ir.Expr) -> ir.Binary:
        return ir.Binary(BOOL, op, left, right)

    conditions = [
        both(one, both(other, p, q), ir.Unary(BOOL, ir.UnaryOp.NOT, r))
        for one, other in itertools.product((BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR), repeat=2)
    ]
    conditions += [ir.Unary(BOOL, ir.UnaryOp.NOT, node) for node in list(conditions)]
    body = [ir.If(node, (bump(4 * (n % 16), const(U32, 1 + n)),)) for n, node in enumerate(conditions)]
    made = program(function(*body))
    for values in itertools.product((0, 1), repeat=3):
        agree(made, [(0, bytes(values).ljust(16, b"\0"))])


@pytest.mark.parametrize("kind", sp.FLOATS, ids=lambda kind: kind.text)
def test_functions_of_real_numbers_are_within_ulps_of_the_interpreter(kind: Type) -> None:
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    named: list[tuple[str, ir.Expr]] = [(op.value, ir.Unary(kind, op, a)) for op in sp.ELEMENTARY]
    named += [(op.value, ir.Binary(kind, op, a, b)) for op in sp.ELEMENTARY_PAIRS]
    results = sp.replying(named)
    values = itertools.product((0.0, 0.25, 1.0, -1.0, 2.5, 20.0, math.inf, math.nan), (-2.0, 0.0, 0.5, 3.0))
    agree(results.program, [(0, pair(kind, x, y)) for x, y in values], floats=results.floats, ulps=4)


def test_no_multiplication_is_contracted_with_an_addition() -> None:
    x, y, z = (ir.Load(F32, at(MESSAGE, offset)) for offset in (0, 4, 8))
    results = sp.replying([("a*b+c", add(ir.Binary(F32, BinaryOp.MUL, x, y), z))])
    outcome = agree(results.program, [(0, struct.pack("<ffff", 1 + 2**-12, 1 + 2**-12, -1.0, 0.0))])
    assert struct.unpack_from("<f", outcome.replies[0])[0] == 2**-11  # contracted: 2**-11 + 2**-24


# -- control flow -----------------------------------------------------------------------------------------------------


def items(kind: Type, start: int, step: int, count: ir.Expr, *more: ir.Stmt) -> ir.Program:
    """Sums the items of a loop, as a hash, and counts them; the loop variable's last value is kept too."""
    index = Local(kind, "i")
    mixed = ir.Binary(U64, BinaryOp.MUL, ir.Load(U64, at(STATE, 0)), const(U64, 6364136223846793005))
    body = (ir.Store(at(STATE, 0), add(mixed, ir.Cast(U64, index))), bump(8), *more)
    loop = ir.For(index, const(kind, start), const(kind, step), count, body, line=7)
    return program(function(loop, ir.Store(at(STATE, 16), ir.Cast(U64, index)), locals_=(index,)))


@pytest.mark.parametrize("kind", sp.INTEGERS, ids=lambda kind: kind.text)
@pytest.mark.parametrize("constant", [False, True], ids=["loaded", "constant"])
@pytest.mark.parametrize("assigned", [False, True], ids=["read", "assigned"])
def test_for_loops_have_the_items_of_the_interpreter(kind: Type, constant: bool, assigned: bool) -> None:
    high = sp.edges_of(kind)[-1] if kind.bits < 16 else 100
    more = (ir.SetLocal(Local(kind, "i"), const(kind, 77)),) if assigned else ()
    steps = [(0, 1), (5, 3), (0, 0), (high, 1), *([(-4, 2), (9, -2), (-128, -1)] if kind.is_signed else [])]
    for (start, step), count in itertools.product(steps, (0, 1, 2, 3, 17)):
        counts = U64 if kind.size == 8 else U32
        given = const(counts, count) if constant else ir.Load(counts, at(MESSAGE, 0))
        agree(items(kind, start, step, given, *more), [(0, struct.pack("<QQ", count, 0))])


def test_what_a_for_loop_counts_with_is_evaluated_once() -> None:
    i, n, s = Local(I32, "i"), Local(U32, "n"), Local(I32, "s")
    body = (ir.SetLocal(n, const(U32, 50)), ir.SetLocal(s, add(s, s)), bump(0, ir.Cast(U32, i)), bump(4))
    loop = ir.For(i, add(i, s), s, n, body)
    begin = (ir.SetLocal(n, const(U32, 4)), ir.SetLocal(s, const(I32, 3)), ir.SetLocal(i, const(I32, 8)))
    outcome = agree(program(function(*begin, loop, locals_=(i, n, s))), [(0, bytes(16))])
    assert struct.unpack_from("<II", outcome.state) == (11 + 14 + 17 + 20, 4)


def test_break_continue_and_return_in_nested_loops() -> None:
    i, j = Local(I32, "i"), Local(I32, "j")
    odd = ir.Compare(CompareOp.EQ, ir.Binary(I32, BinaryOp.AND, j, const(I32, 1)), const(I32, 1))
    inside = (
        ir.If(odd, (ir.Continue(),)),
        ir.If(ir.Compare(CompareOp.GT, j, i), (ir.Break(),)),
        bump(4, ir.Cast(U32, add(i, j))),
    )
    inner = ir.For(j, const(I32, 0), const(I32, 1), const(U32, 9), inside)
    late = ir.Compare(CompareOp.GE, i, ir.Load(I32, at(MESSAGE, 0)))
    skipped = ir.If(ir.Compare(CompareOp.EQ, i, const(I32, 3)), (ir.SetLocal(i, const(I32, 4)), ir.Continue()))
    step = ir.SetLocal(i, add(i, const(I32, 1)))
    loop = ir.Loop((ir.If(late, (bump(8), ir.Return())), inner, skipped, step))
    made = program(function(loop, bump(12), locals_=(i, j)))
    outcome = agree(made, [(0, struct.pack("<iiii", n, 0, 0, 0)) for n in range(8)])
    assert struct.unpack_from("<II", outcome.state, 8) == (8, 0)


def test_locals_are_0_when_their_function_begins_in_every_message_and_call() -> None:
    n, m = Local(U32, "n"), Local(U32, "m")
    maybe = ir.If(
        ir.Compare(CompareOp.EQ, ir.Load(U32, at(MESSAGE, 0)), const(U32, 1)), (ir.SetLocal(n, const(U32, 5)),)
    )
    count = ir.Function(
        "count", (), U32, (n, m), (maybe, ir.SetLocal(n, add(n, const(U32, 1))), ir.Return(add(n, m))), False
    )
    calls = (ir.Call(m, "count", ()), bump(0, m), ir.Call(m, "count", ()), bump(4, m), ir.Call(None, "count", ()))
    made = program(function(*calls, locals_=(m,)), count)
    outcome = agree(made, [(0, struct.pack("<IIII", flag, 0, 0, 0)) for flag in (1, 0, 1)])
    assert struct.unpack_from("<II", outcome.state) == (13, 13)


def test_a_loop_without_end_is_cancelled() -> None:
    made = program(function(bump(), ir.Loop((bump(4),), line=12), bump(8)))
    outcome = run(made, [(0, bytes(16))], cancel_after=0.05)
    assert (outcome.failed, outcome.fail_line) == (ir.ErrorCode.CANCELLED, 12)
    first, turns, after = struct.unpack_from("<III", outcome.state)
    assert (first, after) == (1, 0)
    assert turns > 1
    assert_same(run_interpreter(made, [(0, bytes(16))], fuel=0), run(made, [(0, bytes(16))], cancelled=True))


def test_a_long_for_loop_is_cancelled_in_a_function() -> None:
    i, got = Local(U64, "i"), Local(U32, "got")
    spin = ir.Function(
        "spin", (), U32, (i,), (ir.For(i, const(U64, 0), const(U64, 1), const(U64, 1 << 60), (bump(),), line=4),), True
    )
    made = program(function(*programs.failing(ir.Call(got, "spin", ())), bump(8), locals_=(got,)), spin)
    outcome = run(made, [(0, bytes(16))], cancelled=True)
    assert_same(run_interpreter(made, [(0, bytes(16))], fuel=0), outcome)
    assert outcome.fail_line == 4


def test_conditional_jumps_reach_over_long_code(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (U32, I32, F32, Type.F64)
    body: list[ir.Stmt] = []
    for kind, op in itertools.product(kinds, CompareOp):
        condition = ir.Compare(op, ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8)))
        body.append(ir.If(condition, (bump(0),) * 3, (bump(4),)))
    made = program(function(*body))
    messages = [(0, pair(kind, x, y)) for kind in kinds for x in (0, 1, 2) for y in (0, 1)]
    short = len(encode(made))
    agree(made, messages)
    monkeypatch.setattr(bytecode_assembler, "_FAR", 16)
    assert len(encode(made)) > short
    agree(made, messages)
    many = program(function(ir.If(ir.Load(BOOL, at(MESSAGE, 0)), (bump(0),) * 40_000), bump(4)))
    monkeypatch.undo()
    agree(many, [(0, bytes(16)), (0, bytes([1]) * 16)])


# -- functions, memory, services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 64])
def test_programs_made_by_hand_agree(batch: int) -> None:
    for x in (0, 1, -7, 100):
        for y in (0, 3, -2):
            agree(programs.sums(), [(0, struct.pack("<iiii", x, y, 5, -(2**31)))] * 3, batch=batch)
    collatz = programs.collatz()
    size = collatz.entries[0].size
    agree(collatz, [(0, struct.pack("<q", n).ljust(size, b"\0")) for n in (27, 1, 2, 0, 97, -3)], batch=batch)


@pytest.mark.parametrize("refuse", [{}, {0: 0xFFFF0102}, {1: 0xFFFF0103}, {2: 0xFFFF0106}, {4: 0xFFFF0104}])
def test_services_get_what_the_interpreter_gives_them(refuse: dict[int, int]) -> None:
    script = Script(refuse=refuse, refuse_clock=frozenset({1}))
    made = programs.everything()
    messages = [(entry % 2, struct.pack("<ffff", entry / 4, 2.0, math.nan, 0.6)) for entry in range(6)]
    agree(made, messages, script=script, instance=3, kernel=9)


@pytest.mark.parametrize("priority", [0, 2, 3, 4, 0xFFFFFFFF])
def test_a_send_has_what_it_was_given(priority: int) -> None:
    a, deadline = ir.Load(U32, at(MESSAGE, 0)), ir.Load(Type.F64, at(MESSAGE, 8))
    sent = ir.Send(1, 0xF0000004, at(STATE, 8, Term(ir.Load(U32, at(MESSAGE, 4)), 8)), 8, a, a, deadline, 5)
    made = program(function(sent, ir.Send(0, 7, at(STATE, 0), 0)), targets=("host", "other"))
    agree(made, [(0, struct.pack("<IId", priority, row, 0.5 - row)) for row in range(3)], state=bytes(range(64)))


def test_counted_errors_end_the_run_and_the_handler_goes_on() -> None:
    a = ir.Load(U32, at(MESSAGE, 0))
    counted = (ir.CountError(a, line=8), ir.CountError(const(U32, 5), line=9))
    made = program(function(ir.If(ir.Compare(CompareOp.NE, a, const(U32, 0)), counted), bump()))
    outcome = agree(made, [(0, struct.pack("<IIII", code, 0, 0, 0)) for code in (0, 0, 0xFFFF0001, 0, 7)])
    assert [report.errors for report in outcome.reports] == [0, 0, 2, 0, 2]


@pytest.mark.parametrize("kind", [I32, U32, I64, U64], ids=lambda kind: kind.text)
@pytest.mark.parametrize("root", [STATE, SHARED])
def test_atomics_give_the_old_value(kind: Type, root: Root) -> None:
    old, where = Local(kind, "old"), Local(U32, "where")
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    body: list[ir.Stmt] = [ir.SetLocal(where, const(U32, 1))]
    for index, op in enumerate(ir.AtomicOp):
        expected = b if op is ir.AtomicOp.CAS else None
        body.append(ir.Atomic(old, op, kind, at(root, 0, Term(where, 8)), a, expected))
        body.append(ir.Store(at(STATE, 16 + 8 * index), old))
        body.append(ir.Atomic(None, op, kind, at(root, 8), old, a if expected is not None else None))
    made = program(function(*body, locals_=(old, where)), state_size=128, shared_size=64)
    values = sp.edges_of(kind)[:9]
    agree(made, [(0, pair(kind, x, y)) for x in values for y in values])


def test_places_with_several_terms_and_wide_strides() -> None:
    x, y = ir.Load(U32, at(MESSAGE, 0)), ir.Load(U32, at(MESSAGE, 4))
    wide = at(FRAME, 16, Term(x, 70_000), Term(y, 4), Term(const(U32, 2), 2))
    plain = at(FRAME, 8, Term(y, 1), Term(x, 70_000), Term(y, 3))
    body = (
        ir.Zero(at(FRAME, 0), 210_064),
        ir.Store(wide, add(x, const(U32, 7))),
        ir.Store(at(FRAME, 16, Term(x, 70_000), Term(y, 4)), y),
        ir.Store(at(STATE, 0), ir.Load(U32, plain)),
        ir.Copy(at(STATE, 8, Term(x, 8)), at(FRAME, 8, Term(x, 70_000), Term(y, 4)), 16),
        ir.Zero(at(STATE, 24, Term(x, 1)), 2),
    )
    made = program(function(*body), frame_size=210_064)
    agree(made, [(0, struct.pack("<IIII", x, y, 0, 0)) for x in range(3) for y in range(8)])


@pytest.mark.parametrize("size", [64, 5000])
def test_objects_in_frame_and_shared_memory(size: int) -> None:
    i = Local(U32, "i")
    square = ir.Store(at(FRAME, 0, Term(i, 4)), ir.Binary(U32, BinaryOp.MUL, i, i))
    body = (
        ir.Zero(at(FRAME, 0), size),
        ir.For(i, const(U32, 0), const(U32, 1), const(U32, size // 4), (square,)),
        ir.Copy(at(FRAME, 8), at(FRAME, 0), size - 8),  # they overlap
        ir.Copy(at(STATE, 0), at(FRAME, 0), 64),
        ir.Store(at(SHARED, 0), add(ir.Load(U32, at(SHARED, 0)), const(U32, 1))),
        bump(0, ir.Load(U32, at(SHARED, 0))),  # zeros again with each message
        ir.Reply(sp.REPLY, at(FRAME, size - 64), 64),
    )
    agree(program(function(*body, locals_=(i,)), frame_size=size, shared_size=64), [(0, bytes(16))] * 3)


def test_a_written_message_is_a_copy_and_bool_is_any_byte_but_0() -> None:
    body = (
        ir.Store(at(MESSAGE, 0), add(ir.Load(U32, at(MESSAGE, 0)), const(U32, 5))),
        ir.Store(at(STATE, 0), ir.Load(U32, at(MESSAGE, 0))),
        ir.Store(at(STATE, 4), ir.Load(BOOL, at(MESSAGE, 4))),
        ir.Store(at(STATE, 5), ir.Load(BOOL, at(MESSAGE, 0, Term(ir.Load(U32, at(MESSAGE, 8)), 1)))),
        ir.Store(at(STATE, 8), ir.Load(U64, at(Root.HEADER, 16))),
    )
    made = program(function(*body), writes_message=True)
    for data in (0, 1, 2, 128):
        agree(made, [(0, struct.pack("<IBxxxII", 3, data, 4, 0))])


def test_a_warp_has_one_lane_and_the_grid_one_thread() -> None:
    v, w, o = Local(F32, "v"), Local(U64, "w"), Local(BOOL, "o")
    x = ir.Load(F32, at(MESSAGE, 0))
    body: list[ir.Stmt] = [ir.Barrier(ir.Scope.GRID), ir.Fence(ir.Scope.SYSTEM)]
    for index, op in enumerate(ir.WarpOp):
        is_vote = op.value in ("ballot", "all", "any")
        value = ir.Compare(CompareOp.GT, x, const(F32, 1.0)) if is_vote else x
        target = {"ballot": w, "all": o, "any": o}.get(op.value, v)
        lane = const(U32, 1) if op.value.startswith("shuffle") else None
        body += [ir.Warp(target, op, value, lane), ir.Store(at(STATE, 64 + 8 * index), target)]
    body += [ir.Store(at(STATE, 4 * n), ir.Cast(U32, ir.Query(name))) for n, name in enumerate(ir.QueryName)]
    made = program(function(*body, locals_=(v, w, o)), state_size=192)
    agree(made, [(0, struct.pack("<ffff", x, 0, 0, 0)) for x in (0.5, 2.5)], instance=5, kernel=0xFFFFFFF0)


def test_several_entries_have_functions_of_their_own() -> None:
    entries = tuple(
        ir.Entry(f"M{index}", 10 + index, 8 * (index + 1), False, function(bump(4 * index, const(U32, index + 1))))
        for index in range(3)
    )
    made = program(function(), entries=entries)
    outcome = agree(made, [(index, bytes(8 * (index + 1))) for index in (0, 2, 1, 2, 2)])
    assert struct.unpack_from("<III", outcome.state) == (1, 2, 9)


# -- the encoding -----------------------------------------------------------------------------------------------------


def test_what_handlers_do_most_is_one_operation_each() -> None:
    i = Local(U32, "i")
    assert names_of(program(function(bump()))) == ["ADD_STATE_32", "RETURN"]
    less = ir.Compare(CompareOp.LT, ir.Load(F32, at(MESSAGE, 0)), const(F32, 1.0))
    assert names_of(program(function(ir.If(less, (bump(),))))) == [
        "LOAD_U32_MESSAGE", "JUMP_NOT_LT_F32", "ADD_STATE_32", "RETURN",
    ]  # fmt: skip
    total = ir.Store(at(STATE, 0), ir.Load(U32, at(MESSAGE, 0, Term(i, 4))))
    loop = ir.For(i, const(U32, 0), const(U32, 1), const(U32, 4), (total,))
    names = names_of(program(function(loop, locals_=(i,))))
    assert names[-4:] == ["INDEX_LOAD_U32", "STORE_32_STATE", "NEXT_U32", "RETURN"]
    halved = ir.Binary(I32, BinaryOp.FLOORDIV, ir.Load(I32, at(MESSAGE, 0)), const(I32, 8))
    assert "SHR_I32" in names_of(program(function(ir.Store(at(STATE, 0), halved))))


def test_functions_that_never_run_at_once_share_registers() -> None:
    n = Local(U32, "n")

    def made(count: int) -> ir.Program:
        functions = [
            ir.Function(f"f{k}", (n,), U32, (), (ir.Return(add(n, const(U32, 1))),), False) for k in range(count)
        ]
        return program(
            function(*(ir.Call(n, f"f{k}", (n,)) for k in range(count)), bump(0, n), locals_=(n,)), *functions
        )

    def registers(count: int) -> str:
        return disassemble(encode(made(count))).splitlines()[0].split()[3]

    assert registers(2) == registers(200)
    assert struct.unpack_from("<I", agree(made(200), [(0, bytes(16))]).state)[0] == 200


def test_a_program_with_too_many_registers_is_refused() -> None:
    names = tuple(Local(U32, f"n{number}") for number in range(_core.vm_max_registers))
    with pytest.raises(UnsupportedError, match=r"needs 8\d\d\d registers"):
        encode(program(function(bump(0, names[0]), locals_=names)))


def test_bytes_that_are_no_program_are_refused_with_the_reason() -> None:
    with pytest.raises(InvalidArgumentError, match="cut off"):
        _core.VmProgram(b"")
    with pytest.raises(InvalidArgumentError, match="magic"):
        _core.VmProgram(bytes(200))
    good = encode(program(function(bump())))
    with pytest.raises(InvalidArgumentError, match="after its end"):
        _core.VmProgram(good + bytes(8))
    assert len(_core.VmProgram(good).entries) == 1


def test_the_listing_shows_every_operation_of_a_program() -> None:
    text = disassemble(encode(programs.everything()))
    assert "SEND" in text
    assert "; entry 1: f2, 16 bytes, writes its message" in text
    assert set(names_of(programs.everything())) <= set(OPCODES)
