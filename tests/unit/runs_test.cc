// Handlers that take messages in runs: nothing but the number of calls may differ from one message a call.
#include <cstring>

#include "actors.h"

namespace rk::test {
namespace {

// Answers each number with one more; 13 fails; leaves the run after a number above 1000.
class RunHandler final : public Handler {
 public:
  explicit RunHandler(std::uint32_t longest) : longest_(longest) {}

  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override {
    return one(context, header, payload);
  }
  std::uint32_t longest_run() const override { return longest_; }
  std::uint32_t handle_run(KernelContext& context, const Run& run, Outcome* outcome) override {
    runs.add(run.count);
    for (std::uint32_t i = 0; i < run.count; ++i) {
      const std::byte* slot = run.first + i * run.stride;
      context.take_in_hand(slot);
      *outcome = one(context, context.header(), slot + sizeof(MessageHeader));
      if (*outcome != Outcome::kHandled || context.must_leave()) return i + 1;
    }
    return run.count;
  }
  std::string error_text(std::uint32_t) override { return "unlucky"; }

  Log seen, runs;

 private:
  Outcome one(KernelContext& context, const MessageHeader& header, const std::byte* payload) {
    std::uint64_t value = 0;
    std::memcpy(&value, payload, sizeof(value));
    seen.add(value);
    if (value == 13) return Outcome::kFailed;
    if (value > 1000) context.request_termination();
    const Answer answer{value + 1};
    Outgoing out;
    out.type_id = Answer::kTypeId;
    out.payload = std::as_bytes(std::span(&answer, 1));
    return header.message_id != 0 && context.reply(out) == Status::kOk ? Outcome::kHandled : Outcome::kFailed;
  }

  std::uint32_t longest_;
};

class RunsTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  ~RunsTest() override {
    system.close(20s);
    expect_conserved(system->totals().all());
  }
  static void pause(Kernel& kernel) {
    kernel.deactivate(deadline_after(20s), [] {});
  }
  static void go_on(Kernel& kernel) {
    kernel.activate(deadline_after(20s), [] {});
  }
  static bool idle(Kernel& kernel) {
    return eventually([&] { return kernel.inbox_stats().in_flight == 0; });
  }
  static std::vector<std::uint64_t> answers(Kernel& kernel, std::size_t count) {
    std::vector<std::uint64_t> values;
    Frame frame;
    while (values.size() < count && kernel.receive(0, &frame, deadline_after(20s))) {
      std::uint64_t value = 0;
      std::memcpy(&value, frame.data() + sizeof(MessageHeader), sizeof(value));
      values.push_back(value);
    }
    return values;
  }

  ActorSystem system{{.workers = 2}};
};

TEST_P(RunsTest, HandlesEveryMessageOnceAndInOrder) {
  auto handler = std::make_shared<RunHandler>(GetParam());
  auto kernel = system.launch("runs", handler, {.capacity = 64});
  pause(*kernel);
  for (std::uint64_t i = 100; i < 164; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  go_on(*kernel);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(handler->seen.values(), up_to(64, 100));
  EXPECT_EQ(answers(*kernel, 64), up_to(64, 101));
  const KernelTelemetry telemetry = kernel->telemetry();
  EXPECT_EQ(telemetry.processed, 64u);
  EXPECT_EQ(telemetry.handler.count, 64u);
  EXPECT_EQ(telemetry.queueing.count, 64u);
  if (GetParam() > 1) {
    EXPECT_GT(handler->runs.size(), 0u);
    for (const std::uint64_t length : handler->runs.values()) EXPECT_LE(length, GetParam());
  }
}

TEST_P(RunsTest, GoesOnBehindAMessageThatFails) {
  auto handler = std::make_shared<RunHandler>(GetParam());
  auto kernel = system.launch("runs", handler, {.capacity = 64});
  pause(*kernel);
  for (std::uint64_t i = 10; i < 20; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  go_on(*kernel);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(handler->seen.values(), up_to(10, 10));
  EXPECT_EQ(kernel->telemetry().failed, 1u);
  const auto letters = system->dead_letters().browse();
  ASSERT_EQ(letters.size(), 1u);
  std::uint64_t value = 0;
  std::memcpy(&value, letters[0].payload.data(), sizeof(value));
  EXPECT_EQ(value, 13u);
}

TEST_P(RunsTest, ExpiresWhatIsTooLateInTheMiddleOfARun) {
  auto handler = std::make_shared<RunHandler>(GetParam());
  auto kernel = system.launch("runs", handler, {.capacity = 64});
  pause(*kernel);
  for (std::uint64_t i = 100; i < 120; ++i) {
    const std::uint64_t deadline = i % 5 == 0 ? system->clock().now().time + 1 : 0;
    ASSERT_EQ(send(*kernel, Number{i}, 5s, {.deadline = deadline}), Status::kOk);
  }
  go_on(*kernel);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(handler->seen.size(), 16u);
  EXPECT_EQ(kernel->telemetry().expired, 4u);
}

TEST_P(RunsTest, LeavesARunWhenItWasAskedTo) {
  auto handler = std::make_shared<RunHandler>(GetParam());
  auto kernel = system.launch("runs", handler, {.capacity = 64});
  pause(*kernel);
  for (std::uint64_t i = 998; i < 1010; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  go_on(*kernel);
  ASSERT_TRUE(eventually([&] { return kernel->state() == KernelState::kTerminated; }));
  EXPECT_EQ(handler->seen.values(), up_to(12, 998)) << "what was sent is handled before the end";
}

TEST_P(RunsTest, TakesUrgentMessagesFirst) {
  auto handler = std::make_shared<RunHandler>(GetParam());
  auto kernel = system.launch("runs", handler, {.capacity = 64});
  pause(*kernel);
  for (std::uint64_t i = 100; i < 110; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  for (std::uint64_t i = 200; i < 210; ++i) {
    ASSERT_EQ(send(*kernel, Number{i}, 5s, {.priority = kPriorityHigh}), Status::kOk);
  }
  go_on(*kernel);
  ASSERT_TRUE(idle(*kernel));
  auto wanted = up_to(10, 200);
  for (const std::uint64_t late : up_to(10, 100)) wanted.push_back(late);
  EXPECT_EQ(handler->seen.values(), wanted);
}

INSTANTIATE_TEST_SUITE_P(Lengths, RunsTest, ::testing::Values(1u, 2u, 7u, 64u));

}  // namespace
}  // namespace rk::test
