"""Handlers in the language that use much of it: seeds of test_frontend_fuzz.py."""

from __future__ import annotations

import math

from rejected.common import LIMIT, Color, Data, Ping, Point, Pong, Tally

import pyringkernel as rk


@rk.device
def clamp(x: rk.f32, low: rk.f32, high: rk.f32) -> rk.f32:
    return min(max(x, low), high)


@rk.device
def total(v: rk.Array[rk.f32, 8]) -> rk.f32:
    s: rk.f32 = 0.0
    for i in range(8):
        s += v[i]
    return s


def echo(ctx, msg: Ping) -> Ping:
    """Gives back what came."""
    return msg


def count(ctx, state: Tally, msg: Ping) -> Pong:
    state.count += 1
    state.hist[msg.x % 16] += 1
    if state.count > 3 and msg.x != 0:
        state.total = state.total + rk.f32(msg.x) / 2.0
    elif not msg.x > 5 or state.small < 7:
        state.small = rk.u16(msg.x & 0xFF)
    else:
        ctx.report_error(7)
    return Pong(x=msg.x, y=state.total)


def scale(ctx, msg: Data) -> Data:
    for i in range(ctx.thread_id(), len(msg.values), ctx.block_dim()):
        msg.values[i] = clamp(msg.values[i] * msg.f, -1.0, 1.0)
    ctx.sync_threads()
    msg.f = total(msg.values)
    return msg


def loops(ctx, msg: Data) -> Pong | None:
    n = 0
    i = msg.i
    while i > 0:
        i //= 2
        n += 1
        if n == LIMIT:
            break
        if i % 3 == 1:
            continue
        n = n + 2 if i > 5 else n - 1
    for k in range(10, 0, -2):
        n ^= k << 1
    a, b = msg.u, msg.u + 1
    a, b = b, a
    if n < 0:
        return None
    return Pong(rk.u32(n) + a - b)


def classes(ctx, msg: Ping | Pong | Point) -> Ping | None:
    match msg:
        case Ping():
            return Ping(x=msg.x)
        case Pong() | Point():
            y = msg.y
            assert y >= 0.0, "y is not negative"
    if isinstance(msg, (Pong, Point)):
        ctx.send("host", Point(x=y, y=y), priority=rk.Priority.HIGH)
    return None


def matches(ctx, state: Tally, msg: Data) -> Ping:
    match msg.i:
        case 0 | 1 if msg.flag:
            x = 1
        case -5:
            x = 2
        case Color.RED | Color.GREEN:
            x = 3
        case _:
            x = 4
    old = ctx.atomic_add(state.count, 2)
    if 0 < x < 4 and old > 1:
        state.log.append(rk.u32(x))
    else:
        state.log.clear()
    return Ping(x=rk.u32(x) + len(state.log))


def arrays(ctx, state: Tally, msg: Data) -> Data:
    t = rk.zeros(rk.i32, 4)
    t[1] = msg.items[0] if len(msg.items) > 0 else -1
    msg.codes = [1, 2, rk.u32(t[1]), 4]
    msg.tag = b"abc"
    msg.points[2].x = msg.pos.x + msg.points[rk.u32(msg.u8)].y
    state.last = msg.pos
    p = msg.pos
    p.y += abs(p.x) ** 2
    msg.items.append(t[1])
    msg.u = rk.popcount(msg.u) + rk.clz(msg.u) + rk.ctz(msg.codes[-1])
    msg.d = rk.f64(rk.bitcast(rk.f32, msg.u)) + math.sqrt(msg.d) + math.pi
    return msg


def context(ctx, state: Tally, msg: Ping) -> Pong:
    started = ctx.now()
    s = ctx.shared(rk.f32, 32)
    s[ctx.lane_id() % 32] = 1.5
    ctx.fence("block")
    v = ctx.warp_reduce(msg.x, "add") + ctx.shuffle_xor(msg.x, 1)
    if ctx.any(v > 3) and ctx.ballot(v == 1) != 0:
        n = ctx.publish("a/b", Ping(x=v))
        v += n
    if ctx.is_terminating() or ctx.pending() > 5 or ctx.free_slots("host") == 0:
        ctx.request_termination()
    if ctx.tick() > started:
        ctx.update_clock(started)
    return Pong(x=v, y=s[0])


HANDLERS = [echo, count, scale, loops, classes, matches, arrays, context]
