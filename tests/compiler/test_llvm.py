"""Machine code made by LLVM does what the interpreter does: control flow, memory, services and failure."""

from __future__ import annotations

import ctypes
import gc
import inspect
import random
import struct
import sys
import threading
from typing import Any

import accepted_handlers
import numpy as np
import programs
import pytest
import scalar_programs as sp
from harness import Script, assert_same, floats_of, run_interpreter, run_native
from llvm_running import agree, build, run
from scalar_programs import at, const, function, program

pytest.importorskip("llvmlite")

from pyringkernel import _core
from pyringkernel.compiler import ir, llvm
from pyringkernel.compiler.frontend import translate
from pyringkernel.compiler.ir import BinaryOp, Local, Place, Root, Term, Type
from pyringkernel.compiler.llvm import facts as llvm_facts

U32, I32, I64, U64, F32, BOOL = Type.U32, Type.I32, Type.I64, Type.U64, Type.F32, Type.BOOL
STATE, MESSAGE, FRAME, SHARED = Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED


def add(left: ir.Expr, right: ir.Expr) -> ir.Binary:
    return ir.Binary(left.type, BinaryOp.ADD, left, right)


def bump(offset: int = 0, by: ir.Expr | None = None) -> ir.Store:
    """state[offset] += by"""
    place = at(STATE, offset)
    return ir.Store(place, add(ir.Load(U32, place), by or const(U32, 1)))


# -- control flow -----------------------------------------------------------------------------------------------------


def items(kind: Type, start: int, step: int, count: ir.Expr, *more: ir.Stmt) -> ir.Program:
    """Sums the items of a loop, as a hash, and counts them; the loop variable's last value is kept too."""
    index = Local(kind, "i")
    mixed = ir.Binary(U64, BinaryOp.MUL, ir.Load(U64, at(STATE, 0)), const(U64, 6364136223846793005))
    body = (*more, ir.Store(at(STATE, 0), add(mixed, ir.Cast(U64, index))), bump(8))
    loop = ir.For(index, const(kind, start), const(kind, step), count, body, line=7)
    keep = ir.Store(at(STATE, 16), ir.Cast(U64, index))
    return program(function(loop, keep, locals_=(index, Local(U32, "n"))))


@pytest.mark.parametrize("kind", [I32, U32, I64, U64], ids=lambda kind: kind.text)
@pytest.mark.parametrize("constant", [False, True])
def test_for_loops_have_the_items_of_the_interpreter(
    kind: Type, constant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm_facts, "POLL_EVERY", 16)  # chunks of few turns
    monkeypatch.setattr("pyringkernel.compiler.llvm.loops.POLL_EVERY", 16)
    counts = U32 if kind.size == 4 else U64
    for start, step in [
        (0, 1),
        (5, 3),
        (0, 0),
        (2**31 - 3, 1),
        *([(-4, 2), (9, -2), (-(2**31), -1)] if kind.is_signed else []),
    ]:
        for count in (0, 1, 2, 3, 4, 15, 16, 17, 63):
            given = const(counts, count) if constant else ir.Load(counts, at(MESSAGE, 0))
            agree(items(kind, start, step, given), [(0, struct.pack("<QQ", count, 0))])


def test_assigning_to_the_loop_variable_does_not_change_the_next_item() -> None:
    index = Local(U32, "i")
    made = items(U32, 0, 2, const(U32, 10), ir.SetLocal(index, const(U32, 77)))
    agree(made, [(0, bytes(16))])


def test_break_continue_and_return_in_nested_loops() -> None:
    i, j = Local(I32, "i"), Local(I32, "j")
    odd = ir.Compare(ir.CompareOp.EQ, ir.Binary(I32, BinaryOp.AND, j, const(I32, 1)), const(I32, 1))
    inner = ir.For(
        j, const(I32, 0), const(I32, 1), const(U32, 9),
        (
            ir.If(odd, (ir.Continue(),)),
            ir.If(ir.Compare(ir.CompareOp.GT, j, i), (ir.Break(),)),
            bump(4, ir.Cast(U32, add(i, j))),
        ),
    )  # fmt: skip
    late = ir.Compare(ir.CompareOp.GE, i, ir.Load(I32, at(MESSAGE, 0)))
    loop = ir.Loop((ir.If(late, (bump(8), ir.Return())), inner, ir.SetLocal(i, add(i, const(I32, 1)))))
    made = program(function(loop, bump(12), locals_=(i, j)))
    outcome = agree(made, [(0, struct.pack("<iiii", n, 0, 0, 0)) for n in range(8)])
    assert struct.unpack_from("<I", outcome.state, 8)[0] == 8


