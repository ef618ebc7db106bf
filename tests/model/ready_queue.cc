// The ready queue (Q1, Q3): everything that is pushed is taken once, in the order of its pusher, and a queue that looks
// empty is empty.
#include "ringkernel/core/ready_queue.h"
#include "model_ring.h"

namespace rk::model {
namespace {

using Node = ReadyNode<ModelAtomics>;

struct Item : Node {
  explicit Item(unsigned number) : number(number) {}
  const unsigned number;  // ten times its pusher, plus its place
  ModelAtomics::Cell payload;
};

struct Items {
  std::array<Item, 4> all{Item(0), Item(1), Item(10), Item(11)};
  std::array<unsigned, 2> next{0, 0};
  unsigned taken = 0;

  template <class Queue>
  void push(Queue& queue, unsigned pusher, unsigned place) {
    Item& item = all[pusher * 2 + place];
    item.payload(RL_INFO) = item.number + 100;
    queue.push(item);
  }
  // Its payload was written before, and nothing of its pusher was taken out of turn.
  void take(Node& node) {
    auto& item = static_cast<Item&>(node);
    RL_ASSERT(item.payload(RL_INFO) == item.number + 100);
    RL_ASSERT(item.number % 10 == next[item.number / 10]++);
    ++taken;
  }
};

// One taker, as an inbox. It is the first pusher afterwards, which leaves fewer executions, or a thread of its own.
template <unsigned Each, unsigned Threads>
struct OneTaker : rl::test_suite<OneTaker<Each, Threads>, Threads> {
  struct State : Items {
    ReadyQueue<ModelAtomics> queue;
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    for (unsigned place = 0; index < 2 && place < Each; ++place) s.push(s.queue, index, place);
    if (index == 2 || (Threads == 2 && index == 0)) take_all(s);
  }

  static void take_all(State& s) {
    while (s.taken < 2 * Each) {
      if (Node* node = s.queue.pop()) {
        s.take(*node);
      } else {
        try_again_later();
      }
    }
  }

  void after() { RL_ASSERT(shared->queue.looks_empty() && shared->queue.pop() == nullptr); }
};

// A taker that sleeps when the queue looks empty and was told so by nobody: each pusher says afterwards that it is
// done, and what it pushed before must be found without another push.
struct LooksEmpty : rl::test_suite<LooksEmpty, 2> {
  struct State : Items {
    ReadyQueue<ModelAtomics> queue;
    ModelAtomics::Atomic<std::uint32_t> pushed{0};
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 1) {
      s.push(s.queue, 1, 0);
      s.push(s.queue, 1, 1);
      s.pushed.store_release(1);
      return;
    }
    s.push(s.queue, 0, 0);
    while (s.pushed.load_acquire() == 0) {
      if (Node* node = s.queue.pop()) s.take(*node);
      try_again_later();
    }
    while (!s.queue.looks_empty()) {
      Node* node = s.queue.pop();
      RL_ASSERT(node != nullptr);  // no push is half done
      s.take(*node);
    }
    RL_ASSERT(s.taken == 3);
  }
};

// What was taken is pushed again, by whoever comes: the links of its former life are overwritten in order (Q2).
struct Again : rl::test_suite<Again, 2> {
  struct State {
    ReadyQueue<ModelAtomics> queue;
    std::array<Item, 2> items{Item(0), Item(1)};
    unsigned taken = 0;
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    for (int times = 0; times < 2; ++times) give(s, s.items[index]);
    if (index == 0) take_all(s);
  }

  static void give(State& s, Item& item) {
    if (item.mark()) s.queue.push(item);
  }

  static void take_all(State& s) {
    for (int looks = 0; looks < 4; ++looks) {
      if (Node* node = s.queue.pop()) {
        node->unmark();
        ++s.taken;
      }
    }
  }

  void after() {
    for (Node* node = shared->queue.pop(); node != nullptr; node = shared->queue.pop()) ++shared->taken;
    RL_ASSERT(shared->queue.looks_empty());
    RL_ASSERT(shared->taken >= 2 && shared->taken <= 4);
  }
};

// Two takers, as workers: who finds the end taken leaves with nothing, and nothing is taken twice.
struct TwoTakers : rl::test_suite<TwoTakers, 3> {
  struct State : Items {
    SharedReadyQueue<ModelAtomics> queue;
    ModelAtomics::Atomic<std::uint32_t> taken{0};
  };
  Shared<State> shared;

  void thread(unsigned index) {
    State& s = *shared;
    if (index == 2) {
      s.push(s.queue, 0, 0);
      s.push(s.queue, 0, 1);
      return;
    }
    while (s.taken.load_relaxed() < 2) {
      if (Node* node = s.queue.try_pop()) {
        auto& item = static_cast<Item&>(*node);
        RL_ASSERT(item.payload(RL_INFO) == item.number + 100);
        item.payload(RL_INFO) = 0;  // nobody else takes it
        s.taken.fetch_add_relaxed(1);
      } else {
        try_again_later();
      }
    }
  }

  void after() { RL_ASSERT(shared->queue.looks_empty() && shared->taken.load_relaxed() == 2); }
};

const Register<OneTaker<1, 2>> kOneEach("ready queue, one each");
const Register<OneTaker<2, 2>> kTwoEach("ready queue, two each");
const Register<OneTaker<1, 3>> kBeside("ready queue, one each, beside a taker");
const Register<OneTaker<2, 3>> kTwoBeside("ready queue, two each, beside a taker", Weight::kHeavy);
const Register<LooksEmpty> kLooksEmpty("ready queue, looks empty");
const Register<Again> kAgain("ready queue, pushed again");
const Register<TwoTakers> kTwoTakers("ready queue, two takers", Weight::kHeavy);

}  // namespace
}  // namespace rk::model
