"""Finding NVRTC, choosing one that fits the driver and the device, and what it says when none does. Needs no GPU."""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyringkernel as rk
from pyringkernel.compiler.cuda import finding, nvrtc
from pyringkernel.compiler.cuda.finding import Candidate, candidates
from pyringkernel.compiler.cuda.nvrtc import Nvrtc, find

DRIVER_13 = 13000
HANG_SECONDS = 120.0


def fake(version: tuple[int, int], archs: tuple[int, ...] = (75, 80, 86, 90), path: str = "/nvrtc.so") -> Nvrtc:
    made = Nvrtc.__new__(Nvrtc)
    made.path, made.origin, made.version, made.archs = path, "a wheel", version, archs
    made.handle = hash(path)
    return made


def only(monkeypatch: pytest.MonkeyPatch, *there: Nvrtc) -> None:
    """Nothing else is found."""
    by_path = {one.path: one for one in there}
    monkeypatch.delenv(finding.VARIABLE, raising=False)
    monkeypatch.setattr(nvrtc, "candidates", lambda: [Candidate(path, "a wheel") for path in by_path])
    monkeypatch.setattr(nvrtc, "_open", lambda candidate: by_path[candidate.path])


@pytest.fixture
def real() -> Nvrtc:
    try:
        return find(99000)
    except rk.NvrtcError as error:
        pytest.skip(str(error))


# -- where it is looked for


def test_the_variable_is_the_only_place_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(finding.VARIABLE, "/opt/libnvrtc.so")
    assert list(candidates()) == [Candidate("/opt/libnvrtc.so", finding.VARIABLE)]


def test_wheels_come_before_the_system_and_the_newest_of_them_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(finding.VARIABLE, raising=False)
    for name in (
        "cu13/lib/libnvrtc.so.13",
        "cuda_nvrtc/lib/libnvrtc.so.12",
        "cuda_nvrtc/lib/libnvrtc-builtins.so.12.9",
    ):
        (tmp_path / "nvidia" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "nvidia" / name).touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    monkeypatch.setattr(finding, "_of_pathfinder", lambda: iter([Candidate("/found", "cuda-pathfinder")]))
    found = [one.path for one in candidates()]
    assert found[:3] == [
        str(tmp_path / "nvidia/cu13/lib/libnvrtc.so.13"),
        str(tmp_path / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"),
        "/found",
    ]
    assert found[3:] == ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]


def test_a_toolkit_that_a_variable_names_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(finding.VARIABLE, raising=False)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert Candidate(str(tmp_path / "lib64/libnvrtc.so"), "$CUDA_HOME") not in list(candidates())
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/libnvrtc.so").touch()
    assert Candidate(str(tmp_path / "lib64/libnvrtc.so"), "$CUDA_HOME") in list(candidates())


def test_a_pathfinder_that_finds_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pathfinder:
        def load_nvidia_dynamic_lib(self, name: str) -> Any:
            raise RuntimeError(f"no {name}")

    monkeypatch.setitem(sys.modules, "cuda", Pathfinder())
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", Pathfinder())
    assert list(finding._of_pathfinder()) == []


# -- which one fits


def test_nothing_found_says_where_it_was_looked_for_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    with pytest.raises(rk.NvrtcError) as caught:
        find(DRIVER_13)
    text = str(caught.value)
    assert "no NVRTC found" in text
    assert "pip install 'pyringkernel[cuda]'" in text
    assert "libnvrtc.so.13" in text
    assert "backend='cpu'" in text
    assert isinstance(caught.value, rk.BackendUnavailableError)


def test_one_that_is_newer_than_the_driver_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, fake((13, 2), path="/new.so"))
    with pytest.raises(rk.NvrtcError) as caught:
        find(12040)
    text = str(caught.value)
    assert "NVRTC 13.2 (/new.so) is newer than the driver, which is for CUDA 12.4" in text
    assert "pip install 'pyringkernel[cuda12]'" in text


def test_the_first_one_that_fits_the_driver_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old, older = fake((13, 2), path="/13"), fake((12, 9), path="/12"), fake((11, 8), path="/11")
    only(monkeypatch, older, new, old)
    assert find(13020) is new
    assert find(13000) is new  # a minor version may be newer: machine code needs no newer driver
    assert find(12040) is old


