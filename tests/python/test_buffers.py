"""Registered memory and references to it, on the host."""

from __future__ import annotations

import array
import ctypes
import gc
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest

import pyringkernel as rk
from pyringkernel import _core


@rk.message
class Job:
    n: rk.u8
    data: rk.Ref[rk.f32]
    more: rk.Ref[rk.u8] = None


@rk.message
class Outer:
    first: rk.u8
    job: Job


@pytest.fixture
def rt() -> Any:
    with rk.Runtime(backend="cpu") as runtime:
        yield runtime


def test_its_layout() -> None:
    assert (Job.wire_size, Outer.wire_size) == (40, 48)
    assert Job.dtype["data"] == np.dtype([("address", "<u8"), ("count", "<u4"), ("key", "<u4")])
    assert [(one.name, one.offset) for one in Outer.layout.references] == [("job.data", 16), ("job.more", 32)]

    def made(kind: Any) -> int:
        return rk.message(type("Same", (), {"__annotations__": {"data": kind}})).type_id

    assert len({made(rk.Ref[rk.f32]), made(rk.Ref[rk.i32]), made(rk.f32)}) == 3
    assert made(rk.Ref[rk.f32]) == made(rk.Ref[rk.f32])


def test_a_field_takes_a_buffer_a_reference_or_none(rt: rk.Runtime) -> None:
    values = np.arange(10, dtype=np.float32)
    buffer = rt.register(values)
    job = Job(1, buffer)
    assert (job.data, len(job.data), bool(job.data), job.data.buffer) == (buffer.ref(), 10, True, buffer)
    assert (job.more, len(job.more), bool(job.more), job.more.buffer) == (rk.BufferRef(0, 0, 0, "u8"), 0, False, None)
    job.data = buffer[2:5]
    assert job.data.array().tolist() == [2.0, 3.0, 4.0]
    job.data.array()[0] = 7.0
    assert values[2] == 7.0
    again = Job.from_bytes(job.to_bytes())
    assert again == job
    assert again.data == job.data
    assert hash(again.data) == hash(job.data)
    job.data = again.data
    job.data = None
    assert not job.data
    outer = Outer(2, again)
    outer.job.data = buffer
    assert outer.job.data.key == buffer.key


@pytest.mark.parametrize("value", [5, "abc", b"abc", [1.0], np.ones(3, np.float32)])
def test_a_field_takes_nothing_else(value: Any) -> None:
    with pytest.raises(rk.FieldTypeError, match=r"data: found .*need an rk.Buffer, an rk.BufferRef or None"):
        Job(1, value)


def test_the_hint_of_an_array_says_register() -> None:
    with pytest.raises(rk.FieldTypeError, match=r"register it: rt.register\(array\)"):
        Job(1, np.ones(3, np.float32))


def test_the_elements_have_the_fields_type(rt: rk.Runtime) -> None:
    buffer = rt.register(np.ones(3))
    with pytest.raises(rk.FieldTypeError, match=r"data: found a buffer of rk.f64, need rk.f32"):
        Job(1, buffer)
    with pytest.raises(rk.FieldRangeError, match="is no reference"):
        Job(1, rk.BufferRef(-1, 2, 3, "f32"))


def test_slices() -> None:
    buffer = rk.buffers.register(np.arange(10, dtype=np.float32))
    assert [len(buffer[a:b]) for a, b in ((0, 10), (3, 3), (8, 20), (-2, None), (5, 2))] == [10, 0, 2, 2, 0]
    assert buffer[-2:].array().tolist() == [8.0, 9.0]
    assert buffer[3:3] == rk.BufferRef(buffer.address + 12, 0, 0, "f32")
    for part in (slice(0, 4, 2), 3):
        with pytest.raises(rk.InvalidArgumentError, match="need a slice without a step"):
            buffer[part]  # type: ignore[index]
    buffer.release()


