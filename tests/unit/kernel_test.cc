// Kernels with C++ handlers: life cycle, calls from many threads, failure, back-pressure, and threads that never
// return.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "ringkernel/runtime/runtime.h"

namespace rk {
namespace {

constexpr std::uint32_t kType = 7;
constexpr std::uint64_t kSecond = 1'000'000'000;
const Kernel::Poll kNoPoll = [] {};

std::uint64_t in_seconds(std::uint64_t seconds) { return HostAtomics::monotonic_ns() + seconds * kSecond; }

std::uint64_t number_in(const Frame& frame) {
  std::uint64_t number = 0;
  std::memcpy(&number, frame.data() + sizeof(MessageHeader), sizeof(number));
  return number;
}

// Replies with the number it got, plus one. 13 fails; `hold` stops it until it is cleared.
struct Echo final : Handler {
  Outcome handle(KernelContext& context, const MessageHeader&, const std::byte* payload) override {
    while (hold.load(std::memory_order_acquire)) std::this_thread::yield();
    std::uint64_t number;
    std::memcpy(&number, payload, sizeof(number));
    if (number == 13) return Outcome::kFailed;
    seen.fetch_add(1, std::memory_order_relaxed);
    ++number;
    const auto* bytes = reinterpret_cast<const std::byte*>(&number);
    return context.reply(kType, {bytes, sizeof(number)}, kPriorityNormal) == Status::kOk ? Outcome::kHandled
                                                                                         : Outcome::kFailed;
  }
  std::atomic<bool> hold{false};
  std::atomic<std::uint64_t> seen{0};
};

class KernelTest : public ::testing::Test {
 protected:
  KernelTest()
      : runtime(
            std::make_shared<Runtime>(std::shared_ptr<Backend>(make_cpu_backend()), 1, ntp64_from_ns(kSecond / 2))) {}
  ~KernelTest() override { runtime->close(in_seconds(20), kNoPoll); }

  std::shared_ptr<Kernel> launch(std::uint64_t capacity = 64, bool start = true) {
    KernelOptions options;
    options.name = "echo" + std::to_string(launched++);
    options.capacity = capacity;
    options.max_payload = 8;
    auto kernel = runtime->launch(echo, options);
    if (start) kernel->activate(in_seconds(20), kNoPoll);
    return kernel;
  }

  static MessageHeader header(Kernel& kernel, std::uint8_t flags = 0) {
    MessageHeader made{};
    made.version = kMessageVersion;
    made.flags = flags;
    made.type_id = kType;
    made.payload_size = 8;
    made.message_id = kernel.next_message_id();
    return made;
  }

  static Status send(Kernel& kernel, std::uint64_t number) {
    MessageHeader made = header(kernel);
    return kernel.try_send(made, reinterpret_cast<const std::byte*>(&number));
  }

  static Frame call(Kernel& kernel, std::uint64_t number) {
    MessageHeader made = header(kernel, kFlagWantsReply);
    Frame frame;
    kernel.expect_reply(made.message_id);
    while (kernel.try_send(made, reinterpret_cast<const std::byte*>(&number)) == Status::kFull)
      std::this_thread::yield();
    EXPECT_TRUE(kernel.receive(made.message_id, &frame, in_seconds(20)));
    kernel.forget_reply(made.message_id);
    return frame;
  }

