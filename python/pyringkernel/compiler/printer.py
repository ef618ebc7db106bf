"""The text of a program: for people, for tests, and for the keys of caches. Programs with the same text behave alike, to
the line of an error; where their source lies is not in it.

       11 | entry writes Scale 0x5d0c1a2b 16 bytes: def scale():
          |     local i: i32
       12 |     for i in 0i32 step 1i32 count 4u32:
       13 |         f32[message + u32(i) * 4] = (f32[message + u32(i) * 4] * f32[state + 0])
"""

from __future__ import annotations

import keyword
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import ir
from .ir import BinaryOp, CompareOp, Type, UnaryOp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ir import Body, Entry, Expr, Function, Place, Program

_INFIX: dict[BinaryOp | CompareOp, str] = {
    BinaryOp.ADD: "+",
    BinaryOp.SUB: "-",
    BinaryOp.MUL: "*",
    BinaryOp.FLOORDIV: "//",
    BinaryOp.MOD: "%",
    BinaryOp.TRUEDIV: "/",
    BinaryOp.AND: "&",
    BinaryOp.OR: "|",
    BinaryOp.XOR: "^",
    BinaryOp.SHL: "<<",
    BinaryOp.SHR: ">>",
    BinaryOp.POW: "**",
    CompareOp.EQ: "==",
    CompareOp.NE: "!=",
    CompareOp.LT: "<",
    CompareOp.LE: "<=",
    CompareOp.GT: ">",
    CompareOp.GE: ">=",
}
_PREFIX = {UnaryOp.NEG: "-", UnaryOp.INVERT: "~", UnaryOp.NOT: "not "}
_TAB = "    "


def to_text(program: Program) -> str:
    """The whole program, of which every part that has a meaning is in the text."""
    return "\n".join(_program(program)) + "\n"


def _program(program: Program) -> Iterator[str]:
    yield f"program {_name(program.name)} version {ir.IR_VERSION}"
    yield f"state {program.state_size} frame {program.frame_size} shared {program.shared_size} bytes"
    yield f"block {program.block_size} {'checked' if program.checked else 'unchecked'}"
    yield f"features {' '.join(sorted(program.features))}".rstrip()
    for title, names in (("target", program.targets), ("topic", program.topics)):
        for index, name in enumerate(names):
            yield f"{title} {index} {name!r}"
    for type_id, size in program.replies:
        yield f"reply 0x{type_id:08x} {size} bytes"
    for function in program.functions:
        yield ""
        yield from _function(function, _signature(function))
    for entry in program.entries:
        yield ""
        for one in entry.references:
            access = "writes" if one.writes else "reads"
            yield f"reference {one.name!r} + {one.offset}: {access} {one.type.text}"
        yield from _function(entry.function, _entry(entry))


def _entry(entry: Entry) -> str:
    access = "writes" if entry.writes_message else "reads"
    message = f"{access} {_name(entry.message)} 0x{entry.type_id:08x} {entry.size} bytes"
    return f"entry {message}: {_signature(entry.function)}"


def _signature(function: Function) -> str:
    parameters = ", ".join(f"{_name(local.name)}: {local.type.text}" for local in function.parameters)
    result = "" if function.result is None else f" -> {function.result.text}"
    return f"def {_name(function.name)}({parameters}){result}{' may fail' if function.may_fail else ''}"


def _function(function: Function, signature: str) -> Iterator[str]:
    yield f"{function.line:5} | {signature}:"
    for local in function.locals:
        yield f"      | {_TAB}local {_name(local.name)}: {local.type.text}"
    yield from _body(function.body, 1)


def _body(body: Body, depth: int) -> Iterator[str]:
    for stmt in body:
        yield f"{stmt.line:5} | {_TAB * depth}{_STATEMENTS[type(stmt)](stmt)}"
        if isinstance(stmt, (ir.If, ir.Loop, ir.For)):
            yield from _body(stmt.then if isinstance(stmt, ir.If) else stmt.body, depth + 1)
            if isinstance(stmt, ir.If) and stmt.otherwise:
                yield f"      | {_TAB * depth}else:"
                yield from _body(stmt.otherwise, depth + 1)


def _name(name: str) -> str:
    return name if name.isidentifier() and not keyword.iskeyword(name) else repr(name)


# -- expressions ------------------------------------------------------------------------------------------------------


def expression(node: Expr) -> str:
    """The text of an expression."""
    return _EXPRESSIONS[type(node)](node)


def _constant(node: ir.Const) -> str:
    if node.type is Type.BOOL:
        return "True" if node.value else "False"
    if node.value != node.value:  # repr has one text for all NaNs
        return f"nan:{struct.pack('>d', node.value).hex()}{node.type.text}"
    return f"{int(node.value) if node.type.is_integer else node.value!r}{node.type.text}"  # int: of an ErrorCode


def _place(place: Place) -> str:
    text = place.root.value if place.base is None else f"{place.root.value} {_name(place.base.name)}"
    if place.offset or not place.terms:
        text += f" + {place.offset}"
    for term in place.terms:
        text += f" + {expression(term.index)} * {term.stride}"
    return text


