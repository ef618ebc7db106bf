// Pieces of chunks, growth beside resident grids, and copies.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

TEST(Arena, RoundsUpAndAligns) {
  Arena arena;
  arena.add_chunk(0x10000, 1024);
  EXPECT_EQ(arena.take(1), 0x10000u);
  EXPECT_EQ(arena.take(257), 0x10100u);
  EXPECT_EQ(arena.used_bytes(), 768u);
  EXPECT_EQ(arena.take(257), std::nullopt);
  EXPECT_EQ(arena.take(256), 0x10300u);
  EXPECT_EQ(arena.largest_free(), 0u);
}

TEST(Arena, JoinsNeighboursInEveryOrder) {
  for (const auto& order : {std::vector{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    Arena arena;
    arena.add_chunk(0x1000, 768);
    for (int i = 0; i < 3; ++i) arena.take(256);
    for (const int i : order) arena.give(0x1000 + static_cast<std::uint64_t>(i) * 256, 256);
    EXPECT_EQ(arena.largest_free(), 768u);
    EXPECT_EQ(arena.used_bytes(), 0u);
  }
}

TEST(Arena, NeverJoinsTwoChunks) {
  for (const bool forwards : {true, false}) {
    Arena arena;
    arena.add_chunk(0x1000, 512);
    arena.add_chunk(0x1200, 512);
    const auto a = arena.take(512), b = arena.take(512);
    arena.give(forwards ? *a : *b, 512);
    arena.give(forwards ? *b : *a, 512);
    EXPECT_EQ(arena.largest_free(), 512u);
    EXPECT_EQ(arena.take(1024), std::nullopt);
  }
}

TEST(Arena, TakesTheSmallestPieceThatFits) {
  Arena arena;
  arena.add_chunk(0x10000, 4096);
  const auto a = arena.take(1024);
  arena.take(256);
  const auto b = arena.take(512);
  arena.take(256);
  arena.give(*a, 1024);
  arena.give(*b, 512);
  EXPECT_EQ(arena.take(512), b);
}

TEST(Arena, AfterRandomUseEverythingIsOnePieceAgain) {
  std::mt19937 random(7);
  Arena arena;
  arena.add_chunk(0x100000, 1 << 16);
  std::map<std::uint64_t, std::uint64_t> pieces;
  for (int turn = 0; turn < 20000; ++turn) {
    if (random() % 2 == 0) {
      const std::uint64_t bytes = random() % 3000 + 1;
      const auto begin = arena.take(bytes);
      if (!begin) continue;
      const auto after = pieces.lower_bound(*begin);
      ASSERT_TRUE(after == pieces.end() || *begin + Arena::rounded(bytes) <= after->first);
      if (after != pieces.begin()) {
        const auto before = std::prev(after);
        ASSERT_LE(before->first + Arena::rounded(before->second), *begin);
      }
      pieces[*begin] = bytes;
    } else if (!pieces.empty()) {
      const auto piece = std::next(pieces.begin(), static_cast<long>(random() % pieces.size()));
      arena.give(piece->first, piece->second);
      pieces.erase(piece);
    }
  }
  for (const auto& [begin, bytes] : pieces) arena.give(begin, bytes);
  EXPECT_EQ(arena.largest_free(), 1u << 16);
  EXPECT_EQ(arena.used_bytes(), 0u);
}

using CudaHeap = CudaTest;

TEST_F(CudaHeap, ReservesUpFrontAndGivesEverythingBack) {
  auto heap = make_heap();
  EXPECT_EQ(script.device_chunks.size(), 1u);
  EXPECT_EQ(script.pinned_chunks.size(), 2u);  // one is for copies
  {
    const DeviceMemory a = heap->device_memory(1000), b = heap->device_memory(1000);
    EXPECT_EQ(a.address() % 256, 0u);
    EXPECT_EQ(b.address(), a.address() + 1024);
    EXPECT_EQ(heap->use().device_used, 2048u);
  }
  EXPECT_EQ(heap->use().device_used, 0u);
  EXPECT_EQ(script.calls["cuMemAlloc_v2"], 1);
  heap.reset();
  EXPECT_TRUE(script.device_chunks.empty());
  EXPECT_TRUE(script.pinned_chunks.empty());
  EXPECT_TRUE(script.streams.empty());
}

TEST_F(CudaHeap, GivesZeroedMemoryAgainAndAgain) {
  const auto heap = make_heap();
  for (int turn = 0; turn < 3; ++turn) {
    const DeviceMemory device = heap->device_memory(600);
    const PinnedMemory pinned = heap->pinned_memory(600);
    EXPECT_EQ(pinned.address(), reinterpret_cast<DeviceAddress>(pinned.data()));
    std::vector<unsigned char> seen(600, 1);
    heap->read(seen.data(), device.address(), seen.size());
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), 600);
    EXPECT_EQ(std::count(pinned.data<char>(), pinned.data<char>() + 600, 0), 600);
    std::fill(seen.begin(), seen.end(), 0xFF);
    heap->write(device.address(), seen.data(), seen.size());
    std::memset(pinned.data(), 0xFF, 600);
  }
}

