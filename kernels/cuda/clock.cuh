// The hybrid logical clock of an instance: the word of its shard, as HlcShard in core/hlc.h has it.
//
// Protection: Block::clock: atomic (H1), by any thread of the block. offset: the first thread's, from GridBlock (H2).
#pragma once

#include "kernels/cuda/block.cuh"

namespace rk {
namespace device {

constexpr u64 kHlcMask = (u64{1} << kHlcLogicalBits) - 1;
constexpr u64 kHlcEnd = ~u64{0} - (u64{1} << 36);
constexpr u64 kSecond = 1000000000;

RK_COLD u64 ntp64_of(u64 ns) { return (ns / kSecond) << 32 | ((ns % kSecond) << 32) / kSecond; }
RK_COLD u64 ns_of(u64 ntp64) { return (ntp64 >> 32) * kSecond + (((ntp64 & 0xFFFFFFFFu) * kSecond) >> 32); }

RK_OP u64 wall_clock(const Block& block) { return ntp64_of(rk_globaltimer()) + block.offset; }
RK_OP u64 larger(u64 a, u64 b) { return a > b ? a : b; }

RK_OP u64 clock_now(Block& block) {
  const u64 last = rk_ld_relaxed_cta(&block.clock);  // H1: own threads only; its value is all that counts
  return larger(wall_clock(block) & ~kHlcMask, last);
}

// Larger than every stamp that this instance has made or merged.
RK_COLD u64 clock_tick(Block& block) {
  const u64 physical = wall_clock(block) & ~kHlcMask;
  u64 last = rk_ld_relaxed_cta(&block.clock);  // H1: as above
  for (;;) {
    const u64 first = larger(physical, last + 1);
    const u64 found = rk_cas_relaxed_cta(&block.clock, last, first);  // H1: unique among the threads of the block
    if (found == last) return first;
    last = found;
  }
}

RK_OP void clock_merge(Block& block, u64 time) {
  rk_max_relaxed_cta(&block.clock, time);  // H1: later ticks are larger
}

// False: refused, too far ahead of the wall clock.
RK_OP bool clock_update(Block& block, u64 time) {
  if (time <= rk_ld_relaxed_cta(&block.clock)) return true;  // H1: not ahead, nothing to do
  const u64 physical = wall_clock(block) & ~kHlcMask;
  if (time > kHlcEnd || (time > physical && time - physical > block.max_drift)) return false;
  clock_merge(block, time);
  return true;
}

}  // namespace device
}  // namespace rk
