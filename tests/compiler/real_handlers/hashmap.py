"""A hash map with open addressing."""

from __future__ import annotations

from enum import IntEnum
from random import Random

import pyringkernel as rk

SIZE = 64
EMPTY, USED, GONE = 0, 1, 2


class Op(IntEnum):
    PUT = 0
    GET = 1
    DELETE = 2


@rk.message
class Request(rk.Message):
    op: rk.u8
    key: rk.u32
    value: rk.i64


@rk.message
class Response(rk.Message):
    found: bool
    value: rk.i64
    probes: rk.u16


@rk.message
class Slot(rk.Message):
    mark: rk.u8
    key: rk.u32
    value: rk.i64


@rk.state
class Table:
    slots: rk.Array[Slot, SIZE]
    used: rk.u32


@rk.kernel
def hashmap(ctx: rk.Context, state: Table, msg: Request) -> Response:
    h = msg.key * 2654435769 >> 26
    free = -1
    probes = 0
    for i in range(SIZE):
        slot = state.slots[(rk.i32(h) + i) % SIZE]
        probes += 1
        if slot.mark == EMPTY:
            if free < 0:
                free = (rk.i32(h) + i) % SIZE
            break
        if slot.mark == GONE:
            if free < 0:
                free = (rk.i32(h) + i) % SIZE
            continue
        if slot.key == msg.key:
            old = slot.value
            match msg.op:
                case Op.PUT:
                    slot.value = msg.value
                case Op.DELETE:
                    slot.mark = GONE
                    state.used -= 1
            return Response(True, old, rk.u16(probes))
    if msg.op == Op.PUT and free >= 0:
        state.slots[free] = Slot(mark=USED, key=msg.key, value=msg.value)
        state.used += 1
    return Response(found=False, value=0, probes=rk.u16(probes))


def messages(random: Random) -> list[Request]:
    def one() -> Request:
        return Request(op=random.choice(list(Op)), key=random.randrange(50), value=random.randrange(-99, 99))

    return [one() for _ in range(300)]


IGNORED = ("probes",)  # how it finds a key is its own


def expected(given: list[Request]) -> list[Response]:
    table: dict[int, int] = {}
    answers = []
    for request in given:
        answers.append(Response(found=request.key in table, value=table.get(request.key, 0), probes=0))
        if request.op == Op.PUT:
            table[request.key] = request.value
        elif request.op == Op.DELETE:
            table.pop(request.key, None)
    return answers
