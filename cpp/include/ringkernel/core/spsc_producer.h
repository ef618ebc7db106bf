// The producing half of a single-producer, single-consumer ring: claim, fill, publish.
//
// Edges
//   E1  publish -> look       slot bytes written before write_seq (or the slot's turn) becomes visible
//   E2  progress -> refresh   slot bytes read before the slot is offered again
//   E3  release -> exact      as E2, through the consumer's own word, when the producer is about to give up
//   E4  close -> look once more   everything published before the close is seen by whoever sees the close
//   S   counters only: a value for statistics, orders nothing
//
// Protection: shape_, slots_, lines_, consumer_next_: constant after meet(). write_next_: the producer writes,
// statistics read (S). Everything else: the producer's thread alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/slot_shape.h"
#include "ringkernel/core/status.h"

namespace rk {

template <class P, class Shape>
class alignas(kRingLineBytes) SpscProducer {
 public:
  using Word = typename P::template Atomic<std::uint64_t>;

  SpscProducer(RingLines<P>& lines, std::byte* slots, Shape shape) : shape_(shape), slots_(slots), lines_(&lines) {}

  // `consumer_next` is the consumer's private position, for an exact look before sleeping; see SpscConsumer.
  void meet(const Word& consumer_next) { consumer_next_ = &consumer_next; }

  // A slot to fill, `ahead` slots past those already claimed and not published; nullptr when full or closed. What the
  // consumer released less than its progress interval ago may still count as used.
  std::byte* try_claim(std::uint64_t ahead = 0) {
    const std::uint64_t seq = next() + ahead;
    if (seq - read_seq_seen_ > shape_.mask() && !refresh(seq)) return nullptr;
    if (closed()) return nullptr;
    return payload(seq);
  }

  // How many of `wanted` slots can be claimed now, contiguous or not.
  std::uint64_t free_slots(std::uint64_t wanted) {
    const std::uint64_t capacity = shape_.mask() + 1;
    if (capacity - (next() - read_seq_seen_) < wanted) refresh(next() + wanted - 1);
    return closed() ? 0 : std::min(wanted, capacity - (next() - read_seq_seen_));
  }

  // Slots from the next one on that lie back to back (packed layout) and can be claimed now.
  std::uint64_t free_span(std::uint64_t wanted) {
    const std::uint64_t to_end = shape_.mask() + 1 - (next() & shape_.mask());
    return free_slots(std::min(wanted, to_end));
  }

  // Makes the next `count` claimed slots readable, in order.
  void publish(std::uint64_t count = 1) {
    const std::uint64_t seq = next() + count;
    if (shape_.turn()) {
      for (std::uint64_t n = next(); n != seq; ++n) turn(n).store_release(n + 1);  // E1
    } else {
      lines_->producer.write_seq.store_release(seq);  // E1
    }
    write_next_.store_relaxed(seq);  // S
  }

  Status try_push(const void* from, std::size_t bytes) {
    std::byte* slot = try_claim();
    if (slot == nullptr) return closed() ? Status::kClosed : Status::kFull;
    P::copy_in(slot, from, bytes);
    publish();
    return Status::kOk;
  }

  Status try_push(const void* from) { return try_push(from, shape_.size()); }

  // Copies up to `count` messages of slot size from contiguous memory; returns how many fitted.
  std::uint64_t push_many(const void* from, std::uint64_t count) {
    const auto* bytes = static_cast<const std::byte*>(from);
    const std::uint64_t fitting = free_slots(count);
    for (std::uint64_t done = 0; done < fitting;) {
      const std::uint64_t run =
          shape_.turn() ? 1 : std::min(fitting - done, shape_.mask() + 1 - ((next() + done) & shape_.mask()));
      P::copy_in(payload(next() + done), bytes + done * shape_.size(), run * shape_.size());
      done += run;
    }
    if (fitting != 0) publish(fitting);
    return fitting;
  }

  // True when a slot is free by the consumer's own count, however recently it was released.
  bool has_room_exact() {
    if (next() - read_seq_seen_ <= shape_.mask()) return true;
    read_seq_seen_ = consumer_next_->load_acquire();  // E3
    return next() - read_seq_seen_ <= shape_.mask();
  }

  // Messages in the ring as far as the producer knows without a look: never fewer than there are.
  std::uint64_t depth_hint() const { return next() - read_seq_seen_; }

  void count_dropped(std::uint64_t messages) {
    Word& dropped = lines_->producer.dropped;
    dropped.store_relaxed(dropped.load_relaxed() + messages);  // S
  }

  // Any thread may close. Messages published before stay readable; later claims fail. The producer looks at a word of
  // its own line: the one that the consumer sees shares a line with write_seq, and a look there waits for the consumer.
  void close() {
    closed_here_.store_relaxed(1);             // S a late look is a late close
    lines_->producer.closed.store_release(1);  // E4
  }
  bool closed() const { return closed_here_.load_relaxed() != 0; }  // S

  std::uint64_t write_next() const { return write_next_.load_relaxed(); }  // S
  const Word& position() const { return write_next_; }
  std::uint64_t dropped() const { return lines_->producer.dropped.load_relaxed(); }  // S
  const Shape& shape() const { return shape_; }
  std::uint64_t claimed_index(std::uint64_t ahead = 0) const { return (next() + ahead) & shape_.mask(); }

 private:
  std::uint64_t next() const { return write_next_.load_relaxed(); }  // S

  bool refresh(std::uint64_t seq) {
    if (lines_->producer.closed.load_relaxed() != 0) closed_here_.store_relaxed(1);  // S another process closed
    // The published position may lag, but a value read exactly (E3) must never be replaced by an older one.
    read_seq_seen_ = std::max(read_seq_seen_, lines_->consumer.read_seq.load_acquire());  // E2
    return seq - read_seq_seen_ <= shape_.mask();
  }

  std::byte* slot(std::uint64_t seq) const { return slots_ + (seq & shape_.mask()) * shape_.stride(); }
  std::byte* payload(std::uint64_t seq) const { return slot(seq) + (shape_.turn() ? sizeof(Word) : 0); }
  Word& turn(std::uint64_t seq) const { return *reinterpret_cast<Word*>(slot(seq)); }

  Word write_next_{0};
  std::uint64_t read_seq_seen_ = 0;
  typename P::template Atomic<std::uint32_t> closed_here_{0};
  Shape shape_;
  std::byte* slots_;
  RingLines<P>* lines_;
  const Word* consumer_next_ = nullptr;
};

}  // namespace rk
