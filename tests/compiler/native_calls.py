"""Calls an rk_run function (ringkernel/compiled.h) as the runtime would, with services in Python, and checks that it
keeps to its memory."""

from __future__ import annotations

import ctypes
import struct
import threading
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pyringkernel.compiler.services import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness import Outcome, Recorder, Script

    from pyringkernel.compiler.ir import Program

_P, _U32, _U64, _F64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_double
_REPLY = ctypes.CFUNCTYPE(_U32, _P, _U32, _P, _U32)
_SEND = ctypes.CFUNCTYPE(_U32, _P, _U32, _U32, _P, _U32, _U32, _U32, _F64)
_PUBLISH = ctypes.CFUNCTYPE(_U32, _P, _U32, _U32, _P, _U32, _U32)
_TIME = ctypes.CFUNCTYPE(_U64, _P)
_UPDATE = ctypes.CFUNCTYPE(_U32, _P, _U64)
_FREE = ctypes.CFUNCTYPE(_U64, _P, _U32)
_VOID = ctypes.CFUNCTYPE(None, _P)
_FLAG = ctypes.CFUNCTYPE(_U32, _P)
RUN = ctypes.CFUNCTYPE(_U32, _P, _P, _P, _U64, _U32)


class RkServices(ctypes.Structure):
    """rk_services"""

    _fields_ = (
        ("reply", _REPLY), ("send", _SEND), ("publish", _PUBLISH), ("now", _TIME), ("tick", _TIME),
        ("update_clock", _UPDATE), ("pending", _TIME), ("free_slots", _FREE), ("request_termination", _VOID),
        ("is_terminating", _FLAG),
    )  # fmt: skip


class RkRange(ctypes.Structure):
    """rk_range"""

    _fields_ = (("begin", _U64), ("bytes", _U64))


class RkCall(ctypes.Structure):
    """rk_call"""

    _fields_ = (
        ("services", ctypes.POINTER(RkServices)), ("self", _P), ("state", _P), ("frame", _P), ("shared", _P),
        ("message", _P), ("slot", _P), ("cancel", _P), ("failed", _U32), ("fail_line", _U32), ("errors", _U32),
        ("last_error", _U32), ("error_line", _U32), ("instance", _U32), ("kernel", _U32), ("leave", _U32), ("task", _U64),
        ("ranges", ctypes.POINTER(RkRange)), ("range_count", _U32), ("reserved", _U32),
    )  # fmt: skip


assert (ctypes.sizeof(RkServices), ctypes.sizeof(RkCall)) == (80, 120)


class Guarded:
    """Bytes at an aligned address (or `shift` bytes behind one), with a known pattern before and behind them."""

    GUARD = 128

    def __init__(self, size: int, fill: int = 0, align: int = 64, shift: int = 0) -> None:
        self.size = size
        self._raw = (ctypes.c_uint8 * (size + align + shift + 2 * self.GUARD))(
            *(b"\xc3" * (size + align + shift + 2 * self.GUARD))
        )
        start = ctypes.addressof(self._raw)
        self.address = (start + self.GUARD + align - 1) // align * align + shift
        self._offset = self.address - start
        self.write(bytes([fill]) * size)

    def write(self, data: bytes) -> None:
        ctypes.memmove(self.address, data, len(data))

    def read(self) -> bytes:
        return ctypes.string_at(self.address, self.size)

    def check(self, name: str) -> None:
        raw = bytes(self._raw)
        outside = raw[: self._offset] + raw[self._offset + self.size :]
        assert outside == b"\xc3" * len(outside), f"{name}: bytes outside of it were written"


