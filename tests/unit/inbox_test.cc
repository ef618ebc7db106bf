#include "ringkernel/runtime/inbox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace rk {
namespace {

constexpr std::uint8_t kLow = kPriorityLow, kNormal = kPriorityNormal, kHigh = kPriorityHigh,
                       kCritical = kPriorityCritical;

// Counts the blocks that are out: a lane has one.
class CountingMemory final : public MemorySource {
 public:
  int living() const { return living_.load(); }

 private:
  void* do_alloc(std::size_t bytes) override {
    ++living_;
    return take_memory(bytes);
  }
  void do_free(void* data, std::size_t bytes) override {
    --living_;
    give_memory(data, bytes);
  }
  std::atomic<int> living_{0};
};

class CountingOwner final : public InboxOwner {
 public:
  void inbox_ready() override { ++calls; }
  std::atomic<int> calls{0};
};

class CountingSender final : public LaneSender {
 public:
  void room_appeared() override { ++calls; }
  std::atomic<int> calls{0};
};

struct Received {
  std::uint64_t sender = 0, number = 0;
  std::uint8_t priority = 0;
  bool operator==(const Received&) const = default;
};

Received read(const std::byte* slot) {
  MessageHeader header;
  std::memcpy(&header, slot, sizeof(header));
  Received received{header.source, 0, header.priority};
  std::memcpy(&received.number, slot + sizeof(header), sizeof(received.number));
  return received;
}

Status put(Lane& lane, std::uint64_t number, std::uint64_t sender = 0) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = lane.options().priority;
  header.source = sender;
  header.payload_size = sizeof(number);
  return lane.put(header, reinterpret_cast<const std::byte*>(&number));
}

Status send(Lane& lane, std::uint64_t number, std::uint64_t sender = 0) {
  const Status status = put(lane, number, sender);
  if (status == Status::kOk) lane.publish();
  return status;
}

LaneOptions with(std::uint8_t priority, std::uint64_t capacity = 1024, Overflow overflow = Overflow::kFail) {
  LaneOptions options;
  options.priority = priority;
  options.capacity = capacity;
  options.overflow = overflow;
  return options;
}

class InboxTest : public testing::Test {
 protected:
  std::shared_ptr<Lane> open(std::uint8_t priority = kNormal, std::uint64_t capacity = 1024) {
    return inbox_.open(with(priority, capacity));
  }
  Received take() {
    const std::byte* slot = inbox_.try_peek();
    EXPECT_NE(slot, nullptr);
    const Received received = slot != nullptr ? read(slot) : Received{};
    if (slot != nullptr) inbox_.release();
    return received;
  }
  std::uint64_t take_number() { return take().number; }
  // Its lanes are abandoned afterwards.
  template <class Body>
  static void on_a_thread(Body&& body) {
    std::thread(body).join();
  }
  std::uint64_t drain() {
    std::uint64_t taken = 0;
    for (; inbox_.try_peek() != nullptr; ++taken) inbox_.release();
    return taken;
  }

  std::shared_ptr<CountingMemory> memory_ = std::make_shared<CountingMemory>();
  CountingOwner owner_;
  Inbox inbox_{memory_, &owner_};
};

// -- order ------------------------------------------------------------------------------------------------------------

TEST_F(InboxTest, what_one_sender_sends_comes_in_its_order) {
  const auto lane = open();
  EXPECT_EQ(inbox_.try_peek(), nullptr);
  for (std::uint64_t n = 0; n < 1000; ++n) ASSERT_EQ(send(*lane, n), Status::kOk);
  for (std::uint64_t n = 0; n < 1000; ++n) ASSERT_EQ(take_number(), n);
  EXPECT_EQ(inbox_.try_peek(), nullptr);
  const RingStats stats = inbox_.stats();
  EXPECT_EQ(stats.accepted, 1000u);
  EXPECT_EQ(stats.delivered, 1000u);
  EXPECT_EQ(stats.in_flight, 0u);
}

TEST_F(InboxTest, what_is_not_published_is_not_there) {
  const auto lane = open();
  ASSERT_EQ(put(*lane, 1), Status::kOk);
  EXPECT_EQ(inbox_.try_peek(), nullptr);
  ASSERT_EQ(put(*lane, 2), Status::kOk);
  lane->publish();
  lane->publish();
  EXPECT_EQ(take_number(), 1u);
  EXPECT_EQ(take_number(), 2u);
  EXPECT_EQ(owner_.calls, 1);
}