def test_a_loop_without_end_is_cancelled() -> None:
    made = program(function(bump(), ir.Loop((bump(4),), line=12), bump(8)))
    outcome = run(made, [(0, bytes(16))], cancel_after=0.05)
    assert outcome.failed == ir.ErrorCode.CANCELLED
    assert outcome.fail_line == 12
    first, turns, after = struct.unpack_from("<III", outcome.state)
    assert (first, after) == (1, 0)
    assert turns > 1
    assert_same(run_interpreter(made, [(0, bytes(16))], fuel=0), run(made, [(0, bytes(16))], cancelled=True))


def test_a_long_for_loop_is_cancelled_between_chunks() -> None:
    made = items(U64, 0, 1, const(U64, 1 << 60))
    outcome = run(made, [(0, bytes(16))], cancelled=True)
    assert (outcome.failed, outcome.fail_line) == (ir.ErrorCode.CANCELLED, 7)
    turns = struct.unpack_from("<I", outcome.state, 8)[0]
    assert 1 <= turns <= llvm_facts.POLL_EVERY


def test_a_for_loop_around_a_loop_is_cancelled_in_a_function() -> None:
    i = Local(U32, "i")
    spin = ir.Function(
        "spin",
        (),
        U32,
        (i,),
        (ir.For(i, const(U32, 0), const(U32, 1), const(U32, 3), (ir.Loop((bump(),), line=4),)),),
        True,
    )
    got = Local(U32, "got")
    failed = ir.Query(ir.QueryName.FAILED)
    made = program(function(ir.Call(got, "spin", ()), ir.If(failed, (ir.Return(),)), bump(8), locals_=(got,)), spin)
    messages = [(0, bytes(16))]
    outcome = run(made, messages, cancelled=True)
    assert_same(run_interpreter(made, messages, fuel=0), outcome)
    assert outcome.fail_line == 4


@pytest.mark.parametrize("kind", [I32, U32], ids=lambda kind: kind.text)
@pytest.mark.parametrize("counted", [False, True], ids=["constant", "trip count"])
def test_a_plain_loop_over_an_array_is_vectorised(kind: Type, counted: bool) -> None:
    size = 200_000
    i, n = Local(kind, "i"), Local(U32, "n")
    x, y = (at(root, 8, Term(ir.Cast(U32, i) if kind is I32 else i, 4)) for root in (MESSAGE, STATE))
    store = ir.Store(
        y, add(ir.Binary(F32, BinaryOp.MUL, ir.Load(F32, at(MESSAGE, 0)), ir.Load(F32, x)), ir.Load(F32, y))
    )
    trips = ir.TripCount(U32, const(kind, 0), ir.Load(kind, at(MESSAGE, 4)), const(kind, 1))
    count = n if counted else const(U32, size)
    body = (ir.SetLocal(n, trips), ir.For(i, const(kind, 0), const(kind, 1), count, (store,)))
    made = program(function(*body, locals_=(i, n)), size=8 + 4 * size, state_size=8 + 4 * size)
    native = build(made)
    assert " x float> " in native.optimized()
    a, (xs, ys) = np.float32(1.1), np.random.default_rng(3).random((2, size), np.float32)
    head = struct.pack("<fi", a, size)
    outcome = run_native(native.entries, made, [(0, head + xs.tobytes())], state=bytes(8) + ys.tobytes())
    np.testing.assert_array_equal(np.frombuffer(outcome.state, np.float32)[2:], a * xs + ys)


# -- functions, memory, services --------------------------------------------------------------------------------------


