"""Message and state classes: one declaration, the same bytes everywhere.

A field is placed as C places it: at the next multiple of its alignment, with padding of zeros. A ``Vec`` is a u32 length
and then its elements; ``Bytes`` has alignment 1. The NumPy dtype and the device structs follow from the same rows.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import _core
from .errors import MessageDefinitionError, TypeIdCollisionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """Speaks to type checkers only (PEP 681)."""
        return lambda decorator: decorator


T = TypeVar("T")

_ONE, _ARRAY, _VEC, _REF = 0, 1, 2, 3
_REF_BYTES, _REF_ALIGN = 16, 8
_BYTES, _STRUCT = 12, 13


@dataclass(frozen=True)
class FieldRow:
    """Where one field is: offsets and sizes in bytes. ``count`` elements from ``elements_offset`` on."""

    name: str
    scalar: int
    shape: int
    offset: int
    elements_offset: int
    element_size: int
    count: int
    nested: type[Any] | None
    numpy: str
    text: str


@dataclass(frozen=True)
class Layout:
    """The wire layout of a message class, in bytes."""

    rows: tuple[FieldRow, ...]
    size: int
    align: int
    signature: str

    @property
    def references(self) -> tuple[FieldReference, ...]:
        """The fields that refer to buffers, those of nested messages too."""
        found: list[FieldReference] = []
        for row in self.rows:
            if row.shape == _REF:
                found.append(FieldReference(row.name, row.offset, row.scalar))
            elif row.nested is not None and row.shape == _ONE:
                found += (
                    FieldReference(f"{row.name}.{one.name}", row.offset + one.offset, one.scalar)
                    for one in layout_of(row.nested).references
                )
        return tuple(found)


@dataclass(frozen=True)
class FieldReference:
    """Where a message has a reference: its name, as users write it, and the scalar index of what it refers to."""

    name: str
    offset: int
    scalar: int


def _element(kind: Any, where: str) -> tuple[int, int, int, type[Any] | None, str, str]:
    """scalar index, size, alignment, nested class, NumPy code and text of an element type."""
    if hasattr(kind, "rk_index"):
        return kind.rk_index, kind.size, kind.size, None, kind.numpy, kind.__name__
    if isinstance(kind, type) and issubclass(kind, _core.Message):
        inner = layout_of(kind)
        return _STRUCT, inner.size, inner.align, kind, "", inner.signature
    if kind is bool:
        return _element(_scalar("boolean"), where)
    hint = {
        int: "rk.i64",
        float: "rk.f64",
        str: "rk.Bytes[n]",
        bytes: "rk.Bytes[n]",
        list: "rk.Array[rk.f32, n]",
    }
    advice = f"; write {hint[kind]}" if kind in hint else ", such as rk.u32, rk.f32 or another message class"
    raise MessageDefinitionError(f"{where}: found {kind!r}, need a field type{advice}")


def _scalar(name: str) -> Any:
    from . import scalars

    return getattr(scalars, name)


def _align(offset: int, to: int) -> int:
    return (offset + to - 1) // to * to


def _place(name: str, kind: Any, end: int, where: str) -> tuple[FieldRow, int, int]:
    """The row of a field behind `end`, where it ends, and its alignment."""
    shape = getattr(kind, "rk_shape", None)
    if shape == "Bytes":
        row = FieldRow(name, _BYTES, _ONE, end, end, kind.count, 1, None, f"V{kind.count}", repr(kind))
        return row, end + kind.count, 1
    if shape == "Ref":
        start = _align(end, _REF_ALIGN)
        element = kind.element
        row = FieldRow(
            name, element.rk_index, _REF, start, start, _REF_BYTES, 1, None, element.numpy, f"Ref[{element.__name__}]"
        )
        return row, start + _REF_BYTES, _REF_ALIGN
    scalar, size, align, nested, numpy, text = _element(kind.element if shape else kind, where)
    if shape and nested is not None and layout_of(nested).references:
        raise MessageDefinitionError(f"{where}: {nested.__name__} has an rk.Ref, so it cannot be in an array")
    if shape is None:
        start = _align(end, align)
        return FieldRow(name, scalar, _ONE, start, start, size, 1, nested, numpy, text), start + size, align
    align = max(align, 4) if shape == "Vec" else align
    start = _align(end, align)
    first = _align(start + 4, align) if shape == "Vec" else start
    row = FieldRow(
        name,
        scalar,
        _VEC if shape == "Vec" else _ARRAY,
        start,
        first,
        size,
        kind.count,
        nested,
        numpy,
        f"{shape}[{text},{kind.count}]",
    )
    return row, first + size * kind.count, align


def _make_layout(name: str, annotations: dict[str, Any]) -> Layout:
    if not annotations:
        raise MessageDefinitionError(f"{name} has no fields: annotate some, as in `x: rk.f32`")
    rows: list[FieldRow] = []
    end, align = 0, 1
    for field, kind in annotations.items():
        where = f"{name}.{field}"
        if field.startswith("_") or field in _RESERVED:
            raise MessageDefinitionError(f"{where}: this name is taken or private; choose another")
        row, end, field_align = _place(field, kind, end, where)
        rows.append(row)
        align = max(align, field_align)
    size = _align(end, align)
    if size > 2**31 - 256:
        raise MessageDefinitionError(f"{name} has {size} bytes, the most is 2**31 - 256")
    text = ";".join(f"{r.name}:{r.text}" for r in rows)
    layout = Layout(tuple(rows), size, align, f"{name}{{{text}}}")
    if len(layout.references) > _core.most_references:
        raise MessageDefinitionError(
            f"{name} has {len(layout.references)} rk.Ref fields, the most is {_core.most_references}"
        )
    return layout


_RESERVED = frozenset(
    ["header", "to_bytes", "from_bytes", "from_payload", "copy", "dtype", "type_id", "wire_size", "layout"]
)


def fnv1a32(text: str) -> int:
    """FNV-1a, 32 bit (Fowler, Noll, Vo; RFC 9923) of the UTF-8 text; never 0."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value or 1


