#include "cpu_instance.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu_kernel.h"

namespace rk {
namespace {

constexpr std::uint64_t kBatchMessages = 256;
constexpr std::uint64_t kBatchNtp64 = std::uint64_t{1} << 22;  // about 1 ms, then it is somebody else's turn
constexpr std::uint64_t kLingerNs = 50'000;  // stay awake for the next message of a conversation, then sleep

std::uint64_t to_ns(std::uint64_t ntp64) {
  if (ntp64 < (std::uint64_t{1} << 34)) return (ntp64 * 1'000'000'000) >> 32;
  return (ntp64 >> 32) * 1'000'000'000 + (((ntp64 & 0xFFFFFFFFu) * 1'000'000'000) >> 32);
}

}  // namespace

CpuInstance::CpuInstance(CpuKernel& kernel, InstanceRecord& record, Address self)
    : kernel_(kernel),
      record_(record),
      self_(self),
      shard_(*kernel.spec.clock, self.shard()),
      sender_(*kernel.spec.switchboard, self, kernel.spec.spill_limit, *this),
      failures_(kernel.spec.max_failures, kernel.spec.failure_window_ns),
      longest_run_(kernel.spec.dedup_window == 0 ? kernel.spec.handler->longest_run() : 1) {}

// -- scheduling -------------------------------------------------------------------------------------------------------

void CpuInstance::run(Worker& worker) {
  const std::shared_ptr<void> keep = kernel_.keep_alive;  // not ended, so it is there
  for (;;) {
    switch (turn(worker)) {
      case Next::kAgain:
        continue;
      case Next::kYield:
        kernel_.scheduler.submit(*this);  // still marked
        return;
      case Next::kSleep:
        if (sleep(Awaits::kWork)) return;
        continue;
      case Next::kWaitForRoom:
        if (wait_for_room()) return;
        continue;
      case Next::kWaitForVerdict:
        if (sleep(Awaits::kPoke)) return;
        continue;
      case Next::kEnd:
        end();
        return;
    }
  }
}

// One look at the requests and one run of messages, inside the gate.
CpuInstance::Next CpuInstance::turn(Worker& worker) {
  if (std::exchange(in_graph_, false)) kernel_.graph.leave(&record_.inbox);
  notes_.take();  // what was asked before is looked at now
  const std::uint32_t stop = kernel_.stop();
  if (stop == kTerminateNow || kernel_.failed() || gave_up_) return Next::kEnd;
  if (verdict_.load_acquire() == 0) return stop == kTerminateNo ? report_exit() : Next::kEnd;  // P1
  if (!kernel_.gate.enter()) {
    if (stop != kTerminateNo) return Next::kEnd;  // a kernel that is paused or held ends without handling
    record_.inbox.let_go();
    return Next::kSleep;
  }
  Next next = Next::kAgain;
  if (sender_.waiting() && !sender_.flush()) {
    in_graph_ = kernel_.graph.enter(&record_.inbox, sender_.first_receiver());
    if (in_graph_) next = Next::kWaitForRoom;
  }
  if (next == Next::kAgain) next = run_batch() ? after_batch(worker) : without_messages(worker, stop);
  kernel_.gate.leave();
  return next;
}

CpuInstance::Next CpuInstance::after_batch(Worker& worker) const {
  return worker.has_work() && !notes_.there() ? Next::kYield : Next::kAgain;
}

CpuInstance::Next CpuInstance::without_messages(Worker& worker, std::uint32_t stop) {
  if (notes_.there()) return Next::kAgain;
  if (sender_.waiting()) return Next::kWaitForRoom;  // whatever it would close: there is nothing else to do
  if (stop != kTerminateNo) return Next::kEnd;
  if (std::exchange(exits_, false)) {
    exit_ = InstanceExit{self(), false, ""};
    verdict_.store_relaxed(0);  // P1 before the report
    return Next::kAgain;
  }
  return linger(worker) ? Next::kAgain : Next::kSleep;
}

// Outside the gate: who decides may reset the state at once, however long other instances of the kernel take.
CpuInstance::Next CpuInstance::report_exit() {
  if (!exit_) return Next::kWaitForVerdict;
  const InstanceExit exit = *std::exchange(exit_, std::nullopt);
  if (kernel_.spec.switchboard->on_exit(exit.who, exit.abnormal, exit.error)) return Next::kWaitForVerdict;
  verdict_.store_relaxed(1);  // P1 nobody knows it any more
  return Next::kAgain;
}

