#include "blocks.h"

#include <system_error>
#include <thread>

#include "faults.h"
#include "world.h"

namespace rk_double {

int BlockTurn::wait(int vote) {
  unsigned round = 0;
  {
    const std::lock_guard lock(mutex_);
    if (killed_) throw Gone{};
    all_ = all_ && vote != 0;
    round = round_.load(std::memory_order_relaxed);
    if (++arrived_ == living_) release();
  }
  round_.wait(round, std::memory_order_acquire);
  const bool result = results_[round % 2];
  const std::lock_guard lock(mutex_);
  if (killed_) throw Gone{};
  return result ? 1 : 0;
}

void BlockTurn::leave() {
  const std::lock_guard lock(mutex_);
  if (--living_ != 0 && arrived_ == living_) release();
}

void BlockTurn::release() {
  const unsigned round = round_.load(std::memory_order_relaxed);
  results_[round % 2] = all_;
  all_ = true;
  arrived_ = 0;
  round_.store(round + 1, std::memory_order_release);
  round_.notify_all();
}

void BlockTurn::kill() {
  const std::lock_guard lock(mutex_);
  if (killed_) return;
  killed_ = true;
  if (arrived_ != 0) release();
}

unsigned Exchange::run(unsigned mask, unsigned own_lane, unsigned value, unsigned lane) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return reading_ == 0 || killed_; });  // those of the last round have their results
  values_[own_lane] = value;
  arrived_ |= 1u << own_lane;
  if (arrived_ == mask) {
    reading_ = mask;
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return reading_ != 0 || killed_; });
  }
  if (killed_) throw Gone{};
  unsigned result = lane < 32 ? values_[lane] : 0;
  if (lane == 32) {
    for (unsigned n = 0; n < 32; ++n) result |= ((mask >> n & 1) != 0 && values_[n] != 0 ? 1u : 0u) << n;
  }
  reading_ &= ~(1u << own_lane);
  if (reading_ == 0) {
    arrived_ = 0;
    changed_.notify_all();
  }
  return result;
}

void Exchange::kill() {
  const std::lock_guard lock(mutex_);
  killed_ = true;
  changed_.notify_all();
}

Exchange& Block::exchange(unsigned warp) {
  const std::lock_guard lock(mutex_);
  if (killed_) throw Gone{};
  auto& found = exchanges_[warp];
  if (!found) found = std::make_unique<Exchange>();
  return *found;
}

// Every thread declares the same variables in the same order.
void* Block::shared(std::size_t bytes, std::size_t align, unsigned long long* used) {
  const std::lock_guard lock(mutex_);
  const auto number = static_cast<std::size_t>((*used)++);
  auto& memory = shared_[number];
  if (memory.empty()) memory.resize((bytes + align) / sizeof(std::max_align_t) + 1);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  return reinterpret_cast<void*>((address + align - 1) / align * align);
}

void Block::kill() {
  turn.kill();
  const std::lock_guard lock(mutex_);
  killed_ = true;
  for (auto& [warp, one] : exchanges_) one->kill();
}

Grid::Grid(Device& device, unsigned first, unsigned blocks, unsigned threads, unsigned grid_size)
    : device_(device), first_(first), threads_(threads), grid_size_(grid_size) {
  for (unsigned b = 0; b < blocks; ++b) blocks_.push_back(std::make_unique<Block>(threads));
}

void Grid::kill() {
  for (auto& block : blocks_) block->kill();
}

void Grid::run_thread(Run kernel, void** values, unsigned block, unsigned thread) {
  Block& mine = *blocks_[block];
  const Thread self{{thread}, {first_ + block}, {threads_}, {grid_size_}, &mine, 0};
  const Result fault = run_guarded(device_, kernel, self, values);
  if (fault != kOk) device_.fault(fault);
  mine.turn.leave();
}

void Grid::run(Run kernel, void** values) {
  watch_faults();
  device_.add(this);
  std::vector<std::thread> running;
  try {
    for (unsigned b = 0; b < blocks_.size(); ++b) {
      for (unsigned t = 0; t < threads_; ++t) running.emplace_back([=, this] { run_thread(kernel, values, b, t); });
    }
  } catch (const std::system_error&) {
    device_.fault(kOutOfResources);  // this machine gives no more threads
  }
  for (std::thread& one : running) one.join();
  device_.remove(this);
}

}  // namespace rk_double
