// A ring between two instances of a device: what is read of it, who looks at it last, and where its memory comes from.
#include "cuda/link.h"

#include "cuda_fake_device.h"
#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

using rk::test::eventually;
using rk::test::Number;
using namespace std::chrono_literals;

class CudaLink : public CudaTest {
 protected:
  CudaLink() : backend(std::make_shared<FakeBackend>()), runtime(std::make_shared<Runtime>(backend, RuntimeOptions{})) {
    KernelOptions options;
    options.name = "kernel";
    auto ignore = [](FakeInstance&, const MessageHeader&, const std::byte*) { return u32{0}; };
    kernel = runtime->launch(std::make_shared<FakeHandler>(ignore), options);
    shape.slots = 4;
    shape.stride = 256;
    shape.max_payload = 64;
  }
  ~CudaLink() override {
    EXPECT_TRUE(runtime->close(deadline_after(20s), [] {}).empty());
  }

  Bridge& bridge() { return backend->last->bridge; }

  // `pushed` messages were, `taken` are over; the last one is not published where it is `torn`.
  std::unique_ptr<Link> make_link(Heap& heap, u64 pushed, u64 taken, bool torn = false) {
    DeviceMemory memory = heap.device_memory(shape.bytes());
    LinkRing ring{};
    ring.slots_address = memory.address() + LinkShape::kHeadBytes;
    ring.slots = shape.slots;
    ring.stride = shape.stride;
    ring.accepted = pushed;
    ring.read = taken;
    heap.write(memory.address(), &ring, sizeof(ring));
    for (u64 n = 0; n < pushed; ++n) {
      std::vector<std::byte> slot(shape.stride);
      const u64 turn = torn && n + 1 == pushed ? 0 : n + 1;
      MessageHeader header{};
      header.payload_size = sizeof(u64);
      std::memcpy(slot.data(), &turn, sizeof(turn));
      std::memcpy(slot.data() + kInboxLead, &header, sizeof(header));
      std::memcpy(slot.data() + kInboxLead + sizeof(header), &n, sizeof(n));
      heap.write(ring.slots_address + n % shape.slots * shape.stride, slot.data(), slot.size());
    }
    auto counts = std::make_shared<LinkCounts>(shape, kernel, bridge());
    return std::make_unique<Link>(std::move(memory), shape, bridge().peer(0), kernel, counts, bridge(), 0);
  }
  static std::vector<u64> left_in(const Link& link, Heap& heap) {
    std::vector<u64> found;
    const LinkRing ring = link.for_each(heap, [&](const MessageHeader&, const std::byte* payload) {
      u64 value = 0;
      std::memcpy(&value, payload, sizeof(value));
      found.push_back(value);
    });
    EXPECT_LE(found.size(), ring.accepted - ring.read);
    return found;
  }

  std::shared_ptr<FakeBackend> backend;
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<Kernel> kernel;
  LinkShape shape;
};

TEST_F(CudaLink, what_is_left_in_it_is_read_in_order_across_the_end_of_the_ring) {
  const auto heap = make_heap({.device_chunk = 65536, .pinned_chunk = 4096});
  EXPECT_EQ(left_in(*make_link(*heap, 0, 0), *heap), std::vector<u64>{});
  EXPECT_EQ(left_in(*make_link(*heap, 3, 1), *heap), (std::vector<u64>{1, 2}));
  EXPECT_EQ(left_in(*make_link(*heap, 10, 6), *heap), (std::vector<u64>{6, 7, 8, 9}));
  EXPECT_EQ(left_in(*make_link(*heap, 10, 10), *heap), std::vector<u64>{});
}

TEST_F(CudaLink, what_is_not_published_yet_is_not_there) {
  const auto heap = make_heap({.device_chunk = 65536, .pinned_chunk = 4096});
  EXPECT_EQ(left_in(*make_link(*heap, 3, 0, true), *heap), (std::vector<u64>{0, 1}));
}

