// What generated Metal handlers stand on.
//
// Compile with fast math off (MTLCompileOptions.mathMode = safe, or fastMathEnabled = false): the language rounds each
// operation for itself, to nearest even. Apple's GPUs may flush 32-bit denormals to zero; nothing here can change that.
//
// A text is: this file; the handlers (rk_handle_<message>, and rk_dispatch, which chooses by type id); the services;
// the kernel. All threads of a threadgroup call rk_dispatch() with the same message, each with an rk_call of its own.
// The kernel's part of the contract:
//   state    of the instance, aligned to 64; one for all threads of its threadgroup
//   header   64 bytes, read-only, aligned to 8
//   message  the payload, aligned to 8, in RK_MESSAGE memory (`device`; a kernel that copies payloads defines it as
//            `threadgroup` before). Where rk_writes_message(type_id): the threadgroup's own copy, which handlers change
//   shared   RK_SHARED_SIZE bytes, aligned to 64, zeroed, with a barrier between that and the call
//   rk_call  failed, errors and polls are 0 before each message; afterwards the kernel gathers them from the threads
// Metal has no barrier that a thread can leave: one that fails in front of a barrier that others reach leaves them
// waiting, until the system ends the command.
// Payloads that handlers pass to services lie in any memory: they are copied before the service returns.
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)

#define RK_INLINE inline
#ifndef RK_MESSAGE
#define RK_MESSAGE device
#endif

typedef char i8;
typedef short i16;
typedef int i32;
typedef long i64;
typedef uchar u8;
typedef ushort u16;
typedef uint u32;
typedef ulong u64;
typedef half f16;
typedef float f32;

#define RK_FAIL_CANCELLED 0xFFFF0107u
#define RK_ANY_INSTANCE 0xFFFFFFFFu
#define RK_DEFAULT_PRIORITY 0xFFFFFFFFu

// One for each thread, in its own memory. Handlers write only failed to polls.
struct rk_call {
  device void* self;           // the services'
  device atomic_uint* cancel;  // equal to task: loops fail with RK_FAIL_CANCELLED; may be written by the host
  u32 task;                    // not 0, and another one for each message
  u32 failed;                  // 0, or why the message failed
  u32 fail_line;               // of the handler's file
  u32 errors;                  // how many were counted
  u32 last_error;
  u32 error_line;
  u32 polls;  // back edges of loops
  u32 instance_id;
  u32 kernel_id;
  u32 thread_id;  // from here on: of the thread, from the attributes of the kernel's parameters
  u32 block_id;
  u32 block_dim;
  u32 grid_dim;
  u32 lane_id;
  u32 warp_id;
  u32 warp_lanes;  // how many lanes this warp has; the last of a threadgroup may have fewer
};

// -- services: declared here, defined behind the handlers ------------------------------------------------------------
// Called by each thread that reaches the statement. P: a pointer to u8 in one of the memories. `reply` and `send`
// return 0; or set call->failed to a code of 0xFFFF0101 and above and return it, and the handler ends. instance:
// RK_ANY_INSTANCE, or an index; priority: RK_DEFAULT_PRIORITY, or 0 to 3; deadline: seconds from now, none when it is
// not > 0.

template <typename P>
u32 rk_device_reply(thread rk_call* call, u32 type_id, P payload, u32 size);
template <typename P>
u32 rk_device_send(thread rk_call* call, u32 target, u32 type_id, P payload, u32 size, u32 instance, u32 priority,
                   f32 deadline);
template <typename P>
u32 rk_device_publish(thread rk_call* call, u32 topic, u32 type_id, P payload, u32 size, u32 retain);
u64 rk_device_now(thread rk_call* call);
u64 rk_device_tick(thread rk_call* call);
bool rk_device_update_clock(thread rk_call* call, u64 time);  // false: refused
u64 rk_device_pending(thread rk_call* call);
u64 rk_device_free_slots(thread rk_call* call, u32 target);
void rk_device_request_termination(thread rk_call* call);
bool rk_device_is_terminating(thread rk_call* call);

// -- memory: typed accesses to bytes, aligned for their type ----------------------------------------------------------

