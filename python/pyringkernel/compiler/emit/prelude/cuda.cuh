// What generated CUDA handlers stand on. No include: NVRTC needs 30 ms for this and a second for its headers.
//
// Compile with --std=c++17 -default-device -fmad=false, and without --use_fast_math: the language rounds each operation
// for itself, to nearest even, with denormals.
//
// A text is: this file; the handlers (rk_handle_<message>, and rk_dispatch, which chooses by type id); the services;
// the resident kernel. All threads of a block call rk_dispatch() with the same message, each with an rk_call of its
// own. The kernel's part of the contract:
//   state    of the instance, aligned to 64; one for all threads of its block or grid
//   header   64 bytes, read-only, aligned to 8
//   message  the payload, aligned to 8. Where rk_writes_message(type_id): the block's own copy, which handlers change
//   shared   RK_SHARED_SIZE bytes, aligned to 64, zeroed, with a barrier between that and the call
//   rk_call  failed, errors and polls are 0 before each message; afterwards the kernel gathers them from the threads.
//            `task` is not 0, and another one for each message: who writes it to `cancel` ends that message only
// The macros RK_BLOCK_DIM, RK_BLOCK_ID and RK_GRID_DIM may be defined before: where a kernel has more blocks, or more
// threads in a block, than run the handler. After rk_dispatch() every thread calls rk_finish(call), the kernel's
// barrier at the end of a message. Warp operations have no such help: a thread that fails in front of one that others
// reach leaves them waiting, until the watchdog acts. Payloads that handlers pass to services may lie in thread-local
// memory: they are copied before the service returns.
#define RK_INLINE __device__ __forceinline__

typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;
struct f16 {
  u16 bits;
};

#define RK_FAIL_CANCELLED 0xFFFF0107u
#define RK_ANY_INSTANCE 0xFFFFFFFFu
#define RK_DEFAULT_PRIORITY 0xFFFFFFFFu

// One for each thread, in its own memory. Handlers write only failed to polls.
struct rk_call {
  void* self;         // the services'
  const u32* cancel;  // equal to task: loops fail with RK_FAIL_CANCELLED; may be written by the host
  u32 task;
  u32 failed;     // 0, or why the message failed
  u32 fail_line;  // of the handler's file
  u32 errors;     // how many were counted
  u32 last_error;
  u32 error_line;
  u32 polls;  // back edges of loops
  u32 instance_id;
  u32 kernel_id;
};

// -- services: declared here, defined behind the handlers ------------------------------------------------------------
// Called by each thread that reaches the statement. `reply` and `send` return 0; or set call->failed to a code of
// 0xFFFF0101 and above and return it, and the handler ends. instance: RK_ANY_INSTANCE, or an index; priority:
// RK_DEFAULT_PRIORITY, or 0 to 3; deadline: seconds from now, none when it is not > 0.

__device__ u32 rk_device_reply(rk_call* call, u32 type_id, const u8* payload, u32 size);
__device__ u32 rk_device_send(rk_call* call, u32 target, u32 type_id, const u8* payload, u32 size, u32 instance,
                              u32 priority, f64 deadline);
__device__ u32 rk_device_publish(rk_call* call, u32 topic, u32 type_id, const u8* payload, u32 size, u32 retain);
__device__ u64 rk_device_now(rk_call* call);
__device__ u64 rk_device_tick(rk_call* call);
__device__ bool rk_device_update_clock(rk_call* call, u64 time);  // false: refused
__device__ u64 rk_device_pending(rk_call* call);
__device__ u64 rk_device_free_slots(rk_call* call, u32 target);
__device__ void rk_device_request_termination(rk_call* call);
__device__ bool rk_device_is_terminating(rk_call* call);
__device__ void rk_device_sync_grid(rk_call* call);  // all threads of a cooperative launch

// -- what only the device has; a host that compiles this text brings its own ------------------------------------------

