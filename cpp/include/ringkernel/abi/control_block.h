// What host and device tell each other about one kernel: 128 bytes in two 64-byte lines with one writer each.
//
// Protection: host line (0-63) is written by the host only, device line (64-127) by the device only, each word through
// an atomic access of its own. Nobody rewrites a line as a whole, nobody does a read-modify-write on the other's line.
#pragma once

#include "ringkernel/abi/freeze.h"

namespace rk {

constexpr u32 kControlMagic = 0x4C434B52;  // "RKCL"

// ControlBlock::state, TelemetryBlock: the lifecycle as the device sees it.
enum : u32 {
  kDeviceNotStarted = 0,
  kDeviceActive = 1,
  kDevicePaused = 2,
  kDeviceDraining = 3,
  kDeviceTerminated = 4,
  kDeviceFailed = 5,
};

// Host line: is_active and should_terminate are requests, `epoch` counts them; the device answers with epoch_seen.
// Device line: `heartbeat` moves while the resident loop turns; `last_error` is 0 for none.
#define RK_CONTROL_BLOCK_FIELDS(F)                 \
  F(ControlBlock, u32, magic, 0)                   \
  F(ControlBlock, u32, abi_version, 4)             \
  F(ControlBlock, u64, kernel_id, 8)               \
  F(ControlBlock, u32, is_active, 16)              \
  F(ControlBlock, u32, should_terminate, 20)       \
  F(ControlBlock, u64, epoch, 24)                  \
  F(ControlBlock, u64, lease_deadline, 32)         \
  F(ControlBlock, u64, inbox, 40)                  \
  F(ControlBlock, u64, outbox, 48)                 \
  F(ControlBlock, u64, host_reserved, 56)          \
  F(ControlBlock, u32, has_terminated, 64)         \
  F(ControlBlock, u32, state, 68)                  \
  F(ControlBlock, u64, heartbeat, 72)              \
  F(ControlBlock, u64, messages_processed, 80)     \
  F(ControlBlock, u64, messages_in_flight, 88)     \
  F(ControlBlock, u32, error_count, 96)            \
  F(ControlBlock, u32, last_error, 100)            \
  F(ControlBlock, u64, hlc_state, 104)             \
  F(ControlBlock, u64, epoch_seen, 112)            \
  F(ControlBlock, u64, device_reserved, 120)

RK_DEFINE_ABI_STRUCT(ControlBlock, 128, RK_CONTROL_BLOCK_FIELDS)

}  // namespace rk
