"""What all functions of a program share: memory that they allot, names of targets, what was lowered already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..ir import Function, Root
from . import effects, references

if TYPE_CHECKING:
    import ast

    from ..diagnostics import Diagnostics
    from .device import Device

MOST_BYTES = 1 << 20  # of objects in a handler, and of ctx.shared(): each thread, or block, has as much


@dataclass
class ProgramBuilder:
    """Grows while functions are lowered. `writes`: the memories that a finished function stores to; `changes`:
    those that may be different after it, as other threads stored to them."""

    name: str
    diagnostics: Diagnostics
    checked: bool
    reply_classes: tuple[type, ...] = ()
    sizes: dict[Root, int] = field(default_factory=lambda: {Root.FRAME: 0, Root.SHARED: 0})
    targets: dict[str, int] = field(default_factory=dict)
    topics: dict[str, int] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    writes: dict[str, frozenset[Root]] = field(default_factory=dict)
    changes: dict[str, frozenset[Root]] = field(default_factory=dict)
    far: dict[str, frozenset[references.Source]] = field(default_factory=dict)  # whose buffers a function writes to
    may_fail: set[str] = field(default_factory=set)
    replies: dict[int, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)  # lines, of the text in hand, whose syntax was refused
    devices: dict[Any, Device | None] = field(default_factory=dict)
    lowering: list[Device] = field(default_factory=list)  # each is called by the one before

    def allot(self, root: Root, size: int, node: ast.AST) -> int:
        """The offset of new memory in FRAME or SHARED."""
        offset = self.sizes[root]
        end = (offset + size + 7) // 8 * 8
        if end > MOST_BYTES:
            what = "ctx.shared()" if root is Root.SHARED else "objects that are made in the handler"
            self.diagnostics.fail(
                node, f"{what}: {end} bytes in all, the most is {MOST_BYTES}", "keep what is large in the state"
            )
        self.sizes[root] = end
        return offset

    def unique(self, name: str) -> str:
        """A function's name that none has yet."""
        found, number = name, 1
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    def finish(self, function: Function) -> None:
        """A device function is complete; those that it calls were before it."""
        self.functions.append(function)
        self.writes[function.name] = effects.roots_written(function.body, self.writes)
        waited = effects.shared_roots(function.body)
        self.changes[function.name] = effects.roots_written(function.body, self.changes) | waited
        self.far[function.name] = references.written_by(function, self)
        if function.may_fail:
            self.may_fail.add(function.name)