#ifndef RK_ON_HOST
RK_INLINE f32 rk_f32_of_f16(f16 x) {
  f32 y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
RK_INLINE f16 rk_f16_of_f32(f32 x) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
// Edge: the host's store of the cancel word -> here. Relaxed: nothing else is published by it.
RK_INLINE u32 rk_load_cancel(const u32* cancel) {
  u32 value;
  asm volatile("ld.relaxed.sys.u32 %0, [%1];" : "=r"(value) : "l"(cancel) : "memory");  // K1: late is late
  return value;
}
#endif

// -- memory: typed accesses to bytes, aligned for their type ----------------------------------------------------------

#define RK_MEMORY(T)                                                                        \
  typedef T __attribute__((may_alias)) rk_##T##_at;                                         \
  RK_INLINE T rk_load_##T(const u8* p) { return *reinterpret_cast<const rk_##T##_at*>(p); } \
  RK_INLINE void rk_store_##T(u8* p, T value) { *reinterpret_cast<rk_##T##_at*>(p) = value; }
RK_MEMORY(i8)
RK_MEMORY(i16)
RK_MEMORY(i32)
RK_MEMORY(i64)
RK_MEMORY(u8)
RK_MEMORY(u16)
RK_MEMORY(u32)
RK_MEMORY(u64)
RK_MEMORY(f32)
RK_MEMORY(f64)
RK_INLINE bool rk_load_bool(const u8* p) { return *p != 0u; }
RK_INLINE void rk_store_bool(u8* p, bool value) { *p = value ? 1u : 0u; }
RK_INLINE f16 rk_load_f16(const u8* p) { return f16{rk_load_u16(p)}; }
RK_INLINE void rk_store_f16(u8* p, f16 value) { rk_store_u16(p, value.bits); }

// -- bits -------------------------------------------------------------------------------------------------------------

RK_INLINE u16 rk_bits_of_f16(f16 x) { return x.bits; }
RK_INLINE u32 rk_bits_of_f32(f32 x) { return __float_as_uint(x); }
RK_INLINE u64 rk_bits_of_f64(f64 x) { return static_cast<u64>(__double_as_longlong(x)); }
RK_INLINE f16 rk_f16_of_bits(u16 x) { return f16{x}; }
RK_INLINE f32 rk_f32_of_bits(u32 x) { return __uint_as_float(x); }
RK_INLINE f64 rk_f64_of_bits(u64 x) { return __longlong_as_double(static_cast<i64>(x)); }
RK_INLINE u32 rk_popcount_u32(u32 x) { return static_cast<u32>(__popc(x)); }
RK_INLINE u64 rk_popcount_u64(u64 x) { return static_cast<u64>(__popcll(x)); }
RK_INLINE u32 rk_clz_u32(u32 x) { return static_cast<u32>(__clz(static_cast<i32>(x))); }
RK_INLINE u64 rk_clz_u64(u64 x) { return static_cast<u64>(__clzll(static_cast<i64>(x))); }
RK_INLINE u32 rk_ctz_u32(u32 x) { return x == 0u ? 32u : static_cast<u32>(__ffs(static_cast<i32>(x))) - 1u; }
RK_INLINE u64 rk_ctz_u64(u64 x) { return x == 0u ? 64u : static_cast<u64>(__ffsll(static_cast<i64>(x))) - 1u; }

// -- errors and cancellation ------------------------------------------------------------------------------------------

RK_INLINE void rk_count_error(rk_call* call, u32 code, u32 line) {
  call->errors += 1u;
  call->last_error = code;
  call->error_line = line;
}
RK_INLINE void rk_fail(rk_call* call, u32 code, u32 line) {
  call->failed = code;
  call->fail_line = line;
}
// On back edges. Looks every RK_POLL_EVERY turns (a power of two): the word may be in the host's memory.
#ifndef RK_POLL_EVERY
#define RK_POLL_EVERY 256u
#endif
RK_INLINE bool rk_cancelled(rk_call* call) {
  call->polls += 1u;
  return (call->polls & (RK_POLL_EVERY - 1u)) == 0u && rk_load_cancel(call->cancel) == call->task;
}

// -- where a thread is: one-dimensional blocks and grids --------------------------------------------------------------

#ifndef RK_BLOCK_DIM
#define RK_BLOCK_DIM blockDim.x
#endif
#ifndef RK_BLOCK_ID
#define RK_BLOCK_ID(call) blockIdx.x
#endif
#ifndef RK_GRID_DIM
#define RK_GRID_DIM(call) gridDim.x
#endif
RK_INLINE u32 rk_thread_id(const rk_call*) { return threadIdx.x; }
RK_INLINE u32 rk_block_id([[maybe_unused]] const rk_call* call) { return RK_BLOCK_ID(call); }
RK_INLINE u32 rk_block_dim(const rk_call*) { return RK_BLOCK_DIM; }
RK_INLINE u32 rk_grid_dim([[maybe_unused]] const rk_call* call) { return RK_GRID_DIM(call); }
RK_INLINE u32 rk_global_thread_id(const rk_call* call) { return RK_BLOCK_ID(call) * RK_BLOCK_DIM + threadIdx.x; }
RK_INLINE u32 rk_warp_id(const rk_call*) { return threadIdx.x / 32u; }
RK_INLINE u32 rk_lane_id(const rk_call*) { return threadIdx.x % 32u; }

// -- warps: all lanes of the warp take part; the last warp of a block may have fewer than 32 --------------------------

RK_INLINE u32 rk_warp_lanes(const rk_call*) {
  const u32 left = RK_BLOCK_DIM - (threadIdx.x & ~31u);
  return left < 32u ? left : 32u;
}
RK_INLINE u32 rk_warp_mask(const rk_call* call) { return 0xFFFFFFFFu >> (32u - rk_warp_lanes(call)); }
RK_INLINE u32 rk_shuffle_u32(const rk_call* call, u32 value, u32 lane) {
  const u32 other = __shfl_sync(rk_warp_mask(call), value, static_cast<i32>(lane & 31u));
  return lane < rk_warp_lanes(call) ? other : value;
}
RK_INLINE u64 rk_ballot(const rk_call* call, bool value) { return __ballot_sync(rk_warp_mask(call), value); }
RK_INLINE bool rk_all(const rk_call* call, bool value) { return __all_sync(rk_warp_mask(call), value) != 0; }
RK_INLINE bool rk_any(const rk_call* call, bool value) { return __any_sync(rk_warp_mask(call), value) != 0; }

// -- barriers and fences ----------------------------------------------------------------------------------------------

RK_INLINE void rk_sync_warp(rk_call* call) { __syncwarp(rk_warp_mask(call)); }
// A thread whose message failed leaves early, and the others must not wait for it for ever: each barrier asks whether
// all threads have finished, and rk_finish() takes part in those that are still to come.
#ifdef __CUDACC__
// Not __syncthreads_and(): threads of one warp may be in different barriers, one of them in rk_finish().
RK_INLINE bool rk_block_all(bool value) {
  u32 all;
  asm volatile(
      "{\n\t.reg .pred mine, all;\n\tsetp.ne.u32 mine, %1, 0;\n\tbarrier.red.and.pred all, 0, mine;\n\t"
      "selp.u32 %0, 1, 0, all;\n\t}"
      : "=r"(all)
      : "r"(value ? 1u : 0u)
      : "memory");
  return all != 0;
}
#else
RK_INLINE bool rk_block_all(bool value) { return __syncthreads_and(value ? 1 : 0) != 0; }
#endif
RK_INLINE void rk_sync_block(rk_call*) { rk_block_all(false); }
RK_INLINE void rk_finish(rk_call*) {
  while (!rk_block_all(true)) {
  }
}
RK_INLINE void rk_sync_grid(rk_call* call) { rk_device_sync_grid(call); }
RK_INLINE void rk_fence_warp() { __threadfence_block(); }
RK_INLINE void rk_fence_block() { __threadfence_block(); }
RK_INLINE void rk_fence_grid() { __threadfence(); }
RK_INLINE void rk_fence_system() { __threadfence_system(); }

// -- atomics: relaxed, of the whole device; they give the old value ---------------------------------------------------

#define RK_ATOMIC(T, W, NAME, FUNCTION)                                              \
  RK_INLINE T rk_atomic_##NAME##_##T(u8* p, T value) {                               \
    return static_cast<T>(FUNCTION(reinterpret_cast<W*>(p), static_cast<W>(value))); \
  }
