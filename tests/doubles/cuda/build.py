"""Builds the doubles of libcuda and NVRTC with g++, and makes this process use them.

`python tests/doubles/cuda/build.py` prints the environment variables for another one. Nothing of it is a GPU.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NVRTC_SOURCES = ("nvrtc.cc", "nvrtc_compile.cc")
FLAGS = ("-std=c++20", "-O1", "-g1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")


def sources() -> dict[str, list[Path]]:
    """What each library is made of."""
    every = sorted(path for path in HERE.glob("*.cc") if path.name != "ping_pong.cc")
    nvrtc = [path for path in every if path.name in NVRTC_SOURCES]
    return {"librk_double_cuda.so": [path for path in every if path not in nvrtc], "librk_double_nvrtc.so": nvrtc}


def folder(sanitizer: str = "") -> Path:
    """Where they are kept: a folder for each version of the sources, in the user's temporary folder."""
    digest = hashlib.sha256(f"{sanitizer} {compiler()} {FLAGS}".encode())
    for path in sorted([*HERE.glob("*.h"), *HERE.glob("*.cc")]):
        digest.update(path.name.encode() + path.read_bytes())
    user = f"pyringkernel-double-{os.getuid()}"
    return Path(tempfile.gettempdir()) / user / digest.hexdigest()[:16]


def compiler() -> list[str]:
    return os.environ.get("CXX", "g++").split()


def build(sanitizer: str = "") -> dict[str, str]:
    """The environment variables that lead to them. sanitizer: "thread" or "address"; then the process needs it too."""
    place = folder(sanitizer)
    (place / "kernels").mkdir(parents=True, exist_ok=True, mode=0o700)
    more = [f"-fsanitize={sanitizer}"] if sanitizer else []
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # others wait for what this process makes
        missing = {place / name: files for name, files in sources().items() if not (place / name).exists()}
        started = [
            (path, subprocess.Popen([*compiler(), *FLAGS, *more, *map(str, files), "-o", f"{path}.new", "-ldl"]))
            for path, files in missing.items()
        ]
        failed = [path.name for path, one in started if one.wait() != 0]
        if failed:
            raise RuntimeError(f"{' and '.join(failed)} cannot be built: see what the compiler says above")
        for path in missing:
            Path(f"{path}.new").replace(path)
    return {
        "RINGKERNEL_CUDA_DRIVER": str(place / "librk_double_cuda.so"),
        "RINGKERNEL_NVRTC": str(place / "librk_double_nvrtc.so"),
        "RK_DOUBLE_SHIM": os.environ.get("RK_DOUBLE_SHIM", str(HERE)),
        "RK_DOUBLE_CACHE": str(place / "kernels"),
        "RK_DOUBLE_FLAGS": " ".join([*more, "-g1"] if more else []),
    }


def use() -> None:
    """This process, from now on; before it opens a driver. RK_DOUBLE_SANITIZER: as build() takes it."""
    os.environ.update(build(os.environ.get("RK_DOUBLE_SANITIZER", "")))


if __name__ == "__main__":
    for name, value in build().items():
        print(f"export {name}={value!r}")
