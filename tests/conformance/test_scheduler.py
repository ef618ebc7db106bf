"""The scheduler: a hundred thousand idle actors on a few threads, and none that waits keeps another from running."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Tally, double, echo, tally

import pyringkernel as rk
from pyringkernel.errors import CallTimeoutError, ContextError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

W = 60.0
THREADS_AT_MOST = 512  # handlers that block at the same time get a thread each, up to here


def tasks() -> int:
    """Threads of this process, Python's and others."""
    return len(os.listdir("/proc/self/task"))


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def lone(backend: str) -> Iterator[rk.Runtime]:
    """A runtime with one worker."""
    with rk.Runtime(backend=backend, workers=1) as runtime:
        yield runtime


def where(seen: list[int]) -> Any:
    """A handler that notes its thread."""

    def handler(ctx: rk.Context, msg: Number) -> Number:
        seen.append(threading.get_native_id())
        return msg

    return handler


# -- many


def test_a_hundred_thousand_idle_instances_cost_four_kibibytes_each_at_most(rt: rk.Runtime) -> None:
    count = 100_000
    rt.launch(echo).call(Number(1), timeout=W)  # what every runtime needs is there
    gc.collect()
    before = resident_bytes()
    kernel = rt.launch(tally, instances=count)
    assert kernel.instances == count
    each = (resident_bytes() - before) / count
    assert each < 4096, f"{each:.0f} bytes for each instance"
    for index in (0, 1, 777, 65_536, count - 1):
        assert kernel.call(Number(index), timeout=W, instance=index) == Number(index)
        assert kernel.call(Number(1), timeout=W, instance=index) == Number(index + 1)
    seen = kernel.telemetry()
    assert (seen.instances, seen.processed, seen.accepted) == (count, 10, 10)
    after = (resident_bytes() - before) / count
    assert after < 4096, f"{after:.0f} bytes for each instance after some were used"
    rt.close()
    assert kernel.state == rk.KernelState.TERMINATED


def test_twenty_thousand_instances_are_all_reached(rt: rk.Runtime, until: Any) -> None:
    def notes(ctx: rk.Context, state: Tally, msg: Number) -> None:
        state.seen += 1
        state.total += msg.n

    kernel = rt.launch(notes, instances=20_000, capacity=2)
    for n in range(20_000):
        kernel.send(Number(n))
    until(lambda: kernel.stats().in_flight == 0)
    kernel.deactivate(W)
    states = kernel.states
    assert {state.seen for state in states} == {1}, "round robin"
    assert sorted(state.total for state in states) == list(range(20_000))


def test_hundreds_of_kernels_come_and_go(rt: rk.Runtime, until: Any) -> None:
    threads = tasks()
    for n in range(400):
        kernel = rt.launch(double, name=f"k{n}")
        assert kernel.call(Number(n), timeout=W) == Number(2 * n)
        if n % 2:
            kernel.terminate()
    assert tasks() <= threads + 8, "kernels are no threads"
    until(lambda: len(rt.registry.lookup("k*")) == 200)


def test_an_idle_runtime_uses_no_processor_time(rt: rk.Runtime) -> None:
    """Active and paused kernels, a watchdog, a supervisor, subscriptions and pending operations, all at rest."""
    kernel = rt.launch(tally, instances=1000)
    for n in range(1000):
        kernel.send(Number(n), instance=n)
    paused = rt.launch(echo, autostart=False)
    asked = [paused.ask(Number(n)) for n in range(10)]
    watched = rt.launch(double, watchdog=5.0, supervisor=rt.supervisor())
    subscription = rt.subscribe("a/#")
    assert watched.call(Number(1), timeout=W) == Number(2)
    assert kernel.call(Number(1), timeout=W, instance=999) == Number(1000)
    time.sleep(0.2)
    begun = time.process_time()
    time.sleep(1.0)
    used = time.process_time() - begun
    assert used < 0.05, f"{used:.3f} s of processor time while nothing happened"
    assert not asked[0].done()
    assert subscription.stats().accepted == 0


def test_an_idle_event_loop_uses_no_processor_time(rt: rk.Runtime, gate: Any) -> None:
    kernel, slow = rt.launch(echo), rt.launch(gate)

    async def main() -> float:
        await kernel.ask(Number(1))
        pending = slow.ask(Number(1))
        begun = time.process_time()
        await asyncio.sleep(0.5)
        used = time.process_time() - begun
        gate.open.set()
        await pending
        return used

    used = asyncio.run(main())
    assert used < 0.05, f"{used:.3f} s of processor time while nothing happened"


