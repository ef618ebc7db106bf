#include "ringkernel/runtime/runtime.h"

#include <algorithm>
#include <iterator>

namespace rk {
namespace {

bool is_over(const Kernel& kernel) {
  const KernelState state = kernel.state();
  return state == KernelState::kTerminated || state == KernelState::kFailed;
}

// What a loop keeps while it runs: its kernel, and the runtime that it calls.
struct Kept {
  std::shared_ptr<Kernel> kernel;
  std::shared_ptr<Runtime> runtime;
};

}  // namespace

Runtime::Runtime(std::shared_ptr<Backend> backend, const RuntimeOptions& options)
    : backend_(std::move(backend)),
      clock_(source_, options.node_id, options.max_drift_ntp64),
      dead_letters_(options.dead_letters),
      supervisors_(std::make_shared<Supervisors>(backend_->scheduler(), clock_)),
      retired_(std::make_shared<Retired>()) {}

// -- launching --------------------------------------------------------------------------------------------------------

void Runtime::check_name(const std::string& name) {
  if (closed_) throw Error("RuntimeClosedError", "the runtime is closed: make a new one");
  if (kernels_.size() >= 0xFFFF) throw Error("ResourceLimitError", "a runtime has room for 65535 kernels in its life");
  const auto same_name = [&](const auto& k) { return k && k->name() == name && !is_over(*k); };
  const bool being_made = std::find(launching_.begin(), launching_.end(), name) != launching_.end();
  if (being_made || std::any_of(kernels_.begin(), kernels_.end(), same_name)) {
    throw Error("KernelExistsError", "a kernel named '" + name +
                                         "' is running: terminate it, or launch this one "
                                         "under another name with name=");
  }
}

// What is over goes when its last handle goes; its number is never used again, and its counts stay.
std::vector<std::shared_ptr<Kernel>> Runtime::forget_ended() {
  std::vector<std::shared_ptr<Kernel>> forgotten;
  for (auto& kernel : kernels_) {
    if (!kernel || !is_over(*kernel) || !kernel->join(0, {})) continue;  // one that failed may be in a handler yet
    std::erase_if(ended_, [](const auto& weak) { return weak.expired(); });
    ended_.push_back(kernel);
    forgotten.push_back(std::move(kernel));
  }
  return forgotten;
}

std::uint32_t Runtime::take_place(const std::string& name) {
  std::vector<std::shared_ptr<Kernel>> forgotten;  // may end here, and need other locks than this
  const std::lock_guard lock(mutex_);
  check_name(name);
  forgotten = forget_ended();
  launching_.push_back(name);
  kernels_.emplace_back();
  return static_cast<std::uint32_t>(kernels_.size());
}

// nullptr: it could not be made; its number is used again if nobody has come in between.
void Runtime::give_place(const std::string& name, std::uint32_t number, const std::shared_ptr<Kernel>& kernel) {
  const std::lock_guard lock(mutex_);
  std::erase(launching_, name);
  if (kernel == nullptr) {
    if (kernels_.size() == number) kernels_.pop_back();
    return;
  }
  kernels_[number - 1] = kernel;
}

// Made without the lock: a device may have to wait until other kernels have made room, and these need the runtime.
std::shared_ptr<Kernel> Runtime::add_kernel(std::shared_ptr<Handler> handler, const KernelOptions& options) {
  const std::uint32_t number = take_place(options.name);
  std::shared_ptr<Kernel> kernel;
  try {
    kernel = std::make_shared<Kernel>(backend_, std::move(handler), options, Address::make(clock_.node_id(), number));
    kernel->set_last_words([retired = retired_](const RingStats& inbox, const RingStats& outbox) {
      const std::lock_guard retiring(retired->mutex);
      retired->totals.inboxes += inbox;
      retired->totals.outboxes += outbox;
    });
    kernel->use_message_ids(&message_ids_);
    kernel->launch(clock_, *this, std::make_shared<Kept>(Kept{kernel, shared_from_this()}));
  } catch (...) {
    give_place(options.name, number, nullptr);
    throw;
  }
  give_place(options.name, number, kernel);
  if (closed()) {  // close() did not know it
    kernel->end_now(KernelState::kTerminated);
    throw Error("RuntimeClosedError", "the runtime was closed while kernel '" + options.name + "' was launched");
  }
  return kernel;
}

std::shared_ptr<Kernel> Runtime::launch(std::shared_ptr<Handler> handler, const KernelOptions& options,
                                        const Checkpoint* restore) {
  std::shared_ptr<Kernel> kernel = prepare(std::move(handler), options, restore);
  announce(*kernel);
  return kernel;
}

std::shared_ptr<Kernel> Runtime::prepare(std::shared_ptr<Handler> handler, const KernelOptions& options,
                                         const Checkpoint* restore) {
  if (options.supervisor != 0) supervisors_->check_open(options.supervisor);
  if (restore != nullptr && clock_.update(restore->hlc) != HlcUpdate::kMerged) {
    throw Error("ClockSkewError",
                "the checkpoint was made at a time further ahead of this machine's clock than max_drift allows");
  }
  std::shared_ptr<Kernel> kernel = add_kernel(std::move(handler), options);
  try {
    if (restore != nullptr) kernel->restore(*restore);
    if (options.supervisor != 0) supervisors_->add_worker(kernel);
  } catch (...) {
    kernel->end_now(KernelState::kFailed);  // no memory, or its supervisor failed just now
    throw;
  }
  watch_over(kernel);
  return kernel;
}

void Runtime::announce(Kernel& kernel) {
  registry_.add(kernel.name(), kernel.address().word);
  if (kernel.ended()) registry_.remove(kernel.name(), kernel.address().word);  // on_end may have been before us
}

void Runtime::activate(Kernel& kernel, std::uint64_t deadline_ns, const Kernel::Poll& poll) {
  for (const std::string& target : kernel.options().publishes_to) {
    if (target == "host" || find(target) != nullptr) continue;
    throw Error("UnknownKernelError", "kernel '" + kernel.name() + "' publishes to '" + target +
                                          "', and no kernel has this name: launch it first, or launch both with "
                                          "autostart=False and activate them");
  }
  kernel.activate(deadline_ns, poll);
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

std::shared_ptr<HostPort> Runtime::open_port(Address* address) {
  auto port = std::make_shared<HostPort>(backend_->inbox_memory());
  const std::lock_guard lock(mutex_);
  auto place = std::find_if(ports_.begin(), ports_.end(), [](const auto& old) { return old.expired(); });
  if (place == ports_.end()) place = ports_.insert(ports_.end(), std::weak_ptr<HostPort>());
  *place = port;
  *address = Address::make(clock_.node_id(), 0, static_cast<std::uint32_t>(place - ports_.begin()) + 1);
  return port;
}

// -- the end ----------------------------------------------------------------------------------------------------------

bool Runtime::closed() {
  const std::shared_lock lock(mutex_);
  return closed_;
}

std::vector<std::string> Runtime::close(std::uint64_t deadline_ns, const Kernel::Poll& poll) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  supervisors_->close();
  // All are told first, so that one that hangs takes no time from the others.
  std::vector<std::shared_ptr<Kernel>> ending = kernels();
  std::erase_if(ending, [](const auto& k) { return k->hung() || k->state() == KernelState::kTerminated; });
  for (const auto& kernel : ending) {
    kernel->hold(false);
    kernel->begin_terminate();
  }
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const std::uint64_t patience = deadline_ns > now ? (deadline_ns - now) / 4 * 3 : 0;
  for (const auto& kernel : ending) {
    if (!kernel->join(now + patience, poll)) kernel->force_terminate();
  }
  std::vector<std::string> hung;
  for (const auto& kernel : ending) {
    kernel->join(deadline_ns, poll);
    if (!kernel->conclude_terminate()) hung.push_back(kernel->name());
  }
  topics_.close();
  // What on_end put off would not be done any more.
  for (const auto& kernel : kernels()) registry_.remove(kernel->name(), kernel->address().word);
  registry_.unwatch_all();
  backend_->scheduler().stop(deadline_ns);
  Inbox::forget_closed();
  return hung;
}

// A device is asked about its kernels one after the other. What one of them has given to another meanwhile, without the
// host, would be counted nowhere: they are asked again until nothing was handled in between, or there is no end to it.
void Runtime::refresh_all() {
  constexpr int kMostRounds = 4;
  std::uint64_t before = ~std::uint64_t{0};
  for (int round = 0; round < kMostRounds; ++round) {
    std::uint64_t handled = 0;
    bool linked = false;
    for (const auto& kernel : kernels()) {
      kernel->refresh();
      handled += kernel->handled();
      linked |= kernel->linked();
    }
    if (!linked || handled == before) return;
    before = handled;
  }
}

RuntimeTotals Runtime::totals() {
  RuntimeTotals sum;
  refresh_all();
  {
    const std::shared_lock lock(mutex_);
    const auto add = [&sum](const Kernel& kernel) {
      sum.inboxes += kernel.inbox_stats();
      sum.outboxes += kernel.outbox_stats();
    };
    for (const auto& kernel : kernels_) {
      if (kernel) add(*kernel);
    }
    for (const auto& weak : ended_) {
      if (const auto kernel = weak.lock()) add(*kernel);
    }
    for (const auto& weak : ports_) {
      if (const auto port = weak.lock()) sum.ports += port->inbox().stats();
    }
  }
  sum.subscriptions = topics_.host_stats();
  const std::lock_guard retiring(retired_->mutex);
  sum.inboxes += retired_->totals.inboxes;
  sum.outboxes += retired_->totals.outboxes;
  return sum;
}

}  // namespace rk