TEST_F(CudaHeap, CopiesWhatIsLargerThanItsBuffer) {
  const auto heap = make_heap();
  std::vector<std::uint32_t> sent(1'000'000), got(sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::uint32_t>(i * 2654435761u);
  const DeviceMemory memory = heap->device_memory(sent.size() * 4);
  heap->write(memory.address(), sent.data(), memory.size());
  heap->read(got.data(), memory.address(), memory.size());
  EXPECT_EQ(sent, got);
}

TEST_F(CudaHeap, GrowsByAChunkOrByWhatIsAskedFor) {
  const auto heap = make_heap();
  const DeviceMemory a = heap->device_memory(4096), b = heap->device_memory(256), c = heap->device_memory(10000);
  EXPECT_EQ(heap->use().device_total, 4096u + 4096 + 10240);
  EXPECT_EQ(heap->use().growths, 2u);
  const PinnedMemory p = heap->pinned_memory(5000);
  EXPECT_EQ(heap->use().pinned_total, 4096u + 5120);
}

TEST_F(CudaHeap, TakesWhatIsNeededWhereAWholeChunkIsTooMuch) {
  const auto heap = make_heap();
  const DeviceMemory a = heap->device_memory(4096);
  script.memory = 1000;
  const DeviceMemory b = heap->device_memory(500);
  EXPECT_EQ(heap->use().device_total, 4096u + 512);
}

TEST_F(CudaHeap, SaysHowMuchWasWanted) {
  const auto heap = make_heap();
  script.memory = script.pinned = 0;
  const std::string error = thrown_by([&] { heap->device_memory(std::size_t{20} << 20); });
  EXPECT_NE(error.find("DeviceMemoryError: reserving 20 MiB of device memory on cuda:0 Scripted"), std::string::npos);
  EXPECT_NE(error.find("beside 4 KiB that this runtime has already, failed: cuMemAlloc_v2 says CUDA_ERROR_OUT_OF_MEM"),
            std::string::npos)
      << error;
  EXPECT_NE(thrown_by([&] { heap->pinned_memory(8192); }).find("DeviceMemoryError: reserving 8 KiB of host memory"),
            std::string::npos);
  const DeviceMemory small = heap->device_memory(16);  // what there is, is of use still
}

TEST_F(CudaHeap, ACopyThatDoesNotEndIsAnError) {
  const auto heap = make_heap();
  const DeviceMemory memory = heap->device_memory(16);
  script.device_hangs = true;
  std::uint64_t word = 0;
  EXPECT_NE(thrown_by([&] { heap->read(&word, memory.address(), 8); }).find("DeviceError: copying from the device did"),
            std::string::npos);
  const int copies = script.calls["cuMemcpyHtoDAsync_v2"];
  EXPECT_NE(thrown_by([&] { heap->write(memory.address(), &word, 8); }), "");
  EXPECT_EQ(script.calls["cuMemcpyHtoDAsync_v2"], copies);  // the first may still use the buffer
  script.device_hangs = false;
  EXPECT_EQ(thrown_by([&] { heap->read(&word, memory.address(), 8); }), "");
}

TEST_F(CudaHeap, KeepsItsPiecesAlive) {
  DeviceMemory piece;
  {
    const auto heap = make_heap();
    piece = heap->device_memory(100);
  }
  EXPECT_EQ(script.device_chunks.size(), 1u);
  piece = DeviceMemory();
  EXPECT_TRUE(script.device_chunks.empty());
  EXPECT_EQ(script.contexts, 0);
}

TEST_F(CudaHeap, NeverFreesWhatWasAbandoned) {
  {
    const auto heap = make_heap();
    heap->device_memory(100).abandon();
  }
  EXPECT_EQ(script.device_chunks.size(), 1u);
  EXPECT_TRUE(script.pinned_chunks.empty());
}

// A grid that leaves after it was asked a few times.
class SlowGrid final : public Resting {
 public:
  void hold(bool on) override { holds += on ? 1 : -1; }
  bool idle() override { return holds > 0 && ++asked > patience; }
  std::string label() const override { return "slow"; }

  int holds = 0, asked = 0, patience = 3;
};

TEST_F(CudaHeap, GrowsOnlyWhileAllGridsAreAway) {
  const auto heap = make_heap();
  Device& device = heap->device();
  SlowGrid grid;
  device.add(grid);
  int waited = 0;
  device.while_waiting([&] { ++waited; });
  {
    const DeviceMemory memory = heap->device_memory(8192);
    EXPECT_EQ(grid.asked, 4);
    EXPECT_EQ(waited, 3);
    EXPECT_EQ(grid.holds, 0);
  }
  device.while_waiting({});
  device.remove(grid);
}

TEST_F(CudaHeap, DoesNotGrowBesideAGridThatStays) {
  const auto heap = make_heap();
  SlowGrid grid;
  grid.patience = 1'000'000;
  heap->device().add(grid);
  const std::string error = thrown_by([&] { heap->device_memory(8192); });
  EXPECT_NE(error.find("DeviceMemoryError: reserving 8 KiB more memory for kernels needs the device"),
            std::string::npos);
  EXPECT_NE(error.find("kernel 'slow' did not leave it within 20 ms"), std::string::npos) << error;
  EXPECT_EQ(grid.holds, 0);
  EXPECT_EQ(script.calls["cuMemAlloc_v2"], 1);
  heap->device().remove(grid);
}

TEST_F(CudaHeap, QuietIsOneAtATimeAndMayBeNested) {
  const auto device = make_device();
  SlowGrid early, late;
  device->add(early);
  device->quiet("DeviceError", "outside", 1'000'000'000, [&] {
    EXPECT_EQ(early.holds, 1);
    device->add(late);
    EXPECT_EQ(late.holds, 1);  // whoever comes now is held too
    device->quiet("DeviceError", "inside", 0, [&] { EXPECT_EQ(early.holds, 1); });
    EXPECT_EQ(early.holds, 1);
  });
  EXPECT_EQ(early.holds + late.holds, 0);
  EXPECT_EQ(thrown_by([&] {
              device->quiet("DeviceError", "x", 1'000'000'000, [] { throw Error("DeviceError", "inside"); });
            }),
            "DeviceError: inside");
  EXPECT_EQ(early.holds + late.holds, 0);
  device->remove(early);
  device->remove(late);
}

}  // namespace
}  // namespace rk::cuda::test
