// One kernel with C++ handlers: life cycle, calls from many threads, failure, back-pressure, and handlers that never
// return.
#include "actors.h"

namespace rk::test {
namespace {

class KernelTest : public ::testing::Test {
 protected:
  std::shared_ptr<Kernel> launch(std::uint64_t capacity = 64, bool started = true) {
    KernelOptions options;
    options.capacity = capacity;
    return system.launch("echo" + std::to_string(launched++), make_echo(), options, started);
  }
  static void pause(Kernel& kernel) {
    kernel.deactivate(deadline_after(20s), [] {});
  }
  static void terminate(Kernel& kernel) {
    kernel.terminate(deadline_after(20s), [] {});
  }

  ActorSystem system{{.workers = 2}};
  int launched = 0;
};

TEST_F(KernelTest, AnswersCalls) {
  auto kernel = launch();
  EXPECT_EQ(call<Answer>(*kernel, Number{41}).value, 42u);
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
        if (call<Answer>(*kernel, Number{number}, 30s).value != number + 1) ++wrong;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  ASSERT_TRUE(eventually([&] { return kernel->inbox_stats().in_flight == 0; }));
  EXPECT_EQ(kernel->inbox_stats().accepted, 1800u);
  EXPECT_EQ(kernel->inbox_stats().delivered, 1800u);
}

TEST_F(KernelTest, RestsWhileDeactivatedAndGoesOnAfterwards) {
  auto kernel = launch();
  call<Answer>(*kernel, Number{1});
  pause(*kernel);
  for (std::uint64_t i = 0; i < 10; ++i) ASSERT_EQ(send(*kernel, Number{100 + i}), Status::kOk);
  EXPECT_EQ(kernel->telemetry().processed, 1u);
  EXPECT_EQ(kernel->inbox_stats().in_flight, 10u);
  system.activate(*kernel);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(receive<Answer>(*kernel).value_or(Answer{}).value, 101 + i);
}

TEST_F(KernelTest, LosesNoMessageThatComesWhileItIsPausedAndResumed) {
  auto kernel = launch(1024);
  std::atomic<bool> done{false};
  std::thread switching([&] {
    while (!done) {
      pause(*kernel);
      system.activate(*kernel);
    }
  });
  for (std::uint64_t i = 0; i < 3000; ++i) EXPECT_EQ(call<Answer>(*kernel, Number{100 + i}, 30s).value, 101 + i);
  done = true;
  switching.join();
}

TEST_F(KernelTest, RefusesIllegalMoves) {
  auto kernel = launch(64, false);
  EXPECT_EQ(kind_of_error([&] { pause(*kernel); }), "InvalidStateTransition");
  system.activate(*kernel);
  EXPECT_EQ(kind_of_error([&] { system.activate(*kernel); }), "InvalidStateTransition");
  terminate(*kernel);
  EXPECT_EQ(kind_of_error([&] { terminate(*kernel); }), "InvalidStateTransition");
  EXPECT_EQ(kind_of_error([&] { system.activate(*kernel); }), "InvalidStateTransition");
  EXPECT_EQ(send(*kernel, Number{1}), Status::kClosed);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{1}); }), "KernelTerminatedError");
}

TEST_F(KernelTest, DrainsBeforeItTerminates) {
  auto kernel = launch(256);
  for (std::uint64_t i = 0; i < 200; ++i) ASSERT_EQ(send(*kernel, Number{100 + i}), Status::kOk);
  terminate(*kernel);
  EXPECT_EQ(kernel->telemetry().processed, 200u);
  std::uint64_t replies = 0;
  while (receive<Answer>(*kernel, 0s)) ++replies;
  EXPECT_EQ(replies, 200u);
}

TEST_F(KernelTest, EndsAfterDrainingWhenItsHandlerAsksForIt) {
  auto kernel = system.launch("one", make_handler(on<Number>([](KernelContext& context, const Number& number) {
                                if (number.value == 3) context.request_termination();
                                return Answer{number.value};
                              })),
                              {}, false);
  for (std::uint64_t i = 0; i < 6; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  system.activate(*kernel);
  ASSERT_TRUE(eventually([&] { return kernel->state() == KernelState::kTerminated; }));
  EXPECT_EQ(kernel->telemetry().processed, 6u);
  ASSERT_TRUE(eventually([&] { return !system->registry().find("one"); }));
  EXPECT_NO_THROW(system.launch("one", make_echo()));
}

TEST_F(KernelTest, DeadLettersWhatAPausedKernelHolds) {
  auto kernel = launch();
  pause(*kernel);
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  terminate(*kernel);
  EXPECT_EQ(kernel->inbox_stats().dead_lettered, 5u);
  EXPECT_EQ(kernel->inbox_stats().in_flight, 0u);
  EXPECT_EQ(kernel->telemetry().processed, 0u);
  const auto letters = system->dead_letters().browse();
  ASSERT_EQ(letters.size(), 5u);
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(letters[i].reason, DeadLetterReason::kTerminated);
    EXPECT_EQ(read_message<Number>(letters[i].payload.data()).value, i);
  }
}

