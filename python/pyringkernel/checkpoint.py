"""Snapshots of kernels: state, waiting messages and clock, in memory or in a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self


class Snapshot:
    """What a kernel was at one moment. Made by Kernel.snapshot(), load() and from_bytes(); for ``launch(restore=...)``."""

    __slots__ = ("_bytes", "_facts")

    def __init__(self, data: bytes, facts: dict[str, Any]) -> None:
        self._bytes = data
        self._facts = facts

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises CheckpointCorruptError, CheckpointVersionError."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidArgumentError(f"from_bytes: found {type(data).__name__}, need bytes")
        whole = bytes(data)
        return cls(whole, _core.checkpoint_facts(whole))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Raises OSError, CheckpointCorruptError, CheckpointVersionError."""
        return cls.from_bytes(_core.checkpoint_load(os.fspath(path)))

    def to_bytes(self) -> bytes:
        """The whole snapshot; what save() writes."""
        return self._bytes

    __bytes__ = to_bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Replace the file at once: it is the old one or the new one at any moment. Raises OSError."""
        _core.checkpoint_save(os.fspath(path), self._bytes)

    @property
    def kernel(self) -> str:
        """The name of the kernel."""
        return str(self._facts["kernel"])

    @property
    def instances(self) -> int:
        """How many instances it had."""
        return int(self._facts["instances"])

    @property
    def messages(self) -> int:
        """How many messages waited."""
        return int(self._facts["messages"])

    @property
    def hlc(self) -> _core.HlcTimestamp:
        """When it was made."""
        return self._facts["hlc"]  # type: ignore[no-any-return]

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the format."""
        return self._facts["version"]  # type: ignore[no-any-return]

    @property
    def layout(self) -> list[tuple[str, str, int]]:
        """The state's fields: name, type and offset in bytes."""
        return list(self._facts["layout"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __reduce__(self) -> Any:
        return type(self).from_bytes, (self._bytes,)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.kernel!r} instances={self.instances} messages={self.messages} {len(self._bytes)} bytes>"
