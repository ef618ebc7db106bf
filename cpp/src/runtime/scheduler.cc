#include "ringkernel/runtime/scheduler.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace rk {
namespace {

constinit thread_local const Scheduler* scheduler_of_this_thread = nullptr;
constinit thread_local Worker* worker_of_this_thread = nullptr;
constinit thread_local Runner* runner_of_this_thread = nullptr;
thread_local std::vector<std::function<void()>> end_hooks;

std::vector<int> cpus_of_this_thread() {
  std::vector<int> cpus;
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
#endif
  return cpus;
}

// Where it is refused, the thread stays where it is.
void run_this_thread_on([[maybe_unused]] const std::vector<int>& cpus) {
#if defined(__linux__)
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const int cpu : cpus) CPU_SET(cpu, &wanted);
  if (!cpus.empty()) pthread_setaffinity_np(pthread_self(), sizeof(wanted), &wanted);
#endif
}

}  // namespace

Scheduler::Scheduler(Options options) : options_(options), cpus_(cpus_of_this_thread()) {
  if (options_.workers == 0) options_.workers = std::max(2u, std::thread::hardware_concurrency());
  for (std::uint32_t i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->index_ = i;
    workers_.back()->scheduler_ = this;
  }
  seen_runs_.resize(workers_.size());
}

Scheduler::~Scheduler() = default;

// Worker 0 is where handlers live that share a lock; the others come first for everybody else.
std::uint32_t Scheduler::next_home() { return next_home_.fetch_add_relaxed(1) % workers(); }  // S

void Scheduler::submit(Runnable& node) {
  Worker& worker = *workers_[node.home];
  (node.movable ? worker.shared_ : worker.pinned_).push(node);
  if (worker.serving_.load_acquire() == nullptr) start(worker);  // R1
  worker.wake();
}

// -- threads ----------------------------------------------------------------------------------------------------------

// Detached: a thread that hangs in a handler must not hang whoever ends the scheduler. They are counted instead. Under
// mutex_. False: the system has no thread for us now; whoever needs it asks again.
template <class Body>
bool Scheduler::spawn(Body body) {
  auto run = [self = shared_from_this(), body = std::move(body)]() mutable {
    scheduler_of_this_thread = self.get();
    run_this_thread_on(self->cpus_);  // not on those of the thread that happened to need this one
    body();
    for (auto& hook : end_hooks) hook();
    end_hooks.clear();
    {
      const std::lock_guard lock(self->mutex_);
      --self->threads_;
      self->changed_.notify_all();
    }
    self.reset();
  };
  try {
    std::thread(std::move(run)).detach();
  } catch (const std::system_error&) {
    return false;
  }
  ++threads_;
  return true;
}

Runner& Scheduler::new_runner() {
  if (!unused_runners_.empty()) {
    Runner& runner = *unused_runners_.back();
    unused_runners_.pop_back();
    runner.runs.store_relaxed(0);  // R2 its thread has left it
    return runner;
  }
  runners_.push_back(std::make_unique<Runner>());
  return *runners_.back();
}

void Scheduler::start(Worker& worker) {
  const std::lock_guard lock(mutex_);
  if (worker.serving_.load_relaxed() != nullptr || stopping_.load_relaxed() != 0) return;  // R1 written under mutex_
  if (!watching_) watching_ = spawn([this] { watch(); });
  hand_over(worker);
}

// To a new thread, under mutex_, for which it waits.
bool Scheduler::hand_over(Worker& worker) {
  Runner& runner = new_runner();
  if (!spawn([this, &worker, &runner] { serve(worker, runner); })) {
    unused_runners_.push_back(&runner);
    return false;
  }
  worker.serving_.store_release(&runner);  // R1
  return true;
}

void Scheduler::serve(Worker& worker, Runner& runner) {
  {
    const std::lock_guard until_handed_over(mutex_);
  }
  if (options_.pin && !cpus_.empty()) run_this_thread_on({cpus_[worker.index_ % cpus_.size()]});
  worker_of_this_thread = &worker;
  runner_of_this_thread = &runner;
  bool shared_first = false;
  while (worker.serving_.load_acquire() == &runner) {  // R1
    Runnable* node = find_work(worker, &shared_first);
    if (node == nullptr) {
      if (stopping_.load_acquire() != 0) return;  // R1
      park(worker, runner);
      continue;
    }
    runner.runs.store_relaxed(runner.runs.load_relaxed() + 1);  // R2
    node->run(worker);
    runner.runs.store_relaxed(runner.runs.load_relaxed() + 1);  // R2
  }
  const std::lock_guard lock(mutex_);
  unused_runners_.push_back(&runner);
}

// Its two queues take turns: an actor in one that is always ready must not keep the other waiting.
Runnable* Scheduler::find_work(Worker& worker, bool* shared_first) {
  auto& first = *shared_first ? worker.shared_ : worker.pinned_;
  auto& second = *shared_first ? worker.pinned_ : worker.shared_;
  *shared_first = !*shared_first;
  if (auto* node = first.try_pop()) return static_cast<Runnable*>(node);
  if (auto* node = second.try_pop()) return static_cast<Runnable*>(node);
  for (std::uint32_t i = 1; i < workers(); ++i) {
    Worker& other = *workers_[(worker.index_ + i) % workers()];
    if (auto* node = other.shared_.try_pop()) {
      worker.steals_.store_relaxed(worker.steals_.load_relaxed() + 1);  // S
      return static_cast<Runnable*>(node);
    }
  }
  return nullptr;
}