def test_calls_pass_scalars_and_offsets_and_failures() -> None:
    x, where, r = Local(I32, "x"), Local(U32, "where"), Local(I32, "r")
    half = ir.Function(
        "half", (x, where), I32, (),
        (
            ir.If(ir.Compare(ir.CompareOp.LT, x, const(I32, 0)), (ir.Fail(0xFFFF0101, line=3),)),
            ir.Store(Place(STATE, 0, (Term(where, 1),)), x),
            ir.SetLocal(x, ir.Binary(I32, BinaryOp.FLOORDIV, x, const(I32, 2))),
            ir.Return(x),
        ),
        True,
    )  # fmt: skip
    failed = ir.If(ir.Query(ir.QueryName.FAILED), (ir.Return(),))
    twice = ir.Function(
        "twice", (x,), I32, (r,),
        (ir.Call(r, "half", (x, const(U32, 4))), ir.If(ir.Query(ir.QueryName.FAILED), (ir.Return(const(I32, 0)),)),
         ir.Call(r, "half", (r, const(U32, 8))), ir.Return(r)),
        True,
    )  # fmt: skip
    handler = function(
        ir.Call(r, "twice", (ir.Load(I32, at(MESSAGE, 0)),)), failed, ir.Store(at(STATE, 12), r), bump(), locals_=(r,)
    )
    made = program(handler, half, twice)
    for batch in (1, 64):
        outcome = agree(made, [(0, struct.pack("<iiii", value, 0, 0, 0)) for value in (100, 7, -5, 9)], batch=batch)
        assert outcome.state[:16] == struct.pack("<Iiii", 3, 9, 4, 2)


def test_a_written_message_is_a_copy_and_bool_is_any_byte_but_0() -> None:
    flag = ir.Load(BOOL, at(MESSAGE, 4))
    body = (
        ir.Store(at(MESSAGE, 0), add(ir.Load(U32, at(MESSAGE, 0)), const(U32, 5))),
        ir.Store(at(STATE, 0), ir.Load(U32, at(MESSAGE, 0))),
        ir.Store(at(STATE, 4), flag),
        ir.Store(at(STATE, 8), ir.Load(U64, at(Root.HEADER, 16))),
    )
    made = program(function(*body), writes_message=True)
    for data in (0, 1, 2, 128):
        agree(made, [(0, struct.pack("<IBxxxQ", 3, data, 0))])