// With nobody else to run, waits a little for the next message. True: there is something.
bool CpuInstance::linger(Worker& worker) {
  const std::uint64_t until = HostAtomics::monotonic_ns() + kLingerNs;
  do {
    for (int i = 0; i < 16; ++i) {
      if (record_.inbox.try_peek() != nullptr || notes_.there()) return true;
      if (worker.has_work() || kernel_.gate.looks_shut()) return false;
      HostAtomics::pause();
    }
  } while (HostAtomics::monotonic_ns() < until);
  return false;
}

// True: asleep, and whoever wakes it may be running it already. The gate is looked at after the unmark: who opened it
// before found nothing here that wanted to be woken.
bool CpuInstance::sleep(Awaits what) {
  record_.inbox.let_go();
  const bool sender_waits = sender_.waiting();
  restless_.store_relaxed(sender_waits ? 1 : 0);  // P1 the unmark publishes it
  return notes_.sleep(*this, [&] {
    const bool messages = what != Awaits::kPoke && record_.inbox.has_ready();
    return (messages || (what == Awaits::kWork && sender_waits)) && !kernel_.gate.stays_shut();
  });
}

// In a cycle of waiters it is awake for messages too: to take them is what makes room for the others.
bool CpuInstance::wait_for_room() {
  return sender_.first_blocked().sleep_until_room() && sleep(in_graph_ ? Awaits::kPoke : Awaits::kMessages);
}

bool CpuInstance::wait_for_host(const std::function<bool()>& ready) {
  constexpr std::uint64_t kNapNs = 200'000;
  kernel_.spec.handler->batch_ends(self_.instance());
  Scheduler::about_to_block();
  bool done = ready();
  while (!done && kernel_.stop() == kTerminateNo && !kernel_.failed()) {
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, kNapNs);
    done = ready();
  }
  kernel_.spec.handler->batch_begins(self_.instance());
  return done;
}

void CpuInstance::inbox_ready() {
  if (mark()) kernel_.scheduler.submit(*this);
}

void CpuInstance::room_appeared() { poke(); }

void CpuInstance::poke() {
  if (notes_.leave(*this)) kernel_.scheduler.submit(*this);
}

void CpuInstance::wake_if_wanted() {
  if (record_.inbox.has_ready() || restless_.load_relaxed() != 0) poke();  // P1 a hint; who is awake looks itself
}

void CpuInstance::resume() {
  exits_ = false;
  verdict_.store_release(1);  // P1
  poke();
}

void CpuInstance::end() {
  if (std::exchange(in_graph_, false)) kernel_.graph.leave(&record_.inbox);
  sender_.end();
  record_.inbox.close();
  HostAtomics::fence_heavy();  // L2
  {
    const std::lock_guard lock(end_mutex_);
    over_ = true;
    do {  // once more while a sender is between the two steps of its push
      while (const std::byte* slot = record_.inbox.try_peek()) {
        bury_left_over(slot);
        record_.inbox.release();
      }
    } while (record_.inbox.has_ready());
  }
  kernel_.instance_ended();
}

// A sender published into a lane that is closed. Before the end: it is there when the end looks.
void CpuInstance::take_late(Lane& lane) {
  const std::lock_guard lock(end_mutex_);
  while (const std::byte* slot = over_ ? lane.try_peek() : nullptr) {
    bury_left_over(slot);
    lane.release();
  }
}

void CpuInstance::bury_left_over(const std::byte* slot) {
  MessageHeader header;
  std::memcpy(&header, slot, sizeof(header));
  InstanceRecord::add(record_.left_over);
  bury(DeadLetterReason::kTerminated, header, slot + sizeof(header), "");
}

// -- messages ---------------------------------------------------------------------------------------------------------

bool CpuInstance::run_batch() {
  if (record_.inbox.try_peek() == nullptr) return false;
  if (record_.latencies.load_relaxed() == nullptr) record_.latencies.store_release(new InstanceLatencies);  // S
  const std::uint32_t index = self_.instance();
  const std::uint64_t failed_before = record_.failed.load_relaxed();  // S
  kernel_.spec.handler->batch_begins(index);
  moment_ = clock_now();
  const std::uint64_t end = moment_ + kBatchNtp64;
  std::uint64_t done = 0;
  for (bool go_on = true; go_on && done < kBatchMessages && moment_ < end;) {
    const std::byte* slot = record_.inbox.try_peek();
    if (slot == nullptr) break;
    std::uint32_t count = 1;
    const Handler::Run run = longest_run_ > 1 ? next_run(slot, kBatchMessages - done) : Handler::Run{slot, 0, 1};
    if (run.count > 1) {
      count = deliver_run(run, &go_on);
    } else {
      go_on = run_one(slot);
    }
    go_on = go_on && !sender_.waiting() && !notes_.there() && !kernel_.gate.looks_shut();
    record_.inbox.release(count);
    done += count;
  }
  kernel_.spec.handler->batch_ends(index);
  sender_.publish();
  kernel_.beat(done, record_.failed.load_relaxed() - failed_before);  // S
  return true;
}

