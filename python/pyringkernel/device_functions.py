"""Device functions: what compiled handlers call."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import HandlerSignatureError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def device(function: F, /) -> F:
    """Mark a function as one that compiled handlers may call. It is translated with each handler that calls it.

    Parameters and result are annotated: scalars come by value, messages, states and arrays by reference, and the result
    is a scalar or None. The function stays callable as it is. Raises HandlerSignatureError for what is no function.
    """
    given: object = function
    if not isinstance(given, types.FunctionType):
        raise HandlerSignatureError(f"@rk.device: found {function!r}, need a function made with def")
    function.__rk_device__ = True  # type: ignore[attr-defined]
    return function
