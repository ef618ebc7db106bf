// Atomics with the order in the verb, as a policy: the same ring runs under std::atomic, a model checker or PTX.
//
// A policy P supplies P::Atomic<T> with the verbs below, P::copy_in / P::copy_out for plain slot bytes, P::pause for
// a spinning core and the two fences of sleep and wake. There is no default order and no operator.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define RK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RK_TSAN 1
#endif
#endif

namespace rk {

struct StdAtomics {
  template <class T>
  class Atomic {
   public:
    Atomic() = default;
    explicit Atomic(T value) : value_(value) {}

    T load_relaxed() const { return value_.load(std::memory_order_relaxed); }
    T load_acquire() const { return value_.load(std::memory_order_acquire); }
    void store_relaxed(T value) { value_.store(value, std::memory_order_relaxed); }
    void store_release(T value) { value_.store(value, std::memory_order_release); }
    T exchange_relaxed(T value) { return value_.exchange(value, std::memory_order_relaxed); }
    T exchange_acquire(T value) { return value_.exchange(value, std::memory_order_acquire); }
    T exchange_release(T value) { return value_.exchange(value, std::memory_order_release); }
    T exchange_acq_rel(T value) { return value_.exchange(value, std::memory_order_acq_rel); }
    T fetch_add_relaxed(T value) { return value_.fetch_add(value, std::memory_order_relaxed); }
    T fetch_add_acquire(T value) { return value_.fetch_add(value, std::memory_order_acquire); }
    T fetch_add_acq_rel(T value) { return value_.fetch_add(value, std::memory_order_acq_rel); }
    T fetch_sub_relaxed(T value) { return value_.fetch_sub(value, std::memory_order_relaxed); }
    T fetch_sub_release(T value) { return value_.fetch_sub(value, std::memory_order_release); }
    T fetch_sub_acq_rel(T value) { return value_.fetch_sub(value, std::memory_order_acq_rel); }
    T fetch_or_relaxed(T value) { return value_.fetch_or(value, std::memory_order_relaxed); }
    T fetch_and_relaxed(T value) { return value_.fetch_and(value, std::memory_order_relaxed); }
    T fetch_and_acq_rel(T value) { return value_.fetch_and(value, std::memory_order_acq_rel); }
    // On failure `expected` is what was found, read relaxed.
    bool cas_relaxed(T& expected, T desired) {
      return value_.compare_exchange_weak(expected, desired, std::memory_order_relaxed);
    }
    bool cas_acq_rel(T& expected, T desired) {
      return value_.compare_exchange_weak(expected, desired, std::memory_order_acq_rel, std::memory_order_relaxed);
    }

   private:
    std::atomic<T> value_{};
  };

  static void copy_in(void* slot, const void* from, std::size_t bytes) { std::memcpy(slot, from, bytes); }
  static void copy_out(void* to, const void* slot, std::size_t bytes) { std::memcpy(to, slot, bytes); }

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");  // `yield` is a no-op on most Arm cores
#endif
  }

  // Sleep and wake (Dekker): each side stores its word, fences, reads the other's. `heavy` is on the side that is about
  // to sleep, `light` on the side that runs for every message; a platform may make light free by paying in heavy.
  static void fence_light() { full_fence(); }
  static void fence_heavy() { full_fence(); }

 private:
  static void full_fence() {
#if defined(RK_TSAN)
    static std::atomic<std::uint32_t> anchor{0};  // TSan does not model fences; a read-modify-write orders as well
    anchor.fetch_add(0, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }
};

}  // namespace rk
