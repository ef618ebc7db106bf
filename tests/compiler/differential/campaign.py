"""A long differential run: programs by seed, in chunks, by as many processes as there are jobs."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .engines import ENGINES
from .generate import Case, generate
from .ir_coverage import everything, used
from .ir_programs import generate_ir
from .reduce import reduce
from .runner import Mismatch, check

CHUNK = 50


@dataclass
class Result:
    """Of some programs."""

    programs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    reports: list[tuple[str, str, int | None]] = field(default_factory=list)  # engine, text, seed

    def add(self, other: Result) -> None:
        """Of more programs."""
        self.programs += other.programs
        self.counts += other.counts
        self.used += other.used
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.reports += other.reports


def run_chunk(first: int, count: int, engines: tuple[str, ...], level: str) -> Result:
    """Programs of `count` seeds from `first` on."""
    result = Result(count)
    made = generate if level == "source" else generate_ir
    cases = [made(seed) for seed in range(first, first + count)]
    done, wrong, counts = check(cases, {name: ENGINES[name] for name in engines}, result.seconds)
    result.counts.update(counts)
    for one in done:
        result.used += used(one.program)
    if count == 1 and level == "source":
        wrong = [reduced(one) for one in wrong]
    result.reports = [(one.engine, one.report(), one.case.seed) for one in wrong]
    return result


def reduced(wrong: Mismatch) -> Mismatch:
    """The same difference in a smaller program: it begins with the same words."""
    engines = {wrong.engine: ENGINES[wrong.engine]} if wrong.engine in ENGINES else {}
    begin = wrong.found.split(":")[0]
    last = wrong

    def fails(case: Case) -> bool:
        nonlocal last
        found = [one for one in check([case], engines)[1] if one.engine == wrong.engine and one.found.startswith(begin)]
        last = found[0] if found else last
        return bool(found)

    reduce(wrong.case, fails)
    return last


def _run_chunk(given: tuple[int, int, tuple[str, ...], str]) -> Result:
    return run_chunk(*given)


def run(
    first: int,
    programs: int,
    engines: tuple[str, ...],
    jobs: int,
    folder: Path,
    say: Callable[[str], None],
    level: str = "source",
) -> Result:
    """All of them; `level`: "source" or "ir". Writes mismatches to `folder` as they are found."""
    total, begin = Result(), time.monotonic()
    chunks = [(at, min(CHUNK, first + programs - at), engines, level) for at in range(first, first + programs, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(
        jobs, maxtasksperchild=10
    ) as pool:  # what is compiled stays in memory
        for result in pool.imap_unordered(_run_chunk, chunks):
            total.add(result)
            for engine, text, seed in result.reports:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{level}-{engine}-{seed}.txt").write_text(text)
                say(f"MISMATCH {text.splitlines()[0]}")
            rate = total.programs / (time.monotonic() - begin)
            say(f"{total.programs} of {programs} programs, {len(total.reports)} mismatches, {rate:.1f} a second")
    return total


def summary(total: Result) -> list[str]:
    """Lines about engines and about what was not used."""
    lines = [
        f"{name}: {count} programs, {total.seconds.get(name, 0.0):.1f} s"
        for name, count in sorted(total.counts.items())
    ]
    missing = sorted(everything() - total.used.keys())
    lines.append(f"{len(total.used)} kinds of nodes, operators and types; never used: {', '.join(missing) or 'none'}")
    return lines
