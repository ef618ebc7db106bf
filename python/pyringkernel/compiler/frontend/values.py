"""What an expression of a handler is to the front end: scalars, untyped constants, views of memory, and names that exist
at compile time only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ...messages import layout_of
from .. import ir
from .types import scalar_type, spell

if TYPE_CHECKING:
    import ast

    from ...messages import FieldRow
    from ..source import Known


# -- shapes: what is at a place -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Struct:
    """A message or state class."""

    cls: type[Any]

    @property
    def size(self) -> int:
        return layout_of(self.cls).size

    @property
    def align(self) -> int:
        return layout_of(self.cls).align

    def __str__(self) -> str:
        return self.cls.__name__


@dataclass(frozen=True)
class Sequence:
    """`kind`: Array, Vec, Bytes or Ref. A Vec's place is that of its length, elements are `first` bytes further on. A
    Ref's place is that of the reference, its elements are elsewhere, and `count` is 0."""

    kind: str
    element: ir.Type | Struct
    count: int

    @property
    def first(self) -> int:
        return max(4, self.element_align) if self.kind == "Vec" else 0

    @property
    def stride(self) -> int:
        return self.element.size

    @property
    def element_align(self) -> int:
        return self.element.size if isinstance(self.element, ir.Type) else self.element.align

    @property
    def size(self) -> int:
        return REFERENCE_BYTES if self.kind == "Ref" else self.first + self.stride * self.count

    @property
    def varies(self) -> bool:
        """Its length is known only when a message is there."""
        return self.kind in ("Vec", "Ref")

    def __str__(self) -> str:
        if self.kind == "Bytes":
            return f"rk.Bytes[{self.count}]"
        if self.kind == "Ref":
            return f"rk.Ref[{shape_text(self.element)}]"
        return f"rk.{self.kind}[{shape_text(self.element)}, {self.count}]"


Shape: TypeAlias = ir.Type | Struct | Sequence


def shape_text(shape: Shape) -> str:
    """As users write it."""
    return spell(shape) if isinstance(shape, ir.Type) else str(shape)


SCALARS = (
    ir.Type.BOOL, ir.Type.I8, ir.Type.I16, ir.Type.I32, ir.Type.I64, ir.Type.U8, ir.Type.U16, ir.Type.U32, ir.Type.U64,
    ir.Type.F16, ir.Type.F32, ir.Type.F64,
)  # fmt: skip
_BYTES, _STRUCT, _REF = 12, 13, 3
REFERENCE_BYTES, REFERENCE_COUNT = 16, 8  # size, and where the count of elements is; the address comes first


def shape_of_row(row: FieldRow) -> Shape:
    """Of a field."""
    if row.scalar == _BYTES:
        return Sequence("Bytes", ir.Type.U8, row.element_size)
    if row.shape == _REF:
        return Sequence("Ref", SCALARS[row.scalar], 0)
    element = Struct(row.nested) if row.nested is not None else SCALARS[row.scalar]
    return element if row.shape == 0 else Sequence("Array" if row.shape == 1 else "Vec", element, row.count)


def shape_of_annotation(value: Any) -> Shape | None:
    """What `rk.u32`, `rk.Array[rk.f32, 8]` or a message class describes; None for everything else."""
    kind = scalar_type(value)
    if kind is not None:
        return kind
    if hasattr(type(value), "rk_shape"):
        if value.rk_shape == "Bytes":
            return Sequence("Bytes", ir.Type.U8, value.count)
        element = shape_of_annotation(value.element)
        if value.rk_shape == "Ref" and isinstance(element, ir.Type):
            return Sequence("Ref", element, 0)
        return (
            None if element is None or isinstance(element, Sequence) else Sequence(value.rk_shape, element, value.count)
        )
    if isinstance(value, type) and "layout" in value.__dict__ and hasattr(value, "type_id"):
        return Struct(value)
    return None


# -- values -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A constant that has no type yet."""

    value: int | float


@dataclass(frozen=True)
class Choice:
    """`then if condition else otherwise` of constants that have no type yet."""

    condition: ir.Expr
    then: Untyped
    otherwise: Untyped


Untyped: TypeAlias = Number | Choice


@dataclass(frozen=True)
class Scalar:
    """`stamp`: it is a timestamp, a U64 which is only compared."""

    expr: ir.Expr
    stamp: bool = False

    @property
    def type(self) -> ir.Type:
        return self.expr.type


@dataclass(frozen=True)
class View:
    """Something in memory. `guard`: what must hold for it to be there, over locals only; `counted`: the error was
    counted already when it does not. `owner`: the local whose own storage it is in. `fresh`: nobody else has it."""

    shape: Shape
    place: ir.Place
    guard: ir.Expr | None = None
    counted: bool = False
    owner: str = ""
    fresh: bool = False

    def at(self, shape: Shape, offset: int) -> View:
        """A part of it, `offset` bytes further on."""
        return replace(self, shape=shape, place=replace(self.place, offset=self.place.offset + offset), fresh=False)


@dataclass(frozen=True)
class Items:
    """[a, b, c]"""

    nodes: tuple[ast.expr, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Text:
    """A str."""

    value: str


@dataclass(frozen=True)
class Raw:
    """A bytes literal."""

    value: bytes


@dataclass(frozen=True)
class Outside:
    """A module, class or function."""

    known: Known


@dataclass(frozen=True)
class ContextValue:
    """ctx"""


@dataclass(frozen=True)
class HeaderValue:
    """msg.header"""


@dataclass(frozen=True)
class Method:
    """`v.append` or `ctx.send`, to be called."""

    owner: View | ContextValue
    name: str
    node: ast.Attribute = field(compare=False)


@dataclass(frozen=True)
class Nothing:
    """None, and what a call without a result gives."""


Value: TypeAlias = (
    Number | Choice | Scalar | View | Items | Text | Raw | Outside | ContextValue | HeaderValue | Method | Nothing
)

NOTHING = Nothing()


def describe(value: Value) -> str:
    """For "found ..."."""
    if isinstance(value, Scalar):
        return "a timestamp" if value.stamp else spell(value.type)
    if isinstance(value, Number):
        return repr(value.value)
    if isinstance(value, View):
        return shape_text(value.shape)
    if isinstance(value, Outside):
        return f"{value.known.kind.value} ({getattr(value.known.value, '__name__', type(value.known.value).__name__)})"
    return _NAMES[type(value)]


_NAMES: dict[type, str] = {
    Choice: "a constant", Items: "a list", Text: "a str", Raw: "bytes", ContextValue: "the context",
    HeaderValue: "a header", Method: "a method that is not called", Nothing: "None",
}  # fmt: skip
