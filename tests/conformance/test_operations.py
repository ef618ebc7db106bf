"""k.ask(): one object that is waited for, awaited, or given a callback, in threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import tracemalloc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, Unknown, double, echo, odd_only, sink

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
    UnsupportedError,
    WrongMessageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

W = 60.0


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """In an event loop, with a watchdog."""

    async def bounded() -> Any:
        async with asyncio.timeout(W):
            return await main

    return asyncio.run(bounded()) if sys.version_info >= (3, 11) else asyncio.run(main)


async def turns(condition: Callable[[], Any]) -> None:
    """Lets the loop go on until `condition`."""
    end = time.monotonic() + W
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen within 60 s"
        await asyncio.sleep(0.001)


async def ask_until_taken(kernel: rk.Kernel, n: int) -> Any:
    """Asks again while the inbox is full."""
    while True:
        try:
            return kernel.ask(Number(n))
        except RingFullError:
            await asyncio.sleep(0.001)


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


# -- threads


def test_many_threads_wait_for_their_own(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(double, instances=2)

    def work(who: int) -> list[int]:
        return [kernel.ask(Number(1000 * who + n)).result(W).n for n in range(100)]

    assert threads.run_all(8, work) == [[2 * (1000 * who + n) for n in range(100)] for who in range(8)]


def test_many_threads_wait_for_one_operation(rt: rk.Runtime, gate: Any, threads: Any) -> None:
    asked = rt.launch(gate).ask(Number(1))
    waiting = [threads.start(asked.result) for _ in range(6)]
    time.sleep(0.02)
    gate.open.set()
    assert {one.result() is asked.result(W) for one in waiting} == {True}


def test_who_waits_is_woken_by_whoever_takes_its_reply(rt: rk.Runtime, threads: Any, until: Any) -> None:
    """One thread takes both replies and lingers in a callback between them: the other's wait must not miss its own."""
    kernel, let_go, inside = rt.launch(echo, autostart=False), threading.Event(), threading.Event()

    def linger(_: Any) -> None:
        inside.set()
        let_go.wait(W)

    first, second = kernel.ask(Number(1)), kernel.ask(Number(2))
    first.add_done_callback(linger)
    kernel.activate()
    inside.wait(W)
    waiting = threads.start(second.result)
    time.sleep(0.02)
    let_go.set()
    assert waiting.result() == Number(2)


