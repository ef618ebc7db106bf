"""Mixes two channels of 16 bits, and saturates."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk

N = 64


@rk.message
class Mix(rk.Message):
    left: rk.Array[rk.i16, N]
    right: rk.Array[rk.i16, N]
    gain: rk.i16  # Q8.8


@rk.message
class Mixed(rk.Message):
    out: rk.Array[rk.i16, N]
    clipped: rk.u16


@rk.device
def saturate(x: rk.i32) -> rk.i16:
    if x > 32767:
        return 32767
    if x < -32768:
        return -32768
    return rk.i16(x)


@rk.kernel
def mixer(ctx: rk.Context, msg: Mix) -> Mixed:
    out = Mixed(out=msg.left, clipped=0)
    for i in range(N):
        x = (rk.i32(msg.left[i]) + msg.right[i]) * msg.gain >> 8
        out.out[i] = saturate(x)
        out.clipped += rk.u16(out.out[i] != x)
    return out


def messages(random: Random) -> list[Mix]:
    def channel() -> list[int]:
        return [random.randrange(-(2**15), 2**15) for _ in range(N)]

    return [Mix(left=channel(), right=channel(), gain=random.randrange(-512, 513)) for _ in range(40)]


def expected(given: list[Mix]) -> list[Mixed]:
    answers = []
    for mix in given:
        raw = (mix.left.astype(np.int64) + mix.right) * mix.gain >> 8
        out = np.clip(raw, -(2**15), 2**15 - 1)
        answers.append(Mixed(out=out, clipped=(raw != out).sum()))
    return answers
