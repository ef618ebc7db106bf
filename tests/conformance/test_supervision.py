"""Supervised kernels: who is restarted, with what, how often, and what becomes of the messages."""

from __future__ import annotations

import itertools
import math
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate, Number
from supervised import END, FAIL, HOUR, Count, W, fail, handled, is_conserved, worker

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable

S = rk.KernelState
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
RESTARTS = ["permanent", "transient", "temporary"]


def restarted_with(strategy: str, names: str, failed: str) -> str:
    """Which of `names`, in the order of their launch, `strategy` restarts when `failed` does."""
    if strategy == "one_for_one":
        return failed
    return names if strategy == "one_for_all" else names[names.index(failed) :]


# -- who is restarted


@pytest.mark.parametrize("what", ["fails", "ends"])
@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_child_that_fails_or_ends_is_restarted_with_those_that_its_strategy_names(
    rt: rk.Runtime, until: Any, strategy: str, restart: str, what: str
) -> None:
    sup = rt.supervisor(strategy, period=HOUR)
    how = {"a": "permanent", "b": restart, "c": "permanent"}
    kernels = {name: rt.launch(worker, name=name, supervisor=sup, restart=how[name]) for name in how}
    for kernel in kernels.values():
        assert [handled(kernel), handled(kernel)] == [1, 2]
    if what == "fails":
        fail(kernels["b"])
    else:
        assert kernels["b"].call(Number(END), timeout=W) == Number(3)
    if restart == "permanent" or (restart == "transient" and what == "fails"):
        group = restarted_with(strategy, "abc", "b")
        until(lambda: all(kernels[name].restarts == 1 for name in group))
        assert [handled(kernels[name]) for name in "abc"] == [1 if name in group else 3 for name in "abc"]
        assert [kernels[name].generation for name in "abc"] == [int(name in group) for name in "abc"]
        assert (sup.restarts, sup.children) == (1, ["a", "b", "c"])
    else:
        until(lambda: kernels["b"].state is (S.FAILED if what == "fails" else S.TERMINATED))
        until(lambda: sup.children == ["a", "c"])
        assert [handled(kernels[name]) for name in "ac"] == [3, 3]
        assert [kernels[name].restarts for name in "abc"] == [0, 0, 0]
        assert sup.restarts == 0
    assert sup.state == "running"


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_a_child_stopped_with_its_sibling_is_restarted_unless_it_is_temporary(
    rt: rk.Runtime, until: Any, strategy: str, restart: str
) -> None:
    sup = rt.supervisor(strategy, period=HOUR)
    a = rt.launch(worker, name="a", supervisor=sup)
    b = rt.launch(worker, name="b", supervisor=sup, restart=restart)
    assert handled(b) == 1
    b_waits = rt.launch(worker, name="c", supervisor=sup, restart=restart, autostart=False)
    b_waits.send(Number(1))
    fail(a)
    if restart == "temporary":
        until(lambda: b.state is S.TERMINATED and b_waits.state is S.TERMINATED)
        assert (b.restarts, sup.children) == (0, ["a"])
        until(lambda: b_waits.stats().dead_lettered == 1)
        rt.launch(worker, name="b", supervisor=sup)  # the name is free
    else:
        until(lambda: b.restarts == 1 and b_waits.restarts == 1)
        assert handled(b) == 1
        assert b_waits.state is S.LAUNCHED
        b_waits.activate()
        assert b_waits.receive(timeout=W) == Number(1)


