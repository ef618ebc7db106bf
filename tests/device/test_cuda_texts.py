"""Handlers with the resident grid around them: NVRTC compiles them for each architecture, without a word."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "compiler"))
import c_programs  # noqa: E402
import toolchains  # noqa: E402

from pyringkernel.compiler import ir  # noqa: E402
from pyringkernel.compiler.cuda.text import handler_text, runtime_text  # noqa: E402
from pyringkernel.compiler.emit.dialect_cuda import CUDA  # noqa: E402
from pyringkernel.compiler.emit.emit_c import emit_program  # noqa: E402
from pyringkernel.compiler.ir import Type  # noqa: E402

pytestmark = pytest.mark.skipif(toolchains.nvrtc() is None, reason="no NVRTC wheel")
ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
OPTIONS = (*toolchains.CUDA_OPTIONS, "-lineinfo", f"-I{ROOT}", f"-I{ROOT / 'cpp' / 'include'}")


def resident(program: ir.Program) -> str:
    """As the runtime gives it to NVRTC."""
    macros = (
        f"#define RK_BLOCK_DIM {program.block_size}u\n"
        "#define RK_BLOCK_ID(call) (call)->instance_id\n"
        "#define RK_GRID_DIM(call) (gridDim.x - 1u)\n"
    )
    handlers = emit_program(program, CUDA, lines=True, prelude=True)
    return f'{macros}{handlers}\n#line 1 "resident"\n#include "kernels/cuda/resident.cuh"\n'


@pytest.mark.parametrize("arch", ARCHS)
def test_a_resident_grid_compiles_without_a_warning(arch: str) -> None:
    text = resident(c_programs.cases()[0].program)
    before = time.process_time()
    done = toolchains.compile_cuda(text, arch, OPTIONS)
    print(f"{arch}: {1000 * (time.process_time() - before):.0f} ms of processor time")
    assert done.ok, done.log[:4000]
    assert done.log == ""


def test_all_that_a_handler_may_ask_for_compiles() -> None:
    done = toolchains.compile_cuda(resident(c_programs.device(Type.F32)), "sm_90", OPTIONS)
    assert done.ok, done.log[:4000]
    assert done.log == ""


def test_the_halves_that_are_linked_compile_without_a_warning() -> None:
    options = (*OPTIONS, "-rdc=true")
    program = c_programs.device(Type.F32)
    for half in (handler_text(program), runtime_text(program)):
        done = toolchains.compile_cuda(half, "sm_90", options)
        assert done.ok, done.log[:4000]
        assert done.log == ""


def test_no_thread_needs_much_memory_of_its_own() -> None:
    ptx = toolchains.compile_cuda(resident(c_programs.cases()[0].program), "compute_90", OPTIONS).ptx
    depots = [
        int(line.split("[")[1].split("]")[0]) for line in ptx.splitlines() if "__local_depot" in line and "[" in line
    ]
    assert all(size <= 1024 for size in depots), depots


def test_clang_reads_the_headers_of_the_abi_alike() -> None:
    if toolchains.clang is None:
        pytest.skip("no clang")
    text = '#include "ringkernel/abi/device_grid.h"\nint main() { return 0; }\n'
    done = toolchains._syntax(text, ".cpp", ("-std=c++17", f"-I{ROOT / 'cpp' / 'include'}"))
    assert done.ok, done.log
