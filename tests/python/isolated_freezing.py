"""A handler on the double of a GPU, which freezes when a file appears: no cancel word helps then. In a worker only."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

from isolated_handlers import Count

import pyringkernel as rk


@rk.kernel
def stuck(ctx: rk.Context, msg: Count) -> Count:
    turns = rk.u64(0)
    while msg.n == 1:
        turns += 1
    return Count(turns)


def _freeze(flag: Path) -> None:
    while not flag.exists():
        time.sleep(0.005)
    ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"]).rk_double_freeze(1)
    flag.unlink()  # the next worker does not freeze


_main = getattr(sys.modules["__main__"], "__spec__", None)
if _main is not None and _main.name == "pyringkernel.isolation.worker":
    threading.Thread(target=_freeze, args=(Path(os.environ["RK_TEST_FREEZE"]),), daemon=True).start()