@pytest.mark.parametrize("size", [64, 4096, 5000])
def test_objects_in_frame_and_shared_memory(size: int) -> None:
    i = Local(U32, "i")
    place = at(FRAME, 0, Term(i, 4))
    shared = at(SHARED, 0)
    body = (
        ir.Zero(at(FRAME, 0), size),
        ir.For(
            i,
            const(U32, 0),
            const(U32, 1),
            const(U32, size // 4),
            (ir.Store(place, ir.Binary(U32, BinaryOp.MUL, i, i)),),
        ),
        ir.Copy(at(FRAME, 8), at(FRAME, 0), size - 8),  # they overlap
        ir.Copy(at(STATE, 0), at(FRAME, 0), 64),
        ir.Store(shared, add(ir.Load(U32, shared), const(U32, 1))),
        bump(0, ir.Load(U32, shared)),  # zeros again with each message
        ir.Reply(sp.REPLY, at(FRAME, size - 64), 64),
    )
    made = program(function(*body, locals_=(i,)), frame_size=size, shared_size=64)
    agree(made, [(0, bytes(16))] * 3)


def everything() -> ir.Program:
    """All services, with every argument that may be left out."""
    n, t, ok = Local(U32, "n"), Local(U64, "t"), Local(BOOL, "ok")
    a, b = ir.Load(U32, at(MESSAGE, 0)), ir.Load(U32, at(MESSAGE, 4))
    words: list[ir.Stmt] = []
    for index, service in enumerate(ir.Service):
        arguments: tuple[ir.Expr, ...] = ()
        if service.parameters:
            arguments = (const(U32, 1),) if service is ir.Service.FREE_SLOTS else (ir.Cast(U64, a),)
        target = {U64: t, BOOL: ok, None: None}[service.result]
        words.append(ir.CallService(target, service, arguments))
        if target is not None:
            words.append(ir.Store(at(STATE, 64 + 8 * index), ir.Cast(U64, target)))
    payload = at(STATE, 64)
    deadline = ir.Load(Type.F64, at(MESSAGE, 8))
    words += [
        ir.Publish(n, 0, 0xFFFFFF01, payload, 24, retain=True),
        bump(0, n),
        ir.Publish(None, 1, 2, payload, 8),
        ir.Send(0, 0xF0000003, payload, 16, line=4),
        ir.Send(1, 4, payload, 0, instance=a, priority=b, deadline=deadline, line=5),
        ir.Reply(0xFFFFFFFF, payload, 32, line=6),
        bump(4),
    ]
    made = function(*words, locals_=(n, t, ok))
    return program(made, state_size=192, targets=("host", "other"), topics=("a", "b"))


@pytest.mark.parametrize("refuse", [{}, {0: 0xFFFF0102}, {1: 0xFFFF0103}, {2: 0xFFFF0106}, {4: 0xFFFF0104}])
def test_services_get_what_the_interpreter_gives_them(refuse: dict[int, int]) -> None:
    script = Script(refuse=refuse, refuse_clock=frozenset({1}))
    messages = [(0, struct.pack("<IId", n, priority, 0.5 * n - 1)) for n, priority in enumerate((0, 3, 4, 0xFFFFFFFF))]
    agree(everything(), messages, script=script, instance=3, kernel=9)


def test_counted_errors_end_the_run_and_the_handler_goes_on() -> None:
    a = ir.Load(U32, at(MESSAGE, 0))
    counted = ir.CountError(a, line=8)
    made = program(
        function(
            ir.If(ir.Compare(ir.CompareOp.NE, a, const(U32, 0)), (counted, ir.CountError(const(U32, 5), line=9))),
            bump(),
        )
    )
    outcome = agree(made, [(0, struct.pack("<IIII", code, 0, 0, 0)) for code in (0, 0, 0xFFFF0001, 0, 7)])
    assert [report.errors for report in outcome.reports] == [0, 0, 2, 0, 2]


@pytest.mark.parametrize("kind", [I32, U32, I64, U64], ids=lambda kind: kind.text)
@pytest.mark.parametrize("root", [STATE, SHARED])
def test_atomics_give_the_old_value(kind: Type, root: Root) -> None:
    old = Local(kind, "old")
    a, b = ir.Load(kind, at(MESSAGE, 0)), ir.Load(kind, at(MESSAGE, 8))
    body: list[ir.Stmt] = []
    for index, op in enumerate(ir.AtomicOp):
        expected = b if op is ir.AtomicOp.CAS else None
        body.append(ir.Atomic(old, op, kind, at(root, 8), a, expected))
        body.append(ir.Store(at(STATE, 16 + 8 * index), old))
        body.append(ir.Atomic(None, op, kind, at(root, 8), b, a if expected is not None else None))
    made = program(function(*body, locals_=(old,)), state_size=128, shared_size=64)
    code = "<" + sp.CODES[kind]
    values = sp.edges_of(kind)[:9]
    agree(
        made,
        [
            (0, struct.pack(code, x).ljust(8, b"\0") + struct.pack(code, y).ljust(8, b"\0"))
            for x in values
            for y in values
        ],
    )


def test_a_warp_has_one_lane_and_the_grid_one_thread() -> None:
    v, w, o = Local(F32, "v"), Local(U64, "w"), Local(BOOL, "o")
    x = ir.Load(F32, at(MESSAGE, 0))
    body: list[ir.Stmt] = [ir.Barrier(ir.Scope.GRID), ir.Fence(ir.Scope.SYSTEM)]
    for index, op in enumerate(ir.WarpOp):
        value: ir.Expr = ir.Compare(ir.CompareOp.GT, x, const(F32, 1.0)) if op.value in ("ballot", "all", "any") else x
        target = {"ballot": w, "all": o, "any": o}.get(op.value, v)
        lane = const(U32, 1) if op.value.startswith("shuffle") else None
        body += [ir.Warp(target, op, value, lane), ir.Store(at(STATE, 64 + 8 * index), target)]
    body += [ir.Store(at(STATE, 4 * index), ir.Cast(U32, ir.Query(name))) for index, name in enumerate(ir.QueryName)]
    made = program(function(*body, locals_=(v, w, o)), state_size=192)
    agree(made, [(0, struct.pack("<ffff", x, 0, 0, 0)) for x in (0.5, 2.5)], instance=5, kernel=0xFFFFFFF0)


def test_several_entries_have_functions_of_their_own() -> None:
    entries = tuple(
        ir.Entry(f"M{index}", 10 + index, 8 * (index + 1), False, function(bump(4 * index, const(U32, index + 1))))
        for index in range(3)
    )
    made = program(function(), entries=entries)
    messages = [(index, bytes(8 * (index + 1))) for index in (0, 2, 1, 2, 2)]
    outcome = agree(made, messages)
    assert struct.unpack_from("<III", outcome.state) == (1, 2, 9)


def test_no_messages_are_handled_when_there_are_none() -> None:
    from native_calls import RUN, RkCall

    made = program(function(bump()))
    native = build(made)
    assert RUN(native.entries[0][0])(None, ctypes.addressof(RkCall()), None, 64, 0) == 0


# -- the engine -------------------------------------------------------------------------------------------------------


def test_an_error_of_llvm_is_an_internal_error_that_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "module_text", lambda *_, **__: "define void @rk_run_0() { ret i32 }")
    with pytest.raises(llvm.NativeCompilerError, match="an error in pyringkernel"):
        build(program(function()))


