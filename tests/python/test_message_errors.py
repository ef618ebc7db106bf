"""What is no message class, and bytes that are no message: refused with a text that helps, and never a crash."""

from __future__ import annotations

from typing import Any, Union

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.errors import (
    FieldRangeError,
    FieldTypeError,
    InvalidMessageError,
    MessageDefinitionError,
    RingKernelError,
    TypeIdCollisionError,
)

HEADER = 64


@rk.message
class Inner:
    flag: rk.boolean
    value: rk.u32


@rk.message
class Frame:
    number: rk.u16
    flags: rk.Vec[rk.boolean, 3]
    inner: Inner
    words: rk.Vec[rk.u64, 2]
    name: rk.Bytes[3]


@rk.message
class Other:
    number: rk.u16


def frame() -> Frame:
    return Frame(7, [True, False], Inner(True, 5), [1], b"abc")


def define(**annotations: Any) -> type[Any]:
    return rk.message(type("Broken", (), {"__annotations__": annotations}))


# -- definitions


@pytest.mark.parametrize(
    ("kind", "help_text"),
    [
        (int, "rk.i64"),
        (float, "rk.f64"),
        (str, "rk.Bytes"),
        (bytes, "rk.Bytes"),
        (list, "rk.Array"),
        (dict, "such as rk.u32"),
        (None, "such as rk.u32"),
        (object(), "such as rk.u32"),
        (Union[int, str], "such as rk.u32"),
        (5, "such as rk.u32"),
        (list[int], "need a field type"),
        (np.float32, "such as rk.u32"),
        (rk.Array, "need"),
        (rk.Vec, "need"),
        (rk.Bytes, "need"),
    ],
    ids=repr,
)
def test_a_field_of_another_type_is_refused_and_the_text_says_what_to_write(kind: Any, help_text: str) -> None:
    with pytest.raises(MessageDefinitionError, match=help_text) as caught:
        define(x=kind)
    assert "Broken.x" in str(caught.value)


@pytest.mark.parametrize("count", [0, -1, 2**31, 1.5, "4", None, True, [3]], ids=repr)
def test_a_length_is_a_positive_int(count: Any) -> None:
    for make in (lambda: rk.Bytes[count], lambda: rk.Array[rk.u8, count], lambda: rk.Vec[rk.u8, count]):
        with pytest.raises(MessageDefinitionError, match="length"):
            make()


@pytest.mark.parametrize("item", [rk.u8, (rk.u8,), (rk.u8, 3, 4), 3, ()], ids=repr)
def test_an_array_needs_an_element_type_and_a_length(item: Any) -> None:
    for shape in (rk.Array, rk.Vec):
        with pytest.raises(MessageDefinitionError, match="need an element type and a length"):
            shape[item]


@pytest.mark.parametrize("element", [int, "rk.u8", None, np.dtype("u1")], ids=repr)
def test_an_array_of_something_else_is_refused(element: Any) -> None:
    with pytest.raises(MessageDefinitionError):
        define(x=rk.Array[element, 3])


@pytest.mark.parametrize("element", [rk.Array[rk.u8, 2], rk.Vec[rk.u8, 2], rk.Bytes[2]], ids=repr)
def test_an_array_of_arrays_is_refused_or_laid_out_right(element: Any) -> None:
    """Shapes do not nest: the text must say so, and never may the layout be silently another."""
    with pytest.raises(MessageDefinitionError):
        define(x=rk.Array[element, 3])


@pytest.mark.parametrize("shape", [rk.Array, rk.Vec, rk.Bytes])
def test_a_shape_is_an_annotation_and_no_constructor(shape: Any) -> None:
    with pytest.raises(MessageDefinitionError, match="annotation"):
        shape([1, 2, 3])


@pytest.mark.parametrize(
    "name",
    [
        "header",
        "to_bytes",
        "from_bytes",
        "from_payload",
        "copy",
        "dtype",
        "type_id",
        "wire_size",
        "layout",
        "_x",
        "__x",
        "__class__",
    ],
)
def test_a_field_name_that_is_taken_or_private_is_refused(name: str) -> None:
    with pytest.raises(MessageDefinitionError, match="taken or private"):
        define(**{name: rk.u8})


def test_a_class_without_fields_is_refused() -> None:
    with pytest.raises(MessageDefinitionError, match="no fields"):
        define()


def test_a_class_with_a_base_is_refused() -> None:
    class Base:
        pass

    with pytest.raises(MessageDefinitionError, match="base"):

        @rk.message
        class Child(Base):
            x: rk.u8


def test_a_message_class_cannot_be_subclassed() -> None:
    """An instance has room for its payload and nothing else: a subclass with a __dict__ would write behind it."""
    with pytest.raises(TypeError):

        class Sub(Other):
            extra = 1


def test_a_subclass_with_slots_is_refused_too() -> None:
    with pytest.raises(TypeError):
        type("Sub", (Other,), {"__slots__": ("a",)})
    with pytest.raises(TypeError):
        type("Sub", (Other,), {"__slots__": ()})


