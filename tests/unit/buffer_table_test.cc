#include "ringkernel/runtime/buffer_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace rk {
namespace {

using P = ReferenceProblem;

BufferRegion region_of(std::uint64_t address, std::uint64_t bytes, Scalar scalar = Scalar::kF32) {
  BufferRegion region;
  region.address = address;
  region.bytes = bytes;
  region.scalar = scalar;
  return region;
}

const ReferenceField kReads{0, Scalar::kF32, false, "x"};
const ReferenceField kWrites{0, Scalar::kF32, true, "x"};

TEST(BufferTable, a_reference_is_good_inside_of_its_region) {
  BufferTable table;
  const auto key = table.add(region_of(0x1000, 40));
  const auto hold = [&](std::uint64_t address, std::uint32_t count) {
    const P problem = table.hold({address, count, key}, kWrites, kHostMemory);
    if (problem == P::kNone && count != 0) table.drop(key);
    return problem;
  };
  EXPECT_EQ(hold(0x1000, 10), P::kNone);
  EXPECT_EQ(hold(0x1024, 1), P::kNone);
  EXPECT_EQ(hold(0x9999, 0), P::kNone);  // nothing
  EXPECT_EQ(hold(0x1000, 11), P::kOutside);
  EXPECT_EQ(hold(0x1028, 1), P::kOutside);
  EXPECT_EQ(hold(0x1002, 1), P::kOutside);
  EXPECT_EQ(hold(0x0FFC, 1), P::kOutside);
  EXPECT_EQ(hold(0x1004, 0xFFFFFFFF), P::kOutside);
  EXPECT_EQ(hold(~std::uint64_t{3}, 2), P::kOutside);
  EXPECT_EQ(table.holds(key), 0u);
}

TEST(BufferTable, a_region_at_the_end_of_the_addresses) {
  BufferTable table;
  const auto key = table.add(region_of(~std::uint64_t{15}, 16));
  EXPECT_EQ(table.hold({~std::uint64_t{15}, 4, key}, kReads, kHostMemory), P::kNone);
  EXPECT_EQ(table.hold({~std::uint64_t{15}, 5, key}, kReads, kHostMemory), P::kOutside);
  EXPECT_EQ(table.hold({0, 1, key}, kReads, kHostMemory), P::kOutside);
}

TEST(BufferTable, type_access_and_place_are_checked) {
  BufferTable table;
  BufferRegion region = region_of(0x1000, 40, Scalar::kI32);
  EXPECT_EQ(table.hold({0x1000, 1, table.add(region)}, kReads, kHostMemory), P::kWrongType);
  region.scalar = Scalar::kF32;
  region.writable = false;
  const auto read_only = table.add(region);
  EXPECT_EQ(table.hold({0x1000, 1, read_only}, kWrites, kHostMemory), P::kReadOnly);
  EXPECT_EQ(table.hold({0x1000, 1, read_only}, kReads, kHostMemory), P::kNone);
  EXPECT_EQ(table.hold({0x1000, 1, read_only}, kReads, 0), P::kElsewhere);
  region.everywhere = true;
  EXPECT_EQ(table.hold({0x1000, 1, table.add(region)}, kReads, 3), P::kNone);
  region.everywhere = false;
  region.device = 2;
  const auto device = table.add(region);
  EXPECT_EQ(table.hold({0x1000, 1, device}, kReads, 2), P::kNone);
  EXPECT_EQ(table.hold({0x1000, 1, device}, kReads, 1), P::kElsewhere);
  EXPECT_EQ(table.hold({0x1000, 1, device}, kReads, kHostMemory), P::kElsewhere);
}

TEST(BufferTable, who_holds_a_region_keeps_it) {
  BufferTable table;
  BufferRegion region = region_of(0x1000, 40);
  region.owner = std::make_shared<int>(5);
  const std::weak_ptr<void> owner = region.owner;
  const auto key = table.add(std::move(region));
  ASSERT_EQ(table.hold({0x1000, 1, key}, kReads, kHostMemory), P::kNone);
  ASSERT_EQ(table.hold({0x1000, 1, key}, kReads, kHostMemory), P::kNone);
  EXPECT_TRUE(table.release(key));
  EXPECT_FALSE(table.release(key));
  EXPECT_EQ(table.hold({0x1000, 1, key}, kReads, kHostMemory), P::kReleased);
  table.drop(key);
  EXPECT_FALSE(owner.expired());
  EXPECT_EQ(table.holds(key), 1u);
  table.drop(key);
  EXPECT_TRUE(owner.expired());
  EXPECT_EQ(table.holds(key), 0u);
  const auto next = table.add(region_of(0x1000, 40));
  EXPECT_NE(next, key);
  EXPECT_EQ(next & 0xFFFF, key & 0xFFFF);  // the same place, under another number
  EXPECT_EQ(table.hold({0x1000, 1, key}, kReads, kHostMemory), P::kReleased);
}

TEST(BufferTable, numbers_are_used_up_one_by_one) {
  BufferTable table;
  std::set<std::uint32_t> keys;
  for (int i = 0; i < 70000; ++i) {
    const auto key = table.add(region_of(0x1000, 40));
    EXPECT_NE(key, 0u);
    keys.insert(key);
    EXPECT_TRUE(table.release(key));
  }
  EXPECT_EQ(keys.size(), 70000u);
}

TEST(BufferTable, numbers_that_were_never_given_are_unknown) {
  BufferTable table;
  table.add(region_of(0x1000, 40));
  for (const std::uint32_t key : {0u, 2u, 300u, 0x10000u, 0x10001u, 0xFFFFFFFFu}) {
    EXPECT_EQ(table.hold({0x1000, 1, key}, kReads, kHostMemory), P::kReleased) << key;
    EXPECT_FALSE(table.release(key));
    EXPECT_EQ(table.holds(key), 0u);
  }
}

// Whoever got a hold reads memory that nobody has given back.
TEST(BufferTable, holds_and_releases_race) {
  BufferTable table;
  std::atomic<std::uint32_t> shared{0};
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> address{0};
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> held{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!over.load()) {
        const BufferReference reference{address.load(), 1, shared.load()};
        if (reference.key == 0 || table.hold(reference, kReads, kHostMemory) != P::kNone) continue;
        float value;
        std::memcpy(&value, reinterpret_cast<const void*>(reference.address), sizeof(value));
        EXPECT_EQ(value, 1.5f);
        table.drop(reference.key);
        held.fetch_add(1);
      }
    });
  }
  for (int i = 0; i < 20000 || (held.load() == 0 && i < 2000000); ++i) {
    const auto memory = std::make_shared<float>(1.5f);
    BufferRegion region = region_of(reinterpret_cast<std::uintptr_t>(memory.get()), sizeof(float));
    region.owner = std::shared_ptr<void>(memory.get(), [kept = memory](void*) mutable {
      *kept = -1.0f;  // whoever still reads it sees that
      kept.reset();
    });
    const auto key = table.add(std::move(region));
    address.store(reinterpret_cast<std::uintptr_t>(memory.get()));
    shared.store(key);
    EXPECT_TRUE(table.release(key));
  }
  over.store(true);
  for (auto& one : threads) one.join();
  EXPECT_GT(held.load(), 0u);
}

