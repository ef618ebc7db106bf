// How a ring finds a slot: sizes known at run time, or fixed by a type so that the compiler folds them away.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ringkernel/abi/ring_geometry.h"
#include "ringkernel/core/ring_memory.h"

namespace rk {

struct RuntimeShape {
  explicit RuntimeShape(const RingGeometry& g)
      : mask_(g.capacity - 1), stride_(g.slot_stride), size_(g.slot_size), turn_(g.layout == kLayoutTurn) {}

  std::uint64_t mask() const { return mask_; }
  std::size_t stride() const { return stride_; }
  std::size_t size() const { return size_; }
  bool turn() const { return turn_; }

 private:
  std::uint64_t mask_;
  std::uint32_t stride_;
  std::uint32_t size_;
  bool turn_;
};

// T is copied as bytes; `Layout` is kLayoutPacked or kLayoutTurn.
template <class T, std::uint32_t Layout>
struct FixedShape {
  explicit FixedShape(const RingGeometry& g) : mask_(g.capacity - 1) {}

  std::uint64_t mask() const { return mask_; }
  static constexpr std::size_t stride() { return Layout == kLayoutTurn ? turn_stride(sizeof(T)) : sizeof(T); }
  static constexpr std::size_t size() { return sizeof(T); }
  static constexpr bool turn() { return Layout == kLayoutTurn; }

 private:
  std::uint64_t mask_;
};

}  // namespace rk
