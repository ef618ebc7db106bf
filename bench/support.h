// What every scenario shares: cells, the line floor, a watchdog and main.
//
// A cell is one measurement of one contender, called `<case>/<contender>`. It runs for a fixed time (RK_BENCH_CELL_MS,
// 5 ms unless set) and reports nanoseconds per operation; Google Benchmark repeats the cells and shuffles them. Our own
// contenders are called "rk ...". No wait loop has a way out of its own, because that would be timed: the watchdog ends
// the process when a cell does not end.
#pragma once

#include <benchmark/benchmark.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"
#include "cores.h"
#include "ringkernel/core/atomics.h"

namespace rk::bench {

inline void pause() { StdAtomics::pause(); }

// How a caller waits: peers are measured both ways, and the better one counts.
enum class Spin { kBare, kPause };

inline Nanoseconds cell_ns() {
  static const char* ms = std::getenv("RK_BENCH_CELL_MS");
  return (ms != nullptr ? std::atof(ms) : 5.0) * 1e6;
}

inline void start_watchdog() {
  signal(SIGALRM, [](int) {
    constexpr char kText[] = "benchmark: a cell did not end within 30 s\n";
    if (write(STDERR_FILENO, kText, sizeof kText - 1) >= 0) _exit(3);
    _exit(4);
  });
  alarm(30);
}

// Samples of the floor of everything that crosses cores: one line, written by both sides in turn. In ticks.
inline std::vector<std::uint32_t> line_round_trips(std::uint64_t trips, Spin spin) {
  struct alignas(128) Line {
    std::atomic<std::uint64_t> value{0};
    void wait_for(std::uint64_t wanted, Spin spin) const {
      while (value.load(std::memory_order_acquire) != wanted) {
        if (spin == Spin::kPause) pause();
      }
    }
  } line;
  partner().start([&line, trips, spin] {
    for (std::uint64_t i = 1; i < 2 * trips; i += 2) {
      line.wait_for(i, spin);
      line.value.store(i + 1, std::memory_order_release);
    }
  });
  std::vector<std::uint32_t> samples(trips);
  std::uint64_t before = ticks();
  for (std::uint64_t i = 0; i < trips; ++i) {
    line.value.store(2 * i + 1, std::memory_order_release);
    line.wait_for(2 * i + 2, spin);
    const std::uint64_t now = ticks();
    samples[i] = static_cast<std::uint32_t>(now - before);
    before = now;
  }
  partner().join();
  return samples;
}

// Reports the median as the cell's time.
inline Nanoseconds report_percentiles(benchmark::State& state, std::vector<std::uint32_t> samples) {
  std::sort(samples.begin(), samples.end());
  state.counters["p99"] = percentile(samples, 0.99);
  state.counters["p99.9"] = percentile(samples, 0.999);
  return percentile(samples, 0.5);
}

// A virtual machine's cores are moved between cells: the floor at the moment tells which cells can be compared.
inline void report_floor(benchmark::State& state) {
  std::vector<std::uint32_t> samples = line_round_trips(300, Spin::kBare);
  std::sort(samples.begin(), samples.end());
  state.counters["floor"] = percentile(samples, 0.5);
}

// `cpu` is the share of the time in which a side really had its core, of the side that had it less: when somebody else
// ran there, the repetition says little.
inline void report_cpu(benchmark::State& state, const CpuUse& use) {
  const auto found = state.counters.find("cpu");
  state.counters["cpu"] = found == state.counters.end() ? use.share() : std::min(found->second.value, use.share());
}

// `measure(state)` returns nanoseconds per operation.
template <class Measure>
void add_cell(const std::string& name, Measure measure) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [measure](benchmark::State& state) {
        for (auto _ : state) {
          start_watchdog();
          report_floor(state);
          const std::uint64_t start = ticks();
          state.SetIterationTime(measure(state) * 1e-9);
          // The kernel stops real-time threads that use more than 95 % of a second.
          if (real_time())
            std::this_thread::sleep_for(std::chrono::nanoseconds(static_cast<long>(to_ns(ticks() - start))));
        }
      })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kNanosecond);
}

inline int run(int argc, char** argv, void (*add_cells)()) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  partner();
  settle_on(kSecondCore);
  benchmark::AddCustomContext("pinned", core_number(kFirstCore) >= 0 ? "yes" : "no");
  benchmark::AddCustomContext("real_time", real_time() ? "yes" : "no");
  const auto floor = [](Spin spin) {
    return [spin](auto& state) { return report_percentiles(state, line_round_trips(5000, spin)); };
  };
  add_cell("floor/one line", floor(Spin::kBare));
  add_cell("floor/one line +pause", floor(Spin::kPause));
  add_cells();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace rk::bench
