#include "ringkernel/runtime/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace rk {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t kSecond = 1'000'000'000;

std::uint64_t in(std::uint64_t ns) { return HostAtomics::monotonic_ns() + ns; }

// Looks until it is so. Long enough that only something lost makes it false.
template <class Condition>
bool eventually(Condition&& condition) {
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(100us);
  }
  return true;
}

class Door {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// An actor with a number of pieces of work: whoever gives one wakes it, as a message would.
class Task final : public Runnable {
 public:
  explicit Task(std::function<void(Worker&)> body = {}, std::uint32_t at = 0, bool may_move = true)
      : body_(std::move(body)) {
    home = at;
    movable = may_move;
  }

  void give(Scheduler& scheduler) {
    given_.fetch_add(1, std::memory_order_relaxed);
    if (mark()) scheduler.submit(*this);
  }

  void run(Worker& worker) override {
    do {
      EXPECT_FALSE(running_.exchange(true)) << "two threads at a time";
      std::uint64_t done = done_.load();
      while (done < given_.load(std::memory_order_relaxed)) {
        if (body_) body_(worker);
        done_.store(++done);
      }
      running_.store(false);
      unmark();
      if (done == given_.load(std::memory_order_relaxed)) return;
    } while (mark());
  }

  std::uint64_t done() const { return done_.load(); }

 private:
  std::function<void(Worker&)> body_;
  std::atomic<std::uint64_t> given_{0}, done_{0};
  std::atomic<bool> running_{false};
};

class SchedulerTest : public testing::Test {
 protected:
  // Before what its tasks refer to goes.
  void TearDown() override {
    if (scheduler_ != nullptr) finish();
  }
  void finish() {
    EXPECT_TRUE(scheduler_->stop(in(60 * kSecond)));
    EXPECT_EQ(scheduler_->stats().threads, 0u);
  }
  Scheduler& start(std::uint32_t workers, bool pin = false) {
    scheduler_ = std::make_shared<Scheduler>(Scheduler::Options{workers, pin});
    return *scheduler_;
  }
  bool all_done(const std::deque<Task>& tasks, std::uint64_t each = 1) {
    return eventually(
        [&] { return std::all_of(tasks.begin(), tasks.end(), [&](const Task& task) { return task.done() == each; }); });
  }

  std::deque<Task> tasks_;
  std::shared_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, there_are_at_least_two_workers_and_no_thread_without_work) {
  const Scheduler& scheduler = start(0);
  EXPECT_GE(scheduler.workers(), 2u);
  EXPECT_EQ(scheduler.stats().threads, 0u);
}

TEST_F(SchedulerTest, homes_go_around) {
  Scheduler& scheduler = start(3);
  for (const std::uint32_t home : {1u, 2u, 0u, 1u}) EXPECT_EQ(scheduler.next_home(), home);
}

TEST_F(SchedulerTest, a_worker_runs_what_waits_in_the_order_of_its_coming) {
  for (const bool movable : {true, false}) {
    Scheduler& scheduler = start(1);
    Door door;
    std::mutex mutex;
    std::vector<int> order;
    Task first([&](Worker&) { door.pass(); });
    std::deque<Task> tasks;
    for (int n = 0; n < 100; ++n) {
      tasks.emplace_back(
          [&, n](Worker&) {
            const std::lock_guard lock(mutex);
            order.push_back(n);
          },
          0, movable);
    }
    first.give(scheduler);
    for (Task& task : tasks) task.give(scheduler);
    door.open();
    ASSERT_TRUE(all_done(tasks));
    std::vector<int> expected(100);
    for (int n = 0; n < 100; ++n) expected[static_cast<std::size_t>(n)] = n;
    EXPECT_EQ(order, expected);
    EXPECT_TRUE(scheduler.stop(in(60 * kSecond)));
  }
  finish();
}

TEST_F(SchedulerTest, what_is_given_while_it_runs_is_run_too) {
  Scheduler& scheduler = start(2);
  std::atomic<std::uint64_t> ran{0};
  Task& task = tasks_.emplace_back([&](Worker&) { ++ran; });
  constexpr std::uint64_t kThreads = 4, kEach = 20'000;
  std::vector<std::thread> givers;
  for (std::uint64_t n = 0; n < kThreads; ++n) {
    givers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) task.give(scheduler);
    });
  }
  for (auto& giver : givers) giver.join();
  EXPECT_TRUE(eventually([&] { return ran == kThreads * kEach; }));
  finish();
}

