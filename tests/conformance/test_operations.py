"""k.ask(): one object that is waited for, awaited, or given a callback, in threads and event loops."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Unknown, double, echo, odd_only

import pyringkernel as rk
from pyringkernel.errors import (
    CallTimeoutError,
    ContextError,
    DeadlineExpiredError,
    HandlerError,
    InvalidArgumentError,
    KernelFailedError,
    KernelHungError,
    KernelTerminatedError,
    OperationCancelledError,
    RingFullError,
    WrongMessageError,
)

if TYPE_CHECKING:
    pass
from operations_parts import W

# -- results


def test_an_operation_gives_the_reply_again_and_again(rt: rk.Runtime) -> None:
    asked = rt.launch(double).ask(Number(21))
    assert asked.result() == asked.result(0) == Number(42)
    assert asked.result() is asked.result()
    assert asked.exception() is None
    assert asked.done()
    assert not asked.cancelled()
    assert not asked.cancel(), "it is done"
    assert repr(asked) == f"<Operation {asked.message_id} to 'double' done>"


def test_a_pending_operation_says_so_and_a_result_that_times_out_stays_pending(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate, name="gate")
    asked = kernel.ask(Number(3))
    assert not asked.done()
    assert "pending" in repr(asked)
    for verb in (asked.result, asked.exception):
        with pytest.raises(
            CallTimeoutError, match=r"'gate' did not reply within 0.01 s; the operation is still pending"
        ):
            verb(0.01)
        with pytest.raises(TimeoutError):
            verb(timeout=0)
    gate.open.set()
    assert asked.result(W) == Number(3)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", [1]])
def test_a_timeout_that_cannot_be_is_refused(rt: rk.Runtime, timeout: Any) -> None:
    asked = rt.launch(echo).ask(Number(1))
    with pytest.raises((ValueError, TypeError)):
        asked.result(timeout)
    assert asked.result(W) == Number(1)


def test_what_ask_is_given_is_checked_before_anything_is_sent(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)
    with pytest.raises(WrongMessageError, match="does not accept Unknown"):
        kernel.ask(Unknown(1))  # type: ignore[arg-type]
    for options in (
        {"instance": 1},
        {"priority": 4},
        {"deadline": -1.0},
        {"deadline": float("nan")},
        {"message_id": 0},
    ):
        with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))}: found"):
            kernel.ask(Number(1), **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout"):
        kernel.ask(Number(1), timeout=1.0)  # type: ignore[call-arg]
    assert kernel.stats().accepted == 0


def test_done_becomes_true_though_nobody_waits(rt: rk.Runtime, until: Any) -> None:
    asked = rt.launch(echo).ask(Number(1))
    until(asked.done)
    assert asked.result(0) == Number(1)


def test_operations_are_completed_in_any_order_of_waiting(rt: rk.Runtime) -> None:
    kernel = rt.launch(double, instances=3)
    asked = [kernel.ask(Number(n)) for n in range(200)]
    assert [one.result(W).n for one in reversed(asked)] == [2 * n for n in reversed(range(200))]


def test_who_only_asks_never_stops_the_kernel(rt: rk.Runtime) -> None:
    """Replies are taken while asking: the kernel need not wait for a result() that comes much later."""
    kernel = rt.launch(double, capacity=512)
    asked: list[Any] = []
    end = time.monotonic() + W
    while len(asked) < 5000:
        assert time.monotonic() < end, f"stuck after {len(asked)}"
        with suppress(RingFullError):
            asked.append(kernel.ask(Number(len(asked))))
    assert [one.result(W).n for one in asked] == [2 * n for n in range(5000)]


def test_a_full_inbox_refuses_at_once_and_leaves_nothing_behind(rt: rk.Runtime, gate: Any, until: Any) -> None:
    kernel = rt.launch(gate, name="gate", capacity=2)
    asked = [kernel.ask(Number(0))]
    until(gate.entered.is_set)
    with pytest.raises(
        RingFullError, match="the inbox of kernel 'gate' is full: await earlier operations first"
    ) as caught:
        while True:
            asked.append(kernel.ask(Number(len(asked))))
    assert isinstance(caught.value, BufferError)
    gate.open.set()
    assert [one.result(W).n for one in asked] == list(range(len(asked)))
    assert kernel.stats().accepted == len(asked)


def test_two_pending_operations_cannot_have_one_id(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)
    first = kernel.ask(Number(1), message_id=77)
    with pytest.raises(InvalidArgumentError, match="an operation with the id 77 is pending"):
        kernel.ask(Number(2), message_id=77)
    gate.open.set()
    assert first.result(W) == Number(1)
    assert kernel.ask(Number(3), message_id=77).result(W) == Number(3), "the first one is done"


# -- errors


def test_what_the_handler_raised_is_the_cause(rt: rk.Runtime) -> None:
    asked = rt.launch(odd_only).ask(Number(4))
    error = asked.exception(W)
    assert isinstance(error, HandlerError)
    assert isinstance(error.__cause__, ValueError)
    with pytest.raises(HandlerError, match="4 is even") as caught:
        asked.result()
    assert caught.value is error
    assert "failed" in repr(asked)


def test_the_traceback_does_not_grow_with_every_result(rt: rk.Runtime) -> None:
    asked = rt.launch(odd_only).ask(Number(4))

    def depth() -> int:
        with pytest.raises(HandlerError) as caught:
            asked.result(W)
        return len(caught.traceback)

    assert depth() == depth() == depth()


def test_an_expired_deadline_is_the_operations_error(rt: rk.Runtime, gate: Any, until: Any) -> None:
    kernel = rt.launch(gate)
    first = kernel.ask(Number(1))
    until(gate.entered.is_set)
    late = kernel.ask(Number(2), deadline=0.0)
    gate.open.set()
    assert first.result(W) == Number(1)
    assert isinstance(late.exception(W), DeadlineExpiredError)
    assert gate.handled == [1]


def test_termination_ends_what_is_pending(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, name="paused", autostart=False)
    asked = [kernel.ask(Number(n)) for n in range(5)]
    kernel.terminate()
    for one in asked:
        with pytest.raises(KernelTerminatedError, match="'paused' is Terminated"):
            one.result(W)
    with pytest.raises(KernelTerminatedError):
        kernel.ask(Number(1))


def test_a_kernel_that_fails_fails_what_is_pending(rt: rk.Runtime) -> None:
    def bad(ctx: rk.Context, msg: Number) -> Number:
        raise ValueError(msg.n)

    kernel = rt.launch(bad, max_failures=0, autostart=False)
    first, second = kernel.ask(Number(1)), kernel.ask(Number(2))
    kernel.activate()
    assert isinstance(first.exception(W), HandlerError)
    error = second.exception(W)
    assert isinstance(error, KernelFailedError)
    assert isinstance(error.__cause__, ValueError)


def test_a_hung_handler_is_named_in_the_error(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate, name="stuck", watchdog=0.02)
    inside, behind = kernel.ask(Number(1)), kernel.ask(Number(2))
    for one in (inside, behind):
        with pytest.raises(KernelHungError, match=rf"'stuck' hangs: .* in message {inside.message_id} "):
            one.result(W)


def test_the_end_of_a_kernel_leaves_the_operations_of_others_alone(rt: rk.Runtime, gate: Any, until: Any) -> None:
    slow, quick = rt.launch(gate, name="slow"), rt.launch(echo, name="quick")
    pending = slow.ask(Number(1))
    answered = [quick.ask(Number(n)) for n in range(50)]
    quick.terminate()
    assert [one.result(W).n for one in answered] == list(range(50)), "what was answered before the end is kept"
    assert not pending.done()
    gate.open.set()
    assert pending.result(W) == Number(1)


def test_closing_the_runtime_completes_what_is_pending(backend: str, gate: Any) -> None:
    rt = rk.Runtime(backend=backend)
    kernel = rt.launch(echo, autostart=False)
    asked = kernel.ask(Number(1))
    told: list[Any] = []
    asked.add_done_callback(told.append)
    rt.close()
    assert asked.done()
    assert isinstance(asked.exception(0), KernelTerminatedError)
    assert told == [asked]


def test_closing_over_a_hung_handler_completes_what_is_pending(backend: str, gate: Any) -> None:
    rt = rk.Runtime(backend=backend)
    asked = rt.launch(gate).ask(Number(1))
    gate.entered.wait(W)
    rt.close(0.05)
    assert isinstance(asked.exception(0), rk.KernelError)


# -- inside handlers


def test_a_handler_asks_another_kernel(rt: rk.Runtime) -> None:
    other = rt.launch(double, instances=2)

    def sums(ctx: rk.Context, msg: Number) -> Number:
        asked = [other.ask(Number(n)) for n in range(msg.n)]
        return Number(sum(one.result(W).n for one in asked))

    kernel = rt.launch(sums)
    assert [kernel.ask(Number(n)).result(W).n for n in (0, 5, 10)] == [0, 20, 90]


def test_a_handler_cannot_wait_for_its_own_kernel(rt: rk.Runtime, until: Any) -> None:
    kept: list[Any] = []
    errors: list[BaseException] = []

    def own(ctx: rk.Context, msg: Number) -> Number:
        if msg.n == 0:
            return Number(7)
        kept.append(kernel.ask(Number(0)))
        try:
            kept[0].result()
        except ContextError as error:
            errors.append(error)
        return msg

    kernel = rt.launch(own)
    assert kernel.call(Number(1), timeout=W) == Number(1)
    assert "own" in str(errors[0])
    assert kept[0].result(W) == Number(7), "the operation itself is good"


# -- cancelling


def test_a_cancelled_operation_has_no_result_and_its_message_is_handled(rt: rk.Runtime, gate: Any, until: Any) -> None:
    kernel = rt.launch(gate)
    asked = kernel.ask(Number(5))
    assert asked.cancel()
    assert not asked.cancel(), "once"
    assert asked.done()
    assert asked.cancelled()
    for verb in (asked.result, asked.exception):
        with pytest.raises(OperationCancelledError, match=f"operation {asked.message_id} was cancelled"):
            verb()
    gate.open.set()
    until(lambda: gate.handled == [5])
    assert kernel.call(Number(6), timeout=W) == Number(6), "the reply to the first is thrown away"


def test_cancelling_wakes_who_waits_in_another_thread(rt: rk.Runtime, gate: Any, threads: Any) -> None:
    asked = rt.launch(gate).ask(Number(1))
    waiting = threads.start(asked.result)
    time.sleep(0.02)
    asked.cancel()
    assert isinstance(waiting.error(), OperationCancelledError)


def test_cancelling_tells_the_callbacks(rt: rk.Runtime, gate: Any) -> None:
    asked = rt.launch(gate).ask(Number(1))
    told: list[Any] = []
    asked.add_done_callback(told.append)
    asked.cancel()
    assert told == [asked]


def test_replies_to_cancelled_operations_do_not_stop_the_kernel(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, capacity=64)
    for round_ in range(100):
        for n in range(50):
            with suppress(RingFullError):
                kernel.ask(Number(n)).cancel()
        assert kernel.ask(Number(round_), priority=3).result(W) == Number(round_)


# -- callbacks


def test_a_callback_is_called_though_nobody_waits(rt: rk.Runtime, until: Any) -> None:
    told: list[Any] = []
    asked = rt.launch(echo).ask(Number(4))
    asked.add_done_callback(told.append)
    until(lambda: told)
    assert told == [asked]
    assert asked.result(0) == Number(4)


def test_a_callback_of_what_is_done_runs_at_once(rt: rk.Runtime) -> None:
    asked = rt.launch(echo).ask(Number(4))
    asked.result(W)
    told: list[Any] = []
    asked.add_done_callback(told.append)
    assert told == [asked]


def test_callbacks_run_in_order_and_removed_ones_do_not(rt: rk.Runtime, gate: Any) -> None:
    told: list[str] = []

    def never(_: Any) -> None:
        told.append("never")

    asked = rt.launch(gate).ask(Number(4))
    for name in ("a", "b"):
        asked.add_done_callback(lambda _, name=name: told.append(name))
        asked.add_done_callback(never)
    assert asked.remove_done_callback(never) == 2
    assert asked.remove_done_callback(never) == 0
    gate.open.set()
    asked.result(W)
    assert told == ["a", "b"]


def test_a_callback_that_raises_stops_neither_the_others_nor_the_operation(
    rt: rk.Runtime, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    told: list[Any] = []

    def bad(_: Any) -> None:
        raise ZeroDivisionError

    asked = rt.launch(gate).ask(Number(4))
    for callback in (bad, told.append, bad, told.append):
        asked.add_done_callback(callback)
    gate.open.set()
    assert asked.result(W) == Number(4)
    assert told == [asked, asked]
    assert unraisable == [ZeroDivisionError, ZeroDivisionError]


def test_only_callables_are_callbacks(rt: rk.Runtime) -> None:
    asked = rt.launch(echo).ask(Number(4))
    for args, named in (((1,), {}), ((), {}), ((print, print), {}), ((print,), {"loop": None})):
        with pytest.raises(TypeError, match="need a callable"):
            asked.add_done_callback(*args, **named)  # type: ignore[arg-type]


def test_a_callback_may_ask_wait_and_add_callbacks(rt: rk.Runtime, until: Any) -> None:
    kernel, told = rt.launch(double), []

    def again(done: Any) -> None:
        reply = done.result()
        told.append(reply.n)
        if reply.n < 1000:
            kernel.ask(reply).add_done_callback(again)
        else:
            told.append(kernel.ask(Number(1)).result(W).n)

    kernel.ask(Number(1)).add_done_callback(again)
    until(lambda: told and told[-1] == 2 and len(told) > 1)
    assert told == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2]


def test_a_comparison_that_completes_the_operation_does_no_harm(rt: rk.Runtime, gate: Any) -> None:
    asked = rt.launch(gate).ask(Number(4))

    class Nasty:
        def __eq__(self, other: object) -> bool:
            asked.cancel()
            return True

        __hash__ = None  # type: ignore[assignment]

        def __call__(self, _: Any) -> None:
            pass

    asked.add_done_callback(Nasty())
    asked.add_done_callback(Nasty())
    asked.remove_done_callback(print)
    assert asked.cancelled()
