"""A program as the text of an LLVM module: an exported rk_run function (ringkernel/compiled.h) for each entry."""

from __future__ import annotations

from ..ir import Body, Call, Entry, For, Function, If, Loop, Program
from . import exprs as at
from . import loops as llvm_loops
from . import services as llvm_services
from .facts import weight
from .stmts import Callee, Lowering, zero_bytes
from .text import ROOTS, TYPES, Module, Writer, identifier

__all__ = ["module_text", "run_symbol"]

_MODULES = (llvm_loops, llvm_services)  # they teach llvm_stmts their statements

STACK_BYTES = 4096  # frames up to this size are on the stack, where LLVM can make values of what is in them
INLINE_WEIGHT = 64  # functions of less work than this are inlined wherever they are called

# Roots never overlap, and nobody else touches them during a call but through pointers that are passed on: so the state
# may stay in registers over many messages.
_ROOT_PARAMETERS = ", ".join(f"ptr noalias {name}" for name in ROOTS.values())


def run_symbol(index: int) -> str:
    """The name of an entry's function."""
    return f"rk_run_{index}"


def module_text(program: Program, *, native_half: bool) -> str:
    """The module. `native_half`: the CPU converts f16 itself."""
    module = Module(native_half, "references" in program.features)
    callees: dict[str, Callee] = {}
    calls = _count_calls(program)
    for index, function in enumerate(program.functions):
        symbol = f'@"{identifier(index, function.name)}"'
        _write_function(module, symbol, function, callees, calls.get(function.name, 0))
        work = weight(function.body, {name: callee.weight for name, callee in callees.items()})
        callees[function.name] = Callee(symbol, function.result, work)
    for index, entry in enumerate(program.entries):
        _write_loop(module, program, index, entry, callees)
        module.functions.append(_run_text(index))
    return module.text()


def _count_calls(program: Program) -> dict[str, int]:
    counts: dict[str, int] = {}

    def walk(body: Body) -> None:
        for stmt in body:
            if isinstance(stmt, Call):
                counts[stmt.function] = counts.get(stmt.function, 0) + 1
            elif isinstance(stmt, If):
                walk(stmt.then)
                walk(stmt.otherwise)
            elif isinstance(stmt, (For, Loop)):
                walk(stmt.body)

    for function in (*program.functions, *(entry.function for entry in program.entries)):
        walk(function.body)
    return counts


def _write_function(module: Module, symbol: str, function: Function, callees: dict[str, Callee], calls: int) -> None:
    w = Writer(module)
    result = "void" if function.result is None else TYPES[function.result]

    def leave(value: str) -> None:
        w.end("ret void" if function.result is None else f"ret {result} {value}")

    body = Lowering(w, function, callees, leave)
    w.begin("begin")
    names = [f"%argument.{index}" for index in range(len(function.parameters))]
    for name, local in zip(names, function.parameters, strict=True):
        w.effect(f"store {TYPES[local.type]} {name}, ptr {body.locals[local.name]}")
    body.run()
    arguments = (f"{TYPES[local.type]} {name}" for name, local in zip(names, function.parameters, strict=True))
    parameters = ", ".join(["ptr noalias %call", _ROOT_PARAMETERS, *arguments])
    work = weight(function.body, {name: callee.weight for name, callee in callees.items()})
    inline = " alwaysinline" if calls == 1 or (work is not None and work <= INLINE_WEIGHT) else ""
    module.functions.append(w.function(f"define internal fastcc {result} {symbol}({parameters}) nounwind{inline}"))


def _write_loop(module: Module, program: Program, index: int, entry: Entry, callees: dict[str, Callee]) -> None:
    """The loop over messages, as a function of its own: only parameters can be said not to overlap."""
    w = Writer(module)
    body = Lowering(w, entry.function, callees, lambda _: w.jump("handled"))
    number = w.variable("number", "i32")
    if 0 < program.frame_size <= STACK_BYTES:
        w.fixed("frame", f"alloca [{program.frame_size} x i8], align 64")
    w.begin("begin")
    w.effect(f"store i32 0, ptr {number}")
    w.branch(w.value("icmp eq i32 %count, 0"), "end", "message.begin", rare=True)
    w.begin("message.begin")
    _begin_message(body, program, entry, number)
    body.run()
    w.begin("handled")
    following = w.value(f"add nuw i32 {w.value(f'load i32, ptr {number}')}, 1")
    w.effect(f"store i32 {following}, ptr {number}")
    reasons = [
        w.value(f"load i32, ptr {body.call_field(field)}, align 4") for field in (at.FAILED, at.ERRORS, at.LEAVE)
    ]
    some = w.value(f"or i32 {w.value(f'or i32 {reasons[0]}, {reasons[1]}')}, {reasons[2]}")
    over = w.value(f"icmp eq i32 {following}, %count")
    w.branch(w.value(f"or i1 {over}, {w.value(f'icmp ne i32 {some}, 0')}"), "end", "message.begin")
    w.begin("end")
    w.end(f"ret i32 {w.value(f'load i32, ptr {number}')}")
    frame = "%frame.memory" if 0 < program.frame_size <= STACK_BYTES else "%frame"
    parameters = (
        "ptr noalias align 8 dereferenceable(96) %call, ptr noalias align 64 %state, ptr noalias align 8 readonly %first, "
        f"i64 %stride, i32 %count, ptr noalias align 64 {'%message' if entry.writes_message else '%copy'}, "
        f"ptr noalias align 64 {frame}, ptr noalias align 64 %shared"
    )
    module.functions.append(w.function(f"define internal i32 @loop_{index}({parameters}) nounwind noinline"))


def _begin_message(body: Lowering, program: Program, entry: Entry, number: str) -> None:
    w = body.w
    turn = w.value(f"zext i32 {w.value(f'load i32, ptr {number}')} to i64")
    distance = w.value(f"mul nuw i64 {turn}, %stride")
    w.effect(f"%header = getelementptr inbounds i8, ptr %first, i64 {distance}")
    w.effect(f"store ptr %header, ptr {body.call_field(at.SLOT)}, align 8")
    body.store_call(at.FAILED, 0)
    if entry.writes_message:
        payload = w.value(f"getelementptr inbounds i8, ptr %header, i64 {at.HEADER_SIZE}")
        pointers = ("ptr align 8", "%message"), ("ptr align 8", payload)
        w.intrinsic("llvm.memcpy.p0.p0.i64", "void", *pointers, ("i64", str(entry.size)), ("i1", "false"))
    else:
        w.effect(f"%message = getelementptr inbounds i8, ptr %header, i64 {at.HEADER_SIZE}")
    if program.shared_size:
        zero_bytes(w, "%shared", program.shared_size)


def _run_text(index: int) -> str:
    loads = {"state": at.STATE, "message": at.MESSAGE, "frame": at.FRAME, "shared": at.SHARED}
    lines = [
        f"define i32 @{run_symbol(index)}(ptr %program, ptr %call, ptr %first, i64 %stride, i32 %count) nounwind {{"
    ]
    for name, offset in loads.items():
        lines.append(f"  %{name}.field = getelementptr inbounds i8, ptr %call, i64 {offset}")
        lines.append(f"  %{name} = load ptr, ptr %{name}.field, align 8")
    arguments = "ptr %call, ptr %state, ptr %first, i64 %stride, i32 %count, ptr %message, ptr %frame, ptr %shared"
    lines.append(f"  %handled = call i32 @loop_{index}({arguments})")
    return "\n".join([*lines, "  ret i32 %handled", "}\n"])
