"""Expressions as WGSL text.

Integers of 8 and 16 bits are i32 or u32 in their range; f16 is f32; 64-bit integers are `rk_i64` and `rk_u64` of
wgsl_integers.py. What WGSL calculates itself at compile time must not wrap, so a literal next to literals alone is given
to a function, which hides it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from .. import ir
from ..ir import BinaryOp, CompareOp, QueryName, Root, TestOp, Type, UnaryOp
from .wgsl_memory import NAMES

TYPES = {
    **dict.fromkeys((Type.I8, Type.I16, Type.I32), "i32"),
    **dict.fromkeys((Type.U8, Type.U16, Type.U32), "u32"),
    Type.BOOL: "bool",
    Type.I64: "rk_i64",
    Type.U64: "rk_u64",
    Type.F16: "f32",
    Type.F32: "f32",
}
_SYMBOLS = {
    BinaryOp.ADD: "+",
    BinaryOp.SUB: "-",
    BinaryOp.MUL: "*",
    BinaryOp.AND: "&",
    BinaryOp.OR: "|",
    BinaryOp.XOR: "^",
    CompareOp.EQ: "==",
    CompareOp.NE: "!=",
    CompareOp.LT: "<",
    CompareOp.LE: "<=",
    CompareOp.GT: ">",
    CompareOp.GE: ">=",
}
_F16_EXACT = (BinaryOp.MIN, BinaryOp.MAX, BinaryOp.COPYSIGN, BinaryOp.FMOD)
_F16_EXACT_UNARY = (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.FLOOR, UnaryOp.CEIL, UnaryOp.TRUNC)


def is_wide(kind: Type) -> bool:
    """A 64-bit integer."""
    return kind in (Type.I64, Type.U64)


def wrapped(kind: Type, text: str) -> str:
    """An i32 or u32 in the range of a type that may be narrower."""
    if kind.bits == 32:
        return text
    if kind.is_signed:
        return f"(({text} << {32 - kind.bits}u) >> {32 - kind.bits}u)"
    return f"({text} & {(1 << kind.bits) - 1:#x}u)"


def word(value: int) -> str:
    """A u32 literal."""
    return f"{value & 0xFFFFFFFF}u"


class Expressions:
    """`local`: the WGSL name of a local variable. `queries`: text of those that the emitter knows."""

    def __init__(self, native64: bool, local: Callable[[str], str], queries: dict[QueryName, str]) -> None:
        self.native64 = native64
        self.local = local
        self.queries = queries

    def value(self, node: ir.Expr) -> str:
        """The expression; never in need of parentheses."""
        return str(getattr(self, "_" + type(node).__name__.lower())(node))

    def all_of(self, *nodes: ir.Expr) -> list[str]:
        """Several, of which WGSL must not calculate anything at compile time."""
        texts = [self.value(node) for node in nodes]
        if all(isinstance(node, ir.Const) for node in nodes):
            texts[0] = self._hidden(nodes[0].type, texts[0])
        return texts

    def _hidden(self, kind: Type, text: str) -> str:
        if is_wide(kind):
            return f"rk_runtime_{kind.text}({text})" if self.native64 else text
        return f"rk_runtime_{TYPES[kind]}({text})" if kind.is_integer else text

    # -- leaves ---------------------------------------------------------------------------------------------------

    def zero(self, kind: Type) -> str:
        """What a variable has when its function begins."""
        return {"bool": "false", "i32": "0i", "u32": "0u", "f32": "0.0f"}.get(TYPES[kind], f"{TYPES[kind]}()")

    def _const(self, node: ir.Const) -> str:
        kind, value = node.type, node.value
        if kind is Type.BOOL:
            return "true" if value else "false"
        if kind.is_float:
            return _float_literal(float(value))
        number = int(value)
        if is_wide(kind):
            words = f"vec2<u32>({word(number)}, {word(number >> 32)})"
            return self.of_words(kind, words)
        if number == -(1 << 31):
            return "i32(-2147483648)"
        return f"{number}{'i' if kind.is_signed else 'u'}" if number >= 0 else f"({number}i)"

    def _local(self, node: ir.Local) -> str:
        return self.local(node.name)

    def _query(self, node: ir.Query) -> str:
        return self.queries[node.name]

    # -- memory ---------------------------------------------------------------------------------------------------

    def address(self, place: ir.Place) -> str:
        """The byte address in the memory's array."""
        fixed = place.offset + (64 if place.root is Root.MESSAGE else 0)
        parts = {
            Root.STATE: ["rk_state_at"],
            Root.MESSAGE: ["rk_slot_at"],
            Root.HEADER: ["rk_slot_at"],
        }.get(place.root, [])
        for term in place.terms:
            if isinstance(term.index, ir.Const):
                fixed += int(term.index.value) * term.stride
            else:
                parts.append(self.value(term.index) + (f" * {term.stride}u" if term.stride != 1 else ""))
        if fixed or not parts:
            parts.append(word(fixed))
        return " + ".join(parts)

    def _load(self, node: ir.Load) -> str:
        return self.loaded(node.type, NAMES[node.place.root], self.address(node.place))

    def loaded(self, kind: Type, memory: str, address: str) -> str:
        """The scalar there."""
        bits = f"rk_{memory}_get{kind.bits}({address})"
        if kind is Type.BOOL:
            return f"({bits} != 0u)"
        if kind is Type.F16:
            return f"rk_f16_of_bits({bits})"
        if kind is Type.F32:
            return f"bitcast<f32>({bits})"
        if is_wide(kind):
            return self.of_words(kind, bits)
        return wrapped(kind, f"bitcast<i32>({bits})") if kind.is_signed else bits

    def stored(self, kind: Type, text: str) -> str:
        """The bits to store: u32, or words for 64-bit integers."""
        if kind is Type.BOOL:
            return f"u32({text})"
        if kind is Type.F16:
            return f"rk_bits_of_f16({text})"
        if is_wide(kind):
            return self.words_of(kind, text)
        return text if TYPES[kind] == "u32" else f"bitcast<u32>({text})"

    def of_words(self, kind: Type, words: str) -> str:
        """A 64-bit integer from vec2<u32>."""
        return f"rk_{kind.text}_of_words({words})" if self.native64 else words

    def words_of(self, kind: Type, text: str) -> str:
        """The vec2<u32> of a 64-bit integer."""
        return f"rk_words_of_{kind.text}({text})" if self.native64 else text

    # -- operations -----------------------------------------------------------------------------------------------

    def _unary(self, node: ir.Unary) -> str:
        (operand,) = self.all_of(node.operand)
        kind, op = node.type, node.op
        if kind is Type.BOOL:
            return f"(!{operand})"
        if kind.is_float:
            text = f"rk_{op.value}_f32({operand})"
            return f"rk_round_f16({text})" if kind is Type.F16 and op not in _F16_EXACT_UNARY else text
        if op in (UnaryOp.POPCOUNT, UnaryOp.CLZ, UnaryOp.CTZ):
            return _count(op, kind, operand)
        if op is UnaryOp.INVERT:
            return wrapped(kind, f"(~{operand})") if not is_wide(kind) else f"(~{operand})"
        if op is UnaryOp.ABS:
            if not kind.is_signed:
                return operand
            return "rk_abs_i64(" + operand + ")" if is_wide(kind) else wrapped(kind, f"abs({operand})")
        if is_wide(kind) and not self.native64:
            return f"rk_neg_64({operand})"
        text = f"({self.zero(kind)} - {operand})"
        return text if is_wide(kind) else wrapped(kind, text)

    def _test(self, node: ir.Test) -> str:
        name = {TestOp.IS_NAN: "rk_is_nan", TestOp.IS_INF: "rk_is_inf", TestOp.IS_FINITE: "rk_is_finite"}[node.op]
        return f"{name}({self.value(node.operand)})"

    def _binary(self, node: ir.Binary) -> str:
        left, right = self.all_of(node.left, node.right)
        if node.op in (BinaryOp.SHL, BinaryOp.SHR):
            return self._shift(node, left, right)
        return self.binary(node.op, node.type, left, right)

    def binary(self, op: BinaryOp, kind: Type, left: str, right: str) -> str:
        """The operation on two texts. Not for shifts."""
        if kind is Type.BOOL:
            return f"({left} {'!=' if op is BinaryOp.XOR else _SYMBOLS[op]} {right})"
        if kind.is_float:
            name = "div" if op is BinaryOp.TRUEDIV else op.value
            text = f"rk_{name}_f32({left}, {right})"
            return f"rk_round_f16({text})" if kind is Type.F16 and op not in _F16_EXACT else text
        if is_wide(kind):
            return self._wide(op, kind, left, right)
        if op in _SYMBOLS:
            text = f"({left} {_SYMBOLS[op]} {right})"
            return text if op in (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR) else wrapped(kind, text)
        if op in (BinaryOp.MIN, BinaryOp.MAX):
            return f"{op.value}({left}, {right})"
        return wrapped(kind, f"rk_{op.value}_{TYPES[kind]}({left}, {right})")

    def _wide(self, op: BinaryOp, kind: Type, left: str, right: str) -> str:
        if op in _SYMBOLS and (self.native64 or op in (BinaryOp.AND, BinaryOp.OR, BinaryOp.XOR)):
            return f"({left} {_SYMBOLS[op]} {right})"
        name = "64" if op in (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL) else kind.text
        return f"rk_{op.value}_{name}({left}, {right})"

    def _shift(self, node: ir.Binary, left: str, right: str) -> str:
        kind, mask = node.type, node.type.bits - 1
        if isinstance(node.right, ir.Const):
            by = f"{int(node.right.value) & mask}u"
        elif is_wide(kind):
            by = f"({self.words_of(kind, right)}.x & {mask}u)"
        else:
            by = f"({'bitcast<u32>(' + right + ')' if kind.is_signed else right} & {mask}u)"
        symbol = "<<" if node.op is BinaryOp.SHL else ">>"
        if not is_wide(kind):
            text = f"({left} {symbol} {by})"
            return wrapped(kind, text) if node.op is BinaryOp.SHL else text
        if self.native64:
            return f"({left} {symbol} {by})"
        name = "rk_shl_64" if symbol == "<<" else "rk_shr_i64" if kind.is_signed else "rk_shr_words"
        return f"{name}({left}, {by})"

    def _compare(self, node: ir.Compare) -> str:
        left, right = self.all_of(node.left, node.right)
        return self.compared(node.op, node.left.type, left, right)

    def compared(self, op: CompareOp, kind: Type, left: str, right: str) -> str:
        """The comparison of two texts."""
        if kind is Type.BOOL and op not in (CompareOp.EQ, CompareOp.NE):
            left, right = f"u32({left})", f"u32({right})"
        if not kind.is_float and (self.native64 or not is_wide(kind)):
            return f"({left} {_SYMBOLS[op]} {right})"
        if op in (CompareOp.GT, CompareOp.GE):
            op, left, right = CompareOp.LT if op is CompareOp.GT else CompareOp.LE, right, left
        if kind.is_float:
            name = {CompareOp.LT: "rk_lt_f32", CompareOp.LE: "rk_le_f32"}.get(op, "rk_eq_f32")
            return f"{'!' if op is CompareOp.NE else ''}{name}({left}, {right})"
        if op in (CompareOp.EQ, CompareOp.NE):
            return f"{'all' if op is CompareOp.EQ else 'any'}({left} {_SYMBOLS[op]} {right})"
        name = "rk_lt_i64" if kind.is_signed else "rk_words_lt"
        return f"{name}({left}, {right})" if op is CompareOp.LT else f"!{name}({right}, {left})"

    def _select(self, node: ir.Select) -> str:
        if isinstance(node.condition, ir.Const):
            return self.value(node.then if node.condition.value else node.otherwise)
        then, otherwise = self.value(node.then), self.value(node.otherwise)
        return f"select({otherwise}, {then}, {self.value(node.condition)})"

    def _tripcount(self, node: ir.TripCount) -> str:
        start, stop, step = self.all_of(node.start, node.stop, node.step)
        return f"rk_trips_{node.start.type.text}({start}, {stop}, {step})"

    # -- conversions ----------------------------------------------------------------------------------------------

    def _cast(self, node: ir.Cast) -> str:
        (text,) = self.all_of(node.operand)
        source, target = node.operand.type, node.type
        if source is target:
            return text
        if target is Type.BOOL:
            zero = self.zero(source)
            return f"rk_is_true({text})" if source.is_float else self.compared(CompareOp.NE, source, text, zero)
        if source is Type.BOOL:
            return (
                self.of_words(target, f"vec2<u32>(u32({text}), 0u)") if is_wide(target) else f"{TYPES[target]}({text})"
            )
        if source.is_float:
            return self._from_float(source, target, text)
        if target.is_float:
            if is_wide(source):
                made = f"rk_f32_of_{source.text}words({self.words_of(source, text)})"
            else:
                made = f"rk_f32_of_{TYPES[source]}({text})"
            return f"rk_round_f16({made})" if target is Type.F16 else made
        return self._between_integers(source, target, text)

    def _from_float(self, source: Type, target: Type, text: str) -> str:
        if target.is_float:
            return f"rk_round_f16({text})" if source is Type.F32 else text
        if is_wide(target):
            return self.of_words(target, f"rk_{target.text}words_of_f32({text})")
        made = f"rk_{TYPES[target]}_of_f32({text})"
        if target.bits == 32:
            return made
        if not target.is_signed:
            return f"min({made}, {(1 << target.bits) - 1}u)"
        half = 1 << (target.bits - 1)
        return f"clamp({made}, -{half}i, {half - 1}i)"

    def _between_integers(self, source: Type, target: Type, text: str) -> str:
        if is_wide(source):
            if is_wide(target):
                return self._same_bits(source, target, text)
            text = f"{self.words_of(source, text)}.x"
            return wrapped(target, f"bitcast<i32>({text})" if target.is_signed else text)
        if is_wide(target):
            made = f"rk_u64_of_{TYPES[source]}({text})"
            return self._same_bits(Type.U64, target, made)
        if source.is_signed != target.is_signed:
            text = f"bitcast<{TYPES[target]}>({text})"
        fits = source.bits < target.bits and (target.is_signed or not source.is_signed)
        return text if fits else wrapped(target, text)

    def _same_bits(self, source: Type, target: Type, text: str) -> str:
        return f"bitcast<{target.text}>({text})" if self.native64 and source is not target else text

    def _bitcast(self, node: ir.Bitcast) -> str:
        (text,) = self.all_of(node.operand)
        source, target = node.operand.type, node.type
        if not source.is_float and not target.is_float:
            return self._between_integers(source, target, text) if source is not target else text
        if source.is_float == target.is_float:
            return text
        if source is Type.F32 or target is Type.F32:
            return f"bitcast<{TYPES[target]}>({text})"
        if source is Type.F16:
            bits = f"rk_bits_of_f16({text})"
            return wrapped(target, f"bitcast<i32>({bits})") if target.is_signed else bits
        return f"rk_f16_of_bits(bitcast<u32>({text}) & 0xffffu)"


def _count(op: UnaryOp, kind: Type, operand: str) -> str:
    if is_wide(kind):
        return f"rk_{op.value}_u64({operand})"
    if op is UnaryOp.POPCOUNT:
        return f"countOneBits({operand})"
    if op is UnaryOp.CLZ:
        return f"(countLeadingZeros({operand}) - {32 - kind.bits}u)"
    return f"min(countTrailingZeros({operand}), {kind.bits}u)"


def _float_literal(value: float) -> str:
    """Exact: hexadecimal, but for whole numbers. What WGSL cannot write, or might lose, by its bits."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    if not math.isfinite(value) or 0 < bits & 0x7FFFFFFF < 0x00800000 or bits == 0x80000000:
        return f"rk_f32({bits:#010x}u)"
    if value.is_integer() and abs(value) < 1 << 24:
        return f"{value:.1f}f" if value >= 0 else f"({value:.1f}f)"
    mantissa, _, exponent = value.hex().partition("p")
    text = f"{mantissa.rstrip('0').rstrip('.')}p{exponent}f"
    return text if value >= 0 else f"({text})"
