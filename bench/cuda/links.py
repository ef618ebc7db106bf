"""G5 to G8: kernels that send to each other on the device, without the host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from figures import Figure, percentiles
from handlers import (
    Ball,
    Go,
    make_first_stage,
    make_hub,
    make_last_stage,
    make_leaf,
    make_middle_stage,
    make_pair_sink,
    make_pair_source,
    make_player,
)
from setting import WAIT_S, Setting, derived, now, rate, undisturbed

import pyringkernel as rk

NTP64_NS = 1e9 / 2**32
CHUNK = 128  # messages before a credit; two chunks are under way, a ring has room for four


def by_links(kernels: list[rk.Kernel]) -> str:
    """What was measured is only the device's own where all of it stayed there."""
    linked = sum(one.telemetry().linked for one in kernels)
    return f"{linked} messages in the device's memory"


@contextlib.contextmanager
def together(setting: Setting, *launches: tuple[Any, dict[str, Any]]) -> Iterator[list[rk.Kernel]]:
    """Kernels that know each other: all are there before the first is activated."""
    with setting.runtime() as rt:
        kernels = [rt.launch(handler, autostart=False, **options) for handler, options in launches]
        for kernel in kernels:
            kernel.activate(timeout=WAIT_S)
        yield kernels


def hops(setting: Setting) -> list[Figure]:
    """ping-pong between two kernels; each game is so long that the way from and to the host is nothing in it."""
    games, length = setting.count(200, 3), setting.count(2_000, 20)
    times, wrong = [], 0
    with together(setting, (make_player("ping", "pong"), {}), (make_player("pong", "ping"), {})) as (ping, pong):
        for _ in range(games):
            ball = Ball(left=length, hits=0, words=list(range(12)))
            begin = now()
            ping.send(ball)
            back = (pong if length % 2 else ping).receive(timeout=WAIT_S)
            times.append((now() - begin) / length * 1e9)
            wrong += back.hits != length + 1 or list(back.words) != list(ball.words)
        linked = by_links([ping, pong])
    tails = percentiles(times)
    counts = {"samples": games, "received": games * (length + 1), "wrong": wrong}
    note = f"games of {length} hops; one hop is a game's time / hops, the way from and to the host included; {linked}"
    grid = Figure("G5 grid", tails["p50"], tails, counts, note=note)
    why = "instances are blocks of one grid; the backend has no rings inside a {} yet"
    return [Figure(f"G5 {place}", why=why.format(place)) for place in ("block", "cluster")] + [grid]


def streams(setting: Setting, id: str, launches: list[Any], lanes: int, what: str) -> Figure:
    """The first kernel's instances send to those of the next ones; the last kernel tells the host when all is there."""
    count = setting.count(200_000, 64)
    chunk = 8 if setting.double else CHUNK
    options = {"instances": lanes, "capacity": 4 * chunk}
    repetitions = 2 if setting.double else 5
    seconds, received, bad = [], 0, {"wrong": 0, "reordered": 0}
    with together(setting, *((one, options) for one in launches)) as kernels:
        first, last = kernels[0], kernels[-1]
        for _ in range(repetitions):
            begin = now()
            with undisturbed():
                for lane in range(lanes):
                    first.send(Go(count, chunk), instance=lane)
                totals = [last.receive(timeout=WAIT_S) for _ in range(lanes)]
            seconds.append(now() - begin)
            received += sum(one.count for one in totals)
            bad = {key: sum(getattr(one, key) for one in totals) for key in bad}  # they count on
        linked = by_links(kernels)
    wanted = repetitions * lanes * count
    counts = {"received": received, "lost": max(0, wanted - received), "duplicated": max(0, received - wanted), **bad}
    note = f"{lanes} {what}, {count} messages each; credits after {chunk}, nothing may be dropped; {linked}"
    return rate(id, lanes * count, seconds, counts, note=note)


def widest(counts: tuple[int, ...], measure: Callable[[int], list[Figure]]) -> list[Figure]:
    """With as many instances as the device has room for."""
    for count in counts[:-1]:
        try:
            return measure(count)
        except rk.InsufficientSmsError:
            continue
    return measure(counts[-1])


def pairs(setting: Setting) -> list[Figure]:
    handlers = [make_pair_source(), make_pair_sink()]
    lanes = (2,) if setting.double else (66, 60, 30, 8)
    return widest(lanes, lambda n: [streams(setting, "G6", handlers, n, "pairs")])


def pipeline(setting: Setting) -> list[Figure]:
    stages = [make_first_stage(), make_middle_stage(2), make_middle_stage(3), make_last_stage()]
    lanes = (1,) if setting.double else (32, 28, 12, 4)
    return widest(lanes, lambda n: [streams(setting, "G8", stages, n, "pipelines of 4 stages")])


def fan_out(setting: Setting) -> list[Figure]:
    return widest((3,) if setting.double else (131, 127, 60, 16), lambda n: fan_out_to(setting, n))


def fan_out_to(setting: Setting, leaves: int) -> list[Figure]:
    """By the device's clock, which the hub and the leaves read."""
    samples = setting.count(5_000, 10)
    last, gathered, wrong = [], [], 0
    hub, leaf = (make_hub(setting.threads), {"capacity": 1024}), (make_leaf(), {"instances": leaves})
    with together(setting, hub, leaf) as (center, _):
        for _ in range(samples):
            center.send(Go(leaves, 0))
            found = center.receive(timeout=WAIT_S)
            wrong += found.acks != leaves
            last.append((found.last - found.sent) * NTP64_NS / 1e3)
            gathered.append((found.gathered - found.sent) * NTP64_NS / 1e3)
    steps = np.unique(np.diff(np.sort(np.asarray(last))))
    step = float(steps[steps > 0][0]) if (steps > 0).any() else 0.0
    counts = {"samples": samples, "received": samples * leaves, "wrong": wrong}
    tails = percentiles(last)
    note = f"{leaves} leaves; smallest difference of two samples {step * 1e3:.0f} ns"
    figure = Figure("G7", tails["p50"], tails, counts, note=note)
    later = percentiles(gathered)
    return [figure, derived("G7 gather", later["p50"], figure, tails=later, note=note)]


GROUPS = {"hops": hops, "pairs": pairs, "pipeline": pipeline, "fan_out": fan_out}
