"""The edges between host and grid: which instruction each access of an edge is, with its order and scope.

One table for three readers: the litmus programs take orders and scopes from here, the golden check compares it with the
PTX of kernels/cuda, and docs/memory-model.md names the edges in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model import Op


@dataclass(frozen=True)
class Access:
    """op: ld, st, add, or fence. `bits` 128: one access to a whole unit. host: C++ atomics, not PTX."""

    edge: str
    role: str
    op: str
    order: str
    scope: str
    bits: int = 64
    host: bool = False

    @property
    def key(self) -> str:
        return f"{self.edge}.{self.role}"

    @property
    def ptx(self) -> str:
        """As it stands in PTX: ld.acquire.sys, atom.release.gpu.add, st.relaxed.sys.b128."""
        if self.op == "fence":
            return f"fence.{self.order}.{self.scope}"
        if self.op == "add":
            return f"atom.{self.order}.{self.scope}.add"
        return f"{self.op}.{self.order}.{self.scope}" + (".b128" if self.bits == 128 else "")


EDGES = {
    "D1": "a unit of the down ring: host -> router",
    "D2": "slots of the down ring are free again: router -> host",
    "U1": "a unit of the up ring: instance -> host",
    "U2": "slots of the up ring are free again: host -> router -> instance",
    "D3": "memory that a message refers to: host -> router -> instance",
    "U5": "memory that a message refers to: instance -> host",
    "U3": "tickets of the up ring: instances among themselves",
    "U4": "the last status of an instance, and that it has ended: instance -> host",
    "C1": "a command, and all that came before it: host -> router",
    "C2": "a command, finish, hold: router -> instance",
    "C3": "epoch_seen, and the counters beside it: instance -> host",
    "I1": "a message in an inbox: router -> instance",
    "I3": "an inbox slot is free again: instance -> host, and by the ring back to the router",
    "L1": "a message in a link: sender -> receiver",
    "L2": "a slot of a link is free again: receiver -> sender",
    "E1": "a way to another kernel, and the ring at its end: host -> router -> instance",
    "E2": "a ring that leads to an instance: router -> instance",
    "F1": "a fault, and its detail: router -> host",
    "R4": "pieces of a long record: the warps of the router among themselves",
    "A1": "an answer: router -> instance",
    "V1": "a verdict, and the generation: router -> instance",
    "B1": "the doorbell: anybody on the device -> instance",
    "K1": "a task is cancelled: router -> the threads of the instance",
    "Y1": "a barrier of all instances",
    "G1": "a lease begins: router -> instance",
    "G3": "an instance leaves a lease: instance -> router",
    "G5": "a lease is over: router -> host",
    "G6": "the words that an instance keeps: one lease -> the next",
}

_TABLE = """
D1 host_data   st    relaxed sys 64  host
D1 host_tag    st    release sys 64  host
D1 take        ld    relaxed sys 128
D3 fence       fence acq_rel sys 0
D2 free        st    release sys 64
D2 host        ld    acquire sys 64  host
U1 put         st    relaxed sys 128
U4 fence       fence acq_rel sys 0
U1 host_tag    ld    acquire sys 64  host
U1 host_data   ld    relaxed sys 64  host
U2 host        st    release sys 64  host
U2 renew       ld    acquire sys 64
U2 pass        st    release gpu 64
U2 look        ld    acquire gpu 64
U3 ticket      add   relaxed gpu 64
U5 fence       fence acq_rel sys 0
C1 host        st    release sys 64  host
C1 read        ld    acquire sys 64
C2 pass        st    release gpu 64
C2 look        ld    acquire gpu 64
C3 answer      st    release sys 64
C3 host        ld    acquire sys 64  host
I1 publish     st    release gpu 64
I1 look        ld    acquire gpu 64
I3 free        st    release sys 32
I3 host        ld    acquire sys 32  host
L1 publish     st    release gpu 64
L1 look        ld    acquire gpu 64
L2 free        st    release gpu 64
L2 look        ld    acquire gpu 64
E1 fence       fence acq_rel sys 0
E1 publish     st    release gpu 32
E1 look        ld    acquire gpu 32
E2 publish     st    release gpu 64
E2 look        ld    acquire gpu 64
F1 fault       st    release sys 32
F1 host        ld    acquire sys 32  host
R4 piece       add   release gpu 32
R4 all         ld    acquire gpu 32
A1 publish     st    release gpu 64
A1 look        ld    acquire gpu 64
V1 publish     st    release gpu 32
V1 look        ld    acquire gpu 32
B1 ring        add   release gpu 64
B1 look        ld    acquire gpu 64
K1 cancel      st    relaxed gpu 32
K1 poll        ld    relaxed sys 32
Y1 arrive      add   release gpu 64
Y1 wait        ld    acquire gpu 64
G1 publish     st    release gpu 64
G1 look        ld    acquire gpu 64
G3 leave       add   release gpu 32
G3 count       ld    acquire gpu 32
G5 ended       st    release sys 64
G5 host        ld    acquire sys 64  host
"""


def _parse(table: str) -> dict[str, Access]:
    found = {}
    for line in table.strip().splitlines():
        edge, role, op, order, scope, bits, *host = line.split()
        access = Access(edge, role, op, order, scope, int(bits), bool(host))
        assert edge in EDGES, line
        assert access.key not in found, line
        found[access.key] = access
    return found


ACCESSES = _parse(_TABLE)
# Not accesses: a barrier of a block or of a warp, and the end of a kernel.
MEETINGS = {
    "I1.barrier": "leader and threads of an instance, before the handler",
    "I1.warp": "lanes of a router warp, before the turn",
    "L2.barrier": "threads and leader of an instance, after the handler",
    "G6.boundary": "one lease, and the next one in the stream",
}


@dataclass(frozen=True)
class Weakening:
    """What is changed in one access; or the access, barrier, or end of a kernel is gone."""

    key: str
    what: str
    order: str = ""
    scope: str = ""
    gone: bool = False
    split: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.what}"


def weakenings() -> list[Weakening]:
    """Each step down from what the table says, one at a time."""
    of_accesses = [weaker for access in ACCESSES.values() for weaker in weakenings_of(access)]
    return of_accesses + [Weakening(key, "gone", gone=True) for key in MEETINGS]


def weakenings_of(access: Access) -> list[Weakening]:
    orders = {"release": ["relaxed"], "acquire": ["relaxed"], "acq_rel": ["acquire", "release"], "relaxed": ["weak"]}
    scopes = {"sys": ["gpu"], "gpu": ["cta"]}
    found = []
    if access.op == "fence":
        found.append(Weakening(access.key, "no fence", gone=True))
    else:
        found += [
            Weakening(access.key, f"{access.order} -> {weaker}", order=weaker)
            for weaker in orders[access.order]
            if not (access.host and weaker == "weak")
        ]
    if not access.host:
        found += [
            Weakening(access.key, f"{access.scope} -> {smaller}", scope=smaller) for smaller in scopes[access.scope]
        ]
    if access.bits == 128:
        found.append(Weakening(access.key, "one access -> one for each word", split=True))
    return found


class Text:
    """Instructions of litmus programs, with what the table says, or with one weakening of it."""

    def __init__(self, weakening: Weakening | None = None) -> None:
        self.weakening = weakening
        self.used: set[str] = set()

    def op(
        self, key: str, location: str = "", value: int = 0, into: str = "", depends: tuple[str, ...] = ()
    ) -> list[Op]:
        self.used.add(key)
        access, weaker = ACCESSES[key], self.weakening
        changed = weaker if weaker is not None and weaker.key == key else Weakening(key, "")
        if changed.gone:
            return []
        kind = {"ld": "load", "st": "store"}.get(access.op, access.op)
        unit = access.bits == 128
        order, scope = changed.order or access.order, changed.scope or access.scope
        return [Op(kind, location, order, scope, value, into, unit, unit and not changed.split, depends)]

    def meet(self, key: str, kind: str) -> list[Op]:
        """arrive or await: of a barrier, or the end and beginning of kernels."""
        self.used.add(key)
        return [] if self.weakening is not None and self.weakening.key == key else [Op(kind, key)]


def load(location: str, into: str) -> list[Op]:
    """A plain load: payload, state, private words."""
    return [Op("load", location, into=into)]


def store(location: str, value: int, depends: tuple[str, ...] = ()) -> list[Op]:
    return [Op("store", location, value=value, depends=depends)]