# -- blocking


@pytest.mark.parametrize("workers", [1, 2])
def test_handlers_that_wait_do_not_keep_others_from_running(backend: str, gate: Any, workers: int) -> None:
    with rk.Runtime(backend=backend, workers=workers) as rt:
        waiting = [rt.launch(gate, name=f"waits{n}").ask(Number(n)) for n in range(4 * workers)]
        gate.entered.wait(W)
        quick = [rt.launch(double, name=f"quick{n}") for n in range(3)]
        for kernel in quick:
            for n in range(20):
                assert kernel.call(Number(n), timeout=W) == Number(2 * n)
        assert not any(one.done() for one in waiting)
        gate.open.set()
        assert [one.result(W).n for one in waiting] == list(range(4 * workers))


def test_handlers_that_wait_for_each_other_all_run(lone: rk.Runtime) -> None:
    """All must be inside at the same time, on one worker."""
    barrier = threading.Barrier(6)

    def meets(ctx: rk.Context, msg: Number) -> Number:
        barrier.wait(W)
        return msg

    kernel = lone.launch(meets, instances=6)
    asked = [kernel.ask(Number(n), instance=n) for n in range(6)]
    assert [one.result(W).n for one in asked] == list(range(6))


def test_an_instance_is_inside_one_message_at_a_time_whatever_thread_runs_it(lone: rk.Runtime) -> None:
    inside, most = [0] * 3, [0] * 3

    def naps(ctx: rk.Context, msg: Number) -> Number:
        index = ctx.instance_id()
        inside[index] += 1
        most[index] = max(most[index], inside[index])
        time.sleep(0.002)
        inside[index] -= 1
        return msg

    kernel = lone.launch(naps, instances=3)
    asked = [kernel.ask(Number(n)) for n in range(60)]
    assert [one.result(W).n for one in asked] == list(range(60))
    assert most == [1, 1, 1]


