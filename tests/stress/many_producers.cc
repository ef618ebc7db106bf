// 1, 2 and 4 producers, blocking on both sides, lanes that change hands, a close that drains, and stamps that travel.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "ringkernel/core/mpsc_ring.h"
#include "ringkernel/core/overwrite_ring.h"
#include "ringkernel/core/parking.h"
#include "ringkernel/runtime/clocks.h"
#include "stress.h"

namespace rk::stress {
namespace {

constexpr unsigned kShifts = 4;    // a producer gives its lane back that often; order holds within a shift
constexpr unsigned kMaxLanes = 2;  // four producers share two lanes
constexpr std::uint64_t kCapacity = 16;

RingGeometry geometry_of(std::uint32_t layout) {
  RingGeometry geometry;
  if (make_geometry(kCapacity, sizeof(Message), layout, &geometry) != GeometryError::kNone) std::abort();
  return geometry;
}

template <class LaneRing>
class Scene {
 public:
  using Ring = BasicMpscRing<HostAtomics, LaneRing>;

  Scene(std::uint64_t count, unsigned producers, std::uint32_t layout)
      : count_(count),
        producers_(producers),
        geometry_(geometry_of(layout)),
        memory_(new(std::align_val_t{kRingLineBytes}) std::byte[kMaxLanes * geometry_.total_bytes]{}),
        ring_(std::min(producers, kMaxLanes), Wait::kBalanced,
              lanes_in<HostAtomics, LaneRing>(memory_.get(), geometry_, SpscOptions{Wait::kLatency, producers % 2})) {}

  Tally run() {
    for (unsigned stream = 0; stream < producers_ * kShifts; ++stream) ledger_.expect(stream, messages_of(stream));
    std::vector<std::thread> threads;
    for (unsigned producer = 0; producer < producers_; ++producer)
      threads.emplace_back([=, this] { produce(producer); });
    std::thread closer([&] {
      for (auto& thread : threads) thread.join();
      ring_.close();
      for_data_.wake();
    });
    consume();
    closer.join();
    const RingStats stats = ring_.stats();
    Tally tally = ledger_.close(stats.dropped);
    if (stats.in_flight != 0 || stats.accepted != stats.delivered + stats.dropped) ++tally.corrupt;
    return tally;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{kRingLineBytes}); }
  };

  std::uint64_t messages_of(unsigned stream) const {
    const std::uint64_t streams = producers_ * kShifts;
    return count_ / streams + (stream < count_ % streams ? 1 : 0);
  }

  void produce(unsigned producer) {
    HlcHostShard shard = hlc_.shard();
    for (unsigned shift = 0; shift < kShifts; ++shift) {
      auto* lane = ring_.take_lane();
      for (; lane == nullptr; lane = ring_.take_lane()) std::this_thread::yield();
      const unsigned stream = producer * kShifts + shift;
      for (std::uint64_t number = 0; number < messages_of(stream); ++number) {
        send(*lane, Message::make(stream, number, shard.tick().time));
      }
      ring_.give_back(*lane);
    }
  }

  void send(typename Ring::Lane& lane, const Message& message) {
    while (lane.ring.producer().try_push(&message) != Status::kOk) {
      room_of(lane).wait([&] { return lane.ring.producer().has_room_exact(); }, kNoDeadline);
    }
    for_data_.wake();
  }

  void consume() {
    HlcHostShard shard = hlc_.shard();
    for (;;) {
      const std::byte* slot = nullptr;
      for_data_.wait([&] { return (slot = ring_.try_peek()) != nullptr || ring_.closed_and_drained(); }, kNoDeadline);
      if (slot == nullptr) return;
      Message message;
      HostAtomics::copy_out(&message, slot, sizeof message);
      auto& lane = ring_.lane(ring_.peeked_lane());
      ring_.release();
      room_of(lane).wake();
      ledger_.receive(message);
      if (shard.update(message.stamp) != HlcUpdate::kMerged || shard.tick().time <= message.stamp) {
        ledger_.note_reordered();
      }
    }
  }

  Parking<HostAtomics>& room_of(const typename Ring::Lane& lane) { return for_room_[&lane == &ring_.lane(0) ? 0 : 1]; }

  std::uint64_t count_;
  unsigned producers_;
  RingGeometry geometry_;
  std::unique_ptr<std::byte[], Free> memory_;
  Ring ring_;
  Parking<HostAtomics> for_data_;
  std::array<Parking<HostAtomics>, kMaxLanes> for_room_;
  HostClock wall_;
  Hlc hlc_{wall_, 1, std::uint64_t{60} << 32};
  Ledger ledger_;
};

}  // namespace

Tally many_producers_packed(std::uint64_t count, unsigned producers) {
  return Scene<SpscRing<HostAtomics>>(count, producers, kLayoutPacked).run();
}

Tally many_producers_turn(std::uint64_t count, unsigned producers) {
  return Scene<SpscRing<HostAtomics>>(count, producers, kLayoutTurn).run();
}

Tally many_producers_overwrite(std::uint64_t count, unsigned producers) {
  return Scene<OverwriteRing<HostAtomics>>(count, producers, kLayoutPacked).run();
}

}  // namespace rk::stress
