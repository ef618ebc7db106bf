// Waking a thread that sleeps, for information: the kernel's part is the same for everybody.
//
//   wake/1/<contender>            ns from the ring of the bell until the sleeper runs: median; p99, p99.9 as counters
//   nobody sleeps/1/<contender>   ns for a wake-up that finds nobody asleep
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>

#include "bells.h"
#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/host_atomics.h"
#include "support.h"

namespace rk::bench {
namespace {

constexpr Nanoseconds kUntilAsleep = 60'000;

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
Nanoseconds in_vain(benchmark::State&) {
  constexpr int kRings = 2000;
  Bell bell;
  const std::uint64_t start = ticks();
  for (int i = 0; i < kRings; ++i) bell.ring();
  return to_ns(ticks() - start) / kRings;
}

template <class Bell>
void add_wake_up(const std::string& name) {
  add_cell("wake/1/" + name, [](benchmark::State& state) { return wake_up<Bell>(state, kUntilAsleep); });
}

void add_cells() {
  add_wake_up<ByParking>("rk Parking");
  add_wake_up<ByConditionVariable>("std::condition_variable");
  add_wake_up<ByFutex>("futex");
  add_wake_up<ByEventfd>("eventfd");
  add_cell("nobody sleeps/1/rk Parking", in_vain<ByParking>);
  add_cell("nobody sleeps/1/std::condition_variable", in_vain<ByConditionVariable>);
  add_cell("nobody sleeps/1/futex", in_vain<ByFutex>);
  add_cell("nobody sleeps/1/eventfd", in_vain<ByEventfd>);
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
