#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ringkernel/runtime/dead_letters.h"

namespace rk {
namespace {

using Sequences = std::vector<u64>;
constexpr auto kReasons = static_cast<std::size_t>(DeadLetterReason::kCount);

#if defined(RK_SLOW_BUILD)
constexpr int kMany = 100'000;
#else
constexpr int kMany = 1'000'000;
#endif

Sequences sequences_of(const std::vector<DeadLetter>& letters) {
  Sequences found;
  for (const DeadLetter& letter : letters) found.push_back(letter.sequence);
  return found;
}

Sequences from_to(u64 first, u64 last) {
  Sequences made(last - first + 1);
  std::iota(made.begin(), made.end(), first);
  return made;
}

std::vector<std::byte> bytes_of(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + seed);
  return bytes;
}

// Everything about letter `n` follows from n.
u64 add(DeadLetters& letters, u64 n) {
  MessageHeader header{};
  header.message_id = n * 10;
  const auto payload = bytes_of(n % 50, static_cast<unsigned>(n));
  return letters.add(static_cast<DeadLetterReason>(n % kReasons), HlcTimestamp{n, 1, 2}, header, payload,
                     "kernel" + std::to_string(n % 3), "error " + std::to_string(n));
}

void expect_is(const DeadLetter& letter, u64 n) {
  EXPECT_EQ(letter.reason, static_cast<DeadLetterReason>(n % kReasons)) << n;
  EXPECT_EQ(letter.hlc.time, n);
  EXPECT_EQ(letter.header.message_id, n * 10);
  EXPECT_EQ(letter.payload, bytes_of(n % 50, static_cast<unsigned>(n))) << n;
  EXPECT_EQ(letter.kernel, "kernel" + std::to_string(n % 3));
  EXPECT_EQ(letter.error, "error " + std::to_string(n));
  EXPECT_FALSE(letter.truncated);
}

bool adds_up(const DeadLetterStats& stats) {
  return stats.total == stats.kept + stats.overwritten + stats.taken &&
         stats.total == std::accumulate(stats.by_reason.begin(), stats.by_reason.end(), u64{0});
}

TEST(DeadLetters, each_reason_has_a_name_of_its_own) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kReasons; ++i) names.insert(to_string(static_cast<DeadLetterReason>(i)));
  EXPECT_EQ(names.size(), kReasons);
  EXPECT_STREQ(to_string(DeadLetterReason::kHandlerFailed), "handler_failed");
  EXPECT_STREQ(to_string(DeadLetterReason::kHung), "hung");
  EXPECT_STREQ(to_string(DeadLetterReason::kBackPressure), "backpressure");
  EXPECT_STREQ(to_string(DeadLetterReason::kCount), "unknown");
}

class Wrapping : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Capacity, Wrapping, testing::Values(0, 1, 2, 3, 15, 16, 17, 40));

TEST_P(Wrapping, the_newest_are_kept_in_order) {
  const std::size_t capacity = GetParam();
  DeadLetters letters(capacity);
  for (u64 n = 1; n <= 100; ++n) {
    ASSERT_EQ(add(letters, n), n);
    const auto kept = letters.browse();
    const u64 oldest = n - std::min<u64>(n, capacity) + 1;
    ASSERT_EQ(sequences_of(kept), from_to(oldest, n));
    for (const DeadLetter& letter : kept) expect_is(letter, letter.sequence);
    const DeadLetterStats stats = letters.stats();
    ASSERT_TRUE(adds_up(stats));
    ASSERT_EQ(stats.kept, letters.size());
    ASSERT_EQ(stats.overwritten, oldest - 1);
  }
}

// Dead letters, and the sorted set of numbers that they should be.
class AgainstSet {
 public:
  AgainstSet(std::size_t capacity, u64 seed) : capacity_(capacity), letters_(capacity), random_(seed) {}

  void step() {
    switch (random_() % 6) {
      case 0:
        return take_some();
      case 1:
        return take_oldest(random_() % (capacity_ + 2));
      case 2:
        return put_back();
      default:
        model_.insert(add(letters_, ++last_));
        shrink();
    }
  }

  void check() const {
    const auto kept = letters_.browse();
    ASSERT_EQ(sequences_of(kept), Sequences(model_.begin(), model_.end()));
    for (const DeadLetter& letter : kept) expect_is(letter, letter.sequence);
    EXPECT_TRUE(adds_up(letters_.stats()));
    EXPECT_EQ(letters_.stats().overwritten, overwritten_);
    EXPECT_EQ(letters_.stats().taken, out_.size());
  }

 private:
  // A third of what is there, in any order, and some that is not, or is named twice.
  void take_some() {
    Sequences wanted{0, last_ + 1, last_ + 1, last_, last_};
    for (const u64 sequence : model_) {
      if (random_() % 3 == 0) wanted.push_back(sequence);
    }
    std::shuffle(wanted.begin(), wanted.end(), random_);
    Sequences expected;
    for (const u64 sequence : std::set<u64>(wanted.begin(), wanted.end())) {
      if (model_.erase(sequence) != 0) expected.push_back(sequence);
    }
    keep_out(letters_.take(wanted), expected);
  }

