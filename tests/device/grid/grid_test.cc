// The device's half of a grid, run as threads, against a host's half that is as small as it can be.
#include "host.h"

namespace grid_test {
namespace {

enum : u32 { kEcho = 1, kTally, kFail, kSpin, kSend, kLong, kExit, kThreads, kPublish, kClock, kChange, kReport };
constexpr u32 kReply = 100;

Bytes eight(u64 value) { return bytes_of(value); }
Bytes four(u32 value) { return bytes_of(value); }

TEST(Grid, TheLayoutIsAsTheHostHasIt) {
  std::vector<u32> words(1000, 0);
  run(rk_double_run_rk_report_layout, 1, 1, {reinterpret_cast<u64>(words.data())});
  std::size_t n = 0;
#define FIELD(S, type, name, offset) EXPECT_EQ(words[n++], offsetof(S, name)) << #S "." #name;
#define STRUCT(S, FIELDS)           \
  EXPECT_EQ(words[n++], sizeof(S)); \
  FIELDS(FIELD)
  RK_GRID_STRUCTS(STRUCT)
  EXPECT_EQ(words[n], 0u);
}

TEST(Grid, AMessageIsAnsweredOnce) {
  Host host;
  host.launch();
  const u64 id = host.post(kEcho, eight(42));
  const Record record = host.next(kUpMessage);
  const MessageHeader header = record.header();
  EXPECT_EQ(value_of<u64>(record.payload()), 42u);
  EXPECT_EQ(header.correlation_id, id);
  EXPECT_EQ(header.flags, kFlagReply);
  EXPECT_EQ(header.hops, 1);
  EXPECT_EQ(header.source, Address::make(1, 5, 0).word);
  EXPECT_EQ(header.message_id, host.grid().id_base);
  EXPECT_EQ(header.dest, 0u);
  EXPECT_GT(header.hlc, 0u);
  host.leave();
  EXPECT_FALSE(host.look().has_value());
}

TEST(Grid, MessagesOfAnInstanceKeepTheirOrderAndTheStateAddsUp) {
  Host host({.instances = 3});
  host.launch();
  u64 sums[3] = {};
  for (u64 n = 1; n <= 200; ++n) {
    for (u32 i = 0; i < 3; ++i) host.post(kTally, eight(n + i), i);
    for (u32 i = 0; i < 3; ++i) {
      const Record record = host.next(kUpMessage);
      const u32 from = Address{record.header().source}.instance();
      sums[from] += n + from;
      EXPECT_EQ(value_of<u64>(record.payload()), sums[from]);
    }
  }
  host.obeyed(kActive);
  for (u32 i = 0; i < 3; ++i) EXPECT_EQ(load(host.status(i).handled), 200u);
  host.leave();
}

TEST(Grid, TheWindowIsAllThatTheHostNeedsToKeepTo) {
  Host host({.window = 2, .slots = 16});
  host.launch();
  std::thread sender([&] {
    for (u64 n = 0; n < 300; ++n) host.post(kTally, eight(1));
  });
  for (u64 n = 1; n <= 300; ++n) EXPECT_EQ(value_of<u64>(host.reply(kReply + kTally)), n);
  sender.join();
  EXPECT_EQ(load(host.device().fault), kFaultNone);
  host.leave();
}

TEST(Grid, RecordsOverSeveralSlotsArriveWhole) {
  for (u32 units : {8u, 12u, 32u}) {
    Host host({.instances = 2, .units = units, .slots = 64});
    host.launch();
    Bytes payload(1000);
    for (u32 n = 0; n < 40; ++n) {
      for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i * 7 + n);
      host.post(kLong, payload, n % 2);
      host.post(kEcho, eight(n), n % 2);
      EXPECT_EQ(host.reply(kReply + kLong), payload);
      EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), n);
    }
    host.leave();
  }
}

