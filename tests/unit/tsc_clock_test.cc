#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "ringkernel/core/atomics.h"
#include "ringkernel/core/hlc.h"
#include "ringkernel/core/tsc_clock.h"

namespace rk {
namespace {

constexpr double kUnitsPerSecond = 4294967296.0;
constexpr std::int64_t kMicrosecond = 4295;

// A machine whose time a test moves: a counter that claims 1 GHz, and a wall clock that runs `ppm` faster than that.
struct Machine {
  std::uint64_t ticks = 1'000'000;
  double wall = 1.7e9;  // seconds since 1970
  double ppm = 0;

  void pass(double seconds) {
    ticks += static_cast<std::uint64_t>(seconds * 1e9);
    wall += seconds * (1 + ppm * 1e-6);
  }
};

struct MachineSource {
  Machine* machine;

  std::uint64_t wall_ntp64() const {
    const double whole = std::floor(machine->wall);
    return (static_cast<std::uint64_t>(whole) << 32) +
           static_cast<std::uint64_t>((machine->wall - whole) * kUnitsPerSecond);
  }
  std::uint64_t counter() const { return machine->ticks; }
  double counter_hz() const { return 1e9; }
};

class Tsc : public testing::Test {
 protected:
  // Positive: the clock shows more than the wall.
  std::int64_t error() { return clock_.error(); }
  std::int64_t distance() { return std::abs(error()); }

  Machine machine_;
  TscClock<StdAtomics, MachineSource> clock_{MachineSource{&machine_}};
};

TEST_F(Tsc, starts_at_the_wall_clock_and_follows_the_counter) {
  EXPECT_EQ(error(), 0);
  const std::uint64_t start = clock_.now();
  EXPECT_EQ(clock_.now(), start) << "no tick, no time";
  machine_.pass(0.5);
  EXPECT_NEAR(static_cast<double>(clock_.now() - start), kUnitsPerSecond / 2, kMicrosecond);
}

TEST_F(Tsc, a_small_error_is_steered_away_without_oscillating) {
  for (double ppm : {50.0, -50.0, 400.0}) {
    machine_.ppm = ppm;
    std::int64_t before = INT64_MAX;
    for (int second = 0; second < 20; ++second) {
      machine_.pass(1.001);
      clock_.now();
      EXPECT_TRUE(second < 3 || distance() <= std::max(before, kMicrosecond)) << ppm << " ppm, second " << second;
      before = distance();
    }
    EXPECT_LE(distance(), kMicrosecond) << ppm;
  }
}

TEST_F(Tsc, steering_never_turns_time_back) {
  machine_.ppm = -300;
  std::uint64_t last = clock_.now();
  for (int i = 0; i < 5000; ++i) {
    machine_.pass(0.01);
    const std::uint64_t now = clock_.now();
    ASSERT_GT(now, last) << i;
    last = now;
  }
}

TEST_F(Tsc, a_wall_clock_that_was_set_is_followed_within_a_second) {
  for (double step : {3600.0, -3600.0, 0.5, -0.5}) {
    machine_.wall += step;
    machine_.pass(1.01);
    clock_.now();
    EXPECT_LE(distance(), kMicrosecond) << step;
    machine_.pass(0.5);
    EXPECT_LE(distance(), kMicrosecond) << step << ": and the rate did not suffer";
  }
}

TEST_F(Tsc, does_not_ask_the_wall_clock_between_calibrations) {
  machine_.wall += 10;
  machine_.pass(0.9);
  clock_.now();
  EXPECT_LT(error(), -9 * static_cast<std::int64_t>(kUnitsPerSecond));
}

TEST_F(Tsc, a_clock_that_is_read_rarely_does_not_run_away) {
  machine_.ppm = 10;
  for (int i = 0; i < 40; ++i) {
    machine_.pass(5);
    clock_.now();
    EXPECT_LE(distance(), 100 * kMicrosecond) << "reading " << i;
  }
}

TEST_F(Tsc, the_first_reading_after_a_long_silence_is_as_good_as_any) {
  machine_.ppm = 10;
  machine_.pass(1.01);
  clock_.now();
  machine_.pass(3600);
  const std::uint64_t now = clock_.now();
  EXPECT_LE(std::abs(static_cast<std::int64_t>(now - MachineSource{&machine_}.wall_ntp64())), 1000 * kMicrosecond);
}

TEST_F(Tsc, a_counter_read_just_before_the_base_counts_as_the_base) {
  const std::uint64_t start = clock_.now();
  machine_.ticks -= 100;
  EXPECT_EQ(clock_.now(), start);
}

TEST_F(Tsc, stamps_increase_while_the_wall_clock_is_set_back) {
  HlcClock<StdAtomics, TscClock<StdAtomics, MachineSource>> hlc(clock_, 1, std::uint64_t{1} << 32);
  std::uint64_t last = 0;
  for (int i = 0; i < 400; ++i) {
    if (i == 100) machine_.wall -= 60;
    if (i == 300) machine_.wall += 120;
    machine_.pass(0.1);
    const std::uint64_t time = hlc.tick().time;
    ASSERT_GT(time, last) << i;
    last = time;
  }
}

}  // namespace
}  // namespace rk