def test_one_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, fake((11, 8)))
    with pytest.raises(rk.NvrtcError, match=r"NVRTC 11\.8 \(/nvrtc\.so\) is too old: needed is 12\.4"):
        find(DRIVER_13)


def test_a_device_gets_code_of_its_major_version_and_no_newer_minor_one() -> None:
    one = fake((12, 8), archs=(75, 80, 86, 89, 90, 100, 120))
    wanted = {(7, 5): "sm_75", (8, 0): "sm_80", (8, 7): "sm_86", (9, 0): "sm_90", (10, 3): "sm_100", (12, 1): "sm_120"}
    assert {capability: one.arch_for(capability) for capability in wanted} == wanted


def test_a_device_that_it_does_not_know_is_refused_with_what_it_knows() -> None:
    with pytest.raises(rk.NvrtcError) as caught:
        fake((12, 4)).arch_for((12, 0))
    assert "compute capability 12.0" in str(caught.value)
    assert "sm_75, sm_80, sm_86, sm_90" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"), [("/nowhere/libnvrtc.so", "cannot open shared object"), ("libc.so.6", "it has no nvrtcVersion")]
)
def test_a_variable_that_names_no_nvrtc_is_said_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str, said: str
) -> None:
    monkeypatch.setenv(finding.VARIABLE, path)
    with caplog.at_level(logging.DEBUG, "pyringkernel"), pytest.raises(rk.NvrtcError) as caught:
        find(DRIVER_13)
    assert path in str(caught.value)
    assert said in str(caught.value)
    assert f"correct {finding.VARIABLE}" in str(caught.value)


# -- the real one


def test_it_compiles_with_headers_by_name(real: Nvrtc) -> None:
    text = '#include "some/name.cuh"\nextern "C" __global__ void kernel(int* out) { *out = ANSWER; }\n'
    arch = f"-arch=sm_{real.archs[0]}"
    made = real.compile(text, "text.cu", {"some/name.cuh": "#define ANSWER 42\n"}, [arch])
    assert made.ok, made.log
    assert made.cubin.startswith(b"\x7fELF")
    assert b"kernel" in made.cubin


def test_what_it_refuses_is_a_log_and_no_exception(real: Nvrtc) -> None:
    made = real.compile("void f() { nothing_here(); }\n", "text.cu", {}, [f"-arch=sm_{real.archs[0]}"])
    assert not made.ok
    assert 'text.cu(1): error: identifier "nothing_here" is undefined' in made.log


def test_an_option_that_it_does_not_know_is_an_error_of_ours(real: Nvrtc) -> None:
    with pytest.raises(rk.NvrtcError, match=r"failed at compiling with -nonsense: NVRTC_ERROR_INVALID_OPTION"):
        real.compile("", "text.cu", {}, ["-nonsense"])


def test_its_code_is_told_apart_by_version_and_by_the_library_that_a_variable_names(
    real: Nvrtc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "libnvrtc.so"
    copy.symlink_to(Path(real.path).resolve())
    monkeypatch.setenv(finding.VARIABLE, str(copy))
    named = find(99000)
    assert named.version == real.version
    assert named.identity != real.identity
    assert str(Path(real.path).resolve()) in named.identity


def test_its_second_half_is_found_in_a_fresh_process(real: Nvrtc) -> None:
    code = (
        "from pyringkernel.compiler.cuda import find; one = find(99000);"
        "made = one.compile('__global__ void f(float* x) { *x = __sinf(*x); }', 't.cu', {}, ['-arch=sm_80']);"
        "print(made.ok, made.log)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.stdout.startswith("True"), done.stdout + done.stderr


def test_importing_the_package_opens_no_compiler() -> None:
    code = "import sys, pyringkernel; pyringkernel.Runtime(backend='cpu').close(); print('ctypes' in sys.modules,"
    code += " any(name.startswith('pyringkernel.compiler') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.stdout.split()[1] == "False", done.stdout + done.stderr


def test_strings_for_c_are_never_an_empty_array() -> None:
    assert ctypes.sizeof(nvrtc._strings([])) == ctypes.sizeof(ctypes.c_char_p)
