// Batches of 32 messages of 8 bytes: spans filled and read in place, against the batch verbs of a copying ring.
//
//   span/8/<contender>    ns per message
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "spsc_queues.h"
#include "support.h"

namespace rk::bench {
namespace {

constexpr std::uint64_t kBatch = 32;
using Word = Message<8>;

// Reads `kWanted` messages at most in one span.
template <Wait kWait, std::uint64_t kWanted>
class RkSpans {
 public:
  static std::string name() {
    return RkSpsc<Word, kLayoutPacked, kWait>::name() + " spans of " + std::to_string(kWanted);
  }

  // Messages first, first + 1, ... as many as fit and are wanted.
  std::uint64_t try_push(std::uint64_t first, std::uint64_t wanted) {
    const auto span = queue_.ring().try_claim_span(wanted);
    for (std::uint64_t i = 0; i < span.size(); ++i) span[i].word[0] = first + i;
    if (!span.empty()) queue_.ring().publish(span.size());
    return span.size();
  }

  template <class Use>
  void try_consume(Use&& use) {
    const auto span = queue_.ring().try_peek_span(kWanted);
    if (span.empty()) return;
    for (const Word& message : span) use(message);
    queue_.ring().release(span.size());
  }

 private:
  RkSpsc<Word, kLayoutPacked, kWait> queue_;
};

#if RK_BENCH_BOOST
class BoostBatches {
 public:
  static std::string name() { return "boost::spsc_queue push(n), consume_all"; }

  std::uint64_t try_push(std::uint64_t first, std::uint64_t wanted) {
    Batch& next = ahead_[(first / kBatch + kAhead) % ahead_.size()];
    for (std::uint64_t i = 0; i < kBatch; ++i) next[i].word[0] = first + kAhead * kBatch + i;
    const Batch& batch = ahead_[first / kBatch % ahead_.size()];
    return queue_.queue().push(&batch[first % kBatch], std::min(wanted, kBatch - first % kBatch));
  }

  template <class Use>
  void try_consume(Use&& use) {
    queue_.queue().consume_all(use);
  }

 private:
  using Batch = std::array<Word, kBatch>;
  static constexpr std::uint64_t kAhead = 2;  // batches are made ahead, as Feed does

  static std::array<Batch, 2 * kAhead> first_batches() {
    std::array<Batch, 2 * kAhead> batches{};
    for (std::uint64_t i = 0; i < 2 * kAhead * kBatch; ++i) batches[i / kBatch][i % kBatch].word[0] = i;
    return batches;
  }

  BoostSpsc<Word> queue_;
  alignas(128) std::array<Batch, 2 * kAhead> ahead_ = first_batches();
};
#endif

// The producer sends until its time is over; then `end` tells how many messages there are.
template <class Queue>
Nanoseconds transfer(benchmark::State& state) {
  const auto queue = std::make_unique<Queue>();
  alignas(128) std::atomic<std::uint64_t> end{~std::uint64_t{0}};
  alignas(128) std::uint64_t expected = 0, wrong = 0;
  partner().start([&] {
    std::uint64_t sent = 0;
    const auto send = [&] { sent += queue->try_push(sent, kBatch - sent % kBatch); };
    while (sent < kWarmUp) send();
    const std::uint64_t until = ticks() + to_ticks(cell_ns());
    for (std::uint64_t calls = 0; calls % 64 != 0 || ticks() < until; ++calls) send();
    end.store(sent, std::memory_order_release);
  });
  const auto take = [&expected, &wrong](const Word& message) { wrong |= message.word[0] ^ expected++; };
  while (expected < kWarmUp) queue->try_consume(take);
  const std::uint64_t warm = expected;
  const CpuWatch watch;
  while (expected != end.load(std::memory_order_acquire)) queue->try_consume(take);
  const CpuUse used = watch.use();
  partner().join();
  report_cpu(state, used);
  report_cpu(state, partner().use());
  if (wrong != 0) state.SkipWithError("messages lost, repeated, changed or out of order");
  return used.elapsed() / static_cast<double>(expected - warm);
}

template <class Queue>
void add() {
  add_cell("span/8/" + Queue::name(), transfer<Queue>);
}

void add_cells() {
  add<RkSpans<Wait::kThroughput, kBatch>>();
  add<RkSpans<Wait::kBalanced, kBatch>>();
  add<RkSpans<Wait::kThroughput, kCapacity>>();
#if RK_BENCH_BOOST
  add<BoostBatches>();
#endif
}

}  // namespace
}  // namespace rk::bench

int main(int argc, char** argv) { return rk::bench::run(argc, argv, rk::bench::add_cells); }
