"""A Bloom filter."""

from __future__ import annotations

from random import Random

import pyringkernel as rk

BITS = 1024


@rk.message
class Word(rk.Message):
    text: rk.Bytes[16]
    add: bool


@rk.message
class Seen(rk.Message):
    maybe: bool
    fill: rk.u32


@rk.state
class Filter:
    bits: rk.Array[rk.u64, BITS // 64]


@rk.device
def fnv1a(text: rk.Bytes[16], seed: rk.u32) -> rk.u32:
    h = seed
    for b in text:
        h = (h ^ b) * 16777619
    return h


@rk.kernel
def bloom(ctx: rk.Context, state: Filter, msg: Word) -> Seen:
    h1 = fnv1a(msg.text, 2166136261)
    h2 = fnv1a(msg.text, 0x9747B28C) | 1
    maybe = True
    for i in range(5):
        bit = (h1 + rk.u32(i) * h2) % BITS
        word, mask = bit // 64, rk.u64(1) << (bit % 64)
        if state.bits[word] & mask == 0:
            maybe = False
        if msg.add:
            state.bits[word] |= mask
    fill: rk.u32 = 0
    for w in state.bits:
        fill += rk.u32(rk.popcount(w))
    return Seen(maybe=maybe, fill=fill)


def messages(random: Random) -> list[Word]:
    return [Word(text=b"w%d" % random.randrange(80), add=random.random() < 0.5) for _ in range(200)]


def expected(given: list[Word]) -> list[Seen]:
    bits: set[int] = set()
    answers = []
    for word in given:
        hashes = []
        for start in (2166136261, 0x9747B28C):
            found = start
            for byte in word.text:
                found = (found ^ byte) * 16777619 % 2**32
            hashes.append(found)
        mine = {(hashes[0] + i * (hashes[1] | 1)) % 2**32 % BITS for i in range(5)}
        maybe = mine <= bits
        bits |= mine if word.add else set()
        answers.append(Seen(maybe=maybe, fill=len(bits)))
    return answers
