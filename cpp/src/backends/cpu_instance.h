// One actor on the CPU: the resident loop of an instance, as a piece of work for the scheduler.
//
// It is in a queue, runs, or sleeps unmarked: until a message comes, or there is room in a ring that was full, or its
// supervisor has decided, or the host asks for something. Whoever wakes it leaves a note first and marks it then
// (core/notes.h); a message marks only.
//
// Edges
//   K1  host line -> loop    a request and what was prepared for it
//   K2  loop -> host         an answer and what the loop did before it
//   P1  verdict -> look      the supervisor's, and notes.h
//   S   counters
//
// Protection: record_, notes_: themselves. restless_, verdict_: atomic (P1). Everything else: the thread that runs it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "instance_failure.h"
#include "instance_sender.h"
#include "ringkernel/core/dedup_window.h"
#include "ringkernel/core/notes.h"
#include "ringkernel/runtime/backend.h"

namespace rk {

struct CpuKernel;

class CpuInstance final : public Runnable,
                          public InboxOwner,
                          public LaneSender,
                          public LateMail,
                          public SendingInstance,
                          public KernelContext {
 public:
  CpuInstance(CpuKernel& kernel, InstanceRecord& record, Address self);

  void run(Worker& worker) override;
  void inbox_ready() override;          // a message for one that is asleep
  void take_late(Lane& lane) override;  // after its end
  void room_appeared() override;        // for one that waits for room
  void poke();                          // look at the requests; wakes it, whatever it waits for
  void wake_if_wanted();                // the same, if it left something undone
  void resume();                        // the supervisor's verdict: go on
  // Inside a handler: lets go of its world and of the worker meanwhile.
  bool wait_for_host(const std::function<bool()>& ready) override;
  std::shared_ptr<LaneSender> keep() override;  // itself, and its kernel with it

  // -- KernelContext
  Status reply(const Outgoing& message) override;
  Status send(Address to, const Outgoing& message) override;
  std::uint32_t publish(std::string_view topic, const Outgoing& message, bool retain) override;
  HlcTimestamp now() override { return shard_.now(); }
  HlcTimestamp tick() override { return shard_.tick(); }
  HlcUpdate update_clock(std::uint64_t time) override { return shard_.update(time); }
  Address self() const override;
  const MessageHeader& header() const override { return header_; }
  std::uint64_t pending() const override;
  std::uint64_t free_slots(Address to) override;
  void request_termination() override;
  bool is_terminating() const override;
  void report_error(std::uint32_t code, std::uint64_t count) override;
  void take_in_hand(const std::byte* slot) override;
  bool must_leave() const override { return exits_ || sender_.waiting(); }

 private:
  enum class Awaits { kPoke, kMessages, kWork };  // work: messages, or a look at what waits for room
  enum class Next { kAgain, kYield, kSleep, kWaitForRoom, kWaitForVerdict, kEnd };

  Next turn(Worker& worker);
  Next after_batch(Worker& worker) const;
  Next without_messages(Worker& worker, std::uint32_t stop);
  Next report_exit();
  bool run_batch();  // false: nothing was there
  bool run_one(const std::byte* slot);
  Handler::Run next_run(const std::byte* slot, std::uint64_t most);
  std::uint32_t deliver_run(const Handler::Run& run, bool* go_on);
  bool deliver(const std::byte* payload);
  void begin_handler(const MessageHeader& header);
  void end_handler(std::uint64_t begun, std::uint32_t count);
  void after_failure(Outcome outcome, const std::byte* payload);
  void answer_error(std::uint32_t code);
  bool linger(Worker& worker);
  bool sleep(Awaits what);
  bool wait_for_room();
  void end();
  void bury_left_over(const std::byte* slot);
  void bury(DeadLetterReason reason, const MessageHeader& header, const std::byte* payload, std::string_view error);
  MessageHeader make_header(Address to, const Outgoing& message);
  void record_queueing(std::uint64_t start, std::uint64_t sent);
  std::uint64_t clock_now();

  CpuKernel& kernel_;
  InstanceRecord& record_;
  Address self_;
  HlcHostShard shard_;
  InstanceSender sender_;
  FailureWindow failures_;
  std::optional<DedupWindow> seen_;
  MessageHeader header_{};
  MessageIds ids_;
  std::uint64_t moment_ = 0;  // NTP64; when the message in hand was begun
  Notes<HostAtomics> notes_;
  HostAtomics::Atomic<std::uint32_t> restless_{0};
  HostAtomics::Atomic<std::uint32_t> verdict_{1};  // P1 0: the supervisor has not decided yet
  bool in_graph_ = false;
  bool exits_ = false;                // its handler asked for the end of this instance
  std::optional<InstanceExit> exit_;  // what its supervisor shall be told when no handler runs any more
  std::mutex end_mutex_;
  bool over_ = false;          // end_mutex_: it has looked for messages for the last time
  bool gave_up_ = false;       // a handler failed once too often
  std::uint32_t longest_run_;  // 1 where each message has to be looked at alone
};

}  // namespace rk
