"""What physics allows on this machine, measured in the run whose figures are compared with it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
from figures import Floor
from gpu import Gpu, GpuError, HostMemory
from loop import Loop

LINE = 64
PATIENCE_NS = 5_000_000_000  # of a device that waits


def chase_ns(gpu: Gpu) -> float:
    """One dependent read of the host's memory by the GPU, in random order over 4 MiB."""
    lines, hops = (64, 256) if gpu.double else (1 << 16, 1 << 14)
    memory, out = HostMemory(gpu, lines * LINE), HostMemory(gpu, 4096)
    order = list(range(1, lines))
    random.Random(1).shuffle(order)
    words, at = memory.words(), 0
    for following in [*order, 0]:
        words[at * LINE // 8] = memory.device + following * LINE
        at = following
    gpu.launch(gpu.function("floors.cuh", "chase"), 1, 1, memory.device, hops, out.device)
    gpu.wait()
    return float(out.words()[0]) / hops


def bounce_ns(gpu: Gpu, loop: Loop, warps: int) -> float:
    """p50 of a round trip of 64 B through pinned memory, with as many warps that poll."""
    rounds = 200 if gpu.double else 20_000
    request, reply = HostMemory(gpu, 4096), HostMemory(gpu, 4096)
    threads = 6 if gpu.double else 32 * warps
    function = gpu.function("floors.cuh", "bounce")
    gpu.launch(function, 1, threads, request.device, reply.device, rounds, PATIENCE_NS)
    times = loop.bounce(request, reply, rounds)
    gpu.wait()
    return float(np.median(times[rounds // 10 :]))


def hop_ns(gpu: Gpu) -> float:
    """One way between two blocks through the L2, 16 bytes with their tag."""
    rounds = 200 if gpu.double else 100_000
    there, back, out = gpu.memory(4096), gpu.memory(4096), HostMemory(gpu, 4096)
    gpu.launch(gpu.function("floors.cuh", "hop"), 2, 1, there, back, rounds, PATIENCE_NS, out.device, together=True)
    gpu.wait()
    if not (took := float(out.words()[0])):
        raise GpuError("the blocks did not see each other's units in time")
    return took / rounds / 2


def bus_gb_s(gpu: Gpu, kernel: str) -> float:
    """All multiprocessors read, or write, pinned memory; the best of five."""
    size = 1 << 14 if gpu.double else 1 << 28
    memory, out = HostMemory(gpu, size), gpu.memory(4096)
    blocks, threads = (2, 2) if gpu.double else (4 * gpu.attribute(16), 256)
    third = out if kernel == "read_host" else 7
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        gpu.launch(gpu.function("floors.cuh", kernel), blocks, threads, memory.device, size // 16, third)
        gpu.wait()
        best = max(best, size / (time.perf_counter() - begin) / 1e9)
    return best


def measure(gpu: Gpu, loop: Loop | None) -> list[Floor]:
    """All of them; one that fails says why."""
    found: list[Floor] = []

    def add(name: str, unit: str, how: str, value: Callable[[], float]) -> float | None:
        try:
            found.append(Floor(name, value(), unit, how))
        except (GpuError, OSError) as error:
            found.append(Floor(name, None, unit, how, str(error)))
        return found[-1].value

    add("R", "ns", "pointer chase of pinned host memory by one GPU thread", lambda: chase_ns(gpu))
    trips = []
    if loop is not None:
        for warps in (1,) if gpu.double else (1, 2, 4, 8):
            how = f"64 B in tagged units there and back, {warps} polling warps, C loop, p50"
            trips.append(add(f"round trip, {warps} warps", "us", how, lambda n=warps: bounce_ns(gpu, loop, n) / 1e3))
        add(
            "launch",
            "us",
            "cuLaunchKernel of an empty kernel, until the call returns, p50",
            lambda: launch_us(gpu, loop),
        )
    best = min((one for one in trips if one), default=None)
    why = "" if best else "none of the round trips was measured"
    found.append(Floor("round trip", best, "us", "the best of these: no rings, no handlers, no checks", why))
    add("L2 hop", "ns", "one unit between two blocks through the L2, ping-pong / 2", lambda: hop_ns(gpu))
    for name, kernel in (("PCIe read", "read_host"), ("PCIe write", "write_host")):
        speed = add(name, "GB/s", "all multiprocessors, 16 bytes a thread", lambda k=kernel: bus_gb_s(gpu, k))
        for size in (64, 256, 1024):
            rate = speed * 1e3 / size if speed else None
            found.append(
                Floor(f"{name}, {size} B", rate, "M/s", f"{name} / {size} B, no headers", "" if rate else "see above")
            )
    return found


def launch_us(gpu: Gpu, loop: Loop) -> float:
    return float(np.median(loop.enqueue(128 if gpu.double else 10_000))) / 1e3
