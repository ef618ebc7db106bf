#include <gtest/gtest.h>

#include <ctime>

#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/clocks.h"

namespace rk {
namespace {

constexpr std::uint64_t kSecond = std::uint64_t{1} << 32;

TEST(HostClock, shows_the_wall_clock) {
  HostClock clock;
  const std::uint64_t before = wall_ntp64();
  const std::uint64_t now = clock.now();
  EXPECT_GE(now + kSecond, before);
  EXPECT_LE(now, wall_ntp64() + kSecond);
  EXPECT_NEAR(static_cast<double>(wall_ntp64() >> 32), static_cast<double>(std::time(nullptr)), 2);
}

TEST(HostClock, can_be_set_by_hand_and_goes_back_to_the_host) {
  HostClock clock;
  clock.set_manual(42 * kSecond);
  EXPECT_EQ(clock.now(), 42 * kSecond);
  EXPECT_EQ(clock.now(), 42 * kSecond);
  clock.set_manual(0);
  EXPECT_GT(clock.now(), 1'000'000'000 * kSecond);
}

TEST(HostClock, stamps_from_it) {
  HostClock clock;
  Hlc hlc(clock, 3, kSecond);
  const std::uint64_t first = hlc.tick().time;
  EXPECT_GT(hlc.tick().time, first);
  HlcHostShard shard = hlc.shard();
  EXPECT_GT(shard.tick().time, first);
}

TEST(HostCounter, moves_at_a_rate_that_makes_sense) {
  const HostCounter counter = HostCounter::detect();
  EXPECT_GT(counter.counter_hz(), 1e6);
  EXPECT_LT(counter.counter_hz(), 1e11);
  const std::uint64_t first = counter.counter();
  std::uint64_t next = first;
  while (next == first) next = counter.counter();
  EXPECT_GT(next, first);
}

TEST(HostAtomicsTest, monotonic_time_never_goes_back) {
  std::uint64_t last = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(HostAtomicsTest, parking_on_a_word_that_has_changed_returns_at_once) {
  HostAtomics::Atomic<std::uint32_t> word(1);
  HostAtomics::park(word, 0, kNoDeadline);
  HostAtomics::unpark(word);
  EXPECT_EQ(word.load_relaxed(), 1u);
}

}  // namespace
}  // namespace rk
