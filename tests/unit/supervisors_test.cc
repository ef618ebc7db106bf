// Supervised kernels: who begins again when one fails, what stays, and when a supervisor gives up.
#include "actors.h"

namespace rk::test {
namespace {

constexpr std::uint64_t kFails = 13, kEnds = 14;

class SupervisorsTest : public ::testing::Test {
 protected:
  ~SupervisorsTest() override {
    EXPECT_TRUE(system.close(20s).empty());
    expect_conserved(system->totals().all());
    EXPECT_EQ(system->totals().inboxes.in_flight, 0u);
  }

  std::uint32_t supervise(SupervisorOptions options, std::uint32_t parent = 0) {
    if (options.name.empty()) options.name = "supervisor" + std::to_string(parent);
    return system->supervisors().add_supervisor(parent, options);
  }

  // Answers how many messages this incarnation has handled.
  std::shared_ptr<Kernel> launch(const std::string& name, std::uint32_t supervisor,
                                 Restart restart = Restart::kPermanent, std::uint32_t instances = 1) {
    KernelOptions options;
    options.supervisor = supervisor;
    options.restart = restart;
    options.instances = instances;
    return system.launch(name,
                         make_handler<Count>(on<Number>([](KernelContext& context, Count& count, const Number& number) {
                           ++count.handled;
                           if (number.value == kFails) throw std::runtime_error("unlucky");
                           if (number.value == kEnds) context.request_termination();
                           return Answer{count.handled};
                         })),
                         options);
  }

  static std::uint64_t handled_by(Kernel& kernel) { return call<Answer>(kernel, Number{1}, 30s).value; }
  static void fail(Kernel& kernel) {
    EXPECT_EQ(kind_of_error([&] { call<Answer>(kernel, Number{kFails}, 30s); }), "HandlerError");
  }
  static bool restarted(Kernel& kernel, std::uint64_t times) {
    return eventually([&] { return kernel.restarts() == times; });
  }
  bool is(std::uint32_t supervisor, ChildState state) {
    return eventually([&] { return system->supervisors().state(supervisor) == state; });
  }
  static bool is(Kernel& kernel, KernelState state) {
    return eventually([&] { return kernel.state() == state; });
  }

  ActorSystem system{{.workers = 2}};
};

TEST_F(SupervisorsTest, BeginAgainWithTheFirstStateAndKeepWhatWaits) {
  auto kernel = launch("child", supervise({}));
  EXPECT_EQ(handled_by(*kernel), 1u);
  EXPECT_EQ(handled_by(*kernel), 2u);
  kernel->deactivate(deadline_after(20s), [] {});
  ASSERT_EQ(send(*kernel, Number{kFails}), Status::kOk);
  for (std::uint64_t i = 1; i <= 10; ++i) ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  system.activate(*kernel);
  for (std::uint64_t i = 1; i <= 10; ++i) EXPECT_EQ(receive<Answer>(*kernel, 30s).value_or(Answer{}).value, i);
  EXPECT_EQ(kernel->generation(0), 1u);
  EXPECT_EQ(kernel->restarts(), 1u);
  EXPECT_EQ(kernel->state(), KernelState::kActive);
}

TEST_F(SupervisorsTest, LeaveTheOthersAloneWithOneForOne) {
  const std::uint32_t one = supervise({.strategy = Strategy::kOneForOne});
  auto a = launch("a", one), b = launch("b", one);
  handled_by(*a);
  handled_by(*b);
  fail(*a);
  ASSERT_TRUE(restarted(*a, 1));
  EXPECT_EQ(handled_by(*a), 1u);
  EXPECT_EQ(handled_by(*b), 2u);
}

TEST_F(SupervisorsTest, RestartAllWithOneForAll) {
  const std::uint32_t all = supervise({.strategy = Strategy::kOneForAll});
  auto a = launch("a", all), b = launch("b", all), c = launch("c", all);
  for (auto* kernel : {a.get(), b.get(), c.get()}) handled_by(*kernel);
  fail(*b);
  for (auto* kernel : {a.get(), b.get(), c.get()}) {
    ASSERT_TRUE(restarted(*kernel, 1));
    EXPECT_EQ(handled_by(*kernel), 1u);
  }
  EXPECT_EQ(system->supervisors().restarts(all), 1u);
}

TEST_F(SupervisorsTest, RestartThoseLaunchedLaterWithRestForOne) {
  const std::uint32_t rest = supervise({.strategy = Strategy::kRestForOne});
  auto a = launch("a", rest), b = launch("b", rest), c = launch("c", rest);
  for (auto* kernel : {a.get(), b.get(), c.get()}) handled_by(*kernel);
  fail(*b);
  ASSERT_TRUE(restarted(*b, 1));
  ASSERT_TRUE(restarted(*c, 1));
  EXPECT_EQ(handled_by(*a), 2u);
  EXPECT_EQ(handled_by(*b), 1u);
  EXPECT_EQ(handled_by(*c), 1u);
}

TEST_F(SupervisorsTest, RestartOneInstanceOfSeveral) {
  auto kernel = launch("many", supervise({}), Restart::kPermanent, 3);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s, {.instance = i}).value, 1u);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{kFails}, 30s, {.instance = 1}); }), "HandlerError");
  ASSERT_TRUE(restarted(*kernel, 1));
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s, {.instance = 1}).value, 1u);
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s, {.instance = 2}).value, 2u);
  EXPECT_EQ(kernel->generation(1), 1u);
  EXPECT_EQ(kernel->generation(2), 0u);
}

