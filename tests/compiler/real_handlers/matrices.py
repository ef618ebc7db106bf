"""The product of two 8x8 matrices."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk

N = 8


@rk.message
class Row(rk.Message):
    x: rk.Array[rk.f32, N]


@rk.message
class Pair(rk.Message):
    a: rk.Array[Row, N]
    b: rk.Array[Row, N]


@rk.message
class Product(rk.Message):
    c: rk.Array[Row, N]
    trace: rk.f32


@rk.kernel
def matmul(ctx: rk.Context, msg: Pair) -> Product:
    out = Product(c=msg.a, trace=0)
    for i in range(N):
        for j in range(N):
            total = 0.0
            for k in range(N):
                total += msg.a[i].x[k] * msg.b[k].x[j]
            out.c[i].x[j] = total
        out.trace += out.c[i].x[i]
    return out


def messages(random: Random) -> list[Pair]:
    def matrix() -> list[Row]:
        return [Row(x=[random.randrange(-9, 10) for _ in range(N)]) for _ in range(N)]

    return [Pair(a=matrix(), b=matrix()) for _ in range(30)]


def expected(given: list[Pair]) -> list[Product]:
    answers = []
    for pair in given:
        a, b = (np.array([row["x"] for row in rows], np.float32) for rows in (pair.a, pair.b))
        answers.append(Product(c=[Row(x=row) for row in a @ b], trace=np.trace(a @ b)))
    return answers
