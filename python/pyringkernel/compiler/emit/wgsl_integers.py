"""WGSL of integer operations that the language defines for all operands.

WGSL calls division by zero, a shift by the width and the least integer divided by -1 errors, and leaves the remainder
of negative numbers to the driver (Vulkan's OpSRem), so each has a function. 64-bit integers are either the adapter's
(`NATIVE`) or pairs of words, low and high, with the same values (`EMULATED`).
"""

COMMON = """
fn rk_runtime_i32(a: i32) -> i32 { return a; }

fn rk_runtime_u32(a: u32) -> u32 { return a; }

fn rk_floordiv_u32(a: u32, b: u32) -> u32 {
  if b == 0u { return 0u; }
  return a / b;
}

fn rk_mod_u32(a: u32, b: u32) -> u32 {
  if b == 0u { return 0u; }
  return a - a / b * b;
}

fn rk_floordiv_i32(a: i32, b: i32) -> i32 {
  if b == 0 { return 0; }
  if b == -1 { return 0 - a; }
  let q = a / b;
  return select(q, q - 1, (a - q * b != 0) & ((a < 0) != (b < 0)));
}

fn rk_mod_i32(a: i32, b: i32) -> i32 {
  if (b == 0) | (b == -1) { return 0; }
  let r = a - a / b * b;
  return select(r, r + b, (r != 0) & ((r < 0) != (b < 0)));
}

fn rk_trips_u32(start: u32, stop: u32, step: u32) -> u32 {
  if (step == 0u) | (start >= stop) { return 0u; }
  return (stop - start - 1u) / step + 1u;
}

fn rk_trips_i32(start: i32, stop: i32, step: i32) -> u32 {
  if step > 0 {
    if start >= stop { return 0u; }
    return (bitcast<u32>(stop) - bitcast<u32>(start) - 1u) / bitcast<u32>(step) + 1u;
  }
  if (step == 0) | (start <= stop) { return 0u; }
  return (bitcast<u32>(start) - bitcast<u32>(stop) - 1u) / (0u - bitcast<u32>(step)) + 1u;
}
"""

# Pairs of words, whatever the adapter has: conversions of floats use them too.
WORDS = """
fn rk_add_64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}

fn rk_sub_64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - u32(a.x < b.x));
}

fn rk_neg_64(a: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(0u - a.x, 0u - a.y - u32(a.x != 0u));
}

fn rk_words_lt(a: vec2<u32>, b: vec2<u32>) -> bool {
  return (a.y < b.y) | ((a.y == b.y) & (a.x < b.x));
}

fn rk_mul_wide(a: u32, b: u32) -> vec2<u32> {
  let ll = (a & 0xffffu) * (b & 0xffffu);
  let lh = (a & 0xffffu) * (b >> 16u);
  let hl = (a >> 16u) * (b & 0xffffu);
  let mid = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
  return vec2<u32>((ll & 0xffffu) | (mid << 16u), (a >> 16u) * (b >> 16u) + (lh >> 16u) + (hl >> 16u) + (mid >> 16u));
}

fn rk_shl_64(a: vec2<u32>, n: u32) -> vec2<u32> {
  let s = n & 31u;
  let carry = (a.x >> 1u) >> (31u - s);
  return select(vec2<u32>(a.x << s, (a.y << s) | carry), vec2<u32>(0u, a.x << s), (n & 32u) != 0u);
}

fn rk_shr_words(a: vec2<u32>, n: u32) -> vec2<u32> {
  let s = n & 31u;
  let carry = (a.y << 1u) << (31u - s);
  return select(vec2<u32>((a.x >> s) | carry, a.y >> s), vec2<u32>(a.y >> s, 0u), (n & 32u) != 0u);
}

fn rk_clz_words(a: vec2<u32>) -> u32 {
  return select(countLeadingZeros(a.y), 32u + countLeadingZeros(a.x), a.y == 0u);
}

fn rk_ctz_words(a: vec2<u32>) -> u32 {
  return select(countTrailingZeros(a.x), 32u + countTrailingZeros(a.y), a.x == 0u);
}
"""

