"""What the tests of priorities share."""

from __future__ import annotations

from typing import Any

from actors import Number

import pyringkernel as rk


def by_priority(seen: list[tuple[int, int]]) -> Any:
    """A handler that keeps the priority and the number of what it was given."""

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((msg.header.priority, msg.n))

    return record
