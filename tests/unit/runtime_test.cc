// Kernels with several instances, what messages carry (priority, deadline, id), what happens to those that nobody
// handles, checkpoints, and the end.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <numeric>

#include "actors.h"

namespace rk::test {
namespace {

class RuntimeTest : public ::testing::Test {
 protected:
  ~RuntimeTest() override {
    system.close(20s);
    const RingStats all = system->totals().all();
    expect_conserved(all);
    EXPECT_EQ(system->totals().inboxes.in_flight, 0u);
  }
  static void pause(Kernel& kernel) {
    kernel.deactivate(deadline_after(20s), [] {});
  }
  static bool idle(Kernel& kernel) {
    return eventually([&] { return kernel.inbox_stats().in_flight == 0; });
  }

  ActorSystem system{{.workers = 2}};
};

// -- instances --------------------------------------------------------------------------------------------------------

auto make_counter() {
  return make_handler<Count>(on<Number>([](KernelContext&, Count& count, const Number&) { ++count.handled; }));
}

TEST_F(RuntimeTest, DealsMessagesOutToItsInstancesInTurn) {
  auto handler = make_counter();
  KernelOptions options;
  options.instances = 4;
  auto kernel = system.launch("many", handler, options);
  for (std::uint64_t i = 0; i < 400; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  ASSERT_TRUE(idle(*kernel));
  pause(*kernel);
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(handler->state(i).handled, 100u);
}

TEST_F(RuntimeTest, GivesEqualKeysToOneInstance) {
  std::array<std::atomic<std::uint64_t>, 64> seen_by{};
  KernelOptions options;
  options.instances = 8;
  options.route_by = {{Number::kTypeId, 0, 8}};
  auto kernel = system.launch("keyed", make_handler(on<Number>([&](KernelContext& context, const Number& number) {
                                seen_by[number.value] |= std::uint64_t{1} << context.self().instance();
                              })),
                              options);
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t key = 0; key < 64; ++key) ASSERT_EQ(send(*kernel, Number{key}), Status::kOk);
  }
  ASSERT_TRUE(idle(*kernel));
  std::uint64_t used = 0;
  for (const auto& instances : seen_by) {
    EXPECT_EQ(std::popcount(instances.load()), 1);
    used |= instances;
  }
  EXPECT_GE(std::popcount(used), 5) << "64 keys on 8 instances";
}

TEST_F(RuntimeTest, ReachesTheInstanceThatIsNamed) {
  auto handler = make_counter();
  KernelOptions options;
  options.instances = 3;
  auto kernel = system.launch("named", handler, options);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(send(*kernel, Number{1}, 5s, {.instance = 2}), Status::kOk);
  EXPECT_EQ(kind_of_error([&] { send(*kernel, Number{1}, 5s, {.instance = 3}); }), "InvalidArgumentError");
  ASSERT_TRUE(idle(*kernel));
  pause(*kernel);
  EXPECT_EQ(handler->state(2).handled, 5u);
  EXPECT_EQ(handler->state(0).handled, 0u);
}

TEST_F(RuntimeTest, KeepsTheOrderOfEachSender) {
  constexpr std::uint64_t kSenders = 4, kEach = 5000;
  struct Last {
    std::array<std::uint64_t, kSenders> next{};
    std::uint64_t disorder = 0;
  };
  auto handler = make_handler<Last>(on<Number>([](KernelContext&, Last& last, const Number& number) {
    std::uint64_t& next = last.next[number.value >> 32];
    if (next++ != (number.value & 0xFFFFFFFFu)) ++last.disorder;
  }));
  KernelOptions options;
  options.capacity = 16;
  auto kernel = system.launch("ordered", handler, options);
  std::vector<std::thread> senders;
  for (std::uint64_t s = 0; s < kSenders; ++s) {
    senders.emplace_back([&kernel, s] {
      for (std::uint64_t i = 0; i < kEach; ++i) ASSERT_EQ(send(*kernel, Number{s << 32 | i}, 30s), Status::kOk);
    });
  }
  for (auto& sender : senders) sender.join();
  ASSERT_TRUE(idle(*kernel));
  pause(*kernel);
  EXPECT_EQ(handler->state().disorder, 0u);
  for (const std::uint64_t next : handler->state().next) EXPECT_EQ(next, kEach);
}

// -- priorities, deadlines, ids ---------------------------------------------------------------------------------------

TEST_F(RuntimeTest, DeliversHigherPrioritiesFirst) {
  Log log;
  auto kernel = system.launch("urgent", make_logger(log), {}, false);
  for (std::uint64_t i = 0; i < 10; ++i) {
    for (std::uint8_t p = 0; p < kPriorityCount; ++p)
      ASSERT_EQ(send(*kernel, Number{p * 100 + i}, 5s, {.priority = p}), Status::kOk);
  }
  system.activate(*kernel);
  ASSERT_TRUE(idle(*kernel));
  std::vector<std::uint64_t> expected;
  for (std::uint64_t p = kPriorityCount; p-- > 0;) {
    for (std::uint64_t i = 0; i < 10; ++i) expected.push_back(p * 100 + i);
  }
  EXPECT_EQ(log.values(), expected);
}

TEST_F(RuntimeTest, LetsALowerPriorityInAfterSixtyFourHigherOnes) {
  Log log;
  auto kernel = system.launch("patient", make_logger(log), {}, false);
  for (std::uint64_t i = 0; i < 3; ++i)
    ASSERT_EQ(send(*kernel, Number{1000 + i}, 5s, {.priority = kPriorityLow}), Status::kOk);
  for (std::uint64_t i = 0; i < 300; ++i)
    ASSERT_EQ(send(*kernel, Number{i}, 5s, {.priority = kPriorityCritical}), Status::kOk);
  system.activate(*kernel);
  ASSERT_TRUE(idle(*kernel));
  const auto values = log.values();
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto at = std::find(values.begin(), values.end(), 1000 + i) - values.begin();
    EXPECT_EQ(at, static_cast<std::ptrdiff_t>(64 + i * 65)) << "low message " << i;
  }
}

