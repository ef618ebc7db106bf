// Clocks for HlcClock: the machine's wall clock through its counter, and one that a test sets by hand.
#pragma once

#include <cstdint>

#include "ringkernel/core/hlc.h"
#include "ringkernel/core/tsc_clock.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk {

// CLOCK_REALTIME as NTP64.
std::uint64_t wall_ntp64();

// The time stamp counter where it is invariant; elsewhere CLOCK_MONOTONIC stands in.
struct HostCounter {
  double hz = 1e9;
  bool invariant_tsc = false;

  static HostCounter detect();

  std::uint64_t counter() const {
#if defined(__x86_64__)
    if (invariant_tsc) return __rdtsc();
#endif
    return HostAtomics::monotonic_ns();
  }
  std::uint64_t wall_ntp64() const { return rk::wall_ntp64(); }
  double counter_hz() const { return hz; }
};

// What the runtime's clock reads: the host's time, or a manual one.
class HostClock {
 public:
  HostClock() : tsc_(HostCounter::detect()) {}

  std::uint64_t now() {
    const std::uint64_t manual = manual_.load_relaxed();  // S a test sets it before it reads
    return manual != 0 ? manual : tsc_.now();
  }

  // 0 goes back to the host's time.
  void set_manual(std::uint64_t ntp64) { manual_.store_relaxed(ntp64); }  // S

 private:
  TscClock<HostAtomics, HostCounter> tsc_;
  HostAtomics::Atomic<std::uint64_t> manual_{0};
};

using Hlc = HlcClock<HostAtomics, HostClock>;
using HlcHostShard = HlcShard<HostAtomics, HostClock>;

}  // namespace rk
