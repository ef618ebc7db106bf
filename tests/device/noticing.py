"""Who notices what: for each edge, the model checker, the golden PTX, and the litmus tests that run. As a script it
prints the table of docs/verification.md."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_text import KERNELS, Device, planted_calls, planted_primitives, resident_text
from litmus.edges import ACCESSES, EDGES, weakenings
from litmus.programs import LITMUS
from litmus.report import caught_by

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "cuda"))


def runs() -> Any:
    """The litmus tests that run on a device."""
    import litmus_edges

    return litmus_edges.TESTS


@dataclass
class Row:
    """planted: weaker accesses of the edge table; model: how many of them a litmus program sees. texts: weaker texts of
    the device code, which the golden PTX notices, every one. runs: tests that run; host: accesses of the host only."""

    edge: str
    programs: int
    planted: int
    model: int
    texts: int
    runs: list[str]


def rows() -> list[Row]:
    planted, model = Counter[str](), Counter[str]()
    for weakening in weakenings():
        edge = weakening.key.partition(".")[0]
        planted[edge] += 1
        model[edge] += bool(caught_by(weakening))
    sources = Device(KERNELS, resident_text()).sources()
    texts = Counter(label for one in (*planted_calls(sources), *planted_primitives(sources)) for label in one.labels)
    programs = Counter(litmus.edge for litmus in LITMUS)
    return [
        Row(
            edge,
            programs[edge],
            planted[edge],
            model[edge],
            texts[edge],
            [test.kernel for test in runs() if edge in test.edges],
        )
        for edge in EDGES
    ]


def unnoticed() -> list[str]:
    """Weaker accesses that neither the model nor the golden PTX notices. The PTX of a device's access has its order and
    scope in it, so that any other text differs; the host's accesses are for the model alone."""
    return [
        str(weakening)
        for weakening in weakenings()
        if not caught_by(weakening) and (weakening.key not in ACCESSES or ACCESSES[weakening.key].host)
    ]


def table() -> str:
    lines = [
        "| edge | model: weaker accesses noticed | golden PTX: weaker texts noticed | run: tests |",
        "|---|---|---|---|",
    ]
    for row in rows():
        model = f"{row.model} of {row.planted}, by {row.programs}"
        lines.append(f"| {row.edge} | {model} | {row.texts} | {', '.join(f'`{name}`' for name in row.runs)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
