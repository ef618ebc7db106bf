"""The Python code of the README and of docs/ runs as it stands.

The blocks of a page are one program, in a process of its own. It is written so that every line has the number that it has
in the page: what a traceback names is the place to mend. A block that cannot run says why in a comment before it:
<!-- not run: needs a GPU -->
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyringkernel as rk

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<comment><!--[^>]*-->\n+)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGE = Path(rk.__file__).parent
FROM_CHECKOUT = {} if "site-packages" in PACKAGE.parts else {"PYTHONPATH": str(PACKAGE.parent)}
NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*")


def program_of(text: str) -> str:
    """All blocks of a page that are run, each line where it is in the page."""
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        if not (block["comment"] and NOT_RUN.fullmatch(block["comment"])):
            first = text.count("\n", 0, block.start("code"))
            code = block["code"].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


PROGRAMS = {page.name: program for page in PAGES if (program := program_of(page.read_text())).strip()}


def run(program: str, directory: Path, name: str = "page.py") -> subprocess.CompletedProcess[str]:
    path = directory / name
    path.write_text(program)
    return subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=directory,
        env=os.environ | FROM_CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    done = run(PROGRAMS[page], tmp_path, page.replace(".md", "_md.py"))
    assert done.returncode == 0, f"{page}, line for line:\n{done.stderr}"


def test_every_python_block_is_found() -> None:
    for page in PAGES:
        text = page.read_text()
        assert len(BLOCK.findall(text)) == len(re.findall(r"^```python", text, re.MULTILINE)), page.name


def test_a_block_is_left_out_only_with_a_reason(tmp_path: Path) -> None:
    text = "# A page\n\n<!-- {} -->\n```python\nraise SystemExit(3)\n```\n"
    assert run(program_of(text.format("not run: it ends the process")), tmp_path).returncode == 0
    assert run(program_of(text.format("not run:")), tmp_path).returncode == 3
    assert run(program_of(text.format("a comment")), tmp_path).returncode == 3


def test_a_line_keeps_its_number(tmp_path: Path) -> None:
    done = run(
        program_of("one\n\n```python\nx = 1\n```\n\nmore\n\n```python\nassert x == 2\n```\n"), tmp_path, "here.py"
    )
    assert done.returncode != 0
    assert 'here.py", line 10' in done.stderr
