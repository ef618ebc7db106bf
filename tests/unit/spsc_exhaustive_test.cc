// Every string of operations up to a length, on tiny rings, against a std::deque.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "spsc_against_deque.h"

namespace rk {
namespace {

using namespace test;

#if defined(RK_SLOW_BUILD)
constexpr unsigned kShorter = 1;
#else
constexpr unsigned kShorter = 0;
#endif

std::string spelled(const std::vector<Op>& ops) {
  static constexpr const char* kNames[kOpCount] = {"push", "pop",      "claim",   "abandon",    "push_many",   "peek",
                                                   "look", "pop_many", "consume", "exact_room", "drop_newest", "close"};
  std::string text;
  for (Op op : ops) text += std::string(kNames[op]) + " ";
  return text;
}

// Calls `run` with every string of `length` operations; false stops.
template <class Run>
void for_every_string(const std::vector<Op>& alphabet, std::size_t length, Run&& run) {
  std::vector<std::size_t> digits(length, 0);
  std::vector<Op> ops(length);
  for (bool more = true; more;) {
    for (std::size_t i = 0; i < length; ++i) ops[i] = alphabet[digits[i]];
    if (!run(ops)) return;
    more = false;
    for (std::size_t i = 0; i < length && !more; ++i) {
      digits[i] = (digits[i] + 1) % alphabet.size();
      more = digits[i] != 0;
    }
  }
}

class SpscStrings : public testing::TestWithParam<std::tuple<std::uint64_t, std::uint32_t, std::uint64_t>> {
 protected:
  void try_all(const std::vector<Op>& alphabet, std::size_t length) {
    const auto [capacity, layout, interval] = GetParam();
    RingMemory memory(capacity, 8, layout);
    for_every_string(alphabet, length, [&, interval = interval](const std::vector<Op>& ops) {
      memory.clear();
      SpscAgainstDeque pair(memory, interval);
      for (Op op : ops) {
        pair.apply(op);
        pair.check();
      }
      pair.drain();
      pair.check();
      EXPECT_FALSE(HasFailure()) << spelled(ops);
      return !HasFailure();
    });
  }
};

TEST_P(SpscStrings, of_all_operations_behave_like_a_queue) {
  std::vector<Op> all;
  for (unsigned op = 0; op < kOpCount; ++op) all.push_back(static_cast<Op>(op));
  try_all(all, 5 - kShorter);
}

TEST_P(SpscStrings, that_go_round_more_often_behave_like_a_queue) {
  try_all({kPush, kPop, kPushMany, kPopMany, kExactRoom}, 7 - 2 * kShorter);
}

INSTANTIATE_TEST_SUITE_P(TinyRings, SpscStrings,
                         testing::Combine(testing::Values(1, 2, 4), testing::Values(kLayoutPacked, kLayoutTurn),
                                          testing::Values(0, 1, 2, 4)),
                         [](const auto& info) {
                           return "capacity_" + std::to_string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) == kLayoutTurn ? "_turn" : "_packed") + "_progress_" +
                                  std::to_string(std::get<2>(info.param));
                         });

}  // namespace
}  // namespace rk