TEST(Grid, AFailureIsReportedAndOneTooManyIsTheLast) {
  Host host({.max_failures = 2});
  host.launch();
  for (u32 n = 0; n < 3; ++n) {
    const u64 id = host.post(kFail, four(n));
    const Record record = host.next(kUpFailed);
    const auto body = record.lead<FailedBody>();
    EXPECT_EQ(body.outcome, kFailHandler);
    EXPECT_EQ(body.code, 0xFFFF0101u);
    EXPECT_EQ(body.line, 7u);
    EXPECT_EQ(body.waits, 0u);
    EXPECT_EQ(body.last, n == 2 ? 1u : 0u);
    EXPECT_EQ(record.header(sizeof(body)).message_id, id);
    EXPECT_EQ(value_of<u32>(record.payload(sizeof(body))), n);
  }
  host.post(kEcho, eight(1));
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailLeftOver);
  host.command(kCommandStopNow);
  EXPECT_EQ(host.next(kUpEnded).lead<EndedBody>().failed, 1u);
  host.join();
}

TEST(Grid, WhatIsExpiredOrOfAnotherSizeIsNotHandled) {
  Host host;
  host.launch();
  host.post(kEcho, eight(1), 0, kPriorityNormal, 1);
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailExpired);
  host.post(kEcho, four(1));
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailRefused);
  host.post(77, eight(1));
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailRefused);
  host.post(kEcho, eight(2));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 2u);
  host.leave();
}

TEST(Grid, AHandlerIsCancelledByItsTask) {
  Host host;
  host.launch();
  host.post(kSpin, four(0));
  host.until([&] { return load(host.status().busy_since) != 0; });
  host.record(kDownCancel, 0, bytes_of(CancelBody{load(host.status().task) + 1, 0}));
  host.record(kDownCancel, 0, bytes_of(CancelBody{load(host.status().task), 0}));
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailStopped);
  host.post(kEcho, eight(3));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 3u);
  host.leave();
}

TEST(Grid, APausedInstanceTakesNothingUntilItIsResumed) {
  Host host;
  host.launch();
  host.obeyed(0);
  EXPECT_EQ(load(host.status().phase), kPhasePaused);
  host.post(kEcho, eight(4));
  host.obeyed(0);
  EXPECT_EQ(load(host.status().handled), 0u);
  host.obeyed(kActive);
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 4u);
  host.record(kDownHold, 0, bytes_of(HoldBody{1, 0}));
  host.obeyed(kActive);
  EXPECT_EQ(load(host.status().phase), kPhaseHeld);
  host.post(kEcho, eight(5));
  host.record(kDownHold, 0, bytes_of(HoldBody{0, 0}));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 5u);
  host.leave();
}

TEST(Grid, AfterFinishEverythingIsHandledAndTheGridEnds) {
  Host host({.window = 8});
  for (u64 n = 0; n < 5; ++n) host.post(kEcho, eight(n));
  host.record(kDownFinish, 0);
  host.command(kActive | kCommandDraining);
  const u64 lease = host.launch();
  for (u64 n = 0; n < 5; ++n) EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), n);
  EXPECT_EQ(host.next(kUpEnded).lead<EndedBody>().failed, 0u);
  host.join();
  EXPECT_EQ(load(host.device().lease_ended), lease);
  EXPECT_EQ(load(host.status().phase), kPhaseEnded);
}

TEST(Grid, StopNowSendsBackWhatIsLeft) {
  Host host({.window = 8});
  host.command(0);
  host.launch();
  for (u64 n = 0; n < 5; ++n) host.post(kEcho, eight(n), 0, n % 2 == 0 ? kPriorityLow : kPriorityHigh);
  host.command(kCommandStopNow);
  for (u64 n = 0; n < 5; ++n) EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailLeftOver);
  host.next(kUpEnded);
  host.join();
  EXPECT_EQ(load(host.status().handled), 0u);
}

