// The host's half of a grid, against a device that a thread plays: everything that a kernel of the CPU does comes out
// the same.
#include "cuda_fake_device.h"

namespace rk::cuda::test {
namespace {

using rk::test::Answer;
using rk::test::eventually;
using rk::test::kind_of_error;
using rk::test::Number;
using namespace std::chrono_literals;

constexpr u64 kFails = 13, kEnds = 14, kAsserts = 15;

u64 value_of(const std::byte* payload) {
  Number number;
  std::memcpy(&number, payload, sizeof(number));
  return number.value;
}

// One more than it got, and how many it has handled in this incarnation, for 1.
u32 echo(FakeInstance& me, const MessageHeader&, const std::byte* payload) {
  const u64 value = value_of(payload);
  ++me.state;
  if (value == kFails) return RK_FAIL_SEND_FULL;
  if (value == kAsserts) return RK_FAIL_ASSERTION;
  if (value == kEnds) me.exit();
  me.reply(Answer{value == 1 ? me.state : value + 1});
  return 0;
}

class CudaBridge : public ::testing::Test {
 protected:
  CudaBridge()
      : backend(std::make_shared<FakeBackend>()), runtime(std::make_shared<Runtime>(backend, RuntimeOptions{})) {}
  ~CudaBridge() override {
    EXPECT_TRUE(runtime->close(deadline_after(20s), [] {}).empty());
    rk::test::expect_conserved(runtime->totals().all());
    EXPECT_EQ(runtime->totals().inboxes.in_flight, 0u);
  }

  std::shared_ptr<Kernel> launch(const std::string& name, DeviceBody body, KernelOptions options = {},
                                 std::vector<std::string> targets = {}, std::vector<std::string> topics = {}) {
    auto handler = std::make_shared<FakeHandler>(std::move(body));
    handler->code.targets = std::move(targets);
    handler->code.topics = std::move(topics);
    return start(name, handler, std::move(options));
  }
  // Activated at once, whoever it sends to.
  std::shared_ptr<Kernel> start(const std::string& name, std::shared_ptr<Handler> handler, KernelOptions options) {
    options.name = name;
    auto kernel = runtime->launch(std::move(handler), options);
    kernel->activate(deadline_after(20s), [] {});
    return kernel;
  }
  static bool idle(Kernel& kernel) {
    return eventually([&] {
      kernel.refresh();
      return kernel.inbox_stats().in_flight == 0;
    });
  }
  static void pause(Kernel& kernel) {
    kernel.deactivate(deadline_after(20s), [] {});
  }
  std::uint64_t dead(DeadLetterReason reason) {
    return runtime->dead_letters().stats().by_reason[static_cast<std::size_t>(reason)];
  }

  std::shared_ptr<FakeBackend> backend;
  std::shared_ptr<Runtime> runtime;
};

TEST_F(CudaBridge, answers_calls) {
  auto kernel = launch("echo", echo);
  for (u64 i = 100; i < 1100; ++i) ASSERT_EQ(call<Answer>(*kernel, Number{i}, 30s).value, i + 1);
  const KernelTelemetry telemetry = kernel->telemetry();
  EXPECT_EQ(telemetry.processed, 1000u);
  EXPECT_EQ(telemetry.inbox.delivered, 1000u);
  EXPECT_EQ(telemetry.inbox.in_flight, 0u);
  EXPECT_EQ(telemetry.handler.count, 1000u);
}

TEST_F(CudaBridge, more_messages_than_the_window_arrive_in_order) {
  rk::test::Log log;
  KernelOptions options;
  options.capacity = 4096;
  auto kernel = launch(
      "log",
      [&](FakeInstance&, const MessageHeader&, const std::byte* payload) {
        log.add(value_of(payload));
        return 0u;
      },
      options);
  for (u64 i = 0; i < 3000; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(log.values(), rk::test::up_to(3000));
}

TEST_F(CudaBridge, instances_work_side_by_side_for_many_senders) {
  KernelOptions options;
  options.instances = 4;
  auto kernel = launch("echo", echo, options);
  std::vector<std::thread> callers;
  for (u64 t = 0; t < 3; ++t) {
    callers.emplace_back([&, t] {
      for (u64 i = 0; i < 200; ++i) {
        const u64 value = 1000 * (t + 1) + i;
        EXPECT_EQ(call<Answer>(*kernel, Number{value}, 30s).value, value + 1);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(kernel->telemetry().processed, 600u);
}

TEST_F(CudaBridge, a_failure_is_told_to_the_caller_and_kept) {
  auto kernel = launch("echo", echo);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{kFails}, 30s); }), "HandlerError");
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Answer{1}, 30s); }), "WrongMessageError");
  SendOptions late;
  late.deadline = 1;
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{2}, 30s, late); }), "DeadlineExpiredError");
  EXPECT_EQ(call<Answer>(*kernel, Number{20}, 30s).value, 21u);
  EXPECT_EQ(dead(DeadLetterReason::kHandlerFailed), 1u);
  EXPECT_EQ(dead(DeadLetterReason::kWrongType), 1u);
  EXPECT_EQ(dead(DeadLetterReason::kExpired), 1u);
  const KernelTelemetry telemetry = kernel->telemetry();
  EXPECT_EQ(telemetry.failed, 1u);
  EXPECT_EQ(telemetry.refused, 1u);
  EXPECT_EQ(telemetry.expired, 1u);
  EXPECT_EQ(telemetry.inbox.dead_lettered, 3u);
}

