// CUDA text as host C++, one thread: what the prelude of CUDA takes from the device. Comes before the prelude.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>

#define rk_call rk_host_call
#include "ringkernel/compiled.h"
#undef rk_call
// Those names have other values or types in a prelude.
#undef RK_ANY_INSTANCE
#undef RK_DEFAULT_PRIORITY
#undef RK_FAIL_CANCELLED

#define RK_ON_HOST
#define RK_POLL_EVERY 1u
#define __device__
#define __forceinline__ inline

namespace rk_shim {
struct Index {
  unsigned x;
};
}  // namespace rk_shim
#ifdef RK_SHIM_THREADS
#include "cuda_threads.h"
#else
static constexpr rk_shim::Index threadIdx{0}, blockIdx{0}, blockDim{1}, gridDim{1};
// A warp of one lane.
inline unsigned __shfl_sync(unsigned, unsigned value, int) { return value; }
inline unsigned __ballot_sync(unsigned, bool value) { return value ? 1u : 0u; }
inline int __all_sync(unsigned, bool value) { return value ? 1 : 0; }
inline int __any_sync(unsigned, bool value) { return value ? 1 : 0; }
inline void __syncwarp(unsigned) {}
inline int __syncthreads_and(int value) { return value; }
#endif

template <typename To, typename From>
To rk_shim_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}
inline unsigned __float_as_uint(float x) { return rk_shim_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return rk_shim_bits<float>(x); }
inline long long __double_as_longlong(double x) { return rk_shim_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return rk_shim_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}

template <typename T>
T atomicAdd(T* p, T value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicAnd(T* p, T value) {
  return __atomic_fetch_and(p, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicOr(T* p, T value) {
  return __atomic_fetch_or(p, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicXor(T* p, T value) {
  return __atomic_fetch_xor(p, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicExch(T* p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicCAS(T* p, T expected, T value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <typename T>
T atomicMin(T* p, T value) {
  const T old = *p;
  *p = value < old ? value : old;
  return old;
}
template <typename T>
T atomicMax(T* p, T value) {
  const T old = *p;
  *p = value > old ? value : old;
  return old;
}

inline unsigned rk_load_cancel(const unsigned* cancel) { return __atomic_load_n(cancel, __ATOMIC_RELAXED); }
