"""A row of the Mandelbrot set."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk

WIDTH = 64


@rk.message
class RowAsk(rk.Message):
    y: rk.f64
    limit: rk.u16


@rk.message
class Row(rk.Message):
    counts: rk.Array[rk.u16, WIDTH]


@rk.device
def escape(cx: rk.f64, cy: rk.f64, limit: rk.u16) -> rk.u16:
    x: rk.f64 = 0.0
    y: rk.f64 = 0.0
    for n in range(limit):
        xx = x * x
        yy = y * y
        if xx + yy > 4.0:
            return rk.u16(n)
        y = 2 * x * y + cy
        x = xx - yy + cx
    return limit


@rk.kernel
def mandel(ctx: rk.Context, msg: RowAsk) -> Row:
    row = Row(counts=[0] * WIDTH)
    for i in range(WIDTH):
        row.counts[i] = escape(-2.0 + 3.0 * rk.f64(i) / WIDTH, msg.y, msg.limit)
    return row


def messages(random: Random) -> list[RowAsk]:
    return [RowAsk(y=random.uniform(-1.2, 1.2), limit=random.randrange(60)) for _ in range(30)]


def expected(given: list[RowAsk]) -> list[Row]:
    answers = []
    for ask in given:
        c = np.array([complex(-2.0 + 3.0 * i / WIDTH, ask.y) for i in range(WIDTH)])
        x, y, counts, inside = np.zeros(WIDTH), np.zeros(WIDTH), np.zeros(WIDTH, int), np.ones(WIDTH, bool)
        for _ in range(ask.limit):
            inside &= x * x + y * y <= 4.0
            counts += inside
            x, y = np.where(inside, (x * x - y * y + c.real, 2 * x * y + c.imag), 9.0)
        answers.append(Row(counts=counts))
    return answers
