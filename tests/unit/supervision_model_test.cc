// Supervision against a model: random trees and exits, decided a second time by a model that passes exits from parent
// to parent as processes would, keeps every time stamp, and knows nothing of actions. A world carries the actions out,
// refuses those that cannot be (a restart of what runs, a child without its supervisor), and must end where the model
// does. The seed is printed on failure; RK_SEED=... repeats it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ringkernel/runtime/supervision.h"

namespace rk {
namespace {

using Id = std::uint32_t;
using Kind = Action::Kind;

// ---- the model ----

struct Repair {  // a restart for an own failure
  std::uint64_t exit;
  std::uint64_t ready;
};

struct Part {  // an instance of a worker, or a supervisor itself
  bool runs = true;
  bool ended = false;
  std::uint64_t generation = 0;
  std::vector<Repair> repairs;
};

struct Unit {
  SupervisorOptions options;
  bool supervises = false;
  Id parent = 0;
  ChildState state = ChildState::kRunning;
  std::vector<Id> below;  // in start order, also those that are gone
  std::vector<Part> parts;
  std::vector<std::uint64_t> restarts;  // since its own start
  std::uint64_t restarts_ever = 0;
  bool had_failure = false;
};

class Model {
 public:
  std::map<Id, Unit> units;
  std::uint64_t ready = 0;  // when the last decision's restarts take effect

  void exit(Id id, Id instance, bool abnormal, bool hung, std::uint64_t now) {
    Unit& unit = units[id];
    const Restart kind = unit.options.restart;
    if (hung) {
      settle(id, ChildState::kFailed);
      if (kind != Restart::kTemporary) crash(unit.parent, now);
    } else if (kind == Restart::kTemporary || (kind == Restart::kTransient && !abnormal)) {
      unit.parts[instance].ended = true;
      unit.parts[instance].runs = false;
      unit.had_failure |= abnormal;
      for (const Part& part : unit.parts)
        if (!part.ended) return;
      settle(id, unit.had_failure ? ChildState::kFailed : ChildState::kTerminated);
    } else {
      unit.parts[instance].runs = false;
      child_is_down(id, instance, now);
    }
  }

  void settle(Id id, ChildState state) {  // for good
    if (units[id].state != ChildState::kRunning) return;
    units[id].state = state;
    for (Part& part : units[id].parts) part.runs = false;
    for (const Id child : units[id].below) settle(child, state);
  }

 private:
  void child_is_down(Id id, Id instance, std::uint64_t now) {
    const Id parent = units[id].parent;
    Unit& supervisor = units[parent];
    std::uint64_t recent = 1;
    for (const std::uint64_t time : supervisor.restarts) recent += time + supervisor.options.period_ns >= now ? 1 : 0;
    if (recent > supervisor.options.intensity) return crash(parent, now);
    supervisor.restarts.push_back(now);
    ++supervisor.restarts_ever;
    ready = now + wait_of(units[id].parts[instance], supervisor.options, now);
    units[id].parts[instance].repairs.push_back({now, ready});
    if (supervisor.options.strategy == Strategy::kOneForOne) {
      if (units[id].supervises) return begin(id, false);
      units[id].parts[instance].runs = true;
      ++units[id].parts[instance].generation;
      ++units[id].restarts_ever;
      return;
    }
    bool after = supervisor.options.strategy == Strategy::kOneForAll;
    for (const Id child : supervisor.below) {
      after = after || child == id;
      if (after) begin(child, false);
    }
  }

  void crash(Id id, std::uint64_t now) {
    units[id].parts[0].runs = false;
    if (units[id].parent == 0 || units[id].options.restart == Restart::kTemporary)
      return settle(id, ChildState::kFailed);
    child_is_down(id, 0, now);
  }

  void begin(Id id, bool afresh) {
    Unit& unit = units[id];
    if (unit.state != ChildState::kRunning) return;
    if (unit.options.restart == Restart::kTemporary) return settle(id, ChildState::kTerminated);
    for (Part& part : unit.parts) {
      if (part.ended) continue;
      part.runs = true;
      ++part.generation;
      if (!unit.supervises) ++unit.restarts_ever;
      if (afresh) part.repairs.clear();
    }
    unit.restarts.clear();
    for (const Id child : unit.below) begin(child, true);
  }