TEST_F(CudaBridge, too_many_failures_end_the_kernel) {
  KernelOptions options;
  options.instances = 2;
  auto kernel = launch("echo", echo, options);
  SendOptions first;
  first.instance = 0;
  for (int i = 0; i < 8; ++i) send(*kernel, Number{kFails}, 1s, first);
  ASSERT_TRUE(eventually([&] { return kernel->state() == KernelState::kFailed; }));
  EXPECT_TRUE(kernel->join(deadline_after(20s), [] {}));
  EXPECT_GE(dead(DeadLetterReason::kHandlerFailed), 4u);
}

TEST_F(CudaBridge, a_paused_kernel_handles_nothing_and_keeps_what_comes) {
  auto kernel = launch("echo", echo);
  EXPECT_EQ(call<Answer>(*kernel, Number{20}, 30s).value, 21u);
  for (int round = 0; round < 20; ++round) {
    pause(*kernel);
    const u64 before = kernel->telemetry().processed;
    for (u64 i = 0; i < 10; ++i) ASSERT_EQ(send(*kernel, Number{100 + i}), Status::kOk);
    kernel->refresh();
    EXPECT_EQ(kernel->telemetry().processed, before);
    EXPECT_EQ(kernel->inbox_stats().in_flight, 10u);
    runtime->activate(*kernel, deadline_after(20s), [] {});
    ASSERT_TRUE(idle(*kernel));
  }
}

TEST_F(CudaBridge, a_snapshot_has_what_is_aboard_before_what_waits) {
  std::atomic<bool> go{false};
  auto kernel = launch("slow", [&](FakeInstance& me, const MessageHeader&, const std::byte*) {
    while (!go && !me.cancelled()) std::this_thread::yield();
    return 0u;
  });
  for (u64 i = 0; i < 200; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return kernel->busy(); }));
  std::thread opener([&] {
    std::this_thread::sleep_for(20ms);
    go = true;
  });
  pause(*kernel);
  opener.join();
  const Checkpoint made = kernel->snapshot(deadline_after(20s), [] {});
  ASSERT_FALSE(made.messages.empty());
  EXPECT_EQ(made.messages.size() + kernel->telemetry().processed, 200u);
  u64 expected = 200 - made.messages.size();
  for (const InFlight& one : made.messages) EXPECT_EQ(value_of(one.payload.data()), expected++);
}

