"""The PTX of the device code has the instructions that the edge table names, and each weaker text is noticed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from device_text import (
    KERNELS,
    ROOT,
    Device,
    Planted,
    alike,
    all_changed,
    apart,
    changed,
    nvrtc,
    planted_calls,
    planted_primitives,
    resident_text,
)
from golden import Table, edges_of, memory_of, plain_accesses, problems, short
from litmus.edges import ACCESSES, EDGES

pytestmark = pytest.mark.skipif(nvrtc() is None, reason="no NVRTC")
GOLDEN = Path(__file__).with_name("golden.json")
# Stronger than the protocol needs: nothing is read because of these words.
STRONGER = {("G2", "st.release.gpu"), ("G4", "atom.release.gpu.add"), ("G4", "ld.acquire.gpu")}
# Labels that order nothing across threads of different blocks, or look where another access of the edge acquires:
# relaxed, or within a block. docs/memory-model.md says what each is.
CARRIED = re.compile(
    r"(?:ld|st)\.relaxed\.(?:gpu|sys)|atom\.relaxed\.(?:gpu|cta)\..*|(?:ld|st)\.\w+\.cta|fence\..*\.gpu"
)
ARCHS = ("compute_75", "compute_90", "compute_120")
HOST_FILES = ("wire*",)
HOST_VERB = re.compile(r"\b((?:load|store)_(?:relaxed|acquire|release))\s*\(")
HOST_LABEL = re.compile(r"//.*?\b([A-Z]\d+)\b")
HOST_ORDERS: dict[str, set[str]] = {}
for _access in ACCESSES.values():
    if _access.host:
        _verb = {"ld": "load", "st": "store"}[_access.op]
        HOST_ORDERS.setdefault(_access.edge, set()).add(f"{_verb}_{_access.order}")

SAMPLE_PRIMITIVES = r"""
typedef unsigned int u32;
typedef unsigned long long u64;
#define RK_INLINE __device__ __forceinline__
struct alignas(16) rk_unit { u32 word[3]; u32 tag; };
RK_INLINE u64 rk_ld_acquire_sys(const u64* p) {
  u64 v;
  asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
  return v;
}
RK_INLINE u64 rk_ld_relaxed_sys(const u64* p) {
  u64 v;
  asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
  return v;
}
RK_INLINE u64 rk_ld_acquire_gpu(const u64* p) {
  u64 v;
  asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
  return v;
}
RK_INLINE void rk_st_release_gpu(u64* p, u64 v) {
  asm volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}
