"""Handlers that reach memory through rk.Ref: every engine computes what the interpreter computes, and stays inside."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import frontend_run
import numpy as np
import pytest
import toolchains
from harness import Outcome, run_interpreter, run_native, run_python

import pyringkernel as rk
from pyringkernel import _core
from pyringkernel.compiler import ir
from pyringkernel.compiler.bytecode import disassemble, encode
from pyringkernel.compiler.emit.targets import emit
from pyringkernel.compiler.printer import to_text
from pyringkernel.compiler.verify import IrError, verify
from pyringkernel.errors import UnsupportedOnTargetError

HEADER = 64
INDEX = int(ir.ErrorCode.INDEX)


@rk.message
class Pair:
    a: rk.f32
    x: rk.Ref[rk.f32]
    y: rk.Ref[rk.f32]


@rk.message
class Count:
    n: rk.i64 = 0
    data: rk.Ref[rk.f32] = None


@rk.message
class Hits:
    at: rk.i32
    by: rk.i32
    cells: rk.Ref[rk.i32]
    wide: rk.Ref[rk.u64]


@rk.message
class Nested:
    pad: rk.u8
    inner: Pair


@rk.message
class Widths:
    b: rk.Ref[rk.i8]
    h: rk.Ref[rk.u16]
    e: rk.Ref[rk.f16]
    d: rk.Ref[rk.f64]


def saxpy(ctx: rk.Context, msg: Pair) -> Count:
    for i in range(min(len(msg.x), len(msg.y))):
        msg.y[i] += msg.a * msg.x[i]
    return Count(n=len(msg.y), data=msg.y)


def outside(ctx: rk.Context, msg: Pair) -> Count:
    total = rk.f32(0.0)
    for i in range(-2, 12):
        total += msg.x[i]
        msg.y[i] = total
    msg.y[len(msg.y)] = 7.0
    return Count(n=rk.i64(total) + rk.i64(msg.x[0]) + rk.i64(msg.x[100]))


def atomics(ctx: rk.Context, msg: Hits) -> Count:
    old = rk.i64(ctx.atomic_add(msg.cells[msg.at], msg.by))
    old += rk.i64(ctx.atomic_sub(msg.cells[0], 3))
    old += rk.i64(ctx.atomic_min(msg.cells[1], msg.by))
    old += rk.i64(ctx.atomic_max(msg.cells[2], msg.by))
    old += rk.i64(ctx.atomic_and(msg.cells[3], 6))
    old += rk.i64(ctx.atomic_or(msg.cells[4], 9))
    old += rk.i64(ctx.atomic_xor(msg.cells[5], 5))
    old += rk.i64(ctx.atomic_exchange(msg.cells[6], msg.by))
    old += rk.i64(ctx.atomic_cas(msg.cells[7], 7, -1))
    old += rk.i64(ctx.atomic_cas(msg.cells[8], 7, -1))
    ctx.atomic_max(msg.wide[0], 2**63)
    ctx.atomic_min(msg.wide[1], 1)
    ctx.atomic_add(msg.wide[2], rk.u64(2**64 - 1))
    return Count(n=old)


@rk.device
def total_of(values: rk.Ref[rk.f32], scale: rk.f32) -> rk.f32:
    found = rk.f32(0.0)
    for value in values:
        found += value * scale
    return found


@rk.device
def fill(values: rk.Ref[rk.f32], value: rk.f32) -> None:
    n = len(values)
    for i in range(n):
        values[i] = value


def by_functions(ctx: rk.Context, msg: Nested) -> Count:
    found = total_of(msg.inner.x, msg.inner.a)
    fill(msg.inner.y, found)
    return Count(n=rk.i64(found), data=msg.inner.y)


def rebound(ctx: rk.Context, msg: Pair) -> Pair:
    first = msg.x
    msg.x = msg.y
    for i, value in enumerate(first):
        msg.y[i] = value + 1.0
    made = Pair(a=first[0], x=None, y=msg.x)
    made.y[1] = 50.0
    made.x[0] = 1.0
    return made


def widths(ctx: rk.Context, msg: Widths) -> Count:
    for i in range(len(msg.b)):
        msg.b[i] = -msg.b[i]
        msg.h[i] += 65535
        msg.e[i] = msg.e[i] * rk.f16(2.0)
        msg.d[i] += rk.f64(msg.b[i]) / 3.0
    return Count(n=rk.i64(msg.h[0]) + rk.i64(msg.b[3]))


Run = Callable[[ir.Program, Sequence[tuple[int, bytes]]], Outcome]


def _llvm(program: ir.Program, messages: Any) -> Outcome:
    from pyringkernel.compiler.llvm import compile_native

    native = compile_native(program, cache=False)
    return run_native(native.entries, program, messages)


def _vm(program: ir.Program, messages: Any) -> Outcome:
    loaded = _core.VmProgram(encode(program))
    return run_native(loaded.entries, program, messages)


def _cuda(program: ir.Program, messages: Any) -> Outcome:
    return run_native(toolchains.build_host([program], "cuda", sanitize=True)[0], program, messages)


ENGINES: dict[str, Run] = {"python": run_python, "vm": _vm, "llvm": _llvm, "cuda": _cuda}


@pytest.fixture(params=ENGINES)
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "llvm" and importlib.util.find_spec("llvmlite") is None:
        pytest.skip("llvmlite is not installed")
    if request.param == "cuda" and not toolchains.gcc:
        pytest.skip("no g++")
    return ENGINES[request.param]


class Arrays:
    """Registered, and set back for each engine; with room around that nobody may touch."""

    def __init__(self, **contents: tuple[str, list[Any]]) -> None:
        self._room = {n: np.full(len(v) + 8, 77, dtype) for n, (dtype, v) in contents.items()}
        self._given = {n: v for n, (_, v) in contents.items()}
        self.buffers = {n: rk.buffers.register(room[4:-4]) for n, room in self._room.items()}

    def reset(self) -> None:
        for name, room in self._room.items():
            room[:] = 77
            room[4:-4] = self._given[name]

    def read(self) -> dict[str, bytes]:
        for room in self._room.values():
            assert all(room[:4] == 77)
            assert all(room[-4:] == 77)
        return {name: room.tobytes() for name, room in self._room.items()}


def floats(n: int) -> tuple[str, list[Any]]:
    return "f4", [float(i * i) - 3.5 for i in range(n)]


def compare(function: Any, run: Run, arrays: Arrays, *messages: Any) -> tuple[Outcome, dict[str, bytes]]:
    """What both computed, in messages and in buffers."""
    program = frontend_run.program_of(function)
    given = [(0, bytes(memoryview(one))) for one in messages]
    arrays.reset()
    expected = run_interpreter(program, given)
    expected_bytes = arrays.read()
    arrays.reset()
    found = run(program, given)
    assert found == expected
    assert arrays.read() == expected_bytes
    return expected, expected_bytes


def test_saxpy(run: Run) -> None:
    for n, m in ((0, 3), (1, 1), (37, 100), (1000, 999)):
        arrays = Arrays(x=floats(n), y=floats(m))
        x, y = arrays.buffers.values()
        outcome, _ = compare(saxpy, run, arrays, Pair(2.0, x, y), Pair(0.25, y[m // 2 :], x[: n // 3]))
        assert Count.from_payload(outcome.replies[0]).data == y.ref()
        assert outcome.errors == 0


def test_indices_outside_are_counted(run: Run) -> None:
    arrays = Arrays(x=floats(10), y=floats(10))
    x, y = arrays.buffers.values()
    outcome, _ = compare(outside, run, arrays, Pair(2.0, x, y), Pair(2.0, x[3:5], y[9:]))
    assert [(one.errors, one.last_error) for one in outcome.reports] == [(4 + 4 + 2, INDEX), (12 + 13 + 2, INDEX)]


def test_an_empty_reference_has_no_elements(run: Run) -> None:
    arrays = Arrays(y=floats(10))
    (y,) = arrays.buffers.values()
    outcome, _ = compare(outside, run, arrays, Pair(2.0, None, y), Pair(2.0, y[5:5], None))
    assert all(one.errors for one in outcome.reports)
    outcome, _ = compare(saxpy, run, arrays, Pair(2.0, None, y))
    assert outcome.errors == 0


def test_atomics_on_elements(run: Run) -> None:
    arrays = Arrays(cells=("i4", [5, -5, 5, 5, 6, 7, 8, 7, 8, 9]), wide=("u8", [1, 2, 3]))
    cells, wide = arrays.buffers.values()
    outcome, _ = compare(atomics, run, arrays, Hits(9, -2, cells, wide), Hits(10, 2**31 - 1, cells, wide[:1]))
    assert [one.errors for one in outcome.reports] == [0, 3]


def test_device_functions_take_references(run: Run) -> None:
    arrays = Arrays(x=floats(20), y=floats(7))
    x, y = arrays.buffers.values()
    compare(by_functions, run, arrays, Nested(1, Pair(0.5, x, y)), Nested(1, Pair(2.0, y, x)))


def test_a_name_of_a_reference_is_the_field(run: Run) -> None:
    arrays = Arrays(x=floats(6), y=floats(9))
    x, y = arrays.buffers.values()
    outcome, _ = compare(rebound, run, arrays, Pair(0.5, x, y), Pair(0.5, y, x))
    made = Pair.from_payload(outcome.replies[0])
    assert (made.x, made.y, made.a) == (rk.BufferRef(0, 0, 0, "f32"), y.ref(), -2.5)  # `first` is msg.x by another name
    assert [one.errors for one in outcome.reports] == [1, 1]


def test_elements_of_every_width(run: Run) -> None:
    values = [1, 2, 3, 100]
    arrays = Arrays(b=("i1", [1, -128, 3, 4]), h=("u2", values), e=("f2", values), d=("f8", values))
    compare(widths, run, arrays, Widths(*arrays.buffers.values()))


def test_a_loop_over_common_elements_has_no_tests() -> None:
    assert frontend_run.count(saxpy, ir.If) == 0

    def by_name(ctx: rk.Context, msg: Pair) -> None:
        n = min(len(msg.x), len(msg.y))
        for i in range(n):
            msg.y[i] = msg.x[i]

    def changed(ctx: rk.Context, msg: Pair) -> None:
        n = len(msg.x)
        msg.x = msg.y
        for i in range(n):
            msg.x[i] = 1.0

    def twice(ctx: rk.Context, msg: Pair) -> None:
        n = len(msg.x)
        n = n + 1
        for i in range(n):
            msg.x[i] = 1.0

    assert frontend_run.count(by_name, ir.If) == 0
    assert frontend_run.count(changed, ir.If) == 1
    assert frontend_run.count(twice, ir.If) == 1


@pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None, reason="llvmlite is not installed")
def test_llvm_vectorises_it() -> None:
    from pyringkernel.compiler.llvm import to_llvm

    text = to_llvm(frontend_run.program_of(saxpy))
    assert "fmul <" in text


def writes_of(function: Any) -> dict[str, bool]:
    return {one.name: one.writes for one in frontend_run.program_of(function).entries[0].references}


def test_what_is_written_is_known() -> None:
    def framed(ctx: rk.Context, msg: Pair) -> Count:
        made = Count(data=msg.x)
        made.data[0] = 1.0
        return made

    def reads(ctx: rk.Context, msg: Pair) -> Count:
        return Count(n=rk.i64(msg.x[0]), data=msg.y)

    assert writes_of(saxpy) == {"x": False, "y": True}
    assert writes_of(by_functions) == {"inner.x": False, "inner.y": True}
    assert writes_of(atomics) == {"cells": True, "wide": True}
    assert writes_of(rebound) == {"x": True, "y": True}
    assert writes_of(framed) == {"x": True, "y": True}
    assert writes_of(reads) == {"x": False, "y": False}


def test_its_texts() -> None:
    program = frontend_run.program_of(saxpy)
    assert "f32[buffer t" in to_text(program)
    assert "reference 'y' + 24: writes f32" in to_text(program)
    assert "FAR_LOAD_U32" in disassemble(encode(program))
    assert "(u8*)(t" in emit(program, "cuda")
    for target in ("msl", "wgsl"):
        with pytest.raises(UnsupportedOnTargetError, match=r"references: .*carry the data in the message"):
            emit(program, target)


def test_a_program_that_makes_addresses_up_is_refused() -> None:
    base, place = ir.Local(ir.Type.U64, "b"), ir.Place(ir.Root.MESSAGE, 0)

    def program(*body: ir.Stmt, parameters: tuple[ir.Local, ...] = ()) -> ir.Program:
        function = ir.Function("f", parameters, None, (base,), body, False)
        features = frozenset(["references", "i64"])
        return ir.Program("p", (ir.Entry("M", 1, 16, False, function),), (), 0, 0, 0, (), (), features)

    load = ir.SetLocal(base, ir.Load(ir.Type.U64, place))
    one = ir.Const(ir.Type.F32, 1.0)
    inside = ir.Place(ir.Root.BUFFER, 0, (), base)
    verify(program(load, ir.Store(inside, one)))
    with pytest.raises(IrError, match="gets something else than the address"):
        verify(program(ir.SetLocal(base, ir.Const(ir.Type.U64, 4096)), ir.Store(inside, one)))
    with pytest.raises(IrError, match="places in buffers have a base"):
        verify(program(load, ir.Store(ir.Place(ir.Root.BUFFER, 0), one)))
    with pytest.raises(IrError, match="places in buffers have a base"):
        verify(program(load, ir.Store(ir.Place(ir.Root.STATE, 0, (), base), one)))
    with pytest.raises(IrError, match="only scalars are accessed in buffers"):
        verify(program(load, ir.Zero(inside, 4)))


def test_bytecode_reaches_only_what_the_message_refers_to() -> None:
    """A program that was not made by us: its index is not tested."""
    message = Pair(1.0, None, None)
    arrays = Arrays(x=floats(4), y=floats(4))
    arrays.reset()

    def unchecked(ctx: rk.Context, msg: Pair) -> Count:
        for i in range(100):
            msg.y[i] = msg.x[i]
        return Count(n=rk.i64(msg.x[3]))

    x, y = arrays.buffers.values()
    message = Pair(1.0, x, y)
    outcome = _vm(frontend_run.program_of(unchecked, checked=False), [(0, bytes(memoryview(message)))])
    assert outcome.errors == 0
    arrays.read()