TEST_F(CudaBridge, termination_drains) {
  std::atomic<u64> handled{0};
  KernelOptions options;
  options.capacity = 1024;
  auto kernel = launch(
      "count",
      [&](FakeInstance&, const MessageHeader&, const std::byte*) {
        ++handled;
        return 0u;
      },
      options);
  for (u64 i = 0; i < 1000; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  kernel->terminate(deadline_after(20s), [] {});
  EXPECT_EQ(handled, 1000u);
  EXPECT_EQ(send(*kernel, Number{1}), Status::kClosed);
}

TEST_F(CudaBridge, a_paused_kernel_that_ends_leaves_its_messages) {
  auto kernel = launch("echo", echo);
  EXPECT_EQ(call<Answer>(*kernel, Number{20}, 30s).value, 21u);
  pause(*kernel);
  for (u64 i = 0; i < 10; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  kernel->terminate(deadline_after(20s), [] {});
  EXPECT_EQ(dead(DeadLetterReason::kTerminated), 10u);
  EXPECT_EQ(kernel->state(), KernelState::kTerminated);
}

TEST_F(CudaBridge, a_kernel_that_was_never_active_ends_without_its_device) {
  KernelOptions options;
  options.name = "asleep";
  auto kernel = runtime->launch(std::make_shared<FakeHandler>(echo), options);
  ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  kernel->terminate(deadline_after(20s), [] {});
  EXPECT_EQ(dead(DeadLetterReason::kTerminated), 1u);
}

TEST_F(CudaBridge, a_handler_ends_its_kernel) {
  auto kernel = launch("once", [](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
    me.reply(Answer{value_of(payload)});
    me.stop_kernel();
    return 0u;
  });
  EXPECT_EQ(call<Answer>(*kernel, Number{5}, 30s).value, 5u);
  ASSERT_TRUE(eventually([&] { return kernel->state() == KernelState::kTerminated; }));
}

TEST_F(CudaBridge, kernels_send_to_each_other_across_devices) {
  rk::test::Log log;
  KernelOptions options;
  options.publishes_to = {"sink"};
  auto source = launch("source",
                       [](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
                         return me.send(0, Number{value_of(payload) * 2}) == 0 ? 0u : RK_FAIL_SEND_FAILED;
                       },
                       options, {"sink"});
  auto sink = start("sink", rk::test::make_logger(log), {});
  for (u64 i = 0; i < 500; ++i) ASSERT_EQ(send(*source, Number{i}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return log.size() == 500; }));
  for (u64 i = 0; i < 500; ++i) EXPECT_EQ(log.values()[i], 2 * i);
  EXPECT_TRUE(idle(*source));
}

TEST_F(CudaBridge, sends_say_what_became_of_them) {
  std::atomic<u32> status{99};
  std::atomic<u64> credits{99};
  KernelOptions options;
  options.publishes_to = {"sink"};
  auto source = launch("source",
                       [&](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
                         const auto target = static_cast<u32>(value_of(payload));
                         credits = me.free_slots(target);
                         status = me.send(target, Number{7});
                         me.reply(Answer{1});
                         return 0u;
                       },
                       options, {"sink", "stranger", "nobody"});
  rk::test::Log log;
  auto sink = start("sink", rk::test::make_logger(log), {});
  auto stranger = start("stranger", rk::test::make_logger(log), {});
  const auto ask = [&](u64 target) {
    call<Answer>(*source, Number{target}, 30s);
    return static_cast<Status>(status.load());
  };
  EXPECT_EQ(ask(0), Status::kOk);
  EXPECT_EQ(credits, 1024u);
  EXPECT_EQ(ask(1), Status::kUndeclared);
  EXPECT_EQ(ask(2), Status::kClosed);
  EXPECT_EQ(credits, 0u);
  EXPECT_EQ(ask(3), Status::kUndeclared);
  ASSERT_TRUE(eventually([&] { return log.size() == 1; }));
}

TEST_F(CudaBridge, a_kernel_on_the_device_is_asked_by_one_on_the_host) {
  auto echoing = launch("echo", echo);
  rk::test::Log log;
  KernelOptions options;
  options.publishes_to = {"echo"};
  const Address to = Address::make(echoing->address().node(), echoing->address().kernel());
  auto asking = start("asking",
                      make_handler(on<Number>([to](KernelContext& context, const Number& number) {
                                     Outgoing message;
                                     message.type_id = Number::kTypeId;
                                     message.payload = std::as_bytes(std::span(&number, 1));
                                     context.send(to, message);
                                   }),
                                   on<Answer>([&](KernelContext&, const Answer& a) { log.add(a.value); })),
                      options);
  for (u64 i = 100; i < 200; ++i) ASSERT_EQ(send(*asking, Number{i}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return log.size() == 100; }));
  EXPECT_EQ(log.values(), rk::test::up_to(100, 101));
}

TEST_F(CudaBridge, publishes_to_topics) {
  auto subscription = runtime->subscribe("news", {}, nullptr);
  auto kernel = launch("speaker",
                       [](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
                         me.reply(Answer{me.publish(0, Number{value_of(payload)})});
                         return 0u;
                       },
                       {}, {}, {"news"});
  EXPECT_EQ(call<Answer>(*kernel, Number{77}, 30s).value, 1u);
  const auto got = receive<Number>(*subscription, 30s);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->value, 77u);
}

