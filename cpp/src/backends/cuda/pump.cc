#include "pump.h"

#include <algorithm>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::uint64_t kSpinNs = 50'000;  // after something happened
constexpr std::uint64_t kFirstNapNs = 20'000, kLongestNapNs = 1'000'000;

}  // namespace

Pump::Pump() : state_(std::make_shared<State>()) {
  thread_ = std::thread([state = state_] { run(*state); });
}

// What a grid kept may have been the last that kept us.
Pump::~Pump() {
  std::vector<std::shared_ptr<Pumped>> dropped;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    dropped.swap(state_->grids);
  }
  wake();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void Pump::add(std::shared_ptr<Pumped> grid) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->grids.push_back(std::move(grid));
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

Pumped::Need Pump::look_at_all(State& state, bool* stopping) {
  std::vector<std::shared_ptr<Pumped>> now;
  {
    const std::lock_guard lock(state.mutex);
    *stopping = state.stopping;
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
  }
  return need;
}

void Pump::run(State& state) {
  std::uint64_t last = HostAtomics::monotonic_ns(), nap = kFirstNapNs;
  for (bool stopping = false; !stopping;) {
    const bool woken = state.woken.exchange_acquire(0) != 0;  // W1
    const Pumped::Need need = look_at_all(state, &stopping);
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
