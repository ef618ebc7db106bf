"""Reads PTX back: which memory instruction each labelled line of the device code became.

NVRTC writes `.loc` lines, and for an inlined function also where it was inlined. An access is one `asm` in a primitive
(device.cuh), so the line that it was inlined at is the call, and the comment on that line names the edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LABEL = re.compile(r"//.*?\b([A-Z]\d+)\b")
CALL = re.compile(r"\brk_(?:(?:ld|st|add|cas|max)_\w+|fence_(?:gpu|sys))\s*\(")
INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?((?:ld|st|atom|red|fence|membar)\.[\w.:]+)")
ORDERS = ("relaxed", "acquire", "release", "acq_rel", "sc", "volatile", "mmio")
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]+)"')
_LOC = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)\s+(\d+)(?:.*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?")

Position = tuple[int, int, int]  # file, line, column


@dataclass(frozen=True)
class Site:
    """A line of the device code."""

    file: str
    line: int


@dataclass(frozen=True)
class Memory:
    """One memory instruction of the PTX. text: as edges.Access.ptx has it; weak ones: ld, st."""

    text: str
    site: Site
    inside: Site  # where the instruction itself stands: a primitive, mostly

    @property
    def strong(self) -> bool:
        return "." in self.text


def short(instruction: str) -> str | None:
    """ld.acquire.sys.global.u64 -> ld.acquire.sys. None: no memory that is shared (parameters, constants, locals)."""
    parts = instruction.split(".")
    if any(part.startswith(("param", "local", "shared", "const")) for part in parts[1:]):
        return None
    if parts[0] == "membar":
        return f"fence.sc.{ {'gl': 'gpu'}.get(parts[1], parts[1]) }".replace(" ", "")
    order = [part for part in parts[1:] if part in ORDERS]
    scope = [part for part in parts[1:] if part in ("cta", "cluster", "gpu", "sys")]
    what = [part for part in parts[1:] if part in ("add", "cas", "max", "exch", "b128", "v2", "v4")]
    if parts[0] in ("atom", "red"):
        return ".".join(["atom", *(order or ["relaxed"]), *(scope or ["gpu"]), *what])
    return ".".join([parts[0], *order, *scope, *(what if order else [])])


def memory_of(ptx: str, primitives: str) -> Iterator[Memory]:
    """All of a text. `primitives`: the file whose functions consist of single instructions."""
    files = {int(m[1]): Path(m[2]).name for m in map(_FILE.match, ptx.splitlines()) if m}
    at: Position = (0, 0, 0)
    outer: dict[Position, Position | None] = {}
    for line in ptx.splitlines():
        if found := _LOC.match(line):
            numbers = [int(n) if n else 0 for n in found.groups()]
            at = (numbers[0], numbers[1], numbers[2])
            outer[at] = (numbers[3], numbers[4], numbers[5]) if found[4] else None
        elif (found := INSTRUCTION.match(line)) and (text := short(found[1])):
            inside, call = at, at
            for _ in range(16):  # out of the primitives
                above = outer.get(call)
                if files.get(call[0]) != primitives or above is None:
                    break
                call = above
            yield Memory(text, _site(files, call), _site(files, inside))


def _site(files: Mapping[int, str], at: Position) -> Site:
    return Site(files.get(at[0], "?"), at[1])


class Sources:
    """The device code: its calls of primitives, and their labels."""

    def __init__(self, folder: Path, primitives: str, text: str = "") -> None:
        self.lines = {path.name: path.read_text().splitlines() for path in sorted(folder.glob("*.cuh"))}
        self.lines["handlers.cu"] = text.splitlines()  # the prelude has an access of its own
        self.calls = [
            Site(name, number)
            for name, lines in self.lines.items()
            if name != primitives
            for number, line in enumerate(lines, 1)
            if CALL.search(line.split("//")[0])
        ]

    def label(self, site: Site) -> str | None:
        """On the line, or further down where the statement was wrapped."""
        lines = self.lines.get(site.file, [])[site.line - 1 : site.line + 3]
        for line in lines:
            if found := LABEL.search(line):
                return found[1]
            if line.split("//")[0].rstrip().endswith((";", "{", "}")):
                return None
        return None


def plain_accesses(sources: Sources, words: Sequence[str]) -> list[str]:
    """Uses of shared words other than by their address: `line->command` where it must be `&line->command`."""
    link = r"(?:\[[^\]]*\])?(?:->|\.)"
    use = re.compile(rf"(?<![\w.>])(&\s*)?\b\w+(?:{link}\w+)*?{link}({'|'.join(words)})\b(?!\s*\()")
    return [
        f"{name}:{number}: plain access to {match[2]}"
        for name, lines in sources.lines.items()
        for number, line in enumerate(lines, 1)
        for match in use.finditer(line.split("//")[0])
        if not match[1]
    ]


Table = Mapping[str, Mapping[str, int]]  # edge -> instruction -> lines that are it


def edges_of(found: Sequence[Memory], sources: Sources) -> dict[str, dict[str, int]]:
    """The table as the PTX has it."""
    sites: dict[tuple[str, str], set[Site]] = {}
    for memory in found:
        label = sources.label(memory.site)
        if label is not None and memory.strong:
            sites.setdefault((label, memory.text), set()).add(memory.site)
    table: dict[str, dict[str, int]] = {}
    for (label, text), lines in sorted(sites.items()):
        table.setdefault(label, {})[text] = len(lines)
    return table


def problems(found: Sequence[Memory], sources: Sources, table: Table) -> list[str]:
    """What is not as the table says."""
    said = []
    for memory in found:
        if memory.strong and sources.label(memory.site) is None:
            said.append(f"{memory.site.file}:{memory.site.line}: {memory.text} without an edge")
    became = edges_of(found, sources)
    for edge in sorted({*table, *became}):
        wanted, got = table.get(edge, {}), became.get(edge, {})
        for text in sorted({*wanted, *got}):
            if wanted.get(text, 0) != got.get(text, 0):
                said.append(f"{edge}: {got.get(text, 0)} lines are {text}, not {wanted.get(text, 0)}")
    seen = {(memory.site.file, memory.site.line) for memory in found if memory.strong}
    for site in sources.calls:
        if sources.label(site) is None:
            said.append(f"{site.file}:{site.line}: a call without an edge")
        elif not any((site.file, site.line + n) in seen for n in range(3)):
            said.append(f"{site.file}:{site.line}: no instruction in the PTX")
    return sorted(set(said))
