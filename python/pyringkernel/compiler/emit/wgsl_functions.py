"""WGSL of the functions of real numbers, within 4 ulps of f32.

WGSL's own are as good as their driver (sin: an absolute error of 2**-11), and expm1, log1p, log10, cbrt and hypot are
not there. These use the exact operations of wgsl_floats.py alone, so all adapters give the same bits. Coefficients:
least squares on Chebyshev nodes, weighted until all extrema are alike.
"""

_POLYNOMIALS = """
fn rk_mad(a: f32, b: f32, c: f32) -> f32 { return rk_add_f32(rk_mul_f32(a, b), c); }

fn rk_poly_expm1(x: f32) -> f32 {
  var p = 0x1.a184ep-13f;
  p = rk_mad(p, x, 0x1.6d4914p-10f);
  p = rk_mad(p, x, 0x1.1110a8p-7f);
  p = rk_mad(p, x, 0x1.5554e4p-5f);
  p = rk_mad(p, x, 0x1.555556p-3f);
  p = rk_mad(p, x, 0x1p-1f);
  return p;
}

fn rk_poly_exp2(x: f32) -> f32 {
  var p = 0x1.00dc32p-16f;
  p = rk_mad(p, x, 0x1.444004p-13f);
  p = rk_mad(p, x, 0x1.5d874cp-10f);
  p = rk_mad(p, x, 0x1.3b2a1cp-7f);
  p = rk_mad(p, x, 0x1.c6b08ep-5f);
  p = rk_mad(p, x, 0x1.ebfbep-3f);
  p = rk_mad(p, x, 0x1.62e43p-1f);
  return p;
}

fn rk_poly_log(x: f32) -> f32 {
  var p = 0x1.2c3bc2p-4f;
  p = rk_mad(p, x, -0x1.dd8f18p-4f);
  p = rk_mad(p, x, 0x1.dc93c4p-4f);
  p = rk_mad(p, x, -0x1.fbc622p-4f);
  p = rk_mad(p, x, 0x1.23dceap-3f);
  p = rk_mad(p, x, -0x1.556254p-3f);
  p = rk_mad(p, x, 0x1.999d36p-3f);
  p = rk_mad(p, x, -0x1.ffffe6p-3f);
  p = rk_mad(p, x, 0x1.555554p-2f);
  return p;
}

fn rk_poly_sin(x: f32) -> f32 {
  var p = 0x1.6db8eep-19f;
  p = rk_mad(p, x, -0x1.a01398p-13f);
  p = rk_mad(p, x, 0x1.11110ep-7f);
  p = rk_mad(p, x, -0x1.555556p-3f);
  return p;
}

fn rk_poly_cos(x: f32) -> f32 {
  var p = -0x1.2520ep-22f;
  p = rk_mad(p, x, 0x1.a015bap-16f);
  p = rk_mad(p, x, -0x1.6c16cp-10f);
  p = rk_mad(p, x, 0x1.555556p-5f);
  return p;
}

fn rk_poly_sinh(x: f32) -> f32 {
  var p = 0x1.b55838p-26f;
  p = rk_mad(p, x, 0x1.71d206p-19f);
  p = rk_mad(p, x, 0x1.a01a14p-13f);
  p = rk_mad(p, x, 0x1.111112p-7f);
  p = rk_mad(p, x, 0x1.555556p-3f);
  return p;
}

fn rk_poly_asin(x: f32) -> f32 {
  var p = 0x1.15e0aap-5f;
  p = rk_mad(p, x, 0x1.16a0bp-6f);
  p = rk_mad(p, x, 0x1.fe1076p-6f);
  p = rk_mad(p, x, 0x1.6d55eap-5f);
  p = rk_mad(p, x, 0x1.333448p-4f);
  p = rk_mad(p, x, 0x1.555554p-3f);
  return p;
}

fn rk_poly_atan(x: f32) -> f32 {
  var p = 0x1.9e82d2p-5f;
  p = rk_mad(p, x, -0x1.6179a6p-4f);
  p = rk_mad(p, x, 0x1.c583bap-4f);
  p = rk_mad(p, x, -0x1.248a56p-3f);
  p = rk_mad(p, x, 0x1.99997cp-3f);
  p = rk_mad(p, x, -0x1.555556p-2f);
  return p;
}

fn rk_poly_atanh(x: f32) -> f32 {
  var p = 0x1.d8198ap-4f;
  p = rk_mad(p, x, 0x1.2479f4p-3f);
  p = rk_mad(p, x, 0x1.9999a4p-3f);
  return p;
}

fn rk_poly_cbrt(x: f32) -> f32 {
  var p = -0x1.8fad38p-12f;
  p = rk_mad(p, x, 0x1.1cd81p-7f);
  p = rk_mad(p, x, -0x1.41c9eep-4f);
  p = rk_mad(p, x, 0x1.c01acap-2f);
  p = rk_mad(p, x, 0x1.4534d4p-1f);
  return p;
}
"""

