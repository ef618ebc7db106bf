"""loop.cc, compiled where it is used and called by ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from gpu import HERE, ROOT, Gpu, GpuError, HostMemory

VARIANTS = [
    "ours",
    "(a) launch + stream sync",
    "(b) launch + spin on its own flag",
    "(c) graph replay + sync",
    "(d) graph replay + flag",
    "(e) armed launch, cuStreamWaitValue32",
]
REQUEST_BYTES = 128
REPLY_UNITS = 6


def build_folder() -> Path:
    return Path(os.environ.get("RK_GPU_BUILD_DIR", ROOT / "build" / "gpu-check"))


def build(name: str = "loop", *more: str, after: Path | None = None) -> Path:
    """The library of a source of this folder, compiled again when that, or `after`, is newer."""
    source, library = HERE / f"{name}.cc", build_folder() / f"libgpu_{name}.so"
    newest = max(path.stat().st_mtime for path in (source, after) if path is not None)
    if library.exists() and library.stat().st_mtime > newest:
        return library
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "c++"
    library.parent.mkdir(parents=True, exist_ok=True)
    made = library.with_suffix(f".{os.getpid()}")  # others may be using the one that is there
    flags = ["-std=c++20", "-O2", "-fPIC", "-shared", "-o", str(made), str(source), *more]
    flags += ["-ldl", "-pthread", "-Wl,-z,defs"]  # what is missing is said now, not when it is opened
    try:
        done = subprocess.run([compiler, *flags], capture_output=True, text=True)
    except OSError as error:
        raise GpuError(f"{compiler}: {error}") from error
    if done.returncode:
        raise GpuError(f"{compiler} cannot compile {source.name}: {' '.join(done.stderr.split())[:400]}")
    return made.rename(library)


class _Loop(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_void_p * 7),
        ("stream", ctypes.c_void_p),
        ("echo_arguments", ctypes.c_void_p),
        ("echo_memory", ctypes.c_void_p),
        ("graph", ctypes.c_void_p),
        ("request_device", ctypes.c_uint64),
        ("reply_device", ctypes.c_uint64),
        ("gate_device", ctypes.c_uint64),
        ("request", ctypes.c_void_p),
        ("reply", ctypes.c_void_p),
        ("gate", ctypes.c_void_p),
        ("ours", ctypes.c_void_p),
        ("ours_context", ctypes.c_void_p),
        ("tag", ctypes.c_uint32),
        ("error", ctypes.c_int),
    )


def pointer(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class Loop:
    """Round trips of 64 bytes, in turn."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.library = ctypes.CDLL(str(build()))
        for name in ("rk_loop_run", "rk_loop_bounce", "rk_loop_enqueue"):
            getattr(self.library, name).restype = ctypes.c_uint64
        self.library.rk_loop_variants.restype = ctypes.c_uint32
        self.request, self.reply, self.gate = (HostMemory(gpu, 4096) for _ in range(3))
        self.c = _Loop()
        if result := self.library.rk_loop_open(ctypes.byref(self.c), gpu.path.encode()):
            raise GpuError(f"loop.cc cannot open {gpu.path}: {result}")
        self.c.stream = gpu.new_stream().value
        self.c.echo_arguments = gpu.function("echo.cuh", "echo_arguments").value
        self.c.echo_memory = gpu.function("echo.cuh", "echo_memory").value
        self.c.request, self.c.request_device = self.request.address, self.request.device
        self.c.reply, self.c.reply_device = self.reply.address, self.reply.device
        self.c.gate, self.c.gate_device = self.gate.address, self.gate.device
        self.available = self.library.rk_loop_variants(ctypes.byref(self.c))

    def set_ours(self, function: int, context: int) -> None:
        """A RoundTrip of loop.cc, and what it is given; 0: none."""
        self.c.ours, self.c.ours_context = function or None, context or None
        self.available = self.library.rk_loop_variants(ctypes.byref(self.c))

    def names(self) -> dict[int, str]:
        return {n: name for n, name in enumerate(VARIANTS) if self.available >> n & 1}

    def run(self, samples: int, seed: int = 1, variants: int | None = None) -> tuple[dict[str, Any], dict[str, int]]:
        """name -> ns of each sample, and name -> wrong answers. Raises when an answer did not come."""
        chosen = self.available if variants is None else variants & self.available
        times = np.zeros((samples, len(VARIANTS)), np.uint32)
        wrong = np.zeros(len(VARIANTS), np.uint64)
        made = self.library.rk_loop_run(
            ctypes.byref(self.c),
            chosen,
            ctypes.c_uint64(samples),
            ctypes.c_uint64(seed),
            pointer(times),
            pointer(wrong),
        )
        if made != samples:
            raise GpuError(f"sample {made} of {samples} had no answer; the driver's last error is {self.c.error}")
        found = {n: name for n, name in self.names().items() if chosen >> n & 1}
        return {name: times[:, n] for n, name in found.items()}, {name: int(wrong[n]) for n, name in found.items()}

    def bounce(self, request: HostMemory, reply: HostMemory, rounds: int) -> np.ndarray[Any, Any]:
        """ns of round trips with the kernel `bounce`, which runs."""
        times = np.zeros(rounds, np.uint32)
        came = self.library.rk_loop_bounce(
            ctypes.c_void_p(request.address), ctypes.c_void_p(reply.address), ctypes.c_uint64(rounds), pointer(times)
        )
        if came != rounds:
            raise GpuError(f"round {came} of {rounds} had no right answer")
        return times

    def enqueue(self, samples: int) -> np.ndarray[Any, Any]:
        """ns that launching an empty kernel takes the host."""
        times = np.zeros(samples, np.uint32)
        function = self.gpu.function("echo.cuh", "nothing")
        made = self.library.rk_loop_enqueue(ctypes.byref(self.c), function, ctypes.c_uint64(samples), pointer(times))
        if made != samples:
            raise GpuError(f"launch {made} failed: {self.c.error}")
        return times
