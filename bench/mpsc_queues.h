// Our many-producer ring and its nearest competitors: a producer handle for each producer, one try_consume.
//
// Lanes hold `capacity` messages for each producer, so a shared queue gets `capacity` times the producers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "line_memory.h"
#include "messages.h"
#include "ringkernel/core/mpsc_ring.h"
#include "ringkernel/runtime/host_atomics.h"
#include "support.h"

#if RK_BENCH_BOOST
#include <boost/lockfree/queue.hpp>
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

template <class T>
struct TypedLane {
  using Ring = TypedSpscRing<T, kLayoutPacked, HostAtomics>;
  static constexpr const char* kName = "";
  static RingGeometry geometry(std::uint64_t capacity) { return geometry_of<Ring>(capacity); }
};

template <class T>
struct RuntimeLane {
  using Ring = SpscRing<HostAtomics>;
  static constexpr const char* kName = " run-time size";
  static RingGeometry geometry(std::uint64_t capacity) { return TypedLane<T>::geometry(capacity); }
};

template <class T, class LaneOf, Wait kWait>
class RkMpsc {
 public:
  static std::string name() {
    return std::string("rk lanes ") + (kWait == Wait::kBalanced ? "balanced" : "throughput") + LaneOf::kName;
  }

  RkMpsc(std::uint32_t producers, std::uint64_t capacity)
      : geometry_(LaneOf::geometry(capacity)),
        memory_(producers * geometry_.total_bytes),
        ring_(producers, kWait,
              lanes_in<HostAtomics, typename LaneOf::Ring>(memory_.get(), geometry_, SpscOptions{Wait::kLatency, 0})) {}

  struct Producer {
    typename BasicMpscRing<HostAtomics, typename LaneOf::Ring>::Lane* lane;
    bool try_push(const T& message) { return lane->ring.producer().try_push(&message, sizeof(T)) == Status::kOk; }
  };
  Producer producer() { return Producer{ring_.take_lane()}; }

  template <class Use>
  bool try_consume(Use&& use) {
    const std::byte* message = ring_.try_peek();
    if (message == nullptr) return false;
    use(*reinterpret_cast<const T*>(message));
    ring_.release();
    return true;
  }

 private:
  RingGeometry geometry_;
  LineMemory memory_;
  BasicMpscRing<HostAtomics, typename LaneOf::Ring> ring_;
};

// A queue whose producers need nothing of their own, and whose pop copies.
template <class T, class Impl>
class SharedQueue {
 public:
  static std::string name() { return Impl::name(); }
  SharedQueue(std::uint32_t producers, std::uint64_t capacity) : impl_(producers * capacity) {}

  struct Producer {
    Impl* impl;
    bool try_push(const T& message) { return impl->try_push(message); }
    void push(const T& message)
      requires requires { impl->push(message); }
    {
      impl->push(message);
    }
  };
  Producer producer() { return Producer{&impl_}; }

  template <class Use>
  bool try_consume(Use&& use) {
    if (!impl_.try_pop(taken_)) return false;
    use(taken_);
    return true;
  }

 private:
  alignas(128) T taken_{};  // the consumer's
  alignas(128) Impl impl_;
};

#if RK_BENCH_BOOST
template <class T>
struct BoostQueue {
  static std::string name() { return "boost::lockfree::queue"; }
  explicit BoostQueue(std::uint64_t capacity) : queue(capacity) {}
  bool try_push(const T& message) { return queue.bounded_push(message); }
  bool try_pop(T& message) { return queue.pop(message); }
  boost::lockfree::queue<T> queue;
};
#endif

#if RK_BENCH_TBB
template <class T>
struct TbbQueue {
  static std::string name() { return "tbb::concurrent_bounded_queue"; }
  explicit TbbQueue(std::uint64_t capacity) { queue.set_capacity(static_cast<std::ptrdiff_t>(capacity)); }
  bool try_push(const T& message) { return queue.try_push(message); }
  bool try_pop(T& message) { return queue.try_pop(message); }
  oneapi::tbb::concurrent_bounded_queue<T> queue;
};
#endif

