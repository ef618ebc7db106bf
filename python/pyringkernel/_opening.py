"""How a runtime gets its core: the backend that was asked for, or for "auto" the first that can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from .devices import NOT_THERE, CudaDevice, numbers_of, open_cuda, open_some, short
from .errors import BackendUnavailableError, DeviceError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Made = Callable[[str, Sequence[CudaDevice]], _core.Runtime]
    Opened = tuple[_core.Runtime, list[CudaDevice], dict[str, str]]


def open_core(backend: str, device: Any, made: Made) -> Opened:
    """The core, its devices, and why what was tried is not used. made(backend, devices) makes a core.

    Raises BackendUnavailableError, NvrtcError, DeviceError, InvalidArgumentError.
    """
    if backend == "cpu":
        return made("cpu", ()), [], {}
    if backend == "cuda":
        if device == "all":
            return _those_that_work(device, made)
        devices = [open_cuda(index) for index in numbers_of(device)]
        return made("cuda", devices), devices, {}
    if backend in NOT_THERE:
        raise BackendUnavailableError(
            f"backend={backend!r}: the {NOT_THERE[backend]} backend is not part of this release; "
            "use 'auto', 'cuda' or 'cpu'"
        )
    if backend != "auto":
        raise InvalidArgumentError(f"backend: found {backend!r}, need 'auto', 'cuda' or 'cpu'")
    absent = {name: f"the {label} backend is not part of this release" for name, label in NOT_THERE.items()}
    try:
        core, devices, skipped = _those_that_work(device, made)
    except (BackendUnavailableError, DeviceError, OSError) as error:  # OSError: a library that cannot be read
        return made("cpu", ()), [], {"cuda": short(error), **absent}
    return core, devices, {**skipped, **absent}


def _those_that_work(device: Any, made: Made) -> Opened:
    """A device may open and yet have no memory or stream for us: then each is tried by itself."""
    devices, skipped = open_some(device)
    try:
        return made("cuda", devices), devices, skipped
    except (BackendUnavailableError, DeviceError):
        if len(devices) == 1:
            raise
    working: list[CudaDevice] = []
    last: Exception | None = None
    for one in devices:
        try:
            made("cuda", [one]).close(0.0)
            working.append(one)
        except (BackendUnavailableError, DeviceError) as error:
            skipped[f"cuda:{one.core.index}"] = short(error)
            last = error
    if not working and last is not None:
        raise last
    return made("cuda", working), working, skipped
