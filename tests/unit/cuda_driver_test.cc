// The driver and its devices: what is refused, and what each failure becomes.
#include <gtest/gtest.h>

#include <utility>

#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(CudaLibrary, ThatIsNotThereIsNamed) {
  const std::string error = thrown_by([] { Driver::open("/nowhere/libcuda.so.1"); });
  EXPECT_TRUE(has(error, "BackendUnavailableError: no CUDA driver found: /nowhere/libcuda.so.1")) << error;
  EXPECT_TRUE(has(error, "Install an NVIDIA driver")) << error;
}

TEST(CudaLibrary, ThatIsNoDriverIsRefused) {
  const std::string error = thrown_by([] { Driver::open("libm.so.6"); });
  EXPECT_TRUE(has(error, "BackendUnavailableError")) << error;
  EXPECT_TRUE(has(error, "it has no cuInit, cuDriverGetVersion")) << error;
  EXPECT_FALSE(has(error, "cuFuncLoad")) << error;
}

using CudaDriver = CudaTest;

TEST_F(CudaDriver, ThatIsTooOldSaysFoundAndNeeded) {
  script.version = 11080;
  const std::string error = thrown_by([] { Driver::of(scripted_api()); });
  EXPECT_TRUE(has(error, "BackendUnavailableError")) << error;
  EXPECT_TRUE(has(error, "found one for CUDA 11.8, needed is 12.0 or newer")) << error;
  EXPECT_EQ(script.calls["cuInit"], 0);
}

TEST_F(CudaDriver, CanBeOpenedAfterAFailedTry) {
  script.fails["cuInit"] = kNoDevice;
  const std::string error = thrown_by([] { Driver::of(scripted_api()); });
  EXPECT_TRUE(has(error, "BackendUnavailableError")) << error;
  EXPECT_TRUE(has(error, "CUDA_VISIBLE_DEVICES")) << error;
  script.fails.clear();
  EXPECT_EQ(Driver::of(scripted_api())->version(), 13000);
}

TEST_F(CudaDriver, LoadsModulesEagerlyUnlessTold) {
  unsetenv("CUDA_MODULE_LOADING");
  Driver::of(scripted_api());
  EXPECT_STREQ(std::getenv("CUDA_MODULE_LOADING"), "EAGER");
  setenv("CUDA_MODULE_LOADING", "LAZY", 1);
  Driver::of(scripted_api());
  EXPECT_STREQ(std::getenv("CUDA_MODULE_LOADING"), "LAZY");
  unsetenv("CUDA_MODULE_LOADING");
}

TEST(CudaResults, HaveAKindAndTheUsersNextStep) {
  const std::map<Result, std::string> kinds = {{kOutOfMemory, "DeviceMemoryError"},
                                               {kNotInitialized, "BackendUnavailableError"},
                                               {kNoDevice, "BackendUnavailableError"},
                                               {kDeviceUnavailable, "BackendUnavailableError"},
                                               {kCooperativeLaunchTooLarge, "InsufficientSmsError"},
                                               {kLaunchOutOfResources, "InsufficientSmsError"},
                                               {kIllegalAddress, "DeviceLostError"},
                                               {kLaunchFailed, "DeviceLostError"},
                                               {kEccUncorrectable, "DeviceLostError"},
                                               {kLaunchTimeout, "DeviceLostError"},
                                               {kInvalidImage, "DeviceError"},
                                               {kNotSupported, "DeviceError"},
                                               {12345, "DeviceError"}};
  for (const auto& [result, kind] : kinds) {
    EXPECT_EQ(kind_of(result), kind) << result;
    EXPECT_EQ(is_sticky(result), kind == "DeviceLostError") << result;
    if (result != 12345) {
      EXPECT_STRNE(advice_for(result), "") << result;
    }
  }
}

using CudaDevice = CudaTest;

TEST_F(CudaDevice, SaysWhatItIs) {
  const auto device = make_device();
  EXPECT_EQ(device->arch(), "sm_90");
  EXPECT_EQ(device->traits().sm_count, 4u);
  EXPECT_EQ(device->description(), "cuda:0 Scripted, sm_90, 4 SMs, 81920 MiB, driver for CUDA 13.0, PCI 0000:17:00.0");
}

TEST_F(CudaDevice, ReleasesItsContext) {
  make_device().reset();
  EXPECT_EQ(script.calls["cuDevicePrimaryCtxRetain"], 1);
  EXPECT_EQ(script.contexts, 0);
}

TEST_F(CudaDevice, LeavesTheContextOfTheCallerAsItWas) {
  auto* const other = reinterpret_cast<ContextHandle>(&driver);
  current_context = other;
  const auto heap = make_heap();
  EXPECT_EQ(current_context, other);
  EXPECT_EQ(script.device_chunks.size(), 1u);  // which the script gives in the right context only
}

TEST_F(CudaDevice, ThatDoesNotExistIsRefused) {
  driver = Driver::of(scripted_api());
  for (const int index : {-1, 1}) {
    const std::string error = thrown_by([&] { Device(*driver, index); });
    EXPECT_TRUE(has(error, "BackendUnavailableError: there is no CUDA device " + std::to_string(index))) << error;
    EXPECT_TRUE(has(error, "shows 1 to this process")) << error;
  }
}

