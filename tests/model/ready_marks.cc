// The marks as a lane and its inbox use them (Q2): publish, mark, push, against take, drain, unmark, look again. What
// was published is never left unseen in a lane that has no mark, and a lane is in the queue at most once.
#include "model_ring.h"
#include "ringkernel/core/ready_queue.h"

namespace rk::model {
namespace {

struct ModelLane : ReadyNode<ModelAtomics> {
  ModelRing<false, 2, 1> ring;
  std::uint64_t sent = 0;      // its sender's
  std::uint64_t received = 0;  // the receiver's
};

template <unsigned Lanes>
struct ModelInbox {
  std::array<ModelLane, Lanes> lanes;
  ReadyQueue<ModelAtomics> ready;

  void send(ModelLane& lane) {
    const std::uint64_t message = ++lane.sent;
    RL_ASSERT(lane.ring.try_push(&message) == Status::kOk);
    if (lane.mark()) ready.push(lane);
  }

  // As Inbox::put_back does, after it has taken what there was.
  void receive_all() {
    while (auto* node = ready.pop()) {
      auto& lane = static_cast<ModelLane&>(*node);
      drain(lane);
      lane.unmark();
      if (lane.ring.try_peek() != nullptr && lane.mark()) ready.push(lane);
    }
  }

  static void drain(ModelLane& lane) {
    std::uint64_t message = 0;
    while (lane.ring.try_pop(&message) == Status::kOk) RL_ASSERT(message == ++lane.received);
  }
};

// The receiver looks twice while they send; what it has not seen then is found by who looks at the queue afterwards.
template <unsigned Lanes, unsigned Each>
struct Marks : rl::test_suite<Marks<Lanes, Each>, Lanes + 1> {
  Shared<ModelInbox<Lanes>> inbox;

  void thread(unsigned index) {
    if (index < Lanes) {
      for (unsigned n = 0; n < Each; ++n) inbox->send(inbox->lanes[index]);
    } else {
      inbox->receive_all();
      inbox->receive_all();
    }
  }

  void after() {
    inbox->receive_all();
    for (ModelLane& lane : inbox->lanes) RL_ASSERT(lane.received == Each && !lane.marked());
    RL_ASSERT(inbox->ready.looks_empty());
  }
};

const Register<Marks<1, 2>> kOne("ready marks, one lane");
const Register<Marks<2, 1>> kTwo("ready marks, two lanes");
const Register<Marks<2, 2>> kTwoEach("ready marks, two lanes, two each", Weight::kHeavy);

}  // namespace
}  // namespace rk::model
