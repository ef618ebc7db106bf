// The messages that the ring scenarios send, how they are made and how they are checked.
//
// Word 0 is the position in the stream, the stream's number and a mark on the last message; the other words are
// constant. Every word is read by the consumer.
#pragma once

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace rk::bench {

constexpr std::uint64_t kCapacity = 4096;
constexpr std::uint64_t kWarmUp = 2 * kCapacity;
constexpr std::uint64_t kLast = std::uint64_t{1} << 63;
constexpr int kStreamShift = 48;
constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << kStreamShift) - 1;

template <std::size_t Bytes>
struct Message {
  std::array<std::uint64_t, Bytes / 8> word;

  std::uint64_t position() const { return word[0] & kPositionMask; }
  std::uint64_t stream() const { return (word[0] & ~kLast) >> kStreamShift; }
  bool last() const { return (word[0] & kLast) != 0; }
};

constexpr std::uint64_t constant_word(std::size_t i) { return i * 0x9E3779B97F4A7C15u; }

// Writes each message 32 messages before it is sent. A copy with wide loads of what was just written with a narrow
// store cannot forward it: it waits until the store buffer, full of the ring's lines, has drained.
template <class Message>
class Feed {
 public:
  static constexpr std::uint64_t kAhead = 32;
  static constexpr std::uint64_t kToEnd = 2 * kAhead;

  explicit Feed(std::uint64_t stream = 0) : tag_(stream << kStreamShift) {
    for (std::uint64_t n = 0; n < kPool; ++n) {
      for (std::size_t i = 1; i < pool_[n].word.size(); ++i) pool_[n].word[i] = constant_word(i);
      pool_[n].word[0] = tag_ | n;
    }
  }

  // A message of one word is made when it is sent: its copy is a load that can be forwarded.
  Message next()
    requires(sizeof(Message) == 8)
  {
    const std::uint64_t last = sent_ + 1 == end_ ? kLast : 0;
    return Message{{tag_ | sent_++ | last}};
  }

  const Message& next() {
    const std::uint64_t later = sent_ + kAhead;
    pool_[later % kPool].word[0] = tag_ | later | (later + 1 == end_ ? kLast : 0);
    return pool_[sent_++ % kPool];
  }

  // Word 1 of the message that is kAhead after the next one.
  void set_second_word(std::uint64_t value) { pool_[(sent_ + kAhead) % kPool].word[1] = value; }

  // kToEnd more messages, and the last of them says so.
  void end_soon() { end_ = sent_ + kToEnd; }

 private:
  static constexpr std::uint64_t kPool = 2 * kAhead;
  alignas(128) std::array<Message, kPool> pool_{};
  std::uint64_t sent_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t tag_;
};

// Sees the messages of one stream: each once, with all its words, in order. Costs little while all is well.
template <class Message>
class Check {
 public:
  explicit Check(std::uint64_t stream = 0) : first_(stream << kStreamShift), expected_(first_) {}

  void see(const Message& message) {
    if (message.word[0] != expected_) [[unlikely]]
      surprise(message);
    ++expected_;
    for (std::size_t i = 1; i < message.word.size(); ++i) words_ += message.word[i];
  }

  std::uint64_t seen() const { return expected_ - first_; }
  bool last() const { return last_; }
  bool in_order() const { return in_order_; }

  bool complete() const {
    std::uint64_t words = 0;
    for (std::size_t i = 1; i < Message{}.word.size(); ++i) words += constant_word(i);
    return displaced_ == 0 && words_ == words * seen();
  }

 private:
  void surprise(const Message& message) {
    if (message.last()) last_ = true;
    if ((message.word[0] & ~kLast) == expected_) return;
    in_order_ = false;
    displaced_ += (message.word[0] & ~kLast) - expected_;
  }

  std::uint64_t first_, expected_;
  std::uint64_t words_ = 0;
  std::uint64_t displaced_ = 0;  // sums to nothing, if the positions are a permutation
  bool last_ = false;
  bool in_order_ = true;
};

template <class Message>
void report(benchmark::State& state, const Check<Message>& check) {
  if (!check.complete()) state.SkipWithError("messages lost, repeated or changed");
  if (!check.in_order()) state.counters["reordered"] = 1;
}

}  // namespace rk::bench
