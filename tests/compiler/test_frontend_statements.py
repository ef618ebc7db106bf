"""Statements of handlers: assignments, branches, loops, match, and what is known on each way."""

# ruff: noqa: B007, B011, F821, F841, PT015 (the handlers here are read by the compiler, many are wrong on purpose)

from __future__ import annotations

import enum
from typing import Any

import pytest
from frontend_run import Outcome, count, program_of, run

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode
from pyringkernel.errors import TranslationError


@rk.message
class Ask:
    a: rk.i32 = 0
    b: rk.i32 = 0
    n: rk.u32 = 0
    flag: rk.boolean = False


@rk.message
class Tell:
    text: rk.Bytes[8] = b""
    only_here: rk.u32 = 0


@rk.message
class Stop:
    code: rk.u32 = 0


@rk.message
class Answer:
    x: rk.i64 = 0
    y: rk.i64 = 0


class Kind(enum.IntEnum):
    OPEN = 1
    SHUT = 2
    GONE = 3


def answer(function: Any, **fields: Any) -> tuple[int, int]:
    got = run(function, Ask(**fields)).reply
    return got.x, got.y


def errors(function: Any) -> list[tuple[int, str]]:
    """Lines, counted from the function's first, and messages."""
    with pytest.raises(TranslationError) as error:
        program_of(function)
    first = function.__code__.co_firstlineno
    return [(one.line - first, one.message) for one in error.value.diagnostics]


# -- assignment


def test_both_sides_of_a_swap_are_read_first() -> None:
    def h(ctx, msg: Ask) -> Answer:
        a, b = msg.a, msg.b
        a, b = b, a + b
        msg.a, msg.b = msg.b, msg.a
        return Answer(a * 100 + b, msg.a * 100 + msg.b)

    assert answer(h, a=1, b=2) == (203, 201)


def test_chained_and_augmented_assignments() -> None:
    def h(ctx, msg: Ask) -> Answer:
        a = msg.b = msg.a + 1
        a *= 3
        a -= 1
        msg.b <<= 4
        a |= 64
        a //= 2
        return Answer(a, msg.b)

    a = ((5 + 1) * 3 - 1 | 64) // 2
    assert answer(h, a=5) == (a, 6 << 4)


def test_annotations_fix_the_type() -> None:
    def h(ctx, msg: Ask) -> Answer:
        n: rk.u8 = 250
        big: rk.i64
        big = msg.a
        flag: bool = msg.flag
        n += 10
        if flag:
            big = -big
        return Answer(rk.i64(n), big)

    assert answer(h, a=7, flag=True) == (4, -7)


def test_the_type_of_a_local_is_that_of_its_first_assignment() -> None:
    def h(ctx, msg: Ask) -> Answer:
        n = 0
        n += msg.n
        m = msg.a
        m = msg.flag
        return Answer(n, m)

    assert errors(h) == [
        (2, "n is rk.i32 since its first assignment, found rk.u32"),
        (4, "m: found bool, need rk.i32"),
    ]


def test_errors_are_collected_and_do_not_lead_to_others() -> None:
    def h(ctx, msg: Ask) -> Answer:
        x = msg.nothing
        y = x + 1
        z = y * msg.a
        w = msg.a + msg.n
        return Answer(z, w)

    assert errors(h) == [(1, "Ask has no field 'nothing'"), (4, "rk.i32 + rk.u32: mixed signedness")]


# -- branches and definite assignment


def test_if_elif_else() -> None:
    def h(ctx, msg: Ask) -> Answer:
        if msg.a < 0:
            x = -1
        elif msg.a == 0:
            x = 0
        else:
            x = 1
        return Answer(x, 0)

    assert [answer(h, a=a)[0] for a in (-5, 0, 5)] == [-1, 0, 1]


def test_a_way_without_an_assignment_is_found() -> None:
    def h(ctx, msg: Ask) -> Answer:
        if msg.flag:
            x = 1
        while msg.a > 0:
            y = 1
            msg.a -= 1
        for i in range(msg.n):
            z = i
        return Answer(x, y + z)

    assert errors(h) == [(8, "x may be unassigned here")]


def test_loops_may_not_run() -> None:
    def h(ctx, msg: Ask) -> Answer:
        for i in range(msg.n):
            z = i
        return Answer(rk.i64(z), 0)

    assert errors(h) == [(3, "z may be unassigned here")]


