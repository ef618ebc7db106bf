"""What a function asks the runtime for, and what it does with other threads, of which there are none here."""

from __future__ import annotations

from ..ir import Atomic, AtomicOp, CallService, Publish, Reply, Send, Service, Type, Warp, WarpOp
from . import exprs as at
from .stmts import Lowering, register
from .text import TYPES

# Offsets in rk_services of ringkernel/compiled.h.
_REPLY, _SEND, _PUBLISH = 0, 8, 16
_SERVICES = {
    Service.NOW: (24, "i64"),
    Service.TICK: (32, "i64"),
    Service.UPDATE_CLOCK: (40, "i32"),
    Service.PENDING: (48, "i64"),
    Service.FREE_SLOTS: (56, "i64"),
    Service.REQUEST_TERMINATION: (64, "void"),
    Service.IS_TERMINATING: (72, "i32"),
}
_ANY_INSTANCE = _DEFAULT_PRIORITY = "-1"


def _ask(s: Lowering, offset: int, result: str, *arguments: str) -> str:
    """Calls a service; gives what it gave."""
    pointer = s.call_field(at.SERVICES)
    table = s.w.fixed("services", f"load ptr, ptr {pointer}, align 8, !invariant.load !0")
    field = s.w.fixed(f"services.{offset}", f"getelementptr inbounds i8, ptr {table}, i64 {offset}")
    function = s.w.value(f"load ptr, ptr {field}, align 8, !invariant.load !0")
    call = f"call {result} {function}({', '.join(['ptr %call', *arguments])})"
    if result != "void":
        return s.w.value(call)
    s.w.effect(call)
    return ""


def _accepted(s: Lowering, refused: str, line: int) -> None:
    """Goes on when `refused` is 0. Else the service has said why the message fails, and the function returns."""
    fails, goes_on = s.w.label("refused"), s.w.label("accepted")
    s.w.branch(s.w.value(f"icmp ne i32 {refused}, 0"), fails, goes_on, rare=True)
    s.w.begin(fails)
    s.store_call(at.FAIL_LINE, line)
    s.leave(s.nothing())
    s.w.begin(goes_on)


def _reply(s: Lowering, stmt: Reply) -> None:
    payload = s.address(stmt.payload)
    refused = _ask(s, _REPLY, "i32", _u32(stmt.type_id), f"ptr {payload}", f"i32 {stmt.size}")
    _accepted(s, refused, stmt.line)


def _send(s: Lowering, stmt: Send) -> None:
    payload = s.address(stmt.payload)
    instance = _ANY_INSTANCE if stmt.instance is None else s.value(stmt.instance)
    priority = _DEFAULT_PRIORITY
    if stmt.priority is not None:  # 0xFFFFFFFF would mean another thing
        priority = s.w.intrinsic("llvm.umin.i32", "i32", ("i32", s.value(stmt.priority)), ("i32", "3"))
    deadline = "0.0" if stmt.deadline is None else s.value(stmt.deadline)
    message = _u32(stmt.type_id), f"ptr {payload}", f"i32 {stmt.size}"
    how = f"i32 {instance}", f"i32 {priority}", f"double {deadline}"
    refused = _ask(s, _SEND, "i32", f"i32 {stmt.target}", *message, *how)
    _accepted(s, refused, stmt.line)


def _publish(s: Lowering, stmt: Publish) -> None:
    payload = s.address(stmt.payload)
    message = _u32(stmt.type_id), f"ptr {payload}", f"i32 {stmt.size}"
    s.set(stmt.target, _ask(s, _PUBLISH, "i32", f"i32 {stmt.topic}", *message, f"i32 {int(stmt.retain)}"))


def _u32(value: int) -> str:
    return f"i32 {value - (1 << 32) if value >= 1 << 31 else value}"


def _call_service(s: Lowering, stmt: CallService) -> None:
    offset, result = _SERVICES[stmt.service]
    value = _ask(s, offset, result, *map(s.typed, stmt.arguments))
    if stmt.service.result is Type.BOOL:
        value = s.w.value(f"icmp ne i32 {value}, 0")
    if value:
        s.set(stmt.target, value)


_ATOMICS = {
    AtomicOp.ADD: "add", AtomicOp.SUB: "sub", AtomicOp.AND: "and", AtomicOp.OR: "or", AtomicOp.XOR: "xor",
    AtomicOp.EXCHANGE: "xchg",
}  # fmt: skip


def _atomic(s: Lowering, stmt: Atomic) -> None:
    pointer, value = s.address(stmt.place), s.value(stmt.value)
    text, size = TYPES[stmt.type], stmt.type.size
    if stmt.expected is not None and stmt.op is AtomicOp.CAS:
        both = f"{text} {s.value(stmt.expected)}, {text} {value}"
        pair = s.w.value(f"cmpxchg ptr {pointer}, {both} monotonic monotonic, align {size}")
        s.set(stmt.target, s.w.value(f"extractvalue {{{text}, i1}} {pair}, 0"))
        return
    name = _ATOMICS.get(stmt.op) or ("" if stmt.type.is_signed else "u") + stmt.op.value
    s.set(stmt.target, s.w.value(f"atomicrmw {name} ptr {pointer}, {text} {value} monotonic, align {size}"))


def _warp(s: Lowering, stmt: Warp) -> None:
    """Of a warp of one lane."""
    value = s.value(stmt.value)
    s.set(stmt.target, s.w.value(f"zext i1 {value} to i64") if stmt.op is WarpOp.BALLOT else value)


register(Reply, _reply)
register(Send, _send)
register(Publish, _publish)
register(CallService, _call_service)
register(Atomic, _atomic)
register(Warp, _warp)
