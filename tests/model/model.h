// One model: a relacy test suite with a name, searched exhaustively up to a number of preemptions and then at random.
#pragma once

#include "model_atomics.h"
#include "relacy_api.h"

namespace rk::model {

// A heavy model has too many executions and is searched with one preemption less.
enum class Weight { kLight, kHeavy };

struct Model {
  const char* name;
  Weight weight;
  rl::test_result_e (*search)(rl::test_params& params);
};

inline std::vector<Model>& models() {
  static std::vector<Model> all;
  return all;
}

template <class Suite, class Scheduler>
rl::test_result_e search_with(rl::test_params& params) {
  rl::ostringstream state;
  const rl::test_result_e result = rl::run_test<Suite, Scheduler>(params, state, false);
  params.final_state = state.str();
  return result;
}

template <class Suite>
rl::test_result_e search(rl::test_params& params) {
  constexpr rl::thread_id_t kThreads = Suite::params::thread_count;
  return params.search_type == rl::sched_random ? search_with<Suite, rl::random_scheduler<kThreads>>(params)
                                                : search_with<Suite, rl::context_bound_scheduler<kThreads>>(params);
}

template <class Suite>
struct Register {
  explicit Register(const char* name, Weight weight = Weight::kLight) {
    models().push_back({name, weight, &search<Suite>});
  }
};

// While it lives, memory comes from the plain heap: relacy would try every order of reuse, which is not our question.
class PlainHeap {
 public:
  PlainHeap() { ++Open::count(rl::ctx()); }
  ~PlainHeap() { --Open::count(rl::ctx()); }
  PlainHeap(const PlainHeap&) = delete;
  PlainHeap& operator=(const PlainHeap&) = delete;

 private:
  struct Open : rl::context {
    static int& count(rl::context& context) { return context.*&Open::disable_alloc_; }
  };
};

// What the threads of a suite share. On a heap of its own, because relacy places suites without regard to alignment.
template <class T>
class Shared {
 public:
  Shared() {
    PlainHeap heap;
    memory_ = std::aligned_alloc(kAlign, (sizeof(T) + kAlign - 1) / kAlign * kAlign);
    it_ = new (memory_) T;
  }
  ~Shared() {
    PlainHeap heap;
    it_->~T();
    std::free(memory_);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* operator->() { return it_; }
  T& operator*() { return *it_; }

 private:
  static constexpr std::size_t kAlign = std::max<std::size_t>(alignof(T), 16);

  void* memory_;
  T* it_;
};

}  // namespace rk::model
