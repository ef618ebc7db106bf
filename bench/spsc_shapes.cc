// One message per call over four load shapes and four sizes. The shapes, more than the sizes, tell rings apart: a
// consumer that is a little faster than its producer makes most of them many times slower.
//
//   <shape>/<bytes>/<contender>    ns per message
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "spsc_queues.h"
#include "support.h"

namespace rk::bench {
namespace {

// A chain of multiplications that takes about `ns`.
class Work {
 public:
  explicit Work(Nanoseconds ns) : steps_(ns > 0 ? static_cast<std::uint32_t>(ns / step_ns() + 0.5) : 0) {}

  void operator()() {
    for (std::uint32_t i = 0; i < steps_; ++i) step();
  }

 private:
  void step() {
    value_ *= 0x9E3779B97F4A7C15u;
    asm volatile("" : "+r"(value_));
  }

  // The best of a few: somebody else may have the core for a while.
  static Nanoseconds step_ns() {
    static const Nanoseconds found = [] {
      constexpr std::uint32_t kSteps = 200'000;
      Nanoseconds best = 1e9;
      for (int i = 0; i < 9; ++i) {
        Work work(kSteps, 0);
        const std::uint64_t start = ticks();
        work();
        best = std::min(best, to_ns(ticks() - start) / kSteps);
      }
      return best;
    }();
    return found;
  }

  Work(std::uint32_t steps, int) : steps_(steps) {}

  std::uint32_t steps_;
  std::uint64_t value_ = 1;
};

struct Shape {
  const char* name;
  Nanoseconds producer_work, consumer_work;
};

constexpr Shape kShapes[] = {
    {"balanced", 0, 0}, {"slow producer", 8.5, 0}, {"slower producer", 42, 0}, {"slow consumer", 0, 8.5}};

template <class T, class Queue>
void produce(Queue& queue, Work work, Spin spin) {
  Feed<T> feed;
  const auto send = [&](std::uint64_t messages) {
    for (std::uint64_t i = 0; i < messages; ++i) {
      work();
      push(queue, feed.next(), spin);
    }
  };
  send(kWarmUp);
  for (const std::uint64_t until = ticks() + to_ticks(cell_ns()); ticks() < until;) send(1024);
  feed.end_soon();
  send(Feed<T>::kToEnd);
}

template <class T, class Queue>
Nanoseconds transfer(benchmark::State& state, const Shape& shape, Spin spin) {
  const auto queue = std::make_unique<Queue>();
  partner().start([&] { produce<T>(*queue, Work(shape.producer_work), spin); });
  Check<T> check;
  Work work(shape.consumer_work);
  const auto take = [&](const T& message) { check.see(message); };
  const auto next = [&] {
    consume(*queue, take, spin);
    work();
  };
  while (check.seen() < kWarmUp) next();
  const CpuWatch watch;
  while (!check.last()) next();
  const CpuUse used = watch.use();
  partner().join();
  report_cpu(state, used);
  report_cpu(state, partner().use());
  report(state, check);
  return used.elapsed() / static_cast<double>(check.seen() - kWarmUp);
}

template <std::size_t Bytes>
void add_cells_of(const Shape& shape) {
  using T = Message<Bytes>;
  const std::string where = std::string(shape.name) + "/" + std::to_string(Bytes) + "/";
  const auto add = [&]<class Queue>(Spin spin) {
    add_cell(where + name_of<Queue>(spin),
             [shape, spin](benchmark::State& state) { return transfer<T, Queue>(state, shape, spin); });
  };
  add.template operator()<RkSpsc<T, kLayoutPacked, Wait::kThroughput>>(Spin::kBare);
  add.template operator()<RkSpsc<T, kLayoutPacked, Wait::kBalanced>>(Spin::kBare);
  if constexpr (Bytes <= 56) add.template operator()<RkSpsc<T, kLayoutTurn, Wait::kBalanced>>(Spin::kBare);
  for_each_spsc_peer<T>(add);
}

void add_cells() {
  for (const Shape& shape : kShapes) {
    add_cells_of<8>(shape);
    add_cells_of<56>(shape);
    add_cells_of<64>(shape);
    add_cells_of<256>(shape);
  }
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
