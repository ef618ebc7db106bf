#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "ring_fixture.h"
#include "ringkernel/core/mpsc_ring.h"
#include "ringkernel/core/overwrite_ring.h"

namespace rk {
namespace {

using test::RingMemory;

std::uint64_t value(const std::byte* slot) {
  std::uint64_t message;
  std::memcpy(&message, slot, 8);
  return message;
}

class Mpsc : public testing::TestWithParam<std::uint32_t> {
 protected:
  static constexpr std::uint32_t kLanes = 3;

  using Ring = MpscRing<>;
  using Lane = Ring::Lane;

  RingMemory memory_{4, 8, GetParam(), kLanes};
  Ring ring_{kLanes, Wait::kLatency, lanes_in<StdAtomics>(memory_.bytes(), memory_.geometry(), {Wait::kLatency, 0})};

  static Status push(Lane& lane, std::uint64_t message) { return lane.ring.try_push(&message); }

  std::vector<std::uint64_t> drain() {
    std::vector<std::uint64_t> all;
    for (std::uint64_t message; ring_.try_pop(&message, 8) == Status::kOk;) all.push_back(message);
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(, Mpsc, testing::Values(kLayoutPacked, kLayoutTurn),
                         [](const auto& info) { return info.param == kLayoutTurn ? "turn" : "packed"; });

TEST_P(Mpsc, gives_each_producer_a_lane_until_none_is_left) {
  std::vector<Lane*> lanes;
  for (std::uint32_t i = 0; i < kLanes; ++i) {
    EXPECT_EQ(ring_.lanes_in_use(), i);
    lanes.push_back(ring_.take_lane());
    ASSERT_NE(lanes.back(), nullptr);
  }
  EXPECT_EQ(ring_.take_lane(), nullptr);
  EXPECT_NE(lanes[0], lanes[1]);
  EXPECT_NE(lanes[1], lanes[2]);
  Ring::give_back(*lanes[1]);
  EXPECT_EQ(ring_.take_lane(), lanes[1]);
  EXPECT_EQ(ring_.take_lane(), nullptr);
  EXPECT_EQ(ring_.lanes_in_use(), kLanes);
}

TEST_P(Mpsc, what_a_producer_leaves_behind_is_delivered_before_its_successor) {
  Lane* lane = ring_.take_lane();
  push(*lane, 1);
  push(*lane, 2);
  Ring::give_back(*lane);
  Lane* again = ring_.take_lane();
  ASSERT_EQ(again, lane);
  push(*again, 3);
  EXPECT_EQ(drain(), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST_P(Mpsc, an_empty_ring_has_nothing_and_says_so) {
  std::uint64_t message;
  EXPECT_EQ(ring_.try_peek(), nullptr);
  EXPECT_EQ(ring_.try_pop(&message, 8), Status::kEmpty);
  ring_.take_lane();
  EXPECT_EQ(ring_.try_pop(&message, 8), Status::kEmpty);
}

TEST_P(Mpsc, several_messages_of_one_lane_can_be_released_together) {
  Lane* lane = ring_.take_lane();
  for (std::uint64_t i = 0; i < 3; ++i) push(*lane, i);
  ASSERT_NE(ring_.try_peek(), nullptr);
  EXPECT_NE(lane->ring.consumer().try_peek(1), nullptr);
  ring_.release(2);
  EXPECT_EQ(ring_.stats().delivered, 2u);
  EXPECT_EQ(drain(), std::vector<std::uint64_t>{2});
}

TEST_P(Mpsc, a_full_lane_does_not_hinder_the_others) {
  Lane* full = ring_.take_lane();
  Lane* other = ring_.take_lane();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_EQ(push(*full, i), Status::kOk);
  EXPECT_EQ(push(*full, 4), Status::kFull);
  EXPECT_EQ(push(*other, 10), Status::kOk);
}

// Strings over: push to lane 0, 1, 2; pop; peek; give lane 1 back and take it again.
class AgainstDeques {
 public:
  static constexpr unsigned kOps = 6;

  explicit AgainstDeques(RingMemory& memory)
      : ring_(3, Wait::kLatency, lanes_in<StdAtomics>(memory.bytes(), memory.geometry(), {Wait::kLatency, 1})) {
    for (auto& lane : lanes_) lane = ring_.take_lane();
  }

  void apply(unsigned op) {
    if (op < 3) {
      push(op);
    } else if (op == 5) {
      MpscRing<>::give_back(*lanes_[1]);
      EXPECT_EQ(ring_.take_lane(), lanes_[1]);
    } else {
      peek(op == 3);
    }
    EXPECT_TRUE(test::adds_up(ring_.stats()));
    EXPECT_EQ(ring_.stats().in_flight, in_flight());
  }

 private:
  std::size_t in_flight() const { return model_[0].size() + model_[1].size() + model_[2].size(); }

  void push(unsigned lane) {
    const bool fits = model_[lane].size() < ring_.capacity();
    EXPECT_EQ(lanes_[lane]->ring.try_push(&++sent_), fits ? Status::kOk : Status::kFull);
    if (fits) model_[lane].push_back(sent_);
  }

  void peek(bool release) {
    const std::byte* slot = ring_.try_peek();
    ASSERT_EQ(slot == nullptr, in_flight() == 0);
    if (slot == nullptr) return;
    auto& lane = model_[ring_.peeked_lane()];
    ASSERT_FALSE(lane.empty());
    EXPECT_EQ(value(slot), lane.front());
    if (!release) return;
    lane.pop_front();
    ring_.release();
  }

  MpscRing<> ring_;
  MpscRing<>::Lane* lanes_[3];
  std::deque<std::uint64_t> model_[3];
  std::uint64_t sent_ = 0;
};

TEST_P(Mpsc, every_string_keeps_the_order_of_each_producer_and_loses_nothing) {
  constexpr unsigned kLength = 6, kStrings = 6 * 6 * 6 * 6 * 6 * 6;
  RingMemory memory(2, 8, GetParam(), 3);
  for (unsigned code = 0; code < kStrings; ++code) {
    memory.clear();
    AgainstDeques pair(memory);
    unsigned rest = code;
    for (unsigned i = 0; i < kLength; ++i, rest /= AgainstDeques::kOps) pair.apply(rest % AgainstDeques::kOps);
    ASSERT_FALSE(HasFailure()) << "operations, first in the low digit, base 6: " << code;
  }
}

TEST_P(Mpsc, merges_by_key) {
  for (std::uint64_t first : {30u, 10u, 20u}) {
    Lane* lane = ring_.take_lane();
    for (std::uint64_t i = 0; i < 4; ++i) push(*lane, first + i * 100);
  }
  std::vector<std::uint64_t> merged;
  while (const std::byte* slot = ring_.try_peek_ordered(value)) {
    EXPECT_EQ(ring_.try_peek_ordered(value), slot) << "a second look shows the same";
    merged.push_back(value(slot));
    ring_.release();
  }
  EXPECT_EQ(merged, (std::vector<std::uint64_t>{10, 20, 30, 110, 120, 130, 210, 220, 230, 310, 320, 330}));
}

TEST_P(Mpsc, of_equal_keys_the_lower_lane_comes_first) {
  Lane* low = ring_.take_lane();
  Lane* high = ring_.take_lane();
  push(*high, 2);
  push(*low, 1);
  ASSERT_NE(ring_.try_peek_ordered([](const std::byte*) { return 0; }), nullptr);
  EXPECT_EQ(ring_.peeked_lane(), 0u);
}

TEST_P(Mpsc, close_drains_every_lane) {
  Lane* lanes[] = {ring_.take_lane(), ring_.take_lane()};
  push(*lanes[0], 1);
  push(*lanes[1], 2);
  EXPECT_FALSE(ring_.closed());
  ring_.close();
  EXPECT_TRUE(ring_.closed());
  EXPECT_EQ(push(*lanes[0], 3), Status::kClosed);
  EXPECT_FALSE(ring_.closed_and_drained());
  EXPECT_EQ(drain().size(), 2u);
  std::uint64_t message;
  EXPECT_EQ(ring_.try_pop(&message, 8), Status::kClosed);
  EXPECT_EQ(push(*ring_.take_lane(), 4), Status::kClosed) << "a lane that is taken after the close";
}

TEST_P(Mpsc, no_lane_starves_while_another_is_kept_full) {
  Lane* busy = ring_.take_lane();
  Lane* rare = ring_.take_lane();
  push(*rare, 1);
  for (int i = 0; i < 1000; ++i) {
    push(*busy, 0);
    std::uint64_t message = 0;
    ASSERT_EQ(ring_.try_pop(&message, 8), Status::kOk);
    if (message == 1) return;
  }
  FAIL() << "1000 messages of one lane before the first of the other";
}

TEST(MpscOverOverwrite, drops_the_oldest_of_each_lane_by_itself) {
  using LaneRing = OverwriteRing<StdAtomics>;
  RingGeometry geometry;
  ASSERT_EQ(LaneRing::geometry(2, 8, &geometry), GeometryError::kNone);
  RingMemory memory(geometry, 2);
  BasicMpscRing<StdAtomics, LaneRing> ring(2, Wait::kLatency,
                                           lanes_in<StdAtomics, LaneRing>(memory.bytes(), geometry, {}));
  auto* one = ring.take_lane();
  auto* two = ring.take_lane();
  for (std::uint64_t i = 1; i <= 5; ++i) one->ring.producer().try_push(&i);
  const std::uint64_t other = 100;
  two->ring.producer().try_push(&other);

  std::vector<std::uint64_t> got;
  for (std::uint64_t message; ring.try_pop(&message, 8) == Status::kOk;) got.push_back(message);
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<std::uint64_t>{4, 5, 100}));
  EXPECT_EQ(ring.stats().dropped, 3u);
  EXPECT_TRUE(test::adds_up(ring.stats()));
  ring.close();
  std::uint64_t message;
  EXPECT_EQ(ring.try_pop(&message, 8), Status::kClosed);
}

}  // namespace
}  // namespace rk
