"""Edges: declared ways from one kernel to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _core


@dataclass(frozen=True)
class EdgeStats:
    """Counts of an edge: ``accepted == delivered + dropped + dead_lettered + in_flight``.

    credits: messages that its rings take now. capacity: messages that they take when empty. lanes: how many rings there
    are, one for each pair of instances that has exchanged a message. blocked: how often a sender had to wait. linked: how
    many of the accepted messages went from one kernel of a GPU to another in its memory, without the host.
    """

    accepted: int
    delivered: int
    dropped: int
    dead_lettered: int
    in_flight: int
    high_water: int
    credits: int
    capacity: int
    lanes: int
    blocked: int
    linked: int
    congested: bool


class Edge:
    """A way from one kernel to another. Made by Runtime.connect() or by a declared target."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Edge) -> None:
        self._core = core

    @property
    def source(self) -> str:
        """The name of the kernel that sends."""
        return self._core.source

    @property
    def target(self) -> str:
        """The name of the kernel that receives."""
        return self._core.target

    @property
    def overflow(self) -> str:
        """What happens to a message that finds no room."""
        return self._core.overflow

    @property
    def high_water(self) -> int:
        """Messages in one ring from which on the edge is congested."""
        return self._core.high_water

    @property
    def low_water(self) -> int:
        """Messages in each ring down to which it stays congested."""
        return self._core.low_water

    @property
    def congested(self) -> bool:
        """True from when a ring holds ``high_water`` messages until none holds more than ``low_water``."""
        return self._core.congested

    def stats(self) -> EdgeStats:
        """Counts and credits, as they are now."""
        return EdgeStats(**self._core._stats())

    def __repr__(self) -> str:
        stats = self.stats()
        return (
            f"<Edge {self.source!r} -> {self.target!r} {self.overflow} in_flight={stats.in_flight} "
            f"credits={stats.credits}{' congested' if stats.congested else ''}>"
        )