TEST_F(SupervisorsTest, GiveUpWhenThereAreTooManyFailures) {
  const std::uint32_t strict = supervise({.intensity = 2, .period_ns = 3'600'000'000'000});
  auto a = launch("a", strict), b = launch("b", strict);
  for (std::uint64_t i = 1; i <= 2; ++i) {
    fail(*a);
    ASSERT_TRUE(restarted(*a, i));
  }
  fail(*a);
  EXPECT_TRUE(is(strict, ChildState::kFailed));
  EXPECT_TRUE(is(*a, KernelState::kFailed));
  EXPECT_TRUE(is(*b, KernelState::kFailed));
  EXPECT_EQ(kind_of_error([&] { launch("c", strict); }), "SupervisorTerminatedError");
  EXPECT_TRUE(eventually(
      [&] { return system->supervisors().events(strict).back().kind == SupervisionEvent::Kind::kRootFailed; }));
}

TEST_F(SupervisorsTest, HandOverToTheirOwnSupervisor) {
  const std::uint32_t root = supervise({.intensity = 5, .period_ns = 3'600'000'000'000});
  const std::uint32_t below = supervise({.intensity = 0, .name = "below"}, root);
  auto a = launch("a", below), b = launch("b", below), c = launch("c", root);
  for (auto* kernel : {a.get(), b.get(), c.get()}) handled_by(*kernel);
  fail(*a);
  ASSERT_TRUE(restarted(*a, 1));
  ASSERT_TRUE(restarted(*b, 1));
  EXPECT_EQ(handled_by(*b), 1u);
  EXPECT_EQ(handled_by(*c), 2u);
  EXPECT_EQ(system->supervisors().state(below), ChildState::kRunning);
}

TEST_F(SupervisorsTest, RestartAPermanentChildThatEndsButNoTransientOne) {
  const std::uint32_t one = supervise({});
  auto stays = launch("stays", one, Restart::kPermanent), ends = launch("ends", one, Restart::kTransient);
  ASSERT_EQ(send(*stays, Number{kEnds}), Status::kOk);
  ASSERT_TRUE(restarted(*stays, 1));
  EXPECT_EQ(handled_by(*stays), 1u);
  fail(*ends);
  ASSERT_TRUE(restarted(*ends, 1));
  ASSERT_EQ(send(*ends, Number{kEnds}), Status::kOk);
  EXPECT_TRUE(is(*ends, KernelState::kTerminated));
}

