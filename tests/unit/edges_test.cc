// Kernels that send to kernels: what is declared, and what happens when a receiver is slow, by policy.
#include "actors.h"

namespace rk::test {
namespace {

struct Sent {
  static constexpr std::uint32_t kTypeId = 103;
  std::uint64_t ok, full, closed, undeclared;
};

class EdgesTest : public ::testing::Test {
 protected:
  ~EdgesTest() override {
    system.close(20s);
    expect_conserved(system->totals().all());
    EXPECT_EQ(system->totals().inboxes.in_flight, 0u);
    for (const auto& edge : system->edges()) expect_conserved(edge->stats().ring);
  }

  // Sends 0, 1, ... for the number that it is told, and says how that went.
  std::shared_ptr<Kernel> launch_source(std::vector<std::string> publishes_to = {}) {
    KernelOptions options;
    options.publishes_to = std::move(publishes_to);
    return system.launch("source", make_handler(on<Number>([this](KernelContext& context, const Number& count) {
                           Sent sent{};
                           for (std::uint64_t i = 0; i < count.value; ++i) {
                             const Status status = send(context, any_instance(target), Number{i});
                             sent.ok += status == Status::kOk;
                             sent.full += status == Status::kFull;
                             sent.closed += status == Status::kClosed;
                             sent.undeclared += status == Status::kUndeclared;
                           }
                           return sent;
                         })),
                         options);
  }

  std::shared_ptr<Kernel> launch_sink(bool started, std::uint64_t capacity = 1024) {
    KernelOptions options;
    options.capacity = capacity;
    auto sink = system.launch("sink", make_logger(log), options, started);
    target = sink->address();
    return sink;
  }

  bool seen(std::size_t count) {
    return eventually([&] { return log.size() == count; });
  }

  ActorSystem system{{.workers = 2}};
  Log log;
  Address target{0};
};

TEST_F(EdgesTest, RefusesWhatIsNotDeclared) {
  launch_sink(true);
  auto source = launch_source();
  EXPECT_EQ(call<Sent>(*source, Number{3}).undeclared, 3u);
  EXPECT_EQ(log.size(), 0u);
}

TEST_F(EdgesTest, DeliversWhatIsDeclaredAtLaunch) {
  launch_sink(true);
  auto source = launch_source({"sink"});
  EXPECT_EQ(call<Sent>(*source, Number{100}).ok, 100u);
  ASSERT_TRUE(seen(100));
  EXPECT_EQ(log.values(), up_to(100));
  ASSERT_EQ(system->edges().size(), 1u);
  EXPECT_EQ(system->edges()[0]->stats().ring.accepted, 100u);
}

TEST_F(EdgesTest, DoesNotActivateAKernelWhoseReceiverIsUnknown) {
  KernelOptions options;
  options.publishes_to = {"nobody"};
  auto lonely = system.launch("lonely", make_echo(), options, false);
  EXPECT_EQ(kind_of_error([&] { system.activate(*lonely); }), "UnknownKernelError");
  auto other = system.launch("other", make_echo());
  EXPECT_EQ(kind_of_error([&] { system->connect("other", "nobody", {}); }), "UnknownKernelError");
}

TEST_F(EdgesTest, FailsWhenFullByDefault) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  auto edge = system.connect(*source, *sink, {.capacity = 2});
  const Sent sent = call<Sent>(*source, Number{5});
  EXPECT_EQ(sent.ok, 2u);
  EXPECT_EQ(sent.full, 3u);
  EXPECT_EQ(edge->stats().credits, 0u);
  system.activate(*sink);
  ASSERT_TRUE(seen(2));
  EXPECT_EQ(log.values(), up_to(2));
}

TEST_F(EdgesTest, DropsTheNewest) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  auto edge = system.connect(*source, *sink, {.overflow = Overflow::kDropNewest, .capacity = 2});
  EXPECT_EQ(call<Sent>(*source, Number{5}).ok, 5u);
  EXPECT_EQ(edge->stats().ring.dropped, 3u);
  system.activate(*sink);
  ASSERT_TRUE(seen(2));
  EXPECT_EQ(log.values(), up_to(2));
}

TEST_F(EdgesTest, DropsTheOldest) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  auto edge = system.connect(*source, *sink, {.overflow = Overflow::kDropOldest, .capacity = 4});
  EXPECT_EQ(call<Sent>(*source, Number{10}).ok, 10u);
  system.activate(*sink);
  ASSERT_TRUE(eventually([&] { return sink->inbox_stats().in_flight == 0; }));
  const auto values = log.values();
  ASSERT_LE(values.size(), 4u);
  EXPECT_EQ(values, up_to(values.size(), 10 - values.size()));
  EXPECT_EQ(edge->stats().ring.dropped, 10 - values.size());
}

TEST_F(EdgesTest, WaitsForRoomAndHandlesNothingMeanwhile) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  auto edge = system.connect(*source, *sink, {.overflow = Overflow::kBlock, .capacity = 2});
  EXPECT_EQ(send(*source, Number{10}), Status::kOk);
  EXPECT_EQ(send(*source, Number{1}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return edge->stats().times_blocked != 0; }));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(source->telemetry().processed, 1u) << "the second message waits behind the first one's";
  system.activate(*sink);
  ASSERT_TRUE(seen(11));
  std::vector<std::uint64_t> expected = up_to(10);
  expected.push_back(0);
  EXPECT_EQ(log.values(), expected);
  ASSERT_TRUE(eventually([&] { return source->telemetry().processed == 2; }));
}

