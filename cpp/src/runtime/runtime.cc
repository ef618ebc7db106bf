#include "ringkernel/runtime/runtime.h"

#include <algorithm>
#include <iterator>

namespace rk {
namespace {

bool is_over(const Kernel& kernel) {
  const KernelState state = kernel.state();
  return state == KernelState::kTerminated || state == KernelState::kFailed;
}

}  // namespace

Runtime::Runtime(std::shared_ptr<Backend> backend, std::uint32_t node_id, std::uint64_t max_drift_ntp64)
    : backend_(std::move(backend)), clock_(source_, node_id, max_drift_ntp64) {}

std::shared_ptr<Kernel> Runtime::launch(std::shared_ptr<Handler> handler, const KernelOptions& options) {
  const std::lock_guard lock(mutex_);
  if (closed_) throw Error("RuntimeClosedError", "the runtime is closed: make a new one");
  if (kernels_.size() >= 0xFFFF) throw Error("ResourceLimitError", "a runtime has room for 65535 kernels in its life");
  const auto same_name = [&](const auto& k) { return k && k->name() == options.name && !is_over(*k); };
  if (std::any_of(kernels_.begin(), kernels_.end(), same_name)) {
    throw Error("KernelExistsError", "a kernel named '" + options.name +
                                         "' is running: terminate it, or launch this one "
                                         "under another name with name=");
  }
  // What is over goes when its last handle goes; its number is never used again.
  for (auto& kernel : kernels_) {
    if (kernel && is_over(*kernel)) kernel.reset();
  }
  const auto number = static_cast<std::uint32_t>(kernels_.size() + 1);
  auto kernel =
      std::make_shared<Kernel>(backend_, std::move(handler), options, Address::make(clock_.node_id(), number));
  kernel->use_message_ids(&message_ids_);
  auto self = shared_from_this();
  kernel->launch(clock_, [self](Address to) {
    const std::shared_ptr<Kernel> found = self->find(to);
    return found ? found->inbox() : nullptr;
  });
  kernels_.push_back(kernel);
  return kernel;
}

std::shared_ptr<Kernel> Runtime::find(const std::string& name) {
  const std::shared_lock lock(mutex_);
  const auto found =
      std::find_if(kernels_.rbegin(), kernels_.rend(), [&](const auto& k) { return k && k->name() == name; });
  return found == kernels_.rend() ? nullptr : *found;
}

std::shared_ptr<Kernel> Runtime::find(Address address) {
  const std::shared_lock lock(mutex_);
  const std::uint32_t number = address.kernel();
  return number == 0 || number > kernels_.size() ? nullptr : kernels_[number - 1];
}

std::vector<std::shared_ptr<Kernel>> Runtime::kernels() {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Kernel>> living;
  std::copy_if(kernels_.begin(), kernels_.end(), std::back_inserter(living),
               [](const auto& k) { return k != nullptr; });
  return living;
}

bool Runtime::closed() {
  const std::shared_lock lock(mutex_);
  return closed_;
}

std::vector<std::string> Runtime::close(std::uint64_t deadline_ns, const Kernel::Poll& poll) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  // All are told first, so that one that hangs takes no time from the others.
  std::vector<std::shared_ptr<Kernel>> ending = kernels();
  std::erase_if(ending, [](const auto& k) { return k->hung() || k->state() == KernelState::kTerminated; });
  for (const auto& kernel : ending) kernel->begin_terminate();
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const std::uint64_t patience = deadline_ns > now ? (deadline_ns - now) / 10 * 9 : 0;
  for (const auto& kernel : ending) {
    if (!kernel->join(now + patience, poll)) kernel->force_terminate();
  }
  std::vector<std::string> hung;
  for (const auto& kernel : ending) {
    kernel->join(deadline_ns, poll);
    if (!kernel->conclude_terminate()) hung.push_back(kernel->name());
  }
  return hung;
}

}  // namespace rk
