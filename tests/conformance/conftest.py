"""One suite for every backend and engine: a new one is a line in BACKENDS or ENGINES."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKENDS = ["cpu"]

# How compiled handlers are run: what launch() is given.
ENGINES: dict[str, dict[str, Any]] = {"llvm": {"engine": "llvm"}, "vm": {"engine": "vm"}, "python": {"compiled": False}}
MACHINES = [name for name in ENGINES if name != "python"]  # without the GIL, and they can be stopped


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend."""
    return str(request.param)


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
