"""The best bid and ask of an order book with 64 levels."""

from __future__ import annotations

from collections import Counter
from random import Random

import pyringkernel as rk

LEVELS = 64


@rk.message
class Order(rk.Message):
    side: rk.u8  # 0: bid, 1: ask
    level: rk.u16
    delta: rk.i32


@rk.message
class Top(rk.Message):
    bid: rk.i32
    ask: rk.i32
    spread: rk.i32
    volume: rk.i64


@rk.state
class Book:
    bids: rk.Array[rk.i32, LEVELS]
    asks: rk.Array[rk.i32, LEVELS]
    updates: rk.u64


@rk.device
def change(side: rk.Array[rk.i32, LEVELS], order: Order) -> None:
    side[order.level] = max(0, side[order.level] + order.delta)


@rk.kernel
def order_book(ctx: rk.Context, state: Book, msg: Order) -> Top | None:
    if msg.level >= LEVELS or msg.side > 1:
        ctx.report_error(7)
        return None
    if msg.side == 0:
        change(state.bids, msg)
    else:
        change(state.asks, msg)
    state.updates += 1
    bid = -1
    for i in range(LEVELS - 1, -1, -1):
        if state.bids[i] > 0:
            bid = i
            break
    ask = -1
    for i in range(LEVELS):
        if state.asks[i] != 0:
            ask = i
            break
    spread = ask - bid if bid >= 0 and ask >= 0 else 0
    volume: rk.i64 = 0
    for x in state.bids:
        volume += x
    for x in state.asks:
        volume += x
    return Top(bid, ask, spread, volume)


def messages(random: Random) -> list[Order]:
    levels = [random.randrange(66) for _ in range(150)]  # 64 and 65 do not exist
    return [Order(side=random.randrange(2), level=at, delta=random.randrange(-9, 10)) for at in levels]


def expected(given: list[Order]) -> list[Top | None]:
    sides: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    answers: list[Top | None] = []
    for order in given:
        if order.level >= LEVELS:
            answers.append(None)
            continue
        side = sides[order.side]
        side[order.level] = max(0, side[order.level] + order.delta)
        bids, asks = ([level for level, size in one.items() if size] for one in sides)
        bid, ask = max(bids, default=-1), min(asks, default=-1)
        spread = ask - bid if bids and asks else 0
        answers.append(Top(bid=bid, ask=ask, spread=spread, volume=sides[0].total() + sides[1].total()))
    return answers
