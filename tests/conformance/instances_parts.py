"""What the tests of instances share."""

from __future__ import annotations

from typing import Any

from actors import Number

import pyringkernel as rk


@rk.message
class Order:
    customer: rk.u32 = 0
    n: rk.u64 = 0


@rk.kernel(compiled=False)
def who(ctx: rk.Context, msg: Number) -> Number:
    return Number(ctx.instance_id())


def by_instance(seen: list[tuple[int, int]], field: str = "n") -> Any:
    """A handler that keeps which instance was given what."""

    def record(ctx: rk.Context, msg: Number) -> None:
        seen.append((ctx.instance_id(), getattr(msg, field)))

    return record
