"""Random programs do the same in every engine, and what the text says. RK_SEED: the first seed; see scripts/differential
for longer runs."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from typing import Any

import hypothesis
import pytest
from harness import Outcome, run_interpreter
from hypothesis import strategies as st

from pyringkernel.compiler import ir

from .chooser import DrawChooser, RandomChooser
from .engines import available, each, some
from .expressions import plain
from .generate import generate, make
from .ir_coverage import everything, used
from .ir_programs import generate_ir
from .reduce import reduce
from .runner import INSTANCE, KERNEL, Translated, check
from .scope import Options

SEED = int(os.environ.get("RK_SEED", "1"))
PROGRAMS, BATCH, IR_PROGRAMS = 300, 60, 90
SLOW = {"wgsl": 12, "wgsl64": 6}  # takes one of so many programs

# What random programs do not come to: buffers are in test_buffer_handlers.py.
SELDOM: frozenset[str] = frozenset(["Root.BUFFER"])


@functools.cache
def compared(first: int, count: int) -> tuple[list[Translated], list[str]]:
    """Programs of these seeds, and reports of mismatches."""
    engines = {name: some(run, SLOW.get(name, 1)) for name, run in available().items()}
    done, wrong, _ = check([generate(seed) for seed in range(first, first + count)], engines)
    return done, [one.report() for one in wrong]


@pytest.mark.parametrize("first", range(SEED, SEED + PROGRAMS, BATCH))
def test_all_engines_do_what_the_interpreter_does(first: int) -> None:
    _, reports = compared(first, BATCH)
    assert not reports, "\n\n".join([f"{len(reports)} mismatches", *reports[:3]])


def test_the_programs_use_all_of_the_language() -> None:
    counts: Counter[str] = Counter()
    for first in range(1, 1 + PROGRAMS, BATCH):
        for one in (
            compared(first, BATCH)[0] if SEED == 1 else check([generate(n) for n in range(first, first + BATCH)], {})[0]
        ):
            counts += used(one.program)
    assert sorted(everything() - SELDOM - counts.keys()) == []


def test_engines_do_the_same_with_programs_that_no_front_end_makes() -> None:
    engines = {name: some(run, SLOW.get(name, 1)) for name, run in available().items()}
    _, wrong, _ = check([generate_ir(seed) for seed in range(SEED, SEED + IR_PROGRAMS)], engines)
    assert not wrong, "\n\n".join([f"{len(wrong)} mismatches", wrong[0].report()])


def swapped(node: Any) -> Any:
    """With subtraction in place of addition."""
    if isinstance(node, tuple):
        return tuple(swapped(one) for one in node)
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return ir.BinaryOp.SUB if node is ir.BinaryOp.ADD else node
    return type(node)(**{field.name: swapped(getattr(node, field.name)) for field in dataclasses.fields(node)})


def wrong_engine(one: Translated) -> Outcome:
    """The interpreter, which cannot add."""
    state, script = one.case.state, one.case.script
    program = swapped(one.program)
    return run_interpreter(
        program, one.messages, state=state, script=script, fuel=1000, kernel=KERNEL, instance=INSTANCE
    )


def test_an_engine_that_cannot_add_is_found_and_the_program_reduced() -> None:
    engines = {"wrong": each(wrong_engine)}
    _, wrong, _ = check([generate(seed) for seed in range(1, 41)], engines)
    assert len(wrong) >= 5
    case = min((one.case for one in wrong), key=lambda one: len(one.source))
    small = reduce(case, lambda smaller: any(found.engine == "wrong" for found in check([smaller], engines)[1]), 60)
    assert len(small.source) < len(case.source)
    assert "+" in small.source or "for" in small.source or "append" in small.source


@hypothesis.given(st.data())
@hypothesis.settings(  # no shrinking: it takes minutes, and scripts/differential reduces
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck)
)
def test_small_programs_do_the_same_everywhere(data: st.DataObject) -> None:
    case = make(DrawChooser(data.draw), Options(lines=6))
    quick = {name: run for name, run in available().items() if name in ("reference", "python", "vm", "llvm")}
    _, wrong, _ = check([case], quick)
    assert not wrong, wrong[0].report()


def test_a_seed_makes_one_program() -> None:
    assert generate(7) == generate(7)
    assert generate(7).source != generate(8).source


def test_marks_are_taken_away() -> None:
    assert plain("(x + «u8|5») * «f32|(-1.5 if «bool|True» else y)»") == "(x + 5) * (-1.5 if True else y)"
    assert "«" not in make(RandomChooser(1), Options()).source
