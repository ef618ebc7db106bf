"""Methods of ctx, messages that are sent, and the header."""

# ruff: noqa: F841 (the handlers here are read by the compiler, many are wrong on purpose)

from __future__ import annotations

from typing import Any

import pytest
from frontend_run import program_of, run, statements

import pyringkernel as rk
from pyringkernel.compiler import ir
from pyringkernel.compiler.ir import ErrorCode
from pyringkernel.errors import TranslationError


@rk.message
class In:
    x: rk.u32 = 0
    y: rk.i64 = 0


@rk.message
class Out:
    x: rk.u32 = 0
    y: rk.u64 = 0


@rk.message
class Other:
    z: rk.f32 = 0.0


@rk.state
class Shared:
    a: rk.u32
    b: rk.i64
    f: rk.f32
    slots: rk.Array[rk.i32, 4]


TARGET = "sink"


def state(**fields: Any) -> Any:
    from pyringkernel import _core

    made = _core.zeroed(Shared)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def diagnostics(function: Any) -> tuple[Any, ...]:
    with pytest.raises(TranslationError) as error:
        program_of(function)
    return error.value.diagnostics


def test_queries() -> None:
    def h(ctx: rk.Context, msg: In) -> Out:
        n = ctx.thread_id() + ctx.block_id() + ctx.global_thread_id() + ctx.warp_id() + ctx.lane_id()
        m = ctx.block_dim() + ctx.grid_dim() * 10 + ctx.kernel_id() + ctx.instance_id()
        return Out(n, m)

    got = run(h, In()).reply
    assert (got.x, got.y) == (0, 11)


def test_atomics() -> None:
    def h(ctx, state: Shared, msg: In) -> Out:
        old = ctx.atomic_add(state.a, msg.x)
        ctx.atomic_sub(state.b, 3)
        ctx.atomic_max(state.slots[msg.x], 7)
        ctx.atomic_min(state.slots[0], -1)
        ctx.atomic_or(state.a, 16)
        ctx.atomic_xor(state.a, 1)
        ctx.atomic_and(state.a, 0xFF)
        swapped = ctx.atomic_cas(state.slots[3], 0, 9)
        ctx.atomic_exchange(state.slots[2], swapped + 5)
        return Out(old, rk.u64(ctx.atomic_add(state.slots[9 * msg.x], 1)))

    out = run(h, In(x=1), state(a=2))
    assert out.reply.x == 2
    assert (out.state.a, out.state.b, list(out.state.slots)) == ((3 | 16) ^ 1, -3, [-1, 7, 5, 9])
    assert (out.report.errors, out.report.last_error) == (1, ErrorCode.INDEX)


def test_clocks_and_services() -> None:
    def h(ctx, state: Shared, msg: In) -> Out:
        first = ctx.now()
        second = ctx.tick()
        if first < second and first != second:
            state.a = 1
        ctx.update_clock(first)
        ctx.update_clock(rk.u64(msg.y))
        ctx.update_clock(msg.header.timestamp)
        ctx.report_error(msg.x)
        ctx.request_termination()
        if ctx.is_terminating():
            state.b = 2
        return Out(rk.u32(ctx.pending() + ctx.free_slots("host")), second.time - first.time)

    out = run(h, In(x=77, y=5000), state())
    assert (out.state.a, out.state.b, out.report.errors, out.report.last_error) == (1, 2, 2, 77)
    assert out.effects[0] == ("terminate", None)
    assert (out.effects[1][1].x, out.effects[1][1].y) == (45, 10)


def test_sending() -> None:
    def h(ctx, msg: In) -> Out:
        ctx.send("host", msg)
        ctx.send(TARGET, Other(z=1.5), priority=rk.Priority.HIGH, instance=msg.x, deadline=2)
        ctx.send("host", Out(x=1), deadline=0.25)
        got = ctx.publish("prices/eur", Other(2.0), retain=True)
        ctx.reply(Out(x=got))
        return Out(x=9)

    out = run(h, In(x=4), publishes_to=["sink"])
    assert [(where, message.to_bytes()[64:]) for where, message in out.effects] == [
        ((1, 0xFFFFFFFF, 0xFFFFFFFF, 0.0), In(x=4).to_bytes()[64:]),
        ((0, 4, 2, 2.0), Other(z=1.5).to_bytes()[64:]),
        ((1, 0xFFFFFFFF, 0xFFFFFFFF, 0.25), Out(x=1).to_bytes()[64:]),
        (("topic", 0, True), Other(2.0).to_bytes()[64:]),
        ("reply", Out(x=3).to_bytes()[64:]),
        ("reply", Out(x=9).to_bytes()[64:]),
    ]
    program = program_of(h, publishes_to=["sink"])
    assert (program.targets, program.topics) == (("sink", "host"), ("prices/eur",))
    assert set(program.replies) == {(cls.type_id, cls.wire_size) for cls in (In, Out, Other)}
    assert "send" in program.features
    assert program.entries[0].function.may_fail


