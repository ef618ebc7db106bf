"""The ways to run a program: machine code by LLVM, bytecode, Python under a debugger, or machine code of a GPU."""

from __future__ import annotations

import ast
import importlib.util
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import InvalidArgumentError, UnsupportedError, UnsupportedOnTargetError
from . import ir
from .verify import verify
from .walk import expressions

if TYPE_CHECKING:
    from ..compiled import CompiledHandler
    from ..devices import CudaDevice

log = logging.getLogger("pyringkernel")

ENGINES = ("auto", "cuda", "llvm", "vm", "python")
LONGEST_RUN = 64  # messages a call, where each takes microseconds at most
BRIEF_STEPS = 4096  # operations of a message that counts as brief: some ten microseconds as bytecode


@dataclass(frozen=True)
class Engine:
    """`entries`: address of the rk_run function and of its program, for each accepted class; `keep`: what they are in.
    `callable`: what a Python handler calls instead."""

    name: str
    entries: tuple[tuple[int, int], ...] = ()
    keep: Any = None
    callable: Any = None


def has_llvm() -> bool:
    """Is llvmlite installed? Not imported."""
    return importlib.util.find_spec("llvmlite") is not None


def choose(name: str) -> str:
    """The engine of the CPU behind a name. Raises InvalidArgumentError, UnsupportedError."""
    if name not in ENGINES:
        raise InvalidArgumentError(f"engine: found {name!r}, need one of {', '.join(ENGINES)}")
    if name == "auto":
        return "llvm" if has_llvm() else "vm"
    if name == "cuda":
        raise UnsupportedError("engine='cuda' needs a GPU: launch it in a Runtime(backend='cuda'), or take 'auto'")
    if name == "llvm" and not has_llvm():
        raise UnsupportedError("engine='llvm' needs llvmlite: pip install 'pyringkernel[jit]', or take 'auto' or 'vm'")
    return name


def make(handler: CompiledHandler[Any, Any], name: str) -> Engine:
    """Compiles. `name`: from choose()."""
    program = handler.program
    verify(program)
    if name == "python":
        from .debugging import DebugHandler

        return Engine(name, callable=DebugHandler(program, handler.accepts, assertions_of(handler)))
    if name == "vm":
        from .bytecode import encode

        loaded = _core.VmProgram(encode(program))
        return Engine(name, tuple(loaded.entries), loaded)
    from .llvm import compile_native

    native = compile_native(program)
    log.debug("compiled %r in %.1f ms%s", program.name, native.compile_ms, ", cached" if native.from_cache else "")
    return Engine(name, tuple(native.entries), native)


def make_for_cuda(handler: CompiledHandler[Any, Any], device: CudaDevice) -> Engine:
    """Compiles for a GPU. Raises UnsupportedOnTargetError, DeviceCompileError, NvrtcError."""
    from .cuda import compile_device

    program = handler.program
    try:
        _check_fits(program, device)
        made = compile_device(program, device.compiler, device.core.compute_capability)
    except UnsupportedOnTargetError as error:
        raise UnsupportedOnTargetError(f"{error}; launch(..., engine='llvm') runs it on the CPU") from None
    log.debug("compiled %r for %s in %.1f ms%s", program.name, made.arch, made.compile_ms, ", cached" * made.from_cache)
    return Engine("cuda", keep=made)


def _check_fits(program: ir.Program, device: CudaDevice) -> None:
    from .cuda.text import MOST_SHARED

    core = device.core
    for what, needed, there in (
        ("threads in a block (block_size)", program.block_size, core.max_threads_per_block),
        ("bytes of shared memory in a block", program.shared_size, min(core.max_shared_per_block, MOST_SHARED)),
    ):
        if needed > there:
            raise UnsupportedOnTargetError(
                f"handler {program.name!r} cannot run on {device.facts}: it needs {needed} {what}, there are {there}"
            )


def source(program: ir.Program, target: str) -> str:
    """The text of a program for a target. Raises InvalidArgumentError, UnsupportedOnTargetError, UnsupportedError."""
    if target == "ir":
        from .printer import to_text

        return to_text(program)
    if target == "bytecode":
        from .bytecode import disassemble, encode

        return disassemble(encode(program))
    if target == "llvm":
        choose("llvm")
        from .llvm import to_llvm

        return to_llvm(program)
    from .emit.targets import TARGETS, emit

    if target not in TARGETS:
        need = ", ".join(["ir", "bytecode", "llvm", *TARGETS])
        raise InvalidArgumentError(f"target: found {target!r}, need one of {need}")
    return emit(program, target)


def is_brief(program: ir.Program) -> bool:
    """True when no message takes more than BRIEF_STEPS operations: messages can then be handled in runs."""
    costs: dict[str, float] = {}
    for function in program.functions:
        costs[function.name] = _cost(function.body, costs)
    return all(_cost(entry.function.body, costs) + entry.size / 64 <= BRIEF_STEPS for entry in program.entries)


def _cost(body: ir.Body, costs: dict[str, float]) -> float:
    """Statements and expressions that are executed, at most; copies count for each 64 bytes."""
    total = 0.0
    for statement in body:
        total += 1 + sum(1 for _ in expressions(statement))
        if isinstance(statement, ir.Loop):
            return float("inf")
        if isinstance(statement, ir.For):
            count = statement.count.value if isinstance(statement.count, ir.Const) else float("inf")
            total += count * (1 + _cost(statement.body, costs)) if count else 0
        elif isinstance(statement, ir.If):
            total += max(_cost(statement.then, costs), _cost(statement.otherwise, costs))
        elif isinstance(statement, ir.Call):
            total += costs[statement.function]
        elif isinstance(statement, ir.Copy | ir.Zero):
            total += statement.size / 64
    return total


def assertions_of(handler: CompiledHandler[Any, Any]) -> dict[int, str]:
    """The texts of a handler's assert statements, by line."""
    from .source import FunctionSource

    found: dict[int, str] = {}
    for node in ast.walk(FunctionSource(handler.__wrapped__).node):
        if isinstance(node, ast.Assert) and isinstance(node.msg, ast.Constant) and isinstance(node.msg.value, str):
            found[node.lineno] = node.msg.value
    return found


def launch_code(handler: CompiledHandler[Any, Any], engine: Engine) -> dict[str, Any]:
    """What the core's launch() is told of compiled code; sizes in bytes."""
    program = handler.program
    return {
        "entries": list(engine.entries),
        "frame": program.frame_size,
        "shared": program.shared_size,
        "message": max((e.size for e in program.entries if e.writes_message), default=0),
        "targets": list(program.targets),
        "topics": list(program.topics),
        "file": program.entries[0].function.file,
        "assertions": assertions_of(handler),
        "longest_run": LONGEST_RUN if is_brief(program) else 1,
    }


def device_code(handler: CompiledHandler[Any, Any], engine: Engine) -> dict[str, Any]:
    """What the core's launch() is told of code for a GPU; sizes in bytes."""
    program = handler.program
    return {
        "image": engine.keep.image,
        "arch": engine.keep.arch,
        "block_size": program.block_size,
        "shared": 0,  # what the handler has is in the image
        "message": max((e.size for e in program.entries if e.writes_message), default=0),
        "targets": list(program.targets),
        "topics": list(program.topics),
        "file": program.entries[0].function.file,
        "assertions": assertions_of(handler),
    }
