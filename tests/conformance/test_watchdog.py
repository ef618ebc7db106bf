"""Handlers that do not return: with a watchdog their callers are released, and the rest of the world goes on."""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from typing import Any

import pytest
from actors import Gate, Number, Text, echo, recorder
from supervised import FAIL, HOUR, W, fail, handled, is_conserved, kinds, worker

import pyringkernel as rk

S = rk.KernelState
SOON = 0.02


@pytest.fixture
def hung(rt: rk.Runtime, gate: Gate, until: Any) -> rk.Kernel:
    """A kernel that was given up, in message 1, with messages 2 and 3 behind it."""
    kernel = rt.launch(gate, name="stuck", watchdog=SOON)
    for n in (1, 2, 3):
        kernel.send(Number(n))
    assert gate.entered.wait(W)
    until(lambda: kernel.hung)
    return kernel


# -- who is told, and what


def test_a_handler_that_does_not_return_makes_its_kernel_hung(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    kernel = rt.launch(gate, watchdog=SOON)
    assert (kernel.hung, kernel.busy, kernel.state) == (False, False, S.ACTIVE)
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    until(lambda: kernel.hung)
    assert (kernel.busy, kernel.state) == (True, S.FAILED)


def test_the_error_names_the_kernel_the_message_and_the_time(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=SOON)
    kind: Any = Number
    with pytest.raises(rk.KernelHungError) as caught:
        kernel.call(kind(1), timeout=W)
    found = re.search(
        r"'stuck' hangs: .*instance 0 .*message (\d+) \(type (0x[0-9a-f]{8})\) for (\d+\.\d+) s", str(caught.value)
    )
    assert found is not None, str(caught.value)
    assert int(found[2], 16) == kind.type_id
    assert float(found[3]) >= SOON
    (letter,) = until(lambda: rt.dead_letters.browse(reason=rk.DeadLetterReason.HUNG))
    assert (letter.message_id, letter.type_id, letter.kernel) == (int(found[1]), kind.type_id, "stuck")
    assert letter.message is None  # its bytes are still in use


def test_everybody_who_waits_for_it_is_released(rt: rk.Runtime, gate: Gate, threads: Any, until: Any) -> None:
    kernel = rt.launch(gate, capacity=2, watchdog=0.1)
    first = threads.start(kernel.call, Number(1), W)
    assert gate.entered.wait(W)
    waiting = [threads.start(kernel.call, Number(n), W) for n in (2, 3)]
    receiving = threads.start(kernel.receive, W)
    asked = kernel.ask(Number(4))
    told: list[Any] = []
    asked.add_done_callback(lambda op: told.append(op.exception()))
    for one in (first, *waiting, receiving):
        assert isinstance(one.error(), rk.KernelHungError)
    with pytest.raises(rk.KernelHungError):
        asked.result(timeout=W)
    until(lambda: len(told) == 1)
    assert isinstance(told[0], rk.KernelHungError)


def test_a_sender_that_waits_for_room_is_released(rt: rk.Runtime, gate: Gate, threads: Any, until: Any) -> None:
    kernel = rt.launch(gate, capacity=1, watchdog=0.1)

    def flood() -> None:
        while True:
            kernel.send(Number(1), W)

    flooding = threads.start(flood)
    assert isinstance(flooding.error(), rk.KernelHungError | rk.KernelFailedError)


def test_a_task_that_awaits_it_is_released(rt: rk.Runtime, gate: Gate) -> None:
    kernel = rt.launch(gate, watchdog=SOON)

    async def main() -> None:
        first, second = kernel.ask(Number(1)), kernel.ask(Number(2))
        for one in (first, second):
            with pytest.raises(rk.KernelHungError):
                await one

    asyncio.run(asyncio.wait_for(main(), W))


def test_a_hung_kernel_refuses_what_comes_later(hung: rk.Kernel) -> None:
    for use in (
        lambda: hung.send(Number(4)),
        lambda: hung.try_send(Number(4)),
        lambda: hung.call(Number(4)),
        lambda: hung.ask(Number(4)),
        lambda: hung.receive(timeout=W),
    ):
        with pytest.raises(rk.KernelHungError, match="'stuck' hangs"):
            use()
    for move in (hung.activate, hung.deactivate):
        with pytest.raises(rk.InvalidStateTransition):
            move()
    assert isinstance(rk.KernelHungError("x"), rk.RingKernelError)


def test_what_waits_behind_it_is_counted_as_dead(hung: rk.Kernel) -> None:
    s = hung.stats()
    assert (s.accepted, s.in_flight, s.delivered + s.dead_lettered) == (3, 0, 3)
    assert s.dead_lettered >= 2


# -- what is no hang


def test_a_handler_that_takes_less_is_not_hung(rt: rk.Runtime) -> None:
    def slow(ctx: rk.Context, msg: Number) -> Number:
        time.sleep(0.01)
        return msg

    kernel = rt.launch(slow, watchdog=30.0)
    for n in range(5):
        assert kernel.call(Number(n), timeout=W) == Number(n)
    assert not kernel.hung


def test_many_messages_that_take_longer_together_are_not_hung(rt: rk.Runtime) -> None:
    def slow(ctx: rk.Context, msg: Number) -> Number | None:
        time.sleep(0.002)
        return msg if msg.n == 99 else None

    kernel = rt.launch(slow, watchdog=0.1, autostart=False)
    for n in range(100):
        kernel.send(Number(n))
    kernel.activate()
    assert kernel.receive(timeout=W) == Number(99)
    assert not kernel.hung


def test_a_kernel_that_does_nothing_is_not_hung(rt: rk.Runtime, until: Any) -> None:
    kernels = [rt.launch(echo, name=f"k{n}", watchdog=0.001, autostart=n == 0) for n in range(2)]
    paused = rt.launch(echo, name="paused", watchdog=0.001)
    paused.deactivate()
    paused.send(Number(1))
    time.sleep(0.05)
    assert [kernel.hung for kernel in (*kernels, paused)] == [False] * 3


def test_a_handler_that_waits_for_its_supervisor_is_not_hung(rt: rk.Runtime, until: Any) -> None:
    sup = rt.supervisor(intensity=10, period=HOUR, backoff=0.05)
    kernel = rt.launch(worker, supervisor=sup, watchdog=0.005)
    for _ in range(2):
        kernel.send(Number(FAIL))
    until(lambda: kernel.restarts == 2)
    assert not kernel.hung
    assert kernel.state is S.ACTIVE


def test_the_watchdog_of_the_runtime_is_for_every_kernel_that_has_none(backend: str, until: Any) -> None:
    gates = [Gate() for _ in range(3)]
    try:
        with rk.Runtime(backend=backend, watchdog=SOON) as rt:
            default, never, late = (
                rt.launch(gates[0], name="default"),
                rt.launch(gates[1], name="never", watchdog=None),
                rt.launch(gates[2], name="late", watchdog=1000.0),
            )
            for kernel in (never, late, default):
                kernel.send(Number(1))
            until(lambda: default.hung)
            assert all(gate.entered.wait(W) for gate in gates)
            time.sleep(3 * SOON)
            assert [never.hung, late.hung] == [False, False]
            for gate in gates:
                gate.open.set()
            assert [never.receive(timeout=W), late.receive(timeout=W)] == [Number(1)] * 2
    finally:
        for gate in gates:
            gate.open.set()


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "1", 1e9], ids=repr)
def test_a_watchdog_that_cannot_be_is_refused(rt: rk.Runtime, backend: str, wrong: Any) -> None:
    with pytest.raises(rk.InvalidArgumentError, match=r"watchdog: found .*need seconds"):
        rt.launch(echo, watchdog=wrong)
    with pytest.raises(rk.InvalidArgumentError, match=r"watchdog: found .*need seconds"):
        rk.Runtime(backend=backend, watchdog=wrong)
    assert handled(rt.launch(worker)) == 1


