"""Handlers in shared libraries: a C function, or what a compiler made of a Python one, run without the interpreter lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from . import _core
from .errors import HandlerSignatureError, InvalidArgumentError
from .handlers import KernelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

_NEED = "an int, a ctypes function, or a compiled function with .address (of numba's @cfunc)"


class NativeHandler:
    """A handler that is a C function: ``rk_handler`` in ``ringkernel/native.h`` (``pyringkernel.get_include()``).

    pointer: where the function is: an int, a ctypes function, or a callable with ``.address``, as numba's ``@cfunc``
    makes. What is at this address cannot be checked: a wrong one ends the process.
    accepts: message classes; others never reach the function. replies: those that it answers with; their size counts
    for ``max_message_size`` of launch(). state: a class made by ``@rk.state``, of which each instance has its own.
    id: the kernel's name (default: the function's). publishes_to: names of kernels; the function sends to them by index.
    keep_alive: what must not be collected while the function may run, besides what was given as `pointer`.

    Immutable. ``launch()`` takes it like any handler, also more than once.

    Raises HandlerSignatureError when an argument is of the wrong kind, InvalidArgumentError when its value cannot be.
    """

    __slots__ = ("__rk_kernel__", "__weakref__", "_given", "keep_alive", "pointer")

    __rk_kernel__: KernelSpec
    pointer: int
    keep_alive: Any
    _given: Any  # what was given as `pointer`: the code may go with it

    def __init__(
        self,
        pointer: Any,
        accepts: Iterable[type[Any]],
        replies: Iterable[type[Any]] = (),
        state: type[Any] | None = None,
        id: str | None = None,
        *,
        publishes_to: Iterable[str] = (),
        keep_alive: Any = None,
    ) -> None:
        address = _address_of(pointer)
        classes = _classes("accepts", accepts)
        if not classes:
            raise HandlerSignatureError("accepts: found none, need at least one class made by @rk.message")
        if state is not None and not (isinstance(state, type) and getattr(state, "__rk_state__", False)):
            raise HandlerSignatureError(f"state: found {state!r}, need a class made by @rk.state, or None")
        spec = KernelSpec(
            _name(pointer, address, id),
            classes,
            _classes("replies", replies),
            state,
            publishes_to=_names("publishes_to", publishes_to),
        )
        object.__setattr__(self, "__rk_kernel__", spec)
        object.__setattr__(self, "pointer", address)
        object.__setattr__(self, "keep_alive", keep_alive)
        object.__setattr__(self, "_given", pointer)

    @property
    def id(self) -> str:
        """The name that a kernel of it gets unless launch() is given another."""
        return self.__rk_kernel__.id

    @property
    def accepts(self) -> tuple[type[Any], ...]:
        """The message classes that it takes."""
        return self.__rk_kernel__.accepts

    @property
    def replies(self) -> tuple[type[Any], ...]:
        """The message classes that it answers with."""
        return self.__rk_kernel__.replies

    @property
    def state(self) -> type[Any] | None:
        """The class of its state; None when it has none."""
        return self.__rk_kernel__.state

    @property
    def publishes_to(self) -> tuple[str, ...]:
        """The kernels that it sends to, by index."""
        return self.__rk_kernel__.publishes_to

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name}: a NativeHandler does not change; make another")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}: a NativeHandler does not change; make another")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a NativeHandler is an address in this process and cannot be pickled")

    def __repr__(self) -> str:
        def joined(classes: Iterable[type[Any]]) -> str:
            return " | ".join(cls.__name__ for cls in classes)

        taken = ([self.state.__name__] if self.state else []) + [joined(self.accepts)]
        return (
            f"<NativeHandler {self.id!r} at 0x{self.pointer:x}: ({', '.join(taken)}) -> {joined(self.replies) or None}>"
        )


def _address_of(pointer: Any) -> int:
    """The address of a function. Raises HandlerSignatureError, InvalidArgumentError."""
    import ctypes  # here: most programs have no native handlers, and importing it takes milliseconds
    from _ctypes import CFuncPtr

    address: Any = None
    if isinstance(pointer, CFuncPtr):
        declared = pointer.argtypes
        if declared is not None and len(declared) != 3:
            raise HandlerSignatureError(
                f"pointer: found a function of {len(declared)} parameters, need (context, state, message)"
            )
        address = ctypes.cast(pointer, ctypes.c_void_p).value or 0
    elif isinstance(pointer, int):
        address = pointer
    elif callable(pointer):  # a kernel has an address too, and is no function
        address = getattr(pointer, "address", None)
    if isinstance(address, bool) or not isinstance(address, int):
        hint = "; launch() takes Python functions as they are" if callable(pointer) else ""
        raise HandlerSignatureError(f"pointer: found {pointer!r}, need {_NEED}{hint}")
    if not 0 < address < 2**64:
        raise InvalidArgumentError(f"pointer: found the address {address}, need 1 to 2**64 - 1: where a function is")
    return int(address)


def _name(pointer: Any, address: int, id: Any) -> str:
    if id is None:
        found = getattr(pointer, "__name__", None)
        return found if isinstance(found, str) and found else f"native_{address:x}"
    if not isinstance(id, str):
        raise HandlerSignatureError(f"id: found {id!r}, need a name")
    if not id:
        raise InvalidArgumentError("id: found '', need a name")
    return id


def _listed(what: str, given: Any, members: str) -> tuple[Any, ...]:
    if isinstance(given, str | bytes | type) or not hasattr(given, "__iter__"):
        raise HandlerSignatureError(f"{what}: found {given!r}, need a list of {members}")
    return tuple(given)


def _classes(what: str, given: Any) -> tuple[type[Any], ...]:
    classes = _listed(what, given, "classes made by @rk.message")
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, _core.Message) and one is not _core.Message):
            raise HandlerSignatureError(f"{what}: found {one!r}, need classes made by @rk.message")
    return tuple(dict.fromkeys(classes))


def _names(what: str, given: Any) -> tuple[str, ...]:
    names = _listed(what, given, "names of kernels")
    for one in names:
        if not isinstance(one, str):
            raise HandlerSignatureError(f"{what}: found {one!r}, need names of kernels")
        if not one or names.count(one) != 1:  # a name twice would have two indices
            raise InvalidArgumentError(
                f"{what}: found {one!r}{' twice' if one else ''}, need different names of kernels"
            )
    return names
