"""The part of messages and rings that needs NumPy; imported when first needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import FieldRangeError, FieldTypeError, WrongItemError
from .messages import Layout, layout_of

_CODES = {
    "bool": "?",
    "i8": "<i1",
    "i16": "<i2",
    "i32": "<i4",
    "i64": "<i8",
    "u8": "<u1",
    "u16": "<u2",
    "u32": "<u4",
    "u64": "<u8",
    "f16": "<f2",
    "f32": "<f4",
    "f64": "<f8",
}


def element_dtype(scalar: str, nested: type[Any] | None) -> np.dtype[Any]:
    """The dtype of one array element."""
    return message_dtype(nested) if nested is not None else np.dtype(_CODES[scalar])


def _field_dtype(row: Any) -> np.dtype[Any]:
    if row.shape == 3:
        return np.dtype([("address", "<u8"), ("count", "<u4"), ("key", "<u4")])
    element = message_dtype(row.nested) if row.nested is not None else np.dtype(row.numpy)
    if row.shape == 0:
        return element
    if row.shape == 1:
        return np.dtype((element, (row.count,)))
    first = row.elements_offset - row.offset
    return np.dtype(
        {
            "names": ["length", "data"],
            "formats": ["<u4", (element, (row.count,))],
            "offsets": [0, first],
            "itemsize": first + element.itemsize * row.count,
        }
    )


def _make_dtype(layout: Layout) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": [r.name for r in layout.rows],
            "formats": [_field_dtype(r) for r in layout.rows],
            "offsets": [r.offset for r in layout.rows],
            "itemsize": layout.size,
        }
    )


_dtypes: dict[type[Any], np.dtype[Any]] = {}


def message_dtype(cls: type[Any]) -> np.dtype[Any]:
    """The NumPy structured dtype with exactly the wire layout of a message class."""
    if cls not in _dtypes:
        _dtypes[cls] = _make_dtype(layout_of(cls))
    return _dtypes[cls]


def _from_messages(values: Any, dtype: np.dtype[Any], name: str, nested: type[Any]) -> np.ndarray[Any, Any]:
    if isinstance(values, np.ndarray) and values.dtype == dtype:
        return np.ascontiguousarray(values)
    try:
        items = list(values)
    except TypeError as error:
        raise FieldTypeError(f"{name}: found {type(values).__name__}, need {nested.__name__} messages") from error
    for item in items:
        if type(item) is not nested:
            raise FieldTypeError(f"{name}: found {type(item).__name__} among the elements, need {nested.__name__}")
    return np.frombuffer(b"".join(bytes(item) for item in items), dtype)


def convert(value: Any, dtype: np.dtype[Any], name: str, nested: type[Any] | None) -> np.ndarray[Any, Any]:
    """Any array-like as a contiguous array of `dtype`, without loss of range; precision of floats may be lost."""
    if nested is not None:
        return _from_messages(value, dtype, name, nested)
    try:
        if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
            value = np.from_dlpack(value)
        source = np.asarray(value, dtype) if _whole_numbers(value, dtype) else np.asarray(value)
        if source.ndim != 1:
            raise FieldTypeError(f"{name}: found {source.ndim} dimensions, need 1")
        if source.dtype == dtype or source.size == 0:
            return np.ascontiguousarray(source, dtype)
        if source.dtype.kind == "O" or not np.can_cast(source.dtype, dtype, "same_kind"):
            return _cast_exactly(source, dtype, name)
        return _cast_in_range(source, dtype, name)
    except OverflowError as error:
        if isinstance(error, FieldRangeError):
            raise
        raise FieldRangeError(f"{name}: {error}") from error
    except (TypeError, ValueError, BufferError) as error:
        if isinstance(error, FieldTypeError):
            raise
        raise FieldTypeError(f"{name}: found {type(value).__name__}, need an array of {dtype}: {error}") from error


def _whole_numbers(value: Any, dtype: np.dtype[Any]) -> bool:
    """A list of ints for a field of integers: converted directly, because NumPy makes floats of mixed large ones."""
    return dtype.kind in "iu" and isinstance(value, list | tuple) and all(type(one) is int for one in value)


def _cast_in_range(source: np.ndarray[Any, Any], dtype: np.dtype[Any], name: str) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):
        result = source.astype(dtype)
    lost = np.isinf(result) & ~np.isinf(source) if dtype.kind == "f" else result != source
    if np.any(lost):
        raise FieldRangeError(f"{name}: {source[lost].flat[0]!r} does not fit {dtype}")
    return result


def _cast_exactly(source: np.ndarray[Any, Any], dtype: np.dtype[Any], name: str) -> np.ndarray[Any, Any]:
    """Integers into another integer type when every value fits; everything else is a wrong type."""
    whole = source.dtype.kind in "iu" or all(isinstance(value, int) for value in source.flat)
    if whole and dtype.kind in "iu":
        info = np.iinfo(dtype)
        if int(source.min()) < info.min or int(source.max()) > info.max:
            raise FieldRangeError(
                f"{name}: found values from {source.min()} to {source.max()}, {dtype} holds {info.min} to {info.max}"
            )
        return source.astype(dtype)
    raise FieldTypeError(f"{name}: found an array of {source.dtype}, need {dtype}")


def scalar(data: bytes, dtype: np.dtype[Any]) -> Any:
    """One item of a ring with a NumPy dtype."""
    return np.frombuffer(data, dtype)[0]


def item_dtype(item: Any, slot_size: int) -> np.dtype[Any] | None:
    """What an array of a ring's items has as its dtype; None for plain bytes (uint8 rows of slot_size)."""
    if item is None:
        return None
    return message_dtype(item) if isinstance(item, type) else np.dtype(item)


