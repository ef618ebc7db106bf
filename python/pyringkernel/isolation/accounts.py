"""What was in the hands of a worker that was killed or died."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Loss:
    """Messages that were lost with one worker, by its process id, and why it ended.

    messages: by kernel, what it had accepted and not handled, the one in hand too: as the worker last told, and what was
    sent since. They are at most so many: a worker that dies may have handled some of them.
    """

    pid: int
    reason: str
    messages: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all kernels together."""
        return sum(self.messages.values())


class Accounts:
    """Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: Counter[str] = Counter()  # sent since this was asked for
        self._told: dict[str, int] = {}
        self._dead: dict[str, int] = {}  # dead letters of kernels when they did not hang

    def sent(self, kernel: str) -> None:
        """A message went to the worker."""
        with self._lock:
            self._since[kernel] += 1

    def asking(self) -> Counter[str]:
        """Before the worker is asked: what it will have counted."""
        with self._lock:
            return Counter(self._since)

    def told(self, before: Counter[str], answer: dict[str, Any]) -> None:
        """What it answered."""
        with self._lock:
            for name, (in_flight, dead) in answer["counts"].items():
                if name in answer["hung"]:  # what it left became dead letters, which end with the worker
                    self._told[name] = in_flight + dead - self._dead.get(name, 0)
                else:
                    self._told[name], self._dead[name] = in_flight, dead
            self._since.subtract(before)

    def close(self, pid: int, reason: str) -> Loss:
        """The worker is no more; begins anew."""
        with self._lock:
            left = Counter({name: count for name, count in self._told.items() if count}) + self._since
            self._since, self._told, self._dead = Counter(), {}, {}
            return Loss(pid, reason, dict(left))
