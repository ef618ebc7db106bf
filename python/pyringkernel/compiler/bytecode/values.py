"""Expressions as operations of the bytecode machine.

Integers lie in registers extended to 64 bits, so comparisons, casts to wider types, and bitwise operations do not depend
on the width. What is narrower than 32 bits is computed in 32 and extended again. f16 is computed in f32 and rounded:
f32 has more than twice the bits and two, so that rounding twice gives what rounding once would have given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import ir
from ..ir import BinaryOp, CompareOp, QueryName, TestOp, Type, UnaryOp
from .assembler import Code, Constants, Label, bits_of, inverse
from .ops import FUNCTIONS_1, FUNCTIONS_2, ROOTS

_EXTEND = {
    Type.I8: "SIGN_8", Type.I16: "SIGN_16", Type.I32: "SIGN_32",
    Type.U8: "ZERO_8", Type.U16: "ZERO_16", Type.U32: "ZERO_32",
}  # fmt: skip
_ONE = (QueryName.BLOCK_DIM, QueryName.GRID_DIM)
_ASKED = {
    QueryName.INSTANCE_ID: "GET_INSTANCE",
    QueryName.KERNEL_ID: "GET_KERNEL",
}
_TESTS = {TestOp.IS_NAN: "IS_NAN", TestOp.IS_INF: "IS_INF", TestOp.IS_FINITE: "IS_FINITE"}
_BITWISE = {BinaryOp.AND: "AND", BinaryOp.OR: "OR", BinaryOp.XOR: "XOR"}
_FLOAT_BINARY = {
    BinaryOp.ADD: "ADD", BinaryOp.SUB: "SUB", BinaryOp.MUL: "MUL", BinaryOp.TRUEDIV: "DIV", BinaryOp.MIN: "MIN",
    BinaryOp.MAX: "MAX", BinaryOp.COPYSIGN: "COPYSIGN",
}  # fmt: skip
_INTEGER_BINARY = {
    BinaryOp.ADD: "ADD", BinaryOp.SUB: "SUB", BinaryOp.MUL: "MUL", BinaryOp.FLOORDIV: "DIV", BinaryOp.MOD: "MOD",
    BinaryOp.SHL: "SHL", BinaryOp.SHR: "SHR",
}  # fmt: skip
_SIGNLESS = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.SHL)  # of 64 bits
_STAYS = (BinaryOp.MOD, BinaryOp.SHR)  # no result leaves the type
_COMPARE = {  # operation, are the operands swapped
    CompareOp.EQ: ("EQ", False), CompareOp.NE: ("NE", False), CompareOp.LT: ("LT", False),
    CompareOp.LE: ("LE", False), CompareOp.GT: ("LT", True), CompareOp.GE: ("LE", True),
}  # fmt: skip


def load_suffix(kind: Type) -> str:
    """Of LOAD_ and INDEX_LOAD_."""
    if kind.size == 8:
        return "64"
    if kind is Type.BOOL:
        return "BOOL"
    return f"{'I' if kind.is_signed else 'U'}{kind.bits}"


def is_same_register(source: Type, target: Type) -> bool:
    """A cast between integers that leaves the register as it is."""
    if target.size == 8 or source is Type.BOOL or source is target:
        return True
    return source.size < target.size and (target.is_signed or not source.is_signed)


@dataclass(frozen=True)
class Address:
    """A place with its index in a register: root + offset + register * stride; no register: a constant. `base`: the
    register of the address that takes the root's place."""

    root: ir.Root
    offset: int
    index: int | None = None
    stride: int = 1
    base: int | None = None


