// Single-producer, single-consumer ring over memory that it is given.
//
//   SpscRing<StdAtomics> ring(lines, SpscOptions{});                run-time slot size
//   TypedSpscRing<Tick> ring(lines, SpscOptions{});                 slot size of a type
//
// Which layout wins where (measured, docs/rings.md): packed for throughput, batches and messages above 56 bytes; turn
// for the shortest round trip of up to 56 bytes, and for everything that a GPU polls.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/slot_shape.h"
#include "ringkernel/core/spsc_consumer.h"
#include "ringkernel/core/spsc_producer.h"
#include "ringkernel/core/status.h"

namespace rk {

struct SpscOptions {
  Wait wait = Wait::kBalanced;
  std::uint64_t progress_interval = 0;  // 0: an eighth of the capacity; 1: exact
};

template <class P, class Shape>
class BasicSpscRing {
 public:
  using Producer = SpscProducer<P, Shape>;
  using Consumer = SpscConsumer<P, Shape>;

  // The lines must outlive the ring, and one process holds at most one BasicSpscRing over them.
  BasicSpscRing(RingLines<P>& lines, SpscOptions options = {})
      : BasicSpscRing(lines, lines.slots(), Shape(lines.geometry), options) {}

  BasicSpscRing(RingLines<P>& lines, std::byte* slots, Shape shape, SpscOptions options)
      : producer_(lines, slots, shape), consumer_(lines, slots, shape, options.wait, options.progress_interval) {
    producer_.meet(consumer_.position());
    consumer_.meet(producer_.position());
  }

  BasicSpscRing(const BasicSpscRing&) = delete;  // the halves point at each other
  BasicSpscRing& operator=(const BasicSpscRing&) = delete;

  Producer& producer() { return producer_; }
  Consumer& consumer() { return consumer_; }

  // The verbs of both halves, for a ring that one thread owns on each side.
  std::byte* try_claim(std::uint64_t ahead = 0) { return producer_.try_claim(ahead); }
  void publish(std::uint64_t count = 1) { producer_.publish(count); }
  Status try_push(const void* from) { return producer_.try_push(from); }
  std::uint64_t push_many(const void* from, std::uint64_t count) { return producer_.push_many(from, count); }
  const std::byte* try_peek(std::uint64_t ahead = 0) { return consumer_.try_peek(ahead); }
  void release(std::uint64_t count = 1) { consumer_.release(count); }
  Status try_pop(void* to) { return consumer_.try_pop(to); }
  std::uint64_t pop_many(void* to, std::uint64_t count) { return consumer_.pop_many(to, count); }
  void close() { producer_.close(); }
  bool closed() const { return consumer_.closed(); }

  std::uint64_t capacity() const { return producer_.shape().mask() + 1; }

  // Exact when both sides rest. While they run the two positions are of different moments; what is more than fits the
  // ring must have been delivered.
  RingStats stats() const {
    RingStats stats;
    const std::uint64_t read = consumer_.read_next();
    const std::uint64_t written = producer_.write_next();
    stats.in_flight = written > read ? std::min(written - read, capacity()) : 0;
    stats.delivered = written - stats.in_flight;
    stats.dropped = producer_.dropped();
    stats.accepted = written + stats.dropped;
    stats.high_water = std::max(consumer_.high_water(), stats.in_flight);
    return stats;
  }

 private:
  Producer producer_;
  Consumer consumer_;
};

template <class P = StdAtomics>
using SpscRing = BasicSpscRing<P, RuntimeShape>;

template <class T, std::uint32_t Layout = kLayoutPacked, class P = StdAtomics>
class TypedSpscRing : public BasicSpscRing<P, FixedShape<T, Layout>> {
 public:
  using Base = BasicSpscRing<P, FixedShape<T, Layout>>;
  using Base::Base;

  static GeometryError geometry(std::uint64_t capacity, RingGeometry* out) {
    return make_geometry(capacity, sizeof(T), Layout, out);
  }

  Status try_push(const T& message) {
    std::byte* slot = this->producer().try_claim();
    if (slot == nullptr) return this->producer().closed() ? Status::kClosed : Status::kFull;
    P::copy_in(slot, &message, sizeof(T));
    this->producer().publish();
    return Status::kOk;
  }

  Status try_pop(T& message) { return this->consumer().try_pop(&message, sizeof(T)); }

  // Slots to fill in place before publish(span.size()); packed layout only, empty when full or closed.
  std::span<T> try_claim_span(std::uint64_t wanted) {
    static_assert(Layout == kLayoutPacked, "turn slots are not contiguous");
    // The slot first: a close in between leaves an empty span, not one at no address.
    std::byte* slot = this->producer().try_claim();
    return slot == nullptr ? std::span<T>{}
                           : std::span<T>(reinterpret_cast<T*>(slot), this->producer().free_span(wanted));
  }

  // Messages to use in place before release(span.size()); packed layout only, empty when there are none.
  std::span<const T> try_peek_span(std::uint64_t wanted) {
    static_assert(Layout == kLayoutPacked, "turn slots are not contiguous");
    const std::uint64_t count = this->consumer().readable_span(wanted);
    return count == 0 ? std::span<const T>{}
                      : std::span<const T>(reinterpret_cast<const T*>(this->consumer().try_peek()), count);
  }
};

}  // namespace rk