TEST_F(SupervisorsTest, NeverRestartATemporaryChild) {
  const std::uint32_t one = supervise({});
  auto once = launch("once", one, Restart::kTemporary), other = launch("other", one);
  fail(*once);
  EXPECT_TRUE(is(*once, KernelState::kFailed));
  EXPECT_EQ(handled_by(*other), 1u);
  EXPECT_EQ(once->restarts(), 0u);
}

TEST_F(SupervisorsTest, TerminateTheirChildrenTheLastOneFirst) {
  const std::uint32_t one = supervise({});
  auto a = launch("a", one), b = launch("b", one);
  EXPECT_EQ(system->supervisors().children(one), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(system->supervisors().terminate(one, deadline_after(20s), [] {}).empty());
  EXPECT_EQ(a->state(), KernelState::kTerminated);
  EXPECT_EQ(b->state(), KernelState::kTerminated);
  const auto events = system->supervisors().events(one);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].child, "b");
}

TEST_F(SupervisorsTest, WaitLongerWithEachFailureInARow) {
  const std::uint64_t pause_ns = 20'000'000;
  auto kernel = launch("child", supervise({.intensity = 10, .period_ns = 3'600'000'000'000, .backoff_ns = pause_ns}));
  const std::uint64_t start = HostAtomics::monotonic_ns();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    fail(*kernel);
    ASSERT_TRUE(restarted(*kernel, i));
  }
  EXPECT_GE(HostAtomics::monotonic_ns() - start, 3 * pause_ns);  // none, 20 ms, 40 ms
}

TEST_F(SupervisorsTest, LetTheHostEndAKernelThatIsBeingRestarted) {
  const std::uint32_t all =
      supervise({.strategy = Strategy::kOneForAll, .intensity = 100, .backoff_ns = 5'000'000'000});
  auto a = launch("a", all), b = launch("b", all);
  fail(*a);
  fail(*a);  // the restart for this one waits for seconds
  ASSERT_TRUE(eventually([&] { return system->supervisors().restarts(all) == 2; }));
  b->terminate(deadline_after(60s), [] {});
  a->terminate(deadline_after(60s), [] {});
  EXPECT_EQ(a->state(), KernelState::kTerminated);
}

TEST_F(SupervisorsTest, AccountForTenThousandFailures) {
  constexpr std::uint64_t kFailures = 10'000, kEach = 3;
  KernelOptions options;
  options.supervisor = supervise({.intensity = ~std::uint32_t{0}});
  std::atomic<std::uint64_t> worked{0};
  auto kernel =
      system.launch("weak", make_handler<Count>(on<Number>([&](KernelContext&, Count& count, const Number& n) {
                      if (++count.handled == kEach) throw std::runtime_error(std::to_string(n.value));
                      ++worked;
                    })),
                    options);
  for (std::uint64_t i = 0; i < kFailures * kEach; ++i) ASSERT_EQ(send(*kernel, Number{i}, 60s), Status::kOk);
  ASSERT_TRUE(eventually([&] { return kernel->restarts() == kFailures; }));
  const KernelTelemetry telemetry = kernel->telemetry();
  EXPECT_EQ(worked, kFailures * (kEach - 1));
  EXPECT_EQ(telemetry.failed, kFailures);
  EXPECT_EQ(telemetry.processed, kFailures * kEach);
  EXPECT_EQ(telemetry.inbox.accepted, kFailures * kEach);
  EXPECT_EQ(telemetry.inbox.delivered, kFailures * (kEach - 1));
  EXPECT_EQ(telemetry.inbox.dead_lettered, kFailures);
  EXPECT_EQ(telemetry.inbox.in_flight, 0u);
  EXPECT_EQ(kernel->generation(0), kFailures);
  const DeadLetterStats dead = system->dead_letters().stats();
  EXPECT_EQ(dead.total, kFailures);
  EXPECT_EQ(dead.kept, 1024u);
  EXPECT_EQ(system->dead_letters().browse().back().error, std::to_string(kFailures * kEach - 1));
}

}  // namespace
}  // namespace rk::test
