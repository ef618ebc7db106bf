"""What runs a program in Python needs from outside, and what it says at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

ANY_INSTANCE = 0xFFFFFFFF  # as in ringkernel/compiled.h
DEFAULT_PRIORITY = 0xFFFFFFFF
HIGHEST_PRIORITY = 3


class Services(Protocol):
    """rk_services of ringkernel/compiled.h. `reply` and `send` return 0 or the code of the failure."""

    def reply(self, type_id: int, payload: bytes) -> int: ...
    def send(self, target: int, type_id: int, payload: bytes, instance: int, priority: int, deadline: float) -> int: ...
    def publish(self, topic: int, type_id: int, payload: bytes, retain: bool) -> int: ...
    def now(self) -> int: ...
    def tick(self) -> int: ...
    def update_clock(self, time: int) -> bool: ...
    def pending(self) -> int: ...
    def free_slots(self, target: int) -> int: ...
    def request_termination(self) -> None: ...
    def is_terminating(self) -> bool: ...


@dataclass
class Report:
    """How one message was handled; codes are ErrorCode or the user's, 0 for none."""

    failed: int = 0
    fail_line: int = 0
    errors: int = 0
    last_error: int = 0
    error_line: int = 0


class Failed(Exception):  # noqa: N818 - no error, but how a message that fails leaves its handler
    """The message failed; the report says why."""