TEST_F(CudaBridge, is_subscribed) {
  rk::test::Log log;
  auto kernel = launch("listener", [&](FakeInstance&, const MessageHeader&, const std::byte* payload) {
    log.add(value_of(payload));
    return 0u;
  });
  runtime->subscribe("news", {}, kernel);
  MessageHeader header{};
  header.version = kMessageVersion;
  header.type_id = Number::kTypeId;
  header.payload_size = sizeof(Number);
  for (u64 i = 0; i < 20; ++i) {
    const Number number{i};
    header.priority = kPriorityNormal;
    runtime->publish_from_host("news", header, std::as_bytes(std::span(&number, 1)).data(), i == 19, 0);
  }
  ASSERT_TRUE(eventually([&] { return log.size() == 20; }));
  EXPECT_EQ(log.values(), rk::test::up_to(20));
}

TEST_F(CudaBridge, a_blocking_edge_holds_the_instance_until_there_is_room) {
  rk::test::Gate gate;
  rk::test::Log log;
  KernelOptions options;
  options.publishes_to = {"sink"};
  auto source = launch("source",
                       [](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
                         return me.send(0, Number{value_of(payload)}) == 0 ? 0u : RK_FAIL_SEND_FULL;
                       },
                       options, {"sink"});
  auto sink = start("sink", make_handler(on<Number>([&](KernelContext&, const Number& number) {
                      gate.pass();
                      log.add(number.value);
                    })),
                    {});
  EdgeOptions blocking;
  blocking.overflow = Overflow::kBlock;
  blocking.capacity = 4;
  runtime->connect("source", "sink", blocking);
  for (u64 i = 0; i < 50; ++i) ASSERT_EQ(send(*source, Number{i}), Status::kOk);
  ASSERT_TRUE(eventually([&] { return source->telemetry().processed >= 5; }));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(source->telemetry().processed, 5u) << "four in the ring, and one beside it";
  gate.open();
  ASSERT_TRUE(eventually([&] { return log.size() == 50; }));
  EXPECT_EQ(log.values(), rk::test::up_to(50));
}

TEST_F(CudaBridge, two_that_block_each_other_go_on) {
  KernelOptions options;
  std::atomic<u64> handled{0};
  const auto pass_on = [&handled](FakeInstance& me, const MessageHeader&, const std::byte* payload) {
    ++handled;
    const u64 left = value_of(payload);
    return left == 0 || me.send(0, Number{left - 1}) == 0 ? 0u : RK_FAIL_SEND_FULL;
  };
  options.publishes_to = {"b"};
  auto a = launch("a", pass_on, options, {"b"});
  options.publishes_to = {"a"};
  auto b = launch("b", pass_on, options, {"a"});
  EdgeOptions blocking;
  blocking.overflow = Overflow::kBlock;
  blocking.capacity = 2;
  runtime->connect("a", "b", blocking);
  runtime->connect("b", "a", blocking);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(send(*a, Number{9}), Status::kOk);
    ASSERT_EQ(send(*b, Number{9}), Status::kOk);
  }
  EXPECT_TRUE(eventually([&] { return handled == 400; }));
}

TEST_F(CudaBridge, a_flood_for_the_host_waits_on_the_device) {
  KernelOptions options;
  options.capacity = 8;
  auto kernel = launch(
      "flood",
      [](FakeInstance& me, const MessageHeader&, const std::byte*) {
        for (u64 i = 0; i < 300; ++i) me.reply(Answer{i});
        return 0u;
      },
      options);
  ASSERT_EQ(send(*kernel, Number{1}), Status::kOk);
  std::this_thread::sleep_for(20ms);
  for (u64 i = 0; i < 300; ++i) {
    const auto got = receive<Answer>(*kernel, 30s);
    ASSERT_TRUE(got);
    ASSERT_EQ(got->value, i);
  }
}

TEST_F(CudaBridge, duplicates_are_dropped) {
  KernelOptions options;
  options.dedup_window = 16;
  auto kernel = launch("echo", echo, options);
  SendOptions same;
  same.message_id = 5;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(send(*kernel, Number{20}, 1s, same), Status::kOk);
  ASSERT_TRUE(idle(*kernel));
  EXPECT_EQ(kernel->telemetry().processed, 1u);
  EXPECT_EQ(kernel->telemetry().duplicates, 2u);
  EXPECT_EQ(kernel->inbox_stats().dropped, 2u);
}

