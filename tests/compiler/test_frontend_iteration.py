"""Loops over arrays and constants, `in`, ord(), arrays taken apart, repeated lists."""

from __future__ import annotations

import pytest
from frontend_run import run

import pyringkernel as rk


@rk.message
class Cell:
    x: rk.i32
    y: rk.u8


@rk.message
class Grid:
    cells: rk.Array[Cell, 3]
    more: rk.Vec[Cell, 4]
    data: rk.Vec[rk.i16, 40]
    pair: rk.Array[rk.i16, 2]
    text: rk.Bytes[4]
    n: rk.i32


def grid(**given):
    cells = [Cell(x=10 * i, y=i) for i in range(3)]
    return Grid(
        **{"cells": cells, "more": cells[:2], "data": [5, 6, 7], "pair": [8, 9], "text": b"a-Z", "n": 0} | given
    )


def total(ctx, msg: Grid) -> Grid:
    for x in msg.data:
        if x == 6:
            continue
        msg.n += x
    for i, x in enumerate(msg.pair):
        msg.n += x * (i + 1)
    for b in msg.text:
        msg.n += b
    return msg


def test_elements_are_read_in_order() -> None:
    assert run(total, grid()).reply.n == 5 + 7 + 8 + 18 + sum(b"a-Z")
    assert run(total, grid(data=[])).reply.n == 8 + 18 + sum(b"a-Z")


def structs(ctx, msg: Grid) -> Grid:
    for cell in msg.cells:
        cell.x += 1
        for other in msg.more:
            other.y += 1
    for i, cell in enumerate(msg.more):
        cell.x = rk.i32(i)
        if i == 1:
            break
    return msg


def test_an_element_that_is_a_struct_is_itself() -> None:
    reply = run(structs, grid()).reply
    assert [(one["x"], one["y"]) for one in reply.cells] == [(1, 0), (11, 1), (21, 2)]
    assert [(one["x"], one["y"]) for one in reply.more] == [(0, 3), (1, 4)]


def growing(ctx, msg: Grid) -> Grid:
    for x in msg.data:
        msg.data.append(x + 10)
    return msg


def test_the_length_is_that_at_the_start() -> None:
    assert run(growing, grid()).reply.data.tolist() == [5, 6, 7, 15, 16, 17]


def constants(ctx, msg: Grid) -> Grid:
    values = rk.zeros(rk.i32, 3)
    for v in values:
        msg.n += v + 1
    for dy in (-1, 0, 4):
        for factor in (0.5, 2):
            msg.n += rk.i32(factor * 10.0) * dy
    return msg


def test_constants_are_items() -> None:
    assert run(constants, grid()).reply.n == 3 + 3 * (5 + 20)


def contained(ctx, msg: Grid) -> Grid:
    for c in msg.text:
        if c in b"aZ" or c in (ord("-"), msg.n):
            msg.n += 1
        if c not in (ord("a"), 0):
            msg.n += 100
    return msg


def test_in_is_one_of_several() -> None:
    assert run(contained, grid()).reply.n == 203


def several(ctx, msg: Grid) -> Grid:
    a, b = msg.pair
    msg.pair[1], msg.pair[0] = msg.pair
    c: rk.i64 = a
    msg.n = rk.i32(c * 100) + b
    msg.data = [b] * 40
    return msg


def test_an_array_is_taken_apart_and_a_list_repeated() -> None:
    reply = run(several, grid()).reply
    assert (reply.n, reply.pair.tolist(), reply.data.tolist()) == (809, [9, 8], [9] * 40)


def widened(ctx, msg: Grid) -> Grid:
    total: rk.i64 = -1
    for b in msg.text:
        total += b
    msg.n = msg.text[0]
    msg.n -= msg.text[1] - msg.n
    return msg


def test_unsigned_numbers_become_larger_signed_ones() -> None:
    assert run(widened, grid()).reply.n == 97 - (45 - 97)


def shadowed(ctx, msg: Grid) -> Grid:
    enumerate = 3
    for i, x in enumerate(msg.data):  # what is called is no function
        msg.n += x + i
    return msg


def test_enumerate_has_to_be_that_of_python() -> None:
    with pytest.raises(rk.TranslationError, match="enumerate is not Python's own here"):
        run(shadowed, grid())
