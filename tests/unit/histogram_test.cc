#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

#include "ringkernel/core/atomics.h"
#include "ringkernel/core/histogram.h"

namespace rk {
namespace {

using Copy = HistogramCopy;
using Histogram = LatencyHistogram<StdAtomics>;
constexpr std::uint64_t kHuge = ~std::uint64_t{0};

static_assert(Copy::bucket_of(0) == 0 && Copy::lower_edge(0) == 0);
static_assert(Copy::lower_edge(Copy::kBuckets) == Copy::kMaxNs);
static_assert(std::is_trivially_copyable_v<Copy>);
static_assert(sizeof(Histogram) <= 5 * 1024);

Copy read_of(const std::vector<std::uint64_t>& values) {
  Histogram histogram;
  for (const std::uint64_t value : values) histogram.record(value);
  return histogram.read();
}

// The nearest-rank quantile.
std::uint64_t exact(const std::vector<std::uint64_t>& sorted, std::uint64_t per_mille) {
  const std::uint64_t rank = (per_mille * sorted.size() + 999) / 1000;
  return sorted[std::max<std::uint64_t>(rank, 1) - 1];
}

bool close_enough(std::uint64_t found, std::uint64_t value) {
  return (found > value ? found - value : value - found) <= value / 32;
}

// Every magnitude is equally likely.
std::uint64_t any_size(std::mt19937_64& random) {
  const std::uint64_t octave = random() % 41;
  return std::min((std::uint64_t{1} << octave) + random() % (std::uint64_t{1} << octave) - 1, Copy::kMaxNs);
}

TEST(Histogram, buckets_meet_without_gap_or_overlap) {
  for (std::size_t bucket = 0; bucket < Copy::kBuckets; ++bucket) {
    const std::uint64_t first = Copy::lower_edge(bucket), end = Copy::lower_edge(bucket + 1);
    ASSERT_LT(first, end) << bucket;
    EXPECT_EQ(Copy::bucket_of(first), bucket);
    EXPECT_EQ(Copy::bucket_of(end - 1), bucket);
    EXPECT_EQ(Copy::bucket_of(first + (end - first) / 2), bucket);
    EXPECT_EQ(Copy::bucket_of(end), std::min(bucket + 1, Copy::kBuckets - 1));
    EXPECT_LE((end - first) * 16, std::max<std::uint64_t>(first, 16)) << "16 buckets an octave: " << bucket;
  }
}

TEST(Histogram, what_is_too_long_counts_as_the_longest) {
  for (const std::uint64_t ns : {Copy::kMaxNs, Copy::kMaxNs + 1, 2 * Copy::kMaxNs, kHuge}) {
    EXPECT_EQ(Copy::bucket_of(ns), Copy::kBuckets - 1);
    const Copy copy = read_of({ns});
    EXPECT_EQ(copy.counts[Copy::kBuckets - 1], 1u);
    EXPECT_EQ(copy.max, Copy::kMaxNs);
    EXPECT_EQ(copy.min, Copy::kMaxNs);
    EXPECT_EQ(copy.sum, Copy::kMaxNs);
    EXPECT_EQ(copy.percentile(50), Copy::kMaxNs);
  }
}

TEST(Histogram, an_empty_one_answers_0) {
  for (Copy copy : {Copy{}, read_of({}), Copy{} += Copy{}, Copy{} -= Copy{}}) {
    EXPECT_EQ(copy.count + copy.sum + copy.min + copy.max, 0u);
    EXPECT_EQ(copy.mean(), 0);
    for (const double p : {0.0, 50.0, 100.0}) EXPECT_EQ(copy.percentile(p), 0u);
  }
}

TEST(Histogram, one_value_is_every_percentile) {
  for (const std::uint64_t ns : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{33}, std::uint64_t{123'456'789}}) {
    const Copy copy = read_of({ns});
    for (const double p : {-1.0, 0.0, 1e-9, 50.0, 99.9, 100.0, 200.0, std::nan("")}) EXPECT_EQ(copy.percentile(p), ns);
    EXPECT_EQ(copy.mean(), static_cast<double>(ns));
  }
}

TEST(Histogram, short_durations_are_exact_at_every_rank) {
  for (std::uint64_t last = 0; last < 32; ++last) {
    std::vector<std::uint64_t> values;
    for (std::uint64_t ns = 0; ns <= last; ++ns) values.push_back(ns);
    const Copy copy = read_of(values);
    for (std::uint64_t per_mille = 0; per_mille <= 1000; ++per_mille) {
      ASSERT_EQ(copy.percentile(static_cast<double>(per_mille) / 10), exact(values, per_mille)) << per_mille << last;
    }
  }
}

TEST(Histogram, a_rank_is_not_rounded_up_by_an_ulp) {
  Histogram histogram;
  histogram.record(1, 161);
  histogram.record(31, 89);
  EXPECT_EQ(histogram.read().percentile(64.4), 1u) << "161 of 250 are 1";
  EXPECT_EQ(histogram.read().percentile(64.5), 31u);
}

TEST(Histogram, counts_beyond_the_precision_of_a_double_find_their_bucket) {
  Histogram histogram;
  histogram.record(3, std::uint64_t{1} << 59);
  histogram.record(5, std::uint64_t{1} << 59);
  histogram.record(20);
  EXPECT_EQ(histogram.read().percentile(49.9), 3u);
  EXPECT_EQ(histogram.read().percentile(50.1), 5u);
  EXPECT_EQ(histogram.read().percentile(100), 20u);
}

TEST(Histogram, percentiles_of_all_magnitudes_are_within_a_thirty_second) {
  std::mt19937_64 random(20);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::uint64_t> values(1 + random() % 3000);
    std::generate(values.begin(), values.end(), [&] { return any_size(random); });
    const Copy copy = read_of(values);
    std::sort(values.begin(), values.end());
    for (std::uint64_t per_mille = 0; per_mille <= 1000; ++per_mille) {
      const std::uint64_t found = copy.percentile(static_cast<double>(per_mille) / 10);
      ASSERT_TRUE(close_enough(found, exact(values, per_mille)))
          << "round " << round << ", " << per_mille << " per mille: " << found << " for " << exact(values, per_mille);
    }
    EXPECT_EQ(copy.percentile(0), values.front());
    EXPECT_EQ(copy.percentile(100), values.back());
    std::uint64_t sum = 0;
    for (const std::uint64_t value : values) sum += value;
    EXPECT_EQ(copy.sum, sum);
    EXPECT_EQ(copy.count, values.size());
  }
}

