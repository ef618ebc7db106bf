// Messages that nobody handled, and why: the newest are kept for a look and for a second try, all are counted.
//
// A cold path behind one mutex. Memory grows with what is kept, up to `capacity` letters, and is then used again.
//
// Protection: capacity_, max_payload_: constant after init; everything else: mutex_.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/message_header.h"

namespace rk {

enum class DeadLetterReason : u8 {
  kHandlerFailed,   // the handler raised
  kExpired,         // the deadline passed before a handler began
  kTerminated,      // left over when the kernel ended
  kUndeliverable,   // the receiver is gone
  kWrongType,       // a subscriber does not accept the class
  kSubscriberFull,  // a subscriber had no room
  kHung,            // its handler did not return, or it waited behind one that did not
  kBackPressure,    // waited for room until the end
  kCount,
};

// What the error reply to a duplicate says. It is no dead letter: the first one was handled.
inline constexpr u32 kAnswerDuplicate = 64;

// The name in Python, in lower case.
const char* to_string(DeadLetterReason reason);

struct DeadLetter {
  u64 sequence = 0;  // 1, 2, 3 ... in the order of dying
  DeadLetterReason reason = DeadLetterReason::kCount;
  bool truncated = false;  // the message had more payload than is kept
  HlcTimestamp hlc{};      // when it died
  MessageHeader header{};
  std::string kernel;  // where it was bound
  std::string error;   // UTF-8, at most kMaxErrorText bytes
  std::vector<std::byte> payload;
};

// total = kept + overwritten + taken = the sum of by_reason, in each answer.
struct DeadLetterStats {
  u64 total = 0;
  u64 kept = 0;
  u64 overwritten = 0;  // given up for newer ones, or never kept because the capacity is 0
  u64 taken = 0;        // by take(), and not put back
  std::array<u64, static_cast<std::size_t>(DeadLetterReason::kCount)> by_reason{};
};

// What is empty matches everything.
struct DeadLetterFilter {
  std::optional<DeadLetterReason> reason{};
  std::optional<std::string> kernel{};
};

// Any number of threads.
class DeadLetters {
 public:
  static constexpr std::size_t kAll = ~std::size_t{0};
  static constexpr std::size_t kMaxErrorText = 512;

  explicit DeadLetters(std::size_t capacity, std::size_t max_payload = 1024);

  // Keeps a copy, in the place of the oldest if there is no other; answers its sequence.
  u64 add(DeadLetterReason reason, HlcTimestamp hlc, const MessageHeader& header, std::span<const std::byte> payload,
          std::string_view kernel, std::string_view error);

  // Copies, oldest first.
  std::vector<DeadLetter> browse(std::size_t max = kAll, const DeadLetterFilter& filter = {}) const;

  // Removes the oldest.
  std::vector<DeadLetter> take(std::size_t max = kAll);

  // Removes those of the named ones that are still there; each is given to one caller only.
  std::vector<DeadLetter> take(std::span<const u64> sequences);

  // What take() gave, back to its place in the order. Where there is no room, the oldest are overwritten.
  void put_back(std::vector<DeadLetter> letters);

  DeadLetterStats stats() const;
  std::size_t size() const;
  std::size_t capacity() const { return capacity_; }
  std::size_t max_payload() const { return max_payload_; }

  // What the kept letters and the room for the next ones occupy.
  std::size_t memory_bytes() const;

 private:
  DeadLetter& at(std::size_t i) { return slots_[(begin_ + i) % slots_.size()]; }
  const DeadLetter& at(std::size_t i) const { return slots_[(begin_ + i) % slots_.size()]; }
  void make_room();

  const std::size_t capacity_;
  const std::size_t max_payload_;
  mutable std::mutex mutex_;
  std::vector<DeadLetter> slots_;  // a ring, in the order of sequence; free slots keep their memory
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
  u64 total_ = 0, overwritten_ = 0, taken_ = 0;
  std::array<u64, static_cast<std::size_t>(DeadLetterReason::kCount)> by_reason_{};
};

}  // namespace rk
