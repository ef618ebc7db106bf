"""What a result must say about where it comes from."""

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

BUSY_LOAD = 0.3


def first_match(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return "unknown"
    return found.group(1).strip() if found else "unknown"


def output_of(*command: str, cwd: Path) -> str:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def compiler_of(build_dir: Path, root: Path) -> str:
    path = first_match(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", str(build_dir / "CMakeCache.txt"))
    flags = first_match(r"^CMAKE_CXX_FLAGS:\w+=(.*)$", str(build_dir / "CMakeCache.txt"))
    version = output_of(path, "--version", cwd=root).splitlines()
    return " ".join([version[0] if version else path, "-O3", flags]).strip()


def describe(root: Path, build_dir: Path, load: float, quick: bool) -> dict:
    cores = len(os.sched_getaffinity(0))
    changed = bool(output_of("git", "status", "--porcelain", "--untracked-files=no", cwd=root))
    warnings = []
    if load > BUSY_LOAD:
        warnings.append(f"the machine is busy: load {load:.2f}")
    if cores < 2:
        warnings.append("fewer than two cores: nothing is pinned, and two sides share one")
    if quick:
        warnings.append("a smoke run: too few and too short repetitions for conclusions")
    return {
        "cpu": first_match(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo"),
        "cores": cores,
        "virtual": "hypervisor" in first_match(r"^flags\s*:\s*(.*)$", "/proc/cpuinfo").split(),
        "kernel": platform.release(),
        "compiler": compiler_of(build_dir, root),
        "commit": (output_of("git", "rev-parse", "--short=12", "HEAD", cwd=root) or "unknown") + "+changes" * changed,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load_at_start": round(load, 2),
        "real_time": os.environ.get("RK_BENCH_FIFO") == "1",
        "warnings": warnings,
    }
