// The instances of one kernel on the CPU, and the gate that pauses them.
//
// Edges
//   G1, G2, G3: gate.h
//   K1, K2: cpu_instance.h
//
// Protection: spec, instances: constant after init; keep_alive: the last instance to end. gate: itself.
// own_stop_, failed_: atomic (S). living_: atomic (K2).
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "cpu_instance.h"
#include "ringkernel/core/gate.h"
#include "ringkernel/runtime/control.h"

namespace rk {

struct CpuKernel {
  static constexpr Gate<HostAtomics>::Reasons kPausedByHost = std::uint64_t{1} << 62;
  static constexpr Gate<HostAtomics>::Reasons kHeldBySupervisor = std::uint64_t{1} << 63;

  CpuKernel(ResidentSpec given, Scheduler& on, WaitGraph& waits);

  std::uint32_t stop() const;                                  // kTerminate..., by the host or by a handler
  bool failed() const { return failed_.load_relaxed() != 0; }  // S
  void fail();                                                 // its handlers raised too often: all instances end
  void stop_after_drain();                                     // a handler's request
  void poke_all();
  void wake_all();
  void instance_ended();
  void beat(std::uint64_t messages, std::uint64_t errors);  // counts of a batch, into the control block

  ResidentSpec spec;
  Scheduler& scheduler;
  WaitGraph& graph;
  Gate<HostAtomics> gate{kPausedByHost};
  HostAtomics::Atomic<std::uint32_t> own_stop_{0};  // S a late look is a late stop; poke_all follows
  HostAtomics::Atomic<std::uint32_t> failed_{0};
  HostAtomics::Atomic<std::uint32_t> living_{0};  // K2
  std::deque<CpuInstance> instances;
  std::shared_ptr<void> keep_alive;

  std::mutex mutex;  // of the end
  std::condition_variable changed;
  bool ended = false;
};

}  // namespace rk
