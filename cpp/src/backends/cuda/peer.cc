#include "peer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bridge.h"
#include "ringkernel/runtime/control.h"

namespace rk::cuda {
namespace {

// Cheap where there is none: a note that comes now is followed by another turn.
u32 taken(HostAtomics::Atomic<std::uint32_t>& note) {
  return note.load_relaxed() == 0 ? 0 : note.exchange_acquire(0);  // P1
}

u32 taken_of(const InstanceStatus& status, std::uint32_t priority) {
  const u32* const words[] = {&status.taken0, &status.taken1, &status.taken2, &status.taken3};
  return load_acquire(*words[priority]);  // S1 slots up to here are free, and their handlers counted
}

HistogramCopy histogram_in(const u64* words) {
  HistogramCopy copy;
  static_assert(HistogramCopy::kBuckets == kLatencyBuckets);
  for (std::size_t i = 0; i < kLatencyBuckets; ++i) copy.counts[i] = load_relaxed(words[i]);  // S1
  copy.count = load_relaxed(words[kLatencyBuckets]);                                          // S1
  copy.sum = load_relaxed(words[kLatencyBuckets + 1]);                                        // S1
  copy.min = load_relaxed(words[kLatencyBuckets + 2]);                                        // S1
  copy.max = load_relaxed(words[kLatencyBuckets + 3]);                                        // S1
  return copy;
}

}  // namespace

// -- what is aboard ---------------------------------------------------------------------------------------------------

void AboardRing::push(std::uint32_t window, std::uint32_t stride, const MessageHeader& header,
                      const std::byte* payload) {
  if (bytes_.empty()) {
    window_ = window;
    stride_ = stride;
    bytes_.resize(std::size_t{window} * stride);
  }
  std::byte* slot = bytes_.data() + std::size_t{sent_++ % window_} * stride_;
  std::memcpy(slot, &header, sizeof(header));
  if (header.payload_size != 0) std::memcpy(slot + sizeof(header), payload, header.payload_size);
}

void AboardRing::for_each(const MessageUse& use) const {
  for (std::uint32_t n = first_; n != sent_; ++n) {
    const std::byte* slot = bytes_.data() + std::size_t{n % window_} * stride_;
    MessageHeader header;
    std::memcpy(&header, slot, sizeof(header));
    use(header, slot + sizeof(header));
  }
}

void AboardRing::drop_holds(std::vector<std::shared_ptr<void>>& owners) {
  while (!held_.empty() && sent_ - held_.front().number > count()) {
    held_.front().holds.drop_into(owners);
    held_.pop_front();
  }
}

void AboardRing::abandon_holds() {
  [[maybe_unused]] const auto* kept = new std::deque<Held>(std::move(held_));
  held_.clear();
}

Peer::Peer(Bridge& bridge, InstanceRecord& record, Address self)
    : bridge_(bridge),
      record_(record),
      self_(self),
      shard_(*bridge.spec().clock, self.shard()),
      sender_(*bridge.spec().switchboard, self, bridge.spec().spill_limit, *this) {
  record.inbox.set_owner(*this);
  record.late_mail = this;
}

// -- notes ------------------------------------------------------------------------------------------------------------

void Peer::inbox_ready() {
  ready_.store_release(1);  // P1
  bridge_.send_down(*this);
}

void Peer::room_appeared() {
  room_.store_release(1);  // P1
  bridge_.wake();
}

void Peer::restart() {
  restart_.store_release(1);  // P1
  bridge_.wake();
}

bool Peer::stop(std::uint64_t message_id) {
  const InstanceStatus& status = bridge_.status(self_.instance());
  const u32 task = load_relaxed(status.task);  // S1 of this message, or the next look says that it is another
  if (load_relaxed(status.busy_since) == 0 || load_relaxed(status.message_id) != message_id) return false;  // S1
  if (load_relaxed(status.task) != task) return false;                                                      // S1
  cancel_.store_release(task);                                                                              // P1
  bridge_.wake();
  return true;
}

std::shared_ptr<LaneSender> Peer::keep() { return {bridge_.kept(), static_cast<LaneSender*>(this)}; }

// Nobody waits here: what is to be sent stays on the device, and all that comes behind it.
bool Peer::wait_for_host(const std::function<bool()>& ready) {
  if (ready()) return true;
  host_full_ = bridge_.asked_to_stop() == kTerminateNo && !bridge_.failed();
  return false;
}

// -- messages to the device -------------------------------------------------------------------------------------------

bool Peer::has_room(std::uint32_t priority) {
  AboardRing& ring = rings_[priority];
  if (ring.count() < bridge_.shape().window) return true;
  look();
  return ring.count() < bridge_.shape().window;
}

// True: it does not get as far as the device.
bool Peer::refuse_early(const MessageHeader& header, const std::byte* payload) {
  if (header.deadline != 0 && header.deadline < bridge_.spec().clock->clock().now()) {
    InstanceRecord::add(record_.expired);
    bury(DeadLetterReason::kExpired, header, payload, kTooLateText);
    answer_error(header, static_cast<std::uint32_t>(DeadLetterReason::kExpired));
    return true;
  }
  if (bridge_.spec().dedup_window == 0) return false;
  if (!seen_) seen_.emplace(bridge_.spec().dedup_window);
  if (!seen_->seen_before(header.message_id)) return false;
  InstanceRecord::add(record_.duplicates);
  answer_error(header, kAnswerDuplicate);
  return true;
}

// Looks at the message, and keeps the memory that it refers to until the instance is done with it. Of classes that the
// kernel does not take the device says so.
Peer::Held Peer::hold(const MessageHeader& header, const std::byte* payload, bool may_refuse) {
  if (refuse_early(header, payload)) return Held::kRefused;
  const auto& accepts = bridge_.code().accepts;
  const auto found = std::find_if(accepts.begin(), accepts.end(), [&header](const DeviceCode::Accepted& one) {
    return one.type_id == header.type_id && one.size == header.payload_size;
  });
  if (found == accepts.end() || found->references.empty()) return Held::kYes;
  AboardRing& ring = rings_[header.priority];
  BufferHolds& holds = ring.hold_next();
  if (holds.take(found->references, payload, bridge_.device_index())) {
    refers_ = true;
    return Held::kYes;
  }
  const std::string why = BufferTable::explain(holds.problem(), *holds.field(), holds.culprit());
  if (may_refuse) bridge_.spec().handler->refused_for_device(self_.instance(), header, holds);
  ring.unhold_next();
  if (!may_refuse) return Held::kLater;
  InstanceRecord::add(record_.refused);
  bury(DeadLetterReason::kWrongType, header, payload, why);
  answer_error(header, static_cast<std::uint32_t>(DeadLetterReason::kWrongType));
  return Held::kRefused;
}

// The owners end elsewhere: theirs may be the lock of an interpreter.
void Peer::drop_holds() {
  if (!refers_) return;
  refers_ = false;
  auto owners = std::make_shared<std::vector<std::shared_ptr<void>>>();
  for (AboardRing& ring : rings_) {
    ring.drop_holds(*owners);
    refers_ |= ring.holds();
  }
  if (!owners->empty()) bridge_.keeper().let_go(std::move(owners));
}

void Peer::abandon_holds() {
  for (AboardRing& ring : rings_) ring.abandon_holds();
}

// A lane that is let go of wakes us with its next message; one that is not may keep a more urgent one waiting.
bool Peer::send_down(bool may_refuse) {
  if (over_ || waits_) return false;
  if (!taken(ready_) && !backlog_) return false;
  bool any = false;
  do {
    while (const std::byte* slot = record_.inbox.try_peek()) {
      MessageHeader header;
      std::memcpy(&header, slot, sizeof(header));
      const std::byte* payload = slot + sizeof(header);
      const bool later = !may_refuse && (header.deadline != 0 || bridge_.spec().dedup_window != 0);
      if (later || !has_room(header.priority) || !bridge_.has_room(header)) {
        backlog_ = true;
        record_.inbox.let_go();
        return any;
      }
      const Held held = hold(header, payload, may_refuse);
      if (held == Held::kLater) {
        backlog_ = true;
        record_.inbox.let_go();
        return any;
      }
      if (held == Held::kYes) {
        bridge_.put_message(self_.instance(), header, payload);
        const GridShape& shape = bridge_.shape();
        rings_[header.priority].push(shape.window, shape.inbox_stride, header, payload);
        record_.aboard.store_relaxed(++aboard_);  // S
      }
      record_.inbox.release();
      any = true;
    }
  } while (!record_.inbox.rest());
  backlog_ = false;
  return any;
}

// -- its status -------------------------------------------------------------------------------------------------------

std::uint64_t Peer::answered_epoch() const {
  if (over_ || gone_) return ~std::uint64_t{0};
  return load_acquire(bridge_.status(self_.instance()).epoch_seen);  // C3
}

// Not once it is over: what was not handled then is a dead letter.
void Peer::look() {
  if (over_) return;
  const InstanceStatus& status = bridge_.status(self_.instance());
  aboard_ = 0;
  for (std::uint32_t p = 0; p < kPriorityCount; ++p) {
    taken_ += rings_[p].drop_until(taken_of(status, p));
    aboard_ += rings_[p].count();
  }
  handled_ = load_relaxed(status.handled);                        // S1
  record_.reported.store_relaxed(load_relaxed(status.reported));  // S
  if (!ways_in_.empty()) load_links();
  if (const u64 linked = load_relaxed(status.linked); linked != linked_seen_) {                      // S1
    (void)record_.linked_delivered.fetch_add_acq_rel(linked - std::exchange(linked_seen_, linked));  // S
  }
  const u32 error = load_relaxed(status.last_error);                  // S1
  if (error != last_error_) record_.last_error.store_relaxed(error);  // S
  last_error_ = error;
  if (aboard_ == 0) failed_ids_.clear();
  record_.aboard.store_relaxed(aboard_);  // S last: what is not aboard any more is counted above
  mirror_busy();
}

bool Peer::loads_for(std::uint64_t epoch) {
  if (over_ || loaded_epoch_ >= epoch || answered_epoch() < epoch) return false;
  loaded_epoch_ = epoch;
  return true;
}

// How many were handled comes with their latencies, so that the two agree.
void Peer::load_latencies(const u64* words) {
  if (load_relaxed(words[kLatencyBuckets]) == 0) return;                                                    // S1
  if (record_.latencies.load_relaxed() == nullptr) record_.latencies.store_release(new InstanceLatencies);  // S
  InstanceLatencies& latencies = *record_.latencies.load_relaxed();                                         // S own
  latencies.handler.load(histogram_in(words));
  latencies.queueing.load(histogram_in(words + kLatencyWords));
  record_.handled.store_relaxed(load_relaxed(words[kLatencyBuckets]));  // S
}

// At the end: a device that is lost brings no latencies any more, and one that goes on meanwhile may bring those of
// messages that are dead letters by now.
void Peer::count_handled() { record_.handled.store_relaxed(handled_); }  // S

// Half of a look at one message and half at the next would name a message that has run for longer than it has.
void Peer::mirror_busy() {
  const InstanceStatus& status = bridge_.status(self_.instance());
  const u64 since = load_relaxed(status.busy_since);                   // S1
  const u64 id = load_relaxed(status.message_id);                      // S1
  const u32 type = load_relaxed(status.message_type);                  // S1
  if (since != 0 && load_relaxed(status.busy_since) != since) return;  // S1 the next look is better
  if (since == record_.busy_since.load_relaxed() && id == record_.message_id.load_relaxed()) return;  // S
  record_.message_id.store_relaxed(id);                                                               // S
  record_.message_type.store_relaxed(type);                                                           // S
  record_.busy_since.store_release(since);                                                            // S
}

void Peer::for_each_aboard(const MessageUse& use) const {
  for (const AboardRing& ring : rings_) ring.for_each(use);
}

// -- waiting for room -------------------------------------------------------------------------------------------------

// In a cycle of waiters it takes messages: that is what makes room for the others.
bool Peer::must_wait() {
  if (link_waits_) return held_;
  if (std::exchange(in_graph_, false)) bridge_.graph().leave(&record_.inbox);
  if (!sender_.waiting()) return false;
  in_graph_ = bridge_.graph().enter(&record_.inbox, sender_.first_receiver());
  return in_graph_;
}

void Peer::settle_sender() {
  if (!taken(room_)) return;
  send_late_answers();
  while (sender_.waiting() && !sender_.flush()) {
    if (sender_.first_blocked().sleep_until_room()) break;
  }
  tell_hold(must_wait());
}

void Peer::tell_hold(bool on) {
  if (on == held_) return;
  held_ = on;
  const HoldBody body{on ? 1u : 0u, 0};
  bridge_.put(kDownHold, self_.instance(), bytes_of(body));
}

// -- turns, and the end -----------------------------------------------------------------------------------------------

bool Peer::serve() {
  if (over_) return false;
  drop_holds();
  bool any = false;
  if (taken(restart_)) {
    const RestartBody body{record_.generation.load_relaxed(), 0};  // S
    bridge_.put(kDownRestart, self_.instance(), bytes_of(body));
    waits_ = false;
    any = true;
  }
  if (const u32 task = taken(cancel_); task != 0) {
    const CancelBody body{task, 0};
    bridge_.put(kDownCancel, self_.instance(), bytes_of(body));
    any = true;
  }
  if (!ways_in_.empty() && record_.inbox.closed()) shut_ways_in();
  settle_sender();
  if (bridge_.takes_messages()) any |= send_down(true);
  return finish() || any;
}

// True: a step was made.
bool Peer::finish() {
  const u32 stop = bridge_.asked_to_stop();
  const bool at_once = stop == kTerminateNow || bridge_.failed();
  if (gone_) {
    if (sender_.waiting() && !at_once) return false;  // whatever it would close
    end();
    return true;
  }
  if (stop == kTerminateNo && !at_once) return false;
  if (!bridge_.takes_messages()) {  // told to stop now; what is not on the device cannot answer
    if (!bridge_.nothing_comes()) return false;
    end();
    return true;
  }
  if (finish_sent_) return false;
  if (!waits_) {
    if (aboard_ != 0 || backlog_ || sender_.waiting() || ready_.load_relaxed() != 0) return false;  // P1 a hint
    record_.inbox.close();
    HostAtomics::fence_heavy();  // L2
    backlog_ = record_.inbox.has_ready();
    if (backlog_) return true;
  }
  shut_ways_in();
  if (!all_silent()) return false;
  if (bridge_.nothing_comes()) {
    end();
  } else {
    bridge_.put(kDownFinish, self_.instance());
    finish_sent_ = true;
  }
  return true;
}

void Peer::give_up(const std::string& why) {
  if (over_) return;
  lost_ = why;
  look();
  end();
}

void Peer::note_failed(std::uint64_t message_id) {
  const std::size_t most = std::size_t{kPriorityCount} * bridge_.shape().window;
  if (failed_ids_.size() >= 2 * most) {
    failed_ids_.erase(failed_ids_.begin(), failed_ids_.end() - static_cast<std::ptrdiff_t>(most));
  }
  failed_ids_.push_back(message_id);
  ++failed_;
}

// The device says now and then which messages it is done with, so some of these it may have handled. What it has
// counted itself may be of another moment.
void Peer::bury_aboard() {
  std::uint64_t known = 0;
  for_each_aboard([&](const MessageHeader& header, const std::byte* payload) {
    const auto found = std::find(failed_ids_.begin(), failed_ids_.end(), header.message_id);
    if (found != failed_ids_.end()) {
      ++known;  // buried before
    } else {
      bury_left_over(header, payload, lost_);
    }
  });
  const std::uint64_t linked = record_.linked_delivered.load_relaxed();  // S
  if (!gone_) handled_ = taken_ + known + linked - failed_;
}

// As CpuInstance::end(). What is aboard was left there by a device that does not answer.
void Peer::end() {
  if (std::exchange(in_graph_, false)) bridge_.graph().leave(&record_.inbox);
  look();
  sender_.end();
  record_.inbox.close();
  HostAtomics::fence_heavy();  // L2
  {
    const std::lock_guard lock(end_mutex_);
    over_ = true;
    bury_aboard();
    do {  // once more while a sender is between the two steps of its push
      while (const std::byte* slot = record_.inbox.try_peek()) {
        MessageHeader header;
        std::memcpy(&header, slot, sizeof(header));
        bury_left_over(header, slot + sizeof(header), lost_);
        record_.inbox.release();
      }
    } while (record_.inbox.has_ready());
  }
  end_links();
  for (AboardRing& ring : rings_) ring.clear();
  if (lost_.empty()) drop_holds();  // else a handler may still run; the grid drops them when none does
  aboard_ = 0;
  record_.aboard.store_relaxed(0);      // S
  record_.busy_since.store_relaxed(0);  // S
  bridge_.peer_ended();
}

// A sender published into a lane that is closed. Before the end: it is there when the end looks.
void Peer::take_late(Lane& lane) {
  const std::lock_guard lock(end_mutex_);
  while (const std::byte* slot = over_ ? lane.try_peek() : nullptr) {
    MessageHeader header;
    std::memcpy(&header, slot, sizeof(header));
    bury_left_over(header, slot + sizeof(header), lost_);
    lane.release();
  }
}

}  // namespace rk::cuda