TEST_F(InboxTest, higher_priorities_come_first) {
  const std::vector<std::shared_ptr<Lane>> lanes = {open(kLow), open(kNormal), open(kHigh), open(kCritical)};
  for (const auto& lane : lanes) {
    send(*lane, 1);
    send(*lane, 2);
  }
  for (int priority : {3, 3, 2, 2, 1, 1, 0, 0}) EXPECT_EQ(take().priority, priority);
}

TEST_F(InboxTest, a_more_urgent_message_comes_in_the_middle_of_a_burst) {
  const auto low = open(kLow), critical = open(kCritical);
  for (std::uint64_t n = 0; n < 10; ++n) send(*low, n);
  EXPECT_EQ(take_number(), 0u);
  send(*critical, 100);
  EXPECT_EQ(take_number(), 100u);
  EXPECT_EQ(take_number(), 1u);
}

TEST_F(InboxTest, lanes_of_one_priority_take_turns_of_a_burst) {
  const auto a = open(), b = open();
  for (std::uint64_t n = 0; n < 200; ++n) {
    send(*a, n, 'a');
    send(*b, n, 'b');
  }
  std::vector<std::uint64_t> turns;
  for (std::uint64_t left = 200, n = 0; left != 0; left -= std::min<std::uint64_t>(left, Inbox::kBurst), n += 64) {
    for (const std::uint64_t sender : {std::uint64_t{'a'}, std::uint64_t{'b'}}) {
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(left, Inbox::kBurst); ++i) {
        ASSERT_EQ(take(), (Received{sender, n + i, kNormal}));
      }
    }
  }
  EXPECT_EQ(inbox_.try_peek(), nullptr);
}

TEST_F(InboxTest, a_message_once_peeked_stays_until_it_is_released) {
  const auto low = open(kLow), critical = open(kCritical);
  send(*low, 1);
  const std::byte* slot = inbox_.try_peek();
  ASSERT_NE(slot, nullptr);
  send(*critical, 2);  // a handler of the first is running
  EXPECT_EQ(inbox_.try_peek(), slot);
  inbox_.release();
  EXPECT_EQ(low->stats().in_flight, 0u) << "released what was not handled";
  EXPECT_EQ(take_number(), 2u);
}

TEST_F(InboxTest, one_whose_turn_has_come_keeps_it_over_two_looks) {
  const auto low = open(kLow), high = open(kHigh);
  for (std::uint64_t n = 0; n < 300; ++n) send(*high, n);
  send(*low, 7);
  for (std::uint32_t n = 0; n < Inbox::kPatience; ++n) ASSERT_EQ(take().priority, kHigh);
  inbox_.try_peek();
  inbox_.try_peek();
  EXPECT_EQ(take(), (Received{0, 7, kLow}));
}

// What inbox.h promises, said again without lanes: the most urgent, but one of each that has waited for 64 in a row.
class Patience {
 public:
  std::uint8_t next(const std::array<std::deque<std::uint64_t>, kPriorityCount>& waiting) {
    std::uint8_t chosen = kPriorityCount;
    for (std::uint8_t p = 0; p < kPriorityCount && chosen == kPriorityCount; ++p) {
      if (!waiting[p].empty() && passed_[p] >= 64) chosen = p;
    }
    for (std::uint8_t p = kPriorityCount; p-- > 0 && chosen == kPriorityCount;) {
      if (!waiting[p].empty()) chosen = p;
    }
    for (std::uint8_t p = 0; p < chosen; ++p) passed_[p] = waiting[p].empty() ? 0 : passed_[p] + 1;
    passed_[chosen] = 0;
    return chosen;
  }

 private:
  std::array<std::uint32_t, kPriorityCount> passed_{};
};

