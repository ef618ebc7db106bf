"""What the programs say of the protocol: each bad outcome forbidden, each weakening of the table seen by some program."""

from __future__ import annotations

import functools
from collections import Counter

from .edges import ACCESSES, EDGES, MEETINGS, Text, Weakening, weakenings
from .model import Program, outcomes
from .programs import LITMUS, Litmus


def bad_outcome(litmus: Litmus, weakening: Weakening | None = None) -> bool:
    return outcomes(Program(litmus.threads(Text(weakening))), litmus.bad)


@functools.lru_cache(maxsize=1)
def programs_of() -> dict[str, list[Litmus]]:
    """Which programs contain an access, or a meeting."""
    found: dict[str, list[Litmus]] = {key: [] for key in [*ACCESSES, *MEETINGS]}
    for litmus in LITMUS:
        text = Text()
        litmus.threads(text)
        for key in text.used:
            found[key].append(litmus)
    return found


def caught_by(weakening: Weakening) -> list[str]:
    return [litmus.name for litmus in programs_of()[weakening.key] if bad_outcome(litmus, weakening)]


def table() -> str:
    planted, caught = Counter[str](), Counter[str]()
    for weakening in weakenings():
        edge = weakening.key.partition(".")[0]
        planted[edge] += 1
        caught[edge] += bool(caught_by(weakening))
    programs = Counter(litmus.edge for litmus in LITMUS)
    lines = ["edge  programs  weakenings  caught"]
    lines += [f"{edge:5} {programs[edge]:8} {planted[edge]:11} {caught[edge]:7}  {EDGES[edge]}" for edge in EDGES]
    lines.append(f"edges {len(EDGES)}, weakenings {planted.total()}, caught {caught.total()}")
    return "\n".join(lines)
