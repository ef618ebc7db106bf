"""Translates a handler, verifies it, and runs it on the interpreter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyringkernel import _core
from pyringkernel.compiler import ir
from pyringkernel.compiler.frontend import translate
from pyringkernel.compiler.interpreter import Interpreter
from pyringkernel.compiler.services import Report
from pyringkernel.compiler.verify import verify

HEADER = 64


@dataclass
class Services:
    """Notes what is sent, as (where, message)."""

    effects: list[tuple[Any, Any]] = field(default_factory=list)
    refuse: int = 0
    clock: int = 1000

    def _message(self, type_id: int, payload: bytes) -> Any:
        return _core.message_types[type_id].from_payload(payload)

    def reply(self, type_id: int, payload: bytes) -> int:
        self.effects.append(("reply", self._message(type_id, payload)))
        return self.refuse

    def send(self, target: int, type_id: int, payload: bytes, instance: int, priority: int, deadline: float) -> int:
        self.effects.append(((target, instance, priority, deadline), self._message(type_id, payload)))
        return self.refuse

    def publish(self, topic: int, type_id: int, payload: bytes, retain: bool) -> int:
        self.effects.append((("topic", topic, retain), self._message(type_id, payload)))
        return 3

    def now(self) -> int:
        self.clock += 1
        return self.clock

    def tick(self) -> int:
        self.clock += 10
        return self.clock

    def update_clock(self, time: int) -> bool:
        return time < 2000

    def pending(self) -> int:
        return 5

    def free_slots(self, target: int) -> int:
        return 40 + target

    def request_termination(self) -> None:
        self.effects.append(("terminate", None))

    def is_terminating(self) -> bool:
        return True


@dataclass
class Outcome:
    """What a handler did with a message."""

    report: Report
    state: Any
    effects: list[tuple[Any, Any]]

    @property
    def reply(self) -> Any:
        """The only thing that was sent."""
        assert [where for where, _ in self.effects] == ["reply"]
        return self.effects[0][1]


def program_of(function: Any, **options: Any) -> ir.Program:
    """The program of a handler, which keeps the rules."""
    program = translate(function, **options)
    verify(program)
    return program


def run(function: Any, message: Any, state: Any = None, refuse: int = 0, **options: Any) -> Outcome:
    """Handles one message. `state` is left as it is; the new one is in the outcome."""
    program = program_of(function, **options)
    entry = next(i for i, one in enumerate(program.entries) if one.type_id == type(message).type_id)
    memory = bytearray(state.to_bytes()[HEADER:] if state is not None else b"")
    services = Services(refuse=refuse)
    report = Interpreter(program, fuel=10_000).run(entry, memory, message.to_bytes(), services)
    after = type(state).from_payload(bytes(memory)) if state is not None else None
    return Outcome(report, after, services.effects)


def statements(function: Any, **options: Any) -> list[ir.Stmt]:
    """All statements of the first entry, the inner ones too."""
    from pyringkernel.compiler.walk import statements as all_of

    return list(all_of(program_of(function, **options).entries[0].function.body))


def count(function: Any, kind: type, **options: Any) -> int:
    """How many statements of a kind the first entry has."""
    return sum(isinstance(one, kind) for one in statements(function, **options))
