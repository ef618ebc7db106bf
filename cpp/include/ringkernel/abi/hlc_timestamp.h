// A hybrid logical clock stamp: time in NTP64 (32.32 seconds since 1970, the form of Zenoh's uhlc) and who made it.
#pragma once

#include "ringkernel/abi/freeze.h"

namespace rk {

// The low bits of `time` count events within one physical reading; they carry into time and never wrap.
constexpr u32 kHlcLogicalBits = 4;

// Total order: time, then node_id, then shard_id. `shard_id` is 0 for the clock itself, else the id of one of its shards.
#define RK_HLC_TIMESTAMP_FIELDS(F) \
  F(HlcTimestamp, u64, time, 0)    \
  F(HlcTimestamp, u32, node_id, 8) \
  F(HlcTimestamp, u32, shard_id, 12)

RK_DEFINE_ABI_STRUCT(HlcTimestamp, 16, RK_HLC_TIMESTAMP_FIELDS)

}  // namespace rk
