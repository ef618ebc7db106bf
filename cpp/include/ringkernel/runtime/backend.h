// The backend interface: all that a new kind of device has to supply.
//
// A backend gives memory that both sides see and runs the resident loop on it: take messages from the inboxes, run the
// handler, put messages where they are sent, obey the control block's host line and answer in its device line, until it
// is told to stop. What a message means, states, names and errors are the runtime's; no backend deals with them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "ringkernel/abi/abi.h"
#include "ringkernel/runtime/clocks.h"
#include "ringkernel/runtime/handler.h"
#include "ringkernel/runtime/host_port.h"
#include "ringkernel/runtime/instance_record.h"
#include "ringkernel/runtime/memory.h"
#include "ringkernel/runtime/scheduler.h"
#include "ringkernel/runtime/switchboard.h"

namespace rk {

// What one launched kernel works on. Everything outlives the Resident; the loop keeps `keep_alive` until it is over.
struct ResidentSpec {
  std::string name;  // of the kernel
  Address self;      // of instance 0
  ControlBlock* control = nullptr;
  std::deque<InstanceRecord>* instances = nullptr;
  Handler* handler = nullptr;
  Hlc* clock = nullptr;
  Switchboard* switchboard = nullptr;
  HostPort* outbox = nullptr;       // where what it sends to the host arrives
  std::uint64_t capacity = 1024;    // messages of a lane to it
  std::uint32_t max_payload = 256;  // bytes of the largest message in either direction
  std::uint32_t max_failures = 3;   // handler failures within the window before an unsupervised kernel is failed
  std::uint64_t failure_window_ns = 5'000'000'000;
  std::uint64_t spill_limit = 1024;  // messages of an instance that may wait beside full rings
  std::uint32_t dedup_window = 0;    // message ids remembered by each instance
  std::int32_t worker = -1;          // where it runs; -1: anywhere
  bool supervised = false;           // an instance whose handler fails asks its supervisor
  bool restarts_on_exit = false;     // an instance that ends itself asks its supervisor
  bool routes_by_key = false;        // the payload says which instance gets what is for any
  std::shared_ptr<void> keep_alive;
};

class Backend;
class WaitGraph;

// A kernel that was launched on a device.
class Resident {
 public:
  virtual ~Resident() = default;
  // Where it runs: another than the one that launched it, where that one leaves some handlers to it.
  virtual const Backend& backend() const = 0;
  // The same in more detail, for people; "" when there is nothing to say.
  virtual std::string placement() const { return {}; }

  // The host wrote the control block: obey it soon.
  virtual void notify() = 0;
  // What the host line asks for is the case: active, or paused with no handler inside.
  virtual bool obeyed() const = 0;
  // Waits until the loop has ended (true) or the deadline passed. Never waits longer.
  virtual bool join(std::uint64_t deadline_ns) = 0;

  // For a supervisor: no instance takes messages, as if paused, while on. resting(): none is inside a handler.
  virtual void hold(bool on) = 0;
  virtual bool resting() const = 0;
  // An instance whose exit was reported goes on; every other call is harmless.
  virtual void resume(std::uint32_t instance) = 0;

  // Ends the handler of this message, if it is still in hand. False: such code cannot be stopped.
  virtual bool can_stop() const = 0;
  virtual bool stop(std::uint32_t instance, std::uint64_t message_id) = 0;

  // Why it ended without being told to, where that was not its handlers' doing; "" otherwise.
  virtual std::string failure() const { return {}; }

  // -- what is not in the host's memory. Not with any lock of the runtime. Nothing to do where everything is
  // Brings the records of the instances up to date, but for handlers that run on until the deadline.
  virtual void refresh(std::uint64_t /*deadline_ns*/) {}
  // Where the state of an instance lies, if not in the host's memory.
  struct StatePlace {
    int device = -1;  // its index in this process
    std::uint64_t address = 0;
  };
  virtual StatePlace state_place(std::uint32_t /*instance*/) const { return {}; }
  // The states, of a kernel that is paused or over: from the device to where Handler::state_of() shows them, and back.
  // fetch() is false when that takes longer. Throw Error when the device does not answer.
  virtual bool fetch(std::uint64_t /*deadline_ns*/) { return true; }
  virtual void store() {}
  // Each message that has left the inbox of a paused instance and is not handled yet, oldest first in its priority.
  virtual void for_each_aboard(std::uint32_t /*instance*/,
                               const std::function<void(const MessageHeader&, const std::byte*)>& /*use*/) {}
};

class Backend : public MemorySource {
 public:
  // "cpu", "cuda", ... as users write it.
  virtual const char* name() const = 0;
  // What there is: one line for people.
  virtual std::string description() const = 0;
  // True when rings are visible to both sides while the loop runs; false when it works in bounded batches.
  virtual bool persistent() const = 0;
  // Starts the loop, paused; it begins with the first `is_active`. Throws Error when it cannot.
  virtual std::unique_ptr<Resident> launch(ResidentSpec spec) = 0;
  // Where inboxes lie. A thread that has sent to a kernel keeps its lane until it sends to another one, and with it
  // this: not a device.
  virtual std::shared_ptr<MemorySource> inbox_memory() { return shared_process_memory(); }
  // Threads of the host that work for this backend, and for the runtime's chores.
  virtual Scheduler& scheduler() = 0;
};

// `graph`: of another backend of the same runtime, whose instances wait for those of this one.
std::unique_ptr<Backend> make_cpu_backend(Scheduler::Options options = {}, std::shared_ptr<WaitGraph> graph = nullptr);

}  // namespace rk
