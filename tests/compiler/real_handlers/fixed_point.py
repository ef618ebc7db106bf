"""Numbers with 16 bits behind the point: product, quotient, square root."""

from __future__ import annotations

import math
from random import Random

import pyringkernel as rk


@rk.message
class Q(rk.Message):
    a: rk.i32
    b: rk.i32


@rk.message
class R(rk.Message):
    product: rk.i32
    quotient: rk.i32
    root: rk.i32


@rk.device
def isqrt(x: rk.u64) -> rk.u32:
    root: rk.u64 = 0
    bit: rk.u64 = 1 << 62
    while bit > x:
        bit >>= 2
    while bit != 0:
        if x >= root + bit:
            x -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return rk.u32(root)


@rk.kernel
def fixed(ctx: rk.Context, msg: Q) -> R:
    product = rk.i64(msg.a) * msg.b
    quotient = (rk.i64(msg.a) << 16) // msg.b
    root = isqrt(rk.u64(abs(rk.i64(msg.a))) << 16)
    return R(product=rk.i32((product + 0x8000) >> 16), quotient=rk.i32(quotient), root=rk.i32(root))


def messages(random: Random) -> list[Q]:
    def number() -> int:
        return random.randrange(-(1 << random.randrange(8, 32)), 1 << random.randrange(8, 32))

    return [Q(a=number(), b=number() or 1) for _ in range(200)]


def expected(given: list[Q]) -> list[R]:
    def low(value: int) -> int:
        return (value + 2**31) % 2**32 - 2**31

    return [
        R(
            product=low((q.a * q.b + 0x8000) >> 16),
            quotient=low((q.a << 16) // q.b),
            root=low(math.isqrt(abs(q.a) << 16)),
        )
        for q in given
    ]
