// What this compiler made of the shared structs: sizes and offsets in the order of RK_GRID_STRUCTS, which the host
// compares before the first launch.
#pragma once

#include "kernels/cuda/device.cuh"
#include "ringkernel/abi/address.h"
#include "ringkernel/abi/device_grid.h"
#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/version.h"

namespace rk {
namespace device {

#define RK_REPORT_FIELD(S, type, name, offset) static_cast<u32>(RK_OFFSETOF(S, name)),
#define RK_REPORT_STRUCT(S, FIELDS) static_cast<u32>(sizeof(S)), FIELDS(RK_REPORT_FIELD)
static __device__ const u32 kLayout[] = {RK_GRID_STRUCTS(RK_REPORT_STRUCT)};

}  // namespace device
}  // namespace rk

RK_KERNEL(rk_report_layout)(rk::u64 out) {
  if (blockIdx.x != 0 || threadIdx.x != 0) return;
  rk::u32* words = reinterpret_cast<rk::u32*>(out);
  RK_UNROLL(1)
  for (rk::u32 n = 0; n < sizeof(rk::device::kLayout) / sizeof(rk::u32); ++n) words[n] = rk::device::kLayout[n];
}
RK_EXPORT_KERNEL(rk_report_layout)
