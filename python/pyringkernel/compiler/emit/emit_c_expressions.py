"""Expressions of the IR as C. Each has its type in C too: what C would promote is cast back."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.c_helpers import Helpers, lowest
from pyringkernel.compiler.ir import BinaryOp, Type, UnaryOp

_ROOT_NAMES = {root: root.value for root in ir.Root}  # the parameters of handlers are called so
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_BITWISE = {BinaryOp.AND: "&", BinaryOp.OR: "|", BinaryOp.XOR: "^"}
_LOGICAL = {BinaryOp.AND: "&&", BinaryOp.OR: "||", BinaryOp.XOR: "!="}
_ARITHMETIC = {BinaryOp.ADD: "+", BinaryOp.SUB: "-", BinaryOp.MUL: "*", BinaryOp.TRUEDIV: "/"}


def bare(text: str) -> str:
    """Without the parentheses around all of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and position != len(text) - 1:
            return text
    return text[1:-1]


def float_text(value: float, kind: Type) -> str:
    """A literal, or the bits of what has none."""
    code, bits = {Type.F16: ("e", "H"), Type.F32: ("f", "I"), Type.F64: ("d", "Q")}[kind]
    suffix = "f" if kind is Type.F32 else ""
    if kind is Type.F16 or not math.isfinite(value):
        (word,) = struct.unpack("<" + bits, struct.pack("<" + code, value))
        long = "ull" if kind is Type.F64 else "u"
        return f"rk_{kind.text}_of_bits(0x{word:0{2 * kind.size}X}{long})"
    text = repr(value)
    if kind is Type.F32:
        for digits in range(6, 10):
            text = f"{value:.{digits}g}"
            if struct.pack("<f", float(text)) == struct.pack("<f", value):
                break
    if not any(c in text for c in ".e"):
        text += ".0"
    return f"({text}{suffix})" if text.startswith("-") else text + suffix