_EXPONENTIAL = """
// 2**n, n from -126 to 127.
fn rk_power(n: i32) -> f32 { return rk_f32(bitcast<u32>(n + 127) << 23u); }

// a * 2**n, rounded once if a is near 1.
fn rk_scale(a: f32, n: i32) -> f32 {
  let half = n >> 1u;
  return rk_mul_f32(rk_mul_f32(a, rk_power(half)), rk_power(n - half));
}

fn rk_whole(a: f32) -> f32 { return rk_floor_f32(rk_add_f32(a, 0.5f)); }

// exp(a) - 1 and n: a = r + n * log(2), the first is of r.
fn rk_exp_parts(a: f32) -> vec2<f32> {
  let n = rk_whole(rk_mul_f32(a, 0x1.715476p+0f));
  let r = rk_sub_f32(rk_sub_f32(a, rk_mul_f32(n, 0x1.62e4p-1f)), rk_mul_f32(n, 0x1.7f7d1cp-20f));
  return vec2<f32>(rk_mad(rk_mul_f32(r, r), rk_poly_expm1(r), r), n);
}

fn rk_exp_f32(a: f32) -> f32 {
  if rk_is_nan(a) { return a; }
  if rk_lt_f32(89.0f, a) { return rk_f32(0x7f800000u); }
  if rk_lt_f32(a, -105.0f) { return 0.0f; }
  let parts = rk_exp_parts(a);
  return rk_scale(rk_add_f32(1.0f, parts.x), rk_i32_of_f32(parts.y));
}

fn rk_expm1_f32(a: f32) -> f32 {
  if rk_is_nan(a) | !rk_is_true(a) { return a; }
  if rk_lt_f32(a, -18.0f) { return -1.0f; }
  if rk_lt_f32(18.0f, a) { return rk_exp_f32(a); }
  let parts = rk_exp_parts(a);
  let power = rk_power(rk_i32_of_f32(parts.y));
  return rk_mad(parts.x, power, rk_sub_f32(power, 1.0f));
}

// 2**(a.x + a.y)
fn rk_exp2_of(a: vec2<f32>) -> f32 {
  if rk_lt_f32(129.0f, a.x) { return rk_f32(0x7f800000u); }
  if rk_lt_f32(a.x, -152.0f) { return 0.0f; }
  let n = rk_whole(a.x);
  let r = rk_add_f32(rk_sub_f32(a.x, n), a.y);
  return rk_scale(rk_mad(r, rk_poly_exp2(r), 1.0f), rk_i32_of_f32(n));
}

fn rk_exp2_f32(a: f32) -> f32 {
  if rk_is_nan(a) { return a; }
  return rk_exp2_of(vec2<f32>(a, 0.0f));
}

fn rk_sinh_f32(a: f32) -> f32 {
  let x = rk_abs_f32(a);
  if !rk_is_finite(a) { return a; }
  if rk_lt_f32(x, 1.0f) {
    let z = rk_mul_f32(a, a);
    return rk_mad(rk_mul_f32(a, z), rk_poly_sinh(z), a);
  }
  let h = rk_exp_f32(rk_mul_f32(x, 0.5f));
  let large = rk_mul_f32(rk_mul_f32(h, 0.5f), h);
  let e = rk_exp_f32(x);
  let small = rk_mul_f32(0.5f, rk_sub_f32(e, rk_div_f32(1.0f, e)));
  return rk_copysign_f32(select(large, small, rk_lt_f32(x, 88.0f)), a);
}

fn rk_cosh_f32(a: f32) -> f32 {
  let x = rk_abs_f32(a);
  if !rk_is_finite(x) { return x; }
  let h = rk_exp_f32(rk_mul_f32(x, 0.5f));
  let large = rk_mul_f32(rk_mul_f32(h, 0.5f), h);
  let e = rk_exp_f32(x);
  let small = rk_mul_f32(0.5f, rk_add_f32(e, rk_div_f32(1.0f, e)));
  return select(large, small, rk_lt_f32(x, 88.0f));
}

fn rk_tanh_f32(a: f32) -> f32 {
  if rk_is_nan(a) | !rk_is_true(a) { return a; }
  let x = rk_abs_f32(a);
  if rk_lt_f32(10.0f, x) { return rk_copysign_f32(1.0f, a); }
  let t = rk_expm1_f32(rk_mul_f32(2.0f, x));
  return rk_copysign_f32(rk_div_f32(t, rk_add_f32(t, 2.0f)), a);
}
"""

