// What host and loop share of one instance: where its messages arrive and what became of them.
//
// Protection: inbox: itself. Counters and histograms: the instance's thread writes, anybody reads (S); telemetry is
// made by that thread before its first message (S). generation: the supervisor, while the instance rests; read by
// anybody (S).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "ringkernel/core/histogram.h"
#include "ringkernel/runtime/inbox.h"

namespace rk {

struct InstanceLatencies {
  LatencyHistogram<HostAtomics> handler;
  LatencyHistogram<HostAtomics> queueing;
};

struct InstanceRecord {
  explicit InstanceRecord(std::shared_ptr<MemorySource> memory) : inbox(std::move(memory)) {}
  ~InstanceRecord() { delete latencies.load_relaxed(); }  // S nobody is left

  using Counter = HostAtomics::Atomic<std::uint64_t>;

  Inbox inbox;
  LateMail* late_mail = nullptr;                               // set by the backend before the first message
  Counter handled{0};                                          // S a handler ran, whatever came of it
  Counter failed{0};                                           // S dead-lettered: the handler raised
  Counter refused{0};                                          // S dead-lettered: of no type that the handler takes
  Counter expired{0};                                          // S dead-lettered: too late
  Counter left_over{0};                                        // S dead-lettered: the kernel ended first
  Counter duplicates{0};                                       // S dropped
  Counter reported{0};                                         // S errors that the handler reported
  HostAtomics::Atomic<std::uint32_t> last_error{0};            // S
  HostAtomics::Atomic<std::uint32_t> generation{0};            // S
  HostAtomics::Atomic<InstanceLatencies*> latencies{nullptr};  // S

  // Of an instance on a device: what is neither in the inbox's lanes nor over; and what other kernels of the device
  // gave it without the host: how many, and how many of these are over.
  Counter aboard{0};            // S
  Counter linked{0};            // S
  Counter linked_dropped{0};    // S by the policy of the edge; not among these
  Counter linked_delivered{0};  // S

  // The message in hand, for watchdogs: written before and after each handler.
  Counter busy_since{0};                               // S NTP64; 0: in no handler
  Counter message_id{0};                               // S
  HostAtomics::Atomic<std::uint32_t> message_type{0};  // S

  std::uint64_t dead_lettered() const {
    return failed.load_relaxed() + refused.load_relaxed() + expired.load_relaxed() + left_over.load_relaxed();  // S
  }
  static void add(Counter& counter, std::uint64_t amount = 1) {
    counter.store_relaxed(counter.load_relaxed() + amount);  // S one writer
  }
};

}  // namespace rk
