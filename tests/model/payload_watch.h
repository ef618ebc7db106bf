// Finds overwritten reads that relacy cannot show.
//
// OverwriteRing's payload words are atomics: a read may overlap with an overwrite, and only counts once the reader's
// compare-and-swap has taken the message. Relacy runs the loads of a thread in program order, so it never shows a load
// that takes its value from a store which a weaker CAS would have let through early. Here such an overwrite fails
// instead: a store to a watched word must be ordered after every read that counted.
#pragma once

#include "relacy_api.h"

namespace rk::model {

class PayloadWatch {
 public:
  static constexpr std::size_t kMaxWords = 8, kMaxThreads = 4;

  // To be called before the words of an execution are made.
  static void forget_all() { word_count_ = 0; }

  void enable() {
    RL_ASSERT(word_count_ < kMaxWords);
    enabled_ = true;
    words_[word_count_++] = this;
  }

  void read() {
    if (enabled_) pending_[me()] = rl::ctx().threadx_->own_acq_rel_order_;
  }

  // The calling thread's compare-and-swap decides about everything it has read.
  static void reads_count(bool count) {
    for (std::size_t i = 0; i < word_count_; ++i) {
      PayloadWatch& word = *words_[i];
      if (count && word.pending_[me()] != 0) word.counted_[me()] = word.pending_[me()];
      word.pending_[me()] = 0;
    }
  }

  void overwrite(const rl::debug_info& where) const {
    if (!enabled_) return;
    for (std::size_t reader = 0; reader < static_cast<std::size_t>(rl::ctx().get_thread_count()); ++reader) {
      RL_ASSERT_IMPL(rl::ctx().threadx_->acq_rel_order_[reader] >= counted_[reader], rl::test_result_data_race,
                     "overwritten before a read that counted", where);
    }
  }

 private:
  static std::size_t me() { return static_cast<std::size_t>(rl::ctx().threadx_->index_); }

  static inline PayloadWatch* words_[kMaxWords];
  static inline std::size_t word_count_ = 0;

  bool enabled_ = false;
  rl::timestamp_t pending_[kMaxThreads] = {};
  rl::timestamp_t counted_[kMaxThreads] = {};
};

}  // namespace rk::model
