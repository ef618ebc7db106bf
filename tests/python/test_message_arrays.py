"""Arrays, vectors and arrays of messages: every kind of source, without loss and without surprises."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.errors import FieldRangeError, FieldTypeError

DTYPES = {
    "boolean": "?",
    "i8": "i1",
    "i16": "i2",
    "i32": "i4",
    "i64": "i8",
    "u8": "u1",
    "u16": "u2",
    "u32": "u4",
    "u64": "u8",
    "f16": "f2",
    "f32": "f4",
    "f64": "f8",
}


def with_array(name: str, count: int = 3) -> type[Any]:
    annotations = {"before": rk.u8, "x": rk.Array[getattr(rk, name), count], "after": rk.u8}
    return rk.message(type(f"Array_{name}_{count}", (), {"__annotations__": annotations, "before": 1, "after": 2}))


def with_vec(name: str, bound: int = 3) -> type[Any]:
    annotations = {"before": rk.u8, "x": rk.Vec[getattr(rk, name), bound], "after": rk.u8}
    return rk.message(type(f"Vec_{name}_{bound}", (), {"__annotations__": annotations, "before": 1, "after": 2}))


ARRAYS = {name: with_array(name) for name in DTYPES}
VECS = {name: with_vec(name) for name in DTYPES}
INTEGERS = [name for name in DTYPES if name[0] in "iu"]


@rk.message
class Cell:
    id: rk.u8
    weight: rk.f32 = 0.5


@rk.message
class Grid:
    cells: rk.Array[Cell, 2]
    more: rk.Vec[Cell, 3] = ()


class Dlpack:
    """An array of another library."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self._data = data

    def __dlpack__(self, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()


# -- every source


@pytest.mark.parametrize("name", DTYPES)
def test_an_array_of_the_same_dtype_is_stored_bit_for_bit(name: str) -> None:
    values = np.array([1, 0, 1], DTYPES[name])
    for source in (values, memoryview(values), Dlpack(values), values.tolist(), tuple(values.tolist())):
        message = ARRAYS[name](x=source)
        assert message.x.dtype == values.dtype
        assert message.x.tobytes() == values.tobytes()
        assert (message.before, message.after) == (1, 2)


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_an_array_array_of_each_type_code_is_taken(code: str) -> None:
    name = {"b": "i", "h": "i", "i": "i", "l": "i", "q": "i", "f": "f", "d": "f"}.get(code, "u") + str(
        8 * array.array(code).itemsize
    )
    message = ARRAYS[name](x=array.array(code, [1, 2, 3]))
    assert message.x.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", [*INTEGERS, "f16", "f32", "f64"])
@pytest.mark.parametrize("other", [*INTEGERS, "f16", "f32", "f64"])
def test_another_dtype_is_converted_when_nothing_is_lost(name: str, other: str) -> None:
    values = np.array([1, 2, 100], DTYPES[other])
    if name[0] != "f" and other[0] == "f":
        with pytest.raises(FieldTypeError):
            ARRAYS[name](x=values)
    else:
        assert ARRAYS[name](x=values).x.tolist() == [1, 2, 100]


@pytest.mark.parametrize("name", DTYPES)
def test_big_endian_arrays_are_converted(name: str) -> None:
    values = np.array([1, 0, 1], ">" + DTYPES[name])
    assert ARRAYS[name](x=values).x.tolist() == values.tolist()


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1][:3],
        lambda a: a.reshape(2, 3)[:, 0:3][0],
        lambda a: np.asfortranarray(a.reshape(2, 3))[1],
    ],
)
def test_a_non_contiguous_array_is_taken_element_by_element(view: Any) -> None:
    source = view(np.arange(6, dtype=np.int32))
    assert ARRAYS["i32"](x=source).x.tolist() == source.tolist()
    assert ARRAYS["i64"](x=source).x.tolist() == source.tolist()


def test_a_read_only_array_is_taken() -> None:
    values = np.array([1, 2, 3], np.float32)
    values.flags.writeable = False
    assert ARRAYS["f32"](x=values).x.tolist() == [1, 2, 3]
    assert ARRAYS["u8"](x=b"abc").x.tobytes() == b"abc"


def test_a_message_may_be_assigned_parts_of_itself() -> None:
    message = VECS["i32"](x=[1, 2, 3])
    message.x = message.x[::-1]
    assert message.x.tolist() == [3, 2, 1]
    message.x = message.x[1:]
    assert message.x.tolist() == [2, 1]
    message.x = message.x
    assert message.x.tolist() == [2, 1]


# -- what does not fit


