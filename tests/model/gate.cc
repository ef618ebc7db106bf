// The gate (G1, G2, G3): when nobody is seen inside, nobody is until it is opened, and what was done on one side of the
// gate is seen on the other.
#include "ringkernel/core/gate.h"
#include "model_ring.h"
#include "ringkernel/core/notes.h"

namespace rk::model {
namespace {

constexpr std::uint64_t kHost = std::uint64_t{1} << 62;
constexpr std::uint64_t kSupervisor = std::uint64_t{1} << 63;

// Those who enter have a counter each; who shuts the gate reads and writes all of them.
template <unsigned Entering>
struct Pause : rl::test_suite<Pause<Entering>, Entering + 1> {
  struct State {
    Gate<ModelAtomics> gate;
    std::array<ModelAtomics::Cell, Entering> done;
    State() {
      for (auto& cell : done) cell(RL_INFO) = 0;
    }
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == Entering) return pause(s);
    for (int times = 0; times < 2; ++times) {
      if (!s.gate.enter()) continue;
      const std::uint64_t before = s.done[index](RL_INFO);
      s.done[index](RL_INFO) = before + 1;
      s.gate.leave();
    }
  }

  static void pause(State& s) {
    s.gate.shut(kHost);
    while (s.gate.inside() != 0) try_again_later();
    for (auto& cell : s.done) {
      const std::uint64_t before = cell(RL_INFO);
      cell(RL_INFO) = before + 10;
    }
    s.gate.open(kHost);
  }

  void after() {
    for (auto& cell : shared->done) RL_ASSERT(cell(RL_INFO) >= 10 && cell(RL_INFO) <= 12);
    RL_ASSERT(shared->gate.inside() == 0 && !shared->gate.looks_shut());
  }
};

// It is open when no reason is left; whoever takes the last one away sees that it is.
struct TwoReasons : rl::test_suite<TwoReasons, 2> {
  struct State {
    Gate<ModelAtomics> gate{kHost | kSupervisor};
    ModelAtomics::Atomic<std::uint32_t> saw_open{0};
  };
  Shared<State> shared;

  void thread(unsigned index) {
    RL_ASSERT(!shared->gate.enter());
    shared->gate.open(index == 0 ? kHost : kSupervisor);
    if (!shared->gate.looks_shut()) shared->saw_open.fetch_add_relaxed(1);
  }

  void after() { RL_ASSERT(shared->saw_open.load_relaxed() != 0 && shared->gate.enter()); }
};

// A message for one that sleeps before the shut gate: either it finds the gate open before it sleeps, or who opens the
// gate finds the message, or who sends it finds the mark gone.
template <bool Waiting>
struct SleepOutside : rl::test_suite<SleepOutside<Waiting>, Waiting ? 2 : 3> {
  struct State {
    Gate<ModelAtomics> gate{kHost};
    Notes<ModelAtomics> notes;
    ReadyNode<ModelAtomics> actor;
    ReadyNode<ModelAtomics> lane;
    ReadyQueue<ModelAtomics> ready;
    ModelAtomics::Cell handled;  // and everything else of the actor: one thread at a time

    State() {
      handled(RL_INFO) = 0;
      actor.mark();
    }
  };
  Shared<State> shared;

  void before() {
    if (Waiting) send(*shared);
  }

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 0) {
      run(s);
    } else if (index == 1) {
      s.gate.open(kHost);
      if (!s.ready.looks_empty() && s.notes.leave(s.actor)) run(s);
    } else if (send(s)) {
      run(s);
    }
  }

  static bool send(State& s) {
    if (!s.lane.mark()) return false;
    s.ready.push(s.lane);
    return s.actor.mark();
  }

  static void run(State& s) {
    do {
      try_again_later();  // a push may be half done
      s.notes.take();
      if (!s.gate.enter()) continue;
      while (s.ready.pop() != nullptr) {
        const std::uint64_t before = s.handled(RL_INFO);
        s.handled(RL_INFO) = before + 1;
      }
      s.gate.leave();
    } while (!s.notes.sleep(s.actor, [&] { return !s.ready.looks_empty() && !s.gate.stays_shut(); }));
  }

  void after() { RL_ASSERT(shared->handled(RL_INFO) == 1); }
};

const Register<Pause<1>> kOne("gate, one enters while it is shut");
const Register<Pause<2>> kTwo("gate, two enter while it is shut");
const Register<TwoReasons> kTwoReasons("gate, two reasons");
const Register<SleepOutside<true>> kOutside("gate, a message waits outside");
const Register<SleepOutside<false>> kSender("gate, a message comes while it is opened");

}  // namespace
}  // namespace rk::model
