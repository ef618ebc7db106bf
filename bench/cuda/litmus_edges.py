"""Which litmus tests there are, which edges of kernels/cuda/EDGES.md each is a pattern of, and what is planted in it."""

from __future__ import annotations

from dataclasses import dataclass

# Number of RK_PLANT in planting.cuh. What "weak" does is the machine's affair; the others must be noticed.
PLANTS = {"weak": 1, "late": 2, "early": 3}
BLOCKS, BLOCK, HOST = "litmus.cuh", "litmus_block.cuh", "litmus_host.cuh"


@dataclass(frozen=True)
class Test:
    """how: a method of litmus.Bench. threads: of a block on a GPU, where it is not the usual number."""

    name: str
    file: str
    kernel: str
    how: str
    blocks: int
    edges: tuple[str, ...]
    plants: tuple[str, ...]
    threads: int = 0

    @property
    def scope(self) -> str:
        return {BLOCKS: "gpu", BLOCK: "cta", HOST: "sys"}[self.file]


BOTH, LATE, EARLY = ("late", "early"), ("late",), ("early",)
MESSAGES = ("I1", "L1", "A1", "V1", "C2", "E2", "G1")

TESTS = [
    Test("tagged units between blocks", BLOCKS, "tagged_unit", "kept", 2, ("D1", "U1"), BOTH),
    Test("release and acquire between blocks", BLOCKS, "message", "kept", 2, MESSAGES, BOTH),
    Test("release and acquire, passed on by a third", BLOCKS, "passed_on", "kept", 3, ("U2", "C2", "G1"), BOTH),
    Test("a slot is read before it is overwritten", BLOCKS, "slot_reuse", "kept", 2, ("L2",), BOTH),
    Test("doorbell after many senders' messages", BLOCKS, "doorbell", "fresh", 4, ("B1",), LATE),
    Test("tickets by fetch-and-add", BLOCKS, "tickets", "fresh", 4, ("U3",), LATE),
    Test("a clock word by compare-and-swap", BLOCKS, "clock_word", "fresh", 4, (), LATE),
    Test("a barrier of all blocks", BLOCKS, "grid_barrier", "fresh", 4, ("Y1",), BOTH),
    Test("a word that only grows", BLOCKS, "growing_word", "fresh", 2, ("K1",), EARLY),
    Test("one kernel, and the next one in its stream", BLOCKS, "next_lease", "leases", 2, ("G6",), LATE),
    Test("the router's turn", BLOCK, "turn", "fresh", 1, (), BOTH, threads=64),
    Test("the block's lock", BLOCK, "lock", "fresh", 1, (), BOTH, threads=64),
    Test("numbers of a block", BLOCK, "numbers", "fresh", 1, (), LATE),
    Test("pieces of a long record", BLOCK, "pieces", "fresh", 1, ("R4",), LATE, threads=64),
    Test("a barrier of the block", BLOCK, "barrier", "fresh", 1, ("I1", "L2"), BOTH),
    Test("release to the host", HOST, "to_host", "checked_by_host", 1, ("D2", "C3", "I3", "F1", "G5"), LATE),
    Test("the last status, and that there is no more", HOST, "ended", "told_by_unit", 1, ("U4", "U5"), LATE),
    Test("acquire from the host", HOST, "from_host", "filled_by_host", 1, ("C1", "U2"), EARLY),
    Test("tagged units to the host", HOST, "units_to_host", "checked_by_host", 1, ("U1",), LATE),
    Test("tagged units from the host", HOST, "units_from_host", "filled_by_host", 1, ("D1",), EARLY),
    Test("blocks leave, and the host is told", HOST, "left_to_host", "checked_by_host", 4, ("G3", "G5"), BOTH),
    Test("a way to what the host has written", HOST, "way", "both", 2, ("E1", "D3"), EARLY),
    Test("a slot comes back through the host", HOST, "circle", "both", 2, ("I3", "D1"), BOTH),
]
