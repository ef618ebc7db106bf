// What runs for each message, and what it can do meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ringkernel/abi/address.h"
#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/status.h"

namespace rk {

// The resident loop's side of a kernel, valid on its worker while a handler runs.
class KernelContext {
 public:
  virtual ~KernelContext() = default;

  // Answers the message in hand: its sender gets `payload`, correlated with it.
  virtual Status reply(std::uint32_t type_id, std::span<const std::byte> payload, std::uint8_t priority) = 0;
  // Sends to a kernel of this runtime, this one included. kFull, kClosed (terminating or gone),
  // kTooLarge.
  virtual Status send(Address to, std::uint32_t type_id, std::span<const std::byte> payload, std::uint8_t priority) = 0;

  virtual HlcTimestamp now() = 0;
  virtual HlcTimestamp tick() = 0;
  virtual Address self() const = 0;
  virtual const MessageHeader& header() const = 0;  // of the message in hand
  virtual void request_termination() = 0;           // drain, then stop
  virtual bool is_terminating() const = 0;
};

enum class Outcome : std::uint8_t {
  kHandled,
  kFailed,   // the message is dead-lettered and not delivered again
  kRefused,  // as kFailed, but no fault of the handler: the message is of no type that it takes
};

class Handler {
 public:
  virtual ~Handler() = default;

  // On the worker thread, around its life and around each run of messages: where a lock of the handler's world is
  // taken.
  virtual void worker_begins(KernelContext&) {}
  virtual void worker_ends() {}
  virtual void batch_begins() {}
  virtual void batch_ends() {}

  virtual Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) = 0;
};

}  // namespace rk
