// The device's half of a grid as a translation unit of its own: to it, this machine is a GPU.
#include "tests/doubles/cuda/device_shim.h"

#define RK_BLOCK_DIM static_cast<u32>(RK_BLOCK_SIZE)
#define RK_BLOCK_ID(call) (call)->instance_id
#define RK_GRID_DIM(call) (gridDim.x - 1u)
#define RK_POLL_EVERY 1u
#include "python/pyringkernel/compiler/emit/prelude/cuda.cuh"

#include "handlers.cuh"
#include "kernels/cuda/resident.cuh"
#include "tests/doubles/cuda/device_shim_tail.h"

static_assert(rk::device::kStatusFull == 1 && rk::device::kStatusClosed == 3, "as in core/status.h");
