"""What an adapter has to be asked, as no feature or limit says it. WGSL allows all of these answers.

The host runs `TEXT` (entry point "probe", one workgroup, one storage buffer at binding 0 that holds `INPUT`) and gives
what is in the buffer then to `findings`.
"""

from __future__ import annotations

import struct

from . import wgsl_floats, wgsl_integers
from .wgsl_helpers import Library

LOOP_TURNS = 70_000  # Mesa 22.3's lavapipe leaves all loops of an invocation after 65,535 turns
_WORDS = 16
# A 0, a subnormal, infinity, 1e8 and 0.3, the number of turns, a 0.
INPUT = struct.pack("<IIIffI", 0, 3, 0x7F800000, 1e8, 0.3, LOOP_TURNS).ljust(4 * _WORDS, b"\0")

_BODY = """
@compute @workgroup_size(1)
fn probe() {
  rk_zero = rk_words[0];
  rk_other_zero = rk_words[6];
  let tiny = bitcast<f32>(rk_words[1]);
  let infinite = bitcast<f32>(rk_words[2]);
  let large = bitcast<f32>(rk_words[3]);
  let small = bitcast<f32>(rk_words[4]);
  let turns = rk_words[5];
  rk_words[8] = bitcast<u32>(rk_add_f32(tiny, tiny));
  rk_words[9] = bitcast<u32>(rk_sub_f32(infinite, infinite)) & 0x7fffffffu;
  rk_words[10] = bitcast<u32>(rk_sub_f32(rk_add_f32(large, small), large));
  rk_words[11] = bitcast<u32>(rk_sub_f32(rk_mul_f32(small, small), 0x1.70a3d8p-4f));
  var n = 0u;
  loop {
    if n == turns { break; }
    n += 1u;
  }
  rk_words[12] = n;
}
"""


def _text() -> str:
    helpers = Library([wgsl_integers.COMMON, wgsl_floats.F32]).needed_by(_BODY)
    buffer = f"@group(0) @binding(0) var<storage, read_write> rk_words: array<u32, {_WORDS}>;\n"
    return "\n\n".join([buffer, "var<private> rk_zero: u32;", "var<private> rk_other_zero: u32;", *helpers, _BODY])


TEXT = _text()


def findings(data: bytes) -> dict[str, bool]:
    """`long_loops`: a loop may have any number of turns; else handlers with long loops give wrong results, and must be
    refused. `subnormals`: they are kept; else f32 results below 2**-126 may be 0. `ieee`: NaNs and roundings are as
    the language says."""
    words = struct.unpack(f"<{_WORDS}I", data)
    is_nan = words[9] > 0x7F800000
    return {
        "long_loops": words[12] == LOOP_TURNS,
        "subnormals": words[8] == 6,
        "ieee": is_nan and words[10] == 0 and words[11] == 0,
    }
