// What a ring is made of in memory: geometry, producer line, consumer line, slots; 128 bytes for each of the first three.
#pragma once

#include "ringkernel/abi/freeze.h"

namespace rk {

constexpr u32 kRingMagic = 0x474E5252;  // "RRNG"
constexpr u32 kRingLineBytes = 128;     // one writer per line; 128 covers adjacent-line prefetch and Apple and Arm cores
constexpr u32 kRingSlotsOffset = 3 * kRingLineBytes;

// RingGeometry::layout
enum : u32 {
  kLayoutPacked = 0,  // payloads back to back, published by the producer's write_seq
  kLayoutTurn = 1,    // each slot begins with the 64-bit sequence that publishes it, in the payload's own line
};

// Constant after init. capacity is a power of two; slot n is at slots_offset + (n & (capacity - 1)) * slot_stride.
#define RK_RING_GEOMETRY_FIELDS(F)            \
  F(RingGeometry, u32, magic, 0)              \
  F(RingGeometry, u32, abi_version, 4)        \
  F(RingGeometry, u64, capacity, 8)           \
  F(RingGeometry, u32, slot_size, 16)         \
  F(RingGeometry, u32, slot_stride, 20)       \
  F(RingGeometry, u32, payload_offset, 24)    \
  F(RingGeometry, u32, layout, 28)            \
  F(RingGeometry, u64, slots_offset, 32)      \
  F(RingGeometry, u64, total_bytes, 40)       \
  F(RingGeometry, u64, reserved0, 48)         \
  F(RingGeometry, u64, reserved1, 56)         \
  F(RingGeometry, u64, reserved2, 64)         \
  F(RingGeometry, u64, reserved3, 72)         \
  F(RingGeometry, u64, reserved4, 80)         \
  F(RingGeometry, u64, reserved5, 88)         \
  F(RingGeometry, u64, reserved6, 96)         \
  F(RingGeometry, u64, reserved7, 104)        \
  F(RingGeometry, u64, reserved8, 112)        \
  F(RingGeometry, u64, reserved9, 120)

RK_DEFINE_ABI_STRUCT(RingGeometry, 128, RK_RING_GEOMETRY_FIELDS)

}  // namespace rk
