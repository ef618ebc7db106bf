"""FFT of 64 points, in place."""

from __future__ import annotations

import math
from random import Random

import numpy as np

import pyringkernel as rk

N = 64
BITS = 6
COS = [math.cos(2 * math.pi * k / N) for k in range(N // 2)]
SIN = tuple(math.sin(2 * math.pi * k / N) for k in range(N // 2))


@rk.message
class Signal(rk.Message):
    re: rk.Array[rk.f64, N]
    im: rk.Array[rk.f64, N]


@rk.state
class Twiddles:
    cos: rk.Array[rk.f64, 32] = COS
    sin: rk.Array[rk.f64, 32] = SIN


@rk.kernel
def fft(ctx: rk.Context, state: Twiddles, msg: Signal) -> Signal:
    for i in range(N):
        j = 0
        for b in range(BITS):
            j |= ((i >> b) & 1) << (BITS - 1 - b)
        if j > i:
            msg.re[i], msg.re[j] = msg.re[j], msg.re[i]
            msg.im[i], msg.im[j] = msg.im[j], msg.im[i]
    size = 2
    while size <= N:
        half = size // 2
        step = N // size
        for start in range(0, N, size):
            for k in range(half):
                c = state.cos[k * step]
                s = -state.sin[k * step]
                a = start + k
                b = a + half
                tr = msg.re[b] * c - msg.im[b] * s
                ti = msg.re[b] * s + msg.im[b] * c
                msg.re[b] = msg.re[a] - tr
                msg.im[b] = msg.im[a] - ti
                msg.re[a] += tr
                msg.im[a] += ti
        size *= 2
    return msg


def messages(random: Random) -> list[Signal]:
    def part() -> list[float]:
        return [random.uniform(-1.0, 1.0) for _ in range(N)]

    return [Signal(re=part(), im=part()) for _ in range(20)]


TOLERANCE = 1e-13  # another order of the same sums


def expected(given: list[Signal]) -> list[Signal]:
    found = [np.fft.fft(signal.re + 1j * signal.im) for signal in given]
    return [Signal(re=one.real.copy(), im=one.imag.copy()) for one in found]
