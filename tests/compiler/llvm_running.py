"""Runs programs as machine code made by LLVM, and against the interpreter."""

from __future__ import annotations

from typing import Any

from harness import assert_same, run_interpreter, run_native

from pyringkernel.compiler import ir, llvm


def build(made: ir.Program, target: llvm.Target | None = None) -> llvm.NativeProgram:
    return llvm.compile_native(made, cache=False, target=target)


def plain_target() -> llvm.Target:
    """A CPU of this architecture with the least that it can have."""
    host = llvm.host_target()
    cpu = "x86-64" if host.triple.startswith("x86_64") else "generic"
    return llvm.Target(host.triple, cpu, "")


def run(made: ir.Program, messages: list[tuple[int, bytes]], target: llvm.Target | None = None, **given: Any) -> Any:
    native = build(made, target)  # its code lives as long as it does
    return run_native(native.entries, made, messages, **given)


def agree(made: ir.Program, messages: list[tuple[int, bytes]], **given: Any) -> Any:
    """The outcome, after the interpreter has said the same."""
    floats, ulps = given.pop("floats", None), given.pop("ulps", 0)
    got = run(made, messages, **given)
    given.pop("batch", None)
    assert_same(run_interpreter(made, messages, **given), got, floats=floats, ulps=ulps)
    return got
