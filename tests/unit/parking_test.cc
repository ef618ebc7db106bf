#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;

class ParkingTest : public testing::Test {
 protected:
  static std::uint64_t in(std::uint64_t ns) { return HostAtomics::monotonic_ns() + ns; }

  void wait_until_asleep() const {
    while (!parking_.someone_sleeps()) std::this_thread::yield();
  }

  bool ready() const { return ready_.load(std::memory_order_acquire); }
  void make_ready() {
    ready_.store(true, std::memory_order_release);
    parking_.wake();
  }

  Parking<HostAtomics> parking_;
  std::atomic<bool> ready_{false};
};

TEST_F(ParkingTest, a_condition_that_holds_needs_no_wait) {
  ready_ = true;
  EXPECT_TRUE(parking_.wait([&] { return ready(); }, kNoDeadline));
  EXPECT_TRUE(parking_.wait([&] { return ready(); }, 0)) << "not even when the deadline has passed";
  EXPECT_FALSE(parking_.someone_sleeps());
}

TEST_F(ParkingTest, a_sleeper_is_woken) {
  for (std::uint64_t spin_ns : {std::uint64_t{0}, kDefaultSpinNs}) {
    ready_ = false;
    std::thread waker([&] {
      wait_until_asleep();
      make_ready();
    });
    EXPECT_TRUE(parking_.wait([&] { return ready(); }, kNoDeadline, spin_ns));
    waker.join();
    EXPECT_FALSE(parking_.someone_sleeps());
  }
}

TEST_F(ParkingTest, a_deadline_ends_the_wait_and_not_earlier) {
  const std::uint64_t deadline = in(5 * kMillisecond);
  EXPECT_FALSE(parking_.wait([] { return false; }, deadline));
  EXPECT_GE(HostAtomics::monotonic_ns(), deadline);
  EXPECT_FALSE(parking_.someone_sleeps());
}

TEST_F(ParkingTest, a_deadline_of_the_past_returns) {
  EXPECT_FALSE(parking_.wait([] { return false; }, 0));
  EXPECT_FALSE(parking_.wait([] { return false; }, 0, 0));
}

TEST_F(ParkingTest, a_deadline_within_the_spin_is_kept) {
  const std::uint64_t deadline = in(kMillisecond);
  EXPECT_FALSE(parking_.wait([] { return false; }, deadline, 3600 * 1000 * kMillisecond));
  EXPECT_GE(HostAtomics::monotonic_ns(), deadline);
}

TEST_F(ParkingTest, a_wake_without_reason_does_not_end_the_wait) {
  std::thread waker([&] {
    for (int i = 0; i < 20; ++i) {
      wait_until_asleep();
      parking_.wake();
    }
    make_ready();
  });
  EXPECT_TRUE(parking_.wait([&] { return ready(); }, kNoDeadline, 0));
  waker.join();
}

TEST_F(ParkingTest, a_wake_before_the_wait_is_not_needed_and_not_remembered) {
  parking_.wake();
  EXPECT_FALSE(parking_.wait([] { return false; }, in(kMillisecond), 0));
}

TEST_F(ParkingTest, two_that_take_turns_never_miss_each_other) {
  constexpr int kTurns = 3000;
  Parking<HostAtomics> other;
  std::atomic<int> turn{0};
  std::thread partner([&] {
    for (int i = 0; i < kTurns; ++i) {
      other.wait([&] { return turn.load(std::memory_order_relaxed) == 2 * i + 1; }, kNoDeadline, 0);
      turn.store(2 * i + 2, std::memory_order_relaxed);
      parking_.wake();
    }
  });
  for (int i = 0; i < kTurns; ++i) {
    turn.store(2 * i + 1, std::memory_order_relaxed);
    other.wake();
    parking_.wait([&] { return turn.load(std::memory_order_relaxed) == 2 * i + 2; }, kNoDeadline, 0);
  }
  partner.join();
  EXPECT_EQ(turn.load(), 2 * kTurns);
}

}  // namespace
}  // namespace rk
