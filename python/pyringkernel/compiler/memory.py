"""The memories of one message, with every access checked."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .ir import Root, Type
from .ops import STRUCTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ir import Entry, Program

HEADER_SIZE = 64
_REFERENCE = struct.Struct("<QII")  # BufferReference of runtime/buffer_table.h
UNWRITTEN = 0xA5  # what FRAME is filled with: a handler that reads what it did not write shows


class InterpreterError(Exception):
    """The program broke a rule that the front end keeps: it is wrong, not what it was given."""


def _buffers(entry: Entry, slot: bytes | bytearray | memoryview) -> Iterator[tuple[int, memoryview]]:
    """What the references of a message lead to; they were checked."""
    for one in entry.references:
        address, count, _ = _REFERENCE.unpack_from(slot, HEADER_SIZE + one.offset)
        if count:
            room = (ctypes.c_char * (count * one.type.size)).from_address(address)
            yield address, memoryview(room).cast("B")


@dataclass
class Memory:
    """The bytes behind the roots, and which of them may be written."""

    roots: dict[Root, bytearray]
    writable: frozenset[Root]
    buffers: tuple[tuple[int, memoryview], ...] = ()  # what the message refers to: begin, bytes
    line: int = field(default=0)  # of the statement at work, for errors

    @classmethod
    def of(cls, program: Program, entry: Entry, state: bytearray, slot: bytes | bytearray | memoryview) -> Memory:
        """For one message. `state` is written in place, a message is copied."""
        if len(state) < program.state_size or len(slot) < HEADER_SIZE + entry.size:
            raise InterpreterError(f"{program.name}: {len(state)} bytes of state, {len(slot)} bytes in the slot")
        roots = {
            Root.STATE: state,
            Root.MESSAGE: bytearray(slot[HEADER_SIZE : HEADER_SIZE + entry.size]),
            Root.HEADER: bytearray(slot[:HEADER_SIZE]),
            Root.FRAME: bytearray([UNWRITTEN]) * program.frame_size,
            Root.SHARED: bytearray(program.shared_size),
        }
        buffers = tuple(_buffers(entry, slot))
        read_only = {Root.HEADER} if entry.writes_message else {Root.HEADER, Root.MESSAGE}
        return cls(roots, frozenset(set(Root) - read_only), buffers)

    def load(self, kind: Type, root: Root, address: int) -> Any:
        """The scalar there."""
        if root is Root.BUFFER:
            return STRUCTS[kind].unpack_from(*self._in_buffer(address, kind))[0]
        self._check(root, address, kind.size, kind.size, writes=False)
        if kind is Type.BOOL:  # any byte that is not 0, also where struct would differ
            return self.roots[root][address] != 0
        return STRUCTS[kind].unpack_from(self.roots[root], address)[0]

    def store(self, kind: Type, root: Root, address: int, value: Any) -> None:
        """The scalar to there."""
        if root is Root.BUFFER:
            STRUCTS[kind].pack_into(*self._in_buffer(address, kind), value)
            return
        self._check(root, address, kind.size, kind.size, writes=True)
        STRUCTS[kind].pack_into(self.roots[root], address, value)

    def read(self, root: Root, address: int, size: int) -> bytes:
        """`size` bytes from there."""
        self._check(root, address, size, 1, writes=False)
        return bytes(self.roots[root][address : address + size])

    def write(self, root: Root, address: int, data: bytes) -> None:
        """These bytes to there."""
        self._check(root, address, len(data), 1, writes=True)
        self.roots[root][address : address + len(data)] = data

    def _in_buffer(self, address: int, kind: Type) -> tuple[memoryview, int]:
        """The buffer, and where in it."""
        for begin, data in self.buffers:
            if begin <= address <= begin + len(data) - kind.size and address % kind.size == 0:
                return data, address - begin
        raise InterpreterError(f"line {self.line}: address {address:#x} is in no buffer that the message refers to")

    def _check(self, root: Root, address: int, size: int, align: int, *, writes: bool) -> None:
        limit = len(self.roots[root])
        if not 0 <= address <= limit - size:
            raise InterpreterError(f"line {self.line}: bytes {address} to {address + size} of {root.value} ({limit})")
        if address % align:
            raise InterpreterError(f"line {self.line}: address {address} in {root.value} is not aligned to {align}")
        if writes and root not in self.writable:
            raise InterpreterError(f"line {self.line}: {root.value} is read-only")
