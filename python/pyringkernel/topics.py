"""Topics: subscriptions of the host and of kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import InvalidArgumentError, ReceiveTimeoutError, RingClosedError, UnsupportedError
from .rings import RingStats

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from typing_extensions import Self

    from .kernels import Kernel


@dataclass(frozen=True)
class TopicInfo:
    """A topic that was published to: how often, and whether a message of it is retained."""

    topic: str
    published: int
    retained: bool


class Subscription:
    """What is published to topics that match a pattern. Made by Runtime.subscribe(). A context manager, and iterable."""

    __slots__ = ("__weakref__", "_core", "_kernel")

    def __init__(self, core: _core.Subscription, kernel: Kernel | None) -> None:
        self._core = core
        self._kernel = kernel

    def _host_only(self) -> None:
        if self._kernel is not None:
            raise UnsupportedError(f"the messages of {self!r} go to kernel {self._kernel.name!r}, not to the host")

    def receive(self, timeout: float | None = None) -> Any:
        """The next message. Raises ReceiveTimeoutError; RingClosedError when closed and nothing is left."""
        self._host_only()
        message = self._core.receive(timeout)
        if message is None:
            if self.closed:
                raise RingClosedError(f"the subscription to {self.pattern!r} is closed")
            raise ReceiveTimeoutError(f"nothing was published to {self.pattern!r} within {timeout} s")
        return message

    def try_receive(self) -> Any:
        """The next message, None when there is none."""
        self._host_only()
        return self._core.receive(0.0)

    def receive_many(self, max: int = 4096, timeout: float | None = None) -> np.ndarray[Any, Any]:
        """Up to `max` messages of one class as a structured array; waits for the first one. Raises as receive()."""
        from ._arrays import received

        self._host_only()
        if max < 1:
            raise InvalidArgumentError(f"max: found {max}, need at least 1")
        batch = self._core._receive_rows(max, timeout)
        if batch is None:
            if self.closed:
                raise RingClosedError(f"the subscription to {self.pattern!r} is closed")
            raise ReceiveTimeoutError(f"nothing was published to {self.pattern!r} within {timeout} s")
        return received(batch, _core.message_types)

    def __iter__(self) -> Iterator[Any]:
        """Messages as they come, until the subscription is closed."""
        self._host_only()
        while True:
            message = self._core.receive(None)
            if message is None:
                return
            yield message

    @property
    def pattern(self) -> str:
        """What it was subscribed to."""
        return self._core.pattern

    @property
    def closed(self) -> bool:
        """True after close(), and when its kernel or the runtime has ended."""
        return self._core.closed

    def stats(self) -> RingStats:
        """Counts. Dead-lettered: found no room, or was too large."""
        return RingStats(**self._core._stats())

    def close(self) -> None:
        """Get no more. What is there can still be received. Idempotent."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        to = "host" if self._kernel is None else repr(self._kernel.name)
        state = "closed" if self.closed else f"in={self.stats().in_flight}"
        return f"<Subscription {self.pattern!r} to {to} {state}>"
