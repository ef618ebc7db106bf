"""Expressions of handlers: types, operators, order of evaluation; by their results."""

# ruff: noqa: E741 (the handlers here are read by the compiler, many are wrong on purpose)

from __future__ import annotations

import enum
import math
from typing import Any

import pytest
from frontend_run import count, program_of, run, statements

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode
from pyringkernel.errors import TranslationError


@rk.message
class Numbers:
    flag: rk.boolean = False
    a: rk.i32 = 0
    b: rk.i32 = 0
    u: rk.u32 = 0
    v: rk.u32 = 0
    l: rk.i64 = 0
    ul: rk.u64 = 0
    s: rk.i8 = 0
    c: rk.u8 = 0
    f: rk.f32 = 0.0
    g: rk.f32 = 0.0
    d: rk.f64 = 0.0
    h: rk.f16 = 0.0


@rk.state
class Memory:
    n: rk.u32 = 0
    calls: rk.u32 = 0


class Color(enum.IntEnum):
    RED = 1
    BLUE = 7


LIMIT = 12
RATIO = 0.25
DEBUG = False


def value(function: Any, **fields: Any) -> Any:
    """The reply to a message with these fields."""
    return run(function, Numbers(**fields)).reply


def test_integers_wrap_at_their_width() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = msg.a + msg.b
        msg.u = msg.u - msg.v
        msg.c = msg.c * msg.c
        msg.s = -msg.s
        msg.l = abs(msg.l)
        return msg

    got = value(h, a=2**31 - 1, b=1, u=0, v=1, c=200, s=-128, l=-(2**63))
    assert (got.a, got.u, got.c, got.s, got.l) == (-(2**31), 2**32 - 1, 200 * 200 % 256, -128, -(2**63))


def test_widening_within_a_kind_is_implicit() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.l = msg.l + msg.s + msg.a
        msg.ul = msg.c
        msg.d = msg.f * msg.h
        return msg

    got = value(h, l=1 << 40, s=-3, a=-5, c=9, f=1.5, h=2.0)
    assert (got.l, got.ul, got.d) == ((1 << 40) - 8, 9, 3.0)


def test_literals_take_the_type_of_their_partner() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.f = msg.f * 0.1
        msg.d = msg.d * 0.1
        msg.u = 4294967295 - msg.u
        msg.g = 2 * msg.g
        return msg

    got = value(h, f=1.0, d=1.0, u=5, g=1.5)
    assert (got.f, got.d, got.u, got.g) == (rk.f32(0.1), 0.1, 4294967290, 3.0)


def test_constants_fold_exactly() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.u = (1 << 70) // (1 << 66) + 2**4 - -3
        msg.d = 1 / 3
        msg.a = LIMIT * 2 + Color.BLUE
        msg.f = RATIO
        msg.g = math.pi
        return msg

    got = value(h)
    assert (got.u, got.d, got.a, got.f, got.g) == (35, 1 / 3, 31, 0.25, rk.f32(math.pi))
    assert count(h, ir.SetLocal) == 0


