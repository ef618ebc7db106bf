"""Message and state classes of generated programs: their fields, source text, layout and bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pyringkernel.compiler.ir import Type

from . import values
from .chooser import Chooser, chance, pick, weighted

CODES = {
    Type.BOOL: "B",
    Type.I8: "b",
    Type.I16: "h",
    Type.I32: "i",
    Type.I64: "q",
    Type.U8: "B",
    Type.U16: "H",
    Type.U32: "I",
    Type.U64: "Q",
    Type.F16: "e",
    Type.F32: "f",
    Type.F64: "d",
}


def name_of(scalar: Type) -> str:
    """As the language writes it."""
    return "rk.boolean" if scalar is Type.BOOL else f"rk.{scalar.text}"


@dataclass(frozen=True)
class Struct:
    """A message or state class."""

    name: str
    fields: tuple[Field, ...]
    decorator: str = "rk.message"

    def source(self) -> str:
        """The class statement."""
        lines = [f"@{self.decorator}", f"class {self.name}:"]
        for field in self.fields:
            default = "" if field.default is None else f" = {field.default}"
            lines.append(f"    {field.name}: {field.annotation()}{default}")
        return "\n".join(lines)

    def placed(self) -> tuple[list[tuple[Field, int, int]], int, int]:
        """Rows of (field, offset, offset of its elements), size and alignment."""
        rows, end, align = [], 0, 1
        for field in self.fields:
            _, unit = field.unit()
            unit = max(unit, 4) if field.shape == "vec" else unit
            start = -(-end // unit) * unit
            first = -(-(start + 4) // unit) * unit if field.shape == "vec" else start
            rows.append((field, start, first))
            end = first + field.unit()[0] * field.count
            align = max(align, unit)
        return rows, -(-end // align) * align, align


@dataclass(frozen=True)
class Field:
    """`shape`: "one", "array", "vec" or "bytes"; `count` elements."""

    name: str
    shape: str
    element: Type | Struct
    count: int = 1
    default: str | None = None

    def unit(self) -> tuple[int, int]:
        """Size and alignment of an element."""
        if isinstance(self.element, Struct):
            _, size, align = self.element.placed()
            return size, align
        return self.element.size, self.element.size

    def annotation(self) -> str:
        """Its type, as written."""
        return annotation(self.shape, self.element, self.count)

    def same_shape(self, other: Field) -> bool:
        """Whether code that uses one may use the other."""
        return (self.name, self.shape, self.element, self.count) == (
            other.name,
            other.shape,
            other.element,
            other.count,
        )


def annotation(shape: str, element: Type | Struct, count: int) -> str:
    """The type of a field or parameter, as written."""
    text = element.name if isinstance(element, Struct) else name_of(element)
    if shape == "bytes":
        return f"rk.Bytes[{count}]"
    return {"one": text, "array": f"rk.Array[{text}, {count}]", "vec": f"rk.Vec[{text}, {count}]"}[shape]


@dataclass(frozen=True)
class Hole:
    """A place in a path for an index into `count` elements; `vec`: text of the Vec, whose length counts."""

    count: int
    is_vec: bool


@dataclass(frozen=True)
class Path:
    """How to get from a name to something: parts are ".field" or holes."""

    parts: tuple[str | Hole, ...]
    shape: str
    element: Type | Struct
    count: int


def walk(shape: str, element: Type | Struct, count: int, parts: tuple[str | Hole, ...] = ()) -> Iterator[Path]:
    """Everything that can be reached from a thing of this shape, itself included."""
    yield Path(parts, shape, element, count)
    if shape != "one":
        yield from walk("one", element, 1, (*parts, Hole(count, shape == "vec")))
    elif isinstance(element, Struct):
        for field in element.fields:
            yield from walk(field.shape, field.element, field.count, (*parts, f".{field.name}"))


# -- making them ------------------------------------------------------------------------------------------------------


def make_field(chooser: Chooser, name: str, palette: list[Type], nested: list[Struct]) -> Field:
    """A field of any type."""
    shape = weighted(chooser, [(60, "one"), (18, "array"), (14, "vec"), (8, "bytes")])
    if shape == "bytes":
        return Field(name, "bytes", Type.U8, chooser.integer(1, 9))
    element: Type | Struct = pick(chooser, palette)
    if nested and chance(chooser, 25):
        element = pick(chooser, nested)
    count = 1 if shape == "one" else chooser.integer(1, 4 if isinstance(element, Struct) else 8)
    default = None
    if shape == "one" and isinstance(element, Type) and chance(chooser, 20):
        default = values.literal(chooser, element, plain=True)
    return Field(name, shape, element, count, default)


def make_struct(
    chooser: Chooser, name: str, palette: list[Type], nested: list[Struct], most: int, shared: tuple[Field, ...] = ()
) -> Struct:
    """A message class; `shared`: fields that it has in common with others."""
    own = [make_field(chooser, f"{name.lower()}_{n}", palette, nested) for n in range(chooser.integer(1, most))]
    fields = [*shared, *own]
    last = max((n for n, field in enumerate(fields) if field.default is None), default=-1)
    if last > 0 and chance(chooser, 50):  # defaults last, so that constructors may be positional
        fields.sort(key=lambda field: field.default is not None)
    return Struct(name, tuple(fields))


# -- bytes ------------------------------------------------------------------------------------------------------------


def fill(chooser: Chooser, cls: Struct) -> bytes:
    """The bytes of an instance with values that are mostly small, often at an edge, and sometimes anything."""
    rows, size, _ = cls.placed()
    data = bytearray(size)
    for field, start, first in rows:
        step, _ = field.unit()
        if field.shape == "vec":
            length = chooser.integer(0, field.count)
            if chance(chooser, 4):
                length = pick(chooser, [field.count + 1, 2**31, 2**32 - 1])
            struct.pack_into("<I", data, start, length)
        for n in range(field.count):
            at = first + n * step
            if isinstance(field.element, Struct):
                data[at : at + step] = fill(chooser, field.element)
            else:
                data[at : at + step] = values.raw(chooser, field.element)
    return bytes(data)