class ValueEmitter:
    """Of one function. `registers`: of its locals, by name; those from `first_free` on are free."""

    def __init__(self, code: Code, constants: Constants, registers: dict[str, int], first_free: int) -> None:
        self.code = code
        self.constants = constants
        self.registers = registers
        self._free = first_free
        self.used = first_free

    # -- registers

    def new(self) -> int:
        """A register of its own until the end of the `temporaries` around."""
        self._free += 1
        self.used = max(self.used, self._free)
        return self._free - 1

    @contextmanager
    def temporaries(self) -> Iterator[None]:
        """Frees what was new() in here."""
        before = self._free
        yield
        self._free = before

    def constant(self, bits: int) -> int:
        """Its register."""
        return self.constants.register(bits)

    def value(self, node: ir.Expr) -> int:
        """A register that has the value: its own for a local or a constant, which nobody may write to."""
        if isinstance(node, ir.Const):
            return self.constant(bits_of(node.type, node.value))
        if isinstance(node, ir.Local):
            return self.registers[node.name]
        if isinstance(node, ir.Query) and node.name not in _ASKED:
            return self.constant(int(node.name in _ONE))
        if isinstance(node, (ir.Cast, ir.Bitcast)) and _is_nothing(node):
            return self.value(node.operand)
        target = self.new()
        self.into(node, target)
        return target

    def into(self, node: ir.Expr, target: int) -> None:
        """Evaluates to `target`, which is written to after all operands were read."""
        with self.temporaries():
            if isinstance(node, ir.Binary):
                self._binary(node, target)
            elif isinstance(node, ir.Load):
                self.load(self.address(node.place), node.type, target)
            elif isinstance(node, ir.Compare):
                name, left, right = self._compared(node)
                self.code.emit(name, target, left, right)
            elif isinstance(node, ir.Unary):
                self._unary(node, target)
            elif isinstance(node, (ir.Cast, ir.Bitcast)) and not _is_nothing(node):
                self._cast(node, target)
            elif isinstance(node, (ir.Select, ir.TripCount, ir.Test)):
                self._other(node, target)
            elif isinstance(node, ir.Query) and node.name in _ASKED:
                self.code.emit(_ASKED[node.name], target)
            else:
                self.move(target, self.value(node))

    def move(self, target: int, source: int) -> None:
        if target != source:
            self.code.emit("MOVE", target, source)

    # -- memory

    def address(self, place: ir.Place) -> Address:
        """Evaluates what is computed of a place."""
        offset, terms = _without_constants(place)
        if place.base is not None:
            return self._far(place.base, offset, terms)
        if not terms:
            return Address(place.root, offset)
        if len(terms) == 1 and terms[0].stride <= 0xFFFF:
            return Address(place.root, offset, self.value(terms[0].index), terms[0].stride)
        return Address(place.root, offset, self._sum(0, terms))

    def _far(self, base: ir.Local, offset: int, terms: list[ir.Term]) -> Address:
        """In a buffer. Offsets that are too large for the operation are added before."""
        address = self.value(base)
        if offset >= 1 << 32:
            address, offset = self._of("ADD_64", address, self.constant(offset)), 0
        if not terms:
            return Address(ir.Root.BUFFER, offset, self.constant(0), 1, address)
        (term,) = terms
        return Address(ir.Root.BUFFER, offset, self.value(term.index), term.stride, address)

    def offset(self, place: ir.Place) -> int:
        """The register of the whole offset of a place."""
        offset, terms = _without_constants(place)
        return self._sum(offset, terms) if terms else self.constant(offset)

    def _sum(self, offset: int, terms: list[ir.Term]) -> int:
        sum_ = self.constant(offset)
        if offset == 0 and len(terms) > 1:
            plain = next((term for term in terms if term.stride == 1), None)
            if plain is not None:
                terms = [term for term in terms if term is not plain]
                sum_ = self.value(plain.index)
        for term in terms:
            before, sum_ = sum_, self.new()
            self.code.emit("SCALE_ADD", sum_, self.value(term.index), self.constant(term.stride), before)
        return sum_

    def load(self, address: Address, kind: Type, target: int) -> None:
        suffix = load_suffix(kind)
        if address.base is not None and address.index is not None:
            self.code.emit(f"FAR_LOAD_{suffix}", target, address.index, address.stride, address.base, address.offset)
        elif address.index is None:
            self.code.emit(f"LOAD_{suffix}_{address.root.name}", target, address.offset)
        else:
            root = ROOTS[address.root]
            self.code.emit(f"INDEX_LOAD_{suffix}", target, address.index, address.stride, root, address.offset)

    def store(self, address: Address, kind: Type, value: int) -> None:
        if address.base is not None and address.index is not None:
            name = f"FAR_STORE_{kind.bits}"
            self.code.emit(name, value, address.index, address.stride, address.base, address.offset)
        elif address.index is None:
            self.code.emit(f"STORE_{kind.bits}_{address.root.name}", value, address.offset)
        else:
            root = ROOTS[address.root]
            self.code.emit(f"INDEX_STORE_{kind.bits}", value, address.index, address.stride, root, address.offset)

    # -- conditions

    def branch(self, node: ir.Expr, label: Label, when: bool) -> None:
        """Jumps to `label` if the condition is `when`."""
        with self.temporaries():
            if isinstance(node, ir.Const):
                if node.value == when:
                    self.code.emit("JUMP", label)
            elif isinstance(node, ir.Unary) and node.op is UnaryOp.NOT:
                self.branch(node.operand, label, not when)
            elif isinstance(node, ir.Binary) and node.op in (BinaryOp.AND, BinaryOp.OR):
                self._branch_both(node, label, when)
            elif isinstance(node, ir.Compare):
                name, left, right = self._compared(node)
                name = "JUMP_" + name
                if not when:
                    name, left, right = inverse(name, left, right)  # type: ignore[assignment]
                self.code.emit(name, left, right, label)
            else:
                self.code.emit("JUMP_NE_64" if when else "JUMP_EQ_64", self.value(node), self.constant(0), label)

    def _branch_both(self, node: ir.Binary, label: Label, when: bool) -> None:
        """Nothing happens in an expression, so its right side may be left out."""
        if (node.op is BinaryOp.OR) == when:
            self.branch(node.left, label, when)
            self.branch(node.right, label, when)
            return
        past = Label()
        self.branch(node.left, past, not when)
        self.branch(node.right, label, when)
        self.code.place(past)

    def _compared(self, node: ir.Compare) -> tuple[str, int, int]:
        """The operation without JUMP_, and its operands."""
        name, swapped = _COMPARE[node.op]
        kind = node.left.type
        left, right = self._wide(node.left), self._wide(node.right)
        if kind.is_float:
            name += "_F64" if kind is Type.F64 else "_F32"
        else:
            name += "_64" if name in ("EQ", "NE") else "_I64" if kind.is_signed else "_U64"
        return (name, right, left) if swapped else (name, left, right)

    def _wide(self, node: ir.Expr) -> int:
        """As value(), f16 as f32."""
        value = self.value(node)
        return self._of("F16_TO_F32", value) if node.type is Type.F16 else value

    def _of(self, name: str, *operands: int) -> int:
        """The register with the result of an operation."""
        target = self.new()
        self.code.emit(name, target, *operands)
        return target

    # -- operations

    def _rounded(self, kind: Type, target: int) -> None:
        """After an operation on f32 whose result is one on f16."""
        if kind is Type.F16:
            self.code.emit("F32_TO_F16", target, target)

    def _extend(self, kind: Type, target: int) -> None:
        if kind.size < 4:
            self.code.emit(_EXTEND[kind], target, target)

    def _binary(self, node: ir.Binary, target: int) -> None:
        kind, op = node.type, node.op
        if op in _BITWISE:
            self.code.emit(_BITWISE[op], target, self.value(node.left), self.value(node.right))
        elif kind.is_float:
            self.float_binary(op, kind, target, self._wide(node.left), self._wide(node.right))
        elif op in (BinaryOp.FLOORDIV, BinaryOp.MOD) and (exponent := _exponent_of(node.right)) is not None:
            # Both round down, so this is right for negative numbers too, and ten times as fast.
            left = self.value(node.left)
            if op is BinaryOp.MOD:
                self.code.emit("AND", target, left, self.constant((1 << exponent) - 1))
            else:
                self.integer_binary(BinaryOp.SHR, kind, target, left, self.constant(exponent))
        else:
            right = self.value(node.right)
            if op in (BinaryOp.SHL, BinaryOp.SHR) and kind.size < 4:
                right = self._of("AND", right, self.constant(kind.bits - 1))
            self.integer_binary(op, kind, target, self.value(node.left), right)

    def float_binary(self, op: BinaryOp, kind: Type, target: int, left: int, right: int) -> None:
        """f16: of operands in f32."""
        suffix = "F64" if kind is Type.F64 else "F32"
        if op in _FLOAT_BINARY:
            self.code.emit(f"{_FLOAT_BINARY[op]}_{suffix}", target, left, right)
        else:
            self.code.emit(f"CALL_2_{suffix}", target, left, right, FUNCTIONS_2[op.value])
        self._rounded(kind, target)

    def integer_binary(self, op: BinaryOp, kind: Type, target: int, left: int, right: int) -> None:
        sign = "I" if kind.is_signed else "U"
        if op in _BITWISE:
            self.code.emit(_BITWISE[op], target, left, right)
        elif op in (BinaryOp.MIN, BinaryOp.MAX):
            self.code.emit(f"{op.name}_{sign}64", target, left, right)
        else:
            width = "_64" if kind.size == 8 and op in _SIGNLESS else f"_{sign}{max(kind.bits, 32)}"
            self.code.emit(_INTEGER_BINARY[op] + width, target, left, right)
            if op not in _STAYS:
                self._extend(kind, target)

    def _unary(self, node: ir.Unary, target: int) -> None:
        kind, op = node.type, node.op
        value = self.value(node.operand)
        if op is UnaryOp.NOT:
            self.code.emit("XOR", target, value, self.constant(1))
        elif kind.is_float:
            self._float_unary(op, kind, target, value)
        elif op is UnaryOp.INVERT:
            self.code.emit(
                "XOR", target, value, self.constant(bits_of(kind, -1 if kind.is_signed else 2**kind.bits - 1))
            )
        elif op is UnaryOp.POPCOUNT:
            self.code.emit("POPCOUNT", target, value)
        elif op is UnaryOp.CLZ:
            self.code.emit("CLZ", target, value, 64 - kind.bits)
        elif op is UnaryOp.CTZ:
            self.code.emit("CTZ", target, value, kind.bits)
        elif op is UnaryOp.NEG:
            self.integer_binary(BinaryOp.SUB, kind, target, self.constant(0), value)
        elif kind.is_signed:  # ABS
            negative = self.new()
            self.integer_binary(BinaryOp.SUB, kind, negative, self.constant(0), value)
            self.code.emit("MAX_I64", target, value, negative)
        else:
            self.move(target, value)

    def _float_unary(self, op: UnaryOp, kind: Type, target: int, value: int) -> None:
        sign = 1 << (kind.bits - 1)
        if op is UnaryOp.NEG:
            self.code.emit("XOR", target, value, self.constant(sign))
            return
        if op is UnaryOp.ABS:
            self.code.emit("AND", target, value, self.constant(sign - 1))
            return
        suffix = "F64" if kind is Type.F64 else "F32"
        if kind is Type.F16:
            value = self._of("F16_TO_F32", value)
        if op is UnaryOp.SQRT:
            self.code.emit(f"SQRT_{suffix}", target, value)
        else:
            self.code.emit(f"CALL_1_{suffix}", target, value, FUNCTIONS_1[op.value])
        self._rounded(kind, target)

    def _other(self, node: ir.Select | ir.TripCount | ir.Test, target: int) -> None:
        if isinstance(node, ir.Select):
            condition = self.value(node.condition)
            self.code.emit("SELECT", target, condition, self.value(node.then), self.value(node.otherwise))
        elif isinstance(node, ir.TripCount):
            name = "TRIP_I64" if node.start.type.is_signed else "TRIP_U64"
            self.code.emit(name, target, self.value(node.start), self.value(node.stop), self.value(node.step))
        else:
            suffix = "F64" if node.operand.type is Type.F64 else "F32"
            self.code.emit(f"{_TESTS[node.op]}_{suffix}", target, self._wide(node.operand))

    # -- conversions

    def _cast(self, node: ir.Cast | ir.Bitcast, target: int) -> None:
        source, kind = node.operand.type, node.type
        value = self.value(node.operand)
        if isinstance(node, ir.Bitcast):
            self.code.emit(_EXTEND[_register_type(kind)], target, value)
        elif kind is Type.BOOL:
            self._to_bool(source, target, value)
        elif kind.is_float:
            self._to_float(source, kind, target, value)
        elif source.is_float:
            self._float_to_integer(source, kind, target, value)
        else:
            self.code.emit(_EXTEND[kind], target, value)

    def _to_bool(self, source: Type, target: int, value: int) -> None:
        if source.is_float:  # without the sign: zeros are both 0, and NaN is not
            value = self._of("AND", value, self.constant((1 << (source.bits - 1)) - 1))
        self.code.emit("NE_64", target, value, self.constant(0))

    def _to_float(self, source: Type, kind: Type, target: int, value: int) -> None:
        if not source.is_float:
            sign = "U64" if source is Type.U64 else "I64"
            self.code.emit(f"{sign}_TO_{kind.name}", target, value)
            return
        if source is Type.F16 and kind is Type.F64:
            source, value = Type.F32, self._of("F16_TO_F32", value)
        self.code.emit(f"{source.name}_TO_{kind.name}", target, value)

    def _float_to_integer(self, source: Type, kind: Type, target: int, value: int) -> None:
        if source is Type.F16:
            source, value = Type.F32, self._of("F16_TO_F32", value)
        sign = "I" if kind.is_signed else "U"
        self.code.emit(f"{source.name}_TO_{sign}{max(kind.bits, 32)}", target, value)
        if kind.size < 4:  # what saturated in 32 bits does so again
            highest = 2 ** (kind.bits - kind.is_signed) - 1
            self.code.emit("MIN_I64", target, target, self.constant(highest))
            if kind.is_signed:
                self.code.emit("MAX_I64", target, target, self.constant(bits_of(kind, -highest - 1)))


def _register_type(kind: Type) -> Type:
    """The integer that a value is extended as: floats lie in registers as unsigned ones."""
    return {Type.F16: Type.U16, Type.F32: Type.U32}.get(kind, kind)


def _is_nothing(node: ir.Cast | ir.Bitcast) -> bool:
    """The register already has the result."""
    source, kind = node.operand.type, node.type
    if isinstance(node, ir.Bitcast):
        return kind.size == 8 or _register_type(source) is _register_type(kind)
    if source is kind:
        return True
    return kind is not Type.BOOL and not kind.is_float and not source.is_float and is_same_register(source, kind)


def _exponent_of(node: ir.Expr) -> int | None:
    """Of a constant that is a power of two."""
    if not isinstance(node, ir.Const) or node.value <= 0:
        return None
    value = int(node.value)
    return value.bit_length() - 1 if value & (value - 1) == 0 else None


def _without_constants(place: ir.Place) -> tuple[int, list[ir.Term]]:
    """The offset with the terms of constants, and the other terms."""
    offset = place.offset
    terms = []
    for term in place.terms:
        if isinstance(term.index, ir.Const):
            offset += int(term.index.value) * term.stride
        else:
            terms.append(term)
    return offset, terms
