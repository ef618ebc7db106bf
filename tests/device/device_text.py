"""Device code compiled to PTX by NVRTC: the repository's, or a changed copy of it."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from golden import Memory, Site, Sources, memory_of

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels" / "cuda"
PRIMITIVES = "device.cuh"

sys.path.insert(0, str(ROOT / "tests" / "compiler"))
from toolchains import CUDA_OPTIONS, compile_cuda, nvrtc  # noqa: E402

__all__ = ["nvrtc"]


@dataclass(frozen=True)
class Device:
    """A folder with device.cuh and the rest, the text that includes them, and one architecture."""

    folder: Path
    text: str
    arch: str = "compute_90"

    def ptx(self) -> str:
        # The folder stands for kernels/cuda: texts include "kernels/cuda/resident.cuh" or "device.cuh".
        include = [f"-I{self.folder.parent.parent}", f"-I{self.folder}", f"-I{ROOT / 'cpp' / 'include'}"]
        compiled = compile_cuda(self.text, self.arch, (*CUDA_OPTIONS, "-lineinfo", *include))
        if not compiled.ok:
            raise AssertionError(compiled.log[:4000])
        return compiled.ptx

    def memory(self) -> list[Memory]:
        return list(memory_of(self.ptx(), PRIMITIVES))

    def sources(self) -> Sources:
        return Sources(self.folder, PRIMITIVES, self.text)


@contextmanager
def changed(device: Device, file: str, change: Callable[[list[str]], None]) -> Iterator[Device]:
    """A copy of the device code in which `change` was made to the lines of one file."""
    with TemporaryDirectory() as base:
        folder = Path(base) / "kernels" / "cuda"
        shutil.copytree(device.folder, folder)
        lines = (folder / file).read_text().splitlines(keepends=True)
        change(lines)
        (folder / file).write_text("".join(lines))
        yield Device(folder, device.text, device.arch)


@contextmanager
def all_changed(device: Device, planted: Sequence[Planted]) -> Iterator[Device]:
    def apply(file: str, lines: list[str]) -> None:
        for one in planted:
            if one.site.file == file:
                one.apply(lines)

    with ExitStack() as stack:
        for file in sorted({one.site.file for one in planted}):
            device = stack.enter_context(changed(device, file, functools.partial(apply, file)))
        yield device


# What a careless hand would write instead. Names of primitives: rk_<ld|st|add|...>_<order>_<scope>.
WEAKER = (
    (re.compile(r"\brk_(ld|st|add)_(acquire|release)_"), r"rk_\1_relaxed_", "relaxed"),
    (re.compile(r"\brk_((?:ld|st)_(?:relaxed|acquire|release))_sys\b"), r"rk_\1_gpu", "scope gpu"),
    (re.compile(r"\brk_fence_(?:gpu|sys)\s*\(\s*\)\s*;"), ";", "no fence"),
    (re.compile(r"\brk_fence_sys\b"), "rk_fence_gpu", "scope gpu"),
)


@dataclass(frozen=True)
class Planted:
    site: Site
    labels: frozenset[str]  # of the edges that it weakens
    what: str
    find: re.Pattern[str]
    put: str

    def __str__(self) -> str:
        return f"{self.site.file}:{self.site.line} {' '.join(sorted(self.labels))}: {self.what}"

    def apply(self, lines: list[str]) -> None:
        lines[self.site.line - 1] = self.find.sub(self.put, lines[self.site.line - 1], count=1)


def planted_calls(sources: Sources) -> list[Planted]:
    """One for each call and way to weaken it, where there is such a primitive."""
    primitives = "\n".join(sources.lines[PRIMITIVES])
    found = []
    for site in sources.calls:
        for find, put, what in WEAKER:
            call = find.search(sources.lines[site.file][site.line - 1].split("//")[0])
            if call and (put == ";" or re.search(rf"\b{call.expand(put)}", primitives)):
                found.append(Planted(site, frozenset([sources.label(site) or ""]), what, find, put))
    return found


# In primitives: asm text, or the form that a macro makes it of.
_FORM = re.compile(r"\b(relaxed|acquire|release|acq_rel)\.(cta|gpu|sys)\b")
_PRIMITIVE = re.compile(r"\b(rk_\w+)\s*[(,]")


def planted_primitives(sources: Sources) -> list[Planted]:
    """In the primitives that are called: each instruction of one scope less, or one order less, or plain."""
    found: list[Planted] = []
    name = ""
    for number, line in enumerate(sources.lines[PRIMITIVES], 1):
        code = line.split("//")[0]
        if line.startswith("RK_") and (called := _PRIMITIVE.search(code)):
            name = called[1]
        form = _FORM.search(code)
        labels = frozenset(
            sources.label(site) or ""
            for site in sources.calls
            if re.search(rf"\b{name}\s*\(", sources.lines[site.file][site.line - 1])
        )
        if form is None or not name or not labels:
            continue
        puts = []
        if form[2] != "cta":
            puts.append(form[1] + {"sys": ".gpu", "gpu": ".cta"}[form[2]])
        if form[1] in ("acquire", "release"):
            puts.append(f"relaxed.{form[2]}")
        find = re.compile(re.escape(form[0]))
        site = Site(PRIMITIVES, number)
        found += [Planted(site, labels, f"{form[0]} -> {put}", find, put) for put in puts]
        if ".b128" in code:
            plain = re.compile(re.escape(f".{form[0]}") + r"\S*\.b128")
            found.append(Planted(site, labels, "one access -> plain", plain, ".b128"))
    return found


def apart(planted: Sequence[Planted]) -> list[list[Planted]]:
    """In groups without two of the same edge or line: each is told by its edge, and compiling takes half a second."""
    groups: list[list[Planted]] = []
    for one in planted:
        for group in groups:
            if not any(one.labels & other.labels or one.site == other.site for other in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def alike(planted: Sequence[Planted]) -> list[list[Planted]]:
    """In groups with the same change, so that none is what another becomes."""
    groups: dict[str, list[Planted]] = {}
    for one in planted:
        groups.setdefault(one.what, []).append(one)
    return list(groups.values())


@functools.lru_cache(maxsize=1)
def resident_text() -> str:
    """Prelude, a handler that calls every service, and the resident kernel, as they are launched."""
    import c_programs  # tests/compiler

    from pyringkernel.compiler.emit.dialect_cuda import CUDA
    from pyringkernel.compiler.emit.emit_c import emit_program

    program = replace(c_programs.services(), block_size=64)  # with several threads: locks and barriers are there
    text = emit_program(program, CUDA, lines=False, prelude=True)
    # Not in that handler: a barrier of all instances, which the language has only for kernels that are one grid.
    barrier = 'extern "C" __global__ void all_meet(rk_call* call) { rk_device_sync_grid(call); }'
    # With references, so that the fences which those need are there too.
    return f'#define RK_REFERENCES 1\n{text}\n#include "kernels/cuda/resident.cuh"\n{barrier}\n'
