// Notes and marks (P1, Q2) as an actor sleeps: no request is left unseen, and one thread at a time runs the actor.
#include "model_ring.h"
#include "ringkernel/core/notes.h"

namespace rk::model {
namespace {

// The actor is awake at first. Whoever has to queue it runs it, as a worker would that finds it in the queue.
template <unsigned Pokers>
struct Poke : rl::test_suite<Poke<Pokers>, Pokers + 1> {
  struct State {
    Notes<ModelAtomics> notes;
    ReadyNode<ModelAtomics> actor;
    std::array<ModelAtomics::Atomic<std::uint32_t>, Pokers> requests{};
    std::array<ModelAtomics::Cell, Pokers> seen;  // the actor's own

    State() {
      for (auto& cell : seen) cell(RL_INFO) = 0;
      actor.mark();
    }
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == Pokers) return run(s);
    s.requests[index].store_relaxed(1);
    if (s.notes.leave(s.actor)) run(s);
  }

  static void run(State& s) {
    do {
      s.notes.take();
      for (unsigned i = 0; i < Pokers; ++i) s.seen[i](RL_INFO) = s.requests[i].load_relaxed();
    } while (!s.notes.sleep(s.actor, [] { return false; }));
  }

  void after() {
    for (auto& cell : shared->seen) RL_ASSERT(cell(RL_INFO) == 1);
    RL_ASSERT(!shared->actor.marked());
  }
};

// A message announces itself by the mark alone, beside a poke.
struct PokeAndMessage : rl::test_suite<PokeAndMessage, 3> {
  struct State {
    Notes<ModelAtomics> notes;
    ReadyNode<ModelAtomics> actor;
    ReadyNode<ModelAtomics> lane;
    ReadyQueue<ModelAtomics> ready;
    ModelAtomics::Atomic<std::uint32_t> request{0};
    ModelAtomics::Cell message, received, seen;

    State() {
      received(RL_INFO) = seen(RL_INFO) = 0;
      actor.mark();
    }
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    bool wake = index == 0;
    if (index == 1) {
      s.request.store_relaxed(1);
      wake = s.notes.leave(s.actor);
    } else if (index == 2) {
      s.message(RL_INFO) = 7;
      RL_ASSERT(s.lane.mark());
      s.ready.push(s.lane);
      wake = s.actor.mark();
    }
    if (wake) run(s);
  }

  static void run(State& s) {
    do {
      try_again_later();  // a push may be half done
      s.notes.take();
      s.seen(RL_INFO) = s.request.load_relaxed();
      if (s.ready.pop() != nullptr) s.received(RL_INFO) = s.message(RL_INFO);
    } while (!s.notes.sleep(s.actor, [&] { return !s.ready.looks_empty(); }));
  }

  void after() { RL_ASSERT(shared->seen(RL_INFO) == 1 && shared->received(RL_INFO) == 7); }
};

const Register<Poke<1>> kOne("poke, one");
const Register<Poke<2>> kTwo("poke, two");
const Register<PokeAndMessage> kMessage("poke, beside a message");

}  // namespace
}  // namespace rk::model
