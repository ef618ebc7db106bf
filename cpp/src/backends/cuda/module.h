// Device code in a context, and whether it was made from the same headers as the host.
//
// Protection: constant after init.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory.h"

namespace rk::cuda {

constexpr const char* kResidentName = "rk_resident";
constexpr const char* kReportLayoutName = "rk_report_layout";

// What the host makes of RK_GRID_STRUCTS: of each struct its size, then the offset of each field of its list.
std::vector<std::uint32_t> grid_layout();
// Throws AbiMismatchError that names the first struct and field that differ. `image`: what reported it, for people.
void check_layout(std::span<const std::uint32_t> reported, const std::string& image);

class Module;

// A kernel of a module, which has to outlive it.
class Function {
 public:
  FunctionHandle handle() const { return handle_; }
  const std::string& name() const { return name_; }
  // Blocks of it that fit on one SM; 0: none does.
  std::uint32_t blocks_per_sm(std::uint32_t block_size, std::size_t shared_bytes = 0) const;
  // More than 48 KiB of shared memory for a block has to be asked for once.
  void allow_shared(std::size_t bytes);

 private:
  friend class Module;
  Function(std::shared_ptr<Device> device, FunctionHandle handle, std::string name)
      : device_(std::move(device)), handle_(handle), name_(std::move(name)) {}

  std::shared_ptr<Device> device_;
  FunctionHandle handle_;
  std::string name_;
};

class Module {
 public:
  // Loads a CUBIN and its resident kernel, runs rk_report_layout and compares. All in Device::quiet(). `label`: for
  // people. Throws AbiMismatchError, DeviceError, DeviceMemoryError, DeviceLostError.
  static std::shared_ptr<Module> load(std::shared_ptr<Heap> heap, std::span<const std::byte> image, std::string label);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  Function& resident() { return resident_[0]; }
  // Any other kernel of it; loaded before this returns, so it can be launched beside resident grids.
  Function function(const std::string& name);
  const std::string& label() const { return label_; }
  Device& device() { return heap_->device(); }

 private:
  Module(std::shared_ptr<Heap> heap, std::string label) : heap_(std::move(heap)), label_(std::move(label)) {}
  void load_now(std::span<const std::byte> image);
  Function find(const std::string& name);
  void compare_layout();
  void run_once();

  const std::shared_ptr<Heap> heap_;
  const std::string label_;
  ModuleHandle handle_ = nullptr;
  std::vector<Function> resident_;  // one, once loaded
};

}  // namespace rk::cuda
