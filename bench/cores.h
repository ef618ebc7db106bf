// Two pinned cores: the main thread is on the second, its partner on the first. RK_BENCH_FIFO=1 asks for real-time
// priority, which keeps everybody else away.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "clock.h"

namespace rk::bench {

inline bool real_time() {
  static const char* asked = std::getenv("RK_BENCH_FIFO");
  return asked != nullptr && asked[0] == '1';
}

enum Core : int { kFirstCore = 0, kSecondCore = 1 };

// The first two cores that we may use; -1 for both when there is only one.
inline int core_number(Core core) {
  static const auto found = [] {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<int> cores;
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &allowed)) cores.push_back(i);
    }
    return cores.size() < 2 ? std::pair{-1, -1} : std::pair{cores[0], cores[1]};
  }();
  return core == kFirstCore ? found.first : found.second;
}

inline void settle_on(Core core) {
  if (core_number(core) < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core_number(core), &set);
  sched_setaffinity(0, sizeof set, &set);
  const sched_param priority{1};
  if (real_time() && sched_setscheduler(0, SCHED_FIFO, &priority) != 0) std::perror("RK_BENCH_FIFO");
}

// How long a thread, or several in turn, had a core.
struct CpuUse {
  std::uint64_t begin = 0, end = 0;
  Nanoseconds cpu = 0;

  Nanoseconds elapsed() const { return to_ns(end - begin); }
  double share() const { return cpu / elapsed(); }

  CpuUse& operator+=(const CpuUse& other) {
    *this = CpuUse{std::min(begin, other.begin), std::max(end, other.end), cpu + other.cpu};
    return *this;
  }
};

class CpuWatch {
 public:
  CpuUse use() const { return CpuUse{begin_, ticks(), cpu_ns() - cpu_at_begin_}; }

 private:
  static Nanoseconds cpu_ns() {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) * 1e9 + static_cast<double>(used.tv_nsec);
  }

  Nanoseconds cpu_at_begin_ = cpu_ns();
  std::uint64_t begin_ = ticks();
};

// A thread on one core that sleeps between jobs.
class Worker {
 public:
  // Returns when the thread is on its core: with real-time priority it might wait for us for ever.
  explicit Worker(Core core) : thread_([this, core] { work(core); }) { join(); }
  ~Worker() {
    start(nullptr);
    thread_.join();
  }

  void start(std::function<void()> job) {
    job_ = std::move(job);
    busy_.store(true, std::memory_order_release);
    busy_.notify_one();
  }

  void join() const { busy_.wait(true, std::memory_order_acquire); }

  // Of the last job.
  const CpuUse& use() const { return use_; }

 private:
  void work(Core core) {
    settle_on(core);
    for (;;) {
      busy_.store(false, std::memory_order_release);
      busy_.notify_one();
      busy_.wait(false, std::memory_order_acquire);
      if (!job_) return;
      const CpuWatch watch;
      job_();
      use_ = watch.use();
    }
  }

  std::function<void()> job_;
  CpuUse use_;
  std::atomic<bool> busy_{true};
  std::thread thread_;
};

// The thread on the first core; the main thread is on the second.
inline Worker& partner() {
  static Worker worker(kFirstCore);
  return worker;
}

// Both sides leave together.
class StartLine {
 public:
  void wait() {
    here_.fetch_add(1, std::memory_order_acq_rel);
    while (here_.load(std::memory_order_acquire) < 2) continue;
  }

 private:
  std::atomic<int> here_{0};
};

}  // namespace rk::bench