TEST_F(CudaBridge, a_supervised_instance_begins_again) {
  SupervisorOptions gentle;
  gentle.name = "gentle";
  KernelOptions options;
  options.supervisor = runtime->supervisors().add_supervisor(0, gentle);
  auto kernel = launch("child", echo, options);
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s).value, 1u);
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s).value, 2u);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{kFails}, 30s); }), "HandlerError");
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s).value, 1u);
  EXPECT_EQ(kernel->restarts(), 1u);
  EXPECT_EQ(call<Answer>(*kernel, Number{kEnds}, 30s).value, 15u);
  ASSERT_TRUE(eventually([&] { return kernel->restarts() == 2; }));
  EXPECT_EQ(call<Answer>(*kernel, Number{1}, 30s).value, 1u);
}

TEST_F(CudaBridge, one_for_all_holds_the_others) {
  SupervisorOptions all;
  all.name = "all";
  all.strategy = Strategy::kOneForAll;
  KernelOptions options;
  options.supervisor = runtime->supervisors().add_supervisor(0, all);
  auto first = launch("first", echo, options), second = launch("second", echo, options);
  EXPECT_EQ(call<Answer>(*first, Number{1}, 30s).value, 1u);
  EXPECT_EQ(call<Answer>(*second, Number{1}, 30s).value, 1u);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*first, Number{kFails}, 30s); }), "HandlerError");
  ASSERT_TRUE(eventually([&] { return first->restarts() == 1 && second->restarts() == 1; }));
  EXPECT_EQ(call<Answer>(*first, Number{1}, 30s).value, 1u);
  EXPECT_EQ(call<Answer>(*second, Number{1}, 30s).value, 1u);
}

TEST_F(CudaBridge, a_watchdog_stops_a_handler_that_does_not_return) {
  KernelOptions options;
  options.watchdog_ns = 50'000'000;
  auto kernel = launch(
      "loop",
      [](FakeInstance& me, const MessageHeader&, const std::byte* payload) -> u32 {
        while (value_of(payload) == 1) {
          if (me.cancelled()) return RK_FAIL_CANCELLED;
          std::this_thread::yield();
        }
        me.reply(Answer{2});
        return 0;
      },
      options);
  EXPECT_EQ(kind_of_error([&] { call<Answer>(*kernel, Number{1}, 30s); }), "HandlerError");
  EXPECT_EQ(dead(DeadLetterReason::kHung), 1u);
  EXPECT_EQ(call<Answer>(*kernel, Number{2}, 30s).value, 2u);
}

TEST_F(CudaBridge, a_lost_device_fails_the_kernel_and_loses_no_message_unseen) {
  auto kernel = launch("echo", echo);
  EXPECT_EQ(call<Answer>(*kernel, Number{20}, 30s).value, 21u);
  kernel->refresh();  // so that nobody doubts that it is over
  backend->last->device.frozen = true;
  for (u64 i = 0; i < 100; ++i) ASSERT_EQ(send(*kernel, Number{i}), Status::kOk);
  std::thread waiting([&] { EXPECT_NE(kind_of_error([&] { call<Answer>(*kernel, Number{20}, 30s); }), ""); });
  std::this_thread::sleep_for(10ms);
  backend->last->bridge.fail("the device fell off the bus");
  waiting.join();
  EXPECT_EQ(kernel->state(), KernelState::kFailed);
  EXPECT_TRUE(kernel->join(deadline_after(20s), [] {}));
  EXPECT_EQ(kernel->failure(), "the device fell off the bus");
  EXPECT_EQ(dead(DeadLetterReason::kTerminated), 101u);
}

TEST_F(CudaBridge, many_kernels_come_and_go) {
  for (int round = 0; round < 20; ++round) {
    KernelOptions options;
    options.instances = 3;
    auto kernel = launch("brief", echo, options);
    for (u64 i = 0; i < 20; ++i) send(*kernel, Number{100 + i});
    if (round % 2 == 0) {
      EXPECT_EQ(call<Answer>(*kernel, Number{50}, 30s).value, 51u);
    }
    kernel->terminate(deadline_after(20s), [] {});
  }
}

}  // namespace
}  // namespace rk::cuda::test
