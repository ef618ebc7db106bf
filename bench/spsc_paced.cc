// 20 million messages of 64 bytes a second: one-way latency at a rate that a ring should sustain.
//
// Latency counts from the moment when a message was due, so a producer that is held up is not excused. The percentiles
// are those of windows of one millisecond, and the median window is reported: whole windows in which the machine did
// something else would otherwise be everybody's tail. A `rate` below `rate_wanted` says that the ring did not sustain
// the load; its latency is then that of a queue that grows.
//
//   paced 20M/64/<contender>    median in ns; p99, p99.9 and rate (million/s) as counters
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spsc_queues.h"
#include "support.h"

namespace rk::bench {
namespace {

using T = Message<64>;
constexpr Nanoseconds kIntervalNs = 50;
constexpr std::uint64_t kWindow = 20'000;  // messages

template <class Queue>
void produce(Queue& queue, std::uint64_t messages, Spin spin) {
  Feed<T> feed;
  const std::uint64_t start = ticks() + to_ticks(20'000);
  const auto due = [&](std::uint64_t n) { return start + to_ticks(kIntervalNs * static_cast<double>(n)); };
  for (std::uint64_t n = 0; n < messages; ++n) {
    feed.set_second_word(due(n + Feed<T>::kAhead));
    const T& message = feed.next();
    for (const std::uint64_t then = due(n); ticks() < then;) continue;
    push(queue, message, spin);
  }
}

Nanoseconds median(std::vector<Nanoseconds> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Nanoseconds report_windows(benchmark::State& state, const std::vector<std::uint32_t>& samples) {
  std::vector<Nanoseconds> p50, p99, p999;
  for (std::size_t at = 0; at + kWindow <= samples.size(); at += kWindow) {
    const auto first = samples.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<std::uint32_t> window(first, first + kWindow);
    std::sort(window.begin(), window.end());
    p50.push_back(percentile(window, 0.5));
    p99.push_back(percentile(window, 0.99));
    p999.push_back(percentile(window, 0.999));
  }
  state.counters["p99"] = median(p99);
  state.counters["p99.9"] = median(p999);
  return median(p50);
}

template <class Queue>
Nanoseconds paced(benchmark::State& state, Spin spin) {
  const auto windows = std::max<std::uint64_t>(5, static_cast<std::uint64_t>(2 * cell_ns() * 1e-6));
  const std::uint64_t messages = (windows + 1) * kWindow;  // the first window is not counted
  const auto queue = std::make_unique<Queue>();
  std::vector<std::uint32_t> latencies(messages);
  partner().start([&, messages] { produce(*queue, messages, spin); });
  std::uint64_t seen = 0, wrong = 0, now = 0;
  const auto take = [&](const T& message) {
    now = ticks();
    wrong |= message.position() ^ seen;
    latencies[seen++] = static_cast<std::uint32_t>(now - std::min(now, message.word[1]));
  };
  while (seen < kWindow) consume(*queue, take, spin);
  const CpuWatch watch;
  while (seen < messages) consume(*queue, take, spin);
  const CpuUse used = watch.use();
  partner().join();
  report_cpu(state, used);
  report_cpu(state, partner().use());
  if (wrong != 0) state.SkipWithError("messages lost, repeated, changed or out of order");
  latencies.erase(latencies.begin(), latencies.begin() + kWindow);
  state.counters["rate"] = 1e3 * static_cast<double>(latencies.size()) / used.elapsed();
  state.counters["rate_wanted"] = 1e3 / kIntervalNs;
  return report_windows(state, latencies);
}

void add_cells() {
  const auto add = [&]<class Queue>(Spin spin) {
    add_cell("paced 20M/64/" + name_of<Queue>(spin),
             [spin](benchmark::State& state) { return paced<Queue>(state, spin); });
  };
  add.operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kBare);
  add.operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kPause);
  add.operator()<RkSpsc<T, kLayoutPacked, Wait::kBalanced>>(Spin::kBare);
  add.operator()<RkSpsc<T, kLayoutPacked, Wait::kLatency>>(Spin::kBare);
  for_each_spsc_peer<T>(add);
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
