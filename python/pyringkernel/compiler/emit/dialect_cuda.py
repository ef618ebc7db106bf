"""CUDA C++ for NVRTC: no include, --std=c++17 -default-device -fmad=false."""

from __future__ import annotations

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.emit_c import emit_program

_KEYWORDS = """
    warpSize threadIdx blockIdx blockDim gridDim __global__ __device__ __host__ __shared__ __constant__ half
    dim3 uint3 int2 int3 int4 uint2 uint4 float2 float3 float4 double2 uchar4 longlong2 clock clock64 printf assert
"""

CUDA = Dialect(
    name="cuda",
    prelude_file="cuda.cuh",
    header=("CUDA C++. Compile with NVRTC: --std=c++17 -default-device -fmad=false; never with --use_fast_math.",),
    entry_prefix="__device__ ",
    function_prefix="static __device__ ",
    call="rk_call*",
    spaces=dict.fromkeys(ir.Root, ""),
    long_suffix="ll",
    seconds="f64",
    keywords=frozenset(_KEYWORDS.split()),
)


def emit(program: ir.Program, *, lines: bool = True, prelude: bool = True) -> str:
    """The handlers of the program, behind the prelude."""
    return emit_program(program, CUDA, lines=lines, prelude=prelude)