#define RK_ATOMICS(T, U)                                                                                        \
  RK_ATOMIC(T, U, add, atomicAdd)                                                                               \
  RK_ATOMIC(T, U, and, atomicAnd)                                                                               \
  RK_ATOMIC(T, U, or, atomicOr)                                                                                 \
  RK_ATOMIC(T, U, xor, atomicXor)                                                                               \
  RK_ATOMIC(T, U, exchange, atomicExch)                                                                         \
  RK_ATOMIC(T, T, min, atomicMin)                                                                               \
  RK_ATOMIC(T, T, max, atomicMax)                                                                               \
  RK_INLINE T rk_atomic_sub_##T(u8* p, T value) {                                                               \
    return static_cast<T>(atomicAdd(reinterpret_cast<U*>(p), U{0} - static_cast<U>(value)));                    \
  }                                                                                                             \
  RK_INLINE T rk_atomic_cas_##T(u8* p, T expected, T value) {                                                   \
    return static_cast<T>(atomicCAS(reinterpret_cast<U*>(p), static_cast<U>(expected), static_cast<U>(value))); \
  }
RK_ATOMICS(i32, u32)
RK_ATOMICS(u32, u32)
RK_ATOMICS(i64, u64)
RK_ATOMICS(u64, u64)

// -- floats -----------------------------------------------------------------------------------------------------------

