// What device code takes from a GPU, on threads of the CPU: comes before a text for NVRTC when the double compiles it.
//
// A double: it proves logic, and nothing about a GPU's memory model, warps or speed.
//
// Small on purpose: no header of the library, so that a text compiles in a fraction of a second. What needs one is
// behind Table, which the double of the driver gives to each kernel that it loads.
//
// Protection: rk_double_table: constant once the image is loaded. rk_double_thread: its thread's.
#pragma once

#define RK_ON_HOST
#define __CUDACC_RTC__ 1
#define __device__
#define __global__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) alignas(n)
#define __launch_bounds__(...)

#ifndef RK_ROUTER_WARPS
#define RK_ROUTER_WARPS 1
#endif
#ifndef RK_LANES
#define RK_LANES 1
#endif

namespace rk_double {

using u32 = unsigned int;
using u64 = unsigned long long;

struct Index {
  u32 x;
};

// One for each CUDA thread; `block` is the double's.
struct Thread {
  Index thread, block_index, block_size, grid_size;
  void* block;
  u64 shared_used;
};

struct Table {
  void (*barrier)(void* block);
  int (*barrier_and)(void* block, int vote);
  // All lanes of `mask` in warp `warp`: each gives a value and gets the one of `lane`, or (lane 32) the lanes whose
  // value is not 0.
  u32 (*exchange)(void* block, u32 warp, u32 mask, u32 own_lane, u32 value, u32 lane);
  void* (*shared)(void* block, u64 bytes, u64 align, u64* used);
  u64 (*time)();
  void (*nap)(u32 ns);
  void (*trap)();
};

// Arguments that say nothing about what T is, so that they are converted as by functions that are no templates.
template <class T>
struct Same {
  using Type = T;
};
template <class T>
using Only = typename Same<T>::Type;

inline const Table* table = nullptr;
inline thread_local Thread self{};

template <int... I>
struct Numbers {};

template <class... A, int... I>
void call(void (*function)(A...), void** values, Numbers<I...>) {
  function(*static_cast<A*>(values[I])...);
}
template <class... A>
void call(void (*function)(A...), void** values) {
  call(function, values, Numbers<__integer_pack(sizeof...(A))...>{});
}
template <class... A>
int sizes_of(void (*)(A...), int* sizes) {
  const int all[] = {static_cast<int>(sizeof(A))..., 0};
  for (int i = 0; i < static_cast<int>(sizeof...(A)); ++i) sizes[i] = all[i];
  return static_cast<int>(sizeof...(A));
}

template <class T>
T& shared_of() {
  return *static_cast<T*>(table->shared(self.block, sizeof(T), alignof(T), &self.shared_used));
}

}  // namespace rk_double

#define RK_DOUBLE_EXPORT extern "C" __attribute__((visibility("default")))

RK_DOUBLE_EXPORT inline __attribute__((used)) void rk_double_bind(const rk_double::Table* table) {
  rk_double::table = table;
}

// What the text was compiled for; without it, it runs on every device.
#ifdef RK_DOUBLE_ARCH
RK_DOUBLE_EXPORT inline __attribute__((used)) int rk_double_arch() { return RK_DOUBLE_ARCH; }
#endif

#define RK_KERNEL(name) static void name
#define RK_EXPORT_KERNEL(name)                                                                 \
  RK_DOUBLE_EXPORT void rk_double_run_##name(const rk_double::Thread* thread, void** values) { \
    rk_double::self = *thread;                                                                 \
    rk_double::call(&name, values);                                                            \
  }                                                                                            \
  RK_DOUBLE_EXPORT int rk_double_sizes_##name(int* sizes) { return rk_double::sizes_of(&name, sizes); }
#define RK_SHARED(T, name) T& name = rk_double::shared_of<T>()

#define threadIdx rk_double::self.thread
#define blockIdx rk_double::self.block_index
#define blockDim rk_double::self.block_size
#define gridDim rk_double::self.grid_size

// -- words and units
// ---------------------------------------------------------------------------------------------------

#define RK_DOUBLE_LOAD(NAME, ORDER)   \
  template <class T>                  \
  inline T NAME(const T* p) {         \
    return __atomic_load_n(p, ORDER); \
  }
#define RK_DOUBLE_STORE(NAME, ORDER)                 \
  template <class T>                                 \
  inline void NAME(T* p, rk_double::Only<T> value) { \
    __atomic_store_n(p, value, ORDER);               \
  }
