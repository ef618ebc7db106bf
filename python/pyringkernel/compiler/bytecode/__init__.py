"""Programs as bytecode for the machine in cpp/src/runtime/vm_run.cc.

``_core.VmProgram(encode(program))`` is ready to run. The encoding is described in cpp/src/runtime/vm_load.cc.
"""

from __future__ import annotations

import struct

from ... import _core
from ...errors import UnsupportedError
from .. import ir
from .assembler import Constants
from .ops import ENTRY, HEAD, MAGIC, ROOTS, unpack
from .statements import FunctionEmitter, Placed


def encode(program: ir.Program) -> bytes:
    """The bytecode of a program. Raises UnsupportedError when it is too large for the machine."""
    constants = Constants()
    placed: dict[str, Placed] = {}
    for function in program.functions:
        placed[function.name] = FunctionEmitter(function, placed, constants).emit()
    entries = [_entry(entry, number, placed, constants) for number, entry in enumerate(program.entries)]
    count = len(constants.values)
    registers = count + max(each.end for each in placed.values())
    _refuse_large(program, registers, placed)
    code, begins = b"", []
    for each in placed.values():
        begins.append(len(code) // 8)
        code += each.code.assemble(begins[-1], count)
    head = HEAD.pack(
        MAGIC, _core.vm_version, registers, count, len(placed), len(entries), len(code) // 8,
        program.state_size, program.frame_size, program.shared_size, len(program.targets), len(program.topics),
    )  # fmt: skip
    table = struct.pack(f"<{count}Q{len(begins)}I", *constants.values, *begins)
    table += bytes(-len(table) % 8)
    return head + table + b"".join(entries) + code


def _entry(entry: ir.Entry, number: int, placed: dict[str, Placed], constants: Constants) -> bytes:
    """Its row. Entries cannot be called, so their names may be used twice."""
    emitted = FunctionEmitter(entry.function, placed, constants).emit()
    placed[f"{number} {entry.message}"] = emitted
    return ENTRY.pack(emitted.index, entry.size, int(entry.writes_message), 0)


def _refuse_large(program: ir.Program, registers: int, placed: dict[str, Placed]) -> None:
    if registers > _core.vm_max_registers:
        raise UnsupportedError(
            f"handler {program.name!r} needs {registers} registers of the bytecode machine, which has "
            f"{_core.vm_max_registers}: use fewer local variables, or the llvm engine"
        )


def disassemble(data: bytes) -> str:
    """What encode() gave, for people: an operation in a line, with its word in front of it."""
    (_, version, registers, count, functions, entries, words, *_) = HEAD.unpack_from(data)
    values = struct.unpack_from(f"<{count}Q", data, HEAD.size)
    begins = struct.unpack_from(f"<{functions}I", data, HEAD.size + 8 * count)
    rows = HEAD.size + 8 * count + (4 * functions + 7) // 8 * 8
    lines = [f"; bytecode {version}: {registers} registers, {words} words"]
    lines += [f"r{number} = 0x{value:x}" for number, value in enumerate(values)]
    for number in range(entries):
        function, size, writes, _ = ENTRY.unpack_from(data, rows + ENTRY.size * number)
        lines.append(f"; entry {number}: f{function}, {size} bytes{', writes its message' if writes else ''}")
    for word, name, operands in unpack(data[rows + ENTRY.size * entries :]):
        if word in begins:
            lines.append(f"f{begins.index(word)}:")
        lines.append(f"{word:6} {name:18} " + ", ".join(_operand(word, *pair) for pair in operands))
    return "\n".join(line.rstrip() for line in lines) + "\n"


_ROOT_NAMES = {number: root.value for root, number in ROOTS.items()}


def _operand(word: int, letter: str, value: int) -> str:
    if letter in "ds":
        return f"r{value}"
    if letter in "rw":
        return _ROOT_NAMES[value]
    if letter in "jJ":
        return f"-> {value + (word if letter == 'j' else 0)}"
    return f"f{value}" if letter == "F" else f"{value}"
