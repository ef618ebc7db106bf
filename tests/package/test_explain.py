"""python -m pyringkernel explain."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from pyringkernel import __main__ as command_line

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "vector_add.py"
TARGETS = ["ir", "bytecode", "llvm", "cuda", "msl", "wgsl"]

HEAD = "import pyringkernel as rk\n\n\n@rk.message\nclass ExplainedNumber{n}:\n    n: rk.{type} = 0\n\n\n"
GOOD = """@rk.kernel
def first(ctx: rk.Context, msg: ExplainedNumber{n}) -> ExplainedNumber{n}:
    return msg


@rk.kernel(id="other")
def second(ctx: rk.Context, msg: ExplainedNumber{n}) -> None:
    ctx.send("host", msg)
"""
BROKEN = """@rk.kernel
def broken(ctx: rk.Context, msg: ExplainedNumber{n}) -> ExplainedNumber{n}:
    return ExplainedNumber{n}(msg.n / 2)
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """write(text) -> path of a file with a message class of its own and that text."""
    written = 0

    def make(text: str, type: str = "u64") -> str:
        nonlocal written
        written += 1
        path = tmp_path / f"handlers{written}.py"
        number = zlib.crc32(f"{tmp_path} {written}".encode())  # a class is known by its name
        path.write_text((HEAD + text).replace("{n}", str(number)).replace("{type}", type))
        return str(path)

    return make


def explain(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    status = command_line.main(["explain", *arguments])
    found = capsys.readouterr()
    return status, found.out, found.err


def titles(out: str) -> list[tuple[str, str]]:
    return re.findall(r"^==== (\w+): (\w+) =+$", out, re.MULTILINE)


def test_an_example_is_explained_for_every_target() -> None:
    command = [sys.executable, "-m", "pyringkernel", "explain", str(EXAMPLE)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert titles(found.stdout) == [("add", target) for target in TARGETS]
    parts = re.split(r"^==== .*$", found.stdout, flags=re.MULTILINE)[1:]
    for target, text in zip(TARGETS, parts, strict=True):
        if target != "llvm" or importlib.util.find_spec("llvmlite") is not None:
            assert len(text.splitlines()) > 10, target
    assert f'"{EXAMPLE}"' in parts[TARGETS.index("cuda")]  # compilers name the user's file


def test_targets_and_handlers_are_chosen_by_name(write: Any, capsys: Any) -> None:
    path = write(GOOD)
    status, out, err = explain(capsys, path, "--target", "ir")
    assert (status, err, titles(out)) == (0, "", [("first", "ir"), ("second", "ir")])
    for name in ("second", "other"):  # in the file, and as a kernel
        status, out, _ = explain(capsys, path, "--target", "cuda", "--target", "bytecode", "--handler", name)
        assert (status, titles(out)) == (0, [("second", "cuda"), ("second", "bytecode")])
    status, out, _ = explain(capsys, path, "--handler", "first", "--handler", "second", "--target", "wgsl")
    assert (status, titles(out)) == (0, [("first", "wgsl"), ("second", "wgsl")])


def test_a_handler_that_is_not_there_is_named(write: Any, capsys: Any) -> None:
    status, out, err = explain(capsys, write(GOOD), "--handler", "first", "--handler", "third")
    assert (status, out) == (1, "")
    assert "no handler 'third'; there are first, second" in err


def test_what_a_target_lacks_is_said_in_its_place(write: Any, capsys: Any) -> None:
    status, out, err = explain(capsys, write(GOOD + BROKEN.replace("broken", "halved"), "f64"), "--handler", "halved")
    assert (status, err) == (0, "")
    assert titles(out) == [("halved", target) for target in TARGETS]
    refusals = [line for line in out.splitlines() if line.startswith("(") and line.endswith(")")]
    assert len([line for line in refusals if "f64" in line]) == 2


def test_a_broken_handler_is_shown_with_file_line_and_caret(write: Any, capsys: Any) -> None:
    path = write(BROKEN)
    status, out, err = explain(capsys, path)
    assert (status, out) == (1, "")
    assert "broken cannot be compiled: 1 error" in err
    line = (
        Path(path).read_text().splitlines().index(next(x for x in Path(path).read_text().splitlines() if " / 2" in x))
    )
    assert f"{path}:{line + 1}:" in err
    assert "^" in err
    assert "Traceback" not in err


def test_a_file_without_handlers_says_what_to_do(write: Any, capsys: Any) -> None:
    status, out, err = explain(capsys, write("@rk.kernel(compiled=False)\ndef f(ctx, msg: ExplainedNumber{n}): ...\n"))
    assert (status, out) == (1, "")
    assert "no compiled handler: decorate functions with @rk.kernel" in err


def test_a_file_that_is_not_there_and_an_unknown_target_are_refused(write: Any, capsys: Any, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.py")
    assert explain(capsys, missing) == (1, "", f"{missing}: no such file\n")
    with pytest.raises(SystemExit) as caught:
        command_line.main(["explain", write(GOOD), "--target", "fortran"])
    assert caught.value.code == 2
    assert "invalid choice: 'fortran'" in capsys.readouterr().err


def test_a_file_is_imported_beside_its_neighbours_and_not_as_main(write: Any, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_explained.py").write_text("LIMIT = 7\n")
    body = "from neighbour_of_explained import LIMIT\n\nassert __name__ != '__main__'\n" + GOOD
    before = list(sys.path)
    status, out, err = explain(capsys, write(body), "--target", "ir", "--handler", "first")
    assert (status, err, titles(out)) == (0, "", [("first", "ir")])
    assert sys.path == before