def layout_of(cls: type[Any]) -> Layout:
    """The wire layout of a message or state class. Raises MessageDefinitionError for anything else."""
    layout = cls.__dict__.get("layout")
    if isinstance(layout, Layout):
        return layout
    raise MessageDefinitionError(f"{cls!r} is no message class: decorate it with @rk.message")


def _annotations(cls: type[Any], depth: int) -> dict[str, Any]:
    """Evaluated, also where `from __future__ import annotations` made them text and names are local to a function."""
    frame = sys._getframe(depth)
    names = dict(frame.f_locals)
    try:
        return inspect.get_annotations(cls, globals=frame.f_globals, locals=names, eval_str=True)
    except NameError as error:
        raise MessageDefinitionError(
            f"{cls.__name__}: {error}; the names in annotations must exist where the class is made"
        ) from error


class _LazyDtype:
    """`Cls.dtype`: made when asked for, so that importing messages does not import NumPy."""

    def __get__(self, instance: object, owner: type[Any]) -> np.dtype[Any]:
        from ._arrays import message_dtype

        return message_dtype(owner)


def _register(cls: type[Any], type_id: int, signature: str) -> None:
    known = _core.message_types.get(type_id)
    if known is not None and layout_of(known).signature != signature:
        raise TypeIdCollisionError(
            f"{cls.__name__} and {known.__module__}.{known.__qualname__} both have the type id 0x{type_id:08x}: "
            f"give one of them another with @rk.message(type_id=...)"
        )
    _core.message_types[type_id] = cls


def _repr(self: Any) -> str:
    parts = []
    for row in layout_of(type(self)).rows:
        value = getattr(self, row.name)
        shown = (
            repr(value)
            if row.shape in (_ONE, _REF)
            else f"[{', '.join(map(str, value[:4]))}{', …' if len(value) > 4 else ''}]"
        )
        parts.append(f"{row.name}={shown}")
    return f"{type(self).__name__}({', '.join(parts)})"


