// The CUDA backend of a runtime: devices, each with its grids and the thread that looks after them; and a CPU backend
// for handlers without device code. Kernels of different devices reach each other through the host.
//
// Protection: everything but Domain::modules: constant after init; Domain::modules: its mutex.
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
  // `devices`, at least one: of another driver, for tests.
  CudaBackend(const std::vector<std::shared_ptr<Device>>& devices, const CudaOptions& options);
  ~CudaBackend() override;

  const char* name() const override { return "cuda"; }
  std::string description() const override;
  bool persistent() const override { return true; }
  std::unique_ptr<Resident> launch(ResidentSpec spec) override;
  Scheduler& scheduler() override { return cpu_->scheduler(); }

 protected:
  void* do_alloc(std::size_t bytes) override { return take_memory(bytes); }
  void do_free(void* data, std::size_t bytes) override { give_memory(data, bytes); }

 private:
  struct Loaded {
    std::shared_ptr<const std::vector<std::byte>> image;
    std::shared_ptr<Module> module;
  };

  // What all grids of one device share. A device that is lost takes its own grids with it, and nothing else.
  struct Domain {
    Domain(std::shared_ptr<Device> of, Scheduler& scheduler);
    std::shared_ptr<Module> module_for(const DeviceCode& code, const std::string& label);
    // Throws InsufficientSmsError when there is no room. Before memory is laid out for what may be far too many.
    void check_room(Module& module, const DeviceCode& code, const ResidentSpec& spec) const;
    bool somebody_leaves() const;

    const std::shared_ptr<Device> device;
    const std::shared_ptr<Heap> heap;
    const std::shared_ptr<LinkHub> hub;
    std::mutex mutex;
    std::vector<Loaded> modules;  // for as long as the backend: to unload one, all grids would have to step aside
    const std::shared_ptr<Pump> pump;
  };

  Domain& domain_for(const DeviceCode& code, const ResidentSpec& spec);
  std::unique_ptr<Resident> launch_on(Domain& domain, ResidentSpec spec, const DeviceCode& code);

  const CudaOptions options_;
  const std::shared_ptr<WaitGraph> graph_;
  const std::shared_ptr<Backend> cpu_;
  std::vector<std::unique_ptr<Domain>> domains_;
};

}  // namespace rk::cuda