def test_ways_that_end_do_not_count() -> None:
    def h(ctx, msg: Ask) -> Answer | None:
        if msg.flag:
            x = 1
        elif msg.a > 3:
            return None
        else:
            assert False
        while True:
            y = x
            if msg.a > y:
                break
            msg.a += 1
        for i in range(3):
            z = i
        return Answer(y, z + i)

    assert answer(h, flag=True) == (1, 4)
    assert run(h, Ask(a=4)).effects == []
    assert run(h, Ask()).report.failed == ErrorCode.ASSERTION


def test_a_variable_is_read_before_it_has_a_value() -> None:
    def h(ctx, msg: Ask) -> None:
        for i in range(3):
            if i > 0:
                msg.a = late
            late = i

    assert errors(h) == [(3, "late may be unassigned here")]


def test_asserts_fail_the_message_at_their_line() -> None:
    def h(ctx, msg: Ask) -> Answer:
        assert msg.a > 0, "a is positive"
        return Answer(1, 1)

    out = run(h, Ask(a=0))
    assert (out.report.failed, out.report.fail_line) == (ErrorCode.ASSERTION, h.__code__.co_firstlineno + 1)
    assert out.effects == []
    assert answer(h, a=1) == (1, 1)


# -- loops


def test_while_break_continue() -> None:
    def h(ctx, msg: Ask) -> Answer:
        total = 0
        i = 0
        while i < msg.a:
            i += 1
            if i % 2 == 0:
                continue
            if i > 7:
                break
            total += i
        return Answer(total, i)

    assert answer(h, a=100) == (1 + 3 + 5 + 7, 9)
    assert answer(h, a=4) == (4, 4)


@pytest.mark.parametrize("start", [-3, 0, 2])
@pytest.mark.parametrize("stop", [-4, 0, 9])
@pytest.mark.parametrize("step", [-2, 1, 3])
def test_range_is_pythons(start: int, stop: int, step: int) -> None:
    def h(ctx, msg: Ask) -> Answer:
        total = 0
        turns = 0
        for i in range(msg.a, msg.b, rk.i32(msg.n)):
            total = total * 10 + i
            turns += 1
        return Answer(total, turns)

    want = 0
    for i in range(start, stop, step):
        want = rk.i32(want * 10 + i)
    assert answer(h, a=start, b=stop, n=rk.u32(step)) == (want, len(range(start, stop, step)))


def test_a_step_of_zero_is_counted_and_has_no_items() -> None:
    def h(ctx, msg: Ask) -> Answer:
        turns = 0
        for i in range(0, 10, msg.a):
            turns += i
        return Answer(turns, 0)

    out = run(h, Ask(a=0))
    assert (out.reply.x, out.report.last_error) == (0, ErrorCode.RANGE_STEP)


def test_the_range_is_fixed_before_the_loop() -> None:
    def h(ctx, msg: Ask) -> Answer:
        n = 3
        turns = 0
        i = 0
        for i in range(n):
            n = 10
            i = 100
            turns += 1
        return Answer(turns, i)

    assert answer(h) == (3, 100)


def test_loops_nest_and_share_variables() -> None:
    def h(ctx, msg: Ask) -> Answer:
        total = 0
        for i in range(4):
            for j in range(i):
                if j == 2:
                    break
                total += 10 * i + j
        for i in range(2, 10, 3):
            total += i
        return Answer(total, i)

    total = sum(10 * i + j for i in range(4) for j in range(min(i, 2))) + 2 + 5 + 8
    assert answer(h) == (total, 8)


def test_small_integers_loop_in_32_bits_and_wide_variables_stay_wide() -> None:
    def h(ctx, msg: Ask) -> Answer:
        n: rk.u8 = 200
        m: rk.u64 = 0
        last = rk.u32(0)
        for i in range(n):
            last = i
        for m in range(msg.n):
            last += 1
        return Answer(rk.i64(last), rk.i64(m))

    assert answer(h, n=5) == (204, 4)


def test_return_leaves_a_loop() -> None:
    def h(ctx, msg: Ask) -> Answer | None:
        for i in range(10):
            if i == msg.a:
                return Answer(i, 1)
        return None

    assert answer(h, a=4) == (4, 1)
    assert run(h, Ask(a=40)).effects == []


# -- match and classes


def test_match_on_numbers() -> None:
    def h(ctx, msg: Ask) -> Answer:
        match msg.a:
            case 0:
                x = 100
            case 1 | 2 if msg.flag:
                x = 200
            case Kind.OPEN | Kind.SHUT:
                x = 300
            case -5:
                x = 400
            case _:
                x = 500
        match msg.flag:
            case True:
                return Answer(x, 1)
            case False:
                return Answer(x, 0)

    assert [answer(h, a=a)[0] for a in (0, 1, 2, 3, -5)] == [100, 300, 300, 500, 400]
    assert answer(h, a=2, flag=True) == (200, 1)


