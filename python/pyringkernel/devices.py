"""GPUs: which one a runtime uses, and why one cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _core
from .errors import BackendUnavailableError, DeviceError, RingKernelError, UnsupportedError

if TYPE_CHECKING:
    from .compiler.cuda.nvrtc import Nvrtc

NOT_THERE = {"metal": "Metal", "wgpu": "wgpu"}  # backends to come


@dataclass(frozen=True)
class Device:
    """The GPU of a runtime. `memory` in bytes; `driver`: the CUDA version that its driver is for."""

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


def try_cuda(index: int) -> CudaDevice | str:
    """As open_cuda; when it cannot be used, why, in short."""
    try:
        return open_cuda(index)
    except (BackendUnavailableError, DeviceError) as error:
        return short(error)


def short(error: RingKernelError) -> str:
    """The first sentence of an error: what is wrong, without what to do."""
    return str(error).partition(". ")[0].splitlines()[0]
