// A driver of which the test decides everything: what fails, and when a lease begins and ends.
//
// It has no kernels. What is launched waits in its stream until the test moves it on; the report of layouts is made at
// once. Copies happen at once, unless the device hangs. Each call is made under script_mutex; what the test does with
// the script itself is not, unless it takes it too.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/lease.h"
#include "ringkernel/runtime/control.h"

namespace rk::cuda::test {

// What a grid's address means here.
struct ScriptGrid {
  HostLine host{};
  DeviceLine device{};
};

struct Launch {
  ScriptGrid* grid;
  std::uint64_t lease, lease_ns;
};

struct ScriptStream {
  std::deque<Launch> launches;
  int priority = 0;
};

struct FreeChunk {
  void operator()(void* chunk) const { std::free(chunk); }
};
using Chunks = std::map<void*, std::unique_ptr<void, FreeChunk>>;

struct Script {
  std::map<std::string, Result> fails;  // by symbol: from now on
  std::map<std::string, int> calls;
  std::map<Attribute, int> attributes = {
      {Attribute::kMaxThreadsPerBlock, 1024}, {Attribute::kClockKhz, 1980000},    {Attribute::kSmCount, 4},
      {Attribute::kMapsHostMemory, 1},        {Attribute::kUnifiedAddressing, 1}, {Attribute::kComputeMajor, 9},
      {Attribute::kCooperativeLaunch, 1},     {Attribute::kPciBus, 0x17}};
  int version = 13000, devices = 1, occupancy = 2;
  bool device_hangs = false;                                   // copies do not end
  std::size_t memory = std::size_t{1} << 40, pinned = memory;  // what may be reserved
  Chunks device_chunks, pinned_chunks;
  std::vector<std::uint32_t> layout = grid_layout();
  ContextHandle context = reinterpret_cast<ContextHandle>(this);
  int contexts = 0, modules = 0;
  std::list<ScriptStream> streams;
  int disturbed = 0;               // calls that wait for the whole device, while a grid was there
  ScriptStream* leases = nullptr;  // the stream of the last cooperative launch

