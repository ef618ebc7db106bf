// The CUDA backend: handlers that carry device code become resident grids, all others run on the CPU beside them.
#pragma once

#include <cstdint>
#include <memory>

#include "ringkernel/runtime/backend.h"

namespace rk {

struct CudaOptions {
  int device = 0;                          // its index in this process
  std::uint64_t lease_ns = 2'000'000'000;  // a grid is renewed so often; 0: it stays until it is over
  std::uint32_t sm_budget = 0;             // multiprocessors that grids may take; 0: all
  Scheduler::Options workers{};            // of the handlers that run on the CPU
};

// Throws Error: BackendUnavailableError, DeviceLostError, DeviceMemoryError, DeviceError.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace rk
