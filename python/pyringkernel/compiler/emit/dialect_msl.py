"""The Metal Shading Language, 2.4 and later; compiled on the user's machine by Metal itself, with fast math off."""

from __future__ import annotations

from pyringkernel.compiler import ir
from pyringkernel.compiler.emit.c_dialect import Dialect
from pyringkernel.compiler.emit.emit_c import emit_program

_KEYWORDS = """
    kernel vertex fragment device constant threadgroup thread threadgroup_imageblock ray_data object_data mesh
    half half2 half3 half4 bfloat float2 float3 float4 int2 int3 int4 uint uint2 uint3 uint4 uchar uchar4 ushort ulong
    long2 size_t ptrdiff_t sampler texture1d texture2d texture3d texturecube depth2d array array_ref imageblock patch
    metal precise fast simd_vote as_type vec matrix packed_float3 packed_half3 access mem_flags address coord filter
    intersector raytracing visible stitchable extern_id atomic_int atomic_uint atomic_bool atomic_float atomic memory_order
    NAN INFINITY HUGE_VALF HUGE_VALH MAXFLOAT MAXHALF M_PI_F M_E_F M_PI_H M_E_H METAL_FUNC METAL_ASM
    INT_MAX INT_MIN UINT_MAX LONG_MAX LONG_MIN ULONG_MAX CHAR_MAX CHAR_MIN CHAR_BIT SHRT_MAX SHRT_MIN USHRT_MAX UCHAR_MAX
"""

_SPACES = {
    ir.Root.STATE: "device ",
    ir.Root.HEADER: "device ",
    ir.Root.MESSAGE: "RK_MESSAGE ",
    ir.Root.FRAME: "thread ",
    ir.Root.SHARED: "threadgroup ",
}

MSL = Dialect(
    name="msl",
    prelude_file="metal.h",
    header=("Metal Shading Language 2.4. Compile with fast math off (MTLMathModeSafe).",),
    entry_prefix="inline ",
    function_prefix="inline ",
    call="thread rk_call*",
    spaces=_SPACES,
    long_suffix="l",
    seconds="f32",
    keywords=frozenset(_KEYWORDS.split()),
)


def emit(program: ir.Program, *, lines: bool = True, prelude: bool = True) -> str:
    """The handlers of the program, behind the prelude."""
    return emit_program(program, MSL, lines=lines, prelude=prelude)
