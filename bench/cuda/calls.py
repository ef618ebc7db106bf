"""G2 and G10: single messages from Python, beside what a launch from Python costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from batches import totals_of
from figures import Figure, percentiles
from handlers import Block64, blocks, make_echo, make_sink
from setting import WAIT_S, Setting, latency, undisturbed

POOL = 256


def pool() -> list[Any]:
    """Messages and nothing but: how they are made is no part of a call."""
    return [Block64.from_payload(row.tobytes()) for row in blocks(64, POOL)]


def launchers() -> dict[str, Callable[[], object]]:
    """What else a Python program can do: launch something that does nothing useful, and wait for it."""
    found: dict[str, Callable[[], object]] = {}
    try:
        import torch

        if torch.cuda.is_available():
            numbers, stream = torch.zeros(16, device="cuda"), torch.cuda.current_stream()

            def torch_add() -> None:
                numbers.add_(1.0)
                stream.synchronize()

            found["torch: add_ of 16 numbers, stream.synchronize()"] = torch_add
    except Exception:  # absent, or without this device: then it is no baseline
        pass
    return found


def call_times(kernel: Any, samples: int, others: dict[str, Callable[[], object]]) -> tuple[Any, dict[str, Any], int]:
    """ns of each call(), of each of the others in turn with it, and how many replies were wrong."""
    messages, call, clock = pool(), kernel.call, time.perf_counter_ns
    times = np.zeros(samples, np.int64)
    theirs = {name: np.zeros(samples, np.int64) for name in others}
    wrong = 0
    with undisturbed():
        for n in range(samples):
            message = messages[n % POOL]
            begin = clock()
            reply = call(message, timeout=WAIT_S)
            times[n] = clock() - begin
            wrong += reply.check != message.check or reply.seq != message.seq
            for name, other in others.items():
                begin = clock()
                other()
                theirs[name][n] = clock() - begin
    return times, theirs, wrong


async def asks_one_by_one(kernel: Any, samples: int) -> tuple[Any, int]:
    messages, clock, wrong = pool(), time.perf_counter_ns, 0
    times = np.zeros(samples, np.int64)
    for n in range(samples):
        message = messages[n % POOL]
        begin = clock()
        reply = await kernel.ask(message)
        times[n] = clock() - begin
        wrong += reply.check != message.check
    return times, wrong


async def asks_in_batches(kernel: Any, batches: int, at_once: int = 64) -> tuple[Any, int]:
    """ns a message."""
    messages, clock, wrong = pool()[:at_once], time.perf_counter_ns, 0
    times = np.zeros(batches, np.int64)
    for n in range(batches):
        begin = clock()
        asked = [kernel.ask(message) for message in messages]
        replies = [await one for one in asked]
        times[n] = (clock() - begin) // at_once
        wrong += sum(reply.check != message.check for reply, message in zip(replies, messages, strict=True))
    return times, wrong


def send_rate(setting: Setting) -> Figure:
    """send() of single messages, until the kernel says that it has handled them all."""
    count = setting.count(200_000, 200)
    messages = pool()
    with setting.runtime() as rt:
        kernel = rt.launch(make_sink(64, setting.threads), capacity=8192)
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            for n in range(count):
                kernel.send(messages[n % POOL], timeout=WAIT_S)
            totals = totals_of(kernel)
            seconds.append(time.perf_counter() - begin)
        seen, wrong, _ = totals
    rates = sorted(count / one / 1e6 for one in seconds)
    counts = {"samples": 5, "received": seen, "wrong": wrong, "lost": 5 * count - seen}
    return Figure("G2 send", rates[2], {"p50": rates[2], "max": rates[-1]}, counts)


def soak(setting: Setting, kernel: Any) -> Figure:
    """Calls for a while: the tail against the median."""
    seconds = 0.2 if setting.double else min(setting.seconds, 4.0 if setting.quick else 20.0)
    times, wrong, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        some, _, bad = call_times(kernel, setting.count(20_000, 50), {})
        times.append(some)
        wrong += bad
    tails = percentiles(np.concatenate(times) / 1e3)
    value = tails["p99.9"] / tails["p50"] if "p99.9" in tails else None
    note = f"calls for {seconds:.0f} s; the goal is for 10 minutes at 80 % of the peak, which was not run"
    counts = {"samples": sum(map(len, times)), "wrong": wrong}
    return Figure("G10", value, tails, counts, why="" if value else "too few samples", note=note)


def group(setting: Setting) -> Iterator[Figure]:
    others = {} if setting.double else launchers()
    for other in others.values():  # loads what it needs, which may need a device that does nothing else
        other()
    with setting.runtime() as rt:
        kernel = rt.launch(make_echo(setting.threads))
        samples = setting.count(120_000, 200)
        times, theirs, wrong = call_times(kernel, samples, others)
        against = {name: percentiles(values[samples // 10 :] / 1e3) for name, values in theirs.items()}
        yield latency("G2", times, wrong, against=against)
        times, wrong = asyncio.run(asks_one_by_one(kernel, setting.count(50_000, 100)))
        yield latency("G2 asyncio", times, wrong)
        times, wrong = asyncio.run(asks_in_batches(kernel, setting.count(2_000, 5)))
        yield latency("G2 asyncio 64", times, wrong)
        yield soak(setting, kernel)
    yield send_rate(setting)