_LOGARITHM = """
// n and f: a = 2**n * (1 + f), for finite a above 0.
fn rk_log_parts(a: f32) -> vec2<f32> {
  let parts = rk_parts(a);
  let high = parts.y > 0x00b504f3u;
  let m = bitcast<f32>((parts.y & 0x007fffffu) | select(0x3f800000u, 0x3f000000u, high));
  return vec2<f32>(f32(bitcast<i32>(parts.x) + i32(high)), rk_sub_f32(m, 1.0f));
}

// log(1 + f) - f
fn rk_log_rest(f: f32) -> f32 {
  let z = rk_mul_f32(f, f);
  return rk_sub_f32(rk_mul_f32(rk_mul_f32(f, z), rk_poly_log(f)), rk_mul_f32(0.5f, z));
}

// Of what is 0, negative, infinite or NaN.
fn rk_log_special(a: f32) -> f32 {
  if !rk_is_true(a) { return rk_f32(0xff800000u); }
  return rk_f32(select(0x7fc00000u, 0x7f800000u, bitcast<u32>(a) == 0x7f800000u));
}

fn rk_is_loggable(a: f32) -> bool { return (bitcast<u32>(a) - 1u) < 0x7f7fffffu; }

fn rk_log_f32(a: f32) -> f32 {
  if !rk_is_loggable(a) { return rk_log_special(a); }
  let p = rk_log_parts(a);
  let rest = rk_add_f32(rk_log_rest(p.y), rk_mul_f32(p.x, 0x1.7f7d1cp-20f));
  return rk_add_f32(rk_mul_f32(p.x, 0x1.62e4p-1f), rk_add_f32(p.y, rest));
}

fn rk_log2_f32(a: f32) -> f32 {
  if !rk_is_loggable(a) { return rk_log_special(a); }
  let p = rk_log_parts(a);
  let product = rk_dd_mul(rk_two_sum(p.y, rk_log_rest(p.y)), vec2<f32>(0x1.715476p+0f, 0x1.4ae0cp-26f));
  return rk_dd_add(vec2<f32>(p.x, 0.0f), product).x;
}

fn rk_log10_f32(a: f32) -> f32 {
  if !rk_is_loggable(a) { return rk_log_special(a); }
  let p = rk_log_parts(a);
  let product = rk_dd_mul(rk_two_sum(p.y, rk_log_rest(p.y)), vec2<f32>(0x1.bcb7b2p-2f, -0x1.5b235ep-27f));
  let low = vec2<f32>(rk_mul_f32(p.x, 0x1.344p-2f), rk_mul_f32(p.x, 0x1.3509f8p-18f));
  return rk_dd_add(low, product).x;
}

fn rk_log1p_f32(a: f32) -> f32 {
  if rk_is_nan(a) | !rk_is_true(a) { return a; }
  if rk_lt_f32(-0.25f, a) & rk_lt_f32(a, 0.375f) { return rk_add_f32(a, rk_log_rest(a)); }
  let u = rk_two_sum(1.0f, a);
  if !rk_is_loggable(u.x) { return rk_log_special(u.x); }
  return rk_add_f32(rk_log_f32(u.x), rk_div_f32(u.y, u.x));
}
"""

