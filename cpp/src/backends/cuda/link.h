// A way from one instance to another on the same device: a ring in its memory, which the host makes, opens and takes
// away, and reads only when nobody else does.
//
// Life: its receiver has a place for it, the sender's turn opens it. It ends when the sender has heard that it is
// closed, or is over (silent), and the receiver is over or has taken everything. What lies in the ring then is left
// over; whoever of the two comes second looks for it.
//
// Edges
//   N1  shut -> sender's turn      the receiver takes no more
//   N2  silent -> receiver's turn  what the sender pushed is in the ring
//   N3  receiver's turn -> sender's turn  what has left a lane is aboard, until it is over
//   S   counters
//
// Protection: memory_ to place: constant after init. shut_, silent_: atomic (N1, N2). sender_, silent_ and over_ as
// pairs: mutex_. LinkCounts: the receiver's turn writes, or who looks last; anybody reads (S).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "memory.h"
#include "ringkernel/abi/device_grid.h"
#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/device_code.h"
#include "ringkernel/runtime/edge.h"
#include "ringkernel/runtime/scheduler.h"
#include "ringkernel/runtime/switchboard.h"

namespace rk::cuda {

class Bridge;
class Peer;

struct LinkShape {
  std::uint32_t slots = 0, stride = 0, max_payload = 0;
  std::uint32_t limit = 0;  // of messages, beyond which the sender waits; 0: there is none
  bool drops = false;

  std::size_t bytes() const { return kHeadBytes + std::size_t{slots} * stride; }
  static constexpr std::size_t kHeadBytes = 512;  // the LinkRing
};

// What an edge knows of it, also when it is no more.
class LinkCounts final : public EdgeLink {
 public:
  LinkCounts(const LinkShape& shape, std::weak_ptr<void> receiver, Bridge& of_receiver)
      : shape_(shape), receiver_(std::move(receiver)), of_receiver_(of_receiver) {}

  RingStats stats() const override;
  bool open() const override { return open_.load_relaxed() != 0; }                // S
  std::uint64_t times_blocked() const override { return waits_.load_relaxed(); }  // S
  void refresh(std::uint64_t deadline_ns) override;

  void told(std::uint64_t accepted, std::uint64_t refused, std::uint64_t read, std::uint64_t waits);
  void closed() { open_.store_relaxed(0); }                                      // S
  std::uint64_t accepted() const { return accepted_.load_relaxed(); }            // S
  std::uint64_t in_flight() const { return accepted() - read_.load_relaxed(); }  // S its one writer asks

 private:
  const LinkShape shape_;
  const std::weak_ptr<void> receiver_;
  Bridge& of_receiver_;  // while receiver_ is there
  HostAtomics::Atomic<std::uint64_t> accepted_{0}, refused_{0}, read_{0}, waits_{0}, most_{0};  // S
  HostAtomics::Atomic<std::uint32_t> open_{1};                                                  // S
};

class Link {
 public:
  Link(DeviceMemory memory, const LinkShape& shape, Peer& receiver, std::shared_ptr<void> keep,
       std::shared_ptr<LinkCounts> counts, Bridge& sender, std::uint32_t place)
      : memory_(std::make_shared<DeviceMemory>(std::move(memory))),
        shape_(shape),
        receiver_(receiver),
        keep_(std::move(keep)),
        counts_(std::move(counts)),
        place_(place),
        sender_(&sender) {}

  DeviceAddress ring() const { return memory_->address(); }
  const std::shared_ptr<DeviceMemory>& memory() const { return memory_; }
  const LinkShape& shape() const { return shape_; }
  Peer& receiver() const { return receiver_; }
  LinkCounts& counts() const { return *counts_; }
  std::uint32_t place() const { return place_; }

  // -- the receiver
  void shut();                                                 // it takes no more
  bool silent() const { return silent_.load_acquire() != 0; }  // N2
  bool receiver_over();                                        // true: it is silent, so the caller has to look

  // -- the sender
  bool is_shut() const { return shut_.load_acquire() != 0; }  // N1
  void leave();                                               // it does not know when it will be silent
  bool fall_silent();                                         // true: the receiver is over, so the caller has to look

  // What is in the ring and not taken, oldest first. The receiver does not take meanwhile. Returns the ring's
  // counts. Throws what copies do.
  using Use = std::function<void(const MessageHeader&, const std::byte*)>;
  LinkRing for_each(Heap& heap, const Use& use) const;

 private:
  const std::shared_ptr<DeviceMemory> memory_;
  const LinkShape shape_;
  Peer& receiver_;
  const std::shared_ptr<void> keep_;  // the receiving kernel
  const std::shared_ptr<LinkCounts> counts_;
  const std::uint32_t place_;
  HostAtomics::Atomic<std::uint32_t> shut_{0}, silent_{0};  // N1, N2
  std::mutex mutex_;
  Bridge* sender_;
  bool over_ = false;
};

// The grids of one device that may be linked, and memory for it.
//
// Protection: heap_, scheduler_: constant after init. Everything else: mutex_.
class LinkHub : public std::enable_shared_from_this<LinkHub> {
 public:
  LinkHub(std::shared_ptr<Heap> heap, Scheduler& scheduler) : heap_(std::move(heap)), scheduler_(scheduler) {}

  void add(const Switchboard& of, Address kernel, Bridge& bridge);
  void remove(const Switchboard& of, Address kernel);
  // Stays while the caller keeps the kernel. nullptr: it is not on this device.
  Bridge* find(const Switchboard& of, Address kernel);

  // Zeroed. Empty: not now. Does not wait: where there is no room, more is reserved meanwhile, up to kMostBytes.
  DeviceMemory take(std::size_t bytes);
  // Before a kernel is launched that sends to so many others: the memory that its links will most likely need.
  void expect(const ResidentSpec& spec, const DeviceCode& code);
  Heap& heap() { return *heap_; }

  static constexpr std::size_t kMostExpected = std::size_t{32} << 20;  // for one kernel
  static constexpr std::size_t kMostBytes = std::size_t{512} << 20;    // reserved for links alone

 private:
  using Key = std::pair<const Switchboard*, std::uint32_t>;

  const std::shared_ptr<Heap> heap_;
  Scheduler& scheduler_;
  std::mutex mutex_;
  std::map<Key, Bridge*> bridges_;
  std::size_t reserved_ = 0;
  bool reserving_ = false;
};

}  // namespace rk::cuda
