"""G1: 64 B to an actor and back by a loop in C, in turn with every way to do the same by launching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from figures import Figure, Floor, percentiles
from floors import measure
from gpu import Gpu, GpuError, open_gpu
from loop import VARIANTS, Loop
from ours import resident_echo
from setting import Setting, alone_on_a_core

OURS = VARIANTS[0]
LAUNCHES = VARIANTS[1:5]


@contextlib.contextmanager
def with_ours(setting: Setting, loop: Loop) -> Iterator[str]:
    """Yields why ours cannot be measured; "" when it can."""
    try:
        with resident_echo(setting) as (function, context):
            loop.set_ours(function, context)
            try:
                yield ""
            finally:
                loop.set_ours(0, 0)
    except GpuError as error:
        yield str(error)


def judged(times: dict[str, Any], wrong: dict[str, int], alone: dict[str, float], why: str) -> list[Figure]:
    kept = {name: values[len(values) // 10 :] / 1e3 for name, values in times.items()}
    tails = {name: percentiles(values) for name, values in kept.items()}
    samples = max((len(values) for values in kept.values()), default=0)
    counts = {"samples": samples, "wrong": sum(wrong.values())}
    ours = tails.pop(OURS, {})
    p50 = ours.get("p50")
    # The launches get the better of two: in turn with a resident kernel, and without one on the device.
    best = min((min(tails[name]["p50"], alone.get(name, 1e9)) for name in LAUNCHES if name in tails), default=None)
    note = "without a resident kernel: " + ", ".join(f"{name} {value:.2f} us" for name, value in alone.items())
    ratio = best / p50 if best and p50 else None
    return [
        Figure("G1", p50, ours, counts, tails, why, note),
        Figure("G1 p99", ours.get("p99"), {}, counts, {}, why),
        Figure("G1 ratio", ratio, {}, counts, {}, why, "the launches' better p50, beside a resident kernel or alone"),
    ]


def group(setting: Setting) -> Iterator[Figure | Floor | dict[str, Any]]:
    gpu: Gpu = open_gpu(setting.double)
    loop = Loop(gpu)
    yield gpu.about() | {"NVRTC": gpu.nvrtc.version}
    yield from measure(gpu, loop)
    with alone_on_a_core(setting):
        before, _ = loop.run(setting.count(10_000, 20), variants=~1)
    alone = {name: percentiles(values[len(values) // 10 :] / 1e3)["p50"] for name, values in before.items()}
    with with_ours(setting, loop) as why, alone_on_a_core(setting):
        times, wrong = loop.run(setting.count(120_000, 50))
        yield from judged(times, wrong, alone, why)
