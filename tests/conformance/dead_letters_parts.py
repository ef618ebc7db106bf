"""What the tests of dead letters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import Number, sink

import pyringkernel as rk

if TYPE_CHECKING:
    pass


def leave(rt: rk.Runtime, *values: int, name: str = "quiet") -> None:
    """Makes dead letters of these numbers: a kernel that never ran ends with them."""
    kernel = rt.launch(sink, name=name, autostart=False)
    for n in values:
        kernel.send(Number(n))
    kernel.terminate()


def held(rt: rk.Runtime, **filters: Any) -> list[int]:
    return [one.message.n for one in rt.dead_letters.browse(**filters)]


def consistent(rt: rk.Runtime) -> bool:
    stats = rt.dead_letters.stats()
    totals = rt.telemetry().stats
    return (
        stats.total == stats.kept + stats.overwritten + stats.taken == sum(stats.by_reason.values())
        and stats.kept == len(rt.dead_letters)
        and totals.accepted == totals.delivered + totals.dropped + totals.dead_lettered + totals.in_flight
    )
