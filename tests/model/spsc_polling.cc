// One producer and one consumer that poll: E1 and E2, and E3 where the producer looks exactly.
#include "model_ring.h"

namespace rk::model {
namespace {

enum class Full { kRetry, kLookExactly };

// With an interval of the whole capacity and exact looks, E3 is the only way to learn of a release in time.
template <bool Turn, std::uint64_t Interval, Full OnFull>
struct Polling : rl::test_suite<Polling<Turn, Interval, OnFull>, 2> {
  static constexpr std::uint64_t kMessages = 3, kCapacity = 2;

  Shared<ModelRing<Turn, kCapacity, Interval>> ring;

  void thread(unsigned index) { index == 0 ? produce() : consume(); }

  void produce() {
    for (std::uint64_t message = 1; message <= kMessages; ++message) {
      while (ring->try_push(&message) != Status::kOk) wait_for_room();
    }
  }

  void wait_for_room() {
    if (OnFull == Full::kRetry) return try_again_later();
    while (!ring->producer().has_room_exact()) try_again_later();
  }

  void consume() {
    for (std::uint64_t expected = 1; expected <= kMessages;) {
      std::uint64_t message = 0;
      if (ring->try_pop(&message) == Status::kOk) {
        RL_ASSERT(message == expected);
        ++expected;
      } else {
        try_again_later();
      }
    }
  }

  void after() {
    RL_ASSERT(ring->stats().delivered == kMessages);
    check_stats(ring->stats(), kCapacity);
  }
};

const Register<Polling<false, 1, Full::kRetry>> kPacked("spsc packed, progress 1");
const Register<Polling<true, 1, Full::kRetry>> kTurn("spsc turn, progress 1");
const Register<Polling<false, 2, Full::kLookExactly>> kPackedExact("spsc packed, progress 2, exact looks");
const Register<Polling<true, 2, Full::kLookExactly>> kTurnExact("spsc turn, progress 2, exact looks");

}  // namespace
}  // namespace rk::model
