"""CRC-32 of a stream, with a table in the state and bit by bit."""

from __future__ import annotations

import zlib
from random import Random

import pyringkernel as rk

POLY = 0xEDB88320


@rk.message
class Chunk(rk.Message):
    data: rk.Vec[rk.u8, 100]
    last: bool


@rk.message
class Crc(rk.Message):
    table: rk.u32
    bitwise: rk.u32


@rk.state
class Sums:
    table: rk.Array[rk.u32, 256]
    ready: bool
    crc: rk.u32 = 0xFFFFFFFF
    bits: rk.u32 = 0xFFFFFFFF


@rk.kernel
def crc(ctx: rk.Context, state: Sums, msg: Chunk) -> Crc | None:
    if not state.ready:
        for n in range(256):
            c = rk.u32(n)
            for _ in range(8):
                c = (c >> 1) ^ POLY if c & 1 != 0 else c >> 1
            state.table[n] = c
        state.ready = True
    for byte in msg.data:
        state.crc = state.table[(state.crc ^ byte) & 0xFF] ^ (state.crc >> 8)
        state.bits ^= byte
        for _ in range(8):
            state.bits = (state.bits >> 1) ^ (POLY * (state.bits & 1))
    if not msg.last:
        return None
    result = Crc(table=~state.crc, bitwise=state.bits ^ 0xFFFFFFFF)
    state.crc = state.bits = 0xFFFFFFFF
    return result


def messages(random: Random) -> list[Chunk]:
    return [Chunk(data=random.randbytes(random.randrange(101)), last=random.random() < 0.3) for _ in range(60)]


def expected(given: list[Chunk]) -> list[Crc | None]:
    text, answers = b"", []
    for chunk in given:
        text += bytes(chunk.data)
        answers.append(Crc(table=zlib.crc32(text), bitwise=zlib.crc32(text)) if chunk.last else None)
        text = b"" if chunk.last else text
    return answers
