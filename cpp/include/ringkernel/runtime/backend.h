// The backend interface: all that a new kind of device has to supply.
//
// A backend gives memory that both sides see and runs the resident loop on it: take messages from the inbox, run the
// handler, put messages into the outbox, obey the control block's host line and answer in its device line, until it is
// told to stop. What a message means, states, names and errors are the runtime's; no backend deals with them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ringkernel/abi/abi.h"
#include "ringkernel/runtime/clocks.h"
#include "ringkernel/runtime/handler.h"
#include "ringkernel/runtime/host_ring.h"
#include "ringkernel/runtime/memory.h"

namespace rk {

// What one launched kernel works on. Everything outlives the Resident; the loop keeps a shared_ptr to `keep_alive`.
struct ResidentSpec {
  Address self;
  ControlBlock* control = nullptr;
  TelemetryBlock* telemetry = nullptr;
  HostRing* inbox = nullptr;   // slots: MessageHeader and payload
  HostRing* outbox = nullptr;  // to the host
  Handler* handler = nullptr;
  Hlc* clock = nullptr;
  std::uint32_t max_failures = 3;  // handler failures within the window before the kernel is failed
  std::uint64_t failure_window_ns = 5'000'000'000;
  // The inbox of a kernel of this runtime; nullptr: there is none.
  std::function<std::shared_ptr<HostRing>(Address)> inbox_of;
  std::shared_ptr<void> keep_alive;
};

// A kernel that was launched on a device.
class Resident {
 public:
  virtual ~Resident() = default;
  // The host wrote the control block or the inbox: look at them soon.
  virtual void notify() = 0;
  // Waits until the loop has ended (true) or the deadline passed. Never waits longer.
  virtual bool join(std::uint64_t deadline_ns) = 0;
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
};

std::unique_ptr<Backend> make_cpu_backend();

}  // namespace rk
