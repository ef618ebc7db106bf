"""Where fields are and what a class is called: the C compiler's layout, NumPy's reading of it, stable type ids."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import pyringkernel as rk
from pyringkernel.messages import fnv1a32


@rk.message
class Place:
    x: rk.i32
    y: rk.i32 = -1


@rk.message
class Person:
    flag: rk.boolean
    tiny: rk.i8
    wide: rk.u64
    half: rk.f16
    name: rk.Bytes[6]
    where: Place
    friends: rk.Vec[rk.u16, 3]


@rk.message
class Single:
    x: rk.u32


# -- type ids


def test_fnv1a32_matches_the_published_vectors() -> None:
    vectors = {"": 0x811C9DC5, "a": 0xE40C292C, "b": 0xE70C2DE5, "foobar": 0xBF9CF968}
    assert {text: fnv1a32(text) for text in vectors} == vectors


def test_type_ids_are_stable_for_ever() -> None:
    """FNV-1a of these texts. Kept frames and other processes hold them: a change here breaks them."""
    assert (
        {cls.__name__: cls.type_id for cls in (Place, Person, Single)}
        == {
            "Place": 0xCB520DE6,  # Place{x:i32;y:i32}
            "Person": 0x2AE21C6A,  # Person{flag:boolean;tiny:i8;wide:u64;half:f16;name:rk.Bytes[6];where:Place{x:i32;y:i32};friends:Vec[u16,3]}
            "Single": 0xB8E03F8D,  # Single{x:u32}
        }
    )


def test_a_given_type_id_is_used() -> None:
    @rk.message(type_id=0xFFFFFFFF)
    class Highest:
        x: rk.u8

    assert Highest.type_id == 0xFFFFFFFF


# -- layouts

SCALARS = {
    "boolean": ctypes.c_bool,
    "i8": ctypes.c_int8,
    "i16": ctypes.c_int16,
    "i32": ctypes.c_int32,
    "i64": ctypes.c_int64,
    "u8": ctypes.c_uint8,
    "u16": ctypes.c_uint16,
    "u32": ctypes.c_uint32,
    "u64": ctypes.c_uint64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}


@st.composite
def c_fields(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """A field type and the ctypes type that means the same."""
    kinds = ["scalar", "scalar", "array", "bytes"] + (["struct", "structs"] if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "bytes":
        size = draw(st.integers(1, 9))
        return rk.Bytes[size], ctypes.c_ubyte * size
    if kind == "struct":
        return draw(c_structs(depth - 1))
    if kind == "structs":
        message, structure = draw(c_structs(depth - 1))
        count = draw(st.integers(1, 3))
        return rk.Array[message, count], structure * count
    name = draw(st.sampled_from(sorted(SCALARS)))
    if kind == "scalar":
        return getattr(rk, name), SCALARS[name]
    count = draw(st.integers(1, 5))
    return rk.Array[getattr(rk, name), count], SCALARS[name] * count


@st.composite
def c_structs(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """A message class and the ctypes.Structure that means the same."""
    fields = draw(st.lists(c_fields(depth), min_size=1, max_size=5))
    names = [f"f{n}" for n in range(len(fields))]
    structure = type("S", (ctypes.Structure,), {"_fields_": [(n, c) for n, (_, c) in zip(names, fields, strict=True)]})
    annotations = {n: m for n, (m, _) in zip(names, fields, strict=True)}
    return rk.message(type("Made", (), {"__annotations__": annotations})), structure


@given(c_structs())
def test_a_layout_is_the_c_compilers(made: tuple[Any, Any]) -> None:
    message, structure = made
    dtype = message.dtype
    assert message.wire_size == dtype.itemsize == ctypes.sizeof(structure)
    for name, _ in structure._fields_:
        field = getattr(structure, name)
        assert dtype.fields[name][1] == field.offset, name
        assert dtype.fields[name][0].itemsize == field.size, name


@given(c_structs(), st.randoms(use_true_random=False))
def test_numpy_and_the_message_read_the_same_bytes(made: tuple[Any, Any], random: Any) -> None:
    message, structure = made
    values = np.zeros(1, message.dtype)
    fill(values[0], random)
    read = message.from_payload(values.tobytes())
    assert bytes(read) == values.tobytes()
    assert message.from_bytes(read.to_bytes()) == read
    same(read, values[0])


def fill(record: Any, random: Any) -> None:
    for name in record.dtype.names:
        kind = record.dtype.fields[name][0]
        base = kind.base
        if base.names:
            for one in np.atleast_1d(record[name]) if kind.shape else [record[name]]:
                fill(one, random)
        elif base.kind == "V":
            record[name] = random.randbytes(base.itemsize)
        elif base.kind == "f":
            record[name] = random.uniform(-9, 9)
        else:
            record[name] = random.randint(0, 1 if base.kind == "b" else 100)


def same(message: Any, record: Any) -> None:
    for name in record.dtype.names:
        kind = record.dtype.fields[name][0]
        found, expected = getattr(message, name), record[name]
        if kind.base.names and not kind.shape:
            same(found, expected)
        elif kind.base.kind == "V" and not kind.base.names:
            assert found == expected.tobytes()
        else:
            assert np.array_equal(found, expected)


def test_a_vec_has_a_length_and_then_its_elements() -> None:
    @rk.message
    class Vecs:
        a: rk.u8
        b: rk.Vec[rk.u8, 3]
        c: rk.Vec[rk.f64, 2]

    fields = Vecs.dtype.fields
    assert {name: fields[name][1] for name in "abc"} == {"a": 0, "b": 4, "c": 16}
    assert {name: fields["c"][0].fields[name][1] for name in ("length", "data")} == {"length": 0, "data": 8}
    assert Vecs.wire_size == 40