RK_DOUBLE_LOAD(rk_ld_relaxed_sys, __ATOMIC_RELAXED)
RK_DOUBLE_LOAD(rk_ld_acquire_sys, __ATOMIC_ACQUIRE)
RK_DOUBLE_LOAD(rk_ld_relaxed_gpu, __ATOMIC_RELAXED)
RK_DOUBLE_LOAD(rk_ld_acquire_gpu, __ATOMIC_ACQUIRE)
RK_DOUBLE_STORE(rk_st_relaxed_sys, __ATOMIC_RELAXED)
RK_DOUBLE_STORE(rk_st_release_sys, __ATOMIC_RELEASE)
RK_DOUBLE_STORE(rk_st_relaxed_gpu, __ATOMIC_RELAXED)
RK_DOUBLE_STORE(rk_st_release_gpu, __ATOMIC_RELEASE)

template <class T>
inline T rk_add_relaxed_gpu(T* p, rk_double::Only<T> value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <class T>
inline T rk_add_release_gpu(T* p, rk_double::Only<T> value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELEASE);
}
template <class T>
inline T rk_cas_relaxed_gpu(T* p, rk_double::Only<T> expected, rk_double::Only<T> value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
inline rk_double::u64 rk_max_relaxed_gpu(rk_double::u64* p, rk_double::u64 value) {
  rk_double::u64 old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

struct alignas(16) rk_unit {
  unsigned int word[3];
  unsigned int tag;
};

// One access of 16 bytes on a GPU. Here two of 8: the half with the tag is stored last and loaded first.
typedef rk_double::u64 __attribute__((may_alias)) rk_double_half;
inline rk_unit rk_ld_unit_sys(const rk_unit* p) {
  const auto* halves = reinterpret_cast<const rk_double_half*>(p);
  const rk_double::u64 second = __atomic_load_n(halves + 1, __ATOMIC_ACQUIRE);
  const rk_double::u64 first = __atomic_load_n(halves, __ATOMIC_RELAXED);
  return rk_unit{{static_cast<unsigned>(first), static_cast<unsigned>(first >> 32), static_cast<unsigned>(second)},
                 static_cast<unsigned>(second >> 32)};
}
inline void rk_st_unit_sys(rk_unit* p, rk_unit unit) {
  auto* halves = reinterpret_cast<rk_double_half*>(p);
  __atomic_store_n(halves, unit.word[0] | static_cast<rk_double::u64>(unit.word[1]) << 32, __ATOMIC_RELAXED);
  __atomic_store_n(halves + 1, unit.word[2] | static_cast<rk_double::u64>(unit.tag) << 32, __ATOMIC_RELEASE);
}

// ThreadSanitizer knows no fences. For it they are steps on one word, which order all threads of a module that fence.
#ifdef __SANITIZE_THREAD__
inline unsigned rk_double_fences = 0;
inline void rk_fence_gpu() { __atomic_fetch_add(&rk_double_fences, 1u, __ATOMIC_ACQ_REL); }
#else
inline void rk_fence_gpu() { __atomic_thread_fence(__ATOMIC_ACQ_REL); }
#endif
inline void rk_fence_sys() { rk_fence_gpu(); }
inline rk_double::u64 rk_globaltimer() { return rk_double::table->time(); }
inline void rk_nanosleep(unsigned ns) { rk_double::table->nap(ns); }
inline void rk_trap() { rk_double::table->trap(); }
inline void rk_barrier() { rk_double::table->barrier(rk_double::self.block); }
// Of loops: the one place where a handler that runs for ever comes by, if its device has died.
inline unsigned rk_load_cancel(const unsigned* cancel) {
  rk_double::table->nap(0);
  return __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

// -- threads
// -----------------------------------------------------------------------------------------------------------

inline void __syncthreads() { rk_barrier(); }
inline int __syncthreads_and(int vote) { return rk_double::table->barrier_and(rk_double::self.block, vote); }

inline int __syncthreads_or(int vote) { return __syncthreads_and(vote == 0) == 0; }

inline unsigned rk_double_exchange(unsigned mask, unsigned value, unsigned lane) {
  const unsigned thread = threadIdx.x;
  return rk_double::table->exchange(rk_double::self.block, thread / 32, mask, thread % 32, value, lane);
}
inline unsigned __shfl_sync(unsigned mask, unsigned value, int lane) {
  return rk_double_exchange(mask, value, static_cast<unsigned>(lane) & 31u);
}
inline unsigned __ballot_sync(unsigned mask, bool vote) { return rk_double_exchange(mask, vote ? 1 : 0, 32); }
inline int __all_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) == mask; }
inline int __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { __ballot_sync(mask, false); }

// The router's warps have RK_LANES lanes, and lie one behind the other in the threads of the block.
#if RK_LANES == 1
inline unsigned rk_router_ballot(bool vote) { return vote ? 1 : 0; }
inline unsigned rk_router_shfl(unsigned value, unsigned) { return value; }
inline void rk_router_sync() {}
#else
inline unsigned rk_router_exchange(unsigned value, unsigned lane) {
  const unsigned thread = threadIdx.x;
  return rk_double::table->exchange(rk_double::self.block, 64 + thread / RK_LANES, (1u << RK_LANES) - 1,
                                    thread % RK_LANES, value, lane);
}
inline unsigned rk_router_ballot(bool vote) { return rk_router_exchange(vote ? 1 : 0, 32); }
inline unsigned rk_router_shfl(unsigned value, unsigned lane) { return rk_router_exchange(value, lane); }
inline void rk_router_sync() { rk_router_exchange(0, 32); }
#endif

inline void __threadfence_block() { rk_fence_gpu(); }
inline void __threadfence() { rk_fence_gpu(); }
inline void __threadfence_system() { rk_fence_sys(); }
inline void __nanosleep(unsigned ns) { rk_nanosleep(ns); }

// -- bits, atomics, floats: what the prelude calls
// ---------------------------------------------------------------------

template <class To, class From>
inline To rk_double_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}
inline unsigned __float_as_uint(float x) { return rk_double_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return rk_double_bits<float>(x); }
inline long long __double_as_longlong(double x) { return rk_double_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return rk_double_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

#define RK_DOUBLE_ATOMIC(NAME, FUNCTION)          \
  template <class T>                              \
  inline T NAME(T* p, rk_double::Only<T> value) { \
    return FUNCTION(p, value, __ATOMIC_RELAXED);  \
  }
RK_DOUBLE_ATOMIC(atomicAdd, __atomic_fetch_add)
RK_DOUBLE_ATOMIC(atomicSub, __atomic_fetch_sub)
RK_DOUBLE_ATOMIC(atomicAnd, __atomic_fetch_and)
RK_DOUBLE_ATOMIC(atomicOr, __atomic_fetch_or)
RK_DOUBLE_ATOMIC(atomicXor, __atomic_fetch_xor)
RK_DOUBLE_ATOMIC(atomicExch, __atomic_exchange_n)
template <class T>
inline T atomicCAS(T* p, rk_double::Only<T> expected, rk_double::Only<T> value) {
  return rk_cas_relaxed_gpu(p, expected, value);
}
template <class T>
inline T rk_double_choose(T* p, T value, bool least) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while ((least ? value < old : value > old) &&
         !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
inline T atomicMin(T* p, rk_double::Only<T> value) {
  return rk_double_choose(p, value, true);
}
template <class T>
inline T atomicMax(T* p, rk_double::Only<T> value) {
  return rk_double_choose(p, value, false);
}
// Floats have no such instruction here.
template <class F, class Bits>
inline F rk_double_add(F* p, F value) {
  typedef Bits __attribute__((may_alias)) Word;
  auto* word = reinterpret_cast<Word*>(p);
  Bits old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &old, rk_double_bits<Bits>(rk_double_bits<F>(old) + value), true,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return rk_double_bits<F>(old);
}
inline float atomicAdd(float* p, float value) { return rk_double_add<float, unsigned>(p, value); }
inline double atomicAdd(double* p, double value) { return rk_double_add<double, rk_double::u64>(p, value); }

#define RK_DOUBLE_FLOAT(NAME)   \
  double NAME(double) noexcept; \
  float NAME##f(float) noexcept;
#define RK_DOUBLE_FLOATS(NAME)          \
  double NAME(double, double) noexcept; \
  float NAME##f(float, float) noexcept;
extern "C" {
RK_DOUBLE_FLOAT(floor)
RK_DOUBLE_FLOAT(ceil)
RK_DOUBLE_FLOAT(trunc)
RK_DOUBLE_FLOAT(sqrt)
RK_DOUBLE_FLOAT(sin)
RK_DOUBLE_FLOAT(cos)
RK_DOUBLE_FLOAT(tan)
RK_DOUBLE_FLOAT(asin)
RK_DOUBLE_FLOAT(acos)
RK_DOUBLE_FLOAT(atan)
RK_DOUBLE_FLOAT(sinh)
RK_DOUBLE_FLOAT(cosh)
RK_DOUBLE_FLOAT(tanh)
RK_DOUBLE_FLOAT(exp)
RK_DOUBLE_FLOAT(exp2)
RK_DOUBLE_FLOAT(expm1)
RK_DOUBLE_FLOAT(log)
RK_DOUBLE_FLOAT(log2)
RK_DOUBLE_FLOAT(log10)
RK_DOUBLE_FLOAT(log1p)
RK_DOUBLE_FLOAT(cbrt)
RK_DOUBLE_FLOATS(fmod)
RK_DOUBLE_FLOATS(atan2)
RK_DOUBLE_FLOATS(pow)
RK_DOUBLE_FLOATS(hypot)
}

// Defined behind the text, where the type is known.
struct f16;
inline float rk_f32_of_f16(f16 x);
inline f16 rk_f16_of_f32(float x);
