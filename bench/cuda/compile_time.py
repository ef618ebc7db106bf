#!/usr/bin/env python3
"""How long handlers take to compile for a GPU: alone and linked, and together with the resident kernel. Needs no GPU.

python bench/cuda/compile_time.py [--runs 10] [--capability 9.0]
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import Any

from handlers import make_echo, make_hub, make_pair_source, make_player, make_sink

from pyringkernel.compiler.cuda import compile_device, find, linking

HANDLERS = {
    "echo, 32 threads": make_echo(32),
    "echo, 1 thread": make_echo(1),
    "player": make_player("one", "other"),
    "sink of 256 B": make_sink(256, 32),
    "hub": make_hub(32),
    "source of pairs": make_pair_source(),
}


def times(program: Any, compiler: Any, capability: tuple[int, int], runs: int) -> tuple[float, float]:
    """ms: of the first one, and the median of those after it. Nothing comes from the cache on disk."""
    made = [compile_device(program, compiler, capability, cache=False).compile_ms for _ in range(runs + 1)]
    return made[0], statistics.median(made[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--capability", default="9.0")
    options = parser.parse_args()
    major, minor = map(int, options.capability.split("."))
    compiler = find(99000)
    linker = linking.linker_for(compiler)
    print(f"{compiler}, {linker or 'no nvJitLink'}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| handler | linked, ms | its first time | together, ms |\n|---|---|---|---|")
    for name, handler in HANDLERS.items():
        first, linked = times(handler.program, compiler, (major, minor), options.runs) if linker else (0.0, 0.0)
        os.environ[linking.VARIABLE] = "none"
        _, together = times(handler.program, compiler, (major, minor), options.runs)
        del os.environ[linking.VARIABLE]
        print(f"| {name} | {linked:.0f} | {first:.0f} | {together:.0f} |", flush=True)


if __name__ == "__main__":
    main()
