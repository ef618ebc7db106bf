"""Types, memories and errors."""

from __future__ import annotations

import enum


class Type(enum.Enum):
    """The type of a value: name, bytes in memory, kind."""

    BOOL = ("bool", 1, "bool")
    I8 = ("i8", 1, "int")
    I16 = ("i16", 2, "int")
    I32 = ("i32", 4, "int")
    I64 = ("i64", 8, "int")
    U8 = ("u8", 1, "uint")
    U16 = ("u16", 2, "uint")
    U32 = ("u32", 4, "uint")
    U64 = ("u64", 8, "uint")
    F16 = ("f16", 2, "float")
    F32 = ("f32", 4, "float")
    F64 = ("f64", 8, "float")

    def __init__(self, text: str, size: int, kind: str) -> None:
        self.text = text
        self.size = size
        self.kind = kind

    @property
    def bits(self) -> int:
        """Width in memory."""
        return 8 * self.size

    @property
    def is_integer(self) -> bool:
        """Signed or unsigned, not bool."""
        return self.kind in ("int", "uint")

    @property
    def is_signed(self) -> bool:
        """A signed integer."""
        return self.kind == "int"

    @property
    def is_float(self) -> bool:
        """f16, f32 or f64."""
        return self.kind == "float"

    def __repr__(self) -> str:
        return self.text


class Root(enum.Enum):
    """A memory that places are in. Different roots never overlap; what references lead to may, with each other."""

    STATE = "state"  # of the instance; aligned to 64
    MESSAGE = "message"  # the payload in hand; writable (a copy) in an entry with `writes_message`, else read-only
    HEADER = "header"  # 64 bytes, MessageHeader of abi/message_header.h; read-only
    FRAME = "frame"  # of each thread: objects made in the handler; no promise about its bytes before they are written
    BUFFER = "buffer"  # what references lead to: the host's, and shared with all who have a reference to it
    SHARED = "shared"  # of each block: ctx.shared(); zeros when a message begins


class ErrorCode(enum.IntEnum):
    """What the language itself counts as an error. Codes below 0xFFFF0000 are the user's."""

    DIVISION_BY_ZERO = 0xFFFF0001  # also of a remainder; the result is 0
    INDEX = 0xFFFF0002  # outside of an array: a load gives 0, a store does nothing
    RANGE_STEP = 0xFFFF0003  # range() with a step of 0 has no items
    VEC_FULL = 0xFFFF0004  # append() to a full Vec does nothing
    CLOCK_SKEW = 0xFFFF0005  # ctx.update_clock() refused a time too far ahead
    # These fail the message:
    ASSERTION = 0xFFFF0101
    SEND_FULL = 0xFFFF0102
    SEND_CLOSED = 0xFFFF0103
    SEND_TOO_LARGE = 0xFFFF0104
    SEND_UNDECLARED = 0xFFFF0105
    SEND_FAILED = 0xFFFF0106  # no memory, a malformed topic, or another reason
    CANCELLED = 0xFFFF0107  # the watchdog stopped the handler
