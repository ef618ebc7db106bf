#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "ring_fixture.h"
#include "ringkernel/core/spsc_ring.h"

namespace rk {
namespace {

using test::RingMemory;

struct Tick {
  std::uint64_t time;
  double price;
};

class PackedTicks : public testing::Test {
 protected:
  RingMemory memory_{4, sizeof(Tick), kLayoutPacked};
  TypedSpscRing<Tick> ring_{memory_.make_lines(), {Wait::kLatency, 1}};
};

TEST_F(PackedTicks, a_typed_ring_copies_values) {
  EXPECT_EQ(ring_.try_push(Tick{1, 2.5}), Status::kOk);
  Tick tick{};
  EXPECT_EQ(ring_.try_pop(tick), Status::kOk);
  EXPECT_EQ(tick.time, 1u);
  EXPECT_EQ(tick.price, 2.5);
  EXPECT_EQ(ring_.try_pop(tick), Status::kEmpty);
}

TEST_F(PackedTicks, spans_end_at_the_end_of_the_ring) {
  auto free = ring_.try_claim_span(3);
  ASSERT_EQ(free.size(), 3u);
  for (std::uint64_t i = 0; i < 3; ++i) free[i] = Tick{i, 0};
  ring_.publish(free.size());
  EXPECT_EQ(ring_.try_claim_span(3).size(), 1u) << "one slot up to the end";

  auto full = ring_.try_peek_span(9);
  ASSERT_EQ(full.size(), 3u);
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(full[i].time, i);
  ring_.release(2);
  EXPECT_EQ(ring_.try_peek_span(9).size(), 1u);
  ring_.release(1);
  EXPECT_TRUE(ring_.try_peek_span(9).empty());

  EXPECT_EQ(ring_.try_claim_span(9).size(), 1u);
  ring_.publish(1);
  EXPECT_EQ(ring_.try_claim_span(9).size(), 3u) << "and then from the start";
}

TEST_F(PackedTicks, a_closed_ring_gives_no_spans_but_keeps_what_it_has) {
  ring_.try_push(Tick{7, 0});
  ring_.close();
  EXPECT_TRUE(ring_.try_claim_span(1).empty());
  ASSERT_EQ(ring_.try_peek_span(4).size(), 1u);
  EXPECT_EQ(ring_.try_peek_span(4)[0].time, 7u);
}

TEST_F(PackedTicks, a_batch_goes_round_the_end) {
  std::array<Tick, 4> batch{};
  ring_.push_many(batch.data(), 3);
  ring_.pop_many(batch.data(), 3);
  for (std::uint64_t i = 0; i < 4; ++i) batch[i] = Tick{10 + i, 0};
  EXPECT_EQ(ring_.push_many(batch.data(), 4), 4u);
  EXPECT_EQ(ring_.push_many(batch.data(), 1), 0u);
  std::array<Tick, 4> got{};
  EXPECT_EQ(ring_.pop_many(got.data(), 4), 4u);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(got[i].time, 10 + i);
}

class BothLayouts : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(, BothLayouts, testing::Values(kLayoutPacked, kLayoutTurn),
                         [](const auto& info) { return info.param == kLayoutTurn ? "turn" : "packed"; });

TEST_P(BothLayouts, close_refuses_new_messages_and_drains_old_ones) {
  RingMemory memory(4, 8, GetParam());
  SpscRing<> ring(memory.make_lines());
  for (std::uint64_t message : {1u, 2u, 3u}) ASSERT_EQ(ring.try_push(&message), Status::kOk);
  ring.close();
  std::uint64_t message = 4;
  EXPECT_EQ(ring.try_push(&message), Status::kClosed);
  EXPECT_EQ(ring.push_many(&message, 1), 0u);
  EXPECT_EQ(ring.try_claim(), nullptr);
  EXPECT_FALSE(ring.consumer().closed_and_drained());
  for (std::uint64_t expected : {1u, 2u, 3u}) {
    EXPECT_EQ(ring.try_pop(&message), Status::kOk);
    EXPECT_EQ(message, expected);
  }
  EXPECT_EQ(ring.try_pop(&message), Status::kClosed);
  EXPECT_TRUE(ring.consumer().closed_and_drained());
}

TEST_P(BothLayouts, a_full_ring_that_is_closed_says_closed) {
  RingMemory memory(1, 8, GetParam());
  SpscRing<> ring(memory.make_lines());
  std::uint64_t message = 1;
  ASSERT_EQ(ring.try_push(&message), Status::kOk);
  EXPECT_EQ(ring.try_push(&message), Status::kFull);
  ring.close();
  EXPECT_EQ(ring.try_push(&message), Status::kClosed);
}

TEST_P(BothLayouts, lazy_progress_frees_slots_late_but_an_exact_look_finds_them) {
  RingMemory memory(4, 8, GetParam());
  SpscRing<> ring(memory.make_lines(), {Wait::kLatency, 4});
  std::uint64_t message = 0;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(ring.try_push(&message), Status::kOk);
  ASSERT_EQ(ring.try_pop(&message), Status::kOk);
  EXPECT_EQ(ring.try_push(&message), Status::kFull) << "one release is below the interval";
  EXPECT_TRUE(ring.producer().has_room_exact());
  EXPECT_EQ(ring.try_push(&message), Status::kOk);
  EXPECT_FALSE(ring.producer().has_room_exact());
}

TEST_P(BothLayouts, an_empty_look_tells_all_progress) {
  RingMemory memory(4, 8, GetParam());
  RingLines<StdAtomics>& lines = memory.make_lines();
  SpscRing<> ring(lines, {Wait::kLatency, 4});
  std::uint64_t message = 0;
  for (int i = 0; i < 3; ++i) ring.try_push(&message);
  for (int i = 0; i < 3; ++i) ring.try_pop(&message);
  EXPECT_EQ(lines.consumer.read_seq.load_relaxed(), 0u);
  EXPECT_EQ(ring.try_pop(&message), Status::kEmpty);
  EXPECT_EQ(lines.consumer.read_seq.load_relaxed(), 3u);
}

TEST_P(BothLayouts, exact_progress_frees_each_slot_at_once) {
  RingMemory memory(4, 8, GetParam());
  SpscRing<> ring(memory.make_lines(), {Wait::kLatency, 1});
  std::uint64_t message = 0;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(ring.try_push(&message), Status::kOk);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(ring.try_pop(&message), Status::kOk);
    ASSERT_EQ(ring.try_push(&message), Status::kOk);
    ASSERT_EQ(ring.try_push(&message), Status::kFull);
  }
}

TEST_P(BothLayouts, messages_of_any_size_come_out_as_they_went_in) {
  for (std::size_t size = 1; size <= 130; ++size) {
    RingMemory memory(2, size, GetParam());
    SpscRing<> ring(memory.make_lines());
    std::vector<unsigned char> sent(size), got(size);
    for (unsigned round = 0; round < 5; ++round) {
      std::iota(sent.begin(), sent.end(), static_cast<unsigned char>(round));
      ASSERT_EQ(ring.try_push(sent.data()), Status::kOk);
      ASSERT_EQ(ring.try_push(sent.data()), Status::kOk);
      ASSERT_EQ(ring.try_pop(got.data()), Status::kOk);
      EXPECT_EQ(sent, got) << size;
      ASSERT_EQ(ring.try_pop(got.data()), Status::kOk);
      EXPECT_EQ(sent, got) << size;
    }
  }
}

TEST_P(BothLayouts, the_high_water_mark_is_the_largest_number_that_a_look_found) {
  RingMemory memory(8, 8, GetParam());
  SpscRing<> ring(memory.make_lines(), {Wait::kLatency, 1});
  std::uint64_t messages[5] = {};
  EXPECT_EQ(ring.stats().high_water, 0u);
  ring.push_many(messages, 5);
  EXPECT_EQ(ring.stats().high_water, 5u);
  ring.pop_many(messages, 5);
  ring.push_many(messages, 2);
  EXPECT_EQ(ring.stats().high_water, 5u);
  EXPECT_EQ(ring.stats().in_flight, 2u);
}

TEST_P(BothLayouts, every_waiting_mode_delivers) {
  for (Wait wait : {Wait::kLatency, Wait::kBalanced, Wait::kThroughput}) {
    RingMemory memory(64, 8, GetParam());
    SpscRing<> ring(memory.make_lines(), {wait, 0});
    std::uint64_t next = 0;
    for (std::uint64_t sent = 0; sent < 10'000; ++sent) {
      ASSERT_EQ(ring.try_push(&sent), Status::kOk);
      if (sent % 3 != 2) continue;
      for (std::uint64_t message; ring.try_pop(&message) == Status::kOk;) ASSERT_EQ(message, next++);
    }
  }
}

TEST(SpscRing, indices_name_the_slots_that_a_binding_may_show) {
  RingMemory memory(4, 8, kLayoutPacked);
  SpscRing<> ring(memory.make_lines(), {Wait::kLatency, 1});
  std::uint64_t message = 0;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(ring.producer().claimed_index(), static_cast<std::uint64_t>(i % 4));
    EXPECT_EQ(ring.consumer().peeked_index(), static_cast<std::uint64_t>(i % 4));
    ring.try_push(&message);
    ring.try_pop(&message);
  }
}

TEST(SpscRing, drops_and_the_close_are_written_where_the_other_side_can_read_them) {
  RingMemory memory(4, 8, kLayoutPacked);
  RingLines<StdAtomics>& lines = memory.make_lines();
  SpscRing<> ring(lines);
  ring.producer().count_dropped(3);
  ring.close();
  EXPECT_EQ(lines.producer.dropped.load_relaxed(), 3u);
  EXPECT_EQ(lines.producer.closed.load_relaxed(), 1u);
  EXPECT_EQ(ring.stats().accepted, 3u);
  EXPECT_TRUE(test::adds_up(ring.stats()));
}

}  // namespace
}  // namespace rk
