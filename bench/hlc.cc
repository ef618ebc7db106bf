// The hybrid logical clock against what it is made of (the clock's own read, clock_gettime) and against the usual
// shape: a mutex around the last stamp.
//
//   tick/<threads>/<contender>     ns per stamp, of all threads together
//   merge/<threads>/<contender>    the same, for a received stamp that is not ahead
//   clock/1/<contender>            ns per read
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>

#include "ringkernel/runtime/clocks.h"
#include "support.h"

namespace rk::bench {
namespace {

constexpr std::uint64_t kCalls = 20'000;
constexpr std::uint64_t kMaxDrift = std::uint64_t{1} << 31;  // half a second

template <class Call>
void repeat(Call& call) {
  for (std::uint64_t i = 0; i < kCalls; ++i) benchmark::DoNotOptimize(call());
}

template <class Call>
Nanoseconds alone(benchmark::State& state, Call call) {
  repeat(call);
  const CpuWatch watch;
  repeat(call);
  const CpuUse used = watch.use();
  report_cpu(state, used);
  return used.elapsed() / kCalls;
}

// Two threads, each with a call of its own.
template <class Call>
Nanoseconds together(benchmark::State& state, Call first, Call second) {
  StartLine line;
  const auto run = [&line](Call& call) {
    line.wait();
    const CpuWatch watch;
    repeat(call);
    return watch.use();
  };
  CpuUse theirs;
  partner().start([&] { theirs = run(first); });
  CpuUse used = run(second);
  partner().join();
  report_cpu(state, used);
  report_cpu(state, theirs);
  return (used += theirs).elapsed() / (2 * kCalls);
}

// std::mutex and clock_gettime; the shape of uhlc and of CockroachDB's clock.
class MutexClock {
 public:
  std::uint64_t tick() {
    const std::uint64_t now = wall_ntp64();
    const std::lock_guard hold(mutex_);
    return last_ = std::max(now & ~kHlcLogicalMask, last_ + 1);
  }

  // Reads the clock first to refuse a stamp that is too far ahead, as they do.
  std::uint64_t update(std::uint64_t remote) {
    const std::uint64_t now = wall_ntp64();
    const std::lock_guard hold(mutex_);
    if (remote > now && remote - now > kMaxDrift) return 0;
    return last_ = std::max({now & ~kHlcLogicalMask, last_ + 1, remote + 1});
  }

 private:
  std::mutex mutex_;
  std::uint64_t last_ = 0;
};

HostClock& host_clock() {
  static HostClock clock;
  return clock;
}

void add_shared() {
  static Hlc hlc(host_clock(), 1, kMaxDrift);
  const auto tick = [] { return hlc.tick().time; };
  add_cell("tick/1/rk shared", [=](auto& state) { return alone(state, tick); });
  add_cell("tick/2/rk shared", [=](auto& state) { return together(state, tick, tick); });
  const auto merge = [] { return hlc.update(1); };
  add_cell("merge/1/rk shared", [=](auto& state) { return alone(state, merge); });
  add_cell("merge/2/rk shared", [=](auto& state) { return together(state, merge, merge); });
}

void add_sharded() {
  static Hlc hlc(host_clock(), 1, kMaxDrift);
  static HlcHostShard shards[2] = {hlc.shard(), hlc.shard()};
  struct Tick {
    HlcHostShard* shard;
    std::uint64_t operator()() const { return shard->tick().time; }
  };
  struct Merge {
    HlcHostShard* shard;
    HlcUpdate operator()() const { return shard->update(1); }
  };
  add_cell("tick/1/rk sharded", [](auto& state) { return alone(state, Tick{&shards[0]}); });
  add_cell("tick/2/rk sharded", [](auto& state) { return together(state, Tick{&shards[0]}, Tick{&shards[1]}); });
  add_cell("merge/1/rk sharded", [](auto& state) { return alone(state, Merge{&shards[0]}); });
  add_cell("merge/2/rk sharded", [](auto& state) { return together(state, Merge{&shards[0]}, Merge{&shards[1]}); });
}

void add_mutex() {
  static MutexClock clock;
  const auto tick = [] { return clock.tick(); };
  add_cell("tick/1/mutex clock", [=](auto& state) { return alone(state, tick); });
  add_cell("tick/2/mutex clock", [=](auto& state) { return together(state, tick, tick); });
  const auto merge = [] { return clock.update(1); };
  add_cell("merge/1/mutex clock", [=](auto& state) { return alone(state, merge); });
  add_cell("merge/2/mutex clock", [=](auto& state) { return together(state, merge, merge); });
}

void add_cells() {
  add_shared();
  add_sharded();
  add_mutex();
  add_cell("clock/1/rk HostClock", [](auto& state) { return alone(state, [] { return host_clock().now(); }); });
  add_cell("clock/1/clock_gettime", [](auto& state) {
    return alone(state, [] {
      timespec now{};
      clock_gettime(CLOCK_REALTIME, &now);
      return now.tv_nsec;
    });
  });
  add_cell("clock/1/counter", [](auto& state) { return alone(state, ticks); });
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
