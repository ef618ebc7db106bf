"""Handlers for WebGPU with more than one thread, and handlers as users write them, on a Vulkan adapter."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import scalar_programs as sp
from differential.generate import generate
from differential.runner import translate
from programs import ANSWER, at, const, load, local, one, u32
from test_emit_wgsl import NATIVE, PLAIN, able, needs_adapter
from wgsl_runner import Case, compare, run_wgsl

from pyringkernel.compiler import ir, ops
from pyringkernel.compiler.ir import AtomicOp, BinaryOp, ErrorCode, Root, Scope, Type, UnaryOp, WarpOp

STATE, MESSAGE, FRAME, SHARED = Root.STATE, Root.MESSAGE, Root.FRAME, Root.SHARED
ways = pytest.mark.parametrize("way", [PLAIN, NATIVE], ids=["emulated", "native"])


@needs_adapter
@ways
@pytest.mark.parametrize("first", range(1, 61, 20))
def test_generated_handlers_do_what_the_interpreter_does(first: int, way: dict[str, bool]) -> None:
    able(way)
    ran = 0
    for seed in range(first, first + 20):
        given = translate(generate(seed), f"wgsl_{seed}")
        if "f64" in given.program.features or given.case.transcendental:
            continue
        found = compare(given.program, [Case(given.messages, given.case.state)], given.floats, **way)
        assert not found, f"seed {seed}: {found}"
        ran += 1
    assert ran > 5


# -- threads ------------------------------------------------------------------------------------------------------------

THREADS = 32
THREAD = ir.Query(ir.QueryName.THREAD_ID)


def by_threads(body: list[ir.Stmt], **more: Any) -> ir.Program:
    return one(body, block_size=THREADS, **more)


@needs_adapter
def test_threads_that_write_bytes_of_one_word_lose_none() -> None:
    value = ir.Cast(Type.U8, ir.Binary(Type.U32, BinaryOp.ADD, THREAD, load(Type.U32, MESSAGE, 0)))
    half = ir.Cast(Type.I16, THREAD)
    body = [
        ir.Store(at(STATE, 0, (THREAD, 1)), value),
        ir.Store(at(STATE, THREADS, (THREAD, 2)), half),
        ir.Copy(at(STATE, 3 * THREADS, (THREAD, 3)), at(STATE, 0, (THREAD, 1)), 1),
    ]
    made = by_threads(body, state=6 * THREADS)
    (ran,) = run_wgsl(made, [Case([(0, struct.pack("<4I", 5, 0, 0, 0))], state=b"\xee" * (6 * THREADS))])
    assert ran.state[:THREADS] == bytes(n + 5 for n in range(THREADS))
    assert ran.state[THREADS : 3 * THREADS] == struct.pack(f"<{THREADS}h", *range(THREADS))
    assert ran.state[3 * THREADS :] == b"".join(bytes([n + 5, 0xEE, 0xEE]) for n in range(THREADS))


@needs_adapter
def test_threads_meet_at_barriers_and_shared_memory_begins_with_zeros() -> None:
    """Each adds what its neighbour wrote; twice, so that the second message finds zeros again."""
    other = ir.Binary(Type.U32, BinaryOp.MOD, ir.Binary(Type.U32, BinaryOp.ADD, THREAD, u32(1)), u32(THREADS))
    here, old = at(SHARED, 0, (THREAD, 4)), load(Type.U32, SHARED, 0, (THREAD, 4))
    body = [
        ir.Store(here, ir.Binary(Type.U32, BinaryOp.ADD, old, ir.Binary(Type.U32, BinaryOp.MUL, THREAD, u32(3)))),
        ir.Barrier(Scope.BLOCK),
        ir.Store(at(STATE, 0, (THREAD, 4)), load(Type.U32, SHARED, 0, (other, 4))),
    ]
    made = by_threads(body, state=4 * THREADS, shared=4 * THREADS)
    for ran in run_wgsl(made, [Case([(0, bytes(16))] * 2)] * 20):
        assert ran.state == struct.pack(f"<{THREADS}I", *(3 * ((n + 1) % THREADS) for n in range(THREADS)))
        assert ran.handled == 2


@needs_adapter
@pytest.mark.parametrize("kind", [Type.I32, Type.U32, Type.I64, Type.U64], ids=lambda kind: kind.text)
@pytest.mark.parametrize("root", [STATE, SHARED], ids=lambda root: root.value)
def test_atomic_operations_of_threads_are_all_counted(kind: Type, root: Root) -> None:
    way = {"int64": kind.size == 8}
    able(way)
    mine = ir.Cast(kind, ir.Binary(Type.U32, BinaryOp.SUB, THREAD, u32(7)))
    bit = ir.Binary(kind, BinaryOp.SHL, const(kind, 1), ir.Cast(kind, THREAD))
    every = [
        (AtomicOp.ADD, mine, 0), (AtomicOp.SUB, mine, 0), (AtomicOp.MIN, mine, 3), (AtomicOp.MAX, mine, 3),
        (AtomicOp.OR, bit, 0), (AtomicOp.XOR, bit, -1), (AtomicOp.AND, ir.Unary(kind, UnaryOp.INVERT, bit), -1),
    ]  # fmt: skip
    old = local("old", kind)
    wrap = ops.wrap_to(kind)
    first = ir.Compare(ir.CompareOp.EQ, THREAD, u32(0))
    begin = [ir.Store(at(root, 8 * n), const(kind, wrap(start))) for n, (_, _, start) in enumerate(every)]
    body: list[ir.Stmt] = [ir.If(first, tuple(begin)), ir.Barrier(Scope.BLOCK)]
    body += [ir.Atomic(old, op, kind, at(root, 8 * n), value) for n, (op, value, _) in enumerate(every)]
    body += [
        ir.Atomic(None, AtomicOp.CAS, kind, at(root, 64), mine, const(kind, 0)),
        ir.Atomic(old, AtomicOp.EXCHANGE, kind, at(root, 72), const(kind, 1)),
        ir.Barrier(Scope.BLOCK),
        ir.If(first, (ir.Copy(at(STATE, 80), at(root, 0), 80),)),
    ]
    made = by_threads(body, state=160, shared=80, locals=[old])
    (ran,) = run_wgsl(made, [Case([(0, bytes(16))])], **way)
    got = [struct.unpack_from("<" + sp.CODES[kind], ran.state, 80 + 8 * n)[0] for n in range(10)]
    values = [wrap((n - 7) & 0xFFFFFFFF) for n in range(THREADS)]
    bits = wrap(0xFFFFFFFF)
    flipped = wrap(~bits)
    wanted = [wrap(sum(values)), wrap(-sum(values)), min(3, *values), max(3, *values), bits, flipped, flipped]
    assert got[:7] == wanted
    assert got[7 + 1] in values
    assert got[9] == 1


@needs_adapter
def test_lanes_of_a_subgroup_exchange_values() -> None:
    able({"subgroups": True})
    lane, got = ir.Query(ir.QueryName.LANE_ID), local("got", Type.U32)
    wide, mask, truth = local("wide", Type.U64), local("mask", Type.U64), local("truth", Type.BOOL)
    pair = ir.Binary(Type.U64, BinaryOp.SHL, ir.Cast(Type.U64, lane), const(Type.U64, 33))
    body = [
        ir.Warp(got, WarpOp.SHUFFLE_XOR, lane, u32(1)),
        ir.Store(at(STATE, 0, (THREAD, 4)), got),
        ir.Warp(got, WarpOp.SHUFFLE_UP, lane, u32(1)),
        ir.Store(at(STATE, 4 * THREADS, (THREAD, 4)), got),
        ir.Warp(wide, WarpOp.SHUFFLE, pair, u32(2)),
        ir.Store(at(STATE, 8 * THREADS, (THREAD, 8)), wide),
        ir.Warp(mask, WarpOp.BALLOT, ir.Compare(ir.CompareOp.EQ, lane, u32(1))),
        ir.Store(at(STATE, 16 * THREADS, (THREAD, 8)), mask),
        ir.Warp(truth, WarpOp.ALL, ir.Compare(ir.CompareOp.GE, lane, u32(0))),
        ir.Store(at(STATE, 24 * THREADS, (THREAD, 1)), truth),
        ir.Warp(got, WarpOp.REDUCE_MIN, ir.Binary(Type.U32, BinaryOp.ADD, lane, u32(3))),
        ir.Store(at(STATE, 25 * THREADS, (THREAD, 4)), got),
        ir.Store(at(STATE, 29 * THREADS, (THREAD, 4)), lane),
        ir.Barrier(Scope.WARP),
    ]
    made = by_threads(body, state=33 * THREADS, locals=[got, wide, mask, truth])
    (ran,) = run_wgsl(made, [Case([(0, bytes(16))])], subgroups=True)
    lanes = struct.unpack_from(f"<{THREADS}I", ran.state, 29 * THREADS)
    assert max(lanes) >= 3
    assert struct.unpack_from(f"<{THREADS}I", ran.state) == tuple(n ^ 1 for n in lanes)
    assert struct.unpack_from(f"<{THREADS}I", ran.state, 4 * THREADS) == tuple(max(n - 1, 0) for n in lanes)
    assert set(struct.unpack_from(f"<{THREADS}Q", ran.state, 8 * THREADS)) == {2 << 33}
    assert set(struct.unpack_from(f"<{THREADS}Q", ran.state, 16 * THREADS)) == {2}
    assert ran.state[24 * THREADS : 25 * THREADS] == b"\1" * THREADS
    assert set(struct.unpack_from(f"<{THREADS}I", ran.state, 25 * THREADS)) == {3}


@needs_adapter
def test_every_thread_replies_and_the_first_failure_is_kept() -> None:
    odd = ir.Compare(ir.CompareOp.EQ, ir.Binary(Type.U32, BinaryOp.AND, THREAD, u32(1)), u32(1))
    body = [
        ir.Store(at(FRAME, 0), THREAD),
        ir.If(odd, (ir.Fail(ErrorCode.ASSERTION, line=7),)),
        ir.Reply(ANSWER, at(FRAME, 0), 8),
    ]
    made = by_threads(body, frame=8, may_fail=True)
    (ran,) = run_wgsl(made, [Case([(0, bytes(16))])])
    replied = sorted(struct.unpack("<I", effect[2][:4])[0] for effect in ran.effects)
    assert replied == list(range(0, THREADS, 2))
    assert sorted(ran.threads) == replied
    assert (ran.failed, ran.fail_line) == (ErrorCode.ASSERTION, 7)
