"""The longest match in a window, as LZ77 looks for it."""

from __future__ import annotations

from random import Random

import pyringkernel as rk


@rk.message
class Input(rk.Message):
    data: rk.Vec[rk.u8, 64]


@rk.message
class Token(rk.Message):
    offset: rk.u8
    length: rk.u8
    next: rk.u8


@rk.message
class Tokens(rk.Message):
    tokens: rk.Vec[Token, 64]


@rk.kernel
def lz(ctx: rk.Context, msg: Input) -> Tokens:
    out = Tokens(tokens=[])
    i = 0
    n = rk.i32(len(msg.data))
    while i < n:
        best_len = 0
        best_off = 0
        for off in range(1, min(i, 31) + 1):
            k = 0
            while i + k < n - 1 and k < 15 and msg.data[i + k - off] == msg.data[i + k]:
                k += 1
            if k > best_len:
                best_len, best_off = k, off
        out.tokens.append(Token(rk.u8(best_off), rk.u8(best_len), msg.data[i + best_len]))
        i += best_len + 1
    return out


def messages(random: Random) -> list[Input]:
    lengths = [0, 1, 64, *(random.randrange(65) for _ in range(60))]
    return [Input(data=[random.randrange(3) for _ in range(length)]) for length in lengths]


def expected(given: list[Input]) -> list[Tokens]:
    answers = []
    for message in given:
        data, tokens, at = bytes(message.data), [], 0
        while at < len(data):
            best = (0, 0)
            for length in range(1, min(15, len(data) - 1 - at) + 1):
                where = data.rfind(data[at : at + length], max(0, at - 31), at + length - 1)
                best = (at - where, length) if where >= 0 else best
            tokens.append(Token(offset=best[0], length=best[1], next=data[at + best[1]]))
            at += best[1] + 1
        answers.append(Tokens(tokens=tokens))
    return answers
