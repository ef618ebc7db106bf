"""A program that uses a GPU, once for each way in which driver and compiler can fail; and what must hold then.

    python tests/python/cuda_faults.py                  # what the suite runs
    python tests/python/cuda_faults.py --all            # each result at each of the first calls, once and for ever: minutes
    python tests/python/cuda_faults.py --only cuMemAlloc

Nothing of it is a GPU: the doubles of driver and NVRTC fail as they are told. The entry points are those that
driver_api.h resolves and that nvrtc.py calls, so that a new one is tested without being named here.

Each case has a process of its own, forked before CUDA is opened: the program opens a runtime, launches two kernels,
sends, calls, reads states, terminates, closes. Whatever fails, it goes on with the next step. Then, the fault being
over, it does the same once more, and the process ends.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyringkernel as rk
from pyringkernel.compiler.cuda import nvrtc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
DOUBLES = ROOT / "tests" / "doubles" / "cuda"
DRIVER_API = ROOT / "cpp" / "src" / "backends" / "cuda" / "driver_api.h"

SECONDS = 40  # of a process; nothing waits that long
ORDINARY, NO_MEMORY, FAULT, LOST = "1", "2", "719!", "999!"  # as RK_DOUBLE_FAIL takes them
NAMES = {
    ORDINARY: "CUDA_ERROR_INVALID_VALUE",
    NO_MEMORY: "CUDA_ERROR_OUT_OF_MEMORY",
    FAULT: "CUDA_ERROR_LAUNCH_FAILED",
    LOST: "CUDA_ERROR_UNKNOWN",
}
LACKS = "RK_FAULTS_NVRTC_LACKS"
RESULTS_OF_NVRTC = (11, 1, 3, 4, 5, 7)
MOST_CALLS = 40
NOT_ITS_OWN = rk.DeadLetterReason.UNDELIVERABLE  # a stream came to a kernel that was over
STEPS = ("open", "launch", "use", "states", "terminate", "close", "let go")


# -- what can fail


def entries() -> dict[str, bool]:
    """The entry points of the driver, from the list that resolves them; True: it must have it."""
    found: dict[str, bool] = {}
    text = DRIVER_API.read_text().replace("\\\n", " ")
    for kind, body in re.findall(r"#define RK_CUDA_(REQUIRED|OPTIONAL)\(F\)([^\n]*)", text):
        for symbol in re.findall(r'F\(\s*\w+\s*,\s*"(\w+)"', body):
            found[symbol] = kind == "REQUIRED"
    return found


class Lacking(ctypes.CDLL):
    """A library without one of its functions."""

    def __getattr__(self, name: str) -> Any:
        if name == os.environ.get(LACKS):
            raise AttributeError(name)
        return super().__getattr__(name)


def compiler_entries() -> tuple[str, ...]:
    """The functions of NVRTC that the package calls."""
    return nvrtc.FUNCTIONS


@dataclass(frozen=True)
class Case:
    """One failure. `set`: variables of the process; `expect`: words that the first error has, if there is one."""

    name: str
    set: dict[str, str] = field(hash=False)
    expect: tuple[str, ...] = ()
    must_fail: bool = False
    leaks: bool = False  # what the driver did not take back, it still has
    harmless: bool = False  # nothing may fail
    keeps: bool = False  # the fault stays for as long as the process
    compiles: bool = False  # nothing is compiled yet

    def __str__(self) -> str:
        return self.name


CLEAN = Case("nothing fails", {})


# -- the program


@rk.message
class Number:
    value: rk.u32


@rk.state
class Sum:
    value: rk.u64


@rk.kernel
def add(ctx: rk.Context, state: Sum, msg: Number) -> Number:
    state.value += msg.value
    return Number(value=rk.u32(state.value))


class Program:
    """Steps that go on whatever happens to the one before."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.errors: list[dict[str, str]] = []
        self.kernels: list[dict[str, Any]] = []
        self.calls: dict[str, dict[str, int]] = {}
        self._step = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._step = name
        try:
            yield
        except Exception as error:
            typed = isinstance(error, rk.RingKernelError)
            self.errors.append(
                {"step": name, "type": type(error).__name__, "text": str(error), "typed": "yes" if typed else ""}
            )
        self.calls[name] = self.control.calls()

    def run(self, *, short: bool = False) -> None:
        with self.step("open"):
            rt = rk.Runtime(backend="cuda")
            self._briefly(rt) if short else self._with(rt)
            del rt
        with self.step("let go"):
            for _ in range(3):
                gc.collect()

    def _briefly(self, rt: rk.Runtime) -> None:
        with self.step("launch"):
            kernel, counts = rt.launch(add, state=Sum(value=5)), Counts()
            counts.call(kernel)
            rt.close()
            self.kernels.append(counts.of(kernel, rt))

    def _with(self, rt: rk.Runtime) -> None:
        used = []
        for name, instances in (("first", 1), ("second", 2)):
            with self.step("launch"):
                used.append((rt.launch(add, name=name, instances=instances, state=Sum(value=5)), Counts()))
        for kernel, counts in used:
            with self.step("use"):
                counts.call(kernel)
            with self.step("use"):
                counts.send(kernel, 100)
            with self.step("use"):
                counts.send_after_stream(kernel)
            with self.step("states"):
                kernel.snapshot(timeout=20)
            with self.step("states"):
                kernel.deactivate(timeout=20)
                counts.send(kernel, 3)
            with self.step("states"):
                assert all(state.value >= 5 for state in kernel.states)
            with self.step("states"):
                kernel.activate(timeout=20)
            with self.step("use"):
                counts.send(kernel, 100)
                counts.call(kernel)
        for kernel, _ in used[:1]:
            with self.step("terminate"):
                kernel.terminate(timeout=20)
        with self.step("close"):
            rt.close(timeout=20)
        for kernel, counts in used:
            with self.step("count"):
                self.kernels.append(counts.of(kernel, rt))


