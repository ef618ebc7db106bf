// Keeps a fast consumer from chasing its producer slot by slot.
//
// A consumer that is a little faster than its producer finds one message a poll, and each poll moves a cache line
// between cores twice: 3 ns a message become 30 to 130. A short wait before the next look lets the producer run ahead.
// The wait doubles while looks find little, halves when they find much, and is skipped after an empty look, so an idle
// consumer answers at once.
#pragma once

#include <cstdint>

namespace rk {

// How long a consumer may wait before it looks again; the price is paid in latency at high rates only.
enum class Wait : std::uint32_t {
  kLatency = 0,      // never
  kBalanced = 16,    // up to about one one-way latency
  kThroughput = 64,  // up to about four of them
};

class ChaseControl {
 public:
  explicit ChaseControl(Wait wait) : max_pauses_(static_cast<std::uint32_t>(wait)) {}

  // Before a look: only a consumer that has just drained a batch waits.
  template <class P>
  void before_look() const {
    if (!found_some_) return;
    for (std::uint32_t i = 0; i < pauses_; ++i) P::pause();
  }

  void found(std::uint64_t messages) {
    if (found_some_) adapt(messages);
    found_some_ = true;
  }

  void found_nothing() { found_some_ = false; }

 private:
  static constexpr std::uint64_t kFew = 512;

  void adapt(std::uint64_t messages) {
    if (messages < kFew) {
      pauses_ = pauses_ * 2 + 1 < max_pauses_ ? pauses_ * 2 + 1 : max_pauses_;
    } else if (messages > 4 * kFew) {
      pauses_ /= 2;
    }
  }

  std::uint32_t max_pauses_;
  std::uint32_t pauses_ = 0;
  bool found_some_ = false;
};

}  // namespace rk