EMULATED = """
alias rk_i64 = vec2<u32>;

alias rk_u64 = vec2<u32>;

fn rk_mul_64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = rk_mul_wide(a.x, b.x);
  return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}

fn rk_shr_i64(a: vec2<u32>, n: u32) -> vec2<u32> {
  let high = bitcast<u32>(bitcast<i32>(a.y) >> 31u);
  let flip = vec2<u32>(high, high);
  return rk_shr_words(a ^ flip, n) ^ flip;
}

fn rk_lt_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
  return rk_words_lt(vec2<u32>(a.x, a.y ^ 0x80000000u), vec2<u32>(b.x, b.y ^ 0x80000000u));
}

fn rk_min_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return select(a, b, rk_lt_i64(b, a)); }

fn rk_max_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return select(a, b, rk_lt_i64(a, b)); }

fn rk_min_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return select(a, b, rk_words_lt(b, a)); }

fn rk_max_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return select(a, b, rk_words_lt(a, b)); }

fn rk_abs_i64(a: vec2<u32>) -> vec2<u32> { return select(a, rk_neg_64(a), a.y >= 0x80000000u); }

fn rk_divmod_u64(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
  if all(b == vec2<u32>(0u, 0u)) { return vec4<u32>(0u, 0u, 0u, 0u); }
  if (a.y | b.y) == 0u {
    let q = a.x / b.x;
    return vec4<u32>(q, 0u, a.x - q * b.x, 0u);
  }
  if rk_words_lt(a, b) { return vec4<u32>(0u, 0u, a.x, a.y); }
  var left = rk_clz_words(b) - rk_clz_words(a) + 1u;
  var d = rk_shl_64(b, left - 1u);
  var q = vec2<u32>(0u, 0u);
  var r = a;
  loop {
    if left == 0u { break; }
    left -= 1u;
    q = vec2<u32>(q.x << 1u, (q.y << 1u) | (q.x >> 31u));
    if !rk_words_lt(r, d) {
      r = rk_sub_64(r, d);
      q.x |= 1u;
    }
    d = vec2<u32>((d.x >> 1u) | (d.y << 31u), d.y >> 1u);
  }
  return vec4<u32>(q.x, q.y, r.x, r.y);
}

fn rk_floordiv_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return rk_divmod_u64(a, b).xy; }

fn rk_mod_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return rk_divmod_u64(a, b).zw; }

fn rk_floordiv_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  if all(b == vec2<u32>(0u, 0u)) { return b; }
  let d = rk_divmod_u64(rk_abs_i64(a), rk_abs_i64(b));
  if ((a.y ^ b.y) & 0x80000000u) == 0u { return d.xy; }
  return select(rk_neg_64(d.xy), ~d.xy, (d.z | d.w) != 0u);
}

fn rk_mod_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let divisor = rk_abs_i64(b);
  let r = rk_divmod_u64(rk_abs_i64(a), divisor).zw;
  if (r.x | r.y) == 0u { return r; }
  let m = select(r, rk_sub_64(divisor, r), ((a.y ^ b.y) & 0x80000000u) != 0u);
  return select(m, rk_neg_64(m), b.y >= 0x80000000u);
}

fn rk_trips_u64(start: vec2<u32>, stop: vec2<u32>, step: vec2<u32>) -> vec2<u32> {
  if all(step == vec2<u32>(0u, 0u)) | !rk_words_lt(start, stop) { return vec2<u32>(0u, 0u); }
  let one = vec2<u32>(1u, 0u);
  return rk_add_64(rk_divmod_u64(rk_sub_64(rk_sub_64(stop, start), one), step).xy, one);
}

fn rk_trips_i64(start: vec2<u32>, stop: vec2<u32>, step: vec2<u32>) -> vec2<u32> {
  let flip = vec2<u32>(0u, 0x80000000u);
  if step.y < 0x80000000u { return rk_trips_u64(start ^ flip, stop ^ flip, step); }
  return rk_trips_u64(stop ^ flip, start ^ flip, rk_neg_64(step));
}

fn rk_u64_of_u32(a: u32) -> vec2<u32> { return vec2<u32>(a, 0u); }

fn rk_u64_of_i32(a: i32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }

fn rk_popcount_u64(a: vec2<u32>) -> vec2<u32> { return vec2<u32>(countOneBits(a.x) + countOneBits(a.y), 0u); }

fn rk_clz_u64(a: vec2<u32>) -> vec2<u32> { return vec2<u32>(rk_clz_words(a), 0u); }

fn rk_ctz_u64(a: vec2<u32>) -> vec2<u32> { return vec2<u32>(rk_ctz_words(a), 0u); }
"""