@dataclass
class Counts:
    """What was sent to a kernel, and what became of it."""

    sent: int = 0
    unsure: int = 0  # calls that raised: refused, or handled without an answer

    def send(self, kernel: rk.Kernel, number: int) -> None:
        for _ in range(number):
            kernel.send(Number(value=1), timeout=20)
            self.sent += 1

    def send_after_stream(self, kernel: rk.Kernel) -> None:
        kernel.send(Number(value=1), after=0, timeout=20)
        self.unsure += 1  # a device that fails meanwhile does not come to it

    def call(self, kernel: rk.Kernel) -> None:
        try:
            kernel.call(Number(value=1), timeout=20)
            self.sent += 1
        except BaseException:
            self.unsure += 1
            raise

    def of(self, kernel: rk.Kernel, rt: rk.Runtime) -> dict[str, Any]:
        told, stats = kernel.telemetry(), kernel.stats()
        return {
            "name": kernel.name,
            "state": kernel.state.name,
            "sent": self.sent,
            "unsure": self.unsure,
            "accepted": told.accepted,
            "handled": told.processed,
            "waiting": told.in_flight,
            "dropped": stats.dropped,
            "dead": stats.dead_lettered,
            "letters": sum(one.reason is not NOT_ITS_OWN for one in rt.dead_letters.browse(kernel=kernel)),
        }


class Control:
    """The double of the driver, as control.h has it; opened by the process that uses it."""

    HELD = ("memory", "host_memory", "streams", "modules", "contexts", "grids")

    def __init__(self) -> None:
        self.library = ctypes.CDLL(os.environ["RINGKERNEL_CUDA_DRIVER"])

    def calls(self) -> dict[str, int]:
        return {name: self.library.rk_double_calls(name.encode()) for name in entries()}

    def held(self) -> dict[str, int]:
        counts = {what: self.library.rk_double_living(what.encode()) for what in self.HELD}
        return {what: count for what, count in counts.items() if count}

    def recover(self) -> None:
        self.library.rk_double_recover()
        os.environ.pop("RK_DOUBLE_NVRTC_FAIL", None)


def until_nothing_is_held(control: Control) -> dict[str, int]:
    """A stream ends when its thread comes to it."""
    end = time.monotonic() + 10
    while (held := control.held()) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.002)
    return held


def run_case(case: Case) -> dict[str, Any]:
    """In a process of its own: the program with the fault, then without."""
    os.environ.update(case.set)
    control = Control()
    ctypes.CDLL = Lacking  # type: ignore[misc]
    program = Program(control)
    program.run()
    out = {"errors": program.errors, "kernels": program.kernels, "calls": program.calls}
    control.recover()
    held = {} if case.keeps or case.leaks else until_nothing_is_held(control)
    again = Program(control)
    again.run(short=True)
    return {**out, "held": held, "again": again.errors, "kernels again": again.kernels}


# -- what must hold


