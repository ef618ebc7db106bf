// What a failure of an instance comes to, the same on every backend.
//
// Protection: everything: the thread that serves the instance.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "ringkernel/abi/address.h"
#include "ringkernel/runtime/handler.h"
#include "ringkernel/runtime/switchboard.h"

namespace rk {

// Failures within a window; the newest max_failures times decide.
class FailureWindow {
 public:
  FailureWindow(std::uint32_t max, std::uint64_t window_ns)
      : max_(std::min<std::uint32_t>(max, kMost)), window_ns_(window_ns) {}

  static constexpr std::uint32_t kMost = 64;

  // True when this failure is one too many.
  bool add(std::uint64_t now_ns) {
    if (max_ == 0) return true;
    if (times_.empty()) times_.resize(max_);
    std::uint64_t& oldest = times_[count_ % max_];
    const bool too_many = count_ >= max_ && now_ns - oldest <= window_ns_;
    oldest = now_ns;
    ++count_;
    return too_many;
  }

 private:
  std::vector<std::uint64_t> times_;
  std::uint64_t count_ = 0;
  std::uint32_t max_;
  std::uint64_t window_ns_;
};

// What its supervisor is told.
struct InstanceExit {
  Address who{0};  // with the generation
  bool abnormal = false;
  std::string error;
};

// Why a message that was not handled is dead.
inline DeadLetterReason reason_of(Outcome outcome) {
  return outcome == Outcome::kRefused   ? DeadLetterReason::kWrongType
         : outcome == Outcome::kStopped ? DeadLetterReason::kHung
                                        : DeadLetterReason::kHandlerFailed;
}

inline constexpr const char* kTooLateText = "its deadline passed before a handler began";

// Numbers that are unique in the runtime: a block at a time from the common count.
class MessageIds {
 public:
  std::uint64_t next(Switchboard& switchboard) {
    constexpr std::uint64_t kBlock = 1024;
    if (next_ == end_) {
      next_ = switchboard.take_message_ids(kBlock);
      end_ = next_ + kBlock;
    }
    return next_++;
  }

 private:
  std::uint64_t next_ = 0, end_ = 0;
};

}  // namespace rk
