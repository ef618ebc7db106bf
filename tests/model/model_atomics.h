// The atomics policy of the model checker: each verb is a step that relacy may reorder, delay or interrupt.
//
// Message payload is a row of rl::var, so that an access without happens-before is a data race. OverwriteRing keeps its
// payload in atomics; see payload_watch.h for what replaces the race there.
#pragma once

#include "payload_watch.h"
#include "relacy_api.h"
#include "ringkernel/core/parking.h"
#include "store_order.h"

namespace rk::model {

struct ModelAtomics {
  using At = std::source_location;  // of the core's line, for the printed history

  template <class T>
  class Atomic {
   public:
    Atomic() : Atomic(T{}) {}
    explicit Atomic(T value) : value_(value) {}

    T load_relaxed(At at = At::current()) const {
      const T value = value_.load(rl::mo_relaxed, info(at));
      watch_.read();
      return value;
    }
    T load_acquire(At at = At::current()) const { return value_.load(rl::mo_acquire, info(at)); }
    void store_relaxed(T value, At at = At::current()) {
      watch_.overwrite(info(at));
      order_.store(info(at));
      value_.store(value, rl::mo_relaxed, info(at));
    }
    void store_release(T value, At at = At::current()) {
      order_.store(info(at));
      value_.store(value, rl::mo_release, info(at));
    }
    T exchange_relaxed(T value, At at = At::current()) { return value_.exchange(value, rl::mo_relaxed, info(at)); }
    T exchange_acquire(T value, At at = At::current()) { return value_.exchange(value, rl::mo_acquire, info(at)); }
    T exchange_release(T value, At at = At::current()) { return value_.exchange(value, rl::mo_release, info(at)); }
    T exchange_acq_rel(T value, At at = At::current()) { return value_.exchange(value, rl::mo_acq_rel, info(at)); }
    T fetch_add_relaxed(T value, At at = At::current()) { return value_.fetch_add(value, rl::mo_relaxed, info(at)); }
    T fetch_add_acquire(T value, At at = At::current()) { return value_.fetch_add(value, rl::mo_acquire, info(at)); }
    T fetch_add_acq_rel(T value, At at = At::current()) { return value_.fetch_add(value, rl::mo_acq_rel, info(at)); }
    T fetch_sub_relaxed(T value, At at = At::current()) { return value_.fetch_sub(value, rl::mo_relaxed, info(at)); }
    T fetch_sub_release(T value, At at = At::current()) { return value_.fetch_sub(value, rl::mo_release, info(at)); }
    T fetch_sub_acq_rel(T value, At at = At::current()) { return value_.fetch_sub(value, rl::mo_acq_rel, info(at)); }
    T fetch_or_relaxed(T value, At at = At::current()) { return value_.fetch_or(value, rl::mo_relaxed, info(at)); }
    T fetch_and_relaxed(T value, At at = At::current()) { return value_.fetch_and(value, rl::mo_relaxed, info(at)); }
    T fetch_and_acq_rel(T value, At at = At::current()) { return value_.fetch_and(value, rl::mo_acq_rel, info(at)); }
    bool cas_relaxed(T& expected, T desired, At at = At::current()) {
      return cas(expected, desired, rl::mo_relaxed, at);
    }
    bool cas_acq_rel(T& expected, T desired, At at = At::current()) {
      return cas(expected, desired, rl::mo_acq_rel, at);
    }

    void watch_as_payload() { watch_.enable(); }

   private:
    friend struct ModelAtomics;

    static rl::debug_info info(const At& at) { return rl::debug_info(at.function_name(), at.file_name(), at.line()); }

    bool cas(T& expected, T desired, rl::memory_order order, const At& at) {
      const bool done = value_.compare_exchange(rl::bool_t<true>(), expected, desired, order, rl::mo_relaxed, info(at));
      PayloadWatch::reads_count(done);
      return done;
    }

    mutable rl::atomic<T> value_;
    mutable PayloadWatch watch_;
    StoreOrder order_{std::is_pointer_v<T>};  // links have one writer at a time
  };

  using Cell = rl::var<std::uint64_t>;  // eight bytes of payload

  static void copy_in(void* slot, const void* from, std::size_t bytes) {
    auto* cells = static_cast<Cell*>(slot);
    for (std::size_t i = 0; i < bytes / 8; ++i) {
      std::uint64_t value;
      std::memcpy(&value, static_cast<const std::byte*>(from) + i * 8, 8);
      cells[i](RL_INFO) = value;
    }
  }
  static void copy_out(void* to, const void* slot, std::size_t bytes) {
    const auto* cells = static_cast<const Cell*>(slot);
    for (std::size_t i = 0; i < bytes / 8; ++i) {
      const std::uint64_t value = cells[i](RL_INFO);
      std::memcpy(static_cast<std::byte*>(to) + i * 8, &value, 8);
    }
  }

  static void pause() { rl::yield(1, RL_INFO); }
  static void fence_light() { rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO); }
  static void fence_heavy() { rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO); }

  // Time stands still but for sleepers that time out; a suite sets it to 0 at the start of each execution.
  static inline std::uint64_t now_ns = 0;
  static std::uint64_t monotonic_ns() { return now_ns; }

  // A futex: compares and goes to sleep in one step. Nobody wakes a sleeper for nothing in the exhaustive search, where
  // each chance to do so would multiply the executions; in the random search anybody may.
  static void park(const Atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) {
    rl::context& context = rl::ctx();
    context.sched();
    if (word.value_.debug_value() != expected) return;
    const bool timed = timeout_ns != kNoDeadline;
    const std::uint64_t until = now_ns + timeout_ns;
    const rl::unpark_reason why = word.value_.wait(context, timed, context.is_random_sched(), RL_INFO);
    if (timed && why == rl::unpark_reason_timeout) now_ns = std::max(now_ns, until);
  }
  static void unpark(const Atomic<std::uint32_t>& word) {
    rl::context& context = rl::ctx();
    context.sched();
    word.value_.wake(context, 1, RL_INFO);
  }
};

}  // namespace rk::model
