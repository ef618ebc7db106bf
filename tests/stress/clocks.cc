// Stamps from several threads on one clock, and readers of a clock that calibrates all the time.
#include <algorithm>
#include <thread>
#include <vector>

#include "ringkernel/runtime/clocks.h"
#include "stress.h"

namespace rk::stress {
namespace {

constexpr unsigned kThreads = 4;

template <class Work>
void on_all_threads(Work&& work) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back([&, i] { work(i); });
  for (auto& thread : threads) thread.join();
}

// Time that passes with every look at it: a second is over after 10,000 looks, however fast the machine is.
struct Looks {
  std::atomic<std::uint64_t>* count;

  static constexpr std::uint64_t kPerSecond = 10'000;

  static std::uint64_t wall_at(std::uint64_t looks) { return (std::uint64_t{1} << 40) + (looks << 32) / kPerSecond; }

  std::uint64_t counter() const { return count->fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t wall_ntp64() const { return wall_at(counter()); }
  double counter_hz() const { return kPerSecond; }
};

}  // namespace

// A stamp made twice counts as duplicated, one that is not larger than the thread's last as reordered.
Tally stamps(std::uint64_t count) {
  HostClock wall;
  Hlc hlc(wall, 1, std::uint64_t{60} << 32);
  std::vector<std::vector<std::uint64_t>> made(kThreads);
  on_all_threads([&](unsigned thread) {
    for (std::uint64_t i = thread; i < count; i += kThreads) {
      made[thread].push_back(hlc.tick().time);
      note_progress();
    }
  });

  Tally tally;
  std::vector<std::uint64_t> all;
  for (const auto& times : made) {
    for (std::size_t i = 1; i < times.size(); ++i) tally.reordered += times[i] <= times[i - 1];
    all.insert(all.end(), times.begin(), times.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 1; i < all.size(); ++i) tally.duplicated += all[i] == all[i - 1];
  return tally;
}

// A reading that mixes two calibrations is off by a second; a tenth is more than preemption makes of an honest one.
Tally clock_readings(std::uint64_t count) {
  std::atomic<std::uint64_t> looks{0};
  TscClock<HostAtomics, Looks> clock(Looks{&looks});
  std::vector<std::uint64_t> wrong(kThreads);
  on_all_threads([&](unsigned thread) {
    constexpr std::uint64_t kTolerance = (std::uint64_t{1} << 32) / 10;
    for (std::uint64_t i = thread; i < count; i += kThreads) {
      const std::uint64_t before = Looks::wall_at(looks.load(std::memory_order_relaxed));
      const std::uint64_t now = clock.now();
      const std::uint64_t after = Looks::wall_at(looks.load(std::memory_order_relaxed));
      wrong[thread] += now + kTolerance < before || now > after + kTolerance;
      note_progress();
    }
  });

  Tally tally;
  for (std::uint64_t n : wrong) tally.corrupt += n;
  return tally;
}

}  // namespace rk::stress
