// The CUDA backend of a runtime: one device, its grids and the thread that looks after them; and a CPU backend for
// handlers without device code.
//
// Protection: everything but modules_: constant after init; modules_: mutex_.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grid.h"
#include "ringkernel/runtime/cuda_backend.h"

namespace rk::cuda {

class CudaBackend final : public Backend {
 public:
  // `device` of another driver, for tests.
  CudaBackend(std::shared_ptr<Device> device, const CudaOptions& options);
  ~CudaBackend() override;

  const char* name() const override { return "cuda"; }
  std::string description() const override { return device_->description(); }
  bool persistent() const override { return true; }
  std::unique_ptr<Resident> launch(ResidentSpec spec) override;
  Scheduler& scheduler() override { return cpu_->scheduler(); }

  Device& device() { return *device_; }
  const std::shared_ptr<Heap>& heap() const { return heap_; }

 protected:
  void* do_alloc(std::size_t bytes) override { return take_memory(bytes); }
  void do_free(void* data, std::size_t bytes) override { give_memory(data, bytes); }

 private:
  struct Loaded {
    std::shared_ptr<const std::vector<std::byte>> image;
    std::shared_ptr<Module> module;
  };

  std::shared_ptr<Module> module_for(const DeviceCode& code, const std::string& label);

  const CudaOptions options_;
  const std::shared_ptr<WaitGraph> graph_;
  const std::shared_ptr<Backend> cpu_;
  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Heap> heap_;
  std::mutex mutex_;
  std::vector<Loaded> modules_;  // for as long as the backend: to unload one, all grids would have to step aside
  const std::shared_ptr<Pump> pump_;
};

}  // namespace rk::cuda
