"""The bytecode machine's operations, from the machine itself, and how words of code are packed and read."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from ... import _core
from ..ir import Root

OPCODES = _core.vm_opcodes()  # name: (number, operands); the letters are explained in cpp/src/runtime/vm_opcodes.h
FUNCTIONS_1 = {name: number for number, name in enumerate(_core.vm_functions(1))}
FUNCTIONS_2 = {name: number for number, name in enumerate(_core.vm_functions(2))}
# BUFFER is reached by address, with operations of its own.
ROOTS = {root: number for number, root in enumerate((Root.STATE, Root.MESSAGE, Root.HEADER, Root.FRAME, Root.SHARED))}
MAGIC = 0x4D564B52
HEAD = struct.Struct("<12I")
ENTRY = struct.Struct("<4I")

_CODES = {"i": "I", "o": "I", "J": "I", "F": "I", "_": "H", "j": "h"}
_STRUCTS = {
    name: struct.Struct("<H" + "".join(_CODES.get(letter, "H") for letter in operands))
    for name, (_, operands) in OPCODES.items()
}
WORDS = {name: (packed.size + 7) // 8 for name, packed in _STRUCTS.items()}
_NAMES = list(OPCODES)


def pack(name: str, operands: Sequence[int]) -> bytes:
    """One operation; `operands` without the empty ones."""
    given = iter(operands)
    number, letters = OPCODES[name]
    data = _STRUCTS[name].pack(number, *(0 if letter == "_" else next(given) for letter in letters))
    return data.ljust(8 * WORDS[name], b"\0")


def unpack(code: bytes) -> Iterator[tuple[int, str, list[tuple[str, int]]]]:
    """Word, name, and (letter, value) of the operands, of every operation."""
    word = 0
    while 8 * word < len(code):
        name = _NAMES[int.from_bytes(code[8 * word : 8 * word + 2], "little")]
        values = _STRUCTS[name].unpack_from(code, 8 * word)[1:]
        yield word, name, [pair for pair in zip(OPCODES[name][1], values, strict=True) if pair[0] != "_"]
        word += WORDS[name]
