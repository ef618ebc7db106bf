// Waking a thread that sleeps, for information: the kernel's part is the same for everybody.
//
//   wake/1/<contender>            ns from the ring of the bell until the sleeper runs: median; p99, p99.9 as counters
//   nobody sleeps/1/<contender>   ns for a wake-up that finds nobody asleep
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/host_atomics.h"
#include "support.h"

namespace rk::bench {
namespace {

constexpr std::uint32_t kTrips = 200;

// Each is one direction: ring() makes the sleeper of wait() go on; every ring is waited for once.
class ByParking {
 public:
  void ring() {
    rung_.store_release(rung_.load_relaxed() + 1);
    parking_.wake();
  }
  void wait() {
    ++seen_;
    parking_.wait([this] { return rung_.load_acquire() >= seen_; }, kNoDeadline, 0);
  }

 private:
  HostAtomics::Atomic<std::uint32_t> rung_{0};
  alignas(128) Parking<HostAtomics> parking_;
  std::uint32_t seen_ = 0;
};

class ByConditionVariable {
 public:
  void ring() {
    {
      const std::lock_guard hold(mutex_);
      rung_ = true;
    }
    condition_.notify_one();
  }
  void wait() {
    std::unique_lock hold(mutex_);
    condition_.wait(hold, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

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

class ByEventfd {
 public:
  ByEventfd() : fd_(eventfd(0, EFD_CLOEXEC)) {}
  ~ByEventfd() { close(fd_); }
  ByEventfd(const ByEventfd&) = delete;
  ByEventfd& operator=(const ByEventfd&) = delete;
  void ring() {
    const std::uint64_t one = 1;
    if (write(fd_, &one, sizeof one) != sizeof one) std::abort();
  }
  void wait() {
    std::uint64_t count = 0;
    if (read(fd_, &count, sizeof count) != sizeof count) std::abort();
  }

 private:
  int fd_;
};

template <class Bell>
Nanoseconds wake_up(benchmark::State& state) {
  constexpr Nanoseconds kUntilAsleep = 60'000;
  Bell bell;
  std::atomic<std::uint64_t> awake{0};
  partner().start([&] {
    for (std::uint32_t i = 0; i < kTrips; ++i) {
      bell.wait();
      awake.store(ticks(), std::memory_order_release);
    }
  });
  std::vector<std::uint32_t> samples(kTrips);
  for (auto& sample : samples) {
    const std::uint64_t rest = ticks();
    while (ticks() - rest < to_ticks(kUntilAsleep)) continue;
    awake.store(0, std::memory_order_relaxed);
    const std::uint64_t rung = ticks();
    bell.ring();
    std::uint64_t then = 0;
    while ((then = awake.load(std::memory_order_acquire)) == 0) continue;
    sample = static_cast<std::uint32_t>(then - std::min(then, rung));
  }
  partner().join();
  return report_percentiles(state, samples);
}

template <class Bell>
Nanoseconds in_vain(benchmark::State&) {
  constexpr int kRings = 2000;
  Bell bell;
  const std::uint64_t start = ticks();
  for (int i = 0; i < kRings; ++i) bell.ring();
  return to_ns(ticks() - start) / kRings;
}

void add_cells() {
  add_cell("wake/1/rk Parking", wake_up<ByParking>);
  add_cell("wake/1/std::condition_variable", wake_up<ByConditionVariable>);
  add_cell("wake/1/futex", wake_up<ByFutex>);
  add_cell("wake/1/eventfd", wake_up<ByEventfd>);
  add_cell("nobody sleeps/1/rk Parking", in_vain<ByParking>);
  add_cell("nobody sleeps/1/std::condition_variable", in_vain<ByConditionVariable>);
  add_cell("nobody sleeps/1/futex", in_vain<ByFutex>);
  add_cell("nobody sleeps/1/eventfd", in_vain<ByEventfd>);
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
