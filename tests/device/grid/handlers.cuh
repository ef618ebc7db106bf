// Handlers by hand, in the form that the compiler prints: one of each kind of thing that a handler may ask for.
enum : u32 { RK_STATE_SIZE = 64u, RK_FRAME_SIZE = 0u, RK_SHARED_SIZE = 8u };

enum : u32 {
  kEcho = 1u,
  kTally = 2u,
  kFail = 3u,
  kSpin = 4u,
  kSend = 5u,
  kLong = 6u,
  kExit = 7u,
  kThreads = 8u,
  kPublish = 9u,
  kClock = 10u,
  kChange = 11u,
  kReport = 12u,
  kReply = 100u,
};
constexpr u32 kLongSize = 1000u;

struct Accepted {
  u32 type_id, size;
};
constexpr Accepted kAccepted[] = {{kEcho, 8u},    {kTally, 8u},       {kFail, 4u},   {kSpin, 4u},
                                  {kSend, 8u},    {kLong, kLongSize}, {kExit, 4u},   {kThreads, 4u},
                                  {kPublish, 4u}, {kClock, 8u},       {kChange, 8u}, {kReport, 4u}};

__device__ inline bool rk_writes_message(u32 type_id) { return type_id == kChange; }
__device__ inline bool rk_accepts(u32 type_id, u32 size) {
  for (const Accepted& one : kAccepted) {
    if (one.type_id == type_id && one.size == size) return true;
  }
  return false;
}

__device__ inline void tally(rk_call* call, u8* state, u8* message) {
  if (rk_thread_id(call) != 0) return;
  rk_store_u64(state, rk_load_u64(state) + rk_load_u64(message));
  u8 total[8];
  rk_store_u64(total, rk_load_u64(state));
  rk_device_reply(call, kReply + kTally, total, 8u);
}

// Each thread counts itself in shared memory, that was zeroed; threads 1 and 2 fail where the message says so.
__device__ inline void threads(rk_call* call, u8* state, u8* message, u8* shared) {
  rk_atomic_add_u32(shared, 1u);
  if (rk_load_u32(message) != 0u && (rk_thread_id(call) == 1u || rk_thread_id(call) == 2u)) {
    rk_fail(call, 0xFFFF0101u, 10u + rk_thread_id(call));
    return;
  }
  rk_sync_block(call);
  if (rk_thread_id(call) == 0u) rk_store_u32(state + 8, rk_load_u32(shared));
  rk_device_reply(call, kReply + kThreads, shared, 4u);
}

__device__ inline void stamps(rk_call* call, u8* message) {
  u8 out[24];
  rk_store_u64(out, rk_device_now(call));
  rk_store_u64(out + 8, rk_device_tick(call));
  rk_store_u64(out + 16, rk_device_update_clock(call, rk_load_u64(message)) ? 1u : 0u);
  rk_device_reply(call, kReply + kClock, out, 24u);
}

__device__ inline bool rk_dispatch(rk_call* call, u32 type_id, u8* state, const u8* header, u8* message, u8* shared) {
  u8 out[8];
  (void)header;
  switch (type_id) {
    case kEcho:
      rk_device_reply(call, kReply + kEcho, message, 8u);
      return true;
    case kTally:
      tally(call, state, message);
      return true;
    case kFail:
      rk_fail(call, 0xFFFF0101u, 7u);
      return true;
    case kSpin:
      while (!rk_cancelled(call)) {
      }
      rk_fail(call, RK_FAIL_CANCELLED, 9u);
      return true;
    case kSend:
      rk_device_send(call, rk_load_u32(message), kEcho, message, 8u, RK_ANY_INSTANCE, RK_DEFAULT_PRIORITY, 0.0);
      return true;
    case kLong:
      rk_device_reply(call, kReply + kLong, message, kLongSize);
      return true;
    case kExit:
      rk_device_request_termination(call);
      return true;
    case kThreads:
      threads(call, state, message, shared);
      return true;
    case kPublish:
      rk_store_u64(out, rk_device_publish(call, rk_load_u32(message), kEcho, message, 4u, 0u));
      if (call->failed == 0u) rk_device_reply(call, kReply + kPublish, out, 8u);
      return true;
    case kClock:
      stamps(call, message);
      return true;
    case kChange:
      if (rk_thread_id(call) == 0u) rk_store_u32(message, rk_load_u32(message) + 1u);
      rk_device_reply(call, kReply + kChange, message, 8u);
      return true;
    case kReport:
      rk_count_error(call, 77u + rk_thread_id(call), 3u);
      return true;
    default:
      return false;
  }
}
