// What runs for each message, and what it can do meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ringkernel/abi/address.h"
#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/hlc.h"
#include "ringkernel/core/status.h"

namespace rk {

class BufferHolds;
struct DeviceCode;

// A message to be sent, but for what the sender fills in.
struct Outgoing {
  std::uint32_t type_id = 0;
  std::span<const std::byte> payload;
  std::uint8_t priority = kPriorityNormal;
  std::uint64_t deadline = 0;  // NTP64; 0: none
};

// The resident loop's side of an instance, valid on its worker while a handler runs.
class KernelContext {
 public:
  static constexpr std::uint32_t kAnyInstance = 0xFFFFF;  // the kernel's routing decides

  virtual ~KernelContext() = default;

  // Answers the message in hand: its sender gets `message`, correlated with it. kFull, kClosed, kTooLarge.
  virtual Status reply(const Outgoing& message) = 0;
  // Sends to a kernel of this runtime, this one included. kFull, kClosed (terminating or gone), kTooLarge, kUndeclared
  // (no edge was declared).
  virtual Status send(Address to, const Outgoing& message) = 0;
  // To all subscribers of `topic`; returns how many got it. The topic is valid (check_topic).
  virtual std::uint32_t publish(std::string_view topic, const Outgoing& message, bool retain) = 0;

  virtual HlcTimestamp now() = 0;
  virtual HlcTimestamp tick() = 0;
  virtual HlcUpdate update_clock(std::uint64_t time) = 0;
  virtual Address self() const = 0;
  virtual const MessageHeader& header() const = 0;   // of the message in hand
  virtual std::uint64_t pending() const = 0;         // messages in the inbox, the one in hand not counted
  virtual std::uint64_t free_slots(Address to) = 0;  // credits of the edge to `to`; 0: none, or undeclared
  virtual void request_termination() = 0;            // of the kernel: drain, then stop
  virtual bool is_terminating() const = 0;
  virtual void report_error(std::uint32_t code, std::uint64_t count = 1) = 0;  // kept as last error; not a failure

  // -- within handle_run()
  // From now on the message in this slot is the one in hand: what header() is, and what a reply answers.
  virtual void take_in_hand(const std::byte* slot) = 0;
  // True: the instance has to look around, so the run ends with the message in hand.
  virtual bool must_leave() const = 0;
};

enum class Outcome : std::uint8_t {
  kHandled,
  kFailed,   // the message is dead-lettered and not delivered again
  kRefused,  // as kFailed, but no fault of the handler: the message is of no type that it takes
  kStopped,  // as kFailed, because of stop()
};

// One handler serves all instances of a kernel; each instance is one thread at a time.
class Handler {
 public:
  virtual ~Handler() = default;

  // It will serve this many instances. Once, before every other call.
  virtual void begins(std::uint32_t /*instances*/) {}

  // Around each run of messages of one instance: where a lock of the handler's world is taken.
  virtual void batch_begins(std::uint32_t /*instance*/) {}
  virtual void batch_ends(std::uint32_t /*instance*/) {}

  virtual Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) = 0;

  // Messages of one lane: header and payload lie at `first`, `first + stride`, ...
  struct Run {
    const std::byte* first = nullptr;
    std::size_t stride = 0;
    std::uint32_t count = 1;
  };
  // How many messages handle_run() may get; 1: it is not called. More only where each message takes microseconds at
  // most: nobody looks around meanwhile.
  virtual std::uint32_t longest_run() const { return 1; }
  // handle() for each, until one is not handled or must_leave(). Returns for how many; `outcome`: of the last of them.
  virtual std::uint32_t handle_run(KernelContext&, const Run&, Outcome* /*outcome*/) { return 0; }

  // Code of this kind can be ended in the middle of a message.
  virtual bool can_stop() const { return false; }
  // Any thread: if this message is in hand, it ends as kStopped. False: it cannot be.
  virtual bool stop(std::uint32_t /*instance*/, std::uint64_t /*message_id*/) { return false; }

  // Why the last message of the instance failed, for people. Called right after, within the batch.
  virtual std::string error_text(std::uint32_t /*instance*/) { return {}; }
  // The state is as at the start again. Not within a batch.
  virtual void restart(std::uint32_t /*instance*/) {}
  // No call will come any more.
  virtual void ends() {}

  // True: its world has one lock, and several workers would only wait for each other.
  virtual bool shares_a_lock() const { return false; }
  // The state's bytes, for checkpoints; empty when there is none. Not within a batch. While the kernel runs on a
  // device, this is a copy: Resident::fetch() and store().
  virtual std::span<std::byte> state_of(std::uint32_t /*instance*/) { return {}; }

  // -- a handler that runs on a device; none of the calls for messages above come then
  // What runs there; it stays as long as the handler. nullptr: the host runs it.
  virtual const DeviceCode* device_code() const { return nullptr; }
  // `header`: of a message that was not handled there, and why: a code of ringkernel/compiled.h and the line.
  // error_text() is asked next.
  virtual void failed_on_device(std::uint32_t /*instance*/, const MessageHeader& /*header*/, Outcome /*outcome*/,
                                std::uint32_t /*code*/, std::uint32_t /*line*/) {}
  // The same for one that did not get there, because of what it refers to.
  virtual void refused_for_device(std::uint32_t /*instance*/, const MessageHeader& /*header*/,
                                  const BufferHolds& /*refused*/) {}
};

}  // namespace rk
