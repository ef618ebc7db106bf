"""Programs: functions, and what handles which message."""

from __future__ import annotations

from dataclasses import dataclass, field

from .expressions import Local
from .statements import Body
from .types import Type


@dataclass(frozen=True)
class Function:
    """A handler for one message class, or a device function for one binding of its references.

    `locals`: all of them, but for parameters. `may_fail`: it contains Fail, Reply, Send, a loop, or a call of such a
    function. No recursion. `file` and `line`: of the Python function; lines of statements are in that file.
    """

    name: str
    parameters: tuple[Local, ...]
    result: Type | None
    locals: tuple[Local, ...]
    body: Body
    may_fail: bool
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Reference:
    """A field of a message that refers to a buffer: 16 bytes at `offset`, of which the address (U64) is the first and
    the count of elements (U32) the second word. It is good, and stays so, when the message is handled. `writes`: what it
    leads to may be written to."""

    name: str
    offset: int
    type: Type
    writes: bool


@dataclass(frozen=True)
class Entry:
    """What handles messages with this type id. Bytes in `size`, of the payload."""

    message: str
    type_id: int
    size: int
    writes_message: bool
    function: Function
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Program:
    """A compiled handler. Sizes in bytes. `functions`: callees come before their callers.

    `features`: those of "f16", "f64", "i64" (any 64-bit integer), "i8", "i16" (memory accesses of these widths are not
    counted, arithmetic is), "atomics", "atomics64", "warp", "shared", "sync_grid", "send", "references", and the names of UnaryOp and
    BinaryOp members from "sin" on, "fmod", "hypot": what a target may lack.
    """

    name: str
    entries: tuple[Entry, ...]
    functions: tuple[Function, ...]
    state_size: int
    frame_size: int
    shared_size: int
    targets: tuple[str, ...]
    topics: tuple[str, ...]
    features: frozenset[str]
    block_size: int = 1
    checked: bool = True
    replies: tuple[tuple[int, int], ...] = ()  # (type id, size) of the classes that are sent, published or returned