# Pairs: a number as the sum of two floats, the second of which is below the first's last bit.
_PAIRS = """
fn rk_two_sum(a: f32, b: f32) -> vec2<f32> {
  let s = rk_add_f32(a, b);
  let t = rk_sub_f32(s, a);
  return vec2<f32>(s, rk_add_f32(rk_sub_f32(a, rk_sub_f32(s, t)), rk_sub_f32(b, t)));
}

fn rk_fast_sum(a: f32, b: f32) -> vec2<f32> {
  let s = rk_add_f32(a, b);
  return vec2<f32>(s, rk_sub_f32(b, rk_sub_f32(s, a)));
}

fn rk_two_product(a: f32, b: f32) -> vec2<f32> {
  let p = rk_mul_f32(a, b);
  let ah = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
  let bh = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
  let al = rk_sub_f32(a, ah);
  let bl = rk_sub_f32(b, bh);
  let e = rk_mad(ah, bl, rk_sub_f32(rk_mul_f32(ah, bh), p));
  return vec2<f32>(p, rk_mad(al, bl, rk_mad(al, bh, e)));
}

fn rk_dd_add(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let s = rk_two_sum(a.x, b.x);
  return rk_fast_sum(s.x, rk_add_f32(s.y, rk_add_f32(a.y, b.y)));
}

fn rk_dd_mul(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let p = rk_two_product(a.x, b.x);
  return rk_fast_sum(p.x, rk_add_f32(p.y, rk_mad(a.x, b.y, rk_mul_f32(a.y, b.x))));
}

fn rk_dd_div(a: f32, b: vec2<f32>) -> vec2<f32> {
  let q = rk_div_f32(a, b.x);
  let p = rk_dd_mul(vec2<f32>(q, 0.0f), b);
  let r = rk_dd_add(vec2<f32>(a, 0.0f), vec2<f32>(rk_neg_f32(p.x), rk_neg_f32(p.y)));
  return rk_fast_sum(q, rk_div_f32(r.x, b.x));
}
"""

_POWER = """
// log2(a) as a pair, from the series of atanh; for finite a above 0.
fn rk_log2_pair(a: f32) -> vec2<f32> {
  let p = rk_log_parts(a);
  let s = rk_dd_div(p.y, rk_two_sum(2.0f, p.y));
  let z = rk_dd_mul(s, s);
  let tail = rk_mul_f32(rk_mul_f32(z.x, z.x), rk_poly_atanh(z.x));
  let c = rk_dd_add(rk_dd_mul(z, vec2<f32>(0x1.555556p-2f, -0x1.555556p-27f)), vec2<f32>(tail, 0.0f));
  let twice = rk_dd_mul(s, rk_dd_add(vec2<f32>(2.0f, 0.0f), rk_dd_add(c, c)));
  return rk_dd_add(vec2<f32>(p.x, 0.0f), rk_dd_mul(twice, vec2<f32>(0x1.715476p+0f, 0x1.4ae0cp-26f)));
}

// 0: no whole number, 1: odd, 2: even.
fn rk_parity(a: f32) -> u32 {
  if !rk_eq_f32(rk_trunc_f32(a), a) { return 0u; }
  if !rk_lt_f32(rk_abs_f32(a), 0x1p24f) { return 2u; }
  return 2u - (rk_magnitude(a).x & 1u);
}

fn rk_pow_magnitude(a: f32, b: f32) -> f32 {
  let rises = bitcast<u32>(b) < 0x80000000u;
  if !rk_is_finite(b) {
    if rk_eq_f32(a, 1.0f) { return 1.0f; }
    return rk_f32(select(0u, 0x7f800000u, rk_lt_f32(1.0f, a) == rises));
  }
  if !rk_is_loggable(a) { return rk_f32(select(0x7f800000u, 0u, rk_is_true(a) != rises)); }
  let l = rk_log2_pair(a);
  let about = rk_mul_f32(l.x, b);
  if rk_lt_f32(130.0f, rk_abs_f32(about)) & rk_lt_f32(0.0f, about) { return rk_f32(0x7f800000u); }
  if rk_lt_f32(about, -153.0f) { return 0.0f; }
  return rk_exp2_of(rk_dd_mul(l, vec2<f32>(b, 0.0f)));
}

fn rk_pow_f32(a: f32, b: f32) -> f32 {
  if !rk_is_true(b) | rk_eq_f32(a, 1.0f) { return 1.0f; }
  if rk_is_nan(a) | rk_is_nan(b) { return rk_f32(0x7fc00000u); }
  let result = rk_pow_magnitude(rk_abs_f32(a), b);
  if bitcast<u32>(a) < 0x80000000u { return result; }
  let parity = rk_parity(b);
  if (parity == 0u) & rk_is_true(a) & rk_is_finite(a) { return rk_f32(0x7fc00000u); }
  return select(result, rk_neg_f32(result), parity == 1u);
}

fn rk_cbrt_f32(a: f32) -> f32 {
  if !rk_is_true(a) | !rk_is_finite(a) { return a; }
  let parts = rk_parts(a);
  let third = rk_floordiv_i32(bitcast<i32>(parts.x), 3);
  let v = rk_mul_f32(bitcast<f32>((parts.y & 0x007fffffu) | 0x3f800000u), rk_power(bitcast<i32>(parts.x) - 3 * third));
  var t = rk_poly_cbrt(v);
  for (var n = 0u; n < 2u; n += 1u) {
    let off = rk_sub_f32(t, rk_div_f32(v, rk_mul_f32(t, t)));
    t = rk_sub_f32(t, rk_div_f32(off, 3.0f));
  }
  return rk_copysign_f32(rk_mul_f32(t, rk_power(third)), a);
}

fn rk_hypot_f32(a: f32, b: f32) -> f32 {
  if rk_is_inf(a) | rk_is_inf(b) { return rk_f32(0x7f800000u); }
  if rk_is_nan(a) | rk_is_nan(b) { return rk_f32(0x7fc00000u); }
  let most = rk_max_f32(rk_abs_f32(a), rk_abs_f32(b));
  if !rk_is_true(most) { return 0.0f; }
  let n = bitcast<i32>(rk_parts(most).x);
  let x = rk_scale(a, 0 - n);
  let y = rk_scale(b, 0 - n);
  let s = rk_dd_add(rk_two_product(x, x), rk_two_product(y, y));
  return rk_scale(rk_sqrt_f32(s.x), n);
}
"""

