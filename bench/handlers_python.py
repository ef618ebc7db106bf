"""One Python handler that is sent single messages, against an actor of Pykka and a bare thread with a SimpleQueue.

All three run the same function on the same kind of object. The time is until the last message was handled.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pykka

import pyringkernel as rk
from timing import Candidate, main


@rk.message
class Word(rk.Message):
    value: rk.u64


NO_CONTEXT: Any = None  # a handler that needs none


class Goal:
    """What handles the messages: counts them, and tells when it was all."""

    def __init__(self) -> None:
        self.left = 0
        self.reached = threading.Event()

    def handle(self, ctx: rk.Context, msg: Word) -> None:
        self.left -= 1
        if not self.left:
            self.reached.set()

    def run(self, send: Callable[[Any], Any], n: int) -> float:
        """Sends n messages, one by one."""
        message = Word(value=1)
        self.left = n
        self.reached.clear()
        start = time.perf_counter()
        for _ in range(n):
            send(message)
        self.reached.wait()
        return time.perf_counter() - start


def through_kernel(runtime: rk.Runtime) -> Callable[[int], float]:
    goal = Goal()
    kernel = runtime.launch(goal.handle, name="count", capacity=8192)
    return lambda n: goal.run(kernel.send, n)


class PykkaCounter(pykka.ThreadingActor):
    use_daemon_thread = True

    def __init__(self, goal: Goal) -> None:
        super().__init__()
        self.handle = goal.handle

    def on_receive(self, message: Any) -> None:
        self.handle(NO_CONTEXT, message)


def through_pykka() -> Callable[[int], float]:
    goal = Goal()
    actor = PykkaCounter.start(goal)
    return lambda n: goal.run(actor.tell, n)


def through_thread() -> Callable[[int], float]:
    goal = Goal()
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        get, handle = messages.get, goal.handle
        while True:
            handle(NO_CONTEXT, get())

    threading.Thread(target=work, daemon=True).start()
    return lambda n: goal.run(messages.put, n)


def peers(count: int) -> list[Candidate]:
    return [
        Candidate("Python handler", "pykka tell", through_pykka(), count),
        Candidate("Python handler", "thread and SimpleQueue", through_thread(), count),
    ]


def build(quick: bool) -> list[Candidate]:
    count = 5_000 if quick else 50_000
    return [Candidate("Python handler", "Kernel.send", through_kernel(rk.Runtime()), count, True), *peers(count)]


if __name__ == "__main__":
    main(build)
