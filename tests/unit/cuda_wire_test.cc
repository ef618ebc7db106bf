// The two rings of a grid: what is written on one side is what the other side reads, whatever its size.
#include "cuda/wire.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "cuda_fake_device.h"

namespace rk::cuda::test {
namespace {

std::vector<std::byte> body_of(std::size_t bytes, std::uint32_t seed) {
  std::vector<std::byte> body(bytes);
  for (std::size_t i = 0; i < bytes; ++i) body[i] = static_cast<std::byte>(i * 7 + seed);
  return body;
}

struct Loop {
  explicit Loop(WireShape given, std::uint32_t max_body = 300)
      : shape(given),
        units(given.units_of_ring()),
        writer(units.data(), shape, max_body, device),
        reader(units.data(), shape, max_body, host) {}

  // What the reader publishes in the host's line is what the writer looks for in the device's.
  void pass_back() { store_release(device.down_read, load_acquire(host.up_read)); }

  WireShape shape;
  std::vector<Unit> units;
  DeviceLine device{};
  HostLine host{};
  DownWriter writer;
  UpReader reader;
};

TEST(CudaWire, a_record_of_any_size_arrives_as_it_was) {
  for (const std::uint32_t units : {8u, 12u, 32u}) {
    Loop loop({256, units});
    for (std::uint32_t bytes = 0; bytes <= 300; ++bytes) {
      const std::vector<std::byte> body = body_of(bytes, bytes);
      const std::size_t half = body.size() / 2;
      ASSERT_TRUE(loop.writer.try_put(bytes + 1, 7, {std::span(body).first(half), std::span(body).subspan(half)}));
      const UpReader::Record* record = loop.reader.try_peek();
      ASSERT_NE(record, nullptr);
      EXPECT_EQ(record->head.kind, bytes + 1);
      EXPECT_EQ(record->head.instance, 7u);
      ASSERT_EQ(record->body.size(), body.size());
      EXPECT_TRUE(std::equal(body.begin(), body.end(), record->body.begin()));
      loop.reader.release();
      EXPECT_EQ(loop.reader.try_peek(), nullptr);
      loop.reader.publish();
      loop.pass_back();
    }
    EXPECT_TRUE(loop.writer.drained());
  }
}

TEST(CudaWire, a_full_ring_takes_nothing_until_slots_are_free) {
  Loop loop({4, 8}, 80);
  const std::vector<std::byte> body = body_of(80, 1);  // a slot
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(loop.writer.try_put(1, 0, {body}));
  EXPECT_FALSE(loop.writer.has_room_for(body.size()));
  EXPECT_FALSE(loop.writer.try_put(1, 0, {body}));
  ASSERT_NE(loop.reader.try_peek(), nullptr);
  loop.reader.release();
  EXPECT_FALSE(loop.writer.try_put(1, 0, {body})) << "not yet published";
  loop.reader.publish();
  loop.pass_back();
  EXPECT_TRUE(loop.writer.try_put(1, 0, {body}));
}

TEST(CudaWire, a_record_that_cannot_be_is_an_error) {
  Loop loop({4, 8}, 80);
  const RecordHead head{1, 0, 100000};
  loop.units[0].low = head.kind | static_cast<std::uint64_t>(head.instance) << 32;
  loop.units[0].high = head.bytes | std::uint64_t{1} << 32;
  EXPECT_THROW(loop.reader.try_peek(), Error);
}

TEST(CudaWire, units_arrive_one_by_one) {
  Loop loop({4, 8}, 80);
  const std::vector<std::byte> body = body_of(40, 3);
  ASSERT_TRUE(loop.writer.try_put(1, 0, {body}));
  const Unit late = loop.units[3];
  loop.units[3] = Unit{};
  EXPECT_EQ(loop.reader.try_peek(), nullptr);
  EXPECT_EQ(loop.reader.try_peek(), nullptr);
  loop.units[3] = late;
  ASSERT_NE(loop.reader.try_peek(), nullptr);
  EXPECT_TRUE(std::equal(body.begin(), body.end(), loop.reader.try_peek()->body.begin()));
}

TEST(CudaWire, two_threads_exchange_records) {
  constexpr std::uint32_t kRecords = 20000;
  Loop loop({16, 8}, 200);
  std::thread reading([&] {
    for (std::uint32_t n = 0; n < kRecords;) {
      const UpReader::Record* record = loop.reader.try_peek();
      if (record == nullptr) {
        loop.reader.publish();
        loop.pass_back();
        continue;
      }
      const std::vector<std::byte> expected = body_of(n % 200, n);
      ASSERT_EQ(record->head.kind, n);
      ASSERT_EQ(record->body.size(), expected.size());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), record->body.begin()));
      loop.reader.release();
      loop.pass_back();
      ++n;
    }
  });
  for (std::uint32_t n = 0; n < kRecords; ++n) {
    const std::vector<std::byte> body = body_of(n % 200, n);
    while (!loop.writer.try_put(n, 0, {body})) std::this_thread::yield();
  }
  reading.join();
}

}  // namespace
}  // namespace rk::cuda::test