TEST_F(InboxTest, a_lower_priority_waits_for_64_messages_and_not_for_65) {
  const auto low = open(kLow), normal = open(kNormal), critical = open(kCritical);
  for (std::uint64_t n = 0; n < 400; ++n) send(*critical, n);
  for (std::uint64_t n = 0; n < 3; ++n) {
    send(*low, n);
    send(*normal, n);
  }
  std::vector<int> at_low, at_normal;
  for (int at = 0; at < 300; ++at) {
    const Received received = take();
    if (received.priority == kLow) at_low.push_back(at);
    if (received.priority == kNormal) at_normal.push_back(at);
  }
  // After the low one, a normal one and 63 critical ones make 64 again; the normal one counts critical ones only.
  EXPECT_EQ(at_low, (std::vector<int>{64, 129, 194}));
  EXPECT_EQ(at_normal, (std::vector<int>{65, 131, 197}));
}

TEST_F(InboxTest, any_mixture_of_priorities_comes_in_the_promised_order) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::array<std::shared_ptr<Lane>, kPriorityCount> lanes;
    std::array<std::deque<std::uint64_t>, kPriorityCount> waiting;
    for (std::uint8_t p = 0; p < kPriorityCount; ++p) lanes[p] = open(p, 256);
    Patience expected;
    std::uint64_t number = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto p = static_cast<std::uint8_t>(random() % kPriorityCount);
      for (std::uint64_t n = random() % (p == kCritical ? 5 : 2); n > 0; --n) {
        if (send(*lanes[p], ++number) == Status::kOk) waiting[p].push_back(number);
      }
      if (random() % 64 == 0) inbox_.let_go();
      if (std::all_of(waiting.begin(), waiting.end(), [](const auto& queue) { return queue.empty(); })) continue;
      const std::uint8_t chosen = expected.next(waiting);
      ASSERT_EQ(take(), (Received{0, waiting[chosen].front(), chosen})) << "step " << step;
      waiting[chosen].pop_front();
    }
    drain();
    for (const auto& lane : lanes) lane->abandon();
  }
}

// -- waking the receiver ----------------------------------------------------------------------------------------------

TEST_F(InboxTest, the_first_message_wakes_and_those_behind_it_do_not) {
  const auto lane = open();
  for (std::uint64_t n = 0; n < 10; ++n) send(*lane, n);
  EXPECT_EQ(owner_.calls, 1);
  for (std::uint64_t n = 0; n < 10; ++n) take();
  send(*lane, 10);
  EXPECT_EQ(owner_.calls, 1) << "the receiver stays at the lane";
  EXPECT_EQ(take_number(), 10u);
}

TEST_F(InboxTest, after_a_rest_the_next_message_wakes_again) {
  const auto lane = open();
  send(*lane, 1);
  EXPECT_FALSE(inbox_.rest()) << "there is a message";
  EXPECT_EQ(take_number(), 1u);
  EXPECT_TRUE(inbox_.rest());
  EXPECT_TRUE(inbox_.rest());
  EXPECT_FALSE(inbox_.has_ready());
  send(*lane, 2);
  EXPECT_EQ(owner_.calls, 2);
  EXPECT_TRUE(inbox_.has_ready());
  EXPECT_EQ(take_number(), 2u);
}

TEST_F(InboxTest, who_lets_go_with_messages_left_finds_them_again) {
  const auto lane = open(), other = open(kHigh);
  for (std::uint64_t n = 0; n < 3; ++n) send(*lane, n);
  ASSERT_NE(inbox_.try_peek(), nullptr);
  inbox_.let_go();
  EXPECT_TRUE(inbox_.has_ready());
  send(*lane, 3);
  EXPECT_EQ(owner_.calls, 1) << "it is in the queue already";
  send(*other, 9);
  EXPECT_EQ(take_number(), 9u);
  for (std::uint64_t n = 0; n < 4; ++n) EXPECT_EQ(take_number(), n);
}

TEST_F(InboxTest, a_rest_behind_one_lane_sees_the_others) {
  const auto a = open(), b = open();
  send(*a, 1);
  EXPECT_EQ(take_number(), 1u);
  send(*b, 2);
  EXPECT_FALSE(inbox_.rest());
  EXPECT_EQ(take_number(), 2u);
  EXPECT_TRUE(inbox_.rest());
}

// A receiver that really sleeps. What it misses it misses for ever, and the test never ends.
class SleepingOwner final : public InboxOwner {
 public:
  void inbox_ready() override {
    const std::lock_guard lock(mutex_);
    ready_ = true;
    changed_.notify_one();
  }
  void sleep() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return std::exchange(ready_, false); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false;
};

