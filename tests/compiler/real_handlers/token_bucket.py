"""A token bucket that asks the clock."""

from __future__ import annotations

from random import Random

import pyringkernel as rk


@rk.message
class Request(rk.Message):
    tokens: rk.u32


@rk.message
class Grant(rk.Message):
    ok: bool
    left: rk.u64


@rk.state
class Bucket:
    level: rk.u64
    last: rk.u64
    rate: rk.u64 = 3
    burst: rk.u64 = 100


@rk.kernel
def token_bucket(ctx: rk.Context, state: Bucket, msg: Request) -> Grant:
    now = ctx.now().time
    if state.last == 0:
        state.level = state.burst
    else:
        state.level = min(state.burst, state.level + (now - state.last) * state.rate)
    state.last = now
    ok = state.level >= msg.tokens
    if ok:
        state.level -= msg.tokens
    return Grant(ok=ok, left=state.level)


CLOCK, TICK = 1 << 40, 7  # of the scripted clock


def messages(random: Random) -> list[Request]:
    return [Request(tokens=random.randrange(40)) for _ in range(100)]


def expected(given: list[Request]) -> list[Grant]:
    level, answers = 100, []
    for number, request in enumerate(given):
        level = min(100, level + (3 * TICK if number else 0))
        ok = request.tokens <= level
        level -= request.tokens * ok
        answers.append(Grant(ok=ok, left=level))
    return answers
