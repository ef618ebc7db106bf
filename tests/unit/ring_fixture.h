// Memory for a ring in a test: geometry, zeroed and aligned bytes, lines.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/status.h"

namespace rk::test {

class RingMemory {
 public:
  explicit RingMemory(const RingGeometry& geometry, std::uint64_t rings = 1)
      : geometry_(geometry), size_(rings * geometry.total_bytes), bytes_(new(kAlign) std::byte[size_]{}) {}

  RingMemory(std::uint64_t capacity, std::uint64_t slot_size, std::uint32_t layout, std::uint64_t rings = 1)
      : RingMemory(made(capacity, slot_size, layout), rings) {}

  // Zeroed, as a new ring expects it.
  void clear() { std::memset(bytes_.get(), 0, size_); }

  // Once a test: it starts the ring anew.
  RingLines<StdAtomics>& make_lines() { return *create_ring<StdAtomics>(bytes_.get(), geometry_); }
  std::byte* bytes() { return bytes_.get(); }
  const RingGeometry& geometry() const { return geometry_; }

 private:
  static constexpr std::align_val_t kAlign{kRingLineBytes};
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, kAlign); }
  };

  static RingGeometry made(std::uint64_t capacity, std::uint64_t slot_size, std::uint32_t layout) {
    RingGeometry geometry{};
    EXPECT_EQ(make_geometry(capacity, slot_size, layout, &geometry), GeometryError::kNone);
    return geometry;
  }

  RingGeometry geometry_;
  std::size_t size_;
  std::unique_ptr<std::byte[], Free> bytes_;
};

inline bool adds_up(const RingStats& stats) {
  return stats.accepted == stats.delivered + stats.dropped + stats.dead_lettered + stats.in_flight;
}

}  // namespace rk::test
