#include "backend.h"

#include <algorithm>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::uint64_t kShortLeaseNs = 500'000'000;

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<Device> device, const CudaOptions& options)
    : options_(options),
      graph_(std::make_shared<WaitGraph>()),
      cpu_(make_cpu_backend(options.workers, graph_)),
      device_(std::move(device)),
      heap_(Heap::make(device_)),
      pump_(std::make_shared<Pump>()) {
  if (options.sm_budget != 0) device_->sms().limit(options.sm_budget);
}

// The scheduler first: what it was to let go of may hold grids.
CudaBackend::~CudaBackend() { cpu_->scheduler().stop(0); }

std::shared_ptr<Module> CudaBackend::module_for(const DeviceCode& code, const std::string& label) {
  const auto same = [&](const Loaded& one) { return one.image == code.image || *one.image == *code.image; };
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(modules_.begin(), modules_.end(), same);
    if (found != modules_.end()) return found->module;
  }
  std::shared_ptr<Module> made = Module::load(heap_, *code.image, label);  // other launches go on meanwhile
  if (code.shared_bytes != 0) made->resident().allow_shared(code.shared_bytes);
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(modules_.begin(), modules_.end(), same);
  if (found != modules_.end()) return found->module;
  modules_.push_back({code.image, made});
  return made;
}

std::unique_ptr<Resident> CudaBackend::launch(ResidentSpec spec) {
  const DeviceCode* code = spec.handler->device_code();
  if (code == nullptr) return cpu_->launch(std::move(spec));
  device_->throw_if_lost();
  const auto instances = static_cast<std::uint32_t>(spec.instances->size());
  GridParts parts;
  parts.heap = heap_;
  parts.module = module_for(*code, spec.name);
  parts.lease_ns = code->lease_ns != 0 ? code->lease_ns : options_.lease_ns;
  if (device_->traits().kernel_timeout) {  // a screen's watchdog ends what takes seconds
    parts.lease_ns = parts.lease_ns == 0 ? kShortLeaseNs : std::min(parts.lease_ns, kShortLeaseNs);
  }
  {
    // Before memory is laid out for what may be far too many.
    const std::uint32_t threads = std::max(code->block_size, code->router_threads);
    const std::uint32_t per_sm = parts.module->resident().blocks_per_sm(threads, code->shared_bytes);
    const SmShare fits = device_->sms().reserve(spec.name, instances + 1, per_sm);
  }
  parts.pump = pump_;
  parts.graph = graph_;
  parts.scheduler = &cpu_->scheduler();
  ControlBlock& control = *spec.control;
  Handler& handler = *spec.handler;
  auto grid = std::make_shared<Grid>(std::move(spec), *code, std::move(parts));
  pump_->add(grid);
  return std::make_unique<GridResident>(*this, std::move(grid), control, handler);
}

}  // namespace rk::cuda

namespace rk {

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  return std::make_unique<cuda::CudaBackend>(cuda::Device::open(options.device), options);
}

}  // namespace rk
