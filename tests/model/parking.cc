// Sleep and wake by itself (W1, W2): the condition is relaxed, so the two fences carry everything.
#include "ringkernel/core/parking.h"
#include "model_ring.h"

namespace rk::model {
namespace {

template <unsigned Wakers>
struct Wakeups : rl::test_suite<Wakeups<Wakers>, Wakers + 1> {
  struct State {
    Parking<ModelAtomics> parking;
    ModelAtomics::Atomic<std::uint32_t> events{0};
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == Wakers) {
      for (std::uint32_t seen = 1; seen <= 2; ++seen) {
        RL_ASSERT(s.parking.wait([&] { return s.events.load_relaxed() >= seen; }, kNoDeadline, 0));
      }
    } else {
      for (unsigned i = 0; i < 2 / Wakers; ++i) {
        s.events.fetch_add_relaxed(1);
        s.parking.wake();
      }
    }
  }

  void after() { RL_ASSERT(!shared->parking.someone_sleeps()); }
};

// A wait ends with the condition or with the deadline, and leaves nothing behind that disturbs the next one.
struct Deadline : rl::test_suite<Deadline, 2> {
  struct State {
    Parking<ModelAtomics> parking;
    ModelAtomics::Atomic<std::uint32_t> event{0};
  };
  Shared<State> shared;

  void before() { ModelAtomics::now_ns = 0; }

  void thread(unsigned index) {
    State& s = *shared;
    const auto happened = [&] { return s.event.load_relaxed() != 0; };
    if (index == 1) {
      s.event.store_relaxed(1);
      s.parking.wake();
    } else if (!s.parking.wait(happened, 10, 0)) {
      RL_ASSERT(ModelAtomics::monotonic_ns() >= 10);
      RL_ASSERT(s.parking.wait(happened, kNoDeadline, 0));
    }
  }

  void after() { RL_ASSERT(!shared->parking.someone_sleeps()); }
};

const Register<Wakeups<1>> kOneWaker("parking, one waker");
const Register<Wakeups<2>> kTwoWakers("parking, two wakers");
const Register<Deadline> kDeadline("parking, a deadline");

}  // namespace
}  // namespace rk::model
