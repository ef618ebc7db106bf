// The functions that CALL_1_* and CALL_2_* reach by index; the same ones for f32 and f64.
#pragma once

#include <cmath>
#include <cstdint>

// clang-format off: it does not come to rest on these
#define RK_VM_FUNCTIONS_1(X) \
  X(floor) X(ceil) X(trunc) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) \
  X(cosh) X(tanh) X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(cbrt)
#define RK_VM_FUNCTIONS_2(X) X(fmod) X(atan2) X(pow) X(hypot)
// clang-format on

namespace rk::vm {

template <class T>
struct Functions {
#define RK_VM_NAME(name) [](T x) { return static_cast<T>(std::name(x)); },
  static constexpr T (*kOne[])(T) = {RK_VM_FUNCTIONS_1(RK_VM_NAME)};
#undef RK_VM_NAME
#define RK_VM_NAME(name) [](T l, T r) { return static_cast<T>(std::name(l, r)); },
  static constexpr T (*kTwo[])(T, T) = {RK_VM_FUNCTIONS_2(RK_VM_NAME)};
#undef RK_VM_NAME
};

constexpr std::uint32_t kFunctions1 = sizeof(Functions<float>::kOne) / sizeof(Functions<float>::kOne[0]);
constexpr std::uint32_t kFunctions2 = sizeof(Functions<float>::kTwo) / sizeof(Functions<float>::kTwo[0]);

}  // namespace rk::vm
