"""GPUs: which of them a runtime uses, where a kernel is placed, and why one cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from . import _core
from .errors import (
    BackendUnavailableError,
    DeviceError,
    DeviceLostError,
    DeviceMemoryError,
    InsufficientSmsError,
    InvalidArgumentError,
    UnsupportedError,
    UnsupportedOnTargetError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .compiler.cuda.nvrtc import Nvrtc

_T = TypeVar("_T")

NOT_THERE = {"metal": "Metal", "wgpu": "wgpu"}  # backends to come


@dataclass(frozen=True)
class Device:
    """A GPU of a runtime. `memory` in bytes; `driver`: the CUDA version that its driver is for."""

    index: int
    name: str
    compute_capability: tuple[int, int]
    sm_count: int
    memory: int
    driver: str
    pci_address: str

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"cuda:{self.index} {self.name}, {self.sm_count} SMs, compute capability {major}.{minor}"


class CudaDevice:
    """A GPU that can be used: it is open, and there is a compiler for it."""

    def __init__(self, core: _core.CudaDevice, compiler: Nvrtc) -> None:
        self.core = core  # keeps its context
        self.compiler = compiler
        self.facts = facts_of(core)


def version_text(version: int) -> str:
    """ "13.2" of 13020, which is how the driver says it."""
    return f"{version // 1000}.{version % 1000 // 10}"


def facts_of(core: _core.CudaDevice) -> Device:
    """What users see of it."""
    return Device(
        core.index,
        core.name,
        core.compute_capability,
        core.sm_count,
        core.memory,
        version_text(core.driver_version),
        core.pci_address,
    )


def open_cuda(index: int) -> CudaDevice:
    """Opens a device and finds a compiler that fits it and its driver.

    Raises BackendUnavailableError, NvrtcError, DeviceError.
    """
    core = _core.CudaDevice(index)
    from .compiler.cuda import device_headers, find

    compiler = find(core.driver_version)
    compiler.arch_for(core.compute_capability)
    try:
        device_headers()
    except UnsupportedError as error:
        raise BackendUnavailableError(str(error)) from error
    return CudaDevice(core, compiler)


def numbers_of(device: int | Sequence[int] | str) -> list[int]:
    """The devices that are meant: one, several, or "all" that the driver shows. Raises BackendUnavailableError."""
    if isinstance(device, int):
        return [device]
    if device != "all":
        return list(device)  # type: ignore[arg-type]  # checked before
    _, _, count = _core.cuda_driver()
    if count == 0:
        raise BackendUnavailableError("there is no CUDA device: the driver shows 0 to this process")
    return list(range(count))


def open_some(device: int | Sequence[int] | str) -> tuple[list[CudaDevice], dict[str, str]]:
    """Those that can be used; and why others cannot, by "cuda:1". One at least; else raises what the first raised."""
    usable: list[CudaDevice] = []
    refused: dict[str, str] = {}
    first: BackendUnavailableError | DeviceError | None = None
    for index in numbers_of(device):
        try:
            usable.append(open_cuda(index))
        except (BackendUnavailableError, DeviceError) as error:
            refused[f"cuda:{index}"] = short(error)
            first = first or error
    if not usable and first is not None:
        raise first
    return usable, refused


def candidates(devices: Sequence[CudaDevice], wanted: int | None, handler: str) -> Sequence[CudaDevice]:
    """Those that a kernel may be placed on, in order. Raises InvalidArgumentError."""
    if wanted is None or not devices:
        return devices
    found = [one for one in devices if one.core.index == wanted]
    if not found:
        there = ", ".join(str(one.core.index) for one in devices)
        raise InvalidArgumentError(f"device: found {wanted} for {handler}, this runtime has {there}")
    return found


def place(devices: Sequence[CudaDevice], launch: Callable[[CudaDevice], _T]) -> _T:
    """`launch` on the first device that can take it. Raises what it raised, and of several devices says so of each."""
    refused: list[tuple[CudaDevice, DeviceError | UnsupportedOnTargetError]] = []
    for device in devices:
        try:
            return launch(device)
        except (InsufficientSmsError, DeviceMemoryError, DeviceLostError, UnsupportedOnTargetError) as error:
            refused.append((device, error))
    if len(refused) == 1:
        raise refused[0][1]
    kind = type(next((e for _, e in refused if not isinstance(e, DeviceLostError)), refused[0][1]))
    raise kind("no device can take it: " + "; ".join(f"cuda:{d.core.index}: {e}" for d, e in refused))


def short(error: BaseException) -> str:
    """The first sentence of an error: what is wrong, without what to do."""
    text = str(error).partition(". ")[0].splitlines()
    return text[0] if text else type(error).__name__
