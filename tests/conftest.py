"""What all tests share: a watchdog, threads that are always joined, and scripts in processes of their own."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Derandomized: the suite does the same work in every run; fuzzing with fresh seeds is tests/fuzz's job.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    stateful_step_count=30,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# A test that takes longer hangs: all stacks are dumped and the run ends.
WATCHDOG_SECONDS = float(os.environ.get("RK_TEST_WATCHDOG_S", "150"))
JOIN_SECONDS = 60.0
_terminal = sys.__stderr__


def pytest_configure(config: pytest.Config) -> None:
    """Keeps a stderr that is not captured, for the watchdog."""
    global _terminal
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        _terminal = os.fdopen(os.dup(2), "w")


def pytest_unconfigure() -> None:
    """Closes what pytest_configure opened."""
    if _terminal is not sys.__stderr__:
        _terminal.close()


@pytest.fixture(autouse=True, scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled handlers are kept in a folder of this run, not in the user's; RK_TEST_CACHE_DIR: of several runs."""
    given = os.environ.get("RK_TEST_CACHE_DIR")
    folder = Path(given) if given else tmp_path_factory.mktemp("compiled")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    before = os.environ.get("PYRINGKERNEL_CACHE_DIR")
    os.environ["PYRINGKERNEL_CACHE_DIR"] = str(folder)
    yield
    if before is None:
        del os.environ["PYRINGKERNEL_CACHE_DIR"]
    else:
        os.environ["PYRINGKERNEL_CACHE_DIR"] = before


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Ends a run that hangs, with the stack of every thread."""
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True, file=_terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


class Running:
    """A thread and what became of it."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=getattr(function, "__name__", "test"))
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        self.thread.join(JOIN_SECONDS)
        assert not self.thread.is_alive(), f"{self.thread.name} did not end within {JOIN_SECONDS} s"

    def error(self) -> BaseException | None:
        """What it raised; None when it returned."""
        self.join()
        return self._error

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._value


class Threads:
    """Starts threads; all of them are joined at the end of the test."""

    def __init__(self) -> None:
        self.running: list[Running] = []

    def start(self, function: Callable[..., Any], *args: Any) -> Running:
        self.running.append(Running(function, args))
        return self.running[-1]

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """In another thread, and wait for it."""
        return self.start(function, *args).result()

    def run_all(self, count: int, function: Callable[[int], Any]) -> list[Any]:
        """function(0) .. function(count - 1), all at the same time."""
        gate = threading.Barrier(count)

        def gated(index: int) -> Any:
            gate.wait(JOIN_SECONDS)
            return function(index)

        started = [self.start(gated, n) for n in range(count)]
        return [one.result() for one in started]


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Threads for one test."""
    made = Threads()
    yield made
    for one in made.running:
        one.join()


SCRIPT_HEAD = """
import faulthandler, os, signal, sys, threading, time, warnings
faulthandler.dump_traceback_later(60, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)
import pyringkernel as rk

def fork():
    faulthandler.cancel_dump_traceback_later()  # its thread would be waited for by the child, which has none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork with threads; that is what is tested
        pid = os.fork()
    faulthandler.dump_traceback_later(60, exit=True)
    return pid

@rk.message
class Ping:
    n: rk.u64 = 0
"""


class Script:
    """A Python process that runs a snippet; killed by its own watchdog when it hangs."""

    def __init__(self, code: str, flags: tuple[str, ...] = ()) -> None:
        whole = SCRIPT_HEAD + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, *flags, "-c", whole],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, line: str) -> None:
        """Reads stdout up to a line."""
        assert self.process.stdout is not None
        for found in self.process.stdout:
            if found.strip() == line:
                return
        _, errors = self.process.communicate(timeout=JOIN_SECONDS)
        raise AssertionError(f"the script ended before it printed {line!r}: {errors}")

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Exit code, what is left of stdout, stderr."""
        out, errors = self.process.communicate(timeout=1.5 * JOIN_SECONDS)
        return self.process.returncode, out, errors

    def kill(self) -> None:
        """Ends it, and what it forked."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def start_script() -> Iterator[Callable[..., Script]]:
    """start_script(code) runs a snippet in a process of its own, with `rk` and a message class `Ping` at hand."""
    started: list[Script] = []

    def start(code: str, *flags: str) -> Script:
        started.append(Script(code, flags))
        return started[-1]

    yield start
    for script in started:
        script.kill()


@pytest.fixture
def run_script(start_script: Callable[..., Script]) -> Callable[..., tuple[int, str, str]]:
    """run_script(code) -> exit code, stdout, stderr."""
    return lambda code, *flags: start_script(code, *flags).end()
