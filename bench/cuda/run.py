#!/usr/bin/env python3
"""The benchmark of the CUDA backend: figures G1 to G13, floors, and what they are compared with.

    python bench/cuda/run.py --json FILE                on a GPU
    python bench/cuda/run.py --json FILE --double       on the doubles: counts and checks only
    python bench/cuda/run.py --only pairs pipeline      some groups; with --keep, what FILE has of the others stays

Each group runs in a process of its own, with a time limit: one that hangs or fails costs its own figures, and of those
only what it had not come to. FILE is written after each group. What is compared with each other runs in one process,
in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from commands import last_line
from commands import run as run_command
from figures import DERIVED, GOALS, Figure, Floor, derived_of, judged, without_timings
from gpu import GpuError, refuse_unnamed_doubles

HERE = Path(__file__).resolve().parent
# PyTorch and its like load all their kernels at once otherwise, which takes half a minute.
LAZILY = {"CUDA_MODULE_LOADING": "LAZY"}


@dataclass(frozen=True)
class Group:
    """Its goals; seconds that it may take on a GPU, about twice what it is thought to need."""

    name: str
    goals: tuple[str, ...]
    limit_s: float
    module: str
    function: str = "group"
    environment: dict[str, str] = field(default_factory=dict)


GROUPS = [
    Group("round_trip", ("G1", "G1 p99", "G1 ratio"), 60, "round_trip"),
    Group("calls", ("G2", "G2 asyncio", "G2 asyncio 64", "G2 send", "G10", "G10 load"), 120, "calls"),
    Group("launchers", ("G2 ratio",), 80, "launchers", environment=LAZILY),
    Group("batches", ("G3 64", "G3 256", "G3 1024", "G4 64", "G4 256", "G4 1024"), 80, "batches"),
    Group("bare", ("G5 block bare", "G5 cluster bare", "G5 grid bare", "G5 grid bare, release"), 40, "hops"),
    Group("hops", ("G5 block", "G5 cluster", "G5 grid"), 30, "links", "hops"),
    Group("pairs", ("G6",), 40, "links", "pairs"),
    Group("fan_out", ("G7", "G7 gather"), 30, "links", "fan_out"),
    Group("pipeline", ("G8",), 40, "links", "pipeline"),
    Group("created", ("G9 create", "G9 destroy"), 30, "life", "created"),
    Group("paused", ("G9 pause", "G9 resume"), 30, "life", "paused"),
    Group("restarted", ("G9 restart",), 30, "life", "restarted"),
    Group("drained", ("G11 drain",), 30, "life", "drained"),
    Group("stuck", ("G11 stuck", "G11 again"), 30, "life", "stuck"),
    Group("killed", ("G11 host",), 60, "life", "killed"),
    Group("storm", ("G12 storm",), 40, "beside", "storm"),
    Group("beside_torch", ("G12 matmul", "G12 sync"), 80, "beside", "beside_torch", LAZILY),
    Group("idle", ("G13 idle", "G13 wake"), 60, "beside", "idle"),
]


# -- in a group's process ----------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """What numpy calls a number, as Python does."""
    return value.item() if hasattr(value, "item") else str(value)


def write_json(path: Path, what: Any) -> None:
    """At once: who reads it meanwhile finds the last one."""
    made = path.with_suffix(f".{os.getpid()}")
    made.write_text(json.dumps(what, indent=1, default=plain) + "\n")
    made.replace(path)


def run_here(group: Group, options: argparse.Namespace) -> None:
    """In this process. A group gives figures, floors, and what it knows of the machine, one by one or all at once."""
    from setting import Setting

    setting = Setting(options.backend, options.double, options.quick, options.seconds)
    found: dict[str, Any] = {"figures": [], "floors": [], "about": {}}
    given: Iterable[Figure | Floor | dict[str, Any]] = getattr(importlib.import_module(group.module), group.function)(
        setting
    )
    for one in given:
        if isinstance(one, dict):
            found["about"] |= one
        else:
            found["figures" if isinstance(one, Figure) else "floors"].append(asdict(one))
        write_json(options.json, found)


def run_apart(group: Group, options: argparse.Namespace, limit_s: float) -> dict[str, Any]:
    """In a process of its own: what it found, and why it found no more."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "found.json", Path(folder) / "log"
        command = [sys.executable, str(HERE / "run.py"), "--here", group.name, "--json", str(out)]
        command += ["--backend", options.backend, "--seconds", str(options.seconds)]
        command += ["--double"] * options.double + ["--quick"] * options.quick
        status, text = run_command(command, log, limit_s, {**os.environ, **group.environment})
        found = {"figures": [], "floors": [], "about": {}, "why": ""}
        with contextlib.suppress(OSError):
            found |= json.loads(out.read_text())
    if status is None:
        found["why"] = f"it took longer than {limit_s:.0f} s and was ended"
    elif status != 0:
        found["why"] = last_line(text, 300) or f"its process ended with status {status}"
    if found["why"] or options.verbose:
        print(text, file=sys.stderr)
    return found