#if RK_BENCH_ATOMIC_QUEUE
// kTickets: push takes its place before there is room, and waits; the library's own benchmarks prefer that. Words go
// through the queue for atomic elements.
template <class T, bool kTickets>
struct AtomicQueueMany {
  static constexpr bool kWord = sizeof(T) == 8;
  using Element = std::conditional_t<kWord, std::uint64_t, T>;
  using Word = atomic_queue::AtomicQueueB<std::uint64_t, std::allocator<std::uint64_t>, ~std::uint64_t{0}>;
  using Queue = std::conditional_t<kWord, Word, atomic_queue::AtomicQueueB2<T>>;

  static std::string name() { return kTickets ? "atomic_queue" : "atomic_queue (try)"; }
  explicit AtomicQueueMany(std::uint64_t capacity) : queue(static_cast<unsigned>(capacity)) {}

  static const Element& element(const T& message) { return reinterpret_cast<const Element&>(message); }
  void push(const T& message)
    requires kTickets
  {
    queue.push(element(message));
  }
  bool try_push(const T& message) { return queue.try_push(element(message)); }
  bool try_pop(T& message) { return queue.try_pop(reinterpret_cast<Element&>(message)); }
  Queue queue;
};
#endif

#if RK_BENCH_CONCURRENTQUEUE
template <class T>
class ConcurrentQueueLanes {
 public:
  static std::string name() { return "moodycamel::ConcurrentQueue+tokens"; }
  ConcurrentQueueLanes(std::uint32_t producers, std::uint64_t capacity)
      : capacity_(capacity), queue_(producers * capacity, producers, 0), consumer_(queue_) {}

  struct Producer {
    moodycamel::ConcurrentQueue<T>* queue;
    std::unique_ptr<moodycamel::ProducerToken> token;
    bool try_push(const T& message) { return queue->try_enqueue(*token, message); }
  };
  // A producer keeps the blocks that it has used: one that comes late would find none and starve, so each gets its own.
  Producer producer() {
    Producer made{&queue_, std::make_unique<moodycamel::ProducerToken>(queue_)};
    for (std::uint64_t i = 0; i < capacity_; ++i) made.try_push(taken_);
    while (queue_.try_dequeue_from_producer(*made.token, taken_)) continue;
    return made;
  }

  template <class Use>
  bool try_consume(Use&& use) {
    if (!queue_.try_dequeue(consumer_, taken_)) return false;
    use(taken_);
    return true;
  }

 private:
  alignas(128) T taken_{};  // the consumer's
  std::uint64_t capacity_;
  alignas(128) moodycamel::ConcurrentQueue<T> queue_;
  moodycamel::ConsumerToken consumer_;
};
#endif

// Calls add.template operator()<Queue>(spin) for ours and for every peer.
template <class T, class Add>
void for_each_mpsc_queue(Add&& add) {
  const auto both = [&]<class Queue>() {
    add.template operator()<Queue>(Spin::kBare);
    add.template operator()<Queue>(Spin::kPause);
  };
  add.template operator()<RkMpsc<T, TypedLane<T>, Wait::kThroughput>>(Spin::kBare);
  add.template operator()<RkMpsc<T, TypedLane<T>, Wait::kBalanced>>(Spin::kBare);
  add.template operator()<RkMpsc<T, RuntimeLane<T>, Wait::kThroughput>>(Spin::kBare);
  (void)both;
#if RK_BENCH_ATOMIC_QUEUE
  add.template operator()<SharedQueue<T, AtomicQueueMany<T, true>>>(Spin::kBare);
  both.template operator()<SharedQueue<T, AtomicQueueMany<T, false>>>();
#endif
#if RK_BENCH_CONCURRENTQUEUE
  both.template operator()<ConcurrentQueueLanes<T>>();
#endif
#if RK_BENCH_TBB
  both.template operator()<SharedQueue<T, TbbQueue<T>>>();
#endif
#if RK_BENCH_BOOST
  both.template operator()<SharedQueue<T, BoostQueue<T>>>();
#endif
}

}  // namespace rk::bench
