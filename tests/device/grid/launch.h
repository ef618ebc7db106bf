// Runs the device's half of a grid on threads, without the driver: each CUDA thread is one of ours.
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ringkernel/abi/types.h"

namespace rk_double {  // as tests/doubles/cuda/device_shim.h has them
struct Index {
  std::uint32_t x;
};
struct Thread {
  Index thread, block_index, block_size, grid_size;
  void* block;
  unsigned long long shared_used;
};
struct Table {
  void (*barrier)(void*);
  int (*barrier_and)(void*, int);
  std::uint32_t (*exchange)(void*, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t);
  void* (*shared)(void*, unsigned long long, unsigned long long, unsigned long long*);
  unsigned long long (*time)();
  void (*nap)(std::uint32_t);
  void (*trap)();
};
}  // namespace rk_double

extern "C" {
void rk_double_bind(const rk_double::Table* table);
void rk_double_run_rk_resident(const rk_double::Thread* thread, void** values);
void rk_double_run_rk_report_layout(const rk_double::Thread* thread, void** values);
}

namespace grid_test {

struct Warp {
  explicit Warp(unsigned lanes) : turn(static_cast<std::ptrdiff_t>(lanes)) {}
  std::barrier<> turn;
  std::uint32_t values[32] = {};
};

struct Block {
  explicit Block(unsigned threads) : turn(static_cast<std::ptrdiff_t>(threads)) {}
  std::barrier<> turn;
  std::atomic<int> refusals[2]{0, 0};
  std::mutex mutex;
  std::map<std::uint32_t, std::unique_ptr<Warp>> warps;
  std::map<unsigned long long, void*> shared;
  ~Block() {
    for (auto& [at, memory] : shared) std::free(memory);
  }
};

inline int vote(void* opaque, int value) {
  static thread_local unsigned count = 0;
  auto& block = *static_cast<Block*>(opaque);
  std::atomic<int>& refusals = block.refusals[count++ % 2];
  if (value == 0) ++refusals;
  block.turn.arrive_and_wait();
  const bool all = refusals == 0;
  block.turn.arrive_and_wait();
  if (value == 0) --refusals;
  return all ? 1 : 0;
}

inline std::uint32_t exchange(void* opaque, std::uint32_t warp, std::uint32_t mask, std::uint32_t own,
                              std::uint32_t value, std::uint32_t lane) {
  auto& block = *static_cast<Block*>(opaque);
  Warp* mine;
  {
    const std::lock_guard lock(block.mutex);
    auto& made = block.warps[warp];
    if (!made) made = std::make_unique<Warp>(static_cast<unsigned>(__builtin_popcount(mask)));
    mine = made.get();
  }
  mine->values[own] = value;
  mine->turn.arrive_and_wait();
  std::uint32_t result = 0;
  if (lane < 32) result = mine->values[lane];
  for (std::uint32_t n = 0; lane >= 32 && n < 32; ++n) {
    if ((mask >> n & 1) != 0 && mine->values[n] != 0) result |= 1u << n;
  }
  mine->turn.arrive_and_wait();
  return result;
}

inline void* shared_memory(void* opaque, unsigned long long bytes, unsigned long long align, unsigned long long* used) {
  auto& block = *static_cast<Block*>(opaque);
  const std::lock_guard lock(block.mutex);
  void*& memory = block.shared[*used];
  *used += 1;
  if (memory == nullptr) memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
  return memory;
}

inline const rk_double::Table kTable{
    [](void* block) { static_cast<Block*>(block)->turn.arrive_and_wait(); },
    vote,
    exchange,
    shared_memory,
    [] { return static_cast<unsigned long long>(std::chrono::system_clock::now().time_since_epoch().count()); },
    [](std::uint32_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); },
    [] { std::abort(); },
};

using Kernel = void (*)(const rk_double::Thread*, void**);

// Returns when all threads have.
inline void run(Kernel kernel, unsigned blocks, unsigned threads, std::vector<unsigned long long> arguments) {
  static std::once_flag bound;
  std::call_once(bound, [] { rk_double_bind(&kTable); });
  std::vector<std::unique_ptr<Block>> made;
  std::vector<std::thread> all;
  for (unsigned b = 0; b < blocks; ++b) {
    made.push_back(std::make_unique<Block>(threads));
    for (unsigned t = 0; t < threads; ++t) {
      all.emplace_back([&arguments, kernel, blocks, threads, b, t, block = made.back().get()] {
        std::vector<void*> values;
        std::vector<unsigned long long> copies = arguments;
        for (auto& one : copies) values.push_back(&one);
        const rk_double::Thread thread{{t}, {b}, {threads}, {blocks}, block, 0};
        kernel(&thread, values.data());
        block->turn.arrive_and_drop();
      });
    }
  }
  for (std::thread& one : all) one.join();
}

}  // namespace grid_test
