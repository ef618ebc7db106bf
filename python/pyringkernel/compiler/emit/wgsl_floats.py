"""WGSL of the exact floating-point operations, the same bits on every adapter.

What WGSL leaves open, and what is done about it:

* A compiler may assume that there are no NaNs and infinities, may contract a * b + c, and may rewrite (a + b) - a to b;
  Mesa does all of it. Operands pass through an integer operation with a 0 that only the host knows, so no compiler
  sees a constant, or one float operation feed another. There are two such zeros, so that it does not see a - a either.
* Comparisons, tests, rounding to whole numbers and conversions work on the bits. Division (2.5 ulps in WGSL) and the
  square root are calculated with integers.
* A value of f16 is an f32 that f16 has too. f32 has 2 * 11 + 2 bits, so rounding each f32 result gives what f16
  arithmetic would have given.

Only + - * are the adapter's. One that flushes subnormal numbers to zero differs there, which WGSL allows it.
"""

F32 = """
fn rk_hide(a: f32) -> f32 { return bitcast<f32>(bitcast<u32>(a) ^ rk_zero); }

fn rk_f32(bits: u32) -> f32 { return bitcast<f32>(bits ^ rk_zero); }

fn rk_hide_other(a: f32) -> f32 { return bitcast<f32>(bitcast<u32>(a) ^ rk_other_zero); }

fn rk_add_f32(a: f32, b: f32) -> f32 { return rk_hide(a) + rk_hide_other(b); }

fn rk_sub_f32(a: f32, b: f32) -> f32 { return rk_hide(a) - rk_hide_other(b); }

fn rk_mul_f32(a: f32, b: f32) -> f32 { return rk_hide(a) * rk_hide_other(b); }

fn rk_neg_f32(a: f32) -> f32 { return bitcast<f32>(bitcast<u32>(a) ^ 0x80000000u); }

fn rk_abs_f32(a: f32) -> f32 { return bitcast<f32>(bitcast<u32>(a) & 0x7fffffffu); }

fn rk_copysign_f32(a: f32, b: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(a) & 0x7fffffffu) | (bitcast<u32>(b) & 0x80000000u));
}

fn rk_is_nan(a: f32) -> bool { return (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u; }

fn rk_is_inf(a: f32) -> bool { return (bitcast<u32>(a) & 0x7fffffffu) == 0x7f800000u; }

fn rk_is_finite(a: f32) -> bool { return (bitcast<u32>(a) & 0x7fffffffu) < 0x7f800000u; }

fn rk_is_true(a: f32) -> bool { return (bitcast<u32>(a) & 0x7fffffffu) != 0u; }

fn rk_order(a: f32) -> i32 {
  let bits = bitcast<i32>(a);
  return select(bits, i32(-2147483648) - bits, bits < 0);
}

fn rk_lt_f32(a: f32, b: f32) -> bool {
  return !(rk_is_nan(a) | rk_is_nan(b)) & (rk_order(a) < rk_order(b));
}

fn rk_le_f32(a: f32, b: f32) -> bool {
  return !(rk_is_nan(a) | rk_is_nan(b)) & (rk_order(a) <= rk_order(b));
}

fn rk_eq_f32(a: f32, b: f32) -> bool {
  return !(rk_is_nan(a) | rk_is_nan(b)) & (rk_order(a) == rk_order(b));
}

fn rk_min_f32(a: f32, b: f32) -> f32 { return select(a, b, rk_lt_f32(b, a)); }

fn rk_max_f32(a: f32, b: f32) -> f32 { return select(a, b, rk_lt_f32(a, b)); }

fn rk_trunc_f32(a: f32) -> f32 {
  let bits = bitcast<u32>(a);
  let exponent = (bits >> 23u) & 0xffu;
  if exponent >= 150u { return a; }
  if exponent < 127u { return bitcast<f32>(bits & 0x80000000u); }
  return bitcast<f32>(bits & ~((1u << (150u - exponent)) - 1u));
}

fn rk_floor_f32(a: f32) -> f32 {
  let whole = rk_trunc_f32(a);
  let bits = bitcast<u32>(a);
  return select(whole, rk_sub_f32(whole, 1.0f), (bits > 0x80000000u) & (bits != bitcast<u32>(whole)));
}

fn rk_ceil_f32(a: f32) -> f32 {
  let whole = rk_trunc_f32(a);
  let bits = bitcast<u32>(a);
  return select(whole, rk_add_f32(whole, 1.0f), (bits < 0x80000000u) & (bits != bitcast<u32>(whole)));
}

// m * 2**(exponent - 31), to nearest even; the top bit of m is set, its lowest bit stands for all below it.
fn rk_pack(sign: u32, exponent: i32, m: u32) -> f32 {
  if exponent > 127 { return rk_f32(sign | 0x7f800000u); }
  var top = m;
  var bits = 0u;
  if exponent >= -126 {
    bits = bitcast<u32>(exponent + 126) << 23u;
  } else {
    let drop = bitcast<u32>(min(-126 - exponent, 31));
    top = (m >> drop) | u32((m & ((1u << drop) - 1u)) != 0u);
  }
  bits += top >> 8u;
  let rest = top & 0xffu;
  bits += u32((rest > 0x80u) | ((rest == 0x80u) & ((bits & 1u) != 0u)));
  return rk_f32(sign | bits);
}

// Exponent and significand (bit 23 set) of a finite number that is not 0.
fn rk_parts(a: f32) -> vec2<u32> {
  let bits = bitcast<u32>(a) & 0x7fffffffu;
  if bits >= 0x00800000u { return vec2<u32>((bits >> 23u) - 127u, (bits & 0x007fffffu) | 0x00800000u); }
  let shift = countLeadingZeros(bits) - 8u;
  return vec2<u32>(0xffffff82u - shift, bits << shift);
}

fn rk_div_f32(a: f32, b: f32) -> f32 {
  let sign = (bitcast<u32>(a) ^ bitcast<u32>(b)) & 0x80000000u;
  if rk_is_nan(a) | rk_is_nan(b) | (rk_is_inf(a) & rk_is_inf(b)) { return rk_f32(0x7fc00000u); }
  if !rk_is_true(b) { return rk_f32(select(0x7fc00000u, sign | 0x7f800000u, rk_is_true(a))); }
  if rk_is_inf(a) { return rk_f32(sign | 0x7f800000u); }
  if rk_is_inf(b) | !rk_is_true(a) { return rk_f32(sign); }
  let x = rk_parts(a);
  let y = rk_parts(b);
  let less = u32(x.y < y.y);
  var r = (x.y << less) - y.y;
  var q = 1u;
  for (var n = 0u; n < 3u; n += 1u) {
    let part = (r << 8u) / y.y;
    r = (r << 8u) - part * y.y;
    q = (q << 8u) | part;
  }
  return rk_pack(sign, bitcast<i32>(x.x - y.x - less), (q << 7u) | u32(r != 0u));
}

fn rk_sqrt_f32(a: f32) -> f32 {
  if rk_is_nan(a) | !rk_is_true(a) { return a; }
  if bitcast<u32>(a) >= 0x80000000u { return rk_f32(0x7fc00000u); }
  if rk_is_inf(a) { return a; }
  let parts = rk_parts(a);
  let odd = parts.x & 1u;
  var left = (parts.y << odd) << 7u;
  var r = 0u;
  var q = 0u;
  for (var n = 0u; n < 25u; n += 1u) {
    r = (r << 2u) | (left >> 30u);
    left = left << 2u;
    let t = (q << 2u) | 1u;
    let bit = u32(r >= t);
    r -= t * bit;
    q = (q << 1u) | bit;
  }
  return rk_pack(0u, bitcast<i32>(parts.x - odd) >> 1u, (q << 7u) | u32(r != 0u));
}

fn rk_fmod_f32(a: f32, b: f32) -> f32 {
  if rk_is_nan(a) | rk_is_nan(b) | rk_is_inf(a) | !rk_is_true(b) { return rk_f32(0x7fc00000u); }
  if (bitcast<u32>(a) & 0x7fffffffu) < (bitcast<u32>(b) & 0x7fffffffu) { return a; }
  let x = rk_parts(a);
  let y = rk_parts(b);
  var left = x.x - y.x;
  var r = x.y % y.y;
  loop {
    if left == 0u { break; }
    let step = min(left, 8u);
    r = (r << step) % y.y;
    left -= step;
  }
  let sign = bitcast<u32>(a) & 0x80000000u;
  if r == 0u { return rk_f32(sign); }
  let shift = countLeadingZeros(r);
  return rk_pack(sign, bitcast<i32>(y.x + 8u - shift), r << shift);
}
"""