def problems(case: Case, outcome: dict[str, Any]) -> list[str]:
    """What a case shows that must not be."""
    if "end" in outcome:
        return [outcome["end"]]
    found = [
        f"{one['step']}: {one['type']} is no error of the package: {one['text']}"
        for one in outcome["errors"]
        if not one["typed"]
    ]
    found += [
        f"{one['step']}: waited until the end of its patience: {one['text']}"
        for one in outcome["errors"]
        if one["type"] in ("CallTimeoutError", "KernelHungError", "ReceiveTimeoutError", "RingTimeoutError")
    ]
    if case.must_fail and not outcome["errors"]:
        found.append("nothing failed")
    if case.harmless:
        found += [f"{one['step']}: {one['type']}: {one['text']}" for one in outcome["errors"]]
    if outcome["errors"]:
        first = outcome["errors"][0]
        found += [f"{first['text']!r} does not say {word!r}" for word in case.expect if word not in first["text"]]
        if not re.search(r"[.:] \S", first["text"]):
            found.append(f"{first['text']!r} does not say what to do")
    for kernel in outcome["kernels"] + outcome["kernels again"]:
        found += accounts(kernel)
    if outcome["held"]:
        found.append(f"never given back: {outcome['held']}")
    if not case.keeps:
        found += [f"once more, without the fault: {one['type']}: {one['text']}" for one in outcome["again"]]
    return found


def accounts(kernel: dict[str, Any]) -> list[str]:
    """Every message that was accepted was handled, or is a dead letter."""
    found = []
    if not kernel["sent"] <= kernel["accepted"] <= kernel["sent"] + kernel["unsure"]:
        found.append("accepted is not sent")
    if kernel["handled"] + kernel["dead"] + kernel["dropped"] != kernel["accepted"] or kernel["waiting"]:
        found.append("a message is lost, or counted twice")
    if kernel["letters"] != kernel["dead"]:
        found.append("a dead letter is not there")
    if kernel["state"] not in ("TERMINATED", "FAILED"):
        found.append("it did not end")
    return [f"{text}: {kernel}" for text in found]


# -- processes


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that goes with the process that made it: a forked child comes by here too when it ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="rk-faults-")), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)


def start(case: Case, folder: Path) -> int:
    """Forks. The child ends as every Python program does."""
    sys.stdout.flush()
    pid = os.fork()
    if pid != 0:
        return pid
    with open(folder / "stderr", "wb") as errors:
        os.dup2(errors.fileno(), 2)
    faulthandler.enable()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    if case.compiles:
        (folder / "compiled").mkdir(mode=0o700)
        os.environ["PYRINGKERNEL_CACHE_DIR"] = str(folder / "compiled")
    outcome = run_case(case)
    (folder / "outcome").write_text(json.dumps(outcome))
    sys.exit(0)


def outcome_of(status: int, folder: Path) -> dict[str, Any]:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return dict(json.loads((folder / "outcome").read_text()))
    said = (folder / "stderr").read_text(errors="replace")[-3000:]
    when = "after the program was over" if (folder / "outcome").exists() else "in the program"
    how = (
        f"signal {signal.Signals(-code).name}"
        if code < 0
        else "it hangs"
        if "Timeout (" in said
        else f"exit code {code}"
    )
    return {"end": f"{how}, {when}: {said}"}


def run_cases(cases: list[Case], tell: Callable[[Case, dict[str, Any]], None]) -> None:
    """All of them, as many at once as there are processors."""
    waiting, running = list(reversed(cases)), {}
    with own_folder() as place:
        while waiting or running:
            while waiting and len(running) < max(os.cpu_count() or 1, 2):
                case = waiting.pop()
                folder = place / str(len(waiting))
                folder.mkdir()
                running[start(case, folder)] = (case, folder, time.monotonic() + SECONDS + 10)
            for pid, (case, folder, end) in list(running.items()):
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    del running[pid]
                    tell(case, outcome_of(status, folder))
                    shutil.rmtree(folder)
            time.sleep(0.002)


# -- cases


FREEING = (
    "cuMemFree_v2",
    "cuMemFreeHost",
    "cuModuleUnload",
    "cuStreamDestroy_v2",
    "cuDevicePrimaryCtxRelease_v2",
)