@pytest.mark.parametrize("code", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_every_type_of_number(rt: rk.Runtime, code: str) -> None:
    buffer = rt.register(np.arange(6).astype(code).reshape(2, 3))
    assert (buffer.size, buffer.nbytes, len(buffer)) == (6, 6 * int(code[1]), 6)
    assert buffer.dtype == {"i": "i", "u": "u", "f": "f"}[code[0]] + str(8 * int(code[1]))
    assert np.asarray(buffer).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.asarray(buffer).ctypes.data == buffer.address
    assert buffer.ref().array().tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_of_the_buffer_protocol(rt: rk.Runtime) -> None:
    data = bytearray(b"abc")
    buffer = rt.register(data)
    buffer.ref().array()[0] = ord("x")
    assert (bytes(data), buffer.dtype) == (b"xbc", "u8")
    with pytest.raises(BufferError):
        data.append(1)  # it would move
    assert rt.register(array.array("d", [1.0, 2.0])).dtype == "f64"
    assert rt.register(memoryview(bytes(8)).cast("i"), writable=False).dtype == "i32"
    assert rt.register(Job(1, None), writable=False).dtype == "u8"
    buffer.release()
    data.append(1)


class OnDevice:
    def __init__(self, **changes: Any) -> None:
        interface = {"shape": (4, 2), "typestr": "<f4", "data": (0x7F0000000000, False), "version": 3, "strides": None}
        self.__cuda_array_interface__ = interface | changes


def test_memory_of_a_device(rt: rk.Runtime) -> None:
    buffer = rt.register(OnDevice(), writable=False)
    assert (buffer.device, buffer.size, buffer.dtype, buffer.writable) == (0, 8, "f32", False)
    assert buffer.__cuda_array_interface__["data"] == (0x7F0000000000, True)
    assert not hasattr(buffer, "__array_interface__")
    assert not hasattr(rt.register(np.ones(2)), "__cuda_array_interface__")
    assert rt.register(OnDevice(strides=(8, 4))).size == 8
    with pytest.raises(rk.UnsuitableBufferError, match="not C-contiguous"):
        rt.register(OnDevice(strides=(4, 16)))


def _read_only() -> Any:
    values = np.ones(3)
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones((4, 4))[:, 1], "not C-contiguous"),
        (np.ones((4, 4)).T[:2], "not C-contiguous"),
        (memoryview(bytearray(8))[::2], "not C-contiguous"),
        (np.ones(3, bool), "found elements of '|b1'"),
        (np.ones(3, complex), "found elements of '<c16'"),
        (np.ones(3, ">f4"), "found elements of '>f4'"),
        (np.zeros(3, Job.dtype), "found elements of '|V40'"),
        (np.array(["a"]), "found elements of"),
        (np.frombuffer(bytes(9), np.uint8)[1:].view(np.float32), "not aligned to 4 bytes"),
        (_read_only(), "write register\\(array, writable=False\\)"),
        (b"abc", "write register\\(array, writable=False\\)"),
        ([1.0], "found list, need an array"),
        (None, "found NoneType, need an array"),
    ],
)
def test_what_cannot_be_registered_says_why(rt: rk.Runtime, given: Any, text: str) -> None:
    with pytest.raises(rk.UnsuitableBufferError, match=text.replace("|", r"\|")) as caught:
        rt.register(given)
    assert isinstance(caught.value, BufferError)


def test_a_buffer_keeps_its_array_until_it_is_released(rt: rk.Runtime) -> None:
    values = np.ones(1000)
    gone = weakref.ref(values)
    buffer = rt.register(values)
    key = buffer.key
    del values
    gc.collect()
    assert gone() is buffer.array
    reference = buffer.ref()
    assert "writable" in repr(buffer)
    buffer.release()
    buffer.release()
    gc.collect()
    assert (gone(), buffer.released, buffer.in_use, buffer.array) == (None, True, False, None)
    assert (reference.buffer, rt.buffer(reference)) == (None, None)
    with pytest.raises(rk.StaleReferenceError, match="was released"):
        reference.array()
    for use in (buffer.ref, lambda: buffer[:2], lambda: Job(1, buffer), lambda: np.asarray(buffer)):
        with pytest.raises(rk.ReleasedError, match=f"buffer {key} was released"):
            use()
    assert repr(buffer) == f"<Buffer {key} 1000 rk.f64 host released>"
    with pytest.raises(rk.StaleReferenceError, match="leads nowhere"):
        Job(1, None).data.array()


def test_it_stays_registered_without_a_name_and_is_released_by_a_block(rt: rk.Runtime) -> None:
    job = Job(1, rt.register(np.ones(3, np.float32)))
    gc.collect()
    assert job.data.array().tolist() == [1.0] * 3
    with rt.register(np.ones(3, np.float32)) as buffer:
        reference = buffer.ref()
    assert (buffer.released, reference.buffer) == (True, None)


