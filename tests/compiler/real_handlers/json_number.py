"""A number as JSON writes it."""

from __future__ import annotations

import re
from random import Random

import pyringkernel as rk


@rk.message
class JsonText(rk.Message):
    text: rk.Bytes[32]


@rk.message
class JsonNumber(rk.Message):
    valid: bool
    integral: bool
    mantissa: rk.i64
    exponent: rk.i32
    used: rk.u8


@rk.device
def is_digit(c: rk.u8) -> bool:
    return 48 <= c <= 57


@rk.kernel
def jsonnum(ctx: rk.Context, msg: JsonText) -> JsonNumber:
    t = msg.text
    i = 0
    out = JsonNumber(False, True, 0, 0, 0)
    negative = t[0] == ord("-")
    if negative:
        i += 1
    if not is_digit(t[i]):
        return out
    if t[i] == ord("0"):
        i += 1
    else:
        while i < len(t) and is_digit(t[i]):
            out.mantissa = out.mantissa * 10 + t[i] - 48
            i += 1
    if i < len(t) and t[i] == ord("."):
        out.integral = False
        i += 1
        if not (i < len(t) and is_digit(t[i])):
            return out
        while i < len(t) and is_digit(t[i]):
            out.mantissa = out.mantissa * 10 + t[i] - 48
            out.exponent -= 1
            i += 1
    if i < len(t) and t[i] in b"eE":
        out.integral = False
        i += 1
        sign = 1
        if i < len(t) and t[i] in (ord("+"), ord("-")):
            sign = -1 if t[i] == ord("-") else 1
            i += 1
        if i >= len(t) or not is_digit(t[i]):
            return out
        e = 0
        while i < len(t) and is_digit(t[i]):
            e = e * 10 + t[i] - 48
            i += 1
        out.exponent += sign * e
    if negative:
        out.mantissa *= -1
    out.valid = True
    out.used = rk.u8(i)
    return out


def messages(random: Random) -> list[JsonText]:
    fixed = [b"0", b"-0", b"01", b"-", b"1.", b".5", b"1e", b"1e+5", b"-12.5E-3,", b"1.0e5x", b"9" * 18]
    made = [bytes(random.choices(b"0123456789.-+eE", k=random.randrange(1, 9))) for _ in range(150)]
    return [JsonText(text=text) for text in fixed + made]


def expected(given: list[JsonText]) -> list[JsonNumber]:
    answers = []
    for message in given:
        text = message.text.rstrip(b"\0")
        found = re.match(rb"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", text)
        rest = text[found.end() :] if found else b""
        broken = found and (
            (rest[:1] in (b"e", b"E") and not found[4]) or (rest[:1] == b"." and not found[3] and not found[4])
        )
        if not found or broken:
            answers.append(None)
            continue
        digits = found[2] + (found[3] or b"")
        exponent = int(found[4] or 0) - len(found[3] or b"")
        answers.append(
            JsonNumber(
                valid=True,
                integral=found[3] is None and found[4] is None,
                mantissa=int(digits) * (-1 if found[1] else 1),
                exponent=max(-(2**31), min(exponent, 2**31 - 1)),
                used=found.end(),
            )
        )
    return answers


def is_valid(reply: JsonNumber) -> bool:
    return reply.valid
