"""What a report says about where it was made."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import subprocess
from datetime import datetime, timezone
from typing import Any

from commands import ROOT

import machine

SMI_FIELDS = (
    "name,driver_version,pstate,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,"
    "memory.total,utilization.gpu"
)


def smi() -> dict[str, str]:
    """What nvidia-smi says of the first GPU; nothing when it is not there."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={SMI_FIELDS}", "--format=csv,noheader", "-i", "0"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    names = SMI_FIELDS.split(",")
    return dict(zip(names, values, strict=True)) if len(values) == len(names) and done.returncode == 0 else {}


def version_of(module: str) -> str:
    if importlib.util.find_spec(module) is None:
        return "not installed"
    try:
        from importlib.metadata import version

        return version(module)
    except Exception:
        return "unknown"


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def digest() -> str:
    """Of what is measured: results of other sources are not kept, also where there is no git."""
    made = hashlib.sha256()
    for folder in ("kernels", "cpp", "python", "bench/cuda", "tests/conformance"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in (".h", ".cc", ".cuh", ".py", ".txt"):
                made.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return made.hexdigest()[:12]


def describe(double: bool) -> dict[str, Any]:
    found = {} if double else smi()
    commit = machine.output_of("git", "rev-parse", "--short=12", "HEAD", cwd=ROOT) or "unknown"
    changed = bool(machine.output_of("git", "status", "--porcelain", cwd=ROOT))
    return {
        "gpu": "none: doubles" if double else found.pop("name", "unknown"),
        **{f"nvidia-smi {name}": value for name, value in found.items()},
        "cpu": machine.first_match(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo"),
        "cores": len(os.sched_getaffinity(0)),
        "load at start": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": version_of("torch"),
        "commit": commit + "+changes" * changed,
        "sources": digest(),
        "date": now(),
    }
