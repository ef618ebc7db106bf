// Both sides sleep: the consumer on an empty ring, the producer on a full one. A lost wake-up is a deadlock.
#include "model_ring.h"
#include "ringkernel/core/parking.h"

namespace rk::model {
namespace {

template <bool Turn, std::uint64_t Interval>
struct Blocking : rl::test_suite<Blocking<Turn, Interval>, 2> {
  static constexpr std::uint64_t kMessages = 3, kCapacity = 2;

  struct State {
    ModelRing<Turn, kCapacity, Interval> ring;
    Parking<ModelAtomics> for_data, for_room;
  };
  Shared<State> shared;

  void thread(unsigned index) { index == 0 ? produce(*shared) : consume(*shared); }

  static void produce(State& s) {
    for (std::uint64_t message = 1; message <= kMessages; ++message) {
      while (s.ring.try_push(&message) != Status::kOk) {
        s.for_room.wait([&] { return s.ring.producer().has_room_exact(); }, kNoDeadline, 0);
      }
      s.for_data.wake();
    }
  }

  static void consume(State& s) {
    for (std::uint64_t expected = 1; expected <= kMessages; ++expected) {
      s.for_data.wait([&] { return s.ring.try_peek() != nullptr; }, kNoDeadline, 0);
      std::uint64_t message = 0;
      RL_ASSERT(s.ring.try_pop(&message) == Status::kOk && message == expected);
      s.for_room.wake();
    }
  }

  void after() { check_stats(shared->ring.stats(), kCapacity); }
};

const Register<Blocking<false, 1>> kPacked("spsc packed, both sides sleep");
const Register<Blocking<true, 2>> kTurn("spsc turn, both sides sleep");
const Register<Blocking<false, 2>> kPackedLazy("spsc packed, both sides sleep, progress 2");

}  // namespace
}  // namespace rk::model
