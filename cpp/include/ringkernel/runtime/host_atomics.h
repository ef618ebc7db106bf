// The atomics policy of a host process: std::atomic, and sleep and wake through the operating system.
#pragma once

#include <cstdint>

#include "ringkernel/core/atomics.h"

namespace rk {

struct HostAtomics : StdAtomics {
  // Where the kernel can make all our threads pass a barrier (Linux membarrier), the light side is a compiler barrier.
  static void fence_light() {
    if (asymmetric_fences()) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      StdAtomics::fence_light();
    }
  }
  static void fence_heavy();

  static std::uint64_t monotonic_ns();

  // Sleeps while `word` is `expected`, at most `timeout_ns` (kNoDeadline: for ever). May return early.
  static void park(const Atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns);
  static void unpark(const Atomic<std::uint32_t>& word);

 private:
  static bool asymmetric_fences() { return asymmetric_; }
  static const bool asymmetric_;
};

}  // namespace rk
