"""WGSL that reads and writes the memories, which are arrays of words, by byte address.

Bytes and halves are parts of words. Where several threads may write parts of one word the array is one of atomics, and
a part is written by clearing its bits and setting them: threads that write other parts lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import ir
from ..walk import places_of, statements

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = {
    ir.Root.STATE: "state",
    ir.Root.MESSAGE: "slots",
    ir.Root.HEADER: "slots",
    ir.Root.FRAME: "frame",
    ir.Root.SHARED: "local",
}
BINDINGS = {"state": 0, "slots": 1}


@dataclass(frozen=True)
class Memory:
    """`cell`: "u32", "atomic<u32>" or "atomic<u64>"."""

    name: str
    cell: str
    size: int

    def declaration(self) -> str:
        """The variable."""
        element = self.cell
        if self.name in BINDINGS:
            place = f"@group(0) @binding({BINDINGS[self.name]}) var<storage, read_write>"
            return f"{place} rk_{self.name}: array<{element}>;"
        count = max(1, -(-self.size // (8 if "64" in self.cell else 4)))
        space = "private" if self.name == "frame" else "workgroup"
        return f"var<{space}> rk_{self.name}: array<{element}, {count}>;"

    def functions(self) -> Iterator[str]:
        """Declarations that Library.add takes."""
        texts = {"u32": _PLAIN, "atomic<u32>": _ATOMIC, "atomic<u64>": _WIDE}[self.cell]
        yield from (text.replace("MEM", self.name) for text in (_ACCESS, *texts))


_PLAIN = (
    "fn rk_MEM_word(i: u32) -> u32 { return rk_MEM[i]; }",
    "fn rk_MEM_set_word(i: u32, v: u32) { rk_MEM[i] = v; }",
    "fn rk_MEM_set_part(i: u32, mask: u32, v: u32) { rk_MEM[i] = (rk_MEM[i] & ~mask) | v; }",
)
_ATOMIC = (
    "fn rk_MEM_word(i: u32) -> u32 { return atomicLoad(&rk_MEM[i]); }",
    "fn rk_MEM_set_word(i: u32, v: u32) { atomicStore(&rk_MEM[i], v); }",
    "fn rk_MEM_set_part(i: u32, mask: u32, v: u32) {\n  atomicAnd(&rk_MEM[i], ~mask);\n  atomicOr(&rk_MEM[i], v);\n}",
    "fn rk_MEM_cas32(at: u32, expected: u32, v: u32) -> bool {\n"
    "  return atomicCompareExchangeWeak(&rk_MEM[at >> 2u], expected, v).exchanged;\n"
    "}",
)
_WIDE = (
    "fn rk_MEM_word(i: u32) -> u32 { return u32(atomicLoad(&rk_MEM[i >> 1u]) >> ((i & 1u) * 32u)); }",
    "fn rk_MEM_set_word(i: u32, v: u32) { rk_MEM_set_part(i, 0xffffffffu, v); }",
    "fn rk_MEM_set_part(i: u32, mask: u32, v: u32) {\n"
    "  atomicAnd(&rk_MEM[i >> 1u], ~(u64(mask) << ((i & 1u) * 32u)));\n"
    "  atomicOr(&rk_MEM[i >> 1u], u64(v) << ((i & 1u) * 32u));\n"
    "}",
    "fn rk_MEM_cas32(at: u32, expected: u32, v: u32) -> bool {\n"
    "  let shift = (at & 4u) * 8u;\n"
    "  let old = atomicLoad(&rk_MEM[at >> 3u]);\n"
    "  if u32(old >> shift) != expected { return false; }\n"
    "  let new_value = (old & ~(0xfffffffflu << shift)) | (u64(v) << shift);\n"
    "  return atomicCompareExchangeWeak(&rk_MEM[at >> 3u], old, new_value).exchanged;\n"
    "}",
    "fn rk_MEM_cas64(at: u32, expected: vec2<u32>, v: vec2<u32>) -> bool {\n"
    "  let old = rk_u64_of_words(expected);\n"
    "  return atomicCompareExchangeWeak(&rk_MEM[at >> 3u], old, rk_u64_of_words(v)).exchanged;\n"
    "}",
    "fn rk_MEM_get64(at: u32) -> vec2<u32> { return rk_words_of_u64(atomicLoad(&rk_MEM[at >> 3u])); }",
)
_ACCESS = """
fn rk_MEM_get8(at: u32) -> u32 { return (rk_MEM_word(at >> 2u) >> ((at & 3u) * 8u)) & 0xffu; }

fn rk_MEM_get16(at: u32) -> u32 { return (rk_MEM_word(at >> 2u) >> ((at & 2u) * 8u)) & 0xffffu; }