TEST_F(SchedulerTest, many_nodes_are_each_run_as_often_as_they_were_given) {
  constexpr std::uint64_t kNodes = 20'000, kThreads = 4, kTimes = 3;
  Scheduler& scheduler = start(4);
  for (std::uint64_t n = 0; n < kNodes; ++n) {
    tasks_.emplace_back(std::function<void(Worker&)>{}, scheduler.next_home(), n % 3 != 0);
  }
  std::vector<std::thread> givers;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    givers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kTimes; ++i) {
        for (Task& task : tasks_) task.give(scheduler);
      }
    });
  }
  for (auto& giver : givers) giver.join();
  EXPECT_TRUE(all_done(tasks_, kThreads * kTimes));
}

// One push at a time against a worker that is always about to sleep: what it misses is never run.
TEST_F(SchedulerTest, a_worker_that_falls_asleep_misses_nothing) {
  Scheduler& scheduler = start(2);
  Task& a = tasks_.emplace_back();
  Task& b = tasks_.emplace_back();
  for (std::uint64_t n = 1; n <= 3000; ++n) {
    a.give(scheduler);
    std::thread other;
    if (n % 50 == 0) other = std::thread([&] { b.give(scheduler); });
    ASSERT_TRUE(eventually([&] { return a.done() == n; }));
    if (other.joinable()) other.join();
  }
  EXPECT_TRUE(eventually([&] { return b.done() == 60; }));
}

// -- other workers ----------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, a_worker_that_sleeps_is_woken_to_help) {
  Scheduler& scheduler = start(2);
  Task& first = tasks_.emplace_back(std::function<void(Worker&)>{}, 1);
  first.give(scheduler);
  ASSERT_TRUE(eventually([&] { return first.done() == 1 && scheduler.stats().parks != 0; }));
  // Short enough that nobody is blocked: worker 0 alone would take them one after the other.
  std::atomic<std::uint64_t> on_other{0};
  const auto busy = [&](Worker& worker) {
    if (worker.index() != 0) ++on_other;
    const std::uint64_t until = in(1'000'000);
    while (HostAtomics::monotonic_ns() < until) HostAtomics::pause();
  };
  for (int n = 0; n < 200; ++n) tasks_.emplace_back(busy, 0);
  ASSERT_TRUE(eventually([&] {
    for (Task& task : tasks_) task.give(scheduler);
    return on_other != 0;
  }));
  EXPECT_NE(scheduler.stats().steals, 0u);
  finish();
}

TEST_F(SchedulerTest, a_pinned_node_never_moves) {
  constexpr std::uint32_t kWorkers = 3;
  Scheduler& scheduler = start(kWorkers, true);
  std::atomic<std::uint64_t> moved{0};
  for (std::uint32_t n = 0; n < 300; ++n) {
    const std::uint32_t home = n % kWorkers;
    tasks_.emplace_back(
        [&moved, home, n](Worker& worker) {
          if (worker.index() != home) ++moved;
          if (n % 100 == 0) std::this_thread::sleep_for(20ms);  // somebody else serves the worker meanwhile
        },
        home, false);
  }
  for (int times = 0; times < 3; ++times) {
    for (Task& task : tasks_) task.give(scheduler);
  }
  EXPECT_TRUE(all_done(tasks_, 3));
  EXPECT_EQ(moved, 0u);
  finish();
}

// Hands itself back with work left, as an actor does whose inbox is never empty.
class Eternal final : public Runnable {
 public:
  explicit Eternal(bool may_move) { movable = may_move; }
  void run(Worker& worker) override {
    ++runs;
    if (over) {
      ended = true;
    } else {
      worker.scheduler().submit(*this);  // still marked
    }
  }
  std::atomic<std::uint64_t> runs{0};
  std::atomic<bool> over{false}, ended{false};
};

TEST_F(SchedulerTest, who_is_always_ready_in_one_queue_does_not_starve_the_other) {
  for (const bool movable : {true, false}) {
    Scheduler& scheduler = start(1);
    Eternal eternal(movable);
    Task other({}, 0, !movable);
    ASSERT_TRUE(eternal.mark());
    scheduler.submit(eternal);
    ASSERT_TRUE(eventually([&] { return eternal.runs > 100; }));
    for (std::uint64_t n = 1; n <= 3; ++n) {
      other.give(scheduler);
      EXPECT_TRUE(eventually([&] { return other.done() == n; }));
    }
    const std::uint64_t before = eternal.runs;
    EXPECT_TRUE(eventually([&] { return eternal.runs > before; }));
    eternal.over = true;
    EXPECT_TRUE(eventually([&] { return eternal.ended.load(); }));
    finish();
  }
}