  void take_oldest(std::size_t max) {
    Sequences expected;
    for (; expected.size() < max && !model_.empty(); model_.erase(model_.begin())) expected.push_back(*model_.begin());
    keep_out(letters_.take(max), expected);
  }

  void keep_out(std::vector<DeadLetter> taken, const Sequences& expected) {
    ASSERT_EQ(sequences_of(taken), expected);
    for (const DeadLetter& letter : taken) expect_is(letter, letter.sequence);
    std::move(taken.begin(), taken.end(), std::back_inserter(out_));
  }

  void put_back() {
    std::shuffle(out_.begin(), out_.end(), random_);
    for (const DeadLetter& letter : out_) model_.insert(letter.sequence);
    shrink();
    letters_.put_back(std::exchange(out_, {}));
  }

  void shrink() {
    for (; model_.size() > capacity_; ++overwritten_) model_.erase(model_.begin());
  }

  const std::size_t capacity_;
  DeadLetters letters_;
  std::mt19937_64 random_;
  std::set<u64> model_;
  std::vector<DeadLetter> out_;
  u64 last_ = 0, overwritten_ = 0;
};

TEST_P(Wrapping, whatever_is_taken_put_back_and_added_in_whatever_order) {
  for (u64 seed = 0; seed < 20; ++seed) {
    AgainstSet pair(GetParam(), seed);
    for (int step = 0; step < 300; ++step) {
      pair.step();
      pair.check();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << step;
    }
  }
}

TEST(DeadLetters, browse_filters_before_it_counts) {
  DeadLetters letters(100);
  for (u64 n = 1; n <= 48; ++n) add(letters, n);
  EXPECT_EQ(sequences_of(letters.browse(2)), from_to(1, 2));
  EXPECT_TRUE(letters.browse(0).empty());
  EXPECT_EQ(sequences_of(letters.browse(2, {.reason = DeadLetterReason::kHung})), (Sequences{6, 14}));
  EXPECT_EQ(sequences_of(letters.browse(DeadLetters::kAll, {.reason = DeadLetterReason::kHung, .kernel = "kernel0"})),
            (Sequences{6, 30}));
  EXPECT_EQ(letters.browse(DeadLetters::kAll, {.kernel = "kernel1"}).size(), 16u);
  EXPECT_TRUE(letters.browse(DeadLetters::kAll, {.kernel = "kernel"}).empty()) << "the whole name";
  EXPECT_TRUE(letters.browse(DeadLetters::kAll, {.kernel = ""}).empty());
  EXPECT_EQ(letters.size(), 48u) << "a look removes nothing";
}

TEST(DeadLetters, without_capacity_they_are_counted_only) {
  DeadLetters letters(0);
  for (u64 n = 1; n <= 16; ++n) EXPECT_EQ(add(letters, n), n);
  EXPECT_TRUE(letters.browse().empty());
  EXPECT_TRUE(letters.take().empty());
  EXPECT_TRUE(letters.take(Sequences{1}).empty());
  const DeadLetterStats stats = letters.stats();
  EXPECT_EQ(stats.total, 16u);
  EXPECT_EQ(stats.overwritten, 16u);
  EXPECT_EQ(stats.by_reason[0], 2u);
  EXPECT_EQ(letters.memory_bytes(), 0u);
}

TEST(DeadLetters, the_first_kilobyte_of_a_payload_is_kept) {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{1024}}) {
    DeadLetters letters(4, limit);
    for (const std::size_t size : {std::size_t{0}, limit == 0 ? 0 : limit - 1, limit, limit + 1, 3 * limit + 5}) {
      const auto payload = bytes_of(size, 3);
      letters.add(DeadLetterReason::kHung, {}, {}, payload, "k", "");
      const DeadLetter letter = letters.browse().back();
      EXPECT_EQ(letter.truncated, size > limit) << size << " of " << limit;
      EXPECT_EQ(letter.payload, bytes_of(std::min(size, limit), 3)) << size << " of " << limit;
    }
  }
  EXPECT_EQ(DeadLetters(1).max_payload(), 1024u);
}

TEST(DeadLetters, a_long_error_is_cut_between_characters) {
  DeadLetters letters(1);
  const auto kept = [&](const std::string& text) {
    letters.add(DeadLetterReason::kHung, {}, {}, {}, "k", text);
    return letters.browse().back().error;
  };
  EXPECT_EQ(kept(std::string(512, 'x')), std::string(512, 'x'));
  EXPECT_EQ(kept(std::string(513, 'x')), std::string(512, 'x'));
  for (const std::string character : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x92\xA5"}) {
    for (std::size_t before = 500; before <= 513; ++before) {
      std::string expected(std::min<std::size_t>(before, 512), 'x');
      std::string text(before, 'x');
      for (int i = 0; i < 10; ++i) {
        text += character;
        if (text.size() <= 512) expected = text;
      }
      EXPECT_EQ(kept(text), expected) << before;
    }
  }
  EXPECT_GE(kept(std::string(600, '\x80')).size(), 509u) << "no UTF-8 at all";
}

