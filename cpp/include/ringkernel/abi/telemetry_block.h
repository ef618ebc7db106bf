// Counters of one kernel, 64 bytes, written by the device alone and readable at any time.
#pragma once

#include "ringkernel/abi/freeze.h"

namespace rk {

// Latencies are nanoseconds spent inside the handler; min_latency_ns starts at 2^64 - 1.
#define RK_TELEMETRY_BLOCK_FIELDS(F)            \
  F(TelemetryBlock, u64, messages_processed, 0) \
  F(TelemetryBlock, u64, messages_dropped, 8)   \
  F(TelemetryBlock, u64, total_latency_ns, 16)  \
  F(TelemetryBlock, u64, min_latency_ns, 24)    \
  F(TelemetryBlock, u64, max_latency_ns, 32)    \
  F(TelemetryBlock, u32, inbox_depth, 40)       \
  F(TelemetryBlock, u32, outbox_depth, 44)      \
  F(TelemetryBlock, u32, last_error, 48)        \
  F(TelemetryBlock, u32, reserved0, 52)         \
  F(TelemetryBlock, u64, reserved1, 56)

RK_DEFINE_ABI_STRUCT(TelemetryBlock, 64, RK_TELEMETRY_BLOCK_FIELDS)

}  // namespace rk
