"""What the tests of checkpoints share."""

from __future__ import annotations

from actors import Number, tally

import pyringkernel as rk

W = 60.0


def full_snapshot(rt: rk.Runtime) -> rk.Snapshot:
    """Two instances with state and messages."""
    kernel = rt.launch(tally, name="full", instances=2)
    for n in range(4):
        kernel.call(Number(n), timeout=W)
    kernel.deactivate()
    for n in range(6):
        kernel.send(Number(10 + n), priority=1 + n % 2)
    return kernel.snapshot()
