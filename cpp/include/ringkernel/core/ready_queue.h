// A queue of things that have work: any number of threads put nodes in, one takes them out; a node is in it at most
// once.
//
// Nodes are their owner's memory, so the queue is unbounded and allocates nothing. To put one in is two steps (take the
// place at the end, link it to the one before), as in D. Vyukov's intrusive queue: a taker that comes in between finds
// nothing and looks again.
//
// Edges
//   Q1  push -> pop          what was written before the push; and the links, the same way
//   Q2  mark <-> unmark      the mark decides in one order of read-modify-writes who puts the node in: either the giver
//                            finds the mark gone and pushes, or the taker, who took it off, sees what the giver wrote
//   Q3  unlock -> lock       the taking end passes from one taker to the next
//
// Protection: queued, next, last_: atomic (Q1, Q2). first_: the taker. taking_: atomic (Q3).
#pragma once

#include <cstdint>

namespace rk {

template <class P>
struct ReadyNode {
  // After making work for the node. True: the caller has to push it.
  bool mark() { return queued.exchange_acq_rel(1) == 0; }  // Q2
  // When its work is done. Afterwards the taker looks for work once more: what came in between was not pushed.
  void unmark() { (void)queued.exchange_acq_rel(0); }         // Q2
  bool marked() const { return queued.load_relaxed() != 0; }  // Q2 a hint

  typename P::template Atomic<ReadyNode*> next{nullptr};
  typename P::template Atomic<std::uint32_t> queued{0};
};

template <class P>
class ReadyQueue {
 public:
  using Node = ReadyNode<P>;

  ReadyQueue() : last_(&stub_), first_(&stub_) {}
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  void push(Node& node) {
    node.next.store_relaxed(nullptr);              // Q1 the exchange publishes it
    Node* before = last_.exchange_acq_rel(&node);  // Q1
    before->next.store_release(&node);             // Q1
  }

  // nullptr: nothing, or a push is half done; see looks_empty().
  Node* pop() {
    Node* node = first_;
    Node* next = node->next.load_acquire();  // Q1
    if (node == &stub_) {
      if (next == nullptr) return nullptr;
      first_ = node = next;
      next = node->next.load_acquire();  // Q1
    }
    if (next == nullptr) {
      if (take_last(node)) return node;
      next = node->next.load_acquire();  // Q1 somebody has come behind it
    }
    return next != nullptr ? take(node, next) : nullptr;
  }

  // For any thread. False as soon as a push has begun, and until all that was pushed is taken.
  bool looks_empty() const { return last_.load_relaxed() == &stub_; }  // Q1 who acts on it, pops; who sleeps has fenced

 private:
  Node* take(Node* node, Node* next) {
    first_ = next;
    return node;
  }

  // The stub takes the place of the last node in one step, where Vyukov's queue pushes it behind that node: a push in
  // between would be hidden by it, and the queue would look empty. False: somebody is linking behind the node.
  bool take_last(Node* node) {
    stub_.next.store_relaxed(nullptr);  // Q1 the exchange publishes it
    Node* last = node;
    while (!last_.cas_acq_rel(last, &stub_)) {  // Q1
      if (last != node) return false;
    }
    first_ = &stub_;
    return true;
  }

  typename P::template Atomic<Node*> last_;
  Node* first_;
  Node stub_;
};

// As above with several takers, one at a time; who finds the end taken leaves with nothing.
template <class P>
class SharedReadyQueue {
 public:
  using Node = ReadyNode<P>;

  void push(Node& node) { queue_.push(node); }

  Node* try_pop() {
    if (queue_.looks_empty() || taking_.exchange_acquire(1) != 0) return nullptr;  // Q3
    Node* node = queue_.pop();
    taking_.store_release(0);  // Q3
    return node;
  }

  bool looks_empty() const { return queue_.looks_empty(); }

 private:
  ReadyQueue<P> queue_;
  typename P::template Atomic<std::uint32_t> taking_{0};
};

}  // namespace rk