TEST(InboxThreadsTest, a_receiver_that_sleeps_misses_no_message_of_many_senders) {
  constexpr std::uint64_t kSenders = 4, kEach = 20'000;
  const auto memory = std::make_shared<CountingMemory>();
  SleepingOwner owner;
  Inbox inbox(memory, &owner);
  std::vector<std::thread> senders;
  for (std::uint64_t sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&, sender] {
      for (std::uint64_t n = 0; n < kEach;) {
        Lane& lane = *inbox.lane_of_thread(with(static_cast<std::uint8_t>(sender % kPriorityCount), 8));
        const Status status = send(lane, n, sender);
        if (status == Status::kOk) {
          ++n;
        } else {
          ASSERT_EQ(status, Status::kFull);
          ASSERT_TRUE(lane.wait_for_room(kNoDeadline));
        }
      }
    });
  }
  std::vector<std::uint64_t> next(kSenders, 0);
  for (std::uint64_t taken = 0; taken < kSenders * kEach;) {
    const std::byte* slot = inbox.try_peek();
    if (slot == nullptr) {
      if (inbox.rest()) owner.sleep();
      continue;
    }
    const Received received = read(slot);
    ASSERT_EQ(received.number, next[received.sender]++);
    inbox.release();
    if (++taken % 97 == 0) inbox.let_go();
  }
  for (auto& thread : senders) thread.join();
  EXPECT_EQ(inbox.stats().delivered, kSenders * kEach);
  EXPECT_EQ(inbox.stats().in_flight, 0u);
}

// -- lanes come and go ------------------------------------------------------------------------------------------------

TEST_F(InboxTest, abandoned_lanes_go_and_their_counts_stay) {
  for (std::uint64_t n = 0; n < 500; ++n) {
    const auto lane = open();
    ASSERT_EQ(send(*lane, n), Status::kOk);
    lane->abandon();
    ASSERT_EQ(take_number(), n);
  }
  EXPECT_LE(memory_->living(), static_cast<int>(Inbox::kSweepFrom) + 1);
  const RingStats stats = inbox_.stats();
  EXPECT_EQ(stats.accepted, 500u);
  EXPECT_EQ(stats.delivered, 500u);
  EXPECT_EQ(stats.high_water, 1u);
}

TEST_F(InboxTest, living_lanes_stay_when_abandoned_ones_go) {
  std::vector<std::shared_ptr<Lane>> lanes;
  for (int n = 0; n < 100; ++n) {
    lanes.push_back(open());
    const auto brief = open();
    send(*brief, 1);
    brief->abandon();
  }
  EXPECT_EQ(drain(), 100u);
  for (std::uint64_t n = 0; n < lanes.size(); ++n) ASSERT_EQ(send(*lanes[n], n), Status::kOk);
  EXPECT_EQ(drain(), 100u);
  EXPECT_EQ(inbox_.stats().accepted, 200u);
}

TEST_F(InboxTest, an_abandoned_lane_keeps_its_messages_until_they_are_read) {
  std::vector<std::weak_ptr<Lane>> lanes;
  for (std::uint64_t n = 0; n < 40; ++n) {
    const auto lane = open();
    send(*lane, n);
    lane->abandon();
    lanes.push_back(lane);
  }
  for (std::uint64_t n = 0; n < 20; ++n) take();
  EXPECT_EQ(inbox_.stats().in_flight, 20u);
  EXPECT_EQ(drain(), 20u);
  for (std::uint64_t n = 0; n < 41; ++n) {  // it looks when there are twice as many as at the last look
    const auto brief = open();
    send(*brief, n);
    brief->abandon();
    EXPECT_EQ(take_number(), n);
  }
  EXPECT_EQ(std::count_if(lanes.begin(), lanes.end(), [](const auto& lane) { return !lane.expired(); }), 0);
  EXPECT_EQ(inbox_.stats().delivered, 81u);
}

