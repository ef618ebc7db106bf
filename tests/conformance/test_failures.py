"""Handlers that raise, hang or misbehave: the kernel goes on, the caller learns why, and everything can be closed."""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
import weakref
from typing import Any

import pytest
from actors import Gate, Number, Text, Unknown, echo, odd_only

import pyringkernel as rk
from pyringkernel.errors import (
    CallTimeoutError,
    ContextError,
    HandlerError,
    HandlerSignatureError,
    KernelFailedError,
    KernelTerminatedError,
    MessageTooLargeError,
    ReceiveTimeoutError,
    RingKernelError,
    UnknownKernelError,
    WrongMessageError,
)

S = rk.KernelState
W = 60.0


class NotEvenAnException(BaseException):
    """What no `except Exception` catches."""


class UnprintableError(Exception):
    """An exception that raises when it is shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


def raising(make: Any) -> Any:
    def handler(ctx: rk.Context, msg: Number) -> Number:
        if msg.n == 1:
            raise make()
        return msg

    return handler


def deep(ctx: rk.Context, msg: Number) -> Number:
    def fall(n: int) -> int:
        return fall(n + 1) + 1

    fall(0)
    return msg


KINDS = [
    ValueError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    NotEvenAnException,
    MemoryError,
    RecursionError,
    StopIteration,
    StopAsyncIteration,
    AssertionError,
    UnprintableError,
    RingKernelError,
    CallTimeoutError,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_whatever_a_handler_raises_is_a_handler_error_for_the_caller(rt: rk.Runtime, kind: type[BaseException]) -> None:
    kernel = rt.launch(raising(kind))
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert type(caught.value.__cause__) is kind
    assert kernel.state is S.ACTIVE
    assert kernel.call(Number(2), timeout=W) == Number(2)
    assert (kernel.error_count, type(kernel.last_error)) == (1, kind)
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (2, 1, 1, 0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_whatever_a_handler_raises_for_a_send_is_kept_as_the_last_error(
    rt: rk.Runtime, kind: type[BaseException]
) -> None:
    kernel = rt.launch(raising(kind))
    kernel.send(Number(1))
    assert kernel.call(Number(2), timeout=W) == Number(2)
    assert type(kernel.last_error) is kind
    with pytest.raises(ReceiveTimeoutError):
        kernel.receive(timeout=0.01)


def test_the_cause_has_the_traceback_of_the_handler(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only)
    with pytest.raises(HandlerError, match="odd_only.*4 is even") as caught:
        kernel.call(Number(4), timeout=W)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    frames = traceback.extract_tb(cause.__traceback__)
    assert frames[-1].name == "odd_only"
    assert "is even" in (frames[-1].line or "")
    assert kernel.last_error is cause


def test_a_handler_that_recurses_without_end_is_stopped_by_the_interpreter(rt: rk.Runtime) -> None:
    kernel = rt.launch(deep)
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, RecursionError)


def test_an_error_of_an_exception_class_that_cannot_be_made_is_reported(rt: rk.Runtime) -> None:
    class PickyError(Exception):
        def __init__(self) -> None:
            raise LookupError("cannot be made")

    kernel = rt.launch(raising(PickyError))
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_errors_of_concurrent_calls_reach_their_callers(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(odd_only, max_failures=64)

    def ask(n: int) -> str:
        try:
            return f"{kernel.call(Number(n), timeout=W).n} came back"
        except HandlerError as error:
            return str(error.__cause__)

    answers = threads.run_all(8, ask)
    assert answers == [f"{n} came back" if n % 2 else f"{n} is even" for n in range(8)]


def test_the_error_of_a_call_that_nobody_waits_for_any_more_is_no_message(rt: rk.Runtime, gate: Gate) -> None:
    def slow(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        if msg.n == 1:
            raise ValueError("too late")
        return msg

    kernel = rt.launch(slow)
    with pytest.raises(CallTimeoutError):
        kernel.call(Number(1), timeout=0.02)
    gate.open.set()
    kernel.send(Number(2))
    assert kernel.receive(timeout=W) == Number(2)
    kernel.send(Number(3))
    assert kernel.receive_many(timeout=W)["n"].tolist() == [3]
    assert str(kernel.last_error) == "too late"


# -- failing too often


def test_a_handler_that_fails_too_often_fails_its_kernel(rt: rk.Runtime, until: Any) -> None:
    kernel = rt.launch(odd_only, max_failures=3)
    for n in (0, 2, 4):
        with pytest.raises(HandlerError):
            kernel.call(Number(n), timeout=W)
        assert kernel.call(Number(1), timeout=W) == Number(1)
    with pytest.raises((HandlerError, KernelFailedError)):
        kernel.call(Number(6), timeout=W)
    until(lambda: kernel.state is S.FAILED)
    for use in (
        lambda: kernel.send(Number(1)),
        lambda: kernel.try_send(Number(1)),
        lambda: kernel.call(Number(1)),
        kernel.receive,
        lambda: kernel.receive(timeout=W),
    ):
        with pytest.raises(KernelFailedError, match="more than 3 times") as caught:
            use()
        assert str(caught.value.__cause__) == "6 is even"
    with pytest.raises((KernelFailedError, KernelTerminatedError)):
        kernel.receive_many()
    assert kernel.error_count == 4


def test_a_failed_kernel_refuses_messages_at_once(rt: rk.Runtime, until: Any) -> None:
    """Without anybody having looked at kernel.state in between."""
    kernel = rt.launch(odd_only, max_failures=0)
    kernel.send(Number(2))

    def refused() -> bool:
        try:
            kernel.try_send(Number(1))
        except KernelFailedError:
            return True
        return False

    until(refused)
    until(lambda: kernel.stats().in_flight == 0)
    s = kernel.stats()
    assert s.accepted == s.delivered + s.dead_lettered


def test_with_no_failures_allowed_the_first_one_fails_the_kernel(rt: rk.Runtime, until: Any) -> None:
    kernel = rt.launch(odd_only, max_failures=0)
    with pytest.raises((HandlerError, KernelFailedError)):
        kernel.call(Number(2), timeout=W)
    until(lambda: kernel.state is S.FAILED)
    assert kernel.error_count == 1


def test_failures_further_apart_than_the_window_do_not_add_up(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only, max_failures=1, failure_window=0.01)
    for _ in range(4):
        with pytest.raises(HandlerError):
            kernel.call(Number(2), timeout=W)
        time.sleep(0.02)
    assert kernel.state is S.ACTIVE


def test_messages_behind_the_last_failure_are_dead_lettered(rt: rk.Runtime, until: Any) -> None:
    seen: list[int] = []

    def fail_at_two(ctx: rk.Context, msg: Number) -> None:
        if msg.n == 2:
            raise ValueError
        seen.append(msg.n)

    kernel = rt.launch(fail_at_two, max_failures=0, autostart=False)
    for n in range(6):
        kernel.send(Number(n))
    kernel.activate()
    until(lambda: kernel.state is S.FAILED)
    assert seen == [0, 1]
    s = kernel.stats()
    assert (s.accepted, s.delivered, s.dead_lettered, s.in_flight) == (6, 2, 4, 0)


def test_a_call_that_waits_learns_that_the_kernel_failed(rt: rk.Runtime, gate: Gate, threads: Any) -> None:
    def fail(ctx: rk.Context, msg: Number) -> Number:
        gate(ctx, msg)
        raise ValueError(msg.n)

    kernel = rt.launch(fail, max_failures=0)
    first = threads.start(kernel.call, Number(1))
    assert gate.entered.wait(W)
    second = threads.start(kernel.call, Number(2))
    while kernel.stats().accepted < 2:
        time.sleep(0.001)
    gate.open.set()
    assert isinstance(first.error(), (HandlerError, KernelFailedError))
    assert isinstance(second.error(), KernelFailedError)


# -- misbehaving


@pytest.mark.parametrize("value", [5, "text", b"bytes", (Number(1),), Number, object()], ids=repr)
def test_a_return_value_that_is_no_message_is_an_error(rt: rk.Runtime, value: Any) -> None:
    def wrong(ctx: rk.Context, msg: Number) -> Any:
        return value

    kernel = rt.launch(rt_handler(wrong), accepts=[Number])
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, HandlerSignatureError)
    assert type(value).__name__ in str(caught.value.__cause__)


def rt_handler(function: Any) -> Any:
    """Without its annotations, which would refuse it before it runs."""
    function.__annotations__ = {}
    return function


@pytest.mark.parametrize("how", ["return", "reply"])
def test_a_reply_that_is_too_large_is_an_error_that_says_so(rt: rk.Runtime, how: str) -> None:
    @rk.message
    class Huge:
        data: rk.Array[rk.u8, 4000]

    def grow(ctx: rk.Context, msg: Number) -> Any:
        huge = Huge(bytes(4000))
        if how == "return":
            return huge
        ctx.reply(huge)
        return None

    kernel = rt.launch(rt_handler(grow), accepts=[Number])
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, MessageTooLargeError)
    assert "4000" in str(caught.value.__cause__)


def test_a_context_kept_beyond_its_handler_is_refused(rt: rk.Runtime) -> None:
    kept: list[rk.Context] = []

    def keep(ctx: rk.Context, msg: Number) -> Number:
        kept.append(ctx)
        return msg

    rt.launch(keep).call(Number(1), timeout=W)
    for use in (
        lambda c: c.reply(Number(1)),
        lambda c: c.send("keep", Number(1)),
        lambda c: c.now(),
        lambda c: c.tick(),
        lambda c: c.request_termination(),
        lambda c: c.is_terminating(),
        lambda c: c.kernel_id(),
        lambda c: c.instance_id(),
    ):
        with pytest.raises(ContextError, match="inside"):
            use(kept[0])


def test_a_context_used_after_a_handler_that_raised_is_refused(rt: rk.Runtime) -> None:
    kept: list[rk.Context] = []

    def keep(ctx: rk.Context, msg: Number) -> Number:
        kept.append(ctx)
        raise ValueError

    with pytest.raises(HandlerError):
        rt.launch(keep).call(Number(1), timeout=W)
    with pytest.raises(ContextError):
        kept[0].tick()


@pytest.mark.parametrize(
    ("target", "message", "error"),
    [
        ("nobody", Number(1), UnknownKernelError),
        (None, Number(1), UnknownKernelError),
        (5, Number(1), UnknownKernelError),
        ("peer", Text(b"x"), WrongMessageError),
        ("peer", 5, WrongMessageError),
        ("peer", None, WrongMessageError),
    ],
    ids=repr,
)
def test_a_wrong_ctx_send_raises_in_the_handler(
    rt: rk.Runtime, target: Any, message: Any, error: type[Exception]
) -> None:
    def wrong(ctx: rk.Context, msg: Number) -> Number:
        ctx.send(target, message)
        return msg

    rt.launch(echo, name="peer")
    kernel = rt.launch(wrong)
    with pytest.raises(HandlerError) as caught:
        kernel.call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, error)
    if error is UnknownKernelError:
        assert "peer" in str(caught.value.__cause__)  # the text says which there are


@pytest.mark.parametrize("wrong", [5, None, b"bytes", Number], ids=repr)
def test_a_wrong_ctx_reply_raises_in_the_handler(rt: rk.Runtime, wrong: Any) -> None:
    def reply(ctx: rk.Context, msg: Number) -> None:
        ctx.reply(wrong)

    with pytest.raises(HandlerError) as caught:
        rt.launch(reply).call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, (WrongMessageError, TypeError))


def test_a_handler_may_reply_before_it_raises(rt: rk.Runtime) -> None:
    def both(ctx: rk.Context, msg: Number) -> None:
        ctx.reply(Number(msg.n + 1))
        raise ValueError("after the reply")

    kernel = rt.launch(both)
    assert kernel.call(Number(1), timeout=W) == Number(2)
    kernel.send(Number(5))
    assert kernel.receive(timeout=W) == Number(6)
    with pytest.raises(ReceiveTimeoutError):
        kernel.receive(timeout=0.01)
    assert str(kernel.last_error) == "after the reply"


def test_a_message_kept_by_a_handler_stays_valid(rt: rk.Runtime) -> None:
    kept: list[Number] = []

    def keep(ctx: rk.Context, msg: Number) -> None:
        kept.append(msg)

    kernel = rt.launch(keep, capacity=2)
    for n in range(50):
        kernel.send(Number(n), timeout=W)
    kernel.terminate()
    assert [message.n for message in kept] == list(range(50))


@pytest.mark.parametrize("move", ["call", "terminate", "deactivate"])
def test_a_handler_that_would_wait_for_itself_is_refused(rt: rk.Runtime, move: str) -> None:
    kernels: list[rk.Kernel] = []

    def wait(ctx: rk.Context, msg: Number) -> Number:
        if msg.n == 1:
            kernels[0].call(Number(2), timeout=W) if move == "call" else getattr(kernels[0], move)(W)
        return msg

    kernels.append(rt.launch(wait))
    with pytest.raises(HandlerError) as caught:
        kernels[0].call(Number(1), timeout=W)
    assert isinstance(caught.value.__cause__, ContextError)
    assert kernels[0].call(Number(3), timeout=W) == Number(3)


def test_logging_tells_of_failures_and_does_not_flood(rt: rk.Runtime, caplog: pytest.LogCaptureFixture) -> None:
    kernel = rt.launch(odd_only, max_failures=64, failure_window=0.0)
    for _ in range(30):
        kernel.send(Number(2))
    kernel.terminate()
    records = [r for r in caplog.records if r.name == "pyringkernel"]
    assert len(records) == 10
    assert "odd_only" in records[0].getMessage()
    assert records[0].exc_info is not None


def test_an_exception_whose_traceback_leads_to_the_runtime_does_not_keep_it(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "pyringkernel")  # records keep the exception too

    def remembered() -> weakref.ref[rk.Runtime]:
        rt = rk.Runtime(backend=backend)

        def fails(ctx: rk.Context, msg: Number) -> Number:
            here = rt
            raise ValueError(here)

        kernel = rt.launch(fails, max_failures=64, failure_window=0.0)
        for _ in range(300):  # more than are kept
            with pytest.raises(HandlerError):
                kernel.call(Number(1), timeout=W)
        assert isinstance(kernel.last_error, ValueError)
        rt.close()
        assert isinstance(kernel.last_error, ValueError), "it is there after the end"
        return weakref.ref(rt)

    gone = remembered()
    for _ in range(2):
        gc.collect()
    assert gone() is None


def test_a_logger_that_raises_does_not_stop_the_kernel(rt: rk.Runtime) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    broken = Broken()
    logging.getLogger("pyringkernel").addHandler(broken)
    try:
        kernel = rt.launch(odd_only)
        with pytest.raises(HandlerError):
            kernel.call(Number(2), timeout=W)
        assert kernel.call(Number(1), timeout=W) == Number(1)
    finally:
        logging.getLogger("pyringkernel").removeHandler(broken)


def test_a_class_that_is_not_accepted_names_itself() -> None:
    with rk.Runtime() as rt, pytest.raises(WrongMessageError, match="Unknown"):
        rt.launch(echo).send(Unknown())


def test_a_handler_runs_on_threads_of_the_runtime_and_never_twice_at_once(rt: rk.Runtime, threads: Any) -> None:
    """Which thread it is may change; what the caller's thread has must not matter to it."""
    inside: list[int] = []
    seen: set[int] = set()

    def where(ctx: rk.Context, msg: Number) -> Number:
        inside.append(msg.n)
        seen.add(threading.get_ident())
        time.sleep(0.0005)
        assert inside == [msg.n]
        inside.clear()
        return msg

    kernel = rt.launch(where, max_failures=64)
    callers = threads.run_all(4, lambda who: (kernel.call(Number(who), timeout=W), threading.get_ident())[1])
    for n in range(20):
        kernel.call(Number(n), timeout=W)
    assert kernel.error_count == 0
    assert seen.isdisjoint({*callers, threading.get_ident()})
