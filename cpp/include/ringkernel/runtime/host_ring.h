// A ring for threads of one process: lanes by thread, overflow policies, blocking with deadlines, close.
//
// The rings of core/ know neither threads nor sleep. This one gives each producing thread a lane of its own, refuses a
// second producer or consumer where there may be only one, and wakes whoever sleeps.
//
// Edges
//   T1  a thread that ends -> the thread that takes over its role: everything it wrote
//
// Protection: options_, memory_, rings, id_: constant after init. owners_, sharers_: mutex_. consumer_owner_:
// mutex_, producer_id_, consumer_id_: read by the fast path (atomic). Lanes, staged_: their thread. Parking: any
// thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ringkernel/core/mpsc_ring.h"
#include "ringkernel/core/overwrite_ring.h"
#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/host_atomics.h"
#include "ringkernel/runtime/memory.h"

namespace rk {

struct HostRingOptions {
  std::uint64_t capacity = 1024;  // per producer
  std::uint64_t slot_size = 64;
  std::uint32_t layout = kLayoutPacked;
  Wait wait = Wait::kBalanced;
  Overflow overflow = Overflow::kFail;
  std::uint32_t max_producers = 1;  // lanes; threads beyond them share the last one behind a lock
  bool one_producer = true;         // refuse a second producing thread instead
  bool one_consumer = true;         // false: the caller serialises consumers of several threads
  std::uint64_t progress_interval = 1;
  std::int64_t order_offset = -1;  // byte offset of a u64 key to merge lanes by; -1: round robin
};

// A thread's identity, kept after its end by whoever it owned.
class ThreadToken {
 public:
  static const std::shared_ptr<ThreadToken>& current();
  bool alive() const { return alive_.load_acquire() != 0; }  // T1
  void end() { alive_.store_release(0); }                    // T1

 private:
  HostAtomics::Atomic<std::uint32_t> alive_{1};
};

class HostRing {
 public:
  using FifoRing = MpscRing<HostAtomics>;
  using DroppingRing = BasicMpscRing<HostAtomics, OverwriteRing<HostAtomics>>;

  // Throws GeometryFailure for a geometry that cannot be, std::bad_alloc when there is no memory.
  explicit HostRing(const HostRingOptions& options, MemorySource& memory = process_memory());

  struct GeometryFailure {
    GeometryError error;
  };
  enum class Role { kProducer, kConsumer };
  // A second thread wanted a role that has room for one.
  struct RoleTaken {
    Role role;
  };

  // -- producing: the calling thread's lane. All throw RoleTaken.
  Status try_push(const void* from, std::size_t bytes);
  std::uint64_t push_many(const void* from, std::uint64_t count);
  // One slot in place; nullptr: full or closed. See can_claim. Nothing else may be pushed by this thread in between.
  std::byte* try_claim();
  void publish(std::size_t bytes);  // what try_claim returned, `bytes` of it in use
  // Several slots, filled one by one and made visible together; any other push of this thread makes them visible first.
  std::byte* try_stage();  // nullptr: full or closed
  void publish_staged();
  bool can_claim();  // false: drop_oldest, or a lane that threads share
  bool has_room();
  bool wait_for_room(std::uint64_t deadline_ns);  // false: deadline

  // -- consuming. All throw RoleTaken.
  const std::byte* try_peek();
  void release();
  std::uint64_t pop_many(void* to, std::uint64_t count);
  std::uint64_t readable_span(std::uint64_t wanted);  // messages back to back from try_peek() on, one lane
  void release_many(std::uint64_t count);
  bool wait_for_message(std::uint64_t deadline_ns);  // true: a message or closed
  std::uint32_t peeked_length() const;               // bytes pushed into the peeked slot

  // For a consumer that also waits for other things: sleeps until `ready()`, and is woken by push or wake_consumer().
  template <class Ready>
  bool wait_consumer(Ready&& ready, std::uint64_t deadline_ns, std::uint64_t spin_ns = kDefaultSpinNs) {
    return not_empty_.wait(ready, deadline_ns, spin_ns);
  }
  void wake_consumer() { not_empty_.wake(); }

  void close();
  bool closed() const;
  bool closed_and_drained();
  // The calling thread gives up its role, so that another may take it.
  void leave(Role role);

  RingStats stats() const;
  const HostRingOptions& options() const { return options_; }
  std::uint32_t producers() const;

 private:
  std::uint32_t lane_of_thread();
  std::uint32_t lane_of_thread_slowly();
  std::uint32_t assign_lane();
  void own_consumer();
  void take_consumer_role();
  std::uint32_t* length_of(std::uint32_t lane, std::uint64_t index) {
    return lengths_.data<std::uint32_t>() + lane * options_.capacity + index;
  }
  bool shared_lane(std::uint32_t lane) const { return !options_.one_producer && lane + 1 == options_.max_producers; }
  Status push_to(std::uint32_t lane, const void* from, std::size_t bytes);
  Status push_fifo(std::uint32_t lane, const void* from, std::size_t bytes);
  Status push_dropping(std::uint32_t lane, const void* from, std::size_t bytes);
  std::uint64_t push_rows(std::uint32_t lane, const std::byte* rows, std::uint64_t count);

  HostRingOptions options_;
  RingGeometry geometry_{};
  std::uint64_t id_;
  Memory memory_;
  Memory lengths_;  // u32 per slot, beside the slots so that these stay contiguous; E1 and E2 of the lane carry it
  std::unique_ptr<FifoRing> fifo_;
  std::unique_ptr<DroppingRing> dropping_;
  SpscRing<HostAtomics>* single_ = nullptr;  // the only lane of fifo_, if it has one: no sweep, no table of lanes
  std::mutex mutex_;
  std::mutex shared_lane_mutex_;
  std::vector<std::shared_ptr<ThreadToken>> owners_;   // of lanes taken so far
  std::vector<std::shared_ptr<ThreadToken>> sharers_;  // threads that came when all lanes were owned: they stay there
  std::unique_ptr<std::uint64_t[]> staged_;            // per lane: claimed and filled, not yet published
  std::vector<std::vector<std::byte>> scratch_;        // drop_oldest: a message and its length, per lane
  std::shared_ptr<ThreadToken> consumer_owner_;
  std::atomic<const ThreadToken*> consumer_id_{nullptr};  // T1
  std::atomic<const ThreadToken*> producer_id_{nullptr};  // T1 of single_
  Parking<HostAtomics> not_empty_;
  std::unique_ptr<Parking<HostAtomics>[]> not_full_;
};

}  // namespace rk
