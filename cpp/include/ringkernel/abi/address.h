// Where a message comes from and goes to: node, kernel, instance and generation in one 64-bit word.
#pragma once

#include "ringkernel/abi/types.h"

namespace rk {

// The host of a node is kernel 0. A generation tells a restarted kernel from the one that had its number before.
struct Address {
  u64 word;

  static constexpr u32 kNodeBits = 12, kKernelBits = 16, kInstanceBits = 20, kGenerationBits = 16;

  RK_HOST_DEVICE static constexpr Address make(u32 node, u32 kernel, u32 instance = 0, u32 generation = 0) {
    return Address{(static_cast<u64>(node & 0xFFFu) << 52) | (static_cast<u64>(kernel & 0xFFFFu) << 36) |
                   (static_cast<u64>(instance & 0xFFFFFu) << 16) | (generation & 0xFFFFu)};
  }
  RK_HOST_DEVICE constexpr u32 node() const { return static_cast<u32>(word >> 52); }
  RK_HOST_DEVICE constexpr u32 kernel() const { return static_cast<u32>(word >> 36) & 0xFFFFu; }
  RK_HOST_DEVICE constexpr u32 instance() const { return static_cast<u32>(word >> 16) & 0xFFFFFu; }
  // The shard of the sender's clock. Unique among the first 65536 instances of a kernel.
  RK_HOST_DEVICE constexpr u32 shard() const { return kernel() | ((instance() & 0xFFFFu) << 16); }
  RK_HOST_DEVICE constexpr u32 generation() const { return static_cast<u32>(word) & 0xFFFFu; }
};

static_assert(sizeof(Address) == 8, "an address is one word");

}  // namespace rk