def _reduce(self: Any) -> Any:
    return type(self).from_bytes, (self.to_bytes(),)


def _build(cls: type[Any], type_id: int | None, depth: int, is_state: bool = False) -> type[Any]:
    if not isinstance(cls, type):
        raise MessageDefinitionError(f"found {cls!r}, need a class with annotated fields")
    if cls.__bases__ not in ((object,), (_core.Message,)):
        raise MessageDefinitionError(
            f"{cls.__name__}: a message class has no base but rk.Message; use a field of another message instead"
        )
    annotations = _annotations(cls, depth)
    layout = _make_layout(cls.__name__, annotations)
    if type_id is not None and (type(type_id) is not int or not 0 < type_id < 2**32):
        raise MessageDefinitionError(f"{cls.__name__}: found type_id={type_id!r}, need 1 to 2**32 - 1")
    for row in layout.rows:
        if row.shape == _REF and cls.__dict__.get(row.name) is not None:
            raise MessageDefinitionError(f"{cls.__name__}.{row.name}: the default of an rk.Ref is None")
    if is_state and layout.references:
        raise MessageDefinitionError(
            f"{cls.__name__}.{layout.references[0].name}: a state cannot keep an rk.Ref, which is good for the message "
            f"that it came in; send the reference again, or forward it"
        )
    number = fnv1a32(layout.signature) if type_id is None else type_id
    names = {row.name for row in layout.rows}
    body = {
        k: v for k, v in cls.__dict__.items() if k not in names and k not in ("__dict__", "__weakref__", "__hash__")
    }
    body.update(__slots__=(), __match_args__=tuple(annotations), layout=layout, type_id=number, wire_size=layout.size)
    body.update(__rk_layout__=None, __rk_state__=is_state)
    body.update(__rk_defaults__=frozenset(name for name in names if name in cls.__dict__))
    body.setdefault("__repr__", _repr)
    body.update(dtype=_LazyDtype(), __reduce__=_reduce)
    made = type(cls.__name__, (_core.Message,), body)
    _register(made, number, layout.signature)
    defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    rows = [
        (
            r.name,
            r.scalar,
            r.shape,
            r.offset,
            r.elements_offset,
            r.element_size,
            r.count,
            r.nested,
            r.name not in defaults,
        )
        for r in layout.rows
    ]
    _core.define_message(made, number, layout.size, layout.align, rows)
    for name, value in defaults.items():
        _core.set_default(made, name, value)
    return made


def field(*, default: Any) -> Any:
    """A default that type checkers accept for a shaped field: ``name: rk.Bytes[16] = rk.field(default=b"")``."""
    return default


@overload
def message(cls: type[T], /) -> type[T]: ...
@overload
def message(*, type_id: int | None = None) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def message(cls: type[Any] | None = None, /, *, type_id: int | None = None) -> Any:
    """Make a message class from annotated fields.

    An instance holds its wire bytes; reading and writing a field works on them in place. ``Cls.dtype`` is the NumPy
    structured dtype of the same layout, ``Cls.type_id`` a stable hash of name and fields unless given. The base class
    ``rk.Message`` may be written or left out; written, type checkers see ``header``, ``to_bytes`` and the like.

    Raises MessageDefinitionError for fields that cannot be, TypeIdCollisionError when another class has the id.
    """
    if cls is not None:
        return _build(cls, type_id, 3)
    return lambda decorated: _build(decorated, type_id, 3)


@dataclass_transform(field_specifiers=(field,))
def state(cls: type[T], /) -> type[T]:
    """Make the class of a kernel's state: fields as in a message. A kernel begins with defaults, and zeros elsewhere.

    Raises MessageDefinitionError for fields that cannot be.
    """
    return cast("type[T]", _build(cls, None, 3, is_state=True))
