"""Supervisors below supervisors: escalation, backoff, and what is told about it."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import pytest
from actors import Gate, Number
from supervised import FAIL, HOUR, W, fail, handled, is_conserved, kinds, worker

import pyringkernel as rk

S = rk.KernelState


def fail_for_good(kernel: rk.Kernel) -> None:
    """The same as fail(), when the kernel may be gone before its caller hears of the handler's error."""
    with pytest.raises((rk.HandlerError, rk.KernelFailedError)):
        kernel.call(Number(FAIL), timeout=W)


# -- escalation


def test_failures_climb_three_levels_one_by_one(rt: rk.Runtime, until: Any) -> None:
    """Each level forgives one restart: of eight failures low answers 4, mid 2, top 1, and the last one is too much."""
    top = rt.supervisor(intensity=1, period=HOUR, name="top")
    mid = top.supervisor(intensity=1, period=HOUR, name="mid")
    low = mid.supervisor(intensity=1, period=HOUR, name="low")
    kernel = rt.launch(worker, name="leaf", supervisor=low)
    by_top, by_mid = (rt.launch(worker, name=f"of {sup.name}", supervisor=sup) for sup in (top, mid))
    for n in range(7):
        fail(kernel)
        assert handled(kernel) == 1
        until(lambda want=n + 1: kernel.restarts == want)
    assert [sup.restarts for sup in (low, mid, top)] == [4, 2, 1]
    assert [sup.state for sup in (low, mid, top)] == ["running"] * 3
    assert (by_top.restarts, by_mid.restarts) == (0, 1)  # top restarted all that is below mid, once
    fail_for_good(kernel)
    until(lambda: top.state == "failed")
    assert [sup.state for sup in (low, mid)] == ["failed", "failed"]
    until(lambda: [k.state for k in (kernel, by_mid, by_top)] == [S.FAILED] * 3)
    assert [sup.restarts for sup in (low, mid, top)] == [4, 2, 1]
    assert kernel.restarts == 7
    assert [sup.children for sup in (low, mid, top)] == [[], [], []]


def test_a_supervisor_that_gives_up_is_restarted_with_all_its_children(rt: rk.Runtime, until: Any) -> None:
    top = rt.supervisor(period=HOUR)
    inner = top.supervisor("one_for_one", intensity=0, period=HOUR, name="inner")
    a, b = (rt.launch(worker, name=name, supervisor=inner) for name in "ab")
    outside = rt.launch(worker, name="outside", supervisor=top)
    for kernel in (a, b, outside):
        assert [handled(kernel), handled(kernel)] == [1, 2]
    fail(a)
    until(lambda: a.restarts == 1 and b.restarts == 1)
    assert [handled(a), handled(b), handled(outside)] == [1, 1, 3]
    assert (top.restarts, inner.restarts, inner.state) == (1, 0, "running")
    assert (top.children, inner.children) == (["inner", "outside"], ["a", "b"])