bool Scheduler::can_help(const Worker& worker) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [&](const auto& other) { return other.get() != &worker && !other->shared_.looks_empty(); });
}

// Who spins is the actor that ran last, for the next message of its conversation; a worker just sleeps. The watching
// thread wakes it for the work of others.
void Scheduler::park(Worker& worker, Runner& runner) {
  worker.parks_.store_relaxed(worker.parks_.load_relaxed() + 1);  // S
  const auto wanted = [&] {
    const bool mine = worker.serving_.load_relaxed() == &runner && stopping_.load_relaxed() == 0;  // R1
    return !mine || worker.has_work() || can_help(worker);
  };
  runner.parking.wait(wanted, kNoDeadline, 0);
}

// -- the watching thread ----------------------------------------------------------------------------------------------

// Every few milliseconds while there is something to see, 20 times a second else.
void Scheduler::watch() {
  unsigned quiet = 0;
  std::unique_lock lock(mutex_);
  while (stopping_.load_relaxed() == 0) {  // R1 under mutex_
    changed_.wait_for(lock, std::chrono::nanoseconds(quiet > 20 ? 10 * kLookNs : kLookNs));
    lock.unlock();
    quiet = look_at_workers() ? 0 : quiet + 1;
    lock.lock();
  }
}

bool Scheduler::look_at_workers() {
  bool busy = false;
  for (const auto& worker : workers_) {
    Runner* runner = worker->serving_.load_acquire();  // R1
    if (runner == nullptr) {
      if (worker->has_work()) start(*worker);  // there was no thread for it
      continue;
    }
    const std::uint64_t runs = runner->runs.load_relaxed();  // R2
    const bool stuck = runs % 2 == 1 && runs == seen_runs_[worker->index_];
    busy |= runs % 2 == 1 || runs != seen_runs_[worker->index_];
    seen_runs_[worker->index_] = runs;
    if (!worker->has_work()) continue;
    for (const auto& other : workers_) {  // those that sleep, or were never needed, may help
      if (other == worker || worker->shared_.looks_empty()) continue;
      if (other->serving_.load_relaxed() == nullptr) start(*other);  // R1
      other->wake();
    }
    if (stuck) replace(*worker, *runner);
  }
  return busy;
}

void Scheduler::replace(Worker& worker, Runner& blocked) {
  const std::lock_guard lock(mutex_);
  if (worker.serving_.load_relaxed() != &blocked || stopping_.load_relaxed() != 0) return;  // R1
  if (threads_ >= kMaxThreads || !hand_over(worker)) return;
  replaced_.fetch_add_relaxed(1);  // S
  blocked.parking.wake();          // its handler may have returned just now, and it sleeps
}

void Scheduler::about_to_block() {
  Worker* worker = worker_of_this_thread;
  if (worker != nullptr) worker->scheduler_->replace(*worker, *runner_of_this_thread);
}

void Scheduler::before_thread_ends(std::function<void()> hook) { end_hooks.push_back(std::move(hook)); }

// -- chores -----------------------------------------------------------------------------------------------------------

void Scheduler::later(Chore chore, std::uint64_t not_before_ns) {
  const std::lock_guard lock(mutex_);
  if (stopping_.load_relaxed() != 0) return;  // R1
  chores_.emplace(not_before_ns, std::move(chore));
  if (!choring_) choring_ = spawn([this] { run_chores(); });
  chore_came_.notify_all();
}

void Scheduler::run_chores() {
  std::unique_lock lock(mutex_);
  while (stopping_.load_relaxed() == 0) {  // R1 under mutex_
    const std::uint64_t now = HostAtomics::monotonic_ns();
    if (chores_.empty()) {
      chore_came_.wait(lock);
    } else if (chores_.begin()->first > now) {
      chore_came_.wait_for(lock, std::chrono::nanoseconds(chores_.begin()->first - now));
    } else {
      Chore chore = std::move(chores_.extract(chores_.begin()).mapped());
      lock.unlock();
      chore();
      chore = nullptr;  // what it holds may end here, and need the lock
      lock.lock();
    }
  }
}

// -- the end ----------------------------------------------------------------------------------------------------------

bool Scheduler::stop(std::uint64_t deadline_ns) {
  std::unique_lock lock(mutex_);
  stopping_.store_release(1);  // R1
  auto dropped = std::move(chores_);
  chores_.clear();
  lock.unlock();
  dropped.clear();  // what they hold may end here
  for (const auto& worker : workers_) worker->wake();
  lock.lock();
  chore_came_.notify_all();
  changed_.notify_all();
  const std::uint32_t own = on_own_thread() ? 1 : 0;
  while (threads_ > own) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    if (now >= deadline_ns) return false;
    changed_.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(deadline_ns - now, 50'000'000)));
  }
  return true;
}

bool Scheduler::on_own_thread() const { return scheduler_of_this_thread == this; }

SchedulerStats Scheduler::stats() const {
  SchedulerStats sum;
  sum.workers = workers_.size();
  for (const auto& worker : workers_) {
    sum.steals += worker->steals_.load_relaxed();  // S
    sum.parks += worker->parks_.load_relaxed();    // S
  }
  sum.replaced = replaced_.load_relaxed();  // S
  const std::lock_guard lock(mutex_);
  sum.threads = threads_;
  return sum;
}

}  // namespace rk
