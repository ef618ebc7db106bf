"""An exhaustive checker of small concurrent programs under the memory model of PTX.

PTX ISA, chapter "Memory Consistency Model", in its words: strong operations, scopes, morally strong pairs, release and
acquire patterns, observation order, synchronizes-with, (base) causality order, coherence order, and the axioms
Coherence, Fence-SC, Atomicity, SC-per-location, Causality and No-thin-air. A program is a few straight threads; all
values that its loads may give (reads-from) are tried with all orders of its stores, and what no axiom forbids is an
outcome. The host takes part as C++ does: its atomics are strong operations of system scope.

Three things are said here that the chapter does not say; programs name the ones that they rest on.
  unit      An aligned 16-byte access to mapped host memory happens at one instant, also towards the 8-byte accesses of
            its halves (CUDA C++, "Atomicity" of cuda::thread_scope_system). Formally they overlap in part only, which
            is never morally strong. `Unit.whole` orders the two halves of one unit, and nothing else.
  depends   What a store writes, where, or whether at all, hangs on an earlier load: it is not performed before that
            load. No-thin-air says so of cycles that are dependencies alone; here also of cycles with releases in them.
  boundary  A kernel ends before the next one of its stream begins: `meet`, as a barrier.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

SCOPES = ("cta", "gpu", "sys")
Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class Place:
    """Where a thread runs. Two threads share a scope when all of its prefix is the same."""

    device: str = "gpu0"
    grid: int = 0
    block: int = 0

    def within(self, scope: str, other: Place) -> bool:
        if scope == "sys":
            return True
        if scope == "gpu":
            return self.device == other.device
        return (self.device, self.grid, self.block) == (other.device, other.grid, other.block)


HOST = Place("host")


@dataclass(frozen=True)
class Op:
    """One instruction. kind: load, store, add (atomic), fence, arrive or await (of a barrier, named by `location`).
    order: weak, relaxed, acquire, release, acq_rel, sc. A unit access (`unit`) is of the locations x.data and x.tag;
    `whole` says that it is one access and not one for each word. `depends`: registers that it hangs on."""

    kind: str
    location: str = ""
    order: str = "weak"
    scope: str = "sys"
    value: int = 0
    into: str = ""
    unit: bool = False
    whole: bool = False
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thread:
    name: str
    place: Place
    ops: Sequence[Op]


@dataclass
class Event:
    index: int
    thread: int
    kind: str  # R, W, F, arrive, await
    location: str
    order: str
    scope: str
    value: int = 0
    into: str = ""
    op: int = -1  # the same for all events of one instruction
    whole: bool = False
    depends: tuple[str, ...] = ()
    reads: int = -1  # the R of an atomic's W

    @property
    def strong(self) -> bool:
        return self.order != "weak"

    @property
    def releases(self) -> bool:
        return self.order in ("release", "acq_rel", "sc") and self.kind in "WF"

    @property
    def acquires(self) -> bool:
        return self.order in ("acquire", "acq_rel", "sc") and self.kind in "RF"


def closure(pairs: Pairs) -> Pairs:
    after: dict[int, set[int]] = {}
    for a, b in pairs:
        after.setdefault(a, set()).add(b)
    for middle in list(after):
        for reached in after.values():
            if middle in reached:
                reached |= after[middle]
    return {(a, b) for a, reached in after.items() for b in reached}


def acyclic(pairs: Pairs) -> bool:
    return all(a != b for a, b in closure(pairs))


@dataclass
class Program:
    """The events of a program and what holds of them in every execution."""

    threads: Sequence[Thread]
    events: list[Event] = field(default_factory=list)
    po: Pairs = field(default_factory=set)
    initial: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        number = 0
        for index, thread in enumerate(self.threads):
            for op in thread.ops:
                self._add(index, number, op)
                number += 1
        for a, b in itertools.combinations(self.events, 2):
            if a.thread == b.thread and (a.op != b.op or b.reads == a.index):
                self.po.add((a.index, b.index))
        for location in sorted({e.location for e in self.events if e.kind in "RW"}):
            event = Event(len(self.events), -1, "W", location, "weak", "sys")
            self.events.append(event)
            self.initial[location] = event.index
        self.reads = [e for e in self.events if e.kind == "R"]
        self.writes = [e for e in self.events if e.kind == "W"]
        self.po_location = {(a, b) for a, b in self.po if self._overlap(a, b)}
        self.strong = {(a.index, b.index) for a in self.events for b in self.events if self._morally_strong(a, b)}
        self.release_patterns = list(self._patterns("W", lambda e: e.releases))
        self.acquire_patterns = [(b, a) for a, b in self._patterns("R", lambda e: e.acquires)]
        registers = {(e.thread, e.into): e.index for e in self.events if e.into}
        self.depends = {(registers[e.thread, name], e.index) for e in self.events for name in e.depends}

    def _add(self, thread: int, number: int, op: Op) -> None:
        def event(kind: str, location: str, order: str, into: str = "", reads: int = -1) -> int:
            index = len(self.events)
            self.events.append(
                Event(
                    index, thread, kind, location, order, op.scope, op.value, into, number, op.whole, op.depends, reads
                )
            )
            return index

        kind = {"load": "R", "store": "W", "fence": "F"}.get(op.kind, op.kind)
        if op.unit:
            for half in ("data", "tag"):
                event(kind, f"{op.location}.{half}", op.order, op.into and f"{op.into}.{half}")
        elif op.kind == "add":
            read = event("R", op.location, op.order, op.into)
            event("W", op.location, op.order, reads=read)
        else:
            event(kind, op.location, op.order, op.into)

    def _overlap(self, a: int, b: int) -> bool:
        first, second = self.events[a], self.events[b]
        return first.kind in "RW" and second.kind in "RW" and first.location == second.location

    def _morally_strong(self, a: Event, b: Event) -> bool:
        if a.kind in "RW" and b.kind in "RW" and a.location != b.location:
            return False
        if (a.index, b.index) in self.po or (b.index, a.index) in self.po:
            return True
        if a.thread < 0 or b.thread < 0 or not (a.strong and b.strong):
            return False
        here, there = self.threads[a.thread].place, self.threads[b.thread].place
        return here.within(a.scope, there) and there.within(b.scope, here)

    def _patterns(self, kind: str, orders: Callable[[Event], bool]) -> Iterator[tuple[int, int]]:
        """Release patterns: (first operation, the write that is observed). Turned around: acquire patterns."""
        backwards = kind == "R"
        for event in self.events:
            if not orders(event):
                continue
            if event.kind == kind:
                yield event.index, event.index
            for other in self.events:
                pair = (other.index, event.index) if backwards else (event.index, other.index)
                if other.kind != kind or not other.strong or pair not in self.po:
                    continue
                if event.kind == "F" or event.location == other.location:
                    yield event.index, other.index


def outcomes(program: Program, wanted: Callable[[dict[str, int]], bool]) -> bool:
    """Whether the axioms allow an execution whose registers (thread.name: "instance.payload") are `wanted`."""
    sources = [
        [w.index for w in program.writes if w.location == r.location and w.reads != r.index] for r in program.reads
    ]
    for chosen in itertools.product(*sources):
        reads_from = {(w, r.index) for w, r in zip(chosen, program.reads, strict=True)}
        values = _values(program, dict(zip((r.index for r in program.reads), chosen, strict=True)))
        if values is not None and wanted(values) and _allowed(program, reads_from):
            return True
    return False


def _values(program: Program, source: dict[int, int]) -> dict[str, int] | None:
    """Registers; None where an atomic would have to read what comes of itself."""

    def written(index: int, seen: tuple[int, ...]) -> int:
        event = program.events[index]
        if index in seen:
            raise RecursionError
        return event.value if event.reads < 0 else event.value + written(source[event.reads], (*seen, index))

    try:
        found = {r.index: written(source[r.index], ()) for r in program.reads}
    except RecursionError:
        return None
    return {f"{program.threads[r.thread].name}.{r.into}": found[r.index] for r in program.reads if r.into}


def _allowed(program: Program, reads_from: Pairs) -> bool:
    fences = [e.index for e in program.events if e.kind == "F" and e.order == "sc"]
    observed = _observation(program, reads_from)
    if not all((w, r) in program.po or (r, w) not in program.po for w, r in reads_from):
        return False
    for fence_order in itertools.permutations(fences):
        base = closure(program.po | _synchronizes(program, observed, fence_order))
        if any(a == b for a, b in base):  # Fence-SC contradicts causality
            continue
        first = {(i, e.index) for i in program.initial.values() for e in program.events if e.thread >= 0}
        cause = base | {(a, d) for a, b in observed for c, d in base if b == c} | first
        cause |= _within_units(program, base, observed)
        if not acyclic(_ordered(program, base) | reads_from | program.depends):  # No-thin-air, with `depends`
            continue
        if any((r, w) in cause for w, r in reads_from):  # Causality: nobody reads what comes after
            continue
        if any(_coherent(program, reads_from, cause, order) for order in _orders(program)):
            return True
    return False


def _observation(program: Program, reads_from: Pairs) -> Pairs:
    seen = {pair for pair in reads_from if pair in program.strong}
    through = {(e.reads, e.index) for e in program.events if e.reads >= 0}
    events = program.events
    chains = closure(seen | through)
    return {(a, b) for a, b in chains if events[a].kind == "W" and events[b].kind == "R"}


def _synchronizes(program: Program, observed: Pairs, fence_order: Sequence[int]) -> Pairs:
    pairs = {
        (first, last)
        for first, write in program.release_patterns
        for read, last in program.acquire_patterns
        if (write, read) in observed and (first, last) in program.strong
    }
    pairs |= {(a, b) for a, b in itertools.combinations(fence_order, 2) if (a, b) in program.strong}
    meets = [e for e in program.events if e.kind in ("arrive", "await")]
    pairs |= {
        (a.index, b.index)
        for a in meets
        for b in meets
        if (a.kind, b.kind) == ("arrive", "await") and a.location == b.location and a.thread != b.thread
    }
    return pairs


def _ordered(program: Program, base: Pairs) -> Pairs:
    """Causality that comes of synchronisation: program order alone lets a load be late."""
    threads = [e.thread for e in program.events]
    return {(a, b) for a, b in base if threads[a] != threads[b]}


def _within_units(program: Program, base: Pairs, observed: Pairs) -> Pairs:
    """`unit`: who sees a tag sees the data of the same unit, where each side is one access or orders its halves."""
    pairs: Pairs = set()
    events = program.events
    for write, read in observed:
        wt, rt = events[write], events[read]
        if not wt.location.endswith(".tag") or wt.thread < 0:
            continue
        data = wt.location.removesuffix("tag") + "data"
        for wd in (e for e in program.writes if e.location == data and e.thread >= 0):
            if not (wd.op == wt.op and wt.whole) and not (wt.releases and (wd.index, write) in base):
                continue
            for rd in (e for e in program.reads if e.location == data):
                if (rd.op == rt.op and rt.whole) or (rt.acquires and (read, rd.index) in program.po):
                    pairs.add((wd.index, rd.index))
    return pairs


def _orders(program: Program) -> Iterator[list[list[int]]]:
    """Total orders of the writes of each location."""
    locations = []
    for location, initial in program.initial.items():
        rest = [w.index for w in program.writes if w.location == location and w.index != initial]
        locations.append([[initial, *order] for order in itertools.permutations(rest)])
    yield from (list(orders) for orders in itertools.product(*locations))


def _coherent(program: Program, reads_from: Pairs, cause: Pairs, orders: list[list[int]]) -> bool:
    every = {pair for order in orders for pair in itertools.combinations(order, 2)}
    if any((b, a) in cause or (b, a) in program.po for a, b in every):  # Coherence
        return False
    # Writes that race have no order; what follows from orders of others is kept.
    coherence = closure({(a, b) for a, b in every if (a, b) in cause or (a, b) in program.strong})
    before = {(r, later) for w, r in reads_from for earlier, later in coherence if earlier == w}
    before = {(r, w) for r, w in before if program.events[w].reads != r}
    if any((w, r) in cause for r, w in before):  # Causality: nobody reads what is overwritten
        return False
    for event in program.events:  # Atomicity of read-modify-writes
        if event.reads >= 0:
            between = {w for r, w in before if r == event.reads and (w, event.index) in coherence}
            if any((w, event.index) in program.strong for w in between):
                return False
    meet = {pair for pair in reads_from | before | coherence if pair in program.strong}
    return acyclic(meet | program.po_location)  # SC-per-location
