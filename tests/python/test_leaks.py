"""What is done a thousand times leaves no memory behind, whether it succeeds or raises."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk

WARM_UP, ROUNDS = 280, 200


@rk.message
class Leaf:
    n: rk.u16 = 3


@rk.message
class Tree:
    n: rk.u64
    real: rk.f32
    flag: rk.boolean
    name: rk.Bytes[8]
    data: rk.Array[rk.f64, 4]
    more: rk.Vec[rk.u8, 16]
    leaf: Leaf
    leaves: rk.Vec[Leaf, 3]


@rk.message
class LeakProbe:
    n: rk.u64 = 2**40


BIG = 2**40 + 12345


def tree() -> Any:
    return Tree(BIG, 0.1, True, b"abc", [1.5, 2.5, 3.5, 4.5], b"12345", Leaf(1000), [Leaf(1), Leaf(2)])


def raises(use: Any) -> Any:
    """Something that is refused every time."""

    def run() -> None:
        try:
            use()
        except (rk.RingKernelError, TypeError, ValueError, AttributeError, BufferError):
            return
        raise AssertionError("this should have been refused")

    return run


def grows(use: Any, warm_up: int = WARM_UP, rounds: int = ROUNDS) -> float:
    """Memory blocks per call that stay: the least of some runs, because what leaks leaks every time."""
    for _ in range(warm_up):
        use()
    found = []
    for _ in range(3):
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(rounds):
            use()
        gc.collect()
        found.append((sys.getallocatedblocks() - before) / rounds)
        if found[-1] < 0.05:
            break
    return min(found)


ONE = tree()
FRAME = ONE.to_bytes()
CELLS = np.zeros(2, Leaf.dtype)


def assign() -> None:
    ONE.n, ONE.real, ONE.flag, ONE.name = BIG, 0.3, False, b"xyz"
    ONE.data, ONE.more, ONE.leaf, ONE.leaves = np.ones(4), [1, 2, 3], Leaf(7), CELLS


def header() -> None:
    ONE.header.priority, ONE.header.deadline, ONE.header.correlation_id = 2, BIG, BIG
    _ = ONE.header.timestamp, ONE.header.hlc, repr(ONE.header)


MESSAGES = {
    "make": tree,
    "read": lambda: [getattr(ONE, name) for name in Tree.__match_args__],
    "read parts": lambda: (ONE.leaf.n, ONE.leaves[0]["n"], ONE.data[1], ONE.data.sum()),
    "assign": assign,
    "header": header,
    "frame": lambda: Tree.from_bytes(ONE.to_bytes()),
    "payload": lambda: Tree.from_payload(bytes(ONE)),
    "copies": lambda: (ONE.copy(), copy.copy(ONE), pickle.loads(pickle.dumps(ONE))),
    "compare": lambda: (ONE.copy() == ONE, ONE != 5, Leaf() == ONE),
    "buffer": lambda: memoryview(ONE)[3],
    "repr": lambda: repr(ONE),
    "missing field": raises(lambda: Tree(n=1)),
    "unknown field": raises(lambda: Leaf(x=1)),
    "field twice": raises(lambda: Leaf(1, n=1)),
    "wrong type": raises(lambda: Leaf("x")),
    "out of range": raises(lambda: Leaf(BIG)),
    "wrong array": raises(lambda: setattr(ONE, "data", [1, 2])),
    "no array": raises(lambda: setattr(ONE, "data", object())),
    "wrong part": raises(lambda: setattr(ONE, "leaf", 5)),
    "wrong elements": raises(lambda: setattr(ONE, "leaves", [5])),
    "wrong bytes": raises(lambda: setattr(ONE, "name", "text")),
    "wrong priority": raises(lambda: setattr(ONE.header, "priority", 9)),
    "damaged frame": raises(lambda: Tree.from_bytes(FRAME[:-1] + b"x")),
    "short payload": raises(lambda: Tree.from_payload(b"x")),
    "no buffer": raises(lambda: Tree.from_bytes(5)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_leave_nothing_behind(name: str) -> None:
    assert grows(MESSAGES[name]) < 0.2


RING = rk.SpscRing(4, 8)
ROWS = np.zeros((2, 8), "u1")
TYPED = rk.MpscRing(4, dtype=LeakProbe, overflow="drop_oldest")
NUMBERS = rk.SpscRing(4, dtype="f8", overflow="drop_newest")
FULL = rk.SpscRing(1)
FULL.push(b"x")
CLOSED = rk.SpscRing(1)
CLOSED.close()


def claim_and_peek() -> None:
    with RING.claim() as slot:
        slot[0] = 1
    with RING.peek() as slot:
        _ = bytes(slot)


def abandon() -> None:
    with contextlib.suppress(ZeroDivisionError), RING.claim():
        1 / 0  # noqa: B018


def keep_a_view() -> None:
    RING.push(b"x")
    kept = None
    with contextlib.suppress(rk.ViewInUseError), RING.peek() as slot:
        kept = memoryview(slot)
    del kept, slot
    RING.pop()


def typed_items() -> None:
    TYPED.push(LeakProbe(BIG))
    with TYPED.peek() as item:
        _ = item.n
    for _ in range(6):
        TYPED.push(LeakProbe(BIG))
    TYPED.pop_many()


def numbers() -> None:
    NUMBERS.push(np.float64(1.5))
    NUMBERS.push_many(np.ones(9))
    NUMBERS.pop()
    NUMBERS.pop_many(out=np.zeros(9))


RINGS = {
    "push and pop": lambda: (
        RING.push(b"12345678"),
        RING.try_push(b"y"),
        RING.pop(timeout=1),
        RING.try_pop(),
        RING.try_pop(),
    ),
    "batches": lambda: (RING.push_many(ROWS), RING.pop_many()),
    "claim and peek": claim_and_peek,
    "abandon": abandon,
    "keep a view": keep_a_view,
    "typed items": typed_items,
    "numbers": numbers,
    "make": lambda: (rk.SpscRing(4), rk.MpscRing(4, lanes=2, dtype="u8", order_by=0)),
    "stats": lambda: (RING.stats(), repr(RING), len(RING)),
    "guards never entered": lambda: (RING.claim(), RING.peek()),
    "full": raises(lambda: FULL.push(b"y")),
    "timeout": raises(lambda: FULL.push(b"y", timeout=0)),
    "empty": raises(lambda: RING.pop(timeout=0)),
    "closed": raises(lambda: CLOSED.pop()),
    "too long": raises(lambda: RING.push(b"123456789")),
    "wrong item": raises(lambda: RING.push("text")),
    "wrong class": raises(lambda: TYPED.push(Leaf())),
    "wrong rows": raises(lambda: RING.push_many(np.zeros(3))),
    "wrong timeout": raises(lambda: RING.pop("x")),
    "bad ring": raises(lambda: rk.SpscRing(3)),
    "nothing to claim": raises(lambda: FULL.claim().__enter__()),
}


@pytest.mark.parametrize("name", RINGS)
def test_rings_leave_nothing_behind(name: str) -> None:
    assert grows(RINGS[name]) < 0.2


CLOCK = rk.HlcClock()
SHARD = CLOCK.shard()
CLOCKS = {
    "tick": lambda: (CLOCK.tick(), SHARD.tick(), CLOCK.now()),
    "update": lambda: (CLOCK.update(SHARD.tick()), SHARD.update(CLOCK.tick())),
    "text": lambda: rk.HlcTimestamp.fromisoformat(CLOCK.tick().isoformat()),
    "values": lambda: (hash(CLOCK.tick()), CLOCK.tick() == CLOCK.tick(), pickle.loads(pickle.dumps(CLOCK.tick()))),
    "make": lambda: rk.HlcClock(3).shard(),
    "skew": raises(lambda: CLOCK.update(rk.HlcTimestamp(2**63 + 2**62, 9))),
    "bad text": raises(lambda: rk.HlcTimestamp.fromisoformat("x")),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks_leave_nothing_behind(name: str) -> None:
    assert grows(CLOCKS[name]) < 0.2


def answer(ctx: rk.Context, msg: LeakProbe) -> LeakProbe | None:
    if msg.n == 1:
        raise ValueError("on purpose")
    if msg.n == 2:
        ctx.reply(LeakProbe(ctx.tick().time))
        return None
    if msg.n == 3:
        ctx.send("nobody", msg)
    return LeakProbe(msg.n + BIG)


@pytest.fixture(scope="module")
def kernel() -> Any:
    with rk.Runtime() as runtime:
        yield runtime.launch(answer, max_failures=64, failure_window=0.0)


BATCH = np.zeros(2, LeakProbe.dtype)
BATCH["n"] = BIG
KERNELS = {
    "call": lambda k: k.call(LeakProbe(BIG), timeout=60),
    "reply": lambda k: k.call(LeakProbe(2), timeout=60),
    "send and receive": lambda k: (k.send(LeakProbe(BIG)), k.receive(timeout=60)),
    "batches": lambda k: (k.send_many(BATCH), k.receive(timeout=60), k.receive(timeout=60)),
    "look": lambda k: (k.state, k.stats(), k.outbox_stats(), k.telemetry(), repr(k), k.address, k.accepts),
    "pause": lambda k: (k.deactivate(), k.activate()),
    "failing handler": lambda k: raises(lambda: k.call(LeakProbe(1), timeout=60))(),
    "failing send": lambda k: (k.send(LeakProbe(1)), k.call(LeakProbe(BIG), timeout=60)),
    "unknown target": lambda k: raises(lambda: k.call(LeakProbe(3), timeout=60))(),
    "wrong class": lambda k: raises(lambda: k.send(Leaf()))(),
    "nothing to receive": lambda k: raises(lambda: k.receive(timeout=0))(),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_leave_nothing_behind(kernel: Any, name: str) -> None:
    assert grows(lambda: KERNELS[name](kernel)) < 0.2


def test_kernels_that_ended_leave_nothing_behind() -> None:
    with rk.Runtime() as rt:

        def live() -> None:
            one = rt.launch(answer)
            one.call(LeakProbe(BIG), timeout=60)
            one.terminate()

        assert grows(live, 60, 60) < 1.0


def test_runtimes_that_ended_leave_nothing_behind() -> None:
    def live() -> None:
        with rk.Runtime() as rt:
            rt.launch(answer).call(LeakProbe(BIG), timeout=60)

    assert grows(live, 60, 60) < 1.0


def test_runtimes_that_were_forgotten_are_collected() -> None:
    rt = rk.Runtime()
    rt.launch(answer)
    watching = weakref.ref(rt)
    del rt
    with pytest.warns(ResourceWarning):
        gc.collect()
    assert watching() is None


@pytest.mark.parametrize("how", ["object", "method"])
def test_a_handler_that_holds_its_closed_runtime_is_collected(how: str) -> None:
    """An application object with its kernels, and a method of its own as their handler."""

    class App:
        def __init__(self) -> None:
            self.runtime = rk.Runtime()
            self.kernel = self.runtime.launch(self if how == "object" else self.handle)

        def __call__(self, ctx: rk.Context, msg: LeakProbe) -> LeakProbe:
            return msg

        handle = __call__

    app = App()
    assert app.kernel.call(LeakProbe(5), timeout=60).n == 5
    app.runtime.close()
    watching = weakref.ref(app)
    del app
    gc.collect()
    assert watching() is None
