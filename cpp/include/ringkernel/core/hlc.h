// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) in one 64-bit word.
//
// The word is NTP64: 32.32 seconds since 1970. A stamp is the larger of the wall clock (with its low bits cleared for
// the counter) and the last stamp + 1, so it never goes back, never repeats, and a counter that runs over moves into
// time. One unit is 0.23 ns: no core can stamp faster than time passes.
//
// Edges
//   H1  one word, relaxed: coherence alone makes its values increase for everybody, and what one thread stamps after
//       it learned of another's stamp (by any synchronisation of the caller's) is larger
//
// Protection: clock_, node_id_, max_drift_: constant after init. word_, next_shard_: atomic (H1).
// HlcShard::word_: one thread stamps, others may read.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/ring_geometry.h"

namespace rk {

constexpr bool operator==(const HlcTimestamp& a, const HlcTimestamp& b) {
  return a.time == b.time && a.node_id == b.node_id && a.shard_id == b.shard_id;
}
constexpr bool operator<(const HlcTimestamp& a, const HlcTimestamp& b) {
  if (a.time != b.time) return a.time < b.time;
  return a.node_id != b.node_id ? a.node_id < b.node_id : a.shard_id < b.shard_id;
}

constexpr std::uint64_t ntp64_from_ns(std::uint64_t ns) {
  const std::uint64_t seconds = ns / 1'000'000'000, rest = ns % 1'000'000'000;
  return (seconds << 32) | ((rest << 32) / 1'000'000'000);
}
constexpr std::uint64_t ns_from_ntp64(std::uint64_t ntp) {
  return (ntp >> 32) * 1'000'000'000 + (((ntp & 0xFFFFFFFFu) * 1'000'000'000) >> 32);
}

constexpr std::uint64_t kHlcLogicalMask = (std::uint64_t{1} << kHlcLogicalBits) - 1;
constexpr std::uint64_t kHlcMaxTime = ~std::uint64_t{0} - (std::uint64_t{1} << 36);  // 16 s short of the year 2106

enum class HlcUpdate : std::uint8_t { kMerged, kTooFarAhead };

// Clock supplies `std::uint64_t now()`: NTP64, any number of threads.
template <class P, class Clock>
class HlcShard;

template <class P, class Clock>
class HlcClock {
 public:
  HlcClock(Clock& clock, std::uint32_t node_id, std::uint64_t max_drift_ntp64)
      : clock_(clock), node_id_(node_id), max_drift_(max_drift_ntp64) {}

  // The time as known now; stamps nothing.
  HlcTimestamp now() { return stamp(std::max(physical(), word_.load_relaxed())); }  // H1

  // A local or send event: larger than every stamp made or merged before.
  HlcTimestamp tick() { return tick_many(1); }

  // Reserves `count` consecutive times and returns the first.
  HlcTimestamp tick_many(std::uint64_t count) {
    const std::uint64_t physical_now = physical();
    std::uint64_t last = word_.load_relaxed();  // H1
    std::uint64_t first;
    do {
      first = std::max(physical_now, last + 1);
    } while (!word_.cas_relaxed(last, first + count - 1));  // H1
    return stamp(first);
  }

  // Merges a received stamp: later ticks are larger. Reads only, when the stamp is not ahead. A stamp more than
  // max_drift ahead of the wall clock is refused and changes nothing.
  HlcUpdate update(std::uint64_t remote_time) {
    std::uint64_t last = word_.load_relaxed();  // H1
    if (remote_time <= last) return HlcUpdate::kMerged;
    if (too_far_ahead(remote_time)) return HlcUpdate::kTooFarAhead;
    merge(remote_time);
    return HlcUpdate::kMerged;
  }

  // As update, for a stamp of this node: of a clock or shard that follows the same wall clock and needs no check.
  void merge(std::uint64_t own_time) {
    std::uint64_t last = word_.load_relaxed();                               // H1
    while (last < own_time && !word_.cas_relaxed(last, own_time)) continue;  // H1
  }

  // A word of its own for one thread or lane: ten times the rate, unique by its id, ordered with others by update().
  HlcShard<P, Clock> shard() { return HlcShard<P, Clock>(*this, next_shard_.fetch_add_relaxed(1) + 1); }  // H1

  std::uint64_t physical() { return clock_.now() & ~kHlcLogicalMask; }
  bool too_far_ahead(std::uint64_t remote_time) {
    const std::uint64_t now = physical();
    return remote_time > kHlcMaxTime || (remote_time > now && remote_time - now > max_drift_);
  }

  std::uint32_t node_id() const { return node_id_; }
  std::uint64_t max_drift() const { return max_drift_; }
  std::uint64_t last() const { return word_.load_relaxed(); }  // H1
  Clock& clock() { return clock_; }

 private:
  HlcTimestamp stamp(std::uint64_t time) const { return HlcTimestamp{time, node_id_, 0}; }

  alignas(kRingLineBytes) typename P::template Atomic<std::uint64_t> word_{0};
  alignas(kRingLineBytes) Clock& clock_;
  std::uint32_t node_id_;
  std::uint64_t max_drift_;
  typename P::template Atomic<std::uint32_t> next_shard_{0};
};

// No read-modify-write: a tick is the clock read and a store. The parent clock must outlive its shards.
template <class P, class Clock>
class alignas(kRingLineBytes) HlcShard {
 public:
  HlcShard(HlcClock<P, Clock>& parent, std::uint32_t shard_id)
      : word_(parent.last()), parent_(&parent), shard_id_(shard_id) {}
  HlcShard(HlcShard&& other) : word_(other.last()), parent_(other.parent_), shard_id_(other.shard_id_) {}

  HlcTimestamp now() { return stamp(std::max(parent_->physical(), last())); }
  HlcTimestamp tick() { return tick_many(1); }

  HlcTimestamp tick_many(std::uint64_t count) {
    const std::uint64_t first = std::max(parent_->physical(), last() + 1);
    word_.store_relaxed(first + count - 1);  // H1
    return stamp(first);
  }

  HlcUpdate update(std::uint64_t remote_time) {
    if (remote_time <= last()) return HlcUpdate::kMerged;
    // What the clock itself has reached was believed before, whatever the wall clock says now.
    if (remote_time > parent_->last() && parent_->too_far_ahead(remote_time)) return HlcUpdate::kTooFarAhead;
    merge(remote_time);
    return HlcUpdate::kMerged;
  }

  void merge(std::uint64_t own_time) {
    if (own_time > last()) word_.store_relaxed(own_time);  // H1
  }

  std::uint32_t shard_id() const { return shard_id_; }
  std::uint64_t last() const { return word_.load_relaxed(); }  // H1

 private:
  HlcTimestamp stamp(std::uint64_t time) const { return HlcTimestamp{time, parent_->node_id(), shard_id_}; }

  typename P::template Atomic<std::uint64_t> word_;
  HlcClock<P, Clock>* parent_;
  std::uint32_t shard_id_;
};

}  // namespace rk
