// A double of libcuda.so.1: the driver itself, devices, contexts.
//
// Streams are threads, memory is the process's, grids run on threads of the CPU. It proves logic, nothing about a GPU's
// memory model, co-residency or speed.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "stream.h"
#include "world.h"

namespace rk = rk_double;
using rk::Device;
using rk::device_of;
using rk::Result;
using rk::world;

namespace {

constexpr const char* kDeviceName = "CUDA double (CPU threads, not a GPU)";

// By the numbers of CUdevice_attribute.
int attribute_of(const Device& device, int attribute) {
  const rk::Config& config = device.config;
  static const std::map<int, int> fixed{
      {1, rk::kMaxThreads},
      {2, 1024},
      {3, 1024},
      {4, 64},
      {5, 2147483647},
      {6, 65535},
      {7, 65535},
      {8, rk::kStaticShared},
      {9, 65536},
      {10, 32},
      {12, 65536},
      {13, 1980000},
      {15, 1},
      {18, 0},
      {19, 1},
      {31, 1},
      {33, 0x17},
      {36, 1},
      {37, 64},
      {38, 1 << 25},
      {39, rk::kThreadsPerSm},
      {41, 1},
      {50, 0},
      {78, 1},
      {81, rk::kMostShared + 1024},
      {82, 65536},
      {83, 0},
      {84, 0},
      {88, 0},
      {89, 0},
      {95, 1},
      {97, rk::kMostShared},
      {100, 0},
      {120, 0},
  };
  switch (attribute) {
    case 16:
      return config.sms;
    case 17:
      return config.kernel_timeout ? 1 : 0;
    case 34:
      return device.slot;
    case 75:
      return config.compute / 10;
    case 76:
      return config.compute % 10;
    case 106:
      return config.blocks_per_sm;
    default:
      break;
  }
  const auto found = fixed.find(attribute);
  return found != fixed.end() ? found->second : 0;
}

}  // namespace

RK_API Result cuInit(unsigned flags) {
  RK_ENTER(cuInit, kNothing);
  if (flags != 0) return rk::kInvalidValue;
  if (world().devices.empty()) return rk::kNoDevice;
  const std::lock_guard lock(world().mutex);
  world().initialised = true;
  return rk::kOk;
}

RK_API Result cuDriverGetVersion(int* version) {
  RK_ENTER(cuDriverGetVersion, kNothing);
  *version = world().config.driver;
  return rk::kOk;
}

RK_API Result cuGetErrorName(Result result, const char** name) {
  RK_ENTER(cuGetErrorName, kNothing);
  const auto found = rk::result_texts().find(result);
  const bool known = found != rk::result_texts().end();
  *name = known ? found->second.name : nullptr;
  return known ? rk::kOk : rk::kInvalidValue;
}

RK_API Result cuGetErrorString(Result result, const char** text) {
  RK_ENTER(cuGetErrorString, kNothing);
  const auto found = rk::result_texts().find(result);
  const bool known = found != rk::result_texts().end();
  *text = known ? found->second.meaning : nullptr;
  return known ? rk::kOk : rk::kInvalidValue;
}

// Names come without a version here; the newest one is meant.
RK_API Result cuGetProcAddress_v2(const char* symbol, void** function, int version, std::uint64_t, int* status) {
  RK_ENTER(cuGetProcAddress_v2, kNothing);
  *function = nullptr;
  void* self = rk::own_library();
  const std::string name = symbol;
  for (const char* suffix : {"_v2", ""}) {
    if (*function == nullptr) *function = dlsym(self, (name + suffix).c_str());
  }
  if (self != nullptr) dlclose(self);
  const bool too_new = version > world().config.driver;
  if (too_new) *function = nullptr;
  if (status != nullptr) *status = *function != nullptr ? 0 : too_new ? 2 : 1;
  return *function != nullptr ? rk::kOk : rk::kNotFound;
}

// -- devices
// -----------------------------------------------------------------------------------------------------------

RK_API Result cuDeviceGetCount(int* number) {
  RK_ENTER(cuDeviceGetCount, kInit);
  *number = static_cast<int>(world().devices.size());
  return rk::kOk;
}

RK_API Result cuDeviceGet(int* device, int index) {
  RK_ENTER(cuDeviceGet, kInit);
  if (device_of(index) == nullptr) return rk::kInvalidDevice;
  *device = index;
  return rk::kOk;
}

