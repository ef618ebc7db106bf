"""Where the generator's choices come from: a seeded generator of numbers, or Hypothesis, which can shrink them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Chooser(Protocol):
    """One kind of choice is enough: the others are made of it. Smaller numbers should mean simpler programs."""

    def integer(self, low: int, high: int) -> int:
        """A number from low to high, both included."""


class RandomChooser:
    """The same choices for the same seed, on every Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        """See Chooser."""
        return low + int(self._random.random() * (high - low + 1))


class DrawChooser:
    """Hypothesis chooses, and shrinks what fails."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """See Chooser."""
        from hypothesis import strategies as st

        return int(self._draw(st.integers(low, high)))


def pick(chooser: Chooser, items: Sequence[T]) -> T:
    """One of the items; the first is the simplest."""
    return items[chooser.integer(0, len(items) - 1)]


def weighted(chooser: Chooser, items: Sequence[tuple[int, T]]) -> T:
    """One of the items, as often as its weight says; the first is the simplest."""
    left = chooser.integer(0, sum(weight for weight, _ in items) - 1)
    for weight, item in items:
        if left < weight:
            return item
        left -= weight
    raise AssertionError("unreachable")


def chance(chooser: Chooser, percent: int) -> bool:
    """True in so many of a hundred cases; False is the simpler one."""
    return chooser.integer(0, 99) >= 100 - percent
