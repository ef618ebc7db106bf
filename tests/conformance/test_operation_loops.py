"""Operations in several event loops, and what is left over."""

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
from actors import Number, double, echo, odd_only, sink

import pyringkernel as rk
from pyringkernel.errors import (
    CallTimeoutError,
    HandlerError,
    KernelTerminatedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    pass
from operations_parts import W, run, turns

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
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        before = files()
        for n in range(20):
            with rk.Runtime(backend=backend) as rt:
                assert await rt.launch(double).ask(Number(n)) == Number(2 * n)
            del rt
            await asyncio.sleep(0)
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
