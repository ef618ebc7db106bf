"""The engines that programs are compared in, each by its name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness import Outcome, run_native, run_python

from pyringkernel.errors import UnsupportedOnTargetError

from .runner import INSTANCE, KERNEL, Runs, Translated
from .typed_memory import tidy

ULPS = {"reference": 4, "vm": 4, "llvm": 4, "cuda": 4, "msl": 4, "wgsl": 4, "wgsl64": 4}  # of programs that ask for it


def tidied(one: Translated, outcome: Outcome) -> Outcome:
    """Without lines, and without bytes that have no meaning."""
    specs = {one.types[spec.name]: spec for spec in one.case.classes if spec.name != "S"}
    reports = [replace(report, fail_line=0, error_line=0) for report in outcome.reports]
    effects = [
        (e[0], e[1], tidy(specs[e[1]], e[2]), *e[3:]) if e[0] in ("reply", "send", "publish") else e
        for e in outcome.effects
    ]
    state = next((spec for spec in one.case.classes if spec.name == "S"), None)
    return Outcome(tidy(state, outcome.state) if state else outcome.state, effects, reports)


def each(run: Callable[[Translated], Outcome | str | None]) -> Runs:
    """An engine that takes one program at a time. What it raises is told as a mismatch."""

    def all_of(programs: Sequence[Translated]) -> list[Outcome | str | None]:
        outcomes: list[Outcome | str | None] = []
        for one in programs:
            try:
                outcomes.append(run(one))
            except UnsupportedOnTargetError:
                outcomes.append(None)
            except Exception as error:
                outcomes.append(f"{type(error).__name__}: {error}")
        return outcomes

    return all_of


def reference(one: Translated) -> Outcome | None:
    """The source text as plain Python."""
    from .reference import run_reference

    return None if one.case.program is not None else run_reference(one.case, one.program, one.types)


def python(one: Translated) -> Outcome:
    """compiler/pyengine.py"""
    return run_python(
        one.program, one.messages, state=one.case.state, script=one.case.script, kernel=KERNEL, instance=INSTANCE
    )


def native(one: Translated, entries: Sequence[tuple[int, Any]]) -> Outcome:
    """Runs rk_run functions."""
    return run_native(
        entries,
        one.program,
        one.messages,
        state=one.case.state,
        script=one.case.script,
        kernel=KERNEL,
        instance=INSTANCE,
        cancel_after=PATIENCE,
    )


def vm(one: Translated) -> Outcome:
    """compiler/bytecode.py and the machine in C++"""
    from pyringkernel import _core
    from pyringkernel.compiler.bytecode import encode

    loaded = _core.VmProgram(encode(one.program))
    return native(one, loaded.entries)


def llvm(one: Translated) -> Outcome:
    """compiler/llvm.py"""
    from pyringkernel.compiler.llvm import compile_native

    made = compile_native(one.program, cache=False)
    return native(one, made.entries)


PATIENCE = 20.0  # seconds until a program is cancelled: one that does not end is a mismatch, too
BATCH = 30  # programs in one translation unit


def available() -> dict[str, Runs]:
    """Those that this machine can run."""
    import toolchains
    import wgsl_runner

    lacking = set() if importlib.util.find_spec("llvmlite") else {"llvm"}
    if toolchains.gcc is None and toolchains.clang is None:
        lacking |= {"cuda", "msl"}
    if wgsl_runner.device() is None:
        lacking |= {"wgsl", "wgsl64"}
    return {name: run for name, run in ENGINES.items() if name not in lacking}


def some(run: Runs, one_of: int) -> Runs:
    """An engine that takes one of so many programs."""

    def all_of(programs: Sequence[Translated]) -> list[Outcome | str | None]:
        outcomes: list[Outcome | str | None] = [None] * len(programs)
        outcomes[::one_of] = run(programs[::one_of])
        return outcomes

    return all_of


def host(dialect: str) -> Runs:
    """The text for a GPU as C++ of this machine, many programs with each call of the compiler."""

    def all_of(programs: Sequence[Translated]) -> list[Outcome | str | None]:
        outcomes: list[Outcome | str | None] = [None] * len(programs)
        able = [n for n, one in enumerate(programs) if _is_able(one, dialect)]
        for at in range(0, len(able), BATCH):
            for n, result in _build_and_run(programs, able[at : at + BATCH], dialect):
                outcomes[n] = result
        return outcomes

    return all_of


def _is_able(one: Translated, dialect: str) -> bool:
    from pyringkernel.compiler.emit.targets import refuse

    try:
        refuse(one.program, dialect)
    except UnsupportedOnTargetError:
        return False
    return True


def _build_and_run(
    programs: Sequence[Translated], numbers: list[int], dialect: str
) -> Iterator[tuple[int, Outcome | str]]:
    """Halves what does not compile until it is one program."""
    from toolchains import build_host

    try:
        built = build_host([programs[n].program for n in numbers], dialect, options=("-O0", "-ffp-contract=off", "-w"))
    except Exception as error:
        if len(numbers) == 1:
            yield numbers[0], f"{type(error).__name__}: {error}"
            return
        half = len(numbers) // 2
        yield from _build_and_run(programs, numbers[:half], dialect)
        yield from _build_and_run(programs, numbers[half:], dialect)
        return
    for n, entries in zip(numbers, built, strict=True):
        one = programs[n]
        try:
            yield n, native(one, entries)
        except Exception as error:
            yield n, f"{type(error).__name__}: {error}"


def wgsl(all_features: bool) -> Runs:
    """On an adapter of this machine, against the interpreter with a device's services. Emulates what WGSL lacks, or
    uses all that the adapter has."""

    def run(one: Translated) -> str | None:
        import wgsl_runner

        device = wgsl_runner.device()
        if device is None:
            return None
        case = wgsl_runner.Case(one.messages, one.case.state)
        ulps = ULPS["wgsl"] if one.case.transcendental else 0
        options = device.options if all_features else {}
        try:
            found = wgsl_runner.compare(one.program, [case], one.floats, ulps, **options)
        finally:
            device._pipelines.clear()  # each program is run once
            device._modules.clear()
        return found[0] if found else ""

    return each(run)


ENGINES: dict[str, Runs] = {
    **{name: each(run) for name, run in (("reference", reference), ("python", python), ("vm", vm), ("llvm", llvm))},
    "cuda": host("cuda"),
    "msl": host("msl"),
    "wgsl": wgsl(all_features=False),
    "wgsl64": wgsl(all_features=True),
}
