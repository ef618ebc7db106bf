"""Field types: scalars, and the shapes made of them.

For a type checker a scalar is the Python type that a field reads as: ``rk.f32`` is ``float``, ``rk.u64`` is ``int``.
At run time it is a class whose call converts a value as a field would: wrapped to its width, rounded to its precision.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import MessageDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Generic, Protocol, TypeAlias, TypeVar

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer, Self

    from .buffers import Buffer as RegisteredBuffer
    from .buffers import BufferRef

    boolean: TypeAlias = bool
    i8: TypeAlias = int
    i16: TypeAlias = int
    i32: TypeAlias = int
    i64: TypeAlias = int
    u8: TypeAlias = int
    u16: TypeAlias = int
    u32: TypeAlias = int
    u64: TypeAlias = int
    f16: TypeAlias = float
    f32: TypeAlias = float
    f64: TypeAlias = float

    class SupportsDLPack(Protocol):
        """Arrays of other packages."""

        def __dlpack__(self) -> Any: ...
        def __dlpack_device__(self) -> tuple[int, int]: ...

    class SupportsArrayInterface(Protocol):
        """Arrays that describe themselves as NumPy's do."""

        @property
        def __array_interface__(self) -> dict[str, Any]: ...

    ArrayLike: TypeAlias = (
        list[Any] | tuple[Any, ...] | Sequence[float] | NDArray[Any] | Buffer | SupportsDLPack | SupportsArrayInterface
    )

    # What reads as an array is one, so that it may be given to a device function that says rk.Array. Handlers that are
    # compiled can do more with a Vec and with Bytes than Python can; that is declared for all.

    class _Elements(np.ndarray[Any, np.dtype[Any]]):
        """Reads as a NumPy array over the message's bytes; takes any array-like."""

        def __class_getitem__(cls, item: Any, /) -> Any: ...
        def __get__(self, instance: object, owner: type[Any], /) -> Self: ...
        def __set__(self, instance: object, value: ArrayLike, /) -> None: ...

    class Array(_Elements):
        """``rk.Array[rk.f32, 256]``: exactly 256 elements; reads as a NumPy array over the message's bytes."""

    class Vec(_Elements):
        """``rk.Vec[rk.f32, 1024]``: up to 1024 elements; reads as a NumPy array over the message's bytes."""

        def append(self, value: Any, /) -> None:
            """In compiled handlers only."""

        def clear(self) -> None:
            """In compiled handlers only."""

    _Element = TypeVar("_Element")

    class Ref(BufferRef, Generic[_Element]):
        """``rk.Ref[rk.f32]``: memory that is registered with ``Runtime.register()``; reads as a ``BufferRef``. Elements
        are reached in compiled handlers only."""

        def __get__(self, instance: object, owner: type[Any], /) -> Self: ...
        def __set__(self, instance: object, value: RegisteredBuffer | BufferRef | None, /) -> None: ...
        def __getitem__(self, index: int, /) -> _Element:
            """In compiled handlers only."""
            ...

        def __setitem__(self, index: int, value: _Element, /) -> None:
            """In compiled handlers only."""

        def __iter__(self) -> Iterator[_Element]:
            """In compiled handlers only."""
            ...

    class Bytes(bytes):
        """``rk.Bytes[16]``: 16 bytes; shorter values are padded with zeros. Reads as ``bytes``."""

        def __class_getitem__(cls, item: Any, /) -> Any: ...
        def __get__(self, instance: object, owner: type[Any], /) -> Self: ...
        def __set__(self, instance: object, value: bytes | bytearray | memoryview, /) -> None: ...
        def __setitem__(self, index: int, value: int, /) -> None:
            """In compiled handlers only."""