TEST_F(InboxTest, one_that_was_used_is_not_freed_with_a_message_that_came_last) {
  for (int round = 0; round < 100; ++round) {
    const auto lane = inbox_.open(with(kNormal, 4, Overflow::kDropOldest));
    send(*lane, 1);
    ASSERT_NE(inbox_.try_peek(), nullptr);  // a copy is held
    lane->abandon();
    for (std::size_t n = 0; n < 2 * Inbox::kSweepFrom; ++n) open()->abandon();
    ASSERT_EQ(take_number(), 1u);
  }
}

TEST_F(InboxTest, a_thread_has_a_lane_of_each_priority) {
  on_a_thread([this] {
    Lane* lane = inbox_.lane_of_thread(with(kNormal));
    ASSERT_NE(lane, nullptr);
    EXPECT_EQ(inbox_.lane_of_thread(with(kNormal)), lane);
    EXPECT_NE(inbox_.lane_of_thread(with(kHigh)), lane);
    EXPECT_EQ(inbox_.lane_of_thread(with(kNormal)), lane);
    Inbox other(memory_, &owner_);
    EXPECT_NE(other.lane_of_thread(with(kNormal)), lane);
    on_a_thread([&] { EXPECT_NE(inbox_.lane_of_thread(with(kNormal)), lane); });
  });
}

// A thread that knows many inboxes and sees others come and go.
TEST_F(InboxTest, a_thread_lets_go_of_lanes_of_closed_inboxes) {
  on_a_thread([this] {
    std::vector<std::unique_ptr<Inbox>> living;
    const auto make = [this] {
      auto inbox = std::make_unique<Inbox>(memory_, &owner_);
      EXPECT_NE(inbox->lane_of_thread(with(kNormal)), nullptr);
      return inbox;
    };
    for (int i = 0; i < 500; ++i) living.push_back(make());
    for (int i = 0; i < 500; ++i) make()->close();
    EXPECT_LE(memory_->living(), 500 + 65);
    Lane* lane = living[0]->lane_of_thread(with(kNormal));
    for (const auto& inbox : living) inbox->close();
    {
      const Inbox::KeepsLanes keeps;
      const auto another = make();
      Inbox::forget_closed();
      EXPECT_TRUE(lane->closed()) << "it is still there";
    }
    living.clear();  // an inbox has its lanes too
    Inbox::forget_closed();
    EXPECT_LE(memory_->living(), 1);
  });
}

TEST_F(InboxTest, the_lanes_of_a_thread_go_after_it_and_what_it_sent_stays) {
  constexpr std::uint64_t kThreads = 100;
  for (std::uint64_t n = 0; n < kThreads; ++n) {
    std::thread([&] { ASSERT_EQ(send(*inbox_.lane_of_thread(with(kNormal)), n), Status::kOk); }).join();
    if (n % 2 == 1) {
      EXPECT_EQ(drain(), 2u);
    }
  }
  EXPECT_LE(memory_->living(), static_cast<int>(Inbox::kSweepFrom) + 2);
  EXPECT_EQ(inbox_.stats().delivered, kThreads);
}

TEST_F(InboxTest, senders_come_and_go_while_it_receives) {
  constexpr std::uint64_t kThreads = 3, kTimes = 300;
  std::atomic<std::uint64_t> sent{0};
  std::vector<std::thread> starters;
  for (std::uint64_t i = 0; i < kThreads; ++i) {
    starters.emplace_back([&] {
      for (std::uint64_t n = 0; n < kTimes; ++n) {
        std::thread([&] {
          if (send(*inbox_.lane_of_thread(with(kNormal, 4)), n) == Status::kOk) ++sent;
        }).join();
      }
    });
  }
  for (std::uint64_t taken = 0; taken < kThreads * kTimes;) {
    if (inbox_.try_peek() != nullptr) {
      inbox_.release();
      ++taken;
    } else {
      inbox_.rest();
      std::this_thread::yield();
    }
  }
  for (auto& thread : starters) thread.join();
  EXPECT_EQ(sent, kThreads * kTimes);
  EXPECT_EQ(inbox_.stats().accepted, kThreads * kTimes);
}

// -- room -------------------------------------------------------------------------------------------------------------

