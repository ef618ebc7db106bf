"""Base64 of bytes."""

from __future__ import annotations

import binascii
from random import Random

import pyringkernel as rk

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@rk.message
class Raw(rk.Message):
    length: rk.u8
    data: rk.Bytes[48]


@rk.message
class PlainText(rk.Message):
    length: rk.u8
    data: rk.Bytes[64]


@rk.state
class Alphabet:
    alphabet: rk.Array[rk.u8, 64] = ALPHABET


@rk.kernel
def base64(ctx: rk.Context, state: Alphabet, msg: Raw) -> PlainText:
    out = PlainText(length=0, data=b"")
    n = min(msg.length, 48)
    for i in range(0, n, 3):
        block = rk.u32(msg.data[i]) << 16
        if i + 1 < n:
            block |= rk.u32(msg.data[i + 1]) << 8
        if i + 2 < n:
            block |= msg.data[i + 2]
        for k in range(4):
            if rk.u32(k) > n - i:
                out.data[out.length] = ord("=")
            else:
                out.data[out.length] = state.alphabet[(block >> (18 - 6 * k)) & 63]
            out.length += 1
    return out


def messages(random: Random) -> list[Raw]:
    lengths = [0, 1, 2, 3, 48, *(random.randrange(49) for _ in range(50))]
    return [Raw(length=length, data=random.randbytes(length)) for length in lengths]


def expected(given: list[Raw]) -> list[PlainText]:
    texts = [binascii.b2a_base64(raw.data[: raw.length], newline=False) for raw in given]
    return [PlainText(length=len(text), data=text) for text in texts]