def places(entry: str, calls: dict[str, dict[str, int]], every: bool) -> list[int]:
    """Calls of it, by numbers from 0: the first one in each step of the program; with `every`, the first ones."""
    before, found = 0, set()
    for step in STEPS:
        if calls[step][entry] > before:
            found.add(before)
        before = max(before, calls[step][entry])
    if before > 20 * MOST_CALLS:  # called all the time: somewhere in the work
        found |= {before * part // 5 for part in range(1, 5)}
    return sorted(found | set(range(min(before, MOST_CALLS)))) if every else sorted(found)


def driver_cases(calls: dict[str, dict[str, int]], every: bool) -> list[Case]:
    """`calls`: how often each entry point had been called at the end of each step, when nothing failed."""
    found = []
    for entry, required in entries().items():
        lacks = (entry, "too old or no driver", "Install") if required else ()
        found.append(Case(f"{entry} is missing", {"RK_DOUBLE_HIDE": entry}, lacks, must_fail=required, keeps=required))
        for at in places(entry, calls, every):
            for result in NAMES:
                stays = result in (FAULT, LOST)
                for times in ("",) if stays else ("*1", "") if every else ("*1",) if at else ("",):
                    found.append(
                        Case(
                            f"{entry}, call {at + 1}: {NAMES[result]}{', once' if times else ''}",
                            {"RK_DOUBLE_FAIL": f"{entry}={result}@{at}{times}"},
                            leaks=entry in FREEING or stays,
                        )
                    )
    return found


def device_cases() -> list[Case]:
    """What a driver may be besides."""
    return [
        Case("freeing and unloading wait for grids", {"RK_DOUBLE_SYNC": "1"}, harmless=True),
        Case("no device", {"RK_DOUBLE_DEVICES": "0"}, ("cuInit", "CUDA_ERROR_NO_DEVICE"), must_fail=True, keeps=True),
        Case("an old driver", {"RK_DOUBLE_DRIVER": "11080"}, ("11.8", "12.0 or newer"), must_fail=True, keeps=True),
        Case("an old device", {"RK_DOUBLE_COMPUTE": "70"}, ("7.0", "7.5 or newer"), must_fail=True, keeps=True),
        Case("no memory", {"RK_DOUBLE_MEMORY": "4096"}, ("cuMemAlloc_v2",), must_fail=True, keeps=True),
        Case(
            "no room", {"RK_DOUBLE_SMS": "1", "RK_DOUBLE_BLOCKS_PER_SM": "4"}, ("second",), must_fail=True, keeps=True
        ),
    ]


def compiler_cases(every: bool) -> list[Case]:
    found = []
    for entry in compiler_entries():
        found.append(Case(f"{entry} is missing", {LACKS: entry}, (entry,), must_fail=True, keeps=True, compiles=True))
        quiet = entry in ("nvrtcGetErrorString", "nvrtcDestroyProgram")  # returns no result, or one that is of no use
        for result in RESULTS_OF_NVRTC if every else RESULTS_OF_NVRTC[:2]:
            planted = {"RK_DOUBLE_NVRTC_FAIL": f"{entry}={result}"}
            found.append(Case(f"{entry}: {result}", planted, must_fail=not quiet, compiles=True))
    versions = {"11.8": ("too old", "12.4"), "99.0": ("newer than the driver",)}
    for version, words in versions.items():
        one = {"RK_DOUBLE_NVRTC_VERSION": version}
        found.append(Case(f"NVRTC {version}", one, words, must_fail=True, keeps=True, compiles=True))
    one = {"RK_DOUBLE_NVRTC_ARCHS": "75,80"}
    found.append(Case("NVRTC does not know the device", one, ("9.0",), must_fail=True, keeps=True, compiles=True))
    return found


def cases(calls: dict[str, dict[str, int]], every: bool = False) -> list[Case]:
    return [*driver_cases(calls, every), *device_cases(), *compiler_cases(every)]


def calls_when_nothing_fails() -> dict[str, dict[str, int]]:
    """Also compiles, so that the other processes find the result."""
    seen: list[dict[str, Any]] = []
    run_cases([CLEAN], lambda _, outcome: seen.append(outcome))
    found = problems(CLEAN, seen[0])
    if found or seen[0]["errors"]:
        raise AssertionError(f"without a fault: {found or seen[0]['errors']}")
    return dict(seen[0]["calls"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="each result at each of the first calls, once and for ever")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--verbose", action="store_true", help="also what was raised")
    options = parser.parse_args()
    chosen = [one for one in cases(calls_when_nothing_fails(), options.all) if options.only in one.name]
    bad = 0

    def tell(case: Case, outcome: dict[str, Any]) -> None:
        nonlocal bad
        found = problems(case, outcome)
        bad += bool(found)
        if found or options.verbose:
            print(f"{'BAD ' if found else 'good'} {case}", *found, sep="\n       ", flush=True)
        for error in outcome.get("errors", []) if options.verbose else []:
            print(f"       {error['step']}: {error['type']}: {error['text']}")

    run_cases(chosen, tell)
    print(f"{len(chosen)} cases, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.path.insert(0, str(DOUBLES))
    import build

    build.use()
    with own_folder() as compiled:
        os.environ["PYRINGKERNEL_CACHE_DIR"] = str(compiled)
        sys.exit(main())
