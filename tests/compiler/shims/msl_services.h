// Services of MSL text on the host. Comes behind the prelude, before the handlers.
#pragma once

inline rk_host_call* rk_shim_host(rk_call* call) { return static_cast<rk_host_call*>(call->self); }

inline void rk_shim_begin(rk_call& call, rk_host_call* host) {
  call.self = host;
  call.cancel = reinterpret_cast<atomic_uint*>(const_cast<std::uint64_t*>(host->cancel));
  call.task = static_cast<u32>(host->task);
  call.block_dim = call.grid_dim = call.warp_lanes = 1;
}
#define RK_SHIM_CALL rk_call*
#define RK_SHIM_PAYLOAD P
#define RK_SHIM_TEMPLATE template <typename P>
#define RK_SHIM_SECONDS f32
#include "services.h"
