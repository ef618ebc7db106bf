"""The game of life on a board of 64x64 bits."""

from __future__ import annotations

from random import Random

import numpy as np

import pyringkernel as rk


@rk.message
class Run(rk.Message):
    generations: rk.u8


@rk.message
class Board(rk.Message):
    rows: rk.Array[rk.u64, 64]
    alive: rk.u32


@rk.state
class Life:
    rows: rk.Array[rk.u64, 64]


@rk.device
def rotl(x: rk.u64, n: rk.u64) -> rk.u64:
    return x << n | x >> 64 - n


@rk.kernel
def life(ctx: rk.Context, state: Life, msg: Run) -> Board:
    for _ in range(msg.generations):
        old = rk.zeros(rk.u64, 64)
        for y in range(64):
            old[y] = state.rows[y]
        for y in range(64):
            # bit-sliced count of 8 neighbours
            ones: rk.u64 = 0
            twos: rk.u64 = 0
            fours: rk.u64 = 0
            for dy in (-1, 0, 1):
                row = old[(y + dy) % 64]
                for dx in (1, 0, 63):
                    if dx == 0 and dy == 0:
                        continue
                    n = rotl(row, rk.u64(dx))
                    carry = ones & n
                    ones ^= n
                    carry2 = twos & carry
                    twos ^= carry
                    fours |= carry2
            state.rows[y] = twos & ~fours & (ones | old[y])
    alive: rk.u64 = 0
    for row in state.rows:
        alive += rk.popcount(row)
    return Board(rows=state.rows, alive=rk.u32(alive))


def messages(random: Random) -> list[Run]:
    return [Run(generations=random.randrange(4)) for _ in range(12)]


_START = [(0x9E3779B97F4A7C15 * (y + 1) ^ y << 40) & (1 << 64) - 1 for y in range(64)]


def initial() -> Life:
    return Life(rows=_START)


def expected(given: list[Run]) -> list[Board]:
    cells = np.array([[row >> x & 1 for x in range(64)] for row in _START])
    answers = []
    for run in given:
        for _ in range(run.generations):
            around = sum(np.roll(cells, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) - cells
            cells = ((around == 3) | (cells & (around == 2))).astype(int)
        rows = [sum(int(cell) << x for x, cell in enumerate(row)) for row in cells]
        answers.append(Board(rows=rows, alive=cells.sum()))
    return answers
