"""Operations on scalars as LLVM instructions: what ir.py says, to the bit, for every operand.

LLVM's own operations have holes (division by zero, a shift by the width, a float that does not fit) whose value is
undefined; none may be reached. No instruction carries a fast-math flag.
"""

from __future__ import annotations

from ..ir import BinaryOp, CompareOp, TestOp, Type, UnaryOp
from .half import extend, from_double, from_float, from_integer
from .text import TYPES, Writer

INFINITY = "0x7FF0000000000000"

# The C library's, under names of our own: LLVM would know "powf" and put a sqrtf in its place. The runtime's bytecode
# machine calls the same functions, so the two agree to the bit.
LIBRARY_PREFIX = "rk_math_"


def unary(w: Writer, op: UnaryOp, kind: Type, value: str) -> str:
    """The value of a Unary node."""
    if kind is Type.BOOL:
        return w.value(f"xor i1 {value}, true")
    if not kind.is_float:
        return _integer_unary(w, op, kind, value)
    if kind is Type.F16:
        if op is UnaryOp.NEG:
            return w.value(f"xor i16 {value}, -32768")
        if op is UnaryOp.ABS:
            return w.value(f"and i16 {value}, 32767")
        return from_float(w, unary(w, op, Type.F32, extend(w, value)))
    text = TYPES[kind]
    if op is UnaryOp.NEG:
        return w.value(f"fneg {text} {value}")
    exact = {
        UnaryOp.ABS: "fabs",
        UnaryOp.FLOOR: "floor",
        UnaryOp.CEIL: "ceil",
        UnaryOp.TRUNC: "trunc",
        UnaryOp.SQRT: "sqrt",
    }
    if op in exact:
        return w.intrinsic(f"llvm.{exact[op]}.f{kind.bits}", text, (text, value))
    return _library(w, op.value, kind, value)


def _integer_unary(w: Writer, op: UnaryOp, kind: Type, value: str) -> str:
    text = TYPES[kind]
    if op is UnaryOp.NEG:
        return w.value(f"sub {text} 0, {value}")
    if op is UnaryOp.INVERT:
        return w.value(f"xor {text} {value}, -1")
    if op is UnaryOp.ABS:
        return w.intrinsic(f"llvm.abs.{text}", text, (text, value), ("i1", "false")) if kind.is_signed else value
    if op is UnaryOp.POPCOUNT:
        return w.intrinsic(f"llvm.ctpop.{text}", text, (text, value))
    name = {UnaryOp.CLZ: "ctlz", UnaryOp.CTZ: "cttz"}[op]
    return w.intrinsic(f"llvm.{name}.{text}", text, (text, value), ("i1", "false"))


def _library(w: Writer, name: str, kind: Type, *values: str) -> str:
    text = TYPES[kind]
    symbol = LIBRARY_PREFIX + name + ("f" if kind is Type.F32 else "")
    parameters = ", ".join([text] * len(values))
    w.module.declare(symbol, f"declare {text} @{symbol}({parameters}) nounwind willreturn memory(none)")
    return w.value(f"call {text} @{symbol}({', '.join(f'{text} {value}' for value in values)})")


def test(w: Writer, op: TestOp, kind: Type, value: str) -> str:
    """The value of a Test node."""
    if kind is Type.F16:
        kind, value = Type.F32, extend(w, value)
    text = TYPES[kind]
    if op is TestOp.IS_NAN:
        return w.value(f"fcmp uno {text} {value}, 0.0")
    size = w.intrinsic(f"llvm.fabs.f{kind.bits}", text, (text, value))
    return w.value(f"fcmp {'oeq' if op is TestOp.IS_INF else 'one'} {text} {size}, {INFINITY}")


def compare(w: Writer, op: CompareOp, kind: Type, left: str, right: str) -> str:
    """The value of a Compare node."""
    if kind is Type.F16:
        kind, left, right = Type.F32, extend(w, left), extend(w, right)
    if kind.is_float:
        name = "une" if op is CompareOp.NE else "o" + op.value
        return w.value(f"fcmp {name} {TYPES[kind]} {left}, {right}")
    order = op.value if op in (CompareOp.EQ, CompareOp.NE) else ("s" if kind.is_signed else "u") + op.value
    return w.value(f"icmp {order} {TYPES[kind]} {left}, {right}")


