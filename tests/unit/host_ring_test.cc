// Rings for threads: roles, lanes by thread, policies, blocking and close.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "ringkernel/runtime/host_ring.h"

namespace rk {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

std::uint64_t in_seconds(std::uint64_t seconds) { return HostAtomics::monotonic_ns() + seconds * kSecond; }

HostRingOptions small(Overflow overflow = Overflow::kFail, std::uint32_t producers = 1) {
  HostRingOptions options;
  options.capacity = 4;
  options.slot_size = 16;
  options.overflow = overflow;
  options.max_producers = producers;
  options.one_producer = producers == 1;
  return options;
}

Status push(HostRing& ring, std::uint64_t number) { return ring.try_push(&number, sizeof(number)); }

std::uint64_t pop(HostRing& ring) {
  const std::byte* slot = ring.try_peek();
  if (slot == nullptr) return ~std::uint64_t{0};
  std::uint64_t number;
  std::memcpy(&number, slot, sizeof(number));
  EXPECT_EQ(ring.peeked_length(), sizeof(number));
  ring.release();
  return number;
}

TEST(HostRing, RefusesASecondProducerUntilTheFirstLeaves) {
  HostRing ring(small());
  ASSERT_EQ(push(ring, 1), Status::kOk);
  std::thread([&] { EXPECT_THROW(push(ring, 2), HostRing::RoleTaken); }).join();
  ring.leave(HostRing::Role::kProducer);
  std::thread([&] { EXPECT_EQ(push(ring, 2), Status::kOk); }).join();
  EXPECT_EQ(push(ring, 3), Status::kOk) << "the other thread has ended, its role is free";
  EXPECT_EQ(pop(ring), 1u);
  EXPECT_EQ(pop(ring), 2u);
  EXPECT_EQ(pop(ring), 3u);
}

TEST(HostRing, RefusesASecondConsumerUntilTheFirstLeaves) {
  HostRing ring(small());
  push(ring, 1);
  push(ring, 2);
  EXPECT_EQ(pop(ring), 1u);
  std::thread([&] { EXPECT_THROW(ring.try_peek(), HostRing::RoleTaken); }).join();
  ring.leave(HostRing::Role::kConsumer);
  std::thread([&] { EXPECT_EQ(pop(ring), 2u); }).join();
}

TEST(HostRing, DropsTheNewestOrTheOldestWhenAsked) {
  HostRing newest(small(Overflow::kDropNewest)), oldest(small(Overflow::kDropOldest));
  for (std::uint64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(push(newest, i), Status::kOk);
    EXPECT_EQ(push(oldest, i), Status::kOk);
  }
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(pop(newest), i);
    EXPECT_EQ(pop(oldest), i + 2);
  }
  EXPECT_EQ(newest.stats().dropped, 2u);
  EXPECT_EQ(oldest.stats().dropped, 2u);
  EXPECT_EQ(oldest.stats().accepted, 6u);
}

TEST(HostRing, WakesAProducerThatWaitsForRoom) {
  HostRing ring(small());
  std::atomic<int> pushed{0};
  std::thread producer([&] {
    for (std::uint64_t i = 0; i < 200;) {
      if (push(ring, i) == Status::kOk) {
        ++i;
        ++pushed;
      } else {
        ASSERT_TRUE(ring.wait_for_room(in_seconds(20)));
      }
    }
  });
  for (std::uint64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(ring.wait_for_message(in_seconds(20)));
    EXPECT_EQ(pop(ring), i);
    if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let the other side fall asleep
  }
  producer.join();
}

TEST(HostRing, WakesEverybodyOnClose) {
  HostRing ring(small());
  for (std::uint64_t i = 0; i < 4; ++i) push(ring, i);
  ring.leave(HostRing::Role::kProducer);
  std::thread producer([&] {
    EXPECT_EQ(push(ring, 9), Status::kFull);
    EXPECT_TRUE(ring.wait_for_room(in_seconds(20)));
    EXPECT_EQ(push(ring, 9), Status::kClosed);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ring.close();
  producer.join();
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(pop(ring), i);
  EXPECT_TRUE(ring.closed_and_drained());
}

TEST(HostRing, TakesMoreProducersThanItHasLanes) {
  HostRing ring(small(Overflow::kFail, 3));
  constexpr std::uint64_t kThreads = 9, kEach = 200;
  std::atomic<std::uint64_t> running{0};
  std::vector<std::thread> producers;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    producers.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < kEach;) {
        if (push(ring, t << 32 | i) != Status::kOk) {
          ring.wait_for_room(in_seconds(20));
        } else if (++i == 1) {  // each has a lane before one of them ends and leaves its own to another
          ++running;
          while (running < kThreads) std::this_thread::yield();
        }
      }
    });
  }
  std::vector<std::uint64_t> next(kThreads, 0);
  for (std::uint64_t n = 0; n < kThreads * kEach; ++n) {
    ASSERT_TRUE(ring.wait_for_message(in_seconds(20)));
    const std::uint64_t number = pop(ring);
    ASSERT_EQ(number & 0xFFFFFFFFu, next[number >> 32]++) << "in order for each producer";
  }
  for (auto& producer : producers) producer.join();
  const RingStats stats = ring.stats();
  EXPECT_EQ(stats.accepted, kThreads * kEach);
  EXPECT_EQ(stats.delivered, kThreads * kEach);
  EXPECT_EQ(ring.producers(), 3u);
}

TEST(HostRing, GivesTheLaneOfAnEndedThreadToTheNext) {
  HostRing ring(small(Overflow::kFail, 8));
  for (std::uint64_t i = 0; i < 50; ++i) {
    std::thread([&] { EXPECT_EQ(push(ring, i), Status::kOk); }).join();
    EXPECT_EQ(pop(ring), i);
  }
  EXPECT_EQ(ring.producers(), 1u);
}

TEST(HostRing, RefusesWhatCannotBe) {
  HostRingOptions options = small();
  options.capacity = 3;
  EXPECT_THROW(HostRing{options}, HostRing::GeometryFailure);
  options.capacity = std::uint64_t{1} << 45;
  EXPECT_ANY_THROW(HostRing{options});
  options = small();
  options.slot_size = 0;
  EXPECT_THROW(HostRing{options}, HostRing::GeometryFailure);
}

}  // namespace
}  // namespace rk
