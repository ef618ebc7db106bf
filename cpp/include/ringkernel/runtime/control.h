// Typed access to the control block: each word atomically, each line by its writer.
//
// Edges
//   K1  host line -> device   a request and what was prepared for it
//   K2  device line -> host   an answer and what the loop did before it
//   S   counters
#pragma once

#include <atomic>
#include <cstdint>

#include "ringkernel/abi/control_block.h"
#include "ringkernel/abi/telemetry_block.h"

namespace rk {

// ControlBlock::should_terminate
enum : std::uint32_t { kTerminateNo = 0, kTerminateAfterDrain = 1, kTerminateNow = 2 };

template <class T>
T load_acquire(const T& word) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_acquire);
}
template <class T>
T load_relaxed(const T& word) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_relaxed);
}
template <class T>
void store_release(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}
template <class T>
void store_relaxed(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_relaxed);
}

}  // namespace rk
