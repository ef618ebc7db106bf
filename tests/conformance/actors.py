"""The messages and handlers that the conformance tests use. Handlers here do nothing that a device could not."""

from __future__ import annotations

import threading
from typing import Any

import pyringkernel as rk


@rk.message
class Number:
    n: rk.u64 = 0


@rk.message
class Text:
    text: rk.Bytes[32] = b""


@rk.message
class Values:
    factor: rk.f32
    data: rk.Array[rk.f32, 64]


@rk.message
class Stamp:
    time: rk.u64
    node_id: rk.u32
    shard_id: rk.u32


@rk.message
class Hop:
    left: rk.u32
    trail: rk.Vec[rk.u8, 64] = ()


@rk.message
class Unknown:
    x: rk.u8 = 0


@rk.state
class Tally:
    seen: rk.u64
    total: rk.u64


@rk.kernel
def echo(ctx: rk.Context, msg: Number) -> Number:
    return msg


@rk.kernel
def sink(ctx: rk.Context, msg: Number) -> None:
    return None


@rk.kernel
def double(ctx: rk.Context, msg: Number) -> Number:
    return Number(2 * msg.n)


@rk.kernel
def tally(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    state.total += msg.n
    return Number(state.total)


@rk.kernel
def scaler(ctx: rk.Context, msg: Values) -> Values:
    for i in range(64):
        msg.data[i] = msg.data[i] * msg.factor
    return msg


@rk.kernel
def either(ctx: rk.Context, msg: Number | Text) -> Number | Text:
    if isinstance(msg, Number):
        return Number(msg.n + 1)
    for i in range(len(msg.text)):
        if 97 <= msg.text[i] <= 122:
            msg.text[i] -= 32
    return msg


@rk.kernel(compiled=False)
def odd_only(ctx: rk.Context, msg: Number) -> Number:
    if msg.n % 2 == 0:
        raise ValueError(f"{msg.n} is even")
    return msg


class Gate:
    """A handler that waits inside until it is let go: a stand-in for one that hangs."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.handled: list[int] = []

    def __call__(self, ctx: rk.Context, msg: Number) -> Number:
        self.entered.set()
        self.open.wait(120)
        self.handled.append(msg.n)
        return msg


def recorder(seen: list[Any]) -> Any:
    """A handler that keeps what it was given."""

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)

    return record
