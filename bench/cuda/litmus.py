#!/usr/bin/env python3
"""The protocol's message passing patterns on the device, counted: forbidden outcomes must be 0. Then the same with what
a missing order may do, done on purpose: that must be noticed, or the test is blind.

python bench/cuda/litmus.py [--double] [--seconds 10] [--json FILE] [--no-plants]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gpu import Gpu, GpuError, HostMemory, open_gpu
from litmus_edges import PLANTS, TESTS, Test
from loop import build

CELL, UNIT = 128, 16
SETTLE_NS = 50_000  # until kernels that were launched are there; threads of a double take longer
Round = Callable[[int], None]


@dataclass
class Outcome:
    """seen: how often a flag was seen in time and its data looked at. forbidden: of these, with data that was old.

    plants: forbidden ones with weaker orders, and with what those may do; blind: what had to be noticed and was not.
    """

    name: str
    scope: str
    edges: list[str]
    rounds: int = 0
    seen: int = 0
    forbidden: int = 0
    why: str = ""
    plants: dict[str, int] = field(default_factory=dict)
    blind: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sizes:
    cells: int
    threads: int
    patience_ns: int
    few: int  # cells of tests whose receiver looks at all of them again and again


GPU = Sizes(cells=1 << 14, threads=256, patience_ns=2_000_000_000, few=2048)
DOUBLE = Sizes(cells=1024, threads=2, patience_ns=10_000_000_000, few=512)


class Bench:
    """Memory and counters that all tests use in turn."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.size = gpu, DOUBLE if gpu.double else GPU
        self.library = ctypes.CDLL(str(build()))
        self.cells = gpu.memory(self.size.cells * CELL)
        self.out, self.word = gpu.memory(4096), gpu.memory(4096)
        self.host = HostMemory(gpu, self.size.cells * (CELL + UNIT))
        self.counts = (ctypes.c_uint64 * 2)()
        self.before = ""

    @property
    def units(self) -> int:
        """Of the host's memory: how far behind the cells they are."""
        return self.size.cells * CELL

    def start(self, test: Test, *values: int, kernel: str = "", threads: int = 0) -> None:
        function = self.gpu.function(test.file, kernel or test.kernel, self.before)
        many = threads or (test.threads if test.threads and not self.gpu.double else self.size.threads)
        self.gpu.launch(function, test.blocks, many, *values, self.size.patience_ns, self.out, together=True)

    def host_part(self, name: str, *offsets: int, round_number: int, count: bool = False) -> None:
        at = [ctypes.c_void_p(self.host.address + offset) for offset in offsets]
        more = [ctypes.c_uint64(self.size.cells), ctypes.c_uint32(round_number)]
        getattr(self.library, f"rk_loop_{name}")(*at, *more, *([self.counts] if count else []))

    def settle(self) -> None:
        self.library.rk_loop_settle(ctypes.c_uint64(SETTLE_NS * (100 if self.gpu.double else 1)))

    def clear(self) -> None:
        self.gpu.zero(self.out, 4096)
        self.counts[0] = self.counts[1] = 0

    # -- what a round is: each takes its number, from 1

    def kept(self, test: Test) -> Round:
        """Cells keep what the round before left in them."""

        def one(round_number: int) -> None:
            if round_number == 1:
                self.gpu.zero(self.cells, self.size.cells * CELL)
            self.start(test, self.cells, self.size.cells, round_number)

        return one

    def fresh(self, test: Test) -> Round:
        """With fresh cells and a fresh word."""

        def one(_: int) -> None:
            self.gpu.zero(self.cells, self.size.few * CELL)
            self.gpu.zero(self.word, 4096)
            self.start(test, self.cells, self.size.few, self.word)

        return one

    def leases(self, test: Test) -> Round:
        """Two kernels, one behind the other; planted: the second one first."""

        def one(round_number: int) -> None:
            order = ["one_lease", "next_lease"]
            for kernel in reversed(order) if "2" in self.before else order:
                self.start(test, self.cells, self.size.cells, round_number, kernel=kernel)

        return one

    def checked_by_host(self, test: Test) -> Round:
        part = "check_units" if "unit" in test.kernel else "check_cells"

        def one(round_number: int) -> None:
            if round_number == 1:
                self.host.clear()
                self.gpu.zero(self.cells, self.size.cells * CELL)
            left = [self.cells] if test.kernel == "left_to_host" else []
            self.start(test, self.host.device, self.size.cells, round_number, *left)
            self.host_part(part, 0, round_number=round_number, count=True)

        return one

    def filled_by_host(self, test: Test) -> Round:
        part = "fill_units" if "unit" in test.kernel else "fill_cells"

        def one(round_number: int) -> None:
            if round_number == 1:
                self.host.clear()
            self.start(test, self.host.device, self.size.cells, round_number)
            self.settle()
            self.host_part(part, 0, round_number=round_number)

        return one

    def both(self, test: Test) -> Round:
        """Units of the host behind its cells, and cells of the device."""
        part = "fill_ways" if test.kernel == "way" else "answer_taken"

        def one(round_number: int) -> None:
            if round_number == 1:
                self.host.clear()
                self.gpu.zero(self.cells, self.size.cells * CELL)
            at = (self.host.device, self.host.device + self.units)
            self.start(test, *at, self.size.cells, round_number, self.cells)
            self.settle()
            self.host_part(part, 0, self.units, round_number=round_number)

        return one

    def told_by_unit(self, test: Test) -> Round:
        """Cells and units of the host; it looks at a cell when the unit is there."""

        def one(round_number: int) -> None:
            if round_number == 1:
                self.host.clear()
            self.start(test, self.host.device, self.host.device + self.units, self.size.cells, round_number)
            self.host_part("check_ended", 0, self.units, round_number=round_number, count=True)

        return one

    # -- runs

    def run(self, test: Test, seconds: float, most: int, until_noticed: bool = False) -> tuple[int, int, int]:
        """Rounds, seen, forbidden."""
        self.clear()
        one: Round = getattr(self, test.how)(test)
        end, rounds = time.monotonic() + seconds, 0
        while True:
            rounds += 1
            one(rounds)
            self.gpu.wait()
            seen, forbidden = self.gpu.read(self.out, 2)
            noticed = until_noticed and forbidden + self.counts[1] != 0
            if noticed or rounds == most or time.monotonic() > end:
                return rounds, seen + self.counts[0], forbidden + self.counts[1]

    def outcome(self, test: Test, seconds: float, plants: bool) -> Outcome:
        made = Outcome(test.name, test.scope, list(test.edges))
        try:
            self.before = ""
            made.rounds, made.seen, made.forbidden = self.run(test, seconds, 2 if self.gpu.double else 10_000)
            if made.seen == 0:
                made.why = "no flag was seen in time: nothing was tested"
            for plant, number in PLANTS.items() if plants else ():
                if plant != "weak" and plant not in test.plants:
                    continue
                self.before = f"#define RK_PLANT {number}\n"
                planted_s = 0.05 if plant == "weak" else 15.0 if self.gpu.double else 1.0
                _, _, made.plants[plant] = self.run(test, planted_s, 500, until_noticed=plant != "weak")
        except GpuError as error:
            made.why = str(error)
        made.blind = [plant for plant in test.plants if plants and not made.plants.get(plant)]
        return made


def run_all(gpu: Gpu, seconds: float, plants: bool) -> list[Outcome]:
    bench = Bench(gpu)
    return [bench.outcome(test, seconds / len(TESTS), plants) for test in TESTS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--double", action="store_true", help="what answers is no GPU")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-plants", action="store_true", help="only what must not be")
    options = parser.parse_args()
    try:
        found = run_all(open_gpu(options.double), options.seconds, not options.no_plants)
    except GpuError as error:
        print(f"no litmus test was run: {error}", file=sys.stderr)
        return 2
    for one in found:
        state = one.why or f"{one.rounds} rounds, {one.seen} seen, {one.forbidden} forbidden"
        planted = ", ".join(f"{name} {count}" for name, count in one.plants.items())
        blind = f"; NOT NOTICED: {', '.join(one.blind)}" if one.blind else ""
        print(f"{one.name:44} {one.scope:4} {state}; planted: {planted}{blind}")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 1 if any(one.forbidden or one.why or one.blind for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