TEST(Grid, TheNextLeaseGoesOnWhereTheLastOneEnded) {
  Host host;
  u64 lease = host.launch(3'000'000);
  for (u64 n = 1; n <= 40; ++n) {
    host.post(kTally, eight(1));
    std::optional<Record> found;
    host.until([&] {
      if (load(host.device().lease_ended) == lease) lease = host.launch(3'000'000);
      return (found = host.look()).has_value();
    });
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(value_of<u64>(found->payload()), n);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(lease, 3u);
  host.leave();
}

TEST(Grid, WhatComesBetweenTwoLeasesIsForTheNext) {
  Host host;
  host.launch();
  host.post(kTally, eight(1));
  host.leave();
  for (u64 n = 0; n < 3; ++n) host.post(kTally, eight(1));
  host.launch();
  for (u64 n = 1; n <= 4; ++n) EXPECT_EQ(value_of<u64>(host.reply(kReply + kTally)), n);
  host.leave();
}

TEST(Grid, AVerdictRestartsWithANewStateOrGoesOn) {
  Host host({.supervised = 1});
  host.launch();
  host.post(kTally, eight(5));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kTally)), 5u);
  host.post(kFail, four(0));
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().waits, 1u);
  host.post(kTally, eight(6));
  host.obeyed(kActive);
  EXPECT_EQ(load(host.status().phase), kPhaseWaits);
  host.leave();
  host.launch();
  host.record(kDownRestart, 0, bytes_of(RestartBody{9, 0}));
  const Record record = host.next(kUpMessage);
  EXPECT_EQ(value_of<u64>(record.payload()), 6u);
  EXPECT_EQ(Address{record.header().source}.generation(), 9u);
  host.post(kFail, four(0));
  host.next(kUpFailed);
  host.record(kDownResume, 0);
  host.post(kTally, eight(1));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kTally)), 7u);
  host.leave();
}

TEST(Grid, AStopWhileAVerdictIsPendingLeavesTheRestOver) {
  Host host({.supervised = 1});
  host.launch();
  host.post(kFail, four(0));
  host.next(kUpFailed);
  host.post(kEcho, eight(0));
  host.record(kDownFinish, 0);
  host.command(kActive | kCommandDraining);
  EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().outcome, kFailLeftOver);
  host.next(kUpEnded);
  host.join();
}

TEST(Grid, AnExitIsReportedWhenAllIsHandled) {
  Host host({.restarts = 1});
  host.command(0);
  host.launch();
  host.post(kExit, four(0));
  host.post(kEcho, eight(1));
  host.command(kActive);
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 1u);
  host.next(kUpExit);
  host.record(kDownRestart, 0, bytes_of(RestartBody{1, 0}));
  host.post(kEcho, eight(2));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 2u);
  host.leave();
}

TEST(Grid, ARequestToTerminateGoesUpOnce) {
  Host host;
  host.launch();
  host.post(kExit, four(0));
  host.post(kExit, four(0));
  host.post(kEcho, eight(1));
  host.next(kUpStop);
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 1u);
  host.leave();
}

TEST(Grid, SendsByTheHostWaitForTheAnswer) {
  Host host;
  host.launch();
  for (u32 status : {0u, 1u, 3u}) {
    host.post(kSend, eight(0));
    for (u32 thread = 0; thread < RK_BLOCK_SIZE; ++thread) {
      const auto body = host.next(kUpSend).lead<SendBody>();
      EXPECT_EQ(body.instance, 0xFFFFFFFFu);
      host.answer(body.request, status);
    }
    if (status == 0) continue;
    EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().code, status == 1 ? 0xFFFF0102u : 0xFFFF0103u);
  }
  host.leave();
}

