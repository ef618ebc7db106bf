"""A FIR filter over blocks of a stream."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk

TAPS = 16


@rk.message
class Block(rk.Message):
    samples: rk.Vec[rk.f32, 48]


@rk.state
class Fir:
    taps: rk.Array[rk.f32, TAPS]
    delay: rk.Array[rk.f32, TAPS]
    at: rk.u32


@rk.kernel
def fir(ctx: rk.Context, state: Fir, msg: Block) -> Block:
    for n in range(len(msg.samples)):
        state.delay[state.at] = msg.samples[n]
        acc = 0.0
        for k in range(TAPS):
            acc += state.taps[k] * state.delay[(rk.i32(state.at) - k) % TAPS]
        msg.samples[n] = acc
        state.at = (state.at + 1) % TAPS
    return msg


_TAPS = [0.5 ** (k % 5) * (-1) ** k for k in range(TAPS)]  # powers of two: with whole samples every sum is exact


def initial() -> Fir:
    return Fir(taps=_TAPS, delay=[0] * TAPS, at=0)


def messages(random: Random) -> list[Block]:
    return [Block(samples=[random.randrange(-999, 999) for _ in range(random.randrange(49))]) for _ in range(40)]


def expected(given: list[Block]) -> list[Block]:
    stream = np.concatenate([block.samples.astype(float) for block in given])
    out = np.convolve(stream, _TAPS)[: len(stream)]
    ends = np.cumsum([len(block.samples) for block in given])
    return [Block(samples=part) for part in np.split(out, ends[:-1])]
