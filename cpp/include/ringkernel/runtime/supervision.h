// Who is restarted when a kernel fails: supervision as Erlang has it, as decisions only.
//
// The tree decides, its caller does. It has no thread, no lock and no clock, so that every rule can be tested by
// itself. The rules are those of OTP's supervisor (erlang.org/doc/apps/stdlib/supervisor.html), except for:
//   - A child that ended and is not restarted leaves the tree. OTP keeps a transient one, and starts it again when a
//     sibling fails; a kernel's name is free by then.
//   - A temporary child is never restarted, also not with its supervisor.
//   - A supervisor that gives up has failed, so that a transient one is restarted. In OTP it was shut down.
//   - A worker may be hung. No restart mends that: its supervisor gives up at once, and the worker stays behind.
//   - A restart may have to wait (backoff).
//
// Protection: single-threaded; the caller holds one lock around every call.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace rk {

enum class Strategy : std::uint8_t { kOneForOne, kOneForAll, kRestForOne };
enum class Restart : std::uint8_t { kPermanent, kTransient, kTemporary };
enum class ChildState : std::uint8_t { kRunning, kTerminated, kFailed };

struct SupervisorOptions {
  Strategy strategy = Strategy::kOneForOne;
  std::uint32_t intensity = 3;              // so many restarts within a period are fine, one more is not
  std::uint64_t period_ns = 5'000'000'000;  // a restart exactly one period ago still counts
  std::uint64_t backoff_ns = 0;             // the n-th restart in a row waits backoff * 2^(n-1), the first not at all
  std::uint64_t max_backoff_ns = 30'000'000'000;
  Restart restart = Restart::kPermanent;  // what its own supervisor does about it
  std::string name{};
};

constexpr std::uint32_t kAllInstances = ~std::uint32_t{0};

// What the caller shall do. Actions on supervisors only tell what happened to them.
struct Action {
  enum class Kind : std::uint8_t {
    kStop,              // stop, keep what waits; stopping what does not run is nothing
    kRestart,           // begin again at not_before_ns; kStop and kFail before then cancel it
    kFail,              // stop for good, mark FAILED
    kSupervisorFailed,  // its children are down, its parent answers
    kRootFailed,        // its children are down for good
  };
  Kind kind;
  std::uint32_t id;
  std::uint32_t instance = kAllInstances;  // all: those that have not ended by themselves
  std::uint64_t not_before_ns = 0;         // of kRestart, on the clock of now_ns
  bool for_good = false;                   // of kStop: no restart follows, the child is TERMINATED
};

// Ids count from 1 and are not used twice. Unknown ones throw InvalidArgumentError; those that ended throw
// SupervisorTerminatedError where something is to happen to them, and answer questions.
class SupervisionTree {
 public:
  // Parent 0: a root. Children start in the order in which they are added.
  std::uint32_t add_supervisor(std::uint32_t parent, SupervisorOptions options);
  std::uint32_t add_worker(std::uint32_t supervisor, Restart restart, std::string name, std::uint32_t instances = 1);

  // Takes it and everything below out. Returns what to stop, in order, itself last. A failed one becomes terminated.
  std::vector<Action> remove(std::uint32_t id);

  // An instance ended: `abnormal`, or at its own wish. Not `restartable`: it hangs, and the whole worker with it. An
  // exit that an earlier action caused, or of an earlier incarnation, is not to be reported. A worker that hangs while
  // it is stopped is reported after the other actions are done, without its restart.
  std::vector<Action> on_exit(std::uint32_t worker, std::uint32_t instance, bool abnormal, bool restartable,
                              std::uint64_t now_ns);

  bool is_supervisor(std::uint32_t id) const { return known(id).supervises; }
  ChildState state(std::uint32_t id) const { return known(id).state; }
  std::uint32_t parent(std::uint32_t id) const { return known(id).parent; }
  std::string name(std::uint32_t id) const { return known(id).options.name; }
  std::vector<std::uint32_t> children(std::uint32_t id) const { return known(id).children; }

  // Of a worker: how often its instances were restarted, added up, whatever the reason. Of a supervisor: how many exits
  // it answered with a restart; a group counts once.
  std::uint64_t restarts(std::uint32_t id) const { return known(id).restarts; }
  // How often this instance, or this supervisor itself, was restarted.
  std::uint64_t generation(std::uint32_t id, std::uint32_t instance = 0) const;

 private:
  struct Instance {
    std::uint64_t generation = 0;
    std::uint64_t ready_ns = 0;  // when the last restart for its own failure took effect
    std::uint32_t in_a_row = 0;  // restarts for its own failures, each within a period of the one before
    bool down = false;           // exited, or gave up, and is not restarted yet: only while a decision is made
    bool ended = false;          // for good
  };
  struct Node {
    SupervisorOptions options;  // of a worker: restart and name
    std::uint32_t parent = 0;
    bool supervises = false;
    bool had_failure = false;  // an instance ended for good by failing
    ChildState state = ChildState::kRunning;
    std::uint64_t restarts = 0;
    std::vector<Instance> instances;      // of a supervisor: one, itself
    std::vector<std::uint32_t> children;  // in start order
    std::deque<std::uint64_t> recent_ns;  // restarts that may count against the intensity, oldest first
  };
  using Actions = std::vector<Action>;

  const Node& known(std::uint32_t id) const;
  Node& node(std::uint32_t id) { return nodes_[id - 1]; }
  Node& running(std::uint32_t id);
  std::uint32_t add(std::uint32_t parent, Node made);

  bool may_restart(Node& supervisor, std::uint64_t now_ns);
  static std::uint64_t backoff_of(Instance& child, const SupervisorOptions& options, std::uint64_t now_ns);
  void restart(std::uint32_t id, std::uint32_t instance, std::uint64_t now_ns, Actions* actions);
  void escalate(std::uint32_t supervisor, std::uint64_t now_ns, Actions* actions);
  void give_up(std::uint32_t supervisor, bool revived, Actions* actions);

  void start(std::uint32_t id, std::uint32_t instance, std::uint64_t at_ns, Actions* actions);
  void start_below(std::uint32_t supervisor, std::uint64_t at_ns, Actions* actions);
  void stop(std::uint32_t id, Actions* actions);
  void stop_running(std::uint32_t worker, Actions* actions);
  void end(std::uint32_t id, ChildState state, Actions* actions);
  void end_instance(std::uint32_t worker, std::uint32_t instance, bool abnormal, Actions* actions);
  void leave(std::uint32_t id, ChildState state);

  std::vector<Node> nodes_;  // by id - 1
};

}  // namespace rk
