"""Rings from Python: one thread, two threads in batches, and what queues between threads and processes cost."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

import pyringkernel as rk
from timing import Candidate, loop, main

DATA = bytes(64)
BATCH = 512


def one_thread(count: int) -> list[Candidate]:
    ring = rk.SpscRing(1024, 64)
    lanes = rk.MpscRing(1024, 64)
    simple: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    plain: queue.Queue[bytes] = queue.Queue()
    double: deque[bytes] = deque()
    name = "push+pop, one thread"
    return [
        Candidate(
            name, "SpscRing", loop("push(d); pop()", {"push": ring.push, "pop": ring.pop, "d": DATA}), count, True
        ),
        Candidate(
            name, "MpscRing", loop("push(d); pop()", {"push": lanes.push, "pop": lanes.pop, "d": DATA}), count, True
        ),
        Candidate(
            name, "queue.SimpleQueue", loop("put(d); get()", {"put": simple.put, "get": simple.get, "d": DATA}), count
        ),
        Candidate(
            name, "queue.Queue", loop("put(d); get()", {"put": plain.put, "get": plain.get, "d": DATA}), count // 10
        ),
        Candidate(
            name,
            "collections.deque",
            loop("put(d); get()", {"put": double.append, "get": double.popleft, "d": DATA}),
            count,
        ),
    ]


def between(
    produce: Callable[[int], None], consume: Callable[[int], None], worker: Any = threading.Thread
) -> Callable[[int], float]:
    """Seconds for n messages from a producer thread or process to this one."""

    def run(n: int) -> float:
        producer = worker(target=produce, args=(n,))
        start = time.perf_counter()
        producer.start()
        consume(n)
        took = time.perf_counter() - start
        producer.join()
        return took

    return run


def our_batches(ring: Any) -> Callable[[int], float]:
    rows = np.zeros((BATCH, 64), np.uint8)

    def produce(n: int) -> None:
        for done in range(0, n, BATCH):
            left = rows[: n - done]
            while len(left):
                left = left[ring.push_many(left, 1.0) :]
        ring.release_producer()

    def consume(n: int) -> None:
        out = np.zeros((BATCH, 64), np.uint8)
        while n > 0:
            n -= len(ring.pop_many(out=out, timeout=1.0))

    return between(produce, consume)


def queue_single(q: Any, worker: Any = threading.Thread) -> Callable[[int], float]:
    def produce(n: int) -> None:
        for _ in range(n):
            q.put(DATA)

    def consume(n: int) -> None:
        for _ in range(n):
            q.get()

    return between(produce, consume, worker)


def ring_single() -> Callable[[int], float]:
    ring = rk.SpscRing(8192, 64, overflow="block")

    def produce(n: int) -> None:
        for _ in range(n):
            ring.push(DATA)
        ring.release_producer()

    def consume(n: int) -> None:
        for _ in range(n):
            ring.pop()

    return between(produce, consume)


def faster_fifo_batches(q: Any, worker: Any) -> Callable[[int], float]:
    messages = [DATA] * BATCH

    def produce(n: int) -> None:
        for _ in range(0, n, BATCH):
            q.put_many(messages, timeout=60.0)

    def consume(n: int) -> None:
        while n > 0:
            n -= len(q.get_many(max_messages_to_get=BATCH, timeout=60.0))

    return between(produce, consume, worker)


def two_threads(count: int) -> list[Candidate]:
    name = "64 B one by one, two threads"
    out = [
        Candidate(name, "SpscRing", ring_single(), count // 4, True),
        Candidate(name, "queue.SimpleQueue", queue_single(queue.SimpleQueue()), count // 4),
        Candidate(name, "multiprocessing.Queue", queue_single(multiprocessing.Queue()), count // 40),
    ]
    name = "batches of 512 x 64 B, two threads"
    out.append(Candidate(name, "SpscRing", our_batches(rk.SpscRing(16384, 64)), count * 20 // BATCH * BATCH, True))
    try:
        from faster_fifo import Queue

        fifo = Queue(max_size_bytes=16384 * 128)
        out.append(
            Candidate(
                name,
                "faster-fifo put_many",
                faster_fifo_batches(fifo, threading.Thread),
                max(count // 20 // BATCH, 1) * BATCH,
            )
        )
    except ImportError:
        print("faster-fifo is not installed: left out")
    return out


def iceoryx2(count: int) -> list[Candidate]:
    try:
        import ctypes

        import iceoryx2 as iox2
    except ImportError:
        print("iceoryx2 is not installed: left out")
        return []

    class Payload(ctypes.Structure):
        _fields_ = (("bytes", ctypes.c_uint8 * 64),)

        @staticmethod
        def type_name() -> str:
            return "Payload64"

    iox2.set_log_level(iox2.LogLevel.Error)
    node = iox2.NodeBuilder.new().create(iox2.ServiceType.Local)
    service = node.service_builder(iox2.ServiceName.new("bench")).publish_subscribe(Payload).open_or_create()
    publisher, subscriber = service.publisher_builder().create(), service.subscriber_builder().create()

    def run(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            publisher.loan_uninit().write_payload(Payload()).send()
            subscriber.receive()
        return time.perf_counter() - start

    return [Candidate("push+pop, one thread", "iceoryx2 send+receive", run, count // 50)]


def build(quick: bool) -> list[Candidate]:
    count = 20_000 if quick else 200_000
    return one_thread(count) + two_threads(count) + iceoryx2(count)


if __name__ == "__main__":
    main(build)
