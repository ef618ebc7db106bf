#include "ringkernel/runtime/supervision.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "ringkernel/runtime/error.h"

namespace rk {
namespace {

using Kind = Action::Kind;

// OTP counts a restart exactly one period ago, too.
bool within(std::uint64_t then_ns, std::uint64_t now_ns, std::uint64_t period_ns) {
  return now_ns <= then_ns || now_ns - then_ns <= period_ns;
}

std::uint64_t add_saturating(std::uint64_t a, std::uint64_t b) {
  return b > std::numeric_limits<std::uint64_t>::max() - a ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

bool is_restarted(Restart restart, bool abnormal) {
  return restart == Restart::kPermanent || (restart == Restart::kTransient && abnormal);
}

Action restart_of(std::uint32_t id, std::uint32_t instance, std::uint64_t at_ns) {
  return {.kind = Kind::kRestart, .id = id, .instance = instance, .not_before_ns = at_ns};
}

}  // namespace

const SupervisionTree::Node& SupervisionTree::known(std::uint32_t id) const {
  if (id == 0 || id > nodes_.size())
    throw Error("InvalidArgumentError", "supervision: no child has the id " + std::to_string(id));
  return nodes_[id - 1];
}

SupervisionTree::Node& SupervisionTree::running(std::uint32_t id) {
  const Node& found = known(id);
  if (found.state != ChildState::kRunning) {
    const std::string what = found.supervises ? "supervisor '" : "worker '";
    const std::string how = found.state == ChildState::kFailed ? "' has failed" : "' is terminated";
    throw Error("SupervisorTerminatedError", what + found.options.name + how + "; make a new one");
  }
  return node(id);
}

std::uint64_t SupervisionTree::generation(std::uint32_t id, std::uint32_t instance) const {
  const Node& found = known(id);
  if (instance >= found.instances.size())
    throw Error("InvalidArgumentError", "'" + found.options.name + "' has no instance " + std::to_string(instance));
  return found.instances[instance].generation;
}

std::uint32_t SupervisionTree::add(std::uint32_t parent, Node made) {
  if (parent != 0 && !running(parent).supervises)
    throw Error("InvalidArgumentError", "'" + node(parent).options.name + "' is a worker and cannot supervise");
  made.parent = parent;
  nodes_.push_back(std::move(made));
  const auto id = static_cast<std::uint32_t>(nodes_.size());
  if (parent != 0) node(parent).children.push_back(id);
  return id;
}

std::uint32_t SupervisionTree::add_supervisor(std::uint32_t parent, SupervisorOptions options) {
  Node made;
  made.options = std::move(options);
  made.supervises = true;
  made.instances.resize(1);
  return add(parent, std::move(made));
}

std::uint32_t SupervisionTree::add_worker(std::uint32_t supervisor, Restart restart, std::string name,
                                          std::uint32_t instances) {
  if (instances == 0 || instances == kAllInstances)
    throw Error("InvalidArgumentError", "'" + name + "' cannot have " + std::to_string(instances) + " instances");
  known(supervisor);  // a worker is never a root
  Node made;
  made.options.restart = restart;
  made.options.name = std::move(name);
  made.instances.resize(instances);
  return add(supervisor, std::move(made));
}

std::vector<Action> SupervisionTree::remove(std::uint32_t id) {
  Actions actions;
  if (known(id).state == ChildState::kFailed) {
    node(id).state = ChildState::kTerminated;  // it left the tree when it failed, and nothing of it runs
    return actions;
  }
  running(id);
  end(id, ChildState::kTerminated, &actions);
  return actions;
}

std::vector<Action> SupervisionTree::on_exit(std::uint32_t worker, std::uint32_t instance, bool abnormal,
                                             bool restartable, std::uint64_t now_ns) {
  Node& child = running(worker);
  if (child.supervises || instance >= child.instances.size())
    throw Error("InvalidArgumentError",
                "'" + child.options.name + "' is no worker with an instance " + std::to_string(instance));
  if (child.instances[instance].ended)
    throw Error("SupervisorTerminatedError",
                "instance " + std::to_string(instance) + " of '" + child.options.name + "' has ended before");
  Actions actions;
  if (!restartable) {
    end(worker, ChildState::kFailed, &actions);
    // What nobody would restart needs no repair.
    if (child.options.restart != Restart::kTemporary) escalate(child.parent, now_ns, &actions);
  } else if (!is_restarted(child.options.restart, abnormal)) {
    end_instance(worker, instance, abnormal, &actions);
  } else {
    child.instances[instance].down = true;
    if (may_restart(node(child.parent), now_ns))
      restart(worker, instance, now_ns, &actions);
    else
      escalate(child.parent, now_ns, &actions);
  }
  return actions;
}

bool SupervisionTree::may_restart(Node& supervisor, std::uint64_t now_ns) {
  std::deque<std::uint64_t>& recent = supervisor.recent_ns;
  while (!recent.empty() && !within(recent.front(), now_ns, supervisor.options.period_ns)) recent.pop_front();
  if (recent.size() >= supervisor.options.intensity) return false;
  recent.push_back(now_ns);
  ++supervisor.restarts;
  return true;
}

// How long the restart waits that `child` is about to get. Its wait is no survival: the period runs from the end of it.
std::uint64_t SupervisionTree::backoff_of(Instance& child, const SupervisorOptions& options, std::uint64_t now_ns) {
  const bool again = child.in_a_row > 0 && within(child.ready_ns, now_ns, options.period_ns);
  child.in_a_row = again ? child.in_a_row + 1 : 1;
  const std::uint32_t doublings = child.in_a_row - 1;
  std::uint64_t wait_ns = 0;
  if (doublings > 0 && options.backoff_ns > 0) {
    const bool capped = doublings >= 64 || options.backoff_ns > (options.max_backoff_ns >> doublings);
    wait_ns = capped ? options.max_backoff_ns : options.backoff_ns << doublings;
  }
  child.ready_ns = add_saturating(now_ns, wait_ns);
  return child.ready_ns;
}

// `id` is down. All that its supervisor's strategy restarts with it waits as long as it does: start order holds.
void SupervisionTree::restart(std::uint32_t id, std::uint32_t instance, std::uint64_t now_ns, Actions* actions) {
  const Node& supervisor = node(node(id).parent);
  const std::uint64_t at_ns = backoff_of(node(id).instances[instance], supervisor.options, now_ns);
  if (supervisor.options.strategy == Strategy::kOneForOne) return start(id, instance, at_ns, actions);
  const auto first = supervisor.options.strategy == Strategy::kOneForAll
                         ? supervisor.children.begin()
                         : std::find(supervisor.children.begin(), supervisor.children.end(), id);
  const std::vector<std::uint32_t> group(first, supervisor.children.end());
  for (auto child = group.rbegin(); child != group.rend(); ++child) stop(*child, actions);
  for (const std::uint32_t child : group) {
    if (node(child).state == ChildState::kRunning) start(child, kAllInstances, at_ns, actions);
  }
}

// `supervisor` cannot repair. Who can is settled first: what it will restart is stopped, else it all fails.
void SupervisionTree::escalate(std::uint32_t supervisor, std::uint64_t now_ns, Actions* actions) {
  std::vector<std::uint32_t> given_up{supervisor};
  bool revived = false;
  while (!revived) {
    const Node& top = node(given_up.back());
    if (top.parent == 0 || !is_restarted(top.options.restart, true)) break;
    revived = may_restart(node(top.parent), now_ns);
    if (!revived) given_up.push_back(top.parent);
  }
  for (const std::uint32_t id : given_up) give_up(id, revived, actions);
  if (revived) restart(given_up.back(), 0, now_ns, actions);
}

void SupervisionTree::give_up(std::uint32_t supervisor, bool revived, Actions* actions) {
  const std::vector<std::uint32_t> children = node(supervisor).children;
  for (auto child = children.rbegin(); child != children.rend(); ++child) {
    if (revived)
      stop(*child, actions);
    else
      end(*child, ChildState::kFailed, actions);
  }
  Node& failed = node(supervisor);
  actions->push_back({.kind = failed.parent == 0 ? Kind::kRootFailed : Kind::kSupervisorFailed, .id = supervisor});
  if (revived)
    failed.instances[0].down = true;
  else
    leave(supervisor, ChildState::kFailed);
}

void SupervisionTree::start(std::uint32_t id, std::uint32_t instance, std::uint64_t at_ns, Actions* actions) {
  Node& child = node(id);
  const bool none_ended = std::none_of(child.instances.begin(), child.instances.end(), [](auto& i) { return i.ended; });
  const bool whole = instance == kAllInstances && none_ended;
  if (whole || child.supervises) actions->push_back(restart_of(id, kAllInstances, at_ns));
  for (std::uint32_t i = 0; i < child.instances.size(); ++i) {
    Instance& one = child.instances[i];
    if ((instance != kAllInstances && instance != i) || one.ended) continue;
    one.down = false;
    ++one.generation;
    if (child.supervises) continue;
    ++child.restarts;
    if (!whole) actions->push_back(restart_of(id, i, at_ns));
  }
  if (child.supervises) start_below(id, at_ns, actions);
}

// A supervisor that begins again remembers no failure, neither its own nor its children's.
void SupervisionTree::start_below(std::uint32_t supervisor, std::uint64_t at_ns, Actions* actions) {
  node(supervisor).recent_ns.clear();
  for (const std::uint32_t id : node(supervisor).children) {
    for (Instance& one : node(id).instances) one.in_a_row = 0;
    start(id, kAllInstances, at_ns, actions);
  }
}

// A restart follows, but never for a temporary child.
void SupervisionTree::stop(std::uint32_t id, Actions* actions) {
  Node& child = node(id);
  if (child.options.restart == Restart::kTemporary) return end(id, ChildState::kTerminated, actions);
  if (!child.supervises) return stop_running(id, actions);
  if (child.instances[0].down) return;
  const std::vector<std::uint32_t> below = child.children;
  for (auto grandchild = below.rbegin(); grandchild != below.rend(); ++grandchild) stop(*grandchild, actions);
  actions->push_back({.kind = Kind::kStop, .id = id});
}

void SupervisionTree::stop_running(std::uint32_t worker, Actions* actions) {
  std::vector<Instance>& instances = node(worker).instances;
  const auto runs = [](const Instance& one) { return !one.down && !one.ended; };
  const bool any_ended = std::any_of(instances.begin(), instances.end(), [](auto& one) { return one.ended; });
  if (!any_ended && std::any_of(instances.begin(), instances.end(), runs))
    actions->push_back({.kind = Kind::kStop, .id = worker});
  for (auto i = static_cast<std::uint32_t>(instances.size()); i-- > 0;) {
    if (any_ended && runs(instances[i])) actions->push_back({.kind = Kind::kStop, .id = worker, .instance = i});
  }
}

// For good, and what is below first.
void SupervisionTree::end(std::uint32_t id, ChildState state, Actions* actions) {
  const std::vector<std::uint32_t> below = node(id).children;
  for (auto child = below.rbegin(); child != below.rend(); ++child) end(*child, state, actions);
  const bool failed = state == ChildState::kFailed;
  actions->push_back({.kind = failed ? Kind::kFail : Kind::kStop, .id = id, .for_good = !failed});
  leave(id, state);
}

void SupervisionTree::end_instance(std::uint32_t worker, std::uint32_t instance, bool abnormal, Actions* actions) {
  Node& child = node(worker);
  child.instances[instance].ended = true;
  child.had_failure |= abnormal;
  if (abnormal) actions->push_back({.kind = Kind::kFail, .id = worker, .instance = instance});
  if (std::all_of(child.instances.begin(), child.instances.end(), [](auto& one) { return one.ended; }))
    leave(worker, child.had_failure ? ChildState::kFailed : ChildState::kTerminated);
}

void SupervisionTree::leave(std::uint32_t id, ChildState state) {
  Node& child = node(id);
  child.state = state;
  child.recent_ns.clear();
  if (child.parent != 0) std::erase(node(child.parent).children, id);
}

}  // namespace rk
