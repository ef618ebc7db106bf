"""What the tests of topics share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyringkernel as rk

if TYPE_CHECKING:
    pass


def waiting(sub: rk.Subscription) -> list[int]:
    """What a host subscription holds."""
    held = []
    while (message := sub.try_receive()) is not None:
        held.append(message.n)
    return held


def balanced(stats: Any) -> bool:
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)
