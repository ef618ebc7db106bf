"""A kernel in another process."""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any

from ..checkpoint import Snapshot
from ..errors import CallTimeoutError, RingTimeoutError, UnsupportedError, WrongMessageError
from ..kernels import Kernel, KernelState
from ..rings import RingStats
from .operation import IsolatedOperation

if TYPE_CHECKING:
    from ..devices import Device
    from .runtime import IsolatedRuntime

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02  # seconds between two tries to send into a full inbox


class IsolatedKernel:
    """A handle that stays good when the worker is started again. Made by IsolatedRuntime.launch().

    Each exchange crosses a socket twice, which takes tens of microseconds: isolation is for handlers that may hang,
    not for speed.
    """

    def __init__(self, runtime: IsolatedRuntime, handler: Any, facts: dict[str, Any]) -> None:
        self._runtime = runtime
        self._handler = handler
        self._facts = facts

    @property
    def name(self) -> str:
        """The name that it was launched under."""
        return str(self._facts["name"])

    @property
    def backend(self) -> str:
        """The backend that runs it."""
        return str(self._facts["backend"])

    @property
    def engine(self) -> str:
        """What runs its handler."""
        return str(self._facts["engine"])

    @property
    def mode(self) -> str:
        """How it really runs: "persistent" or "event_driven"."""
        return str(self._facts["mode"])

    @property
    def device(self) -> Device | None:
        """The GPU that it is on; None on the CPU."""
        return next((one for one in self._runtime.devices if one.index == self._facts["device"]), None)

    @property
    def accepts(self) -> tuple[type[Any], ...]:
        """The message classes that its handler takes."""
        return tuple(self._handler.accepts)

    def ask(
        self, message: Any, *, instance: int | None = None, priority: int = 1, deadline: float | None = None
    ) -> IsolatedOperation:
        """Send, and get a future of the reply. Its errors: those of Kernel.call(), and WorkerDiedError."""
        how = {"instance": instance, "priority": int(priority), "deadline": deadline}
        future = self._runtime._request("ask", self._with(message, how), message.to_bytes(), self._handler)
        assert isinstance(future, IsolatedOperation)
        self._runtime._accounts.sent(self.name)
        return future

    def call(self, message: Any, timeout: float | None = 5.0, **how: Any) -> Any:
        """Send, and wait for the reply. Raises CallTimeoutError, HandlerError, KernelHungError, WorkerDiedError ..."""
        future = self.ask(message, **how)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            raise CallTimeoutError(f"kernel {self.name!r} did not reply within {timeout} s") from None

    def try_send(self, message: Any, **how: Any) -> bool:
        """Send if there is room. Raises KernelTerminatedError, WrongMessageError, WorkerDiedError ..."""
        answer = self._runtime._wait("send", self._with(message, how), message.to_bytes())
        sent = bool(answer[0]["sent"])
        if sent:
            self._runtime._accounts.sent(self.name)
        return sent

    def send(self, message: Any, timeout: float | None = 5.0, **how: Any) -> None:
        """Send; waits for room. Raises RingTimeoutError besides what try_send() raises."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not self.try_send(message, **how):
            if end is not None and time.monotonic() >= end:
                raise RingTimeoutError(f"kernel {self.name!r} took no message within {timeout} s: its inbox is full")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def receive(self, timeout: float | None = None) -> Any:
        """What it sent to the host. Raises ReceiveTimeoutError, KernelTerminatedError, WorkerDiedError ..."""
        values = {"kernel": self.name, "timeout": timeout}
        return self._runtime._request("receive", values, b"", self._handler).result()

    def activate(self, timeout: float | None = 5.0) -> None:
        """As Kernel.activate()."""
        self._move("activate", timeout)

    def deactivate(self, timeout: float | None = 5.0) -> None:
        """As Kernel.deactivate()."""
        self._move("deactivate", timeout)

    def terminate(self, timeout: float | None = 5.0) -> None:
        """As Kernel.terminate(); a worker that is started again does not launch it again."""
        self._move("terminate", timeout)
        self._runtime._forget(self.name)

    def snapshot(self, timeout: float | None = 5.0) -> Snapshot:
        """As Kernel.snapshot()."""
        _, data = self._runtime._wait("snapshot", {"kernel": self.name, "timeout": timeout})
        return Snapshot.from_bytes(data)

    @property
    def state(self) -> KernelState:
        """Where the kernel is in its life; FAILED while there is no worker."""
        facts = self._facts_now()
        return KernelState.FAILED if facts is None else KernelState(facts["state"])

    @property
    def busy(self) -> bool:
        """True while a handler of it is inside a message."""
        facts = self._facts_now()
        return facts is not None and bool(facts["busy"])

    @property
    def error_count(self) -> int:
        """How often its handler failed, and errors that it counted, since the worker began."""
        facts = self._facts_now()
        return 0 if facts is None else int(facts["errors"])

    def stats(self) -> RingStats:
        """Counts of the messages sent to it since the worker began."""
        return RingStats(**self._runtime._wait("state", {"kernel": self.name})[0]["stats"])

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(Kernel, name):
            raise UnsupportedError(f"isolate=True: Kernel.{name} does not cross to another process")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _facts_now(self) -> dict[str, Any] | None:
        return self._runtime._wait("state", {"kernel": self.name})[0] if self._runtime.alive else None

    def _move(self, to: str, timeout: float | None) -> None:
        self._runtime._wait("move", {"kernel": self.name, "to": to, "timeout": timeout})

    def _with(self, message: Any, how: dict[str, Any]) -> dict[str, Any]:
        if type(message) not in self.accepts:
            names = [cls.__name__ for cls in self.accepts]
            raise WrongMessageError(f"kernel {self.name!r}: found {type(message).__name__}, need one of {names}")
        given = {key: value for key, value in how.items() if value is not None}
        return {"kernel": self.name, "type_id": type(message).type_id, "how": given}

    def __repr__(self) -> str:
        return f"<IsolatedKernel {self.name!r} {self.backend} {self.state.name.lower()}>"