CONVERSIONS = """
fn rk_f32_of_bits(sign: u32, a: vec2<u32>) -> f32 {
  if (a.x | a.y) == 0u { return rk_f32(0u); }
  let shift = rk_clz_words(a);
  let m = rk_shl_64(a, shift);
  return rk_pack(sign, bitcast<i32>(63u - shift), m.y | u32(m.x != 0u));
}

fn rk_f32_of_u32(a: u32) -> f32 { return rk_f32_of_bits(0u, vec2<u32>(a, 0u)); }

fn rk_f32_of_i32(a: i32) -> f32 {
  return rk_f32_of_bits(bitcast<u32>(a) & 0x80000000u, vec2<u32>(bitcast<u32>(abs(a)), 0u));
}

fn rk_f32_of_u64words(a: vec2<u32>) -> f32 { return rk_f32_of_bits(0u, a); }

fn rk_f32_of_i64words(a: vec2<u32>) -> f32 {
  let sign = a.y & 0x80000000u;
  return rk_f32_of_bits(sign, select(a, rk_neg_64(a), sign != 0u));
}

// The magnitude of a number below 2**64, towards zero.
fn rk_magnitude(a: f32) -> vec2<u32> {
  let bits = bitcast<u32>(a) & 0x7fffffffu;
  if bits < 0x3f800000u { return vec2<u32>(0u, 0u); }
  let parts = rk_parts(a);
  if parts.x <= 23u { return vec2<u32>(parts.y >> (23u - parts.x), 0u); }
  return rk_shl_64(vec2<u32>(parts.y, 0u), parts.x - 23u);
}

fn rk_u32_of_f32(a: f32) -> u32 {
  let bits = bitcast<u32>(a);
  if rk_is_nan(a) | (bits >= 0x80000000u) { return 0u; }
  return select(rk_magnitude(a).x, 0xffffffffu, bits >= 0x4f800000u);
}

fn rk_i32_of_f32(a: f32) -> i32 {
  let bits = bitcast<u32>(a);
  if rk_is_nan(a) { return 0; }
  if (bits & 0x7fffffffu) >= 0x4f000000u { return bitcast<i32>(0x7fffffffu + (bits >> 31u)); }
  let m = bitcast<i32>(rk_magnitude(a).x);
  return select(m, 0 - m, bits >= 0x80000000u);
}

fn rk_u64words_of_f32(a: f32) -> vec2<u32> {
  let bits = bitcast<u32>(a);
  if rk_is_nan(a) | (bits >= 0x80000000u) { return vec2<u32>(0u, 0u); }
  if bits >= 0x5f800000u { return vec2<u32>(0xffffffffu, 0xffffffffu); }
  return rk_magnitude(a);
}

fn rk_i64words_of_f32(a: f32) -> vec2<u32> {
  let bits = bitcast<u32>(a);
  if rk_is_nan(a) { return vec2<u32>(0u, 0u); }
  if (bits & 0x7fffffffu) >= 0x5f000000u {
    return select(vec2<u32>(0xffffffffu, 0x7fffffffu), vec2<u32>(0u, 0x80000000u), bits >= 0x80000000u);
  }
  let m = rk_magnitude(a);
  return select(m, rk_neg_64(m), bits >= 0x80000000u);
}

// The bits of the f64 with the same value.
fn rk_f64_of_f32(a: f32) -> vec2<u32> {
  let sign = bitcast<u32>(a) & 0x80000000u;
  if !rk_is_true(a) { return vec2<u32>(0u, sign); }
  if !rk_is_finite(a) { return vec2<u32>(0u, sign | 0x7ff00000u | (u32(rk_is_nan(a)) << 19u)); }
  let parts = rk_parts(a);
  let m = parts.y & 0x007fffffu;
  return vec2<u32>(m << 29u, sign | ((parts.x + 1023u) << 20u) | (m >> 3u));
}
"""