TEST(Histogram, both_ends_of_each_bucket_are_within_a_thirty_second_of_its_middle) {
  for (std::size_t bucket = 0; bucket < Copy::kBuckets; ++bucket) {
    const std::uint64_t first = Copy::lower_edge(bucket), last = Copy::lower_edge(bucket + 1) - 1;
    // The median of four with outliers around: neither the least nor the greatest, so no end can make it exact.
    for (const std::uint64_t value : {first, last}) {
      const std::uint64_t found = read_of({0, value, value, kHuge}).percentile(50);
      EXPECT_TRUE(close_enough(found, value)) << found << " for " << value;
    }
  }
}

TEST(Histogram, a_weight_is_so_many_records) {
  Histogram weighted, single;
  weighted.record(1000, 7);
  weighted.record(5, 0);
  for (int i = 0; i < 7; ++i) single.record(1000);
  EXPECT_EQ(weighted.read().counts, single.read().counts);
  EXPECT_EQ(weighted.read().sum, 7000u);
  EXPECT_EQ(weighted.read().min, 1000u) << "what weighs nothing leaves no trace";
}

TEST(Histogram, a_sum_is_that_of_all_records) {
  std::mt19937_64 random(4);
  for (const std::size_t left : {0u, 1u, 100u}) {
    for (const std::size_t right : {0u, 1u, 100u}) {
      std::vector<std::uint64_t> a(left), b(right);
      std::generate(a.begin(), a.end(), [&] { return any_size(random); });
      std::generate(b.begin(), b.end(), [&] { return any_size(random); });
      Copy added = read_of(a);
      added += read_of(b);
      a.insert(a.end(), b.begin(), b.end());
      const Copy whole = read_of(a);
      EXPECT_EQ(added.counts, whole.counts);
      EXPECT_EQ(added.count, whole.count);
      EXPECT_EQ(added.sum, whole.sum);
      EXPECT_EQ(added.min, whole.min) << left << "+" << right;
      EXPECT_EQ(added.max, whole.max) << left << "+" << right;
    }
  }
}