def test_what_ended_is_not_brought_back_by_the_failure_of_a_sibling(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor("one_for_all", period=HOUR)
    a = rt.launch(worker, name="a", supervisor=sup)
    b = rt.launch(worker, name="b", supervisor=sup, restart="transient")
    assert b.call(Number(END), timeout=W) == Number(1)
    until(lambda: sup.children == ["a"])
    fail(a)
    until(lambda: a.restarts == 1)
    assert (b.state, b.restarts) == (S.TERMINATED, 0)
    with pytest.raises(rk.KernelTerminatedError):
        b.call(Number(1))


def test_a_permanent_child_is_restarted_each_time_that_it_ends(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=100, period=HOUR)
    kernel = rt.launch(worker, supervisor=sup)
    for n in range(20):
        assert kernel.call(Number(END), timeout=W) == Number(1)
        until(lambda want=n + 1: kernel.restarts == want)
    assert handled(kernel) == 1
    assert (kernel.state, kernel.restarts, sup.restarts, kernel.generation) == (S.ACTIVE, 20, 20, 20)
    assert len(rt.dead_letters) == 0


def test_what_waits_behind_a_request_to_end_is_handled(rt: rk.Runtime, until: Any) -> None:
    """By this incarnation or by the next one."""
    kernel = rt.launch(worker, supervisor=rt.supervisor(period=HOUR), autostart=False)
    kernel.send(Number(END))
    for _ in range(20):
        kernel.send(Number(1))
    kernel.activate()
    answers = [kernel.receive(timeout=W).n for _ in range(21)]
    assert all(after in (before + 1, 1) for before, after in itertools.pairwise(answers))
    until(lambda: kernel.restarts == 1)
    assert answers.count(1) <= 2
    assert kernel.stats().delivered == 21


def test_a_child_that_asks_for_its_end_knows_that_it_is_terminating(rt: rk.Runtime, until: Any) -> None:
    seen: list[bool] = []

    def ends(ctx: rk.Context, msg: Number) -> Number:
        seen.append(ctx.is_terminating())
        ctx.request_termination()
        seen.append(ctx.is_terminating())
        return msg

    kernel = rt.launch(ends, supervisor=rt.supervisor())
    for n in range(2):
        assert kernel.call(Number(n), timeout=W) == Number(n)
        until(lambda want=n + 1: kernel.restarts == want)
    assert seen == [False, True, False, True]


# -- what a restart keeps and loses


def test_a_restart_begins_with_the_first_state_and_keeps_what_waits(rt: rk.Runtime) -> None:
    sup = rt.supervisor()
    kernel = rt.launch(worker, supervisor=sup, state=Count(handled=100))
    assert [handled(kernel), handled(kernel)] == [101, 102]
    kernel.deactivate()
    kernel.send(Number(FAIL))
    for _ in range(10):
        kernel.send(Number(1))
    kernel.activate()
    assert [kernel.receive(timeout=W).n for _ in range(10)] == list(range(101, 111))
    assert (kernel.generation, kernel.restarts, sup.restarts) == (1, 1, 1)
    assert kernel.state is S.ACTIVE
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (13, 12, 1, 0)


def test_a_poison_message_is_handled_once_and_kept_with_its_error(rt: rk.Runtime) -> None:
    kernel = rt.launch(worker, name="fragile", supervisor=rt.supervisor())
    poison: Any = Number(FAIL)
    with pytest.raises(rk.HandlerError, match="unlucky after 1") as caught:
        kernel.call(poison, timeout=W)
    assert handled(kernel) == 1  # the next incarnation did not see it
    error = kernel.last_error
    assert caught.value.__cause__ is error
    assert error is not None
    assert traceback.extract_tb(error.__traceback__)[-1].name == "worker"
    (letter,) = rt.dead_letters.browse()
    assert (letter.reason, letter.kernel, letter.message) == (rk.DeadLetterReason.HANDLER_FAILED, "fragile", poison)
    assert "unlucky after 1" in letter.error
    assert letter.message_id == poison.header.message_id
    assert kernel.restarts == kernel.error_count == 1


def test_what_a_handler_sent_before_it_raised_has_been_sent(rt: rk.Runtime) -> None:
    seen: list[int] = []

    def listen(ctx: rk.Context, msg: Number) -> None:
        seen.append(msg.n)

    @rk.kernel(compiled=False, publishes_to=["listener"])
    def speak(ctx: rk.Context, msg: Number) -> Number:
        ctx.send("listener", Number(msg.n))
        ctx.reply(Number(msg.n + 1))
        raise ValueError("after it was said")

    listener = rt.launch(listen, name="listener")
    speaker = rt.launch(speak, supervisor=rt.supervisor())
    assert speaker.call(Number(7), timeout=W) == Number(8)
    speaker.terminate()
    listener.terminate()
    assert seen == [7]


def test_a_mended_kernel_handles_the_poison_when_it_is_replayed(rt: rk.Runtime) -> None:
    broken = [True]

    def fragile(ctx: rk.Context, msg: Number) -> Number:
        if broken[0]:
            raise ValueError("broken")
        return msg

    kernel = rt.launch(fragile, supervisor=rt.supervisor())
    kernel.send(Number(5))
    with pytest.raises(rk.HandlerError):
        kernel.call(Number(6), timeout=W)
    broken[0] = False
    assert rt.dead_letters.replay() == 2
    assert [kernel.receive(timeout=W).n for _ in range(2)] == [5, 6]
    assert len(rt.dead_letters) == 0


def test_the_failure_window_of_a_kernel_without_supervisor_does_not_apply(rt: rk.Runtime) -> None:
    kernel = rt.launch(worker, supervisor=rt.supervisor(intensity=10, period=HOUR), max_failures=0)
    for n in range(10):
        fail(kernel)
        assert handled(kernel) == 1
        assert kernel.restarts == n + 1


# -- several instances


def test_each_instance_is_restarted_by_itself(rt: rk.Runtime) -> None:
    sup = rt.supervisor(period=HOUR)
    kernel = rt.launch(worker, supervisor=sup, instances=3)
    assert [handled(kernel, instance=i) for i in range(3)] == [1, 1, 1]
    fail(kernel, instance=1)
    assert [handled(kernel, instance=i) for i in range(3)] == [2, 1, 2]
    assert (kernel.restarts, sup.restarts, kernel.generation) == (1, 1, 0)
    fail(kernel, instance=0)
    assert handled(kernel, instance=0) == 1
    assert [one.restarts for one in kernel.instance_telemetry()] == [1, 1, 0]
    assert kernel.generation == 1


def test_the_instances_of_a_kernel_count_against_one_intensity(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=3, period=HOUR)
    kernel = rt.launch(worker, supervisor=sup, instances=4)
    for i in range(3):
        fail(kernel, instance=i)
        assert handled(kernel, instance=i) == 1
    with pytest.raises((rk.HandlerError, rk.KernelFailedError)):
        kernel.call(Number(FAIL), timeout=W, instance=3)
    until(lambda: kernel.state is S.FAILED)
    assert (sup.state, sup.restarts, kernel.restarts) == ("failed", 3, 3)


def test_all_instances_are_restarted_with_a_sibling(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor("one_for_all", period=HOUR)
    many = rt.launch(worker, name="many", supervisor=sup, instances=3)
    one = rt.launch(worker, name="one", supervisor=sup)
    for i in range(3):
        assert handled(many, instance=i) == 1
    fail(one)
    until(lambda: many.restarts == 3)
    assert [handled(many, instance=i) for i in range(3)] == [1, 1, 1]
    assert (one.restarts, sup.restarts) == (1, 1)


def test_an_instance_that_waits_for_its_restart_gets_it_though_others_fail_too(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=100, period=HOUR, backoff=0.05)
    kernel = rt.launch(worker, supervisor=sup, instances=3)
    for _ in range(2):  # the second restart of each waits
        for i in range(3):
            kernel.send(Number(FAIL), instance=i)
            kernel.send(Number(1), instance=i)
    until(lambda: kernel.restarts == 6)
    assert [handled(kernel, instance=i) for i in range(3)] == [2, 2, 2]
    assert [one.restarts for one in kernel.instance_telemetry()] == [2, 2, 2]


def test_an_instance_of_a_temporary_kernel_takes_the_kernel_along(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=0)
    kernel = rt.launch(worker, supervisor=sup, restart="temporary", instances=3)
    fail(kernel, instance=1)
    until(lambda: kernel.state is S.FAILED)
    until(lambda: sup.children == [])
    assert (sup.state, sup.restarts, kernel.restarts) == ("running", 0, 0)


# -- intensity


@pytest.mark.parametrize("intensity", [0, 1, 2, 3, 10])
def test_as_many_restarts_as_the_intensity_are_fine_and_one_more_is_not(
    rt: rk.Runtime, until: Any, intensity: int
) -> None:
    sup = rt.supervisor(intensity=intensity, period=HOUR)
    kernel = rt.launch(worker, supervisor=sup)
    for n in range(intensity):
        fail(kernel)
        assert handled(kernel) == 1
        assert (sup.state, sup.restarts, kernel.restarts) == ("running", n + 1, n + 1)
    with pytest.raises((rk.HandlerError, rk.KernelFailedError)):
        kernel.call(Number(FAIL), timeout=W)
    until(lambda: sup.state == "failed")
    until(lambda: kernel.state is S.FAILED)
    assert (sup.restarts, kernel.restarts, kernel.error_count) == (intensity, intensity, intensity + 1)
    assert sup.children == []


def test_restarts_that_are_longer_ago_than_the_period_do_not_count(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=1, period=0.01)
    kernel = rt.launch(worker, supervisor=sup)
    for n in range(5):
        fail(kernel)
        until(lambda want=n + 1: kernel.restarts == want)
        time.sleep(0.02)
    assert sup.state == "running"


def test_a_group_that_is_restarted_together_counts_once(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor("one_for_all", intensity=2, period=HOUR)
    kernels = [rt.launch(worker, name=f"k{n}", supervisor=sup) for n in range(5)]
    for n in range(2):
        fail(kernels[n])
        until(lambda want=n + 1: all(kernel.restarts == want for kernel in kernels))
    assert (sup.state, sup.restarts) == ("running", 2)


# -- accounting


def test_ten_thousand_failures_are_all_accounted_for(rt: rk.Runtime, until: Any) -> None:
    failures = 10_000
    sup = rt.supervisor(intensity=2 * failures, period=HOUR)

    def fragile(ctx: rk.Context, state: Count, msg: Number) -> Number | None:
        state.handled += 1
        if msg.n % 2 == 0:
            raise ValueError(msg.n)
        return Number(state.handled) if msg.n == 2 * failures + 1 else None

    kernel = rt.launch(fragile, supervisor=sup)
    for n in range(2 * failures):
        kernel.send(Number(n), W)
    last = kernel.call(Number(2 * failures + 1), timeout=W)
    assert last == Number(2)  # a failure, one that worked, this one
    assert sup.restarts == kernel.restarts == kernel.generation == kernel.error_count == failures
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered) == (2 * failures + 1, failures + 1, failures)
    assert (s.dropped, s.in_flight) == (0, 0)
    letters = rt.dead_letters.stats()
    assert letters.total == letters.by_reason[rk.DeadLetterReason.HANDLER_FAILED] == failures
    assert letters.kept + letters.overwritten == failures
    assert str(kernel.last_error) == str(2 * failures - 2)
    telemetry = kernel.telemetry()
    assert (telemetry.failed, telemetry.restarts) == (failures, failures)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_children_that_fail_at_the_same_time_lose_no_message(
    rt: rk.Runtime, threads: Any, until: Any, strategy: str
) -> None:
    sup = rt.supervisor(strategy, intensity=100_000, period=HOUR)
    kernels = [rt.launch(worker, name=f"k{n}", supervisor=sup, instances=2) for n in range(4)]

    def hammer(index: int) -> int:
        for n in range(50):
            kernels[(index + n) % 4].send(Number(FAIL if n % 5 == index else 1), W)
        return 50

    sent = sum(threads.run_all(4, hammer))
    until(lambda: sum(k.stats().delivered + k.stats().dead_lettered for k in kernels) == sent)
    failed = sum(kernel.error_count for kernel in kernels)
    assert failed == sum(n % 5 == index for index in range(4) for n in range(50))
    assert rt.dead_letters.stats().total == failed
    assert all(is_conserved(kernel) for kernel in kernels)
    until(lambda: all(handled(kernel, instance=i) >= 1 for kernel in kernels for i in range(2)))
    assert 1 <= sup.restarts <= failed
    if strategy == "one_for_one":
        assert sup.restarts == sum(kernel.restarts for kernel in kernels) == failed
    assert sup.state == "running"


def test_a_sibling_in_a_long_handler_finishes_its_message_before_it_is_restarted(
    rt: rk.Runtime, gate: Gate, until: Any
) -> None:
    sup = rt.supervisor("one_for_all")
    slow = rt.launch(gate, name="slow", supervisor=sup)
    slow.send(Number(1))
    assert gate.entered.wait(W)
    slow.send(Number(2))
    other = rt.launch(worker, name="other", supervisor=sup)
    fail(other)
    gate.open.set()
    until(lambda: slow.restarts == 1 and other.restarts == 1)
    until(lambda: gate.handled == [1, 2])
    assert [slow.receive(timeout=W).n for _ in range(2)] == [1, 2]


# -- bad input


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "one_for_two"},
        {"strategy": None},
        {"intensity": -1},
        {"intensity": 1.5},
        {"intensity": True},
        {"intensity": 2**31},
        {"intensity": None},
        {"period": -0.1},
        {"period": math.nan},
        {"period": math.inf},
        {"period": "5"},
        {"backoff": -1},
        {"max_backoff": None},
        {"name": 5},
    ],
    ids=repr,
)
@pytest.mark.parametrize("nested", [False, True], ids=["root", "nested"])
def test_a_supervisor_that_cannot_be_is_refused(rt: rk.Runtime, wrong: dict[str, Any], nested: bool) -> None:
    make: Callable[..., rk.Supervisor] = rt.supervisor().supervisor if nested else rt.supervisor
    with pytest.raises(rk.InvalidArgumentError, match=f"{next(iter(wrong))}: found .*need"):
        make(**wrong)