def test_a_number_is_never_given_again() -> None:
    values, keys = np.ones(1), set()
    for _ in range(70_000):  # more than one place in the table has numbers
        key = _core.register_buffer(values.ctypes.data, 8, 11, True, -1, False, None)
        assert _core.release_buffer(key)
        assert not _core.release_buffer(key)
        keys.add(key)
    assert len(keys) == 70_000
    assert 0 not in keys
    assert not _core.release_buffer(0)
    assert _core.buffer_holds(0) == 0


def test_there_is_an_end_of_the_table() -> None:
    values, keys = np.ones(1), []
    with pytest.raises(rk.ResourceLimitError, match="65535 registered buffers, which is the most"):
        while True:
            keys.append(_core.register_buffer(values.ctypes.data, 8, 11, True, -1, False, None))
    assert 60_000 < len(keys) <= 65_535
    for key in keys:
        assert _core.release_buffer(key)
    assert _core.release_buffer(_core.register_buffer(values.ctypes.data, 8, 11, True, -1, False, None))


def test_many_threads_register_check_and_release() -> None:
    values = np.ones(16)
    address, wrong = values.ctypes.data, []

    def work() -> None:
        for _ in range(3000):
            key = _core.register_buffer(address, 128, 11, True, -1, False, values)
            if _core.check_reference(address, 16, key, 11, True, -1, "x"):
                wrong.append(key)
            _core.release_buffer(key)
            if not _core.check_reference(address, 16, key, 11, True, -1, "x"):
                wrong.append(key)

    before = sys.getrefcount(values)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong
    del work
    gc.collect()
    assert sys.getrefcount(values) <= before


@pytest.mark.parametrize("kind", [bool, rk.boolean, int, 5, Job, "f32"])
def test_a_reference_is_to_numbers(kind: Any) -> None:
    with pytest.raises(rk.MessageDefinitionError, match=r"rk.Ref: found .*need a number type"):
        rk.Ref[kind]
    with pytest.raises(rk.MessageDefinitionError, match="is an annotation"):
        rk.Ref(kind)  # type: ignore[call-arg, arg-type]


def test_where_a_reference_cannot_be() -> None:
    def made(annotations: Any, decorator: Any = rk.message, **values: Any) -> Any:
        return decorator(type("Made", (), {"__annotations__": annotations, **values}))

    with pytest.raises(rk.MessageDefinitionError, match=r"Made.data: a state cannot keep an rk.Ref"):
        made({"data": rk.Ref[rk.f32]}, rk.state)
    with pytest.raises(rk.MessageDefinitionError, match=r"Made.job.data: a state cannot keep an rk.Ref"):
        made({"job": Job}, rk.state)
    with pytest.raises(rk.MessageDefinitionError, match=r"Made.jobs: Job has an rk.Ref, so it cannot be in an array"):
        made({"jobs": rk.Array[Job, 2]})
    with pytest.raises(rk.MessageDefinitionError, match=r"Made.data: the default of an rk.Ref is None"):
        made({"data": rk.Ref[rk.f32]}, data=5)
    with pytest.raises(rk.MessageDefinitionError, match="need a field type"):
        made({"data": rk.Array[rk.Ref[rk.f32], 3]})
    with pytest.raises(rk.MessageDefinitionError, match=r"Made has 17 rk.Ref fields, the most is 16"):
        made({f"f{i}": rk.Ref[rk.f32] for i in range(17)})
    assert len(made({f"f{i}": rk.Ref[rk.f32] for i in range(16)}).layout.references) == 16


def test_a_native_handler_gets_good_references_only(rt: rk.Runtime) -> None:
    seen = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    def handler(ctx: int, state: int, message: int) -> int:
        seen.append(buffer.in_use)
        return 0

    pointer = ctypes.cast(handler, ctypes.c_void_p).value
    kernel = rt.launch(rk.NativeHandler(pointer, accepts=[Job], id="native"))
    buffer = rt.register(np.ones(3, np.float32))
    message = Job(1, buffer)
    kernel.send(message)
    end = time.monotonic() + 60
    while not seen and time.monotonic() < end:
        time.sleep(0.001)
    assert seen == [True]
    buffer.release()
    with pytest.raises(rk.HandlerError, match=r"the reference in data is stale: buffer \d+ was released"):
        kernel.call(message, timeout=60)
    kernel.terminate()
    assert len(seen) == 1
