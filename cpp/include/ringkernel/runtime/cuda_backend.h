// The CUDA backend: handlers that carry device code become resident grids, all others run on the CPU beside them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ringkernel/runtime/backend.h"

namespace rk {

struct CudaOptions {
  std::vector<int> devices{0};             // their indices in this process; a kernel is on one of them
  std::uint64_t lease_ns = 2'000'000'000;  // a grid is renewed so often; 0: it stays until it is over
  std::uint32_t sm_budget = 0;             // multiprocessors of each device that grids may take; 0: all
  Scheduler::Options workers{};            // of the handlers that run on the CPU
};

// Throws Error: InvalidArgumentError, BackendUnavailableError, DeviceLostError, DeviceMemoryError, DeviceError.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace rk
