"""Operations between threads, and awaited in an event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from actors import Number, double, echo, odd_only

import pyringkernel as rk
from pyringkernel.errors import (
    HandlerError,
    KernelHungError,
    KernelTerminatedError,
    OperationCancelledError,
    RingFullError,
)

if TYPE_CHECKING:
    pass
from operations_parts import W, run, turns


async def ask_until_taken(kernel: rk.Kernel, n: int) -> Any:
    """Asks again while the inbox is full."""
    while True:
        try:
            return kernel.ask(Number(n))
        except RingFullError:
            await asyncio.sleep(0.001)


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
