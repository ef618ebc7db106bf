"""Supervisors: what happens when a handler fails."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgumentError, KernelHungError
from .launching import RESTART

if TYPE_CHECKING:
    from . import _core
    from .runtime import Runtime

_numbers = count(1)
STRATEGY = {"one_for_one": 0, "one_for_all": 1, "rest_for_one": 2}


@dataclass(frozen=True)
class SupervisionEvent:
    """What happened: kind is "failed", "exited", "hung", "stopped", "restarted", "gave_up", "supervisor_failed" or
    "root_failed". instance: None means all of them. error: what the handler raised."""

    kind: str
    supervisor: str
    child: str
    instance: int | None
    generation: int
    error: str
    hlc: _core.HlcTimestamp


def _seconds(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise InvalidArgumentError(f"{what}: found {value!r}, need seconds from 0")
    return float(value)


class Supervisor:
    """Restarts kernels whose handlers raise, in Erlang's meaning of the words. Made by Runtime.supervisor().

    A failure ends the instance's incarnation: the message is dead-lettered, the state begins anew, what waits stays.
    strategy: "one_for_one" restarts the instance, "one_for_all" every child, "rest_for_one" it and the children that
    were launched after it. More than `intensity` restarts within `period` seconds: the supervisor gives up, its children
    end, and its own supervisor treats that as the failure of a child. backoff: see docs/supervision.md.
    """

    __slots__ = ("__weakref__", "_id", "_runtime", "name")

    def __init__(self, runtime: Runtime, number: int, name: str) -> None:
        self._runtime = runtime
        self._id = number
        self.name = name

    @classmethod
    def _make(
        cls,
        runtime: Runtime,
        parent: Supervisor | None,
        strategy: str,
        intensity: int,
        period: float,
        backoff: float,
        max_backoff: float,
        name: str | None,
        restart: str,
    ) -> Supervisor:
        if name is not None and not isinstance(name, str):
            raise InvalidArgumentError(f"name: found {name!r}, need a str")
        if strategy not in STRATEGY:
            raise InvalidArgumentError(f"strategy: found {strategy!r}, need one of {', '.join(STRATEGY)}")
        if restart not in RESTART:
            raise InvalidArgumentError(f"restart: found {restart!r}, need one of {', '.join(RESTART)}")
        if isinstance(intensity, bool) or not isinstance(intensity, int) or not 0 <= intensity < 2**31:
            raise InvalidArgumentError(f"intensity: found {intensity!r}, need how many restarts, from 0")
        name = name or f"{strategy} {next(_numbers)}"
        number = runtime._core.add_supervisor(
            0 if parent is None else parent._id,
            STRATEGY[strategy],
            intensity,
            _seconds("period", period),
            _seconds("backoff", backoff),
            _seconds("max_backoff", max_backoff),
            name,
            RESTART[restart],
        )
        return cls(runtime, number, name)

    def supervisor(
        self,
        strategy: str = "one_for_one",
        *,
        intensity: int = 3,
        period: float = 5.0,
        backoff: float = 0.0,
        max_backoff: float = 30.0,
        name: str | None = None,
        restart: str = "permanent",
    ) -> Supervisor:
        """A supervisor below this one. Raises SupervisorTerminatedError, InvalidArgumentError."""
        return self._make(self._runtime, self, strategy, intensity, period, backoff, max_backoff, name, restart)

    @property
    def state(self) -> str:
        """ "running", "terminated" or "failed"."""
        return ("running", "terminated", "failed")[self._runtime._core.supervisor_state(self._id)]

    @property
    def restarts(self) -> int:
        """How many failures it answered with a restart."""
        return self._runtime._core.supervisor_restarts(self._id)

    @property
    def children(self) -> list[str]:
        """The names of its kernels and supervisors, in the order of their start."""
        return self._runtime._core.supervisor_children(self._id)

    def events(self) -> list[SupervisionEvent]:
        """What happened to its children and to itself, oldest first; the newest 1024 of the runtime."""
        return [SupervisionEvent(**row) for row in self._runtime._core.supervisor_events(self._id)]

    def terminate(self, timeout: float | None = 5.0) -> None:
        """End its children, the last one first. Raises KernelHungError, SupervisorTerminatedError."""
        hung = self._runtime._core.terminate_supervisor(self._id, timeout)
        if hung:
            raise KernelHungError(f"the handlers of {', '.join(map(repr, hung))} do not return")

    def __repr__(self) -> str:
        return f"<Supervisor {self.name!r} {self.state} children={len(self.children)} restarts={self.restarts}>"
