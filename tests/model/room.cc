// Waiting for room without a thread (W1, W2): a sender that finds the ring full arms, the consumer releases and rings.
// No ring is missed, and of all who ring exactly one wakes the sender.
#include "model_ring.h"
#include "ringkernel/core/notes.h"
#include "ringkernel/core/parking.h"

namespace rk::model {
namespace {

// The sender is an actor: it arms, takes its mark off and is gone; who rings marks it and sends from then on, as a
// worker would that finds it in its queue.
struct Room : rl::test_suite<Room, 2> {
  struct State {
    ModelRing<false, 1, 1> ring;
    Parking<ModelAtomics> room;
    Notes<ModelAtomics> notes;
    ReadyNode<ModelAtomics> sender;
    ModelAtomics::Cell sent;  // the sender's: one thread at a time

    State() {
      sent(RL_INFO) = 0;
      sender.mark();
    }
  };
  static constexpr std::uint64_t kMessages = 3;
  Shared<State> shared;

  void thread(unsigned index) {
    if (index == 0) {
      send(*shared);
    } else {
      receive(*shared);
    }
  }

  static void send(State& s) {
    s.notes.take();
    while (s.sent(RL_INFO) < kMessages) {
      const std::uint64_t message = s.sent(RL_INFO) + 1;
      if (s.ring.try_push(&message) == Status::kOk) {
        s.sent(RL_INFO) = message;
      } else if (s.room.arm([&] { return s.ring.producer().has_room_exact(); })) {
        if (s.notes.sleep(s.sender, [] { return false; })) return;
        s.notes.take();
      }
    }
  }

  static void receive(State& s) {
    for (std::uint64_t next = 1, message = 0; next <= kMessages;) {
      if (s.ring.try_pop(&message) != Status::kOk) {
        try_again_later();
        continue;
      }
      RL_ASSERT(message == next++);
      if (s.room.ring() && s.notes.leave(s.sender)) send(s);
    }
  }
};

// The consumer releases and somebody closes at the same time; the condition is relaxed, so the fences carry everything.
template <unsigned Ringers>
struct OneRinger : rl::test_suite<OneRinger<Ringers>, Ringers + 1> {
  struct State {
    Parking<ModelAtomics> room;
    ModelAtomics::Atomic<std::uint32_t> reasons{0};
    std::array<ModelAtomics::Cell, Ringers + 1> woken;
    ModelAtomics::Cell slept;
  };
  Shared<State> shared;

  void before() {
    for (auto& cell : shared->woken) cell(RL_INFO) = 0;
  }

  void thread(unsigned index) {
    State& s = *shared;
    if (index == Ringers) {
      s.slept(RL_INFO) = s.room.arm([&] { return s.reasons.load_relaxed() != 0; });
    } else {
      s.reasons.fetch_add_relaxed(1);
      s.woken[index](RL_INFO) = s.room.ring();
    }
  }

  void after() {
    std::uint64_t woken = 0;
    for (auto& cell : shared->woken) woken += cell(RL_INFO);
    RL_ASSERT(woken == shared->slept(RL_INFO));
    RL_ASSERT(!shared->room.someone_sleeps());
  }
};

const Register<Room> kRoom("room, a sender that is no thread");
const Register<OneRinger<1>> kOne("room, one rings");
const Register<OneRinger<2>> kTwo("room, two ring");

}  // namespace
}  // namespace rk::model
