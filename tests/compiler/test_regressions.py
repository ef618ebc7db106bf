"""Faults that random programs found (tests/compiler/differential), each in the smallest program that showed it."""

from __future__ import annotations

import math
import struct

import programs
import pytest
from harness import assert_same, run_interpreter, run_native

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import Root, Type

LIMIT = 6
DEBUG = False


@rk.message
class RegressionAsk:
    n: rk.u32
    x: rk.f32


@rk.message
class RegressionList:
    values: rk.Vec[rk.u32, 4]
    last: rk.u32


@rk.state
class RegressionState:
    count: rk.u32
    small: rk.i8
    half: rk.f16
    real: rk.f32


ASK = struct.pack("<If", 7, -0.25)
STATE = struct.pack("<Ibxef", 5, 3, 1.5, 0.0)


def run(handler: object, state: bytes | None = STATE) -> tuple[bytes, list[bytes]]:
    """The state and the replies of one message."""
    outcome = run_interpreter(handler.program, [(0, ASK)], state=state)  # type: ignore[attr-defined]
    return outcome.state, outcome.replies


def test_the_elements_of_a_list_are_read_before_a_later_argument_acts() -> None:
    @rk.kernel
    def handler(ctx, state: RegressionState, msg: RegressionAsk) -> RegressionList:
        return RegressionList(values=[state.count, 1], last=ctx.atomic_add(state.count, 10))

    state, [reply] = run(handler)
    assert struct.unpack_from("<I", state)[0] == 15
    assert struct.unpack_from("<III", reply) == (2, 5, 1)
    assert struct.unpack_from("<I", reply, 20)[0] == 5


def test_a_conditional_has_the_type_of_both_sides_when_its_test_is_a_constant() -> None:
    @rk.kernel
    def handler(ctx, state: RegressionState, msg: RegressionAsk) -> None:
        state.small = (state.small if DEBUG else LIMIT) ** 5
        state.real = rk.f32(state.half if DEBUG else 2049.0)

    state, _ = run(handler)
    assert struct.unpack_from("<b", state, 4)[0] == 7776 - 30 * 256  # wraps
    assert struct.unpack_from("<f", state, 8)[0] == 2048.0


def test_whole_numbers_of_constants_may_be_infinite_or_minus_zero() -> None:
    @rk.kernel
    def handler(ctx, state: RegressionState, msg: RegressionAsk) -> None:
        state.real = math.floor(math.inf)
        state.half = math.ceil(-0.5)

    state, _ = run(handler)
    assert struct.unpack_from("<f", state, 8)[0] == math.inf
    assert math.copysign(1.0, struct.unpack_from("<e", state, 6)[0]) == -1.0


def test_a_constant_shift_by_more_than_the_width_is_no_proof_and_no_error() -> None:
    @rk.kernel
    def handler(ctx, msg: RegressionAsk) -> RegressionList:
        table = rk.zeros(rk.u32, 4)
        table[rk.i16(64) >> rk.u32(2147483647)] = 9
        return RegressionList(values=table, last=rk.u32(rk.i16(6) >> rk.u32(2147483647)))

    _, [reply] = run(handler, state=None)
    assert struct.unpack_from("<I", reply, 4)[0] == 9


def test_a_loop_of_machine_code_may_count_in_any_unsigned_type() -> None:
    pytest.importorskip("llvmlite")
    from pyringkernel.compiler.llvm import compile_native

    for kind in (Type.U8, Type.U16, Type.U32, Type.U64):
        place = programs.at(Root.STATE, 0)
        bump = ir.Store(place, programs.add(ir.Load(Type.U32, place), programs.u32(1)))
        item = programs.local("item", Type.U32)
        turns = ir.Cast(kind, ir.Load(Type.U32, programs.at(Root.MESSAGE, 0)))
        loop = ir.For(item, programs.u32(0), programs.u32(1), turns, (bump,))
        main = programs.function("main", [loop], locals=[item], may_fail=True)
        made = programs.program([programs.entry(main, size=8)], state=8)
        messages = [(0, struct.pack("<If", 200, 0.0))]
        code = compile_native(made, cache=False)
        outcome = run_native(code.entries, made, messages, state=bytes(8), cancel_after=20.0)
        assert_same(run_interpreter(made, messages, state=bytes(8)), outcome)
        assert struct.unpack_from("<I", outcome.state)[0] == 200
