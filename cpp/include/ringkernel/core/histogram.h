// How long something took, counted in buckets: one thread records, any thread reads a copy at any time.
//
// Log-linear as HdrHistogram's: 16 buckets an octave, so the middle of a bucket is at most 1/32 off what fell into it,
// and durations below 32 ns are exact. Recording is a handful of plain loads and stores, about 2 ns, because there is
// one writer.
//
// Edges
//   S  statistics: each word is stored by one thread and orders nothing. A reader may see a part of a record; read()
//      counts what the buckets hold and moves min and max into the buckets that are not empty.
//
// Protection: everything of LatencyHistogram: atomic, single writer (who calls record), read by S. HistogramCopy: its
// owner.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "ringkernel/abi/ring_geometry.h"

namespace rk {

// Values in nanoseconds. Percentiles go from 0 to 100; all of them are 0 while nothing was recorded.
struct HistogramCopy {
  static constexpr std::uint32_t kSubBits = 4;                     // 16 buckets an octave
  static constexpr std::uint64_t kMaxNs = std::uint64_t{1} << 40;  // 18 minutes; what is longer counts as this
  static constexpr std::size_t kBuckets = (40 - kSubBits + 1) << kSubBits;

  static constexpr std::size_t bucket_of(std::uint64_t ns) {
    const auto shift = static_cast<std::uint32_t>(std::bit_width(ns | kOctave)) - (kSubBits + 1);
    const std::uint64_t bucket = (std::uint64_t{shift} << kSubBits) + (ns >> shift);
    return static_cast<std::size_t>(std::min<std::uint64_t>(bucket, kBuckets - 1));
  }

  // The least value of a bucket, and for kBuckets the end of the last one, which that one includes.
  static constexpr std::uint64_t lower_edge(std::size_t bucket) {
    if (bucket < kOctave) return bucket;
    return (kOctave + bucket % kOctave) << (bucket / kOctave - 1);
  }

  // The value that p percent of the records do not exceed; the middle of its bucket, and exact at both ends.
  std::uint64_t percentile(double p) const {
    if (!(p > 0)) return min;
    if (p >= 100) return max;
    // The product is exact to an ulp or two: without the slack, 64.4 % of 250 are more than 161.
    const double rank = std::ceil(p * static_cast<double>(count) / 100 * (1 - 1e-15));
    if (rank <= 1) return min;
    if (rank >= static_cast<double>(count)) return max;
    const auto wanted = static_cast<std::uint64_t>(rank);
    std::size_t bucket = 0;
    for (std::uint64_t below = counts[0]; below < wanted; below += counts[bucket]) ++bucket;
    const std::uint64_t edge = lower_edge(bucket);
    return std::clamp(edge + (lower_edge(bucket + 1) - edge) / 2, min, max);
  }

  double mean() const {
    if (count == 0) return 0;
    const double mean = static_cast<double>(sum) / static_cast<double>(count);
    return std::clamp(mean, static_cast<double>(min), static_cast<double>(max));  // sum may be a record ahead
  }

  constexpr HistogramCopy& operator+=(const HistogramCopy& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) counts[i] += other.counts[i];
    min = count == 0 ? other.min : other.count == 0 ? min : std::min(min, other.min);
    max = std::max(max, other.max);
    count += other.count;
    sum += other.sum;
    return *this;
  }

  // What was recorded since `earlier`, a copy of the same histogram; nothing becomes negative if it is not. min and max
  // are then known to within their buckets.
  constexpr HistogramCopy& operator-=(const HistogramCopy& earlier) {
    for (std::size_t i = 0; i < kBuckets; ++i) counts[i] -= std::min(counts[i], earlier.counts[i]);
    sum -= std::min(sum, earlier.sum);
    settle();
    return *this;
  }

  // Makes the rest agree with `counts`.
  constexpr void settle() {
    count = 0;
    std::size_t first = kBuckets, last = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      if (counts[i] == 0) continue;
      count += counts[i];
      first = std::min(first, i);
      last = i;
    }
    if (count == 0) {
      sum = min = max = 0;
      return;
    }
    min = std::clamp(min, lower_edge(first), highest_in(first));
    max = std::clamp(max, lower_edge(last), highest_in(last));
  }

  std::array<std::uint64_t, kBuckets> counts{};
  std::uint64_t count = 0, sum = 0, min = 0, max = 0;

 private:
  static constexpr std::uint64_t kOctave = std::uint64_t{1} << kSubBits;

  static constexpr std::uint64_t highest_in(std::size_t bucket) {
    return bucket == kBuckets - 1 ? kMaxNs : lower_edge(bucket + 1) - 1;
  }
};

template <class P>
class alignas(kRingLineBytes) LatencyHistogram {
 public:
  // `weight` records of one value: of a batch that was timed as a whole, say. One thread.
  void record(std::uint64_t ns, std::uint64_t weight = 1) {
    if (weight == 0) return;
    ns = std::min(ns, HistogramCopy::kMaxNs);
    add(counts_[HistogramCopy::bucket_of(ns)], weight);
    add(sum_, ns * weight);
    if (ns < min_.load_relaxed()) min_.store_relaxed(ns);  // S
    if (ns > max_.load_relaxed()) max_.store_relaxed(ns);  // S
  }

  // What another machine has counted: from now on this. One thread, instead of record().
  void load(const HistogramCopy& counted) {
    for (std::size_t i = 0; i < HistogramCopy::kBuckets; ++i) counts_[i].store_relaxed(counted.counts[i]);  // S
    sum_.store_relaxed(counted.sum);                                                                        // S
    min_.store_relaxed(counted.min);                                                                        // S
    max_.store_relaxed(counted.max);                                                                        // S
  }

  HistogramCopy read() const {
    HistogramCopy copy;
    for (std::size_t i = 0; i < HistogramCopy::kBuckets; ++i) copy.counts[i] = counts_[i].load_relaxed();  // S
    copy.sum = sum_.load_relaxed();                                                                        // S
    copy.min = min_.load_relaxed();                                                                        // S
    copy.max = max_.load_relaxed();                                                                        // S
    copy.settle();
    return copy;
  }

 private:
  using Word = typename P::template Atomic<std::uint64_t>;

  static void add(Word& word, std::uint64_t value) { word.store_relaxed(word.load_relaxed() + value); }  // S

  Word sum_{0};
  Word min_{~std::uint64_t{0}};
  Word max_{0};
  std::array<Word, HistogramCopy::kBuckets> counts_{};
};

}  // namespace rk
