// What the verbs of a ring answer. Full, empty, closed and late are values, never exceptions.
#pragma once

#include <cstdint>

namespace rk {

enum class Status : std::uint8_t { kOk, kFull, kEmpty, kClosed, kTimedOut, kTooLarge, kUndeclared, kNoMemory };

enum class Overflow : std::uint8_t {
  kFail,        // push answers kFull
  kBlock,       // push waits until its deadline
  kDropNewest,  // push answers kOk and counts the new message as dropped
  kDropOldest,  // push answers kOk and counts the oldest unread message as dropped
};

constexpr const char* to_string(Status status) {
  constexpr const char* kNames[] = {"ok",        "full",      "empty",      "closed",
                                    "timed out", "too large", "undeclared", "no memory"};
  return kNames[static_cast<int>(status)];
}

// accepted = delivered + dropped + dead_lettered + in_flight, at any time.
struct RingStats {
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t high_water = 0;

  RingStats& operator+=(const RingStats& other) {
    accepted += other.accepted;
    delivered += other.delivered;
    dropped += other.dropped;
    dead_lettered += other.dead_lettered;
    in_flight += other.in_flight;
    high_water = high_water > other.high_water ? high_water : other.high_water;
    return *this;
  }
};

}  // namespace rk