def rows(array: Any, item: Any, slot_size: int) -> tuple[np.ndarray[Any, Any], int]:
    """`array` as contiguous whole slots, and how many. Raises WrongItemError."""
    dtype = item_dtype(item, slot_size)
    data = np.asarray(array)
    if dtype is None:
        if data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == slot_size:
            return np.ascontiguousarray(data), data.shape[0]
        if data.dtype.kind == "V" and data.ndim == 1 and data.dtype.itemsize == slot_size:
            return np.ascontiguousarray(data), data.shape[0]
        raise WrongItemError(
            f"found an array of {data.dtype} with shape {data.shape}, need uint8 of shape (n, {slot_size}), or a structured array with {slot_size}-byte items"
        )
    if data.dtype != dtype or data.ndim != 1:
        raise WrongItemError(f"found an array of {data.dtype} with shape {data.shape}, need one dimension of {dtype}")
    return np.ascontiguousarray(data), data.shape[0]


def blank(count: int, item: Any, slot_size: int) -> np.ndarray[Any, Any]:
    """Room for `count` items."""
    dtype = item_dtype(item, slot_size)
    return np.empty((count, slot_size), np.uint8) if dtype is None else np.empty(count, dtype)


def checked_out(out: Any, item: Any, slot_size: int) -> np.ndarray[Any, Any]:
    """`out` when pop_many can fill it. Raises WrongItemError."""
    dtype = item_dtype(item, slot_size)
    good = isinstance(out, np.ndarray) and out.flags.c_contiguous and out.flags.writeable
    if good and (
        out.dtype == dtype and out.ndim == 1
        if dtype is not None
        else out.dtype == np.uint8 and out.ndim == 2 and out.shape[1] == slot_size
    ):
        return out  # type: ignore[no-any-return]
    raise WrongItemError(f"out: need a writable C-contiguous array of {dtype or f'uint8 with shape (n, {slot_size})'}")


def received(type_id_and_bytes: Any, types: dict[int, type[Any]]) -> np.ndarray[Any, Any]:
    """A batch that a kernel sent, as a structured array of its message class."""
    type_id, data = type_id_and_bytes
    return np.frombuffer(bytearray(data), message_dtype(types[type_id]))