@pytest.mark.parametrize("wrong", ["always", "", None, 0])
def test_a_restart_that_cannot_be_is_refused(rt: rk.Runtime, wrong: Any) -> None:
    sup = rt.supervisor()
    with pytest.raises(rk.InvalidArgumentError, match=r"restart: found .*permanent, transient, temporary"):
        rt.launch(worker, supervisor=sup, restart=wrong)
    with pytest.raises(rk.InvalidArgumentError, match=r"restart: found .*permanent, transient, temporary"):
        sup.supervisor(restart=wrong)
    assert sup.children == []


def test_a_supervisor_of_another_runtime_is_refused(rt: rk.Runtime, backend: str) -> None:
    with rk.Runtime(backend=backend) as other, pytest.raises(rk.InvalidArgumentError, match="another runtime"):
        rt.launch(worker, supervisor=other.supervisor())


@pytest.mark.parametrize("wrong", ["one_for_one", 1, True, worker], ids=repr)
def test_what_is_no_supervisor_is_refused(rt: rk.Runtime, wrong: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match="supervisor: found"):
        rt.launch(worker, supervisor=wrong)


def test_a_launch_that_is_refused_leaves_nothing_with_the_supervisor(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor()
    rt.launch(worker, name="taken", supervisor=sup)
    for wrong in ({"name": "taken"}, {"capacity": 3}, {"publishes_to": ["nobody"]}):
        with pytest.raises(rk.RingKernelError):
            rt.launch(worker, supervisor=sup, **wrong)
    until(lambda: sup.children == ["taken"])
    assert sup.state == "running"
