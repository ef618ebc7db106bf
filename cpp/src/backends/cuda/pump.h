// The thread that looks after the grids of one device: it spins while something happens, naps when nothing does, and
// sleeps while no grid needs it. There is none while there are no grids.
//
// Edges
//   W1  wake -> look   what was done before it; and those of parking.h
//
// Protection: grids, running, and thread_ by who adds: mutex. woken: atomic (W1).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk::cuda {

class Pumped {
 public:
  enum class Need { kNothing, kSoon, kNow };  // to be looked at: when somebody wakes the pump; within a ms; at once

  virtual ~Pumped() = default;
  // One look at everything. Throws nothing.
  virtual Need look() = 0;
  // It needs no looks any more.
  virtual bool done() = 0;
};

class Pump {
 public:
  Pump() : state_(std::make_shared<State>()) {}
  ~Pump();  // waits for the thread, unless it is the caller
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  void add(std::shared_ptr<Pumped> grid);
  void wake();  // any thread, any lock
  std::vector<std::shared_ptr<Pumped>> grids() const;

 private:
  struct State {
    mutable std::mutex mutex;
    std::vector<std::shared_ptr<Pumped>> grids;
    bool running = false;                         // a thread is there, and looks at grids
    HostAtomics::Atomic<std::uint32_t> woken{0};  // W1
    Parking<HostAtomics> parking;
  };

  static void run(State& state);
  static Pumped::Need look_at_all(State& state);
  static bool ends(State& state);

  const std::shared_ptr<State> state_;  // the thread's too
  std::thread thread_;
};

}  // namespace rk::cuda
