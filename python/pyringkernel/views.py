"""A kernel's state as arrays of others: NumPy, CuPy, PyTorch, and whatever speaks their protocols. Nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import InvalidArgumentError
from .messages import layout_of

if TYPE_CHECKING:
    import numpy as np

    from .kernels import Kernel

CPU, CUDA = 1, 2  # DLDeviceType
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # DLDataTypeCode, by the kind of a NumPy dtype


class FieldView:
    """Memory of one field: ``__array_interface__`` in the host's, ``__cuda_array_interface__`` (version 3) in a device's,
    and DLPack where its elements are numbers: ``numpy.asarray``, ``cupy.asarray``, ``torch.from_dlpack`` take it.

    Whoever looks while a handler runs sees what that has written so far: deactivate the kernel first. It keeps the
    kernel, and with it the memory.
    """

    def __init__(
        self,
        owner: Any,
        address: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        device: int,
    ) -> None:
        self._owner = owner
        self.address = address
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        """In bytes."""
        self.device = device
        """The index of the CUDA device; -1: the host's memory."""

    def __getattr__(self, name: str) -> Any:
        # A protocol that a memory does not have must not be seen by those who look for it.
        wanted = "__array_interface__" if self.device < 0 else "__cuda_array_interface__"
        if name != wanted:
            raise AttributeError(name)
        return {
            "data": (self.address, False),
            "shape": self.shape,
            "strides": self.strides,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """(DLDeviceType, index): (1, 0) is the host's memory, (2, n) that of CUDA device n."""
        return (CPU, 0) if self.device < 0 else (CUDA, self.device)

    def __dlpack__(self, **_: Any) -> object:
        """A capsule; raises BufferError where an element is a struct. `stream` needs nothing: no work is pending."""
        if self.dtype.kind not in _CODES:
            raise BufferError(f"DLPack has no type for {self.dtype}: take a field of numbers")
        size = self.dtype.itemsize
        if any(stride % size for stride in self.strides):
            raise BufferError(f"DLPack counts strides in elements; found {self.strides} bytes of elements of {size}")
        strides = [stride // size for stride in self.strides]
        kind = (_CODES[self.dtype.kind], 8 * size)
        return _core.dlpack(self.address, list(self.shape), strides, kind, self.__dlpack_device__(), self._owner)

    def __repr__(self) -> str:
        place = "host" if self.device < 0 else f"cuda:{self.device}"
        return f"<FieldView {self.dtype} {self.shape} {place} {self.address:#x}>"


class StateView:
    """The state of one instance where it lies: ``view["total"]``, or ``view.whole`` with the structured dtype."""

    def __init__(self, kernel: Kernel, instance: int) -> None:
        import numpy as np

        cls = kernel._core._state_class
        if cls is None:
            raise InvalidArgumentError(f"state_view: kernel {kernel.name!r} has no state")
        if not 0 <= instance < kernel.instances:
            raise InvalidArgumentError(f"instance: found {instance!r}, need 0 to {kernel.instances - 1}")
        self._cls = cls
        self._np = np
        address, self.device = kernel._core._state_place(instance)
        self.whole = FieldView(kernel, address, cls.dtype, (), (), self.device)

    def __iter__(self) -> Iterator[str]:
        return (row.name for row in layout_of(self._cls).rows)

    def __len__(self) -> int:
        return len(layout_of(self._cls).rows)

    def __getitem__(self, name: str) -> FieldView:
        """The field: a scalar is of no dimension, an array of one. Of a Vec a structured scalar: its length, its items."""
        fields = self.whole.dtype.fields
        if fields is None or name not in fields:
            raise KeyError(f"{self._cls.__name__} has no field {name!r}; it has {list(self)}")
        dtype, offset = fields[name][:2]
        base, shape = dtype.subdtype if dtype.subdtype is not None else (dtype, ())
        strides: list[int] = []
        step = base.itemsize
        for count in reversed(shape):
            strides.insert(0, step)
            step *= count
        return FieldView(
            self.whole._owner, self.whole.address + offset, base, tuple(shape), tuple(strides), self.device
        )

    def __repr__(self) -> str:
        return f"<StateView of {self._cls.__name__}: {', '.join(self)}>"
