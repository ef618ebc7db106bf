"""Compiled handlers and what they are given: every type, unions, arrays, states. NumPy and struct say what is right."""

from __future__ import annotations

import enum
import struct
from typing import Any

import numpy as np
import pytest
from actors import Number, Tally, Text

import pyringkernel as rk

W = 60.0


@rk.message
class Every:
    flag: rk.boolean = False
    a: rk.i8 = 0
    b: rk.i16 = 0
    c: rk.i32 = 0
    d: rk.i64 = 0
    e: rk.u8 = 0
    f: rk.u16 = 0
    g: rk.u32 = 0
    h: rk.u64 = 0
    x: rk.f16 = 0.0
    y: rk.f32 = 0.0
    z: rk.f64 = 0.0


@rk.state
class Sums:
    flag: rk.boolean = False
    a: rk.i8 = 0
    b: rk.i16 = 0
    c: rk.i32 = 0
    d: rk.i64 = 0
    e: rk.u8 = 0
    f: rk.u16 = 0
    g: rk.u32 = 0
    h: rk.u64 = 0
    x: rk.f16 = 0.0
    y: rk.f32 = 0.0
    z: rk.f64 = 0.0


@rk.kernel
def add_all(ctx: rk.Context, state: Sums, msg: Every) -> Every:
    state.flag = state.flag ^ msg.flag
    state.a += msg.a
    state.b += msg.b
    state.c += msg.c
    state.d += msg.d
    state.e += msg.e
    state.f += msg.f
    state.g += msg.g
    state.h += msg.h
    state.x += msg.x
    state.y += msg.y
    state.z += msg.z
    return Every(
        state.flag, state.a, state.b, state.c, state.d, state.e, state.f, state.g, state.h, state.x, state.y, state.z
    )


def random_rows(cls: Any, count: int, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, cls.dtype)
    for name, (dtype, *_) in cls.dtype.fields.items():
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            rows[name] = rng.integers(info.min, info.max, count, dtype, endpoint=True)
        else:
            rows[name] = rng.integers(0, 2, count) if dtype.kind == "b" else rng.normal(0, 8, count)
    return rows


def test_a_state_has_every_scalar_type(rt: rk.Runtime, engine: Any) -> None:
    rows = random_rows(Every, 60, 1)
    kernel = rt.launch(add_all, **engine)
    assert kernel.send_many(rows, timeout=W) == len(rows)
    found = np.zeros(0, Every.dtype)
    while len(found) < len(rows):
        found = np.concatenate([found, kernel.receive_many(timeout=W)])
    for name in Every.dtype.names:
        total = rows[name][:1].copy()
        for i, value in enumerate(rows[name]):
            if i:
                total = total ^ value if name == "flag" else total + rows[name][i : i + 1]
            assert total.tobytes() == found[name][i : i + 1].tobytes(), (name, i)
    kernel.deactivate()
    assert [getattr(kernel.state_object, name) for name in Every.dtype.names] == list(found[-1].tolist())


def test_an_initial_state_is_taken_and_copied(rt: rk.Runtime, engine: Any) -> None:
    given = Sums(a=-128, h=2**64 - 1, z=0.5)
    kernel = rt.launch(add_all, state=given, **engine)
    assert kernel.call(Every(a=-1, h=2, z=1.0), timeout=W) == Every(a=127, h=1, z=1.5)
    assert given == Sums(a=-128, h=2**64 - 1, z=0.5)


