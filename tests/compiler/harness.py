"""Runs a program with any engine on scripted answers, and says what came of it in a form that engines can be compared in.

outcome = run_interpreter(program, [(0, payload), ...], state=b"...", script=Script(refuse={1: SEND_FULL}))
other = run_native([(address, None)], program, [(0, payload), ...], state=b"...")
assert_same(outcome, other, floats={"state": floats_of(State), Reply.type_id: floats_of(Reply)})
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from comparing import Floats, assert_same, difference, floats_of, same
from native_calls import run_native

from pyringkernel.compiler.interpreter import Interpreter
from pyringkernel.compiler.services import DEFAULT_PRIORITY, HIGHEST_PRIORITY, Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyringkernel.compiler.ir import Program

HEADER = struct.Struct("<BBBBIIIQQQQQQ")  # MessageHeader, 64 bytes
FUEL = 1_000_000  # more back edges than any test means to take
PENDING, FREE_SLOTS = 5, 40

Messages: TypeAlias = Sequence[tuple[int, bytes]]  # (index of the entry, payload)


@dataclass(frozen=True)
class Script:
    """What the services answer. Numbers count the calls of that service from 0 on, over all messages."""

    refuse: Mapping[int, int] = field(default_factory=dict)  # number of a reply or send (counted together): code
    refuse_clock: frozenset[int] = frozenset()  # numbers of update_clock
    clock: int = 1 << 40  # the first now() or tick(); each is 7 more than the one before
    subscribers: int = 2  # what publish gives, by topic: subscribers + topic
    terminating: bool = False


@dataclass
class Recorder:
    """Services that note every effect, in order, as ("reply", type_id, payload) and so on."""

    script: Script = field(default_factory=Script)
    effects: list[tuple[Any, ...]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def _number(self, name: str) -> int:
        self.numbers[name] = self.numbers.get(name, -1) + 1
        return self.numbers[name]

    def reply(self, type_id: int, payload: bytes) -> int:
        code = self.script.refuse.get(self._number("send"), 0)
        self.effects.append(("reply", type_id, payload, code))
        return code

    def send(self, target: int, type_id: int, payload: bytes, instance: int, priority: int, deadline: float) -> int:
        """An engine may leave it to the services that 3 is the highest priority, and that a deadline has to be > 0."""
        code = self.script.refuse.get(self._number("send"), 0)
        priority = priority if priority == DEFAULT_PRIORITY else min(priority, HIGHEST_PRIORITY)
        deadline = deadline if deadline > 0.0 else 0.0
        self.effects.append(("send", type_id, payload, code, target, instance, priority, deadline))
        return code

    def publish(self, topic: int, type_id: int, payload: bytes, retain: bool) -> int:
        self.effects.append(("publish", type_id, payload, 0, topic, retain))
        return self.script.subscribers + topic

    def now(self) -> int:
        self.effects.append(("now",))
        return self.script.clock + 7 * self._number("clock")

    def tick(self) -> int:
        self.effects.append(("tick",))
        return self.script.clock + 7 * self._number("clock")

    def update_clock(self, time: int) -> bool:
        self.effects.append(("update_clock", time))
        return self._number("update_clock") not in self.script.refuse_clock

    def pending(self) -> int:
        return PENDING

    def free_slots(self, target: int) -> int:
        return FREE_SLOTS + target

    def request_termination(self) -> None:
        self.effects.append(("request_termination",))

    def is_terminating(self) -> bool:
        return self.script.terminating or ("request_termination",) in self.effects


@dataclass
class Outcome:
    """What came of some messages, all of which were handled."""

    state: bytes
    effects: list[tuple[Any, ...]]
    reports: list[Report]  # one for each message

    @property
    def handled(self) -> int:
        return len(self.reports)

    @property
    def errors(self) -> int:
        """Of all messages."""
        return sum(report.errors for report in self.reports)

    @property
    def last_error(self) -> int:
        return self._last("errors").last_error

    @property
    def error_line(self) -> int:
        return self._last("errors").error_line

    @property
    def failed(self) -> int:
        """Why the last message that failed did."""
        return self._last("failed").failed

    @property
    def fail_line(self) -> int:
        return self._last("failed").fail_line

    def _last(self, name: str) -> Report:
        return next((report for report in reversed(self.reports) if getattr(report, name)), Report())

    @property
    def replies(self) -> list[bytes]:
        """The payloads of the accepted ones."""
        return [effect[2] for effect in self.effects if effect[0] == "reply" and effect[3] == 0]


def slot_of(program: Program, entry: int, payload: bytes, number: int) -> bytes:
    """A message as it lies in a ring: every field of the header has a value of its own."""
    size = program.entries[entry].size
    assert len(payload) == size, f"the payload of entry {entry} has {size} bytes, not {len(payload)}"
    header = HEADER.pack(
        1, number % 4, 2, 8, program.entries[entry].type_id, size, 0, 1000 + number, 2000 + number,
        (3 << 40) + number, (4 << 40) + number, (5 << 40) + number, (6 << 40) + number,
    )  # fmt: skip
    return header + payload


class Engine(Protocol):
    """Interpreter and PythonProgram."""

    def run(self, entry: int, state: bytearray, slot: bytes, services: Any) -> Report: ...


def _run(engine: Engine, program: Program, messages: Messages, state: bytes | None, script: Script | None) -> Outcome:
    memory = bytearray(program.state_size if state is None else state)
    assert len(memory) == program.state_size
    recorder = Recorder(script or Script())
    reports = [
        engine.run(entry, memory, slot_of(program, entry, payload, number), recorder)
        for number, (entry, payload) in enumerate(messages)
    ]
    return Outcome(bytes(memory), recorder.effects, reports)


def run_interpreter(
    program: Program,
    messages: Messages,
    *,
    state: bytes | None = None,
    script: Script | None = None,
    fuel: int = FUEL,
    instance: int = 0,
    kernel: int = 0,
) -> Outcome:
    """`state`: zeros when not given. `fuel`: 0 is what run_native(cancelled=True) is."""
    return _run(Interpreter(program, fuel=fuel, instance=instance, kernel=kernel), program, messages, state, script)


def run_python(
    program: Program,
    messages: Messages,
    *,
    state: bytes | None = None,
    script: Script | None = None,
    fuel: int = FUEL,
    instance: int = 0,
    kernel: int = 0,
) -> Outcome:
    """As run_interpreter, with the debug engine."""
    from pyringkernel.compiler.pyengine import PythonProgram

    return _run(PythonProgram(program, fuel=fuel, instance=instance, kernel=kernel), program, messages, state, script)


__all__ = [
    "FUEL",
    "Floats",
    "Outcome",
    "Recorder",
    "Script",
    "assert_same",
    "difference",
    "floats_of",
    "run_interpreter",
    "run_native",
    "run_python",
    "same",
    "slot_of",
]
