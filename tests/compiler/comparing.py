"""Whether two engines agree: bit for bit, but that all NaNs are one, and floats may differ by some ulps if so asked."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pyringkernel.compiler.ir import Type
from pyringkernel.messages import layout_of

if TYPE_CHECKING:
    from harness import Outcome

# Where floats are: of the state under "state", of what is sent under its type id.
Floats: TypeAlias = Mapping["str | int", Sequence["tuple[int, Type]"]]

_FLOATS = {"f2": Type.F16, "f4": Type.F32, "f8": Type.F64}
_SIGNED = {Type.F16: ("<e", "<h"), Type.F32: ("<f", "<i"), Type.F64: ("<d", "<q")}


def floats_of(cls: type[Any], base: int = 0) -> list[tuple[int, Type]]:
    """Offset and type of every float in a message or state class."""
    found = []
    for row in layout_of(cls).rows:
        for index in range(row.count):
            offset = base + row.elements_offset + index * row.element_size
            if row.nested is not None:
                found += floats_of(row.nested, offset)
            elif row.numpy[-2:] in _FLOATS:
                found.append((offset, _FLOATS[row.numpy[-2:]]))
    return found


def ulps_between(kind: Type, left: bytes, right: bytes) -> int:
    """How many floats lie between: 0 for the same bits and for two NaNs, 1 between 0.0 and -0.0."""
    value, bits = _SIGNED[kind]
    one, other = struct.unpack(value, left)[0], struct.unpack(value, right)[0]
    if one != one and other != other:
        return 0
    if one != one or other != other:
        return 1 << 64

    def rank(data: bytes) -> int:
        number: int = struct.unpack(bits, data)[0]
        return number if number >= 0 else -(number & ((1 << (kind.bits - 1)) - 1)) - 1

    return abs(rank(left) - rank(right))


def difference_of_bytes(left: bytes, right: bytes, floats: Sequence[tuple[int, Type]] = (), ulps: int = 0) -> str:
    """Empty, or the first difference in words. `floats`: offset and type of each float in the bytes."""
    if len(left) != len(right):
        return f"{len(left)} and {len(right)} bytes"
    if left == right:
        return ""
    is_float = bytearray(len(left))
    for offset, kind in floats:
        one, other = left[offset : offset + kind.size], right[offset : offset + kind.size]
        is_float[offset : offset + kind.size] = b"\1" * kind.size
        if ulps_between(kind, one, other) > ulps:
            values = [struct.unpack(_SIGNED[kind][0], data)[0] for data in (one, other)]
            return f"{kind.text} at byte {offset}: {values[0]!r} ({one.hex()}) and {values[1]!r} ({other.hex()})"
    for offset, (a, b) in enumerate(zip(left, right, strict=True)):
        if a != b and not is_float[offset]:
            start = offset & ~7
            return (
                f"byte {offset}: {left[start : start + 8].hex()} and {right[start : start + 8].hex()} from {start} on"
            )
    return ""


def difference(a: Outcome, b: Outcome, floats: Floats | None = None, ulps: int = 0) -> str:
    """Empty when both engines did the same; else what differs first. `ulps`: how far floats may be apart."""
    floats = floats or {}
    for number, (one, other) in enumerate(zip(a.reports, b.reports, strict=False)):
        if one != other:
            return f"message {number}: {one} and {other}"
    if len(a.reports) != len(b.reports):
        return f"{len(a.reports)} and {len(b.reports)} messages handled"
    for number, (left, right) in enumerate(zip(a.effects, b.effects, strict=False)):
        if len(left) < 3 or left[:2] != right[:2] or left[3:] != right[3:]:
            if left != right:
                return f"effect {number}: {left} and {right}"
            continue
        found = difference_of_bytes(left[2], right[2], floats.get(left[1], ()), ulps)
        if found:
            return f"effect {number}, {left[0]} of 0x{left[1]:08x}: {found}"
    if len(a.effects) != len(b.effects):
        return f"{len(a.effects)} and {len(b.effects)} effects: {a.effects} and {b.effects}"
    found = difference_of_bytes(a.state, b.state, floats.get("state", ()), ulps)
    return f"state: {found}" if found else ""


def same(a: Outcome, b: Outcome, floats: Floats | None = None, ulps: int = 0) -> bool:
    """Whether both engines did the same."""
    return not difference(a, b, floats, ulps)


def assert_same(a: Outcome, b: Outcome, floats: Floats | None = None, ulps: int = 0) -> None:
    """Fails with the first difference."""
    found = difference(a, b, floats, ulps)
    assert not found, found
