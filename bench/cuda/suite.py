"""The conformance suite on the CUDA backend: a process for each file, and what hangs costs itself only.

A test that hangs or crashes ends its file's process. The rest of the file is run in a new one, without it.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import ROOT, last_line, run, some

OUTCOME = re.compile(r"^(\S+::\S.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
BEGUN = re.compile(r"^\S+\.py::\S.*$", re.MULTILINE)
SUMMARY = re.compile(r"^=+ .* in [\d.]+s\b.*=+$", re.MULTILINE)  # without it the process was ended by something
QUICK = ("compiled_exchange", "exchange", "lifecycle", "priorities", "supervision")
TEST_S = 30.0  # a test that takes longer hangs
ATTEMPTS = 4  # of one file


def files_of(quick: bool) -> list[Path]:
    files = sorted((ROOT / "tests" / "conformance").glob("test_*.py"))
    return [one for one in files if not quick or one.stem.removeprefix("test_") in QUICK]


@dataclass
class Tests:
    """What became of one file. hung: tests that ended their process; broken: why the file was not run to its end."""

    name: str
    outcomes: dict[str, str] = field(default_factory=dict)
    hung: list[str] = field(default_factory=list)
    broken: str = ""

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.outcomes.values()) + Counter({"FAILED": len(self.hung)})

    @property
    def failed(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome in ("FAILED", "ERROR")] + self.hung

    @property
    def bad(self) -> bool:
        return bool(self.failed or self.broken)


@dataclass
class Suite:
    """A run of the suite. limit_s: of all of it; file_s: of one file; jobs: files at once."""

    environment: dict[str, str]
    logs: Path
    backend: str
    file_s: float
    test_s: float = TEST_S
    jobs: int = 1
    root: Path = ROOT
    end: float = 0.0

    def command(self, file: Path, without: list[str]) -> list[str]:
        """No plugins: some warn, and warnings are errors; some have threads, and tests count those. A test that hangs is
        ended by the watchdog of conftest.py."""
        command = [sys.executable, "-m", "pytest", str(file), "-o", "addopts=", "-v", "-rfEs", "--tb=short"]
        command += ["-p", "no:cacheprovider", "--rootdir", str(self.root)]  # so that names fit --deselect
        return command + [part for name in without for part in ("--deselect", name)]

    def once(self, file: Path, into: Tests, left: float) -> bool:
        """False: there is more to run."""
        done = [*into.outcomes, *into.hung]
        environment = {
            **self.environment,
            "RK_TEST_BACKENDS": self.backend,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "RK_TEST_WATCHDOG_S": f"{self.test_s:.0f}",
        }
        log = self.logs / f"{file.stem}.log"
        status, text = run(self.command(file, done), log, left, environment, cwd=self.root)
        into.outcomes |= dict(OUTCOME.findall(text))  # a later one counts: an error behind a pass
        if status in (0, 1, 5) and SUMMARY.search(text):  # 5: there was no test to run
            return True
        begun = [line.strip() for line in BEGUN.findall(text) if not OUTCOME.match(line)]
        why = f"ended after {left:.0f} s" if status is None else f"status {status}, {last_line(text)}"
        if not begun:
            into.broken = why
            return True
        into.hung.append(begun[-1])
        return False

    def file(self, file: Path) -> Tests:
        into = Tests(file.name)
        for _ in range(ATTEMPTS):
            left = min(self.file_s, self.end - time.monotonic())
            if left < 2:
                into.broken = "no time left"
                return into
            if self.once(file, into, left):
                return into
        into.broken = f"{ATTEMPTS} of its tests ended their process"
        return into

    def run(self, files: list[Path], limit_s: float) -> dict[str, Any]:
        """All files; what fails is run again alone, and counts then."""
        self.end = time.monotonic() + limit_s
        with ThreadPoolExecutor(self.jobs) as pool:
            done = dict(zip(files, pool.map(self.file, files), strict=True))
        again: dict[str, list[str]] = {}
        for file in [file for file, one in done.items() if one.bad] if self.jobs > 1 else []:
            if self.end - time.monotonic() > 5:
                again[file.name] = done[file].failed
                done[file] = self.file(file)
        return {
            "counts": dict(sum((one.counts for one in done.values()), Counter())),
            "failed": [name for one in done.values() for name in one.failed],
            "ended their process": [name for one in done.values() for name in one.hung],
            "broken": {one.name: one.broken for one in done.values() if one.broken},
            "run again alone, and what had failed": again,
        }


def judged(found: dict[str, Any]) -> tuple[str, str]:
    """passed or failed, and a word about it."""
    counts, failed, broken = found["counts"], found["failed"], found["broken"]
    again = found["run again alone, and what had failed"]
    detail = ", ".join(f"{count} {name.lower()}" for name, count in sorted(counts.items())) or "no test was run"
    detail += f"; run again alone: {len(again)} files" if again else ""
    detail += some("; failed: ", [name.split("/")[-1] for name in failed], 5)
    detail += some("; ", [f"{name}: {why}" for name, why in broken.items()], 3)
    return ("passed" if not failed and not broken and counts.get("PASSED") else "failed"), detail
