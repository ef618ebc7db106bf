"""One suite for every backend: a new one is a line in BACKENDS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from actors import Gate

import pyringkernel as rk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKENDS = ["cpu"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend."""
    return str(request.param)


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
