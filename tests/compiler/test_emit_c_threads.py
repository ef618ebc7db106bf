"""The text for CUDA with a block of threads: warps, also those with fewer than 32 lanes, barriers, shared memory."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import pytest
import toolchains
from native_calls import Guarded, RkCall
from programs import add, at, less, load, local, one, u32

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.dialect_cuda import CUDA
from pyringkernel.compiler.ir import BinaryOp, Query, QueryName, Root, Scope, Type, WarpOp

pytestmark = pytest.mark.skipif(not toolchains.gcc, reason="no g++")
BLOCKS = (1, 5, 31, 32, 40, 64)
ROW = 128  # bytes of the state that each thread writes
THREAD = Query(QueryName.THREAD_ID)
LANE = Query(QueryName.LANE_ID)


def block_of(program: ir.Program, threads: int, built: Any) -> tuple[bytes, int]:
    """The state, and how many threads failed."""
    state, shared, slot = Guarded(program.state_size), Guarded(max(program.shared_size, 1)), Guarded(64 + 16)
    cancel = ctypes.c_uint64(0)
    call = RkCall(state=state.address, shared=shared.address, cancel=ctypes.addressof(cancel), task=1)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)(built[0][0])
    run(ctypes.addressof(call), slot.address, threads)
    for name, room in (("state", state), ("shared", shared), ("slot", slot)):
        room.check(name)
    return state.read(), call.failed


def build(*programs: ir.Program) -> list[list[tuple[int, Any]]]:
    text, exports = toolchains.host_text(programs, CUDA)
    return toolchains.build_text("#define RK_SHIM_THREADS\n" + text, exports)


def row(offset: int) -> ir.Place:
    return at(Root.STATE, offset, (THREAD, ROW))


def test_shuffles_take_from_the_lane_or_keep_the_own_value() -> None:
    got = local("got", Type.I64)
    value = ir.Cast(Type.I64, ir.Binary(Type.U32, BinaryOp.ADD, THREAD, u32(1000)))
    moves = [
        (op, n)
        for op in (WarpOp.SHUFFLE, WarpOp.SHUFFLE_UP, WarpOp.SHUFFLE_DOWN, WarpOp.SHUFFLE_XOR)
        for n in (0, 3, 40)
    ]
    body: list[ir.Stmt] = []
    for k, (op, n) in enumerate(moves):
        body += [ir.Warp(got, op, ir.Unary(Type.I64, ir.UnaryOp.NEG, value), u32(n)), ir.Store(row(8 * k), got)]
    made = one(body, locals=[got], state=ROW * max(BLOCKS))
    built = build(made)[0]
    source = {
        WarpOp.SHUFFLE: lambda lane, n: n,
        WarpOp.SHUFFLE_UP: lambda lane, n: lane - n,
        WarpOp.SHUFFLE_DOWN: lambda lane, n: lane + n,
        WarpOp.SHUFFLE_XOR: lambda lane, n: lane ^ n,
    }
    for threads in BLOCKS:
        state, _ = block_of(made, threads, built)
        for thread in range(threads):
            first, lane = thread // 32 * 32, thread % 32
            lanes = min(32, threads - first)
            for k, (op, n) in enumerate(moves):
                wanted = source[op](lane, n)
                wanted = wanted if 0 <= wanted < lanes else lane
                (found,) = struct.unpack_from("<q", state, ROW * thread + 8 * k)
                assert found == -(first + wanted + 1000), (threads, thread, op, n)


def test_reductions_and_votes_are_of_the_lanes_that_there_are() -> None:
    total, least, most, votes = (
        local("total", Type.F64), local("least", Type.I16), local("most", Type.U32), local("votes", Type.U64),
    )  # fmt: skip
    flag = local("flag", Type.BOOL)
    near = less(LANE, u32(3))
    body = [
        ir.Warp(total, WarpOp.REDUCE_ADD, ir.Cast(Type.F64, THREAD)),
        ir.Warp(least, WarpOp.REDUCE_MIN, ir.Cast(Type.I16, ir.Unary(Type.U32, ir.UnaryOp.INVERT, THREAD))),
        ir.Warp(most, WarpOp.REDUCE_MAX, add(THREAD, u32(7))),
        ir.Store(row(0), total),
        ir.Store(row(8), least),
        ir.Store(row(12), most),
        ir.Warp(votes, WarpOp.BALLOT, near),
        ir.Store(row(16), votes),
        ir.Warp(flag, WarpOp.ALL, near),
        ir.Store(row(24), flag),
        ir.Warp(flag, WarpOp.ANY, near),
        ir.Store(row(25), flag),
        ir.Store(row(28), Query(QueryName.GLOBAL_THREAD_ID)),
    ]
    made = one(body, locals=[total, least, most, votes, flag], state=ROW * max(BLOCKS))
    built = build(made)[0]
    for threads in BLOCKS:
        state, _ = block_of(made, threads, built)
        for thread in range(threads):
            first = thread // 32 * 32
            last = min(first + 32, threads) - 1
            lanes = last - first + 1
            wanted = (math.fsum(range(first, last + 1)), ~last, last + 7, (1 << min(3, lanes)) - 1, lanes <= 3, True)
            assert struct.unpack_from("<dhxxIQ??", state, ROW * thread) == wanted
            assert struct.unpack_from("<I", state, ROW * thread + 28) == (2 * threads + thread,)


def test_shared_memory_is_seen_behind_a_barrier_and_atomics_add_up() -> None:
    other = ir.Binary(
        Type.U32, BinaryOp.SUB, ir.Binary(Type.U32, BinaryOp.SUB, Query(QueryName.BLOCK_DIM), THREAD), u32(1)
    )
    body = [
        ir.Store(at(Root.SHARED, 0, (THREAD, 4)), add(THREAD, u32(5))),
        ir.Barrier(Scope.BLOCK),
        ir.Store(row(8), load(Type.U32, Root.SHARED, 0, (other, 4))),
        ir.Atomic(None, ir.AtomicOp.ADD, Type.U32, at(Root.SHARED, 256), u32(3)),
        ir.Atomic(None, ir.AtomicOp.SUB, Type.I64, at(Root.STATE, 0), ir.Const(Type.I64, 2)),
        ir.Barrier(Scope.BLOCK),
        ir.Store(row(12), load(Type.U32, Root.SHARED, 256)),
    ]
    made = one(body, state=ROW * max(BLOCKS), shared=260)
    built = build(made)[0]
    for threads in BLOCKS:
        state, _ = block_of(made, threads, built)
        assert struct.unpack_from("<q", state) == (-2 * threads,)
        for thread in range(threads):
            assert struct.unpack_from("<II", state, ROW * thread + 8) == (threads - 1 - thread + 5, 3 * threads)


def test_a_thread_that_fails_does_not_hold_up_the_barriers_of_the_others() -> None:
    first = ir.Compare(ir.CompareOp.EQ, THREAD, u32(0))
    body = [
        ir.Barrier(Scope.BLOCK),
        ir.If(first, (ir.Fail(0xFFFF0101),)),
        ir.Barrier(Scope.BLOCK),
        ir.Barrier(Scope.BLOCK),
        ir.Store(row(0), u32(1)),
    ]
    made = one(body, state=ROW * max(BLOCKS), may_fail=True)
    built = build(made)[0]
    for threads in BLOCKS:
        state, failed = block_of(made, threads, built)
        assert failed == 1
        assert [state[ROW * thread] for thread in range(threads)] == [0] + [1] * (threads - 1)
