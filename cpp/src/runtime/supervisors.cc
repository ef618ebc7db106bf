#include "ringkernel/runtime/supervisors.h"

#include <algorithm>
#include <utility>

#include "ringkernel/runtime/error.h"

namespace rk {

const char* to_string(SupervisionEvent::Kind kind) {
  static constexpr const char* kNames[] = {
      "failed", "exited", "hung", "stopped", "restarted", "gave_up", "supervisor_failed", "root_failed"};
  return kNames[static_cast<int>(kind)];
}

std::uint32_t Supervisors::add_supervisor(std::uint32_t parent, const SupervisorOptions& options) {
  const std::lock_guard lock(mutex_);
  return tree_.add_supervisor(parent, options);
}

void Supervisors::check_open(std::uint32_t supervisor) {
  const std::lock_guard lock(mutex_);
  if (tree_.state(supervisor) == ChildState::kRunning) return;
  throw Error("SupervisorTerminatedError", "supervisor '" + tree_.name(supervisor) + "' has " +
                                               (tree_.state(supervisor) == ChildState::kFailed ? "failed" : "ended") +
                                               ": make a new one");
}

void Supervisors::add_worker(const std::shared_ptr<Kernel>& kernel) {
  const std::lock_guard lock(mutex_);
  const KernelOptions& options = kernel->options();
  const std::uint32_t id = tree_.add_worker(options.supervisor, options.restart, options.name, options.instances);
  kernel->set_supervised_as(id);
  workers_[id].kernel = kernel;
  workers_[id].pending.resize(options.instances);
}

Supervisors::Worker* Supervisors::worker_of(std::uint32_t id) {
  const auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : &found->second;
}

// -- reports, from any thread -----------------------------------------------------------------------------------------

bool Supervisors::on_exit(const std::shared_ptr<Kernel>& kernel, Address instance, bool abnormal,
                          const std::string& error) {
  const std::uint32_t id = kernel->supervised_as();
  if (id == 0) return false;
  Exit exit{.worker = id,
            .instance = instance.instance(),
            .generation = instance.generation(),
            .abnormal = abnormal,
            .error = error};
  scheduler_.later([self = shared_from_this(), exit = std::move(exit)] { self->decide(exit); });
  return true;
}

void Supervisors::on_hung(const std::shared_ptr<Kernel>& kernel, const std::string& error) {
  const std::uint32_t id = kernel->supervised_as();
  if (id == 0) return;
  scheduler_.later(
      [self = shared_from_this(), id, error] { self->decide({.worker = id, .restartable = false, .error = error}); });
}

void Supervisors::on_end(const std::shared_ptr<Kernel>& kernel) {
  const std::uint32_t id = kernel->supervised_as();
  if (id == 0) return;
  const bool asked = kernel->state() == KernelState::kTerminating;
  const std::uint32_t instances = kernel->instances();
  scheduler_.later([self = shared_from_this(), id, asked, instances] {
    if (asked) {  // the host ended it: no exit of its own
      const std::lock_guard lock(self->mutex_);
      if (self->tree_.state(id) == ChildState::kRunning) self->tree_.remove(id);
      self->workers_.erase(id);
      return;
    }
    for (std::uint32_t i = 0; i < instances; ++i) self->decide({.worker = id, .instance = i, .abnormal = false});
  });
}

// -- chores -----------------------------------------------------------------------------------------------------------

// An incarnation that was stopped, or whose restart is planned, has been decided about; one that is told to end ends.
bool Supervisors::is_void(const Exit& exit) {
  const Worker* child = worker_of(exit.worker);
  if (closed_ || child == nullptr || tree_.state(exit.worker) != ChildState::kRunning) return true;
  if (!exit.generation) return false;
  const Address now = Address::make(0, 0, exit.instance, child->kernel->generation(exit.instance));
  return child->pending[exit.instance] != 0 || *exit.generation != now.generation() ||
         child->kernel->state() == KernelState::kTerminating;
}

void Supervisors::decide(const Exit& exit) {
  std::vector<Action> actions;
  {
    const std::lock_guard lock(mutex_);
    if (is_void(exit)) return;
    const Kind kind = !exit.restartable ? Kind::kHung : exit.abnormal ? Kind::kFailed : Kind::kExited;
    note(kind, exit.worker, exit.instance, exit.error);
    actions = tree_.on_exit(exit.worker, exit.instance, exit.abnormal, exit.restartable, HostAtomics::monotonic_ns());
  }
  execute(actions);
}

void Supervisors::execute(const std::vector<Action>& actions) {
  std::vector<std::uint32_t> hung;
  for (const Action& action : actions) {
    switch (action.kind) {
      case Action::Kind::kStop:
        stop(action, &hung);
        break;
      case Action::Kind::kRestart:
        if (std::find(hung.begin(), hung.end(), action.id) == hung.end()) plan_restart(action);
        break;
      case Action::Kind::kFail:
        fail(action.id);
        break;
      case Action::Kind::kSupervisorFailed:
      case Action::Kind::kRootFailed: {
        const bool root = action.kind == Action::Kind::kRootFailed;
        std::unique_lock lock(mutex_);
        note(root ? Kind::kRootFailed : Kind::kSupervisorFailed, action.id, 0, "");
        const std::string name = tree_.name(action.id);
        lock.unlock();
        if (root && root_failed_) root_failed_(name);
        break;
      }
    }
  }
  for (const std::uint32_t id : hung) {
    decide({.worker = id, .restartable = false, .error = "its handler did not return when it was to stop"});
  }
}

void Supervisors::plan_restart(const Action& action) {
  std::uint64_t order = 0;
  {
    const std::lock_guard lock(mutex_);
    Worker* child = worker_of(action.id);
    if (tree_.is_supervisor(action.id)) return note(Kind::kRestarted, action.id, 0, "");
    if (child == nullptr || is_ending(*child)) return;
    order = ++orders_;
    for (std::uint32_t i = 0; i < child->pending.size(); ++i) {
      if (action.instance == kAllInstances || action.instance == i) child->pending[i] = order;
    }
  }
  if (action.not_before_ns <= HostAtomics::monotonic_ns()) return restart(action.id, action.instance, order);
  scheduler_.later(
      [self = shared_from_this(), id = action.id, i = action.instance, order] { self->restart(id, i, order); },
      action.not_before_ns);
}

// The host ends it: it may handle what it has, and its end takes it out.
bool Supervisors::is_ending(const Worker& child) {
  const KernelState state = child.kernel->state();
  return !child.held && (state == KernelState::kTerminating || state == KernelState::kTerminated);
}

bool Supervisors::is_mine(std::uint32_t worker) {
  const std::lock_guard lock(mutex_);
  return !closed_ && worker_of(worker) != nullptr;
}

bool Supervisors::wait_until_rests(std::uint32_t worker, Kernel& kernel) {
  const std::uint64_t deadline = HostAtomics::monotonic_ns() + kShutdownNs;
  for (unsigned tries = 0; !kernel.resting() && !kernel.silent(); ++tries) {
    if (HostAtomics::monotonic_ns() >= deadline) return !is_mine(worker);
    if (tries < 1000) {
      HostAtomics::pause();
      continue;
    }
    if (!is_mine(worker)) return true;  // somebody ends it
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, 50'000);
  }
  return true;
}

void Supervisors::stop(const Action& action, std::vector<std::uint32_t>* hung) {
  std::shared_ptr<Kernel> kernel;
  {
    const std::lock_guard lock(mutex_);
    Worker* child = worker_of(action.id);
    if (closed_ || child == nullptr || is_ending(*child)) return;
    kernel = child->kernel;
    note(Kind::kStopped, action.id, action.instance, "");
    if (action.for_good) {
      workers_.erase(action.id);
    } else {
      std::fill(child->pending.begin(), child->pending.end(), 0);
      child->held = true;
      kernel->hold(true);  // under the lock: whoever ends it lets go of it afterwards
    }
  }
  if (action.for_good) return kernel->end_now(KernelState::kTerminated);
  if (wait_until_rests(action.id, *kernel)) return;
  if (kernel->stop_handlers() && wait_until_rests(action.id, *kernel)) return;
  kernel->give_up_as_hung({});
  hung->push_back(action.id);
}

void Supervisors::restart(std::uint32_t worker, std::uint32_t instance, std::uint64_t order) {
  const std::lock_guard restarting(restarting_);
  std::shared_ptr<Kernel> kernel;
  std::vector<std::uint32_t> instances;
  bool let_go = false;
  {
    const std::lock_guard lock(mutex_);
    Worker* child = worker_of(worker);
    if (closed_ || child == nullptr) return;
    kernel = child->kernel;
    for (std::uint32_t i = 0; i < child->pending.size(); ++i) {
      if (child->pending[i] == order) instances.push_back(i);
    }
    for (const std::uint32_t i : instances) child->pending[i] = 0;
    if (instances.empty() || kernel->silent()) return;
    note(Kind::kRestarted, worker, instance, "");
    const bool all_done = std::all_of(child->pending.begin(), child->pending.end(), [](auto one) { return one == 0; });
    let_go = all_done && std::exchange(child->held, false);
  }
  for (const std::uint32_t i : instances) kernel->restart(i);
  if (let_go) kernel->hold(false);
}

void Supervisors::fail(std::uint32_t worker) {
  std::shared_ptr<Kernel> kernel;
  {
    const std::lock_guard lock(mutex_);
    Worker* child = worker_of(worker);
    if (child == nullptr) return;
    kernel = child->kernel;
    note(Kind::kGaveUp, worker, kAllInstances, "");
    workers_.erase(worker);
    if (tree_.state(worker) == ChildState::kRunning) tree_.remove(worker);  // one instance takes the others along
  }
  kernel->end_now(KernelState::kFailed);
}

std::vector<std::string> Supervisors::terminate(std::uint32_t supervisor, std::uint64_t deadline_ns,
                                                const Kernel::Poll& poll) {
  std::vector<std::shared_ptr<Kernel>> ending;
  {
    const std::lock_guard restarting(restarting_);
    const std::lock_guard lock(mutex_);
    for (const Action& action : tree_.remove(supervisor)) {
      Worker* child = worker_of(action.id);
      if (action.kind != Action::Kind::kStop || child == nullptr) continue;
      ending.push_back(child->kernel);
      note(Kind::kStopped, action.id, kAllInstances, "");
      workers_.erase(action.id);
    }
  }
  std::vector<std::string> hung;
  for (std::size_t i = 0; i < ending.size(); ++i) {
    Kernel& kernel = *ending[i];
    kernel.hold(false);
    if (kernel.state() == KernelState::kTerminated || kernel.hung()) continue;
    const std::uint64_t now = HostAtomics::monotonic_ns();
    const std::uint64_t share = deadline_ns > now ? (deadline_ns - now) / (ending.size() - i) : 0;
    try {
      kernel.terminate(now + share, poll);  // one that hangs leaves the others their time
    } catch (const Error&) {
      if (kernel.hung()) hung.push_back(kernel.name());  // else somebody else ended it
    }
  }
  return hung;
}

void Supervisors::close() {
  std::unordered_map<std::uint32_t, Worker> dropped;  // what it holds may end here, and need a lock
  const std::lock_guard restarting(restarting_);
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(workers_);
}

// -- reading ----------------------------------------------------------------------------------------------------------

void Supervisors::note(Kind kind, std::uint32_t id, std::uint32_t instance, const std::string& error) {
  SupervisionEvent event;
  event.kind = kind;
  event.child = tree_.name(id);
  event.instance = instance;
  event.error = error;
  event.hlc = clock_.now().time;
  if (const Worker* child = worker_of(id)) {
    event.generation = child->kernel->generation(instance == kAllInstances ? 0 : instance);
    if (kind == Kind::kRestarted) ++event.generation;  // told before it handles anything
  }
  const std::uint32_t of = kind == Kind::kRootFailed || kind == Kind::kSupervisorFailed ? id : tree_.parent(id);
  event.supervisor = of != 0 ? tree_.name(of) : "";
  events_.emplace_back(of, std::move(event));
  if (events_.size() > kEventsKept) events_.pop_front();
}

ChildState Supervisors::state(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  return tree_.state(id);
}

std::uint64_t Supervisors::restarts(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  return tree_.restarts(id);
}

std::vector<std::string> Supervisors::children(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const std::uint32_t child : tree_.children(id)) names.push_back(tree_.name(child));
  return names;
}

std::vector<SupervisionEvent> Supervisors::events(std::uint32_t supervisor) {
  const std::lock_guard lock(mutex_);
  std::vector<SupervisionEvent> found;
  for (const auto& [of, event] : events_) {
    if (of == supervisor) found.push_back(event);
  }
  return found;
}

}  // namespace rk