def test_a_refused_send_fails_the_message() -> None:
    def h(ctx, state: Shared, msg: In) -> None:
        state.a = 1
        ctx.send("x", msg)
        state.a = 2

    out = run(h, In(), state(), refuse=int(ErrorCode.SEND_FULL))
    assert (out.state.a, out.report.failed) == (1, ErrorCode.SEND_FULL)


def test_the_header_is_read() -> None:
    def h(ctx, msg: In) -> Out:
        header = msg.header
        n = msg.header.type_id
        if msg.header.priority < 2 and msg.header.message_id == 0:
            n += 1
        return Out(n, msg.header.hlc + msg.header.deadline)

    [one] = diagnostics(h)
    assert one.line == h.__code__.co_firstlineno + 1

    def good(ctx, msg: In) -> Out:
        n = msg.header.type_id
        if msg.header.priority < 2:
            n += 1
        return Out(n, msg.header.hlc + rk.u64(msg.header.payload_size))

    assert run(good, In()).reply.x == In.type_id + 1


def test_barriers_fences_and_warps() -> None:
    def h(ctx, state: Shared, msg: In) -> Out:
        ctx.sync_threads()
        ctx.sync_warp()
        ctx.sync_grid()
        ctx.fence()
        ctx.fence("system")
        a = ctx.shuffle(msg.x, 0) + ctx.shuffle_up(msg.x, 1) + ctx.shuffle_down(msg.x, 1) + ctx.shuffle_xor(msg.x, 1)
        b = ctx.ballot(msg.x > 1)
        if ctx.all(msg.x > 1) and ctx.any(msg.x > 1):
            b += 10
        return Out(ctx.warp_reduce(a, "add") + ctx.warp_reduce(msg.x, op="max"), b)

    got = run(h, In(x=3), state()).reply
    assert (got.x, got.y) == (15, 11)
    scopes = [one.scope for one in statements(h) if isinstance(one, (ir.Barrier, ir.Fence))]
    assert scopes == [ir.Scope.BLOCK, ir.Scope.WARP, ir.Scope.GRID, ir.Scope.BLOCK, ir.Scope.SYSTEM]
    assert program_of(h).features >= {"warp", "sync_grid"}


def test_what_others_may_change_is_read_again_behind_a_barrier() -> None:
    @rk.device
    def wait(ctx: rk.Context) -> rk.u32:
        ctx.sync_threads()
        return 1

    def h(ctx, state: Shared, msg: In) -> Out:
        return Out(x=state.a + wait(ctx))

    program = program_of(h)
    names = [type(one).__name__ for one in program.entries[0].function.body]
    assert names[:2] == ["SetLocal", "Call"]


def test_the_return_value_may_be_a_view() -> None:
    @rk.message
    class Boxed:
        inner: Out

    def h(ctx, msg: Boxed) -> Out:
        return msg.inner

    assert run(h, Boxed(inner=Out(x=5))).reply.x == 5
    assert not program_of(h).entries[0].writes_message


def test_refused_messages_and_targets() -> None:
    def h(ctx, state: Shared, msg: In) -> Out:
        ctx.send(msg, msg)
        ctx.send("", msg)
        ctx.send("x", state)
        ctx.send("x", msg.x)
        ctx.send("x", msg, priority=1.5)
        ctx.publish("a//b", msg)
        ctx.publish("a/*", msg)
        ctx.report_error(0xFFFF0001)
        ctx.atomic_add(state.f, 1.0)
        ctx.atomic_add(msg.x, 1)
        ctx.sned("x", msg)
        ctx.fence("planet")
        x = ctx.now() + 1
        if ctx.now() > 5:
            pass
        return Other()

    first = h.__code__.co_firstlineno
    assert [one.line - first for one in diagnostics(h)] == [*range(1, 15), 16]
