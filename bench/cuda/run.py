#!/usr/bin/env python3
"""The benchmark of the CUDA backend: figures G1 to G13, floors, and what they are compared with.

    python bench/cuda/run.py --json FILE                on a GPU
    python bench/cuda/run.py --json FILE --double       on the doubles: counts and checks only
    python bench/cuda/run.py --only pairs pipeline      some groups

Each group runs in a process of its own, with a time limit: one that hangs or fails costs its own figures. What is
compared with each other runs in one process, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from figures import GOALS, Figure, Floor, judged
from gpu import GpuError, refuse_unnamed_doubles

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Group:
    """Goals whose id begins with one of `goals`; seconds that it may take on a GPU."""

    name: str
    goals: tuple[str, ...]
    limit_s: float
    module: str
    function: str = "group"


GROUPS = [
    Group("round_trip", ("G1", "G1 p99", "G1 ratio"), 40, "round_trip"),
    Group("calls", ("G2", "G2 asyncio", "G2 asyncio 64", "G2 send", "G10"), 60, "calls"),
    Group("batches", ("G3 64", "G3 256", "G3 1024", "G4 64", "G4 256", "G4 1024"), 60, "batches"),
    Group("hops", ("G5 block", "G5 cluster", "G5 grid"), 20, "links", "hops"),
    Group("pairs", ("G6",), 20, "links", "pairs"),
    Group("fan_out", ("G7", "G7 gather"), 20, "links", "fan_out"),
    Group("pipeline", ("G8",), 20, "links", "pipeline"),
    Group("created", ("G9 create", "G9 destroy"), 20, "life", "created"),
    Group("paused", ("G9 pause", "G9 resume"), 20, "life", "paused"),
    Group("restarted", ("G9 restart",), 20, "life", "restarted"),
    Group("drained", ("G11 drain",), 20, "life", "drained"),
    Group("stuck", ("G11 stuck", "G11 again"), 30, "life", "stuck"),
    Group("beside_torch", ("G12 matmul", "G12 sync"), 40, "beside", "beside_torch"),
    Group("idle", ("G13 idle", "G13 wake"), 45, "beside", "idle"),
]


def run_here(group: Group, options: argparse.Namespace) -> dict[str, Any]:
    """In this process."""
    import importlib

    from setting import Setting

    setting = Setting(options.backend, options.double, options.quick, options.seconds)
    measure: Callable[[Setting], Any] = getattr(importlib.import_module(group.module), group.function)
    found = measure(setting)
    figures, floors, about = found if isinstance(found, tuple) else (found, [], {})
    return {"figures": [asdict(one) for one in figures], "floors": [asdict(one) for one in floors], "about": about}


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def run_apart(group: Group, options: argparse.Namespace, limit_s: float) -> tuple[dict[str, Any], str]:
    """In a process of its own: what it found, and why it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / "run.py"), "--here", group.name, "--json", str(out)]
        command += ["--backend", options.backend, "--seconds", str(options.seconds)]
        command += ["--double"] * options.double + ["--quick"] * options.quick
        child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            _, errors = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            _, errors = child.communicate()
            return {}, f"it took longer than {limit_s:.0f} s and was ended"
        if errors and options.verbose:
            print(errors, file=sys.stderr)
        if out.exists():
            return json.loads(out.read_text()), ""
        return {}, last_line(errors) or f"its process ended with status {child.returncode}"


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    figures: list[Figure] = []
    floors: list[Floor] = []
    about: dict[str, Any] = {}
    end = time.monotonic() + options.limit
    for group in GROUPS:
        if options.only and group.name not in options.only:
            figures += [Figure(goal, why="its group was not asked for") for goal in group.goals]
            continue
        left = min(group.limit_s * (4 if options.double else 1), end - time.monotonic())
        begin = time.monotonic()
        found, why = run_apart(group, options, left) if left > 1 else ({}, "no time was left for it")
        print(f"{group.name:14} {time.monotonic() - begin:6.1f} s {why}", file=sys.stderr)
        figures += [Figure(**one) for one in found.get("figures", [])]
        have = {one["id"] for one in found.get("figures", [])}
        figures += [Figure(goal, why=why) for goal in group.goals if goal not in have]
        floors += [Floor(**one) for one in found.get("floors", [])]
        about |= found.get("about", {})
    rows = judged(figures, floors, options.double)
    floor_rows = [asdict(one) | ({"value": None} if options.double else {}) for one in floors]
    return {"figures": rows, "floors": floor_rows, "about": about}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--double", action="store_true", help="what answers is no GPU: timings are left out")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--only", nargs="+", choices=[group.name for group in GROUPS], metavar="GROUP")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the figure that runs for a while (G10)")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds for everything")
    parser.add_argument("--verbose", action="store_true", help="what the groups print to stderr")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> int:
    options = arguments()
    try:
        refuse_unnamed_doubles(options.double)
    except GpuError as error:
        print(error, file=sys.stderr)
        return 2
    if options.here:
        (group,) = (one for one in GROUPS if one.name == options.here)
        try:
            found = run_here(group, options)
        except Exception:
            traceback.print_exc()
            return 1
        options.json.write_text(json.dumps(found, default=float))
        return 0
    results = run_all(options)
    from tables import DOUBLE, figure_lines

    print(*([DOUBLE] if options.double else []), *figure_lines(results["figures"]), sep="\n")
    if options.json:
        label = {"label": DOUBLE} if options.double else {}
        options.json.write_text(json.dumps({**label, **results}, indent=1, default=float) + "\n")
    return 1 if any(one["verdict"] == "wrong" for one in results["figures"]) else 0


assert {goal for group in GROUPS for goal in group.goals} == {goal.id for goal in GOALS}

if __name__ == "__main__":
    sys.exit(main())
