"""Checks that a program keeps the rules of ir.py, so that emitters need not. Each node is looked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .features import features_of
from .ir import Type
from .verify_function import FunctionCheck, IrError

if TYPE_CHECKING:
    from .ir import Program

_U32_END = 1 << 32


def verify(program: Program) -> None:
    """Raises IrError for the first rule that is broken."""
    _check_sizes(program)
    checked: dict[str, FunctionCheck] = {}
    for function in program.functions:
        if function.name in checked:
            raise IrError(f"function {function.name}: there are two of this name")
        check = FunctionCheck(program, checked, function, f"function {function.name}")
        check.run()
        checked[function.name] = check
    type_ids = set()
    for entry in program.entries:
        path = f"entry {entry.message}"
        if entry.type_id in type_ids or not 0 < entry.type_id < _U32_END or not 0 <= entry.size < _U32_END:
            raise IrError(f"{path}: type id 0x{entry.type_id:x}, {entry.size} bytes: taken, or out of range")
        type_ids.add(entry.type_id)
        if entry.function.parameters or entry.function.result is not None:
            raise IrError(f"{path}: its function has neither parameters nor a result")
        check = FunctionCheck(program, checked, entry.function, path)
        check.run()
        if check.message_extent > entry.size:
            raise IrError(f"{path}: byte {check.message_extent} of the message, which has {entry.size}")
        for one in entry.references:
            if one.offset % 8 or not 0 <= one.offset <= entry.size - 16 or one.type is Type.BOOL:
                raise IrError(f"{path}: a reference to {one.type!r} at byte {one.offset} of {entry.size}")
        if check.writes_message and not entry.writes_message:
            raise IrError(f"{path}: writes the message, which is read-only")
    _check_features(program)


def _check_sizes(program: Program) -> None:
    sizes = (program.state_size, program.frame_size, program.shared_size)
    if not program.entries:
        raise IrError("program: it has no entries")
    if not all(0 <= size < _U32_END for size in sizes) or program.block_size < 1:
        raise IrError(f"program: sizes {sizes}, block of {program.block_size}")
    for type_id, size in program.replies:
        if not 0 < type_id < _U32_END or not 0 <= size < _U32_END:
            raise IrError(f"program: reply 0x{type_id:x} of {size} bytes")


def _check_features(program: Program) -> None:
    needed = features_of(program)
    if needed != program.features:
        missing, unused = sorted(needed - program.features), sorted(program.features - needed)
        raise IrError(f"program: features lack {missing} and have {unused} in excess")


__all__ = ["IrError", "verify"]
