// Sleep and wake: one sleeper, any number of wakers, no lost wake-up, no cost to a waker when nobody sleeps.
//
// Edges
//   W1  sleeper: asleep = 1; heavy fence; look at the condition again
//   W2  waker:   make the condition true; light fence; look at asleep
// At least one of the two looks sees the other's store (Dekker), so either the sleeper stays up or the waker wakes it.
//
// P supplies, besides atomics.h: monotonic_ns(), park(word, expected, timeout_ns), unpark(word).
//
// Protection: asleep_: atomic (W1, W2).
#pragma once

#include <cstdint>

#include "ringkernel/abi/ring_geometry.h"

namespace rk {

constexpr std::uint64_t kNoDeadline = ~std::uint64_t{0};
constexpr std::uint64_t kDefaultSpinNs = 20'000;  // about what a futex wake-up costs; longer spinning only burns a core

template <class P>
class alignas(kRingLineBytes) Parking {
 public:
  // Returns when `ready()` is true (true) or the deadline, in P::monotonic_ns(), has passed (false). The deadline may
  // be kNoDeadline. Spins for `spin_ns`, then sleeps.
  template <class Ready>
  bool wait(Ready&& ready, std::uint64_t deadline_ns, std::uint64_t spin_ns = kDefaultSpinNs) {
    if (ready()) return true;
    return spin(ready, deadline_ns, spin_ns) || sleep(ready, deadline_ns);
  }

  // To be called after the condition was made true. Cheap while nobody sleeps.
  void wake() {
    if (ring()) P::unpark(asleep_);
  }

  // The same for a sleeper that is no thread: arm() when there is nothing to do, and sleep only if it says true;
  // ring() is true for exactly one waker, who has to wake it.
  template <class Ready>
  bool arm(Ready&& ready) {
    asleep_.store_relaxed(1);                             // W1
    P::fence_heavy();                                     // W1
    return !ready() || asleep_.exchange_relaxed(0) == 0;  // W1 who rang first wakes us although we are up
  }
  bool ring() {
    P::fence_light();                                                        // W2
    return asleep_.load_relaxed() != 0 && asleep_.exchange_relaxed(0) != 0;  // W2
  }
  void unpark() { P::unpark(asleep_); }

  bool someone_sleeps() const { return asleep_.load_relaxed() != 0; }  // W2 after a fence_light of the caller

 private:
  template <class Ready>
  static bool spin(Ready& ready, std::uint64_t deadline_ns, std::uint64_t spin_ns) {
    if (spin_ns == 0) return false;
    const std::uint64_t start = P::monotonic_ns();
    if (deadline_ns <= start) return ready();
    const std::uint64_t until = deadline_ns - start < spin_ns ? deadline_ns : start + spin_ns;
    do {
      for (int i = 0; i < 16; ++i) {
        if (ready()) return true;
        P::pause();
      }
    } while (P::monotonic_ns() < until);
    return ready();
  }

  template <class Ready>
  bool sleep(Ready& ready, std::uint64_t deadline_ns) {
    for (;;) {
      asleep_.store_relaxed(1);  // W1
      P::fence_heavy();          // W1
      const bool done = ready();
      const std::uint64_t now = done || deadline_ns == kNoDeadline ? 0 : P::monotonic_ns();
      if (done || now >= deadline_ns) {
        asleep_.store_relaxed(0);  // W1 a waker that saw 1 wakes nobody
        return done;
      }
      P::park(asleep_, 1, deadline_ns == kNoDeadline ? kNoDeadline : deadline_ns - now);
      if (!ready()) continue;    // woken by time or by chance; asking before the next heavy fence halves a wake-up
      asleep_.store_relaxed(0);  // W1
      return true;
    }
  }

  typename P::template Atomic<std::uint32_t> asleep_{0};
};

}  // namespace rk