TEST(DeadLetters, a_slot_keeps_nothing_of_the_letter_before) {
  DeadLetters letters(1);
  letters.add(DeadLetterReason::kHung, {9, 9, 9}, {}, bytes_of(2000, 1), "a long name of a kernel", "a long error");
  letters.add(DeadLetterReason::kExpired, {}, {}, {}, "", "");
  const DeadLetter letter = letters.browse().front();
  EXPECT_TRUE(letter.payload.empty() && letter.kernel.empty() && letter.error.empty());
  EXPECT_FALSE(letter.truncated);
  EXPECT_EQ(letter.hlc.time, 0u);
}

TEST(DeadLetters, a_million_occupy_what_the_capacity_does) {
  constexpr std::size_t kCapacity = 100;
  DeadLetters letters(kCapacity);
  const auto largest = bytes_of(5000, 1);
  const std::string error(5000, 'e');
  std::mt19937_64 random(9);
  for (std::size_t i = 0; i < kCapacity; ++i) letters.add(DeadLetterReason::kHung, {}, {}, largest, "kernel", error);
  const std::size_t full = letters.memory_bytes();
  EXPECT_LE(full, kCapacity * (sizeof(DeadLetter) + 1024 + 2 * DeadLetters::kMaxErrorText + 64));
  for (int i = 0; i < kMany; ++i) {
    const std::span payload(largest.data(), random() % largest.size());
    letters.add(DeadLetterReason::kHung, {}, {}, payload, "kernel", std::string_view(error).substr(random() % 5000));
  }
  EXPECT_EQ(letters.memory_bytes(), full) << "all room was there, and none was given up";
  EXPECT_EQ(letters.stats().total, kCapacity + kMany);
  EXPECT_TRUE(adds_up(letters.stats()));
}

TEST(DeadLetters, a_large_capacity_costs_nothing_until_it_is_used) {
  DeadLetters letters(std::size_t{1} << 40);
  EXPECT_EQ(letters.memory_bytes(), 0u);
  for (u64 n = 1; n <= 100; ++n) add(letters, n);
  EXPECT_LE(letters.memory_bytes(), 256 * (sizeof(DeadLetter) + 200));
}

TEST(DeadLetters, what_is_put_back_twice_is_there_once) {
  DeadLetters letters(10);
  for (u64 n = 1; n <= 5; ++n) add(letters, n);
  const auto taken = letters.take(Sequences{2, 4});
  letters.put_back(taken);
  letters.put_back(taken);
  EXPECT_EQ(sequences_of(letters.browse()), from_to(1, 5));
  EXPECT_TRUE(adds_up(letters.stats()));
}

// Adders, drainers, replayers and somebody who looks, all at once. Returns every sequence that a drainer ended up with.
Sequences drain_while_adding(DeadLetters& letters, u64 per_adder) {
  constexpr int kAdders = 2, kDrainers = 2;
  std::atomic<int> adding{kAdders};
  std::vector<Sequences> drained(kDrainers);
  std::vector<std::thread> threads;
  for (int a = 0; a < kAdders; ++a) {
    threads.emplace_back([&] {
      for (u64 n = 0; n < per_adder; ++n) add(letters, n);
      --adding;
    });
  }
  for (Sequences& mine : drained) {
    threads.emplace_back([&] {
      for (u64 turn = 0; adding.load() != 0; ++turn) {
        auto taken = turn % 2 == 0 ? letters.take(turn % 7) : letters.take(sequences_of(letters.browse(turn % 5)));
        if (turn % 3 == 0) {
          letters.put_back(std::move(taken));
        } else {
          for (const DeadLetter& letter : taken) mine.push_back(letter.sequence);
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (adding.load() != 0) EXPECT_TRUE(adds_up(letters.stats()));
  });
  for (std::thread& thread : threads) thread.join();
  Sequences all = sequences_of(letters.take());
  for (const Sequences& mine : drained) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  return all;
}

TEST(DeadLetters, draining_while_others_add_loses_and_duplicates_nothing) {
  DeadLetters letters(100'000);
  EXPECT_EQ(drain_while_adding(letters, 10'000), from_to(1, 20'000));
  EXPECT_EQ(letters.stats().overwritten, 0u);
}

TEST(DeadLetters, what_a_small_one_loses_is_counted) {
  DeadLetters letters(7);
  const Sequences found = drain_while_adding(letters, 10'000);
  EXPECT_EQ(std::adjacent_find(found.begin(), found.end()), found.end()) << "one twice";
  const DeadLetterStats stats = letters.stats();
  EXPECT_EQ(stats.total, 20'000u);
  EXPECT_EQ(stats.taken, found.size());
  EXPECT_TRUE(adds_up(stats));
}

}  // namespace
}  // namespace rk
