// A double of libcuda.so.1: modules and functions.
#include "module.h"
#include "stream.h"
#include "world.h"

namespace rk = rk_double;
using rk::Result;
using rk::world;

namespace {

rk::Handles<rk::Module>& modules() {
  static auto* made = new rk::Handles<rk::Module>;
  return *made;
}

// As of a CUBIN: the same major number, and no newer minor one.
bool runs_on(int arch, int compute) { return arch == 0 || (arch / 10 == compute / 10 && arch <= compute); }

Result load(void** module, const void* image) {
  int arch = 0;
  auto library = rk::Library::load(image, arch);
  if (library == nullptr) return rk::kInvalidImage;
  if (!runs_on(arch, world().config.compute)) return rk::kNoBinary;
  auto made = std::make_shared<rk::Module>();
  made->library = std::move(library);
  *module = modules().add(std::move(made));
  world().count("modules", 1);
  return rk::kOk;
}

}  // namespace

std::shared_ptr<rk::Function> rk::function_of(void* handle) {
  for (const auto& [module, one] : modules().all()) {
    const std::lock_guard lock(one->mutex);
    for (const auto& [name, function] : one->functions) {
      if (function.get() == handle) return function;
    }
  }
  return nullptr;
}

RK_API Result cuModuleLoadData(void** module, const void* image) {
  RK_ENTER(cuModuleLoadData, kContext);
  return load(module, image);
}
RK_API Result cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
  RK_ENTER(cuModuleLoadDataEx, kContext);
  return load(module, image);
}
RK_API Result cuModuleUnload(void* handle) {
  RK_ENTER(cuModuleUnload, kContext);
  if (modules().find(handle) == nullptr) return rk::kInvalidHandle;
  if (world().config.sync) rk::current_device->wait_without_grids();
  modules().take(handle);
  world().count("modules", -1);
  return rk::kOk;
}
RK_API Result cuModuleGetFunction(void** out, void* handle, const char* name) {
  RK_ENTER(cuModuleGetFunction, kContext);
  const auto module = modules().find(handle);
  if (module == nullptr) return rk::kInvalidHandle;
  const std::string text = name;
  auto* run = reinterpret_cast<rk::Run>(module->library->find("rk_double_run_" + text));
  auto* sizes = reinterpret_cast<int (*)(int*)>(module->library->find("rk_double_sizes_" + text));
  if (run == nullptr || sizes == nullptr) return rk::kNotFound;
  const std::lock_guard lock(module->mutex);
  auto& function = module->functions[text];
  if (function == nullptr) function.reset(new rk::Function{module->library, run, sizes});
  *out = function.get();
  return rk::kOk;
}
RK_API Result cuModuleGetGlobal_v2(std::uintptr_t* address, std::size_t* bytes, void* handle, const char* name) {
  RK_ENTER(cuModuleGetGlobal_v2, kContext);
  const auto module = modules().find(handle);
  if (module == nullptr) return rk::kInvalidHandle;
  std::size_t size = 0;
  void* found = module->library->variable(name, size);
  if (found == nullptr) return rk::kNotFound;
  if (address != nullptr) *address = reinterpret_cast<std::uintptr_t>(found);
  if (bytes != nullptr) *bytes = size;
  return rk::kOk;
}

// By the numbers of CUfunction_attribute. What only a real compiler knows is small and plausible.
RK_API Result cuFuncGetAttribute(int* value, int attribute, void* handle) {
  RK_ENTER(cuFuncGetAttribute, kContext);
  const auto function = rk::function_of(handle);
  if (function == nullptr) return rk::kInvalidHandle;
  const int compute = world().config.compute;
  const int values[] = {rk::kMaxThreads, 1024, 0, 0, 32, compute, compute, 0, function->max_dynamic};
  if (attribute < 0 || attribute > 8) return rk::kInvalidValue;
  *value = values[attribute];
  return rk::kOk;
}
RK_API Result cuFuncSetAttribute(void* handle, int attribute, int value) {
  RK_ENTER(cuFuncSetAttribute, kContext);
  const auto function = rk::function_of(handle);
  if (function == nullptr) return rk::kInvalidHandle;
  if (attribute != 8 && attribute != 9) return rk::kInvalidValue;
  if (value < 0 || static_cast<std::size_t>(value) > rk::kMostShared) return rk::kInvalidValue;
  if (attribute == 8) function->max_dynamic = value;
  return rk::kOk;
}
RK_API Result cuFuncLoad(void* handle) {
  RK_ENTER(cuFuncLoad, kContext);
  return rk::function_of(handle) != nullptr ? rk::kOk : rk::kInvalidHandle;
}
RK_API Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* handle, int threads, std::size_t shared) {
  RK_ENTER(cuOccupancyMaxActiveBlocksPerMultiprocessor, kContext);
  if (rk::function_of(handle) == nullptr) return rk::kInvalidHandle;
  *blocks = rk::current_device->occupancy(threads, shared);
  return rk::kOk;
}