def test_asking_and_cancelling_from_many_threads_loses_nothing(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(echo, instances=2)

    def work(who: int) -> int:
        kept = []
        for n in range(300):
            asked = kernel.ask(Number(n))
            if n % 3 == who % 3:
                asked.cancel()
            else:
                kept.append((n, asked))
            if n % 50 == 49:
                assert all(asked.result(W) == Number(n) for n, asked in kept)
                kept.clear()
        return who

    assert threads.run_all(4, work) == [0, 1, 2, 3]


def test_one_thread_cancels_what_another_awaits_while_replies_come(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(echo)
    for n in range(300):
        asked = kernel.ask(Number(n))
        asked.add_done_callback(lambda _: None)
        cancelling = asked.cancel()
        with suppress(OperationCancelledError):
            assert asked.result(W) == Number(n)
        assert asked.done()
        assert asked.cancelled() == cancelling


# -- asyncio


def test_an_operation_is_awaited(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)

    async def main() -> list[int]:
        return [(await kernel.ask(Number(n))).n for n in range(50)]

    assert run(main()) == [2 * n for n in range(50)]


def test_the_loop_goes_on_while_an_operation_is_pending(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> Any:
        ticks = 0
        task = asyncio.ensure_future(kernel.ask(Number(9)))
        while ticks < 20:
            await asyncio.sleep(0.001)
            ticks += 1
        assert not task.done()
        gate.open.set()
        return await task

    assert run(main()) == Number(9)


def test_what_is_done_already_does_not_visit_the_loop(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)

    async def main() -> None:
        asked = [kernel.ask(Number(n)) for n in range(10)]
        await turns(lambda: all(one.done() for one in asked))
        visits: list[int] = []
        asyncio.get_running_loop().call_soon(visits.append, 1)
        assert [(await one).n for one in asked] == [2 * n for n in range(10)]
        assert visits == [], "the loop ran something else meanwhile"
        await asyncio.sleep(0)
        assert visits == [1]

    run(main())


def test_an_await_that_is_pending_visits_the_loop(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.01, gate.open.set)
        visits: list[int] = []
        asyncio.get_running_loop().call_soon(visits.append, 1)
        await kernel.ask(Number(1))
        assert visits == [1]

    run(main())


def test_errors_come_out_of_await(rt: rk.Runtime, gate: Any) -> None:
    odd, slow, paused = rt.launch(odd_only), rt.launch(gate, watchdog=0.02), rt.launch(echo, autostart=False)

    async def main() -> list[type[BaseException]]:
        asked = [odd.ask(Number(2)), slow.ask(Number(1)), paused.ask(Number(1)), odd.ask(Number(3))]
        threading.Timer(0.02, paused.terminate).start()
        return [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)]

    assert run(main()) == [HandlerError, KernelHungError, KernelTerminatedError, Number]


def test_a_cancelled_task_cancels_what_it_awaits(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        asked = kernel.ask(Number(1))

        async def waits() -> Any:
            return await asked

        task = asyncio.create_task(waits())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asked.cancelled()
        gate.open.set()
        assert await kernel.ask(Number(2)) == Number(2)

    run(main())


def test_a_cancelled_operation_cancels_the_await(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        asked = kernel.ask(Number(1))
        asyncio.get_running_loop().call_later(0.01, asked.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asked

    run(main())


def test_wait_for_gives_up_and_cancels(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        asked = kernel.ask(Number(1))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asked, 0.01)
        assert asked.cancelled()
        gate.open.set()
        assert await asyncio.wait_for(kernel.ask(Number(2)), W) == Number(2)

    run(main())


def test_gather_shield_wait_and_as_completed_take_operations(rt: rk.Runtime, gate: Any) -> None:
    kernel, slow = rt.launch(double), rt.launch(gate)

    async def main() -> None:
        assert [m.n for m in await asyncio.gather(*(kernel.ask(Number(n)) for n in range(5)))] == [0, 2, 4, 6, 8]
        assert {(await one).n for one in asyncio.as_completed([kernel.ask(Number(n)) for n in range(5)])} == {
            0,
            2,
            4,
            6,
            8,
        }
        pending = slow.ask(Number(3))
        done, left = await asyncio.wait([kernel.ask(Number(4)), pending], return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().n for one in done] == [8]
        assert left == {pending}
        task = asyncio.ensure_future(asyncio.shield(pending))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not pending.done(), "it was shielded"
        gate.open.set()
        assert await pending == Number(3)

    run(main())


@pytest.mark.parametrize("collect", [False, True])
def test_gather_understands_an_operation_that_is_cancelled(rt: rk.Runtime, gate: Any, collect: bool) -> None:
    kernel, slow = rt.launch(double), rt.launch(gate)

    async def main() -> Any:
        asked = slow.ask(Number(1))
        asyncio.get_running_loop().call_later(0.01, asked.cancel)
        return await asyncio.gather(asked, kernel.ask(Number(2)), return_exceptions=collect)

    if collect:
        cancelled, reply = run(main())
        assert isinstance(cancelled, asyncio.CancelledError)
        assert reply == Number(4)
    else:
        with pytest.raises(asyncio.CancelledError):
            run(main())


def test_a_failing_sibling_cancels_the_others_of_a_group(rt: rk.Runtime, gate: Any) -> None:
    slow, odd = rt.launch(gate), rt.launch(odd_only)

    async def main() -> None:
        asked = [slow.ask(Number(n)) for n in range(3)]

        async def waits(one: Any) -> Any:
            return await one

        tasks = [asyncio.create_task(waits(one)) for one in (*asked, odd.ask(Number(2)))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert [type(task.exception()) for task in done] == [HandlerError]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        assert [one.cancelled() for one in asked] == [True, True, True]

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup is of Python 3.11")
def test_a_task_group_cancels_operations(rt: rk.Runtime, gate: Any) -> None:
    slow, odd = rt.launch(gate), rt.launch(odd_only)
    asked: list[Any] = []

    async def waits(kernel: rk.Kernel, n: int) -> Any:
        asked.append(kernel.ask(Number(n)))
        return await asked[-1]

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(slow, 1))
            group.create_task(waits(odd, 2))

    with pytest.raises(BaseException) as caught:  # an ExceptionGroup, which Python 3.10 has not
        run(main())
    assert [type(one) for one in caught.value.exceptions] == [HandlerError]  # type: ignore[attr-defined]
    assert asked[0].cancelled()


def test_several_tasks_await_one_operation(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        asked = kernel.ask(Number(8))

        async def waits() -> Any:
            return await asked

        tasks = [asyncio.create_task(waits()) for _ in range(5)]
        await asyncio.sleep(0.005)
        gate.open.set()
        replies = await asyncio.gather(*tasks)
        assert all(reply is replies[0] for reply in replies)

    run(main())


def test_thousands_are_outstanding_in_one_loop(rt: rk.Runtime) -> None:
    kernel = rt.launch(double, instances=4, capacity=1024)

    async def main() -> int:
        asked = [await ask_until_taken(kernel, n) for n in range(6000)]
        return sum([(await one).n for one in asked])

    assert run(main()) == 6000 * 5999


def test_thousands_of_tasks_take_turns_with_other_work(rt: rk.Runtime) -> None:
    kernel = rt.launch(double, capacity=4096)

    async def one(n: int) -> int:
        return int((await (await ask_until_taken(kernel, n))).n)

    async def main() -> None:
        beats = 0

        async def heart() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(heart())
        assert sum(await asyncio.gather(*(one(n) for n in range(3000)))) == 3000 * 2999
        assert beats > 1
        beating.cancel()

    run(main())


def test_a_callback_runs_in_the_loop_that_it_was_asked_in(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def main() -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        seen: list[Any] = []

        def callback(done: Any) -> None:
            seen.extend([asyncio.get_running_loop(), threading.get_ident(), done])
            told.set()

        asked = kernel.ask(Number(1))
        asked.add_done_callback(callback)
        gate.open.set()
        await told.wait()
        assert seen == [loop, threading.get_ident(), asked]
        assert asked.get_loop() is loop

    run(main())


def test_a_callback_in_a_loop_keeps_its_context(rt: rk.Runtime) -> None:
    import contextvars

    kernel, variable = rt.launch(echo), contextvars.ContextVar("variable", default="outer")

    async def main() -> None:
        done = asyncio.Event()
        seen: list[str] = []
        context = contextvars.copy_context()
        context.run(variable.set, "inner")
        asked = kernel.ask(Number(1))
        asked.add_done_callback(lambda _: (seen.append(variable.get()), done.set()), context=context)
        await done.wait()
        assert seen == ["inner"]

    run(main())


# -- several loops


def test_loops_in_several_threads_ask_one_kernel(rt: rk.Runtime, threads: Any) -> None:
    kernel = rt.launch(double, instances=2)

    async def main(who: int) -> int:
        total = 0
        for n in range(50):
            total += (await kernel.ask(Number(who * 100 + n))).n
        return total + sum(one.n for one in await asyncio.gather(*(kernel.ask(Number(n)) for n in range(50))))

    assert threads.run_all(5, lambda who: run(main(who))) == [
        2 * sum(who * 100 + n for n in range(50)) + 2 * sum(range(50)) for who in range(5)
    ]


def test_an_operation_is_awaited_in_another_loop_than_it_was_asked_in(rt: rk.Runtime, gate: Any, threads: Any) -> None:
    kernel, quick = rt.launch(gate, name="slow"), rt.launch(double)
    asked: list[Any] = []
    stop = threading.Event()

    async def asks() -> None:
        asked.extend([kernel.ask(Number(1)), quick.ask(Number(2))])
        await turns(stop.is_set)

    async def awaits() -> list[Any]:
        await turns(lambda: len(asked) == 2)
        asyncio.get_running_loop().call_later(0.01, gate.open.set)
        return [await asked[0], await asked[1]]

    first = threads.start(lambda: run(asks()))
    assert threads.run(lambda: run(awaits())) == [Number(1), Number(4)]
    stop.set()
    first.join()


def test_an_operation_is_awaited_after_its_loop_was_closed(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)

    async def asks() -> Any:
        return kernel.ask(Number(1))

    async def awaits(asked: Any) -> Any:
        asyncio.get_running_loop().call_later(0.01, gate.open.set)
        return await asked

    asked = run(asks())
    assert not asked.done()
    assert run(awaits(asked)) == Number(1)


def test_an_operation_is_awaited_while_its_loop_rests(rt: rk.Runtime, gate: Any) -> None:
    kernel, first = rt.launch(gate), asyncio.new_event_loop()

    async def asks() -> Any:
        return kernel.ask(Number(1))

    async def awaits(asked: Any) -> Any:
        asyncio.get_running_loop().call_later(0.01, gate.open.set)
        return await asked

    asked = first.run_until_complete(asks())
    assert run(awaits(asked)) == Number(1)
    assert first.run_until_complete(asks()).result(W) == Number(1), "the first loop's own way still works"
    first.close()


def test_an_operation_of_a_thread_is_awaited_in_a_loop(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)
    asked = kernel.ask(Number(6))

    async def main() -> Any:
        asyncio.get_running_loop().call_later(0.01, gate.open.set)
        return await asked

    assert run(main()) == Number(6)


def test_a_task_that_is_cancelled_while_it_awaits_anothers_operation_cancels_it(rt: rk.Runtime, gate: Any) -> None:
    asked = rt.launch(gate).ask(Number(6))

    async def main() -> None:
        async def waits() -> Any:
            return await asked

        task = asyncio.create_task(waits())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert asked.cancelled()


def test_asyncio_is_told_how_to_take_an_operation_of_a_thread(rt: rk.Runtime, gate: Any) -> None:
    """gather() would add its callbacks from the wrong thread."""
    asked = rt.launch(gate).ask(Number(6))

    async def main() -> None:
        with pytest.raises(UnsupportedError, match="await it inside a coroutine"):
            await asyncio.gather(asked)

    run(main())


def test_a_thread_waits_for_what_a_running_loop_asked(rt: rk.Runtime, gate: Any, threads: Any) -> None:
    kernel, quick = rt.launch(gate), rt.launch(double)

    async def main() -> Any:
        asked = kernel.ask(Number(6))
        waiting = threads.start(asked.result)
        for n in range(100):
            assert await quick.ask(Number(n)) == Number(2 * n)
        gate.open.set()
        assert await asked == Number(6)
        return waiting

    assert run(main()).result() == Number(6)


def test_a_loop_is_not_forgotten_when_a_thread_takes_thousands_of_its_replies(rt: rk.Runtime, threads: Any) -> None:
    """Whoever stops draining early must see to it that the loop comes back."""
    kernel = rt.launch(double, capacity=8192, autostart=False)

    async def main() -> int:
        asked = [kernel.ask(Number(n)) for n in range(7000)]
        waiting = threads.start(asked[10].result)
        threading.Timer(0.01, kernel.activate).start()
        total = sum([(await one).n for one in asked])
        waiting.join()
        return total

    assert run(main()) == 7000 * 6999


def test_a_loop_that_moves_to_another_thread_keeps_working(rt: rk.Runtime, threads: Any) -> None:
    kernel, loop = rt.launch(double), asyncio.new_event_loop()

    async def main(n: int) -> int:
        done = asyncio.Event()
        asked = kernel.ask(Number(n))
        asked.add_done_callback(lambda _: done.set())
        await done.wait()
        return int((await kernel.ask(await asked)).n)

    assert loop.run_until_complete(main(1)) == 4
    assert threads.run(loop.run_until_complete, main(2)) == 8
    assert loop.run_until_complete(main(3)) == 12
    loop.close()


def test_a_blocking_result_inside_a_loop_works(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)

    async def main() -> None:
        first, second = kernel.ask(Number(1)), kernel.ask(Number(2))
        assert second.result(W) == Number(4)
        assert await first == Number(2)

    run(main())


# -- what is left over


def test_loops_that_come_and_go_leave_nothing_open(rt: rk.Runtime) -> None:
    kernel = rt.launch(double)

    async def main(n: int) -> Any:
        return await kernel.ask(Number(n))

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    for n in range(5):
        run(main(n))
    before = files()
    for n in range(60):
        assert run(main(n)) == Number(2 * n)
        if n == 30:
            assert kernel.ask(Number(1)).result(W) == Number(2), "a new way in between, without a loop"
    assert files() <= before + 2


def test_a_loop_that_is_closed_with_pending_operations_does_not_stop_the_kernel(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate, capacity=16)

    async def main() -> list[Any]:
        return [kernel.ask(Number(n)) for n in range(16)]

    asked = run(main())
    for one in asked[:8]:
        one.cancel()
    gate.open.set()
    assert [one.result(W).n for one in asked[8:]] == list(range(8, 16)), "a thread may wait for them"
    for n in range(100):  # more than any ring of the dead loop would hold
        assert kernel.call(Number(n), timeout=W) == Number(n)


def test_replies_to_a_dead_loop_do_not_stop_the_kernel(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo, capacity=16, autostart=False)

    async def main() -> None:
        for n in range(16):
            kernel.ask(Number(n))

    for _ in range(8):
        run(main())
        kernel.activate()
        assert kernel.call(Number(5), timeout=W) == Number(5)
        kernel.deactivate()


def test_a_loop_outlives_many_runtimes(backend: str) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        before = files()
        for n in range(20):
            with rk.Runtime(backend=backend) as rt:
                assert await rt.launch(double).ask(Number(n)) == Number(2 * n)
            del rt
            await asyncio.sleep(0)
        gc.collect()
        await turns(lambda: files() <= before)  # the last threads go on their own

    run(main())


def test_closing_the_runtime_inside_a_loop_wakes_its_tasks(backend: str) -> None:
    async def main() -> None:
        rt = rk.Runtime(backend=backend)
        asked = rt.launch(echo, autostart=False).ask(Number(1))

        async def waits() -> Any:
            return await asked

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        rt.close()
        with pytest.raises(KernelTerminatedError):
            await task

    run(main())


def test_operations_are_freed(rt: rk.Runtime, until: Any) -> None:
    kernel = rt.launch(echo)
    asked = kernel.ask(Number(1))
    known = weakref.ref(asked)
    reply = asked.result(W)
    assert sys.getrefcount(asked) == 2
    assert sys.getrefcount(reply) == 3
    del asked
    assert known() is None
    assert sys.getrefcount(reply) == 2


def test_pending_operations_that_nobody_keeps_are_freed_when_they_are_done(rt: rk.Runtime, gate: Any) -> None:
    kernel = rt.launch(gate)
    known = [weakref.ref(kernel.ask(Number(n))) for n in range(3)]
    cancelled = kernel.ask(Number(3))
    known.append(weakref.ref(cancelled))
    cancelled.cancel()
    del cancelled
    assert [one() is None for one in known] == [False, False, False, True]
    gate.open.set()
    kernel.ask(Number(4)).result(W)
    assert all(one() is None for one in known)


def test_cycles_through_operations_are_collected(rt: rk.Runtime) -> None:
    kernel = rt.launch(odd_only)
    known = []
    for n in (1, 2):
        asked = kernel.ask(Number(n))
        asked.add_done_callback(lambda _, asked=asked: None)
        with suppress(HandlerError):
            asked.result(W)  # its traceback holds this frame, which holds the operation
        known.append(weakref.ref(asked))
        del asked
    gc.collect()
    assert [one() for one in known] == [None, None]


def test_a_closed_runtime_keeps_no_operations(backend: str, gate: Any) -> None:
    rt = rk.Runtime(backend=backend)
    kernel = rt.launch(echo, autostart=False)
    known = [weakref.ref(kernel.ask(Number(n))) for n in range(5)]
    rt.close()
    assert [one() for one in known] == [None] * 5


def test_ten_thousand_operations_leave_no_memory_behind(rt: rk.Runtime) -> None:
    kernel = rt.launch(echo)

    async def awaits(count: int) -> None:
        for n in range(count):
            await kernel.ask(Number(n))

    def work(count: int) -> None:
        for n in range(count):
            kernel.ask(Number(n)).result(W)
            kernel.ask(Number(n)).cancel()
            if n % 100 == 0:
                kernel.call(Number(n), timeout=W)
        run(awaits(count))

    work(300)
    tracemalloc.start()
    try:
        work(100)
        gc.collect()
        before = tracemalloc.take_snapshot()
        blocks = sys.getallocatedblocks()
        work(2000)
        kernel.ask(Number(1)).result(W)
        gc.collect()
        grown = sum(one.size_diff for one in tracemalloc.take_snapshot().compare_to(before, "filename"))
        assert sys.getallocatedblocks() - blocks < 2000
    finally:
        tracemalloc.stop()
    assert grown < 100_000, "6000 operations of 100 bytes each would be 600 kB"


def test_a_forked_child_cannot_use_an_operation_and_the_parent_goes_on(run_script: Any) -> None:
    code, out, errors = run_script("""
        import asyncio
        def slow(ctx: rk.Context, msg: Ping) -> Ping:
            go.wait(60)
            return msg
        go = threading.Event()
        rt = rk.Runtime(backend="cpu")
        kernel = rt.launch(slow)
        async def main():
            asked = kernel.ask(Ping(3))
            return asked
        asked, of_loop = kernel.ask(Ping(2)), asyncio.run(main())
        async def wait(one):
            return await one
        pid = fork()
        if pid == 0:
            uses = [lambda: kernel.ask(Ping(1)), asked.result, of_loop.exception, lambda: asyncio.run(wait(asked)),
                    lambda: asyncio.run(wait(of_loop)), lambda: asked.add_done_callback(print)]
            for n, use in enumerate(uses):
                try:
                    use()
                except rk.ForkedProcessError:
                    continue
                except BaseException as error:
                    print("child:", n, repr(error), flush=True)
                else:
                    print("child: no error from", n, flush=True)
            assert not asked.done() and "pending" in repr(asked)
            asked.cancel()
            with rk.Runtime() as fresh:
                def echo(ctx: rk.Context, msg: Ping) -> Ping:
                    return msg
                assert fresh.launch(echo).ask(Ping(8)).result(60) == Ping(8)
            sys.exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        go.set()
        assert (asked.result(60), of_loop.result(60)) == (Ping(2), Ping(3))
        rt.close()
    """)
    assert (code, out, errors) == (0, "", "")


@pytest.mark.parametrize("closes", [True, False])
def test_a_process_ends_with_pending_operations_and_callbacks(run_script: Any, closes: bool) -> None:
    code, out, errors = run_script(f"""
        import asyncio
        def echo(ctx: rk.Context, msg: Ping) -> Ping:
            return msg
        rt = rk.Runtime(backend="cpu")
        kernel = rt.launch(echo)
        idle = rt.launch(echo, name="idle", autostart=False)
        done = threading.Event()
        kernel.ask(Ping(1)).add_done_callback(lambda one: done.set())
        done.wait(60)
        kept = [idle.ask(Ping(n)) for n in range(3)]
        kept[0].add_done_callback(lambda one: print(type(one.exception()).__name__))
        async def main():
            kept.append(idle.ask(Ping(4)))
        asyncio.run(main())
        if {closes}:
            rt.close()
    """)
    assert (code, out.split(), errors) == (0, ["KernelTerminatedError"], "")


def test_a_result_is_interrupted_by_ctrl_c(start_script: Any) -> None:
    script = start_script("""
        def slow(ctx: rk.Context, msg: Ping) -> Ping:
            go.wait(60)
            return msg
        go = threading.Event()
        rt = rk.Runtime(backend="cpu")
        asked = rt.launch(slow).ask(Ping(2))
        print("waiting", flush=True)
        try:
            asked.result()
        except KeyboardInterrupt:
            go.set()
            assert asked.result(60) == Ping(2)
            print("interrupted", flush=True)
        rt.close()
    """)
    script.wait_for("waiting")
    time.sleep(0.1)
    script.interrupt()
    code, out, errors = script.end()
    assert (code, out, errors) == (0, "interrupted\n", "")


def test_a_kernel_that_does_not_reply_leaves_its_operations_pending_until_it_ends(rt: rk.Runtime) -> None:
    kernel = rt.launch(sink)
    asked = kernel.ask(Number(1))  # type: ignore[var-annotated]
    with pytest.raises(CallTimeoutError):
        asked.result(0.05)
    kernel.terminate()
    assert isinstance(asked.exception(W), KernelTerminatedError)
