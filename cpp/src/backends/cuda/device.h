// One GPU of this process: its context, what it can do, and whether it is still there.
//
// Some calls of the driver wait until nothing runs on the device: memory, modules, the first use of a kernel. A
// resident grid does not end by itself, so such calls are made in quiet(), while every grid has stepped aside.
//
// Edges
//   V1  found lost -> lost()   why, before that
//
// Protection: driver_, index_, handle_, context_, traits_, sms_: constant after init. lost_: atomic (V1). why_lost_,
// quiet_owner_, while_waiting_: mutex_. grids_, stragglers_, held_: grids_mutex_.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "driver.h"
#include "ringkernel/runtime/buffer_table.h"
#include "ringkernel/runtime/host_atomics.h"
#include "sm_budget.h"

namespace rk::cuda {

struct DeviceTraits {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  std::uint32_t sm_count = 0;
  std::uint32_t max_threads_per_block = 0, max_threads_per_sm = 0;
  std::uint32_t max_shared_per_block = 0;
  std::uint32_t clock_khz = 0;
  int pci_domain = 0, pci_bus = 0, pci_device = 0;
  std::uint64_t memory_bytes = 0;
  bool cooperative_launch = false, cluster_launch = false, unified_addressing = false, maps_host_memory = false;
  bool integrated = false;
  bool kernel_timeout = false;  // a watchdog ends kernels after seconds: leases must be short
};

// Where an address leads. `everywhere`: kernels of this device and the host have the memory there.
struct MemoryPlace {
  bool known = false;  // it is memory of CUDA
  int device = kHostMemory;
  bool everywhere = false;
};

// A grid that can leave the device for a while.
class Resting {
 public:
  virtual ~Resting() = default;
  // Calls with true and false come in pairs, and may be nested. Does not wait.
  virtual void hold(bool on) = 0;
  // Nothing of it runs on the device, or waits there to run.
  virtual bool idle() = 0;
  virtual std::string label() const = 0;
};

// A context is current in this thread meanwhile; then again what was current before.
class InContext {
 public:
  InContext(const DriverApi& api, ContextHandle context);
  ~InContext();
  InContext(const InContext&) = delete;
  InContext& operator=(const InContext&) = delete;

  // Whether it is, and which call said so if not: calls would go to another device.
  Result result() const { return result_; }
  const char* entry() const { return entry_; }

 private:
  const DriverApi& api_;
  ContextHandle before_ = nullptr;
  bool changed_ = false;
  Result result_;
  const char* entry_;
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  // The one of this index, shared by all that hold it. Throws BackendUnavailableError, DeviceLostError, DeviceError.
  static std::shared_ptr<Device> open(int index);
  // With a driver of its own, for tests; `driver` outlives it.
  Device(const Driver& driver, int index);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Driver& driver() const { return driver_; }
  const DriverApi& api() const { return driver_.api(); }
  int index() const { return index_; }
  const DeviceTraits& traits() const { return traits_; }
  std::string arch() const;         // "sm_90", as compilers take it
  std::string description() const;  // one line for people
  std::string pci_address() const;  // "0000:17:00.0"
  SmBudget& sms() { return *sms_; }
  // Kernels of this device may use memory of the other.
  bool reaches(const Device& other) const;

  // Makes the call with this device's context, and throws what became of it: see driver.h.
  template <class... P, class... A>
  void call(const std::string& doing, const Entry<P...>& entry, A... values) {
    const InContext here(api(), context_);
    check(here.result(), here.entry(), doing);
    check(entry(static_cast<P>(values)...), entry.name, doing);
  }
  // The same for calls whose result the caller looks at. It may be that of an earlier failure on the device.
  template <class... P, class... A>
  Result try_call(const Entry<P...>& entry, A... values) {
    const InContext here(api(), context_);
    return here.result() != kSuccess ? here.result() : entry(static_cast<P>(values)...);
  }
  void check(Result result, const char* entry, const std::string& doing);

  // Whose memory it is, as the driver knows it. Throws DeviceLostError, DeviceError.
  MemoryPlace place_of(DeviceAddress address);

  // A sticky error was seen: the context is of no use any more.
  bool lost() const { return lost_.load_acquire() != 0; }  // V1
  std::string why_lost() const;
  void throw_if_lost() const;

  // A grid did not leave when it was told to. What it uses is not given back, and while it runs there is no quiet() and
  // the context is not released.
  void abandon(StreamHandle stream, SmShare share, std::string label);
  bool abandoned();

  // -- resident grids step aside --------------------------------------------------------------------------------------

  void add(Resting& grid);
  void remove(Resting& grid);
  // Holds all grids, waits until they have left, runs `work`, and lets them go on. Within `work`, and in nested calls
  // of the same thread, the device is quiet. Throws `kind` when one does not leave in time, and whatever `work` throws.
  // Not from the thread that serves the grids' messages: a handler leaves only when it is done, and it may wait for
  // answers. Where there is no other such thread, while_waiting() is it.
  void quiet(const char* kind, const std::string& doing, std::uint64_t patience_ns, const std::function<void()>& work);
  // Called again and again while quiet() waits, by the thread that waits.
  void while_waiting(std::function<void()> step);

 private:
  struct Straggler {
    StreamHandle stream;
    SmShare share;
    std::string label;
  };

  int ask(Attribute attribute);
  void read_traits();
  void check_requirements() const;
  void make_quiet(const char* kind, const std::string& doing, std::uint64_t patience_ns);
  void hold_all(bool on);
  std::string busy_grid();  // the label of one that has not left; "" when all have

  const Driver& driver_;
  const int index_;
  DeviceHandle handle_ = 0;
  ContextHandle context_ = nullptr;
  DeviceTraits traits_;
  std::shared_ptr<SmBudget> sms_;

  HostAtomics::Atomic<std::uint32_t> lost_{0};  // V1

  mutable std::mutex mutex_;  // the innermost: nothing is called with it
  std::string why_lost_;
  std::thread::id quiet_owner_;
  std::function<void()> while_waiting_;

  std::mutex grids_mutex_;  // outside of those of the grids, which are outside of mutex_
  std::vector<Resting*> grids_;
  std::vector<Straggler> stragglers_;
  bool held_ = false;  // all grids are

  std::mutex quiet_;  // one at a time; the outermost
};

// Waits by polling, more and more patiently. True: it came to be so; false: the time was up.
bool poll_until(std::uint64_t patience_ns, const std::function<bool()>& done);

}  // namespace rk::cuda