NATIVE = """
alias rk_i64 = i64;

alias rk_u64 = u64;

fn rk_runtime_i64(a: i64) -> i64 { return a; }

fn rk_runtime_u64(a: u64) -> u64 { return a; }

fn rk_u64_of_words(a: vec2<u32>) -> u64 { return u64(a.x) | (u64(a.y) << 32u); }

fn rk_i64_of_words(a: vec2<u32>) -> i64 { return bitcast<i64>(rk_u64_of_words(a)); }

fn rk_words_of_u64(a: u64) -> vec2<u32> { return vec2<u32>(u32(a & 0xfffffffflu), u32(a >> 32u)); }

fn rk_words_of_i64(a: i64) -> vec2<u32> { return rk_words_of_u64(bitcast<u64>(a)); }

fn rk_floordiv_u64(a: u64, b: u64) -> u64 {
  if b == 0lu { return 0lu; }
  return a / b;
}

fn rk_mod_u64(a: u64, b: u64) -> u64 {
  if b == 0lu { return 0lu; }
  return a - a / b * b;
}

fn rk_floordiv_i64(a: i64, b: i64) -> i64 {
  if b == 0li { return 0li; }
  if b == -1li { return 0li - a; }
  let q = a / b;
  return select(q, q - 1li, (a - q * b != 0li) & ((a < 0li) != (b < 0li)));
}

fn rk_mod_i64(a: i64, b: i64) -> i64 {
  if (b == 0li) | (b == -1li) { return 0li; }
  let r = a - a / b * b;
  return select(r, r + b, (r != 0li) & ((r < 0li) != (b < 0li)));
}

fn rk_min_i64(a: i64, b: i64) -> i64 { return select(a, b, b < a); }

fn rk_max_i64(a: i64, b: i64) -> i64 { return select(a, b, b > a); }

fn rk_min_u64(a: u64, b: u64) -> u64 { return select(a, b, b < a); }

fn rk_max_u64(a: u64, b: u64) -> u64 { return select(a, b, b > a); }

fn rk_abs_i64(a: i64) -> i64 { return select(a, 0li - a, a < 0li); }

fn rk_trips_u64(start: u64, stop: u64, step: u64) -> u64 {
  if (step == 0lu) | (start >= stop) { return 0lu; }
  return (stop - start - 1lu) / step + 1lu;
}

fn rk_trips_i64(start: i64, stop: i64, step: i64) -> u64 {
  if step > 0li {
    if start >= stop { return 0lu; }
    return (bitcast<u64>(stop) - bitcast<u64>(start) - 1lu) / bitcast<u64>(step) + 1lu;
  }
  if (step == 0li) | (start <= stop) { return 0lu; }
  return (bitcast<u64>(start) - bitcast<u64>(stop) - 1lu) / (0lu - bitcast<u64>(step)) + 1lu;
}

fn rk_u64_of_u32(a: u32) -> u64 { return u64(a); }

fn rk_u64_of_i32(a: i32) -> u64 { return rk_u64_of_words(vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u))); }

fn rk_popcount_u64(a: u64) -> u64 {
  let words = rk_words_of_u64(a);
  return u64(countOneBits(words.x) + countOneBits(words.y));
}

fn rk_clz_u64(a: u64) -> u64 { return u64(rk_clz_words(rk_words_of_u64(a))); }

fn rk_ctz_u64(a: u64) -> u64 { return u64(rk_ctz_words(rk_words_of_u64(a))); }
"""
