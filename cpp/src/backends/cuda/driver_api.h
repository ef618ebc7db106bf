// The part of NVIDIA's driver API that is used here, declared from its documentation: nothing of CUDA is needed to
// compile. The numbers are frozen by NVIDIA; a test compares them with cuda.h where there is one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rk::cuda {

using DeviceHandle = int;
using DeviceAddress = unsigned long long;
using ContextHandle = struct ContextTag*;
using ModuleHandle = struct ModuleTag*;
using FunctionHandle = struct FunctionTag*;
using StreamHandle = struct StreamTag*;

// What every call returns: a CUresult.
using Result = int;
enum : Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kDeinitialized = 4,
  kStubLibrary = 34,
  kCallRequiresNewerDriver = 36,
  kDeviceUnavailable = 46,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kDeviceNotLicensed = 102,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kEccUncorrectable = 214,
  kNvlinkUncorrectable = 220,
  kUnsupportedPtxVersion = 222,
  kContained = 226,
  kOperatingSystem = 304,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kLaunchTimeout = 702,
  kContextIsDestroyed = 709,
  kAssert = 710,
  kHardwareStackError = 714,
  kIllegalInstruction = 715,
  kMisalignedAddress = 716,
  kInvalidAddressSpace = 717,
  kInvalidPc = 718,
  kLaunchFailed = 719,
  kCooperativeLaunchTooLarge = 720,
  kNotPermitted = 800,
  kNotSupported = 801,
  kSystemNotReady = 802,
  kSystemDriverMismatch = 803,
  kCompatNotSupportedOnDevice = 804,
  kMpsConnectionFailed = 805,
  kMpsRpcFailure = 806,
  kMpsServerNotReady = 807,
  kMpsMaxClientsReached = 808,
  kMpsMaxConnectionsReached = 809,
  kMpsClientTerminated = 810,
  kUnknown = 999,
};

// What can be asked of a device: CUdevice_attribute.
enum class Attribute : int {
  kMaxThreadsPerBlock = 1,
  kClockKhz = 13,
  kSmCount = 16,
  kKernelTimeout = 17,
  kIntegrated = 18,
  kMapsHostMemory = 19,
  kPciBus = 33,
  kPciDevice = 34,
  kMaxThreadsPerSm = 39,
  kUnifiedAddressing = 41,
  kPciDomain = 50,
  kComputeMajor = 75,
  kComputeMinor = 76,
  kConcurrentManagedAccess = 89,
  kCooperativeLaunch = 95,
  kMaxSharedPerBlock = 97,
  kClusterLaunch = 120,
};

// What can be asked of an address: CUpointer_attribute.
enum class PointerAttribute : int {
  kMemoryType = 2,  // unsigned: 1 of the host, 2 of a device
  kDevicePointer = 3,
  kIsManaged = 8,
  kDeviceOrdinal = 9,
};

enum class FunctionAttribute : int { kMaxDynamicShared = 8, kSharedCarveout = 9 };

constexpr unsigned kHostMemoryPortable = 1, kHostMemoryMapped = 2;  // of mem_host_alloc
// What a stream calls on a thread of the driver.
using HostFunction = void (*)(void*);

constexpr unsigned kStreamNonBlocking = 1;  // does not wait for the legacy default stream

// One function of the driver. `present` is false for an optional one that this driver has not.
template <class... P>
struct Entry {
  Result (*function)(P...) = nullptr;
  const char* name = "";

  bool present() const { return function != nullptr; }
  Result operator()(P... values) const { return function(values...); }
};

