"""Statements: they act in their order."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from .expressions import Expr, Local, Place
from .types import Type

_line = field(default=0, compare=False)


@dataclass(frozen=True)
class SetLocal:
    """local = value"""

    local: Local
    value: Expr
    line: int = _line


@dataclass(frozen=True)
class Store:
    """The scalar `value` to `place`. BOOL is stored as 0 or 1."""

    place: Place
    value: Expr
    line: int = _line


@dataclass(frozen=True)
class Copy:
    """`size` bytes; the two may overlap (memmove)."""

    target: Place
    source: Place
    size: int
    line: int = _line


@dataclass(frozen=True)
class Zero:
    """`size` bytes."""

    target: Place
    size: int
    line: int = _line


@dataclass(frozen=True)
class If:
    """if condition: then; else: otherwise"""

    condition: Expr
    then: Body
    otherwise: Body = ()
    line: int = _line


@dataclass(frozen=True)
class Loop:
    """For ever, until a Break. Continue goes to its begin. Its back edge polls for cancellation."""

    body: Body
    line: int = _line


@dataclass(frozen=True)
class For:
    """`count` times: variable = start + k * step (wrapping, k = 0, 1, ...), then body. `start`, `step` and `count` are
    evaluated once, before; `count` is unsigned. Assigning to `variable` in the body does not change the next item. Its
    back edge polls for cancellation."""

    variable: Local
    start: Expr
    step: Expr
    count: Expr
    body: Body
    line: int = _line


@dataclass(frozen=True)
class Break:
    """Leaves the innermost loop."""

    line: int = _line


@dataclass(frozen=True)
class Continue:
    """The innermost loop's next turn."""

    line: int = _line


@dataclass(frozen=True)
class Return:
    """From the function; `value` is None where the function has no result, as an entry's has not."""

    value: Expr | None = None
    line: int = _line


@dataclass(frozen=True)
class Call:
    """target = function(arguments). `target` is None when there is no result or nobody wants it."""

    target: Local | None
    function: str
    arguments: tuple[Expr, ...]
    line: int = _line


@dataclass(frozen=True)
class CountError:
    """errors += 1; last_error = code (U32). The handler goes on."""

    code: Expr
    line: int = _line


@dataclass(frozen=True)
class Fail:
    """The message fails with this code: what was sent and stored stays, and the function returns at once (with 0, when
    it has a result). Its callers test QueryName.FAILED after the call."""

    code: int
    line: int = _line


@dataclass(frozen=True)
class Reply:
    """Answers the message in hand with the `size` bytes at `payload`. When it is not accepted, acts as
    Fail(SEND_...)."""

    type_id: int
    payload: Place
    size: int
    line: int = _line


@dataclass(frozen=True)
class Send:
    """To Program.targets[target]. `instance` (U32): None where the receiver's routing decides. `priority` (U32, 0 to
    3; more is 3): None: NORMAL. `deadline` (F64, seconds from now): None, or not > 0: none. Fails as Reply does."""

    target: int
    type_id: int
    payload: Place
    size: int
    instance: Expr | None = None
    priority: Expr | None = None
    deadline: Expr | None = None
    line: int = _line


@dataclass(frozen=True)
class Publish:
    """To the subscribers of Program.topics[topic]; how many got it goes to `target` (U32)."""

    target: Local | None
    topic: int
    type_id: int
    payload: Place
    size: int
    retain: bool = False
    line: int = _line


class Service(enum.Enum):
    """What the runtime is asked for, with the types of arguments and result."""

    NOW = ("now", (), Type.U64)
    TICK = ("tick", (), Type.U64)
    UPDATE_CLOCK = ("update_clock", (Type.U64,), Type.BOOL)  # False: refused
    PENDING = ("pending", (), Type.U64)
    FREE_SLOTS = ("free_slots", (Type.U32,), Type.U64)  # of a Const index in Program.targets
    REQUEST_TERMINATION = ("request_termination", (), None)
    IS_TERMINATING = ("is_terminating", (), Type.BOOL)

    def __init__(self, text: str, parameters: tuple[Type, ...], result: Type | None) -> None:
        self.text = text
        self.parameters = parameters
        self.result = result


@dataclass(frozen=True)
class CallService:
    """target = service(arguments)"""

    target: Local | None
    service: Service
    arguments: tuple[Expr, ...] = ()
    line: int = _line


class AtomicOp(enum.Enum):
    """On I32, U32, I64 or U64 in STATE, SHARED or BUFFER. Relaxed; wraps."""

    ADD = "add"
    SUB = "sub"
    MIN = "min"
    MAX = "max"
    AND = "and"
    OR = "or"
    XOR = "xor"
    EXCHANGE = "exchange"
    CAS = "cas"  # stores `value` if the old value is `expected`


@dataclass(frozen=True)
class Atomic:
    """target = the old value; the place gets op(old, value)."""

    target: Local | None
    op: AtomicOp
    type: Type
    place: Place
    value: Expr
    expected: Expr | None = None
    line: int = _line


class Scope(enum.Enum):
    """Of barriers and fences."""

    WARP = "warp"
    BLOCK = "block"
    GRID = "grid"
    SYSTEM = "system"  # fences only


@dataclass(frozen=True)
class Barrier:
    """All threads of the scope arrive before one leaves, and see what the others wrote. One thread: nothing."""

    scope: Scope
    line: int = _line


@dataclass(frozen=True)
class Fence:
    """Orders this thread's accesses for the scope. One thread: nothing."""

    scope: Scope
    line: int = _line


class WarpOp(enum.Enum):
    """Among the lanes of a warp; a warp of one lane gives `value` (ballot: 0 or 1)."""

    SHUFFLE = "shuffle"  # of lane `operand` (U32)
    SHUFFLE_UP = "shuffle_up"  # of lane - operand; own value where there is none
    SHUFFLE_DOWN = "shuffle_down"
    SHUFFLE_XOR = "shuffle_xor"
    BALLOT = "ballot"  # BOOL -> U64, a bit for each lane
    ALL = "all"  # BOOL -> BOOL
    ANY = "any"
    REDUCE_ADD = "reduce_add"  # integers: wraps; floats: order of addition is the target's
    REDUCE_MIN = "reduce_min"
    REDUCE_MAX = "reduce_max"


@dataclass(frozen=True)
class Warp:
    """target = op(value, operand) over the warp. `operand` is None but for shuffles."""

    target: Local | None
    op: WarpOp
    value: Expr
    operand: Expr | None = None
    line: int = _line


Stmt: TypeAlias = (
    SetLocal
    | Store
    | Copy
    | Zero
    | If
    | Loop
    | For
    | Break
    | Continue
    | Return
    | Call
    | CountError
    | Fail
    | Reply
    | Send
    | Publish
    | CallService
    | Atomic
    | Barrier
    | Fence
    | Warp
)
Body: TypeAlias = tuple[Stmt, ...]
