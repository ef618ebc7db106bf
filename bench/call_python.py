"""A call into a kernel against a bare pair of queues, batches through a kernel, and the price of the package itself."""

from __future__ import annotations

import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pyringkernel as rk
from timing import Candidate, main


@rk.message
class Word(rk.Message):
    value: rk.u64


@rk.message
class Line(rk.Message):
    words: rk.Array[rk.u64, 8]


def echo(ctx: rk.Context, msg: Word) -> Word:
    return msg


def echo_line(ctx: rk.Context, msg: Line) -> Line:
    return msg


def kernel_calls(kernel: Any) -> Callable[[int], float]:
    def run(n: int) -> float:
        message, call = Word(value=1), kernel.call
        start = time.perf_counter()
        for _ in range(n):
            call(message)
        return time.perf_counter() - start

    return run


def kernel_stream(kernel: Any) -> Callable[[int], float]:
    rows = np.zeros(1024, Line.dtype)

    def run(n: int) -> float:
        sent = received = 0
        start = time.perf_counter()
        while received < n:
            if sent < n:
                sent += kernel.send_many(rows[: min(1024, n - sent, received + 4096 - sent)], timeout=0.0)
            received += len(kernel.receive_many(timeout=10.0))
        return time.perf_counter() - start

    return run


class QueuePair:
    """A thread that answers through two SimpleQueues: the least that Python needs for a call to another thread."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self) -> None:
        get, put = self.requests.get, self.replies.put
        while True:
            put(get())

    def run(self, n: int) -> float:
        message, put, get = Word(value=1), self.requests.put, self.replies.get
        start = time.perf_counter()
        for _ in range(n):
            put(message)
            get()
        return time.perf_counter() - start


def build(quick: bool) -> list[Candidate]:
    runtime = rk.Runtime()
    count = 2_000 if quick else 20_000
    return [
        Candidate("call round trip", "Kernel.call", kernel_calls(runtime.launch(echo)), count, True, "us", 1e6),
        Candidate("call round trip", "two SimpleQueues", QueuePair().run, count, False, "us", 1e6),
        Candidate(
            "stream through a Python handler",
            "send_many + receive_many",
            kernel_stream(runtime.launch(echo_line, capacity=8192)),
            count * 4,
            True,
        ),
    ]


def start_up(statement: str) -> float:
    """Milliseconds of the fastest of a few fresh interpreters: what the statement adds to an empty one."""

    def fastest(code: str) -> float:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3

    return fastest(statement) - fastest("pass")


def extra() -> list[dict[str, Any]]:
    return [
        {
            "scenario": "import",
            "name": name,
            "unit": "ms",
            "median": start_up(code),
            "iqr": 0.0,
            "ours": name == "pyringkernel",
        }
        for name, code in (("pyringkernel", "import pyringkernel"), ("numpy", "import numpy"))
    ]


if __name__ == "__main__":
    main(build, extra)
