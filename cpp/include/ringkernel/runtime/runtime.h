// A runtime: one backend, one clock, and the kernels launched on them, found by name or address.
//
// Protection: backend_, clock_: constant after init. kernels_, closed_: mutex_. message_ids_: atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "ringkernel/runtime/kernel.h"

namespace rk {

class Runtime : public std::enable_shared_from_this<Runtime> {
 public:
  Runtime(std::shared_ptr<Backend> backend, std::uint32_t node_id, std::uint64_t max_drift_ntp64);

  // Names are unique among living kernels. Throws Error, std::bad_alloc.
  std::shared_ptr<Kernel> launch(std::shared_ptr<Handler> handler, const KernelOptions& options);

  std::shared_ptr<Kernel> find(const std::string& name);  // nullptr: none
  std::shared_ptr<Kernel> find(Address address);          // nullptr: none
  std::vector<std::shared_ptr<Kernel>> kernels();

  // Terminates what still runs, all at once. Idempotent, and never waits longer than the deadline; returns the names of
  // kernels whose handlers did not return. May be called again when `poll` threw.
  std::vector<std::string> close(std::uint64_t deadline_ns, const Kernel::Poll& poll);
  bool closed();

  Backend& backend() { return *backend_; }
  Hlc& clock() { return clock_; }

 private:
  std::shared_ptr<Backend> backend_;
  HostClock source_;
  Hlc clock_;
  std::shared_mutex mutex_;
  std::vector<std::shared_ptr<Kernel>> kernels_;  // kernel number n at n - 1; empty when it is over and forgotten
  bool closed_ = false;
  std::atomic<std::uint64_t> message_ids_{0};
};

}  // namespace rk