RK_API Result cuDeviceGetName(char* name, int length, int device) {
  RK_ENTER(cuDeviceGetName, kInit);
  if (device_of(device) == nullptr) return rk::kInvalidDevice;
  std::snprintf(name, static_cast<std::size_t>(length), "%s", kDeviceName);
  return rk::kOk;
}

RK_API Result cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  RK_ENTER(cuDeviceTotalMem_v2, kInit);
  if (device_of(device) == nullptr) return rk::kInvalidDevice;
  *bytes = world().config.memory;
  return rk::kOk;
}

RK_API Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  RK_ENTER(cuDeviceGetAttribute, kInit);
  if (device_of(device) == nullptr) return rk::kInvalidDevice;
  *value = attribute_of(*device_of(device), attribute);
  return rk::kOk;
}

namespace {
Result give_uuid(unsigned char* uuid, int device) {
  if (device_of(device) == nullptr) return rk::kInvalidDevice;
  std::memcpy(uuid, "CUDA double    ", 16);
  uuid[15] = static_cast<unsigned char>(device);
  return rk::kOk;
}
}  // namespace
RK_API Result cuDeviceGetUuid(unsigned char* uuid, int device) {
  RK_ENTER(cuDeviceGetUuid, kInit);
  return give_uuid(uuid, device);
}
RK_API Result cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  RK_ENTER(cuDeviceGetUuid_v2, kInit);
  return give_uuid(uuid, device);
}

RK_API Result cuDeviceCanAccessPeer(int* can, int device, int peer) {
  RK_ENTER(cuDeviceCanAccessPeer, kInit);
  if (device_of(device) == nullptr || device_of(peer) == nullptr) return rk::kInvalidDevice;
  *can = world().config.peer && device != peer ? 1 : 0;
  return rk::kOk;
}

// -- contexts: the primary ones only
// -----------------------------------------------------------------------------------

RK_API Result cuDevicePrimaryCtxRetain(void** context, int device) {
  RK_ENTER(cuDevicePrimaryCtxRetain, kInit);
  Device* one = device_of(device);
  if (one == nullptr) return rk::kInvalidDevice;
  ++one->retained;
  world().count("contexts", 1);
  *context = one;
  return rk::kOk;
}

RK_API Result cuDevicePrimaryCtxRelease_v2(int device) {
  RK_ENTER(cuDevicePrimaryCtxRelease_v2, kInit);
  Device* one = device_of(device);
  if (one == nullptr) return rk::kInvalidDevice;
  if (one->retained.load() == 0) return rk::kInvalidContext;
  world().count("contexts", -1);
  if (--one->retained == 0) one->context_ended();
  return rk::kOk;
}

RK_API Result cuCtxSetCurrent(void* context) {
  RK_ENTER(cuCtxSetCurrent, kInit);
  rk::current_device = static_cast<Device*>(context);
  return rk::kOk;
}

RK_API Result cuCtxGetCurrent(void** context) {
  RK_ENTER(cuCtxGetCurrent, kInit);
  *context = rk::current_device;
  return rk::kOk;
}

RK_API Result cuCtxGetDevice(int* device) {
  RK_ENTER(cuCtxGetDevice, kContext);
  *device = rk::current_device->index;
  return rk::kOk;
}

RK_API Result cuCtxSynchronize() {
  RK_ENTER(cuCtxSynchronize, kContext);
  rk::stream_of(nullptr)->wait();
  for (const auto& [handle, stream] : rk::streams().all()) {
    if (&stream->device == rk::current_device) stream->wait();
  }
  return rk::current_device->sticky();
}

RK_API Result cuCtxEnablePeerAccess(void* context, unsigned flags) {
  RK_ENTER(cuCtxEnablePeerAccess, kContext);
  if (context == nullptr || flags != 0) return rk::kInvalidValue;
  const auto* peer = static_cast<Device*>(context);
  if (!world().config.peer || peer == rk::current_device) return rk::kPeerUnsupported;
  const std::lock_guard lock(world().mutex);
  return rk::current_device->peers.insert(peer->index).second ? rk::kOk : rk::kPeerEnabled;
}

RK_API Result cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  RK_ENTER(cuCtxGetStreamPriorityRange, kContext);
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return rk::kOk;
}
