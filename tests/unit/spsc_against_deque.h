// A ring and the std::deque that says what it should do, driven by one operation at a time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "ring_fixture.h"
#include "ringkernel/core/spsc_ring.h"

namespace rk::test {

enum Op : unsigned {
  kPush,        // one
  kPop,         // one
  kClaim,       // two slots, filled; publishes what was claimed
  kAbandon,     // claims a slot and never publishes it
  kPushMany,    // three
  kPeek,        // two messages, releases what was there
  kLookOnly,    // peeks and releases nothing
  kPopMany,     // three
  kConsume,     // up to two in place
  kExactRoom,   // asks the consumer's own count
  kDropNewest,  // the policy of a caller: pushes, or counts the message as dropped
  kClose,
  kOpCount,
};

// The ring and what it should hold. Messages are 1, 2, 3 ...
class SpscAgainstDeque {
 public:
  SpscAgainstDeque(RingMemory& memory, std::uint64_t interval)
      : capacity_(memory.geometry().capacity),
        interval_(interval != 0 ? interval : std::max<std::uint64_t>(capacity_ / 8, 1)),
        ring_(memory.make_lines(), {Wait::kLatency, interval}) {}

  void apply(Op op) {
    switch (op) {
      case kPush:
        return push();
      case kPop:
        return pop();
      case kClaim:
        return claim();
      case kAbandon:
        return abandon();
      case kPushMany:
        return push_many();
      case kPeek:
        return peek(true);
      case kLookOnly:
        return peek(false);
      case kPopMany:
        return pop_many();
      case kConsume:
        return consume();
      case kExactRoom:
        return exact_room();
      case kDropNewest:
        return drop_newest();
      case kClose:
        closed_ = true;
        return ring_.close();
      case kOpCount:
        break;
    }
  }

  void check() {
    const RingStats stats = ring_.stats();
    EXPECT_TRUE(test::adds_up(stats));
    EXPECT_EQ(stats.accepted, sent_ + dropped_);
    EXPECT_EQ(stats.delivered, sent_ - model_.size());
    EXPECT_EQ(stats.dropped, dropped_);
    EXPECT_EQ(stats.in_flight, model_.size());
    EXPECT_GE(stats.high_water, model_.size());
    EXPECT_LE(stats.high_water, peak_);
    EXPECT_EQ(ring_.closed(), closed_);
  }

  // Whatever came before, the rest comes out in order, and then the ring is empty or closed.
  void drain() {
    while (!model_.empty()) pop();
    pop();
  }

 private:
  // A claim may fail early by what the consumer has not told yet, and never by more.
  void check_full(std::uint64_t wanted, std::uint64_t got) {
    if (closed_) {
      EXPECT_EQ(got, 0u);
      return;
    }
    const std::uint64_t room = capacity_ - model_.size();
    EXPECT_LE(got, std::min(wanted, room));
    EXPECT_GE(got + interval_ - 1, std::min(wanted, room));
  }

  // A batch ends where the last look of a packed ring ended, but is never empty when there is a message.
  void check_batch(std::uint64_t wanted, std::uint64_t got) {
    const std::uint64_t there = std::min<std::uint64_t>(wanted, model_.size());
    EXPECT_LE(got, there);
    EXPECT_EQ(got == 0, there == 0);
  }

  void accepted(std::uint64_t count) {
    for (; count != 0; --count) model_.push_back(++sent_);
    peak_ = std::max<std::uint64_t>(peak_, model_.size());
  }

  void remove(std::uint64_t count) {
    ASSERT_LE(count, model_.size());
    model_.erase(model_.begin(), model_.begin() + static_cast<std::ptrdiff_t>(count));
  }

  void push() {
    const std::uint64_t message = sent_ + 1;
    const Status status = ring_.try_push(&message);
    EXPECT_EQ(status == Status::kClosed, closed_);
    check_full(1, status == Status::kOk);
    accepted(status == Status::kOk);
  }

  void drop_newest() {
    const std::uint64_t message = sent_ + 1;
    const Status status = ring_.try_push(&message);
    accepted(status == Status::kOk);
    if (status != Status::kFull) return;
    ring_.producer().count_dropped(1);
    ++dropped_;
  }

  void claim() {
    std::uint64_t claimed = 0;
    for (; claimed < 2; ++claimed) {
      std::byte* slot = ring_.try_claim(claimed);
      if (slot == nullptr) break;
      const std::uint64_t message = sent_ + 1 + claimed;
      std::memcpy(slot, &message, 8);
    }
    check_full(2, claimed);
    if (claimed != 0) ring_.publish(claimed);
    accepted(claimed);
  }

  void abandon() {
    if (std::byte* slot = ring_.try_claim()) std::memset(slot, 0xFF, 8);
  }

  void push_many() {
    const std::uint64_t messages[3] = {sent_ + 1, sent_ + 2, sent_ + 3};
    const std::uint64_t fitted = ring_.push_many(messages, 3);
    check_full(3, fitted);
    accepted(fitted);
  }

  void pop() {
    std::uint64_t message = 0;
    const Status status = ring_.try_pop(&message);
    EXPECT_EQ(status, !model_.empty() ? Status::kOk : closed_ ? Status::kClosed : Status::kEmpty);
    if (status != Status::kOk) return;
    EXPECT_EQ(message, model_.front());
    remove(1);
  }

  void peek(bool release) {
    std::uint64_t seen = 0;
    for (; seen < 2; ++seen) {
      const std::byte* slot = ring_.try_peek(seen);
      if (slot == nullptr) break;
      std::uint64_t message;
      std::memcpy(&message, slot, 8);
      ASSERT_LT(seen, model_.size());
      EXPECT_EQ(message, model_[seen]);
    }
    EXPECT_EQ(seen, std::min<std::uint64_t>(2, model_.size()));
    if (!release || seen == 0) return;
    ring_.release(seen);
    remove(seen);
  }

  void pop_many() {
    std::uint64_t messages[3] = {};
    const std::uint64_t got = ring_.pop_many(messages, 3);
    check_batch(3, got);
    for (std::uint64_t i = 0; i < got; ++i) EXPECT_EQ(messages[i], model_[i]);
    remove(got);
  }

  void consume() {
    std::uint64_t used = 0;
    const std::uint64_t got = ring_.consumer().consume(
        [&](const std::byte* slot) {
          std::uint64_t message;
          std::memcpy(&message, slot, 8);
          EXPECT_EQ(message, model_[used++]);
        },
        2);
    EXPECT_EQ(got, used);
    check_batch(std::min<std::uint64_t>(2, interval_), got);
    remove(got);
  }

  void exact_room() { EXPECT_EQ(ring_.producer().has_room_exact(), model_.size() < capacity_); }

  std::uint64_t capacity_, interval_;
  SpscRing<> ring_;
  std::deque<std::uint64_t> model_;
  std::uint64_t sent_ = 0, dropped_ = 0, peak_ = 0;
  bool closed_ = false;
};

}  // namespace rk::test
