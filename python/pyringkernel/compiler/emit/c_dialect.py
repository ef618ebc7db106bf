"""What distinguishes the C-like languages: spelling only. The services and primitives are in prelude/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from pyringkernel.compiler.ir import Root


@dataclass(frozen=True)
class Dialect:
    """`spaces`: the address space of each memory, as a prefix of pointer types. `long_suffix`: of 64-bit literals.
    `keywords`: names that the language or its header takes, beside those of C++. `seconds`: the type of a deadline."""

    name: str
    prelude_file: str
    header: tuple[str, ...]  # comment lines
    entry_prefix: str
    function_prefix: str
    call: str
    spaces: Mapping[Root, str]
    long_suffix: str
    seconds: str
    keywords: frozenset[str]

    def pointer(self, root: Root, writable: bool) -> str:
        """The type of a pointer into the memory."""
        return f"{self.spaces[root]}{'' if writable else 'const '}u8*"

    def prelude(self) -> str:
        """The text that generated handlers stand on."""
        path = resources.files("pyringkernel.compiler.emit") / "prelude" / self.prelude_file
        return path.read_text("utf-8")
