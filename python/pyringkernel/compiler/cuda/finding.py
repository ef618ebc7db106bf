"""Where NVRTC may be: what the user names, NVIDIA's wheels, cuda-pathfinder, the system."""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "RINGKERNEL_NVRTC"  # path of a library; no other is looked for then
_SYSTEM_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")  # as the loader finds them
_TOOLKIT_VARIABLES = ("CUDA_HOME", "CUDA_PATH")


@dataclass(frozen=True)
class Candidate:
    """`path`: of a file, or a name for the system's loader. `origin`: where it comes from, for people."""

    path: str
    origin: str


def candidates() -> Iterator[Candidate]:
    """What may be NVRTC, in the order in which it is tried."""
    given = os.environ.get(VARIABLE, "")
    if given:
        yield Candidate(given, VARIABLE)
        return
    yield from _of_wheels()
    yield from _of_pathfinder()
    yield from _of_system()


def looked_for() -> str:
    """Where `candidates` looks, for people."""
    if os.environ.get(VARIABLE):
        return VARIABLE
    return f"${VARIABLE} (not set), NVIDIA's wheels, cuda-pathfinder and {', '.join(_SYSTEM_NAMES)}"


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", os.path.basename(path))]


def _of_wheels() -> Iterator[Candidate]:
    """nvidia/cu13/lib of nvidia-cuda-nvrtc 13, nvidia/cuda_nvrtc/lib of nvidia-cuda-nvrtc-cu12; the newest first."""
    spec = importlib.util.find_spec("nvidia")
    bases = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path for base in bases for path in glob.glob(f"{glob.escape(base)}/*/lib/libnvrtc.so.[0-9]*")]
    for path in sorted(found, key=lambda one: (_numbers(one), one), reverse=True):
        yield Candidate(path, "a wheel")


def _of_pathfinder() -> Iterator[Candidate]:
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
        path = pathfinder.load_nvidia_dynamic_lib("nvrtc").abs_path
    except (ImportError, AttributeError, RuntimeError, OSError):  # not installed, too old, or it finds none
        return
    if path:
        yield Candidate(str(path), "cuda-pathfinder")


def _of_system() -> Iterator[Candidate]:
    for variable in _TOOLKIT_VARIABLES:
        path = os.path.join(os.environ.get(variable, ""), "lib64", "libnvrtc.so")
        if os.environ.get(variable) and os.path.exists(path):
            yield Candidate(path, f"${variable}")
    for name in _SYSTEM_NAMES:
        yield Candidate(name, "the system")
    for folder in (os.path.join(os.environ.get("CONDA_PREFIX", "/"), "lib"), "/usr/local/cuda/lib64"):
        path = os.path.join(folder, "libnvrtc.so")
        if os.path.exists(path):
            yield Candidate(path, folder)
