"""Integers in a line of text: a state machine."""

from __future__ import annotations

import re
from enum import Enum
from random import Random

import pyringkernel as rk


class S(Enum):
    START = 0
    SIGN = 1
    DIGITS = 2
    BAD = 3


@rk.message
class Line(rk.Message):
    text: rk.Bytes[80]


@rk.message
class Ints(rk.Message):
    values: rk.Vec[rk.i64, 40]
    bad: rk.u32


@rk.kernel
def intparser(ctx: rk.Context, msg: Line) -> Ints:
    out = Ints(values=[], bad=0)
    s = S.START
    sign = 1
    value: rk.i64 = 0
    for c in msg.text:
        match s:
            case S.START | S.SIGN:
                if c == ord("-") and s == S.START:
                    sign = -1
                    s = S.SIGN
                elif ord("0") <= c <= ord("9"):
                    value = c - ord("0")
                    s = S.DIGITS
                elif c in b" ,\0":
                    out.bad += 1 if s == S.SIGN else 0
                    s, sign = S.START, 1
                else:
                    s = S.BAD
            case S.DIGITS:
                if ord("0") <= c <= ord("9"):
                    value = value * 10 + (c - ord("0"))
                elif c in (0, 0x20, 0x2C):
                    out.values.append(value * sign)
                    s, sign = S.START, 1
                else:
                    s = S.BAD
            case S.BAD:
                if c == 0 or c == 32 or c == 44:
                    out.bad += 1
                    s = S.START
                    sign = 1
        if c == 0:
            break
    return out


def messages(random: Random) -> list[Line]:
    def word() -> str:
        return random.choice([str(random.randrange(-(10**6), 10**6)), "x1", "1x", "-", "--1", ""])

    lines = [random.choice(", ").join(word() for _ in range(8)) for _ in range(80)]
    return [Line(text=line.encode()[:79]) for line in lines]


def expected(given: list[Line]) -> list[Ints]:
    answers = []
    for line in given:
        words = re.split("[ ,]", line.text.rstrip(b"\0").decode())
        numbers = [int(word) for word in words if re.fullmatch("-?[0-9]+", word)]
        answers.append(Ints(values=numbers, bad=sum(word != "" for word in words) - len(numbers)))
    return answers
