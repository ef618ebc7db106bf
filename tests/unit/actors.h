// What tests of kernels share: messages, handlers that wait to be let through, and patience.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "ringkernel/runtime/actor_system.h"

namespace rk::test {

using namespace std::chrono_literals;

struct Number {
  static constexpr std::uint32_t kTypeId = 101;
  std::uint64_t value;
};

struct Answer {
  static constexpr std::uint32_t kTypeId = 102;
  std::uint64_t value;
};

// How often a handler has run in this incarnation.
struct Count {
  std::uint64_t handled = 0;
};

// Looks until it is so. Long enough that only something lost makes it false.
template <class Condition>
bool eventually(Condition&& condition) {
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(100us);
  }
  return true;
}

// Handlers that come to a shut gate wait there.
class Gate {
 public:
  explicit Gate(bool open = false) : open_(open) {}
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  int waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_;
  int waiting_ = 0;
};

// What one or several handlers saw, in order.
class Log {
 public:
  void add(std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(value);
  }
  std::vector<std::uint64_t> values() {
    const std::lock_guard lock(mutex_);
    return values_;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<std::uint64_t> values_;
};

// One more than it got; 13 fails.
inline auto make_echo() {
  return make_handler(on<Number>([](KernelContext&, const Number& number) {
    if (number.value == 13) throw std::runtime_error("unlucky");
    return Answer{number.value + 1};
  }));
}

inline auto make_logger(Log& log) {
  return make_handler(on<Number>([&log](KernelContext&, const Number& number) { log.add(number.value); }));
}

inline std::vector<std::uint64_t> up_to(std::uint64_t count, std::uint64_t first = 0) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(first + i);
  return numbers;
}

// The kind of the Error that `action` throws; "" for none.
template <class Action>
std::string kind_of_error(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.kind();
  }
  return "";
}

inline void expect_conserved(const RingStats& stats) {
  EXPECT_EQ(stats.accepted, stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight);
}

}  // namespace rk::test