// Messages from `slot` on that the handler may have at once; 1: run_one() is for this one.
Handler::Run CpuInstance::next_run(const std::byte* slot, std::uint64_t most) {
  Handler::Run run{slot, 0, 1};
  const std::uint64_t longest = std::min<std::uint64_t>(longest_run_, most);
  const std::uint32_t there = record_.inbox.readable_run(static_cast<std::uint32_t>(longest), &run.stride);
  for (run.count = 0; run.count < there; ++run.count) {
    MessageHeader header;
    std::memcpy(&header, slot + run.count * run.stride, sizeof(header));
    if (header.deadline != 0 && header.deadline < moment_) break;
    shard_.merge(header.hlc);
  }
  return run;
}

// Returns how many messages are done with.
std::uint32_t CpuInstance::deliver_run(const Handler::Run& run, bool* go_on) {
  take_in_hand(run.first);
  const std::uint64_t begun = moment_;
  begin_handler(header_);
  Outcome outcome = Outcome::kHandled;
  const std::uint32_t count = kernel_.spec.handler->handle_run(*this, run, &outcome);
  end_handler(begun, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    MessageHeader header;
    std::memcpy(&header, run.first + i * run.stride, sizeof(header));
    record_queueing(begun, header.hlc);
  }
  *go_on = !exits_;
  if (outcome == Outcome::kHandled) return count;
  const std::byte* last = run.first + (count - 1) * run.stride;
  take_in_hand(last);
  after_failure(outcome, last + sizeof(header_));
  *go_on = verdict_.load_relaxed() != 0 && !gave_up_;  // P1 own store
  return count;
}

void CpuInstance::take_in_hand(const std::byte* slot) { std::memcpy(&header_, slot, sizeof(header_)); }

// False: the instance takes no more for now.
bool CpuInstance::run_one(const std::byte* slot) {
  std::memcpy(&header_, slot, sizeof(header_));
  const std::byte* payload = slot + sizeof(header_);
  if (header_.deadline != 0 && header_.deadline < moment_) {
    InstanceRecord::add(record_.expired);
    bury(DeadLetterReason::kExpired, header_, payload, kTooLateText);
    answer_error(static_cast<std::uint32_t>(DeadLetterReason::kExpired));
    return true;
  }
  if (kernel_.spec.dedup_window != 0) {
    if (!seen_) seen_.emplace(kernel_.spec.dedup_window);
    if (seen_->seen_before(header_.message_id)) {
      InstanceRecord::add(record_.duplicates);
      answer_error(kAnswerDuplicate);
      return true;
    }
  }
  return deliver(payload);
}

bool CpuInstance::deliver(const std::byte* payload) {
  shard_.merge(header_.hlc);
  const std::uint64_t begun = moment_;
  begin_handler(header_);
  const Outcome outcome = kernel_.spec.handler->handle(*this, header_, payload);
  end_handler(begun, 1);
  record_queueing(begun, header_.hlc);
  if (outcome == Outcome::kHandled) return !exits_;
  after_failure(outcome, payload);
  return verdict_.load_relaxed() != 0 && !gave_up_;  // P1 own store
}

void CpuInstance::begin_handler(const MessageHeader& header) {
  record_.message_id.store_relaxed(header.message_id);  // S
  record_.message_type.store_relaxed(header.type_id);   // S
  record_.busy_since.store_release(moment_);            // S
}

// The messages of a run share their time: a look at the clock costs more than most of their handlers.
void CpuInstance::end_handler(std::uint64_t begun, std::uint32_t count) {
  record_.busy_since.store_relaxed(0);  // S
  moment_ = clock_now();
  InstanceLatencies& latencies = *record_.latencies.load_relaxed();  // S own
  const std::uint64_t took_ns = to_ns(moment_ > begun ? moment_ - begun : 0);
  latencies.handler.record(count == 1 ? took_ns : took_ns / count, count);  // a division takes as long as the rest
  InstanceRecord::add(record_.handled, count);
}

