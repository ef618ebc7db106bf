"""Which helper functions a WGSL text needs, and the names of the user's in it.

Helpers are WGSL functions with names that begin with ``rk_``. A text uses a helper when it has its name, so a program
gets those it names, and those which they name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"\brk_\w+")
_DECLARED = re.compile(r"^(?:fn|alias|var<\w+>) +(rk_\w+)", re.MULTILINE)


class Library:
    """Declarations of module scope by name. Later texts replace what earlier ones declared."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._declarations: dict[str, str] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Declarations, separated by empty lines."""
        for block in text.strip().split("\n\n"):
            found = _DECLARED.search(block)
            if found is None:
                raise ValueError(f"no declaration in {block!r}")
            self._declarations[found[1]] = block.strip()

    def needed_by(self, text: str) -> list[str]:
        """The declarations that `text` needs, in the library's order."""
        wanted: set[str] = set()
        new = self._names_in(text)
        while new:
            wanted |= new
            new = {name for found in new for name in self._names_in(self._declarations[found])} - wanted
        return [declaration for name, declaration in self._declarations.items() if name in wanted]

    def _names_in(self, text: str) -> set[str]:
        return {name for name in _NAME.findall(text) if name in self._declarations}


class Names:
    """Names of one scope in the letters of WGSL. With a prefix none is a word of the language or a helper's."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._given: dict[str, str] = {}
        self._used: set[str] = set()

    def of(self, name: str) -> str:
        """Always the same for the same name; different for different ones."""
        if name not in self._given:
            text = wanted = self._prefix + re.sub("[^A-Za-z0-9_]", "_", name)
            number = 1
            while text in self._used:
                number += 1
                text = f"{wanted}_{number}"
            self._used.add(text)
            self._given[name] = text
        return self._given[name]
