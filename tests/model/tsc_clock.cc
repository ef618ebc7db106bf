// The clock's sequence lock (C1): a reader never mixes values of two calibrations.
#include "ringkernel/core/tsc_clock.h"
#include "model.h"
#include "ringkernel/core/atomics.h"

namespace rk::model {
namespace {

constexpr std::uint64_t kHz = 1 << 20;

constexpr std::uint64_t at(double seconds) { return static_cast<std::uint64_t>(seconds * kHz); }

// A counter that stands where its thread has put it, and a wall clock that runs a little faster than the counter says,
// so that each calibration changes base, counter and rate.
struct Scripted {
  std::uint64_t* counters;  // one for each thread

  static std::uint64_t me() { return rl::is_ctx() && rl::ctx().threadx_ ? rl::thread_index() : 0; }

  std::uint64_t counter() const { return counters[me()]; }
  std::uint64_t wall_ntp64() const { return (std::uint64_t{1} << 40) + counter() * 4096 + counter() / 2; }
  double counter_hz() const { return kHz; }
};

// What a clock shows at `read_at` after calibrations at the given times, found out without concurrency.
std::uint64_t shown(std::initializer_list<double> calibrations, double read_at) {
  std::uint64_t counters[3] = {};
  TscClock<StdAtomics, Scripted> clock(Scripted{counters});
  for (double seconds : calibrations) {
    std::fill_n(counters, 3, at(seconds));
    clock.now();
  }
  std::fill_n(counters, 3, at(read_at));
  return clock.now();
}

struct State {
  std::uint64_t counters[3] = {};
  TscClock<ModelAtomics, Scripted> clock{Scripted{counters}};
};

// One thread calibrates twice, one reads at a time at which it would never calibrate itself.
struct Reader : rl::test_suite<Reader, 2> {
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 0) {
      for (double seconds : {1.25, 2.5}) {
        s.counters[0] = at(seconds);
        s.clock.now();
      }
    } else {
      s.counters[1] = at(0.75);
      const std::uint64_t now = s.clock.now();
      RL_ASSERT(now == shown({}, 0.75) || now == shown({1.25}, 0.75) || now == shown({1.25, 2.5}, 0.75) ||
                now == shown({2.5}, 0.75));  // a weak exchange may fail for no reason: a calibration is left out
    }
  }
};

// Two threads want to calibrate at once; one does, and both show a time of one calibration.
struct Calibrators : rl::test_suite<Calibrators, 3> {
  Shared<State> shared;

  void thread(unsigned index) {
    static constexpr double kAt[3] = {1.25, 1.5, 0.75};
    State& s = *shared;
    s.counters[index] = at(kAt[index]);
    const std::uint64_t now = s.clock.now();
    RL_ASSERT(now == shown({}, kAt[index]) || now == shown({1.25}, kAt[index]) || now == shown({1.5}, kAt[index]));
  }
};

const Register<Reader> kReader("tsc clock, a reader beside calibrations");
const Register<Calibrators> kCalibrators("tsc clock, two calibrate");

}  // namespace
}  // namespace rk::model
