"""What generated code may name at one point of a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pyringkernel.compiler.ir import Type

from .chooser import Chooser, chance, pick
from .classes import Field, Hole, Path, Struct, walk

MOST_TURNS = 48  # of nested loops, all together
SCALARS = tuple(Type)
PLAIN = (Type.BOOL, Type.I32, Type.U32, Type.F32)


@dataclass(frozen=True)
class Options:
    """What programs may contain. Transcendental functions are not exact, so they need to be asked for."""

    transcendental: bool = False
    warp: bool = True
    services: bool = True
    lines: int = 22


@dataclass(frozen=True)
class Root:
    """A name that leads to memory. `is_object`: constructed here, and so it may be sent and returned."""

    text: str
    shape: str
    element: Type | Struct
    count: int = 1
    writable: bool = True
    atomic: bool = False
    is_object: bool = False
    is_name: bool = True


@dataclass(frozen=True)
class Device:
    """A device function. Parameters: (name, shape, element, count)."""

    name: str
    parameters: tuple[tuple[str, str, Type | Struct, int], ...]
    result: Type | None
    cost: int
    acts: bool


@dataclass
class Scope:
    """One function while its text is made."""

    chooser: Chooser
    options: Options
    palette: list[Type]
    structs: list[Struct]
    messages: list[Struct]
    devices: list[Device] = field(default_factory=list)
    constants: list[tuple[str, Type | None]] = field(default_factory=list)
    kernel: str = "handler"
    handled: tuple[Struct, ...] = ()  # what `msg` may be here; empty in a device function
    replies: tuple[Struct, ...] = ()
    result: Type | None = None
    is_device: bool = False
    locals: dict[str, Type] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)  # counters of while loops
    small: dict[str, int] = field(default_factory=dict)  # loop variables: from 0 to below this
    roots: list[Root] = field(default_factory=list)
    turns: int = 1
    spent: int = 0
    loops: int = 0
    acts: bool = False
    budget: int = 20
    names: int = 0
    stamps: list[str] = field(default_factory=list)  # locals that are timestamps
    seen: list[Struct] = field(default_factory=list)  # classes that only show what was computed
    nested: int = 0  # indices in indices

    def chance(self, percent: int) -> bool:
        """See chooser.chance."""
        return chance(self.chooser, percent)

    def name(self, prefix: str) -> str:
        """A name that nothing has."""
        self.names += 1
        return f"{prefix}{self.names}"

    def declare(self, name: str, scalar: Type) -> None:
        """After the first assignment."""
        self.locals[name] = scalar
        self.assigned.add(name)

    def readable(self, scalar: Type) -> list[str]:
        """Locals of this type that have a value here."""
        return [name for name, kind in self.locals.items() if kind is scalar and name in self.assigned]

    @contextmanager
    def block(self, turns: int = 1) -> Iterator[set[str]]:
        """Text that may not run, or runs up to `turns` times. Yields a set that gets what it assigned."""
        before, roots, outer = set(self.assigned), list(self.roots), self.turns
        stamps = list(self.stamps)
        small, handled = dict(self.small), self.handled
        self.turns *= turns
        gained: set[str] = set()
        yield gained
        gained |= self.assigned
        self.assigned, self.roots, self.turns = before, roots, outer
        self.handled, self.stamps = handled, stamps
        self.small = {name: below for name, below in small.items() if name in self.small}

    def all_roots(self) -> Iterator[Root]:
        """Where memory is, `msg` with what all classes in question have in common."""
        yield from self.roots
        if len(self.handled) == 1:
            yield Root("msg", "one", self.handled[0], writable="msg" not in self.fixed)
        elif self.handled:
            first, *others = self.handled
            common = tuple(f for f in first.fields if all(any(f.same_shape(g) for g in o.fields) for o in others))
            if common:
                yield Root("msg", "one", Struct("Common", common), writable="msg" not in self.fixed, is_name=False)

    def paths(self) -> Iterator[tuple[Root, Path]]:
        """Everything in memory that can be named here."""
        for root in self.all_roots():
            for path in walk(root.shape, root.element, root.count):
                if path.parts or root.is_name:
                    yield root, path


def field_of(path: Path) -> Field:
    """The path's end, as a field."""
    return Field("", path.shape, path.element, path.count)


def with_count(path: Path, count: int) -> Path:
    """Of another length."""
    return replace(path, count=count)


def holes(path: Path) -> int:
    """How many indices the path needs."""
    return sum(isinstance(part, Hole) for part in path.parts)


__all__ = ["PLAIN", "SCALARS", "Device", "Options", "Root", "Scope", "field_of", "holes", "pick", "with_count"]