TEST_F(RuntimeTest, DoesNotHandleWhatIsTooLate) {
  Log log;
  auto kernel = system.launch("late", make_logger(log), {}, false);
  ASSERT_EQ(send(*kernel, Number{1}, 5s, {.deadline = system.deadline_in(1ms)}), Status::kOk);
  ASSERT_EQ(send(*kernel, Number{2}, 5s, {.deadline = system.deadline_in(1h)}), Status::kOk);
  ASSERT_EQ(send(*kernel, Number{3}), Status::kOk);
  std::this_thread::sleep_for(10ms);
  system.activate(*kernel);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(log.values(), (std::vector<std::uint64_t>{2, 3}));
  const auto letters = system->dead_letters().browse();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadLetterReason::kExpired);
  EXPECT_EQ(letters[0].kernel, "late");
  EXPECT_EQ(kernel->telemetry().expired, 1u);
}

TEST_F(RuntimeTest, TellsACallerThatItsMessageWasTooLate) {
  auto kernel = system.launch("late", make_echo());
  const std::uint64_t past = system.deadline_in(0s) - 1000;
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{1}, 20s, {.deadline = past}); }), "DeadlineExpiredError");
}

TEST_F(RuntimeTest, DropsAnIdThatWasSeenAmongTheLast) {
  Log log;
  KernelOptions options;
  options.dedup_window = 2;
  auto kernel = system.launch("once", make_logger(log), options);
  for (const std::uint64_t id : {7u, 7u, 8u, 7u, 9u, 10u, 7u})
    ASSERT_EQ(send(*kernel, Number{id}, 5s, {.message_id = id}), Status::kOk);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(log.values(), (std::vector<std::uint64_t>{7, 8, 9, 10, 7}));
  EXPECT_EQ(kernel->inbox_stats().dropped, 2u);
  EXPECT_EQ(kernel->telemetry().duplicates, 2u);
}

// -- dead letters -----------------------------------------------------------------------------------------------------

