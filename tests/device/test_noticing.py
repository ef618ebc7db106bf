"""Each weaker access is noticed by somebody, and each edge is run on a device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from litmus.edges import EDGES
from noticing import rows, runs, table, unnoticed

ROOT = Path(__file__).resolve().parents[2]


def test_every_weaker_access_is_noticed_by_the_model_or_by_the_golden_ptx() -> None:
    assert unnoticed() == []


def test_every_edge_has_a_test_that_runs() -> None:
    assert [row.edge for row in rows() if not row.runs] == []


def test_tests_that_run_name_edges_and_have_something_planted() -> None:
    for test in runs():
        assert set(test.edges) <= set(EDGES), test.name
        assert test.plants, test.name
        text = (ROOT / "bench" / "cuda" / test.file).read_text()
        kernel = text[text.index(f"RK_KERNEL({test.kernel})") : text.index(f"RK_EXPORT_KERNEL({test.kernel})")]
        for plant in test.plants if test.how != "leases" else ():  # there the host does it
            word = r"kLate|publish\(|put_unit" if plant == "late" else r"kEarly|observe\(|take_unit"
            assert re.search(word, kernel), f"{test.name}: {plant}"


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "verification.md").read_text()
    if table() not in page:
        pytest.fail(f"docs/verification.md: put this table there (tests/device/noticing.py prints it)\n{table()}")