TEST_F(KernelTest, FailsAfterTooManyFailuresAndTellsTheCaller) {
  auto kernel = launch();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{13}); }), "HandlerError");
  }
  EXPECT_FALSE(receive<Answer>(*kernel, 20s));  // it ended, and sent nothing more
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  EXPECT_EQ(kernel->inbox_stats().dead_lettered, 4u);
  EXPECT_EQ(send(*kernel, Number{1}), Status::kClosed);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{1}); }), "KernelFailedError");
  EXPECT_EQ(system->dead_letters().browse().front().error, "unlucky");
}

TEST_F(KernelTest, RefusesWhatItsHandlerDoesNotTakeWithoutFailing) {
  auto kernel = launch();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(send(*kernel, Answer{1}), Status::kOk);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Answer{1}); }), "WrongMessageError");
  EXPECT_EQ(call<Answer>(*kernel, Number{1}).value, 2u);
  EXPECT_EQ(kernel->telemetry().refused, 11u);
  EXPECT_EQ(kernel->telemetry().failed, 0u);
  EXPECT_EQ(system->dead_letters().browse().front().reason, DeadLetterReason::kWrongType);
}

// The inbox must not move on to the more urgent message before the failed one is released.
TEST_F(KernelTest, BuriesTheMessageThatFailedAlthoughAMoreUrgentOneCame) {
  Gate gate;
  Log log;
  KernelOptions options;
  options.max_failures = 100;
  auto kernel = system.launch("urgent", make_handler(on<Number>([&](KernelContext&, const Number& number) {
                                log.add(number.value);
                                if (number.value >= 10) return;
                                gate.pass();
                                throw std::runtime_error("failed");
                              })),
                              options);
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return gate.waiting() == 1; }));
  for (std::uint64_t i = 10; i < 13; ++i)
    ASSERT_EQ(send(*kernel, Number{i}, 1s, {.priority = kPriorityHigh}), Status::kOk);
  gate.open();
  ASSERT_TRUE(eventually([&] { return kernel->inbox_stats().in_flight == 0; }));
  EXPECT_EQ(log.values(), (std::vector<std::uint64_t>{0, 10, 11, 12, 1, 2}));
  const auto letters = system->dead_letters().browse();
  ASSERT_EQ(letters.size(), 3u);
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(read_message<Number>(letters[i].payload.data()).value, i);
}

TEST_F(KernelTest, HoldsBackWhenNobodyReceivesAndStillTerminates) {
  auto kernel = launch(4);
  std::uint64_t accepted = 0;
  while (accepted < 1000 && send(*kernel, Number{100}, 300ms) == Status::kOk) ++accepted;
  EXPECT_LE(accepted, 10u) << "4 in the inbox, 4 in the outbox, some in the handler's hands";
  kernel->terminate(deadline_after(1s), [] {});
  const RingStats stats = kernel->inbox_stats();
  EXPECT_EQ(stats.accepted, stats.delivered + stats.dead_lettered);
}

TEST_F(KernelTest, AbandonsAHandlerThatDoesNotReturn) {
  static Gate gate;
  auto kernel = system.launch("stuck", make_handler(on<Number>([](KernelContext&, const Number&) { gate.pass(); })));
  ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return gate.waiting() == 1; }));
  EXPECT_EQ(kind_of_error([&] { kernel->terminate(deadline_after(200ms), [] {}); }), "KernelHungError");
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  EXPECT_TRUE(kernel->hung());
  gate.open();
  EXPECT_TRUE(eventually([&] { return kernel->ended(); }));
}

TEST_F(KernelTest, SendsBatchesInOrder) {
  auto kernel = launch(1024);
  const std::vector<std::uint64_t> numbers = up_to(1000, 100);
  MessageHeader like{};
  like.version = kMessageVersion;
  like.priority = kPriorityNormal;
  like.type_id = Number::kTypeId;
  like.payload_size = sizeof(Number);
  EXPECT_EQ(kernel->send_many(like, reinterpret_cast<const std::byte*>(numbers.data()), numbers.size()), 1000u);
  for (const std::uint64_t number : numbers) EXPECT_EQ(receive<Answer>(*kernel).value_or(Answer{}).value, number + 1);
}

TEST_F(KernelTest, StampsRepliesLaterThanRequests) {
  auto kernel = launch();
  const std::uint64_t before = system->clock().tick().time;
  ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  Frame frame;
  ASSERT_TRUE(kernel->receive(0, &frame, deadline_after(20s)));
  EXPECT_GT(header_of(frame).hlc, before);
}

TEST_F(KernelTest, TellsWhichHandlerWasUsedTwiceOrCannotBeLaunched) {
  auto handler = make_handler<Count>(on<Number>([](KernelContext&, Count& count, const Number&) { ++count.handled; }));
  system.launch("first", handler);
  EXPECT_EQ(kind_of_error([&] { system.launch("second", handler); }), "InvalidArgumentError");
  EXPECT_EQ(kind_of_error([&] { system.launch("first", make_echo()); }), "KernelExistsError");
  KernelOptions odd;
  odd.capacity = 3;
  EXPECT_EQ(kind_of_error([&] { system.launch("third", make_echo(), odd); }), "CapacityError");
}

// Its lanes are freed when the thread next needs room, long after the backend that gave their memory.
TEST(Threads, MayOutliveTheRuntimesTheySentTo) {
  for (int i = 0; i < 3; ++i) {
    ActorSystem system({.workers = 1});
    auto kernel = system.launch("echo", make_echo());
    EXPECT_EQ(call<Answer>(*kernel, Number{1}).value, 2u);
  }
}

}  // namespace
}  // namespace rk::test
