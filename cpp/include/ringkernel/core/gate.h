// A gate that counts who is inside, so that whoever shuts it can wait until nobody is.
//
// One word holds the count and the reasons why it is shut: who enters is counted before it sees that it must not, and
// who shuts it sees everybody that was counted. It is open when no reason is left.
//
// Edges
//   G1  leave -> inside        what was done inside, before who shut it sees that nobody is left
//   G2  open -> enter          what was done while it was shut
//   G3  stays_shut <-> open    two changes of one word have an order: either who goes to sleep outside sees that it is
//                              open, or who opens it sees what was left undone, and wakes
//
// Protection: word_: atomic (G1, G2, G3).
#pragma once

#include <cstdint>

namespace rk {

template <class P>
class Gate {
 public:
  using Reasons = std::uint64_t;
  static constexpr Reasons kAllReasons = std::uint64_t{0xFF} << 56;

  explicit Gate(Reasons shut = 0) : word_(shut) {}

  bool enter() {
    if ((word_.fetch_add_acquire(1) & kAllReasons) == 0) return true;  // G2
    leave();
    return false;
  }
  void leave() { (void)word_.fetch_sub_release(1); }  // G1

  void shut(Reasons reason) { (void)word_.fetch_or_relaxed(reason); }    // G1 inside() acquires
  void open(Reasons reason) { (void)word_.fetch_and_acq_rel(~reason); }  // G2, G3
  // Also who has entered too late and is about to leave.
  std::uint64_t inside() const { return word_.load_acquire() & ~kAllReasons; }  // G1

  // Hints: it may be opened and shut at any time.
  bool looks_shut() const { return looks_shut_for(kAllReasons); }
  bool looks_shut_for(Reasons reason) const { return (word_.load_relaxed() & reason) != 0; }  // G2 enter() decides

  // For who leaves something undone because it is shut: true, and whoever opens it comes later and sees that.
  bool stays_shut() { return looks_shut() && (word_.fetch_add_acq_rel(0) & kAllReasons) != 0; }  // G3

 private:
  typename P::template Atomic<std::uint64_t> word_;
};

}  // namespace rk