class _Bound:
    """A Recorder as rk_services. What a callback raises is kept, as ctypes would only print it."""

    def __init__(self, recorder: Recorder, call: RkCall) -> None:
        self.raised: list[BaseException] = []
        at = ctypes.string_at

        def ends(code: int) -> int:
            call.failed = code or call.failed
            return code

        def reply(_: Any, type_id: int, payload: int | None, size: int) -> int:
            return ends(recorder.reply(type_id, at(payload, size) if size else b""))

        def send(
            _: Any,
            target: int,
            type_id: int,
            payload: int | None,
            size: int,
            instance: int,
            priority: int,
            deadline: float,
        ) -> int:
            data = at(payload, size) if size else b""
            return ends(recorder.send(target, type_id, data, instance, priority, deadline))

        def publish(_: Any, topic: int, type_id: int, payload: int | None, size: int, retain: int) -> int:
            assert retain in (0, 1)
            return recorder.publish(topic, type_id, at(payload, size) if size else b"", bool(retain))

        self.services = RkServices(
            _REPLY(self._keeps(reply)),
            _SEND(self._keeps(send)),
            _PUBLISH(self._keeps(publish)),
            _TIME(self._keeps(lambda _: recorder.now())),
            _TIME(self._keeps(lambda _: recorder.tick())),
            _UPDATE(self._keeps(lambda _, time: int(recorder.update_clock(time)))),
            _TIME(self._keeps(lambda _: recorder.pending())),
            _FREE(self._keeps(lambda _, target: recorder.free_slots(target))),
            _VOID(self._keeps(lambda _: recorder.request_termination())),
            _FLAG(self._keeps(lambda _: int(recorder.is_terminating()))),
        )

    def _keeps(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:
                self.raised.append(error)
                return 0

        return call


def run_native(
    entries: Sequence[tuple[int, Any]],
    program: Program,
    messages: Sequence[tuple[int, bytes]],
    *,
    state: bytes | None = None,
    script: Script | None = None,
    instance: int = 0,
    kernel: int = 0,
    cancelled: bool = False,
    cancel_after: float | None = None,
    batch: int = 0xFFFF,
) -> Outcome:
    """As run_interpreter. `entries`: for each of the program's the address of its rk_run, and the pointer to give it.
    `cancelled`: the cancel word is set from the beginning on; `cancel_after`: it is set after so many seconds."""
    from harness import Outcome, Recorder, Script

    recorder = Recorder(script or Script())
    size = program.state_size
    memory = Guarded(size)
    memory.write(bytes(size) if state is None else state)
    largest = max(entry.size for entry in program.entries)
    rooms = {
        "state": memory,
        "frame": Guarded(program.frame_size),
        "shared": Guarded(program.shared_size, fill=0x5A),
        "message": Guarded(largest, fill=0x5A),
    }
    cancel = _U64(1 if cancelled else 0)
    call = RkCall(
        state=memory.address if size else None,
        cancel=ctypes.addressof(cancel),
        task=1,
        instance=instance,
        kernel=kernel,
    )
    call.frame, call.shared, call.message = rooms["frame"].address, rooms["shared"].address, rooms["message"].address
    ranges = [one for entry, payload in messages for one in _ranges(program.entries[entry], payload)]
    call.ranges, call.range_count = (RkRange * len(ranges))(*ranges), len(ranges)
    bound = _Bound(recorder, call)
    call.services = ctypes.pointer(bound.services)
    timer = threading.Timer(cancel_after, lambda: setattr(cancel, "value", 1)) if cancel_after is not None else None
    if timer is not None:
        timer.start()
    reports: list[Report] = []
    try:
        for entry, group in groupby(enumerate(messages), key=lambda numbered: numbered[1][0]):
            slots = _Slots(program, entry, [(number, payload) for number, (_, payload) in group])
            while not slots.is_done:
                rooms["frame"].write(b"\xa5" * program.frame_size)
                reports += _run_once(entries[entry], call, slots, batch)
                for name, room in rooms.items():
                    room.check(name)
                slots.check()
                if bound.raised:
                    raise bound.raised[0]
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
    return Outcome(memory.read(), recorder.effects, reports)


def _ranges(entry: Any, payload: bytes) -> list[RkRange]:
    """What the message refers to, as the runtime tells the bytecode machine."""
    found = []
    for one in entry.references:
        address, count = struct.unpack_from("<QI", payload, one.offset)
        found.append(RkRange(address, count * one.type.size))
    return found


class _Slots:
    """Messages of one class as in a ring: only aligned to 8, as a slot is."""

    def __init__(self, program: Program, entry: int, numbered: list[tuple[int, bytes]]) -> None:
        from harness import slot_of

        slots = [slot_of(program, entry, payload, number) for number, payload in numbered]
        self.stride = (64 + program.entries[entry].size + 7) // 8 * 8 + 8
        self._content = b"".join(slot.ljust(self.stride, b"\x3c") for slot in slots)
        self._room = Guarded(len(self._content), shift=8)
        self._room.write(self._content)
        self.count, self.done = len(slots), 0

    @property
    def is_done(self) -> bool:
        return self.done == self.count

    @property
    def next(self) -> int:
        return self._room.address + self.done * self.stride

    def check(self) -> None:
        assert self._room.read() == self._content, "slots are read-only"
        self._room.check("slots")


def _run_once(entry: tuple[int, Any], call: RkCall, slots: _Slots, batch: int) -> list[Report]:
    """One call of rk_run. Ends early only after a message that failed, counted errors or asked to leave."""
    address, pointer = entry
    call.failed = call.fail_line = call.errors = call.last_error = call.error_line = call.leave = 0
    given = min(batch, slots.count - slots.done)
    handled = RUN(address)(pointer, ctypes.addressof(call), slots.next, slots.stride, given)
    assert 1 <= handled <= given, f"rk_run handled {handled} of {given} messages"
    ended = bool(call.failed or call.errors or call.leave)
    assert ended or handled == given, f"rk_run handled {handled} of {given} messages for no reason"
    slots.done += handled
    last = Report(call.failed, call.fail_line if call.failed else 0, call.errors, call.last_error, call.error_line)
    return [Report() for _ in range(handled - 1)] + [last]
