"""G2 and G10: single messages from Python. launchers.py has what a launch from Python costs."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
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


def load(setting: Setting) -> Figure:
    """Batches at 80 % of the peak, and a call behind each: its tail against its median."""
    seconds, size = (0.2, 32) if setting.double else (min(setting.seconds, 3.0 if setting.quick else 600.0), 1024)
    rows, times, sent, clock = blocks(64, size), [], 0, time.perf_counter
    with setting.runtime() as rt:
        kernel = rt.launch(make_sink(64, setting.threads), capacity=4 * size)

        def batch() -> tuple[int, int, int]:
            nonlocal sent
            sent += kernel.send_many(rows, timeout=WAIT_S)
            return totals_of(kernel)

        begin, peaks = clock(), 0
        while clock() - begin < seconds / 10:
            batch()
            peaks += 1
        pace = (clock() - begin) / max(peaks, 1) / 0.8
        power = Power()
        with power, undisturbed():
            end = clock() + seconds
            following = clock()
            while (at := clock()) < end:
                if at < following:
                    continue  # the wait is too short to sleep
                totals = batch()
                times.append(clock() - max(at, following))
                following += pace
        received, wrong, _ = totals
    tails = percentiles(np.asarray(times) * 1e6)
    value = tails["p99.9"] / tails["p50"] if "p99.9" in tails else None
    counts = {"samples": len(times), "received": received, "wrong": wrong, "lost": max(0, sent - received)}
    note = f"{size} messages and a call at 80 % of the peak for {seconds:.0f} s; times of both, in us. {power}"
    return Figure("G10 load", value, tails, counts, why="" if value else "too few samples", note=note)


class Power:
    """What nvidia-smi says of the GPU meanwhile, once a second."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Power:
        command = [
            "nvidia-smi",
            "--query-gpu=power.draw,utilization.gpu,clocks.sm",
            "--format=csv,noheader",
            "-lms",
            "1000",
        ]
        with contextlib.suppress(OSError):
            self._child = subprocess.Popen([*command, "-i", "0"], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._lines = self._child.communicate(timeout=10)[0].splitlines()

    def __str__(self) -> str:
        return f"nvidia-smi in the middle of it: {self._lines[len(self._lines) // 2]}" if self._lines else ""


def group(setting: Setting) -> Iterator[Figure]:
    with setting.runtime() as rt:
        kernel = rt.launch(make_echo(setting.threads))
        samples = setting.count(120_000, 200)
        times, _, wrong = call_times(kernel, samples, {})
        yield latency("G2", times, wrong)
        times, wrong = asyncio.run(asks_one_by_one(kernel, setting.count(50_000, 100)))
        yield latency("G2 asyncio", times, wrong)
        times, wrong = asyncio.run(asks_in_batches(kernel, setting.count(2_000, 5)))
        yield latency("G2 asyncio 64", times, wrong)
        yield soak(setting, kernel)
    yield send_rate(setting)
    yield load(setting)