# -- binary -----------------------------------------------------------------------------------------------------------

_INTEGER = {
    BinaryOp.ADD: "add", BinaryOp.SUB: "sub", BinaryOp.MUL: "mul",
    BinaryOp.AND: "and", BinaryOp.OR: "or", BinaryOp.XOR: "xor",
}  # fmt: skip
_FLOAT = {BinaryOp.ADD: "fadd", BinaryOp.SUB: "fsub", BinaryOp.MUL: "fmul", BinaryOp.TRUEDIV: "fdiv"}


def binary(w: Writer, op: BinaryOp, kind: Type, left: str, right: str) -> str:
    """The value of a Binary node."""
    if op in (BinaryOp.MIN, BinaryOp.MAX):
        takes_right = compare(w, CompareOp.LT if op is BinaryOp.MIN else CompareOp.GT, kind, right, left)
        return w.value(f"select i1 {takes_right}, {TYPES[kind]} {right}, {TYPES[kind]} {left}")
    if kind.is_float:
        return _float_binary(w, op, kind, left, right)
    text = TYPES[kind]
    if op in _INTEGER:
        return w.value(f"{_INTEGER[op]} {text} {left}, {right}")
    if op in (BinaryOp.SHL, BinaryOp.SHR):
        amount = w.value(f"and {text} {right}, {kind.bits - 1}")
        name = "shl" if op is BinaryOp.SHL else "ashr" if kind.is_signed else "lshr"
        return w.value(f"{name} {text} {left}, {amount}")
    return (_signed_division if kind.is_signed else _unsigned_division)(w, op, kind, left, right)


def _float_binary(w: Writer, op: BinaryOp, kind: Type, left: str, right: str) -> str:
    if kind is Type.F16:
        if op is BinaryOp.COPYSIGN:
            size = w.value(f"and i16 {left}, 32767")
            sign = w.value(f"and i16 {right}, -32768")
            return w.value(f"or i16 {size}, {sign}")
        return from_float(w, _float_binary(w, op, Type.F32, extend(w, left), extend(w, right)))
    text = TYPES[kind]
    if op in _FLOAT:
        return w.value(f"{_FLOAT[op]} {text} {left}, {right}")
    if op is BinaryOp.COPYSIGN:
        return w.intrinsic(f"llvm.copysign.f{kind.bits}", text, (text, left), (text, right))
    return _library(w, op.value, kind, left, right)


def _unsigned_division(w: Writer, op: BinaryOp, kind: Type, left: str, right: str) -> str:
    text = TYPES[kind]
    none = w.value(f"icmp eq {text} {right}, 0")
    safe = w.value(f"select i1 {none}, {text} 1, {text} {right}")
    result = w.value(f"{'udiv' if op is BinaryOp.FLOORDIV else 'urem'} {text} {left}, {safe}")
    return result if op is BinaryOp.MOD else w.value(f"select i1 {none}, {text} 0, {text} {result}")


def _signed_division(w: Writer, op: BinaryOp, kind: Type, left: str, right: str) -> str:
    """Division by 1 stands in for the two that have no quotient, x / 0 and min / -1: it gives min, and remainder 0."""
    text = TYPES[kind]
    none = w.value(f"icmp eq {text} {right}, 0")
    minus = w.value(f"icmp eq {text} {right}, -1")
    least = w.value(f"icmp eq {text} {left}, {-(1 << (kind.bits - 1))}")
    overflow = w.value(f"and i1 {minus}, {least}")
    unsafe = w.value(f"or i1 {none}, {overflow}")
    safe = w.value(f"select i1 {unsafe}, {text} 1, {text} {right}")
    quotient = w.value(f"sdiv {text} {left}, {safe}")
    product = w.value(f"mul {text} {quotient}, {safe}")
    rest = w.value(f"sub {text} {left}, {product}")
    some = w.value(f"icmp ne {text} {rest}, 0")
    signs = w.value(f"xor {text} {rest}, {safe}")
    differ = w.value(f"icmp slt {text} {signs}, 0")
    lower = w.value(f"and i1 {some}, {differ}")
    if op is BinaryOp.MOD:
        change = w.value(f"select i1 {lower}, {text} {safe}, {text} 0")
        return w.value(f"add {text} {rest}, {change}")
    below = w.value(f"sext i1 {lower} to {text}")
    floored = w.value(f"add {text} {quotient}, {below}")
    return w.value(f"select i1 {none}, {text} 0, {text} {floored}")


