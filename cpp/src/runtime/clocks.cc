#include "ringkernel/runtime/clocks.h"

#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace rk {
namespace {

// CPUID 0x80000007 EDX bit 8: the counter runs at one rate in all power states (Intel SDM 18.17.1, AMD APM 3).
bool has_invariant_tsc() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
#else
  return false;
#endif
}

// A few milliseconds against CLOCK_MONOTONIC are good to about 10 ppm; the clock's own calibration does the rest.
double measure_tsc_hz() {
#if defined(__x86_64__)
  const std::uint64_t start_ns = HostAtomics::monotonic_ns();
  const std::uint64_t start = __rdtsc();
  std::uint64_t now_ns = start_ns;
  while (now_ns - start_ns < 2'000'000) now_ns = HostAtomics::monotonic_ns();
  return static_cast<double>(__rdtsc() - start) * 1e9 / static_cast<double>(now_ns - start_ns);
#else
  return 1e9;
#endif
}

}  // namespace

std::uint64_t wall_ntp64() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return (static_cast<std::uint64_t>(now.tv_sec) << 32) |
         ((static_cast<std::uint64_t>(now.tv_nsec) << 32) / 1'000'000'000);
}

HostCounter HostCounter::detect() {
  static const HostCounter found = [] {
    HostCounter counter;
    counter.invariant_tsc = has_invariant_tsc();
    if (counter.invariant_tsc) counter.hz = measure_tsc_hz();
    return counter;
  }();
  return found;
}

}  // namespace rk