TEST_F(CudaLink, whoever_leaves_second_looks) {
  const auto heap = make_heap({.device_chunk = 65536, .pinned_chunk = 4096});
  const auto first = make_link(*heap, 0, 0), second = make_link(*heap, 0, 0);
  EXPECT_FALSE(first->receiver_over());
  EXPECT_TRUE(first->is_shut());
  EXPECT_FALSE(first->silent());
  EXPECT_TRUE(first->fall_silent());
  EXPECT_FALSE(second->is_shut());
  EXPECT_FALSE(second->fall_silent());
  EXPECT_TRUE(second->silent());
  EXPECT_TRUE(second->receiver_over());
  EXPECT_FALSE(second->counts().open());
}

TEST_F(CudaLink, counts_that_come_late_change_nothing) {
  LinkCounts counts(shape, kernel, bridge());
  counts.told(10, 2, 4, 1);
  EXPECT_EQ(counts.in_flight(), 6u);
  counts.told(8, 1, 3, 0);
  const RingStats stats = counts.stats();
  EXPECT_EQ(stats.accepted, 10u);
  EXPECT_EQ(stats.delivered, 4u);
  EXPECT_EQ(stats.in_flight, 6u);
  EXPECT_EQ(stats.high_water, 6u);
  EXPECT_EQ(stats.dropped, 0u);  // those were refused
  EXPECT_EQ(counts.times_blocked(), 1u);
  shape.drops = true;
  LinkCounts dropping(shape, kernel, bridge());
  dropping.told(4, 6, 4, 0);
  EXPECT_EQ(dropping.stats().accepted, 10u);
  EXPECT_EQ(dropping.stats().dropped, 6u);
  EXPECT_EQ(dropping.stats().delivered, 4u);
}

TEST_F(CudaLink, an_edge_keeps_the_counts_of_links_that_are_gone) {
  Edge edge("a", "b", {.high_water = 8, .low_water = 2});
  auto first = std::make_shared<LinkCounts>(shape, kernel, bridge());
  edge.add(std::shared_ptr<EdgeLink>(first));
  first->told(12, 0, 4, 2);
  EXPECT_TRUE(edge.congested());
  first->told(12, 0, 12, 2);
  first->closed();
  edge.add(std::make_shared<LinkCounts>(shape, kernel, bridge()));
  first.reset();
  const EdgeStats stats = edge.stats();
  EXPECT_EQ(stats.linked, 12u);
  EXPECT_EQ(stats.ring.delivered, 12u);
  EXPECT_EQ(stats.times_blocked, 2u);
  EXPECT_FALSE(stats.congested);
}

TEST_F(CudaLink, memory_that_is_not_at_hand_is_reserved_by_somebody_else) {
  const auto heap = make_heap({.device_chunk = 4096, .pinned_chunk = 4096});
  const auto hub = std::make_shared<LinkHub>(heap, backend->scheduler());
  EXPECT_EQ(hub->take(1024).size(), 1024u);
  EXPECT_EQ(hub->take(20000).size(), 0u);
  EXPECT_TRUE(eventually([&] { return heap->use().growths == 1 && hub->take(20000).size() == 20000; }));
  EXPECT_EQ(hub->take(LinkHub::kMostBytes + 1).size(), 0u);
}

TEST_F(CudaLink, a_grid_is_found_while_it_is_there) {
  const auto heap = make_heap();
  const auto hub = std::make_shared<LinkHub>(heap, backend->scheduler());
  hub->add(*runtime, Address::make(1, 7), bridge());
  EXPECT_EQ(hub->find(*runtime, Address::make(1, 7, 3)), &bridge());
  EXPECT_EQ(hub->find(*runtime, Address::make(1, 8)), nullptr);
  hub->remove(*runtime, Address::make(1, 7));
  EXPECT_EQ(hub->find(*runtime, Address::make(1, 7)), nullptr);
}

TEST_F(CudaLink, an_instance_has_so_many_places_and_gives_them_again) {
  Peer& peer = bridge().peer(0);
  for (u32 n = 0; n < kMaxIncoming; ++n) EXPECT_EQ(peer.reserve_place(), n);
  EXPECT_EQ(peer.reserve_place(), std::nullopt);
  peer.give_place(17);
  EXPECT_EQ(peer.reserve_place(), 17u);
}

}  // namespace
}  // namespace rk::cuda::test