TEST(BufferHolds, takes_all_or_none) {
  auto& table = BufferTable::of_process();
  const auto good = table.add(region_of(0x1000, 40)), gone = table.add(region_of(0x2000, 40));
  const std::vector<ReferenceField> fields = {
      {0, Scalar::kF32, false, "a"}, {16, Scalar::kF32, false, "b"}, {32, Scalar::kF32, false, "c"}};
  BufferReference payload[3] = {{0x1000, 10, good}, {0, 0, 0}, {0x2000, 10, gone}};
  const auto* bytes = reinterpret_cast<const std::byte*>(payload);
  {
    BufferHolds holds;
    ASSERT_TRUE(holds.take(fields, bytes));
    ASSERT_EQ(holds.held().size(), 2u);
    EXPECT_EQ(holds.held()[1].address, 0x2000u);
    EXPECT_EQ(holds.held()[1].bytes, 40u);
    EXPECT_EQ(table.holds(good), 1u);
  }
  EXPECT_EQ(table.holds(good), 0u);
  table.release(gone);
  BufferHolds holds;
  EXPECT_FALSE(holds.take(fields, bytes));
  EXPECT_EQ(table.holds(good), 0u);
  EXPECT_EQ(holds.problem(), P::kReleased);
  EXPECT_EQ(BufferTable::explain(holds.problem(), *holds.field(), holds.culprit()),
            "the reference in c is stale: buffer " + std::to_string(gone) + " was released, or never was registered");
  table.release(good);
}

}  // namespace
}  // namespace rk
