"""Programs in processes of their own, each with an end: what hangs is killed with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SLICE_S = 2.0


def nothing() -> None:
    """Of who waits and has nothing to do meanwhile."""


def end_group(child: subprocess.Popen[bytes]) -> None:
    """First politely, so that a test run writes its summary. Returns also when it cannot be killed: it waits for a
    driver then, and nobody can do more."""
    for number, patience in ((signal.SIGINT, 3.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(child.pid, number)
            child.wait(timeout=patience)
            break
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError):  # what it started and left
        os.killpg(child.pid, signal.SIGKILL)


def wait(child: subprocess.Popen[bytes], limit_s: float, meanwhile: Callable[[], None]) -> int | None:
    """None: it took too long, and was ended."""
    end = time.monotonic() + max(1.0, limit_s)
    try:
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=min(SLICE_S, left))
            meanwhile()
    except BaseException:
        end_group(child)
        raise
    end_group(child)
    return None


def run(
    command: list[str],
    log: Path,
    limit_s: float,
    environment: dict[str, str],
    meanwhile: Callable[[], None] = nothing,
    cwd: Path = ROOT,
) -> tuple[int | None, str]:
    """Its status, None when it took too long; and what it printed, which is added to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start = sink.tell()
        sink.write(f"$ {' '.join(command)}\n".encode())
        sink.flush()
        try:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return 127, str(error)
        status = wait(child, limit_s, meanwhile)
    with log.open("rb") as source:
        source.seek(start)
        return status, source.read().decode(errors="replace")


def last_line(text: str, most: int = 200) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:most] if lines else ""


def judged_by(status: int | None, text: str) -> tuple[str, str]:
    """passed, failed or timeout; and a word about it."""
    if status is None:
        return "timeout", last_line(text)
    return ("passed", "") if status == 0 else ("failed", f"status {status}: {last_line(text)}")


def some(before: str, names: list[str], most: int) -> str:
    return before + ", ".join(names[:most]) + " ..." * (len(names) > most) if names else ""