TEST(Grid, AnAnswerMayHoldTheInstance) {
  Host host;
  host.launch();
  host.post(kSend, eight(0));
  for (u32 thread = 0; thread < RK_BLOCK_SIZE; ++thread) {
    host.answer(host.next(kUpSend).lead<SendBody>().request, 0, 0, 1);
  }
  host.post(kEcho, eight(1));
  host.obeyed(kActive);
  EXPECT_EQ(load(host.status().phase), kPhaseHeld);
  EXPECT_FALSE(host.look().has_value());
  host.record(kDownHold, 0, bytes_of(HoldBody{0, 0}));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 1u);
  host.leave();
}

TEST(Grid, APublishTellsHowManyGotIt) {
  Host host;
  host.launch();
  host.post(kPublish, four(3));
  u32 replies = 0;
  for (u32 n = 0; n < RK_BLOCK_SIZE + 1; ++n) {  // the first thread may reply before others publish
    const Record record = host.next();
    if (record.head.kind == kUpMessage) {
      EXPECT_EQ(value_of<u64>(record.payload()), 17u);
      ++replies;
      continue;
    }
    EXPECT_EQ(record.lead<PublishBody>().topic, 3u);
    host.answer(record.lead<PublishBody>().request, 0, 17);
  }
  EXPECT_EQ(replies, 1u);
  host.leave();
}

TEST(Grid, AReplyToAKernelGoesByTheHost) {
  Host host;
  host.launch();
  host.post(kEcho, eight(8), 0, kPriorityHigh, 0, Address::make(1, 3, 2).word);
  const Record record = host.next(kUpReply);
  EXPECT_EQ(record.header(sizeof(SendBody)).dest, Address::make(1, 3, 2).word);
  EXPECT_EQ(record.header(sizeof(SendBody)).priority, kPriorityHigh);
  host.answer(record.lead<SendBody>().request, 3);  // gone: no failure
  host.post(kEcho, eight(9));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 9u);
  host.leave();
}

TEST(Grid, HigherPrioritiesComeFirst) {
  Host host({.window = 8});
  host.command(0);
  host.launch();
  for (u8 p : {kPriorityLow, kPriorityNormal, kPriorityCritical, kPriorityHigh}) host.post(kEcho, eight(p), 0, p);
  host.command(kActive);
  for (u64 p : {3u, 2u, 1u, 0u}) EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), p);
  host.leave();
}

TEST(Grid, ThreadsOfABlockShareAMessage) {
  Host host;
  host.launch();
  host.post(kThreads, four(0));
  EXPECT_EQ(value_of<u32>(host.reply(kReply + kThreads)), u32{RK_BLOCK_SIZE});
  host.post(kThreads, four(1));
  if (RK_BLOCK_SIZE > 1) {
    if (RK_BLOCK_SIZE > 3) host.reply(kReply + kThreads);
    EXPECT_EQ(host.next(kUpFailed).lead<FailedBody>().line, 11u);
  } else {
    host.reply(kReply + kThreads);
  }
  host.post(kReport, four(0));
  host.post(kChange, eight(41));
  EXPECT_EQ(value_of<u32>(host.reply(kReply + kChange)), 42u);
  host.obeyed(kActive);
  EXPECT_EQ(load(host.status().reported), u64{RK_BLOCK_SIZE});
  EXPECT_EQ(load(host.status().last_error), 77u);
  host.leave();
}

TEST(Grid, StampsIncreaseAndFollowTheHostsTime) {
  Host host;
  const u64 now = ntp64_from_ns(rk_double::Table(kTable).time()) + (u64{1000} << 32);
  store(host.host().host_time, now);
  host.launch();
  host.obeyed(kActive);
  u64 last = now;
  for (u64 ahead : {0u, 30u, 90u}) {
    host.post(kClock, eight(now + (ahead << 32)));
    const Record record = host.next(kUpMessage);
    const Bytes stamps = record.payload();
    EXPECT_GT(value_of<u64>(stamps, 8), last);
    EXPECT_GT(record.header().hlc, value_of<u64>(stamps, 8));
    EXPECT_EQ(value_of<u64>(stamps, 16), ahead == 90 ? 0u : 1u);
    last = record.header().hlc;
  }
  EXPECT_GT(last, now + (u64{30} << 32));
  host.leave();
}

