// Services that keep all that they are given, and a kernel, so that a compiler has to look at all of a handler.
inline __device__ u32 rk_stub_keep(rk_call* call, const u8* payload, u32 size) {
  volatile u8* sink = static_cast<volatile u8*>(call->self);
  for (u32 at = 0u; at < size; ++at) sink[at] = payload[at];
  return call->failed = sink[size];
}
__device__ u32 rk_device_reply(rk_call* call, u32, const u8* payload, u32 size) {
  return rk_stub_keep(call, payload, size);
}
__device__ u32 rk_device_send(rk_call* call, u32 target, u32, const u8* payload, u32 size, u32 instance, u32 priority,
                              f64 deadline) {
  return rk_stub_keep(call, payload, size) + (deadline > 1.0 ? target + instance + priority : 0u);
}
__device__ u32 rk_device_publish(rk_call* call, u32 topic, u32, const u8* payload, u32 size, u32 retain) {
  return rk_stub_keep(call, payload, size) + topic + retain;
}
__device__ u64 rk_device_now(rk_call*) { return 1u; }
__device__ u64 rk_device_tick(rk_call*) { return 2u; }
__device__ bool rk_device_update_clock(rk_call*, u64 time) { return time != 0u; }
__device__ u64 rk_device_pending(rk_call*) { return 3u; }
__device__ u64 rk_device_free_slots(rk_call*, u32 target) { return target; }
__device__ void rk_device_request_termination(rk_call* call) { call->polls = 0u; }
__device__ bool rk_device_is_terminating(rk_call*) { return false; }
__device__ void rk_device_sync_grid(rk_call*) { __syncthreads(); }

extern "C" __global__ void handle(u8* state, u8* slot, const u32* cancel, u8* sink, u32* out) {
  alignas(64) __shared__ u8 shared[RK_SHARED_SIZE == 0u ? 1u : RK_SHARED_SIZE];
  rk_call call{};
  call.self = sink;
  call.cancel = cancel;
  call.task = 1u;
  rk_dispatch(&call, rk_load_u32(slot + 4), state, slot, slot + 64, shared);
  rk_finish(&call);
  out[threadIdx.x] = call.failed + call.errors;
}
