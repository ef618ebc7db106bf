// Our declarations of the driver's API against NVIDIA's: compiling this file is the test. Only where there is a cuda.h.
#include <cuda.h>

#include <type_traits>

#include "cuda/driver_api.h"

namespace rk::cuda {
namespace {

template <class... P, class... Q>
constexpr bool same(Entry<P...>, CUresult (*)(Q...)) {
  if constexpr (sizeof...(P) == sizeof...(Q)) {
    return ((sizeof(P) == sizeof(Q) && std::is_pointer_v<P> == std::is_pointer_v<Q>) && ...);
  }
  return false;
}

// The symbols that we look up; cuda.h may have newer ones under the same name.
#define RK_SAME(member, symbol) static_assert(same(decltype(DriverApi::member){}, decltype(&symbol){}), #symbol);
RK_SAME(init, cuInit)
RK_SAME(driver_get_version, cuDriverGetVersion)
RK_SAME(get_error_name, cuGetErrorName)
RK_SAME(get_error_string, cuGetErrorString)
RK_SAME(device_get_count, cuDeviceGetCount)
RK_SAME(device_get, cuDeviceGet)
RK_SAME(device_get_name, cuDeviceGetName)
RK_SAME(device_get_attribute, cuDeviceGetAttribute)
RK_SAME(device_total_mem, cuDeviceTotalMem_v2)
RK_SAME(device_can_access_peer, cuDeviceCanAccessPeer)
RK_SAME(primary_ctx_retain, cuDevicePrimaryCtxRetain)
RK_SAME(primary_ctx_release, cuDevicePrimaryCtxRelease_v2)
RK_SAME(ctx_set_current, cuCtxSetCurrent)
RK_SAME(ctx_get_current, cuCtxGetCurrent)
RK_SAME(ctx_get_stream_priority_range, cuCtxGetStreamPriorityRange)
RK_SAME(module_load_data, cuModuleLoadData)
RK_SAME(module_unload, cuModuleUnload)
RK_SAME(module_get_function, cuModuleGetFunction)
RK_SAME(func_set_attribute, cuFuncSetAttribute)
RK_SAME(occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor)
RK_SAME(mem_host_alloc, cuMemHostAlloc)
RK_SAME(mem_host_get_device_pointer, cuMemHostGetDevicePointer_v2)
RK_SAME(mem_free_host, cuMemFreeHost)
RK_SAME(mem_alloc, cuMemAlloc_v2)
RK_SAME(mem_free, cuMemFree_v2)
RK_SAME(memcpy_htod_async, cuMemcpyHtoDAsync_v2)
RK_SAME(memcpy_dtoh_async, cuMemcpyDtoHAsync_v2)
RK_SAME(stream_create_with_priority, cuStreamCreateWithPriority)
RK_SAME(stream_destroy, cuStreamDestroy_v2)
RK_SAME(stream_query, cuStreamQuery)
RK_SAME(launch_host_func, cuLaunchHostFunc)
RK_SAME(launch_kernel, cuLaunchKernel)
RK_SAME(launch_cooperative, cuLaunchCooperativeKernel)
#if CUDA_VERSION >= 12040
RK_SAME(func_load, cuFuncLoad)
#endif

#define RK_EQUAL(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs), #theirs);
RK_EQUAL(kSuccess, CUDA_SUCCESS)
RK_EQUAL(kInvalidValue, CUDA_ERROR_INVALID_VALUE)
RK_EQUAL(kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY)
RK_EQUAL(kNotInitialized, CUDA_ERROR_NOT_INITIALIZED)
RK_EQUAL(kDeinitialized, CUDA_ERROR_DEINITIALIZED)
RK_EQUAL(kStubLibrary, CUDA_ERROR_STUB_LIBRARY)
RK_EQUAL(kDeviceUnavailable, CUDA_ERROR_DEVICE_UNAVAILABLE)
RK_EQUAL(kNoDevice, CUDA_ERROR_NO_DEVICE)
RK_EQUAL(kInvalidDevice, CUDA_ERROR_INVALID_DEVICE)
RK_EQUAL(kDeviceNotLicensed, CUDA_ERROR_DEVICE_NOT_LICENSED)
RK_EQUAL(kInvalidImage, CUDA_ERROR_INVALID_IMAGE)
RK_EQUAL(kInvalidContext, CUDA_ERROR_INVALID_CONTEXT)
RK_EQUAL(kNoBinaryForGpu, CUDA_ERROR_NO_BINARY_FOR_GPU)
RK_EQUAL(kEccUncorrectable, CUDA_ERROR_ECC_UNCORRECTABLE)
RK_EQUAL(kNvlinkUncorrectable, CUDA_ERROR_NVLINK_UNCORRECTABLE)
RK_EQUAL(kUnsupportedPtxVersion, CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
RK_EQUAL(kOperatingSystem, CUDA_ERROR_OPERATING_SYSTEM)
RK_EQUAL(kInvalidHandle, CUDA_ERROR_INVALID_HANDLE)
RK_EQUAL(kNotFound, CUDA_ERROR_NOT_FOUND)
RK_EQUAL(kNotReady, CUDA_ERROR_NOT_READY)
RK_EQUAL(kIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS)
RK_EQUAL(kLaunchOutOfResources, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
RK_EQUAL(kLaunchTimeout, CUDA_ERROR_LAUNCH_TIMEOUT)
RK_EQUAL(kContextIsDestroyed, CUDA_ERROR_CONTEXT_IS_DESTROYED)
RK_EQUAL(kAssert, CUDA_ERROR_ASSERT)
RK_EQUAL(kHardwareStackError, CUDA_ERROR_HARDWARE_STACK_ERROR)
RK_EQUAL(kIllegalInstruction, CUDA_ERROR_ILLEGAL_INSTRUCTION)
RK_EQUAL(kMisalignedAddress, CUDA_ERROR_MISALIGNED_ADDRESS)
RK_EQUAL(kInvalidAddressSpace, CUDA_ERROR_INVALID_ADDRESS_SPACE)
RK_EQUAL(kInvalidPc, CUDA_ERROR_INVALID_PC)
RK_EQUAL(kLaunchFailed, CUDA_ERROR_LAUNCH_FAILED)
RK_EQUAL(kCooperativeLaunchTooLarge, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE)
RK_EQUAL(kNotPermitted, CUDA_ERROR_NOT_PERMITTED)
RK_EQUAL(kNotSupported, CUDA_ERROR_NOT_SUPPORTED)
RK_EQUAL(kSystemNotReady, CUDA_ERROR_SYSTEM_NOT_READY)
RK_EQUAL(kSystemDriverMismatch, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)
RK_EQUAL(kCompatNotSupportedOnDevice, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE)
RK_EQUAL(kMpsConnectionFailed, CUDA_ERROR_MPS_CONNECTION_FAILED)
RK_EQUAL(kMpsRpcFailure, CUDA_ERROR_MPS_RPC_FAILURE)
RK_EQUAL(kMpsServerNotReady, CUDA_ERROR_MPS_SERVER_NOT_READY)
RK_EQUAL(kMpsMaxClientsReached, CUDA_ERROR_MPS_MAX_CLIENTS_REACHED)
RK_EQUAL(kMpsMaxConnectionsReached, CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED)
RK_EQUAL(kMpsClientTerminated, CUDA_ERROR_MPS_CLIENT_TERMINATED)
RK_EQUAL(kUnknown, CUDA_ERROR_UNKNOWN)
#if CUDA_VERSION >= 12080
RK_EQUAL(kCallRequiresNewerDriver, CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER)
RK_EQUAL(kContained, CUDA_ERROR_CONTAINED)
#endif

RK_EQUAL(Attribute::kMaxThreadsPerBlock, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
RK_EQUAL(Attribute::kClockKhz, CU_DEVICE_ATTRIBUTE_CLOCK_RATE)
RK_EQUAL(Attribute::kSmCount, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
RK_EQUAL(Attribute::kKernelTimeout, CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT)
RK_EQUAL(Attribute::kIntegrated, CU_DEVICE_ATTRIBUTE_INTEGRATED)
RK_EQUAL(Attribute::kMapsHostMemory, CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY)
RK_EQUAL(Attribute::kPciBus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)
RK_EQUAL(Attribute::kPciDevice, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)
RK_EQUAL(Attribute::kMaxThreadsPerSm, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)
RK_EQUAL(Attribute::kUnifiedAddressing, CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)
RK_EQUAL(Attribute::kPciDomain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)
RK_EQUAL(Attribute::kComputeMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
RK_EQUAL(Attribute::kComputeMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
RK_EQUAL(Attribute::kCooperativeLaunch, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)
RK_EQUAL(Attribute::kMaxSharedPerBlock, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
RK_EQUAL(Attribute::kClusterLaunch, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)
RK_EQUAL(FunctionAttribute::kMaxDynamicShared, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
RK_EQUAL(kHostMemoryPortable, CU_MEMHOSTALLOC_PORTABLE)
RK_EQUAL(kHostMemoryMapped, CU_MEMHOSTALLOC_DEVICEMAP)
RK_EQUAL(kStreamNonBlocking, CU_STREAM_NON_BLOCKING)

}  // namespace
}  // namespace rk::cuda
