// What actors do in the scenarios that compare them, whoever runs them: the balls and messages, and the clock.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "messages.h"
#include "support.h"

namespace rk::bench {

using Load = Message<64>;

constexpr std::uint64_t kBurst = 256;  // messages that a source sends before it lets others run
constexpr std::uint64_t kGameTrips = 10'000;

// Threads that are started meanwhile may run on the first core, or on both: they inherit it from the one that starts
// them, which is otherwise pinned to the second.
class Placement {
 public:
  explicit Placement(bool on_both) {
    if (core_number(kFirstCore) < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core_number(kFirstCore), &set);
    if (on_both) CPU_SET(core_number(kSecondCore), &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  ~Placement() { settle_on(kSecondCore); }
  Placement(const Placement&) = delete;
  Placement& operator=(const Placement&) = delete;
};

// The host sleeps until it is over: both cores belong to the actors.
class Finish {
 public:
  void reach() {
    over_.store(true, std::memory_order_release);
    over_.notify_one();
  }
  void wait() {
    over_.wait(false, std::memory_order_acquire);
    over_.store(false, std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> over_{false};
};

// Ping-pong as the actor that serves sees it.
class Game {
 public:
  const Load& serve() { return feed_.next(); }

  // False when it was the last ball.
  bool returned(const Load& ball) {
    const std::uint64_t now = ticks();
    check_.see(ball);
    if (trips_ >= kWarmUp) samples_[trips_ - kWarmUp] = static_cast<std::uint32_t>(now - before_);
    before_ = now;
    if (++trips_ < kWarmUp + kGameTrips) return true;
    finish_.reach();
    return false;
  }

  Nanoseconds wait(benchmark::State& state) {
    finish_.wait();
    report(state, check_);
    return report_percentiles(state, samples_);
  }

 private:
  Feed<Load> feed_;
  Check<Load> check_;
  std::vector<std::uint32_t> samples_ = std::vector<std::uint32_t>(kGameTrips);
  std::uint64_t trips_ = 0;
  std::uint64_t before_ = 0;
  Finish finish_;
};

// A stream of messages from one source, in portions. What did not fit is offered again.
class Source {
 public:
  explicit Source(std::uint64_t stream) : feed_(stream), next_(&feed_.next()) {}

  void add(std::uint64_t count) { left_ += count; }
  std::uint64_t left() const { return left_; }
  const Load& next() const { return *next_; }
  void sent() {
    --left_;
    next_ = &feed_.next();
  }

 private:
  Feed<Load> feed_;
  const Load* next_;
  std::uint64_t left_ = 0;
};

// Many sources, one sink: from when the first source gets to work until the sink has seen everything.
class FanIn {
 public:
  static constexpr std::uint64_t kMessages = 1 << 17, kFirst = 1 << 14;  // measured; and to warm up

  explicit FanIn(std::uint64_t sources) {
    for (std::uint64_t i = 0; i < sources; ++i) checks_.emplace_back(i);
  }

  std::uint64_t sources() const { return checks_.size(); }

  void begin() {
    std::uint64_t none = 0;
    if (begin_.load(std::memory_order_relaxed) == 0)
      begin_.compare_exchange_strong(none, ticks(), std::memory_order_relaxed);
  }

  void see(const Load& message) {
    checks_[message.stream()].see(message);
    if (--missing_ != 0) return;
    end_ = ticks();
    finish_.reach();
  }

  // `start(n)` makes each source send n messages.
  template <class Start>
  Nanoseconds measure(benchmark::State& state, Start&& start) {
    for (const std::uint64_t total : {kFirst, kMessages}) {
      missing_ = total;
      begin_.store(0, std::memory_order_relaxed);
      start(total / sources());
      finish_.wait();
    }
    for (const auto& check : checks_) report(state, check);
    return to_ns(end_ - begin_.load(std::memory_order_relaxed)) / static_cast<double>(kMessages);
  }

 private:
  std::vector<Check<Load>> checks_;
  std::uint64_t missing_ = 0;  // the sink's, while it runs
  std::uint64_t end_ = 0;
  std::atomic<std::uint64_t> begin_{0};
  Finish finish_;
};

}  // namespace rk::bench