class Expressions:
    """Prints the expressions of one function. `local`: the C name of a local."""

    def __init__(self, dialect: Dialect, helpers: Helpers, local: Callable[[str], str]) -> None:
        self._dialect = dialect
        self._helpers = helpers
        self._local = local

    def text(self, node: ir.Expr) -> str:
        """In parentheses where it needs them as an operand."""
        match node:
            case ir.Const():
                return self.constant(node)
            case ir.Local():
                return self._local(node.name)
            case ir.Load():
                return f"rk_load_{node.type.text}({self.address(node.place)})"
            case ir.Unary():
                return self._unary(node)
            case ir.Test():
                helper = self._helpers.test(node.op.value, node.operand.type)
                return f"{helper}({self.top(node.operand)})"
            case ir.Binary():
                return self._binary(node)
            case ir.Compare():
                left, right = self._comparable(node.left), self._comparable(node.right)
                return f"({left} {_COMPARE[node.op.value]} {right})"
            case ir.Select():
                return f"({self.text(node.condition)} ? {self.text(node.then)} : {self.text(node.otherwise)})"
            case ir.Cast():
                return self._cast(node.type, node.operand)
            case ir.Bitcast():
                return self._bitcast(node)
            case ir.TripCount():
                helper = self._helpers.trips(node.start.type)
                return f"{helper}({self.top(node.start)}, {self.top(node.stop)}, {self.top(node.step)})"
            case ir.Query():
                return self._query(node.name)

    def top(self, node: ir.Expr) -> str:
        """Where nothing follows: without parentheses around all of it."""
        return bare(self.text(node))

    def constant(self, node: ir.Const) -> str:
        """A literal of exactly its type."""
        kind, value = node.type, node.value
        if kind is Type.BOOL:
            return "true" if value else "false"
        if kind.is_float:
            text = float_text(float(value), kind)
            return text.replace("ull)", f"u{self._dialect.long_suffix})")
        number = int(value)
        if kind.is_signed and number == -(2 ** (kind.bits - 1)) and kind.size >= 4:
            return lowest(kind, self._dialect.long_suffix)
        text = f"{number}{'' if kind.is_signed else 'u'}{self._dialect.long_suffix if kind.size == 8 else ''}"
        if kind.size < 4:
            return f"({kind.text}){text}" if number >= 0 else f"({kind.text})({text})"
        return f"({text})" if number < 0 else text

    def address(self, place: ir.Place) -> str:
        """A pointer to bytes. The sum is made in 32 bits, as places are, but for those in buffers."""
        if place.base is not None:
            return self._far_address(place, place.base)
        base = _ROOT_NAMES[place.root]
        parts = [f"{place.offset % 2**32}u"] if place.offset or not place.terms else []
        for term in place.terms:
            index = self.text(term.index)
            parts.append(index if term.stride == 1 else f"{index} * {term.stride % 2**32}u")
        if parts == ["0u"]:
            return base
        total = " + ".join(parts)
        return f"{base} + {parts[0]}" if len(parts) == 1 and " " not in total else f"{base} + ({bare(total)})"

    def _far_address(self, place: ir.Place, base: ir.Local) -> str:
        long = f"u{self._dialect.long_suffix}"
        terms = [f"(u64){self.text(term.index)} * {term.stride}{long}" for term in place.terms]
        offset = [f"{place.offset}{long}"] if place.offset else []
        return f"(u8*)({' + '.join([self._local(base.name), *offset, *terms])})"

    def _comparable(self, node: ir.Expr) -> str:
        return f"rk_f32_of_f16({self.top(node)})" if node.type is Type.F16 else self.text(node)

    def _unary(self, node: ir.Unary) -> str:
        op, kind = node.op, node.type
        direct = kind.size >= 4 and kind.is_integer
        match op:
            case UnaryOp.NOT:
                return f"!{self.text(node.operand)}"
            case UnaryOp.INVERT:
                return f"(~{self.text(node.operand)})" if direct else f"({kind.text})(~{self.text(node.operand)})"
            case UnaryOp.NEG:
                helper = self._helpers.negate(kind)
            case UnaryOp.ABS:
                if kind.kind == "uint":
                    return self.text(node.operand)
                helper = self._helpers.absolute(kind)
            case UnaryOp.POPCOUNT | UnaryOp.CLZ | UnaryOp.CTZ:
                helper = self._helpers.bits(op.value, kind)
            case _:
                helper = self._helpers.float_unary(op.value, kind)
        return f"{helper}({self.top(node.operand)})"

    def _binary(self, node: ir.Binary) -> str:
        op, kind = node.op, node.type
        if kind is Type.BOOL:
            return self._infix(_LOGICAL[op], node)
        if op in _BITWISE:
            text = self._infix(_BITWISE[op], node)
            return text if kind.size >= 4 else f"({kind.text}){text}"
        if op in _ARITHMETIC and (kind in (Type.F32, Type.F64) or (kind.kind == "uint" and kind.size >= 4)):
            return self._infix(_ARITHMETIC[op], node)
        return f"{self._function(op, kind)}({self.top(node.left)}, {self.top(node.right)})"

    def _infix(self, symbol: str, node: ir.Binary) -> str:
        return f"({self.text(node.left)} {symbol} {self.text(node.right)})"

    def _function(self, op: BinaryOp, kind: Type) -> str:
        """The helper for an operation that C has not."""
        match op:
            case BinaryOp.FLOORDIV:
                return self._helpers.floordiv(kind)
            case BinaryOp.MOD:
                return self._helpers.mod(kind)
            case BinaryOp.SHL | BinaryOp.SHR:
                return self._helpers.shift(op.value, kind)
            case BinaryOp.MIN | BinaryOp.MAX:
                return self._helpers.extreme(op.value, kind)
            case BinaryOp.COPYSIGN:
                return self._helpers.copysign(kind)
            case _ if kind.is_float:
                return self._helpers.float_binary(op.value, kind)
            case _:
                return self._helpers.wrapping(op.value, kind)

    def _cast(self, kind: Type, operand: ir.Expr) -> str:
        source = operand.type
        if source is kind:
            return self.text(operand)
        if source is Type.F16:
            single = f"rk_f32_of_f16({self.top(operand)})"
            return single if kind is Type.F32 else self._from_f32(kind, single)
        if kind is Type.F16:
            if source is Type.F64:
                return f"{self._helpers.f16_of_f64()}({self.top(operand)})"
            return f"rk_f16_of_f32((f32){self.text(operand)})"  # an integer that f32 rounds is infinite in f16
        if kind is Type.BOOL:
            return f"({self.text(operand)} != 0)"
        if source.is_float and kind.is_integer:
            return f"{self._helpers.to_integer(kind, source)}({self.top(operand)})"
        return f"({kind.text}){self.text(operand)}"

    def _from_f32(self, kind: Type, text: str) -> str:
        if kind is Type.BOOL:
            return f"({text} != 0)"
        if kind.is_integer:
            return f"{self._helpers.to_integer(kind, Type.F32)}({text})"
        return f"({kind.text}){text}"

    def _bitcast(self, node: ir.Bitcast) -> str:
        kind, source = node.type, node.operand.type
        unsigned = {2: "u16", 4: "u32", 8: "u64"}.get(kind.size, "u8")
        if source is kind:
            return self.text(node.operand)
        if source.is_float:
            bits = f"rk_bits_of_{source.text}({self.top(node.operand)})"
            return bits if kind.text == unsigned else f"({kind.text}){bits}"
        if kind.is_float:
            return f"rk_{kind.text}_of_bits(({unsigned}){self.text(node.operand)})"
        return f"({kind.text}){self.text(node.operand)}"

    def _query(self, name: ir.QueryName) -> str:
        match name:
            case ir.QueryName.FAILED:
                return "(call->failed != 0u)"
            case ir.QueryName.KERNEL_ID | ir.QueryName.INSTANCE_ID:
                return f"call->{name.value}"
            case _:
                return f"rk_{name.value}(call)"