TEST(Grid, LatenciesAreCounted) {
  Host host;
  host.launch();
  for (u64 n = 0; n < 10; ++n) {
    host.post(kEcho, eight(n));
    host.reply(kReply + kEcho);
  }
  host.obeyed(kActive);
  const u64* words = Host::at<u64>(host.grid().latencies_host);
  u64 sum = 0;
  for (u32 n = 0; n < kLatencyBuckets; ++n) sum += load(words[n]);
  EXPECT_EQ(sum, 10u);
  EXPECT_EQ(load(words[kLatencyBuckets]), 10u);
  EXPECT_LE(load(words[kLatencyBuckets + 2]), load(words[kLatencyBuckets + 3]));
  host.leave();
}

TEST(Grid, ARecordOfNoKindIsAFault) {
  Host host;
  host.launch();
  host.record(99, 0);
  host.until([&] { return load(host.device().fault) == kFaultRecord; });
  EXPECT_EQ(load(host.device().fault_detail), 99u);
  host.post(kEcho, eight(1));
  EXPECT_EQ(value_of<u64>(host.reply(kReply + kEcho)), 1u);
  host.leave();
}

TEST(Grid, AbortLeavesEveryWait) {
  Host host;
  host.launch();
  host.post(kSend, eight(0));
  host.next(kUpSend);
  host.close();
}

// What a grid replies to another kernel, which gets it.
u64 answered(Host& host) {
  const Record record = host.next(kUpReply);
  host.answer(record.lead<SendBody>().request, 0);
  return value_of<u64>(record.payload(sizeof(SendBody)));
}

TEST(Grid, TwoGridsAreLinkedWithoutTheHost) {
  Host to, from({.targets = 1});
  const u64 address = to.memory().take(sizeof(LinkRing));
  LinkRing& ring = *Host::at<LinkRing>(address);
  ring.slots = 8;
  ring.stride = 256;
  ring.max_payload = 64;
  ring.slots_address = to.memory().take(8 * 256);
  const u64 bell = reinterpret_cast<u64>(&to.work(0).doorbell);
  to.launch();
  from.launch();
  to.record(kDownLink, 0, bytes_of(LinkBody{kIncoming, 0, kLinkOpen, 0, address, 0}));
  to.obeyed(kActive);
  from.record(kDownLink, 0, bytes_of(LinkBody{0, 0, kLinkOpen, 0, address, bell}));
  from.obeyed(kActive);
  const u32 each = RK_BLOCK_SIZE;
  for (u64 n = 0; n < 50; ++n) {
    from.post(kSend, eight(n << 32));
    for (u32 thread = 0; thread < each; ++thread) EXPECT_EQ(answered(to), n << 32);
  }
  EXPECT_EQ(load(ring.accepted), 50u * each);
  to.obeyed(0);
  EXPECT_EQ(load(to.status().linked), 50u * each);
  for (u64 n = 0; n < 8 / each; ++n) from.post(kSend, eight(0));
  from.post(kSend, eight(0));
  EXPECT_EQ(from.next(kUpFailed).lead<FailedBody>().code, 0xFFFF0102u);
  EXPECT_EQ(load(ring.refused), each);
  from.record(kDownLink, 0, bytes_of(LinkBody{0, 0, kLinkClosed, 0, 0, 0}));
  from.post(kSend, eight(0));
  EXPECT_EQ(from.next(kUpFailed).lead<FailedBody>().code, 0xFFFF0103u);
  to.obeyed(kActive);
  for (u32 n = 0; n < 8; ++n) EXPECT_EQ(answered(to), 0u);
  from.leave();
  to.leave();
}

}  // namespace
}  // namespace grid_test
