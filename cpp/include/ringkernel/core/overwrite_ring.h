// A single-producer, single-consumer ring whose producer drops the oldest unread message instead of waiting.
//
// Both sides move read_seq forward by compare-and-swap from the same value, so exactly one of them takes a message:
// the consumer copies it first and takes it afterwards; if the producer took it meanwhile, the copy is thrown away.
// Slot words are atomics, because such a copy may overlap with the write that makes it worthless. Messages are
// therefore never seen in place: a peek shows a private copy.
//
// Edges
//   E1  publish -> look      slot words written before write_seq becomes visible
//   E7  take -> overwrite    slot words read before the slot's number is given up
//   E4, S                    as in spsc_producer.h
//
// Protection: shape_, slots_, lines_: constant after init. Producer and Consumer: their thread; positions read by S.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/slot_shape.h"
#include "ringkernel/core/spsc_ring.h"
#include "ringkernel/core/status.h"

namespace rk {

template <class P>
class OverwriteRing {
 public:
  using Word = typename P::template Atomic<std::uint64_t>;

  static GeometryError geometry(std::uint64_t capacity, std::uint64_t slot_size, RingGeometry* out) {
    if (slot_size > (std::uint64_t{1} << 31)) return GeometryError::kTooLarge;
    const GeometryError error = make_geometry(capacity, (slot_size + 7) & ~std::uint64_t{7}, kLayoutPacked, out);
    if (error == GeometryError::kNone) out->slot_size = static_cast<std::uint32_t>(slot_size);
    return slot_size == 0 ? GeometryError::kSlotSizeZero : error;
  }

  class alignas(kRingLineBytes) Producer {
   public:
    explicit Producer(OverwriteRing& ring) : ring_(ring) {}

    // Always succeeds unless the ring is closed.
    Status try_push(const void* from, std::size_t bytes) {
      if (closed()) return Status::kClosed;
      const std::uint64_t seq = write_next_.load_relaxed();  // S
      make_room(seq);
      ring_.write_words(seq, from, bytes);
      ring_.lines_.producer.write_seq.store_release(seq + 1);  // E1
      write_next_.store_relaxed(seq + 1);                      // S
      return Status::kOk;
    }

    Status try_push(const void* from) { return try_push(from, ring_.shape_.size()); }
    bool has_room_exact() const { return true; }
    bool closed() const { return ring_.closed(); }
    std::uint64_t write_next() const { return write_next_.load_relaxed(); }  // S

   private:
    void make_room(std::uint64_t seq) {
      const std::uint64_t mask = ring_.shape_.mask();
      Word& read_seq = ring_.lines_.consumer.read_seq;
      while (seq - read_seq_seen_ > mask) {
        read_seq_seen_ = read_seq.load_acquire();  // E7
        std::uint64_t oldest = read_seq_seen_;
        if (seq - oldest > mask && read_seq.cas_relaxed(oldest, oldest + 1)) {  // E7 acquired above
          Word& dropped = ring_.lines_.producer.dropped;
          dropped.store_relaxed(dropped.load_relaxed() + 1);  // S
          read_seq_seen_ = oldest + 1;
        }
      }
    }

    OverwriteRing& ring_;
    Word write_next_{0};
    std::uint64_t read_seq_seen_ = 0;
  };

  class alignas(kRingLineBytes) Consumer {
   public:
    explicit Consumer(OverwriteRing& ring) : ring_(ring), copy_(std::make_unique<std::byte[]>(ring.shape_.stride())) {}

    // A copy of the oldest message, which can no longer be dropped; nullptr when there is none.
    const std::byte* try_peek() {
      if (!has_seen()) take();
      return has_seen() ? copy_.get() : nullptr;
    }
    void release() { held_.store_relaxed(0); }  // S

    bool has_seen() const { return held_.load_relaxed() != 0; }  // S
    std::uint64_t held() const { return held_.load_relaxed(); }  // S
    std::uint64_t look_ahead() { return try_peek() != nullptr ? 1 : 0; }

    Status try_pop(void* to, std::size_t bytes) {
      const std::byte* message = try_peek();
      if (message == nullptr) return closed_and_drained() ? Status::kClosed : Status::kEmpty;
      P::copy_out(to, message, bytes);
      release();
      return Status::kOk;
    }