// The slot is the one in hand: the inbox may not be asked again before it is released, somebody more urgent may be
// there.
void CpuInstance::after_failure(Outcome outcome, const std::byte* payload) {
  const std::string error = kernel_.spec.handler->error_text(self_.instance());
  const bool refused = outcome == Outcome::kRefused;
  const DeadLetterReason reason = reason_of(outcome);
  InstanceRecord::add(refused ? record_.refused : record_.failed);
  bury(reason, header_, payload, error);
  answer_error(static_cast<std::uint32_t>(reason));
  if (refused) return;
  record_.last_error.store_relaxed(1);  // S
  if (kernel_.spec.supervised) {
    exit_ = InstanceExit{self(), true, error};
    verdict_.store_relaxed(0);  // P1 before the report
    return;
  }
  if (!failures_.add(HostAtomics::monotonic_ns())) return;
  gave_up_ = true;
  kernel_.fail();
}

// A failure is told to who waits for the reply: the reason, in four bytes.
void CpuInstance::answer_error(std::uint32_t code) {
  if ((header_.flags & kFlagWantsReply) == 0) return;
  Outgoing nothing;
  nothing.payload = std::as_bytes(std::span(&code, 1));
  MessageHeader header = make_header(Address{header_.source}, nothing);
  header.flags = kFlagReply | kFlagError;
  header.correlation_id = header_.message_id;
  sender_.send(header, nothing.payload.data(), true);
}

void CpuInstance::bury(DeadLetterReason reason, const MessageHeader& header, const std::byte* payload,
                       std::string_view error) {
  kernel_.spec.switchboard->bury(reason, self(), header, payload, error);
}

void CpuInstance::record_queueing(std::uint64_t start, std::uint64_t sent) {
  record_.latencies.load_relaxed()->queueing.record(to_ns(start > sent ? start - sent : 0));  // S own
}

std::uint64_t CpuInstance::clock_now() { return kernel_.spec.clock->clock().now(); }

std::shared_ptr<LaneSender> CpuInstance::keep() { return {kernel_.keep_alive, static_cast<LaneSender*>(this)}; }

// -- KernelContext ----------------------------------------------------------------------------------------------------

MessageHeader CpuInstance::make_header(Address to, const Outgoing& message) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = message.priority;
  header.type_id = message.type_id;
  header.payload_size = static_cast<u32>(message.payload.size());
  header.hlc = shard_.tick().time;
  header.message_id = ids_.next(*kernel_.spec.switchboard);
  header.source = self().word;
  header.dest = to.word;
  header.deadline = message.deadline;
  return header;
}

// What a handler sends becomes visible when its batch ends, after the handler's world is unlocked: a receiver that
// wakes earlier would only run into the lock.
Status CpuInstance::reply(const Outgoing& message) {
  MessageHeader header = make_header(Address{header_.source}, message);
  header.flags = kFlagReply;
  header.correlation_id = header_.message_id;
  header.hops = static_cast<u8>(std::min(header_.hops + 1, 255));
  return sender_.send(header, message.payload.data(), true);
}

Status CpuInstance::send(Address to, const Outgoing& message) {
  if (to.kernel() != 0 && to.instance() == kAnyInstance) {
    to = Address::make(to.node(), to.kernel(),
                       kernel_.spec.switchboard->choose_instance(to, message.type_id, message.payload));
  }
  return sender_.send(make_header(to, message), message.payload.data(), false);
}

std::uint32_t CpuInstance::publish(std::string_view topic, const Outgoing& message, bool retain) {
  const MessageHeader header = make_header(Address{0}, message);
  return kernel_.spec.switchboard->publish(topic, header, message.payload.data(), retain);
}

Address CpuInstance::self() const {
  return Address::make(self_.node(), self_.kernel(), self_.instance(), record_.generation.load_relaxed());  // S
}

std::uint64_t CpuInstance::pending() const {
  const std::uint64_t there = record_.inbox.stats().in_flight;
  return there != 0 ? there - 1 : 0;
}

std::uint64_t CpuInstance::free_slots(Address to) {
  if (to.kernel() != 0 && to.instance() == kAnyInstance) to = Address::make(to.node(), to.kernel(), 0);
  return sender_.free_slots(to);
}

void CpuInstance::request_termination() {
  if (kernel_.spec.restarts_on_exit) {
    exits_ = true;
  } else {
    kernel_.stop_after_drain();
  }
}

bool CpuInstance::is_terminating() const { return exits_ || kernel_.stop() != kTerminateNo; }

void CpuInstance::report_error(std::uint32_t code, std::uint64_t count) {
  record_.last_error.store_relaxed(code);  // S
  InstanceRecord::add(record_.reported, count);
}

}  // namespace rk
