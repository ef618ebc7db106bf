"""SHA-256 of texts of one block."""

from __future__ import annotations

import hashlib
import struct
from random import Random

import pyringkernel as rk

K = (
    0x428A2F98,
    0x71374491,
    0xB5C0FBCF,
    0xE9B5DBA5,
    0x3956C25B,
    0x59F111F1,
    0x923F82A4,
    0xAB1C5ED5,
    0xD807AA98,
    0x12835B01,
    0x243185BE,
    0x550C7DC3,
    0x72BE5D74,
    0x80DEB1FE,
    0x9BDC06A7,
    0xC19BF174,
    0xE49B69C1,
    0xEFBE4786,
    0x0FC19DC6,
    0x240CA1CC,
    0x2DE92C6F,
    0x4A7484AA,
    0x5CB0A9DC,
    0x76F988DA,
    0x983E5152,
    0xA831C66D,
    0xB00327C8,
    0xBF597FC7,
    0xC6E00BF3,
    0xD5A79147,
    0x06CA6351,
    0x14292967,
    0x27B70A85,
    0x2E1B2138,
    0x4D2C6DFC,
    0x53380D13,
    0x650A7354,
    0x766A0ABB,
    0x81C2C92E,
    0x92722C85,
    0xA2BFE8A1,
    0xA81A664B,
    0xC24B8B70,
    0xC76C51A3,
    0xD192E819,
    0xD6990624,
    0xF40E3585,
    0x106AA070,
    0x19A4C116,
    0x1E376C08,
    0x2748774C,
    0x34B0BCB5,
    0x391C0CB3,
    0x4ED8AA4A,
    0x5B9CCA4F,
    0x682E6FF3,
    0x748F82EE,
    0x78A5636F,
    0x84C87814,
    0x8CC70208,
    0x90BEFFFA,
    0xA4506CEB,
    0xBEF9A3F7,
    0xC67178F2,
)
H = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]


@rk.message
class HashText(rk.Message):
    length: rk.u8
    data: rk.Bytes[64]


@rk.message
class Digest(rk.Message):
    h: rk.Array[rk.u32, 8]


@rk.state
class Constants:
    k: rk.Array[rk.u32, 64] = K
    h: rk.Array[rk.u32, 8] = H


@rk.device
def rotr(x: rk.u32, n: rk.u32) -> rk.u32:
    return (x >> n) | (x << (32 - n))


@rk.kernel
def sha256(ctx: rk.Context, state: Constants, msg: HashText) -> Digest:
    assert msg.length <= 55, "one block only"
    msg.data[msg.length] = 0x80
    w = rk.zeros(rk.u32, 64)
    for i in range(16):
        for j in range(4):
            w[i] = (w[i] << 8) | msg.data[4 * i + j]
    w[15] = rk.u32(msg.length) * 8
    for i in range(16, 64):
        s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3)
        s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10)
        w[i] = w[i - 16] + s0 + w[i - 7] + s1
    a, b, c, d, e, f, g, h = state.h
    for i in range(64):
        s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)
        ch = (e & f) ^ (~e & g)
        t1 = h + s1 + ch + state.k[i] + w[i]
        s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)
        maj = (a & b) ^ (a & c) ^ (b & c)
        t2 = s0 + maj
        h, g, f, e, d, c, b, a = g, f, e, d + t1, c, b, a, t1 + t2
    return Digest(
        h=[
            state.h[0] + a,
            state.h[1] + b,
            state.h[2] + c,
            state.h[3] + d,
            state.h[4] + e,
            state.h[5] + f,
            state.h[6] + g,
            state.h[7] + h,
        ]
    )


def messages(random: Random) -> list[HashText]:
    lengths = [0, 1, 55, *(random.randrange(56) for _ in range(40))]
    return [HashText(length=length, data=random.randbytes(length)) for length in lengths]


def expected(given: list[HashText]) -> list[Digest]:
    digests = [hashlib.sha256(text.data[: text.length]).digest() for text in given]
    return [Digest(h=struct.unpack(">8I", digest)) for digest in digests]
