"""Compiled kernels that send to each other, to instances and to topics."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import pyringkernel as rk


@rk.message
class Job(rk.Message):
    key: rk.u32
    amount: rk.u32


@rk.message
class Done(rk.Message):
    key: rk.u32
    total: rk.u64
    instance: rk.u32


@rk.state
class Totals:
    totals: rk.Array[rk.u64, 64]


@rk.state
class Spread:
    sent: rk.u64


@rk.kernel(publishes_to=["worker"])
def spread(ctx: rk.Context, state: Spread, msg: Job) -> None:
    ctx.send("worker", msg, instance=msg.key % 4)
    state.sent += 1


@rk.kernel
def worker(ctx: rk.Context, state: Totals, msg: Job) -> None:
    state.totals[msg.key] += msg.amount
    done = Done(key=msg.key, total=state.totals[msg.key], instance=ctx.instance_id())
    for limit in (100, 500):
        if done.total >= rk.u64(limit) and done.total - msg.amount < rk.u64(limit):
            ctx.publish("limits/crossed", done)
    ctx.send("host", done)


ENGINES: list[dict[str, Any]] = [{"engine": "llvm"}, {"engine": "vm"}, {"compiled": False}]


@pytest.mark.parametrize("options", ENGINES, ids=["llvm", "vm", "python"])
def test_jobs_are_spread_over_instances_and_limits_published(options: dict[str, Any]) -> None:
    jobs = [(number * 7 % 64, number % 50) for number in range(1000)]
    wanted: Counter[int] = Counter()
    with rk.Runtime() as rt:
        books = rt.launch(worker, instances=4, **options)
        front = rt.launch(spread, capacity=64, **options)
        rt.connect(front, books, overflow="block", capacity=16)
        with rt.subscribe("limits/#") as limits:
            crossed = 0
            for key, amount in jobs:
                front.send(Job(key=key, amount=amount))
                before, wanted[key] = wanted[key], wanted[key] + amount
                crossed += sum(before < limit <= wanted[key] for limit in (100, 500))
            last: dict[int, Done] = {}
            for _ in jobs:
                done = books.receive(timeout=30.0)
                last[done.key] = done
            assert {key: done.total for key, done in last.items()} == wanted
            assert all(done.instance == key % 4 for key, done in last.items())
            assert limits.stats().accepted == crossed >= 64
        front.terminate()
        assert front.state_object.sent == len(jobs)
