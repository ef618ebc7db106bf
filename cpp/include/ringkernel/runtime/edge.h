// A declared way from one kernel to another: its policy, its credits, its marks.
//
// Every instance of the sending kernel has lanes of its own to every instance of the receiving one; the edge counts
// them together. Credits are the free slots of its lanes.
//
// Protection: options_, from_, to_: constant after init. lanes_, links_, retired_...: mutex_. congested_, blocked_:
// atomic (S).
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ringkernel/runtime/lane.h"

namespace rk {

struct EdgeOptions {
  Overflow overflow = Overflow::kFail;
  std::uint64_t capacity = 0;    // messages per lane; 0: the receiver's
  std::uint64_t high_water = 0;  // messages in a lane from which on the edge is congested; 0: 3/4 of the capacity
  std::uint64_t low_water = 0;   // ... until they are this few; 0: half of high_water
};

// A way of an edge beside its lanes, which the host does not see each message of.
class EdgeLink {
 public:
  virtual ~EdgeLink() = default;
  virtual RingStats stats() const = 0;  // as of the last refresh
  virtual bool open() const = 0;
  virtual std::uint64_t times_blocked() const = 0;
  virtual void refresh(std::uint64_t deadline_ns) = 0;  // of the others that lead to the same kernel too
};

struct EdgeStats {
  RingStats ring;
  std::uint64_t linked = 0;  // accepted by ways that need no host
  std::uint64_t lanes = 0, credits = 0, capacity = 0;
  std::uint64_t times_blocked = 0;  // a sender had to wait
  bool congested = false;
};

class Edge {
 public:
  Edge(std::string from, std::string to, const EdgeOptions& options)
      : from_(std::move(from)), to_(std::move(to)), options_(options) {}

  const std::string& from() const { return from_; }
  const std::string& to() const { return to_; }
  const EdgeOptions& options() const { return options_; }

  void add(std::shared_ptr<Lane> lane) {
    const std::lock_guard lock(mutex_);
    std::erase_if(lanes_, [this](const auto& old) {
      if (!old->abandoned() || old->stats().in_flight != 0) return false;
      retired_ += old->stats();
      retired_blocked_ += old->times_blocked();
      return true;
    });
    lanes_.push_back(std::move(lane));
  }

  void add(std::shared_ptr<EdgeLink> link) {
    const std::lock_guard lock(mutex_);
    std::erase_if(links_, [this](const auto& old) {
      const RingStats stats = old->stats();
      if (old->open() || stats.in_flight != 0) return false;
      retired_ += stats;
      retired_blocked_ += old->times_blocked();
      retired_linked_ += stats.accepted - stats.dropped;
      return true;
    });
    links_.push_back(std::move(link));
  }

  // What the host does not see is counted as of the last time. Without locks of the runtime.
  void refresh(std::uint64_t deadline_ns) {
    std::shared_ptr<EdgeLink> newest;
    {
      const std::lock_guard lock(mutex_);
      if (!links_.empty() && links_.back()->open()) newest = links_.back();
    }
    if (newest) newest->refresh(deadline_ns);
  }

  // After a send into `lane`: crosses the high-water mark upwards. Exact when it matters, cheap when it does not.
  void note_send(Lane& lane) {
    if (congested_.load_relaxed() != 0 || lane.depth_hint() < options_.high_water) return;  // S
    if (depth() >= options_.high_water) congested_.store_relaxed(1);                        // S
  }

  bool congested() {
    const bool was = congested_.load_relaxed() != 0;  // S
    const std::uint64_t in_flight = depth();
    const bool is = was ? in_flight > options_.low_water : in_flight >= options_.high_water;
    if (is != was) congested_.store_relaxed(is ? 1 : 0);  // S
    return is;
  }

  EdgeStats stats() {
    EdgeStats sum;
    sum.congested = congested();
    const std::lock_guard lock(mutex_);
    sum.ring = retired_;
    sum.times_blocked = retired_blocked_;
    for (const auto& lane : lanes_) {
      const RingStats one = lane->stats();
      sum.ring += one;
      sum.times_blocked += lane->times_blocked();
      if (lane->abandoned() || lane->closed()) continue;
      ++sum.lanes;
      sum.capacity += lane->options().capacity;
      sum.credits += lane->options().capacity - std::min(one.in_flight, lane->options().capacity);
    }
    sum.linked = retired_linked_;
    for (const auto& link : links_) {  // each stands beside a lane, whose capacity it has
      const RingStats one = link->stats();
      sum.ring += one;
      sum.linked += one.accepted - one.dropped;
      sum.times_blocked += link->times_blocked();
      if (link->open()) sum.credits -= std::min(one.in_flight, sum.credits);
    }
    return sum;
  }

 private:
  // Of the fullest lane.
  std::uint64_t depth() {
    const std::lock_guard lock(mutex_);
    std::uint64_t deepest = 0;
    for (const auto& lane : lanes_) deepest = std::max(deepest, lane->stats().in_flight);
    for (const auto& link : links_) deepest = std::max(deepest, link->stats().in_flight);
    return deepest;
  }

  std::string from_, to_;
  EdgeOptions options_;
  HostAtomics::Atomic<std::uint32_t> congested_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::vector<std::shared_ptr<EdgeLink>> links_;
  RingStats retired_;
  std::uint64_t retired_blocked_ = 0, retired_linked_ = 0;
};

}  // namespace rk
