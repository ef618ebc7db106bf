// Wall-clock time from the processor's counter: a third of the cost of asking the kernel.
//
// time = base + (counter - base_counter) * rate, with base and rate measured against the wall clock about once a
// second by whoever reads first after that, behind a sequence lock. A small error is steered away by the rate over the
// next second; a large one (the wall clock was set) is taken over at once. A reader never waits for a calibration that
// is under way longer than the three stores it takes.
//
// Edges
//   C1  calibrate -> read   base, base_counter and rate belong together: odd sequence, stores, even sequence
//
// Protection: sequence_, base_wall_, base_counter_, rate_: atomic (C1); the thread that made sequence_ odd writes them
// and base_error_. source_, recalibrate_after_: constant after init.
#pragma once

#include <cstdint>

namespace rk {

// Source supplies wall_ntp64(), counter() and counter_hz().
template <class P, class Source>
class TscClock {
 public:
  explicit TscClock(Source source) : source_(source) {
    const Reading now = read_both();
    set(now.wall, now.counter, static_cast<std::uint64_t>(18446744073709551616.0 / source_.counter_hz()));
  }

  // NTP64. Any number of threads; not monotonic by itself when the wall clock is set back.
  std::uint64_t now() {
    for (;;) {
      const std::uint64_t sequence = sequence_.load_acquire();          // C1
      const std::uint64_t base = base_wall_.load_acquire();             // C1
      const std::uint64_t base_counter = base_counter_.load_acquire();  // C1
      const std::uint64_t rate = rate_.load_acquire();                  // C1
      const std::uint64_t counter = source_.counter();
      if ((sequence & 1) != 0 || sequence_.load_relaxed() != sequence) {  // C1 the loads above are not later than this
        P::pause();
        continue;
      }
      const std::uint64_t elapsed = counter - base_counter;
      if (elapsed > recalibrate_after_ && elapsed < kSane) {
        calibrate(sequence);
        continue;
      }
      return base + scale(elapsed < kSane ? elapsed : 0, rate);
    }
  }

  // How far the clock is from the wall clock it follows, in NTP64 units (signed).
  std::int64_t error() {
    const Reading now_both = read_both();
    return static_cast<std::int64_t>(now() - now_both.wall);
  }

 private:
  struct Reading {
    std::uint64_t wall, counter;
  };

  static constexpr std::uint64_t kSane = std::uint64_t{1} << 62;  // a counter read just before its base
  static constexpr std::int64_t kStep = std::int64_t{1} << 22;    // about 1 ms: steer below, step above

  static std::uint64_t scale(std::uint64_t ticks, std::uint64_t rate) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(ticks) * rate) >> 32);
  }

  // The tightest of a few attempts: a preempted reading would be off by a time slice.
  Reading read_both() {
    Reading best{};
    std::uint64_t narrowest = ~std::uint64_t{0};
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t before = source_.counter();
      const std::uint64_t wall = source_.wall_ntp64();
      const std::uint64_t after = source_.counter();
      if (after - before >= narrowest) continue;
      narrowest = after - before;
      best = Reading{wall, before + (after - before) / 2};
    }
    return best;
  }

  void calibrate(std::uint64_t sequence) {
    const Reading now_both = read_both();                        // outside of the lock: readers wait for stores only
    if (!sequence_.cas_relaxed(sequence, sequence + 1)) return;  // C1 acquired when it was read; somebody else does it
    const std::uint64_t old_base = base_wall_.load_relaxed(), old_counter = base_counter_.load_relaxed();  // C1 own
    const std::uint64_t old_rate = rate_.load_relaxed();                                                   // C1 own
    const std::uint64_t elapsed = now_both.counter - old_counter;
    const std::uint64_t ours = old_base + scale(elapsed, old_rate);
    const auto error = static_cast<std::int64_t>(ours - now_both.wall);
    // The rate that the counter really had, unless the wall clock was set in between.
    const std::uint64_t true_elapsed = now_both.wall - (old_base - static_cast<std::uint64_t>(base_error_));
    const double nominal = 4294967296.0 / source_.counter_hz();
    double per_tick = static_cast<double>(true_elapsed) / static_cast<double>(elapsed);
    if (per_tick < nominal * 0.999 || per_tick > nominal * 1.001) per_tick = nominal;
    // After a long silence, or when the wall clock was set: its time as it is.
    std::uint64_t base = now_both.wall;
    if (elapsed < 2 * recalibrate_after_ && error > -kStep && error < kStep) {
      base = ours;
      per_tick -= static_cast<double>(error) / source_.counter_hz();  // removes the error within the next second
    }
    const auto rate = static_cast<std::uint64_t>(per_tick * 4294967296.0);
    base_error_ = static_cast<std::int64_t>(base - now_both.wall);
    store(base, now_both.counter, rate);
    sequence_.store_release(sequence + 2);  // C1
  }

  void set(std::uint64_t base, std::uint64_t counter, std::uint64_t rate) {
    recalibrate_after_ = static_cast<std::uint64_t>(source_.counter_hz());
    store(base, counter, rate);
  }

  void store(std::uint64_t base, std::uint64_t counter, std::uint64_t rate) {
    base_wall_.store_release(base);        // C1 not before the odd sequence
    base_counter_.store_release(counter);  // C1
    rate_.store_release(rate);             // C1
  }

  Source source_;
  std::uint64_t recalibrate_after_ = 0;
  std::int64_t base_error_ = 0;  // of base_wall_, when it was set
  typename P::template Atomic<std::uint64_t> sequence_{0};
  typename P::template Atomic<std::uint64_t> base_wall_{0};
  typename P::template Atomic<std::uint64_t> base_counter_{0};
  typename P::template Atomic<std::uint64_t> rate_{0};
};

}  // namespace rk
