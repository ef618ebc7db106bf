#include "module.h"

#include <utility>

#include "ringkernel/abi/device_grid.h"

namespace rk::cuda {
namespace {

constexpr std::uint64_t kPatience = 5'000'000'000;
constexpr std::size_t kRoomForMore = 256;  // words: a device that has more fields than the host is found out

struct LayoutWord {
  const char* structure;
  const char* field;  // nullptr: of the size
  std::uint32_t value;
};

std::vector<LayoutWord> layout_words() {
  std::vector<LayoutWord> words;
#define RK_LAYOUT_FIELD(S, type, name, offset) words.push_back({#S, #name, RK_OFFSETOF(S, name)});
#define RK_LAYOUT_STRUCT(S, FIELDS)          \
  words.push_back({#S, nullptr, sizeof(S)}); \
  FIELDS(RK_LAYOUT_FIELD)
  RK_GRID_STRUCTS(RK_LAYOUT_STRUCT)
#undef RK_LAYOUT_STRUCT
#undef RK_LAYOUT_FIELD
  return words;
}

[[noreturn]] void mismatch(const std::string& image, const std::string& what) {
  throw Error("AbiMismatchError", "the device code of " + image + " does not fit this library: " + what +
                                      ". It was compiled from other headers: empty the cache of compiled kernels, or "
                                      "install the library again");
}

}  // namespace

std::vector<std::uint32_t> grid_layout() {
  std::vector<std::uint32_t> values;
  for (const LayoutWord& word : layout_words()) values.push_back(word.value);
  return values;
}

void check_layout(std::span<const std::uint32_t> reported, const std::string& image) {
  const std::vector<LayoutWord> words = layout_words();
  if (reported.size() < words.size()) mismatch(image, "its report of sizes and offsets is too short");
  for (std::size_t at = 0; at < words.size(); ++at) {
    if (reported[at] == words[at].value) continue;
    const std::string name = words[at].field == nullptr
                                 ? std::string("the size of ") + words[at].structure
                                 : std::string("the offset of ") + words[at].structure + "." + words[at].field;
    mismatch(image,
             name + " is " + std::to_string(reported[at]) + " there and " + std::to_string(words[at].value) + " here");
  }
  for (std::size_t at = words.size(); at < reported.size(); ++at) {
    if (reported[at] != 0) mismatch(image, "it has more structs or fields");
  }
}

std::uint32_t Function::blocks_per_sm(std::uint32_t block_size, std::size_t shared_bytes) const {
  int blocks = 0;
  device_->call("asking how many blocks of " + name_ + " fit on a multiprocessor", device_->api().occupancy, &blocks,
                handle_, block_size, shared_bytes);
  return blocks < 0 ? 0 : static_cast<std::uint32_t>(blocks);
}

void Function::allow_shared(std::size_t bytes) {
  device_->call("asking for " + std::to_string(bytes) + " bytes of shared memory for " + name_,
                device_->api().func_set_attribute, handle_, FunctionAttribute::kMaxDynamicShared, bytes);
}

std::shared_ptr<Module> Module::load(std::shared_ptr<Heap> heap, std::span<const std::byte> image, std::string label) {
  std::shared_ptr<Module> module(new Module(std::move(heap), std::move(label)));
  module->device().throw_if_lost();
  module->device().quiet("DeviceError", "loading the device code of " + module->label_, kPatience,
                         [&] { module->load_now(image); });
  return module;
}

void Module::load_now(std::span<const std::byte> image) {
  device().call("loading the device code of " + label_, device().api().module_load_data, &handle_, image.data());
  resident_.push_back(find(kResidentName));
  compare_layout();
  // An SM's split into cache and shared memory cannot change under a resident block: the larger share fits everybody.
  // A hint: without it the driver chooses.
  constexpr int kPercent = 100;
  device().try_call(device().api().func_set_attribute, resident().handle(), FunctionAttribute::kSharedCarveout,
                    kPercent);
  run_once();
}

// The first launch of a kernel whose threads need more local memory than any before makes the driver wait for the whole
// device. A grid without a magic number ends at once.
void Module::run_once() {
  const DeviceMemory nothing = heap_->device_memory(sizeof(GridBlock));
  DeviceAddress grid = nothing.address();
  std::uint64_t lease = 0, lease_ns = 0;
  void* arguments[] = {&grid, &lease, &lease_ns};
  heap_->run(resident().handle(), arguments, "starting " + label_ + " for the first time");
}

Function Module::find(const std::string& name) {
  const DriverApi& api = device().api();
  FunctionHandle handle = nullptr;
  const std::string doing = "looking for " + name + " in the device code of " + label_;
  device().call(doing, api.module_get_function, &handle, handle_, name.c_str());
  if (api.func_load.present()) device().call(doing, api.func_load, handle);
  Function function(heap_->shared_device(), handle, name);
  function.blocks_per_sm(1);  // an older driver that loads lazily does so for this answer
  return function;
}

Function Module::function(const std::string& name) {
  std::vector<Function> found;
  device().quiet("DeviceError", "loading " + name, kPatience, [&] { found.push_back(find(name)); });
  return found.front();
}

void Module::compare_layout() {
  const std::size_t words = grid_layout().size() + kRoomForMore;
  const PinnedMemory report = heap_->pinned_memory(words * sizeof(std::uint32_t));
  DeviceAddress address = report.address();
  void* arguments[] = {&address};
  heap_->run(find(kReportLayoutName).handle(), arguments, "comparing the layouts of " + label_);
  check_layout({report.data<std::uint32_t>(), words}, label_);
}

Module::~Module() {
  if (handle_ == nullptr) return;
  try {
    device().quiet("DeviceError", "unloading", kPatience,
                   [this] { device().try_call(device().api().module_unload, handle_); });
  } catch (const Error&) {
    // A grid runs on, and the driver would wait for it: the code stays until the process ends.
  }
}

}  // namespace rk::cuda
