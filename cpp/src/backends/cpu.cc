// The CPU backend: actors on a scheduler's workers, rings in process memory, an unlimited lease. The reference for
// others.
#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "cpu_kernel.h"
#include "ringkernel/runtime/backend.h"

namespace rk {
namespace {

class CpuResident final : public Resident {
 public:
  CpuResident(const Backend& backend, ResidentSpec spec, Scheduler& scheduler, WaitGraph& graph)
      : backend_(backend), kernel_(std::move(spec), scheduler, graph) {}

  const Backend& backend() const override { return backend_; }

  void notify() override {
    const bool active = load_acquire(kernel_.spec.control->is_active) != 0;  // K1
    change(CpuKernel::kPausedByHost, !active);
  }

  bool obeyed() const override {
    return load_relaxed(kernel_.spec.control->is_active) != 0 || kernel_.gate.inside() == 0;  // K1 the host's own word
  }

  bool join(std::uint64_t deadline_ns) override {
    std::unique_lock lock(kernel_.mutex);
    while (!kernel_.ended) {
      const std::uint64_t now = HostAtomics::monotonic_ns();
      if (now >= deadline_ns) return false;
      const auto patience = std::min<std::uint64_t>(deadline_ns - now, 50'000'000);
      kernel_.changed.wait_for(lock, std::chrono::nanoseconds(patience));
    }
    return true;
  }

  void hold(bool on) override { change(CpuKernel::kHeldBySupervisor, on); }
  bool resting() const override { return kernel_.gate.inside() == 0; }
  void resume(std::uint32_t instance) override { kernel_.instances[instance].resume(); }
  bool can_stop() const override { return kernel_.spec.handler->can_stop(); }
  bool stop(std::uint32_t instance, std::uint64_t message_id) override {
    return kernel_.spec.handler->stop(instance, message_id);
  }

 private:
  // Also one that was told to end while the gate was shut.
  void change(Gate<HostAtomics>::Reasons reason, bool shut) {
    shut ? kernel_.gate.shut(reason) : kernel_.gate.open(reason);
    if (kernel_.stop() != kTerminateNo) {
      kernel_.poke_all();
    } else if (!kernel_.gate.looks_shut()) {
      kernel_.wake_all();
    }
  }

  const Backend& backend_;
  CpuKernel kernel_;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(Scheduler::Options options, std::shared_ptr<WaitGraph> graph)
      : scheduler_(std::make_shared<Scheduler>(options)), graph_(std::move(graph)) {}
  ~CpuBackend() override { scheduler_->stop(0); }

  const char* name() const override { return "cpu"; }
  std::string description() const override {
    return "CPU, " + std::to_string(std::thread::hardware_concurrency()) + " hardware threads, " +
           std::to_string(scheduler_->workers()) + " workers";
  }
  bool persistent() const override { return true; }
  std::unique_ptr<Resident> launch(ResidentSpec spec) override {
    return std::make_unique<CpuResident>(*this, std::move(spec), *scheduler_, *graph_);
  }
  Scheduler& scheduler() override { return *scheduler_; }

 protected:
  void* do_alloc(std::size_t bytes) override { return take_memory(bytes); }
  void do_free(void* data, std::size_t bytes) override { give_memory(data, bytes); }

 private:
  std::shared_ptr<Scheduler> scheduler_;
  const std::shared_ptr<WaitGraph> graph_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(Scheduler::Options options, std::shared_ptr<WaitGraph> graph) {
  if (!graph) graph = std::make_shared<WaitGraph>();
  return std::make_unique<CpuBackend>(options, std::move(graph));
}

}  // namespace rk
