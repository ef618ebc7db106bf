// Where the host receives: what a kernel sends to it, replies to what was asked, what a subscription gets.
//
// A port has one reader at a time. Whoever waits tries to be that reader; while it reads, it hands replies of others
// over to them. No thread of ours is needed, and a lone caller reads its reply straight from the ring. A program that
// waits for a file descriptor instead (an event loop) arms one and drains the port when it is told to.
//
// Edges
//   A1  arm -> ready   whoever makes the port ready after it was armed writes to the descriptor
//   A2  kick, nudge -> look   what the one who did it did before
//
// Protection: inbox_: itself; its receiving side: reading_. helper_: constant once somebody waits. expected_,
// unexpected_: mutex_. armed_, event_: atomic (A1). kicks_, nudges_: atomic (A2).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "ringkernel/abi/message_header.h"
#include "ringkernel/runtime/inbox.h"

namespace rk {

// A header and its payload, copied out of a ring.
using Frame = std::vector<std::byte>;

inline MessageHeader header_of(const Frame& frame) {
  MessageHeader header;
  std::memcpy(&header, frame.data(), sizeof(header));
  return header;
}

// Somebody whose work brings messages to a port. Who waits there anyway does it.
class PortHelper {
 public:
  virtual ~PortHelper() = default;
  virtual void help() = 0;  // soon done; by several threads
};

class HostPort final : public InboxOwner {
 public:
  explicit HostPort(std::shared_ptr<MemorySource> memory) : inbox_(std::move(memory), this) {}
  ~HostPort() override;

  // Before anybody waits; outlives all waiting.
  void set_helper(PortHelper& helper) { helper_ = &helper; }

  Inbox& inbox() { return inbox_; }
  const Inbox& inbox() const { return inbox_; }

  // Replies to `id` are kept for whoever takes them, from expect() until forget().
  void expect(std::uint64_t id);
  void forget(std::uint64_t id);

  // The reply to `id`, or (0) a message that nobody expects. False: none until the deadline, or `over()` is true and
  // nothing is left.
  bool take(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over);

  // What is there of one type and size and expected by nobody, without waiting; stops at any other message.
  std::uint64_t take_more(std::uint32_t type_id, std::uint32_t size, std::uint64_t max,
                          const std::function<void(const std::byte*, std::size_t)>& use);

  // Everything that is there, without waiting; `use(slot)` for each. Returns how many.
  std::uint64_t drain(std::uint64_t max, const std::function<void(const std::byte*)>& use);

  // Until there may be something to drain, or somebody kicked or nudged since the sum was `seen`. False: the deadline
  // passed.
  bool wait_readable(std::uint64_t deadline_ns, std::uint64_t seen);
  // The same without sleeping, for so long.
  bool spin_readable(std::uint64_t spin_ns);
  std::uint64_t kicks() const { return kicks_.load_acquire(); }  // A2

  // A descriptor that becomes readable when the port does (eventfd; -1 where there is none). arm() empties it and is
  // false when there is something already.
  int event();
  bool arm();
  // Makes it readable: who stops draining early is called back.
  void call_back() { write_event(); }

  // Wakes who waits in wait_readable(): somebody else has drained what it waits for.
  void nudge();
  std::uint64_t nudges() const { return nudges_.load_acquire(); }  // A2

  // Wakes who waits, so that it looks at what else may have ended its wait.
  void kick();
  void inbox_ready() override;

 private:
  bool take_sorted(std::uint64_t id, Frame* out);
  bool read_until(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over);
  bool read_one(std::uint64_t id, Frame* out, bool* found);
  bool is_expected(std::uint64_t id);
  bool wait_for_reader(std::uint64_t id, Frame* out, std::uint64_t deadline_ns);
  bool wait_for_message(std::uint64_t deadline_ns, const std::function<bool()>& over);
  void write_event();
  bool look();

  Inbox inbox_;
  PortHelper* helper_ = nullptr;
  Parking<HostAtomics> parking_;
  HostAtomics::Atomic<std::uint32_t> armed_{0};   // A1
  HostAtomics::Atomic<int> event_{-1};            // A1
  HostAtomics::Atomic<std::uint64_t> kicks_{0};   // A2
  HostAtomics::Atomic<std::uint64_t> nudges_{0};  // A2
  std::mutex reading_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint64_t, std::deque<Frame>> expected_;
  std::deque<Frame> unexpected_;
};

}  // namespace rk