fn rk_MEM_get32(at: u32) -> u32 { return rk_MEM_word(at >> 2u); }

fn rk_MEM_get64(at: u32) -> vec2<u32> { return vec2<u32>(rk_MEM_word(at >> 2u), rk_MEM_word((at >> 2u) + 1u)); }

fn rk_MEM_set8(at: u32, v: u32) {
  let shift = (at & 3u) * 8u;
  rk_MEM_set_part(at >> 2u, 0xffu << shift, (v & 0xffu) << shift);
}

fn rk_MEM_set16(at: u32, v: u32) {
  let shift = (at & 2u) * 8u;
  rk_MEM_set_part(at >> 2u, 0xffffu << shift, (v & 0xffffu) << shift);
}

fn rk_MEM_set32(at: u32, v: u32) { rk_MEM_set_word(at >> 2u, v); }

fn rk_MEM_set64(at: u32, v: vec2<u32>) {
  rk_MEM_set_word(at >> 2u, v.x);
  rk_MEM_set_word((at >> 2u) + 1u, v.y);
}

fn rk_MEM_zero(at: u32, size: u32) {
  for (var n = 0u; n < size; n += 1u) { rk_MEM_set8(at + n, 0u); }
}

fn rk_MEM_zero_words(at: u32, size: u32) {
  for (var n = 0u; n < size; n += 4u) { rk_MEM_set_word((at + n) >> 2u, 0u); }
}

// To the effects; the last word is filled up with zeros.
fn rk_MEM_send(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 4u) {
    var word = 0u;
    for (var k = 0u; k < min(size - n, 4u); k += 1u) { word |= rk_MEM_get8(from_at + n + k) << (8u * k); }
    rk_effects[to + n / 4u] = word;
  }
}

fn rk_MEM_send_words(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 4u) { rk_effects[to + n / 4u] = rk_MEM_word((from_at + n) >> 2u); }
}
"""

_COPY = """
fn rk_copy_TO_FROM(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 1u) { rk_TO_set8(to + n, rk_FROM_get8(from_at + n)); }
}

fn rk_copy_words_TO_FROM(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 4u) { rk_TO_set_word((to + n) >> 2u, rk_FROM_word((from_at + n) >> 2u)); }
}
"""
# Within a memory the two may overlap: from the end when that is where it goes.
_MOVE = """
fn rk_copy_TO_FROM(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 1u) {
    let k = select(n, size - 1u - n, from_at < to);
    rk_TO_set8(to + k, rk_FROM_get8(from_at + k));
  }
}

fn rk_copy_words_TO_FROM(to: u32, from_at: u32, size: u32) {
  for (var n = 0u; n < size; n += 4u) {
    let k = select(n, size - 4u - n, from_at < to);
    rk_TO_set_word((to + k) >> 2u, rk_FROM_word((from_at + k) >> 2u));
  }
}
"""


def copy_functions(names: Iterable[str]) -> Iterator[str]:
    """Copying from each memory to each, as Library.add takes it."""
    every = sorted(set(names))
    for target in every:
        for source in every:
            text = _MOVE if target == source else _COPY
            yield text.replace("TO", target).replace("FROM", source)


def has_words(place: ir.Place, size: int) -> bool:
    """Whether place and size are of whole words, so that it can be copied by words."""
    return math.gcd(place.offset, size, 4, *(term.stride for term in place.terms)) == 4


def memories(program: ir.Program, int64: bool) -> dict[str, Memory]:
    """The memories by name."""
    cells = dict.fromkeys(NAMES.values(), "u32")
    if program.block_size > 1:
        for root, cell in _shared_cells(program, int64):
            name = NAMES[root]
            if name != "frame":
                cells[name] = max(cells[name], cell, key=_CELLS.index)
    sizes = {"frame": program.frame_size, "local": program.shared_size}
    return {name: Memory(name, cell, sizes.get(name, 0)) for name, cell in cells.items()}


_CELLS = ("u32", "atomic<u32>", "atomic<u64>")


def _shared_cells(program: ir.Program, int64: bool) -> Iterator[tuple[ir.Root, str]]:
    """What threads that share a memory need of it."""
    functions = [*program.functions, *(entry.function for entry in program.entries)]
    for statement in (inner for function in functions for inner in statements(function.body)):
        if isinstance(statement, ir.Atomic):
            yield statement.place.root, "atomic<u64>" if statement.type.size == 8 and int64 else "atomic<u32>"
        elif isinstance(statement, ir.Store) and statement.value.type.size < 4:
            yield statement.place.root, "atomic<u32>"
        elif isinstance(statement, (ir.Copy, ir.Zero)) and not all(
            has_words(place, statement.size) for place in places_of(statement)
        ):
            yield statement.target.root, "atomic<u32>"