  std::shared_ptr<Echo> echo = std::make_shared<Echo>();
  std::shared_ptr<Runtime> runtime;
  int launched = 0;
};

TEST_F(KernelTest, AnswersCalls) {
  auto kernel = launch();
  EXPECT_EQ(number_in(call(*kernel, 41)), 42u);
  EXPECT_EQ(kernel->state(), KernelState::kActive);
}

TEST_F(KernelTest, GivesEachOfManyCallingThreadsItsOwnReplies) {
  auto kernel = launch(16);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (std::uint64_t t = 0; t < 6; ++t) {
    callers.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 300; ++i) {
        const std::uint64_t number = 1000 + t * 1000 + i;
        if (number_in(call(*kernel, number)) != number + 1) ++wrong;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  const RingStats stats = kernel->inbox_stats();
  EXPECT_EQ(stats.accepted, 1800u);
  EXPECT_EQ(stats.delivered, 1800u);
}

TEST_F(KernelTest, RestsWhileDeactivatedAndGoesOnAfterwards) {
  auto kernel = launch();
  call(*kernel, 1);
  kernel->deactivate(in_seconds(20), kNoPoll);
  for (std::uint64_t i = 0; i < 10; ++i) ASSERT_EQ(send(*kernel, 100 + i), Status::kOk);
  EXPECT_EQ(echo->seen, 1u);
  kernel->activate(in_seconds(20), kNoPoll);
  Frame frame;
  for (std::uint64_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(kernel->receive(0, &frame, in_seconds(20)));
    EXPECT_EQ(number_in(frame), 101 + i);
  }
}

TEST_F(KernelTest, RefusesIllegalMoves) {
  auto kernel = launch(64, false);
  EXPECT_THROW(kernel->deactivate(in_seconds(1), kNoPoll), Error);
  kernel->activate(in_seconds(20), kNoPoll);
  EXPECT_THROW(kernel->activate(in_seconds(1), kNoPoll), Error);
  kernel->terminate(in_seconds(20), kNoPoll);
  EXPECT_THROW(kernel->terminate(in_seconds(1), kNoPoll), Error);
  EXPECT_THROW(kernel->activate(in_seconds(1), kNoPoll), Error);
  EXPECT_EQ(send(*kernel, 1), Status::kClosed);
}

TEST_F(KernelTest, DrainsBeforeItTerminates) {
  auto kernel = launch(256);
  for (std::uint64_t i = 0; i < 200; ++i) ASSERT_EQ(send(*kernel, 100 + i), Status::kOk);
  kernel->terminate(in_seconds(20), kNoPoll);
  EXPECT_EQ(echo->seen, 200u);
  Frame frame;
  std::uint64_t replies = 0;
  while (kernel->receive(0, &frame, 0)) ++replies;
  EXPECT_EQ(replies, 200u);
}

TEST_F(KernelTest, DeadLettersWhatAPausedKernelHolds) {
  auto kernel = launch();
  kernel->deactivate(in_seconds(20), kNoPoll);
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_EQ(send(*kernel, i), Status::kOk);
  kernel->terminate(in_seconds(20), kNoPoll);
  const RingStats stats = kernel->inbox_stats();
  EXPECT_EQ(stats.dead_lettered, 5u);
  EXPECT_EQ(stats.in_flight, 0u);
  EXPECT_EQ(echo->seen, 0u);
}

TEST_F(KernelTest, FailsAfterTooManyFailuresAndTellsTheCaller) {
  auto kernel = launch();
  for (int i = 0; i < 4; ++i) {
    const MessageHeader reply = header_of(call(*kernel, 13));
    EXPECT_EQ(reply.flags & kFlagError, kFlagError);
  }
  Frame frame;
  EXPECT_FALSE(kernel->receive(0, &frame, in_seconds(20)));  // it ended, and sent nothing more
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  EXPECT_EQ(kernel->inbox_stats().dead_lettered, 4u);
  EXPECT_EQ(send(*kernel, 1), Status::kClosed);
}

TEST_F(KernelTest, HoldsBackWhenNobodyReceivesAndStillTerminates) {
  auto kernel = launch(4);
  std::uint64_t accepted = 0;
  const std::uint64_t until = in_seconds(1);
  while (HostAtomics::monotonic_ns() < until && accepted < 1000) {
    if (send(*kernel, 100) == Status::kOk) ++accepted;
  }
  EXPECT_LE(accepted, 10u) << "4 in the inbox, 4 in the outbox, one in the handler";
  kernel->terminate(in_seconds(20), kNoPoll);
  const RingStats stats = kernel->inbox_stats();
  EXPECT_EQ(stats.accepted, stats.delivered + stats.dead_lettered);
}

TEST_F(KernelTest, AbandonsAHandlerThatDoesNotReturn) {
  auto kernel = launch();
  echo->hold = true;
  ASSERT_EQ(send(*kernel, 1), Status::kOk);
  EXPECT_THROW(kernel->terminate(HostAtomics::monotonic_ns() + kSecond / 5, kNoPoll), Error);
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  echo->hold = false;  // so that the test's end can wait for it
  const std::uint64_t until = in_seconds(20);
  while (!kernel->ended() && HostAtomics::monotonic_ns() < until) std::this_thread::yield();
  EXPECT_TRUE(kernel->ended());
}

TEST_F(KernelTest, SendsBatchesInOrder) {
  auto kernel = launch(1024);
  std::vector<std::uint64_t> numbers(1000);
  for (std::uint64_t i = 0; i < numbers.size(); ++i) numbers[i] = 100 + i;
  const MessageHeader like = header(*kernel);
  EXPECT_EQ(kernel->send_many(like, reinterpret_cast<const std::byte*>(numbers.data()), numbers.size()), 1000u);
  Frame frame;
  for (std::uint64_t i = 0; i < numbers.size(); ++i) {
    ASSERT_TRUE(kernel->receive(0, &frame, in_seconds(20)));
    EXPECT_EQ(number_in(frame), 101 + i);
  }
}

TEST_F(KernelTest, StampsRepliesLaterThanRequests) {
  auto kernel = launch();
  const std::uint64_t before = runtime->clock().tick().time;
  const MessageHeader reply = header_of(call(*kernel, 1));
  EXPECT_GT(reply.hlc, before);
}

}  // namespace
}  // namespace rk
