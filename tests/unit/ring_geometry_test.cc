#include <gtest/gtest.h>

#include "ringkernel/core/overwrite_ring.h"
#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/spsc_ring.h"

namespace rk {
namespace {

GeometryError error_of(std::uint64_t capacity, std::uint64_t slot_size, std::uint32_t layout = kLayoutPacked) {
  RingGeometry geometry;
  return make_geometry(capacity, slot_size, layout, &geometry);
}

TEST(RingGeometry, a_capacity_must_be_a_power_of_two) {
  for (std::uint64_t bad : {0u, 3u, 5u, 6u, 7u, 12u, 100u}) {
    EXPECT_EQ(error_of(bad, 8), GeometryError::kCapacityNotPowerOfTwo) << bad;
  }
  for (std::uint64_t good = 1; good <= 1 << 20; good *= 2) EXPECT_EQ(error_of(good, 8), GeometryError::kNone) << good;
  EXPECT_EQ(error_of(~std::uint64_t{0}, 8), GeometryError::kCapacityNotPowerOfTwo);
}

TEST(RingGeometry, a_slot_has_a_size) { EXPECT_EQ(error_of(4, 0), GeometryError::kSlotSizeZero); }

TEST(RingGeometry, nothing_overflows_however_large_the_wish) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
  for (std::uint32_t layout : {kLayoutPacked, kLayoutTurn}) {
    EXPECT_EQ(error_of(kHuge, 8, layout), GeometryError::kTooLarge);
    EXPECT_EQ(error_of(1, kHuge, layout), GeometryError::kTooLarge);
    EXPECT_EQ(error_of(1, ~std::uint64_t{0}, layout), GeometryError::kTooLarge);
    EXPECT_EQ(error_of(1, (std::uint64_t{1} << 31) + 1, layout), GeometryError::kTooLarge);
    EXPECT_EQ(error_of(1, std::uint64_t{1} << 31, layout), GeometryError::kNone);
    EXPECT_EQ(error_of(kMaxRingBytes, 2, layout), GeometryError::kTooLarge);
  }
  EXPECT_EQ(error_of(kMaxRingBytes / 8, 8, kLayoutPacked), GeometryError::kNone);
  EXPECT_EQ(error_of(kMaxRingBytes / 8, 8, kLayoutTurn), GeometryError::kTooLarge) << "a turn slot of 8 takes 16";
}

TEST(RingGeometry, a_refusal_leaves_the_result_alone) {
  RingGeometry geometry{};
  geometry.capacity = 77;
  EXPECT_NE(make_geometry(3, 8, kLayoutPacked, &geometry), GeometryError::kNone);
  EXPECT_EQ(geometry.capacity, 77u);
}

TEST(RingGeometry, packed_slots_lie_back_to_back) {
  RingGeometry geometry;
  ASSERT_EQ(make_geometry(8, 24, kLayoutPacked, &geometry), GeometryError::kNone);
  EXPECT_EQ(geometry.magic, kRingMagic);
  EXPECT_EQ(geometry.abi_version, kAbiVersion);
  EXPECT_EQ(geometry.slot_stride, 24u);
  EXPECT_EQ(geometry.payload_offset, 0u);
  EXPECT_EQ(geometry.slots_offset, 384u);
  EXPECT_EQ(geometry.total_bytes, 640u) << "384 + 8 * 24 rounded up to lines";
}

TEST(RingGeometry, a_turn_slot_never_straddles_a_cache_line_that_it_could_fit) {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    RingGeometry geometry;
    ASSERT_EQ(make_geometry(4, size, kLayoutTurn, &geometry), GeometryError::kNone);
    const std::uint64_t used = size + 8;
    EXPECT_EQ(geometry.payload_offset, 8u);
    EXPECT_GE(geometry.slot_stride, used);
    EXPECT_TRUE(used > 64 ? geometry.slot_stride % 64 == 0 : 64 % geometry.slot_stride == 0) << size;
  }
}

TEST(RingGeometry, a_typed_ring_derives_it_from_its_type) {
  struct Tick {
    std::uint64_t a, b, c;
  };
  RingGeometry geometry;
  EXPECT_EQ((TypedSpscRing<Tick, kLayoutTurn>::geometry(4, &geometry)), GeometryError::kNone);
  EXPECT_EQ(geometry.slot_size, 24u);
  EXPECT_EQ(geometry.slot_stride, 32u);
  EXPECT_EQ(TypedSpscRing<Tick>::geometry(5, &geometry), GeometryError::kCapacityNotPowerOfTwo);
}

TEST(RingGeometry, an_overwrite_ring_rounds_its_slots_to_words) {
  RingGeometry geometry;
  ASSERT_EQ(OverwriteRing<StdAtomics>::geometry(4, 13, &geometry), GeometryError::kNone);
  EXPECT_EQ(geometry.slot_size, 13u);
  EXPECT_EQ(geometry.slot_stride, 16u);
  EXPECT_EQ(OverwriteRing<StdAtomics>::geometry(4, 0, &geometry), GeometryError::kSlotSizeZero);
  EXPECT_EQ(OverwriteRing<StdAtomics>::geometry(6, 8, &geometry), GeometryError::kCapacityNotPowerOfTwo);
  EXPECT_EQ(OverwriteRing<StdAtomics>::geometry(4, ~std::uint64_t{0}, &geometry), GeometryError::kTooLarge);
}

TEST(RingGeometry, lines_are_made_where_the_memory_is) {
  alignas(kRingLineBytes) std::byte memory[1024] = {};
  RingGeometry geometry;
  ASSERT_EQ(make_geometry(4, 8, kLayoutPacked, &geometry), GeometryError::kNone);
  RingLines<StdAtomics>* lines = create_ring<StdAtomics>(memory, geometry);
  EXPECT_EQ(static_cast<void*>(lines), memory);
  EXPECT_EQ(lines->slots(), memory + 384);
  EXPECT_EQ(lines->geometry.capacity, 4u);
  EXPECT_EQ(lines->producer.write_seq.load_relaxed(), 0u);
  EXPECT_EQ(lines->consumer.read_seq.load_relaxed(), 0u);
  EXPECT_EQ(lines->producer.closed.load_relaxed(), 0u);
}

}  // namespace
}  // namespace rk
