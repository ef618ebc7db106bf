"""Random graphs of Python kernels, round after round: nothing may be lost, and nothing may stay behind."""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyringkernel as rk


@rk.message
class Token:
    hops: rk.u32
    value: rk.u32


@rk.state
class Seen:
    count: rk.u64


def make_handler(targets: list[str], seed: int) -> object:
    chance = random.Random(seed)

    def pass_on(ctx: rk.Context, state: Seen, msg: Token) -> None:
        state.count += 1
        if chance.random() < 0.01:
            raise ValueError("as planned")
        if msg.hops > 0:
            with suppress(rk.RingFullError, rk.KernelTerminatedError):
                ctx.send(chance.choice(targets), Token(msg.hops - 1, msg.value), priority=chance.randrange(4))
        elif chance.random() < 0.2:
            ctx.publish(f"done/{msg.value % 3}", msg)

    return pass_on


class Graph:
    """One runtime with kernels that send to each other in any way."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rt = rk.Runtime(workers=chance.choice([1, 2, 4]), dead_letters=64)
        self.heard = self.rt.subscribe("done/#", overflow="drop_oldest", capacity=64)
        self.supervisor = self.rt.supervisor(
            chance.choice(["one_for_one", "one_for_all", "rest_for_one"]), intensity=2**20
        )
        names = [f"node {i}" for i in range(chance.randint(2, 6))]
        self.kernels = [self.launch(name, chance.sample(names, chance.randint(1, len(names)))) for name in names]
        for source in self.kernels:
            for target in self.kernels:
                if source is not target and chance.random() < 0.5:
                    policy = chance.choice(["fail", "block", "drop_newest", "drop_oldest"])
                    self.rt.connect(source, target, overflow=policy, capacity=chance.choice([1, 2, 8]))
        for kernel in self.kernels:
            kernel.activate()

    def launch(self, name: str, targets: list[str]) -> rk.Kernel:
        return self.rt.launch(
            make_handler(targets, self.chance.randrange(2**32)),
            name=name,
            accepts=[Token],
            publishes_to=[one for one in targets if one != name],
            instances=self.chance.randint(1, 3),
            capacity=self.chance.choice([2, 16, 256]),
            supervisor=self.chance.choice([None, self.supervisor]),
            max_failures=64,
            failure_window=0.001,
            autostart=False,
        )

    def disturb(self) -> None:
        kernel = self.chance.choice(self.kernels)
        with suppress(rk.InvalidStateTransition):
            what = self.chance.randrange(4)
            if what == 0:
                kernel.deactivate()
                kernel.activate()
            elif what == 1:
                assert rk.Snapshot.from_bytes(kernel.snapshot().to_bytes()).kernel == kernel.name
            elif what == 2:
                self.rt.dead_letters.replay(self.rt.dead_letters.browse(4))
            elif self.chance.random() < 0.1:
                kernel.terminate()

    def run(self) -> int:
        for n in range(200):
            with suppress(rk.KernelTerminatedError, rk.KernelFailedError):
                self.chance.choice(self.kernels).try_send(Token(self.chance.randrange(20), n))
            if n % 20 == 0:
                self.disturb()
            self.heard.try_receive()
        self.rt.close(timeout=30.0)
        stats = self.rt.telemetry().stats
        settled = stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight
        assert stats.accepted == settled, f"lost: {stats}"
        for kernel in self.kernels:
            assert kernel.stats().in_flight == 0, f"{kernel!r}: {kernel.stats()}"
        return stats.accepted


def left_behind() -> tuple[int, int, int]:
    """Threads, descriptors, and resident memory in KiB."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free is not a leak
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        len(os.listdir("/proc/self/task")),
        len(os.listdir("/proc/self/fd")),
        pages * os.sysconf("SC_PAGESIZE") // 1024,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import logging

    logging.getLogger("pyringkernel").setLevel(logging.CRITICAL)  # failures are planned
    start = time.monotonic()
    graphs = messages = 0
    before: tuple[int, int, int] | None = None
    while time.monotonic() < start + options.seconds or graphs < 8:
        messages += Graph(random.Random(options.seed + graphs)).run()
        graphs += 1
        if before is None and time.monotonic() >= start + options.seconds / 2:
            before = left_behind()  # warm
    after = left_behind()
    assert before is not None
    print(f"{graphs} graphs, {messages} messages, none lost; threads, descriptors, KiB: {before} -> {after}")
    grown = after[2] - before[2]
    return 0 if after[0] <= before[0] and after[1] <= before[1] and grown < 32 * 1024 else 1


if __name__ == "__main__":
    sys.exit(main())
