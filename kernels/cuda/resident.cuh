// The resident grid of one launched kernel: block 0 is the router, block i + 1 is instance i. Comes behind the prelude
// and the handler's text. What host and device tell each other is in ringkernel/abi/device_grid.h, the edges between
// all of these threads are in EDGES.md.
#pragma once

#include "kernels/cuda/instance.cuh"
#include "kernels/cuda/layout.cuh"
#include "kernels/cuda/router.cuh"

namespace rk {
namespace device {

constexpr u32 kRouterThreads = RK_ROUTER_WARPS * RK_LANES;
constexpr u32 kThreads = RK_BLOCK_SIZE > kRouterThreads ? static_cast<u32>(RK_BLOCK_SIZE) : kRouterThreads;

union Shared {
  Router router;
  Block block;
};

}  // namespace device
}  // namespace rk

#ifndef RK_ON_HOST
extern "C" __global__ void __launch_bounds__(rk::device::kThreads) rk_resident(rk::u64, rk::u64, rk::u64);
#endif

RK_KERNEL(rk_resident)(rk::u64 grid_address, rk::u64 lease, rk::u64 lease_ns) {
  RK_SHARED(rk::device::Shared, shared);
  RK_SHARED(rk::device::SharedBytes, bytes);
  rk::GridBlock* grid = rk::device::at<rk::GridBlock>(grid_address);
  if (grid->magic != rk::kGridMagic || grid->abi_version != rk::kAbiVersion) {
    if (grid->magic == rk::kGridMagic && blockIdx.x == 0 && threadIdx.x == 0) {
      rk::device::report_fault(*grid, rk::kFaultMagic, grid->abi_version);
    }
    return;
  }
  if (blockIdx.x == 0) {
    rk::device::run_router(shared.router, grid, lease, lease_ns);
  } else {
    rk::device::run_instance(shared.block, bytes, grid, lease);
  }
}
RK_EXPORT_KERNEL(rk_resident)
