#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "ringkernel/core/atomics.h"
#include "ringkernel/core/hlc.h"

namespace rk {
namespace {

constexpr std::uint64_t kSecond = std::uint64_t{1} << 32;
constexpr std::uint64_t kStart = std::uint64_t{1'700'000'000} << 32;
constexpr std::uint64_t kUnit = kHlcLogicalMask + 1;  // the smallest step of the wall clock that a stamp shows

struct SetByHand {
  std::atomic<std::uint64_t> time{kStart};
  std::uint64_t now() const { return time.load(std::memory_order_relaxed); }
};

using Clock = HlcClock<StdAtomics, SetByHand>;

class Hlc : public testing::Test {
 protected:
  SetByHand wall_;
  Clock clock_{wall_, 7, kSecond};
};

TEST_F(Hlc, a_stamp_names_its_node) {
  const HlcTimestamp stamp = clock_.tick();
  EXPECT_EQ(stamp.time, kStart);
  EXPECT_EQ(stamp.node_id, 7u);
  EXPECT_EQ(stamp.shard_id, 0u);
}

TEST_F(Hlc, ticks_increase_strictly_while_the_wall_clock_stands) {
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t time = clock_.tick().time;
    ASSERT_GT(time, last);
    last = time;
  }
}

TEST_F(Hlc, the_wall_clock_takes_over_as_soon_as_it_is_ahead) {
  for (int i = 0; i < 5; ++i) clock_.tick();
  wall_.time = kStart + kSecond + 3;
  EXPECT_EQ(clock_.tick().time, kStart + kSecond) << "the counter's bits are cleared";
}

TEST_F(Hlc, ticks_increase_while_the_wall_clock_goes_back) {
  std::uint64_t last = clock_.tick().time;
  for (int i = 0; i < 100; ++i) {
    wall_.time = wall_.time - kSecond;
    const std::uint64_t time = clock_.tick().time;
    ASSERT_EQ(time, last + 1);
    last = time;
  }
}

TEST_F(Hlc, a_counter_that_runs_over_moves_into_time) {
  for (std::uint64_t i = 0; i < kUnit; ++i) EXPECT_EQ(clock_.tick().time, kStart + i);
  EXPECT_EQ(clock_.tick().time, kStart + kUnit) << "the next reading of the wall clock, not a repetition";
  wall_.time = kStart + kUnit;
  EXPECT_EQ(clock_.tick().time, kStart + kUnit + 1) << "which that reading then does not get";
}

TEST_F(Hlc, looking_stamps_nothing) {
  EXPECT_EQ(clock_.now().time, kStart);
  EXPECT_EQ(clock_.last(), 0u);
  const std::uint64_t time = clock_.tick().time;
  wall_.time = kStart - kSecond;
  EXPECT_EQ(clock_.now().time, time);
  EXPECT_EQ(clock_.last(), time);
}

TEST_F(Hlc, a_reserved_range_is_nobody_elses) {
  const std::uint64_t first = clock_.tick_many(10).time;
  EXPECT_EQ(clock_.tick().time, first + 10);
}

TEST_F(Hlc, a_merged_stamp_is_passed) {
  const std::uint64_t remote = kStart + kSecond / 2;
  EXPECT_EQ(clock_.update(remote), HlcUpdate::kMerged);
  EXPECT_EQ(clock_.last(), remote);
  EXPECT_GT(clock_.tick().time, remote);
}

TEST_F(Hlc, a_stamp_of_the_past_changes_nothing) {
  const std::uint64_t last = clock_.tick().time;
  EXPECT_EQ(clock_.update(last), HlcUpdate::kMerged);
  EXPECT_EQ(clock_.update(last - 100), HlcUpdate::kMerged);
  EXPECT_EQ(clock_.update(0), HlcUpdate::kMerged);
  EXPECT_EQ(clock_.last(), last);
}

TEST_F(Hlc, a_stamp_too_far_ahead_is_refused_and_leaves_the_clock_untouched) {
  const std::uint64_t last = clock_.tick().time;
  EXPECT_EQ(clock_.update(kStart + kSecond + 1), HlcUpdate::kTooFarAhead);
  EXPECT_EQ(clock_.update(~std::uint64_t{0}), HlcUpdate::kTooFarAhead);
  EXPECT_EQ(clock_.last(), last);
  EXPECT_EQ(clock_.tick().time, last + 1);
  EXPECT_EQ(clock_.update(kStart + kSecond), HlcUpdate::kMerged) << "exactly the limit is not beyond it";
}

TEST_F(Hlc, nobody_is_taken_beyond_the_end_of_time) {
  Clock trusting(wall_, 1, ~std::uint64_t{0});
  EXPECT_EQ(trusting.update(kHlcMaxTime + 1), HlcUpdate::kTooFarAhead);
  EXPECT_EQ(trusting.last(), 0u);
  EXPECT_EQ(trusting.update(kHlcMaxTime), HlcUpdate::kMerged);
  EXPECT_EQ(trusting.tick().time, kHlcMaxTime + 1);
  EXPECT_GT(trusting.tick_many(1 << 20).time, kHlcMaxTime) << "there is room for local ticks behind it";
}

TEST_F(Hlc, stamps_of_two_clocks_that_exchange_messages_follow_causality) {
  SetByHand slow_wall;
  slow_wall.time = kStart - kSecond / 2;
  Clock slow(slow_wall, 8, kSecond);
  for (int i = 0; i < 100; ++i) {
    const HlcTimestamp sent = clock_.tick();
    ASSERT_EQ(slow.update(sent.time), HlcUpdate::kMerged);
    const HlcTimestamp answered = slow.tick();
    ASSERT_TRUE(sent < answered);
    ASSERT_EQ(clock_.update(answered.time), HlcUpdate::kMerged);
    ASSERT_TRUE(answered < clock_.tick());
  }
}

TEST_F(Hlc, shards_have_ids_of_their_own_and_increase_by_themselves) {
  auto one = clock_.shard(), two = clock_.shard();
  EXPECT_NE(one.shard_id(), two.shard_id());
  EXPECT_NE(one.shard_id(), 0u);
  const HlcTimestamp a = one.tick(), b = two.tick();
  EXPECT_EQ(a.time, b.time) << "the same time is no clash";
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(a < b) << "because the id decides";
  EXPECT_EQ(one.tick().time, a.time + 1);
  EXPECT_EQ(one.tick_many(4).time, a.time + 2);
  EXPECT_EQ(one.tick().time, a.time + 6);
}

TEST_F(Hlc, a_shard_starts_where_its_clock_is) {
  const std::uint64_t remote = kStart + kSecond / 2;
  clock_.update(remote);
  EXPECT_GT(clock_.shard().tick().time, remote);
}

TEST_F(Hlc, a_shard_merges_and_refuses_like_its_clock) {
  auto shard = clock_.shard();
  const std::uint64_t last = shard.tick().time;
  EXPECT_EQ(shard.update(last - 1), HlcUpdate::kMerged);
  EXPECT_EQ(shard.update(kStart + 2 * kSecond), HlcUpdate::kTooFarAhead);
  EXPECT_EQ(shard.last(), last);
  EXPECT_EQ(shard.update(kStart + kSecond / 4), HlcUpdate::kMerged);
  EXPECT_EQ(shard.now().time, kStart + kSecond / 4);
  EXPECT_EQ(shard.tick().time, kStart + kSecond / 4 + 1);
}

TEST_F(Hlc, what_the_clock_has_reached_its_shards_believe_whatever_the_wall_clock_says_now) {
  auto shard = clock_.shard();
  const std::uint64_t reached = clock_.tick().time;
  wall_.time = kStart - 10 * kSecond;
  EXPECT_EQ(shard.update(reached), HlcUpdate::kMerged);
  EXPECT_EQ(shard.last(), reached);
  EXPECT_EQ(shard.update(reached + 1), HlcUpdate::kTooFarAhead) << "but not what it has not";
  EXPECT_EQ(shard.last(), reached);
}

TEST_F(Hlc, a_stamp_of_the_own_node_is_merged_without_a_check_and_never_back) {
  auto shard = clock_.shard();
  const std::uint64_t far = kStart + 100 * kSecond;
  shard.merge(far);
  clock_.merge(far);
  shard.merge(far - 1);
  clock_.merge(far - 1);
  EXPECT_EQ(shard.tick().time, far + 1);
  EXPECT_EQ(clock_.tick().time, far + 1);
}

TEST_F(Hlc, the_total_order_is_time_then_node_then_shard) {
  const HlcTimestamp stamps[] = {{1, 1, 1}, {1, 1, 2}, {1, 2, 0}, {2, 0, 0}};
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) EXPECT_EQ(stamps[i] < stamps[j], i < j);
  }
}

TEST_F(Hlc, stamps_of_many_threads_are_unique_and_increase_for_each) {
  constexpr int kThreads = 4, kStamps = 5000;
  std::vector<std::uint64_t> made[kThreads];
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&] {
      for (int i = 0; i < kStamps; ++i) mine.push_back(i % 100 == 0 ? clock_.tick_many(3).time : clock_.tick().time);
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::uint64_t> all;
  for (auto& mine : made) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  EXPECT_EQ(clock_.last(), kStart + kThreads * (kStamps + 2 * kStamps / 100) - 1) << "none was skipped either";
}

TEST(Ntp64, converts_nanoseconds_there_and_back_within_one) {
  for (std::uint64_t ns : {0ull, 1ull, 999'999'999ull, 1'000'000'000ull, 1'700'000'000'123'456'789ull}) {
    const std::uint64_t back = ns_from_ntp64(ntp64_from_ns(ns));
    EXPECT_LE(back, ns);
    EXPECT_LE(ns - back, 1u) << ns;
  }
  EXPECT_EQ(ntp64_from_ns(1'500'000'000), kSecond + kSecond / 2);
}

}  // namespace
}  // namespace rk
