"""States: every legal move, every illegal one, and what happens to messages meanwhile."""

from __future__ import annotations

import contextlib
import gc
import pickle
import time
from typing import Any

import pytest
from actors import Gate, Number, Tally, echo, recorder, sink, tally

import pyringkernel as rk
from pyringkernel.errors import (
    BackendUnavailableError,
    CapacityError,
    InvalidArgumentError,
    InvalidStateTransition,
    KernelExistsError,
    KernelHungError,
    KernelTerminatedError,
    RingMemoryError,
    RuntimeClosedError,
)

S = rk.KernelState


# -- moves


def test_a_launched_kernel_is_active_and_answers(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    assert kernel.state is S.ACTIVE
    assert kernel.call(Number(3), timeout=60) == Number(3)
    kernel.terminate()
    assert kernel.state is S.TERMINATED


def test_without_autostart_a_kernel_rests_until_it_is_activated(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    assert kernel.state is S.LAUNCHED
    kernel.send(Number(1))
    kernel.send(Number(2))
    assert seen == []
    kernel.activate()
    assert kernel.state is S.ACTIVE
    kernel.terminate()
    assert seen == [1, 2]


def test_a_kernel_can_be_paused_and_resumed_many_times(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    for n in range(20):
        kernel.deactivate()
        assert kernel.state is S.DEACTIVATED
        kernel.send(Number(n))
        kernel.activate()
        assert kernel.state is S.ACTIVE
        assert kernel.receive(timeout=60) == Number(n)


def moves_into(rt: rk.Runtime, state: rk.KernelState) -> rk.Kernel:
    kernel = rt.launch(failing, max_failures=0, autostart=False, name=state.name)
    if state is not S.LAUNCHED:
        kernel.activate()
    if state is S.DEACTIVATED:
        kernel.deactivate()
    if state is S.TERMINATED:
        kernel.terminate()
    if state is S.FAILED:
        kernel.send(Number(1))
        while kernel.state is not S.FAILED:
            time.sleep(0.001)
    assert kernel.state is state
    return kernel


def failing(ctx: rk.Context, msg: Number) -> None:
    raise RuntimeError("on purpose")


LEGAL = {
    (S.LAUNCHED, "activate"): S.ACTIVE,
    (S.LAUNCHED, "terminate"): S.TERMINATED,
    (S.ACTIVE, "deactivate"): S.DEACTIVATED,
    (S.ACTIVE, "terminate"): S.TERMINATED,
    (S.DEACTIVATED, "activate"): S.ACTIVE,
    (S.DEACTIVATED, "terminate"): S.TERMINATED,
    (S.FAILED, "terminate"): S.TERMINATED,
}


@pytest.mark.parametrize("move", ["activate", "deactivate", "terminate"])
@pytest.mark.parametrize("state", [S.LAUNCHED, S.ACTIVE, S.DEACTIVATED, S.TERMINATED, S.FAILED], ids=lambda s: s.name)
def test_a_move_is_legal_or_raises_and_changes_nothing(rt: rk.Runtime, state: rk.KernelState, move: str) -> None:
    kernel = moves_into(rt, state)
    if (state, move) in LEGAL:
        getattr(kernel, move)()
        assert kernel.state is LEGAL[state, move]
    else:
        with pytest.raises(InvalidStateTransition, match=f"cannot go from {state.name.capitalize()} to "):
            getattr(kernel, move)()
        assert kernel.state is state


@pytest.mark.parametrize("move", ["activate", "deactivate", "terminate"])
@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", [1]], ids=repr)
def test_a_timeout_that_cannot_be_is_refused(rt: rk.Runtime, move: str, timeout: Any) -> None:
    kernel = moves_into(rt, S.DEACTIVATED if move == "activate" else S.ACTIVE)
    before = kernel.state
    with pytest.raises(InvalidArgumentError, match="timeout"):
        getattr(kernel, move)(timeout)
    assert kernel.state is before


@pytest.mark.parametrize("move", ["activate", "deactivate", "terminate"])
def test_a_move_may_wait_for_ever(rt: rk.Runtime, move: str) -> None:
    kernel = moves_into(rt, S.DEACTIVATED if move == "activate" else S.ACTIVE)
    getattr(kernel, move)(None)
    assert kernel.state is LEGAL[S.DEACTIVATED if move == "activate" else S.ACTIVE, move]


# -- pausing


def test_messages_sent_while_paused_wait_and_are_handled_in_order(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    kernel.send(Number(0))
    kernel.deactivate()
    before = list(seen)
    for n in range(1, 50):
        kernel.send(Number(n))
    assert seen == before
    assert kernel.stats().in_flight == 50 - len(before)
    kernel.activate()
    kernel.terminate()
    assert seen == list(range(50))


def test_deactivate_returns_when_the_handler_rests(rt: rk.Runtime, gate: Gate, threads: Any) -> None:
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    assert gate.entered.wait(60)
    pausing = threads.start(kernel.deactivate, 60)
    assert gate.handled == []
    gate.open.set()
    pausing.result()
    assert gate.handled == [1]
    kernel.send(Number(2))
    assert kernel.state is S.DEACTIVATED
    assert gate.handled == [1]


def test_a_handler_that_does_not_come_back_in_time_cannot_be_paused_now(rt: rk.Runtime, gate: Gate) -> None:
    kernel = rt.launch(gate)
    kernel.send(Number(1))
    assert gate.entered.wait(60)
    with pytest.raises(KernelHungError, match="in time"):
        kernel.deactivate(timeout=0.05)
    gate.open.set()
    assert kernel.receive(timeout=60) == Number(1)
    kernel.terminate()


def test_state_survives_a_pause(rt: rk.Runtime) -> None:
    kernel = rt.launch(tally)
    assert kernel.call(Number(5), timeout=60) == Number(5)
    kernel.deactivate()
    assert (kernel.state_object.seen, kernel.state_object.total) == (1, 5)
    kernel.activate()
    assert kernel.call(Number(7), timeout=60) == Number(12)
    kernel.terminate()
    assert kernel.state_object == Tally(2, 12)


def test_an_initial_state_is_copied(rt: rk.Runtime) -> None:
    initial = Tally(10, 100)
    kernel = rt.launch(tally, state=initial)
    assert kernel.call(Number(1), timeout=60) == Number(101)
    kernel.deactivate()
    assert initial == Tally(10, 100)
    assert kernel.state_object == Tally(11, 101)


def test_a_state_that_does_not_fit_is_refused(rt: rk.Runtime) -> None:
    for handler, wrong in ((tally, Number(1)), (tally, 5), (tally, Tally), (echo, Tally(0, 0))):
        with pytest.raises(InvalidArgumentError, match="state"):
            rt.launch(handler, state=wrong)
    assert rt.kernels == {}


# -- the end


def test_terminate_handles_what_was_sent_first(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen))
    for n in range(500):
        kernel.send(Number(n))
    kernel.terminate()
    assert seen == list(range(500))
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (500, 500, 0, 0)


def test_what_a_paused_kernel_holds_at_its_end_is_dead_lettered(rt: rk.Runtime) -> None:
    seen: list[int] = []
    kernel = rt.launch(recorder(seen), autostart=False)
    for n in range(5):
        kernel.send(Number(n))
    kernel.terminate()
    assert seen == []
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (5, 0, 5, 0)


def test_replies_can_be_received_after_the_end_and_then_it_says_so(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    for n in range(3):
        kernel.send(Number(n))
    kernel.terminate()
    assert [kernel.receive(timeout=60).n for _ in range(3)] == [0, 1, 2]
    for take in (
        kernel.receive,
        lambda: kernel.receive(timeout=60),
        kernel.receive_many,
        lambda: kernel.receive_many(timeout=60),
    ):
        with pytest.raises(KernelTerminatedError, match="(?i)echo.*terminated"):
            take()


def test_a_terminated_kernel_takes_no_messages(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    kernel.terminate()
    import numpy as np

    for give in (
        lambda: kernel.send(Number(1)),
        lambda: kernel.try_send(Number(1)),
        lambda: kernel.call(Number(1)),
        lambda: kernel.send_many(np.zeros(2, Number.dtype)),
    ):
        with pytest.raises(KernelTerminatedError):
            give()


def test_a_handler_can_ask_for_the_end_of_its_kernel(rt: rk.Runtime, until: Any) -> None:
    def until_three(ctx: rk.Context, msg: Number) -> Number:
        if msg.n == 3:
            ctx.request_termination()
            assert ctx.is_terminating()
        return msg

    kernel = rt.launch(until_three, autostart=False)
    for n in range(6):
        kernel.send(Number(n))
    kernel.activate()
    until(lambda: kernel.state is S.TERMINATED)
    assert [kernel.receive(timeout=60).n for _ in range(6)] == list(range(6))  # drains first
    with pytest.raises(KernelTerminatedError):
        kernel.receive(timeout=60)


def test_after_its_own_request_a_kernel_takes_no_more_messages(rt: rk.Runtime, until: Any) -> None:
    def stop(ctx: rk.Context, msg: Number) -> Number:
        ctx.request_termination()
        return msg

    kernel = rt.launch(stop)
    assert kernel.call(Number(1), timeout=60) == Number(1)

    def refused() -> bool:
        try:
            kernel.send(Number(2))
        except KernelTerminatedError:
            return True
        return False

    until(refused)  # without a look at kernel.state in between
    s = kernel.stats()
    assert s.accepted == s.delivered + s.dead_lettered + s.in_flight


def test_is_terminating_is_seen_while_draining(rt: rk.Runtime, gate: Gate, threads: Any) -> None:
    seen: list[bool] = []

    def look(ctx: rk.Context, msg: Number) -> None:
        gate.entered.set()
        if msg.n == 0:
            gate.open.wait(60)
        seen.append(ctx.is_terminating())

    kernel = rt.launch(look)
    kernel.send(Number(0))
    kernel.send(Number(1))
    assert gate.entered.wait(60)
    ending = threads.start(kernel.terminate, 60)
    while kernel.state is S.ACTIVE:
        time.sleep(0.001)
    gate.open.set()
    ending.result()
    assert seen[-1] is True
    assert len(seen) == 2


# -- names and handles


def test_a_name_is_used_once_at_a_time(rt: rk.Runtime) -> None:
    first = rt.launch(echo)
    with pytest.raises(KernelExistsError, match="echo.*name="):
        rt.launch(echo)
    with pytest.raises(KernelExistsError):
        rt.launch(sink, name="echo")
    second = rt.launch(echo, name="other")
    assert set(rt.kernels) == {"echo", "other"}
    first.terminate()
    again = rt.launch(echo)
    assert again.call(Number(1), timeout=60) == Number(1)
    assert len({first.address, second.address, again.address}) == 3


def test_the_name_of_a_failed_kernel_is_free_after_it_was_terminated(rt: rk.Runtime) -> None:
    kernel = moves_into(rt, S.FAILED)
    kernel.terminate()
    assert rt.launch(echo, name=S.FAILED.name).call(Number(1), timeout=60) == Number(1)


def test_a_handle_shows_what_its_kernel_is(rt: rk.Runtime, backend: str) -> None:
    kernel = rt.launch(echo, capacity=16)
    assert (kernel.name, kernel.backend, kernel.mode, kernel.accepts) == ("echo", backend, "persistent", (Number,))
    assert (kernel.error_count, kernel.last_error, kernel.state_object) == (0, None, None)
    assert repr(kernel) == f"<Kernel 'echo' {backend} active in=0/16 out=0/16 errors=0>"
    assert rt.kernels == {"echo": kernel}
    assert repr(rt) == f"<Runtime {backend} 1 kernels>"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(kernel)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(rt)


@pytest.mark.parametrize(
    ("capacity", "error"),
    [
        (0, CapacityError),
        (3, CapacityError),
        (-1, CapacityError),
        (2**70, CapacityError),
        (True, CapacityError),
        (2.0, CapacityError),
        ("4", CapacityError),
        (2**40, RingMemoryError),
        (2**47, RingMemoryError),
    ],
)
def test_a_capacity_that_cannot_be_is_refused(rt: rk.Runtime, capacity: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        rt.launch(echo, capacity=capacity)
    assert rt.kernels == {}
    assert rt.launch(echo).call(Number(1), timeout=60) == Number(1)


@pytest.mark.parametrize(
    "options",
    [
        {"max_message_size": 4},
        {"max_message_size": -1},
        {"max_message_size": 2**40},
        {"max_failures": -1},
        {"max_failures": 65},
        {"failure_window": -1.0},
        {"failure_window": float("nan")},
    ],
    ids=repr,
)
def test_an_option_that_cannot_be_is_refused(rt: rk.Runtime, options: Any) -> None:
    with pytest.raises((InvalidArgumentError, RingMemoryError)):
        rt.launch(echo, **options)
    assert rt.kernels == {}


@pytest.mark.parametrize(
    "options", [{"max_failures": "3"}, {"max_message_size": "9"}, {"failure_window": None}, {"name": 5}], ids=repr
)
def test_an_option_of_the_wrong_type_is_a_type_error(rt: rk.Runtime, options: Any) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)):
        rt.launch(echo, **options)
    assert rt.kernels == {}


@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_a_tiny_kernel_works(rt: rk.Runtime, capacity: int) -> None:
    kernel = rt.launch(echo, capacity=capacity)
    assert [kernel.call(Number(n), timeout=60).n for n in range(50)] == list(range(50))


# -- the runtime


def test_a_runtime_says_which_backend_it_took_and_why_not_the_others(backend: str) -> None:
    with rk.Runtime(backend=backend) as rt:
        assert (rt.backend, rt.closed) == (backend, False)
    with rk.Runtime() as rt:
        assert rt.backend in ("cpu", "cuda", "metal", "wgpu")
        assert all(isinstance(reason, str) and reason for reason in rt.skipped.values())


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'auto'"):
        rk.Runtime(backend="quantum")
    for name in ("cuda", "metal", "wgpu"):
        with contextlib.suppress(BackendUnavailableError):
            rk.Runtime(backend=name).close()


@pytest.mark.parametrize(
    "options",
    [
        {"node_id": -1},
        {"node_id": 4096},
        {"node_id": "1"},
        {"node_id": 1.5},
        {"max_drift": -1.0},
        {"max_drift": float("nan")},
        {"max_drift": 1e10},
        {"max_drift": "1"},
    ],
    ids=repr,
)
def test_a_runtime_option_that_cannot_be_is_refused(backend: str, options: Any) -> None:
    with pytest.raises((InvalidArgumentError, TypeError)):
        rk.Runtime(backend=backend, **options)


def test_close_ends_every_kernel_drained_and_is_idempotent(backend: str) -> None:
    seen: list[int] = []
    rt = rk.Runtime(backend=backend)
    kernels = [rt.launch(recorder(seen), name=f"k{n}") for n in range(5)]
    for kernel in kernels:
        for n in range(20):
            kernel.send(Number(n))
    rt.close()
    rt.close()
    assert rt.closed
    assert [kernel.state for kernel in kernels] == [S.TERMINATED] * 5
    assert sorted(seen) == sorted(list(range(20)) * 5)
    assert repr(rt) == f"<Runtime {backend} closed>"


def test_a_closed_runtime_launches_nothing(backend: str) -> None:
    rt = rk.Runtime(backend=backend)
    rt.close()
    with pytest.raises(RuntimeClosedError):
        rt.launch(echo)


def test_an_exception_in_the_with_block_closes_the_runtime(backend: str) -> None:
    with pytest.raises(ZeroDivisionError), rk.Runtime(backend=backend) as rt:
        kernel = rt.launch(echo)
        1 / 0  # noqa: B018
    assert rt.closed
    assert kernel.state is S.TERMINATED


def test_close_with_failed_and_terminated_kernels_reports_nothing(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    rt = rk.Runtime(backend=backend)
    moves_into(rt, S.FAILED)
    moves_into(rt, S.TERMINATED)
    caplog.clear()
    rt.close()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_forgotten_runtime_warns_and_ends(backend: str) -> None:
    rt = rk.Runtime(backend=backend)
    rt.launch(echo)
    del rt
    with pytest.warns(ResourceWarning, match="not closed"):
        gc.collect()
