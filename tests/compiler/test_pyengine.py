"""The debug engine: the interpreter's results, and the user's lines and names in a debugger."""

from __future__ import annotations

import ast
import io
import pdb
import struct
import sys

import pytest
from harness import Recorder, Script, assert_same, run_interpreter, run_python, slot_of
from hypothesis import given
from hypothesis import strategies as st
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
    load,
    local,
    one,
    operation,
    program,
    sums,
    u32,
)

from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode, Root, Type
from pyringkernel.compiler.pyengine import PythonProgram
from pyringkernel.compiler.pyexpressions import local_name

F32 = {"state": [(52, Type.F32)], ANSWER + 1: [(4 * index, Type.F32) for index in range(4)]}
STATE = at(Root.STATE, 0)


@pytest.mark.parametrize("make", [sums, collatz, everything])
@given(data=st.data())
def test_results_are_the_interpreters(make, data):
    made = make()
    item = st.tuples(st.integers(0, len(made.entries) - 1), st.binary(min_size=16, max_size=16))
    messages = data.draw(st.lists(item, min_size=1, max_size=4))
    script = Script(refuse={data.draw(st.integers(0, 4)): ErrorCode.SEND_FULL}, refuse_clock=frozenset([1]))
    fuel = data.draw(st.sampled_from([2, 3, 1000]))
    expected = run_interpreter(made, messages, script=script, fuel=fuel)
    assert_same(run_python(made, messages, script=script, fuel=fuel), expected, F32)


@given(data=st.data())
def test_constants_of_every_kind(data):
    kind = data.draw(st.sampled_from(list(Type)))
    if kind is Type.BOOL:
        value = data.draw(st.booleans())
    elif kind.is_float:
        value = data.draw(st.floats(width=kind.bits))
    else:
        value = data.draw(
            st.integers(-(1 << (kind.bits - 1)), -1) if kind.is_signed else st.integers(0, (1 << kind.bits) - 1)
        )
    made = operation(const(kind, value))
    messages = [(0, bytes(24))]
    floats = {"state": [(0, kind)]} if kind.is_float else {}
    assert_same(run_python(made, messages), run_interpreter(made, messages), floats)


# -- the user's file --------------------------------------------------------------------------------------------------

SOURCE = '''\
"""A handler."""
import pyringkernel as rk


@rk.device
def double(n: rk.i32) -> rk.i32:
    assert n < 100
    return n + n


@rk.kernel
def handler(ctx: rk.Context, state: Total, msg: Ask) -> Answer:
    total = 0
    for i in range(4):
        item = double(
            msg.items[i]
        )
        total += item
    state.total = total
    return Answer(total)
'''


@pytest.fixture
def made(tmp_path):
    """What a front end would make of the source above."""
    path = tmp_path / "handlers.py"
    path.write_text(SOURCE)
    i, n, item, total = local("i", Type.U32), local("n"), local("item"), local("total")
    double = function(
        "double",
        [
            ir.If(ir.Compare(ir.CompareOp.GE, n, i32(100)), (ir.Fail(ErrorCode.ASSERTION, 7),), line=7),
            ir.Return(add(n, n), 8),
        ],
        parameters=[n], result=Type.I32, may_fail=True, line=6, file=str(path),
    )  # fmt: skip
    body = [
        ir.SetLocal(total, i32(0), 13),
        ir.For(i, u32(0), u32(1), u32(4), (
            *failing(ir.Call(item, "double", (load(Type.I32, Root.MESSAGE, 0, (i, 4)),), 15)),
            ir.SetLocal(total, add(total, item), 18),
        ), 14),
        ir.Store(STATE, total, 19),
        ir.Reply(ANSWER, STATE, 8, 20),
    ]  # fmt: skip
    main = function("handler", body, locals=[i, item, total], may_fail=True, line=12, file=str(path))
    return program([entry(main)], [double], state=8), path


ASK = struct.pack("<4i", 1, 2, 3, 4)


def call(made: ir.Program, message: bytes = ASK) -> Recorder:
    recorder = Recorder()
    PythonProgram(made).run(0, bytearray(made.state_size), slot_of(made, 0, message, 0), recorder)
    return recorder


