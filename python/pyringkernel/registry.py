"""The registry: running kernels by name, by pattern, and as they come and go."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from .kernels import Kernel
    from .runtime import Runtime


def encodable(what: str, text: str, error: type[Exception]) -> str:
    """`text`, if UTF-8 can hold it."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as cause:
            raise error(f"{what}: found {text!r}, need text without lone surrogates") from cause
    return text


def _text(what: str, value: Any) -> str:
    if isinstance(value, str):
        return encodable(what, value, InvalidArgumentError)
    raise InvalidArgumentError(f"{what}: found {value!r}, need a str")


@dataclass(frozen=True)
class RegistryEvent:
    """kind: "registered" or "unregistered". kernel: None when its handle is gone."""

    kind: str
    name: str
    kernel: Kernel | None


class Watch:
    """A callback that hears of kernels. A context manager."""

    __slots__ = ("_id", "_runtime")

    def __init__(self, runtime: Runtime, number: int) -> None:
        self._runtime = runtime
        self._id = number

    def close(self) -> None:
        """When it returns, the callback runs no more. Idempotent."""
        self._runtime._core.registry_unwatch(self._id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Registry:
    """The kernels of a runtime that have not ended."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def find(self, name: str) -> Kernel | None:
        """The kernel of this name; None."""
        address = self._runtime._core.registry_find(_text("name", name))
        return None if address is None else self._runtime._handles.get(address)

    def lookup(self, pattern: str) -> list[Kernel]:
        """Kernels whose names match, in order: `*` is any text within a `/` level, `**` across levels, `?` one character.

        Raises InvalidArgumentError for a malformed pattern.
        """
        found = [self.find(name) for name, _ in self._runtime._core.registry_lookup(_text("pattern", pattern))]
        return [kernel for kernel in found if kernel is not None]

    def watch(self, pattern: str, callback: Callable[[RegistryEvent], None]) -> Watch:
        """Call `callback` for each kernel that comes or goes and whose name matches, on the thread that makes it so.

        What the callback raises is printed by sys.unraisablehook. Raises InvalidArgumentError for a malformed pattern.
        """
        if not callable(callback):
            raise InvalidArgumentError(f"callback: found {callback!r}, need one to call with a RegistryEvent")
        runtime = weakref.ref(self._runtime)  # the core keeps `tell`, and nobody could collect that cycle

        def tell(registered: bool, name: str, address: int) -> None:
            living = runtime()
            known = None if living is None else living._handles.get(address)
            callback(RegistryEvent("registered" if registered else "unregistered", name, known))

        return Watch(self._runtime, self._runtime._core.registry_watch(_text("pattern", pattern), tell))

    def __repr__(self) -> str:
        return f"<Registry {[name for name, _ in self._runtime._core.registry_lookup('**')]}>"
