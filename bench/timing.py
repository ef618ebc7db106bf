"""Interleaved timing for the Python scenarios: every round measures every candidate once, in a new random order."""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Candidate:
    """`run(n)` does the work n times and returns seconds: of all of it, or of each time, which gives a p99, too."""

    scenario: str
    name: str
    run: Callable[[int], float | list[float]]
    count: int
    ours: bool = False
    unit: str = "ns"
    scale: float = 1e9


def loop(statement: str, names: dict[str, Any], unroll: int = 10) -> Callable[[int], float]:
    """A loop over `statement`, unrolled so that the loop itself costs little; `_i` counts."""
    body = "\n".join("        " + statement for _ in range(unroll))
    source = (
        f"def run(n):\n    start = clock()\n    for _i in range(n // {unroll}):\n{body}\n    return clock() - start\n"
    )
    scope: dict[str, Any] = {"clock": time.perf_counter, **names}
    exec(source, scope)
    run: Callable[[int], float] = scope["run"]
    return run


def measure(candidates: list[Candidate], rounds: int) -> list[dict[str, Any]]:
    """Medians and inter-quartile ranges, one row a candidate."""
    samples: dict[int, list[float]] = {i: [] for i in range(len(candidates))}
    tails: dict[int, list[float]] = {i: [] for i in range(len(candidates))}
    for round_number in range(rounds + 1):
        order = list(range(len(candidates)))
        random.shuffle(order)
        for i in order:
            one = candidates[i]
            gc.collect()
            gc.disable()
            try:
                took = one.run(one.count)
            finally:
                gc.enable()
            if not round_number:  # the first round warms up
                continue
            if isinstance(took, list):
                samples[i].append(statistics.median(took) * one.scale)
                tails[i].append(statistics.quantiles(took, n=100)[-1] * one.scale)
            else:
                samples[i].append(took / one.count * one.scale)
    rows: list[dict[str, Any]] = []
    for i, one in enumerate(candidates):
        low, middle, high = statistics.quantiles(samples[i], n=4)
        rows.append(
            {
                "scenario": one.scenario,
                "name": one.name,
                "unit": one.unit,
                "median": middle,
                "iqr": high - low,
                "ours": one.ours,
            }
        )
        if tails[i]:
            rows[-1]["p99"] = statistics.median(tails[i])
    return rows


def main(build: Callable[[bool], list[Candidate]], extra: Callable[[], list[dict[str, Any]]] | None = None) -> None:
    """The command line of a scenario: --json FILE, --quick."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = measure(build(options.quick), 3 if options.quick else 15) + (extra() if extra else [])
    for row in rows:
        print(f"{row['scenario']:24} {row['name']:34} {row['median']:12.1f} ± {row['iqr']:.1f} {row['unit']}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1))