// F(member, symbol, parameters ...). Symbols carry the version that the parameters belong to.
#define RK_CUDA_REQUIRED(F)                                                                                            \
  F(init, "cuInit", unsigned)                                                                                          \
  F(driver_get_version, "cuDriverGetVersion", int*)                                                                    \
  F(get_error_name, "cuGetErrorName", Result, const char**)                                                            \
  F(get_error_string, "cuGetErrorString", Result, const char**)                                                        \
  F(device_get_count, "cuDeviceGetCount", int*)                                                                        \
  F(device_get, "cuDeviceGet", DeviceHandle*, int)                                                                     \
  F(device_get_name, "cuDeviceGetName", char*, int, DeviceHandle)                                                      \
  F(device_get_attribute, "cuDeviceGetAttribute", int*, Attribute, DeviceHandle)                                       \
  F(device_total_mem, "cuDeviceTotalMem_v2", std::size_t*, DeviceHandle)                                               \
  F(device_can_access_peer, "cuDeviceCanAccessPeer", int*, DeviceHandle, DeviceHandle)                                 \
  F(primary_ctx_retain, "cuDevicePrimaryCtxRetain", ContextHandle*, DeviceHandle)                                      \
  F(primary_ctx_release, "cuDevicePrimaryCtxRelease_v2", DeviceHandle)                                                 \
  F(ctx_set_current, "cuCtxSetCurrent", ContextHandle)                                                                 \
  F(ctx_get_current, "cuCtxGetCurrent", ContextHandle*)                                                                \
  F(ctx_get_stream_priority_range, "cuCtxGetStreamPriorityRange", int*, int*)                                          \
  F(module_load_data, "cuModuleLoadData", ModuleHandle*, const void*)                                                  \
  F(module_unload, "cuModuleUnload", ModuleHandle)                                                                     \
  F(module_get_function, "cuModuleGetFunction", FunctionHandle*, ModuleHandle, const char*)                            \
  F(func_set_attribute, "cuFuncSetAttribute", FunctionHandle, FunctionAttribute, int)                                  \
  F(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor", int*, FunctionHandle, int, std::size_t)                  \
  F(mem_host_alloc, "cuMemHostAlloc", void**, std::size_t, unsigned)                                                   \
  F(mem_host_get_device_pointer, "cuMemHostGetDevicePointer_v2", DeviceAddress*, void*, unsigned)                      \
  F(mem_free_host, "cuMemFreeHost", void*)                                                                             \
  F(mem_alloc, "cuMemAlloc_v2", DeviceAddress*, std::size_t)                                                           \
  F(mem_free, "cuMemFree_v2", DeviceAddress)                                                                           \
  F(memcpy_htod_async, "cuMemcpyHtoDAsync_v2", DeviceAddress, const void*, std::size_t, StreamHandle)                  \
  F(memcpy_dtoh_async, "cuMemcpyDtoHAsync_v2", void*, DeviceAddress, std::size_t, StreamHandle)                        \
  F(pointer_get_attribute, "cuPointerGetAttribute", void*, PointerAttribute, DeviceAddress)                            \
  F(stream_create_with_priority, "cuStreamCreateWithPriority", StreamHandle*, unsigned, int)                           \
  F(stream_destroy, "cuStreamDestroy_v2", StreamHandle)                                                                \
  F(stream_query, "cuStreamQuery", StreamHandle)                                                                       \
  F(launch_host_func, "cuLaunchHostFunc", StreamHandle, HostFunction, void*)                                           \
  F(launch_kernel, "cuLaunchKernel", FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,       \
    unsigned, StreamHandle, void**, void**)                                                                            \
  F(launch_cooperative, "cuLaunchCooperativeKernel", FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, \
    unsigned, unsigned, StreamHandle, void**)

#define RK_CUDA_OPTIONAL(F) F(func_load, "cuFuncLoad", FunctionHandle)  // since 12.4

#define RK_CUDA_MEMBER(member, symbol, ...) Entry<__VA_ARGS__> member;
struct DriverApi {
  RK_CUDA_REQUIRED(RK_CUDA_MEMBER)
  RK_CUDA_OPTIONAL(RK_CUDA_MEMBER)
};
#undef RK_CUDA_MEMBER

}  // namespace rk::cuda
