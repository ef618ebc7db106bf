// A ring's bytes in the memory that it is given: geometry, producer line, consumer line, slots.
//
//   0        RingGeometry     constant after init
//   128      producer line    write_seq, dropped: the producer; closed: anybody, once
//   256      consumer line    read_seq: the consumer
//   384      slots            slot n at (n & (capacity - 1)) * slot_stride
//
// Memory may be heap, shared memory or pinned memory; it must be zeroed or fresh, and aligned to 128 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "ringkernel/abi/ring_geometry.h"
#include "ringkernel/abi/version.h"
#include "ringkernel/core/atomics.h"

namespace rk {

// Thrown by nothing here: a problem with a geometry is a value, and the caller makes its own error of it.
enum class GeometryError : std::uint8_t { kNone, kCapacityNotPowerOfTwo, kSlotSizeZero, kTooLarge, kMisaligned };

template <class P>
struct RingLines {
  struct alignas(kRingLineBytes) Producer {
    typename P::template Atomic<std::uint64_t> write_seq;  // E1 packed layout: slots below it are readable
    typename P::template Atomic<std::uint64_t> dropped;    // newest messages dropped by policy
    typename P::template Atomic<std::uint32_t> closed;     // E4
  };
  struct alignas(kRingLineBytes) Consumer {
    typename P::template Atomic<std::uint64_t> read_seq;  // E2: slots below it may be written again
  };

  RingGeometry geometry;
  Producer producer;
  Consumer consumer;

  std::byte* slots() { return reinterpret_cast<std::byte*>(this) + sizeof(RingLines); }
};

static_assert(sizeof(RingLines<StdAtomics>) == kRingSlotsOffset, "lines moved: bump kAbiMajor");
static_assert(offsetof(RingLines<StdAtomics>, producer) == kRingLineBytes, "producer line moved");
static_assert(offsetof(RingLines<StdAtomics>, consumer) == 2 * kRingLineBytes, "consumer line moved");

constexpr std::uint64_t kMaxRingBytes = std::uint64_t{1} << 46;

constexpr bool is_power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

constexpr std::uint32_t round_up(std::uint32_t n, std::uint32_t to) { return (n + to - 1) / to * to; }

// A turn slot is a multiple of one line if it holds its sequence and the payload there; 56 payload bytes fit one line.
constexpr std::uint32_t turn_stride(std::uint32_t slot_size) {
  const std::uint32_t bytes = slot_size + 8;
  return bytes <= 16 ? 16 : bytes <= 32 ? 32 : round_up(bytes, 64);
}

inline GeometryError make_geometry(std::uint64_t capacity, std::uint64_t slot_size, std::uint32_t layout,
                                   RingGeometry* out) {
  if (!is_power_of_two(capacity)) return GeometryError::kCapacityNotPowerOfTwo;
  if (slot_size == 0) return GeometryError::kSlotSizeZero;
  if (slot_size > (std::uint64_t{1} << 31) || capacity > kMaxRingBytes / slot_size) return GeometryError::kTooLarge;
  const auto size = static_cast<std::uint32_t>(slot_size);
  const std::uint32_t stride = layout == kLayoutTurn ? turn_stride(size) : size;
  if (capacity > kMaxRingBytes / stride) return GeometryError::kTooLarge;
  *out = RingGeometry{};
  out->magic = kRingMagic;
  out->abi_version = kAbiVersion;
  out->capacity = capacity;
  out->slot_size = size;
  out->slot_stride = stride;
  out->payload_offset = layout == kLayoutTurn ? 8 : 0;
  out->layout = layout;
  out->slots_offset = kRingSlotsOffset;
  out->total_bytes = (kRingSlotsOffset + capacity * stride + kRingLineBytes - 1) / kRingLineBytes * kRingLineBytes;
  return GeometryError::kNone;
}

// Makes the lines; slots of fresh or zeroed memory need no work, because sequence 0 never marks a full slot.
template <class P = StdAtomics>
RingLines<P>* create_ring(void* memory, const RingGeometry& geometry) {
  auto* lines = new (memory) RingLines<P>{};
  lines->geometry = geometry;
  return lines;
}

}  // namespace rk