TEST_F(InboxTest, a_full_lane_refuses_and_takes_again_after_a_release) {
  const auto lane = open(kNormal, 2);
  EXPECT_EQ(lane->free_slots(), 2u);
  EXPECT_EQ(send(*lane, 1), Status::kOk);
  EXPECT_EQ(send(*lane, 2), Status::kOk);
  EXPECT_EQ(lane->free_slots(), 0u);
  EXPECT_EQ(send(*lane, 3), Status::kFull);
  EXPECT_FALSE(lane->has_room());
  EXPECT_FALSE(lane->wait_for_room(HostAtomics::monotonic_ns() + 1'000'000));
  EXPECT_EQ(take_number(), 1u);
  EXPECT_TRUE(lane->has_room());
  EXPECT_TRUE(lane->wait_for_room(0));
  EXPECT_EQ(send(*lane, 4), Status::kOk);
  EXPECT_EQ(inbox_.stats().accepted, 3u);
}

TEST_F(InboxTest, staged_messages_take_room_before_they_are_published) {
  const auto lane = open(kNormal, 2);
  EXPECT_EQ(put(*lane, 1), Status::kOk);
  EXPECT_EQ(lane->free_slots(), 1u);
  EXPECT_EQ(put(*lane, 2), Status::kOk);
  EXPECT_EQ(put(*lane, 3), Status::kFull);
  lane->publish();
  EXPECT_EQ(drain(), 2u);
}

TEST_F(InboxTest, a_sender_that_is_no_thread_is_called_once_when_there_is_room) {
  const auto sender = std::make_shared<CountingSender>();
  const auto lane = inbox_.open(with(kNormal, 2), sender);
  EXPECT_FALSE(lane->sleep_until_room()) << "there is room";
  send(*lane, 1);
  send(*lane, 2);
  EXPECT_TRUE(lane->sleep_until_room());
  EXPECT_EQ(sender->calls, 0);
  take();
  take();
  EXPECT_EQ(sender->calls, 1);
}

TEST_F(InboxTest, a_lane_does_not_keep_its_sender) {
  auto sender = std::make_shared<CountingSender>();
  const std::weak_ptr<CountingSender> watched = sender;
  const auto lane = inbox_.open(with(kNormal, 1), sender);
  send(*lane, 1);
  EXPECT_TRUE(lane->sleep_until_room());
  sender.reset();
  EXPECT_TRUE(watched.expired());
  take();  // rings for nobody
}

TEST_F(InboxTest, a_message_larger_than_the_slot_is_refused) {
  const auto lane = open();
  MessageHeader header{};
  header.payload_size = static_cast<std::uint32_t>(lane->options().slot_size - sizeof(header));
  const std::vector<std::byte> payload(header.payload_size + 1);
  EXPECT_EQ(lane->put(header, payload.data()), Status::kOk);
  header.payload_size += 1;
  EXPECT_EQ(lane->put(header, payload.data()), Status::kTooLarge);
}

TEST_F(InboxTest, a_lane_that_cannot_be_is_refused_with_the_reason) {
  EXPECT_EQ(Lane::check(with(kNormal, 3)), GeometryError::kCapacityNotPowerOfTwo);
  EXPECT_THROW(open(kNormal, 3), Lane::GeometryFailure);
  EXPECT_THROW(open(kNormal, std::uint64_t{1} << 34), std::bad_alloc);
  EXPECT_EQ(memory_->living(), 0);
}

// -- dropping ---------------------------------------------------------------------------------------------------------

TEST_F(InboxTest, drop_newest_keeps_what_came_first) {
  const auto lane = inbox_.open(with(kNormal, 4, Overflow::kDropNewest));
  for (std::uint64_t n = 0; n < 7; ++n) EXPECT_EQ(send(*lane, n), Status::kOk);
  EXPECT_TRUE(lane->has_room()) << "it never waits";
  for (std::uint64_t n = 0; n < 4; ++n) EXPECT_EQ(take_number(), n);
  EXPECT_EQ(inbox_.try_peek(), nullptr);
  EXPECT_EQ(send(*lane, 7), Status::kOk);
  EXPECT_EQ(take_number(), 7u);
  const RingStats stats = inbox_.stats();
  EXPECT_EQ(stats.accepted, 8u);
  EXPECT_EQ(stats.dropped, 3u);
  EXPECT_EQ(stats.delivered, 5u);
}

