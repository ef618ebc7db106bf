"""One suite for every backend and engine: a new one is a line in BACKENDS or ENGINES.

RK_TEST_BACKENDS names the backends of a run: "cpu" by default; "cuda" where there is an NVIDIA GPU; "cuda-double" runs
the CUDA backend and its device code on CPU threads. A process has one CUDA driver, so not both of them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What Runtime(backend=...) is given.
BACKENDS = {"cpu": "cpu", "cuda": "cuda", "cuda-double": "cuda"}
RUN = os.environ.get("RK_TEST_BACKENDS", "cpu").split(",")

# How compiled handlers are run: what launch() is given.
ENGINES: dict[str, dict[str, Any]] = {
    "llvm": {"engine": "llvm"},
    "vm": {"engine": "vm"},
    "python": {"compiled": False},
    "device": {"engine": "auto"},
}
if RUN == ["cpu"]:
    del ENGINES["device"]
elif "cpu" not in RUN:  # the others have been tested with the CPU
    ENGINES = {"device": ENGINES["device"]}
MACHINES = [name for name in ENGINES if name != "python"]  # without the GIL, and they can be stopped

if "cuda-double" in RUN:
    sys.path.insert(0, str(Path(__file__).parents[1] / "doubles" / "cuda"))
    import build

    build.use()
    os.environ.setdefault("RK_DOUBLE_DEVICES", "2")


# What a GPU does not do as the CPU does: (file, how the name of the test begins, why).
CUDA_GAPS = (
    (
        "test_edges",
        "test_an_edge_to_a_successor_with_huge_messages.*1073741824",
        "launch() refuses messages of over 16 MiB",
    ),
    ("test_many_instances", "test_twenty_thousand_idle_instances_come_and_go", "a GPU has a block for each instance"),
    ("test_scheduler", "test_a_hundred_thousand_idle_instances", "a GPU has a block for each instance"),
    ("test_compiled_context", "test_higher_priorities_overtake", "a window of messages is aboard, and order is within"),
)
# What only its double does not: its blocks are threads of this process.
DOUBLE_GAPS = (
    (
        "test_many_instances",
        "test_many_kernels_of_one_instance_come_and_go",
        "slow: a grid, so two threads, for each kernel",
    ),
    ("test_scheduler", "test_an_idle_", "measures processor time, and resident blocks poll"),
    ("test_scheduler", "test_hundreds_of_kernels", "counts threads"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if RUN == ["cpu"]:
        return
    gaps = CUDA_GAPS + (DOUBLE_GAPS if "cuda-double" in RUN else ())
    for item in items:
        for file, test, why in gaps:
            if item.path.stem == file and re.match(test, item.name):
                item.add_marker(pytest.mark.skip(reason=f"{RUN[0]}: {why}"))


@pytest.fixture(params=RUN)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend."""
    return BACKENDS[request.param]


def launch_options(engine: str) -> dict[str, Any]:
    if engine == "llvm" and importlib.util.find_spec("llvmlite") is None:
        pytest.skip("llvmlite is not installed")
    return ENGINES[engine]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of launch() that choose an engine for a compiled handler."""
    return launch_options(request.param)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    """As `engine`: one whose handlers run without the GIL and can be stopped."""
    return launch_options(request.param)


@pytest.fixture
def rt(backend: str) -> Iterator[rk.Runtime]:
    """A runtime that is closed at the end."""
    with rk.Runtime(backend=backend) as runtime:
        yield runtime


@pytest.fixture
def later(backend: str) -> Iterator[rk.Runtime]:
    """Another runtime, in which things go on."""
    with rk.Runtime(backend=backend, node_id=9) as runtime:
        yield runtime


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A handler that waits until it is let go; at the latest at the end of the test."""
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """until(condition) waits for what a kernel does on its own."""

    def wait(condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + 60
        while not (answer := condition()):
            assert time.monotonic() < end, "what the test waits for did not happen within 60 s"
            time.sleep(0.001)
        return answer

    return wait