#ifdef RK_ONE_MEMORY  // a host that compiles this text
#define RK_IN_EACH(MACRO, T) MACRO(T, device)
#define RK_IN_SHARED(MACRO, T) MACRO(T, device)
#else
#define RK_IN_EACH(MACRO, T) MACRO(T, device) MACRO(T, threadgroup) MACRO(T, thread)
#define RK_IN_SHARED(MACRO, T) MACRO(T, device) MACRO(T, threadgroup)
#endif

#define RK_MEMORY_IN(T, SPACE)                                                        \
  RK_INLINE T rk_load_##T(SPACE const u8* p) { return *(SPACE const rk_##T##_at*)p; } \
  RK_INLINE void rk_store_##T(SPACE u8* p, T value) { *(SPACE rk_##T##_at*)p = value; }
#define RK_MEMORY(T)                                \
  typedef T __attribute__((may_alias)) rk_##T##_at; \
  RK_IN_EACH(RK_MEMORY_IN, T)
RK_MEMORY(i8)
RK_MEMORY(i16)
RK_MEMORY(i32)
RK_MEMORY(i64)
RK_MEMORY(u8)
RK_MEMORY(u16)
RK_MEMORY(u32)
RK_MEMORY(u64)
RK_MEMORY(f16)
RK_MEMORY(f32)
#define RK_MEMORY_BOOL(T, SPACE)                                      \
  RK_INLINE bool rk_load_bool(SPACE const u8* p) { return *p != 0u; } \
  RK_INLINE void rk_store_bool(SPACE u8* p, bool value) { *p = value ? 1u : 0u; }
RK_IN_EACH(RK_MEMORY_BOOL, bool)

// -- bits -------------------------------------------------------------------------------------------------------------

RK_INLINE u16 rk_bits_of_f16(f16 x) { return as_type<u16>(x); }
RK_INLINE u32 rk_bits_of_f32(f32 x) { return as_type<u32>(x); }
RK_INLINE f16 rk_f16_of_bits(u16 x) { return as_type<f16>(x); }
RK_INLINE f32 rk_f32_of_bits(u32 x) { return as_type<f32>(x); }
RK_INLINE f32 rk_f32_of_f16(f16 x) { return f32(x); }
RK_INLINE f16 rk_f16_of_f32(f32 x) { return f16(x); }
RK_INLINE u32 rk_popcount_u32(u32 x) { return popcount(x); }
RK_INLINE u64 rk_popcount_u64(u64 x) { return u64(popcount(u32(x)) + popcount(u32(x >> 32))); }
RK_INLINE u32 rk_clz_u32(u32 x) { return clz(x); }
RK_INLINE u64 rk_clz_u64(u64 x) { return x >> 32 == 0u ? 32u + clz(u32(x)) : clz(u32(x >> 32)); }
RK_INLINE u32 rk_ctz_u32(u32 x) { return ctz(x); }
RK_INLINE u64 rk_ctz_u64(u64 x) { return u32(x) == 0u ? 32u + ctz(u32(x >> 32)) : ctz(u32(x)); }

// -- errors and cancellation ------------------------------------------------------------------------------------------

RK_INLINE void rk_count_error(thread rk_call* call, u32 code, u32 line) {
  call->errors += 1u;
  call->last_error = code;
  call->error_line = line;
}
RK_INLINE void rk_fail(thread rk_call* call, u32 code, u32 line) {
  call->failed = code;
  call->fail_line = line;
}
// On back edges. Looks every RK_POLL_EVERY turns (a power of two): the word may be in the host's memory.
#ifndef RK_POLL_EVERY
#define RK_POLL_EVERY 256u
#endif
RK_INLINE bool rk_cancelled(thread rk_call* call) {
  call->polls += 1u;
  return (call->polls & (RK_POLL_EVERY - 1u)) == 0u &&
         atomic_load_explicit(call->cancel, memory_order_relaxed) == call->task;
}

// -- where a thread is ------------------------------------------------------------------------------------------------

