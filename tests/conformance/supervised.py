"""What the tests of supervision share: a kernel that can be told to fail or to end, and how to look at it."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Number

import pyringkernel as rk

W = 60.0
HOUR = 3600.0
FAIL, END = 1313, 1414


@rk.state
class Count:
    handled: rk.u64


@rk.kernel(compiled=False)
def worker(ctx: rk.Context, state: Count, msg: Number) -> Number:
    """Answers how many messages this incarnation has handled."""
    state.handled += 1
    if msg.n == FAIL:
        raise ValueError(f"unlucky after {state.handled}")
    if msg.n == END:
        ctx.request_termination()
    return Number(state.handled)


def handled(kernel: rk.Kernel, **how: Any) -> int:
    """How many messages the present incarnation has handled, this one included."""
    return int(kernel.call(Number(1), timeout=W, **how).n)


def fail(kernel: rk.Kernel, **how: Any) -> None:
    """Let its handler raise."""
    with pytest.raises(rk.HandlerError) as caught:
        kernel.call(Number(FAIL), timeout=W, **how)
    assert isinstance(caught.value.__cause__, ValueError)


def kinds(supervisor: rk.Supervisor) -> list[tuple[str, str]]:
    """What happened, without the details."""
    return [(event.kind, event.child) for event in supervisor.events()]


def is_conserved(kernel: rk.Kernel) -> bool:
    """Every message that it accepted is accounted for."""
    s = kernel.stats()
    return s.accepted == s.delivered + s.dropped + s.dead_lettered + s.in_flight
