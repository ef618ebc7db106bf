"""What all groups of figures share: which backend, how much, and how a number is taken."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from figures import Figure, percentiles

import pyringkernel as rk

WAIT_S = 15.0  # nothing that is measured takes as long


class WrongError(Exception):
    """Something was lost, or came with other content."""


@dataclass
class Setting:
    """backend: as Runtime takes it. double: what answers is no GPU, so little is enough. quick: fewer samples."""

    backend: str = "cuda"
    double: bool = False
    quick: bool = False
    seconds: float = 20.0  # for figures that run for a time
    options: dict[str, Any] = field(default_factory=dict)  # of Runtime

    @contextlib.contextmanager
    def runtime(self, **more: Any) -> Iterator[rk.Runtime]:
        made = rk.Runtime(backend=self.backend, **{**self.options, **more})
        try:
            yield made
        finally:
            made.close(timeout=WAIT_S)

    def count(self, full: int, double: int) -> int:
        """How many samples."""
        return double if self.double else max(full // 10, double) if self.quick else full

    @property
    def threads(self) -> int:
        """Of a block whose handler works with a warp. Threads of a double are threads of the system."""
        return 2 if self.double else 32


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def alone_on_a_core(setting: Setting) -> Iterator[None]:
    """This thread stays on one core. Threads that it starts meanwhile would stay there too: begin them before."""
    cores = os.sched_getaffinity(0)
    pinned = not setting.double and len(cores) >= 4
    if pinned:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        if pinned:
            os.sched_setaffinity(0, cores)


def sized(setting: Setting, full: int, double: int, once: Callable[[int], float], target_s: float = 1.0) -> int:
    """How many messages a repetition shall have: as many as `full`, or as fit into the time; `once` returns seconds."""
    wanted = setting.count(full, double)
    count = min(wanted, max(double, wanted // 256))
    while count < wanted:
        took = once(count)
        if took * 4 > target_s:
            return max(double, min(wanted, int(count * target_s / max(took, 1e-6))))
        count = min(wanted, count * 4)
    return count


def latency(id: str, times_ns: Any, wrong: int, scale: float = 1e3, **more: Any) -> Figure:
    """A figure whose value is the median; `scale` ns are one of its unit. The first tenth warms up."""
    kept = np.asarray(times_ns)[len(times_ns) // 10 :] / scale
    tails = percentiles(kept)
    counts = {"samples": len(kept), "wrong": wrong}
    return Figure(id, tails.get("p50"), tails, counts, **more)


def derived(id: str, value: float | None, like: Figure, **more: Any) -> Figure:
    """Another goal for what `like` has measured."""
    return Figure(id, value, counts=dict(like.counts), **more)


def rate(id: str, count: int, seconds: list[float], counts: dict[str, int], **more: Any) -> Figure:
    """Millions a second, the median of repetitions."""
    rates = sorted(count / one / 1e6 for one in seconds)
    tails = {"p50": rates[len(rates) // 2], "max": rates[-1]}
    return Figure(id, tails["p50"], tails, {"samples": len(rates), **counts}, **more)


def now() -> float:
    return time.perf_counter()
