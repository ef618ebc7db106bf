"""Handlers that hang, and kernels that nobody receives from: every deadline is kept, and everything can be closed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from actors import Gate, Number, echo, recorder

import pyringkernel as rk
from pyringkernel.errors import (
    KernelFailedError,
    KernelHungError,
    KernelTerminatedError,
)

S = rk.KernelState
W = 60.0


# -- hanging


def test_a_handler_that_hangs_is_a_kernel_hung_error_and_close_returns(backend: str, gate: Gate, until: Any) -> None:
    rt = rk.Runtime(backend=backend)
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    assert gate.entered.wait(W)
    with pytest.raises(KernelHungError, match="Gate.*does not return"):
        kernel.terminate(timeout=0.05)
    assert kernel.state is S.FAILED
    for use in (lambda: kernel.send(Number(2)), lambda: kernel.call(Number(2))):
        with pytest.raises((KernelFailedError, KernelTerminatedError)):
            use()
    rt.close(timeout=0.05)
    assert rt.closed
    gate.open.set()
    until(lambda: gate.handled == [1])


def test_close_logs_the_kernels_that_hang(backend: str, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    rt = rk.Runtime(backend=backend)
    rt.launch(gate, name="stuck")
    rt.launch(echo)
    rt.kernels["stuck"].send(Number(1))
    assert gate.entered.wait(W)
    rt.close(timeout=0.1)
    warnings = [r.getMessage() for r in caplog.records if r.name == "pyringkernel" and r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "'stuck'" in warnings[0]
    assert "echo" not in warnings[0]


def test_one_kernel_that_hangs_does_not_cost_the_others_their_messages(backend: str, gate: Gate) -> None:
    seen: list[int] = []
    rt = rk.Runtime(backend=backend)
    rt.launch(gate, name="stuck").send(Number(1))
    healthy = rt.launch(recorder(seen), name="healthy")
    assert gate.entered.wait(W)
    for n in range(50):
        healthy.send(Number(n))
    rt.close(timeout=0.5)
    assert healthy.state is S.TERMINATED
    assert seen == list(range(50))


def test_a_hung_kernel_whose_handler_came_back_can_be_terminated(rt: rk.Runtime, gate: Gate) -> None:
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    kernel.send(Number(2))
    assert gate.entered.wait(W)
    with pytest.raises(KernelHungError):
        kernel.terminate(timeout=0.02)
    gate.open.set()
    kernel.terminate(timeout=W)
    assert kernel.state is S.TERMINATED
    s = kernel.stats()
    assert s.accepted == 2 == s.delivered + s.dead_lettered
    assert s.in_flight == 0


def test_a_call_that_waits_is_told_when_the_kernel_is_given_up(backend: str, gate: Gate, threads: Any) -> None:
    with rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(gate)
        calling = threads.start(kernel.call, Number(1))
        assert gate.entered.wait(W)
        with pytest.raises(KernelHungError):
            kernel.terminate(timeout=0.02)
        assert isinstance(calling.error(), (KernelFailedError, KernelTerminatedError))
        gate.open.set()


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_handler_that_waits_for_its_outbox_can_be_terminated(rt: rk.Runtime, capacity: int, until: Any) -> None:
    """Nobody receives: the kernel stops at its deadline all the same, and what was not handled is dead-lettered."""
    kernel = rt.launch(echo, capacity=capacity)
    sent = 0
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        sent += kernel.try_send(Number(sent))
    assert sent < 10
    kernel.terminate(timeout=0.3)
    assert kernel.state is S.TERMINATED
    s, out = kernel.stats(), kernel.outbox_stats()
    assert s.accepted == sent == s.delivered + s.dead_lettered + s.in_flight
    assert out.accepted == out.delivered + out.in_flight
    assert out.in_flight == capacity


def test_close_ends_many_kernels_that_wait_for_their_outboxes(backend: str) -> None:
    rt = rk.Runtime(backend=backend)
    kernels = [rt.launch(echo, name=f"k{n}", capacity=1) for n in range(4)]
    for kernel in kernels:
        while kernel.outbox_stats().in_flight < 1 or kernel.stats().in_flight < 1:
            kernel.try_send(Number(1))
    rt.close(timeout=1.0)
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 4


def test_a_full_outbox_still_gives_what_it_holds_after_the_end(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, capacity=2)
    for n in range(5):
        kernel.try_send(Number(n))
    while kernel.outbox_stats().in_flight < 2:
        time.sleep(0.001)
    kernel.terminate(timeout=0.2)
    assert [kernel.receive(timeout=W).n for _ in range(2)] == [0, 1]
    with pytest.raises(KernelTerminatedError):
        kernel.receive(timeout=W)


def test_kernels_share_the_threads_of_their_runtime(rt: rk.Runtime, until: Any) -> None:
    """The workers, one that watches them, one for chores; more only while handlers block."""
    before = native_threads()
    kernels = [rt.launch(echo, name=f"k{n}") for n in range(100)]
    for n, kernel in enumerate(kernels):
        assert kernel.call(Number(n), timeout=W) == Number(n)
    until(lambda: native_threads() <= before + rt.workers + 2)


def test_threads_of_handlers_that_blocked_are_gone_when_they_returned(rt: rk.Runtime, until: Any) -> None:
    gates = [Gate() for _ in range(6)]
    before = native_threads()
    for n, blocked in enumerate(gates):
        rt.launch(blocked, name=f"k{n}").send(Number(n))
    for blocked in gates:
        assert blocked.entered.wait(W)
    assert native_threads() >= before + len(gates)
    for blocked in gates:
        blocked.open.set()
    until(lambda: native_threads() <= before + rt.workers + 2)


def test_threads_of_a_closed_runtime_are_gone(backend: str, until: Any) -> None:
    before = native_threads()
    with rk.Runtime(backend=backend) as rt:
        for n in range(10):
            assert rt.launch(echo, name=f"k{n}").call(Number(n), timeout=W) == Number(n)
        assert native_threads() > before
    until(lambda: native_threads() <= before)


def native_threads() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