# -- the others go on


def test_the_others_go_on_while_many_hang(backend: str, until: Any) -> None:
    """More of them than there are workers."""
    gates = [Gate() for _ in range(6)]
    with rk.Runtime(backend=backend, workers=2, watchdog=SOON) as rt:
        stuck = [rt.launch(gate, name=f"stuck{n}") for n, gate in enumerate(gates)]
        seen: list[int] = []
        healthy = rt.launch(recorder(seen), name="healthy", watchdog=None)
        for kernel in stuck:
            kernel.send(Number(1))
        for n in range(300):
            healthy.send(Number(n))
        until(lambda: len(seen) == 300)
        until(lambda: all(kernel.hung for kernel in stuck))
        assert handled(rt.launch(worker, watchdog=None)) == 1
        for gate in gates:
            gate.open.set()
    assert seen == list(range(300))


def test_a_hung_instance_takes_its_kernel_along(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    kernel = rt.launch(gate, instances=3, watchdog=SOON)
    kernel.send(Number(1), instance=1)
    assert gate.entered.wait(W)
    until(lambda: kernel.hung)
    with pytest.raises(rk.KernelHungError, match="instance 1"):
        kernel.call(Number(2), instance=0)


def test_a_handler_that_sends_to_a_hung_kernel_is_told_and_goes_on(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    @rk.kernel(compiled=False, publishes_to=["stuck"])
    def sends(ctx: rk.Context, msg: Number) -> Number:
        try:
            ctx.send("stuck", msg)
        except rk.RingKernelError:
            return Number(0)
        return msg

    stuck = rt.launch(gate, name="stuck", watchdog=SOON)
    sender = rt.launch(sends)
    assert sender.call(Number(1), timeout=W) == Number(1)
    until(lambda: stuck.hung)
    assert sender.call(Number(2), timeout=W) == Number(0)
    assert sender.call(Number(3), timeout=W) == Number(0)
    assert is_conserved(stuck)


def test_the_name_of_a_hung_kernel_is_free(rt: rk.Runtime, gate: Gate, hung: rk.Kernel, until: Any) -> None:
    until(lambda: rt.registry.find("stuck") is None)
    again = rt.launch(worker, name="stuck")
    assert handled(again) == 1
    gate.open.set()
    until(lambda: not hung.busy)
    assert rt.registry.find("stuck") is again
    assert handled(again) == 2


# -- the end


def test_close_returns_though_handlers_hang(backend: str, until: Any, caplog: pytest.LogCaptureFixture) -> None:
    gates = [Gate() for _ in range(3)]
    rt = rk.Runtime(backend=backend, watchdog=SOON)
    kernels = [rt.launch(gate, name=f"stuck{n}") for n, gate in enumerate(gates)]
    healthy = rt.launch(echo, name="healthy", watchdog=None)
    for kernel in kernels:
        kernel.send(Number(1))
    until(lambda: all(kernel.hung for kernel in kernels))
    rt.close(timeout=0.1)
    assert rt.closed
    assert healthy.state is S.TERMINATED
    assert [kernel.state for kernel in kernels] == [S.FAILED] * 3
    for kernel in kernels:
        with pytest.raises(rk.KernelHungError):
            kernel.call(Number(1))
    for gate in gates:
        gate.open.set()
    until(lambda: all(gate.handled == [1] for gate in gates))


def test_close_before_the_watchdog_looks(backend: str, until: Any) -> None:
    gate = Gate()
    rt = rk.Runtime(backend=backend, watchdog=1000.0)
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    rt.close(timeout=0.05)
    assert (kernel.hung, kernel.state) == (True, S.FAILED)
    gate.open.set()
    until(lambda: gate.handled == [1])


def test_a_handler_that_returns_after_all_does_no_harm(rt: rk.Runtime, gate: Gate, hung: rk.Kernel, until: Any) -> None:
    gate.open.set()
    until(lambda: not hung.busy)
    until(lambda: hung.stats().in_flight == 0)
    assert gate.handled == [1]  # what waited behind it is not handled
    assert (hung.hung, hung.state) == (True, S.FAILED)
    s = hung.stats()
    assert s.accepted == 3 == s.delivered + s.dead_lettered
    with pytest.raises(rk.KernelHungError):
        hung.call(Number(4))
    until(lambda: rt.dead_letters.stats().total == 3)
    letters = rt.dead_letters.browse(reason=rk.DeadLetterReason.HUNG, kernel="stuck")
    assert [letter.message for letter in letters] == [None, Number(2), Number(3)]


def test_a_hung_kernel_whose_handler_returned_can_be_terminated(rt: rk.Runtime, gate: Gate, hung: rk.Kernel) -> None:
    with pytest.raises(rk.KernelHungError):
        hung.terminate(timeout=0.02)
    gate.open.set()
    hung.terminate(timeout=W)
    assert hung.state is S.TERMINATED


def test_a_handler_that_raises_after_it_was_given_up_does_no_harm(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    def late(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        raise ValueError("much too late")

    sup = rt.supervisor("one_for_all", intensity=5, period=HOUR, name="boss")
    kernel = rt.launch(late, supervisor=sup, restart="temporary", watchdog=SOON)
    other = rt.launch(worker, name="other", supervisor=sup)
    call = kernel.ask(Number(1))
    assert isinstance(call.exception(timeout=W), rk.KernelHungError)
    gate.open.set()
    until(lambda: not kernel.busy)
    until(lambda: str(kernel.last_error) == "much too late")
    assert handled(other) == 1
    assert (sup.state, sup.restarts, other.restarts, sup.children) == ("running", 0, 0, ["other"])
    assert kernel.state is S.FAILED


def test_a_handler_that_works_on_after_it_was_given_up_can_still_send(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    seen: list[int] = []

    @rk.kernel(compiled=False, publishes_to=["record"])
    def late(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        assert ctx.is_terminating()
        ctx.send("record", msg)
        return msg

    rt.launch(recorder(seen), name="record", watchdog=None)
    kernel = rt.launch(late, watchdog=SOON)
    kernel.send(Number(7))
    until(lambda: kernel.hung)
    gate.open.set()
    until(lambda: seen == [7])


# -- supervised


def test_a_hung_child_of_a_root_takes_its_siblings_along(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    root = rt.supervisor(intensity=100, name="root")
    stuck = rt.launch(gate, name="stuck", supervisor=root, watchdog=SOON)
    sibling = rt.launch(worker, name="sibling", supervisor=root)
    stuck.send(Number(1))
    until(lambda: root.state == "failed" and sibling.state is S.FAILED)
    assert stuck.hung
    assert (stuck.restarts, root.restarts, root.children) == (0, 0, [])
    told = kinds(root)
    assert told[0] == ("hung", "stuck")
    assert told[-1] == ("root_failed", "root")
    assert ("gave_up", "sibling") in told


def test_a_hung_child_below_another_supervisor_stays_behind_and_its_siblings_begin_again(
    rt: rk.Runtime, gate: Gate, until: Any
) -> None:
    top = rt.supervisor(intensity=3, period=HOUR, name="top")
    inner = top.supervisor(intensity=100, name="inner")
    stuck = rt.launch(gate, name="stuck", supervisor=inner, watchdog=SOON)
    sibling = rt.launch(worker, name="sibling", supervisor=inner)
    outside = rt.launch(worker, name="outside", supervisor=top)
    assert [handled(sibling), handled(outside)] == [1, 1]
    stuck.send(Number(1))
    until(lambda: sibling.restarts == 1)
    assert [handled(sibling), handled(outside)] == [1, 2]
    assert (stuck.hung, stuck.state, stuck.restarts) == (True, S.FAILED, 0)
    assert (inner.state, inner.children, top.restarts) == ("running", ["sibling"], 1)
    replacement = rt.launch(worker, name="stuck", supervisor=inner)
    assert handled(replacement) == 1
    gate.open.set()
    until(lambda: not stuck.busy)
    assert handled(sibling) == 2


def test_a_hung_temporary_child_takes_nobody_along(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    sup = rt.supervisor("one_for_all", intensity=0)
    stuck = rt.launch(gate, name="stuck", supervisor=sup, restart="temporary", watchdog=SOON)
    sibling = rt.launch(worker, name="sibling", supervisor=sup)
    stuck.send(Number(1))
    until(lambda: stuck.hung)
    until(lambda: sup.children == ["sibling"])
    assert (sup.state, sup.restarts) == ("running", 0)
    assert handled(sibling) == 1


def test_a_child_that_hangs_after_restarts_is_given_up_all_the_same(rt: rk.Runtime, gate: Gate, until: Any) -> None:
    def fails_then_hangs(ctx: rk.Context, msg: Number) -> Number:
        if msg.n == FAIL:
            raise ValueError(msg.n)
        return gate(ctx, msg)

    sup = rt.supervisor(intensity=100, period=HOUR)
    kernel = rt.launch(fails_then_hangs, supervisor=sup, watchdog=SOON)
    for _ in range(5):
        fail(kernel)
    with pytest.raises(rk.KernelHungError):
        kernel.call(Number(1), timeout=W)
    until(lambda: sup.state == "failed")
    assert (kernel.restarts, kernel.generation, kernel.hung) == (5, 5, True)


def test_a_watchdog_and_a_storm_of_restarts_together_lose_no_message(rt: rk.Runtime, until: Any, threads: Any) -> None:
    """Some handlers raise, some take too long: every kernel ends up answering or given up."""
    open_ = threading.Event()

    def moody(ctx: rk.Context, msg: Number) -> None:
        if msg.n % 7 == 0:
            raise ValueError(msg.n)
        if msg.n == 50:
            open_.wait(W)

    top = rt.supervisor(intensity=10**6, period=HOUR)
    kernels = []
    for n in range(4):
        sup = top.supervisor("one_for_all", intensity=10**6, period=HOUR)
        kernels.append(rt.launch(moody, name=f"k{n}", supervisor=sup, watchdog=SOON))

    def feed(index: int) -> int:
        for n in range(100):
            try:
                kernels[index].send(Number(n), W)
            except rk.KernelError:
                return n
        return 100

    sent = threads.run_all(4, feed)
    until(lambda: all(kernel.hung for kernel in kernels))
    for kernel, count in zip(kernels, sent, strict=True):
        s = kernel.stats()
        assert s.accepted == count == s.delivered + s.dead_lettered
        assert s.in_flight == 0
    open_.set()
    until(lambda: not any(kernel.busy for kernel in kernels))
    assert top.state == "running"


def test_a_class_that_it_does_not_take_is_refused_before_the_hang_is_told(hung: rk.Kernel) -> None:
    with pytest.raises(rk.WrongMessageError):
        hung.send(Text(b"x"))