def test_each_class_is_lowered_by_itself() -> None:
    def h(ctx, msg: Ask | Tell | Stop) -> Answer:
        if isinstance(msg, Ask):
            return Answer(msg.a, 0)
        if isinstance(msg, (Stop, Ask)) and msg.code > 3:
            return Answer(rk.i64(msg.code), 1)
        if not isinstance(msg, Tell):
            return Answer(0, 2)
        return Answer(rk.i64(msg.only_here), 3)

    def pair(out: Outcome) -> tuple[int, int]:
        return out.reply.x, out.reply.y

    assert pair(run(h, Ask(a=9))) == (9, 0)
    assert pair(run(h, Stop(code=4))) == (4, 1)
    assert pair(run(h, Stop(code=1))) == (0, 2)
    assert pair(run(h, Tell(only_here=8))) == (8, 3)
    program = program_of(h)
    assert [one.message for one in program.entries] == ["Ask", "Tell", "Stop"]
    assert not any(isinstance(one, ir.If) for one in program.entries[0].function.body)


def test_match_on_classes() -> None:
    def h(ctx, msg: Ask | Tell | Stop) -> Answer:
        match msg:
            case Ask() if msg.flag:
                x = 1
            case Ask():
                x = 2
            case Tell() | Stop():
                x = 3
        return Answer(x, 0)

    found = [run(h, one).reply.x for one in (Ask(flag=True), Ask(), Tell(), Stop())]
    assert found == [1, 2, 3, 3]


def test_a_union_may_have_a_name() -> None:
    def h(ctx, msg: Ask | Stop) -> Answer:
        if isinstance(msg, Either):
            return Answer(rk.i64(msg.code), 0)
        return Answer(msg.a, 1)

    assert run(h, Stop(code=3)).reply.x == 3
    assert run(h, Ask(a=3)).reply.y == 1


Either = Tell | Stop


def test_code_behind_a_decided_return_is_not_looked_at() -> None:
    def h(ctx, msg: Ask | Stop) -> Answer:
        if isinstance(msg, Stop):
            return Answer(1, 1)
        x = msg.a
        return Answer(x, 2)

    assert run(h, Stop()).reply.y == 1
    assert run(h, Ask(a=3)).reply.x == 3


def test_errors_of_all_classes_are_told_once() -> None:
    def h(ctx, msg: Ask | Stop) -> Answer:
        x = msg.a
        y = unknown
        return Answer(x, y)

    assert errors(h) == [(1, "Stop has no field 'a'"), (2, "the name 'unknown' is not known")]


def test_may_fail_and_names() -> None:
    def h(ctx, msg: Ask) -> None:
        t1 = msg.a // msg.b
        msg.a = t1

    program = program_of(h)
    function = program.entries[0].function
    assert not function.may_fail
    assert {one.name for one in function.locals} == {"t1", "t2"}
    assert program.entries[0].writes_message
    assert count(h, ir.CountError) == 1


@rk.message
class Numbers:
    v: rk.Vec[rk.u32, 8] = ()


@rk.state
class Total:
    total: rk.i64 = 0


def test_each_loop_can_have_a_variable_of_its_own_type() -> None:
    def h(ctx: rk.Context, state: Total, msg: Numbers) -> None:
        for i in range(3):
            state.total += i
        for i in range(len(msg.v)):
            state.total += rk.i64(msg.v[i])
        for i in range(rk.i64(4), 0, -1):
            state.total += i

    assert run(h, Numbers(v=[5, 6]), Total()).state.total == 3 + 11 + 10


def test_what_a_vec_held_before_is_not_sent() -> None:
    def h(ctx: rk.Context, msg: Numbers) -> Numbers:
        msg.v = [7]
        ctx.reply(msg)
        msg.v = [1, 2, 3]
        msg.v.clear()
        return msg

    effects = run(h, Numbers(v=[1, 2, 3, 4])).effects
    assert [message for _, message in effects] == [Numbers(v=[7]), Numbers()]


@rk.device
def first_of(a: rk.i64) -> rk.i64:
    for i in range(3):
        return a + i
    return a


def test_a_loop_whose_first_turn_returns_is_followed_by_what_is_behind_it() -> None:
    def h(ctx: rk.Context, state: Total, msg: Numbers) -> None:
        state.total = first_of(state.total + 5)

    assert run(h, Numbers(), Total()).state.total == 5
