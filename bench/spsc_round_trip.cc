// Ping-pong of 56 bytes over two rings, against one line that both sides write in turn.
//
//   round trip/56/<contender>    median in ns; p99 and p99.9 as counters
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spsc_queues.h"
#include "support.h"

namespace rk::bench {
namespace {

constexpr std::uint64_t kTrips = 10'000;

template <class T, class Queue>
Nanoseconds round_trip(benchmark::State& state, Spin spin) {
  const auto there = std::make_unique<Queue>(), back = std::make_unique<Queue>();
  partner().start([&] {
    const auto echo = [&](const T& message) { push(*back, message, spin); };
    for (std::uint64_t i = 0; i < kTrips + kWarmUp; ++i) consume(*there, echo, spin);
  });
  Feed<T> feed;
  Check<T> check;
  const auto take = [&check](const T& message) { check.see(message); };
  const auto trip = [&] {
    push(*there, feed.next(), spin);
    consume(*back, take, spin);
  };
  for (std::uint64_t i = 0; i < kWarmUp; ++i) trip();
  std::vector<std::uint32_t> samples(kTrips);
  const CpuWatch watch;
  std::uint64_t before = ticks();
  for (auto& sample : samples) {
    trip();
    const std::uint64_t now = ticks();
    sample = static_cast<std::uint32_t>(now - before);
    before = now;
  }
  const CpuUse used = watch.use();
  partner().join();
  report_cpu(state, used);
  report_cpu(state, partner().use());
  report(state, check);
  return report_percentiles(state, samples);
}

template <std::size_t Bytes>
void add_cells_of() {
  using T = Message<Bytes>;
  const auto add = [&]<class Queue>(Spin spin) {
    add_cell("round trip/" + std::to_string(Bytes) + "/" + name_of<Queue>(spin),
             [spin](benchmark::State& state) { return round_trip<T, Queue>(state, spin); });
  };
  add.template operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kBare);
  add.template operator()<RkSpsc<T, kLayoutTurn, Wait::kLatency>>(Spin::kPause);
  add.template operator()<RkSpsc<T, kLayoutPacked, Wait::kLatency>>(Spin::kBare);
  for_each_spsc_peer<T>(add);
}

void add_cells() {
  add_cells_of<56>();
  add_cells_of<256>();
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
