// How much of a device its resident grids take: a grid that does not fit beside the others would never begin.
//
// The driver checks a cooperative launch against an empty device. Grids that stay have to fit together, wherever the
// device put the blocks of the others: a block of which b fit on one multiprocessor (SM) can take, from a kernel of
// which k fit, the room of ceil(k / b). A set of grids is admitted when each of them fits beside the worst that the
// others can do, because each begins anew with each lease.
//
// Protection: mutex_: everything that is not constant. Any thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

namespace rk::cuda {

class SmBudget;

// What one grid takes, until it is destroyed.
class SmShare {
 public:
  SmShare() = default;
  SmShare(SmShare&& other) noexcept;
  SmShare& operator=(SmShare&& other) noexcept;
  ~SmShare();

  explicit operator bool() const { return budget_ != nullptr; }

 private:
  friend class SmBudget;
  struct Grid {
    std::string name;
    std::uint32_t blocks, per_sm;
  };

  std::shared_ptr<SmBudget> budget_;
  std::list<Grid>::iterator grid_;
};

class SmBudget : public std::enable_shared_from_this<SmBudget> {
 public:
  explicit SmBudget(std::uint32_t sms) : sms_(sms), limit_(sms) {}

  // Throws InsufficientSmsError. `per_sm`: blocks of this grid that fit on one SM; 0: none does.
  SmShare reserve(const std::string& name, std::uint32_t blocks, std::uint32_t per_sm);
  // Blocks of this kind that could still be resident.
  std::uint32_t room(std::uint32_t per_sm) const;

  // Plans as if the device had only so many; 0: all. Grids that are resident stay.
  void limit(std::uint32_t sms);
  std::uint32_t limit() const;
  std::uint32_t sms() const { return sms_; }
  std::uint32_t blocks() const;  // resident

 private:
  friend class SmShare;
  using Grid = SmShare::Grid;

  std::uint64_t taken_from(const Grid& grid) const;  // with mutex_: room for its blocks that the others can take
  std::uint32_t room_locked(std::uint32_t per_sm) const;
  std::string residents() const;

  mutable std::mutex mutex_;
  std::list<Grid> grids_;
  const std::uint32_t sms_;
  std::uint32_t limit_;
};

}  // namespace rk::cuda
