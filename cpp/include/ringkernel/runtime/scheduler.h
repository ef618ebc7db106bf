// N actors on M workers. An actor that has work is in the queue of one worker; a worker without work takes from others.
//
// A worker is a queue; the thread that serves it can be replaced. A handler that does not return
// (it sleeps, computes, hangs) keeps its thread, and after kBlockedNs another thread serves the worker's queue: one
// actor never stops the others. The blocked thread leaves when its handler returns.
//
// Two more threads, while there is something for them: one looks at the workers, one runs what was put off (restarts,
// watchdogs, callbacks), which may take its time.
//
// Edges
//   R1  replace -> serve   a thread that is no longer the worker's sees it after its handler returned
//   R2  run -> look        odd while the thread is in an actor; the same odd number twice is a thread that is blocked
//
// Protection: workers_, options_, cpus_: constant after init. A worker's queues: themselves. serving_: atomic (R1),
// written under mutex_. chores_, runners_, threads_ and which threads run: mutex_. stopping_: atomic (R1).
// Runner::runs: its thread writes (R2). Counters: S.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "ringkernel/core/parking.h"
#include "ringkernel/core/ready_queue.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk {

class Scheduler;
class Worker;

// A thread that serves a worker. It has the place to sleep, not the worker: the thread that it replaced may be asleep.
struct Runner {
  HostAtomics::Atomic<std::uint64_t> runs{0};  // R2
  Parking<HostAtomics> parking;
};

// An actor, as the scheduler sees it.
class Runnable : public ReadyNode<HostAtomics> {
 public:
  virtual ~Runnable() = default;
  // Marked, and taken from its queue. When it returns it has unmarked itself, or has handed itself to somebody else.
  virtual void run(Worker& worker) = 0;

  std::uint32_t home = 0;  // the worker whose queue it joins
  bool movable = true;     // other workers may take it
};

class Worker {
 public:
  bool has_work() const { return !shared_.looks_empty() || !pinned_.looks_empty(); }
  std::uint32_t index() const { return index_; }
  Scheduler& scheduler() const { return *scheduler_; }

 private:
  friend class Scheduler;
  void wake() {
    HostAtomics::fence_light();  // R1 after the push: whoever serves next looks for work when it has begun
    if (Runner* runner = serving_.load_acquire()) runner->parking.wake();  // R1
  }

  SharedReadyQueue<HostAtomics> shared_;
  SharedReadyQueue<HostAtomics> pinned_;
  HostAtomics::Atomic<Runner*> serving_{nullptr};  // R1
  HostAtomics::Atomic<std::uint64_t> steals_{0};   // S
  HostAtomics::Atomic<std::uint64_t> parks_{0};    // S
  std::uint32_t index_ = 0;
  Scheduler* scheduler_ = nullptr;
};

struct SchedulerStats {
  std::uint64_t workers = 0, threads = 0, steals = 0, parks = 0, replaced = 0;
};

class Scheduler : public std::enable_shared_from_this<Scheduler> {
 public:
  struct Options {
    std::uint32_t workers = 0;  // 0: as many as there are hardware threads, at least 2
    bool pin = false;           // each worker's thread on a core of its own
  };
  static constexpr std::uint64_t kLookNs = 5'000'000;  // between two looks at busy workers
  static constexpr std::uint32_t kMaxThreads = 512;

  explicit Scheduler(Options options);
  ~Scheduler();

  // `node` is marked by the caller.
  void submit(Runnable& node);
  std::uint32_t workers() const { return static_cast<std::uint32_t>(workers_.size()); }
  std::uint32_t next_home();

  // The calling thread is about to wait for others: if it serves a worker, another thread takes over at once.
  static void about_to_block();
  // Runs `hook` before the calling thread, one of a scheduler's, ends, and while its end is still waited for.
  static void before_thread_ends(std::function<void()> hook);

  // On a thread of its own, one after the other, soon or at a time.
  using Chore = std::function<void()>;
  void later(Chore chore, std::uint64_t not_before_ns = 0);

  // No thread takes new work; threads that are not in a handler end. True when all have ended by the deadline.
  bool stop(std::uint64_t deadline_ns);
  bool on_own_thread() const;
  SchedulerStats stats() const;

 private:
  void start(Worker& worker);
  void serve(Worker& worker, Runner& runner);
  Runnable* find_work(Worker& worker, bool* shared_first);
  void park(Worker& worker, Runner& runner);
  void watch();
  bool look_at_workers();
  bool can_help(const Worker& worker) const;
  bool hand_over(Worker& worker);
  void replace(Worker& worker, Runner& blocked);
  void run_chores();
  Runner& new_runner();
  template <class Body>
  bool spawn(Body body);

  Options options_;
  std::vector<int> cpus_;  // those of the thread that made the scheduler
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::uint64_t> seen_runs_;             // the watching thread's
  HostAtomics::Atomic<std::uint32_t> next_home_{1};  // S
  HostAtomics::Atomic<std::uint32_t> stopping_{0};   // R1
  HostAtomics::Atomic<std::uint64_t> replaced_{0};   // S
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable chore_came_;
  std::multimap<std::uint64_t, Chore> chores_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::vector<Runner*> unused_runners_;
  std::uint32_t threads_ = 0;
  bool watching_ = false;
  bool choring_ = false;
};

}  // namespace rk
