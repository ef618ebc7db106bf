// Memory for rings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "ringkernel/core/ring_memory.h"

namespace rk::bench {

// Zeroed, from the start of a page.
class LineMemory {
 public:
  explicit LineMemory(std::size_t bytes) : bytes_(::operator new(bytes, kAlignment)) { std::memset(bytes_, 0, bytes); }
  ~LineMemory() { ::operator delete(bytes_, kAlignment); }
  LineMemory(const LineMemory&) = delete;
  LineMemory& operator=(const LineMemory&) = delete;
  void* get() const { return bytes_; }

 private:
  static constexpr std::align_val_t kAlignment{4096};
  void* bytes_;
};

template <class Ring>
RingGeometry geometry_of(std::uint64_t capacity) {
  RingGeometry geometry{};
  if (Ring::geometry(capacity, &geometry) != GeometryError::kNone) std::abort();
  return geometry;
}

}  // namespace rk::bench
