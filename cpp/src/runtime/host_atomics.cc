#include "ringkernel/runtime/host_atomics.h"

#include <ctime>

#include "ringkernel/core/parking.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace rk {
namespace {

timespec to_timespec(std::uint64_t ns) {
  return timespec{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

#if defined(__linux__) && !defined(RK_TSAN)
bool register_membarrier() { return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0; }
#else
bool register_membarrier() { return false; }
#endif

}  // namespace

const bool HostAtomics::asymmetric_ = register_membarrier();

void HostAtomics::fence_heavy() {
  StdAtomics::fence_heavy();
#if defined(__linux__)
  if (asymmetric_) syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
#endif
}

std::uint64_t HostAtomics::monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

#if defined(__linux__)

void HostAtomics::park(const Atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) {
  const timespec timeout = to_timespec(timeout_ns);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == kNoDeadline ? nullptr : &timeout, nullptr, 0);
}

void HostAtomics::unpark(const Atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

#else  // no futex: look again every 100 us

void HostAtomics::park(const Atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_ns) {
  if (word.load_relaxed() != expected) return;  // W1 the caller looks again
  const timespec nap = to_timespec(timeout_ns < 100'000 ? timeout_ns : 100'000);
  nanosleep(&nap, nullptr);
}

void HostAtomics::unpark(const Atomic<std::uint32_t>&) {}

#endif

}  // namespace rk
