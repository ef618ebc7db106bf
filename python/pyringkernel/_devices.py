"""``python -m pyringkernel devices``: the backends, the devices of each, and why one cannot be used."""

from __future__ import annotations

import os

from . import _core
from .devices import NOT_THERE, facts_of, open_cuda, version_text
from .errors import RingKernelError


def devices() -> int:
    """Prints a line for each backend and device. Returns the exit status: 0, for the CPU is always there."""
    _line("cpu", f"available: {os.cpu_count()} processors")
    _cuda()
    for name, label in NOT_THERE.items():
        _line(name, f"not available: the {label} backend is not part of this release")
    return 0


def _cuda() -> None:
    try:
        path, version, count = _core.cuda_driver()
    except RingKernelError as error:
        _line("cuda", f"not available: {error}")
        return
    _line("cuda", f"driver {path} for CUDA {version_text(version)}, {_many(count, 'device')}")
    _nvrtc(version)
    for index in range(count):
        _device(index)


def _nvrtc(version: int) -> None:
    from .compiler.cuda.linking import linker_for
    from .compiler.cuda.nvrtc import find

    try:
        found = find(version)
    except RingKernelError as error:
        _line("  nvrtc", f"not available: {error}")
        return
    _line("  nvrtc", f"{found} from {found.origin}: {found.path}, {_archs(found.archs)}")
    linker = linker_for(found)
    _line("  nvjitlink", f"{linker} from {linker.path}" if linker else "none beside it: handlers compile more slowly")


def _device(index: int) -> None:
    try:
        core = _core.CudaDevice(index)
        facts = facts_of(core)
    except RingKernelError as error:
        _line(f"  cuda:{index}", f"not available: {error}")
        return
    major, minor = facts.compute_capability
    shown = (
        f"{facts.name}, {facts.sm_count} SMs, compute capability {major}.{minor}, {facts.memory >> 20} MiB, "
        f"PCI {facts.pci_address}"
    )
    if core.kernel_timeout:
        shown += ", ends kernels after seconds (keep leases short)"
    try:
        open_cuda(index)
        _line(f"  cuda:{index}", f"{shown}: available")
    except RingKernelError as error:
        _line(f"  cuda:{index}", f"{shown}: not available: {error}")


def _archs(archs: tuple[int, ...]) -> str:
    return f"compiles for sm_{archs[0]} to sm_{archs[-1]}" if archs else "compiles for nothing"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _line(name: str, text: str) -> None:
    print(f"{name:<14}{text}")