@pytest.mark.parametrize(
    "source", [[], [1, 2], [1, 2, 3, 4], np.zeros(2, "f4"), np.zeros(4, "f8"), np.zeros(0, "f4"), b"12"], ids=repr
)
def test_an_array_of_another_length_is_refused(source: Any) -> None:
    message = ARRAYS["u8" if isinstance(source, bytes) else "f32"](x=[7, 8, 9])
    with pytest.raises(FieldRangeError, match=f"found {len(source)} elements, need exactly 3"):
        message.x = source
    assert message.x.tolist() == [7, 8, 9]


@pytest.mark.parametrize("name", DTYPES)
def test_a_vec_holds_any_length_up_to_its_bound(name: str) -> None:
    for count in range(4):
        message = VECS[name](x=np.ones(count, DTYPES[name]))
        assert len(message.x) == count
        assert message.after == 2
    with pytest.raises(FieldRangeError, match="found 4 elements, the bound is 3"):
        VECS[name](x=np.ones(4, DTYPES[name]))


def test_a_shorter_vec_has_its_own_length_and_the_old_elements_do_not_show() -> None:
    message = VECS["u16"](x=[1, 2, 3])
    message.x = [9]
    assert message.x.tolist() == [9]
    message.x = []
    assert message.x.tolist() == []
    assert message.x.dtype == np.uint16


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_out_of_range_are_refused_whatever_they_come_in(name: str) -> None:
    info = np.iinfo(DTYPES[name])
    for value in (info.min - 1, info.max + 1):
        sources: list[Any] = [[value, 0, 0], (0, 0, value), [0, value, 1]]
        for dtype in ("i8", "u8"):
            if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
                sources += [np.array([value, 0, 0], dtype), np.array([value, 0, 0, 0, 0], dtype)[::2]]
        for source in sources:
            with pytest.raises(FieldRangeError):
                ARRAYS[name](x=source)


@pytest.mark.parametrize("name", INTEGERS)
def test_the_boundaries_of_each_integer_type_are_taken_from_lists(name: str) -> None:
    info = np.iinfo(DTYPES[name])
    assert ARRAYS[name](x=[info.min, 1, info.max]).x.tolist() == [info.min, 1, info.max]
    assert ARRAYS[name](x=[info.max, info.max, info.max]).x.tolist() == [info.max] * 3


@given(st.lists(st.integers(-(2**65), 2**65), min_size=3, max_size=3), st.sampled_from(INTEGERS))
def test_a_list_of_integers_is_stored_exactly_or_refused(values: list[int], name: str) -> None:
    info = np.iinfo(DTYPES[name])
    if all(info.min <= value <= info.max for value in values):
        assert ARRAYS[name](x=values).x.tolist() == values
    else:
        with pytest.raises(FieldRangeError):
            ARRAYS[name](x=values)


@pytest.mark.parametrize(
    ("name", "value"), [("f16", 70000.0), ("f16", -70000), ("f32", 1e39), ("f32", np.float64(-1e300))]
)
def test_a_float_that_would_become_infinite_is_refused(name: str, value: float) -> None:
    with pytest.raises(FieldRangeError):
        ARRAYS[name](x=[0, value, 0])
    with pytest.raises(FieldRangeError):
        ARRAYS[name](x=np.array([0, value, 0], "f8"))


@pytest.mark.parametrize("name", ["f16", "f32", "f64"])
def test_infinities_and_nans_pass_and_precision_may_be_lost(name: str) -> None:
    message = ARRAYS[name](x=[math.inf, -math.inf, math.nan])
    assert message.x[0] == math.inf
    assert message.x[1] == -math.inf
    assert np.isnan(message.x[2])
    assert ARRAYS[name](x=[0.1, 0.2, 0.3]).x.tolist() == np.array([0.1, 0.2, 0.3], DTYPES[name]).tolist()


@pytest.mark.parametrize("name", ["i32", "u8", "f32", "boolean"])
@pytest.mark.parametrize(
    "source",
    [
        5,
        1.5,
        None,
        "abc",
        ["a", "b", "c"],
        [None] * 3,
        [1j, 2j, 3j],
        {1, 2, 3},
        {1: 2},
        [[1, 2, 3]],
        [[1], [2, 3]],
        object(),
        np.array([[1, 0, 1]], "i4"),
        np.array(["2026-01-01"] * 3, "M8[D]"),
        iter([1, 0, 1]),
        [1, [2], 3],
    ],
    ids=repr,
)
def test_what_is_no_array_of_numbers_is_a_field_type_error(name: str, source: Any) -> None:
    with pytest.raises(FieldTypeError):
        ARRAYS[name](x=source)


@pytest.mark.parametrize("name", ["i32", "f64", "u8"])
def test_a_single_number_is_no_array_of_one(name: str) -> None:
    one = with_array(name, 1)
    for value in (5, np.array(5, DTYPES[name]), np.dtype(DTYPES[name]).type(5)):
        with pytest.raises(FieldTypeError):
            one(x=value)