TEST_F(RuntimeTest, SendsDeadLettersAgain) {
  std::atomic<bool> broken{true};
  Log log;
  KernelOptions options;
  options.max_failures = 100;
  auto kernel = system.launch("mended", make_handler(on<Number>([&](KernelContext&, const Number& number) {
                                if (broken) throw std::runtime_error("not yet");
                                log.add(number.value);
                              })),
                              options);
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  ASSERT_TRUE(idle(*kernel));
  broken = false;
  std::vector<u64> sequences;
  for (const DeadLetter& letter : system->dead_letters().browse()) sequences.push_back(letter.sequence);
  ASSERT_EQ(sequences.size(), 5u);
  EXPECT_EQ(system->replay(sequences, nullptr), 5u);
  EXPECT_EQ(system->replay(sequences, nullptr), 0u) << "they are gone";
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(log.values(), up_to(5));
  EXPECT_EQ(system->dead_letters().size(), 0u);
}

TEST_F(RuntimeTest, SendsDeadLettersToAnotherKernelWhenTheirOwnIsGone) {
  Log log;
  auto gone = system.launch("gone", make_echo(), {}, false);
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(send(*gone, Number{i}), Status::kOk);
  gone->terminate(deadline_after(20s), [] {});
  std::vector<u64> sequences;
  for (const DeadLetter& letter : system->dead_letters().browse()) sequences.push_back(letter.sequence);
  ASSERT_EQ(sequences.size(), 3u);
  EXPECT_EQ(system->replay(sequences, nullptr), 0u);
  EXPECT_EQ(system->dead_letters().size(), 3u);
  auto heir = system.launch("heir", make_logger(log));
  EXPECT_EQ(system->replay(sequences, heir.get()), 3u);
  ASSERT_TRUE(idle(*heir));
  EXPECT_EQ(log.values(), up_to(3));
}

// -- watchdogs and the end --------------------------------------------------------------------------------------------

TEST_F(RuntimeTest, NamesTheHandlerThatHangs) {
  static Gate gate;
  KernelOptions options;
  options.watchdog_ns = 30'000'000;
  auto kernel =
      system.launch("hangs", make_handler(on<Number>([](KernelContext&, const Number&) { gate.pass(); })), options);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{1}, 30s, {.message_id = 77}); }), "KernelHungError");
  EXPECT_TRUE(kernel->hung());
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  EXPECT_EQ(kernel->stuck().message_id, 77u);
  EXPECT_EQ(kernel->stuck().message_type, Number::kTypeId);
  EXPECT_GE(kernel->stuck().busy_ns, 30'000'000u);
  EXPECT_EQ(send(*kernel, Number{1}), Status::kClosed);
  EXPECT_EQ(system->dead_letters().browse().at(0).reason, DeadLetterReason::kHung);
  auto other = system.launch("other", make_echo());
  EXPECT_EQ(call<Answer>(*other, Number{1}).value, 2u) << "the others go on";
  gate.open();
}

TEST(Close, ReturnsAlthoughAHandlerDoesNot) {
  static Gate gate;
  ActorSystem system({.workers = 1});
  auto stuck = system.launch("stuck", make_handler(on<Number>([](KernelContext&, const Number&) { gate.pass(); })));
  auto other = system.launch("other", make_echo());
  ASSERT_EQ(send(*stuck, Number{1}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return gate.waiting() == 1; }));
  EXPECT_EQ(call<Answer>(*other, Number{1}).value, 2u) << "one worker, and its handler hangs";
  EXPECT_EQ(system.close(500ms), std::vector<std::string>{"stuck"});
  EXPECT_EQ(other->state(), KernelState::kTerminated);
  EXPECT_TRUE(system.close(1s).empty());
  EXPECT_EQ(kind_of_error([&] { system.launch("new", make_echo()); }), "RuntimeClosedError");
  gate.open();
  EXPECT_TRUE(eventually([&] { return stuck->ended(); }));
}

