"""What else a Python program can do for one small piece of work: launch something, and wait for it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from typing import Any

from calls import call_times
from figures import Figure, percentiles
from gpu import open_gpu
from handlers import make_echo
from setting import Setting, latency

Launch = Callable[[], object]


def with_torch() -> Launch:
    import torch

    numbers, stream = torch.zeros(16, device="cuda"), torch.cuda.current_stream()

    def launch() -> None:
        numbers.add_(1.0)
        stream.synchronize()

    return launch


def with_cupy() -> Launch:
    import cupy

    numbers, stream = cupy.zeros(16, cupy.float32), cupy.cuda.Stream(non_blocking=True)
    text = 'extern "C" __global__ void add(float* x) { x[threadIdx.x] += 1.0f; }'
    kernel = cupy.RawKernel(text, "add")

    def launch() -> None:
        kernel((1,), (16,), (numbers,), stream=stream)
        stream.synchronize()

    return launch


def with_numba() -> Launch:
    from numba import cuda

    def body(numbers: Any) -> None:
        numbers[cuda.threadIdx.x] += 1.0

    kernel, stream = cuda.jit(body), cuda.stream()
    numbers = cuda.device_array(16, "float32")

    def launch() -> None:
        kernel[1, 16, stream](numbers)
        stream.synchronize()

    return launch


def with_cuda_bindings() -> Launch:
    from cuda.bindings import driver

    gpu = open_gpu(False)
    function = driver.CUfunction(gpu.function("echo.cuh", "nothing").value)
    stream = driver.CUstream(gpu.new_stream().value)
    arguments = ((0,), (ctypes.c_uint64,))

    def launch() -> None:
        driver.cuLaunchKernel(function, 1, 1, 1, 16, 1, 1, 0, stream, arguments, 0)
        driver.cuStreamSynchronize(stream)

    return launch


def with_warp() -> Launch:
    import warp

    @warp.kernel
    def add(numbers: warp.array(dtype=float)):  # type: ignore[no-untyped-def, valid-type]
        numbers[warp.tid()] += 1.0

    numbers = warp.zeros(16, dtype=float, device="cuda")

    def launch() -> None:
        warp.launch(add, dim=16, inputs=[numbers])
        warp.synchronize_stream()

    return launch


LAUNCHERS: dict[str, Callable[[], Launch]] = {
    "torch: add_ of 16 numbers, stream.synchronize()": with_torch,
    "CuPy: RawKernel, stream.synchronize()": with_cupy,
    "numba: kernel, stream.synchronize()": with_numba,
    "cuda.bindings: cuLaunchKernel, cuStreamSynchronize": with_cuda_bindings,
    "Warp: wp.launch, synchronize_stream()": with_warp,
}


def working() -> Iterator[tuple[str, Launch]]:
    """Those that are installed and work here; each has loaded what it needs, which may want a device without others."""
    for name, make in LAUNCHERS.items():
        try:
            launch = make()
            for _ in range(20):
                launch()
        except Exception as error:  # absent, or not for this device: then it is no baseline
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        yield name, launch


def group(setting: Setting) -> list[Figure]:
    """call() and launches in turn, in one process."""
    others = {} if setting.double else dict(working())
    with setting.runtime() as rt:
        kernel = rt.launch(make_echo(setting.threads))
        samples = setting.count(40_000, 100)
        times, theirs, wrong = call_times(kernel, samples, others)
    ours = latency("G2 ratio", times, wrong)
    against = {name: percentiles(values[samples // 10 :] / 1e3) for name, values in theirs.items()}
    best = min((one["p50"] for one in against.values()), default=None)
    why = "" if best else "no other Python package that launches is here"
    value = best / ours.tails["p50"] if best else None
    sides = {"call(), in us": ours.tails, **against}
    return [Figure("G2 ratio", value, {}, ours.counts, sides, why, "the table of contenders is in us")]