def test_without_llvmlite_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "_binding", llvm._binding.__wrapped__)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.raises(NotImplementedError, match=r"pip install 'pyringkernel\[jit\]'"):
        llvm._binding()


def test_code_is_unloaded_with_its_program() -> None:
    made = program(function(bump()))

    def mapped() -> int:
        with open("/proc/self/maps") as maps:
            return sum("r-xp" in line and "/" not in line for line in maps)

    if not sys.platform.startswith("linux"):
        pytest.skip("looks at /proc")
    build(made)
    gc.collect()
    before = mapped()
    kept = [build(made) for _ in range(20)]
    assert mapped() >= before + 1
    kept.clear()
    gc.collect()
    assert mapped() <= before


def test_threads_may_compile_at_once() -> None:
    programs = [program(function(bump(0, const(U32, number)))) for number in range(8)]
    found: dict[int, int] = {}

    def work(number: int) -> None:
        native = build(programs[number])
        found[number] = struct.unpack_from("<I", run_native(native.entries, programs[number], [(0, bytes(16))]).state)[
            0
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(8)}


def test_the_text_can_be_looked_at() -> None:
    made = program(function(bump()))
    native = build(made)
    assert llvm.to_llvm(made) == native.optimized()
    assert "rk_run_0" in native.assembly()
    assert "define i32 @rk_run_0(" in native.text
    assert "define i32 @rk_run_0(" in native.optimized()
    assert native.compile_ms > 0
    assert not native.from_cache


# -- programs of others -----------------------------------------------------------------------------------------------


def floats_in(made: ir.Program, state: type[Any] | None) -> dict[str | int, Any]:
    found: dict[str | int, Any] = {type_id: floats_of(_core.message_types[type_id]) for type_id, _ in made.replies}
    return found | ({"state": floats_of(state)} if state is not None else {})


@pytest.mark.parametrize("handler", accepted_handlers.HANDLERS, ids=lambda handler: handler.__name__)
def test_handlers_in_python_do_what_the_interpreter_does(handler: Any) -> None:
    made = translate(handler)
    state = inspect.get_annotations(handler).get("state")
    classes = vars(accepted_handlers)
    floats = floats_in(made, classes[state] if isinstance(state, str) else state)
    native, chance = build(made), random.Random(7)
    for turn in range(200):
        # Small bytes too: random ones alone are hardly ever a valid length, a small number or an equal pair.
        bits = chance.choice((1, 3, 8))
        messages = []
        for _ in range(3):
            index = chance.randrange(len(made.entries))
            messages.append((index, bytes(chance.getrandbits(bits) for _ in range(made.entries[index].size))))
        memory = bytes(chance.getrandbits(bits) for _ in range(made.state_size))
        script = Script(refuse={turn % 5: 0xFFFF0102})
        want = run_interpreter(made, messages, state=memory, script=script)
        assert_same(want, run_native(native.entries, made, messages, state=memory, script=script), floats=floats)


@pytest.mark.parametrize("make", [programs.sums, programs.collatz, programs.everything])
def test_programs_by_hand_do_what_the_interpreter_does(make: Any) -> None:
    made, chance = make(), random.Random(11)
    native = build(made)
    floats = {"state": [(52, F32)], programs.ANSWER + 1: [(4 * index, F32) for index in range(4)]}
    for turn in range(100):
        bits = chance.choice((1, 4, 8))
        messages = [
            (chance.randrange(len(made.entries)), bytes(chance.getrandbits(bits) for _ in range(16))) for _ in range(4)
        ]
        script = Script(refuse={turn % 5: 0xFFFF0102}, refuse_clock=frozenset({1}))
        want = run_interpreter(made, messages, script=script, fuel=1000)
        if any(report.failed == ir.ErrorCode.CANCELLED for report in want.reports):
            continue  # a walk from a large number
        assert_same(want, run_native(native.entries, made, messages, script=script), floats=floats)