def test_a_trace_sees_the_users_lines_and_locals(made):
    made, path = made
    lines, seen = [], []

    def trace(frame, event, _):
        if frame.f_code.co_filename != str(path):
            return None
        if event == "line":
            lines.append((frame.f_code.co_name, frame.f_lineno))
            if frame.f_lineno == 18:
                seen.append((frame.f_locals["i"], frame.f_locals["item"], frame.f_locals["total"]))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        recorder = call(made)
    finally:
        sys.settrace(before)
    double = [("double", 7), ("double", 8)]
    turn = [("handler", 14), ("handler", 15), *double, ("handler", 18)]
    steps = [step for step in lines if step[1] not in (6, 12)]  # what comes before the body is on the lines of `def`
    assert steps == [("handler", 13), *turn * 4, ("handler", 14), ("handler", 19), ("handler", 20)]
    assert seen == [(0, 2, 0), (1, 4, 2), (2, 6, 6), (3, 8, 12)]
    assert recorder.effects == [("reply", ANSWER, struct.pack("<ii", 20, 0), 0)]


def test_a_breakpoint_at_a_line_of_the_user_stops_there(made):
    made, path = made
    said = io.StringIO()
    debugger = pdb.Pdb(
        stdin=io.StringIO("continue\np total\np len('four')\nwhere\nclear 1\ncontinue\n"),
        stdout=said,
        nosigint=True,
        readrc=False,
    )
    debugger.use_rawinput = False  # it stops at once, and then at the breakpoint
    assert debugger.set_break(str(path), 19) is None
    before = sys.gettrace()
    debugger.reset()
    try:
        sys.settrace(debugger.trace_dispatch)
        recorder = call(made)
    finally:
        sys.settrace(before)
        debugger.clear_all_breaks()
    text = said.getvalue()
    assert f"{path}(19)handler()" in text
    assert "state.total = total" in text  # pdb shows the user's text
    assert "(Pdb) 20\n" in text
    assert "(Pdb) 4\n" in text
    assert len(recorder.effects) == 1


def test_a_failure_has_the_users_line(made):
    made, _ = made
    outcome = run_python(made, [(0, struct.pack("<4i", 1, 200, 3, 4))])
    assert (outcome.failed, outcome.fail_line) == (ErrorCode.ASSERTION, 7)
    assert outcome.replies == []


def test_the_functions_have_the_users_names(made):
    made, path = made
    run = PythonProgram(made)
    code = run._entries[0].__code__
    assert (code.co_name, code.co_filename, code.co_firstlineno) == ("handler", str(path), 12)
    assert {"i", "item", "total"} <= set(code.co_varnames)


def test_names_that_python_does_not_have_become_others():
    assert local_name("total") == "total"
    assert local_name("größe") == "größe"
    odd = ["a b", "if", "None", "", "_rk_memory", "__debug__", "1st", "a_20_b", "%t0", "a.b"]
    made = {local_name(name) for name in odd}
    assert len(made) == len(odd)
    assert all(name.isidentifier() for name in made)
    assert local_name("a_20_b") == "a_20_b"
    names = [local(name) for name in odd]
    body = [stmt for index, name in enumerate(names) for stmt in (ir.SetLocal(name, i32(index)),)]
    body += [ir.Store(at(Root.STATE, 4 * index), name) for index, name in enumerate(names)]
    outcome = run_python(one(body, locals=names, state=4 * len(names)), [(0, ASK)])
    assert struct.unpack(f"<{len(names)}i", outcome.state) == tuple(range(len(names)))


def test_functions_may_have_any_name():
    made = everything()
    assert made.functions[0].name == "scale(message)"
    assert run_python(made, [(1, bytes(16))]).failed == 0


def test_nothing_is_made_as_text(monkeypatch):
    """Only trees reach compile(), but for one constant text."""
    compiled = []

    def watched(source, *arguments, **options):
        compiled.append(source)
        return compile(source, *arguments, **options)

    monkeypatch.setattr("pyringkernel.compiler.pyengine.compile", watched, raising=False)
    PythonProgram(everything())
    assert len(compiled) == 3
    assert all(isinstance(source, ast.Module) for source in compiled)


def test_a_deep_body_compiles():
    body: list[ir.Stmt] = [ir.Store(STATE, add(load(Type.I32, Root.STATE, 0), i32(1)))]
    for _ in range(60):
        body = [ir.If(const(Type.BOOL, True), tuple(body))]
    node: ir.Expr = i32(1)
    for _ in range(150):
        node = add(node, i32(1))
    outcome = run_python(one([*body, ir.Store(at(Root.STATE, 4), node)], state=8), [(0, ASK)])
    assert struct.unpack("<ii", outcome.state) == (1, 151)
