// What a stress run counts, and the messages that let it count: numbered, stamped and with a checksum.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rk::stress {

struct Tally {
  std::uint64_t messages = 0, lost = 0, duplicated = 0, reordered = 0, corrupt = 0;

  bool clean() const { return lost == 0 && duplicated == 0 && reordered == 0 && corrupt == 0; }
  Tally& operator+=(const Tally& other) {
    messages += other.messages;
    lost += other.lost;
    duplicated += other.duplicated;
    reordered += other.reordered;
    corrupt += other.corrupt;
    return *this;
  }
};

// Moves while anything happens; main() gives up when it stands still.
inline std::atomic<std::uint64_t> progress{0};
inline void note_progress() { progress.fetch_add(1, std::memory_order_relaxed); }

// 56 bytes: with its sequence a turn slot of one cache line.
struct Message {
  std::uint64_t stream, number, stamp, filler[3], checksum;

  static Message make(std::uint64_t stream, std::uint64_t number, std::uint64_t stamp) {
    Message message{stream, number, stamp, {number * 3, ~stream, stamp ^ number}, 0};
    message.checksum = message.sum();
    return message;
  }
  bool intact() const { return checksum == sum(); }

 private:
  std::uint64_t sum() const {
    std::uint64_t hash = 0x9E3779B97F4A7C15u;
    for (std::uint64_t word : {stream, number, stamp, filler[0], filler[1], filler[2]}) {
      hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

// The receiving end of all streams; each must arrive in order, from 0 on. One thread.
class Ledger {
 public:
  void expect(std::uint64_t stream, std::uint64_t count) {
    if (streams_.size() <= stream) streams_.resize(stream + 1);
    streams_[stream].seen.resize(count);
    tally_.messages += count;
  }

  void receive(const Message& message) {
    note_progress();
    if (!message.intact() || message.stream >= streams_.size() ||
        message.number >= streams_[message.stream].seen.size()) {
      ++tally_.corrupt;
      return;
    }
    Stream& stream = streams_[message.stream];
    if (stream.seen[message.number]) {
      ++tally_.duplicated;
    } else if (message.number < stream.next) {
      ++tally_.reordered;
    }
    stream.seen[message.number] = true;
    if (message.number >= stream.next) stream.next = message.number + 1;
  }

  void note_reordered() { ++tally_.reordered; }

  // `dropped` messages are missing by policy.
  Tally close(std::uint64_t dropped) {
    std::uint64_t missing = 0;
    for (const Stream& stream : streams_) {
      for (bool seen : stream.seen) missing += !seen;
    }
    tally_.lost = missing > dropped ? missing - dropped : 0;
    tally_.duplicated += dropped > missing ? dropped - missing : 0;  // dropped and delivered
    return tally_;
  }

 private:
  struct Stream {
    std::vector<bool> seen;
    std::uint64_t next = 0;
  };
  std::vector<Stream> streams_;
  Tally tally_;
};

}  // namespace rk::stress