TEST(Close, EndsThousandsOfKernels) {
  ActorSystem system({.workers = 2});
  std::vector<std::shared_ptr<Kernel>> kernels;
  for (int i = 0; i < 2000; ++i)
    kernels.push_back(system.launch(std::string("k").append(std::to_string(i)), make_echo()));
  for (auto& kernel : kernels) ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  EXPECT_TRUE(system.close(60s).empty());
  EXPECT_EQ(system->totals().inboxes.delivered, 2000u);
  expect_conserved(system->totals().all());
}

// -- checkpoints ------------------------------------------------------------------------------------------------------

LayoutInfo layout_of_count() { return {"Count", sizeof(Count), {{"handled", "u64", 0, 8}}, 0}; }

TEST(Checkpoints, CarryStatesAndWaitingMessagesIntoAnotherRuntime) {
  KernelOptions options;
  options.instances = 2;
  options.state_layout = layout_of_count();
  const auto add = [](KernelContext&, Count& count, const Number& number) { count.handled += number.value; };
  std::vector<std::byte> bytes;
  {
    ActorSystem system({.workers = 2});
    auto kernel = system.launch("sum", make_handler<Count>(on<Number>(add)), options);
    for (std::uint64_t i = 1; i <= 10; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
    ASSERT_TRUE(eventually([&] { return kernel->inbox_stats().in_flight == 0; }));
    bytes = encode(kernel->snapshot(deadline_after(20s), [] {}));
    EXPECT_EQ(kernel->state(), KernelState::kActive);
    kernel->deactivate(deadline_after(20s), [] {});
    for (std::uint64_t i = 11; i <= 20; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
    bytes = encode(kernel->snapshot(deadline_after(20s), [] {}));
    EXPECT_EQ(kernel->inbox_stats().in_flight, 10u) << "a snapshot takes nothing";
  }
  const Checkpoint made = decode(bytes);
  EXPECT_EQ(made.messages.size(), 10u);
  ActorSystem system({.workers = 2});
  auto handler = make_handler<Count>(on<Number>(add));
  options.name = "sum";
  auto kernel = system->launch(handler, options, &made);
  EXPECT_EQ(handler->state(0).handled + handler->state(1).handled, 55u);
  system.activate(*kernel);
  ASSERT_TRUE(eventually([&] { return kernel->inbox_stats().in_flight == 0; }));
  system.close(20s);
  EXPECT_EQ(handler->state(0).handled + handler->state(1).handled, 210u);
  EXPECT_EQ(kernel->telemetry().processed, 10u);
}

// -- scale ------------------------------------------------------------------------------------------------------------

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(Scale, HoldsManyIdleInstances) {
#ifdef RK_SLOW_BUILD
  constexpr std::uint32_t kInstances = 10'000;
#else
  constexpr std::uint32_t kInstances = 100'000;
#endif
  constexpr std::uint32_t kUsed = kInstances / 20;
  ActorSystem system({.workers = 2});
  KernelOptions options;
  options.instances = kInstances;
  options.capacity = 1;
  const double before = resident_bytes();
  auto handler = make_counter();
  auto kernel = system.launch("crowd", handler, options);
  const double idle_bytes = (resident_bytes() - before) / kInstances;
  const double cpu_before = cpu_seconds();
  std::this_thread::sleep_for(1s);
  const double idle_cpu = cpu_seconds() - cpu_before;
  const double before_use = resident_bytes();
  for (std::uint32_t i = 0; i < kUsed; ++i)
    ASSERT_EQ(send(*kernel, Number{i}, 30s, {.instance = i * (kInstances / kUsed)}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return kernel->inbox_stats().delivered == kUsed; }));
  std::printf("%u instances: %.0f bytes each, %.0f more when used; idle: %.3f CPU seconds in one second\n", kInstances,
              idle_bytes, (resident_bytes() - before_use) / kUsed, idle_cpu);
  EXPECT_TRUE(system.close(60s).empty());
  EXPECT_EQ(kernel->telemetry().processed, kUsed);
  for (std::uint32_t i = 0; i < kUsed; ++i) ASSERT_EQ(handler->state(i * (kInstances / kUsed)).handled, 1u);
}

}  // namespace
}  // namespace rk::test
