"""G5 without handlers, and what G6 and G7 could be at best: messages between blocks by the device code's own means."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from figures import Figure, Floor, percentiles
from gpu import Gpu, GpuError, open_gpu
from setting import Setting

PATIENCE_NS = 5_000_000_000
HOW = "{}, 64 B, ping-pong / 2, no handlers"
MULTIPROCESSORS = 16  # of gpu.ATTRIBUTES


class Hops:
    """Kernels of hops.cuh, one after the other."""

    def __init__(self, setting: Setting, gpu: Gpu) -> None:
        self.setting, self.gpu, self.out = setting, gpu, gpu.memory(4096)
        self.lanes = 1 if gpu.double else 32
        self.rounds = setting.count(20_000, 50)
        self.blocks = 3 if gpu.double else gpu.attribute(MULTIPROCESSORS)

    def run(self, kernel: str, blocks: int, threads: int, *values: int, together: bool = True) -> tuple[int, int, int]:
        """ns, wrong ones, and messages. Raises when it did not come to its end in time."""
        self.gpu.zero(self.out, 4096)
        function = self.gpu.function("hops.cuh", kernel)
        self.gpu.launch(function, blocks, threads, *values, PATIENCE_NS, self.out, together=together)
        self.gpu.wait()
        ns, wrong, messages = self.gpu.read(self.out, 3)
        if ns == 0:
            raise GpuError(f"{kernel}: the blocks did not see each other's messages in time")
        return ns, wrong, messages

    def game(self, id: str, what: str, play: Callable[[], tuple[int, int, int]], times: int) -> Figure:
        """`times` games, a hop is half a round."""
        found, wrong = [], 0
        try:
            for _ in range(times):
                ns, bad, _ = play()
                found.append(ns / self.rounds / 2)
                wrong += bad
        except GpuError as error:
            return Figure(id, why=str(error))
        tails = percentiles(found)
        counts = {"samples": times, "received": 2 * times * self.rounds, "wrong": wrong}
        return Figure(id, tails["p50"], tails, counts, note=HOW.format(what))

    def in_block(self) -> Figure:
        def play() -> tuple[int, int, int]:
            return self.run("hop_block", 1, 2 * self.lanes, self.rounds)

        return self.game("G5 block bare", "two warps of a block through shared memory", play, self.setting.count(50, 2))

    def in_cluster(self) -> Figure:
        if self.gpu.double or self.gpu.attribute(75) < 9:
            return Figure("G5 cluster bare", why="clusters begin with compute capability 9.0, and no double has them")

        def play() -> tuple[int, int, int]:
            return self.run("hop_cluster", 2, 32, self.rounds, together=False)

        return self.game("G5 cluster bare", "two blocks of a cluster through shared memory", play, 50)

    def in_grid(self, kernel: str, id: str, what: str) -> Figure:
        """Each game with another block, and so another multiprocessor: near and far ones."""
        memory, turn = self.gpu.memory(4096), 0

        def play() -> tuple[int, int, int]:
            nonlocal turn
            turn += 1
            self.gpu.zero(memory, 4096)
            return self.run(kernel, self.blocks, self.lanes, memory, 1 + turn % (self.blocks - 1), self.rounds)

        figure = self.game(id, what, play, self.blocks - 1)
        if figure.tails:
            figure.note += f"; block 0 with each other one: the nearest {figure.tails['min']:.0f} ns, "
            figure.note += f"the farthest {figure.tails['max']:.0f} ns"
        return figure

    def pairs(self) -> Floor:
        """Millions of messages a second, of as many pairs as half the multiprocessors."""
        pairs, warps = self.blocks // 2, 1 if self.gpu.double else 4
        count = self.setting.count(200_000, 500)
        how = f"{pairs} pairs of blocks, {warps} warps each, rings of tagged units, 64 B, no handlers; the best of five"
        ring = 64 * (1 if self.gpu.double else 5 * 6) * 16
        rings, reads = self.gpu.memory(pairs * warps * ring), self.gpu.memory(pairs * warps * 128)
        best = 0.0
        try:
            for _ in range(1 if self.gpu.double else 5):
                self.gpu.zero(rings, pairs * warps * ring)
                self.gpu.zero(reads, pairs * warps * 128)
                ns, wrong, got = self.run("streams", 2 * pairs, warps * self.lanes, rings, reads, pairs, count)
                if wrong or got != pairs * warps * count:
                    raise GpuError(f"{wrong} wrong units, {got} of {pairs * warps * count} messages")
                best = max(best, got * 1e3 / ns)
        except GpuError as error:
            return Floor("pairs, bare", None, "M/s", how, str(error))
        return Floor("pairs, bare", best, "M/s", how)

    def gathering(self) -> Iterator[Floor]:
        others = self.blocks - 1
        how = f"a block writes to {others} others, and has the answers of all; one warp, no handlers"
        memory = self.gpu.memory(256 * (others + 1))
        try:
            ns, wrong, _ = self.run("gather", self.blocks, self.lanes, memory, self.rounds)
            if wrong:
                raise GpuError(f"{wrong} wrong units")
        except GpuError as error:
            yield Floor("gather, bare", None, "us", how, str(error))
            return
        yield Floor("gather, bare", ns / self.rounds / 1e3, "us", how)
        yield Floor("fan-out, bare", ns / self.rounds / 2e3, "us", "half of it: there and back are alike")


def group(setting: Setting) -> Iterator[Figure | Floor]:
    hops = Hops(setting, open_gpu(setting.double))
    yield hops.in_block()
    yield hops.in_cluster()
    yield hops.in_grid("hop_units", "G5 grid bare", "two blocks through the L2, tagged units")
    yield hops.in_grid("hop_release", "G5 grid bare, release", "two blocks through the L2, st.release and ld.acquire")
    yield hops.pairs()
    yield from hops.gathering()