def test_a_bool_array_takes_bools_only() -> None:
    assert ARRAYS["boolean"](x=[True, False, True]).x.tolist() == [True, False, True]
    for wrong in ([0, 1, 1], np.array([0, 1, 1], "u1"), b"\0\1\1", [0.0, 1.0, 1.0]):
        with pytest.raises(FieldTypeError):
            ARRAYS["boolean"](x=wrong)


def test_floats_are_not_cut_into_integers() -> None:
    for wrong in ([1.0, 2.0, 3.0], np.array([1, 2, 3], "f4"), [1, 2, 3.5]):
        with pytest.raises(FieldTypeError):
            ARRAYS["i32"](x=wrong)


def test_an_array_on_a_device_is_a_field_type_error() -> None:
    class OnDevice(Dlpack):
        def __dlpack_device__(self) -> Any:
            return (2, 0)  # kDLCUDA

        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("cannot export device memory")

    with pytest.raises(FieldTypeError):
        ARRAYS["f32"](x=OnDevice(np.zeros(3, "f4")))


# -- reading


def test_an_array_field_reads_as_a_live_writable_array() -> None:
    message = ARRAYS["f64"](x=[1, 2, 3])
    values = message.x
    assert isinstance(values, np.ndarray)
    assert values.flags.writeable
    assert values.flags.c_contiguous
    values[1] = 20
    values *= 2
    assert message.x.tolist() == [2, 40, 6]


def test_the_array_of_a_message_outlives_it() -> None:
    values = ARRAYS["f64"](x=[1, 2, 3]).x
    copies = [ARRAYS["f64"](x=[4, 5, 6]) for _ in range(100)]
    assert values.tolist() == [1, 2, 3]
    assert len(copies) == 100


def test_a_vec_whose_length_was_overwritten_never_reads_beyond_its_bound() -> None:
    message = VECS["u32"](x=[1, 2, 3])
    memoryview(message)[4:8] = (2**32 - 1).to_bytes(4, "little")
    assert len(message.x) == 3


def test_the_dtype_reads_whole_batches() -> None:
    messages = [VECS["i16"](x=list(range(n))) for n in range(4)]
    batch = np.frombuffer(b"".join(bytes(m) for m in messages), VECS["i16"].dtype)
    assert batch["x"]["length"].tolist() == [0, 1, 2, 3]
    assert batch["x"]["data"][3].tolist() == [0, 1, 2]


# -- arrays of messages


def test_an_array_of_messages_takes_messages_of_its_class() -> None:
    grid = Grid(cells=[Cell(1, 0.25), Cell(2)], more=(Cell(9),))
    assert grid.cells["id"].tolist() == [1, 2]
    assert grid.cells["weight"].tolist() == [0.25, 0.5]
    assert (len(grid.more), grid.more["id"][0]) == (1, 9)
    assert Grid.from_bytes(grid.to_bytes()) == grid


def test_an_array_of_messages_takes_a_structured_array() -> None:
    cells = np.zeros(2, Cell.dtype)
    cells["id"] = 5, 6
    grid = Grid(cells=cells)
    assert grid.cells["id"].tolist() == [5, 6]
    grid.cells["id"][0] = 7
    assert grid.cells["id"].tolist() == [7, 6]
    grid.more = np.zeros(6, Cell.dtype)[::2]
    assert len(grid.more) == 3
    grid.more = []
    assert len(grid.more) == 0


@pytest.mark.parametrize(
    "wrong", [[1, 2], [Cell(1), None], [Cell(1), Grid([Cell(1), Cell(2)])], np.zeros(2, "u8"), 5, None, "ab"], ids=repr
)
def test_an_array_of_messages_refuses_anything_else(wrong: Any) -> None:
    with pytest.raises(FieldTypeError):
        Grid(cells=wrong)


def test_an_array_of_messages_has_its_length() -> None:
    for cells in ([], [Cell(1)], [Cell(1)] * 3, np.zeros(3, Cell.dtype)):
        with pytest.raises(FieldRangeError):
            Grid(cells=cells)
    with pytest.raises(FieldRangeError):
        Grid(cells=[Cell(1)] * 2, more=[Cell(1)] * 4)


@given(st.sampled_from(sorted(DTYPES)), st.binary(min_size=24, max_size=24))
def test_any_bit_pattern_survives_an_array_field(name: str, data: bytes) -> None:
    values = (
        np.frombuffer(data, DTYPES[name])[:3] if name != "boolean" else np.array([byte & 1 for byte in data[:3]], bool)
    )
    message = ARRAYS[name](x=values)
    assert message.x.tobytes() == values.tobytes()
    assert ARRAYS[name].from_bytes(message.to_bytes()).x.tobytes() == values.tobytes()