def _unary(node: ir.Unary) -> str:
    operand = expression(node.operand)
    return f"({_PREFIX[node.op]}{operand})" if node.op in _PREFIX else f"{node.op.value}({operand})"


def _pair(node: ir.Binary | ir.Compare) -> str:
    left, right = expression(node.left), expression(node.right)
    return f"({left} {_INFIX[node.op]} {right})" if node.op in _INFIX else f"{node.op.value}({left}, {right})"


def _trip_count(node: ir.TripCount) -> str:
    parts = ", ".join(expression(part) for part in (node.start, node.stop, node.step))
    return f"trip_count.{node.type.text}({parts})"


def _select(node: ir.Select) -> str:
    return f"({expression(node.then)} if {expression(node.condition)} else {expression(node.otherwise)})"


_EXPRESSIONS: dict[type[Any], Callable[[Any], str]] = {
    ir.Const: _constant,
    ir.Local: lambda node: _name(node.name),
    ir.Load: lambda node: f"{node.type.text}[{_place(node.place)}]",
    ir.Unary: _unary,
    ir.Test: lambda node: f"{node.op.value}({expression(node.operand)})",
    ir.Binary: _pair,
    ir.Compare: _pair,
    ir.Select: _select,
    ir.Cast: lambda node: f"{node.type.text}({expression(node.operand)})",
    ir.Bitcast: lambda node: f"bits.{node.type.text}({expression(node.operand)})",
    ir.TripCount: _trip_count,
    ir.Query: lambda node: f"ctx.{node.name.value}",
}


# -- statements -------------------------------------------------------------------------------------------------------


def _to(target: ir.Local | None) -> str:
    return "" if target is None else f"{_name(target.name)} = "


def _arguments(nodes: tuple[Expr, ...]) -> str:
    return ", ".join(expression(node) for node in nodes)


def _bytes(place: Place, size: int) -> str:
    return f"{size} bytes[{_place(place)}]"


def _for(stmt: ir.For) -> str:
    start, step, count = expression(stmt.start), expression(stmt.step), expression(stmt.count)
    return f"for {_name(stmt.variable.name)} in {start} step {step} count {count}:"


def _send(stmt: ir.Send) -> str:
    text = f"send 0x{stmt.type_id:08x} {_bytes(stmt.payload, stmt.size)} to {stmt.target}"
    for name in ("instance", "priority", "deadline"):
        if getattr(stmt, name) is not None:
            text += f" {name} {expression(getattr(stmt, name))}"
    return text


def _publish(stmt: ir.Publish) -> str:
    text = f"publish 0x{stmt.type_id:08x} {_bytes(stmt.payload, stmt.size)} on {stmt.topic}"
    return f"{_to(stmt.target)}{text}{' retain' if stmt.retain else ''}"


def _atomic(stmt: ir.Atomic) -> str:
    expected = "" if stmt.expected is None else f" if {expression(stmt.expected)}"
    place = f"{stmt.type.text}[{_place(stmt.place)}]"
    return f"{_to(stmt.target)}atomic {stmt.op.value} {place}, {expression(stmt.value)}{expected}"


def _warp(stmt: ir.Warp) -> str:
    operand = "" if stmt.operand is None else f", {expression(stmt.operand)}"
    return f"{_to(stmt.target)}warp {stmt.op.value} {expression(stmt.value)}{operand}"


_STATEMENTS: dict[type[Any], Callable[[Any], str]] = {
    ir.SetLocal: lambda stmt: f"{_name(stmt.local.name)} = {expression(stmt.value)}",
    ir.Store: lambda stmt: f"{stmt.value.type.text}[{_place(stmt.place)}] = {expression(stmt.value)}",
    ir.Copy: lambda stmt: f"{_bytes(stmt.target, stmt.size)} = [{_place(stmt.source)}]",
    ir.Zero: lambda stmt: f"{_bytes(stmt.target, stmt.size)} = 0",
    ir.If: lambda stmt: f"if {expression(stmt.condition)}:",
    ir.Loop: lambda stmt: "loop:",
    ir.For: _for,
    ir.Break: lambda stmt: "break",
    ir.Continue: lambda stmt: "continue",
    ir.Return: lambda stmt: "return" if stmt.value is None else f"return {expression(stmt.value)}",
    ir.Call: lambda stmt: f"{_to(stmt.target)}call {_name(stmt.function)}({_arguments(stmt.arguments)})",
    ir.CountError: lambda stmt: f"count error {expression(stmt.code)}",
    ir.Fail: lambda stmt: f"fail 0x{stmt.code:08x}",
    ir.Reply: lambda stmt: f"reply 0x{stmt.type_id:08x} {_bytes(stmt.payload, stmt.size)}",
    ir.Send: _send,
    ir.Publish: _publish,
    ir.CallService: lambda stmt: f"{_to(stmt.target)}service {stmt.service.text}({_arguments(stmt.arguments)})",
    ir.Atomic: _atomic,
    ir.Barrier: lambda stmt: f"barrier {stmt.scope.value}",
    ir.Fence: lambda stmt: f"fence {stmt.scope.value}",
    ir.Warp: _warp,
}
