// What both dialects' services do on the host, and rk_run for a handler.

RK_SHIM_TEMPLATE inline u32 rk_device_reply(RK_SHIM_CALL call, u32 type_id, RK_SHIM_PAYLOAD payload, u32 size) {
  rk_host_call* host = rk_shim_host(call);
  return call->failed = host->services->reply(host, type_id, payload, size);
}
RK_SHIM_TEMPLATE inline u32 rk_device_send(RK_SHIM_CALL call, u32 target, u32 type_id, RK_SHIM_PAYLOAD payload,
                                           u32 size, u32 instance, u32 priority, RK_SHIM_SECONDS deadline) {
  rk_host_call* host = rk_shim_host(call);
  return call->failed =
             host->services->send(host, target, type_id, payload, size, instance, priority, double(deadline));
}
RK_SHIM_TEMPLATE inline u32 rk_device_publish(RK_SHIM_CALL call, u32 topic, u32 type_id, RK_SHIM_PAYLOAD payload,
                                              u32 size, u32 retain) {
  rk_host_call* host = rk_shim_host(call);
  return host->services->publish(host, topic, type_id, payload, size, retain);
}
inline u64 rk_device_now(RK_SHIM_CALL call) { return rk_shim_host(call)->services->now(rk_shim_host(call)); }
inline u64 rk_device_tick(RK_SHIM_CALL call) { return rk_shim_host(call)->services->tick(rk_shim_host(call)); }
inline bool rk_device_update_clock(RK_SHIM_CALL call, u64 time) {
  return rk_shim_host(call)->services->update_clock(rk_shim_host(call), time) != 0;
}
inline u64 rk_device_pending(RK_SHIM_CALL call) { return rk_shim_host(call)->services->pending(rk_shim_host(call)); }
inline u64 rk_device_free_slots(RK_SHIM_CALL call, u32 target) {
  return rk_shim_host(call)->services->free_slots(rk_shim_host(call), target);
}
inline void rk_device_request_termination(RK_SHIM_CALL call) {
  rk_shim_host(call)->services->request_termination(rk_shim_host(call));
}
inline bool rk_device_is_terminating(RK_SHIM_CALL call) {
  return rk_shim_host(call)->services->is_terminating(rk_shim_host(call)) != 0;
}

template <typename Dispatch, typename Writes>
u32 rk_shim_run(rk_host_call* host, const u8* first, u64 stride, u32 count, u32 type_id, u32 size, u32 shared,
                Dispatch dispatch, Writes writes) {
  for (u32 done = 0; done < count;) {
    const u8* slot = first + done * stride;
    host->slot = slot;
    host->failed = 0;
    if (shared != 0) std::memset(host->shared, 0, shared);
    u8* message = const_cast<u8*>(slot + 64);
    if (writes(type_id)) message = static_cast<u8*>(std::memcpy(host->message, message, size));
    rk_call call{};
    rk_shim_begin(call, host);
    call.instance_id = host->instance;
    call.kernel_id = host->kernel;
    dispatch(&call, type_id, host->state, slot, message, host->shared);
    ++done;
    host->failed = call.failed;
    if (call.failed != 0) host->fail_line = call.fail_line;
    if (call.errors != 0) {
      host->errors += call.errors;
      host->last_error = call.last_error;
      host->error_line = call.error_line;
    }
    if (host->failed != 0 || host->leave != 0 || host->errors != 0) return done;
  }
  return count;
}

// NAME: the exported rk_run; SPACE: the namespace of the program's handlers.
#define RK_SHIM_EXPORT(NAME, SPACE, TYPE_ID, SIZE)                                                                \
  extern "C" std::uint32_t NAME(const void*, rk_host_call* host, const std::uint8_t* first, std::uint64_t stride, \
                                std::uint32_t count) {                                                            \
    return rk_shim_run(                                                                                           \
        host, first, stride, count, TYPE_ID, SIZE, SPACE::RK_SHARED_SIZE,                                         \
        [](auto... a) { return SPACE::rk_dispatch(a...); }, SPACE::rk_writes_message);                            \
  }
