// The clock of the benchmarks, and percentiles of what it measures.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace rk::bench {

using Nanoseconds = double;

inline std::uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

inline double ticks_per_ns() {
  static const double rate = [] {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const std::uint64_t start_ticks = ticks();
    while (Clock::now() - start < std::chrono::milliseconds(20)) continue;
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - start;
    return static_cast<double>(ticks() - start_ticks) / elapsed.count();
  }();
  return rate;
}

inline Nanoseconds to_ns(std::uint64_t elapsed) { return static_cast<double>(elapsed) / ticks_per_ns(); }
inline std::uint64_t to_ticks(Nanoseconds ns) { return static_cast<std::uint64_t>(ns * ticks_per_ns()); }

// The smallest step of the counter: 10 ns on some machines.
inline double tick_step() {
  static const std::uint64_t found = [] {
    std::uint64_t least = ~std::uint64_t{0};
    for (std::uint64_t i = 0, before = ticks(); i < 10'000; ++i) {
      const std::uint64_t now = ticks();
      if (now != before) least = std::min(least, now - before);
      before = now;
    }
    return least;
  }();
  return static_cast<double>(found);
}

// The value below which `share` of the samples lie. Equal samples are taken as spread over one step of the counter.
inline Nanoseconds percentile(const std::vector<std::uint32_t>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size());
  const std::uint32_t value = sorted[std::min(static_cast<std::size_t>(rank), sorted.size() - 1)];
  const auto [first, end] = std::equal_range(sorted.begin(), sorted.end(), value);
  const double within = (rank - static_cast<double>(first - sorted.begin())) / static_cast<double>(end - first);
  return (value + (within - 0.5) * tick_step()) / ticks_per_ns();
}

}  // namespace rk::bench
