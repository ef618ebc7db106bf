"""The figures of the CUDA benchmark: what is wanted, what was measured, and what became of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

NOT_ON_DOUBLE = "not measured (double)"
RAN = "ran (double: no figure)"


@dataclass(frozen=True)
class Goal:
    """sense: "<=" or ">="; limit None: the figure is only reported. floor: name of what physics allows, in floors."""

    id: str
    what: str
    unit: str
    limit: float | None = None
    sense: str = "<="
    floor: str = ""


# Set before anything was measured. A figure that misses its goal stays in the table as missed.
GOALS = [
    Goal("G1", "round trip of 64 B, C loop, p50", "us", 2.5, "<=", "round trip"),
    Goal("G1 p99", "the same, p99", "us", 5.0, "<=", "round trip"),
    Goal("G1 ratio", "best baseline of (a) to (d) over ours, p50", "times", 3.0, ">="),
    Goal("G1 floor", "the same p50 over that of the bare mailbox", "times", 1.5, "<="),
    Goal("G2", "call() in Python, 64 B, p50", "us", 3.0, "<=", "round trip"),
    Goal("G2 over C", "what Python adds to the loop in C, p50", "us", 0.3, "<="),
    Goal("G2 ratio", "best launch and wait of another Python package over call(), p50", "times", None, ">="),
    Goal("G2 asyncio", "await ask(), one at a time, p50", "us", 12.0, "<=", "round trip"),
    Goal("G2 asyncio 64", "await of 64 at once, a message", "us", 1.0, "<="),
    Goal("G2 send", "send(), one call a message", "M/s", 10.0, ">="),
    Goal("G3 64", "host to kernel, send_many, 64 B", "M/s", 50.0, ">=", "PCIe read, 64 B"),
    Goal("G3 256", "host to kernel, send_many, 256 B", "M/s", 30.0, ">=", "PCIe read, 256 B"),
    Goal("G3 1024", "host to kernel, send_many, 1024 B", "M/s", 15.0, ">=", "PCIe read, 1024 B"),
    Goal("G3 share", "host to kernel, 1024 B: part of what the bus can do", "times", 0.5, ">="),
    Goal("G4 64", "kernel to host, receive_many, 64 B", "M/s", 40.0, ">=", "PCIe write, 64 B"),
    Goal("G4 256", "kernel to host, receive_many, 256 B", "M/s", 25.0, ">=", "PCIe write, 256 B"),
    Goal("G4 1024", "kernel to host, receive_many, 1024 B", "M/s", 15.0, ">=", "PCIe write, 1024 B"),
    Goal("G5 block", "hop between kernels of one block", "ns", 50.0, "<="),
    Goal("G5 cluster", "hop between kernels of one cluster", "ns", 150.0, "<="),
    Goal("G5 grid", "hop between two kernels, ping-pong / 2", "ns", 450.0, "<=", "L2 hop"),
    Goal("G5 block bare", "the same without handlers: two warps of a block", "ns", 50.0, "<="),
    Goal("G5 cluster bare", "two blocks of a cluster", "ns", 150.0, "<="),
    Goal("G5 grid bare", "two blocks, tagged units", "ns", 450.0, "<=", "L2 hop"),
    Goal("G5 grid bare, release", "two blocks, release and acquire", "ns", 900.0, "<=", "L2 hop"),
    Goal("G6", "66 pairs of instances, 64 B", "M/s", 1000.0, ">=", "pairs, bare"),
    Goal("G7", "1 to 131 instances: the last one has it", "us", 1.0, "<=", "fan-out, bare"),
    Goal("G7 gather", "until 131 acknowledgements are in one place", "us", 2.5, "<=", "gather, bare"),
    Goal("G8", "pipeline of 4 stages, 32 B", "M/s", 50.0, ">="),
    Goal("G9 create", "launch() until the device has begun", "us", 3.0, "<="),
    Goal("G9 restart", "restart of a failed instance, until it answers", "us", 5.0, "<=", "round trip"),
    Goal("G9 destroy", "terminate(), until the device has left", "us", 5.0, "<="),
    Goal("G9 pause", "deactivate(), acknowledged by the device", "us", None, "<=", "round trip"),
    Goal("G9 resume", "activate(), acknowledged by the device", "us", None, "<=", "round trip"),
    Goal("G10", "p99.9 over p50 of G2 while it runs on", "times", 3.0, "<="),
    Goal("G10 load", "p99.9 over p50 of batches and calls at 80 % of the peak", "times", 3.0, "<="),
    Goal("G11 drain", "terminate() of a kernel with 256 messages, after the last one", "us", 50.0, "<="),
    Goal("G11 stuck", "a handler that does not end is noticed", "ms", 100.0, "<="),
    Goal("G11 again", "until the device answers again afterwards", "ms", 2000.0, "<="),
    Goal("G11 host", "a process is killed, until another is answered", "ms", 2000.0, "<="),
    Goal("G12 matmul", "torch matmul beside 4 resident blocks, slower by", "%", 6.0, "<="),
    Goal("G12 sync", "torch.cuda.synchronize() while resident, longest", "ms", None, "<="),
    Goal("G12 storm", "cuMemAlloc and cuMemFree while resident, longest", "ms", None, "<="),
    Goal("G13 idle", "power of an idle resident kernel above none", "W", None, "<="),
    Goal("G13 wake", "wake-up after 1 s without messages, p50", "us", 20.0, "<=", "round trip"),
]
# Goals that nobody measures: they compare figures and floors of several groups.
DERIVED = ("G1 floor", "G2 over C", "G3 share")
GOAL_OF = {goal.id: goal for goal in GOALS}

# Counts that must be 0 for a figure to count at all.
FAULTS = ("wrong", "lost", "duplicated", "reordered")


@dataclass
class Figure:
    """One measurement. value: in the goal's unit, None when it could not be measured; `why` says why.

    tails: p50, p99, p99.9, max in the same unit. counts: samples, received, and FAULTS. against: name -> tails of what
    was measured in turn with it, in one process.
    """

    id: str
    value: float | None = None
    tails: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    against: dict[str, dict[str, float]] = field(default_factory=dict)
    why: str = ""
    note: str = ""


@dataclass
class Floor:
    """What physics allows, measured in the same run."""

    name: str
    value: float | None
    unit: str
    how: str
    why: str = ""


def faults(figure: dict[str, Any]) -> dict[str, int]:
    return {name: figure["counts"][name] for name in FAULTS if figure["counts"].get(name)}


def verdict(figure: dict[str, Any]) -> str:
    """ "wrong" beats everything: a number of messages that did not arrive whole is no number."""
    goal = GOAL_OF[figure["id"]]
    if faults(figure):
        return "wrong"
    if figure["value"] is None:
        return "not measured"
    if goal.limit is None:
        return "reported"
    met = figure["value"] <= goal.limit if goal.sense == "<=" else figure["value"] >= goal.limit
    return "met" if met else "missed"


def without_timings(figure: Figure) -> Figure:
    """On a double only what was counted and checked means something."""
    names: dict[str, dict[str, float]] = {key: {} for key in figure.against}
    why = figure.why or (RAN if figure.value is not None else NOT_ON_DOUBLE)
    return dataclasses.replace(figure, value=None, tails={}, against=names, why=why, note="")


NS_OF = {"ns": 1.0, "us": 1e3, "ms": 1e6}


def in_unit(floor: Floor | None, unit: str) -> float | None:
    """A floor's value in a goal's unit."""
    if floor is None or floor.value is None or floor.unit == unit:
        return floor.value if floor else None
    return floor.value * NS_OF[floor.unit] / NS_OF[unit]


def derived_of(figures: list[Figure], floors: list[Floor], double: bool) -> list[Figure]:
    """DERIVED, from what was measured; or why not."""
    values = {one.id: one.value for one in figures} | {one.name: one.value for one in floors}
    made = []
    for id, of, to in (
        ("G1 floor", "G1", "round trip"),
        ("G2 over C", "G2", "G1"),
        ("G3 share", "G3 1024", "PCIe read, 1024 B"),
    ):
        a, b = values.get(of), values.get(to)
        if double:
            made.append(Figure(id, why=NOT_ON_DOUBLE))
        elif a is None or not b:
            made.append(Figure(id, why=f"{of if a is None else to} was not measured"))
        else:
            made.append(Figure(id, a - b if id == "G2 over C" else a / b, note=f"from {of} and {to}"))
    return made


def judged(figures: list[Figure], floors: list[Floor], double: bool) -> list[dict[str, Any]]:
    """One entry a goal, in the goals' order, with floor, ratio and verdict; also for what nobody measured."""
    known = {one.name: one for one in floors}
    found = {one.id: without_timings(one) if double else one for one in figures}
    rows = []
    for goal in GOALS:
        figure = found.get(goal.id) or Figure(goal.id, why="its program did not come to it")
        row = {**dataclasses.asdict(goal), **dataclasses.asdict(figure)}
        at = in_unit(known.get(goal.floor), goal.unit)
        row["floor_value"] = None if double else at
        row["floor_ratio"] = row["value"] / at if row["value"] is not None and at and not double else None
        row["verdict"] = verdict(row)
        rows.append(row)
    return rows


def percentiles(samples: Any) -> dict[str, float]:
    """p50, p99, p99.9, min and max of an array; the highest ones only where there are samples enough for them."""
    import numpy as np

    values = np.sort(np.asarray(samples, dtype=np.float64))
    if not len(values):
        return {}
    wanted = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    enough = {name: share for name, share in wanted.items() if len(values) * (1 - share) >= 1 or share == 0.5}
    found = {name: float(values[min(int(share * len(values)), len(values) - 1)]) for name, share in enough.items()}
    return found | {"min": float(values[0]), "max": float(values[-1])}
