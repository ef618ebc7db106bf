// The consuming half of a single-producer, single-consumer ring: peek, use, release.
//
// Edges: see spsc_producer.h. Progress is told to the producer once per interval, when the ring is found empty, and
// never more often: a producer that reads a fresh position for every message costs both sides a cache line each.
//
// Protection: shape_, slots_, lines_, progress_interval_: constant after init; producer_next_: after meet().
// read_next_: the consumer writes, the producer reads before it sleeps (E3), statistics read (S). high_water_: the
// consumer writes, statistics read (S). Everything else: the consumer's thread alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ringkernel/core/chase.h"
#include "ringkernel/core/ring_memory.h"
#include "ringkernel/core/slot_shape.h"
#include "ringkernel/core/status.h"

namespace rk {

template <class P, class Shape>
class alignas(kRingLineBytes) SpscConsumer {
 public:
  using Word = typename P::template Atomic<std::uint64_t>;

  // `progress_interval` 1 is exact; 0 means an eighth of the capacity.
  SpscConsumer(RingLines<P>& lines, std::byte* slots, Shape shape, Wait wait, std::uint64_t progress_interval)
      : shape_(shape),
        slots_(slots),
        lines_(&lines),
        chase_(wait),
        progress_interval_(progress_interval != 0 ? progress_interval
                                                  : std::max<std::uint64_t>((shape.mask() + 1) / 8, 1)) {}

  // `producer_next` is the producer's private position, for the high-water mark.
  void meet(const Word& producer_next) { producer_next_ = &producer_next; }

  // The oldest message, `ahead` past those peeked and not released; nullptr when there is none.
  const std::byte* try_peek(std::uint64_t ahead = 0) {
    const std::uint64_t seq = next() + ahead;
    return readable(seq) ? payload(seq) : nullptr;
  }

  // For a sweep over many rings: is a message known without a look, and how many does one look find?
  bool has_seen() {
    return shape_.turn() ? turn(next()).load_relaxed() == next() + 1 : next() < write_seq_seen_;  // S the peek acquires
  }
  std::uint64_t look_ahead() {
    if (!look(next())) return found_none();
    return shape_.turn() ? 1 : write_seq_seen_ - next();
  }

  // Messages from the oldest on that lie back to back (packed layout) and are readable now, at most `wanted`.
  std::uint64_t readable_span(std::uint64_t wanted) {
    const std::uint64_t to_end = shape_.mask() + 1 - (next() & shape_.mask());
    return readable_count(std::min(wanted, to_end));
  }

  std::uint64_t readable_count(std::uint64_t wanted) {
    if (wanted == 0 || !readable(next())) return 0;
    if (!shape_.turn()) return std::min(wanted, write_seq_seen_ - next());
    std::uint64_t count = 1;
    while (count < wanted && turn(next() + count).load_acquire() == next() + count + 1) ++count;  // E1
    return count;
  }

  std::size_t stride() const { return shape_.stride(); }

  // Hands the oldest `count` peeked slots back.
  void release(std::uint64_t count = 1) {
    const std::uint64_t seq = next() + count;
    if (seq - read_seq_told_ >= progress_interval_) {
      const std::uint64_t written =
          std::max(producer_next_->load_relaxed(), seq);  // S may be old, but this much was there
      note_depth(written - next());
    }
    read_next_.store_release(seq);  // E3
    if (seq - read_seq_told_ >= progress_interval_) tell_progress();
  }

  // Tells the producer now, whatever the interval. Called on empty, and by wrappers when a producer sleeps.
  void tell_progress() {
    read_seq_told_ = next();
    lines_->consumer.read_seq.store_release(next());  // E2
  }

  Status try_pop(void* to, std::size_t bytes) {
    const std::byte* message = try_peek();
    if (message == nullptr) return closed_and_drained() ? Status::kClosed : Status::kEmpty;
    P::copy_out(to, message, bytes);
    release();
    return Status::kOk;
  }