RK_INLINE void rk_st_relaxed_gpu(u64* p, u64 v) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}
RK_INLINE rk_unit rk_ld_unit_sys(const rk_unit* p) {
  rk_unit u;
  u64 a, b;
  asm volatile("{\n\t.reg .b128 q;\n\tld.relaxed.sys.global.b128 q, [%2];\n\tmov.b128 {%0, %1}, q;\n\t}"
      : "=l"(a), "=l"(b) : "l"(p) : "memory");
  u.word[0] = (u32)a; u.word[1] = (u32)(a >> 32); u.word[2] = (u32)b; u.tag = (u32)(b >> 32);
  return u;
}
RK_INLINE void rk_fence_sys() { asm volatile("fence.acq_rel.sys;" ::: "memory"); }
"""
SAMPLE = r"""
RK_INLINE u64 command_of(const u64* line) {
  return rk_ld_acquire_sys(line);  // D6: what the host wrote before is there
}
extern "C" __global__ void sample(u64* line, u64* work, const rk_unit* ring, u64* payload) {
  rk_unit unit = rk_ld_unit_sys(ring);  // D1: the tag vouches for the bytes
  payload[0] = unit.word[0];
  rk_fence_sys();  // D13
  if (command_of(line) == unit.tag) {
    rk_st_release_gpu(work,
                      unit.tag);  // D8: with the payload
  }
}
"""
SAMPLE_TABLE = {
    "D1": {"ld.relaxed.sys.b128": 1},
    "D6": {"ld.acquire.sys": 1},
    "D8": {"st.release.gpu": 1},
    "D13": {"fence.acq_rel.sys": 1},
}


def golden() -> dict[str, dict[str, int]]:
    """Edge -> instruction -> on how many lines, as kernels/cuda has it. `python test_ptx_golden.py` renews the file."""
    read: dict[str, dict[str, int]] = json.loads(GOLDEN.read_text())
    return read


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Device:
    folder: Path = tmp_path_factory.mktemp("sample") / "kernels" / "cuda"
    folder.mkdir(parents=True)
    (folder / "device.cuh").write_text(SAMPLE_PRIMITIVES)
    (folder / "resident.cuh").write_text(SAMPLE)
    return Device(folder, '#include "device.cuh"\n#include "resident.cuh"\n')


# -- the check itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("instruction", "expected"), [
    ("ld.acquire.sys.global.u64", "ld.acquire.sys"),
    ("st.release.gpu.u32", "st.release.gpu"),
    ("ld.relaxed.sys.global.b128", "ld.relaxed.sys.b128"),
    ("ld.relaxed.sys.global.v4.b32", "ld.relaxed.sys.v4"),
    ("atom.global.add.u64", "atom.relaxed.gpu.add"),
    ("atom.release.gpu.global.add.u64", "atom.release.gpu.add"),
    ("membar.gl", "fence.sc.gpu"),
    ("fence.acq_rel.sys", "fence.acq_rel.sys"),
    ("ld.volatile.global.u64", "ld.volatile"),
    ("ld.global.nc.v4.u32", "ld"),
    ("ld.param.u64", None),
    ("st.local.u32", None),
])  # fmt: skip
def test_instructions_are_read(instruction: str, expected: str | None) -> None:
    assert short(instruction) == expected


def test_a_call_is_found_through_the_functions_that_it_was_inlined_through() -> None:
    ptx = """
    .file 1 "/x/resident.cuh"
    .file 2 "/x/device.cuh"
    .loc 1 30 3
    .loc 1 7 3, function_name $a, inlined_at 1 30 3
    .loc 2 5 1, function_name $b, inlined_at 1 7 3
    .loc 2 2 1, function_name $c, inlined_at 2 5 1
    ld.acquire.sys.u64 %rd1, [%rd2];
    """
    (memory,) = memory_of(ptx, "device.cuh")
    assert (memory.site.file, memory.site.line, memory.inside.line) == ("resident.cuh", 7, 2)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_sample_is_as_its_table(sample: Device, arch: str) -> None:
    device = Device(sample.folder, sample.text, arch)
    assert problems(device.memory(), device.sources(), SAMPLE_TABLE) == []


def test_every_weakening_of_the_sample_is_noticed(sample: Device) -> None:
    sources = sample.sources()
    planted = [*planted_calls(sources), *planted_primitives(sources)]
    assert len(planted) >= 10
    assert [str(p) for p in planted if not _noticed(sample, p, SAMPLE_TABLE)] == []


@pytest.mark.parametrize(("find", "put", "said"), [
    ("  // D13", "", "without an edge"),
    ("// D6:", "// D99:", "D99: 1 lines are ld.acquire.sys, not 0"),
    ("rk_fence_sys();", ";", "D13: 0 lines are fence.acq_rel.sys, not 1"),
    ("rk_ld_acquire_sys(line);", "*line;", "D6: 0 lines are ld.acquire.sys, not 1"),
    ("ld_unit_sys(ring)", "ld_unit_sys(ring); rk_ld_acquire_gpu(line)", "D1: 1 lines are ld.acquire.gpu, not 0"),
])  # fmt: skip
def test_what_is_wrong_is_said(sample: Device, find: str, put: str, said: str) -> None:
    def change(lines: list[str]) -> None:
        lines[:] = "".join(lines).replace(find, put, 1).splitlines(keepends=True)

    with changed(sample, "resident.cuh", change) as device:
        assert any(said in problem for problem in problems(device.memory(), device.sources(), SAMPLE_TABLE))


def _noticed(device: Device, planted: Planted, edges: Table) -> bool:
    with all_changed(device, [planted]) as weaker:
        return bool(problems(weaker.memory(), weaker.sources(), edges))


def test_plain_accesses_to_shared_words_are_found(sample: Device) -> None:
    def change(lines: list[str]) -> None:
        lines.append(
            "// line->command\nu64 a(Line* line) { return look(&line->command) + line->commands + line->command; }\n"
        )

    with changed(sample, "resident.cuh", change) as device:
        (said,) = plain_accesses(device.sources(), ["command"])
        assert said.endswith("plain access to command")


# -- the resident kernel ----------------------------------------------------------------------------------------------

needs_kernels = pytest.mark.skipif(not (KERNELS / "resident.cuh").exists(), reason="no device code")

# Words of device_grid.h that several sides touch, where no private word has the same name, and that nobody reads back.
SHARED = (
    "host_time", "lease_begun", "lease_ended", "heartbeat", "device_time", "fault_detail", "epoch_seen", "answered",
    "taken0", "taken1", "taken2", "taken3", "verdict", "up_write", "begun", "left", "gathered",
)  # fmt: skip


@needs_kernels
@pytest.mark.parametrize("arch", ARCHS)
def test_no_barrier_asks_a_warp_to_come_in_one_piece(arch: str) -> None:
    """The first thread comes to it from elsewhere than the others: `bar` and `.aligned` are undefined there."""
    ptx = Device(KERNELS, resident_text(), arch).ptx()
    barriers = set(re.findall(r"\b(?:bar|barrier)\.(?!warp)[\w.]+", ptx))
    assert barriers == {"barrier.sync", "barrier.red.and.pred"}


@needs_kernels
@pytest.mark.parametrize("arch", ARCHS)
def test_the_device_code_is_as_the_golden_table(arch: str) -> None:
    device = Device(KERNELS, resident_text(), arch)
    assert problems(device.memory(), device.sources(), golden()) == []


@needs_kernels
def test_the_golden_table_and_the_edge_table_agree() -> None:
    """What carries an edge is in a litmus program; what else there is orders nothing between blocks."""
    said = {(edge, text) for edge, texts in golden().items() for text in texts}
    proven = {(access.edge, access.ptx) for access in ACCESSES.values() if not access.host}
    assert proven - said == set()
    assert [pair for pair in sorted(said - proven - STRONGER) if not CARRIED.fullmatch(pair[1])] == []


@needs_kernels
def test_no_shared_word_is_accessed_plainly() -> None:
    assert plain_accesses(Device(KERNELS, "").sources(), SHARED) == []


@needs_kernels
def test_every_weaker_text_of_the_device_code_is_noticed() -> None:
    device = Device(KERNELS, resident_text())
    sources = device.sources()
    calls, primitives = planted_calls(sources), planted_primitives(sources)
    missed = [str(p) for group in apart(calls) for p in _missed(device, group)]
    missed += [str(p) for group in alike(primitives) for p in _missed(device, group)]
    print(f"weaker texts {len(calls) + len(primitives)}, missed {len(missed)}")
    assert calls
    assert primitives
    assert missed == []


def _missed(device: Device, group: Sequence[Planted]) -> list[Planted]:
    """Compiled together; what is said must name an edge of each."""
    with all_changed(device, group) as weaker:
        said = problems(weaker.memory(), weaker.sources(), golden())
    edges = {problem.partition(":")[0] for problem in said}
    return [planted for planted in group if not planted.labels <= edges]


def test_the_page_of_the_memory_model_names_every_edge() -> None:
    page = (ROOT / "docs" / "memory-model.md").read_text()
    assert [edge for edge, meaning in EDGES.items() if f"| {edge} | {meaning} |" not in page] == []


def test_the_host_uses_the_orders_of_the_table() -> None:
    """Lines of the host's half that carry the label of a device edge."""
    half = [path for name in HOST_FILES for path in (ROOT / "cpp" / "src" / "backends" / "cuda").glob(name)]
    said = [
        f"{path.name}:{number}: {label} is {verb}"
        for path in sorted(half)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for verb in HOST_VERB.findall(line.split("//")[0])
        for label in HOST_LABEL.findall(line)
        if label in EDGES and verb not in HOST_ORDERS.get(label, set())
    ]
    assert said == []


if __name__ == "__main__":
    made = Device(KERNELS, resident_text())
    GOLDEN.write_text(json.dumps(edges_of(made.memory(), made.sources()), indent=2) + "\n")
