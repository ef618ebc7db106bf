"""Indices that are proved to be inside have no check; this must never be proved of one that is not."""

from __future__ import annotations

import itertools
import linecache
from typing import Any

import pytest
from frontend_run import run
from hypothesis import given, settings
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.compiler import ir, ops
from pyringkernel.compiler.frontend.ranges import Interval, _binary, of_range
from pyringkernel.compiler.ir import BinaryOp, Type


@rk.message
class Cells:
    before: rk.Array[rk.u32, 64]
    cells: rk.Array[rk.u32, 16]
    after: rk.Array[rk.u32, 64]
    u: rk.u32
    c: rk.u8
    s: rk.i32


@rk.message
class Sum:
    x: rk.u32


_numbers = itertools.count()
_ends = st.integers(-6, 24)
_literal = st.integers(0, 20).map(str)


def _signed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "&"]), st.one_of(inner, _literal)),
        st.builds("({} {} {})".format, inner, st.sampled_from(["%", "//"]), st.integers(1, 17).map(str)),
        st.builds("({} >> {})".format, inner, st.integers(0, 9).map(str)),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, st.one_of(inner, _literal)),
        st.builds("({} if {} > {} else {})".format, inner, inner, inner, inner),
    )


_index = st.recursive(st.sampled_from(["i", "j", "k", "i"]), _signed, max_leaves=5)


@settings(max_examples=200, deadline=None)
@given(_index, _ends, _ends, st.sampled_from([-3, -1, 1, 2, 5]), st.integers(-40, 40))
def test_every_index_outside_is_counted(index: str, start: int, stop: int, step: int, s: int) -> None:
    lines = [
        "def h(ctx, msg: Cells) -> Sum:\n",
        "    total = rk.u32(0)\n",
        "    k = msg.s % 7\n",
        f"    for i in range({start}, {stop}, {step}):\n",
        "        j = i + 2\n",
        f"        total += msg.cells[{index}]\n",
        "    return Sum(x=total)\n",
    ]
    file = f"<ranges {next(_numbers)}>"
    linecache.cache[file] = (1, None, lines, file)
    names: dict[str, Any] = {"rk": rk, "Cells": Cells, "Sum": Sum}
    exec(compile("".join(lines), file, "exec"), names)
    cells = [1 << n for n in range(16)]
    message = Cells(before=[0] * 64, cells=cells, after=[0] * 64, u=0, c=0, s=s)
    total, missed = 0, 0
    for i in range(start, stop, step):
        at = eval(index, {"i": i, "j": i + 2, "k": s % 7})
        if 0 <= at < 16:
            total += cells[at]
        else:
            missed += 1
    out = run(names["h"], message)
    assert (out.reply.x, out.report.errors) == (total % 2**32, missed)


_OPS = [
    BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX, BinaryOp.MOD, BinaryOp.FLOORDIV,
    BinaryOp.AND, BinaryOp.SHR,
]  # fmt: skip


@pytest.mark.parametrize("op", _OPS)
@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=4, max_size=4), st.data())
def test_intervals_hold_what_is_calculated(op: BinaryOp, ends: list[int], data: Any) -> None:
    left, right = Interval(*sorted(ends[:2])), Interval(*sorted(ends[2:]))
    found = _binary(op, left, right)
    if found is None:
        return
    function = ops.binary(op, Type.I16)
    for a in range(left.low, left.high + 1):
        for b in range(right.low, right.high + 1):
            assert found.low <= function(a, b) <= found.high


@given(st.lists(st.integers(-8, 8), min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_intervals_hold_the_items_of_ranges(ends: list[int]) -> None:
    start, stop, step = (Interval(*sorted(ends[i : i + 2])) for i in (0, 2, 4))
    found = of_range(start, stop, step)
    if found is None:
        return
    for a, b, c in itertools.product(*(range(one.low, one.high + 1) for one in (start, stop, step))):
        for item in range(a, b, c) if c else ():
            assert found.low <= item <= found.high


def test_unsigned_and_narrow_values_have_the_bounds_of_their_types() -> None:
    def h(ctx, msg: Cells) -> Sum:
        n = rk.u32(msg.c) // 16
        return Sum(x=msg.cells[n] + msg.cells[msg.c >> 4] + msg.cells[msg.u & 15] + msg.cells[msg.u % 16])

    from frontend_run import count

    assert count(h, ir.CountError) == 0
    cells = Cells(before=[0] * 64, cells=list(range(16)), after=[0] * 64, u=37, c=255, s=0)
    assert run(h, cells).reply.x == 15 + 15 + 5 + 5
