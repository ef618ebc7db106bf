"""Generated programs through the front end and every engine, and whether all did the same."""

from __future__ import annotations

import linecache
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from comparing import difference, floats_of
from harness import Outcome, run_interpreter

from pyringkernel.compiler import ir
from pyringkernel.compiler.verify import verify

from .generate import Case
from .ir_programs import ANSWER, FLOATS

KERNEL, INSTANCE = 21, 3
FUEL = 20_000  # turns of loops: many more than a generated program takes, and soon over in a reduced one


@dataclass
class Translated:
    """A case that the front end took, and what the interpreter makes of it."""

    case: Case
    program: ir.Program
    classes: dict[str, type[Any]]
    expected: Outcome
    messages: list[tuple[int, bytes]]
    floats: dict[str | int, Any] = field(default_factory=dict)

    @property
    def types(self) -> dict[str, int]:
        """Type ids by class name."""
        return {name: int(getattr(cls, "type_id", 0)) for name, cls in self.classes.items()}


def load(case: Case, name: str) -> dict[str, Any]:
    """Runs the source as a module, so that its decorators see the functions."""
    file = f"<{name}>"
    linecache.cache[file] = (len(case.source), None, case.source.splitlines(keepends=True), file)
    module = types.ModuleType(name)
    exec(compile(case.source, file, "exec"), module.__dict__)
    return module.__dict__


def translate(case: Case, name: str = "differential") -> Translated:
    """Front end, verifier and interpreter. What they raise is a mismatch too: programs are right by construction."""
    space = {} if case.program is not None else load(case, name)
    program = case.program if case.program is not None else space[case.handler].program
    verify(program)
    entries = {entry.message: number for number, entry in enumerate(program.entries)}
    messages = [(entries[cls], payload) for cls, payload in case.inputs]
    expected = run_interpreter(
        program, messages, state=case.state, script=case.script, fuel=FUEL, kernel=KERNEL, instance=INSTANCE
    )
    if any(report.failed == ir.ErrorCode.CANCELLED for report in expected.reports):
        raise RuntimeError(f"a message took {FUEL} turns of loops")
    classes = {spec.name: space[spec.name] for spec in case.classes}
    floats: dict[str | int, Any] = {cls.type_id: floats_of(cls) for cls in classes.values()}
    if case.program is not None:
        floats = {"state": FLOATS, ANSWER: FLOATS}
    elif case.state is not None:
        floats["state"] = floats_of(classes["S"])
    return Translated(case, program, classes, expected, messages, floats)


@dataclass(frozen=True)
class Mismatch:
    """An engine that did something else, or raised."""

    engine: str
    case: Case
    found: str
    program: ir.Program | None = None

    def report(self) -> str:
        """Everything that is needed to look at it."""
        from pyringkernel.compiler.printer import to_text

        text = [f"seed {self.case.seed}, {self.engine}: {self.found}", "", self.case.source]
        text += [f"input {name} {payload.hex()}" for name, payload in self.case.inputs]
        text += [f"state {self.case.state.hex() if self.case.state is not None else None}", f"{self.case.script}"]
        if self.program is not None:
            text += ["", to_text(self.program)]
        return "\n".join(text)


Runs = Callable[
    [Sequence[Translated]], "list[Outcome | str | None]"
]  # None: not for this engine; str: what differs, or what it raised


def check(
    cases: Sequence[Case], engines: dict[str, Runs], seconds: dict[str, float] | None = None
) -> tuple[list[Translated], list[Mismatch], dict[str, int]]:
    """What was translated, what differed, and how many programs each engine ran. `seconds`: gets the time of each."""
    seconds = {} if seconds is None else seconds
    begin = time.perf_counter()
    done: list[Translated] = []
    wrong: list[Mismatch] = []
    for number, case in enumerate(cases):
        try:
            done.append(translate(case, f"differential_{case.seed if case.seed is not None else number}"))
        except Exception as error:
            wrong.append(Mismatch("translate", case, f"{type(error).__name__}: {error}"))
    counts = {"interpreter": len(done)}
    seconds["interpreter"] = time.perf_counter() - begin
    for name, run in engines.items():
        begin = time.perf_counter()
        outcomes = run(done)
        seconds[name] = time.perf_counter() - begin
        counts[name] = sum(outcome is not None for outcome in outcomes)
        for one, outcome in zip(done, outcomes, strict=True):
            if outcome is None:
                continue
            found = outcome if isinstance(outcome, str) else compare_with(name, one, outcome)
            if found:
                wrong.append(Mismatch(name, one.case, found, one.program))
    return done, wrong, counts


def compare_with(engine: str, one: Translated, outcome: Outcome) -> str:
    """As the engine may be compared: the reference knows no lines, nor what lies behind the length of a Vec."""
    from .engines import ULPS, tidied

    ulps = ULPS.get(engine, 0) if one.case.transcendental else 0
    if engine == "reference":
        return difference(tidied(one, one.expected), tidied(one, outcome), one.floats, ulps)
    return difference(one.expected, outcome, one.floats, ulps)