else:

    class Scalar(type):
        """The class of scalar types. ``code`` is struct's format character, ``rk_index`` the native one."""

        def __new__(mcls, name: str, code: str, index: int, numpy: str) -> Scalar:
            cls = super().__new__(mcls, name, (), {"__slots__": ()})
            cls.code, cls.rk_index, cls.numpy = code, index, numpy
            cls.size = struct.calcsize("<" + code)
            return cls

        def __init__(cls, *_: object) -> None:
            pass

        def __repr__(cls) -> str:
            return f"rk.{cls.__name__}"

        def __call__(cls, value: Any = 0) -> Any:
            """The value as a field of this type holds it: integers wrap, floats are rounded."""
            if cls.code == "?":
                return bool(value)
            if cls.code in "efd":
                try:
                    return struct.unpack("<" + cls.code, struct.pack("<" + cls.code, float(value)))[0]
                except OverflowError:
                    return float("inf") if value > 0 else float("-inf")
            bits = 8 * cls.size
            wrapped = int(value) & ((1 << bits) - 1)
            return wrapped - (1 << bits) if cls.code.islower() and wrapped >> (bits - 1) else wrapped

    boolean = Scalar("boolean", "?", 0, "?")
    i8 = Scalar("i8", "b", 1, "<i1")
    i16 = Scalar("i16", "h", 2, "<i2")
    i32 = Scalar("i32", "i", 3, "<i4")
    i64 = Scalar("i64", "q", 4, "<i8")
    u8 = Scalar("u8", "B", 5, "<u1")
    u16 = Scalar("u16", "H", 6, "<u2")
    u32 = Scalar("u32", "I", 7, "<u4")
    u64 = Scalar("u64", "Q", 8, "<u8")
    f16 = Scalar("f16", "e", 9, "<f2")
    f32 = Scalar("f32", "f", 10, "<f4")
    f64 = Scalar("f64", "d", 11, "<f8")

    def _count(shape: str, count: object) -> int:
        args = getattr(count, "__args__", None)  # Literal[256]
        count = args[0] if args else count
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count < 2**31:
            raise MessageDefinitionError(f"rk.{shape}: found a length of {count!r}, need an int from 1 to 2**31 - 1")
        return count

    class Shaped:
        """A field type with a length; what ``rk.Array[rk.f32, 256]`` evaluates to."""

        __slots__ = ("count", "element", "rk_shape")

        def __init__(self, shape: str, element: Any, count: object) -> None:
            self.rk_shape, self.element, self.count = shape, element, _count(shape, count)

        def __repr__(self) -> str:
            if self.rk_shape == "Bytes":
                return f"rk.Bytes[{self.count}]"
            return f"rk.{self.rk_shape}[{getattr(self.element, '__name__', self.element)}, {self.count}]"

    class _ShapeFactory(type):
        def __call__(cls, *_: object) -> NoReturn:
            raise MessageDefinitionError(f"rk.{cls.__name__} is an annotation: write rk.{cls.__name__}[...]")

    class Reference:
        """What ``rk.Ref[rk.f32]`` evaluates to."""

        __slots__ = ("element",)
        rk_shape = "Ref"

        def __init__(self, element: Any) -> None:
            if getattr(element, "rk_index", 0) == 0:  # no scalar, or a bool, whose bytes would have to be checked
                raise MessageDefinitionError(f"rk.Ref: found {element!r}, need a number type, as in rk.Ref[rk.f32]")
            self.element = element

        def __repr__(self) -> str:
            return f"rk.Ref[{self.element.__name__}]"

    class Ref(metaclass=_ShapeFactory):
        """``rk.Ref[rk.f32]``: memory that is registered with ``Runtime.register()``; reads as a ``BufferRef``."""

        def __class_getitem__(cls, item: Any) -> Reference:
            return Reference(item)

    class Array(metaclass=_ShapeFactory):
        """``rk.Array[rk.f32, 256]``: exactly 256 elements; reads as a NumPy array over the message's bytes."""

        def __class_getitem__(cls, item: Any) -> Shaped:
            return _sequence("Array", item)

    class Vec(metaclass=_ShapeFactory):
        """``rk.Vec[rk.f32, 1024]``: up to 1024 elements; reads as a NumPy array over the message's bytes."""

        def __class_getitem__(cls, item: Any) -> Shaped:
            return _sequence("Vec", item)

    class Bytes(metaclass=_ShapeFactory):
        """``rk.Bytes[16]``: 16 bytes; shorter values are padded with zeros. Reads as ``bytes``."""

        def __class_getitem__(cls, item: Any) -> Shaped:
            return Shaped("Bytes", u8, item)

    def _sequence(shape: str, item: Any) -> Shaped:
        if not isinstance(item, tuple) or len(item) != 2:
            raise MessageDefinitionError(
                f"rk.{shape}: found {item!r}, need an element type and a length, as in rk.{shape}[rk.f32, 8]"
            )
        return Shaped(shape, *item)
