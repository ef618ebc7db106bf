// Batches, looks past the oldest message, and statistics read by a third thread.
#include "model_ring.h"

namespace rk::model {
namespace {

// Every message of a batch is seen whole, and the high-water mark never exceeds what was sent.
template <bool Turn>
struct Batches : rl::test_suite<Batches<Turn>, 2> {
  static constexpr std::uint64_t kMessages = 3, kCapacity = 2;

  Shared<ModelRing<Turn, kCapacity, 2>> ring;

  void thread(unsigned index) { index == 0 ? produce() : consume(); }

  void produce() {
    const std::uint64_t messages[kMessages] = {1, 2, 3};
    for (std::uint64_t sent = 0; sent < kMessages;) {
      const std::uint64_t now = ring->push_many(messages + sent, kMessages - sent);
      if (now == 0) try_again_later();
      sent += now;
    }
  }

  void consume() {
    for (std::uint64_t expected = 1; expected <= kMessages;) {
      std::uint64_t messages[2] = {};
      const std::uint64_t now = expected == 1 ? ring->pop_many(messages, 2) : consume_in_place(messages);
      for (std::uint64_t i = 0; i < now; ++i) RL_ASSERT(messages[i] == expected++);
      if (now == 0) try_again_later();
    }
  }

  std::uint64_t consume_in_place(std::uint64_t* messages) {
    return ring->consumer().consume([&](const std::byte* slot) { ModelAtomics::copy_out(messages++, slot, 8); }, 2);
  }

  void after() { check_stats(ring->stats(), kCapacity); }
};

// Room for four but only two messages: a mark above two is not a peak that was missed but one that never was.
template <bool Turn>
struct HighWater : rl::test_suite<HighWater<Turn>, 2> {
  Shared<ModelRing<Turn, 4, 1>> ring;

  void thread(unsigned index) {
    const std::uint64_t messages[2] = {1, 2};
    if (index == 0) {
      RL_ASSERT(ring->push_many(messages, 2) == 2);
    } else {
      for (int popped = 0; popped < 2;) {
        std::uint64_t message = 0;
        ring->try_pop(&message) == Status::kOk ? void(++popped) : try_again_later();
      }
      RL_ASSERT(ring->consumer().high_water() <= 2);
    }
  }
};

// Looking at the second message without releasing the first.
template <bool Turn>
struct PeekAhead : rl::test_suite<PeekAhead<Turn>, 2> {
  Shared<ModelRing<Turn, 2, 1>> ring;

  void thread(unsigned index) {
    if (index == 0) {
      for (std::uint64_t message = 1; message <= 3; ++message) {
        while (ring->try_push(&message) != Status::kOk) try_again_later();
      }
    } else {
      check(wait_for(1), 2);
      check(wait_for(0), 1);
      ring->release(2);
      check(wait_for(0), 3);
    }
  }

  const std::byte* wait_for(std::uint64_t ahead) {
    const std::byte* slot;
    while ((slot = ring->try_peek(ahead)) == nullptr) try_again_later();
    return slot;
  }

  static void check(const std::byte* slot, std::uint64_t expected) {
    std::uint64_t message;
    ModelAtomics::copy_out(&message, slot, 8);
    RL_ASSERT(message == expected);
  }
};

struct Bystander : rl::test_suite<Bystander, 3> {
  Shared<ModelRing<false, 2, 1>> ring;

  void thread(unsigned index) {
    std::uint64_t message = 1;
    if (index == 0) {
      for (int i = 0; i < 2; ++i) ring->try_push(&message);
    } else if (index == 1) {
      for (int i = 0; i < 2; ++i) ring->try_pop(&message);
    } else {
      check_stats(ring->stats(), 2);
    }
  }
};

const Register<Batches<false>> kPackedBatches("spsc packed, batches");
const Register<Batches<true>> kTurnBatches("spsc turn, batches");
const Register<HighWater<false>> kPackedHighWater("spsc packed, high-water mark");
const Register<HighWater<true>> kTurnHighWater("spsc turn, high-water mark");
const Register<PeekAhead<false>> kPackedAhead("spsc packed, peek ahead");
const Register<PeekAhead<true>> kTurnAhead("spsc turn, peek ahead");
const Register<Bystander> kBystander("spsc statistics seen by a third thread");

}  // namespace
}  // namespace rk::model