RK_INLINE u32 rk_thread_id(thread const rk_call* call) { return call->thread_id; }
RK_INLINE u32 rk_block_id(thread const rk_call* call) { return call->block_id; }
RK_INLINE u32 rk_block_dim(thread const rk_call* call) { return call->block_dim; }
RK_INLINE u32 rk_grid_dim(thread const rk_call* call) { return call->grid_dim; }
RK_INLINE u32 rk_global_thread_id(thread const rk_call* call) {
  return call->block_id * call->block_dim + call->thread_id;
}
RK_INLINE u32 rk_warp_id(thread const rk_call* call) { return call->warp_id; }
RK_INLINE u32 rk_lane_id(thread const rk_call* call) { return call->lane_id; }
RK_INLINE u32 rk_warp_lanes(thread const rk_call* call) { return call->warp_lanes; }

// -- warps (Metal: SIMD-groups): all lanes take part ------------------------------------------------------------------

RK_INLINE u32 rk_shuffle_u32(thread const rk_call* call, u32 value, u32 lane) {
  const bool inside = lane < call->warp_lanes;
  const u32 other = simd_shuffle(value, ushort(inside ? lane : call->lane_id));
  return inside ? other : value;
}
RK_INLINE u64 rk_ballot(thread const rk_call*, bool value) {
  return u64(static_cast<simd_vote::vote_t>(simd_ballot(value)));
}
RK_INLINE bool rk_all(thread const rk_call*, bool value) { return simd_all(value); }
RK_INLINE bool rk_any(thread const rk_call*, bool value) { return simd_any(value); }

// -- barriers and fences ----------------------------------------------------------------------------------------------

#define RK_ALL_MEMORY (mem_flags::mem_device | mem_flags::mem_threadgroup)
RK_INLINE void rk_sync_warp(thread rk_call*) { simdgroup_barrier(RK_ALL_MEMORY); }
RK_INLINE void rk_sync_block(thread rk_call*) { threadgroup_barrier(RK_ALL_MEMORY); }
#if __METAL_VERSION__ >= 320  // older versions have no fence without a barrier: then ctx.fence() is a compile error
RK_INLINE void rk_fence_warp() { atomic_thread_fence(RK_ALL_MEMORY, memory_order_seq_cst, thread_scope_simdgroup); }
RK_INLINE void rk_fence_block() { atomic_thread_fence(RK_ALL_MEMORY, memory_order_seq_cst, thread_scope_threadgroup); }
RK_INLINE void rk_fence_grid() { atomic_thread_fence(RK_ALL_MEMORY, memory_order_seq_cst, thread_scope_device); }
RK_INLINE void rk_fence_system() { rk_fence_grid(); }  // Metal has no larger scope
#endif

// -- atomics: relaxed; they give the old value ------------------------------------------------------------------------

