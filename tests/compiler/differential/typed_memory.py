"""Messages, states and arrays of a program that runs as plain Python: bytes in a buffer, and what is in them."""

from __future__ import annotations

import struct
from typing import Any

from pyringkernel.compiler.ir import ErrorCode, Type

from .classes import CODES, Field, Struct
from .typed_numbers import Number, convert


class Outside(Exception):  # noqa: N818 - no error, but a fact about an index
    """The element is not there."""


class LostBytes(bytearray):
    """What is seen of an element outside of its array: zeros, and nothing that is stored stays."""


def lost(field: Field) -> Any:
    """Such an element."""
    return read(LostBytes(field.unit()[0] * field.count + 8), 0, field)


def read(buffer: bytearray, at: int, field: Field) -> Any:
    """What is at an address: a number, a bool, or something to look into."""
    if field.shape != "one":
        return Elements(buffer, at, field)
    if isinstance(field.element, Struct):
        return classes_of(field.element)(buffer, at)
    (value,) = struct.unpack_from("<" + CODES[field.element], buffer, at)
    return bool(value) if field.element is Type.BOOL else Number(field.element, value)


def write(buffer: bytearray, at: int, field: Field, value: Any) -> None:
    """Assigns to what is there."""
    if isinstance(buffer, LostBytes):
        return
    if field.shape != "one":
        fill_elements(Elements(buffer, at, field), value)
    elif isinstance(field.element, Struct):
        size = field.element.placed()[1]
        buffer[at : at + size] = value.buffer[value.at : value.at + size]
    else:
        value = convert(field.element, value)
        raw = int(value) if field.element is Type.BOOL else value.value
        struct.pack_into("<" + CODES[field.element], buffer, at, raw)


def fill_elements(target: Elements, value: Any) -> None:
    """target[:] = value"""
    field = target.field
    if isinstance(value, bytes):
        value = value.ljust(field.count, b"\0")
        target.buffer[target.first : target.first + field.count] = value
        return
    if isinstance(value, Elements):
        items = bytes(value.buffer[value.first : value.first + len(value) * value.step])
        length = len(value)
    else:
        scratch = bytearray(target.step * len(value))
        for n, item in enumerate(value):
            write(scratch, n * target.step, Field("", "one", field.element), item)
        items, length = bytes(scratch), len(value)
    target.buffer[target.first : target.first + len(items)] = items
    if field.shape == "vec":
        struct.pack_into("<I", target.buffer, target.at, length)


class Elements:
    """An Array, a Vec or Bytes."""

    def __init__(self, buffer: bytearray, at: int, field: Field) -> None:
        self.buffer, self.at, self.field = buffer, at, field
        self.step, align = field.unit()
        self.first = -(-(at + 4) // align) * align if field.shape == "vec" else at

    def __len__(self) -> int:
        if self.field.shape != "vec":
            return self.field.count
        return int(min(struct.unpack_from("<I", self.buffer, self.at)[0], self.field.count))

    def address(self, index: Any) -> int:
        """Counts an error and raises Outside where there is no such element."""
        at = int(index)
        if not isinstance(index, Number) and at < 0:
            at += self.field.count
        if not 0 <= at < len(self):
            if not isinstance(self.buffer, LostBytes):  # one error for what is inside of a lost element too
                Number.errors.count(ErrorCode.INDEX)
            raise Outside
        return self.first + at * self.step

    def __getitem__(self, index: Any) -> Any:
        element = Field("", "one", self.field.element)
        try:
            return read(self.buffer, self.address(index), element)
        except Outside:
            return lost(element)

    def __setitem__(self, index: Any, value: Any) -> None:
        try:
            at = self.address(index)
        except Outside:
            return
        write(self.buffer, at, Field("", "one", self.field.element), value)

    def append(self, value: Any) -> None:
        """Of a Vec."""
        if isinstance(self.buffer, LostBytes):
            return
        length = len(self)
        if length == self.field.count:
            Number.errors.count(ErrorCode.VEC_FULL)
            return
        write(self.buffer, self.first + length * self.step, Field("", "one", self.field.element), value)
        struct.pack_into("<I", self.buffer, self.at, length + 1)

    def clear(self) -> None:
        """Of a Vec."""
        struct.pack_into("<I", self.buffer, self.at, 0)


class Object:
    """An instance of a message or state class; made by a call as the language's constructors."""

    spec: Struct
    rows: dict[str, tuple[Field, int]]

    def __init__(self, *given: Any, **named: Any) -> None:
        if given and isinstance(given[0], bytearray):
            buffer, at = given
            object.__setattr__(self, "buffer", buffer)
            object.__setattr__(self, "at", at)
            return
        object.__setattr__(self, "buffer", bytearray(self.spec.placed()[1]))
        object.__setattr__(self, "at", 0)
        for field in self.spec.fields:
            if field.default is not None:
                literal = {"True": True, "False": False}.get(field.default)
                setattr(
                    self,
                    field.name,
                    float(field.default)
                    if literal is None and "." in field.default
                    else literal
                    if literal is not None
                    else _number(field.default),
                )
        named.update(zip((field.name for field in self.spec.fields), given, strict=False))
        for name, value in named.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        field, offset = type(self).rows[name]
        return read(self.buffer, self.at + offset, field)

    def __setattr__(self, name: str, value: Any) -> None:
        field, offset = type(self).rows[name]
        write(self.buffer, self.at + offset, field, value)


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


_made: dict[Struct, type[Object]] = {}


def classes_of(spec: Struct) -> type[Object]:
    """The Python class of a struct."""
    if spec not in _made:
        rows = {field.name: (field, offset) for field, offset, _ in spec.placed()[0]}
        _made[spec] = type(spec.name, (Object,), {"spec": spec, "rows": rows})
    return _made[spec]


def tidy(spec: Struct, data: bytes) -> bytes:
    """With zeros where nobody may look: behind the length of a Vec, in padding; and booleans as 0 or 1."""
    out = bytearray(len(data))
    for field, at, first in spec.placed()[0]:
        step, count = field.unit()[0], field.count
        if field.shape == "vec":
            length = struct.unpack_from("<I", data, at)[0]
            struct.pack_into("<I", out, at, length)
            count = min(length, count)
        for n in range(count):
            item = data[first + n * step : first + (n + 1) * step]
            if isinstance(field.element, Struct):
                item = tidy(field.element, item)
            elif field.element is Type.BOOL:
                item = bytes([item != b"\0"])
            out[first + n * step : first + (n + 1) * step] = item
    return bytes(out)