TEST_F(InboxTest, drop_oldest_keeps_what_came_last_and_what_is_in_hand) {
  const auto lane = inbox_.open(with(kNormal, 4, Overflow::kDropOldest));
  EXPECT_FALSE(lane->in_place());
  send(*lane, 0);
  const std::byte* in_hand = inbox_.try_peek();
  ASSERT_NE(in_hand, nullptr);
  for (std::uint64_t n = 1; n < 10; ++n) EXPECT_EQ(send(*lane, n), Status::kOk);
  EXPECT_EQ(read(in_hand).number, 0u);
  EXPECT_EQ(inbox_.try_peek(), in_hand);
  inbox_.release();
  for (std::uint64_t n = 6; n < 10; ++n) EXPECT_EQ(take_number(), n);
  EXPECT_EQ(inbox_.try_peek(), nullptr);
  const RingStats stats = inbox_.stats();
  EXPECT_EQ(stats.accepted, 10u);
  EXPECT_EQ(stats.dropped, 5u);
  EXPECT_EQ(stats.delivered, 5u);
  EXPECT_EQ(stats.in_flight, 0u);
}

// -- looking, closing -------------------------------------------------------------------------------------------------

TEST_F(InboxTest, a_look_at_what_waits_takes_nothing) {
  const auto a = open(), b = open(kHigh);
  for (std::uint64_t n = 0; n < 5; ++n) send(*a, n, 'a');
  send(*b, 9, 'b');
  EXPECT_EQ(take_number(), 9u);
  EXPECT_EQ(take_number(), 0u);
  inbox_.let_go();
  std::vector<std::uint64_t> seen;
  const auto look = [&](const MessageHeader&, const std::byte* payload) {
    std::uint64_t number = 0;
    std::memcpy(&number, payload, sizeof(number));
    seen.push_back(number);
  };
  inbox_.for_each(look);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3, 4}));
  for (std::uint64_t n = 1; n < 5; ++n) EXPECT_EQ(take_number(), n);
}

TEST_F(InboxTest, one_may_look_while_the_receiver_goes_to_sleep) {
  for (int round = 0; round < 300; ++round) {
    const auto lane = open(kNormal, 8);
    for (std::uint64_t n = 0; n < 4; ++n) send(*lane, n);
    take();
    std::uint64_t seen = 0;
    std::thread host([&] { inbox_.for_each([&](const MessageHeader&, const std::byte*) { ++seen; }); });
    inbox_.let_go();
    host.join();
    EXPECT_EQ(seen, 3u);
    EXPECT_EQ(drain(), 3u);
    lane->abandon();
  }
}

TEST_F(InboxTest, a_closed_inbox_takes_nothing_more_and_keeps_what_it_has) {
  on_a_thread([this] {
    const auto lane = open();
    Lane* of_thread = inbox_.lane_of_thread(with(kLow));
    send(*lane, 1);
    inbox_.close();
    inbox_.close();
    EXPECT_TRUE(inbox_.closed());
    EXPECT_EQ(send(*lane, 2), Status::kClosed);
    EXPECT_EQ(send(*of_thread, 2), Status::kClosed);
    EXPECT_EQ(lane->free_slots(), 0u);
    EXPECT_EQ(inbox_.lane_of_thread(with(kHigh)), nullptr);
  });
  EXPECT_EQ(open(), nullptr);
  std::uint64_t seen = 0;
  inbox_.for_each([&](const MessageHeader&, const std::byte*) { ++seen; });
  EXPECT_EQ(seen, 0u) << "its receiver may be emptying it";
  EXPECT_EQ(take_number(), 1u);
  EXPECT_EQ(inbox_.try_peek(), nullptr);
}

TEST_F(InboxTest, a_close_wakes_who_waits_for_room) {
  const auto sender = std::make_shared<CountingSender>();
  const auto lane = open(kNormal, 1), of_actor = inbox_.open(with(kNormal, 1), sender);
  send(*lane, 1);
  send(*of_actor, 1);
  EXPECT_TRUE(of_actor->sleep_until_room());
  std::thread waiter([&] { EXPECT_TRUE(lane->wait_for_room(kNoDeadline)); });
  inbox_.close();
  waiter.join();
  EXPECT_EQ(sender->calls, 1);
  EXPECT_EQ(send(*lane, 2), Status::kClosed);
}

}  // namespace
}  // namespace rk
