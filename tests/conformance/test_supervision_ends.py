"""Supervision and the end: terminate() and close() while kernels fail, wait for a restart, or ask for them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from actors import Gate, Number, echo, recorder
from supervised import END, FAIL, HOUR, W, fail, handled, is_conserved, kinds, worker

import pyringkernel as rk

S = rk.KernelState


def stop_order(rt: rk.Runtime, pattern: str = "**") -> list[str]:
    """The names of kernels as they leave the registry."""
    order: list[str] = []
    rt.registry.watch(pattern, lambda event: order.append(event.name) if event.kind == "unregistered" else None)
    return order


# -- sup.terminate()


def test_a_supervisor_ends_its_children_the_last_one_first(rt: rk.Runtime, until: Any) -> None:
    ended = stop_order(rt)
    sup = rt.supervisor(name="boss")
    kernels = [rt.launch(echo, name=name, supervisor=sup) for name in "abcd"]
    sup.terminate()
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 4
    assert (sup.state, sup.children, sup.restarts) == ("terminated", [], 0)
    until(lambda: ended == ["d", "c", "b", "a"])
    assert kinds(sup) == [("stopped", name) for name in "dcba"]
    assert [rt.registry.find(name) for name in "abcd"] == [None] * 4


def test_a_supervisor_ends_what_is_below_the_ones_below_it(rt: rk.Runtime, until: Any) -> None:
    ended = stop_order(rt)
    top = rt.supervisor(name="top")
    rt.launch(echo, name="a", supervisor=top)
    inner = top.supervisor(name="inner")
    deep = inner.supervisor(name="deep")
    rt.launch(echo, name="b", supervisor=deep)
    rt.launch(echo, name="c", supervisor=inner)
    rt.launch(echo, name="d", supervisor=top)
    other = rt.launch(worker, name="other")
    top.terminate()
    until(lambda: ended == ["d", "c", "b", "a"])
    assert [sup.state for sup in (top, inner, deep)] == ["terminated"] * 3
    assert handled(other) == 1


def test_to_terminate_one_supervisor_leaves_the_ones_above_and_beside_it(rt: rk.Runtime) -> None:
    top = rt.supervisor("one_for_all", name="top")
    left, right = top.supervisor(name="left"), top.supervisor(name="right")
    a, b = rt.launch(worker, name="a", supervisor=left), rt.launch(worker, name="b", supervisor=right)
    left.terminate()
    assert a.state is S.TERMINATED
    assert (top.state, top.children, top.restarts) == ("running", ["right"], 0)
    fail(b)
    assert handled(b) == 1
    assert a.state is S.TERMINATED


def test_what_was_sent_before_terminate_is_handled(rt: rk.Runtime) -> None:
    sup = rt.supervisor()
    seen: dict[str, list[int]] = {name: [] for name in "abc"}
    kernels = [rt.launch(recorder(seen[name]), name=name, supervisor=sup) for name in "abc"]
    for n in range(200):
        for kernel in kernels:
            kernel.send(Number(n))
    sup.terminate(timeout=W)
    assert all(got == list(range(200)) for got in seen.values())


def test_a_supervisor_can_be_terminated_once(rt: rk.Runtime) -> None:
    sup = rt.supervisor(name="done")
    sup.terminate()
    with pytest.raises(rk.SupervisorTerminatedError, match="'done'"):
        sup.terminate()


def test_a_failed_supervisor_can_be_terminated(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=0)
    kernel = rt.launch(worker, supervisor=sup)
    kernel.send(Number(FAIL))
    until(lambda: sup.state == "failed" and kernel.state is S.FAILED)
    sup.terminate()
    assert sup.state == "terminated"
    assert kernel.state is S.FAILED


def test_one_child_that_hangs_leaves_the_others_their_time(rt: rk.Runtime, gate: Gate) -> None:
    sup = rt.supervisor()
    seen: list[int] = []
    first = rt.launch(recorder(seen), name="first", supervisor=sup)
    stuck = rt.launch(gate, name="stuck", supervisor=sup)
    stuck.send(Number(1))
    assert gate.entered.wait(W)
    for n in range(50):
        first.send(Number(n))
    with pytest.raises(rk.KernelHungError, match="'stuck'") as caught:
        sup.terminate(timeout=0.2)
    assert "first" not in str(caught.value)
    assert (first.state, stuck.state) == (S.TERMINATED, S.FAILED)
    assert seen == list(range(50))
    assert sup.state == "terminated"


def test_terminate_while_restarts_are_pending(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor("one_for_all", intensity=10, period=HOUR, backoff=30.0)
    kernels = [rt.launch(worker, name=name, supervisor=sup) for name in "ab"]
    for _ in range(2):
        fail(kernels[0])
    until(lambda: sup.restarts == 2)
    for kernel in kernels:
        kernel.send(Number(1))
    sup.terminate(timeout=W)
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 2
    assert [kernel.stats().in_flight for kernel in kernels] == [0, 0]
    assert all(is_conserved(kernel) for kernel in kernels)


def test_terminate_from_many_threads_ends_everything_once(rt: rk.Runtime, threads: Any) -> None:
    for _ in range(5):
        sup = rt.supervisor()
        kernels = [rt.launch(worker, name=name, supervisor=sup) for name in "abc"]

        def end(index: int, sup: rk.Supervisor = sup, kernels: list[rk.Kernel] = kernels) -> str:
            try:
                sup.terminate(W) if index % 2 else kernels[index // 2].terminate(W)
            except (rk.SupervisorTerminatedError, rk.InvalidStateTransition) as error:
                return type(error).__name__
            return "ended"

        told = threads.run_all(6, end)
        assert told[1::2].count("ended") == 1
        assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 3


def test_children_that_fail_while_their_supervisor_ends_are_not_restarted(rt: rk.Runtime, threads: Any) -> None:
    for _ in range(10):
        sup = rt.supervisor("one_for_all", intensity=1000, period=HOUR)
        kernels = [rt.launch(worker, name=f"k{n}", supervisor=sup) for n in range(3)]
        go = threading.Barrier(2)

        def poison(kernels: list[rk.Kernel] = kernels, go: threading.Barrier = go) -> None:
            go.wait(W)
            for n in range(30):
                try:
                    kernels[n % 3].send(Number(FAIL), W)
                except rk.KernelTerminatedError:
                    return

        poisoning = threads.start(poison)
        go.wait(W)
        sup.terminate(timeout=W)
        poisoning.result()
        restarts = [kernel.restarts for kernel in kernels]
        assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 3
        assert [kernel.stats().in_flight for kernel in kernels] == [0, 0, 0]
        assert all(is_conserved(kernel) for kernel in kernels)
        assert [kernel.restarts for kernel in kernels] == restarts


# -- the user ends a child


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_child_that_the_user_ends_is_not_restarted(rt: rk.Runtime, until: Any, restart: str) -> None:
    sup = rt.supervisor("one_for_all", intensity=1, period=HOUR)
    a = rt.launch(worker, name="a", supervisor=sup, restart=restart)
    b = rt.launch(worker, name="b", supervisor=sup)
    a.terminate()
    assert a.state is S.TERMINATED
    until(lambda: sup.children == ["b"])
    fail(b)
    assert handled(b) == 1
    assert (a.state, a.restarts, sup.restarts) == (S.TERMINATED, 0, 1)
    assert handled(rt.launch(worker, name="a", supervisor=sup)) == 1
    assert sup.children == ["b", "a"]


def test_the_user_can_end_a_child_that_waits_for_its_restart(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR, backoff=30.0)
    kernel = rt.launch(worker, supervisor=sup)
    for _ in range(2):
        fail(kernel)
    waiting = kernel.ask(Number(1))
    kernel.terminate(timeout=W)
    assert kernel.state is S.TERMINATED
    with pytest.raises(rk.KernelTerminatedError):
        waiting.result(timeout=W)
    s = kernel.stats()
    assert (s.accepted, s.dead_lettered, s.in_flight) == (3, 3, 0)
    until(lambda: sup.children == [])
    assert sup.state == "running"


def test_a_handler_that_raises_while_its_kernel_ends_is_no_failure_for_the_supervisor(
    rt: rk.Runtime, gate: Gate, threads: Any, until: Any
) -> None:
    def late(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        raise ValueError(msg.n)

    sup = rt.supervisor(intensity=0)
    kernel = rt.launch(late, supervisor=sup)
    sibling = rt.launch(worker, name="sibling", supervisor=sup)
    for n in range(3):
        kernel.send(Number(n))
    assert gate.entered.wait(W)
    ending = threads.start(kernel.terminate, W)
    until(lambda: kernel.state is S.TERMINATING)
    gate.open.set()
    assert ending.error() is None
    assert kernel.state is S.TERMINATED
    until(lambda: sup.children == ["sibling"])
    assert (sup.state, sup.restarts, kernel.restarts) == ("running", 0, 0)
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (3, 0, 3, 0)
    assert rt.dead_letters.stats().total == 3
    assert handled(sibling) == 1


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_paused_child_can_be_ended_and_its_group_restarted(rt: rk.Runtime, until: Any, restart: str) -> None:
    sup = rt.supervisor("rest_for_one", period=HOUR)
    a = rt.launch(worker, name="a", supervisor=sup)
    b = rt.launch(worker, name="b", supervisor=sup, restart=restart)
    assert handled(b) == 1
    b.deactivate()
    fail(a)
    if restart == "temporary":
        until(lambda: b.state is S.TERMINATED)
        return
    until(lambda: b.restarts == 1)
    assert b.state is S.DEACTIVATED
    assert b.state_object.handled == 0
    b.activate()
    assert handled(b) == 1
    b.terminate()


# -- close()


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_close_while_restarts_are_pending(backend: str, until: Any, strategy: str) -> None:
    rt = rk.Runtime(backend=backend)
    sup = rt.supervisor(strategy, intensity=100, period=HOUR, backoff=30.0)
    kernels = [rt.launch(worker, name=name, supervisor=sup, instances=2) for name in "abc"]
    for _ in range(2):
        fail(kernels[0], instance=0)
    until(lambda: sup.restarts == 2)
    operations = [kernel.ask(Number(1), instance=0) for kernel in kernels]
    rt.close(timeout=W)
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 3
    assert all(is_conserved(kernel) and kernel.stats().in_flight == 0 for kernel in kernels)
    for one in operations:
        assert one.done() or isinstance(one.exception(timeout=W), rk.KernelTerminatedError)


def test_close_in_the_middle_of_a_storm_of_restarts_loses_no_message(backend: str, threads: Any) -> None:
    for strategy in ("one_for_one", "one_for_all", "rest_for_one") * 3:
        rt = rk.Runtime(backend=backend)
        sup = rt.supervisor(strategy, intensity=10**6, period=HOUR)
        kernels = [rt.launch(worker, name=f"k{n}", supervisor=sup, instances=2) for n in range(3)]
        sent = [0] * 3

        def storm(index: int, kernels: list[rk.Kernel] = kernels, sent: list[int] = sent) -> None:
            try:
                while True:
                    kernels[index].send(Number(FAIL if sent[index] % 3 == 0 else 1), W)
                    sent[index] += 1
            except rk.KernelTerminatedError:
                return

        running = [threads.start(storm, index) for index in range(3)]
        time.sleep(0.03)
        rt.close(timeout=W)
        for one in running:
            one.result()
        assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 3
        for kernel, count in zip(kernels, sent, strict=True):
            s = kernel.stats()
            assert s.accepted == count == s.delivered + s.dead_lettered
            assert s.in_flight == 0


def test_healthy_children_handle_what_they_have_when_close_meets_a_restart(backend: str, until: Any) -> None:
    for _ in range(20):
        rt = rk.Runtime(backend=backend)
        sup = rt.supervisor(intensity=10**6, period=HOUR)
        seen: list[int] = []
        healthy = rt.launch(recorder(seen), name="healthy", supervisor=sup)
        fragile = rt.launch(worker, name="fragile", supervisor=sup)
        for n in range(100):
            healthy.send(Number(n))
            fragile.send(Number(FAIL))
        rt.close(timeout=W)
        assert seen == list(range(100))
        s = fragile.stats()
        assert (s.accepted, s.dead_lettered) == (100, 100)


def test_a_closed_runtime_answers_questions_about_its_supervisors(backend: str, until: Any) -> None:
    rt = rk.Runtime(backend=backend)
    sup = rt.supervisor(name="boss")
    kernel = rt.launch(worker, supervisor=sup)
    fail(kernel)
    until(lambda: kernel.restarts == 1)
    rt.close()
    assert sup.restarts == 1
    assert kinds(sup)[:2] == [("failed", "worker"), ("restarted", "worker")]
    assert "boss" in repr(sup)
    with pytest.raises(rk.RingKernelError):
        rt.launch(worker, supervisor=sup)


# -- from inside a handler


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_close_from_a_handler_returns_and_everything_ends(
    backend: str, until: Any, supervised: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rt = rk.Runtime(backend=backend)
    told: list[BaseException | None] = []

    def closes(ctx: rk.Context, msg: Number) -> None:
        try:
            rt.close(timeout=0.1)
            told.append(None)
        except BaseException as error:
            told.append(error)
            raise

    other = rt.launch(echo, name="other")
    kernel = rt.launch(closes, supervisor=rt.supervisor() if supervised else None)
    kernel.send(Number(1))
    until(lambda: told)
    if told[0] is not None:  # refused: it would wait for itself
        assert isinstance(told[0], rk.ContextError)
        assert not rt.closed
    rt.close(timeout=W)
    assert rt.closed
    assert other.state is S.TERMINATED
    until(lambda: kernel.stats().in_flight == 0)


def test_a_handler_that_ends_its_own_supervisor_does_not_wait_for_ever(rt: rk.Runtime, until: Any) -> None:
    told: list[BaseException | None] = []
    sup = rt.supervisor()

    def ends(ctx: rk.Context, msg: Number) -> None:
        try:
            sup.terminate(timeout=0.1)
            told.append(None)
        except rk.RingKernelError as error:
            told.append(error)

    sibling = rt.launch(worker, name="sibling", supervisor=sup)
    kernel = rt.launch(ends, supervisor=sup)
    kernel.send(Number(1))
    until(lambda: told)
    assert isinstance(told[0], rk.KernelHungError | rk.ContextError)
    until(lambda: sibling.state in (S.TERMINATED, S.ACTIVE))


def test_a_handler_may_launch_and_supervise_others(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(period=HOUR)
    made: list[rk.Kernel] = []

    def launches(ctx: rk.Context, msg: Number) -> Number:
        made.append(rt.launch(worker, name=f"made{msg.n}", supervisor=sup))
        return msg

    parent = rt.launch(launches, supervisor=sup)
    for n in range(3):
        assert parent.call(Number(n), timeout=W) == Number(n)
    fail(made[1])
    assert [handled(kernel) for kernel in made] == [1, 1, 1]
    assert sup.children == ["launches", "made0", "made1", "made2"]


def test_asking_for_the_end_again_and_again_while_closing_does_no_harm(backend: str) -> None:
    for _ in range(10):
        rt = rk.Runtime(backend=backend)
        sup = rt.supervisor(intensity=10**6, period=HOUR)
        kernel = rt.launch(worker, supervisor=sup, instances=2)
        for _ in range(100):
            kernel.send(Number(END))
        rt.close(timeout=W)
        s = kernel.stats()
        assert kernel.state is S.TERMINATED
        assert (s.accepted, s.in_flight) == (100, 0)
        assert s.delivered + s.dead_lettered == 100


def test_a_kernel_that_is_failed_inside_a_handler_ends_properly_though_others_take_its_place(
    rt: rk.Runtime, gate: Gate, until: Any
) -> None:
    """Its handler returns when the runtime has long forgotten it."""
    sup = rt.supervisor(intensity=0)
    slow = rt.launch(gate, name="slow", supervisor=sup)
    asked = [slow.ask(Number(n)) for n in range(3)]
    assert gate.entered.wait(W)
    rt.launch(worker, name="fragile", supervisor=sup).send(Number(FAIL))
    until(lambda: slow.state is S.FAILED)
    again = [rt.launch(worker, name=name) for name in ("slow", "fragile", "more")]
    gate.open.set()
    assert asked[0].result(timeout=W) == Number(0)
    for one in asked[1:]:
        assert isinstance(one.exception(timeout=W), rk.KernelFailedError)
    until(lambda: rt.dead_letters.stats().total == 3)
    assert rt.registry.find("slow") is again[0]
    assert [handled(kernel) for kernel in again] == [1, 1, 1]
    assert is_conserved(slow)
    assert slow.stats().in_flight == 0
    letters = rt.dead_letters.browse(kernel="slow")
    assert [letter.message for letter in letters] == [Number(1), Number(2)]
