"""CUDA streams of others."""

from __future__ import annotations

from typing import Any, cast

from .errors import InvalidArgumentError


def place_of(stream: Any) -> tuple[int, int]:
    """(handle, device) of a stream of PyTorch, CuPy, Numba, cuda.core, or a handle of device 0.

    ``__cuda_stream__`` is the protocol of cuda.core, https://nvidia.github.io/cuda-python/cuda-core.
    """
    return _handle(stream), _device(stream)


def _handle(stream: Any) -> int:
    protocol = getattr(stream, "__cuda_stream__", None)
    if protocol is not None:
        pair = cast("tuple[int, int]", protocol() if callable(protocol) else protocol)
        return int(pair[1])
    for name in ("cuda_stream", "ptr"):  # PyTorch, CuPy
        handle = getattr(stream, name, None)
        if isinstance(handle, int) and _is_stream(stream):
            return handle
    if hasattr(stream, "handle") and _is_stream(stream):  # Numba; None is its default stream
        handle = stream.handle
        return int(getattr(handle, "value", handle) or 0)
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    raise InvalidArgumentError(
        f"after: found {stream!r}, need a CUDA stream (of PyTorch, CuPy, Numba, cuda.core) or its handle; "
        "to send after an event, let a stream wait for it first"
    )


def _is_stream(found: Any) -> bool:
    return "stream" in type(found).__name__.lower()


def _device(stream: Any) -> int:
    for place, name in (
        (stream, "device_index"),
        (stream, "device_id"),
        (getattr(stream, "device", None), "device_id"),
    ):
        index = getattr(place, name, None)
        if isinstance(index, int) and index >= 0:
            return index
    return 0