def test_an_annotation_that_names_nothing_is_explained() -> None:
    with pytest.raises(MessageDefinitionError, match="Nowhere"):

        @rk.message
        class Lost:
            x: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("default", ["x", 300, None, -1, [1], 1.0], ids=repr)
def test_a_default_that_the_field_cannot_hold_is_refused(default: Any) -> None:
    with pytest.raises((FieldTypeError, FieldRangeError)):
        rk.message(type("BadDefault", (), {"__annotations__": {"x": rk.u8}, "x": default}))


def test_a_class_whose_default_was_refused_can_be_made_again() -> None:
    for default in (300, 30):
        try:
            made = rk.message(type("SecondTry", (), {"__annotations__": {"x": rk.u8}, "x": default}))
        except FieldRangeError:
            continue
        assert made().x == 30


@pytest.mark.parametrize("type_id", [0, -1, 2**32, 2**64])
def test_a_type_id_outside_32_bits_is_refused(type_id: int) -> None:
    with pytest.raises(MessageDefinitionError, match="type_id"):
        rk.message(type_id=type_id)(type("BadId", (), {"__annotations__": {"x": rk.u8}}))


@pytest.mark.parametrize("type_id", ["5", 1.5, True, b"x"], ids=repr)
def test_a_type_id_that_is_no_int_is_refused(type_id: Any) -> None:
    with pytest.raises(MessageDefinitionError):
        rk.message(type_id=type_id)(type("BadId", (), {"__annotations__": {"x": rk.u8}}))


def test_two_classes_with_one_type_id_are_refused() -> None:
    rk.message(type_id=0x7E57)(type("First", (), {"__annotations__": {"x": rk.u8}}))
    with pytest.raises(TypeIdCollisionError, match=r"0x00007e57.*type_id="):
        rk.message(type_id=0x7E57)(type("Second", (), {"__annotations__": {"x": rk.u8}}))
    rk.message(type_id=0x7E57)(type("First", (), {"__annotations__": {"x": rk.u8}}))  # a reload is no collision


def test_a_refused_collision_leaves_the_first_class_as_it_was() -> None:
    first = rk.message(type_id=0x7E58)(type("Kept", (), {"__annotations__": {"x": rk.u8}}))
    with pytest.raises(TypeIdCollisionError):
        rk.message(type_id=0x7E58)(type("Kept", (), {"__annotations__": {"x": rk.u16}}))
    assert first.from_bytes(first(3).to_bytes()).x == 3


def test_what_is_no_class_is_refused() -> None:
    for wrong in (5, "Frame", None, lambda: None):
        with pytest.raises((RingKernelError, TypeError)):
            rk.message(wrong) if wrong is not None else rk.message(None)(None)


def test_a_message_too_large_for_32_bits_is_refused() -> None:
    with pytest.raises(MessageDefinitionError, match="bytes"):
        define(x=rk.Array[rk.f64, 2**30])


def test_the_base_of_all_messages_makes_no_instances() -> None:
    with pytest.raises(FieldTypeError):
        rk._core.Message()


def test_an_instance_keeps_its_class() -> None:
    """Its bytes are laid out for this class and no other."""
    with pytest.raises(TypeError):
        Other(1).__class__ = Frame


def test_a_field_works_on_instances_of_its_class_only() -> None:
    for use in (
        lambda: Other.number.__get__(frame()),
        lambda: Other.number.__get__(5),
        lambda: Other.number.__set__(frame(), 3),
        lambda: Other.number.__set__(None, 3),
        lambda: type(Other.number)(),
    ):
        with pytest.raises((FieldTypeError, TypeError)):
            use()


def test_the_class_itself_shows_its_fields() -> None:
    assert repr(Other.number) == "<field Other.number: u16 at 0>"
    assert Other.__match_args__ == ("number",)


def test_other_ways_to_make_an_instance_check_its_fields_too() -> None:
    assert Other.__new__(Other, 3).number == 3
    with pytest.raises(FieldTypeError):
        Other.__new__(Other)
    with pytest.raises(TypeError):
        object.__new__(Other)


# -- bytes that are no message


def test_a_frame_comes_back() -> None:
    assert Frame.from_bytes(frame().to_bytes()) == frame()
    assert Frame.from_bytes(bytearray(frame().to_bytes())) == frame()
    assert Frame.from_bytes(memoryview(frame().to_bytes())) == frame()
    assert Frame.from_payload(bytes(frame())) == frame()


@given(st.integers(0, 8 * (HEADER + Frame.wire_size) - 1))
def test_a_frame_with_one_flipped_bit_is_refused(bit: int) -> None:
    damaged = bytearray(frame().to_bytes())
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidMessageError):
        Frame.from_bytes(damaged)


def test_no_single_bit_of_a_frame_can_flip_unseen() -> None:
    whole = frame().to_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidMessageError):
            Frame.from_bytes(damaged)