def test_order_is_kept_though_threads_take_over(lone: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def naps(ctx: rk.Context, msg: Number) -> None:
        if msg.n % 16 == 0:
            time.sleep(0.012)  # longer than the scheduler is patient
        seen.append(msg.n)

    kernel, other = lone.launch(naps), lone.launch(double)
    for n in range(160):
        kernel.send(Number(n))
        if n % 10 == 0:
            assert other.call(Number(n), timeout=W) == Number(2 * n)
    until(lambda: len(seen) == 160)
    assert seen == list(range(160))


def test_a_busy_python_loop_lets_others_run(lone: rk.Runtime) -> None:
    stop = threading.Event()

    def spins(ctx: rk.Context, msg: Number) -> Number:
        while not stop.is_set():
            pass
        return msg

    spinning = lone.launch(spins).ask(Number(1))
    kernel = lone.launch(double)
    assert [kernel.call(Number(n), timeout=W).n for n in range(3)] == [0, 2, 4]
    assert not spinning.done()
    stop.set()
    assert spinning.result(W) == Number(1)


def test_a_kernel_that_never_stops_sending_to_itself_starves_nobody(lone: rk.Runtime, until: Any) -> None:
    rounds: list[int] = []

    def eternal(ctx: rk.Context, msg: Number) -> None:
        rounds.append(1)
        if msg.n:
            ctx.send("eternal", msg)

    kernels = [lone.launch(eternal, name="eternal"), lone.launch(double)]
    kernels[0].send(Number(1))
    until(lambda: len(rounds) > 100)
    for n in range(20):
        assert kernels[1].call(Number(n), timeout=W) == Number(2 * n)
    before = len(rounds)
    until(lambda: len(rounds) > before + 100)
    kernels[0].deactivate(W)
    kernels[0].terminate()


# -- calls inside handlers


@pytest.mark.parametrize("depth", [1, 5, 40])
def test_handlers_call_each_other_in_a_chain_on_one_worker(lone: rk.Runtime, depth: int) -> None:
    chain: list[rk.Kernel] = []

    def make(index: int) -> Any:
        def link(ctx: rk.Context, msg: Number) -> Number:
            if index == 0:
                return msg
            return Number(chain[index - 1].call(msg, timeout=W).n + 1)

        return link

    for index in range(depth):
        chain.append(lone.launch(make(index), name=f"link{index}"))
    for n in range(3):
        assert chain[-1].call(Number(n), timeout=W) == Number(n + depth - 1)


def test_a_tree_of_calls_joins_on_one_worker(lone: rk.Runtime) -> None:
    """Each call asks two instances of the next level and adds up."""
    levels: list[rk.Kernel] = []

    def make(level: int) -> Any:
        def node(ctx: rk.Context, msg: Number) -> Number:
            if level == 0:
                return msg
            asked = [levels[level - 1].ask(msg, instance=2 * ctx.instance_id() + side) for side in (0, 1)]
            return Number(sum(one.result(W).n for one in asked))

        return node

    for level in range(5):
        levels.append(lone.launch(make(level), name=f"level{level}", instances=2 ** (4 - level)))
    assert [levels[4].call(Number(n), timeout=W).n for n in range(4)] == [0, 16, 32, 48]


def test_many_callers_call_through_a_handler_at_once(rt: rk.Runtime, threads: Any) -> None:
    bottom = rt.launch(double, instances=2)

    def through(ctx: rk.Context, msg: Number) -> Number:
        return bottom.call(msg, timeout=W)

    top = rt.launch(through, instances=4)
    answers = threads.run_all(8, lambda who: [top.call(Number(100 * who + n), timeout=W).n for n in range(25)])
    assert answers == [[2 * (100 * who + n) for n in range(25)] for who in range(8)]


def test_a_handler_that_calls_itself_is_refused_and_a_circle_of_calls_times_out(rt: rk.Runtime, until: Any) -> None:
    errors: list[BaseException] = []
    kernels: list[rk.Kernel] = []

    def selfish(ctx: rk.Context, msg: Number) -> Number:
        try:
            return kernels[0].call(msg, timeout=W)
        except ContextError as error:
            errors.append(error)
            return Number(0)

    def circle(other: int) -> Any:
        def handler(ctx: rk.Context, msg: Number) -> Number:
            if msg.n == 0:
                return msg
            try:
                return kernels[other].call(Number(msg.n - 1), timeout=0.05)
            except CallTimeoutError as error:
                errors.append(error)
                return Number(99)

        return handler

    kernels.append(rt.launch(selfish))
    assert kernels[0].call(Number(1), timeout=W) == Number(0)
    assert "selfish" in str(errors.pop())
    kernels.extend(rt.launch(circle(3 - n), name=f"part{n}") for n in (1, 2))
    assert kernels[1].call(Number(4), timeout=W) in (Number(99), Number(0))
    until(lambda: kernels[1].telemetry().in_flight == kernels[2].telemetry().in_flight == 0)
    assert errors
    kernels[1].terminate(W)
    kernels[2].terminate(W)


# -- workers


def test_a_kernel_stays_on_the_worker_that_it_is_given(backend: str) -> None:
    with rk.Runtime(backend=backend, workers=3) as rt:
        seen: list[list[int]] = [[], [], []]
        kernels = [rt.launch(where(seen[n]), name=f"on{n}", worker=n, instances=2) for n in range(3)]
        for n in range(60):
            assert kernels[n % 3].call(Number(n), timeout=W) == Number(n)
            time.sleep(0)
        assert [len(set(one)) for one in seen] == [1, 1, 1]
        assert len({one[0] for one in seen}) == 3
        assert threading.get_native_id() not in {one[0] for one in seen}


def test_without_a_worker_python_handlers_share_one(backend: str) -> None:
    """They share a lock: more threads would only wait for each other."""
    with rk.Runtime(backend=backend, workers=4) as rt:
        seen: list[int] = []
        kernels = [rt.launch(where(seen), name=f"k{n}") for n in range(5)]
        for n in range(50):
            kernels[n % 5].call(Number(n), timeout=W)
        assert max(Counter(seen).values()) > 25, "others only help when the one is taken for blocked"


@pytest.mark.parametrize("worker", [-1, 2, 1.5, "0", True])
def test_a_worker_that_is_not_there_is_refused(backend: str, worker: Any) -> None:
    with rk.Runtime(backend=backend, workers=2) as rt:
        with pytest.raises(InvalidArgumentError, match="worker: found .*, need 0 to 1"):
            rt.launch(echo, worker=worker)
        assert rt.kernels == {}
        assert rt.launch(echo, worker=1).call(Number(1), timeout=W) == Number(1)


@pytest.mark.parametrize("workers", [0, -1, 257])
def test_a_number_of_workers_that_cannot_be_is_refused(backend: str, workers: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"workers: found {workers}, need 1 to 256"):
        rk.Runtime(backend=backend, workers=workers)


def test_the_number_of_workers_is_known(backend: str) -> None:
    with rk.Runtime(backend=backend, workers=3) as rt:
        assert rt.workers == rt.telemetry().workers == 3
    with rk.Runtime(backend=backend) as rt:
        assert rt.workers >= 2


def test_more_workers_than_processors_work(backend: str) -> None:
    with rk.Runtime(backend=backend, workers=64) as rt:
        kernels = [rt.launch(double, name=f"k{n}", worker=n) for n in range(64)]
        assert [kernel.call(Number(n), timeout=W).n for n, kernel in enumerate(kernels)] == [2 * n for n in range(64)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell where threads may run")
def test_pinned_workers_run_on_one_processor_each(backend: str) -> None:
    def allowed(ctx: rk.Context, msg: Number) -> Number:
        return Number(len(os.sched_getaffinity(0)))

    with rk.Runtime(backend=backend, workers=2, pin_workers=True) as rt:
        for n in range(2):
            assert rt.launch(allowed, name=f"k{n}", worker=n).call(Number(), timeout=W) == Number(1)
    everywhere = len(os.sched_getaffinity(0))
    with rk.Runtime(backend=backend) as rt:
        assert rt.launch(allowed).call(Number(), timeout=W) == Number(everywhere)


# -- threads


def test_threads_grow_with_what_blocks_and_go_back(lone: rk.Runtime, gate: Any, until: Any) -> None:
    idle = tasks()
    kernel = lone.launch(gate, instances=40)
    asked = [kernel.ask(Number(n), instance=n) for n in range(40)]
    until(lambda: sum(one.in_flight for one in kernel.instance_telemetry()) == 40 and tasks() > idle + 20)
    assert tasks() <= idle + 40 + 8
    gate.open.set()
    assert [one.result(W).n for one in asked] == list(range(40))
    until(lambda: tasks() <= idle + 4)
    assert lone.launch(double).call(Number(2), timeout=W) == Number(4)


def test_threads_are_bounded_and_what_found_none_runs_later(
    lone: rk.Runtime, rt: rk.Runtime, gate: Any, until: Any
) -> None:
    """They wait for a kernel of another runtime: in their own, none of 512 threads would be left to run it."""
    inside: list[int] = []
    before = tasks()
    end = rt.launch(gate, name="end")

    def waits(ctx: rk.Context, msg: Number) -> Number:
        inside.append(msg.n)
        return end.call(msg, timeout=W)

    kernel = lone.launch(waits, instances=THREADS_AT_MOST + 100)
    asked = [kernel.ask(Number(n), instance=n) for n in range(kernel.instances)]
    until(lambda: len(inside) >= THREADS_AT_MOST - 20)
    time.sleep(0.05)
    assert len(inside) < kernel.instances, "some have no thread yet"
    assert tasks() <= THREADS_AT_MOST + 30
    gate.open.set()
    assert [one.result(W).n for one in asked] == list(range(kernel.instances))
    assert sorted(inside) == list(range(kernel.instances))
    until(lambda: tasks() <= before + 8)


def test_a_closed_runtime_leaves_no_thread(backend: str, until: Any) -> None:
    before = tasks()
    for _ in range(5):
        with rk.Runtime(backend=backend, workers=4) as rt:
            kernels = [rt.launch(double, name=f"k{n}", worker=n, watchdog=5.0) for n in range(4)]
            assert [kernel.call(Number(1), timeout=W).n for kernel in kernels] == [2, 2, 2, 2]
    until(lambda: tasks() <= before)


def test_close_waits_for_a_handler_that_is_nearly_done(backend: str) -> None:
    done: list[int] = []

    def naps(ctx: rk.Context, msg: Number) -> None:
        time.sleep(0.03)
        done.append(msg.n)

    with rk.Runtime(backend=backend, workers=1) as rt:
        kernel = rt.launch(naps, instances=3)
        for n in range(6):
            kernel.send(Number(n))
    assert sorted(done) == list(range(6))


def test_launching_calling_and_ending_from_many_threads(rt: rk.Runtime, threads: Any) -> None:
    def life(who: int) -> int:
        total = 0
        for round_ in range(8):
            kernel = rt.launch(tally, name=f"k{who}.{round_}", instances=2, worker=who % rt.workers)
            for n in range(10):
                total += kernel.call(Number(n), timeout=W, instance=0).n
            kernel.deactivate(W)
            assert kernel.states == [Tally(10, 45), Tally(0, 0)]
            kernel.activate(W)
            kernel.terminate(W)
        return total

    assert threads.run_all(6, life) == [8 * sum(sum(range(n + 1)) for n in range(10))] * 6
