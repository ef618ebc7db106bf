"""The native handler of the Python scenarios, as bench/CMakeLists.txt builds it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pyringkernel as rk

BUILD = Path(os.environ.get("RK_BENCH_BUILD_DIR") or Path(__file__).resolve().parent.parent / "build" / "bench")


def native_echo(message: type[Any]) -> Any:
    """Answers each `message` with a copy of it. Raises OSError when it is not built."""
    library = ctypes.CDLL(str(BUILD / "bench" / "native_echo.so"))
    return rk.NativeHandler(
        library.bench_echo, accepts=[message], replies=[message], id=f"echo {message.__name__}", keep_alive=library
    )
