#include "sm_budget.h"

#include <algorithm>
#include <utility>

#include "ringkernel/runtime/error.h"

namespace rk::cuda {

SmShare::SmShare(SmShare&& other) noexcept : budget_(std::move(other.budget_)), grid_(other.grid_) {}

SmShare& SmShare::operator=(SmShare&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(grid_, other.grid_);
  return *this;
}

SmShare::~SmShare() {
  if (budget_ == nullptr) return;
  const std::lock_guard lock(budget_->mutex_);
  budget_->grids_.erase(grid_);
}

std::uint64_t SmBudget::taken_from(const Grid& grid) const {
  std::uint64_t taken = 0;
  for (const Grid& other : grids_) {
    if (&other == &grid) continue;
    taken += std::uint64_t{other.blocks} * ((grid.per_sm + other.per_sm - 1) / other.per_sm);
  }
  return taken;
}

std::uint32_t SmBudget::room_locked(std::uint32_t per_sm) const {
  const std::uint64_t taken = taken_from(Grid{"", 0, per_sm}), all = std::uint64_t{per_sm} * limit_;
  std::uint64_t room = all - std::min(all, taken);
  if (per_sm == 0) return 0;
  for (const Grid& other : grids_) {  // that one has to fit beside the new one too
    const std::uint64_t others = other.blocks + taken_from(other), most = std::uint64_t{other.per_sm} * limit_;
    room = std::min(room, (most - std::min(most, others)) / ((other.per_sm + per_sm - 1) / per_sm));
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(room, UINT32_MAX));
}

SmShare SmBudget::reserve(const std::string& name, std::uint32_t blocks, std::uint32_t per_sm) {
  const std::lock_guard lock(mutex_);
  if (per_sm == 0) {
    throw Error("InsufficientSmsError", "a block of kernel '" + name +
                                            "' does not fit on a multiprocessor of the device: use a smaller "
                                            "block_size, or less shared memory");
  }
  const std::uint32_t room = room_locked(per_sm);
  if (blocks > room) {
    throw Error("InsufficientSmsError",
                "kernel '" + name + "' needs " + std::to_string(blocks) +
                    " resident blocks (one for each instance, one for its router); there is room for " +
                    std::to_string(room) + ": " + std::to_string(limit_) + " of " + std::to_string(sms_) +
                    " multiprocessors may be used, with " + std::to_string(per_sm) + " such blocks each" + residents() +
                    ". Launch fewer instances, use a smaller block_size, or terminate other kernels");
  }
  SmShare share;
  share.grid_ = grids_.insert(grids_.end(), Grid{name, blocks, per_sm});
  share.budget_ = shared_from_this();
  return share;
}

std::string SmBudget::residents() const {
  std::string text;
  for (const Grid& grid : grids_) {
    text += (text.empty() ? "; resident are '" : ", '") + grid.name + "' (" + std::to_string(grid.blocks) + " blocks)";
  }
  return text;
}

std::uint32_t SmBudget::room(std::uint32_t per_sm) const {
  const std::lock_guard lock(mutex_);
  return room_locked(per_sm);
}

void SmBudget::limit(std::uint32_t sms) {
  const std::lock_guard lock(mutex_);
  limit_ = sms == 0 ? sms_ : std::min(sms, sms_);
}

std::uint32_t SmBudget::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

std::uint32_t SmBudget::blocks() const {
  const std::lock_guard lock(mutex_);
  std::uint32_t blocks = 0;
  for (const Grid& grid : grids_) blocks += grid.blocks;
  return blocks;
}

}  // namespace rk::cuda
