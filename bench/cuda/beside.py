"""G12 and G13: what a resident kernel costs others, and what it costs when nothing happens."""

from __future__ import annotations

import ctypes
import shutil
import statistics
import subprocess
import time
from typing import Any

import numpy as np
from figures import Figure, percentiles
from gpu import open_gpu
from handlers import Block64, blocks, make_echo
from setting import WAIT_S, Setting, now

NO_GPU = "needs a GPU"


def matmul_ms(torch: Any, matrix: Any) -> float:
    """Ten products, by the device's own events."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(10):
        torch.mm(matrix, matrix)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 10


def beside_torch(setting: Setting) -> list[Figure]:
    """Rounds with and without three instances and a router, in turn."""
    if setting.double:
        return [Figure(id, why=NO_GPU) for id in ("G12 matmul", "G12 sync")]
    try:
        import torch
    except ImportError:
        return [Figure(id, why="PyTorch is not installed") for id in ("G12 matmul", "G12 sync")]
    if not torch.cuda.is_available():
        return [Figure(id, why="this PyTorch has no CUDA device") for id in ("G12 matmul", "G12 sync")]
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        matmul_ms(torch, matrix)
    alone, beside, waits = [], [], []
    (row,) = blocks(64, 1)
    message, wrong = Block64.from_payload(row.tobytes()), 0
    for _ in range(3 if setting.quick else 7):
        alone.append(matmul_ms(torch, matrix))
        with setting.runtime(lease=0.25) as rt:
            kernel = rt.launch(make_echo(setting.threads), instances=3)
            kernel.call(message, timeout=WAIT_S)
            beside.append(matmul_ms(torch, matrix))
            begin = now()
            torch.cuda.synchronize()
            waits.append((now() - begin) * 1e3)
            wrong += int(kernel.call(message, timeout=WAIT_S).check != row["check"])
    slower = (statistics.median(beside) / statistics.median(alone) - 1) * 100
    counts = {"samples": len(beside), "wrong": wrong}
    sides = {"alone": percentiles(alone), "beside": percentiles(beside)}
    note = "8192 x 8192 bf16; milliseconds of a product, not percent, in the table of contenders"
    return [
        Figure("G12 matmul", slower, {}, counts, sides, note=note),
        Figure(
            "G12 sync", max(waits), percentiles(waits), counts, note="lease of 0.25 s; the kernel answered afterwards"
        ),
    ]


def storm(setting: Setting) -> list[Figure]:
    """cuMemAlloc and cuMemFree again and again, which may wait for the whole device: leases let them have it."""
    gpu = open_gpu(setting.double)
    (row,) = blocks(64, 1)
    message, wrong, times = Block64.from_payload(row.tobytes()), 0, []
    with setting.runtime(lease=0.05) as rt:
        kernel = rt.launch(make_echo(setting.threads))
        for _ in range(setting.count(40, 4)):
            begin = now()
            address = ctypes.c_uint64()
            gpu.do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(1 << 20))
            gpu.do("cuMemFree_v2", address)
            times.append((now() - begin) * 1e3)
            wrong += int(kernel.call(message, timeout=WAIT_S).check != row["check"])
    counts = {"samples": len(times), "wrong": wrong}
    note = "lease of 50 ms; a MiB each time; the kernel answered after each"
    return [Figure("G12 storm", max(times), percentiles(times), counts, note=note)]


def power_w(seconds: float) -> list[float]:
    """What nvidia-smi says in this time."""
    command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "-i", "0"]
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        found.append(float(done.stdout.strip().splitlines()[0]))
        time.sleep(0.2)
    return found


def idle(setting: Setting) -> list[Figure]:
    return [power(setting), wake(setting)]


def power(setting: Setting) -> Figure:
    """With an idle kernel and without one, in turn; the first second of each is for the device to settle."""
    if setting.double or shutil.which("nvidia-smi") is None:
        return Figure("G13 idle", why=NO_GPU if setting.double else "nvidia-smi is not there")
    without, with_it = [], []
    seconds = 1.5 if setting.quick else 4.0
    try:
        for _ in range(2):
            time.sleep(1.0)
            without += power_w(seconds)
            with setting.runtime() as rt:
                rt.launch(make_echo(setting.threads))
                time.sleep(1.0)
                with_it += power_w(seconds)
    except (ValueError, IndexError, subprocess.SubprocessError) as error:
        return Figure("G13 idle", why=f"nvidia-smi tells no power: {error}")
    sides = {"no kernel": percentiles(without), "idle kernel": percentiles(with_it)}
    difference = statistics.median(with_it) - statistics.median(without)
    note = "the process has a CUDA context in both; one kernel of one instance, nothing sent"
    return Figure("G13 idle", difference, {}, {"samples": len(with_it)}, sides, note=note)


def wake(setting: Setting) -> Figure:
    (row,) = blocks(64, 1)
    message, wrong, times = Block64.from_payload(row.tobytes()), 0, []
    with setting.runtime() as rt:
        kernel = rt.launch(make_echo(setting.threads))
        for _ in range(setting.count(12, 2)):
            time.sleep(0.05 if setting.double else 1.0)
            begin = now()
            reply = kernel.call(message, timeout=WAIT_S)
            times.append((now() - begin) * 1e6)
            wrong += int(reply.check != row["check"])
    tails = percentiles(np.asarray(times))
    return Figure("G13 wake", tails["p50"], tails, {"samples": len(times), "wrong": wrong})
