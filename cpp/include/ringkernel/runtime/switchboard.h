// What a resident loop needs from its runtime: ways to other kernels and to the host, and a place for what goes wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ringkernel/abi/address.h"
#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/status.h"
#include "ringkernel/runtime/dead_letters.h"
#include "ringkernel/runtime/lane.h"

namespace rk {

class Edge;

// A way to one receiver. kOk: `lane` is open; it keeps the receiver with `receiver`.
struct Route {
  Status status = Status::kClosed;
  std::shared_ptr<Lane> lane;
  std::shared_ptr<void> receiver;
  std::shared_ptr<Edge> edge;       // nullptr: not declared, as for replies and the host
  const void* waits_for = nullptr;  // the receiving instance, for who waits for whom; nullptr: the host
};

struct RouteRequest {
  Address from;
  Address to;  // with its instance
  std::uint8_t priority = kPriorityNormal;
  bool reply = false;  // whoever asked may be answered without an edge
};

class Switchboard {
 public:
  virtual ~Switchboard() = default;

  virtual Route open_route(const RouteRequest& request, std::shared_ptr<LaneSender> sender) = 0;
  // The kernel of this name, of any instance; nothing: there is none. "host" is the host.
  virtual std::optional<Address> find_receiver(const std::string& name) = 0;
  // Which instance of `kernel` gets this message. 0 when the kernel is gone.
  virtual std::uint32_t choose_instance(Address kernel, std::uint32_t type_id, std::span<const std::byte> payload) = 0;
  virtual std::uint32_t publish(std::string_view topic, const MessageHeader& header, const std::byte* payload,
                                bool retain) = 0;
  virtual void bury(DeadLetterReason reason, Address kernel, const MessageHeader& header, const std::byte* payload,
                    std::string_view error) = 0;

  // The first of `count` numbers that nobody else gets.
  virtual std::uint64_t take_message_ids(std::uint64_t count) = 0;

  // A handler failed or ended its kernel. True: the instance rests until resume(); false: nobody supervises it.
  virtual bool on_exit(Address instance, bool abnormal, const std::string& error) = 0;
  // The loop of the kernel is over; its outbox holds the last that it sent.
  virtual void on_end(Address kernel) = 0;
};

}  // namespace rk
