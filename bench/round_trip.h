// There and back again: one message at a time, each trip timed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "messages.h"
#include "support.h"
#include "wait_loops.h"

namespace rk::bench {

constexpr std::uint64_t kTrips = 10'000;

// The median. `trip(message, take)` sends a message and has take(echo) called.
template <class T, class Trip>
Nanoseconds sample_trips(benchmark::State& state, Trip&& trip) {
  Feed<T> feed;
  Check<T> check;
  const auto take = [&check](const T& message) { check.see(message); };
  for (std::uint64_t i = 0; i < kWarmUp; ++i) trip(feed.next(), take);
  std::vector<std::uint32_t> samples(kTrips);
  const CpuWatch watch;
  std::uint64_t before = ticks();
  for (auto& sample : samples) {
    trip(feed.next(), take);
    const std::uint64_t now = ticks();
    sample = static_cast<std::uint32_t>(now - before);
    before = now;
  }
  report_cpu(state, watch.use());
  report(state, check);
  return report_percentiles(state, samples);
}

// Over two queues; the partner answers.
template <class T, class Queue>
Nanoseconds round_trip(benchmark::State& state, Spin spin) {
  const auto there = std::make_unique<Queue>(), back = std::make_unique<Queue>();
  partner().start([&] {
    const auto echo = [&](const T& message) { push(*back, message, spin); };
    for (std::uint64_t i = 0; i < kTrips + kWarmUp; ++i) consume(*there, echo, spin);
  });
  const Nanoseconds median = sample_trips<T>(state, [&](const T& message, const auto& take) {
    push(*there, message, spin);
    consume(*back, take, spin);
  });
  partner().join();
  report_cpu(state, partner().use());
  return median;
}

}  // namespace rk::bench