// -- blocked threads --------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, a_blocked_thread_is_replaced_and_the_others_go_on) {
  Scheduler& scheduler = start(1);
  Door door;
  Task& blocked = tasks_.emplace_back([&](Worker&) { door.pass(); });
  for (int n = 0; n < 10; ++n) tasks_.emplace_back(std::function<void(Worker&)>{}, 0, n % 2 == 0);
  for (Task& task : tasks_) task.give(scheduler);
  EXPECT_TRUE(eventually([&] {
    return std::all_of(tasks_.begin() + 1, tasks_.end(), [](const Task& task) { return task.done() == 1; });
  }));
  EXPECT_EQ(blocked.done(), 0u);
  EXPECT_GE(scheduler.stats().replaced, 1u);
  door.open();
  EXPECT_TRUE(eventually([&] { return blocked.done() == 1; }));
  EXPECT_TRUE(eventually([&] { return scheduler.stats().threads <= 2; })) << "who was replaced leaves";
  finish();
}

TEST_F(SchedulerTest, replacements_are_replaced_too) {
  Scheduler& scheduler = start(2);
  Door door;
  std::atomic<int> inside{0};
  for (int n = 0; n < 10; ++n) {
    tasks_.emplace_back(
        [&](Worker&) {
          ++inside;
          door.pass();
        },
        0, n % 2 == 0);
  }
  for (Task& task : tasks_) task.give(scheduler);
  EXPECT_TRUE(eventually([&] { return inside == 10; })) << "all of them at once";
  door.open();
  EXPECT_TRUE(all_done(tasks_));
  finish();
}

TEST_F(SchedulerTest, who_says_that_it_will_block_is_replaced_before) {
  Scheduler& scheduler = start(1);
  Scheduler::about_to_block();  // not one of ours
  Door door;
  tasks_.emplace_back([&](Worker&) {
    Scheduler::about_to_block();
    EXPECT_EQ(scheduler.stats().replaced, 1u);
    Scheduler::about_to_block();
    EXPECT_EQ(scheduler.stats().replaced, 1u) << "once is enough";
    door.pass();
  });
  tasks_.emplace_back([&](Worker&) { door.open(); });
  for (Task& task : tasks_) task.give(scheduler);
  EXPECT_TRUE(all_done(tasks_));
  finish();
}

// A handler returns just when it is replaced: its thread, which may sleep by then, has to leave all the same.
TEST_F(SchedulerTest, who_is_replaced_at_its_return_does_not_sleep_for_ever) {
  for (int round = 0; round < 12; ++round) {
    Scheduler& scheduler = start(2);
    std::deque<Task> tasks;
    for (int n = 0; n < 8; ++n) {
      const auto takes =
          std::chrono::nanoseconds(Scheduler::kLookNs * 2 - 300'000 + static_cast<std::uint64_t>(round) * 50'000);
      tasks.emplace_back([takes](Worker&) { std::this_thread::sleep_for(takes); });
    }
    for (Task& task : tasks) task.give(scheduler);
    ASSERT_TRUE(all_done(tasks));
    ASSERT_TRUE(scheduler.stop(in(60 * kSecond))) << "round " << round;
  }
}

// -- chores -----------------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, chores_run_at_their_time_and_in_its_order) {
  Scheduler& scheduler = start(1);
  std::mutex mutex;
  std::vector<int> order;
  std::atomic<int> early{0};
  const auto note = [&](int what, std::uint64_t not_before) {
    return [&, what, not_before] {
      if (HostAtomics::monotonic_ns() < not_before) ++early;
      const std::lock_guard lock(mutex);
      order.push_back(what);
    };
  };
  Door door;
  scheduler.later([&] { door.pass(); });
  const std::uint64_t soon = in(5'000'000);
  for (int n : {3, 1, 4, 2}) {
    const std::uint64_t at = soon + static_cast<std::uint64_t>(n) * 5'000'000;
    scheduler.later(note(n, at), at);
  }
  scheduler.later(note(5, soon + 20'000'000), soon + 20'000'000);  // behind 4, which has the same time
  scheduler.later(note(0, 0));
  door.open();
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return order.size() == 6;
  }));
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(early, 0);
  finish();
}

TEST_F(SchedulerTest, an_earlier_chore_is_not_kept_by_a_later_one) {
  Scheduler& scheduler = start(1);
  std::atomic<bool> ran{false};
  scheduler.later([] { FAIL() << "its time has not come"; }, in(3600 * kSecond));
  std::this_thread::sleep_for(5ms);
  scheduler.later([&] { ran = true; }, in(1'000'000));
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
  finish();
}

