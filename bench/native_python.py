"""Batches from Python through a native handler and back: messages of 64 bytes.

For scale: the same batches copied by a Python thread between two SimpleQueues, which is no message passing, but the
least that it could cost.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pyringkernel as rk
from native_handler import native_echo
from timing import Candidate, main

BATCH = 1024
OUTSTANDING = 4 * BATCH


@rk.message
class Line(rk.Message):
    words: rk.Array[rk.u64, 8]


def through_kernel(kernel: Any) -> Callable[[int], float]:
    rows = np.zeros(BATCH, Line.dtype)

    def run(n: int) -> float:
        sent = received = 0
        start = time.perf_counter()
        while received < n:
            if sent < n:
                sent += kernel.send_many(rows[: min(BATCH, n - sent, received + OUTSTANDING - sent)], timeout=0.0)
            received += len(kernel.receive_many(timeout=10.0))
        return time.perf_counter() - start

    return run


def through_thread() -> Callable[[int], float]:
    rows = np.zeros(BATCH, Line.dtype)
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answered: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        while True:
            answered.put(asked.get().copy())

    def run(n: int) -> float:
        sent = received = 0
        start = time.perf_counter()
        while received < n:
            while sent < n and sent - received < OUTSTANDING:
                batch = rows[: min(BATCH, n - sent)]
                asked.put(batch)
                sent += len(batch)
            received += len(answered.get())
        return time.perf_counter() - start

    threading.Thread(target=work, daemon=True).start()
    return run


def peers(count: int) -> list[Candidate]:
    return [Candidate("Python, native, Python", "arrays copied in a thread", through_thread(), count)]


def build(quick: bool) -> list[Candidate]:
    count = 50_000 if quick else 1_000_000
    kernel = rk.Runtime().launch(native_echo(Line), capacity=2 * OUTSTANDING)
    name = "send_many + receive_many"
    return [Candidate("Python, native, Python", name, through_kernel(kernel), count, True), *peers(count)]


if __name__ == "__main__":
    main(build)
