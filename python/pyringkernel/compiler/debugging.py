"""A compiled handler as Python code: breakpoints and steps in the user's file, and the results of compiled code.

The code is made from the program, not from the function's text, so that it computes what the other engines compute.
"""

from __future__ import annotations

import copy
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import (
    ClockSkewError,
    KernelTerminatedError,
    MessageTooLargeError,
    RingFullError,
    RingKernelError,
    UndeclaredTargetError,
)
from .ir import ErrorCode
from .pyengine import PythonProgram
from .services import ANY_INSTANCE, DEFAULT_PRIORITY, HIGHEST_PRIORITY

if TYPE_CHECKING:
    from . import ir

_HEADER = struct.Struct("<BBBBIIIQQQQQQ")  # abi/message_header.h

LONGEST_DEADLINE = 2e9  # seconds; as in compiled_handler.cc

_FAILURES: tuple[tuple[type[RingKernelError], ErrorCode], ...] = (
    (RingFullError, ErrorCode.SEND_FULL),
    (KernelTerminatedError, ErrorCode.SEND_CLOSED),
    (MessageTooLargeError, ErrorCode.SEND_TOO_LARGE),
    (UndeclaredTargetError, ErrorCode.SEND_UNDECLARED),
)


def _header_of(message: Any) -> bytes:
    h = message.header
    return _HEADER.pack(
        h.version, h.priority, h.hops, h.flags, h.type_id, h.payload_size, h.crc32c,
        h.message_id, h.correlation_id, h.source, h.dest, h.hlc, h.deadline,
    )  # fmt: skip


class DebugHandler:
    """What a Python kernel calls: ``(ctx, message)`` or ``(ctx, state, message)``."""

    def __init__(self, program: ir.Program, accepts: tuple[type[Any], ...], assertions: dict[int, str]) -> None:
        self._program = program
        self._assertions = assertions
        self._python = PythonProgram(program)
        self._entries = {cls: i for i, cls in enumerate(accepts)}

    def __call__(self, ctx: Any, *arguments: Any) -> None:
        trace = threading.gettrace()  # who wants to trace all threads knows only those of Python
        if trace is None or sys.gettrace() is not None:
            return self._handle(ctx, *arguments)
        sys.settrace(trace)
        try:
            return self._handle(ctx, *arguments)
        finally:
            sys.settrace(None)

    def _handle(self, ctx: Any, *arguments: Any) -> None:
        message = arguments[-1]
        view = memoryview(arguments[0]).cast("B") if len(arguments) == 2 else memoryview(b"")
        state = bytearray(view)
        services = _ContextServices(ctx, self._program, message.header.priority)
        python = copy.copy(self._python)  # several instances may be in here at the same time
        python.instance, python.kernel = ctx.instance_id(), ctx.kernel_id()
        slot = _header_of(message) + bytes(memoryview(message).cast("B"))
        try:
            report = python.run(self._entries[type(message)], state, slot, services)
        finally:
            if state:
                view[:] = state
        if report.errors:
            ctx._report_errors(report.last_error, report.errors)
        if report.failed:
            where = f"{self._program.entries[0].function.file}:{report.fail_line}"
            if services.refusal is not None:
                raise services.refusal
            text = self._assertions.get(report.fail_line, "")
            raise AssertionError(f"assertion failed{': ' if text else ''}{text} ({where})")


class _ContextServices:
    """Services (see services.py) by a Python handler's context."""

    def __init__(self, ctx: Any, program: ir.Program, priority: int) -> None:
        self._ctx = ctx
        self._program = program
        self._priority = priority  # of the message in hand, and of its replies
        self.refusal: BaseException | None = None

    def _try(self, act: Any) -> int:
        try:
            act()
        except RingKernelError as error:
            self.refusal = error
            return next((int(code) for kind, code in _FAILURES if isinstance(error, kind)), ErrorCode.SEND_FAILED)
        return 0

    def reply(self, type_id: int, payload: bytes) -> int:
        answer = _message(type_id, payload)
        answer.header.priority = self._priority
        failed = self._try(lambda: self._ctx.reply(answer))
        return 0 if failed == ErrorCode.SEND_CLOSED else failed  # who asked is gone

    def send(self, target: int, type_id: int, payload: bytes, instance: int, priority: int, deadline: float) -> int:
        options: dict[str, Any] = {}
        if instance != ANY_INSTANCE:
            options["instance"] = instance
        if priority != DEFAULT_PRIORITY:
            options["priority"] = min(priority, HIGHEST_PRIORITY)
        if deadline > 0:
            options["deadline"] = min(deadline, LONGEST_DEADLINE)
        name = self._program.targets[target]
        return self._try(lambda: self._ctx.send(name, _message(type_id, payload), **options))

    def publish(self, topic: int, type_id: int, payload: bytes, retain: bool) -> int:
        delivered: int = self._ctx.publish(self._program.topics[topic], _message(type_id, payload), retain=retain)
        return delivered

    def now(self) -> int:
        time: int = self._ctx.now().time
        return time

    def tick(self) -> int:
        time: int = self._ctx.tick().time
        return time

    def update_clock(self, time: int) -> bool:
        try:
            self._ctx.update_clock(_core.HlcTimestamp(time))
        except ClockSkewError:
            return False
        return True

    def pending(self) -> int:
        waiting: int = self._ctx.pending()
        return waiting

    def free_slots(self, target: int) -> int:
        try:
            free: int = self._ctx.free_slots(self._program.targets[target])
        except RingKernelError:  # nobody has that name
            return 0
        return free

    def request_termination(self) -> None:
        self._ctx.request_termination()

    def is_terminating(self) -> bool:
        asked: bool = self._ctx.is_terminating()
        return asked


def _message(type_id: int, payload: bytes) -> Any:
    return _core.message_types[type_id].from_payload(payload)
