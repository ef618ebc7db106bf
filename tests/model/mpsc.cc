// Two producers: a lane each (E6), or one lane that they hand on (E5).
#include "model_ring.h"
#include "ringkernel/core/mpsc_ring.h"

namespace rk::model {
namespace {

template <bool Turn, std::size_t Lanes>
struct ModelMpsc {
  static constexpr std::uint64_t kCapacity = 2;
  using LaneRing = BasicSpscRing<ModelAtomics, ModelShape<Turn, kCapacity>>;
  using Ring = BasicMpscRing<ModelAtomics, LaneRing>;
  using Lane = typename Ring::Lane;

  std::array<ModelMemory<Turn, kCapacity>, Lanes> memory;
  Ring ring{Lanes, Wait::kLatency, [this](std::uint32_t i) {
              return std::make_unique<Lane>(memory[i].lines, memory[i].bytes(), ModelShape<Turn, kCapacity>{},
                                            SpscOptions{Wait::kLatency, 1});
            }};
};

// A message is its producer's number times ten, plus its place.
template <class Lane>
void push(Lane& lane, unsigned producer, std::uint64_t count) {
  for (std::uint64_t place = 0; place < count; ++place) {
    const std::uint64_t message = producer * 10 + place;
    while (lane.ring.try_push(&message) != Status::kOk) try_again_later();
  }
}

template <class Ring>
void pop_from_two(Ring& ring, std::uint64_t count_each) {
  std::uint64_t next[2] = {0, 0};
  for (std::uint64_t received = 0; received < 2 * count_each;) {
    std::uint64_t message = 0;
    if (ring.try_pop(&message, 8) == Status::kOk) {
      RL_ASSERT(message / 10 < 2 && message % 10 == next[message / 10]++);
      ++received;
    } else {
      try_again_later();
    }
  }
}

// While there are lanes enough, nobody is turned away. The consumer is a thread of its own, or the first producer
// afterwards, which leaves fewer executions.
template <bool Turn, unsigned Threads>
struct LaneEach : rl::test_suite<LaneEach<Turn, Threads>, Threads> {
  Shared<ModelMpsc<Turn, 2>> mpsc;

  void thread(unsigned index) {
    if (index < 2) produce(index);
    if (index == 2 || (Threads == 2 && index == 0)) pop_from_two(mpsc->ring, 1);
  }

  void produce(unsigned index) {
    auto* lane = mpsc->ring.take_lane();
    RL_ASSERT(lane != nullptr);
    push(*lane, index, 1);
    mpsc->ring.give_back(*lane);
  }

  void after() {
    RL_ASSERT(mpsc->ring.stats().delivered == 2);
    check_stats(mpsc->ring.stats(), 4);
  }
};

// One lane for two: whoever comes second waits, and continues behind the first.
template <bool Turn, unsigned Threads>
struct HandOver : rl::test_suite<HandOver<Turn, Threads>, Threads> {
  Shared<ModelMpsc<Turn, 1>> mpsc;

  void thread(unsigned index) {
    if (index < 2) produce(index);
    if (index == 2 || (Threads == 2 && index == 0)) pop_from_two(mpsc->ring, 1);
  }

  void produce(unsigned index) {
    auto* lane = mpsc->ring.take_lane();
    for (; lane == nullptr; lane = mpsc->ring.take_lane()) try_again_later();
    push(*lane, index, 1);
    mpsc->ring.give_back(*lane);
  }

  void after() { RL_ASSERT(mpsc->ring.stats().delivered == 2); }
};

const Register<LaneEach<false, 2>> kPacked("mpsc packed, a lane each");
const Register<LaneEach<true, 2>> kTurn("mpsc turn, a lane each");
const Register<LaneEach<false, 3>> kPackedBeside("mpsc packed, a lane each, beside a consumer", Weight::kHeavy);
const Register<LaneEach<true, 3>> kTurnBeside("mpsc turn, a lane each, beside a consumer", Weight::kHeavy);
const Register<HandOver<false, 2>> kPackedHandOver("mpsc packed, one lane handed on");
const Register<HandOver<true, 2>> kTurnHandOver("mpsc turn, one lane handed on");
const Register<HandOver<false, 3>> kPackedThree("mpsc packed, one lane handed on, beside a consumer", Weight::kHeavy);
const Register<HandOver<true, 3>> kTurnThree("mpsc turn, one lane handed on, beside a consumer", Weight::kHeavy);

}  // namespace
}  // namespace rk::model