TEST(Histogram, an_interval_holds_what_came_between) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 100; ++round) {
    Histogram histogram;
    for (std::uint64_t i = random() % 50; i-- > 0;) histogram.record(any_size(random));
    const Copy before = histogram.read();
    std::vector<std::uint64_t> values(random() % 50);
    for (std::uint64_t& value : values) histogram.record(value = any_size(random));
    Copy between = histogram.read();
    between -= before;
    const Copy whole = read_of(values);
    EXPECT_EQ(between.counts, whole.counts);
    EXPECT_EQ(between.count, whole.count);
    EXPECT_EQ(between.sum, whole.sum);
    EXPECT_LE(between.min, whole.min);
    EXPECT_GE(between.max, whole.max);
    EXPECT_EQ(Copy::bucket_of(between.min), Copy::bucket_of(whole.min)) << "known to within the bucket";
    EXPECT_EQ(Copy::bucket_of(between.max), Copy::bucket_of(whole.max));
  }
}

TEST(Histogram, an_interval_the_wrong_way_round_is_empty_and_not_enormous) {
  Histogram histogram;
  histogram.record(10);
  Copy before = histogram.read();
  histogram.record(10);
  histogram.record(2000);
  before -= histogram.read();
  EXPECT_EQ(before.count, 0u);
  EXPECT_EQ(before.sum, 0u);
  EXPECT_EQ(before.max, 0u);
}

// Copies taken while a thread records: whole in themselves, and never less than an earlier one.
TEST(Histogram, a_copy_can_be_taken_at_any_time) {
  constexpr std::uint64_t kRecords = 200'000;
  const auto histogram = std::make_unique<Histogram>();
  std::atomic<bool> done{false};
  std::thread writer([&] {
    std::mt19937_64 random(6);
    for (std::uint64_t i = 0; i < kRecords; ++i) histogram->record(any_size(random), 1 + i % 2);
    done.store(true, std::memory_order_release);
  });
  Copy last;
  for (bool more = true; more;) {
    more = !done.load(std::memory_order_acquire);
    const Copy now = histogram->read();
    std::uint64_t counted = 0;
    bool grows = now.sum >= last.sum;
    for (std::size_t i = 0; i < Copy::kBuckets; ++i) {
      counted += now.counts[i];
      grows = grows && now.counts[i] >= last.counts[i];
    }
    EXPECT_TRUE(grows);
    EXPECT_EQ(now.count, counted);
    EXPECT_LE(now.min, now.max);
    for (const double p : {0.0, 50.0, 99.9, 100.0}) {
      EXPECT_GE(now.percentile(p), now.min);
      EXPECT_LE(now.percentile(p), now.max);
    }
    EXPECT_GE(now.mean(), static_cast<double>(now.min));
    EXPECT_LE(now.mean(), static_cast<double>(now.max));
    last = now;
    if (HasFailure()) break;
  }
  writer.join();
  EXPECT_EQ(histogram->read().count, kRecords + kRecords / 2);
}

}  // namespace
}  // namespace rk
