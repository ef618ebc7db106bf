"""python -m pyringkernel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import pyringkernel as rk
from pyringkernel import __main__ as command_line
from pyringkernel import _paths
from pyringkernel.errors import BackendUnavailableError, UnsupportedError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyringkernel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version_is_printed_alone() -> None:
    assert run("--version").stdout == f"{rk.__version__}\n"


def test_doctor_names_versions_and_every_backend() -> None:
    found = run("doctor")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert rk.__version__ in found.stdout
    assert f"{os.cpu_count()}, " in found.stdout
    lines = found.stdout[found.stdout.index("backends\n") :].splitlines()[1:]
    with rk.Runtime() as rt:
        told = {line.split()[0]: line for line in lines}
        assert set(told) == {"cpu", rt.backend, *rt.skipped}
        assert " available;" in told[rt.backend]
        for name, reason in rt.skipped.items():
            assert f"not available: {reason}" in told[name]


def test_doctor_says_why_no_kernel_can_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise BackendUnavailableError("no memory can be mapped")

    monkeypatch.setattr(command_line, "Runtime", refuse)
    assert command_line.main(["doctor"]) == 1
    assert "no memory can be mapped" in capsys.readouterr().out


def test_asking_for_nothing_or_for_something_else_is_refused() -> None:
    for arguments in ((), ("surgeon",), ("--cmake-dirs",)):
        found = run(*arguments)
        assert (found.returncode, found.stdout) == (2, "")
        assert "usage:" in found.stderr


def test_paths_are_found_beside_the_extension_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("site packages")
    for file in ("include/ringkernel/native.h", "share/cmake/ringkernel/ringkernelConfig.cmake"):
        (root / file).parent.mkdir(parents=True)
        (root / file).touch()
    monkeypatch.setattr(_paths, "__file__", "/nowhere/pyringkernel/_paths.py")
    monkeypatch.setattr("pyringkernel._core.__file__", str(root / "_core.so"))
    assert command_line.main(["--cmakedir", "--includes"]) == 0
    assert capsys.readouterr().out == f"{root}/share/cmake/ringkernel\n-I'{root}/include'\n"


def test_a_tree_without_the_files_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_paths, "__file__", "/nowhere/pyringkernel/_paths.py")
    monkeypatch.setattr("pyringkernel._core.__file__", "/elsewhere/_core.so")
    with pytest.raises(UnsupportedError, match=r"/nowhere/pyringkernel/include and /elsewhere/include"):
        _paths.get_include()
    assert command_line.main(["--cmakedir"]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "/elsewhere/share/cmake/ringkernel" in found.err


def test_importing_the_package_does_not_import_its_command_line() -> None:
    code = "import sys, pyringkernel; print('pyringkernel.__main__' in sys.modules, 'argparse' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "False False\n"
