// Our ring and its nearest competitors behind two verbs: try_push(message), and try_consume(use) that calls
// use(message) in place where the queue can. A queue that only has blocking verbs offers push and consume instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "line_memory.h"
#include "messages.h"
#include "ringkernel/core/spsc_ring.h"
#include "ringkernel/runtime/host_atomics.h"
#include "support.h"
#include "wait_loops.h"

#if RK_BENCH_BOOST
#include <boost/lockfree/spsc_queue.hpp>
#endif
#if RK_BENCH_READERWRITERQUEUE
#include <readerwriterqueue/readerwriterqueue.h>
#endif
#if RK_BENCH_ATOMIC_QUEUE
#include <atomic_queue/atomic_queue.h>
#endif
#if RK_BENCH_TBB
#include <oneapi/tbb/concurrent_queue.h>
#endif
#if RK_BENCH_CONCURRENTQUEUE
#include <concurrentqueue/concurrentqueue.h>
#endif

namespace rk::bench {

template <class T, std::uint32_t Layout, Wait kWait>
class RkSpsc {
 public:
  using Ring = TypedSpscRing<T, Layout, HostAtomics>;

  static std::string name() {
    const std::string wait = kWait == Wait::kLatency ? "latency" : kWait == Wait::kBalanced ? "balanced" : "throughput";
    return std::string("rk ") + (Layout == kLayoutTurn ? "turn " : "packed ") + wait;
  }

  bool try_push(const T& message) { return ring_.try_push(message) == Status::kOk; }

  template <class Use>
  bool try_consume(Use&& use) {
    const std::byte* message = ring_.try_peek();
    if (message == nullptr) return false;
    use(*reinterpret_cast<const T*>(message));
    ring_.release();
    return true;
  }

  Ring& ring() { return ring_; }

 private:
  RingGeometry geometry_ = geometry_of<Ring>(kCapacity);
  LineMemory memory_{geometry_.total_bytes};
  Ring ring_{*create_ring<HostAtomics>(memory_.get(), geometry_), SpscOptions{kWait, 0}};
};

#if RK_BENCH_BOOST
template <class T>
class BoostSpsc {
 public:
  static std::string name() { return "boost::spsc_queue"; }
  bool try_push(const T& message) { return queue_.push(message); }
  template <class Use>
  bool try_consume(Use&& use) {
    return queue_.consume_one(use);
  }
  auto& queue() { return queue_; }

 private:
  boost::lockfree::spsc_queue<T, boost::lockfree::capacity<kCapacity>> queue_;
};
#endif

#if RK_BENCH_READERWRITERQUEUE
template <class T>
class ReaderWriterQueue {
 public:
  static std::string name() { return "moodycamel::ReaderWriterQueue"; }
  bool try_push(const T& message) { return queue_.try_enqueue(message); }
  template <class Use>
  bool try_consume(Use&& use) {
    const T* message = queue_.peek();
    if (message == nullptr) return false;
    use(*message);
    return queue_.pop();
  }

 private:
  moodycamel::ReaderWriterQueue<T> queue_{kCapacity};
};
#endif

#if RK_BENCH_ATOMIC_QUEUE
// Words go through the queue for atomic elements, which is the faster one.
template <class T, bool IsWord = sizeof(T) == 8>
struct AtomicQueueOf {
  using Queue = atomic_queue::AtomicQueue2<T, kCapacity, true, true, false, true>;
  static const T& in(const T& message) { return message; }
  static const T& out(const T& message) { return message; }
};

template <class T>
struct AtomicQueueOf<T, true> {
  using Queue = atomic_queue::AtomicQueue<std::uint64_t, kCapacity, ~std::uint64_t{0}, true, true, false, true>;
  static std::uint64_t in(const T& message) { return message.word[0]; }
  static T out(std::uint64_t word) { return T{{word}}; }
};

template <class T>
class AtomicQueueTry {
 public:
  using Of = AtomicQueueOf<T>;
  static std::string name() { return "atomic_queue (try)"; }
  bool try_push(const T& message) { return queue_.try_push(Of::in(message)); }
  template <class Use>
  bool try_consume(Use&& use) {
    if (!queue_.try_pop(taken_)) return false;
    use(Of::out(taken_));
    return true;
  }

 private:
  alignas(128) typename Of::Queue::value_type taken_{};  // the consumer's
  typename Of::Queue queue_;
};

template <class T>
class AtomicQueuePush {
 public:
  using Of = AtomicQueueOf<T>;
  static std::string name() { return "atomic_queue"; }
  void push(const T& message) { queue_.push(Of::in(message)); }
  template <class Use>
  void consume(Use&& use) {
    use(Of::out(queue_.pop()));
  }

 private:
  typename Of::Queue queue_;
};
#endif

#if RK_BENCH_TBB
template <class T>
class TbbBounded {
 public:
  static std::string name() { return "tbb::concurrent_bounded_queue"; }
  TbbBounded() { queue_.set_capacity(kCapacity); }
  bool try_push(const T& message) { return queue_.try_push(message); }
  template <class Use>
  bool try_consume(Use&& use) {
    if (!queue_.try_pop(taken_)) return false;
    use(taken_);
    return true;
  }

 private:
  alignas(128) T taken_{};  // the consumer's
  alignas(128) oneapi::tbb::concurrent_bounded_queue<T> queue_;
};
#endif

#if RK_BENCH_CONCURRENTQUEUE
template <class T>
class ConcurrentQueueTokens {
 public:
  static std::string name() { return "moodycamel::ConcurrentQueue+tokens"; }
  bool try_push(const T& message) { return queue_.try_enqueue(producer_, message); }
  template <class Use>
  bool try_consume(Use&& use) {
    if (!queue_.try_dequeue_from_producer(producer_, taken_)) return false;
    use(taken_);
    return true;
  }

 private:
  alignas(128) T taken_{};  // the consumer's
  alignas(128) moodycamel::ConcurrentQueue<T> queue_{kCapacity, 1, 0};
  moodycamel::ProducerToken producer_{queue_};
};
#endif

// Calls add.template operator()<Queue>(spin) for every peer.
template <class T, class Add>
void for_each_spsc_peer(Add&& add) {
  const auto both = [&]<class Queue>() {
    add.template operator()<Queue>(Spin::kBare);
    add.template operator()<Queue>(Spin::kPause);
  };
  (void)both;
#if RK_BENCH_BOOST
  both.template operator()<BoostSpsc<T>>();
#endif
#if RK_BENCH_READERWRITERQUEUE
  both.template operator()<ReaderWriterQueue<T>>();
#endif
#if RK_BENCH_ATOMIC_QUEUE
  both.template operator()<AtomicQueueTry<T>>();
  add.template operator()<AtomicQueuePush<T>>(Spin::kBare);
#endif
#if RK_BENCH_TBB
  both.template operator()<TbbBounded<T>>();
#endif
#if RK_BENCH_CONCURRENTQUEUE
  both.template operator()<ConcurrentQueueTokens<T>>();
#endif
}

}  // namespace rk::bench
