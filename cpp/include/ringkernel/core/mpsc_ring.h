// Many producers, one consumer: one single-producer lane each, merged by the consumer.
//
// No word is shared between producers, so none of them waits for another, and one that dies in the middle of a write
// harms its own lane only. Order is per producer; the merge is round robin in bursts, or by a key (an HLC stamp).
//
// Edges (those of a lane: spsc_producer.h)
//   E5  give back -> take   a lane's private state passes from the producer that leaves to the next one
//   E6  take -> sweep       a lane that was taken is seen by the sweep; its messages travel over E1
//
// Protection: lanes_, count_: constant after init. state: atomic (E5). in_use_: atomic (E6). The rest: the consumer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ringkernel/core/chase.h"
#include "ringkernel/core/spsc_ring.h"

namespace rk {

// LaneRing is a BasicSpscRing or an OverwriteRing.
template <class P, class LaneRing>
class BasicMpscRing {
 public:
  using Producer = typename LaneRing::Producer;

  struct alignas(kRingLineBytes) Lane {
    template <class... Args>
    explicit Lane(Args&&... args) : ring(static_cast<Args&&>(args)...) {}
    LaneRing ring;
    typename P::template Atomic<std::uint32_t> state{kIdle};
  };

  // `lane_at(i)` returns a std::unique_ptr<Lane> over memory that outlives the ring.
  template <class LaneAt>
  BasicMpscRing(std::uint32_t lane_count, Wait wait, LaneAt&& lane_at)
      : lanes_(std::make_unique<std::unique_ptr<Lane>[]>(lane_count)), count_(lane_count), chase_(wait) {
    for (std::uint32_t i = 0; i < lane_count; ++i) lanes_[i] = lane_at(i);
  }

  // A lane for one producer, nullptr when all are taken. The caller owns it until give_back.
  Lane* take_lane() {
    for (std::uint32_t i = 0; i < count_; ++i) {
      while (lanes_[i]->state.load_relaxed() == kIdle) {  // E5 the exchange decides, and may fail for no reason
        std::uint32_t idle = kIdle;
        if (!lanes_[i]->state.cas_acq_rel(idle, kTaken)) continue;  // E5
        raise_in_use(i + 1);
        return lanes_[i].get();
      }
    }
    return nullptr;
  }

  // What the lane holds stays readable; the next producer continues behind it.
  static void give_back(Lane& lane) { lane.state.store_release(kIdle); }  // E5

  // The next message in merge order, nullptr when no lane has one.
  const std::byte* try_peek() {
    if (burst_left_ != 0 && lanes_[current_]->ring.consumer().has_seen()) {
      return lanes_[current_]->ring.consumer().try_peek();
    }
    const std::uint32_t lanes = in_use_.load_relaxed();  // E6
    for (;;) {
      for (std::uint32_t i = 0; i < lanes; ++i) {
        current_ = current_ + 1 < lanes ? current_ + 1 : 0;
        if (!lanes_[current_]->ring.consumer().has_seen()) continue;
        burst_left_ = kBurst;
        return lanes_[current_]->ring.consumer().try_peek();
      }
      if (!look_at_all(lanes)) return nullptr;
    }
  }

  // As try_peek, but the message whose `key(message)` is the smallest among the oldest of each lane.
  template <class Key>
  const std::byte* try_peek_ordered(Key&& key) {
    const std::uint32_t lanes = in_use_.load_relaxed();  // E6
    const std::byte* best = nullptr;
    for (std::uint32_t i = 0; i < lanes; ++i) {
      const std::byte* message = lanes_[i]->ring.consumer().try_peek();
      if (message == nullptr || (best != nullptr && key(message) >= key(best))) continue;
      best = message;
      current_ = i;
    }
    burst_left_ = best == nullptr ? 0 : 1;
    return best;
  }

  // Hands back the message that the last peek returned, or `count` from it on in its lane.
  void release() {
    lanes_[current_]->ring.consumer().release();
    if (burst_left_ != 0) --burst_left_;
  }
  void release(std::uint64_t count) {
    lanes_[current_]->ring.consumer().release(count);
    burst_left_ = 0;
  }

  Status try_pop(void* to, std::size_t bytes) {
    const std::byte* message = try_peek();
    if (message == nullptr) return closed_and_drained() ? Status::kClosed : Status::kEmpty;
    P::copy_out(to, message, bytes);
    release();
    return Status::kOk;
  }

  void close() {
    for (std::uint32_t i = 0; i < count_; ++i) lanes_[i]->ring.close();
  }

  bool closed() const { return lanes_[0]->ring.closed(); }

  bool closed_and_drained() {
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (!lanes_[i]->ring.consumer().closed_and_drained()) return false;
    }
    return true;
  }

  RingStats stats() const {
    RingStats sum;
    for (std::uint32_t i = 0; i < in_use_.load_relaxed(); ++i) sum += lanes_[i]->ring.stats();  // E6
    return sum;
  }

  std::uint32_t lane_count() const { return count_; }
  std::uint32_t lanes_in_use() const { return in_use_.load_relaxed(); }  // E6
  Lane& lane(std::uint32_t i) { return *lanes_[i]; }
  std::uint32_t peeked_lane() const { return current_; }
  std::uint64_t capacity() const { return lanes_[0]->ring.capacity(); }

 private:
  static constexpr std::uint32_t kIdle = 0, kTaken = 1;
  static constexpr std::uint32_t kBurst = 64;

  bool look_at_all(std::uint32_t lanes) {
    chase_.template before_look<P>();
    std::uint64_t found = 0;
    for (std::uint32_t i = 0; i < lanes; ++i) found += lanes_[i]->ring.consumer().look_ahead();
    if (found == 0) {
      chase_.found_nothing();
    } else {
      chase_.found(found);
    }
    return found != 0;
  }

  void raise_in_use(std::uint32_t lanes) {
    std::uint32_t seen = in_use_.load_relaxed();                         // E6
    while (seen < lanes && !in_use_.cas_relaxed(seen, lanes)) continue;  // E6
  }

  std::unique_ptr<std::unique_ptr<Lane>[]> lanes_;
  std::uint32_t count_;
  typename P::template Atomic<std::uint32_t> in_use_{0};
  alignas(kRingLineBytes) std::uint32_t current_ = 0;
  std::uint32_t burst_left_ = 0;
  ChaseControl chase_;
};

template <class P = StdAtomics>
using MpscRing = BasicMpscRing<P, SpscRing<P>>;

// Lanes of one geometry, back to back in `memory` (geometry.total_bytes each, aligned to 128 bytes, zeroed). Give
// several lanes Wait::kLatency: the sweep over all of them waits, not each one.
template <class P, class LaneRing = SpscRing<P>>
auto lanes_in(void* memory, const RingGeometry& geometry, SpscOptions options) {
  return [=](std::uint32_t i) {
    auto* bytes = static_cast<std::byte*>(memory) + i * geometry.total_bytes;
    return std::make_unique<typename BasicMpscRing<P, LaneRing>::Lane>(*create_ring<P>(bytes, geometry), options);
  };
}

}  // namespace rk
