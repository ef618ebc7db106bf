#include "ringkernel/runtime/dead_letters.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace rk {
namespace {

// The first kMaxErrorText bytes, less the beginning of a UTF-8 character that does not fit.
std::string_view shortened(std::string_view text) {
  if (text.size() <= DeadLetters::kMaxErrorText) return text;
  std::size_t end = DeadLetters::kMaxErrorText;
  const auto continues = [&](std::size_t i) { return (static_cast<unsigned char>(text[i]) & 0xC0u) == 0x80u; };
  for (int i = 0; i < 3 && continues(end); ++i) --end;
  return text.substr(0, end);
}

bool matches(const DeadLetter& letter, const DeadLetterFilter& filter) {
  return (!filter.reason || *filter.reason == letter.reason) && (!filter.kernel || *filter.kernel == letter.kernel);
}

}  // namespace

const char* to_string(DeadLetterReason reason) {
  constexpr const char* kNames[] = {"handler_failed", "expired",         "terminated", "undeliverable",
                                    "wrong_type",     "subscriber_full", "hung",       "backpressure"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(DeadLetterReason::kCount));
  return reason < DeadLetterReason::kCount ? kNames[static_cast<int>(reason)] : "unknown";
}

DeadLetters::DeadLetters(std::size_t capacity, std::size_t max_payload)
    : capacity_(capacity), max_payload_(max_payload) {}

u64 DeadLetters::add(DeadLetterReason reason, HlcTimestamp hlc, const MessageHeader& header,
                     std::span<const std::byte> payload, std::string_view kernel, std::string_view error) {
  const std::lock_guard lock(mutex_);
  if (capacity_ == 0) {
    ++overwritten_;
  } else {
    make_room();
    DeadLetter& letter = at(size_);
    const std::string_view text = shortened(error);
    const auto kept = payload.first(std::min(payload.size(), max_payload_));
    letter.payload.assign(kept.begin(), kept.end());
    letter.kernel.assign(kernel);
    letter.error.assign(text);
    letter.sequence = total_ + 1;
    letter.reason = reason;
    letter.truncated = kept.size() < std::max<std::size_t>(payload.size(), header.payload_size);
    letter.hlc = hlc;
    letter.header = header;
    ++size_;
  }
  ++by_reason_[static_cast<std::size_t>(reason)];  // last: had memory run out above, the sums still hold
  return ++total_;
}

// One slot behind the newest letter: a free one, a new one, else the oldest letter's.
void DeadLetters::make_room() {
  if (size_ < slots_.size()) return;
  if (size_ < capacity_) {
    std::rotate(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(begin_), slots_.end());
    begin_ = 0;
    slots_.resize(std::min(capacity_, std::max<std::size_t>(16, 2 * size_)));
    return;
  }
  begin_ = begin_ + 1 == slots_.size() ? 0 : begin_ + 1;
  --size_;
  ++overwritten_;
}

std::vector<DeadLetter> DeadLetters::browse(std::size_t max, const DeadLetterFilter& filter) const {
  std::vector<DeadLetter> found;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < size_ && found.size() < max; ++i) {
    if (matches(at(i), filter)) found.push_back(at(i));
  }
  return found;
}

std::vector<DeadLetter> DeadLetters::take(std::size_t max) {
  std::vector<DeadLetter> taken;
  const std::lock_guard lock(mutex_);
  const std::size_t count = std::min(max, size_);
  taken.reserve(count);
  for (std::size_t i = 0; i < count; ++i) taken.push_back(std::move(at(i)));
  if (count != 0) begin_ = (begin_ + count) % slots_.size();
  size_ -= count;
  taken_ += count;
  return taken;
}

std::vector<DeadLetter> DeadLetters::take(std::span<const u64> sequences) {
  std::vector<u64> wanted(sequences.begin(), sequences.end());
  std::sort(wanted.begin(), wanted.end());
  std::vector<DeadLetter> taken;
  const std::lock_guard lock(mutex_);
  taken.reserve(std::min(wanted.size(), size_));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    if (std::binary_search(wanted.begin(), wanted.end(), at(i).sequence)) {
      taken.push_back(std::move(at(i)));
    } else {
      if (kept != i) std::swap(at(kept), at(i));
      ++kept;
    }
  }
  size_ = kept;
  taken_ += taken.size();
  return taken;
}

void DeadLetters::put_back(std::vector<DeadLetter> letters) {
  const auto earlier = [](const DeadLetter& a, const DeadLetter& b) { return a.sequence < b.sequence; };
  const auto same = [](const DeadLetter& a, const DeadLetter& b) { return a.sequence == b.sequence; };
  if (letters.empty() || capacity_ == 0) return;
  const std::lock_guard lock(mutex_);
  std::vector<DeadLetter> all;
  all.reserve(size_ + letters.size());
  for (std::size_t i = 0; i < size_; ++i) all.push_back(std::move(at(i)));
  std::move(letters.begin(), letters.end(), std::back_inserter(all));
  std::sort(all.begin(), all.end(), earlier);
  all.erase(std::unique(all.begin(), all.end(), same), all.end());  // one that was put back twice
  taken_ -= std::min<u64>(taken_, all.size() - size_);
  const std::size_t excess = all.size() - std::min(all.size(), capacity_);
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(excess));
  overwritten_ += excess;
  slots_ = std::move(all);
  begin_ = 0;
  size_ = slots_.size();
}

DeadLetterStats DeadLetters::stats() const {
  const std::lock_guard lock(mutex_);
  return DeadLetterStats{total_, size_, overwritten_, taken_, by_reason_};
}

std::size_t DeadLetters::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

std::size_t DeadLetters::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = slots_.capacity() * sizeof(DeadLetter);
  for (const DeadLetter& slot : slots_) {
    bytes += slot.payload.capacity() + slot.kernel.capacity() + slot.error.capacity();
  }
  return bytes;
}

}  // namespace rk
