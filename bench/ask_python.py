"""`await kernel.ask(m)` against the least that asyncio needs for it: a thread that completes futures of the loop.

One at a time, and with 64 outstanding; answered by a Python function on both sides, or natively, where the thread
passes the message straight back.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pyringkernel as rk
from native_handler import native_echo
from timing import Candidate, main

OUTSTANDING = 64
Ask = Callable[[Any], Awaitable[Any]]


KEPT: list[rk.Runtime] = []


@rk.message
class Word(rk.Message):
    value: rk.u64


def echo(ctx: rk.Context, msg: Word) -> Word:
    return msg


async def one_at_a_time(ask: Ask, n: int) -> list[float]:
    message, clock = Word(value=1), time.perf_counter
    times = []
    before = clock()
    for _ in range(n):
        await ask(message)
        now = clock()
        times.append(now - before)
        before = now
    return times


async def many_at_a_time(ask: Ask, n: int) -> float:
    message = Word(value=1)
    waiting: deque[Awaitable[Any]] = deque()
    start = time.perf_counter()
    for _ in range(n):
        if len(waiting) == OUTSTANDING:
            await waiting.popleft()
        waiting.append(ask(message))
    while waiting:
        await waiting.popleft()
    return time.perf_counter() - start


class Answerer:
    """A thread that completes futures, fed by a SimpleQueue."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: Callable[[Any, Any], Any] | None) -> None:
        self.loop = loop
        self.handle = handle
        self.asked: queue.SimpleQueue[tuple[asyncio.Future[Any], Any]] = queue.SimpleQueue()
        threading.Thread(target=self.work if handle else self.pass_back, daemon=True).start()

    def ask(self, message: Any) -> asyncio.Future[Any]:
        future = self.loop.create_future()
        self.asked.put((future, message))
        return future

    def work(self) -> None:
        get, handle, complete = self.asked.get, self.handle, self.loop.call_soon_threadsafe
        assert handle
        while True:
            future, message = get()
            complete(future.set_result, handle(None, message))

    def pass_back(self) -> None:
        get, complete = self.asked.get, self.loop.call_soon_threadsafe
        while True:
            future, message = get()
            complete(future.set_result, message)


def candidates(ask: Ask, loop: asyncio.AbstractEventLoop, what: str, name: str, count: int) -> list[Candidate]:
    """Both ways of asking; the loop is one of plain asyncio."""
    ours = name.startswith("Kernel")

    def single(n: int) -> list[float]:
        return loop.run_until_complete(one_at_a_time(ask, n))

    def many(n: int) -> float:
        return loop.run_until_complete(many_at_a_time(ask, n))

    return [
        Candidate(f"ask {what}, one at a time", name, single, count, ours),
        Candidate(f"ask {what}, {OUTSTANDING} outstanding", name, many, 4 * count, ours),
    ]


def peers(loop: asyncio.AbstractEventLoop, count: int) -> list[Candidate]:
    name = "thread and asyncio.Future"
    return [
        *candidates(Answerer(loop, echo).ask, loop, "Python", name, count),
        *candidates(Answerer(loop, None).ask, loop, "native", name, count),
    ]


def kernels(loop: asyncio.AbstractEventLoop, count: int) -> list[Candidate]:
    runtime = rk.Runtime()
    KEPT.append(runtime)  # a kernel's bound method does not keep it
    found = candidates(runtime.launch(echo).ask, loop, "Python", "Kernel.ask", count)
    try:
        native = runtime.launch(native_echo(Word))
    except OSError as error:
        print(f"ask_python: without the native handler: {error}", file=sys.stderr)
        return found
    return found + candidates(native.ask, loop, "native", "Kernel.ask", count)


def build(quick: bool) -> list[Candidate]:
    loop = asyncio.new_event_loop()
    count = 500 if quick else 5_000
    return kernels(loop, count) + peers(loop, count)


if __name__ == "__main__":
    main(build)