def test_a_truncated_or_oversized_frame_is_refused() -> None:
    whole = frame().to_bytes()
    for size in range(len(whole)):
        with pytest.raises(InvalidMessageError):
            Frame.from_bytes(whole[:size])
    for extra in (b"\0", b"x", whole):
        with pytest.raises(InvalidMessageError, match="longer"):
            Frame.from_bytes(whole + extra)


@given(st.binary(max_size=HEADER + Frame.wire_size + 8))
@example(b"")
@example(b"\1" + bytes(HEADER - 1))
def test_random_bytes_are_refused_and_never_crash(data: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        Frame.from_bytes(data)


@given(st.binary(min_size=Frame.wire_size, max_size=Frame.wire_size))
def test_a_random_payload_is_refused_or_comes_back_as_it_was(data: bytes) -> None:
    try:
        message = Frame.from_payload(data)
    except InvalidMessageError:
        return
    assert bytes(message) == data
    assert len(message.flags) <= 3
    repr(message)


@given(st.data())
def test_a_payload_with_a_few_changed_bytes_is_refused_or_comes_back(data: st.DataObject) -> None:
    payload = bytearray(bytes(frame()))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = Frame.from_payload(payload)
    except InvalidMessageError:
        return
    assert bytes(message) == payload
    assert Frame.from_bytes(message.to_bytes()) == message


@pytest.mark.parametrize("size", [0, 1, Frame.wire_size - 1, Frame.wire_size + 1, 2 * Frame.wire_size])
def test_a_payload_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(InvalidMessageError, match=f"found {size} payload bytes, need {Frame.wire_size}"):
        Frame.from_payload(bytes(size))


def offset(name: str) -> int:
    return int(Frame.dtype.fields[name][1])


@pytest.mark.parametrize("at", [offset("flags") + 4, offset("flags") + 5, offset("inner")])
@pytest.mark.parametrize("value", [2, 128, 255])
def test_a_bool_that_is_neither_0_nor_1_is_refused(at: int, value: int) -> None:
    payload = bytearray(bytes(frame()))
    payload[at] = value
    with pytest.raises(InvalidMessageError, match="bool"):
        Frame.from_payload(payload)


@pytest.mark.parametrize(("name", "bound"), [("flags", 3), ("words", 2)])
@pytest.mark.parametrize("length", [4, 255, 2**31, 2**32 - 1])
def test_a_hostile_vec_length_is_refused(name: str, bound: int, length: int) -> None:
    payload = bytearray(bytes(frame()))
    payload[offset(name) : offset(name) + 4] = length.to_bytes(4, "little")
    with pytest.raises(InvalidMessageError, match=f"found a length of {length}, the bound is {bound}"):
        Frame.from_payload(payload)


def padding() -> list[int]:
    used = np.zeros(Frame.wire_size, bool)
    used[offset("number") : offset("number") + 2] = True
    used[offset("flags") : offset("flags") + 7] = True
    used[[offset("inner"), *range(offset("inner") + 4, offset("inner") + 8)]] = True
    used[[*range(offset("words"), offset("words") + 4), *range(offset("words") + 8, offset("words") + 24)]] = True
    used[offset("name") : offset("name") + 3] = True
    return [int(n) for n in np.flatnonzero(~used)]


@pytest.mark.parametrize("at", padding())
def test_padding_that_is_not_zero_is_refused(at: int) -> None:
    payload = bytearray(bytes(frame()))
    assert payload[at] == 0
    payload[at] = 1
    with pytest.raises(InvalidMessageError, match="padding"):
        Frame.from_payload(payload)


def test_a_frame_of_another_class_is_refused_and_both_ids_are_named() -> None:
    with pytest.raises(InvalidMessageError, match=f"0x{Other.type_id:08x}, need 0x{Frame.type_id:08x}"):
        Frame.from_bytes(Other(1).to_bytes())


@pytest.mark.parametrize("wrong", [None, 5, "text", [1, 2], object()], ids=repr)
def test_what_has_no_bytes_is_a_type_error(wrong: Any) -> None:
    for read in (Frame.from_bytes, Frame.from_payload):
        with pytest.raises(TypeError):
            read(wrong)


def test_a_strided_buffer_is_refused_or_read_in_order() -> None:
    doubled = np.repeat(np.frombuffer(frame().to_bytes(), "u1"), 2)
    try:
        assert Frame.from_bytes(doubled[::2]) == frame()
    except (TypeError, ValueError, BufferError):
        pass


def test_every_error_is_a_ring_kernel_error_and_a_builtin_that_fits() -> None:
    for error, builtin in [
        (MessageDefinitionError, TypeError),
        (TypeIdCollisionError, TypeError),
        (FieldTypeError, TypeError),
        (FieldRangeError, OverflowError),
        (FieldRangeError, ValueError),
        (InvalidMessageError, ValueError),
    ]:
        assert issubclass(error, RingKernelError)
        assert issubclass(error, builtin)
