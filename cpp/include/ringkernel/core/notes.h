// How to wake what sleeps without its mark (ready_queue.h): leave a note, then mark it; whoever finds no mark queues
// it.
//
// Who is about to sleep takes its mark off and looks for notes once more. Work that announces itself by the mark alone
// (a message) is looked for the same way. So nothing is missed, and a waker of one that is awake pays two exchanges.
//
// Edges
//   P1  leave -> take     what was done before the note; by all who left one, so that it is an exchange, not a store
//   Q2: ready_queue.h
//
// Protection: note_: atomic (P1).
#pragma once

#include <cstdint>

#include "ringkernel/core/ready_queue.h"

namespace rk {

template <class P>
class Notes {
 public:
  // True: the caller has to queue the node.
  bool leave(ReadyNode<P>& node) {
    (void)note_.exchange_release(1);  // P1
    return node.mark();
  }

  // To be followed by a look at everything that a note may be about.
  void take() { (void)note_.exchange_acquire(0); }  // P1

  bool there() const { return note_.load_relaxed() != 0; }  // P1 a hint; after the unmark it is exact

  // True: the node sleeps, and whoever woke it may be running it already. False: it has a note, or `wanted()`.
  template <class Wanted>
  bool sleep(ReadyNode<P>& node, Wanted&& wanted) {
    node.unmark();
    return (!there() && !wanted()) || !node.mark();
  }

 private:
  typename P::template Atomic<std::uint32_t> note_{0};
};

}  // namespace rk
