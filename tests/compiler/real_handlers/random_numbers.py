"""Random numbers: PCG and xorshift."""

from __future__ import annotations

from random import Random

import pyringkernel as rk


@rk.message
class Ask(rk.Message):
    count: rk.u8
    bound: rk.u32


@rk.message
class Numbers(rk.Message):
    pcg: rk.Vec[rk.u32, 16]
    xorshift: rk.u64
    unit: rk.f64


@rk.state
class Rng:
    pcg: rk.u64 = 0x853C49E6748FEA9B
    inc: rk.u64 = 0xDA3E39CB94B95BDB
    xs: rk.u64 = 88172645463325252


@rk.device
def pcg_next(state: Rng) -> rk.u32:
    old = state.pcg
    state.pcg = old * 6364136223846793005 + (state.inc | 1)
    xorshifted = rk.u32(((old >> 18) ^ old) >> 27)
    rot = rk.u32(old >> 59)
    return (xorshifted >> rot) | (xorshifted << (-rot & 31))


@rk.kernel
def rng(ctx: rk.Context, state: Rng, msg: Ask) -> Numbers:
    state.xs ^= state.xs << 13
    state.xs ^= state.xs >> 7
    state.xs ^= state.xs << 17
    out = Numbers(pcg=[], xorshift=state.xs, unit=rk.f64(state.xs >> 11) * 2.0**-53)
    for _ in range(min(msg.count, 16)):
        out.pcg.append(rk.u32((rk.u64(pcg_next(state)) * msg.bound) >> 32))
    return out


def messages(random: Random) -> list[Ask]:
    return [Ask(count=random.randrange(20), bound=random.randrange(1, 1 << 32)) for _ in range(60)]


def expected(given: list[Ask]) -> list[Numbers]:
    wide, pcg, shifted = (1 << 64) - 1, 0x853C49E6748FEA9B, 88172645463325252
    answers = []
    for ask in given:
        for by in (13, -7, 17):
            shifted ^= (shifted << by if by > 0 else shifted >> -by) & wide
        numbers = []
        for _ in range(min(ask.count, 16)):
            old, pcg = pcg, (pcg * 6364136223846793005 + 0xDA3E39CB94B95BDB) & wide
            bits = f"{((old >> 18 ^ old) >> 27) & 0xFFFFFFFF:032b}"
            turn = old >> 59
            numbers.append(int(bits[32 - turn :] + bits[: 32 - turn], 2) * ask.bound >> 32)
        answers.append(Numbers(pcg=numbers, xorshift=shifted, unit=(shifted >> 11) / 2**53))
    return answers
