#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <deque>
#include <vector>

#include "ring_fixture.h"
#include "ringkernel/core/overwrite_ring.h"

namespace rk {
namespace {

using test::RingMemory;
using Ring = OverwriteRing<StdAtomics>;

RingMemory memory_of(std::uint64_t capacity, std::uint64_t slot_size) {
  RingGeometry geometry{};
  EXPECT_EQ(Ring::geometry(capacity, slot_size, &geometry), GeometryError::kNone);
  return RingMemory(geometry);
}

// The ring and what it should hold; messages are 1, 2, 3 ..., each followed by its complement.
class AgainstDeque {
 public:
  enum Op : unsigned { kPush, kPop, kPeek, kRelease, kOpCount };

  explicit AgainstDeque(RingMemory& memory) : ring_(memory.make_lines()) {}

  void apply(Op op) {
    switch (op) {
      case kPush:
        return push();
      case kPop:
        return pop();
      case kPeek:
        return peek();
      case kRelease:
        held_ = 0;
        return ring_.consumer().release();
      case kOpCount:
        break;
    }
  }

  void check() const {
    const RingStats stats = ring_.stats();
    EXPECT_TRUE(test::adds_up(stats));
    EXPECT_EQ(stats.accepted, sent_);
    EXPECT_EQ(stats.dropped, dropped_);
    EXPECT_EQ(stats.in_flight, model_.size() + (held_ != 0)) << "a copy that a peek holds is in flight";
    EXPECT_GE(stats.high_water, model_.size());
    EXPECT_LE(stats.high_water, ring_.capacity());
  }

 private:
  using Message = std::array<std::uint64_t, 2>;

  void push() {
    const Message message{++sent_, ~sent_};
    EXPECT_EQ(ring_.producer().try_push(message.data()), Status::kOk);
    model_.push_back(sent_);
    if (model_.size() <= ring_.capacity()) return;
    model_.pop_front();
    ++dropped_;
  }

  // What the consumer holds now: a copy that it peeked before, else the oldest message; 0 for nothing.
  std::uint64_t take() {
    if (held_ == 0 && !model_.empty()) {
      held_ = model_.front();
      model_.pop_front();
    }
    return held_;
  }

  void pop() {
    const std::uint64_t expected = take();
    Message message{};
    EXPECT_EQ(ring_.consumer().try_pop(message.data()), expected != 0 ? Status::kOk : Status::kEmpty);
    EXPECT_EQ(message, (expected != 0 ? Message{expected, ~expected} : Message{}));
    held_ = 0;
  }

  void peek() {
    const std::uint64_t expected = take();
    const std::byte* copy = ring_.consumer().try_peek();
    ASSERT_EQ(copy != nullptr, expected != 0);
    Message message{0, ~std::uint64_t{0}};
    if (copy != nullptr) std::memcpy(message.data(), copy, sizeof message);
    EXPECT_EQ(message, (Message{expected, ~expected}));
  }

  Ring ring_;
  std::deque<std::uint64_t> model_;
  std::uint64_t sent_ = 0, dropped_ = 0, held_ = 0;
};

class Overwriting : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Capacity, Overwriting, testing::Values(1, 2, 4));

TEST_P(Overwriting, every_string_drops_the_oldest_and_loses_nothing_else) {
  constexpr unsigned kLength = 8;
  RingMemory memory = memory_of(GetParam(), 16);
  for (unsigned code = 0; code < 1u << (2 * kLength); ++code) {
    memory.clear();
    AgainstDeque pair(memory);
    for (unsigned i = 0; i < kLength; ++i) {
      pair.apply(static_cast<AgainstDeque::Op>((code >> (2 * i)) % AgainstDeque::kOpCount));
      pair.check();
    }
    ASSERT_FALSE(HasFailure()) << "operations, first in the low digit, base 4: " << code;
  }
}

TEST_P(Overwriting, always_has_room) {
  RingMemory memory = memory_of(GetParam(), 8);
  Ring ring(memory.make_lines());
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_TRUE(ring.producer().has_room_exact());
    ASSERT_EQ(ring.producer().try_push(&i), Status::kOk);
  }
  std::uint64_t message;
  for (std::uint64_t i = 100 - GetParam(); i < 100; ++i) {
    ASSERT_EQ(ring.consumer().try_pop(&message), Status::kOk);
    EXPECT_EQ(message, i) << "the newest are kept";
  }
  EXPECT_EQ(ring.consumer().try_pop(&message), Status::kEmpty);
  EXPECT_EQ(ring.stats().dropped, 100 - GetParam());
}

TEST_P(Overwriting, a_copy_that_is_held_survives_any_number_of_pushes) {
  RingMemory memory = memory_of(GetParam(), 8);
  Ring ring(memory.make_lines());
  std::uint64_t message = 42;
  ring.producer().try_push(&message);
  const std::byte* copy = ring.consumer().try_peek();
  ASSERT_NE(copy, nullptr);
  for (message = 0; message < 20; ++message) ring.producer().try_push(&message);
  EXPECT_EQ(ring.consumer().try_peek(), copy);
  std::memcpy(&message, copy, 8);
  EXPECT_EQ(message, 42u);
}

TEST_P(Overwriting, close_refuses_new_messages_and_drains_old_ones) {
  RingMemory memory = memory_of(GetParam(), 8);
  Ring ring(memory.make_lines());
  std::uint64_t message = 5;
  ring.producer().try_push(&message);
  ring.close();
  EXPECT_TRUE(ring.closed());
  EXPECT_EQ(ring.producer().try_push(&message), Status::kClosed);
  EXPECT_FALSE(ring.consumer().closed_and_drained());
  EXPECT_EQ(ring.consumer().try_pop(&message), Status::kOk);
  EXPECT_EQ(ring.consumer().try_pop(&message), Status::kClosed);
  EXPECT_EQ(ring.stats().dropped, 0u);
}

TEST(OverwriteRing, messages_of_any_size_come_out_as_they_went_in) {
  for (std::size_t size = 1; size <= 40; ++size) {
    RingMemory memory = memory_of(2, size);
    Ring ring(memory.make_lines());
    std::vector<unsigned char> sent(size), got(size);
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<unsigned char>(i * 7 + 1);
    ASSERT_EQ(ring.producer().try_push(sent.data()), Status::kOk);
    ASSERT_EQ(ring.consumer().try_pop(got.data()), Status::kOk);
    EXPECT_EQ(sent, got);
  }
}

}  // namespace
}  // namespace rk
