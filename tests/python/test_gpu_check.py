"""scripts/gpu-check and its reports: no timing of a double, no failure that is left out, no step that hangs the run."""

from __future__ import annotations

import ctypes
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TIMING = 12345.678  # in no report of a double


@pytest.fixture(scope="module")
def gpu_check() -> Iterator[ModuleType]:
    """The script as a module; what it imports is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(ROOT / "scripts" / "gpu-check"))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module  # dataclasses look there
    loader.exec_module(module)
    yield module
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "bench")) or name == "gpu_check":
            del sys.modules[name]


@pytest.fixture(scope="module")
def figures(gpu_check: ModuleType) -> ModuleType:
    return sys.modules["figures"]


@pytest.fixture(scope="module")
def tables(gpu_check: ModuleType) -> ModuleType:
    return sys.modules["tables"]


def measured(figures: ModuleType, id: str, value: float, **counts: int) -> Any:
    tails = {"p50": value, "p99": value * 2, "max": value * 3}
    return figures.Figure(id, value, tails, {"samples": 100, **counts}, {"(a) launch": dict(tails)}, note="as it was")


def by_id(rows: list[dict[str, Any]], id: str) -> dict[str, Any]:
    (row,) = (one for one in rows if one["id"] == id)
    return row


def results(rows: list[dict[str, Any]], floors: list[Any], double: bool, **more: Any) -> dict[str, Any]:
    step = {"name": "conformance", "status": "failed", "seconds": 3.0, "limit_s": 5.0, "detail": "1 failed: a|b"}
    machine = {"gpu": "NVIDIA X", "commit": "abc", "date": "2026-01-01"}
    litmus = [{"name": "tickets", "scope": "gpu", "rounds": 3, "seen": 5, "forbidden": 0, "why": ""}]
    found = {"double": double, "machine": machine, "steps": [step], "figures": rows, "floors": floors}
    return {**found, "litmus": litmus, "conformance": {"counts": {}, "failed": []}, **more}


# -- verdicts


def test_a_goal_is_met_missed_or_only_reported(figures: ModuleType) -> None:
    rows = figures.judged(
        [
            measured(figures, "G1", 2.0),
            measured(figures, "G2", 9.0),
            measured(figures, "G6", 2000.0),
            measured(figures, "G8", 1.0),
            measured(figures, "G9 pause", 1.0),
        ],
        [],
        False,
    )
    found = {id: by_id(rows, id)["verdict"] for id in ("G1", "G2", "G6", "G8", "G9 pause")}
    assert found == {"G1": "met", "G2": "missed", "G6": "met", "G8": "missed", "G9 pause": "reported"}


def test_every_goal_has_a_row_and_what_is_missing_says_why(figures: ModuleType) -> None:
    rows = figures.judged([figures.Figure("G7", why="no cluster here")], [], False)
    assert [row["id"] for row in rows] == [goal.id for goal in figures.GOALS]
    assert {row["verdict"] for row in rows} == {"not measured"}
    assert by_id(rows, "G7")["why"] == "no cluster here"
    assert all(row["why"] for row in rows)


@pytest.mark.parametrize("fault", ["wrong", "lost", "duplicated", "reordered"])
def test_a_number_of_messages_that_did_not_arrive_whole_is_no_number(
    figures: ModuleType, tables: ModuleType, fault: str
) -> None:
    for double in (False, True):
        row = by_id(figures.judged([measured(figures, "G1", 1.0, **{fault: 2})], [], double), "G1")
        assert row["verdict"] == "wrong"
        assert tables.outcome(row) == f"**wrong**: 2 {fault}"


def test_floors_are_compared_in_the_goals_unit(figures: ModuleType) -> None:
    floors = [figures.Floor("fan-out, bare", 200.0, "ns", "how"), figures.Floor("round trip", None, "us", "how", "why")]
    rows = figures.judged([measured(figures, "G7", 0.8), measured(figures, "G1", 2.0)], floors, False)
    assert by_id(rows, "G7")["floor_value"] == pytest.approx(0.2)
    assert by_id(rows, "G7")["floor_ratio"] == pytest.approx(4.0)
    assert by_id(rows, "G1")["floor_ratio"] is None


def test_percentiles_need_samples(figures: ModuleType) -> None:
    assert figures.percentiles([]) == {}
    assert set(figures.percentiles(range(50))) == {"p50", "min", "max"}
    assert set(figures.percentiles(range(5000))) == {"p50", "p99", "p99.9", "min", "max"}
    assert figures.percentiles(range(1000))["p99"] == 990


# -- reports


def test_a_report_has_machine_steps_goals_tails_and_litmus_tests(figures: ModuleType, tables: ModuleType) -> None:
    floors = [figures.Floor("round trip", 1.25, "us", "bare mailbox")]
    rows = figures.judged([measured(figures, "G1", TIMING)], floors, False)
    text = tables.markdown(results(rows, [vars(one) for one in floors], False))
    for part in ("NVIDIA X", "**failed**", "a\\|b", "12,346 us", "**missed**", "(a) launch", "1.25 us", "tickets"):
        assert part in text
    assert "DOUBLE" not in text


def test_a_report_of_a_double_has_its_label_everywhere_and_no_timing(figures: ModuleType, tables: ModuleType) -> None:
    floors = [figures.Floor("round trip", TIMING, "us", "bare mailbox")]
    rows = figures.judged([measured(figures, "G1", TIMING, received=77)], floors, True)
    text = tables.markdown(results(rows, [vars(one) for one in floors], True))
    assert "12345" not in json.dumps(rows)
    assert "12,346" not in text
    assert "12345" not in text
    assert figures.NOT_ON_DOUBLE in text
    assert "received 77" in text
    sections = text.count("\n## ")
    assert sections >= 4
    assert text.count("DOUBLE: CPU threads, not a GPU; timings mean nothing") == sections + 1


def test_a_forbidden_outcome_and_a_test_that_was_not_run_are_seen(tables: ModuleType) -> None:
    bad = {"name": "units", "scope": "sys", "rounds": 1, "seen": 9, "forbidden": 1, "why": ""}
    lines = tables.litmus_lines([bad, {**bad, "forbidden": 0, "why": "no memory"}])
    assert "**forbidden**" in lines[2]
    assert "not run: no memory" in lines[3]


# -- the script


def test_its_arguments(gpu_check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    options = gpu_check.arguments([])
    assert (options.double, options.quick, options.steps, options.out) == (False, False, None, None)
    assert gpu_check.arguments(["--double", "--steps", "litmus", "benchmark"]).steps == ["litmus", "benchmark"]
    with pytest.raises(SystemExit):
        gpu_check.arguments(["--steps", "nothing"])
    assert "invalid choice" in capsys.readouterr().err


def test_results_are_named_after_date_and_gpu(gpu_check: ModuleType) -> None:
    about = {"date": "2026-11-22 10:00 UTC", "gpu": "NVIDIA H200 (80GB)"}
    assert gpu_check.folder_name(about, False) == "2026-11-22-nvidia-h200-80gb-cuda"
    assert gpu_check.folder_name(about, True) == "2026-11-22-double-cuda"


def test_on_a_gpu_no_double_can_answer(gpu_check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGKERNEL_CUDA_DRIVER", "/double.so")
    assert "RINGKERNEL_CUDA_DRIVER" not in gpu_check.environment_of(gpu_check.arguments([]))
    assert gpu_check.environment_of(gpu_check.arguments(["--double"]))["RINGKERNEL_CUDA_DRIVER"] == "/double.so"
    gpu = importlib.import_module("gpu")
    gpu.refuse_unnamed_doubles(True)
    with pytest.raises(gpu.GpuError, match="say --double"):
        gpu.refuse_unnamed_doubles(False)


def test_without_a_double_no_gpu_answers_in_its_place(gpu_check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGKERNEL_CUDA_DRIVER", raising=False)
    given = gpu_check.environment_of(gpu_check.arguments(["--double"]))["RINGKERNEL_CUDA_DRIVER"]
    assert not Path(given).exists()


def test_a_command_that_hangs_is_ended_with_its_children(gpu_check: ModuleType, tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print('here', flush=True); subprocess.Popen(['sleep', '60']); time.sleep(60)"
    begin = time.monotonic()
    status, text = gpu_check.commands.run([sys.executable, "-c", code], tmp_path / "log", 1.0, {})
    assert status is None
    assert "here" in text
    assert time.monotonic() - begin < 50
    assert gpu_check.judged_by(status, text)[0] == "timeout"


def test_the_steps_go_on_after_one_that_fails_or_raises(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(check: Any, limit_s: float) -> tuple[str, str]:
        raise ValueError("broken")

    def fails(check: Any, limit_s: float) -> tuple[str, str]:
        return "failed", "no compiler"

    def passes(check: Any, limit_s: float) -> tuple[str, str]:
        return "passed", f"{limit_s:.0f} s"

    plan, out = gpu_check.Plan, tmp_path / "out"
    steps = {"build": plan(fails, 5, 10, 10), "litmus": plan(raises, 5, 10, 10), "benchmark": plan(passes, 5, 10, 5)}
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    monkeypatch.setattr(gpu_check, "answers", lambda check: True)
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--quick", "--out", str(out), "--build-dir", str(tmp_path / "b")])
    assert gpu_check.main() == 1
    found = json.loads((out / "results.json").read_text())
    assert [(step["name"], step["status"]) for step in found["steps"]] == [
        ("build", "failed"),
        ("litmus", "failed"),
        ("benchmark", "passed"),
    ]
    assert found["steps"][1]["detail"] == "ValueError: broken"
    assert {row["verdict"] for row in found["figures"]} == {"not measured"}
    assert "| build | **failed** |" in (out / "results.md").read_text()
    assert (out / "logs.tar.gz").exists()
    said = capsys.readouterr().out
    assert "no compiler" in said
    assert said.splitlines()[-1] == "gpu-check: failed: build, litmus; passed: benchmark"


def run_with(
    gpu_check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: dict[str, Any], *more: str
) -> dict[str, Any]:
    """The results of a run with other steps."""
    monkeypatch.setattr(gpu_check, "STEPS", {name: gpu_check.Plan(what, 5, 10, 10) for name, what in steps.items()})
    given = ["gpu-check", "--out", str(tmp_path / "out"), "--build-dir", str(tmp_path / "build"), *more]
    monkeypatch.setattr(sys, "argv", given)
    gpu_check.main()
    found: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
    return found


def test_a_device_that_does_not_answer_any_more_ends_what_needs_it(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "answers", lambda check: False)
    steps = {"litmus": lambda check, limit_s: ("timeout", ""), "benchmark": lambda check, limit_s: ("passed", "")}
    found = run_with(gpu_check, monkeypatch, tmp_path, steps)
    assert [(step["name"], step["status"]) for step in found["steps"]] == [
        ("litmus", "timeout"),
        ("benchmark", "failed"),
    ]
    assert found["steps"][1]["detail"] == "the device does not answer any more"


def test_steps_of_an_earlier_run_are_kept_for_the_same_sources(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["first", "second", "third"])
    steps = dict.fromkeys(("litmus", "benchmark"), lambda check, limit_s: ("passed", next(said)))
    run_with(gpu_check, monkeypatch, tmp_path, steps, "--steps", "litmus")
    found = run_with(gpu_check, monkeypatch, tmp_path, steps, "--steps", "benchmark")
    assert [(step["name"], step["detail"]) for step in found["steps"]] == [("litmus", "first"), ("benchmark", "second")]
    about = gpu_check.describe(False)
    monkeypatch.setattr(gpu_check, "describe", lambda double: {**about, "sources": "others"})
    found = run_with(gpu_check, monkeypatch, tmp_path, steps, "--steps", "benchmark")
    assert [(step["name"], step["detail"]) for step in found["steps"]] == [("benchmark", "third")]


def test_a_run_that_is_ended_keeps_what_it_has(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(check: Any, limit_s: float) -> tuple[str, str]:
        raise gpu_check.EndedError("SIGTERM")

    steps = {"litmus": lambda check, limit_s: ("passed", "all"), "benchmark": ended}
    found = run_with(gpu_check, monkeypatch, tmp_path, steps)
    assert [(step["name"], step["status"]) for step in found["steps"]] == [
        ("litmus", "passed"),
        ("benchmark", "failed"),
    ]
    assert found["steps"][1]["detail"] == "the run was ended: SIGTERM"


def test_a_test_that_hangs_or_dies_costs_no_other_one(gpu_check: ModuleType, tmp_path: Path) -> None:
    texts = {
        "test_good.py": "def test_a(): pass\ndef test_b(): assert False\n",
        "test_hangs.py": "import time\ndef test_c(): pass\ndef test_d(): time.sleep(60)\ndef test_e(): pass\n",
        "test_dies.py": "import os\ndef test_f(): pass\ndef test_g(): os._exit(1)\ndef test_h(): pass\n",
        "test_broken.py": "import nothing_of_this_name\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = gpu_check.suite.Suite(dict(os.environ), tmp_path / "logs", "cpu", 8.0, jobs=4, root=tmp_path)
    found = run.run([tmp_path / name for name in texts], 120.0)
    assert found["counts"] == {"PASSED": 5, "FAILED": 3}
    assert [name.split("::")[1] for name in found["ended their process"]] == ["test_d", "test_g"]
    assert found["broken"]["test_broken.py"].startswith("status 2")
    assert set(found["run again alone, and what had failed"]) == set(texts)
    status, detail = gpu_check.suite.judged(found)
    assert status == "failed"
    assert detail.startswith("3 failed, 5 passed; run again alone: 4 files; failed: ")
    assert "test_good.py::test_b" in detail


def test_outcomes_of_a_test_run_that_was_cut_off_are_counted(gpu_check: ModuleType) -> None:
    text = (
        "tests/a.py::test_one[cuda] PASSED [ 10%]\n"
        "tests/a.py::test_two[cuda-x y] FAILED [ 20%]\n"
        "tests/a.py::test_three SKIPPED (no reason) [ 30%]\n"
        "tests/a.py::test_four \n"
    )
    assert [outcome for _, outcome in gpu_check.suite.OUTCOME.findall(text)] == ["PASSED", "FAILED", "SKIPPED"]


def test_every_goal_is_measured_by_one_group(gpu_check: ModuleType, figures: ModuleType) -> None:
    run = importlib.import_module("run")
    goals = [goal for group in run.GROUPS for goal in group.goals]
    assert sorted([*goals, *figures.DERIVED]) == sorted(goal.id for goal in figures.GOALS)
    assert run.arguments(["--only", "pairs"]).only == ["pairs"]


# -- the host's side of the litmus tests


@pytest.fixture(scope="module")
def loop(gpu_check: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RK_GPU_BUILD_DIR", str(tmp_path_factory.mktemp("loop")))
        yield ctypes.CDLL(str(importlib.import_module("loop").build()))


@pytest.mark.parametrize(("kind", "words", "places"), [("cells", 32, range(1, 9)), ("units", 4, range(3))])
def test_the_hosts_checks_notice_data_that_comes_too_late(loop: Any, kind: str, words: int, places: range) -> None:
    count, memory = 50, np.zeros(50 * words, np.uint32)
    at, many = ctypes.c_void_p(memory.ctypes.data), ctypes.c_uint64(count)
    fill, check = getattr(loop, f"rk_loop_fill_{kind}"), getattr(loop, f"rk_loop_check_{kind}")

    def forbidden() -> int:
        counts = (ctypes.c_uint64 * 2)()
        check(at, many, 7, counts)
        assert counts[0] == count
        return int(counts[1])

    fill(at, many, 6)
    old = memory.copy()
    fill(at, many, 7)
    now = memory.copy()
    assert forbidden() == 0
    for place in places:
        memory[:] = now
        memory[5 * words + place] = old[5 * words + place]
        assert forbidden() == 1


# -- what runs on the device


@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_120"])
def test_the_device_texts_compile(gpu_check: ModuleType, monkeypatch: pytest.MonkeyPatch, arch: str) -> None:
    gpu = importlib.import_module("gpu")
    monkeypatch.delenv("RINGKERNEL_NVRTC", raising=False)
    try:
        nvrtc = gpu.Nvrtc()
    except gpu.GpuError as error:
        pytest.skip(f"NVRTC: {error}")
    for text in ("echo.cuh", "floors.cuh", "hops.cuh"):
        assert nvrtc.cubin(text, arch).startswith(b"\x7fELF")
    for text in ("litmus.cuh", "litmus_block.cuh", "litmus_host.cuh"):
        for plant in range(4):
            assert nvrtc.cubin(text, arch, f"#define RK_PLANT {plant}\n").startswith(b"\x7fELF")