F16 = """
fn rk_round_f16(a: f32) -> f32 {
  let sign = bitcast<u32>(a) & 0x80000000u;
  let bits = bitcast<u32>(a) & 0x7fffffffu;
  if bits > 0x7f800000u { return rk_f32(sign | 0x7fc00000u); }
  if bits >= 0x477ff000u { return rk_f32(sign | 0x7f800000u); }
  if bits >= 0x38800000u { return rk_f32(sign | ((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u)); }
  if bits < 0x33000000u { return rk_f32(sign); }
  let drop = 126u - (bits >> 23u);
  let m = (bits & 0x007fffffu) | 0x00800000u;
  let k = (m + (1u << (drop - 1u)) - 1u + ((m >> drop) & 1u)) >> drop;
  return bitcast<f32>(sign | bitcast<u32>(rk_mul_f32(f32(k), 0x1p-24f)));
}

fn rk_f16_of_bits(h: u32) -> f32 {
  let sign = (h & 0x8000u) << 16u;
  let exponent = h & 0x7c00u;
  let m = h & 0x3ffu;
  if exponent == 0u { return bitcast<f32>(sign | bitcast<u32>(rk_mul_f32(f32(m), 0x1p-24f))); }
  if exponent == 0x7c00u { return rk_f32(sign | 0x7f800000u | (m << 13u)); }
  return rk_f32(sign | (((exponent | m) << 13u) + 0x38000000u));
}

fn rk_bits_of_f16(a: f32) -> u32 {
  let sign = (bitcast<u32>(a) >> 16u) & 0x8000u;
  let bits = bitcast<u32>(a) & 0x7fffffffu;
  if bits > 0x7f800000u { return sign | 0x7e00u | ((bits >> 13u) & 0x3ffu); }
  if bits == 0x7f800000u { return sign | 0x7c00u; }
  if bits < 0x38800000u { return sign | u32(rk_mul_f32(bitcast<f32>(bits), 0x1p24f)); }
  return sign | ((bits - 0x38000000u) >> 13u);
}
"""

# With the adapter's f16, whose conversions are one instruction each. WGSL lets them round either way.
NATIVE_F16 = """
fn rk_round_f16(a: f32) -> f32 { return f32(f16(rk_hide(a))); }

fn rk_f16_of_bits(h: u32) -> f32 { return unpack2x16float(h & 0xffffu).x; }

fn rk_bits_of_f16(a: f32) -> u32 { return pack2x16float(vec2<f32>(rk_hide(a), 0.0f)) & 0xffffu; }
"""
