#include "pump.h"

#include <algorithm>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::uint64_t kSpinNs = 50'000;  // after something happened
constexpr std::uint64_t kFirstNapNs = 20'000, kLongestNapNs = 1'000'000;

}  // namespace

// What a grid kept may have been the last that kept us.
Pump::~Pump() {
  std::vector<std::shared_ptr<Pumped>> dropped;
  {
    const std::lock_guard lock(state_->mutex);
    dropped.swap(state_->grids);
  }
  wake();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else if (thread_.joinable()) {
    thread_.join();
  }
}

void Pump::add(std::shared_ptr<Pumped> grid) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->grids.push_back(std::move(grid));
    if (!std::exchange(state_->running, true)) {
      if (thread_.joinable()) thread_.join();  // it has left its loop
      thread_ = std::thread([state = state_] { run(*state); });
    }
  }
  wake();
}

void Pump::wake() {
  State& state = *state_;
  (void)state.woken.exchange_release(1);  // W1
  state.parking.wake();
}

std::vector<std::shared_ptr<Pumped>> Pump::grids() const {
  const std::lock_guard lock(state_->mutex);
  return state_->grids;
}

bool Pump::ends(State& state) {
  const std::lock_guard lock(state.mutex);
  if (state.grids.empty()) state.running = false;
  return !state.running;
}

Pumped::Need Pump::look_at_all(State& state) {
  std::vector<std::shared_ptr<Pumped>> now;
  {
    const std::lock_guard lock(state.mutex);
    now = state.grids;
  }
  Pumped::Need need = Pumped::Need::kNothing;
  bool any_done = false;
  for (const auto& grid : now) {
    need = std::max(need, grid->look());
    any_done |= grid->done();
  }
  if (any_done) {
    const std::lock_guard lock(state.mutex);
    std::erase_if(state.grids, [](const auto& grid) { return grid->done(); });
    need = Pumped::Need::kNow;  // it may have been the last, and the thread ends
  }
  return need;
}

void Pump::run(State& state) {
  std::uint64_t last = HostAtomics::monotonic_ns(), nap = kFirstNapNs;
  while (!ends(state)) {
    const bool woken = state.woken.exchange_acquire(0) != 0;  // W1
    const Pumped::Need need = look_at_all(state);
    const std::uint64_t now = HostAtomics::monotonic_ns();
    if (need == Pumped::Need::kNow || woken) {
      last = now;
      nap = kFirstNapNs;
    }
    if (now - last < kSpinNs) {
      HostAtomics::pause();
      continue;
    }
    const std::uint64_t until = need == Pumped::Need::kNothing ? kNoDeadline : now + nap;
    state.parking.wait([&] { return state.woken.load_relaxed() != 0; }, until, 0);  // W1 taken above
    nap = std::min(nap * 2, kLongestNapNs);
  }
}

}  // namespace rk::cuda
