// Carries out what the supervision tree decides: stops, restarts and fails kernels, on the scheduler's chore thread.
//
// An exit is reported when the instance's handler rests, and it rests until the verdict: to restart one instance needs
// nobody to stop. A sibling is stopped by holding its kernel; it is held until its restart.
//
// Protection: everything below mutex_: mutex_. restarting_ is taken before it. Chores run one at a time, and only they
// act on kernels, but for terminate() and close(): what these took out no chore touches any more.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ringkernel/runtime/kernel.h"
#include "ringkernel/runtime/supervision.h"

namespace rk {

struct SupervisionEvent {
  enum class Kind : std::uint8_t {
    kFailed,
    kExited,
    kHung,
    kStopped,
    kRestarted,
    kGaveUp,
    kSupervisorFailed,
    kRootFailed
  };
  Kind kind;
  std::string supervisor, child;
  std::uint32_t instance = 0;
  std::uint64_t generation = 0;
  std::string error;
  std::uint64_t hlc = 0;
};

const char* to_string(SupervisionEvent::Kind kind);

class Supervisors : public std::enable_shared_from_this<Supervisors> {
 public:
  static constexpr std::size_t kEventsKept = 1024;
  static constexpr std::uint64_t kShutdownNs = 5'000'000'000;  // a handler that takes longer to return is hung

  Supervisors(Scheduler& scheduler, Hlc& clock) : scheduler_(scheduler), clock_(clock) {}

  std::uint32_t add_supervisor(std::uint32_t parent, const SupervisorOptions& options);
  void add_worker(const std::shared_ptr<Kernel>& kernel);  // under options().supervisor
  void check_open(std::uint32_t supervisor);               // throws Error("SupervisorTerminatedError")

  // From a loop: the instance rests until it is decided about it. False: nobody supervises the kernel.
  bool on_exit(const std::shared_ptr<Kernel>& kernel, Address instance, bool abnormal, const std::string& error);
  void on_hung(const std::shared_ptr<Kernel>& kernel, const std::string& error);
  void on_end(const std::shared_ptr<Kernel>& kernel);  // its loop is over, for whatever reason
  // Its children end, the last one first. Returns the names of those whose handlers do not return.
  std::vector<std::string> terminate(std::uint32_t supervisor, std::uint64_t deadline_ns, const Kernel::Poll& poll);
  void close();
  // Told the name of a root that fails, on the chore thread.
  void on_root_failed(std::function<void(const std::string&)> tell) { root_failed_ = std::move(tell); }

  ChildState state(std::uint32_t id);
  std::uint64_t restarts(std::uint32_t id);
  std::vector<std::string> children(std::uint32_t id);
  std::vector<SupervisionEvent> events(std::uint32_t supervisor);

 private:
  using Kind = SupervisionEvent::Kind;
  struct Worker {
    std::shared_ptr<Kernel> kernel;
    // By instance: the restart that was decided and is not done. 0: none. A newer decision makes an older one void.
    std::vector<std::uint64_t> pending;
    bool held = false;  // until its restart
  };

  struct Exit {
    std::uint32_t worker = 0, instance = 0;
    std::optional<std::uint32_t> generation{};  // none: of the kernel, not of an incarnation
    bool abnormal = true, restartable = true;
    std::string error{};
  };
  void decide(const Exit& exit);
  bool is_void(const Exit& exit);
  void execute(const std::vector<Action>& actions);
  void stop(const Action& action, std::vector<std::uint32_t>* hung);
  void plan_restart(const Action& action);
  void restart(std::uint32_t worker, std::uint32_t instance, std::uint64_t order);
  void fail(std::uint32_t worker);
  bool wait_until_rests(std::uint32_t worker, Kernel& kernel);
  bool is_mine(std::uint32_t worker);
  static bool is_ending(const Worker& child);
  Worker* worker_of(std::uint32_t id);
  void note(Kind kind, std::uint32_t id, std::uint32_t instance, const std::string& error);

  Scheduler& scheduler_;
  Hlc& clock_;
  std::mutex mutex_;
  SupervisionTree tree_;
  std::unordered_map<std::uint32_t, Worker> workers_;
  std::deque<std::pair<std::uint32_t, SupervisionEvent>> events_;  // by supervisor
  bool closed_ = false;
  std::uint64_t orders_ = 0;
  std::function<void(const std::string&)> root_failed_;  // constant after init
  std::mutex restarting_;  // held while states are reset: who ends kernels waits for that, and then lets handlers run
};

}  // namespace rk
