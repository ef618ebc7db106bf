"""Handlers as users write them answer what an independent calculation says, on every engine."""

from __future__ import annotations

import importlib
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from harness import Script, run_interpreter, run_native, run_python

import pyringkernel as rk
from pyringkernel import _core

FOLDER = Path(__file__).parent / "real_handlers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
ENGINES: dict[str, dict[str, Any]] = {"llvm": {"engine": "llvm"}, "vm": {"engine": "vm"}, "python": {"compiled": False}}


def load(name: str) -> tuple[ModuleType, rk.CompiledHandler[..., Any]]:
    module = importlib.import_module(f"real_handlers.{name}")
    [handler] = [one for one in vars(module).values() if isinstance(one, rk.CompiledHandler)]
    return module, handler


def initial(module: ModuleType, handler: rk.CompiledHandler[..., Any]) -> Any:
    if handler.state is None:
        return None
    return module.initial() if hasattr(module, "initial") else _core.zeroed(handler.state)


def check(module: ModuleType, given: list[Any], found: list[Any]) -> None:
    """Replies against those that are expected: None where none is, or where the oracle only says that it is invalid."""
    expected = module.expected([one.copy() for one in given])
    if hasattr(module, "IGNORED"):
        for reply in found:
            for name in module.IGNORED:
                setattr(reply, name, 0)
    if hasattr(module, "is_valid"):
        found = [reply if module.is_valid(reply) else None for reply in found]
    else:
        expected = [one for one in expected if one is not None]
    assert len(found) == len(expected)
    assert len(expected) > 6
    for number, (got, want) in enumerate(zip(found, expected, strict=True)):
        assert type(got) is type(want), number
        if want is None:
            continue
        if not hasattr(module, "TOLERANCE"):
            assert got == want, number
            continue
        for field in type(want).dtype.names or ():
            np.testing.assert_allclose(getattr(got, field), getattr(want, field), module.TOLERANCE, module.TOLERANCE)


def payload(message: Any) -> bytes:
    return bytes(message)


def entries_of(handler: rk.CompiledHandler[..., Any], given: list[Any]) -> list[tuple[int, bytes]]:
    ids = [entry.type_id for entry in handler.program.entries]
    return [(ids.index(type(one).type_id), payload(one)) for one in given]


def replies(outcome: Any) -> list[Any]:
    return [
        _core.message_types[effect[1]].from_payload(effect[2]) for effect in outcome.effects if effect[0] == "reply"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_interpreter_answers_what_is_expected(name: str) -> None:
    module, handler = load(name)
    given = module.messages(Random(name))[:60]
    state = initial(module, handler)
    memory = payload(state) if state is not None else None
    script = Script(clock=module.CLOCK) if hasattr(module, "CLOCK") else None
    outcome = run_interpreter(handler.program, entries_of(handler, given), state=memory, script=script, fuel=10**5)
    check(module, given, replies(outcome))


@pytest.mark.parametrize("name", [one for one in NAMES if one != "token_bucket"])
def test_every_engine_answers_what_is_expected(name: str) -> None:
    module, handler = load(name)
    given = module.messages(Random(name))
    state = initial(module, handler)
    states = set()
    for engine, options in ENGINES.items():
        with rk.Runtime() as rt:
            kernel = rt.launch(handler, name=engine, state=state, **options)
            for message in given:
                kernel.send(message)
            wanted = (
                sum(one is not None for one in module.expected(given))
                if not hasattr(module, "is_valid")
                else len(given)
            )
            found = [kernel.receive(timeout=30.0) for _ in range(wanted)]
            kernel.terminate()
            check(module, given, found)
            states.add(payload(kernel.state_object) if state is not None else b"")
    assert len(states) == 1


def test_a_handler_that_asks_the_clock_answers_what_is_expected() -> None:
    module, handler = load("token_bucket")
    given = module.messages(Random(1))
    messages, state = entries_of(handler, given), payload(initial(module, handler))
    script = Script(clock=module.CLOCK)
    check(module, given, replies(run_python(handler.program, messages, state=state, script=script)))
    for name in ("vm", "llvm"):
        engine = handler.engine(name)
        outcome = run_native(engine.entries, handler.program, messages, state=state, script=script)
        check(module, given, replies(outcome))
