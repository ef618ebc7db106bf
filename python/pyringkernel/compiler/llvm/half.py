"""f16 as bits: to f32, which is exact, and from f32, i64 and f64, rounding once.

Arithmetic on f16 is done in f32 and rounded: with 24 bits of significand for 11, rounding twice is rounding once for
+ - * / and sqrt.
"""

from __future__ import annotations

from .text import Writer

# For CPUs without conversions. The additions of floats do the work for subnormal numbers, rounding included: the last
# bit of a float between 0.5 and 1 is worth 2**-24, which is f16's least number.
_EXTEND = """
define internal float @rk_half_extend(i16 %half) nounwind willreturn memory(none) alwaysinline {
  %bits = zext i16 %half to i32
  %magnitude = and i32 %bits, 32767
  %shifted = shl i32 %magnitude, 13
  %normal = add i32 %shifted, 939524096
  %special = add i32 %shifted, 1879048192
  %quiet = or i32 %special, 4194304
  %is_nan = icmp ugt i32 %magnitude, 31744
  %not_finite = select i1 %is_nan, i32 %quiet, i32 %special
  %scaled = add i32 %shifted, 947912704
  %scaled.float = bitcast i32 %scaled to float
  %small.float = fsub float %scaled.float, 0x3F10000000000000
  %small = bitcast float %small.float to i32
  %is_special = icmp uge i32 %magnitude, 31744
  %is_small = icmp ult i32 %magnitude, 1024
  %a = select i1 %is_special, i32 %not_finite, i32 %normal
  %b = select i1 %is_small, i32 %small, i32 %a
  %sign = and i32 %bits, 32768
  %high = shl i32 %sign, 16
  %all = or i32 %b, %high
  %result = bitcast i32 %all to float
  ret float %result
}
"""
_ROUND = """
define internal i16 @rk_half_round(float %value) nounwind willreturn memory(none) alwaysinline {
  %bits = bitcast float %value to i32
  %magnitude = and i32 %bits, 2147483647
  %payload.high = lshr i32 %magnitude, 13
  %payload = and i32 %payload.high, 1023
  %nan = or i32 %payload, 32256
  %rebased = sub i32 %magnitude, 939524096
  %last.high = lshr i32 %rebased, 13
  %last = and i32 %last.high, 1
  %bias = add i32 %last, 4095
  %biased = add i32 %rebased, %bias
  %normal = lshr i32 %biased, 13
  %magnitude.float = bitcast i32 %magnitude to float
  %aligned = fadd float %magnitude.float, 5.000000e-01
  %aligned.bits = bitcast float %aligned to i32
  %small = sub i32 %aligned.bits, 1056964608
  %is_nan = icmp ugt i32 %magnitude, 2139095040
  %is_large = icmp uge i32 %magnitude, 1199566848
  %is_small = icmp ult i32 %magnitude, 947912704
  %a = select i1 %is_large, i32 31744, i32 %normal
  %b = select i1 %is_small, i32 %small, i32 %a
  %c = select i1 %is_nan, i32 %nan, i32 %b
  %sign.high = lshr i32 %bits, 16
  %sign = and i32 %sign.high, 32768
  %all = or i32 %c, %sign
  %result = trunc i32 %all to i16
  ret i16 %result
}
"""


def extend(w: Writer, value: str) -> str:
    """i16 bits -> float."""
    if w.module.native_half:
        half = w.value(f"bitcast i16 {value} to half")
        return w.value(f"fpext half {half} to float")
    w.module.declare("rk_half_extend", _EXTEND)
    return w.value(f"call float @rk_half_extend(i16 {value})")


def from_float(w: Writer, value: str) -> str:
    """float -> i16 bits, to nearest even."""
    if w.module.native_half:
        half = w.value(f"fptrunc float {value} to half")
        return w.value(f"bitcast half {half} to i16")
    w.module.declare("rk_half_round", _ROUND)
    return w.value(f"call i16 @rk_half_round(float {value})")


def from_double(w: Writer, value: str) -> str:
    """double -> i16 bits. Through a float that is rounded to odd: its last bit is set when anything was lost, so the
    second rounding sees on which side of a tie the number was."""
    near = w.value(f"fptrunc double {value} to float")
    back = w.value(f"fpext float {near} to double")
    lost = w.value(f"fcmp one double {back}, {value}")
    bits = w.value(f"bitcast float {near} to i32")
    last = w.value(f"trunc i32 {bits} to i1")
    exact = w.value(f"xor i1 {lost}, true")
    keep = w.value(f"or i1 {exact}, {last}")
    size = w.intrinsic("llvm.fabs.f64", "double", ("double", value))
    near_size = w.intrinsic("llvm.fabs.f64", "double", ("double", back))
    above = w.value(f"fcmp ogt double {near_size}, {size}")
    step = w.value(f"select i1 {above}, i32 -1, i32 1")
    change = w.value(f"select i1 {keep}, i32 0, i32 {step}")
    odd = w.value(f"add i32 {bits}, {change}")
    return from_float(w, w.value(f"bitcast i32 {odd} to float"))


def from_integer(w: Writer, value: str, kind: str, signed: bool) -> str:
    """An integer -> i16 bits. Beyond 2**17 all are infinite, and below a float holds them exactly."""
    width = int(kind[1:])
    if width > 16 and signed:
        value = w.intrinsic(f"llvm.smax.{kind}", kind, (kind, value), (kind, "-131072"))
        value = w.intrinsic(f"llvm.smin.{kind}", kind, (kind, value), (kind, "131072"))
    elif width > 16:
        value = w.intrinsic(f"llvm.umin.{kind}", kind, (kind, value), (kind, "131072"))
    return from_float(w, w.value(f"{'sitofp' if signed else 'uitofp'} {kind} {value} to float"))
