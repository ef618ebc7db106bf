"""Registered memory: arrays that messages refer to instead of carrying them.

A reference is an address, a length and the number of a registration. It is checked whenever a message that has one
reaches a compiled or native handler, so nothing that a message says can lead into other memory.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from .errors import FieldRangeError, FieldTypeError, InvalidArgumentError, ReleasedError, StaleReferenceError
from .errors import UnsuitableBufferError as _Unsuitable

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = -1

# By typestr of the array interface, without the byte order.
_SCALARS = {
    "i1": ("i8", 1), "i2": ("i16", 2), "i4": ("i32", 3), "i8": ("i64", 4), "u1": ("u8", 5), "u2": ("u16", 6),
    "u4": ("u32", 7), "u8": ("u64", 8), "f2": ("f16", 9), "f4": ("f32", 10), "f8": ("f64", 11),
}  # fmt: skip
INDEX_OF = dict(_SCALARS.values())
_SIZES = {name: int(code[1]) for code, (name, _) in _SCALARS.items()}
_TYPESTRS = {name: ("|" if code[1] == "1" else "<") + code for code, (name, _) in _SCALARS.items()}

_registered: dict[int, Buffer] = {}
_lock = threading.Lock()


class BufferRef:
    """A part of a registered buffer, as a message has it. Equal references have equal bytes."""

    __slots__ = ("address", "count", "dtype", "key")

    def __init__(self, address: int, count: int, key: int, dtype: str) -> None:
        self.address = address
        self.count = count
        self.key = key
        self.dtype = dtype

    def __len__(self) -> int:
        return self.count

    @property
    def buffer(self) -> Buffer | None:
        """The buffer that it refers to; None when that was released, or the reference is empty."""
        return _registered.get(self.key)

    def array(self) -> Any:
        """The elements, as an array of one dimension over the buffer's memory.

        Raises StaleReferenceError.
        """
        found = self.buffer
        problem = _core.check_reference(
            self.address,
            self.count,
            self.key,
            INDEX_OF[self.dtype],
            False,
            HOST if found is None else found.device,
            "it",
        )
        if found is None or problem:
            raise StaleReferenceError(problem or "an empty reference leads nowhere")
        first = (self.address - found.address) // _SIZES[self.dtype]
        return found.flat()[first : first + self.count]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BufferRef):
            return NotImplemented
        return (self.address, self.count, self.key) == (other.address, other.count, other.key)

    def __hash__(self) -> int:
        return hash((self.address, self.count, self.key))

    def __repr__(self) -> str:
        if self.count == 0:
            return f"<BufferRef empty rk.{self.dtype}>"
        return f"<BufferRef {self.count} rk.{self.dtype} of buffer {self.key}>"


class _Memory(NamedTuple):
    address: int
    size: int
    dtype: str
    writable: bool
    device: int
    keep: Any
    everywhere: bool = False  # host and device have it at this address


class Buffer:
    """An array whose memory messages may refer to, from ``Runtime.register()``. A context manager: the end of the block
    releases it. ``buffer[a:b]`` is a reference to a part."""

    def __init__(self, array: Any, memory: _Memory, writable: bool) -> None:
        self.array: Any = array
        self.address = memory.address
        self.size = memory.size
        self.dtype = memory.dtype
        self.device = memory.device
        self.writable = writable
        self._memory: _Memory | None = memory
        self.key = _core.register_buffer(
            self.address,
            self.nbytes,
            INDEX_OF[self.dtype],
            writable,
            self.device,
            memory.everywhere,
            (array, memory.keep),
        )
        with _lock:
            _registered[self.key] = self

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.size * _SIZES[self.dtype]

    @property
    def released(self) -> bool:
        """True after release(): messages that refer to it are refused."""
        return self._memory is None

    @property
    def in_use(self) -> bool:
        """True while a handler works on it, also on one that was released."""
        return _core.buffer_holds(self.key) > 0

    def release(self) -> None:
        """No later message reaches the memory; a handler that has one in hand keeps it until it is done (see in_use).
        Idempotent."""
        with _lock:
            self._memory = self.array = None
            _registered.pop(self.key, None)
        _core.release_buffer(self.key)

    def ref(self) -> BufferRef:
        """A reference to all of it. Raises ReleasedError."""
        if self._memory is None:
            raise ReleasedError(f"buffer {self.key} was released")
        return BufferRef(self.address, self.size, self.key, self.dtype)

    def flat(self) -> Any:
        """The array in one dimension, over the same memory."""
        if self.device != HOST:
            return self.array.reshape(-1)
        import numpy as np

        return np.asarray(self)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> BufferRef:
        """A reference to elements a to b: buffer[a:b]."""
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise InvalidArgumentError("buffer[...]: need a slice without a step; elements are in buffer.array")
        first, last, _ = part.indices(self.size)
        whole = self.ref()
        count = max(last - first, 0)
        return BufferRef(self.address + first * _SIZES[self.dtype], count, whole.key if count else 0, self.dtype)

    def _interface(self) -> dict[str, Any]:
        if self._memory is None:
            raise ReleasedError(f"buffer {self.key} was released")
        address = (self.address, not self.writable)
        return {"shape": (self.size,), "typestr": _TYPESTRS[self.dtype], "data": address, "version": 3, "strides": None}

    @property
    def __array_interface__(self) -> dict[str, Any]:
        if self.device != HOST:
            raise AttributeError("the buffer is in the memory of a device")
        return self._interface()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device == HOST:
            raise AttributeError("the buffer is in the memory of the host")
        return {**self._interface(), "stream": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        where = "host" if self.device == HOST else f"device {self.device}"
        state = "released" if self.released else "writable" if self.writable else "read-only"
        return f"<Buffer {self.key} {self.size} rk.{self.dtype} {where} {state}>"


# -- arrays of others ---------------------------------------------------------------------------------------------------


def register(array: Any, *, writable: bool = True, cuda: _core.CudaDevice | None = None) -> Buffer:
    """See Runtime.register. cuda: the device of its runtime."""
    device = getattr(array, "__cuda_array_interface__", None)
    memory = _of_interface(array, device, "__cuda_array_interface__") if device is not None else _of_host(array)
    if cuda is not None and memory.size:
        memory = _placed(memory, cuda)
    size = _SIZES[memory.dtype]
    if memory.address % size:
        raise _Unsuitable(f"register: the array begins at {memory.address:#x}, which is not aligned to {size} bytes")
    if memory.size >= 2**32:
        raise _Unsuitable(f"register: found {memory.size} elements, the most is 2**32 - 1; register parts of it")
    if writable and not memory.writable:
        raise _Unsuitable("register: the array is read-only; write register(array, writable=False)")
    return Buffer(array, memory, writable)


def _placed(memory: _Memory, cuda: _core.CudaDevice) -> _Memory:
    """As the driver knows the memory. What begins and ends in one kind of it is of that kind."""
    first = cuda.place_of(memory.address)
    last = cuda.place_of(memory.address + memory.size * _SIZES[memory.dtype] - 1)
    known, device, everywhere = first
    if memory.device != HOST and (not known or first != last):
        raise _Unsuitable(
            f"register: the array says that it is on a GPU, but CUDA knows no such memory at {memory.address:#x}: "
            "it was freed, or belongs to another process"
        )
    if not known or first != last:
        return memory
    return memory._replace(device=HOST if memory.device == HOST else device, everywhere=everywhere)


def _contiguous(strides: Any, shape: tuple[int, ...], size: int) -> bool:
    if strides is None or 0 in shape:
        return True
    expected = size
    for length, stride in zip(reversed(shape), reversed(tuple(strides)), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _scalar_of(typestr: str) -> str:
    found = _SCALARS.get(typestr[1:])
    if found is None or (typestr[0] == ">" and typestr[2] != "1"):
        need = ", ".join(f"rk.{name}" for name in INDEX_OF)
        raise _Unsuitable(f"register: found elements of {typestr!r}, need one of {need} in little-endian order")
    return found[0]


def _of_interface(array: Any, interface: dict[str, Any], name: str) -> _Memory:
    dtype, shape = _scalar_of(interface["typestr"]), tuple(interface["shape"])
    if not _contiguous(interface.get("strides"), shape, _SIZES[dtype]):
        raise _Unsuitable(f"register: the array ({name}) is not C-contiguous; register a contiguous copy of it")
    count = 1
    for length in shape:
        count *= length
    address, read_only = interface["data"]
    return _Memory(address or 0, count, dtype, not read_only, HOST if name == "__array_interface__" else 0, None)


def _of_host(array: Any) -> _Memory:
    interface = getattr(array, "__array_interface__", None)
    if interface is not None and interface.get("data") is not None:
        return _of_interface(array, interface, "__array_interface__")
    import numpy as np

    try:
        view = memoryview(array)
    except TypeError:
        view = None
    if view is None and hasattr(array, "__dlpack__"):
        return _of_dlpack(array, np)
    if view is None:
        raise _Unsuitable(
            f"register: found {type(array).__name__}, need an array: with the buffer protocol, __array_interface__, "
            f"__cuda_array_interface__ or DLPack"
        )
    if not view.c_contiguous:
        raise _Unsuitable("register: the buffer is not C-contiguous; register a contiguous copy of it")
    there = np.asarray(view)
    return _of_interface(there, there.__array_interface__, "__array_interface__")._replace(keep=view)


def _of_dlpack(array: Any, np: Any) -> _Memory:
    try:
        there = np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise _Unsuitable(f"register: {type(array).__name__} gives no DLPack of host memory: {error}") from error
    return _of_interface(there, there.__array_interface__, "__array_interface__")._replace(keep=there)


# -- what fields of messages ask for (field.cc) -------------------------------------------------------------------------


def reference_of(value: Any, dtype: str, name: str) -> tuple[int, int, int]:
    """(address, count, key) of what was assigned to a field of rk.Ref. Raises FieldTypeError, ReleasedError."""
    if value is None:
        return 0, 0, 0
    if isinstance(value, Buffer):
        value = value.ref()
    if not isinstance(value, BufferRef):
        hint = "; register it: rt.register(array)" if hasattr(value, "__array_interface__") else ""
        raise FieldTypeError(f"{name}: found {type(value).__name__}, need an rk.Buffer, an rk.BufferRef or None{hint}")
    if value.dtype != dtype:
        raise FieldTypeError(f"{name}: found a buffer of rk.{value.dtype}, need rk.{dtype}")
    if not 0 <= value.count < 2**32 or not 0 <= value.key < 2**32 or not 0 <= value.address < 2**64:
        raise FieldRangeError(f"{name}: {value!r} is no reference")
    return value.address, value.count, value.key


def release_all(keys: set[int]) -> None:
    """At the end of their runtime."""
    for key in list(keys):
        found = _registered.get(key)
        if found is not None:
            found.release()
    keys.clear()
