"""Compiled handlers that do not return are stopped: by a watchdog, by terminate(), by close(). Python goes on meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from actors import Number, Tally, recorder, tally

import pyringkernel as rk
from pyringkernel import DeadLetterReason

S = rk.KernelState
W = 60.0
HOUR = 3600.0
SOON = 0.05
SOON_ENOUGH = 0.8  # the last quarter is for the thread that is stopped, on a machine that does other things too
FOR_EVER = 666


@rk.kernel
def while_loop(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    while msg.n == FOR_EVER:
        state.total += 1
    return Number(state.seen)


@rk.kernel
def nested_loops(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    if msg.n == FOR_EVER:
        for i in range(1 << 30):
            for _ in range(1 << 30):
                if i == -1:
                    break
                state.total += 1
    return Number(state.seen)


@rk.device
def inner(n: rk.u64) -> rk.u64:
    total: rk.u64 = 0
    while n == FOR_EVER:
        total += 1
    return total


@rk.device
def outer(n: rk.u64) -> rk.u64:
    return inner(n) + 1


@rk.kernel
def in_a_device_function(ctx: rk.Context, state: Tally, msg: Number) -> Number:
    state.seen += 1
    state.total += outer(msg.n)
    return Number(state.seen)


ENDLESS = [while_loop, nested_loops, in_a_device_function]


@pytest.fixture(params=ENDLESS, ids=lambda handler: handler.id)
def endless(request: pytest.FixtureRequest) -> Any:
    """A handler that does not return from FOR_EVER, and else answers how many messages it has begun."""
    return request.param


@rk.kernel
def busy(ctx: rk.Context, msg: Number) -> None:
    while not ctx.is_terminating():
        pass


@rk.kernel
def chatty(ctx: rk.Context, msg: Number) -> None:
    """Sends for ever; nobody takes it."""
    n: rk.u64 = 0
    while True:
        ctx.reply(Number(n))
        n += 1


def balanced(stats: Any) -> bool:
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)


# -- the watchdog


def test_a_watchdog_stops_the_message_and_the_kernel_goes_on(
    rt: rk.Runtime, machine: Any, endless: Any, until: Any
) -> None:
    kernel = rt.launch(endless, watchdog=SOON, **machine)
    assert kernel.call(Number(1), timeout=W) == Number(1)
    for _ in range(2):
        with pytest.raises(rk.KernelHungError, match="did not return and was stopped"):
            kernel.call(Number(FOR_EVER), timeout=W)
    assert kernel.call(Number(2), timeout=W) == Number(4)  # the state is as it left it
    until(lambda: not kernel.busy)  # a device says so after the reply
    assert (kernel.state, kernel.hung) == (S.ACTIVE, False)
    assert [one.reason for one in rt.dead_letters.browse()] == [DeadLetterReason.HUNG] * 2
    assert [one.message for one in rt.dead_letters.browse()] == [Number(FOR_EVER)] * 2
    assert all(f"stopped ({__file__}:" in one.error for one in rt.dead_letters.browse())
    assert balanced(kernel.stats())


def test_what_waits_behind_a_stopped_message_is_handled(rt: rk.Runtime, machine: Any, endless: Any) -> None:
    kernel = rt.launch(endless, watchdog=SOON, autostart=False, **machine)
    asked = [kernel.ask(Number(n)) for n in (1, FOR_EVER, 2, 3, FOR_EVER, 4)]
    kernel.activate()
    found = [one.exception(timeout=W) or one.result().n for one in asked]
    assert [one for one in found if isinstance(one, int)] == [1, 3, 4, 6]
    assert [isinstance(one, rk.KernelHungError) for one in found] == [False, True, False, False, True, False]


def test_a_stopped_message_counts_as_a_failure(rt: rk.Runtime, machine: Any, until: Any) -> None:
    kernel = rt.launch(while_loop, watchdog=SOON, max_failures=1, failure_window=HOUR, **machine)
    for n in (FOR_EVER, FOR_EVER, 1):
        kernel.send(Number(n))
    until(lambda: kernel.state is S.FAILED)
    assert kernel.telemetry().failed == 2


def test_a_supervisor_restarts_what_was_stopped(rt: rk.Runtime, machine: Any, endless: Any, until: Any) -> None:
    sup = rt.supervisor(intensity=3, period=HOUR)
    kernel = rt.launch(endless, watchdog=SOON, supervisor=sup, **machine)
    assert [kernel.call(Number(1), timeout=W).n for _ in range(2)] == [1, 2]
    with pytest.raises(rk.KernelHungError):
        kernel.call(Number(FOR_EVER), timeout=W)
    assert kernel.call(Number(1), timeout=W) == Number(1)
    assert (kernel.restarts, sup.state, kernel.state) == (1, "running", S.ACTIVE)
    assert [event.kind for event in sup.events()] == ["failed", "restarted"]


def test_a_handler_that_is_slower_than_others_is_not_stopped(rt: rk.Runtime, machine: Any) -> None:
    @rk.kernel
    def long(ctx: rk.Context, msg: Number) -> Number:
        total: rk.u64 = 0
        for i in range(msg.n):
            total += i
        return Number(total)

    kernel = rt.launch(long, watchdog=W, **machine)
    assert kernel.call(Number(300_000), timeout=W) == Number(300_000 * 299_999 // 2)


def test_many_brief_messages_together_are_not_stopped(rt: rk.Runtime, machine: Any) -> None:
    kernel = rt.launch(tally, watchdog=SOON, capacity=4096, autostart=False, **machine)
    for _ in range(4000):
        kernel.send(Number(1))
    kernel.activate()
    assert [kernel.receive(timeout=W).n for _ in range(4000)] == list(range(1, 4001))
    assert kernel.error_count == 0


@rk.device
def mix(t: rk.u64) -> rk.u64:
    t = (t ^ (t >> 7)) * 1099511628211 + (t >> 3) - (t // 7) + (t % 11)
    t = (t ^ (t >> 9)) * 1099511628211 + (t >> 5) - (t // 9) + (t % 13)
    return (t ^ (t >> 8)) * 1099511628211 + (t >> 4) - (t // 5) + (t % 17)


@rk.kernel
def heavy(ctx: rk.Context, msg: Number) -> Number:
    t = msg.n
    for _ in range(4000):
        t = mix(mix(mix(mix(mix(mix(mix(mix(t))))))))
    return Number(t)


def test_many_longer_messages_together_are_not_stopped(rt: rk.Runtime, machine: Any) -> None:
    """As bytecode each takes milliseconds, and a run of 64 would take longer than the watchdog allows one message."""
    kernel = rt.launch(heavy, watchdog=0.15, autostart=False, **machine)
    for n in range(130):
        kernel.send(Number(n))
    kernel.activate()
    assert len({kernel.receive(timeout=W).n for _ in range(130)}) == 130
    assert kernel.error_count == 0


# -- others go on


def test_python_goes_on_while_a_compiled_handler_computes(rt: rk.Runtime, machine: Any, until: Any) -> None:
    """With the interpreter lock in the loop, this thread could do nothing until it ends, and it does not end."""
    kernel = rt.launch(busy, **machine)
    kernel.send(Number())
    until(lambda: kernel.busy)
    seen: list[int] = []
    python = rt.launch(recorder(seen))
    worked = threading.Event()
    threading.Thread(target=worked.set).start()
    assert worked.wait(W)
    for n in range(100):
        python.send(Number(n))
    until(lambda: seen == list(range(100)))
    assert kernel.busy
    kernel.terminate(timeout=W)


def test_two_compiled_kernels_run_at_the_same_time(backend: str, machine: Any, until: Any) -> None:
    """Each waits in a loop for what the other one sends."""
    with rk.Runtime(backend=backend, workers=2) as rt:
        loops = [rt.launch(busy, name=f"busy{n}", **machine) for n in range(2)]
        third = rt.launch(tally, **machine)  # before they run: a GPU loads no code beside a handler
        for kernel in loops:
            kernel.send(Number())
        until(lambda: all(kernel.busy for kernel in loops))
        assert third.call(Number(3), timeout=W) == Number(3)  # more of them than workers
        assert all(kernel.busy for kernel in loops)
        for kernel in loops:
            kernel.terminate(timeout=W)
        assert [kernel.stats().delivered for kernel in loops] == [1, 1]


def test_an_instance_that_does_not_return_stops_no_other(
    rt: rk.Runtime, machine: Any, endless: Any, until: Any
) -> None:
    kernel = rt.launch(endless, instances=3, **machine)
    kernel.send(Number(FOR_EVER), instance=1)
    until(lambda: kernel.busy)
    for n in range(1, 50):
        assert [kernel.call(Number(1), timeout=W, instance=i).n for i in (0, 2)] == [n, n]
    assert kernel.busy
    with pytest.raises(rk.KernelHungError):
        kernel.deactivate(timeout=SOON)  # that waits, it stops nothing
    kernel.terminate(timeout=SOON_ENOUGH)
    assert kernel.state is S.TERMINATED


def test_the_watchdog_stops_the_instance_that_hangs(rt: rk.Runtime, machine: Any, endless: Any) -> None:
    kernel = rt.launch(endless, instances=2, watchdog=SOON, **machine)
    hanging = kernel.ask(Number(FOR_EVER), instance=0)
    assert [kernel.call(Number(1), timeout=W, instance=1).n for _ in range(3)] == [1, 2, 3]
    assert isinstance(hanging.exception(timeout=W), rk.KernelHungError)
    assert [kernel.call(Number(1), timeout=W, instance=i).n for i in (0, 1)] == [2, 4]


# -- the end


def test_terminate_ends_what_does_not_return(rt: rk.Runtime, machine: Any, endless: Any, until: Any) -> None:
    kernel = rt.launch(endless, **machine)
    hanging = kernel.ask(Number(FOR_EVER))
    until(lambda: kernel.busy)
    kernel.send(Number(1))
    kernel.terminate(timeout=SOON_ENOUGH)
    assert (kernel.state, kernel.hung, kernel.busy) == (S.TERMINATED, False, False)
    assert isinstance(hanging.exception(timeout=W), rk.KernelHungError | rk.KernelTerminatedError)
    reasons = {one.message.n: one.reason for one in rt.dead_letters.browse()}
    assert reasons == {FOR_EVER: DeadLetterReason.HUNG, 1: DeadLetterReason.TERMINATED}
    stats = kernel.stats()
    assert (stats.accepted, stats.dead_lettered, stats.in_flight) == (2, 2, 0)
    again = rt.launch(endless, **machine)  # name and code can be used again
    assert again.call(Number(1), timeout=W) == Number(1)


def test_terminate_ends_one_that_floods_the_host(rt: rk.Runtime, machine: Any, until: Any) -> None:
    kernel = rt.launch(chatty, capacity=16, **machine)
    kernel.send(Number())
    until(lambda: kernel.outbox_stats().in_flight == 16)
    kernel.terminate(timeout=SOON_ENOUGH)
    assert kernel.state is S.TERMINATED
    assert [kernel.receive(timeout=W).n for _ in range(16)] == list(range(16))


def test_close_ends_what_does_not_return(backend: str, machine: Any, endless: Any, until: Any) -> None:
    rt = rk.Runtime(backend=backend)
    kernels = [rt.launch(endless, name=f"k{n}", **machine) for n in range(3)]
    for kernel in kernels:
        kernel.send(Number(FOR_EVER))
    until(lambda: all(kernel.busy for kernel in kernels))
    rt.close(timeout=SOON_ENOUGH)
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 3


def test_the_process_ends_though_a_handler_does_not_return(machine: Any) -> None:
    code = """
        import json, sys, time
        sys.path.insert(0, sys.argv[1])
        import pyringkernel as rk
        from test_compiled_stopping import FOR_EVER, Number, while_loop
        kernel = rk.Runtime().launch(while_loop, **json.loads(sys.argv[2]))
        kernel.send(Number(FOR_EVER))
        while not kernel.busy:
            time.sleep(0.001)
        print("busy")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent), json.dumps(machine)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=W, check=False)
    assert (found.returncode, found.stdout) == (0, "busy\n"), found.stderr


def test_a_supervisor_ends_what_does_not_return(rt: rk.Runtime, machine: Any, endless: Any, until: Any) -> None:
    sup = rt.supervisor()
    kernel = rt.launch(endless, supervisor=sup, **machine)
    kernel.send(Number(FOR_EVER))
    until(lambda: kernel.busy)
    sup.terminate(timeout=SOON_ENOUGH)
    assert (kernel.state, kernel.hung) == (S.TERMINATED, False)


def test_a_handler_that_looks_ends_by_itself(rt: rk.Runtime, engine: Any, until: Any) -> None:
    kernel = rt.launch(busy, **engine)
    kernel.send(Number())
    until(lambda: kernel.busy)
    kernel.terminate(timeout=W)
    assert kernel.state is S.TERMINATED
    assert (kernel.stats().delivered, kernel.error_count) == (1, 0)