  Result enter(const char* symbol) {
    ++calls[symbol];
    const auto due = fails.find(symbol);
    return due == fails.end() ? kSuccess : due->second;
  }
};

inline Script* the_script = nullptr;
inline std::mutex script_mutex;
inline thread_local ContextHandle current_context = nullptr;

// The functions find the script here, and say what it says.
#define RK_SCRIPT(symbol)                        \
  const std::lock_guard one_call(script_mutex);  \
  [[maybe_unused]] Script& script = *the_script; \
  const Result due = script.enter(symbol);       \
  if (due != kSuccess) return due

// What the driver may do only on a device where nothing runs.
inline void needs_quiet(Script& script) {
  for (const ScriptStream& stream : script.streams) script.disturbed += stream.launches.empty() ? 0 : 1;
}

inline Result reserve(Chunks& chunks, std::size_t& left, void** out, std::size_t bytes) {
  if (bytes > left) return kOutOfMemory;
  left -= bytes;
  *out = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  std::memset(*out, 0xCD, bytes);
  chunks[*out].reset(*out);
  return kSuccess;
}

inline Result release(Chunks& chunks, void* chunk) { return chunks.erase(chunk) == 1 ? kSuccess : kInvalidValue; }

inline ScriptStream& stream_of(StreamHandle handle) { return *reinterpret_cast<ScriptStream*>(handle); }

inline void script_devices(DriverApi& api) {
  api.init.function = [](unsigned) -> Result {
    RK_SCRIPT("cuInit");
    return kSuccess;
  };
  api.driver_get_version.function = [](int* version) -> Result {
    RK_SCRIPT("cuDriverGetVersion");
    *version = script.version;
    return kSuccess;
  };
  api.get_error_name.function = [](Result result, const char** name) -> Result {
    *name = result == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OTHER";
    return kSuccess;
  };
  api.get_error_string.function = [](Result, const char** text) -> Result {
    *text = "as the script says";
    return kSuccess;
  };
  api.device_get_count.function = [](int* count) -> Result {
    RK_SCRIPT("cuDeviceGetCount");
    *count = script.devices;
    return kSuccess;
  };
  api.device_get.function = [](DeviceHandle* handle, int index) -> Result {
    RK_SCRIPT("cuDeviceGet");
    *handle = index;
    return kSuccess;
  };
  api.device_get_name.function = [](char* name, int size, DeviceHandle) -> Result {
    RK_SCRIPT("cuDeviceGetName");
    std::strncpy(name, "Scripted", static_cast<std::size_t>(size));
    return kSuccess;
  };
  api.device_get_attribute.function = [](int* value, Attribute attribute, DeviceHandle) -> Result {
    RK_SCRIPT("cuDeviceGetAttribute");
    *value = script.attributes[attribute];
    return kSuccess;
  };
  api.device_total_mem.function = [](std::size_t* bytes, DeviceHandle) -> Result {
    RK_SCRIPT("cuDeviceTotalMem_v2");
    *bytes = std::size_t{80} << 30;
    return kSuccess;
  };
  api.device_can_access_peer.function = [](int* can, DeviceHandle, DeviceHandle) -> Result {
    RK_SCRIPT("cuDeviceCanAccessPeer");
    *can = 1;
    return kSuccess;
  };
}

inline void script_contexts(DriverApi& api) {
  api.primary_ctx_retain.function = [](ContextHandle* context, DeviceHandle) -> Result {
    RK_SCRIPT("cuDevicePrimaryCtxRetain");
    ++script.contexts;
    *context = script.context;
    return kSuccess;
  };
  api.primary_ctx_release.function = [](DeviceHandle) -> Result {
    RK_SCRIPT("cuDevicePrimaryCtxRelease_v2");
    --script.contexts;
    return kSuccess;
  };
  api.ctx_set_current.function = [](ContextHandle context) -> Result {
    RK_SCRIPT("cuCtxSetCurrent");
    current_context = context;
    return kSuccess;
  };
  api.ctx_get_current.function = [](ContextHandle* context) -> Result {
    RK_SCRIPT("cuCtxGetCurrent");
    *context = current_context;
    return kSuccess;
  };
  api.ctx_get_stream_priority_range.function = [](int* lowest, int* highest) -> Result {
    RK_SCRIPT("cuCtxGetStreamPriorityRange");
    *lowest = 0;
    *highest = -5;
    return kSuccess;
  };
}

inline void script_memory(DriverApi& api) {
  api.mem_alloc.function = [](DeviceAddress* address, std::size_t bytes) -> Result {
    RK_SCRIPT("cuMemAlloc_v2");
    needs_quiet(script);
    if (current_context != script.context) return kInvalidContext;
    void* chunk = nullptr;
    const Result result = reserve(script.device_chunks, script.memory, &chunk, bytes);
    *address = reinterpret_cast<DeviceAddress>(chunk);
    return result;
  };
  api.mem_free.function = [](DeviceAddress address) -> Result {
    RK_SCRIPT("cuMemFree_v2");
    needs_quiet(script);
    return release(script.device_chunks, reinterpret_cast<void*>(address));
  };
  api.mem_host_alloc.function = [](void** host, std::size_t bytes, unsigned flags) -> Result {
    RK_SCRIPT("cuMemHostAlloc");
    needs_quiet(script);
    EXPECT_EQ(flags, kHostMemoryMapped | kHostMemoryPortable);
    return reserve(script.pinned_chunks, script.pinned, host, bytes);
  };
  api.mem_host_get_device_pointer.function = [](DeviceAddress* address, void* host, unsigned) -> Result {
    RK_SCRIPT("cuMemHostGetDevicePointer_v2");
    *address = reinterpret_cast<DeviceAddress>(host);
    return kSuccess;
  };
  api.mem_free_host.function = [](void* host) -> Result {
    RK_SCRIPT("cuMemFreeHost");
    needs_quiet(script);
    return release(script.pinned_chunks, host);
  };
  api.memcpy_htod_async.function = [](DeviceAddress to, const void* from, std::size_t bytes, StreamHandle) -> Result {
    RK_SCRIPT("cuMemcpyHtoDAsync_v2");
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return kSuccess;
  };
  api.memcpy_dtoh_async.function = [](void* to, DeviceAddress from, std::size_t bytes, StreamHandle) -> Result {
    RK_SCRIPT("cuMemcpyDtoHAsync_v2");
    std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return kSuccess;
  };
}

inline void script_modules(DriverApi& api) {
  api.module_load_data.function = [](ModuleHandle* module, const void*) -> Result {
    RK_SCRIPT("cuModuleLoadData");
    needs_quiet(script);
    ++script.modules;
    *module = reinterpret_cast<ModuleHandle>(&script.modules);
    return kSuccess;
  };
  api.module_unload.function = [](ModuleHandle) -> Result {
    RK_SCRIPT("cuModuleUnload");
    needs_quiet(script);
    --script.modules;
    return kSuccess;
  };
  api.module_get_function.function = [](FunctionHandle* function, ModuleHandle, const char* name) -> Result {
    RK_SCRIPT("cuModuleGetFunction");
    *function = reinterpret_cast<FunctionHandle>(const_cast<char*>(name));
    return std::string(name).starts_with("rk_") ? kSuccess : kNotFound;
  };
  api.func_set_attribute.function = [](FunctionHandle, FunctionAttribute, int) -> Result {
    RK_SCRIPT("cuFuncSetAttribute");
    return kSuccess;
  };
  api.func_load.function = [](FunctionHandle) -> Result {
    RK_SCRIPT("cuFuncLoad");
    needs_quiet(script);
    return kSuccess;
  };
  api.occupancy.function = [](int* blocks, FunctionHandle, int, std::size_t) -> Result {
    RK_SCRIPT("cuOccupancyMaxActiveBlocksPerMultiprocessor");
    *blocks = script.occupancy;
    return kSuccess;
  };
}

inline Result enqueue_lease(Script& script, StreamHandle stream, void** arguments) {
  const auto word = [arguments](int at) { return *static_cast<std::uint64_t*>(arguments[at]); };
  script.leases = &stream_of(stream);
  script.leases->launches.push_back({reinterpret_cast<ScriptGrid*>(word(0)), word(1), word(2)});
  return kSuccess;
}

inline void script_streams(DriverApi& api) {
  api.stream_create_with_priority.function = [](StreamHandle* stream, unsigned flags, int priority) -> Result {
    RK_SCRIPT("cuStreamCreateWithPriority");
    EXPECT_EQ(flags, kStreamNonBlocking);
    script.streams.push_back({{}, priority});
    *stream = reinterpret_cast<StreamHandle>(&script.streams.back());
    return kSuccess;
  };
  api.stream_destroy.function = [](StreamHandle stream) -> Result {
    RK_SCRIPT("cuStreamDestroy_v2");
    script.streams.remove_if([stream](const ScriptStream& one) { return &one == &stream_of(stream); });
    return kSuccess;
  };
  api.stream_query.function = [](StreamHandle stream) -> Result {
    RK_SCRIPT("cuStreamQuery");
    const bool hangs = script.device_hangs && stream_of(stream).priority < 0;
    return stream_of(stream).launches.empty() && !hangs ? kSuccess : kNotReady;
  };
  api.launch_kernel.function = [](FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                  StreamHandle stream, void** arguments, void**) -> Result {
    RK_SCRIPT("cuLaunchKernel");
    if (stream_of(stream).priority == 0) return enqueue_lease(script, stream, arguments);
    auto* report = reinterpret_cast<std::uint32_t*>(*static_cast<std::uint64_t*>(arguments[0]));
    std::copy(script.layout.begin(), script.layout.end(), report);
    return kSuccess;
  };
  api.launch_cooperative.function = [](FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                       unsigned, StreamHandle stream, void** arguments) -> Result {
    RK_SCRIPT("cuLaunchCooperativeKernel");
    return enqueue_lease(script, stream, arguments);
  };
}

inline void script_pointers(DriverApi& api) {
  api.pointer_get_attribute.function = [](void*, PointerAttribute, DeviceAddress) -> Result {
    RK_SCRIPT("cuPointerGetAttribute");
    return kInvalidValue;  // it knows no memory of others
  };
}

inline DriverApi scripted_api() {
  DriverApi api;
#define RK_SCRIPT_NAME(member, symbol, ...) api.member.name = symbol;
  RK_CUDA_REQUIRED(RK_SCRIPT_NAME)
  RK_CUDA_OPTIONAL(RK_SCRIPT_NAME)
#undef RK_SCRIPT_NAME
  script_devices(api);
  script_contexts(api);
  script_memory(api);
  script_modules(api);
  script_streams(api);
  script_pointers(api);
  return api;
}

constexpr HeapOptions kSmallHeap = {
    .device_chunk = 4096, .pinned_chunk = 4096, .grow_patience_ns = 20'000'000, .copy_patience_ns = 20'000'000};

// A test with a script of its own.
class CudaTest : public ::testing::Test {
 protected:
  CudaTest() { the_script = &script; }
  ~CudaTest() override {
    the_script = nullptr;
    current_context = nullptr;
  }

  // The driver has to outlive its devices.
  std::shared_ptr<Device> make_device() {
    driver = Driver::of(scripted_api());
    return std::make_shared<Device>(*driver, 0);
  }
  std::shared_ptr<Heap> make_heap(HeapOptions options = kSmallHeap) { return Heap::make(make_device(), options); }
  static std::shared_ptr<Module> make_module(const std::shared_ptr<Heap>& heap) {
    return Module::load(heap, {}, "'echo'");
  }

  Script script;
  std::unique_ptr<const Driver> driver;
};

// What it throws: "Kind: text"; "" for nothing.
template <class Work>
std::string thrown_by(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    return std::string(error.kind()) + ": " + error.what();
  }
  return "";
}

}  // namespace rk::cuda::test
