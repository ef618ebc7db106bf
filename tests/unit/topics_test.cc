// Topics between the host and kernels: who gets what, in which order, and what happens to copies that find no room.
#include "actors.h"

namespace rk::test {
namespace {

class TopicsTest : public ::testing::Test {
 protected:
  ~TopicsTest() override {
    system.close(20s);
    expect_conserved(system->totals().all());
  }
  std::shared_ptr<Subscription> subscribe(const std::string& pattern, const SubscriptionOptions& options = {},
                                          std::shared_ptr<Kernel> kernel = nullptr) {
    return system->subscribe(pattern, options, std::move(kernel));
  }
  static std::vector<std::uint64_t> drain(Subscription& subscription) {
    std::vector<std::uint64_t> values;
    while (const auto number = receive<Number>(subscription, 0s)) values.push_back(number->value);
    return values;
  }

  ActorSystem system{{.workers = 2}};
  Log log;
};

TEST_F(TopicsTest, ReachThoseWhosePatternsMatch) {
  auto exact = subscribe("plant/1/heat"), one = subscribe("plant/*/heat"), all = subscribe("plant/#");
  EXPECT_EQ(publish(system, "plant/1/heat", Number{1}), 3u);
  EXPECT_EQ(publish(system, "plant/2/heat", Number{2}), 2u);
  EXPECT_EQ(publish(system, "plant/2", Number{3}), 1u);
  EXPECT_EQ(publish(system, "office", Number{4}), 0u);
  EXPECT_EQ(drain(*exact), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(drain(*one), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(drain(*all), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(all->stats().delivered, 3u);
}

TEST_F(TopicsTest, RefuseWhatIsMalformed) {
  for (const char* topic : {"", "a//b", "/a", "a/", "a/*", "#", "a*"})
    EXPECT_EQ(kind_of_error([&] { publish(system, topic, Number{1}); }), "TopicError") << topic;
  for (const char* pattern : {"", "a//b", "/a", "a/", "#/a", "a*"})
    EXPECT_EQ(kind_of_error([&] { subscribe(pattern); }), "TopicError") << pattern;
}

TEST_F(TopicsTest, GiveNewSubscribersWhatIsRetainedOldestFirst) {
  publish(system, "a/2", Number{1}, true);
  publish(system, "a/1", Number{2}, true);
  publish(system, "a/2", Number{3}, true);
  publish(system, "a/1", Number{4});
  EXPECT_EQ(drain(*subscribe("a/*")), (std::vector<std::uint64_t>{2, 3}));
  EXPECT_TRUE(system->topics().clear_retained("a/1"));
  EXPECT_FALSE(system->topics().clear_retained("a/1"));
  EXPECT_EQ(drain(*subscribe("a/*")), (std::vector<std::uint64_t>{3}));
}

TEST_F(TopicsTest, DeadLetterACopyThatFindsNoRoom) {
  auto small = subscribe("a", {.capacity = 2}), large = subscribe("a");
  EXPECT_EQ(publish(system, "a", Number{1}), 2u);
  EXPECT_EQ(publish(system, "a", Number{2}), 2u);
  EXPECT_EQ(publish(system, "a", Number{3}), 1u);
  EXPECT_EQ(drain(*small), up_to(2, 1));
  EXPECT_EQ(drain(*large), up_to(3, 1));
  expect_conserved(small->stats());
  EXPECT_EQ(small->stats().dead_lettered, 1u);
  const auto letters = system->dead_letters().browse();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].reason, DeadLetterReason::kSubscriberFull);
  EXPECT_EQ(read_message<Number>(letters[0].payload.data()).value, 3u);
}

TEST_F(TopicsTest, DropByTheSubscribersPolicy) {
  auto newest = subscribe("a", {.capacity = 2, .overflow = Overflow::kDropNewest});
  auto oldest = subscribe("a", {.capacity = 4, .overflow = Overflow::kDropOldest});
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(publish(system, "a", Number{i}), 2u);
  EXPECT_EQ(drain(*newest), up_to(2));
  EXPECT_EQ(newest->stats().dropped, 8u);
  const auto values = drain(*oldest);
  EXPECT_EQ(values, up_to(values.size(), 10 - values.size()));
  expect_conserved(oldest->stats());
}

TEST_F(TopicsTest, WaitForASubscriberThatWantsIt) {
  auto slow = subscribe("a", {.capacity = 1, .overflow = Overflow::kBlock});
  EXPECT_EQ(publish(system, "a", Number{0}), 1u);
  std::thread publisher([&] {
    for (std::uint64_t i = 1; i < 20; ++i) EXPECT_EQ(publish(system, "a", Number{i}, false, 30s), 1u);
  });
  for (std::uint64_t i = 0; i < 20; ++i) EXPECT_EQ(receive<Number>(*slow, 30s).value_or(Number{}).value, i);
  publisher.join();
}

TEST_F(TopicsTest, ReachKernelsAndComeFromThem) {
  auto relay = system.launch("relay", make_handler(on<Number>([](KernelContext& context, const Number& number) {
                               EXPECT_EQ(publish(context, "out", Number{number.value * 2}), 2u);
                             })));
  auto sink = system.launch("sink", make_logger(log));
  auto to_relay = subscribe("in", {}, relay);
  subscribe("out", {}, sink);
  auto host = subscribe("out");
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(publish(system, "in", Number{i}), 1u);
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(receive<Number>(*host).value_or(Number{}).value, i * 2);
  ASSERT_TRUE(eventually([&] { return log.size() == 100; }));
  system->topics().unsubscribe(to_relay);
  EXPECT_EQ(publish(system, "in", Number{1}), 0u);
}

TEST_F(TopicsTest, CountAsDeadWhatTheKernelDoesNotTake) {
  auto sink = system.launch("sink", make_logger(log));
  subscribe("a", {}, sink);
  EXPECT_EQ(publish(system, "a", Answer{1}), 1u);
  ASSERT_TRUE(eventually([&] { return sink->telemetry().refused == 1; }));
  EXPECT_EQ(system->dead_letters().browse().at(0).reason, DeadLetterReason::kWrongType);
}

TEST_F(TopicsTest, ForgetAKernelThatHasEnded) {
  auto sink = system.launch("sink", make_logger(log));
  subscribe("a", {}, sink);
  sink->terminate(deadline_after(20s), [] {});
  EXPECT_EQ(publish(system, "a", Number{1}), 0u);
}

TEST_F(TopicsTest, EndTheWaitOfASubscriberThatCloses) {
  auto waits = subscribe("a");
  std::thread receiver([&] { EXPECT_FALSE(receive<Number>(*waits, 30s)); });
  std::this_thread::sleep_for(5ms);
  system->topics().unsubscribe(waits);
  receiver.join();
}

TEST_F(TopicsTest, KeepOneOrderForAllPublishersOfASubscription) {
  auto all = subscribe("a", {.capacity = 8, .overflow = Overflow::kBlock});
  std::vector<std::thread> publishers;
  for (std::uint64_t p = 0; p < 3; ++p) {
    publishers.emplace_back([this, p] {
      for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(publish(system, "a", Number{p << 32 | i}, false, 30s), 1u);
    });
  }
  std::array<std::uint64_t, 3> next{};
  for (int i = 0; i < 3000; ++i) {
    const auto number = receive<Number>(*all, 30s);
    ASSERT_TRUE(number);
    EXPECT_EQ(next[number->value >> 32]++, number->value & 0xFFFFFFFFu);
  }
  for (auto& publisher : publishers) publisher.join();
}

}  // namespace
}  // namespace rk::test
