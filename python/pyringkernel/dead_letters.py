"""Dead letters: messages that nobody handled, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .kernels import Kernel
    from .runtime import Runtime


class DeadLetterReason(enum.Enum):
    """Why a message was not handled."""

    HANDLER_FAILED = "handler_failed"
    EXPIRED = "expired"
    TERMINATED = "terminated"
    UNDELIVERABLE = "undeliverable"
    WRONG_TYPE = "wrong_type"
    SUBSCRIBER_FULL = "subscriber_full"
    HUNG = "hung"
    BACKPRESSURE = "backpressure"


_ORDER = list(DeadLetterReason)


@dataclass(frozen=True)
class DeadLetterStats:
    """total == kept + overwritten + taken, and the sum of by_reason."""

    total: int
    kept: int
    overwritten: int
    taken: int
    by_reason: Mapping[DeadLetterReason, int]


@dataclass(frozen=True)
class DeadLetter:
    """A message that nobody handled. ``payload`` has at most 1024 bytes of it; ``hlc`` is when it died."""

    sequence: int
    reason: DeadLetterReason
    hlc: _core.HlcTimestamp
    kernel: str
    error: str
    payload: bytes
    truncated: bool
    _header: bytes

    def _field(self, name: str) -> int:
        import struct

        fields = {row[0]: (row[1], row[2]) for row in _core.abi_layouts["MessageHeader"][1]}
        code, offset = fields[name]
        return int(
            struct.unpack_from({"<u1": "<B", "<u2": "<H", "<u4": "<I", "<u8": "<Q"}[code], self._header, offset)[0]
        )

    @property
    def message_id(self) -> int:
        """The id that the message had."""
        return self._field("message_id")

    @property
    def source(self) -> int:
        """The address word of who sent it."""
        return self._field("source")

    @property
    def dest(self) -> int:
        """The address word of where it was bound."""
        return self._field("dest")

    @property
    def priority(self) -> int:
        """Its priority."""
        return self._field("priority")

    @property
    def type_id(self) -> int:
        """The type id of its class."""
        return self._field("type_id")

    @property
    def message(self) -> Any:
        """The message itself; None when it was cut, or its class is unknown here."""
        return _core.decode_letter(self._header, self.payload)


def _letter(row: dict[str, Any]) -> DeadLetter:
    return DeadLetter(
        row["sequence"],
        DeadLetterReason(row["reason"]),
        row["hlc"],
        row["kernel"],
        row["error"],
        row["payload"],
        row["truncated"],
        row["header"],
    )


_ALL = 2**62


def _max(given: int | None) -> int:
    if given is None:
        return _ALL
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidArgumentError(f"max: found {given!r}, need how many, from 0, or None for all")
    return given


def _index(reason: Any) -> int:
    try:
        return _ORDER.index(DeadLetterReason(reason))
    except ValueError:
        names = ", ".join(one.value for one in _ORDER)
        raise InvalidArgumentError(f"reason: found {reason!r}, need one of {names}") from None


def _kernel(what: str, value: Any) -> Kernel:
    from .kernels import Kernel

    if isinstance(value, Kernel):
        return value
    raise InvalidArgumentError(f"{what}: found {value!r}, need a kernel")


def _sequences(letters: Any) -> list[int]:
    try:
        return [one.sequence for one in letters]
    except (TypeError, AttributeError):
        raise InvalidArgumentError(f"letters: found {letters!r}, need dead letters, or None for all") from None


class DeadLetters:
    """The newest dead letters of a runtime. All are counted; ``Runtime(dead_letters=N)`` says how many are kept."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def browse(
        self, max: int | None = None, *, reason: DeadLetterReason | None = None, kernel: Kernel | str | None = None
    ) -> list[DeadLetter]:
        """Copies, oldest first; those of one reason or one kernel."""
        index = None if reason is None else _index(reason)
        name = kernel if kernel is None or isinstance(kernel, str) else _kernel("kernel", kernel).name
        return [_letter(row) for row in self._runtime._core.dead_letters_browse(_max(max), index, name)]

    def drain(self, max: int | None = None) -> list[DeadLetter]:
        """Takes the oldest out."""
        return [_letter(row) for row in self._runtime._core.dead_letters_take(_max(max))]

    def replay(self, letters: Iterable[DeadLetter] | None = None, *, to: Kernel | None = None) -> int:
        """Send letters (default: all) again, to where they were bound or to `to`; returns how many were sent.

        What was sent leaves the ring. What cannot be sent stays: cut ones, those whose kernel is gone, full or does not
        take their class, and, without `to`, those that were for the host. Each gets a new message id and no deadline.
        """
        chosen = self.browse() if letters is None else letters
        core = None if to is None else _kernel("to", to)._core
        return self._runtime._core.dead_letters_replay(_sequences(chosen), core)

    def stats(self) -> DeadLetterStats:
        """How many there were, and why."""
        row = self._runtime._core.dead_letters_stats()
        reasons = {DeadLetterReason(name): count for name, count in row["by_reason"].items()}
        return DeadLetterStats(row["total"], row["kept"], row["overwritten"], row["taken"], reasons)

    def __len__(self) -> int:
        return self.stats().kept

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<DeadLetters kept={stats.kept} of {stats.total}>"
