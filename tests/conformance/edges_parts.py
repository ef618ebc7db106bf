"""What the tests of edges share."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Number, recorder

import pyringkernel as rk
from pyringkernel.errors import (
    HandlerError,
    RingFullError,
)

W = 60.0


def forward(target: Any) -> Any:
    """Sends what it gets to `target`, and answers."""

    def pass_on(ctx: rk.Context, msg: Number) -> Number:
        ctx.send(target, msg)
        return msg

    return pass_on


def burst(target: Any) -> Any:
    """Sends 0, 1, ... msg.n - 1 to `target`; answers how many were taken."""

    def send(ctx: rk.Context, msg: Number) -> Number:
        for n in range(msg.n):
            try:
                ctx.send(target, Number(n))
            except RingFullError:
                return Number(n)
        return msg

    return send


def paused_pair(
    rt: rk.Runtime, overflow: str, capacity: int = 4, **options: Any
) -> tuple[list[int], rk.Kernel, rk.Kernel, rk.Edge]:
    """What arrived, a sender of bursts, a receiver that is not active yet, and the edge between them."""
    seen: list[int] = []
    target = rt.launch(recorder(seen), name="target", autostart=False)
    source = rt.launch(burst("target"), name="source", capacity=16)
    edge = rt.connect(source, target, overflow=overflow, capacity=capacity, **options)  # type: ignore[arg-type]
    return seen, source, target, edge


def balanced(stats: Any) -> bool:
    """Whether every message is somewhere."""
    return bool(stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight)


def cause_in(kernel: rk.Kernel, message: Any = None) -> BaseException:
    """What its handler raises."""
    with pytest.raises(HandlerError) as caught:
        kernel.call(message or Number(1), timeout=W)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__
