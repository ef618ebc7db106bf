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
#include "ringkernel/runtime/instance_record.h"
#include "ringkernel/runtime/memory.h"
#include "ringkernel/runtime/scheduler.h"
#include "ringkernel/runtime/switchboard.h"

namespace rk {

// What one launched kernel works on. Everything outlives the Resident; the loop keeps `keep_alive` until it is over.
struct ResidentSpec {
  Address self;  // of instance 0
  ControlBlock* control = nullptr;
  std::deque<InstanceRecord>* instances = nullptr;
  Handler* handler = nullptr;
  Hlc* clock = nullptr;
  Switchboard* switchboard = nullptr;
  std::uint32_t max_failures = 3;  // handler failures within the window before an unsupervised kernel is failed
  std::uint64_t failure_window_ns = 5'000'000'000;
  std::uint64_t spill_limit = 1024;  // messages of an instance that may wait beside full rings
  std::uint32_t dedup_window = 0;    // message ids remembered by each instance
  std::int32_t worker = -1;          // where it runs; -1: anywhere
  bool supervised = false;           // an instance whose handler fails asks its supervisor
  bool restarts_on_exit = false;     // an instance that ends itself asks its supervisor
  std::shared_ptr<void> keep_alive;
};

// A kernel that was launched on a device.
class Resident {
 public:
  virtual ~Resident() = default;
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
  // Threads of the host that work for this backend, and for the runtime's chores.
  virtual Scheduler& scheduler() = 0;
};

std::unique_ptr<Backend> make_cpu_backend(Scheduler::Options options = {});

}  // namespace rk
