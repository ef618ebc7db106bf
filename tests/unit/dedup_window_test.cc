#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <random>
#include <unordered_set>

#include "ringkernel/core/dedup_window.h"

namespace rk {
namespace {

constexpr std::uint64_t kMax = ~std::uint64_t{0};

// What the window should do, as its description says it.
class Model {
 public:
  explicit Model(std::size_t capacity) : capacity_(capacity) {}

  bool seen_before(std::uint64_t id) {
    if (capacity_ == 0) return false;
    if (known_.contains(id)) return true;
    if (order_.size() == capacity_) {
      known_.erase(order_.front());
      order_.pop_front();
    }
    known_.insert(id);
    order_.push_back(id);
    return false;
  }

  std::size_t size() const { return order_.size(); }

 private:
  std::size_t capacity_;
  std::deque<std::uint64_t> order_;
  std::unordered_set<std::uint64_t> known_;
};

class Pair {
 public:
  explicit Pair(std::uint32_t capacity) : window_(capacity), model_(capacity) {}

  void see(std::uint64_t id) {
    ASSERT_EQ(window_.seen_before(id), model_.seen_before(id)) << "id " << id << ", the " << ++steps_ << "th";
    ASSERT_EQ(window_.size(), model_.size());
  }

 private:
  DedupWindow window_;
  Model model_;
  int steps_ = 0;
};

class Dedup : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Capacity, Dedup, testing::Values(0, 1, 2, 3, 5, 64, 1000));

TEST_P(Dedup, agrees_with_the_model_on_random_ids) {
  std::mt19937_64 random(GetParam());
  // About as many ids as places: most of them come again, just before or just after they are forgotten.
  for (const std::uint64_t range :
       {std::uint64_t{1}, std::uint64_t{GetParam()} + 1, std::uint64_t{3} * GetParam() + 1}) {
    for (const std::uint64_t stride : {std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{1} << 52, kMax}) {
      Pair pair(GetParam());
      for (int i = 0; i < 20'000 && !HasFatalFailure(); ++i) pair.see(random() % range * stride);
    }
  }
}

TEST_P(Dedup, an_id_is_remembered_for_exactly_the_window) {
  const std::uint64_t capacity = GetParam();
  if (capacity == 0) return;
  DedupWindow window(GetParam());
  for (std::uint64_t id = 0; id < 5 * capacity; ++id) {
    ASSERT_FALSE(window.seen_before(id)) << "no id came twice";
    // Asking again neither inserts nor makes it younger.
    ASSERT_TRUE(window.seen_before(id));
    ASSERT_TRUE(window.seen_before(id - std::min(id, capacity - 1))) << "the oldest one that is kept";
  }
  EXPECT_EQ(window.size(), capacity);
  for (std::uint64_t id = 4 * capacity; id < 5 * capacity; ++id) EXPECT_TRUE(window.seen_before(id));
  EXPECT_FALSE(window.seen_before(4 * capacity - 1)) << "one too old";
}

TEST_P(Dedup, clear_forgets_everything) {
  DedupWindow window(GetParam());
  for (std::uint64_t id = 0; id < 2 * GetParam(); ++id) window.seen_before(id);
  window.clear();
  EXPECT_EQ(window.size(), 0u);
  for (std::uint64_t id = 0; id < 2 * GetParam(); ++id) EXPECT_FALSE(window.seen_before(id));
}

// All strings of ids, 0 among them, through windows in which clusters wrap around the table's end.
TEST(DedupExhaustive, every_string_of_ids) {
  constexpr std::uint64_t kIds[] = {0, 1, kMax, std::uint64_t{1} << 63, 7};
  constexpr int kLength = 7;
  for (std::uint32_t capacity = 1; capacity <= 4; ++capacity) {
    for (unsigned code = 0; code < 78'125; ++code) {
      Pair pair(capacity);
      unsigned rest = code;
      for (int i = 0; i < kLength; ++i, rest /= 5) pair.see(kIds[rest % 5]);
      ASSERT_FALSE(HasFatalFailure()) << "capacity " << capacity << ", ids, first in the low digit, base 5: " << code;
    }
  }
}

TEST(DedupLong, a_window_in_use_for_long_still_knows_what_it_holds) {
  Pair pair(100);
  std::mt19937_64 random(1);
  for (std::uint64_t i = 0; i < 300'000 && !testing::Test::HasFatalFailure(); ++i) {
    pair.see(i % 3 == 0 ? random() : i / 2);
  }
}

}  // namespace
}  // namespace rk