TEST_F(EdgesTest, RefusesWhenTooMuchWaitsBesideTheRing) {
  auto sink = launch_sink(false);
  KernelOptions options;
  options.capacity = 4;
  auto source = launch_source();
  system.connect(*source, *sink, {.overflow = Overflow::kBlock, .capacity = 2});
  EXPECT_EQ(send(*source, Number{2000}), Status::kOk);  // 2 in the ring, 1024 (the source's capacity) beside it
  ASSERT_TRUE(eventually([&] { return source->telemetry().processed == 1; }));
  system.activate(*sink);
  ASSERT_TRUE(seen(1026));
  const Sent sent = receive<Sent>(*source).value_or(Sent{});
  EXPECT_EQ(sent.ok, 1026u);
  EXPECT_EQ(sent.full, 974u);
}

TEST_F(EdgesTest, BuriesWhatWaitsForAReceiverThatEnds) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  system.connect(*source, *sink, {.overflow = Overflow::kBlock, .capacity = 2});
  EXPECT_EQ(send(*source, Number{5}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return source->telemetry().processed == 1; }));
  sink->terminate(deadline_after(20s), [] {});
  const Sent sent = receive<Sent>(*source).value_or(Sent{});
  EXPECT_EQ(sent.ok, 5u);
  ASSERT_TRUE(eventually([&] { return system->dead_letters().size() == 5; }));
  const DeadLetterStats stats = system->dead_letters().stats();
  EXPECT_EQ(stats.by_reason[static_cast<std::size_t>(DeadLetterReason::kTerminated)], 2u);
  EXPECT_EQ(stats.by_reason[static_cast<std::size_t>(DeadLetterReason::kUndeliverable)], 3u);
  EXPECT_EQ(call<Sent>(*source, Number{3}).closed, 3u);
}

TEST_F(EdgesTest, TellsWhenItIsCongested) {
  auto sink = launch_sink(false);
  auto source = launch_source();
  auto edge = system.connect(*source, *sink, {.capacity = 8, .high_water = 6, .low_water = 2});
  EXPECT_EQ(call<Sent>(*source, Number{5}).ok, 5u);
  EXPECT_FALSE(edge->congested());
  EXPECT_EQ(call<Sent>(*source, Number{1}).ok, 1u);
  EXPECT_TRUE(edge->congested());
  system.activate(*sink);
  ASSERT_TRUE(seen(6));
  EXPECT_FALSE(edge->congested());
  EXPECT_EQ(kind_of_error([&] { system.connect(*source, *sink, {.capacity = 8, .high_water = 2, .low_water = 2}); }),
            "InvalidArgumentError");
}

// Every message makes one more for the next: with one slot each, all wait for each other sooner or later.
TEST_F(EdgesTest, GoesOnInACycleOfWaiters) {
  constexpr std::size_t kRing = 3;
  std::array<Address, kRing> next{};
  std::vector<std::shared_ptr<Kernel>> kernels;
  KernelOptions options;
  options.capacity = 1;
  for (std::size_t i = 0; i < kRing; ++i) {
    kernels.push_back(system.launch("ring" + std::to_string(i),
                                    make_handler(on<Number>([&next, i](KernelContext& context, const Number& left) {
                                      if (left.value != 0) send(context, next[i], Number{left.value - 1});
                                    })),
                                    options, false));
  }
  std::vector<std::shared_ptr<Edge>> edges;
  for (std::size_t i = 0; i < kRing; ++i) {
    next[i] = kernels[(i + 1) % kRing]->address();
    edges.push_back(
        system.connect(*kernels[i], *kernels[(i + 1) % kRing], {.overflow = Overflow::kBlock, .capacity = 1}));
  }
  for (auto& kernel : kernels) system.activate(*kernel);
  for (int i = 0; i < 300; ++i)
    ASSERT_EQ(send(*kernels[static_cast<std::size_t>(i) % kRing], Number{30}, 30s), Status::kOk);
  ASSERT_TRUE(eventually([&] { return system->totals().inboxes.in_flight == 0; }));
}

TEST_F(EdgesTest, SendsToItselfWithoutAnEdge) {
  auto kernel = system.launch("self", make_handler(on<Number>([this](KernelContext& context, const Number& left) {
                                log.add(left.value);
                                if (left.value != 0) send(context, context.self(), Number{left.value - 1});
                              })));
  ASSERT_EQ(send(*kernel, Number{100}), Status::kOk);
  ASSERT_TRUE(seen(101));
}

TEST_F(EdgesTest, AnswersKernelsThatAskWithoutAnEdge) {
  auto echo = system.launch("echo", make_echo());
  auto asks = system.launch(
      "asks", make_handler(on<Number>([&](KernelContext& context, const Number& number) {
                             EXPECT_EQ(send(context, echo->address(), number), Status::kOk);
                           }),
                           on<Answer>([this](KernelContext&, const Answer& answer) { log.add(answer.value); })));
  system.connect(*asks, *echo);
  for (std::uint64_t i = 100; i < 150; ++i) ASSERT_EQ(send(*asks, Number{i}), Status::kOk);
  ASSERT_TRUE(seen(50));
  EXPECT_EQ(log.values(), up_to(50, 101));
}

TEST_F(EdgesTest, KeepsTheOrderBetweenKernelsOverFullRings) {
  auto sink = launch_sink(true, 1);
  auto source = launch_source();
  system.connect(*source, *sink, {.overflow = Overflow::kBlock, .capacity = 1});
  for (int i = 0; i < 5; ++i) ASSERT_EQ(send(*source, Number{200}), Status::kOk);
  ASSERT_TRUE(seen(1000));
  const auto values = log.values();
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], i % 200);
}

}  // namespace
}  // namespace rk::test
