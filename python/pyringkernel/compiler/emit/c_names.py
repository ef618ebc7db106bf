"""Names of the user as names of C: kept where they can be."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CPP = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
    concept const const_cast consteval constexpr constinit continue co_await co_return co_yield decltype default delete
    do double dynamic_cast else enum explicit export extern false final float for friend goto if import inline int long
    module mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected public
    register reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast struct
    switch template this thread_local throw true try typedef typeid typename typeof union unsigned using virtual void
    volatile wchar_t while xor xor_eq linux unix i386 NULL EOF std main
    i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64 call state header message frame shared
"""

_TAKEN = frozenset(_CPP.split())


def clean(name: str) -> str:
    """The name in the letters of C; one that is reserved in C++ or could be ours gets another begin."""
    text = re.sub(r"[^A-Za-z0-9_]", lambda match: f"_{ord(match.group()):x}_", name)
    text = re.sub(r"__+", "_", text)
    if not text or text[0].isdigit() or re.match(r"_[A-Z]|_$|(rk|RK|fn)_", text):
        text = "v" + text if text.startswith("_") else "v_" + text
    return text


class Names:
    """Gives each name of one scope a C name that no other has."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._used = set(_TAKEN) | set(taken)
        self._given: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Always the same for the same name."""
        if name not in self._given:
            self._given[name] = self.new(name)
        return self._given[name]

    def new(self, name: str, prefix: str = "") -> str:
        """One that was not given before."""
        wanted = text = prefix + clean(name)
        number = 1
        while text in self._used:
            text = f"{wanted}_" if number == 1 else f"{wanted}_{number}"
            number += 1
        self._used.add(text)
        return text


def quoted(text: str) -> str:
    """As a string literal, for #line."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    return "\\" + character if character in '"\\' else "?"


def commented(text: str) -> str:
    """As a part of a comment: nothing that ends or continues one."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text).replace("*/", "* /").replace("/*", "/ *")
