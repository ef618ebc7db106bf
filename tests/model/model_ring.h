// Rings over model memory: one 64-bit word a message, a handful of slots.
#pragma once

#include "model.h"
#include "ringkernel/core/spsc_ring.h"

namespace rk::model {

inline void try_again_later() { rl::yield(1, RL_INFO); }

template <bool Turn>
struct ModelSlot {
  ModelAtomics::Cell payload;
};
template <>
struct ModelSlot<true> {
  ModelAtomics::Atomic<std::uint64_t> turn;
  ModelAtomics::Cell payload;
};

template <bool Turn, std::uint64_t Capacity>
struct ModelShape {
  static constexpr std::uint64_t mask() { return Capacity - 1; }
  static constexpr std::size_t stride() { return sizeof(ModelSlot<Turn>); }
  static constexpr std::size_t size() { return 8; }
  static constexpr bool turn() { return Turn; }
};

template <bool Turn, std::uint64_t Capacity>
struct ModelMemory {
  RingLines<ModelAtomics> lines;
  std::array<ModelSlot<Turn>, Capacity> slots;

  std::byte* bytes() { return reinterpret_cast<std::byte*>(slots.data()); }
};

template <bool Turn, std::uint64_t Capacity, std::uint64_t ProgressInterval>
class ModelRing : private ModelMemory<Turn, Capacity>, public BasicSpscRing<ModelAtomics, ModelShape<Turn, Capacity>> {
 public:
  ModelRing()
      : BasicSpscRing<ModelAtomics, ModelShape<Turn, Capacity>>(this->lines, this->bytes(), {},
                                                                {Wait::kLatency, ProgressInterval}) {}
};

// Accepted, delivered, dropped and in flight add up, and no mark is out of range: what a bystander may rely on.
inline void check_stats(const RingStats& stats, std::uint64_t capacity) {
  RL_ASSERT(stats.accepted == stats.delivered + stats.dropped + stats.in_flight);
  RL_ASSERT(stats.in_flight <= capacity);
  RL_ASSERT(stats.high_water <= capacity);
}

}  // namespace rk::model