_CIRCLE = """
// 32 bits of 2/pi, with 32 zeros in front of the point.
fn rk_two_over_pi(n: u32) -> u32 {
  switch n {
    case 1u { return 0xa2f9836eu; }
    case 2u { return 0x4e441529u; }
    case 3u { return 0xfc2757d1u; }
    case 4u { return 0xf534ddc0u; }
    case 5u { return 0xdb629599u; }
    case 6u { return 0x3c439041u; }
    case 7u { return 0xfe5163abu; }
    case 8u { return 0xdebbc561u; }
    default { return 0u; }
  }
}

// r and the quadrant: a = r + quadrant * pi/2, |r| <= pi/4. After Payne and Hanek: the product with 2/pi, of which
// whole turns are left out.
fn rk_turn(a: f32) -> vec2<f32> {
  if (bitcast<u32>(a) & 0x7fffffffu) < 0x3f490fdbu { return vec2<f32>(a, 0.0f); }
  let parts = rk_parts(a);
  let first = parts.x - 23u + 30u;
  let at = first >> 5u;
  let window = vec2<u32>(rk_two_over_pi(at + 1u), rk_two_over_pi(at));
  let high = rk_shl_64(window, first & 31u).y;
  let middle = rk_shl_64(vec2<u32>(rk_two_over_pi(at + 2u), window.x), first & 31u).y;
  let low = rk_shl_64(vec2<u32>(rk_two_over_pi(at + 3u), rk_two_over_pi(at + 2u)), first & 31u).y;
  let product = rk_mul_wide(parts.y, low);
  let upper = rk_add_64(rk_mul_wide(parts.y, middle), vec2<u32>(product.y, 0u));
  let top = vec2<u32>(upper.x, upper.y + parts.y * high);
  let fraction = vec2<u32>((top.x << 2u) | (product.x >> 30u), (top.y << 2u) | (top.x >> 30u));
  let past = fraction.y >> 31u;
  let quadrant = (top.y >> 30u) + past;
  let sign = (bitcast<u32>(a) & 0x80000000u) ^ (past << 31u);
  let f = rk_f32_of_bits(sign, select(fraction, rk_neg_64(fraction), past != 0u));
  let turned = select(quadrant, 0u - quadrant, bitcast<u32>(a) >= 0x80000000u) & 3u;
  return vec2<f32>(rk_mul_f32(rk_mul_f32(f, 0x1p-64f), 0x1.921fb6p+0f), f32(turned));
}

fn rk_sin_near(r: f32) -> f32 {
  let z = rk_mul_f32(r, r);
  return rk_mad(rk_mul_f32(r, z), rk_poly_sin(z), r);
}

fn rk_cos_near(r: f32) -> f32 {
  let z = rk_mul_f32(r, r);
  let half = rk_mul_f32(0.5f, z);
  let w = rk_sub_f32(1.0f, half);
  let rest = rk_sub_f32(rk_sub_f32(1.0f, w), half);
  return rk_add_f32(w, rk_mad(rk_mul_f32(z, z), rk_poly_cos(z), rest));
}

fn rk_sin_of(r: f32, quadrant: u32) -> f32 {
  let v = select(rk_sin_near(r), rk_cos_near(r), (quadrant & 1u) != 0u);
  return select(v, rk_neg_f32(v), (quadrant & 2u) != 0u);
}

fn rk_sin_f32(a: f32) -> f32 {
  if !rk_is_finite(a) { return rk_f32(0x7fc00000u); }
  let turn = rk_turn(a);
  return rk_sin_of(turn.x, u32(turn.y));
}

fn rk_cos_f32(a: f32) -> f32 {
  if !rk_is_finite(a) { return rk_f32(0x7fc00000u); }
  let turn = rk_turn(a);
  return rk_sin_of(turn.x, u32(turn.y) + 1u);
}

fn rk_tan_f32(a: f32) -> f32 {
  if !rk_is_finite(a) { return rk_f32(0x7fc00000u); }
  if !rk_is_true(a) { return a; }
  let turn = rk_turn(a);
  let s = rk_sin_near(turn.x);
  let c = rk_cos_near(turn.x);
  if turn.y == 1.0f || turn.y == 3.0f { return rk_neg_f32(rk_div_f32(c, s)); }
  return rk_div_f32(s, c);
}

fn rk_asin_near(a: f32) -> f32 {
  let z = rk_mul_f32(a, a);
  return rk_mad(rk_mul_f32(a, z), rk_poly_asin(z), a);
}

fn rk_asin_far(a: f32) -> f32 { return rk_asin_near(rk_sqrt_f32(rk_mul_f32(0.5f, rk_sub_f32(1.0f, a)))); }

fn rk_asin_f32(a: f32) -> f32 {
  let x = rk_abs_f32(a);
  if !rk_le_f32(x, 1.0f) { return rk_f32(0x7fc00000u); }
  if rk_le_f32(x, 0.5f) { return rk_asin_near(a); }
  let t = rk_sub_f32(rk_sub_f32(0x1.921fb6p-1f, rk_asin_far(x)), rk_asin_far(x));
  return rk_copysign_f32(rk_add_f32(rk_add_f32(t, -0x1.777a5cp-25f), 0x1.921fb6p-1f), a);
}

fn rk_acos_f32(a: f32) -> f32 {
  let x = rk_abs_f32(a);
  if !rk_le_f32(x, 1.0f) { return rk_f32(0x7fc00000u); }
  if rk_le_f32(x, 0.5f) {
    return rk_sub_f32(0x1.921fb6p+0f, rk_add_f32(rk_asin_near(a), 0x1.777a5cp-25f));
  }
  let far = rk_mul_f32(2.0f, rk_asin_far(x));
  if bitcast<u32>(a) < 0x80000000u { return far; }
  return rk_sub_f32(0x1.921fb6p+1f, rk_add_f32(far, 0x1.777a5cp-24f));
}

fn rk_atan_near(a: f32) -> f32 {
  let z = rk_mul_f32(a, a);
  return rk_mad(rk_mul_f32(a, z), rk_poly_atan(z), a);
}

fn rk_atan_f32(a: f32) -> f32 {
  let x = rk_abs_f32(a);
  if rk_is_nan(a) | rk_lt_f32(x, 0x1.a8279ap-2f) { return rk_atan_near(a); }
  if rk_lt_f32(0x1.3504f4p+1f, x) {
    let near = rk_atan_near(rk_div_f32(-1.0f, x));
    return rk_copysign_f32(rk_add_f32(0x1.921fb6p+0f, rk_add_f32(near, -0x1.777a5cp-25f)), a);
  }
  let near = rk_atan_near(rk_div_f32(rk_sub_f32(x, 1.0f), rk_add_f32(x, 1.0f)));
  return rk_copysign_f32(rk_add_f32(0x1.921fb6p-1f, rk_add_f32(near, -0x1.777a5cp-26f)), a);
}

fn rk_atan2_f32(y: f32, x: f32) -> f32 {
  if rk_is_nan(x) | rk_is_nan(y) { return rk_f32(0x7fc00000u); }
  let left = bitcast<u32>(x) >= 0x80000000u;
  var angle = 0.0f;
  if rk_is_inf(x) & rk_is_inf(y) {
    angle = 0x1.921fb6p-1f;
  } else if rk_is_true(y) {
    angle = rk_atan_f32(rk_div_f32(rk_abs_f32(y), rk_abs_f32(x)));
  }
  if left { angle = rk_sub_f32(0x1.921fb6p+1f, rk_add_f32(angle, 0x1.777a5cp-24f)); }
  return rk_copysign_f32(angle, y);
}
"""

TEXTS = (_POLYNOMIALS, _EXPONENTIAL, _LOGARITHM, _PAIRS, _POWER, _CIRCLE)
