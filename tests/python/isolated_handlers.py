"""Handlers that another process imports."""

from __future__ import annotations

import pyringkernel as rk


@rk.message
class Count:
    n: rk.u64 = 0


@rk.message
class Note:
    text: rk.Bytes[16] = b""


@rk.state
class Sum:
    total: rk.u64


@rk.kernel
def summer(ctx: rk.Context, state: Sum, msg: Count) -> Count:
    assert msg.n != 13, "unlucky"
    state.total += msg.n
    return Count(state.total)


@rk.kernel
def endless(ctx: rk.Context, msg: Count) -> Count:
    turns = rk.u64(0)
    while msg.n == 1:
        turns += 1
    return Count(turns)


@rk.kernel
def announcer(ctx: rk.Context, msg: Count) -> None:
    for i in range(3):
        ctx.send("host", Count(msg.n + rk.u64(i)))
