"""Many host threads and one kernel: every reply reaches its caller, nothing is lost, nothing is stuck."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from actors import Number, double, echo, recorder

import pyringkernel as rk
from pyringkernel.errors import (
    CallTimeoutError,
    InvalidStateTransition,
    KernelTerminatedError,
    ReceiveTimeoutError,
    RingTimeoutError,
)

S = rk.KernelState
W = 60.0


@pytest.mark.parametrize("capacity", [1, 4, 1024])
def test_concurrent_calls_get_their_own_replies(rt: rk.Runtime, capacity: int, threads: Any) -> None:
    kernel = rt.launch(double, capacity=capacity)

    def ask(who: int) -> None:
        for n in range(100):
            value = 1000 * who + n
            assert kernel.call(Number(value), timeout=W).n == 2 * value

    threads.run_all(8, ask)
    s = kernel.stats()
    assert s.accepted == 800


def test_more_callers_than_lanes_get_their_own_replies(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(double, capacity=2)

    def ask(who: int) -> list[int]:
        return [kernel.call(Number(1000 * who + n), timeout=W).n for n in range(5)]

    answers = threads.run_all(70, ask)
    assert answers == [[2 * (1000 * who + n) for n in range(5)] for who in range(70)]


def test_sends_receives_and_calls_mix(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(double)
    each, senders = 100, 3

    def work(who: int) -> list[int]:
        if who < senders:
            for n in range(each):
                kernel.send(Number(1000 * (who + 1) + n), timeout=W)
            return []
        if who == senders:
            return [kernel.receive(timeout=W).n for _ in range(senders * each // 2)]
        if who == senders + 1:
            got: list[int] = []
            while len(got) < senders * each // 2:
                got += kernel.receive_many(max=senders * each // 2 - len(got), timeout=W)["n"].tolist()
            return got
        return [kernel.call(Number(n), timeout=W).n - 2 * n for n in range(each)]

    results = threads.run_all(8, work)
    received = results[senders] + results[senders + 1]
    assert sorted(received) == sorted(2 * (1000 * (who + 1) + n) for who in range(senders) for n in range(each))
    assert all(difference == 0 for calls in results[senders + 2 :] for difference in calls)


def test_several_receivers_share_what_comes_and_nothing_is_given_twice(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(echo)
    done = threading.Event()

    def take(_: int) -> list[int]:
        got: list[int] = []
        while True:
            try:
                got.append(kernel.receive(timeout=0.01).n)
            except ReceiveTimeoutError:
                if done.is_set():
                    return got

    takers = [threads.start(take, n) for n in range(4)]
    for n in range(400):
        kernel.send(Number(n), timeout=W)
    while kernel.outbox_stats().delivered < 400:
        time.sleep(0.001)
    done.set()
    assert sorted(n for one in takers for n in one.result()) == list(range(400))


def test_messages_of_each_thread_are_handled_in_its_order(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), capacity=16)

    def send(who: int) -> None:
        for n in range(0, 200, 2):
            kernel.send(Number(1000 * who + n), timeout=W)
            batch = np.zeros(1, Number.dtype)
            batch["n"] = 1000 * who + n + 1
            assert kernel.send_many(batch, timeout=W) == 1

    threads.run_all(6, send)
    kernel.terminate()
    for who in range(6):
        assert [n - 1000 * who for n in seen if n // 1000 == who] == list(range(200))


def test_threads_that_come_and_go_lose_nothing(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    for n in range(150):
        threads.run(kernel.send, Number(n))
    kernel.terminate()
    assert sorted(seen) == list(range(150))


def test_pausing_under_load_loses_nothing(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), capacity=64)
    stop = threading.Event()

    def pause() -> int:
        pauses = 0
        while not stop.is_set():
            kernel.deactivate(W)
            assert kernel.state is S.DEACTIVATED
            resting = len(seen)
            time.sleep(0.001)
            assert len(seen) == resting
            kernel.activate(W)
            pauses += 1
        return pauses

    pauser = threads.start(pause)
    threads.run_all(3, lambda who: [kernel.send(Number(1000 * who + n), timeout=W) for n in range(300)])
    stop.set()
    assert pauser.result() > 0
    kernel.terminate()
    assert sorted(seen) == sorted(1000 * who + n for who in range(3) for n in range(300))


def test_terminating_under_load_accounts_for_every_message(rt: rk.Runtime, threads: Any) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), capacity=8)

    def send(who: int) -> int:
        sent = 0
        try:
            while True:
                kernel.send(Number(sent), timeout=W)
                sent += 1
        except KernelTerminatedError:
            return sent

    senders = [threads.start(send, n) for n in range(4)]
    while len(seen) < 50:
        time.sleep(0.001)
    kernel.terminate(W)
    sent = sum(one.result() for one in senders)
    s = kernel.stats()
    assert s.accepted == sent
    assert s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight
    assert s.in_flight == 0
    assert s.delivered == len(seen)


def test_calls_that_wait_are_told_when_the_kernel_ends(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(lambda ctx, msg: None, name="silent", accepts=[Number])
    calls = [threads.start(kernel.call, Number(n), W) for n in range(4)]
    receiver = threads.start(kernel.receive)
    while kernel.stats().delivered < 4:
        time.sleep(0.001)
    kernel.terminate()
    assert all(isinstance(one.error(), KernelTerminatedError) for one in [*calls, receiver])


def test_moves_from_many_threads_are_made_one_after_the_other(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(echo)

    def move(who: int) -> int:
        made = 0
        for _ in range(30):
            try:
                (kernel.deactivate if who % 2 else kernel.activate)(W)
                made += 1
            except InvalidStateTransition:
                pass
        return made

    made = threads.run_all(4, move)
    assert sum(made[0::2]) - sum(made[1::2]) in (-1, 0)
    assert kernel.state in (S.ACTIVE, S.DEACTIVATED)
    ends = [threads.start(kernel.terminate, W) for _ in range(4)]
    errors = [one.error() for one in ends]
    assert None in errors
    assert all(error is None or isinstance(error, InvalidStateTransition) for error in errors)
    assert kernel.state is S.TERMINATED


def test_state_can_be_read_while_another_thread_waits_for_a_move(rt: rk.Runtime, gate: Any, threads: Any) -> None:
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    pausing = threads.start(kernel.deactivate, W)
    for _ in range(100):
        assert kernel.state in (S.ACTIVE, S.DEACTIVATED)
    gate.open.set()
    pausing.result()
    assert kernel.state is S.DEACTIVATED


def test_launching_from_many_threads_gives_each_its_own_kernel(rt: rk.Runtime, threads: Any) -> None:
    def launch(who: int) -> int:
        kernel = rt.launch(double, name=f"k{who}")
        assert kernel.call(Number(who), timeout=W).n == 2 * who
        return kernel.address

    assert len(set(threads.run_all(16, launch))) == 16
    assert len(rt.kernels) == 16


def test_launching_and_ending_from_many_threads_disturbs_nobody(rt: rk.Runtime, threads: Any) -> None:
    def live(who: int) -> None:
        for n in range(15):
            kernel = rt.launch(double, name=f"k{who}-{n % 2}")
            assert kernel.call(Number(who), timeout=W).n == 2 * who
            kernel.terminate(W)

    threads.run_all(8, live)


def test_closing_while_others_use_the_kernels_ends_everything(backend: str, threads: Any) -> None:
    rt = rk.Runtime(backend=backend)
    kernels = [rt.launch(echo, name=f"k{n}", capacity=4) for n in range(4)]

    def use(who: int) -> str:
        try:
            while True:
                kernels[who % 4].call(Number(who), timeout=W)
        except KernelTerminatedError:
            return "told"

    users = [threads.start(use, n) for n in range(8)]
    time.sleep(0.05)
    rt.close(W)
    assert [one.result() for one in users] == ["told"] * 8


def test_two_threads_may_close_a_runtime(backend: str, threads: Any) -> None:
    rt = rk.Runtime(backend=backend)
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    for n in range(200):
        kernel.send(Number(n))
    threads.run_all(3, lambda _: rt.close(W))
    assert kernel.state is S.TERMINATED
    assert seen == list(range(200))


def test_many_runtimes_live_side_by_side(backend: str) -> None:
    runtimes = [rk.Runtime(backend=backend, node_id=n) for n in range(8)]
    kernels = [rt.launch(double) for rt in runtimes]
    assert [kernel.call(Number(n), timeout=W).n for n, kernel in enumerate(kernels)] == [2 * n for n in range(8)]
    for rt in runtimes:
        rt.close()


def test_a_kernel_may_use_another_runtime(rt: rk.Runtime, backend: str) -> None:
    with rk.Runtime(backend=backend) as inner:
        helper = inner.launch(double)

        def ask(ctx: rk.Context, msg: Number) -> Number:
            return helper.call(msg, timeout=W)  # type: ignore[no-any-return]

        assert rt.launch(ask).call(Number(4), timeout=W) == Number(8)


def test_timeouts_under_contention_are_typed(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(echo, capacity=1, autostart=False)

    def use(who: int) -> str:
        try:
            if who % 2:
                kernel.call(Number(who), timeout=0.05)
            else:
                for n in range(3):
                    kernel.send(Number(n), timeout=0.05)
        except (CallTimeoutError, RingTimeoutError) as error:
            return type(error).__name__
        return "nothing"

    assert set(threads.run_all(6, use)) == {"CallTimeoutError", "RingTimeoutError"}
