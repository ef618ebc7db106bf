// Services of CUDA text on the host. Comes behind the prelude, before the handlers.
#pragma once

RK_INLINE f32 rk_f32_of_f16(f16 x) { return static_cast<f32>(rk_shim_bits<_Float16>(x.bits)); }
RK_INLINE f16 rk_f16_of_f32(f32 x) { return f16{rk_shim_bits<u16>(static_cast<_Float16>(x))}; }

inline rk_host_call* rk_shim_host(rk_call* call) { return static_cast<rk_host_call*>(call->self); }

inline void rk_shim_begin(rk_call& call, rk_host_call* host) {
  call.self = host;
  call.cancel = reinterpret_cast<const unsigned*>(host->cancel);  // of tests: 0 or 1
  call.task = static_cast<u32>(host->task);
}
#define RK_SHIM_CALL rk_call*
#define RK_SHIM_PAYLOAD const u8*
#define RK_SHIM_TEMPLATE
#define RK_SHIM_SECONDS f64
#include "services.h"
inline void rk_device_sync_grid(rk_call*) {}

#ifdef RK_SHIM_THREADS
// NAME(host, slot, threads): one message, handled by a block.
#undef RK_SHIM_EXPORT
#define RK_SHIM_EXPORT(NAME, SPACE, TYPE_ID, SIZE)                                      \
  extern "C" void NAME(rk_host_call* host, std::uint8_t* slot, std::uint32_t threads) { \
    rk_shim::Block block(threads);                                                      \
    rk_shim::block = &block;                                                            \
    blockDim.x = threads;                                                               \
    std::atomic<std::uint32_t> failed{0};                                               \
    std::vector<std::thread> all;                                                       \
    for (std::uint32_t n = 0; n < threads; ++n)                                         \
      all.emplace_back([&, n] {                                                         \
        threadIdx.x = n;                                                                \
        rk_call call{};                                                                 \
        rk_shim_begin(call, host);                                                      \
        SPACE::rk_dispatch(&call, TYPE_ID, host->state, slot, slot + 64, host->shared); \
        rk_finish(&call);                                                               \
        failed += call.failed != 0;                                                     \
      });                                                                               \
    for (std::thread & one : all) one.join();                                           \
    host->failed = failed;                                                              \
  }
#endif
