// What one instance sends: a lane to each receiver, and what waits beside those that are full.
//
// Protection: everything: the instance's thread; WaitGraph: mutex_.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "ringkernel/runtime/edge.h"
#include "ringkernel/runtime/host_port.h"
#include "ringkernel/runtime/switchboard.h"

namespace rk {

// Which instance waits for room in whose inbox. A cycle of waiters would wait for ever.
class WaitGraph {
 public:
  // False: `receiver` waits, directly or not, for `waiter`.
  bool enter(const void* waiter, const void* receiver);
  void leave(const void* waiter);

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, const void*> waits_for_;
};

// The instance that a sender is of.
class SendingInstance {
 public:
  virtual ~SendingInstance() = default;
  // Who is told that there is room again; keeps the instance.
  virtual std::shared_ptr<LaneSender> keep() = 0;
  // More waits for the host than may: until `ready()`, which makes room where it can. False: it did not wait, or the
  // kernel has to stop.
  virtual bool wait_for_host(const std::function<bool()>& ready) = 0;
};

class InstanceSender {
 public:
  InstanceSender(Switchboard& switchboard, Address self, std::uint64_t spill_limit, SendingInstance& me)
      : switchboard_(switchboard), self_(self), spill_limit_(spill_limit), me_(me) {}

  // kFull, kClosed, kTooLarge, kUndeclared.
  Status send(const MessageHeader& header, const std::byte* payload, bool reply);
  std::uint64_t free_slots(Address to);
  // The way that such a message would take. nullptr: there is none, or messages wait for room in it.
  const Route* route_of(const MessageHeader& header);

  void publish();  // what was sent since the last time becomes visible
  bool waiting() const { return !spilled_.empty(); }
  bool flush();  // true: nothing waits any more
  // The lane that the oldest waiting message waits for, and whose it is.
  Lane& first_blocked() { return *spilled_.front().way->route.lane; }
  const void* first_receiver() { return spilled_.front().way->route.waits_for; }

  void end();  // what waits is dead-lettered, all lanes are abandoned

 private:
  struct Way {
    Route route;
    std::uint64_t spilled = 0;
    bool touched = false;
  };
  struct Spilled {
    Way* way;
    Frame frame;
  };

  Way* way_to(const MessageHeader& header, bool reply, Status* status);
  Status spill(Way& way, const MessageHeader& header, const std::byte* payload);
  void touch(Way& way);
  void forget(const MessageHeader& header, bool reply);
  void forget_closed_ports();
  bool retry(Spilled& one);

  Switchboard& switchboard_;
  Address self_;
  std::uint64_t spill_limit_;
  SendingInstance& me_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Way>> ways_;
  std::uint64_t last_key_ = ~std::uint64_t{0};
  Way* last_ = nullptr;
  std::vector<Way*> touched_;
  std::deque<Spilled> spilled_;
};

}  // namespace rk