TEST_F(SchedulerTest, what_a_chore_holds_may_ask_the_scheduler_when_it_ends) {
  Scheduler& scheduler = start(1);
  std::atomic<bool> ran{false};
  struct Last {
    Scheduler& scheduler;
    std::atomic<bool>& ran;
    ~Last() {
      scheduler.later([&ran = ran] { ran = true; });
    }
  };
  scheduler.later([last = std::make_shared<Last>(scheduler, ran)] { (void)last; });
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
  finish();
}

TEST_F(SchedulerTest, a_chore_that_hangs_stops_no_actor) {
  Scheduler& scheduler = start(1);
  Door door;
  scheduler.later([&] { door.pass(); });
  tasks_.emplace_back().give(scheduler);
  EXPECT_TRUE(all_done(tasks_));
  door.open();
  finish();
}

// -- the end ----------------------------------------------------------------------------------------------------------

TEST_F(SchedulerTest, a_stop_with_a_hung_thread_returns_at_its_deadline) {
  Scheduler& scheduler = start(2);
  Door door;
  Task& hung = tasks_.emplace_back([&](Worker&) { door.pass(); });
  std::atomic<bool> inside{false};
  tasks_.emplace_back([&](Worker&) { inside = true; }, 1);
  for (Task& task : tasks_) task.give(scheduler);
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  const std::uint64_t deadline = in(20'000'000);
  EXPECT_FALSE(scheduler.stop(deadline));
  EXPECT_GE(HostAtomics::monotonic_ns(), deadline);
  EXPECT_FALSE(scheduler.stop(0)) << "a deadline of the past";
  EXPECT_EQ(hung.done(), 0u);
  door.open();
  EXPECT_TRUE(scheduler.stop(in(60 * kSecond)));
  EXPECT_EQ(hung.done(), 1u);
  finish();
}

TEST_F(SchedulerTest, after_a_stop_nothing_is_run) {
  Scheduler& scheduler = start(2);
  tasks_.emplace_back().give(scheduler);
  ASSERT_TRUE(all_done(tasks_));
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  scheduler.later([held = std::move(held)] { FAIL() << "its time has not come"; }, in(3600 * kSecond));
  EXPECT_TRUE(scheduler.stop(in(60 * kSecond)));
  EXPECT_TRUE(watched.expired()) << "what chores hold goes with them";
  EXPECT_TRUE(scheduler.stop(0)) << "once more";
  std::atomic<bool> ran{false};
  Task late([&](Worker&) { ran = true; });
  late.give(scheduler);
  scheduler.later([&] { ran = true; });
  std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(ran);
  EXPECT_EQ(scheduler.stats().threads, 0u);
  finish();
}

TEST_F(SchedulerTest, one_of_its_own_threads_may_stop_it) {
  Scheduler& scheduler = start(2);
  std::atomic<int> stopped{-1};
  EXPECT_FALSE(scheduler.on_own_thread());
  tasks_
      .emplace_back([&](Worker& worker) {
        EXPECT_TRUE(scheduler.on_own_thread());
        EXPECT_EQ(&worker.scheduler(), &scheduler);
        stopped = scheduler.stop(in(60 * kSecond)) ? 1 : 0;
      })
      .give(scheduler);
  EXPECT_TRUE(eventually([&] { return stopped != -1; }));
  EXPECT_EQ(stopped, 1);
  finish();
}

TEST_F(SchedulerTest, its_threads_keep_it_until_they_end) {
  auto door = std::make_shared<Door>();
  std::weak_ptr<Scheduler> watched;
  Task task([door](Worker&) { door->pass(); });
  {
    auto scheduler = std::make_shared<Scheduler>(Scheduler::Options{1, false});
    watched = scheduler;
    task.give(*scheduler);
    ASSERT_TRUE(eventually([&] { return scheduler->stats().threads != 0; }));
    EXPECT_FALSE(scheduler->stop(0));
  }
  EXPECT_FALSE(watched.expired());
  door->open();
  EXPECT_TRUE(eventually([&] { return watched.expired(); }));
  EXPECT_EQ(task.done(), 1u);
}

TEST_F(SchedulerTest, hooks_run_before_the_end_of_a_thread_is_seen) {
  Scheduler& scheduler = start(1);
  std::atomic<int> hooks{0};
  tasks_.emplace_back([&](Worker&) { Scheduler::before_thread_ends([&] { ++hooks; }); }).give(scheduler);
  ASSERT_TRUE(all_done(tasks_));
  EXPECT_EQ(hooks, 0);
  EXPECT_TRUE(scheduler.stop(in(60 * kSecond)));
  EXPECT_EQ(hooks, 1);
  finish();
}

}  // namespace
}  // namespace rk