  // Looks back until a restart that was survived.
  static std::uint64_t wait_of(const Part& part, const SupervisorOptions& options, std::uint64_t now) {
    std::uint64_t wait = 0;
    std::uint64_t exit = now;
    for (std::size_t i = part.repairs.size(); i-- > 0 && exit <= part.repairs[i].ready + options.period_ns;) {
      wait = std::min(wait == 0 ? 2 * options.backoff_ns : 2 * wait, options.max_backoff_ns);
      exit = part.repairs[i].exit;
    }
    return wait;
  }
};

// ---- the world ----

class World {
 public:
  explicit World(const SupervisionTree& tree) : tree_(tree) {}

  void add(Id id, std::size_t instances) { runs_[id].assign(instances, true), begun_[id].assign(instances, 0); }
  void exited(Id id, std::size_t instance, bool for_good) { take(id, instance, for_good); }
  bool runs(Id id, std::size_t instance) const { return runs_.at(id)[instance]; }
  std::uint64_t begun(Id id, std::size_t instance) const { return begun_.at(id)[instance]; }

  void carry_out(const std::vector<Action>& actions, std::uint64_t ready_ns) {
    std::map<Id, Id> stopped, started;
    for (const Action& action : actions) {
      const bool starts = action.kind == Kind::kRestart;
      if (is_in_order(action, actions)) {
        const auto [last, is_first] = (starts ? started : stopped).try_emplace(tree_.parent(action.id), action.id);
        ASSERT_TRUE(is_first || (starts ? action.id > last->second : action.id < last->second)) << action.id;
        last->second = action.id;
      }
      if (starts)
        restart(action, ready_ns);
      else
        stop(action);
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  // Siblings are stopped from the last to the first and started from the first to the last; who failed is down already.
  static bool is_in_order(const Action& action, const std::vector<Action>& actions) {
    const bool hung = &action == actions.data() && action.kind == Kind::kFail;
    return action.instance == kAllInstances && action.kind != Kind::kSupervisorFailed && !hung;
  }

  void restart(const Action& action, std::uint64_t ready_ns) {
    ASSERT_EQ(action.not_before_ns, ready_ns);
    const Id parent = tree_.parent(action.id);
    ASSERT_TRUE(parent == 0 || runs(parent, 0)) << action.id << " starts without its supervisor";
    for (std::size_t i = 0; i < runs_[action.id].size(); ++i) {
      if (action.instance != kAllInstances && action.instance != i) continue;
      ASSERT_FALSE(runs(action.id, i)) << action.id << " runs already";
      ASSERT_FALSE((gone_[{action.id, i}])) << action.id << " is gone";
      runs_[action.id][i] = true;
      ++begun_[action.id][i];
    }
  }

  void stop(const Action& action) {
    const bool for_good = action.for_good || action.kind == Kind::kFail;
    for (std::size_t i = 0; i < runs_[action.id].size(); ++i)
      if (action.instance == kAllInstances || action.instance == i) take(action.id, i, for_good);
    if (!tree_.is_supervisor(action.id)) return;
    for (const auto& [id, parts] : runs_)
      ASSERT_TRUE(tree_.parent(id) != action.id || std::find(parts.begin(), parts.end(), true) == parts.end())
          << id << " runs on without its supervisor";
  }

  void take(Id id, std::size_t instance, bool for_good) {
    runs_[id][instance] = false;
    gone_[{id, instance}] |= for_good;
  }

  const SupervisionTree& tree_;
  std::map<Id, std::vector<bool>> runs_;
  std::map<Id, std::vector<std::uint64_t>> begun_;
  std::map<std::pair<Id, std::size_t>, bool> gone_;
};

// ---- the run ----

class RandomRun {
 public:
  explicit RandomRun(std::uint64_t seed) : random_(seed) {
    add_supervisor(0);
    for (std::uint64_t left = 2 + below(9); left-- > 0;) grow();
  }

  void go() {
    for (int step = 0; step < 80 && tree_.state(1) == ChildState::kRunning; ++step) {
      now_ += std::vector<std::uint64_t>{0, 0, 1, 2, 5, 9, 10, 11, 25}[below(9)];
      SCOPED_TRACE("step " + std::to_string(step));
      const std::uint64_t dice = below(40);
      if (dice == 0)
        grow();
      else if (dice == 1)
        remove(pick());
      else
        exit(pick(), dice);
      if (testing::Test::HasFatalFailure()) return;
      compare();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  Restart any_restart() { return static_cast<Restart>(std::vector<int>{0, 0, 0, 1, 1, 2}[below(6)]); }

  void grow() {
    std::vector<Id> supervisors;
    for (const auto& [id, unit] : model_.units)
      if (unit.supervises && unit.state == ChildState::kRunning) supervisors.push_back(id);
    const Id parent = supervisors[below(supervisors.size())];
    if (below(3) == 0) return add_supervisor(parent);
    Unit unit;
    unit.options.restart = any_restart();
    unit.parts.resize(1 + below(3));
    unit.parent = parent;
    const auto instances = static_cast<Id>(unit.parts.size());
    add(tree_.add_worker(parent, unit.options.restart, "w", instances), unit);
  }

  void add_supervisor(Id parent) {
    Unit unit;
    unit.options.strategy = static_cast<Strategy>(below(3));
    unit.options.intensity = static_cast<std::uint32_t>(below(5));
    unit.options.period_ns = 5 + 5 * below(2);
    unit.options.backoff_ns = std::vector<std::uint64_t>{0, 1, 3}[below(3)];
    unit.options.max_backoff_ns = std::vector<std::uint64_t>{1, 4, 1000}[below(3)];
    unit.options.restart = any_restart();
    unit.supervises = true;
    unit.parts.resize(1);
    unit.parent = parent;
    add(tree_.add_supervisor(parent, unit.options), unit);
  }

  void add(Id id, const Unit& unit) {
    model_.units[id] = unit;
    if (unit.parent != 0) model_.units[unit.parent].below.push_back(id);
    world_.add(id, unit.parts.size());
  }

  // A running worker, or 0.
  Id pick() {
    std::vector<Id> running;
    for (const auto& [id, unit] : model_.units)
      if (!unit.supervises && unit.state == ChildState::kRunning) running.push_back(id);
    return running.empty() ? 0 : running[below(running.size())];
  }

  void remove(Id worker) {
    if (worker == 0) return;
    const Id parent = model_.units[worker].parent;
    const Id id = parent != 1 && below(4) == 0 ? parent : worker;
    world_.carry_out(tree_.remove(id), 0);
    model_.settle(id, ChildState::kTerminated);
  }

  void exit(Id worker, std::uint64_t dice) {
    if (worker == 0) return grow();
    const Unit& unit = model_.units[worker];
    const Id instance = static_cast<Id>(below(unit.parts.size()));
    if (unit.parts[instance].ended) return;
    const bool hung = dice < 4, abnormal = hung || dice < 32;
    const bool for_good =
        unit.options.restart == Restart::kTemporary || (unit.options.restart == Restart::kTransient && !abnormal);
    const auto actions = tree_.on_exit(worker, instance, abnormal, !hung, now_);
    model_.exit(worker, instance, abnormal, hung, now_);
    world_.exited(worker, instance, for_good);
    world_.carry_out(actions, model_.ready);
  }

  void compare() {
    for (const auto& [id, unit] : model_.units) {
      ASSERT_EQ(tree_.state(id), unit.state) << id;
      ASSERT_EQ(tree_.restarts(id), unit.restarts_ever) << id;
      for (std::size_t i = 0; i < unit.parts.size(); ++i) {
        ASSERT_EQ(world_.runs(id, i), unit.parts[i].runs) << id << "." << i;
        ASSERT_EQ(world_.begun(id, i), unit.parts[i].generation) << id << "." << i;
        ASSERT_EQ(tree_.generation(id, static_cast<Id>(i)), unit.parts[i].generation) << id << "." << i;
      }
      if (unit.state != ChildState::kRunning) continue;
      std::vector<Id> children;
      for (const Id child : unit.below)
        if (model_.units[child].state == ChildState::kRunning) children.push_back(child);
      ASSERT_EQ(tree_.children(id), children) << id;
    }
  }

  std::mt19937_64 random_;
  SupervisionTree tree_;
  Model model_;
  World world_{tree_};
  std::uint64_t now_ = 100;
};

TEST(SupervisionModel, random_trees_do_what_the_model_does) {
  const char* given = std::getenv("RK_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  for (std::uint64_t seed = first; seed < first + 5000; ++seed) {
    SCOPED_TRACE("RK_SEED=" + std::to_string(seed));
    RandomRun(seed).go();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace rk
