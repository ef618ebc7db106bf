"""Expressions: pure and total."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from .types import Root, Type


@dataclass(frozen=True)
class Const:
    """`value`: bool for BOOL, an int in the type's range, or a float that the type holds exactly (inf and nan too)."""

    type: Type
    value: bool | int | float


@dataclass(frozen=True)
class Local:
    """A local variable's value. Also what is assigned to. Names are unique in a function; 0 when it begins."""

    type: Type
    name: str


@dataclass(frozen=True)
class Load:
    """The scalar at `place`, which is inside of its root. BOOL: the byte is not 0."""

    type: Type
    place: Place


class UnaryOp(enum.Enum):
    """`type` of the node is that of operand and result."""

    NEG = "neg"  # integers wrap: -min = min. Floats: the sign is flipped, of zeros and NaN too
    INVERT = "invert"  # ~ of integers
    NOT = "not"  # of bool
    ABS = "abs"  # integers wrap: abs(min) = min
    POPCOUNT = "popcount"  # unsigned only, these three
    CLZ = "clz"  # of 0: the width
    CTZ = "ctz"  # of 0: the width
    # Floats, exact (IEEE 754):
    FLOOR = "floor"
    CEIL = "ceil"
    TRUNC = "trunc"
    SQRT = "sqrt"  # of a negative number: NaN
    # Floats, within ulps (docs/language.md): f16 as f32 and rounded
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    ASIN = "asin"
    ACOS = "acos"
    ATAN = "atan"
    SINH = "sinh"
    COSH = "cosh"
    TANH = "tanh"
    EXP = "exp"
    EXP2 = "exp2"
    EXPM1 = "expm1"
    LOG = "log"
    LOG2 = "log2"
    LOG10 = "log10"
    LOG1P = "log1p"
    CBRT = "cbrt"


class TestOp(enum.Enum):
    """Of a float, giving BOOL."""

    IS_NAN = "is_nan"
    IS_INF = "is_inf"
    IS_FINITE = "is_finite"


class BinaryOp(enum.Enum):
    """Operands and result have the node's type."""

    ADD = "add"  # integers wrap; floats round to nearest even, each operation for itself
    SUB = "sub"
    MUL = "mul"
    FLOORDIV = "floordiv"  # integers only: towards minus infinity; x // 0 = 0; min // -1 = min
    MOD = "mod"  # integers only: the sign of the divisor; x % 0 = 0
    TRUEDIV = "truediv"  # floats only: IEEE, so x / 0 is inf or NaN
    AND = "and"  # integers and BOOL, these three
    OR = "or"
    XOR = "xor"
    SHL = "shl"  # integers: by the right operand & (width - 1)
    SHR = "shr"  # as SHL; arithmetic for signed types
    MIN = "min"  # right if right < left else left, as Python's min(left, right)
    MAX = "max"  # right if right > left else left
    COPYSIGN = "copysign"  # floats, exact
    FMOD = "fmod"  # floats, exact (C's fmod; of infinities and zeros NaN)
    ATAN2 = "atan2"  # floats, within ulps, these three
    POW = "pow"
    HYPOT = "hypot"


class CompareOp(enum.Enum):
    """Operands have one type, the result is BOOL. Floats as IEEE: NaN is unequal to everything."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"


@dataclass(frozen=True)
class Unary:
    """See UnaryOp."""

    type: Type
    op: UnaryOp
    operand: Expr


@dataclass(frozen=True)
class Test:
    """See TestOp."""

    op: TestOp
    operand: Expr

    @property
    def type(self) -> Type:
        return Type.BOOL


@dataclass(frozen=True)
class Binary:
    """See BinaryOp."""

    type: Type
    op: BinaryOp
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Compare:
    """See CompareOp."""

    op: CompareOp
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        return Type.BOOL


@dataclass(frozen=True)
class Select:
    """`then` if `condition` else `otherwise`. Both are pure, so both may be evaluated."""

    type: Type
    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True)
class Cast:
    """To `type`. Between integers: wraps. Float to integer: towards zero, saturates, NaN is 0. Integer to float and
    float to float: to nearest even, overflow is infinite. Number to BOOL: != 0 (NaN is true). BOOL to number: 0 or 1."""

    type: Type
    operand: Expr


@dataclass(frozen=True)
class Bitcast:
    """The same bits as another type of the same size; not BOOL."""

    type: Type
    operand: Expr


@dataclass(frozen=True)
class TripCount:
    """How many items range(start, stop, step) has: `type` is unsigned, the operands are integers of its width (32 or
    64 bits) and of one type. 0 for a step of 0."""

    type: Type
    start: Expr
    stop: Expr
    step: Expr


class QueryName(enum.Enum):
    """What is constant while a message is handled: U32, but FAILED, which is BOOL."""

    THREAD_ID = "thread_id"
    BLOCK_ID = "block_id"
    BLOCK_DIM = "block_dim"
    GRID_DIM = "grid_dim"
    GLOBAL_THREAD_ID = "global_thread_id"
    WARP_ID = "warp_id"
    LANE_ID = "lane_id"
    KERNEL_ID = "kernel_id"
    INSTANCE_ID = "instance_id"
    FAILED = "failed"  # a Fail was executed; read right after a Call of a function with may_fail


@dataclass(frozen=True)
class Query:
    """See QueryName."""

    name: QueryName

    @property
    def type(self) -> Type:
        return Type.BOOL if self.name is QueryName.FAILED else Type.U32


Expr: TypeAlias = Const | Local | Load | Unary | Test | Binary | Compare | Select | Cast | Bitcast | TripCount | Query


@dataclass(frozen=True)
class Term:
    """`index` (U32) times `stride` bytes."""

    index: Expr
    stride: int


@dataclass(frozen=True)
class Place:
    """A byte address: root + offset + the sum of the terms. Aligned for what is accessed there.

    BUFFER has no begin of its own: it is `base` (U64) + offset + the terms, in 64 bits; `base` is a local that only ever
    gets addresses that were loaded from references. What is accessed there is a scalar."""

    root: Root
    offset: int
    terms: tuple[Term, ...] = ()
    base: Local | None = None
