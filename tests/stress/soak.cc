// Graphs for a long time, and what they leave behind: threads, descriptors, memory.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "stress.h"

namespace rk::stress {
namespace {

using Clock = std::chrono::steady_clock;

struct Usage {
  std::size_t threads = 0, descriptors = 0, resident = 0;  // bytes

  static std::size_t entries(const char* folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }

  // Threads that were told to end may need a moment for it.
  static Usage now(std::size_t expected_threads = 0) {
    for (int tries = 0; entries("/proc/self/task") > expected_threads && tries < 1000 && expected_threads != 0; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
    Usage usage{entries("/proc/self/task"), entries("/proc/self/fd"), 0};
    std::ifstream statm("/proc/self/statm");
    statm >> usage.resident >> usage.resident;
    usage.resident *= static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return usage;
  }

  void print(const char* when) const {
    std::printf("soak: %s: %zu threads, %zu descriptors, %.1f MiB resident\n", when, threads, descriptors,
                static_cast<double>(resident) / 1048576);
    std::fflush(stdout);
  }
};

bool same_as_before(const Usage& before, const Usage& after) {
  const std::size_t margin = std::max<std::size_t>(before.resident / 10, 8u << 20);
  const bool memory = after.resident <= before.resident + margin;
  if (after.threads > before.threads) std::printf("soak: threads were left behind\n");
  if (after.descriptors > before.descriptors) std::printf("soak: descriptors were left open\n");
  if (!memory) std::printf("soak: memory grew by more than %zu MiB\n", margin >> 20);
  return after.threads <= before.threads && after.descriptors <= before.descriptors && memory;
}

}  // namespace

bool soak(std::uint64_t seconds, std::uint64_t seed) {
  std::printf("soak: %llu s of graphs from --seed %llu\n", static_cast<unsigned long long>(seconds),
              static_cast<unsigned long long>(seed));
  const std::size_t threads = Usage::entries("/proc/self/task");
  const auto start = Clock::now(), warm = start + std::chrono::milliseconds(seconds * 200);
  const auto end = start + std::chrono::seconds(seconds);
  Usage before;
  Tally total;
  std::uint64_t graphs = 0;
  for (; total.clean() && (Clock::now() < end || before.threads == 0); ++graphs) {
    total += graph(seed + graphs, 2000);
    if (before.threads != 0 || Clock::now() < warm) continue;
    before = Usage::now(threads);
    before.print("warm");
  }
  const Usage after = Usage::now(threads);
  after.print("end");
  std::printf("soak: %llu graphs, %llu messages, %llu lost, %llu duplicated, %llu wrong\n",
              static_cast<unsigned long long>(graphs), static_cast<unsigned long long>(total.messages),
              static_cast<unsigned long long>(total.lost), static_cast<unsigned long long>(total.duplicated),
              static_cast<unsigned long long>(total.corrupt));
  return same_as_before(before, after) && total.clean();
}

}  // namespace rk::stress