    Status try_pop(void* to) { return try_pop(to, ring_.shape_.size()); }

    bool closed_and_drained() {
      if (ring_.lines_.producer.closed.load_acquire() == 0) return false;  // E4
      return try_peek() == nullptr;
    }

    std::uint64_t high_water() const { return high_water_.load_relaxed(); }  // S

   private:
    void take() {
      Word& read_seq = ring_.lines_.consumer.read_seq;
      std::uint64_t seq = read_seq.load_relaxed();  // E7 the exchange below decides
      for (;;) {
        if (seq >= write_seq_seen_) write_seq_seen_ = ring_.lines_.producer.write_seq.load_acquire();  // E1
        if (seq >= write_seq_seen_) return;
        ring_.read_words(seq, copy_.get());
        note_depth(write_seq_seen_ - seq);
        if (read_seq.cas_acq_rel(seq, seq + 1)) {  // E7
          held_.store_relaxed(1);                  // S
          return;
        }
      }
    }

    void note_depth(std::uint64_t depth) {
      const std::uint64_t known = std::min(depth, ring_.shape_.mask() + 1);
      if (known > high_water_.load_relaxed()) high_water_.store_relaxed(known);  // S
    }

    OverwriteRing& ring_;
    std::uint64_t write_seq_seen_ = 0;
    std::unique_ptr<std::byte[]> copy_;
    Word held_{0};  // 1: copy_ is a message that was taken and not released
    Word high_water_{0};
  };

  explicit OverwriteRing(RingLines<P>& lines, SpscOptions = {})
      : OverwriteRing(lines, lines.slots(), RuntimeShape(lines.geometry)) {}

  OverwriteRing(RingLines<P>& lines, std::byte* slots, RuntimeShape shape)
      : shape_(shape), lines_(lines), slots_(slots), producer_(*this), consumer_(*this) {}

  OverwriteRing(const OverwriteRing&) = delete;
  OverwriteRing& operator=(const OverwriteRing&) = delete;

  Producer& producer() { return producer_; }
  Consumer& consumer() { return consumer_; }
  void close() { lines_.producer.closed.store_release(1); }                   // E4
  bool closed() const { return lines_.producer.closed.load_relaxed() != 0; }  // S
  std::uint64_t capacity() const { return shape_.mask() + 1; }

  // A message that a peek holds counts as in flight.
  RingStats stats() const {
    RingStats stats;
    const std::uint64_t read = lines_.consumer.read_seq.load_relaxed();      // S
    stats.dropped = std::min(lines_.producer.dropped.load_relaxed(), read);  // S
    const std::uint64_t held = std::min(consumer_.held(), read - stats.dropped);
    const std::uint64_t written = std::max(producer_.write_next(), read);
    const std::uint64_t unread = std::min(written - read, capacity());  // more than fits must have been taken
    stats.accepted = written;
    stats.in_flight = unread + held;
    stats.delivered = written - unread - held - stats.dropped;
    stats.high_water = std::max(consumer_.high_water(), std::min(stats.in_flight, capacity()));
    return stats;
  }

 private:
  Word& word(std::uint64_t seq, std::size_t i) {
    return reinterpret_cast<Word*>(slots_ + (seq & shape_.mask()) * shape_.stride())[i];
  }

  void write_words(std::uint64_t seq, const void* from, std::size_t bytes) {
    const auto* source = static_cast<const std::byte*>(from);
    for (std::size_t done = 0, i = 0; done < bytes; done += 8, ++i) {
      std::uint64_t value = 0;
      std::memcpy(&value, source + done, std::min<std::size_t>(8, bytes - done));
      word(seq, i).store_relaxed(value);  // E1 carries it
    }
  }

  void read_words(std::uint64_t seq, std::byte* to) {
    for (std::size_t done = 0, i = 0; done < shape_.size(); done += 8, ++i) {
      const std::uint64_t value = word(seq, i).load_relaxed();  // E1, E7 decide whether it counts
      std::memcpy(to + done, &value, 8);
    }
  }

  RuntimeShape shape_;
  RingLines<P>& lines_;
  std::byte* slots_;
  Producer producer_;
  Consumer consumer_;
};

}  // namespace rk