@pytest.mark.parametrize(("a", "b"), [(7, 2), (-7, 2), (7, -2), (-7, -2), (-(2**31), -1)])
def test_division_is_pythons(a: int, b: int) -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        x = msg.a // msg.b
        y = msg.a % msg.b
        msg.a = x
        msg.b = y
        return msg

    got = value(h, a=a, b=b)
    assert (got.a, got.b) == (rk.i32(a // b), a % b)


def test_a_divisor_of_zero_is_counted_and_gives_zero() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = 5 // msg.b
        return msg

    out = run(h, Numbers(a=9, b=0))
    assert out.reply.a == 0
    assert (out.report.errors, out.report.last_error) == (1, ErrorCode.DIVISION_BY_ZERO)
    assert out.report.error_line == h.__code__.co_firstlineno + 1


def test_a_constant_divisor_is_not_tested() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = msg.a // 4 + msg.a % 3
        return msg

    assert value(h, a=-9).a == -9 // 4 + -9 % 3
    assert count(h, ir.If) == 0


def test_floats_divide_and_take_powers() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.f = msg.f / msg.g
        msg.d = msg.d**2
        msg.h = msg.h**0.5
        return msg

    got = value(h, f=1.0, g=0.0, d=3.0, h=4.0)
    assert (got.f, got.d, got.h) == (math.inf, 9.0, 2.0)


@pytest.mark.parametrize("base", [0, 1, 3, 12345, 2**32 - 1])
def test_integer_powers_are_products(base: int) -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.c = msg.c**3
        msg.v = msg.u**0
        msg.ul = msg.ul**64
        msg.u = msg.u**13
        return msg

    got = value(h, u=base, ul=base, c=base % 256)
    assert (got.u, got.v, got.ul, got.c) == (base**13 % 2**32, 1, base**64 % 2**64, (base % 256) ** 3 % 256)


def test_shifts_are_masked_and_keep_the_left_type() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.u = msg.u << msg.c
        msg.a = msg.a >> msg.l
        msg.s = msg.s << 3
        return msg

    got = value(h, u=1, c=33, a=-16, l=34, s=0x31)
    assert (got.u, got.a, got.s) == (2, -4, rk.i8(0x31 << 3))


def test_bits() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = ~msg.a & 0xFF | 0x100 ^ msg.b
        msg.flag = msg.flag ^ (msg.u > 3) | (msg.v == 1)
        msg.u = rk.popcount(msg.u) + rk.clz(msg.u) * 100 + rk.ctz(msg.u) * 10000
        return msg

    got = value(h, a=0x0F, b=0x3, flag=True, u=0x50, v=0)
    assert got.a == ~0x0F & 0xFF | 0x100 ^ 0x3
    assert got.flag is False
    assert got.u == 2 + 25 * 100 + 4 * 10000


def test_comparisons_chain_and_evaluate_the_middle_once() -> None:
    @rk.device
    def next_number(state: Memory) -> rk.u32:
        state.calls += 1
        return state.calls * 10

    def h(ctx, state: Memory, msg: Numbers) -> None:
        if msg.u < next_number(state) < msg.v:
            state.n = 1
        if msg.v < next_number(state) < next_number(state):
            state.n = 2

    out = run(h, Numbers(u=5, v=50), Memory())
    assert (out.state.n, out.state.calls) == (1, 2)


def test_and_or_ask_the_right_side_only_when_needed() -> None:
    @rk.device
    def yes(state: Memory) -> bool:
        state.calls += 1
        return True

    def h(ctx, state: Memory, msg: Numbers) -> None:
        if msg.flag and yes(state) and yes(state):
            state.n += 1
        if msg.flag or yes(state):
            state.n += 10

    assert run(h, Numbers(flag=False), Memory()).state.calls == 1
    out = run(h, Numbers(flag=True), Memory())
    assert (out.state.calls, out.state.n) == (2, 11)


def test_pure_conditions_are_expressions() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = msg.a if msg.a > msg.b and not msg.flag else 1 if msg.flag else msg.b
        return msg

    assert value(h, a=5, b=3).a == 5
    assert value(h, a=5, b=7).a == 7
    assert value(h, a=5, b=7, flag=True).a == 1
    assert count(h, ir.If) == 0


def test_a_choice_of_constants_takes_its_partners_type() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.u += 1 if msg.flag else 2
        msg.f = 1 if msg.flag else 0.5
        return msg

    assert (value(h, u=1).u, value(h, u=1).f) == (3, 0.5)
    assert (value(h, u=1, flag=True).u, value(h, flag=True).f) == (2, 1.0)


def test_a_branch_that_acts_is_taken_only_when_chosen() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = msg.a // msg.b if msg.b != 0 else -1
        return msg

    out = run(h, Numbers(a=9, b=0))
    assert (out.reply.a, out.report.errors) == (-1, 0)
    assert value(h, a=9, b=2).a == 4


def test_an_operand_is_read_before_a_later_call_changes_it() -> None:
    @rk.device
    def bump(state: Memory) -> rk.u32:
        state.n += 1
        return state.n

    def h(ctx, state: Memory, msg: Numbers) -> Numbers:
        msg.u = state.n * 100 + bump(state) * 10 + state.n
        msg.v = bump(state) + state.n
        state.n += bump(state)
        return msg

    out = run(h, Numbers(), Memory(n=3))
    assert (out.reply.u, out.reply.v) == (300 + 40 + 4, 10)
    assert out.state.n == 5 + 6


def test_min_max_abs_len() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.a = min(msg.a, 7, msg.b)
        msg.l = max(msg.l, msg.a, -3)
        msg.f = max(0, msg.f)
        msg.g = abs(msg.g)
        msg.u = max(2, 3) + abs(-4)
        msg.c = min(msg.c, 200)
        return msg

    got = value(h, a=9, b=8, l=-50, f=-1.0, g=-2.5, c=250)
    assert (got.a, got.l, got.f, got.g, got.u, got.c) == (7, 7, 0.0, 2.5, 7, 200)


def test_casts_wrap_saturate_and_fold() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.c = rk.u8(msg.a)
        msg.b = rk.i32(msg.f)
        msg.u = rk.u32(-1)
        msg.v = rk.u32(1e30)
        msg.flag = bool(msg.a)
        msg.l = rk.i64(True)
        msg.g = rk.f32(msg.ul)
        return msg

    got = value(h, a=-1, f=-3e20, ul=2**64 - 1)
    assert (got.c, got.b, got.u, got.v, got.flag, got.l, got.g) == (
        255,
        -(2**31),
        2**32 - 1,
        2**32 - 1,
        True,
        1,
        2.0**64,
    )


def test_bitcast_keeps_the_bits() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.u = rk.bitcast(rk.u32, msg.f)
        msg.d = rk.bitcast(rk.f64, msg.ul)
        msg.a = rk.bitcast(rk.i32, rk.u32(0xFFFFFFFF))
        return msg

    got = value(h, f=1.0, ul=0x4000000000000000)
    assert (got.u, got.d, got.a) == (0x3F800000, 2.0, -1)


def test_mathematics() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.f = math.sqrt(msg.f) + math.floor(msg.g) + math.copysign(2.0, msg.g)
        msg.flag = math.isnan(msg.d) or math.isinf(msg.f)
        msg.d = math.fmod(7.5, 2.0) + math.hypot(3, 4)
        msg.h = math.fabs(msg.h)
        return msg

    got = value(h, f=9.0, g=-1.5, d=math.nan, h=-1.0)
    assert (got.f, got.flag, got.d, got.h) == (3.0 - 2.0 - 2.0, True, 6.5, 1.0)


def test_features_are_those_of_the_program() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        msg.f = math.sin(msg.f) ** msg.g
        msg.d = msg.d + 1
        return msg

    assert program_of(h).features >= {"sin", "pow", "f64"}


def test_what_is_decided_at_compile_time_leaves_nothing() -> None:
    def h(ctx, msg: Numbers) -> Numbers:
        if DEBUG and msg.a > 3:
            msg.no_such_field = 3
        while DEBUG:
            msg.a = 1
        if not DEBUG or msg.a:
            msg.a = 5
        return msg

    assert value(h).a == 5
    assert not any(isinstance(one, (ir.If, ir.Loop)) for one in statements(h))


@pytest.mark.parametrize(
    "expression",
    [
        "msg.a + msg.ul",
        "msg.u - msg.a",
        "msg.f * msg.u",
        "msg.flag + msg.u",
        "msg.u + 0.5",
        "msg.c + 300",
        "msg.f + 16777217",
        "msg.u / 2",
        "msg.f // 2",
        "msg.f % 2",
        "msg.f & 1",
        "~msg.f",
        "-msg.flag",
        "msg.u << 32",
        "msg.u ** msg.v",
        "msg.a and msg.b",
        "msg.a < msg.u",
        "msg.flag < msg.flag",
        "1 if msg.a else 2",
        "min(msg.a, msg.u)",
        "rk.popcount(msg.a)",
        "rk.bitcast(rk.u64, msg.f)",
        "math.sqrt(msg.u)",
        "msg.nope",
        "unknown",
        "msg",
        "1 << 5000",
        "5 // 0",
    ],
)
def test_what_does_not_go_together_is_refused_once_with_a_place(expression: str, tmp_path: Any) -> None:
    file = tmp_path / "handler.py"
    file.write_text(f"def h(ctx, msg: Numbers):\n    x = rk.u32({expression})\n    y = x + 1\n")
    names: dict[str, Any] = {"Numbers": Numbers, "rk": rk, "math": math}
    exec(compile(file.read_text(), str(file), "exec"), names)
    with pytest.raises(TranslationError) as error:
        program_of(names["h"])
    [one] = error.value.diagnostics
    assert one.line == 2
    assert 15 <= one.column < one.end_column <= 16 + len(expression)
