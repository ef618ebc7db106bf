// One sender's way into one inbox: a bounded ring with a policy for when it is full. Its free slots are the sender's
// credits.
//
// Edges
//   L1  abandon -> sweep   everything that the sender did before it left
//   L2  publish <-> end    the sender publishes, then looks whether the lane is closed; the receiver closes it, then
//                          looks for messages: one of the two sees the other's store
//   S   counters
// and those of the ring inside (spsc_producer.h, overwrite_ring.h), of the mark (ready_queue.h Q2), of the sleeper
// (parking.h).
//
// Protection: options_, source_, memory_, rings, inbox_, sender_, sender_is_thread_: constant after init. staged_,
// frame_: the sender. abandoned_: atomic (L1). blocked_: atomic (S).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/overwrite_ring.h"
#include "ringkernel/core/parking.h"
#include "ringkernel/core/ready_queue.h"
#include "ringkernel/core/spsc_ring.h"
#include "ringkernel/runtime/host_atomics.h"
#include "ringkernel/runtime/memory.h"

namespace rk {

class Inbox;
class Lane;

// Takes messages that became visible after their receiver had looked for the last time.
class LateMail {
 public:
  virtual ~LateMail() = default;
  virtual void take_late(Lane& lane) = 0;  // on the sender's thread
};

// Header and payload, so that with its sequence a slot is whole cache lines. The sequence is in the line of the header:
// a receiver that waits sees a message with the first line that comes.
constexpr std::uint32_t lane_slot_size(std::uint32_t max_payload) {
  constexpr std::uint32_t kLine = 64, kSequence = 8;
  return round_up(static_cast<std::uint32_t>(sizeof(MessageHeader)) + max_payload + kSequence, kLine) - kSequence;
}

struct LaneOptions {
  std::uint64_t capacity = 1024;
  std::uint32_t slot_size = 128;  // header and payload
  std::uint8_t priority = kPriorityNormal;
  Overflow overflow = Overflow::kFail;
  LateMail* late_mail = nullptr;  // outlives whoever sends; nullptr: the receiver never looks for the last time
};

// A sender that is no thread and sleeps until there is room.
class LaneSender {
 public:
  virtual ~LaneSender() = default;
  virtual void room_appeared() = 0;  // on the receiver's thread
};

class Lane final : public ReadyNode<HostAtomics> {
 public:
  using Fifo = SpscRing<HostAtomics>;
  using Dropping = OverwriteRing<HostAtomics>;

  // Throws std::bad_alloc; GeometryFailure for a geometry that cannot be.
  // `memory` is kept as long as the lane; `sender` is not.
  Lane(Inbox& inbox, const LaneOptions& options, std::shared_ptr<MemorySource> memory,
       const std::shared_ptr<LaneSender>& sender);

  struct GeometryFailure {
    GeometryError error;
  };
  // What `options` would need. kNone when they are possible.
  static GeometryError check(const LaneOptions& options);

  // -- the sender. kFull only where the policy says so; blocking is the sender's business.
  Status put(const MessageHeader& header, const std::byte* payload);  // visible after publish()
  std::byte* try_stage();                                             // nullptr: full, closed, or not in_place()
  void publish();
  bool in_place() const { return fifo_ != nullptr; }
  bool has_room();
  bool wait_for_room(std::uint64_t deadline_ns);  // for a thread; false: deadline
  bool sleep_until_room();                        // for a LaneSender; false: there is room already
  std::uint64_t free_slots();                     // credits
  std::uint64_t depth_hint() const { return fifo_ ? fifo_->producer().depth_hint() : stats().in_flight; }
  void abandon() { abandoned_.store_release(1); }  // L1 the sender is gone; what it sent stays

  // -- the receiver
  const std::byte* try_peek() { return fifo_ ? fifo_->consumer().try_peek() : dropping_->consumer().try_peek(); }
  const std::byte* peek_ahead(std::uint64_t n) { return fifo_->consumer().try_peek(n); }  // in_place() only
  // How many messages from the peeked one on lie in a row, `stride()` bytes apart; at most `wanted`.
  std::uint64_t readable_run(std::uint64_t wanted) { return fifo_ ? fifo_->consumer().readable_span(wanted) : 1; }
  std::size_t stride() const { return fifo_->consumer().stride(); }  // in_place() only
  void release(std::uint64_t count = 1) {
    if (fifo_) {
      fifo_->consumer().release(count);
    } else {
      dropping_->consumer().release();
    }
    if (room_.ring()) wake_sender();
  }
  bool abandoned() const { return abandoned_.load_acquire() != 0; }  // L1

  // -- any thread
  void close();
  bool closed() const { return fifo_ ? fifo_->closed() : dropping_->closed(); }
  RingStats stats() const { return fifo_ ? fifo_->stats() : dropping_->stats(); }
  const LaneOptions& options() const { return options_; }
  Inbox& inbox() const { return inbox_; }
  std::uint64_t times_blocked() const { return blocked_.load_relaxed(); }        // S
  void count_blocked() { blocked_.store_relaxed(blocked_.load_relaxed() + 1); }  // S the sender

 private:
  Status put_now(const MessageHeader& header, const std::byte* payload);
  void wake_sender();

  Inbox& inbox_;
  LaneOptions options_;
  std::shared_ptr<MemorySource> source_;
  Memory memory_;
  std::unique_ptr<Fifo> fifo_;
  std::unique_ptr<Dropping> dropping_;
  std::weak_ptr<LaneSender> sender_;  // a lane to the sender's own host or inbox must not keep it
  bool sender_is_thread_;
  Parking<HostAtomics> room_;
  std::uint64_t staged_ = 0;
  std::vector<std::byte> frame_;
  HostAtomics::Atomic<std::uint32_t> abandoned_{0};
  HostAtomics::Atomic<std::uint64_t> blocked_{0};
};

}  // namespace rk
