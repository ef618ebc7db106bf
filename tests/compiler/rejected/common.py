"""The classes that the rejected handlers use."""

from __future__ import annotations

import enum

import pyringkernel as rk


@rk.message
class Ping:
    x: rk.u32


@rk.message
class Pong:
    x: rk.u32
    y: rk.f32 = 0.5


@rk.message
class Point:
    x: rk.f32
    y: rk.f32


@rk.message
class Data:
    flag: rk.boolean
    s8: rk.i8
    i: rk.i32
    i64: rk.i64
    u8: rk.u8
    u16: rk.u16
    u: rk.u32
    u64: rk.u64
    h: rk.f16
    f: rk.f32
    d: rk.f64
    values: rk.Array[rk.f32, 8]
    codes: rk.Array[rk.u32, 4]
    items: rk.Vec[rk.i32, 16]
    tag: rk.Bytes[8]
    pos: Point
    points: rk.Array[Point, 4]


@rk.state
class Tally:
    count: rk.u64
    total: rk.f32
    small: rk.u16
    hist: rk.Array[rk.u32, 16]
    last: Point
    log: rk.Vec[rk.u32, 8]


class Color(enum.IntEnum):
    RED = 1
    GREEN = 2


LIMIT = 10