@pytest.mark.parametrize(
    ("strategy", "restarted"), [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")]
)
def test_the_parents_strategy_decides_who_is_restarted_with_a_supervisor(
    rt: rk.Runtime, until: Any, strategy: str, restarted: str
) -> None:
    top = rt.supervisor(strategy, period=HOUR)
    kernels = {}
    for name in "abc":
        inner = top.supervisor(intensity=0, period=HOUR, name=f"of {name}")
        kernels[name] = rt.launch(worker, name=name, supervisor=inner)
        assert handled(kernels[name]) == 1
    fail(kernels["b"])
    until(lambda: all(kernels[name].restarts == 1 for name in restarted))
    assert [handled(kernels[name]) for name in "abc"] == [1 if name in restarted else 2 for name in "abc"]
    assert top.restarts == 1


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_a_supervisor_that_gives_up_is_restarted_if_it_is_transient_but_not_if_it_is_temporary(
    rt: rk.Runtime, until: Any, restart: str
) -> None:
    top = rt.supervisor(intensity=1, period=HOUR)
    inner = top.supervisor(intensity=0, restart=restart, name="inner")
    kernel = rt.launch(worker, supervisor=inner)
    other = rt.launch(worker, name="other", supervisor=top)
    if restart == "transient":
        fail(kernel)
        assert handled(kernel) == 1
        assert (inner.state, top.restarts) == ("running", 1)
    else:
        fail_for_good(kernel)
        until(lambda: kernel.state is S.FAILED)
        until(lambda: inner.state == "failed")
        assert (top.state, top.restarts, top.children) == ("running", 0, ["other"])
    assert handled(other) == 1


def test_messages_that_wait_are_kept_when_a_supervisor_is_restarted(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    top = rt.supervisor(period=HOUR)
    inner = top.supervisor(intensity=0, period=HOUR)
    fragile = rt.launch(worker, name="fragile", supervisor=inner)
    sibling = rt.launch(worker, name="sibling", supervisor=inner, autostart=False)
    for _ in range(5):
        sibling.send(Number(1))
    fail(fragile)
    until(lambda: sibling.restarts == 1)
    sibling.activate()
    assert [sibling.receive(timeout=W).n for _ in range(5)] == [1, 2, 3, 4, 5]


# -- the end of a root


def test_when_a_root_fails_its_children_have_failed_and_their_callers_are_told(
    rt: rk.Runtime, threads: Any, gate: Gate, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    root = rt.supervisor(intensity=0, name="root")
    fragile = rt.launch(worker, name="fragile", supervisor=root)
    paused = rt.launch(worker, name="paused", supervisor=root, autostart=False)
    outside = rt.launch(worker, name="outside")
    waiting = threads.start(paused.call, Number(1), W)
    asked = paused.ask(Number(2))
    paused.send(Number(3))
    until(lambda: paused.stats().accepted == 3)
    fail_for_good(fragile)
    until(lambda: root.state == "failed" and fragile.state is S.FAILED and paused.state is S.FAILED)
    assert isinstance(waiting.error(), rk.KernelFailedError)
    with pytest.raises(rk.KernelFailedError, match="paused.*supervisor gave up"):
        asked.result(timeout=W)
    for use in (
        lambda: fragile.send(Number(1)),
        lambda: fragile.try_send(Number(1)),
        lambda: fragile.call(Number(1)),
        lambda: fragile.ask(Number(1)),
        lambda: fragile.receive(timeout=W),
    ):
        with pytest.raises(rk.KernelFailedError, match="fragile") as caught:
            use()
        assert isinstance(caught.value.__cause__, ValueError)
    until(lambda: paused.stats().dead_lettered == 3)
    assert is_conserved(paused)
    assert handled(outside) == 1
    until(lambda: any("'root'" in r.getMessage() for r in caplog.records if r.name == "pyringkernel"))


def test_nothing_can_be_launched_under_a_supervisor_that_failed_or_was_terminated(rt: rk.Runtime, until: Any) -> None:
    failed = rt.supervisor(intensity=0, name="weak")
    fail_for_good(rt.launch(worker, supervisor=failed))
    until(lambda: failed.state == "failed")
    ended = rt.supervisor(name="done")
    ended.terminate()
    assert ended.state == "terminated"
    for sup, text in ((failed, "'weak' has failed"), (ended, "'done'.*(has ended|is terminated)")):
        with pytest.raises(rk.SupervisorTerminatedError, match=text + ".*make a new one"):
            rt.launch(worker, name="late", supervisor=sup)
        with pytest.raises(rk.SupervisorTerminatedError, match=text + ".*make a new one"):
            sup.supervisor()
        assert sup.children == []
    assert "late" not in rt.kernels
    assert handled(rt.launch(worker, name="late")) == 1


def test_a_name_is_free_when_its_supervisor_has_given_up(rt: rk.Runtime, until: Any) -> None:
    for _ in range(3):
        sup = rt.supervisor(intensity=0)
        kernel = rt.launch(worker, name="again", supervisor=sup)
        fail_for_good(kernel)
        until(lambda k=kernel: k.state is S.FAILED)
    assert handled(rt.launch(worker, name="again")) == 1


def test_launches_and_failures_at_the_same_time_leave_no_orphan(rt: rk.Runtime, threads: Any, until: Any) -> None:
    """Whatever is launched is under a supervisor that runs, has failed with it, or was refused."""
    sup = rt.supervisor("one_for_all", intensity=5, period=HOUR)
    first = rt.launch(worker, name="first", supervisor=sup)
    launched: list[rk.Kernel] = []

    def launch(index: int) -> None:
        for n in range(8):
            try:
                launched.append(rt.launch(worker, name=f"k{index}.{n}", supervisor=sup))
            except (rk.SupervisorTerminatedError, rk.InvalidStateTransition):
                return

    def break_it(_: int) -> None:
        for _ in range(6):
            fail_for_good(first)

    threads.run_all(4, lambda index: break_it(index) if index == 0 else launch(index))
    until(lambda: sup.state == "failed")
    until(lambda: all(kernel.state is S.FAILED for kernel in [first, *launched]))
    assert sup.children == []


# -- backoff


def test_restarts_in_a_row_wait_longer_each_time(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR, backoff=0.02, max_backoff=0.05)
    kernel = rt.launch(worker, supervisor=sup)
    waits = []
    for n in range(5):
        begin = time.monotonic()
        fail(kernel)
        until(lambda want=n + 1: kernel.restarts == want)
        waits.append(time.monotonic() - begin)
        assert handled(kernel) == 1
    least = [0.0, 0.04, 0.05, 0.05, 0.05]  # 2 b, then as long as is allowed
    assert all(waited >= need for waited, need in zip(waits, least, strict=True)), waits
    failed = [event.hlc for event in sup.events() if event.kind == "failed"]
    restarted = [event.hlc for event in sup.events() if event.kind == "restarted"]
    assert all(a < b for a, b in zip(failed, restarted, strict=True))


def test_while_a_restart_waits_messages_wait_too_and_siblings_go_on(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR, backoff=0.1)
    kernel = rt.launch(worker, supervisor=sup)
    other = rt.launch(worker, name="other", supervisor=sup)
    for _ in range(2):
        fail(kernel)
    operations = [kernel.ask(Number(1)) for _ in range(5)]
    assert [handled(other) for _ in range(3)] == [1, 2, 3]
    assert kernel.state is S.ACTIVE
    assert [one.result(timeout=W).n for one in operations] == [1, 2, 3, 4, 5]
    assert (kernel.restarts, other.restarts) == (2, 0)


def test_a_group_waits_together_and_begins_in_the_order_of_its_launch(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor("one_for_all", intensity=10, period=HOUR, backoff=0.02)
    a, b, c = (rt.launch(worker, name=name, supervisor=sup) for name in "abc")
    fail(b)
    until(lambda: all(k.restarts == 1 for k in (a, b, c)))
    fail(b)
    assert [k.call(Number(1), timeout=W).n for k in (c, a, b)] == [1, 1, 1]
    until(lambda: all(k.restarts == 2 for k in (a, b, c)))
    one_round = [("failed", "b"), ("stopped", "c"), ("stopped", "a"), *(("restarted", name) for name in "abc")]
    assert kinds(sup) == one_round * 2


def test_a_sibling_that_fails_while_its_group_waits_does_not_count_again(
    rt: rk.Runtime, gate: Gate, until: Any
) -> None:
    """It raises while it is being stopped: its incarnation has been decided about."""

    def slow(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        raise ValueError("while it is stopped")

    sup = rt.supervisor("one_for_all", intensity=10, period=HOUR, backoff=0.05)
    fragile = rt.launch(worker, name="fragile", supervisor=sup)
    fail(fragile)
    until(lambda: fragile.restarts == 1)
    stuck = rt.launch(slow, name="stuck", supervisor=sup)
    stuck.send(Number(1))
    assert gate.entered.wait(W)
    fail(fragile)
    until(lambda: ("stopped", "stuck") in kinds(sup))
    gate.open.set()
    until(lambda: fragile.restarts == 2 and stuck.restarts == 1)
    assert handled(fragile) == 1
    assert sup.restarts == 2
    assert kinds(sup).count(("failed", "stuck")) == 0
    assert stuck.error_count == 1


# -- what is told


def test_events_say_who_when_and_why(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=1, period=HOUR, name="boss")
    kernel = rt.launch(worker, name="child", supervisor=sup, instances=2)
    assert sup.events() == []
    before = rt.now()
    fail(kernel, instance=1)
    assert handled(kernel, instance=1) == 1
    failed, restarted = sup.events()
    assert (failed.kind, failed.supervisor, failed.child, failed.instance) == ("failed", "boss", "child", 1)
    assert (failed.generation, restarted.generation) == (0, 1)
    assert "unlucky after 1" in failed.error
    assert (restarted.kind, restarted.child, restarted.instance, restarted.error) == ("restarted", "child", 1, "")
    assert before < failed.hlc < restarted.hlc
    fail_for_good(kernel)
    until(lambda: sup.state == "failed")
    until(lambda: len(sup.events()) == 5)
    assert kinds(sup)[2:] == [("failed", "child"), ("gave_up", "child"), ("root_failed", "boss")]
    with pytest.raises(AttributeError):
        failed.kind = "restarted"  # type: ignore[misc]


def test_the_names_of_supervisors_agree_everywhere(rt: rk.Runtime, until: Any) -> None:
    top = rt.supervisor()
    inner = top.supervisor("rest_for_one", intensity=0)
    kernel = rt.launch(worker, supervisor=inner)
    assert top.children == [inner.name]
    assert top.name != inner.name
    assert repr(inner) == f"<Supervisor {inner.name!r} running children=1 restarts=0>"
    fail(kernel)
    assert handled(kernel) == 1
    assert {event.supervisor for event in inner.events()} == {inner.name}
    assert {event.supervisor for event in top.events()} == {top.name}
    assert ("restarted", inner.name) in kinds(top)


def test_the_newest_events_are_kept(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=10_000, period=HOUR)
    kernel = rt.launch(worker, supervisor=sup)
    for _ in range(700):
        kernel.send(Number(FAIL))
    until(lambda: sup.restarts == kernel.restarts == 700)
    until(lambda: sup.events()[-1].generation == 700)
    events = sup.events()
    assert len(events) == 1024
    assert events[0].generation in (700 - 512, 700 - 511)


def test_logging_that_raises_does_not_stop_supervision(
    rt: rk.Runtime, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(given.exc_type))

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    broken = Broken()
    logging.getLogger("pyringkernel").addHandler(broken)
    try:
        for _ in range(2):
            sup = rt.supervisor(intensity=1, period=HOUR)
            kernel = rt.launch(worker, supervisor=sup)
            fail(kernel)
            fail_for_good(kernel)
            until(lambda s=sup, k=kernel: s.state == "failed" and k.state is S.FAILED)
        until(lambda: told == [ZeroDivisionError] * 2)
    finally:
        logging.getLogger("pyringkernel").removeHandler(broken)
