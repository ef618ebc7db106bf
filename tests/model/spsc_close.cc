// Any thread may close (E4): what was published before the close is delivered, what comes after it is refused.
#include "model_ring.h"

namespace rk::model {
namespace {

// Pops until the ring says closed; returns how many messages there were, numbered from 1.
template <class Ring>
std::uint64_t drain(Ring& ring) {
  std::uint64_t last = 0;
  for (;;) {
    std::uint64_t message = 0;
    const Status status = ring.try_pop(&message);
    if (status == Status::kClosed) return last;
    if (status == Status::kOk) {
      RL_ASSERT(message == last + 1);
      last = message;
    } else {
      try_again_later();
    }
  }
}

template <bool Turn>
struct ClosedByProducer : rl::test_suite<ClosedByProducer<Turn>, 2> {
  Shared<ModelRing<Turn, 2, 1>> ring;

  void thread(unsigned index) {
    if (index == 1) {
      RL_ASSERT(drain(*ring) == 2);
      return;
    }
    for (std::uint64_t message = 1; message <= 2; ++message) RL_ASSERT(ring->try_push(&message) == Status::kOk);
    ring->close();
    std::uint64_t late = 3;
    RL_ASSERT(ring->try_push(&late) == Status::kClosed);
  }
};

// The closer knows of the first message only; the second may be refused, or accepted and left behind, but not torn.
template <bool Turn>
struct ClosedByThird : rl::test_suite<ClosedByThird<Turn>, 3> {
  struct State {
    ModelRing<Turn, 2, 1> ring;
    ModelAtomics::Atomic<std::uint32_t> first_is_in{0};
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 0) {
      std::uint64_t message = 1;
      RL_ASSERT(s.ring.try_push(&message) == Status::kOk);
      s.first_is_in.store_release(1);
      message = 2;
      s.ring.try_push(&message);
    } else if (index == 1) {
      while (s.first_is_in.load_acquire() == 0) try_again_later();
      s.ring.close();
    } else {
      RL_ASSERT(drain(s.ring) >= 1);
    }
  }

  void after() { check_stats(shared->ring.stats(), 2); }
};

// A span that was promised is there, whoever closes meanwhile. The bytes stay untouched: only the pointer matters.
struct SpanMeetsClose : rl::test_suite<SpanMeetsClose, 2> {
  struct Message {
    ModelSlot<false> slot;
  };
  struct State {
    RingLines<ModelAtomics> lines;
    std::array<ModelSlot<false>, 2> slots;
    TypedSpscRing<Message, kLayoutPacked, ModelAtomics> ring;

    State() : ring(lines, reinterpret_cast<std::byte*>(slots.data()), shape(), {Wait::kLatency, 1}) {}
    static FixedShape<Message, kLayoutPacked> shape() {
      RingGeometry geometry{};
      geometry.capacity = 2;
      return FixedShape<Message, kLayoutPacked>(geometry);
    }
  };
  Shared<State> shared;

  void thread(unsigned index) {
    if (index == 0) {
      const auto span = shared->ring.try_claim_span(2);
      RL_ASSERT(span.empty() || span.data() != nullptr);
    } else {
      shared->ring.close();
    }
  }
};

const Register<ClosedByProducer<false>> kPacked("spsc packed, closed by its producer");
const Register<ClosedByProducer<true>> kTurn("spsc turn, closed by its producer");
const Register<ClosedByThird<false>> kPackedThird("spsc packed, closed by a third thread");
const Register<ClosedByThird<true>> kTurnThird("spsc turn, closed by a third thread");
const Register<SpanMeetsClose> kSpan("spsc typed, a span meets a close");

}  // namespace
}  // namespace rk::model