  Status try_pop(void* to) { return try_pop(to, shape_.size()); }

  // Copies up to `count` messages of slot size to contiguous memory; returns how many there were.
  std::uint64_t pop_many(void* to, std::uint64_t count) {
    auto* bytes = static_cast<std::byte*>(to);
    const std::uint64_t ready = readable_count(count);
    for (std::uint64_t done = 0; done < ready;) {
      const std::uint64_t run =
          shape_.turn() ? 1 : std::min(ready - done, shape_.mask() + 1 - ((next() + done) & shape_.mask()));
      P::copy_out(bytes + done * shape_.size(), payload(next() + done), run * shape_.size());
      done += run;
    }
    if (ready != 0) release(ready);
    return ready;
  }

  // Calls `use(const std::byte*)` for up to `max` messages in place, then releases them together.
  template <class Use>
  std::uint64_t consume(Use&& use, std::uint64_t max) {
    const std::uint64_t ready = readable_count(std::min(max, progress_interval_));
    for (std::uint64_t n = 0; n < ready; ++n) use(payload(next() + n));
    if (ready != 0) release(ready);
    return ready;
  }

  // After an empty look: true when the ring was closed and nothing published before the close is left.
  bool closed_and_drained() {
    if (lines_->producer.closed.load_acquire() == 0) return false;  // E4
    return !look(next());
  }

  bool closed() const { return lines_->producer.closed.load_relaxed() != 0; }  // S a late look is a late close
  std::uint64_t read_next() const { return read_next_.load_relaxed(); }        // S
  std::uint64_t high_water() const { return high_water_.load_relaxed(); }      // S
  const Word& position() const { return read_next_; }
  const Shape& shape() const { return shape_; }
  std::uint64_t peeked_index(std::uint64_t ahead = 0) const { return (next() + ahead) & shape_.mask(); }

 private:
  std::uint64_t next() const { return read_next_.load_relaxed(); }  // S

  bool readable(std::uint64_t seq) {
    if (!shape_.turn()) {
      if (seq < write_seq_seen_) return true;
    } else if (turn(seq).load_acquire() == seq + 1) {  // E1
      return true;
    }
    return !shape_.turn() && refresh(seq) ? true : found_none();
  }

  bool refresh(std::uint64_t seq) {
    chase_.template before_look<P>();
    const bool found = look(seq);
    if (found) {
      chase_.found(write_seq_seen_ - seq);
      note_depth(write_seq_seen_ - next());
    }
    return found;
  }

  bool found_none() {
    chase_.found_nothing();
    if (read_seq_told_ != next()) tell_progress();
    return false;
  }

  bool look(std::uint64_t seq) {
    if (shape_.turn()) return turn(seq).load_relaxed() == seq + 1;  // S the peek that follows acquires
    write_seq_seen_ = lines_->producer.write_seq.load_acquire();    // E1
    return seq < write_seq_seen_;
  }

  // Sampled at each look and each report of progress: the mark may miss a peak between two of them.
  void note_depth(std::uint64_t depth) {
    if (depth > high_water_.load_relaxed()) high_water_.store_relaxed(std::min(depth, shape_.mask() + 1));  // S
  }

  std::byte* slot(std::uint64_t seq) const { return slots_ + (seq & shape_.mask()) * shape_.stride(); }
  const std::byte* payload(std::uint64_t seq) const { return slot(seq) + (shape_.turn() ? sizeof(Word) : 0); }
  Word& turn(std::uint64_t seq) const { return *reinterpret_cast<Word*>(slot(seq)); }

  Word read_next_{0};
  std::uint64_t write_seq_seen_ = 0;
  std::uint64_t read_seq_told_ = 0;
  Word high_water_{0};
  Shape shape_;
  std::byte* slots_;
  RingLines<P>* lines_;
  const Word* producer_next_ = nullptr;
  ChaseControl chase_;
  std::uint64_t progress_interval_;
};

}  // namespace rk
