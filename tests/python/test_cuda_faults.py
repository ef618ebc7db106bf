"""Whatever entry point of driver or compiler fails: typed errors, no hang, no crash, every message accounted for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("cuda_faults.py")
DRIVER_API = ROOT / "cpp" / "src" / "backends" / "cuda" / "driver_api.h"

pytestmark = pytest.mark.skipif(not DRIVER_API.is_file(), reason="the sources are not beside these tests")

KERNEL = {
    "name": "first",
    "state": "FAILED",
    "sent": 9,
    "unsure": 1,
    "accepted": 10,
    "handled": 7,
    "waiting": 0,
    "dropped": 0,
    "dead": 3,
    "letters": 3,
}
ERROR = {"step": "use", "type": "DeviceError", "text": "sending failed: cuInit says no. Do it again", "typed": "yes"}
GOOD = {"errors": [ERROR], "kernels": [KERNEL], "held": {}, "again": [], "kernels again": []}


@pytest.fixture(scope="module")
def faults() -> Any:
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        import cuda_faults
    finally:
        sys.path.pop(0)
    return cuda_faults


def test_a_failure_of_each_entry_point_is_told_and_survived() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=140, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b(\d{3}) cases, 0 bad", done.stdout)


def test_no_entry_point_is_left_out(faults: Any) -> None:
    entries = faults.entries()
    assert len(entries) == DRIVER_API.read_text().count('"cu')
    nothing = {step: dict.fromkeys(entries, 1) for step in faults.STEPS}
    names = [case.name for case in faults.cases(nothing)]
    for entry in entries:
        assert sum(name.startswith((f"{entry},", f"{entry} is")) for name in names) >= 5, entry
    for entry in faults.compiler_entries():
        assert sum(name.startswith((f"{entry}:", f"{entry} is")) for name in names) >= 3, entry


def test_no_function_of_the_compiler_is_called_unlisted(faults: Any) -> None:
    from pyringkernel.compiler.cuda import nvrtc

    text = Path(nvrtc.__file__).read_text()
    called = set(re.findall(r"library\.(nvrtc\w+)", text))
    called |= {f"nvrtcGet{what}{size}" for what in re.findall(r'_get\(handle, "(\w+)"', text) for size in ("", "Size")}
    assert called == set(faults.compiler_entries())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end": "signal SIGSEGV"}, "SIGSEGV"),
        ({"errors": []}, "nothing failed"),
        ({"errors": [{**ERROR, "typed": "", "type": "AttributeError"}]}, "no error of the package"),
        ({"errors": [{**ERROR, "type": "CallTimeoutError"}]}, "patience"),
        ({"errors": [{**ERROR, "text": "cuInit failed"}]}, "what to do"),
        ({"errors": [{**ERROR, "text": "It failed. Do it again"}]}, "does not say 'cuInit'"),
        ({"kernels": [{**KERNEL, "handled": 6}]}, "lost"),
        ({"kernels": [{**KERNEL, "handled": 8}]}, "lost"),
        ({"kernels": [{**KERNEL, "waiting": 1}]}, "lost"),
        ({"kernels": [{**KERNEL, "letters": 2}]}, "dead letter"),
        ({"kernels": [{**KERNEL, "sent": 11}]}, "accepted is not sent"),
        ({"kernels": [{**KERNEL, "state": "ACTIVE"}]}, "did not end"),
        ({"held": {"memory": 1}}, "never given back"),
        ({"again": [ERROR]}, "once more"),
    ],
)
def test_what_is_wrong_is_noticed(faults: Any, change: dict[str, Any], said: str) -> None:
    case = faults.Case("a case", {}, ("cuInit",), must_fail=True)
    assert faults.problems(case, json.loads(json.dumps(GOOD))) == []
    found = faults.problems(case, {**GOOD, **change})
    assert len(found) == 1
    assert said in found[0]


def test_a_process_that_hangs_or_crashes_is_noticed() -> None:
    code = f"""
import os, sys, time
sys.path.insert(0, {str(PROGRAM.parent)!r})
import cuda_faults
cuda_faults.SECONDS = 1
cuda_faults.run_case = lambda case: os.abort() if case.name == "crash" else time.sleep(60)
cases = [cuda_faults.Case("crash", {{}}), cuda_faults.Case("hang", {{}})]
cuda_faults.run_cases(cases, lambda case, outcome: print(case, "->", outcome["end"].splitlines()[0], flush=True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "crash -> signal SIGABRT, in the program" in done.stdout, done.stdout + done.stderr
    assert "hang -> it hangs, in the program" in done.stdout
