// Many producers, one consumer. With more producers than one, they share the first core: what is measured there is how
// a queue stands producers that are preempted. Producers that really run at once are measured by `fill`: two of them on
// two cores fill a queue that is large enough for everything, and it is drained afterwards.
//
// A queue that gives a slot twice because a producer slept between its ticket and its store reorders messages; its row
// says so (`reordered`).
//
//   <n> producers/<bytes>/<contender>    ns per message
//   fill/<bytes>/<contender>             ns per message of both producers together
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mpsc_queues.h"
#include "support.h"
#include "wait_loops.h"

namespace rk::bench {
namespace {

constexpr std::uint32_t kMostProducers = 4;

template <class T>
class Checks {
 public:
  void see(const T& message) {
    Check<T>& check = checks_[message.stream() % kMostProducers];
    check.see(message);
    ++seen_;
    if (!message.last()) return;
    ++ended_;
    sent_ += message.position() + 1;
  }
  std::uint64_t seen() const { return seen_; }
  bool all_of(std::uint32_t producers) const { return ended_ == producers && seen_ == sent_; }
  void report_all(benchmark::State& state) const {
    for (const auto& check : checks_) {
      if (check.seen() != 0) report(state, check);
    }
  }

 private:
  std::array<Check<T>, kMostProducers> checks_{Check<T>(0), Check<T>(1), Check<T>(2), Check<T>(3)};
  std::uint64_t seen_ = 0, sent_ = 0;
  std::uint32_t ended_ = 0;
};

template <class T, class Producer>
void produce(Producer& producer, std::uint32_t stream, std::uint64_t until, Spin spin) {
  Feed<T> feed(stream);
  const auto send = [&](std::uint64_t messages) {
    for (std::uint64_t i = 0; i < messages; ++i) push(producer, feed.next(), spin);
  };
  for (send(kWarmUp); ticks() < until;) send(512);
  feed.end_soon();
  send(Feed<T>::kToEnd);
}

std::vector<std::unique_ptr<Worker>>& producers_on_first_core() {
  static std::vector<std::unique_ptr<Worker>> workers = [] {
    std::vector<std::unique_ptr<Worker>> made;
    for (std::uint32_t i = 0; i < kMostProducers; ++i) made.push_back(std::make_unique<Worker>(kFirstCore));
    return made;
  }();
  return workers;
}

template <class T, class Queue>
Nanoseconds transfer(benchmark::State& state, std::uint32_t producers, Spin spin) {
  const auto queue = std::make_unique<Queue>(producers, kCapacity);
  std::vector<typename Queue::Producer> handles;
  for (std::uint32_t i = 0; i < producers; ++i) handles.push_back(queue->producer());
  // Long enough for every producer to get the core a few times.
  const std::uint64_t until = ticks() + to_ticks(cell_ns() * (producers > 1 ? 4 : 1));
  auto& workers = producers_on_first_core();
  for (std::uint32_t i = 0; i < producers; ++i) {
    workers[i]->start([&handle = handles[i], i, until, spin] { produce<T>(handle, i, until, spin); });
  }
  Checks<T> checks;
  const auto take = [&checks](const T& message) { checks.see(message); };
  while (checks.seen() < kWarmUp) consume(*queue, take, spin);
  const CpuWatch watch;
  while (!checks.all_of(producers)) consume(*queue, take, spin);
  const CpuUse used = watch.use();
  for (std::uint32_t i = 0; i < producers; ++i) workers[i]->join();
  CpuUse all = workers[0]->use();
  for (std::uint32_t i = 1; i < producers; ++i) all += workers[i]->use();
  report_cpu(state, used);
  report_cpu(state, all);
  checks.report_all(state);
  return used.elapsed() / static_cast<double>(checks.seen() - kWarmUp);
}

constexpr std::uint64_t kFill = 16'384;  // messages of each producer

// The first round touches the memory, the second is timed.
template <class T, class Queue>
Nanoseconds fill(benchmark::State& state, Spin spin) {
  const auto queue = std::make_unique<Queue>(2, kFill);
  std::array<typename Queue::Producer, 2> handles{queue->producer(), queue->producer()};
  std::array<Feed<T>, 2> feeds{Feed<T>(0), Feed<T>(1)};
  std::array<CpuUse, 2> used;
  Checks<T> checks;
  const auto take = [&checks](const T& message) { checks.see(message); };
  for (int round = 0; round < 2; ++round) {
    StartLine line;
    const auto run = [&](std::size_t i) {
      line.wait();
      const CpuWatch watch;
      for (std::uint64_t n = 0; n < kFill; ++n) push(handles[i], feeds[i].next(), spin);
      used[i] = watch.use();
    };
    partner().start([&run] { run(0); });
    run(1);
    partner().join();
    for (std::uint64_t n = 0; n < 2 * kFill; ++n) consume(*queue, take, spin);
  }
  checks.report_all(state);
  report_cpu(state, used[0]);
  report_cpu(state, used[1]);
  return (used[0] += used[1]).elapsed() / (2 * kFill);
}

template <std::size_t Bytes>
void add_cells_of() {
  using T = Message<Bytes>;
  const std::string size = "/" + std::to_string(Bytes) + "/";
  for (const std::uint32_t producers : {1u, 2u, kMostProducers}) {
    const std::string name = std::to_string(producers) + (producers == 1 ? " producer" : " producers") + size;
    for_each_mpsc_queue<T>([&]<class Queue>(Spin spin) {
      add_cell(name + name_of<Queue>(spin),
               [producers, spin](benchmark::State& state) { return transfer<T, Queue>(state, producers, spin); });
    });
  }
  for_each_mpsc_queue<T>([&]<class Queue>(Spin spin) {
    if (spin == Spin::kPause) return;  // nothing waits
    add_cell("fill" + size + name_of<Queue>(spin),
             [spin](benchmark::State& state) { return fill<T, Queue>(state, spin); });
  });
}

void add_cells() {
  add_cells_of<8>();
  add_cells_of<64>();
  add_cells_of<256>();
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