TEST_F(CudaDevice, ThatLacksWhatIsNeededIsRefused) {
  const std::map<Attribute, std::string> needed = {{Attribute::kComputeMajor, "found compute capability 0.0"},
                                                   {Attribute::kCooperativeLaunch, "cooperative"},
                                                   {Attribute::kMapsHostMemory, "map memory"}};
  for (const auto& [attribute, text] : needed) {
    const int before = std::exchange(script.attributes[attribute], 0);
    const std::string error = thrown_by([&] { make_device(); });
    EXPECT_TRUE(has(error, "BackendUnavailableError") && has(error, text)) << error;
    script.attributes[attribute] = before;
  }
  script.attributes[Attribute::kComputeMajor] = 7;
  EXPECT_TRUE(has(thrown_by([&] { make_device(); }), "found compute capability 7.0, needed is 7.5"));
  script.attributes[Attribute::kComputeMinor] = 5;
  EXPECT_EQ(make_device()->arch(), "sm_75");
}

TEST_F(CudaDevice, StaysLostAfterAStickyError) {
  const auto device = make_device();
  EXPECT_FALSE(device->lost());
  const std::string error = thrown_by([&] { device->check(kIllegalAddress, "cuStreamQuery", "running"); });
  EXPECT_TRUE(has(error, "DeviceLostError: running failed: cuStreamQuery says CUDA_ERROR_OTHER (700")) << error;
  EXPECT_TRUE(device->lost());
  thrown_by([&] { device->check(kEccUncorrectable, "cuMemAlloc_v2", "something later"); });
  EXPECT_TRUE(has(device->why_lost(), "running failed"));
  EXPECT_TRUE(has(thrown_by([&] { device->throw_if_lost(); }), "CUDA device 0 is lost: running failed"));
}

TEST_F(CudaDevice, IsNotLostByAnOrdinaryFailure) {
  const auto device = make_device();
  EXPECT_TRUE(has(thrown_by([&] { device->check(kOutOfMemory, "cuMemAlloc_v2", "x"); }), "DeviceMemoryError"));
  EXPECT_TRUE(has(thrown_by([&] { device->check(kInvalidValue, "cuMemAlloc_v2", "x"); }), "DeviceError"));
  EXPECT_FALSE(device->lost());
}

// Whatever fails, and however, comes out as the error of that result, which names the entry point.
struct Step {
  const char* symbol;
  bool only_unavailable = false;  // nothing else can be meant
};
constexpr Step kSteps[] = {{"cuDriverGetVersion", true},
                           {"cuInit", true},
                           {"cuDeviceGetCount"},
                           {"cuDeviceGet"},
                           {"cuDeviceGetName"},
                           {"cuDeviceGetAttribute"},
                           {"cuDeviceTotalMem_v2"},
                           {"cuDevicePrimaryCtxRetain"},
                           {"cuCtxGetStreamPriorityRange"},
                           {"cuStreamCreateWithPriority"},
                           {"cuMemAlloc_v2"},
                           {"cuMemHostAlloc"},
                           {"cuModuleLoadData"},
                           {"cuModuleGetFunction"},
                           {"cuFuncLoad"},
                           {"cuOccupancyMaxActiveBlocksPerMultiprocessor"},
                           {"cuMemcpyHtoDAsync_v2"},
                           {"cuMemcpyDtoHAsync_v2"},
                           {"cuStreamQuery"},
                           {"cuLaunchKernel"},
                           {"cuLaunchCooperativeKernel"}};

using CudaFailures = CudaTest;

TEST_F(CudaFailures, OfEveryEntryPointAreTyped) {
  const auto everything = [this] {
    const auto heap = make_heap();
    const auto module = make_module(heap);
    const DeviceMemory memory = heap->device_memory(16);
    std::uint64_t word = 0;
    heap->read(&word, memory.address(), sizeof word);
    ScriptGrid grid;
    LeaseSpec spec;
    spec.resident = &module->resident();
    spec.grid = reinterpret_cast<DeviceAddress>(&grid);
    spec.host_line = &grid.host;
    spec.device_line = &grid.device;
    spec.blocks = 2;
    LeaseRunner runner(heap->shared_device(), spec);
    runner.want(true);
    runner.tick();
  };
  for (const Step& step : kSteps) {
    for (const Result result : {kIllegalAddress, kOutOfMemory, kNotPermitted, kDeviceUnavailable}) {
      script = Script{};
      script.fails[step.symbol] = result;
      const std::string error = thrown_by(everything);
      const std::string kind = step.only_unavailable ? "BackendUnavailableError" : kind_of(result);
      EXPECT_TRUE(has(error, kind + ": ")) << step.symbol << " " << result << ": " << error;
      EXPECT_TRUE(has(error, std::to_string(result) + ": as the script says)")) << error;
      EXPECT_TRUE(has(error, step.symbol) || step.only_unavailable) << step.symbol << ": " << error;
    }
  }
}

TEST_F(CudaFailures, OfTheContextShowInTheCallThatFollows) {
  const auto device = make_device();
  script.fails["cuCtxSetCurrent"] = kInvalidContext;
  const std::string error = thrown_by([&] { Heap::make(device, kSmallHeap); });
  EXPECT_TRUE(has(error, "DeviceLostError")) << error;
}

}  // namespace
}  // namespace rk::cuda::test