def trip_count(w: Writer, kind: Type, signed: bool, start: str, stop: str, step: str) -> str:
    """The value of a TripCount node: (distance - 1) / |step| + 1 when the first item is inside."""
    text, prefix = TYPES[kind], "s" if signed else "u"
    up = w.value(f"icmp {prefix}gt {text} {step}, 0")
    low = w.value(f"select i1 {up}, {text} {start}, {text} {stop}")
    high = w.value(f"select i1 {up}, {text} {stop}, {text} {start}")
    back = w.value(f"sub {text} 0, {step}")
    size = w.value(f"select i1 {up}, {text} {step}, {text} {back}")
    none = w.value(f"icmp eq {text} {step}, 0")
    safe = w.value(f"select i1 {none}, {text} 1, {text} {size}")
    distance = w.value(f"sub {text} {high}, {low}")
    whole = w.value(f"sub {text} {distance}, 1")
    turns = w.value(f"udiv {text} {whole}, {safe}")
    count = w.value(f"add {text} {turns}, 1")
    inside = w.value(f"icmp {prefix}lt {text} {low}, {high}")
    empty = w.value(f"xor i1 {inside}, true")
    zero = w.value(f"or i1 {none}, {empty}")
    return w.value(f"select i1 {zero}, {text} 0, {text} {count}")


# -- conversions ------------------------------------------------------------------------------------------------------


def cast(w: Writer, source: Type, target: Type, value: str) -> str:
    """The value of a Cast node."""
    if source is target:
        return value
    if source is Type.F16 and target.is_float:
        wide = extend(w, value)
        return wide if target is Type.F32 else w.value(f"fpext float {wide} to double")
    if source is Type.F16:
        return cast(w, Type.F32, target, extend(w, value))
    text, to = TYPES[source], TYPES[target]
    if target is Type.BOOL:
        return w.value(f"fcmp une {text} {value}, 0.0" if source.is_float else f"icmp ne {text} {value}, 0")
    if source.is_float:
        return _from_float(w, source, target, value)
    if target is Type.F16 and source is Type.BOOL:
        return w.value(f"select i1 {value}, i16 15360, i16 0")
    if target is Type.F16:
        return from_integer(w, value, text, source.is_signed)
    if target.is_float:
        return w.value(f"{'sitofp' if source.is_signed else 'uitofp'} {text} {value} to {to}")
    return resize(w, text, to, source.is_signed, value)


def resize(w: Writer, text: str, to: str, signed: bool, value: str) -> str:
    """An integer in another width."""
    if text == to:
        return value
    name = "trunc" if int(to[1:]) < int(text[1:]) else "sext" if signed else "zext"
    return w.value(f"{name} {text} {value} to {to}")


def _from_float(w: Writer, source: Type, target: Type, value: str) -> str:
    text, to = TYPES[source], TYPES[target]
    if target is Type.F16:
        return from_float(w, value) if source is Type.F32 else from_double(w, value)
    if target.is_float:
        return w.value(f"{'fpext' if target is Type.F64 else 'fptrunc'} {text} {value} to {to}")
    name = f"llvm.fpto{'s' if target.is_signed else 'u'}i.sat.{to}.f{source.bits}"
    return w.intrinsic(name, to, (text, value))


def bitcast(w: Writer, source: Type, target: Type, value: str) -> str:
    """The value of a Bitcast node."""
    text, to = TYPES[source], TYPES[target]
    return value if text == to else w.value(f"bitcast {text} {value} to {to}")
