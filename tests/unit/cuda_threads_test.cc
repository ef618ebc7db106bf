// Grids on a device of threads: they are pumped, wanted and not wanted, and step aside for memory and modules, at once.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

using namespace std::chrono_literals;

// One thread for each stream: takes its leases one after the other, each until its time is over or it is to leave.
class GridThread {
 public:
  explicit GridThread(ScriptGrid& grid) : grid_(grid), thread_([this] { run(); }) {}
  ~GridThread() {
    stop_ = true;
    thread_.join();
  }

  std::atomic<std::uint64_t> turns{0};
  std::atomic<std::uint64_t> out_of_order{0};

 private:
  // The oldest lease of this grid, which stays in its stream while it runs.
  std::deque<Launch>* my_stream() {
    for (ScriptStream& stream : the_script->streams) {
      if (!stream.launches.empty() && stream.launches.front().grid == &grid_) return &stream.launches;
    }
    return nullptr;
  }

  void run() {
    while (!stop_) {
      Launch lease{};
      {
        const std::lock_guard lock(script_mutex);
        if (const auto* launches = my_stream()) lease = launches->front();
      }
      lease.grid != nullptr ? run(lease) : std::this_thread::sleep_for(20us);
    }
  }

  void run(const Launch& lease) {
    if (load_relaxed(grid_.device.lease_ended) + 1 != lease.lease) ++out_of_order;
    store_release(grid_.device.lease_begun, lease.lease);
    const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(lease.lease_ns);
    while (load_acquire(grid_.host.leave) < lease.lease && std::chrono::steady_clock::now() < until) {
      ++turns;
      std::this_thread::yield();
    }
    store_release(grid_.device.lease_ended, lease.lease);
    const std::lock_guard lock(script_mutex);
    my_stream()->pop_front();
  }

  ScriptGrid& grid_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

using CudaThreads = CudaTest;

TEST_F(CudaThreads, GridsStepAsideForEachOthersMemoryAndGoOn) {
  constexpr int kGrids = 3, kTurns = 20;
  HeapOptions options = kSmallHeap;
  options.grow_patience_ns = options.copy_patience_ns = 60'000'000'000;
  script.attributes[Attribute::kSmCount] = 64;
  const auto heap = make_heap(options);
  const auto module = make_module(heap);
  std::vector<ScriptGrid> grids(kGrids);
  std::vector<std::unique_ptr<LeaseRunner>> runners;
  std::vector<std::unique_ptr<GridThread>> threads;
  for (ScriptGrid& grid : grids) {
    LeaseSpec spec;
    spec.label = "grid";
    spec.resident = &module->resident();
    spec.grid = reinterpret_cast<DeviceAddress>(&grid);
    spec.host_line = &grid.host;
    spec.device_line = &grid.device;
    spec.blocks = 2;
    spec.lease_ns = 300'000;
    spec.check_interval_ns = 100'000;
    runners.push_back(std::make_unique<LeaseRunner>(heap->shared_device(), spec));
    threads.push_back(std::make_unique<GridThread>(grid));
    runners.back()->want(true);
  }
  std::atomic<bool> stop{false};
  std::thread pump([&] {
    while (!stop) {
      for (const auto& runner : runners) runner->tick();
      std::this_thread::sleep_for(20us);
    }
  });
  std::thread moody([&] {
    for (int i = 0; i < kTurns; ++i) {
      runners[0]->want(i % 2 != 0);
      std::this_thread::sleep_for(1ms);
    }
    runners[0]->want(true);
  });
  std::vector<std::thread> users;
  for (std::size_t user = 0; user < 2; ++user) {
    users.emplace_back([&heap, user] {
      for (std::size_t i = 1; i <= kTurns; ++i) {
        const std::uint64_t word = user << 32 | i;
        std::uint64_t got = 0;
        const DeviceMemory memory = heap->device_memory(i * 3000);
        heap->write(memory.address(), &word, sizeof word);
        heap->read(&got, memory.address(), sizeof got);
        EXPECT_EQ(got, word);
        if (i % 5 == 0) make_module(heap);
      }
    });
  }
  for (std::thread& user : users) user.join();
  moody.join();
  for (std::size_t i = 0; i < kGrids; ++i) {
    const std::uint64_t before = threads[i]->turns;
    while (threads[i]->turns == before) std::this_thread::sleep_for(100us);  // it went on
    runners[i]->want(false);
    EXPECT_TRUE(runners[i]->wait_idle(HostAtomics::monotonic_ns() + 60'000'000'000));
    EXPECT_EQ(threads[i]->out_of_order, 0u);
  }
  stop = true;
  pump.join();
  EXPECT_GT(heap->use().growths, 1u);
  EXPECT_EQ(script.disturbed, 0);
}

}  // namespace
}  // namespace rk::cuda::test
