// What a kernel sent to the host, sorted by who waits for it.
//
// The outbox has one consumer at a time. Whoever waits tries to be that consumer; while it reads, it hands replies of
// others over to them. No thread of ours is needed, and a lone caller reads its reply straight from the ring.
//
// Protection: everything below mutex_: mutex_. The outbox's consuming side: reading_ (held without mutex_).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "ringkernel/abi/message_header.h"
#include "ringkernel/runtime/host_ring.h"

namespace rk {

// A header and its payload, copied out of a ring.
using Frame = std::vector<std::byte>;

inline MessageHeader header_of(const Frame& frame) {
  MessageHeader header;
  std::memcpy(&header, frame.data(), sizeof(header));
  return header;
}

class Mailbox {
 public:
  explicit Mailbox(HostRing& outbox) : outbox_(outbox) {}

  // Replies to `id` are kept for whoever takes them, from expect() until forget().
  void expect(std::uint64_t id);
  void forget(std::uint64_t id);

  // The reply to `id`, or (0) a message that nobody expects. False: none until the deadline, or `over()` is true and
  // nothing is left.
  bool take(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over);

  // What is there of one type and expected by nobody, without waiting; stops at a message of another type.
  std::uint64_t take_more(std::uint32_t type_id, std::uint64_t max,
                          const std::function<void(const std::byte*, std::size_t)>& use);

 private:
  bool take_sorted(std::uint64_t id, Frame* out);
  bool read_until(std::uint64_t id, Frame* out, std::uint64_t deadline_ns, const std::function<bool()>& over);
  bool read_one(std::uint64_t id, Frame* out, bool* found);
  bool is_expected(std::uint64_t id);
  bool wait_for_reader(std::uint64_t id, Frame* out, std::uint64_t deadline_ns);

  HostRing& outbox_;
  std::mutex reading_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint64_t, std::deque<Frame>> expected_;
  std::deque<Frame> unexpected_;
};

}  // namespace rk