#define RK_FLOATS(T, S)                                         \
  RK_INLINE T rk_floor_##T(T x) { return floor##S(x); }         \
  RK_INLINE T rk_ceil_##T(T x) { return ceil##S(x); }           \
  RK_INLINE T rk_trunc_##T(T x) { return trunc##S(x); }         \
  RK_INLINE T rk_sqrt_##T(T x) { return sqrt##S(x); }           \
  RK_INLINE T rk_sin_##T(T x) { return sin##S(x); }             \
  RK_INLINE T rk_cos_##T(T x) { return cos##S(x); }             \
  RK_INLINE T rk_tan_##T(T x) { return tan##S(x); }             \
  RK_INLINE T rk_asin_##T(T x) { return asin##S(x); }           \
  RK_INLINE T rk_acos_##T(T x) { return acos##S(x); }           \
  RK_INLINE T rk_atan_##T(T x) { return atan##S(x); }           \
  RK_INLINE T rk_sinh_##T(T x) { return sinh##S(x); }           \
  RK_INLINE T rk_cosh_##T(T x) { return cosh##S(x); }           \
  RK_INLINE T rk_tanh_##T(T x) { return tanh##S(x); }           \
  RK_INLINE T rk_exp_##T(T x) { return exp##S(x); }             \
  RK_INLINE T rk_exp2_##T(T x) { return exp2##S(x); }           \
  RK_INLINE T rk_expm1_##T(T x) { return expm1##S(x); }         \
  RK_INLINE T rk_log_##T(T x) { return log##S(x); }             \
  RK_INLINE T rk_log2_##T(T x) { return log2##S(x); }           \
  RK_INLINE T rk_log10_##T(T x) { return log10##S(x); }         \
  RK_INLINE T rk_log1p_##T(T x) { return log1p##S(x); }         \
  RK_INLINE T rk_cbrt_##T(T x) { return cbrt##S(x); }           \
  RK_INLINE T rk_fmod_##T(T x, T y) { return fmod##S(x, y); }   \
  RK_INLINE T rk_atan2_##T(T x, T y) { return atan2##S(x, y); } \
  RK_INLINE T rk_pow_##T(T x, T y) { return pow##S(x, y); }     \
  RK_INLINE T rk_hypot_##T(T x, T y) { return hypot##S(x, y); }
RK_FLOATS(f32, f)
RK_FLOATS(f64, )
