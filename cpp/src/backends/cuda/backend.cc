#include "backend.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::uint64_t kShortLeaseNs = 500'000'000;
constexpr std::uint64_t kLeavingNs = 1'000'000'000;

}  // namespace

CudaBackend::Domain::Domain(std::shared_ptr<Device> of, Scheduler& scheduler)
    : device(std::move(of)),
      heap(Heap::make(device)),
      hub(std::make_shared<LinkHub>(heap, scheduler)),
      pump(std::make_shared<Pump>()) {}

CudaBackend::CudaBackend(const std::vector<std::shared_ptr<Device>>& devices, const CudaOptions& options)
    : options_(options), graph_(std::make_shared<WaitGraph>()), cpu_(make_cpu_backend(options.workers, graph_)) {
  for (const auto& device : devices) {
    domains_.push_back(std::make_unique<Domain>(device, cpu_->scheduler()));
    if (options.sm_budget != 0) device->sms().limit(options.sm_budget);
  }
}

// The scheduler first: what it was to let go of may hold grids.
CudaBackend::~CudaBackend() { cpu_->scheduler().stop(0); }

std::string CudaBackend::description() const {
  std::string all;
  for (const auto& domain : domains_) all += (all.empty() ? "" : "; ") + domain->device->description();
  return all;
}

std::shared_ptr<Module> CudaBackend::Domain::module_for(const DeviceCode& code, const std::string& label) {
  const auto same = [&](const Loaded& one) { return one.image == code.image || *one.image == *code.image; };
  {
    const std::lock_guard lock(mutex);
    const auto found = std::find_if(modules.begin(), modules.end(), same);
    if (found != modules.end()) return found->module;
  }
  std::shared_ptr<Module> made = Module::load(heap, *code.image, label);  // other launches go on meanwhile
  if (code.shared_bytes != 0) made->resident().allow_shared(code.shared_bytes);
  const std::lock_guard lock(mutex);
  const auto found = std::find_if(modules.begin(), modules.end(), same);
  if (found != modules.end()) return found->module;
  modules.push_back({code.image, made});
  return made;
}

bool CudaBackend::Domain::somebody_leaves() const {
  const auto grids = pump->grids();
  return std::any_of(grids.begin(), grids.end(),
                     [](const auto& one) { return static_cast<Grid&>(*one).bridge().over(); });
}

// A kernel that was terminated a moment ago gives its room back when its grid has left the device.
void CudaBackend::Domain::check_room(Module& module, const DeviceCode& code, const ResidentSpec& spec) const {
  const std::uint32_t threads = std::max(code.block_size, code.router_threads);
  const auto blocks = static_cast<std::uint32_t>(spec.instances->size()) + 1;
  const std::uint32_t per_sm = module.resident().blocks_per_sm(threads, code.shared_bytes);
  const auto fits = [&](bool last) {
    const bool leaving = !last && somebody_leaves();  // asked first: what leaves after that has left its room
    try {
      const SmShare share = device->sms().reserve(spec.name, blocks, per_sm);
      return true;
    } catch (const Error&) {
      if (leaving) return false;
      throw;
    }
  };
  if (!poll_until(kLeavingNs, [&] { return fits(false); })) fits(true);
}

// The first one with room, in the order of the options; where none has any, the first that could be used says why.
CudaBackend::Domain& CudaBackend::domain_for(const DeviceCode& code, const ResidentSpec& spec) {
  if (code.device >= 0) {
    for (const auto& domain : domains_) {
      if (domain->device->index() == code.device) return *domain;
    }
    throw Error("InvalidArgumentError", "kernel '" + spec.name + "' is for CUDA device " + std::to_string(code.device) +
                                            ", which is none of this runtime's: " + description());
  }
  std::exception_ptr refused;
  for (const auto& domain : domains_) {
    if (domain->device->lost()) continue;
    try {
      domain->check_room(*domain->module_for(code, spec.name), code, spec);
      return *domain;
    } catch (const Error&) {
      if (!refused) refused = std::current_exception();
    }
  }
  if (refused) std::rethrow_exception(refused);
  return *domains_.front();  // all are lost: it says why
}

std::unique_ptr<Resident> CudaBackend::launch(ResidentSpec spec) {
  const DeviceCode* code = spec.handler->device_code();
  if (code == nullptr) return cpu_->launch(std::move(spec));
  Domain& domain = domain_for(*code, spec);
  return launch_on(domain, std::move(spec), *code);
}

std::unique_ptr<Resident> CudaBackend::launch_on(Domain& domain, ResidentSpec spec, const DeviceCode& code) {
  domain.device->throw_if_lost();
  GridParts parts;
  parts.heap = domain.heap;
  parts.module = domain.module_for(code, spec.name);
  parts.lease_ns = code.lease_ns != 0 ? code.lease_ns : options_.lease_ns;
  if (domain.device->traits().kernel_timeout) {  // a screen's watchdog ends what takes seconds
    parts.lease_ns = parts.lease_ns == 0 ? kShortLeaseNs : std::min(parts.lease_ns, kShortLeaseNs);
  }
  domain.check_room(*parts.module, code, spec);
  domain.hub->expect(spec, code);
  parts.pump = domain.pump;
  parts.graph = graph_;
  parts.hub = domain.hub;
  parts.scheduler = &cpu_->scheduler();
  ControlBlock& control = *spec.control;
  Handler& handler = *spec.handler;
  auto grid = std::make_shared<Grid>(std::move(spec), code, std::move(parts));
  domain.pump->add(grid);
  return std::make_unique<GridResident>(*this, std::move(grid), control, handler);
}

}  // namespace rk::cuda

namespace rk {

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  if (options.devices.empty()) throw Error("InvalidArgumentError", "devices: found none, need one at least");
  std::vector<std::shared_ptr<cuda::Device>> devices;
  for (const int index : options.devices) devices.push_back(cuda::Device::open(index));
  return std::make_unique<cuda::CudaBackend>(devices, options);
}

}  // namespace rk
