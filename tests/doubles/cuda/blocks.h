// A grid on threads of the CPU: one for each CUDA thread.
//
// Protection: BlockTurn, Exchange, Block: their mutexes; BlockTurn::results_ is published by round_. Grid: constant
// while it runs, but for `living`. Shared memory of a block: the kernel's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "results.h"

namespace rk_double {

class Device;

struct Index {
  unsigned x;
};
// As in device_shim.h.
struct Thread {
  Index thread, block_index, block_size, grid_size;
  void* block;
  unsigned long long shared_used;
};
struct Table {
  void (*barrier)(void* block);
  int (*barrier_and)(void* block, int vote);
  unsigned (*exchange)(void* block, unsigned warp, unsigned mask, unsigned own_lane, unsigned value, unsigned lane);
  void* (*shared)(void* block, unsigned long long bytes, unsigned long long align, unsigned long long* used);
  unsigned long long (*time)();
  void (*nap)(unsigned ns);
  void (*trap)();
};

// Thrown through device code that traps, and through all of it once its device is dead.
struct Gone {};

// All threads that have not left, as on sm_70 and later.
class BlockTurn {
 public:
  explicit BlockTurn(unsigned threads) : living_(threads) {}
  int wait(int vote);  // 1: all votes were not 0
  void leave();
  void kill();

 private:
  void release();

  std::mutex mutex_;
  unsigned living_, arrived_ = 0;
  bool all_ = true, killed_ = false;
  bool results_[2] = {};  // of the last two rounds: nobody is three rounds behind
  std::atomic<unsigned> round_{0};
};

// The lanes of a mask give each other a value.
class Exchange {
 public:
  unsigned run(unsigned mask, unsigned own_lane, unsigned value, unsigned lane);
  void kill();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned arrived_ = 0, reading_ = 0;
  unsigned values_[32] = {};
  bool killed_ = false;
};

class Block {
 public:
  explicit Block(unsigned threads) : turn(threads), threads_(threads) {}
  Exchange& exchange(unsigned warp);
  void* shared(std::size_t bytes, std::size_t align, unsigned long long* used);
  unsigned threads() const { return threads_; }
  void kill();

  BlockTurn turn;

 private:
  unsigned threads_;
  std::mutex mutex_;
  bool killed_ = false;
  std::map<unsigned, std::unique_ptr<Exchange>> exchanges_;
  std::map<std::size_t, std::vector<std::max_align_t>> shared_;
};

extern const Table kTable;

using Run = void (*)(const Thread*, void**);

// Some blocks of a launch, from `first` on.
class Grid {
 public:
  Grid(Device& device, unsigned first, unsigned blocks, unsigned threads, unsigned grid_size);
  void run(Run kernel, void** values);  // returns when all threads have left
  void kill();
  Device& device() const { return device_; }

 private:
  void run_thread(Run kernel, void** values, unsigned block, unsigned thread);

  Device& device_;
  const unsigned first_, threads_, grid_size_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace rk_double
