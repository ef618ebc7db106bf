// The arithmetic of the handler language where C++'s own differs, or is undefined.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace rk::vm {

// Only the low bits: wraps.
template <class T>
constexpr T as(std::integral auto x) {
  return static_cast<T>(x);
}

constexpr std::uint64_t flag(bool b) { return b ? 1 : 0; }

// A value from a register, and to one.
template <class T>
constexpr T get(std::uint64_t bits) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(bits);
  } else {
    return static_cast<T>(bits);
  }
}

template <class T>
constexpr std::uint64_t put(T value) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<std::uint32_t>(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<std::uint64_t>(value);
  } else {
    return static_cast<std::uint64_t>(value);  // extends by sign if T has one
  }
}

// Places need not be aligned in a hostile program.
template <class T>
T read(const std::uint8_t* place) {
  T value;
  std::memcpy(&value, place, sizeof(T));
  return value;
}

template <class T>
void write(std::uint8_t* place, T value) {
  std::memcpy(place, &value, sizeof(T));
}

// Towards minus infinity; x // 0 = 0, and min // -1 = min. In the unsigned type, which cannot trap.
template <std::signed_integral T>
constexpr T floor_divide(T l, T r) {
  using U = std::make_unsigned_t<T>;
  if (r == 0) return 0;
  if (r == -1) return static_cast<T>(U{0} - static_cast<U>(l));
  const T quotient = static_cast<T>(l / r);
  return static_cast<T>(quotient - (l % r != 0 && (l < 0) != (r < 0) ? 1 : 0));
}

// The sign of the divisor; x % 0 = 0.
template <std::signed_integral T>
constexpr T floor_modulo(T l, T r) {
  if (r == 0 || r == -1) return 0;
  const T rest = static_cast<T>(l % r);
  return static_cast<T>(rest != 0 && (rest < 0) != (r < 0) ? rest + r : rest);
}

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

inline float magnitude(float x) { return std::fabs(x); }
inline double magnitude(double x) { return std::fabs(x); }
inline float copy_sign(float l, float r) { return std::copysign(l, r); }
inline double copy_sign(double l, double r) { return std::copysign(l, r); }

// Towards zero; the nearest end of the range beyond it; NaN: 0. The limits are powers of two, so every type holds them.
template <class To, class From>
constexpr To saturate(From x) {
  constexpr From kBeyond = static_cast<From>(To{1} << (std::numeric_limits<To>::digits - 1)) * From{2};
  if (!(x == x)) return 0;
  if (x >= kBeyond) return std::numeric_limits<To>::max();
  if constexpr (std::is_signed_v<To>) {
    if (x < -kBeyond) return std::numeric_limits<To>::min();
  } else {
    if (x <= From{-1}) return 0;
  }
  return static_cast<To>(x);
}

// range(start, stop, step): how many.
template <class T>
constexpr std::uint64_t trip_count(T start, T stop, T step) {
  using U = std::make_unsigned_t<T>;
  U distance, stride;
  if (step > 0 && start < stop) {
    distance = static_cast<U>(stop) - static_cast<U>(start);
    stride = static_cast<U>(step);
  } else if (step < 0 && start > stop) {
    distance = static_cast<U>(start) - static_cast<U>(stop);
    stride = U{0} - static_cast<U>(step);
  } else {
    return 0;
  }
  return stride == 1 ? distance : (distance - 1) / stride + 1;
}

// -- f16, as bits -----------------------------------------------------------------------------------------------------

// Exact. NaN stays NaN.
constexpr float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t rest = half & 0x7FFFu;
  if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | (rest & 0x3FFu) << 13);
  // Exponents are moved by a multiplication, which brings subnormal halves to normal floats.
  const float scaled = std::bit_cast<float>(rest << 13) * std::bit_cast<float>(std::uint32_t{239} << 23);  // 2**112
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

// To nearest even, once: from a float too, which a double holds exactly.
constexpr std::uint16_t half_from_double(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint32_t sign = static_cast<std::uint32_t>(bits >> 48) & 0x8000u;
  const std::uint64_t rest = bits & 0x7FFFFFFFFFFFFFFFu;
  if (rest > 0x7FF0000000000000u) return static_cast<std::uint16_t>(sign | 0x7E00u);   // NaN
  if (rest >= 0x40EFFE0000000000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65520 rounds to infinity
  const auto exponent = static_cast<std::int32_t>(rest >> 52) - 1023;
  if (exponent < -25) return static_cast<std::uint16_t>(sign);  // less than half of the smallest
  // The significand with its hidden bit, of which `lost` bits go: 42 of a normal half, more of a subnormal one.
  const std::uint64_t significand = (rest & 0xFFFFFFFFFFFFFu) | 0x10000000000000u;
  const bool normal = exponent >= -14;
  const int lost = normal ? 42 : 42 + (-14 - exponent);
  std::uint64_t kept = significand >> lost;
  const std::uint64_t rounded_off = significand & ((std::uint64_t{1} << lost) - 1);
  const std::uint64_t tie = std::uint64_t{1} << (lost - 1);
  if (rounded_off > tie || (rounded_off == tie && (kept & 1) != 0)) ++kept;
  // A carry out of the significand goes to the exponent, as it should. The hidden bit counts as one exponent step.
  const std::uint32_t base = normal ? static_cast<std::uint32_t>(exponent + 14) << 10 : 0;
  return static_cast<std::uint16_t>(sign | (base + static_cast<std::uint32_t>(kept)));
}

// A double holds all integers that are not beyond 65520 anyhow.
template <std::integral T>
constexpr std::uint16_t half_from_integer(T value) {
  constexpr T kMany = 1 << 20;
  if (value > kMany) return 0x7C00u;
  if constexpr (std::is_signed_v<T>) {
    if (value < -kMany) return 0xFC00u;
  }
  return half_from_double(static_cast<double>(value));
}

}  // namespace rk::vm