def test_instances_have_states_of_their_own(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def who(ctx: rk.Context, state: Tally, msg: Number) -> Number:
        state.seen += 1
        state.total += msg.n
        return Number(1000 * rk.u64(ctx.instance_id()) + state.total)

    kernel = rt.launch(who, instances=3, **engine)
    for n in (5, 7):
        assert [kernel.call(Number(n + i), timeout=W, instance=i).n for i in range(3)] == [
            1000 * i + (n + i if n == 5 else 12 + 2 * i) for i in range(3)
        ]
    kernel.deactivate()
    assert kernel.states == [Tally(2, 12), Tally(2, 14), Tally(2, 16)]


# -- unions


class Kind(enum.IntEnum):
    UP = 3
    DOWN = 4


@rk.message
class Move:
    kind: rk.u8
    by: rk.i32


@rk.kernel
def by_match(ctx: rk.Context, state: Tally, msg: Number | Text | Move) -> Number | Move | None:
    match msg:
        case Number():
            return Number(msg.n + 1)
        case Move():
            match msg.kind:
                case Kind.UP:
                    return Move(kind=Kind.DOWN, by=msg.by)
                case Kind.DOWN:
                    return Move(kind=Kind.UP, by=-msg.by)
                case _:
                    state.seen += 1
        case _:
            state.total += rk.u64(msg.text[0])
    return None


@rk.kernel
def by_isinstance(ctx: rk.Context, state: Tally, msg: Number | Text | Move) -> Number | Move | None:
    if isinstance(msg, Number):
        return Number(msg.n + 1)
    if not isinstance(msg, (Number, Text)):
        if msg.kind == Kind.UP or msg.kind == Kind.DOWN:
            up = msg.kind == Kind.UP
            return Move(kind=Kind.DOWN if up else Kind.UP, by=msg.by if up else -msg.by)
        state.seen += 1
    else:
        state.total += rk.u64(msg.text[0])
    return None


@pytest.mark.parametrize("handler", [by_match, by_isinstance], ids=["match", "isinstance"])
def test_a_union_is_told_apart(rt: rk.Runtime, engine: Any, handler: Any) -> None:
    kernel = rt.launch(handler, **engine)
    for message in (Text(b"A"), Move(kind=9, by=1), Text(b"\xff")):
        kernel.send(message)
    assert kernel.call(Number(2**64 - 1), timeout=W) == Number(0)
    assert kernel.call(Move(kind=3, by=7), timeout=W) == Move(kind=4, by=7)
    assert kernel.call(Move(kind=4, by=-(2**31)), timeout=W) == Move(kind=3, by=-(2**31))
    kernel.deactivate()
    assert kernel.state_object == Tally(1, 65 + 255)
    with pytest.raises(rk.WrongMessageError):
        kernel.send(Every())


# -- arrays


@rk.message
class Point:
    x: rk.f32 = 0.0
    y: rk.f32 = 0.0


@rk.message
class Shape:
    origin: Point
    corners: rk.Array[Point, 4]
    weights: rk.Vec[rk.i16, 9] = ()
    name: rk.Bytes[5] = b""


@rk.kernel
def transform(ctx: rk.Context, msg: Shape) -> Shape:
    made = Shape(origin=msg.corners[-1], corners=msg.corners, weights=[1, 2], name=b"ab")
    for i in range(4):
        made.corners[i].x = msg.corners[3 - i].y + msg.origin.x
    made.weights.clear()
    for k in range(len(msg.weights)):
        made.weights.append(msg.weights[k] * 2)
    for i in range(len(msg.name)):
        made.name[i] = msg.name[i] ^ 0x20
    return made


@pytest.mark.parametrize("length", [0, 1, 5, 9])
def test_arrays_vectors_bytes_and_nested_objects(rt: rk.Runtime, engine: Any, length: int) -> None:
    rng = np.random.default_rng(length)
    xs, ys = rng.normal(size=(2, 4)).astype(np.float32).tolist()
    weights = rng.integers(-(2**15), 2**15, length).tolist()
    corners = [Point(x, y) for x, y in zip(xs, ys, strict=True)]
    sent = Shape(origin=Point(0.25, 2.0), corners=corners, weights=weights, name=b"Hello")
    found = rt.launch(transform, **engine).call(sent, timeout=W)
    floats = [xs[3], ys[3]]
    for i in range(4):
        floats += [float(np.float32(ys[3 - i]) + np.float32(0.25)), ys[i]]
    doubled = (np.array(weights, np.int16) * np.int16(2)).tolist()
    raw = bytes(memoryview(found).cast("B"))
    assert struct.unpack_from("<10fI", raw) == (*floats, length)
    assert raw[44:] == struct.pack(f"<{length}h", *doubled) + raw[44 + 2 * length : 62] + b"hELLO\0"
    assert list(found.weights) == doubled


def test_a_vector_that_shrank_is_as_long_as_it_says(rt: rk.Runtime, engine: Any) -> None:
    @rk.kernel
    def shrink(ctx: rk.Context, msg: Shape) -> Shape:
        made = Shape(origin=msg.origin, corners=msg.corners, weights=msg.weights)
        made.weights.clear()
        made.weights.append(7)
        return made

    found = rt.launch(shrink, **engine).call(Shape(Point(), [Point()] * 4, [5] * 9), timeout=W)
    assert list(found.weights) == [7]
    assert np.frombuffer(found, Shape.dtype)[0]["weights"]["data"][0] == 7


# -- many messages


def numbers(values: Any) -> np.ndarray[Any, Any]:
    rows = np.zeros(len(values), Number.dtype)
    rows["n"] = values
    return rows


@rk.kernel
def running(ctx: rk.Context, state: Tally, msg: Number | Move) -> Number:
    """What depends on the order: a hash of all messages so far."""
    value = msg.n if isinstance(msg, Number) else rk.u64(rk.u32(msg.by)) + 1
    state.total = (state.total ^ value) * 1099511628211
    state.seen += 1
    return Number(state.total)


def hashes(values: Any) -> list[int]:
    total, found = 0, []
    for value in values:
        total = (total ^ int(value)) * 1099511628211 % 2**64
        found.append(total)
    return found


def collect(kernel: rk.Kernel, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found += kernel.receive_many(timeout=W)["n"].tolist()
    return found


def test_ten_thousand_messages_are_handled_in_their_order(rt: rk.Runtime, engine: Any, threads: Any) -> None:
    values = np.random.default_rng(3).integers(0, 2**64, 10_000, np.uint64)
    kernel = rt.launch(running, **engine)
    sending = threads.start(kernel.send_many, numbers(values), W)
    assert collect(kernel, 10_000) == hashes(values)
    assert sending.result() == 10_000
    stats = kernel.stats()
    assert (stats.accepted, stats.delivered, stats.in_flight) == (10_000, 10_000, 0)


def test_two_classes_in_turn_are_handled_in_their_order(rt: rk.Runtime, engine: Any) -> None:
    kernel = rt.launch(running, capacity=4096, autostart=False, **engine)
    rng = np.random.default_rng(4)
    values = []
    for n in range(3000):
        if n % 2 if n < 1500 else rng.integers(5):  # in turn, and then in short runs
            kernel.send(Number(n))
            values.append(n)
        else:
            kernel.send(Move(kind=0, by=n))
            values.append(n + 1)
    kernel.activate()
    assert collect(kernel, 3000) == hashes(values)
    kernel.terminate()
    assert kernel.state_object == Tally(3000, hashes(values)[-1])
