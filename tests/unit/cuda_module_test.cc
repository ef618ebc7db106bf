// Loading device code, and layouts that differ.
#include <gtest/gtest.h>

#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

// Where the words of a struct begin, and what they are called.
struct Place {
  std::size_t word;
  const char* name;
};

std::vector<Place> places() {
  std::vector<Place> all;
#define RK_PLACE_FIELD(S, type, name, offset) all.push_back({all.size(), "the offset of " #S "." #name " is"});
#define RK_PLACE_STRUCT(S, FIELDS)                      \
  all.push_back({all.size(), "the size of " #S " is"}); \
  FIELDS(RK_PLACE_FIELD)
  RK_GRID_STRUCTS(RK_PLACE_STRUCT)
  return all;
}

TEST(GridLayout, IsSizeThenOffsetsOfEachStruct) {
  const std::vector<std::uint32_t> layout = grid_layout();
  EXPECT_EQ(layout.size(), places().size());
  EXPECT_EQ(layout[0], sizeof(MessageHeader));
  EXPECT_EQ(layout[1], 0u);
  EXPECT_LT(layout.back(), sizeof(GridBlock));  // the last field of the last struct
}

TEST(GridLayout, EveryDifferenceIsNamed) {
  for (const Place& place : places()) {
    std::vector<std::uint32_t> reported = grid_layout();
    ++reported[place.word];
    const std::string error = thrown_by([&] { check_layout(reported, "'echo'"); });
    EXPECT_NE(error.find("AbiMismatchError: the device code of 'echo' does not fit"), std::string::npos) << error;
    EXPECT_NE(error.find(place.name), std::string::npos) << error;
  }
}

TEST(GridLayout, AReportThatIsTooShortOrTooLongIsRefused) {
  std::vector<std::uint32_t> reported = grid_layout();
  EXPECT_EQ(thrown_by([&] { check_layout(reported, "x"); }), "");
  reported.push_back(0);
  EXPECT_EQ(thrown_by([&] { check_layout(reported, "x"); }), "");
  reported.back() = 4;
  EXPECT_NE(thrown_by([&] { check_layout(reported, "x"); }).find("it has more structs"), std::string::npos);
  reported.resize(10);
  EXPECT_NE(thrown_by([&] { check_layout(reported, "x"); }).find("too short"), std::string::npos);
}

using CudaModule = CudaTest;

TEST_F(CudaModule, IsLoadedWithItsKernels) {
  const auto heap = make_heap();
  {
    const auto module = make_module(heap);
    EXPECT_EQ(script.calls["cuLaunchKernel"], 2);  // the layout, and the resident kernel without a grid
    EXPECT_EQ(script.calls["cuFuncLoad"], 2);
    EXPECT_EQ(module->resident().name(), "rk_resident");
    EXPECT_EQ(module->resident().blocks_per_sm(128), 2u);
    EXPECT_EQ(module->function("rk_other").name(), "rk_other");
  }
  EXPECT_EQ(script.modules, 0);
  EXPECT_EQ(heap->use().pinned_used, 0u);
}

TEST_F(CudaModule, NeedsNoNewDriver) {
  DriverApi api = scripted_api();
  api.func_load.function = nullptr;
  driver = Driver::of(api);
  make_module(Heap::make(std::make_shared<Device>(*driver, 0), kSmallHeap));
  EXPECT_EQ(script.calls["cuFuncLoad"], 0);
}

TEST_F(CudaModule, OfOtherHeadersIsRefusedAndUnloaded) {
  const auto heap = make_heap();
  script.layout[0] += 4;
  const std::string error = thrown_by([&] { make_module(heap); });
  EXPECT_NE(error.find("AbiMismatchError"), std::string::npos) << error;
  EXPECT_NE(error.find("the size of MessageHeader is"), std::string::npos) << error;
  EXPECT_EQ(script.modules, 0);
}

TEST_F(CudaModule, WithoutAKernelIsRefused) {
  const auto heap = make_heap();
  const auto module = make_module(heap);
  const std::string error = thrown_by([&] { module->function("nothing"); });
  EXPECT_NE(error.find("DeviceError: looking for nothing in the device code of 'echo' failed"), std::string::npos);
}

TEST_F(CudaModule, IsNotLoadedOnADeviceThatIsLost) {
  const auto heap = make_heap();
  thrown_by([&] { heap->device().check(kIllegalAddress, "cuStreamQuery", "running"); });
  EXPECT_NE(thrown_by([&] { make_module(heap); }).find("DeviceLostError"), std::string::npos);
  EXPECT_EQ(script.calls["cuModuleLoadData"], 0);
}

}  // namespace
}  // namespace rk::cuda::test