#define RK_ATOMIC(T, SPACE, NAME, FUNCTION)                                  \
  RK_INLINE T rk_atomic_##NAME##_##T(SPACE u8* p, T value) {                 \
    return FUNCTION((SPACE rk_##T##_atomic*)p, value, memory_order_relaxed); \
  }
#define RK_ATOMICS(T, SPACE)                                                                                    \
  RK_ATOMIC(T, SPACE, add, atomic_fetch_add_explicit)                                                           \
  RK_ATOMIC(T, SPACE, sub, atomic_fetch_sub_explicit)                                                           \
  RK_ATOMIC(T, SPACE, and, atomic_fetch_and_explicit)                                                           \
  RK_ATOMIC(T, SPACE, or, atomic_fetch_or_explicit)                                                             \
  RK_ATOMIC(T, SPACE, xor, atomic_fetch_xor_explicit)                                                           \
  RK_ATOMIC(T, SPACE, min, atomic_fetch_min_explicit)                                                           \
  RK_ATOMIC(T, SPACE, max, atomic_fetch_max_explicit)                                                           \
  RK_ATOMIC(T, SPACE, exchange, atomic_exchange_explicit)                                                       \
  RK_INLINE T rk_atomic_cas_##T(SPACE u8* p, T expected, T value) {                                             \
    T old = expected; /* the weak exchange may fail without a reason: only another value is one */              \
    while (!atomic_compare_exchange_weak_explicit((SPACE rk_##T##_atomic*)p, &old, value, memory_order_relaxed, \
                                                  memory_order_relaxed) &&                                      \
           old == expected) {                                                                                   \
    }                                                                                                           \
    return old;                                                                                                 \
  }
typedef atomic_int rk_i32_atomic;
typedef atomic_uint rk_u32_atomic;
RK_IN_SHARED(RK_ATOMICS, i32)
RK_IN_SHARED(RK_ATOMICS, u32)

// -- floats -----------------------------------------------------------------------------------------------------------

RK_INLINE f32 rk_floor_f32(f32 x) { return floor(x); }
RK_INLINE f32 rk_ceil_f32(f32 x) { return ceil(x); }
RK_INLINE f32 rk_trunc_f32(f32 x) { return trunc(x); }
RK_INLINE f32 rk_sqrt_f32(f32 x) { return precise::sqrt(x); }
RK_INLINE f32 rk_sin_f32(f32 x) { return precise::sin(x); }
RK_INLINE f32 rk_cos_f32(f32 x) { return precise::cos(x); }
RK_INLINE f32 rk_tan_f32(f32 x) { return precise::tan(x); }
RK_INLINE f32 rk_asin_f32(f32 x) { return precise::asin(x); }
RK_INLINE f32 rk_acos_f32(f32 x) { return precise::acos(x); }
RK_INLINE f32 rk_atan_f32(f32 x) { return precise::atan(x); }
RK_INLINE f32 rk_sinh_f32(f32 x) { return precise::sinh(x); }
RK_INLINE f32 rk_cosh_f32(f32 x) { return precise::cosh(x); }
RK_INLINE f32 rk_tanh_f32(f32 x) { return precise::tanh(x); }
RK_INLINE f32 rk_exp_f32(f32 x) { return precise::exp(x); }
RK_INLINE f32 rk_exp2_f32(f32 x) { return precise::exp2(x); }
RK_INLINE f32 rk_log_f32(f32 x) { return precise::log(x); }
RK_INLINE f32 rk_log2_f32(f32 x) { return precise::log2(x); }
RK_INLINE f32 rk_log10_f32(f32 x) { return precise::log10(x); }
RK_INLINE f32 rk_atan2_f32(f32 y, f32 x) { return precise::atan2(y, x); }
RK_INLINE f32 rk_pow_f32(f32 x, f32 y) { return precise::pow(x, y); }

// Exact, as C's: Metal's fmod divides and rounds. One turn for each bit between the exponents.
RK_INLINE f32 rk_fmod_f32(f32 x, f32 y) {
  const u32 sign = rk_bits_of_f32(x) & 0x80000000u;
  u32 a = rk_bits_of_f32(x) & 0x7FFFFFFFu;
  const u32 b = rk_bits_of_f32(y) & 0x7FFFFFFFu;
  if (a >= 0x7F800000u || b > 0x7F800000u || b == 0u) {
    return rk_f32_of_bits(0x7FC00000u);
  }
  if (a < b) {
    return x;
  }
  u32 exponent = a >> 23;
  u32 left = a < 0x00800000u ? a : (a & 0x007FFFFFu) | 0x00800000u;
  exponent = exponent == 0u ? 1u : exponent;
  const u32 lowest = b >> 23 == 0u ? 1u : b >> 23;
  const u32 right = b < 0x00800000u ? b : (b & 0x007FFFFFu) | 0x00800000u;
  // left * 2^exponent mod right * 2^lowest; left may lose its highest bit below, so at most 25 bits are in use
  left %= right;
  for (; exponent > lowest && left != 0u; --exponent) {
    left = (left << 1) % right;
  }
  if (left == 0u) {
    return rk_f32_of_bits(sign);
  }
  exponent = lowest;
  while (left < 0x00800000u && exponent > 1u) {
    left <<= 1;
    --exponent;
  }
  a = left < 0x00800000u ? left : (exponent << 23) | (left & 0x007FFFFFu);
  return rk_f32_of_bits(sign | a);
}
