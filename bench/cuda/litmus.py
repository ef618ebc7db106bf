#!/usr/bin/env python3
"""The protocol's message passing patterns on the device, counted: forbidden outcomes must be 0.

python bench/cuda/litmus.py [--double] [--seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from gpu import Gpu, GpuError, HostMemory, open_gpu
from loop import build

CELL = 128
SETTLE_NS = 50_000


@dataclass
class Outcome:
    """seen: how often a flag was seen in time and its data looked at. forbidden: of these, with data that was old."""

    name: str
    scope: str
    rounds: int = 0
    seen: int = 0
    forbidden: int = 0
    why: str = ""


@dataclass(frozen=True)
class Sizes:
    cells: int
    threads: int
    patience_ns: int
    few: int  # cells of tests whose receiver looks at all of them again and again


GPU = Sizes(cells=1 << 14, threads=256, patience_ns=2_000_000_000, few=2048)
DOUBLE = Sizes(cells=2048, threads=2, patience_ns=10_000_000_000, few=1024)


class Bench:
    """Memory and counters that all tests use in turn."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.size = gpu, DOUBLE if gpu.double else GPU
        self.library = ctypes.CDLL(str(build()))
        self.cells = gpu.memory(self.size.cells * CELL)
        self.out, self.word = gpu.memory(4096), gpu.memory(4096)
        self.host = HostMemory(gpu, self.size.cells * CELL)

    def start(self, kernel: str, blocks: int, *values: int, threads: int | None = None) -> None:
        function = self.gpu.function("litmus.cuh", kernel)
        threads = threads or self.size.threads
        self.gpu.launch(function, blocks, threads, *values, self.size.patience_ns, self.out, together=True)

    def between_blocks(self, kernel: str, blocks: int) -> Callable[[int], None]:
        """Rounds one launch each; cells keep what the round before left in them."""

        def one(round_number: int) -> None:
            if round_number == 1:
                self.gpu.zero(self.cells, self.size.cells * CELL)
            self.start(kernel, blocks, self.cells, self.size.cells, round_number)

        return one

    def drawn(self, kernel: str, blocks: int, threads: int | None = None) -> Callable[[int], None]:
        """Each round with fresh cells and a fresh word."""

        def one(_: int) -> None:
            self.gpu.zero(self.cells, self.size.few * CELL)
            self.gpu.zero(self.word, 4096)
            self.start(kernel, blocks, self.cells, self.size.few, self.word, threads=threads)

        return one

    def with_host(self, kernel: str, part: str) -> Callable[[int], None]:
        """The host's part runs while the kernel does."""
        counts = (ctypes.c_uint64 * 2)()
        function = getattr(self.library, f"rk_loop_{part}")

        def one(round_number: int) -> None:
            if round_number == 1:
                self.host.clear()
            self.start(kernel, 1, self.host.device, self.size.cells, round_number)
            many = ctypes.c_uint64(self.size.cells)
            args = [ctypes.c_void_p(self.host.address), many, ctypes.c_uint32(round_number)]
            if part.startswith("fill"):
                self.library.rk_loop_settle(ctypes.c_uint64(SETTLE_NS))
            function(*args, *([counts] if part.startswith("check") else []))
            self.gpu.wait()
            self.host_counts = (int(counts[0]), int(counts[1]))

        return one

    def run(self, name: str, scope: str, one: Callable[[int], None], seconds: float) -> Outcome:
        outcome = Outcome(name, scope)
        self.gpu.zero(self.out, 4096)
        self.host_counts = (0, 0)
        end = time.monotonic() + seconds
        most = 2 if self.gpu.double else 10_000
        try:
            while outcome.rounds < most and (outcome.rounds == 0 or time.monotonic() < end):
                outcome.rounds += 1
                one(outcome.rounds)
                self.gpu.wait()
            seen, forbidden = self.gpu.read(self.out, 2)
            outcome.seen, outcome.forbidden = seen + self.host_counts[0], forbidden + self.host_counts[1]
            if outcome.seen == 0:
                outcome.why = "no flag was seen in time: nothing was tested"
        except GpuError as error:
            outcome.why = str(error)
        return outcome


def tests_of(bench: Bench) -> list[tuple[str, str, Callable[[int], None]]]:
    return [
        ("tagged units between blocks", "gpu", bench.between_blocks("tagged_unit", 2)),
        ("release and acquire between blocks", "gpu", bench.between_blocks("release_acquire_gpu", 2)),
        ("release and acquire, passed on by a third", "gpu", bench.between_blocks("passed_on", 3)),
        ("doorbell after many senders' messages", "gpu", bench.drawn("doorbell", 4)),
        ("tickets by fetch-and-add", "gpu", bench.drawn("tickets", 4)),
        ("a clock word by compare-and-swap", "gpu", bench.drawn("clock_word", 4)),
        ("release to the host", "sys", bench.with_host("release_sys", "check_cells")),
        ("acquire from the host", "sys", bench.with_host("acquire_sys", "fill_cells")),
        ("tagged units to the host", "sys", bench.with_host("units_to_host", "check_units")),
        ("tagged units from the host", "sys", bench.with_host("units_from_host", "fill_units")),
    ]


def run_all(gpu: Gpu, seconds: float) -> list[Outcome]:
    bench = Bench(gpu)
    tests = tests_of(bench)
    return [bench.run(name, scope, one, seconds / len(tests)) for name, scope, one in tests]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--double", action="store_true", help="what answers is no GPU")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        found = run_all(open_gpu(options.double), options.seconds)
    except GpuError as error:
        print(f"no litmus test was run: {error}", file=sys.stderr)
        return 2
    for one in found:
        state = one.why or f"{one.rounds} rounds, {one.seen} seen, {one.forbidden} forbidden"
        print(f"{one.name:44} {one.scope:4} {state}")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 1 if any(one.forbidden or one.why for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
