// The entry points of the double. F(name).
#pragma once

// clang-format off
#define RK_DOUBLE_ENTRIES(F)                                                                                           \
  F(cuInit) F(cuDriverGetVersion) F(cuGetErrorName) F(cuGetErrorString) F(cuGetProcAddress_v2) F(cuDeviceGetCount)     \
  F(cuDeviceGet) F(cuDeviceGetName) F(cuDeviceGetAttribute) F(cuDeviceTotalMem_v2) F(cuDeviceGetUuid)                  \
  F(cuDeviceGetUuid_v2) F(cuDeviceCanAccessPeer) F(cuDevicePrimaryCtxRetain) F(cuDevicePrimaryCtxRelease_v2)           \
  F(cuCtxSetCurrent) F(cuCtxGetCurrent) F(cuCtxGetDevice) F(cuCtxSynchronize) F(cuCtxEnablePeerAccess)                 \
  F(cuCtxGetStreamPriorityRange) F(cuModuleLoadData) F(cuModuleLoadDataEx) F(cuModuleUnload) F(cuModuleGetFunction)    \
  F(cuModuleGetGlobal_v2) F(cuFuncGetAttribute) F(cuFuncSetAttribute) F(cuFuncLoad)                                    \
  F(cuOccupancyMaxActiveBlocksPerMultiprocessor) F(cuMemHostAlloc) F(cuMemHostGetDevicePointer_v2) F(cuMemFreeHost)    \
  F(cuMemAlloc_v2) F(cuMemFree_v2) F(cuMemGetInfo_v2) F(cuMemsetD8_v2) F(cuMemsetD8Async) F(cuMemcpyHtoD_v2)           \
  F(cuMemcpyDtoH_v2) F(cuMemcpyHtoDAsync_v2) F(cuMemcpyDtoHAsync_v2) F(cuMemcpyDtoDAsync_v2) F(cuPointerGetAttribute)  \
  F(cuStreamCreate) F(cuStreamCreateWithPriority) F(cuStreamDestroy_v2) F(cuStreamSynchronize) F(cuStreamQuery)        \
  F(cuStreamWaitEvent) F(cuEventCreate) F(cuEventRecord) F(cuEventQuery) F(cuEventSynchronize) F(cuEventDestroy_v2)    \
  F(cuEventElapsedTime) F(cuLaunchKernel) F(cuLaunchCooperativeKernel) F(cuLaunchKernelEx) F(cuLaunchHostFunc)
// clang-format on

namespace rk_double {

enum class Entry {
#define RK_DOUBLE_ENUM(name) name,
  RK_DOUBLE_ENTRIES(RK_DOUBLE_ENUM)
#undef RK_DOUBLE_ENUM
      count
};

}  // namespace rk_double
