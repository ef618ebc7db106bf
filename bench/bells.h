// Waking a sleeper, and the bare futex.
//
// A bell is one direction: ring() makes the sleeper of wait() go on; every ring is waited for once.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "support.h"

namespace rk::bench {

constexpr std::uint32_t kWakeUps = 200;

class ByFutex {
 public:
  void ring() {
    word_.store(1, std::memory_order_release);
    syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  void wait() {
    while (word_.exchange(0, std::memory_order_acquire) == 0) {
      syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }
  }

 private:
  std::atomic<std::uint32_t> word_{0};
};

// The median from ring() until the sleeper, awake, writes its ticks() to `awake`. `rest` is long enough for it to
// sleep.
template <class Ring>
Nanoseconds sample_wake_ups(benchmark::State& state, Nanoseconds rest, std::atomic<std::uint64_t>& awake, Ring&& ring) {
  std::vector<std::uint32_t> samples(kWakeUps);
  for (auto& sample : samples) {
    const std::uint64_t start = ticks();
    while (ticks() - start < to_ticks(rest)) continue;
    awake.store(0, std::memory_order_relaxed);
    const std::uint64_t rung = ticks();
    ring();
    std::uint64_t then = 0;
    while ((then = awake.load(std::memory_order_acquire)) == 0) continue;
    sample = static_cast<std::uint32_t>(then - std::min(then, rung));
  }
  return report_percentiles(state, samples);
}

// The partner sleeps.
template <class Bell>
Nanoseconds wake_up(benchmark::State& state, Nanoseconds rest) {
  Bell bell;
  std::atomic<std::uint64_t> awake{0};
  partner().start([&] {
    for (std::uint32_t i = 0; i < kWakeUps; ++i) {
      bell.wait();
      awake.store(ticks(), std::memory_order_release);
    }
  });
  const Nanoseconds median = sample_wake_ups(state, rest, awake, [&bell] { bell.ring(); });
  partner().join();
  return median;
}

}  // namespace rk::bench
