"""Operations with labels and constants in place of numbers, and what becomes of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

from ..ir import Type
from .ops import OPCODES, WORDS, pack

_FAR = 0x7FFF  # words, of a conditional jump


class Label:
    """A place in a function's code."""

    def __init__(self) -> None:
        self.index = -1  # of the operation that follows
        self.is_used = False


Operand: TypeAlias = "int | Label"  # a register below 0 is that of a constant


@dataclass
class Operation:
    """A name in OPCODES, its operands without the empty ones."""

    name: str
    operands: tuple[Operand, ...]

    @property
    def label(self) -> Label | None:
        """Where it may jump to."""
        return next((operand for operand in self.operands if isinstance(operand, Label)), None)


def bits_of(kind: Type, value: bool | int | float) -> int:
    """What a register holds for a constant."""
    if kind is Type.F16:
        return int.from_bytes(struct.pack("<e", value), "little")
    if kind is Type.F32:
        return int.from_bytes(struct.pack("<f", value), "little")
    if kind is Type.F64:
        return int.from_bytes(struct.pack("<d", value), "little")
    return int(value) & 0xFFFF_FFFF_FFFF_FFFF


@dataclass
class Constants:
    """Registers that are loaded once for a run: constants of all functions."""

    values: dict[int, int] = field(default_factory=dict)

    def register(self, bits: int) -> int:
        """Of a value; below 0, as how many there will be is not known before the end."""
        return -1 - self.values.setdefault(bits, len(self.values))


class Code:
    """One function's operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def emit(self, name: str, *operands: Operand) -> None:
        self.operations.append(Operation(name, operands))
        for operand in operands:
            if isinstance(operand, Label):
                operand.is_used = True

    def place(self, label: Label) -> None:
        """Here."""
        label.index = len(self.operations)

    def assemble(self, begin: int, constants: int) -> bytes:
        """The code from word `begin` on, in a program with so many constants."""
        self._thread_jumps()
        self._drop_jumps()
        self._lengthen_jumps()
        words = [begin]
        for operation in self.operations:
            words.append(words[-1] + WORDS[operation.name])
        return b"".join(
            self._pack(operation, word, words, constants)
            for operation, word in zip(self.operations, words, strict=False)
        )

    def _pack(self, operation: Operation, word: int, words: list[int], constants: int) -> bytes:
        letters = OPCODES[operation.name][1].replace("_", "")
        values = []
        for letter, operand in zip(letters, operation.operands, strict=True):
            if isinstance(operand, Label):
                values.append(words[operand.index] - (word if letter == "j" else 0))
            elif letter in "ds":
                values.append(-1 - operand if operand < 0 else operand + constants)
            else:
                values.append(operand)
        return pack(operation.name, values)

    def _thread_jumps(self) -> None:
        """A jump to a jump goes where that one goes; a jump to RETURN returns."""
        for operation in self.operations:
            label = operation.label
            if label is None or operation.name in ("LOOP", "NEXT_I32", "NEXT_U32", "NEXT_64"):
                continue
            while (there := self.operations[label.index]).name == "JUMP":  # forward, so this ends
                label = there.label
                assert label is not None
            operation.operands = tuple(label if isinstance(o, Label) else o for o in operation.operands)
            if operation.name == "JUMP" and there.name == "RETURN":
                operation.name, operation.operands = "RETURN", ()

    def _drop_jumps(self) -> None:
        """Jumps to the next operation go."""
        kept = [
            not (operation.name == "JUMP" and operation.label is not None and operation.label.index == index + 1)
            for index, operation in enumerate(self.operations)
        ]
        before = [0]
        for keep in kept:
            before.append(before[-1] + keep)
        labels = {label for operation in self.operations if (label := operation.label) is not None}
        for label in labels:
            label.index = before[label.index]
        self.operations = [operation for operation, keep in zip(self.operations, kept, strict=True) if keep]

    def _lengthen_jumps(self) -> None:
        """In a function that is too long for conditional jumps, these jump over a JUMP."""
        if sum(WORDS[operation.name] for operation in self.operations) < _FAR:
            return
        longer: list[Operation] = []
        moved: list[int] = []
        over: list[tuple[Label, int]] = []
        labels = {label for operation in self.operations if (label := operation.label) is not None}
        for operation in self.operations:
            moved.append(len(longer))
            label = operation.label
            if OPCODES[operation.name][1] != "ssj" or label is None:
                longer.append(operation)
                continue
            skip = Label()
            name, left, right = inverse(operation.name, operation.operands[0], operation.operands[1])
            longer += [Operation(name, (left, right, skip)), Operation("JUMP", (label,))]
            over.append((skip, len(longer)))
        for label in labels:
            label.index = moved[label.index]
        for skip, index in over:
            skip.index = index
        self.operations = longer


def inverse(name: str, left: Operand, right: Operand) -> tuple[str, Operand, Operand]:
    """The jump that is taken when this one is not."""
    if name in ("JUMP_LT_I64", "JUMP_LE_I64", "JUMP_LT_U64", "JUMP_LE_U64"):
        return name.replace("LT", "L_").replace("LE", "LT").replace("L_", "LE"), right, left
    for one, other in (("_NOT_LT", "_LT"), ("_NOT_LE", "_LE"), ("_EQ", "_NE"), ("_NE", "_EQ"), ("_LT", "_NOT_LT")):
        if one in name:
            return name.replace(one, other), left, right
    return name.replace("_LE", "_NOT_LE"), left, right