# -- all groups --------------------------------------------------------------------------------------------------------


def without_any_timing(found: dict[str, Any]) -> dict[str, Any]:
    """As without_timings, of all that a group found on a double."""
    figures = [asdict(without_timings(Figure(**one))) for one in found["figures"]]
    return {**found, "figures": figures, "floors": [{**one, "value": None} for one in found["floors"]]}


def results_of(groups: dict[str, Any], double: bool) -> dict[str, Any]:
    """One row for each goal, whatever was measured."""
    figures: list[Figure] = []
    floors: list[Floor] = []
    about: dict[str, Any] = {}
    for group in GROUPS:
        found = groups.get(group.name, {"figures": [], "floors": [], "about": {}, "why": "its group was not run"})
        have = {one["id"] for one in found["figures"]}
        figures += [Figure(goal, why=found["why"]) for goal in group.goals if goal not in have]
        figures += [Figure(**one) for one in found["figures"]]
        floors += [Floor(**one) for one in found["floors"]]
        about |= found["about"]
    rows = judged([*figures, *derived_of(figures, floors, double)], floors, double)
    return {"groups": groups, "figures": rows, "floors": [asdict(one) for one in floors], "about": about}


def kept(options: argparse.Namespace) -> dict[str, Any]:
    """The groups of a run before, for those that are not run now."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        before: dict[str, Any] = json.loads(options.json.read_text())["groups"] if options.keep else {}
        return {group.name: before[group.name] for group in GROUPS if group.name in before}
    return {}


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    from tables import DOUBLE

    label = {"label": DOUBLE} if options.double else {}
    groups = kept(options)
    wanted = [group for group in GROUPS if not options.only or group.name in options.only]
    for group in wanted:
        groups.pop(group.name, None)
    end = time.monotonic() + options.limit
    results = {**label, **results_of(groups, options.double)}
    for group in wanted:
        limit_s = group.limit_s + (2 * max(0.0, options.seconds - 20.0) if "G10" in group.goals else 0.0)
        left = min(limit_s * (4 if options.double else 1), end - time.monotonic())
        begin = time.monotonic()
        nothing = {"figures": [], "floors": [], "about": {}, "why": "no time was left for it"}
        found = run_apart(group, options, left) if left > 3 else nothing
        groups[group.name] = without_any_timing(found) if options.double else found
        print(f"{group.name:14} {time.monotonic() - begin:6.1f} s {found['why']}", file=sys.stderr, flush=True)
        results = {**label, **results_of(groups, options.double)}
        if options.json:
            write_json(options.json, results)
    return results


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--double", action="store_true", help="what answers is no GPU: timings are left out")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--only", nargs="+", choices=[group.name for group in GROUPS], metavar="GROUP")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each figure that runs for a while (G10)")
    parser.add_argument("--limit", type=float, default=480.0, help="seconds for everything")
    parser.add_argument("--verbose", action="store_true", help="what the groups print to stderr")
    parser.add_argument("--keep", action="store_true", help="what the file has of groups that are not run now")
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
            run_here(group, options)
        except Exception:
            traceback.print_exc()
            return 1
        return 0
    results = run_all(options)
    from tables import DOUBLE, figure_lines

    print(*([DOUBLE] if options.double else []), *figure_lines(results["figures"]), sep="\n")
    wrong = any(one["verdict"] == "wrong" for one in results["figures"])
    broken = [name for name, found in results["groups"].items() if found["why"]]
    if broken:
        print(f"groups that did not end as they should: {', '.join(broken)}")
    return 1 if wrong or broken else 0


assert {goal for group in GROUPS for goal in group.goals} | set(DERIVED) == {goal.id for goal in GOALS}

if __name__ == "__main__":
    sys.exit(main())
