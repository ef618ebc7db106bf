"""The shared structs as NumPy dtypes, made from the same lists as the C++ structs."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core

VERSION: tuple[int, int] = _core.abi_version


def dtype(name: str) -> np.dtype[Any]:
    """The dtype of ``ControlBlock``, ``TelemetryBlock``, ``MessageHeader``, ``HlcTimestamp`` or ``RingGeometry``.

    Raises KeyError for other names.
    """
    size, fields = _core.abi_layouts[name]
    return np.dtype(
        {
            "names": [f[0] for f in fields],
            "formats": [f[1] for f in fields],
            "offsets": [f[2] for f in fields],
            "itemsize": size,
        }
    )


def names() -> list[str]:
    """All shared structs."""
    return list(_core.abi_layouts)
