#include "grid.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::uint64_t kTickNs = 20'000;
constexpr std::uint64_t kLeastParkNs = 100'000'000;  // a grid that comes and goes costs more than one that stays
constexpr std::uint64_t kLastPatienceNs = 1'000'000'000;

}  // namespace

LeaseSpec Grid::lease_spec(const ResidentSpec& spec, const DeviceCode& code, const GridParts& parts,
                           const GridMemory& memory) {
  LeaseSpec lease;
  lease.label = spec.name;
  lease.resident = &parts.module->resident();
  lease.grid = memory.grid();
  lease.host_line = memory.lines().host;
  lease.device_line = memory.lines().device;
  lease.blocks = memory.lines().shape.instances + 1;
  lease.block_size = std::max(code.block_size, code.router_threads);
  lease.shared_bytes = code.shared_bytes;
  lease.lease_ns = parts.lease_ns;
  return lease;
}

Grid::Grid(ResidentSpec spec, const DeviceCode& code, GridParts parts)
    : parts_(std::move(parts)),
      memory_(parts_.heap, spec, code),
      lease_(std::make_shared<LeaseRunner>(parts_.heap->shared_device(), lease_spec(spec, code, parts_, memory_))),
      bridge_(std::move(spec), code, memory_.lines(), *this, *parts_.graph, parts_.hub) {}

// Most often it is over, and the lease is no more.
Grid::~Grid() {
  if (!lease_) return;
  lease_->want(false);
  if (!lease_->wait_idle(HostAtomics::monotonic_ns() + kLastPatienceNs)) abandon();
}

// It runs on: what it uses must stay, its code too.
void Grid::abandon() {
  memory_.abandon();
  bridge_.abandon_links();
  bridge_.abandon_holds();
  [[maybe_unused]] const auto* kept = new std::shared_ptr<Module>(parts_.module);
}

std::shared_ptr<LeaseRunner> Grid::lease() const {
  const std::lock_guard lock(lease_mutex_);
  return lease_;
}

LeaseCounts Grid::lease_counts() const {
  const std::shared_ptr<LeaseRunner> now = lease();
  return now ? now->counts() : last_counts_;
}

// -- on the device, or not --------------------------------------------------------------------------------------------

void Grid::want() {
  if (wanted_.load_relaxed() != 0) return;  // A1 own: in a turn
  away_.store_release(0);                   // A1
  wanted_.store_release(1);                 // A1
  wake();
}

void Grid::let_go(std::shared_ptr<void> kept) {
  parts_.scheduler->later([last = std::move(kept)] {});
}

bool Grid::look_after_lease() {
  const bool wanted = wanted_.load_acquire() != 0 && !bridge_.over();  // A1
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const bool changed = wanted != lease_wanted_;
  if (changed) lease_->want(wanted);
  lease_wanted_ = wanted;
  if (!changed && now - ticked_ < kTickNs) return false;
  ticked_ = now;
  try {
    lease_->tick();
  } catch (const Error& error) {
    bridge_.fail(error.what());
  }
  if (!wanted && away_.load_relaxed() == 0 && lease_->idle()) {  // A1 want() may come: not then
    bridge_.exclusively([this] {
      if (wanted_.load_relaxed() == 0) away_.store_release(1);  // A1 in a turn
    });
  }
  const DeviceLine& line = *memory_.lines().device;
  return wanted && load_relaxed(line.lease_begun) == load_relaxed(line.lease_ended);  // S1 a hint
}

void Grid::park_when_quiet(bool active) {
  if (parts_.lease_ns == 0 || wanted_.load_relaxed() == 0) return;  // A1 a hint
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (active || quiet_since_ == 0 || !bridge_.quiet()) {
    quiet_since_ = now;
    return;
  }
  if (now - quiet_since_ < std::max(parts_.lease_ns, kLeastParkNs)) return;
  bridge_.exclusively([this] {
    if (bridge_.quiet()) wanted_.store_release(0);  // A1 in a turn
  });
  quiet_since_ = 0;
}

Pumped::Need Grid::look() {
  if (done_) return Need::kNothing;
  const bool any = bridge_.turn();
  const bool starting = look_after_lease();
  park_when_quiet(any);
  if (bridge_.over() && lease_->idle()) {
    bridge_.drop_holds();
    const std::lock_guard lock(lease_mutex_);
    last_counts_ = lease_->counts();
    lease_.reset();
    done_ = true;
    return Need::kNothing;
  }
  if (any || starting) return Need::kNow;
  return away() && !bridge_.over() ? Need::kNothing : Need::kSoon;
}

// -- states -----------------------------------------------------------------------------------------------------------

bool Grid::fetch(Handler& handler, std::uint64_t deadline_ns) {
  const GridShape& shape = memory_.lines().shape;
  if (shape.state_bytes == 0) return true;
  device().throw_if_lost();
  const std::shared_ptr<LeaseRunner> now = lease();
  struct Held {
    LeaseRunner* lease;
    Grid& grid;
    ~Held() {
      if (lease == nullptr) return;
      lease->hold(false);
      grid.wake();
    }
  };
  if (now) now->hold(true);
  const Held until_read{now.get(), *this};
  while (now && !now->idle()) {
    if (HostAtomics::monotonic_ns() >= deadline_ns) return false;
    bridge_.turn();
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, 20'000);
  }
  std::vector<std::byte> states(std::size_t{shape.state_stride} * shape.instances);
  memory_.heap().read(states.data(), memory_.state(0), states.size());
  for (std::uint32_t i = 0; i < shape.instances; ++i) {
    const std::span<std::byte> shown = handler.state_of(i);
    const std::size_t bytes = std::min<std::size_t>(shown.size(), shape.state_bytes);
    if (bytes != 0) std::memcpy(shown.data(), states.data() + std::size_t{i} * shape.state_stride, bytes);
  }
  return true;
}

// Before the first lease.
void Grid::store(Handler& handler) {
  const GridShape& shape = memory_.lines().shape;
  if (shape.state_bytes == 0) return;
  std::vector<std::byte> states(std::size_t{shape.state_stride} * shape.instances);
  for (std::uint32_t i = 0; i < shape.instances; ++i) {
    const std::span<const std::byte> given = handler.state_of(i);
    const std::size_t bytes = std::min<std::size_t>(given.size(), shape.state_bytes);
    if (bytes != 0) std::memcpy(states.data() + std::size_t{i} * shape.state_stride, given.data(), bytes);
  }
  memory_.heap().write(memory_.state(0), states.data(), states.size());
}

// -- as the runtime sees it -------------------------------------------------------------------------------------------

std::string GridResident::placement() const {
  return "cuda:" + std::to_string(grid_->device().index()) + ", " +
         std::to_string(grid_->memory().lines().shape.instances) + " blocks and a router";
}

// Also that it is active: a kernel that is paused again and again would come to nothing if nobody waited until it is.
bool GridResident::obeyed() const {
  const bool active = load_relaxed(control_.is_active) != 0;  // K1 the host's own word
  return active ? grid_->bridge().obeyed() : grid_->bridge().rests();
}

Resident::StatePlace GridResident::state_place(std::uint32_t instance) const {
  if (grid_->memory().lines().shape.state_bytes == 0) return {};
  return {grid_->device().index(), grid_->memory().state(instance)};
}

bool GridResident::fetch(std::uint64_t deadline_ns) { return grid_->fetch(handler_, deadline_ns); }

}  // namespace rk::cuda
