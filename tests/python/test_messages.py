"""Message classes: what fields hold, how instances behave, and that their bytes are C's."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.errors import FieldRangeError, FieldTypeError, ReleasedError, ViewInUseError

INTEGERS = {
    "i8": (-(2**7), 2**7 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
}


def one_field(name: str, kind: Any) -> type[Any]:
    """A message class with the field `x`."""
    return rk.message(type(f"One_{name}", (), {"__annotations__": {"x": kind}}))


ONE = {name: one_field(name, getattr(rk, name)) for name in [*INTEGERS, "f16", "f32", "f64", "boolean"]}


@rk.message
class Point:
    x: rk.i32
    y: rk.i32 = -1


@rk.message
class Everything:
    flag: rk.boolean
    tiny: rk.i8
    wide: rk.u64
    half: rk.f16
    real: rk.f64
    name: rk.Bytes[6]
    where: Point


def everything() -> Any:
    return Everything(True, -3, 2**64 - 1, 0.5, math.pi, b"abc", Point(1, 2))


# -- scalars


@pytest.mark.parametrize("name", INTEGERS)
def test_an_integer_field_holds_exactly_its_range(name: str) -> None:
    low, high = INTEGERS[name]
    for value in {low, low + 1, -1 if low else 1, 0, 1, high // 2, high - 1, high}:
        assert ONE[name](x=value).x == value
    for value in (low - 1, high + 1, 2**64, -(2**63) - 1, 2**200, -(2**200)):
        with pytest.raises(FieldRangeError, match="x: .* does not fit"):
            ONE[name](x=value)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [1.0, "1", b"1", None, [1], 1j, math.nan])
def test_an_integer_field_refuses_what_is_no_integer(name: str, value: object) -> None:
    with pytest.raises(FieldTypeError, match="need an int"):
        ONE[name](x=value)


@pytest.mark.parametrize("name", INTEGERS)
def test_an_integer_field_takes_numpy_integers_and_index_objects(name: str) -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    for value in (np.int64(7), np.uint8(7), Seven()):
        assert ONE[name](x=value).x == 7
        assert type(ONE[name](x=value).x) is int


def test_an_error_in_index_is_not_swallowed_into_a_wrong_value() -> None:
    class Evil:
        def __index__(self) -> int:
            raise ZeroDivisionError

    with pytest.raises((FieldTypeError, ZeroDivisionError)):
        Point(x=Evil())


@given(st.floats(width=64))
def test_f64_holds_every_double(value: float) -> None:
    assert struct.pack("<d", ONE["f64"](x=value).x) == struct.pack("<d", value)


@given(st.floats(width=64))
def test_f32_rounds_as_numpy_does_or_refuses_what_becomes_infinite(value: float) -> None:
    with np.errstate(over="ignore"):
        expected = np.float32(value)
    if np.isinf(expected) and not math.isinf(value):
        with pytest.raises(FieldRangeError):
            ONE["f32"](x=value)
    else:
        assert np.array_equal(np.float32(ONE["f32"](x=value).x), expected, equal_nan=True)


def test_f16_reads_each_of_its_65536_values_as_numpy_does() -> None:
    words = np.arange(2**16, dtype=np.uint16)
    found = np.array([ONE["f16"].from_payload(word.tobytes()).x for word in words])
    np.testing.assert_array_equal(found, words.view(np.float16).astype(np.float64))


def test_f16_stores_each_of_its_values_and_their_neighbours_as_numpy_does() -> None:
    exact = np.arange(2**16, dtype=np.uint16).view(np.float16)
    exact = exact[np.isfinite(exact)].astype(np.float64)
    with np.errstate(over="ignore"):
        step = np.diff(np.append(exact, exact[-1]))  # to the next value: halves of it are the ties
        values = np.concatenate([exact + part * step for part in (0.0, 0.25, 0.5, 0.75)])[::5]
        expected = values.astype(np.float16)
    values, expected = values[np.isfinite(expected)], expected[np.isfinite(expected)]
    message = ONE["f16"](x=0)
    stored = []
    for value in values.tolist():
        message.x = value
        stored.append(bytes(message))
    assert b"".join(stored) == expected.tobytes()


@given(st.floats(width=64))
def test_f16_rounds_as_numpy_does_or_refuses_what_becomes_infinite(value: float) -> None:
    with np.errstate(over="ignore"):
        expected = np.float16(value)
    if np.isinf(expected) and not math.isinf(value):
        with pytest.raises(FieldRangeError):
            ONE["f16"](x=value)
    elif math.isnan(value):
        assert math.isnan(ONE["f16"](x=value).x)
    else:
        assert bytes(ONE["f16"](x=value)) == expected.tobytes()


@pytest.mark.parametrize(
    ("name", "largest", "too_large"), [("f16", 65504.0, 65520.0), ("f32", 3.4028234663852886e38, 3.5e38)]
)
def test_a_narrow_float_field_ends_at_its_largest_number(name: str, largest: float, too_large: float) -> None:
    for sign in (1, -1):
        assert ONE[name](x=sign * largest).x == sign * largest
        with pytest.raises(FieldRangeError):
            ONE[name](x=sign * too_large)
        assert ONE[name](x=sign * math.inf).x == sign * math.inf


@pytest.mark.parametrize("name", ["f16", "f32", "f64"])
def test_a_float_field_takes_integers_and_refuses_the_rest(name: str) -> None:
    assert ONE[name](x=3).x == 3.0
    assert ONE[name](x=np.float32(0.5)).x == 0.5
    assert math.copysign(1.0, ONE[name](x=-0.0).x) == -1.0
    for value in ("1.0", b"1", None, [1.0], 1j):
        with pytest.raises(FieldTypeError, match="need a float"):
            ONE[name](x=value)
    with pytest.raises(FieldRangeError):
        ONE[name](x=10**400)


def test_a_bool_field_takes_bools_only() -> None:
    for value in (True, False, np.True_, np.False_):
        assert ONE["boolean"](x=value).x is bool(value)
    for wrong in (0, 1, 2, 1.0, "True", None, [], np.int8(1)):
        with pytest.raises(FieldTypeError, match="need a bool"):
            ONE["boolean"](x=wrong)


def test_the_plain_bool_is_the_boolean_field() -> None:
    @rk.message
    class PlainBool:
        x: bool

    assert PlainBool(x=True).x is True
    assert PlainBool.wire_size == 1


@pytest.mark.parametrize("name", [*INTEGERS, "f16", "f32", "f64", "boolean"])
def test_calling_a_scalar_converts_as_its_width_demands(name: str) -> None:
    kind = getattr(rk, name)
    if name == "boolean":
        assert (kind(3), kind(0)) == (True, False)
    elif name[0] == "f":
        assert kind(0.1) == float(np.array(0.1, f"f{int(name[1:]) // 8}")[()])
        assert kind(1e400) == math.inf
    else:
        low, high = INTEGERS[name]
        assert (kind(high + 1), kind(low - 1), kind(high)) == (low, high, high)


# -- bytes


def test_a_bytes_field_pads_with_zeros_and_never_overflows() -> None:
    @rk.message
    class Named:
        name: rk.Bytes[4]
        after: rk.u8 = 0xAA

    for given_bytes in (b"", b"a", b"abcd", bytearray(b"ab"), memoryview(b"abc"), np.frombuffer(b"abc", np.uint8)):
        message = Named(name=given_bytes)
        assert message.name == bytes(given_bytes).ljust(4, b"\0")
        assert message.after == 0xAA
    message.name = b"xy"  # a shorter value leaves nothing of the longer one
    assert message.name == b"xy\0\0"
    with pytest.raises(FieldRangeError, match="found 5 bytes, the field holds 4"):
        Named(name=b"abcde")
    for wrong in ("abc", 3, None, [1, 2]):
        with pytest.raises(FieldTypeError, match="need bytes"):
            Named(name=wrong)


# -- construction


def test_fields_may_be_given_by_position_by_name_or_by_default() -> None:
    assert (Point(1).x, Point(1).y) == (1, -1)
    assert Point(1, 2) == Point(x=1, y=2) == Point(y=2, x=1) == Point(1, y=2)
    assert Point.__match_args__ == ("x", "y")
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(FieldTypeError, match="needs the field 'x'"):
        Point()
    with pytest.raises(FieldTypeError, match="needs the field 'x'"):
        Point(y=3)


def test_an_unknown_a_duplicate_and_a_surplus_field_are_refused() -> None:
    with pytest.raises(FieldTypeError, match="no field 'z'"):
        Point(1, z=3)
    with pytest.raises(FieldTypeError, match="'x' twice"):
        Point(1, x=3)
    with pytest.raises(FieldTypeError, match="2 fields, 3 positional"):
        Point(1, 2, 3)


def test_an_instance_has_no_other_attributes() -> None:
    point = Point(1)
    with pytest.raises(AttributeError):
        point.z = 1
    with pytest.raises(FieldTypeError, match="cannot be deleted"):
        del point.x
    with pytest.raises(AttributeError):
        point.header = None


def test_a_failed_assignment_leaves_the_field_as_it_was() -> None:
    point = Point(5, 6)
    for wrong in (2**40, "7", None):
        with pytest.raises((FieldRangeError, FieldTypeError)):
            point.x = wrong
    assert point == Point(5, 6)


def test_methods_and_docstrings_of_the_class_survive() -> None:
    @rk.message
    class Vector:
        """A doc string."""

        x: rk.f32
        y: rk.f32

        def length(self) -> float:
            return math.hypot(self.x, self.y)

        @property
        def doubled(self) -> float:
            return 2 * self.x

    assert (Vector(3, 4).length(), Vector(3, 4).doubled, Vector.__doc__) == (5.0, 6.0, "A doc string.")
    assert Vector.__module__ == __name__


def test_repr_shows_the_fields() -> None:
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"
    assert "where=Point(x=1, y=2)" in repr(everything())


# -- equality, copies, pickles


def test_messages_are_equal_when_class_and_payload_are() -> None:
    @rk.message
    class OtherPoint:
        x: rk.i32
        y: rk.i32

    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != OtherPoint(1, 2)
    assert Point(1, 2) != (1, 2)
    assert not Point(1, 2) == None  # noqa: E711
    with pytest.raises(TypeError):
        Point(1) < Point(2)  # noqa: B015
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_the_header_does_not_count_for_equality() -> None:
    one, other = Point(1, 2), Point(1, 2)
    one.header.priority = 3
    assert one == other


@pytest.mark.parametrize("how", [lambda m: m.copy(), copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_equal_and_independent_and_keeps_its_header(how: Any) -> None:
    original = everything()
    original.header.priority, original.header.correlation_id = 3, 99
    twin = how(original)
    assert type(twin) is Everything
    assert twin == original
    assert (twin.header.priority, twin.header.correlation_id) == (3, 99)
    twin.where.x = 77
    assert original.where.x == 1


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_come_back(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(everything(), protocol)) == everything()


def test_a_nested_message_is_a_live_view_of_its_part() -> None:
    message = everything()
    part = message.where
    part.x = 41
    assert message.where.x == 41
    message.where = Point(7, 8)
    assert part == Point(7, 8)
    with pytest.raises(FieldTypeError, match="need Point"):
        message.where = (1, 2)
    del message
    assert part.x == 7  # the part keeps the whole alive


def test_the_buffer_of_a_message_is_its_payload() -> None:
    point = Point(1, 2)
    view = memoryview(point)
    assert (view.nbytes, bytes(view), view.readonly) == (8, bytes(point), False)
    view[0:4] = struct.pack("<i", 9)
    assert point.x == 9


# -- header


def test_a_new_header_is_normal_priority_and_otherwise_empty() -> None:
    header = Point(1).header
    assert header.priority == rk.Priority.NORMAL
    assert [
        getattr(header, name) for name in ("message_id", "correlation_id", "deadline", "hlc", "source", "dest", "hops")
    ] == [0] * 7


def test_priority_deadline_and_correlation_id_can_be_set_and_nothing_else() -> None:
    point = Point(1)
    point.header.priority = rk.Priority.CRITICAL
    point.header.deadline = 2**64 - 1
    point.header.correlation_id = 5
    assert (point.header.priority, point.header.deadline, point.header.correlation_id) == (3, 2**64 - 1, 5)
    for name in (
        "version",
        "hops",
        "flags",
        "type_id",
        "payload_size",
        "crc32c",
        "message_id",
        "source",
        "dest",
        "hlc",
        "timestamp",
    ):
        with pytest.raises(AttributeError):
            setattr(point.header, name, 1)
    with pytest.raises(AttributeError):
        point.header.nothing = 1


@pytest.mark.parametrize("value", [4, 255, 256, 257, -1, 2**64, "HIGH", 1.0, None])
def test_an_impossible_priority_is_refused(value: object) -> None:
    point = Point(1)
    with pytest.raises((FieldRangeError, FieldTypeError)):
        point.header.priority = value
    assert point.header.priority == 1


@pytest.mark.parametrize("name", ["deadline", "correlation_id"])
@pytest.mark.parametrize("value", [-1, 2**64, "1", 1.5, None])
def test_an_impossible_header_word_is_refused(name: str, value: object) -> None:
    point = Point(1)
    with pytest.raises((FieldRangeError, FieldTypeError)):
        setattr(point.header, name, value)
    assert getattr(point.header, name) == 0


def test_the_header_object_is_live_and_keeps_its_message() -> None:
    point = Point(1)
    header = point.header
    header.priority = 2
    assert point.header.priority == 2
    del point
    assert header.priority == 2
    assert header.timestamp == rk.HlcTimestamp(0, 0, 0)


# -- views


def test_a_view_dies_with_its_slot() -> None:
    ring = rk.SpscRing(2, dtype=Everything)
    ring.push(everything())
    with ring.peek() as view:
        assert view == everything()
        kept = view.copy()
        header = view.header
    for use in (
        lambda: view.wide,
        lambda: view.copy(),
        lambda: bytes(view),
        lambda: view.to_bytes(),
        lambda: view == kept,
        lambda: memoryview(view),
        lambda: setattr(view, "wide", 1),
        lambda: repr(view),
        lambda: ring.push(view),
        lambda: Everything(True, 0, 0, 0, 0, b"", view),
    ):
        with pytest.raises((ReleasedError, FieldTypeError)):
            use()
    assert header.priority == 1  # the header belongs to the view object, not to the slot
    assert kept == everything()


def test_a_nested_view_holds_its_slot() -> None:
    ring = rk.SpscRing(2, dtype=Everything)
    ring.push(everything())
    with pytest.raises(ViewInUseError), ring.peek() as view:
        part = view.where
    del view
    assert part.x == 1
    del part
    assert ring.pop() == everything()
