// Where messages for one receiver arrive: a lane for each sender and priority, made when it first sends.
//
// A receiver with a hundred thousand senders must not look at a hundred thousand lanes, and an idle one must not look
// at all: a lane with messages puts itself into the queue of its priority, and the first one wakes the receiver. While
// the receiver stays at a lane, its sender finds it marked and pays one exchange for a batch.
//
// Order: FIFO per lane. Higher priorities first; after kPatience messages in a row of higher ones, a waiting lower one
// gets its turn. Lanes of one priority take turns of kBurst messages.
//
// Protection: memory_, owner_: constant after init. lanes_, sweep_at_, retired_: mutex_. closed_, sweep_wanted_:
// written under it (S). ready_: itself. current_, peeked_, burst_, skipped_: the receiver; let_go() also takes mutex_,
// so that for_each() may look while the receiver is on its way to sleep.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "ringkernel/runtime/lane.h"

namespace rk {

class InboxOwner {
 public:
  virtual ~InboxOwner() = default;
  virtual void inbox_ready() = 0;  // on any thread: there is a lane with messages
};

class Inbox {
 public:
  static constexpr std::uint32_t kBurst = 64;
  static constexpr std::uint32_t kPatience = 64;
  static constexpr std::size_t kSweepFrom = 8;  // lanes; abandoned ones are at most this many, or as many as the others

  // Nothing may be sent before there is an owner.
  explicit Inbox(std::shared_ptr<MemorySource> memory, InboxOwner* owner = nullptr)
      : memory_(std::move(memory)), owner_(owner) {}
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  void set_owner(InboxOwner& owner) { owner_ = &owner; }

  // -- senders
  // nullptr when closed. Throws as Lane does. `sender`: nullptr for a thread.
  std::shared_ptr<Lane> open(const LaneOptions& options, std::shared_ptr<LaneSender> sender = nullptr);
  // The calling thread's own lane. nullptr when closed. Its memory goes after the thread; when the inbox was closed,
  // soon after, as the thread makes others, or when it calls forget_closed().
  Lane* lane_of_thread(const LaneOptions& options);
  static void forget_closed();
  // For who uses several lanes of its thread at once: none of them goes while there is one of these.
  struct KeepsLanes {
    KeepsLanes();
    ~KeepsLanes();
    KeepsLanes(const KeepsLanes&) = delete;
    KeepsLanes& operator=(const KeepsLanes&) = delete;
  };
  void announce(Lane& lane);  // after a publish

  // -- the receiver, one thread at a time
  // The same message until it is released, whatever has come meanwhile. nullptr: there is none.
  const std::byte* try_peek();
  // What lies behind the peeked message in its lane and may be handled before anybody else's: how many messages, with
  // it, and how many bytes apart.
  std::uint32_t readable_run(std::uint32_t wanted, std::size_t* stride);
  void release(std::uint32_t count = 1);
  // Lets go of the lane it stays at, so that the next message wakes it. False: there are messages.
  bool rest();
  // The same for a receiver that leaves although there may be messages.
  void let_go();
  bool has_ready() const;
  // Each message that waits, oldest first in its lane, without taking it; none of a closed inbox. Only while nobody
  // receives. Of a lane that drops the oldest, the oldest message alone: the others may be dropped at any time.
  void for_each(const std::function<void(const MessageHeader&, const std::byte*)>& use);

  // -- any thread
  void close();
  bool closed() const { return closed_.load_relaxed() != 0; }  // S
  // accepted, dropped and in_flight (what is not released), high_water. The receiver knows what became of the rest.
  RingStats stats() const;
  std::uint64_t id() const { return id_; }

 private:
  const std::byte* look();
  Lane* next_lane();
  bool must_move() const;
  bool starving(std::uint32_t priority) const;
  void put_back(Lane& lane);
  void count_skipped(std::uint32_t priority, std::uint32_t count);
  void sweep();

  std::shared_ptr<MemorySource> memory_;
  InboxOwner* owner_;
  std::uint64_t id_ = next_id();
  std::array<ReadyQueue<HostAtomics>, kPriorityCount> ready_;
  std::array<std::uint32_t, kPriorityCount> skipped_{};
  Lane* current_ = nullptr;
  const std::byte* peeked_ = nullptr;
  std::uint32_t burst_ = 0;
  HostAtomics::Atomic<std::uint32_t> closed_{0};
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::size_t sweep_at_ = kSweepFrom;
  HostAtomics::Atomic<std::uint32_t> sweep_wanted_{0};
  RingStats retired_;  // of lanes that are no more

  static std::uint64_t next_id();
};

}  // namespace rk
