// Topics: who publishes knows no names, who subscribes says which topics it wants.
//
// Every subscription has a bounded ring of its own with a policy of its own, so that a slow subscriber costs nobody
// else anything. Publishers of one subscription take turns behind a lock, so its order is one order.
//
// Protection: Topics: trie_, retained_, known_: mutex_ (shared for publishing; retained_ and known_: facts_).
// Subscription: pattern_, ...: constant after init; lanes_ and their sending side: mutex_; counters: atomic (S).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ringkernel/runtime/host_port.h"
#include "ringkernel/runtime/kernel.h"
#include "ringkernel/runtime/topic_trie.h"

namespace rk {

struct SubscriptionOptions {
  std::uint64_t capacity = 256;
  std::uint32_t max_payload = 1024;  // of a host subscription
  Overflow overflow = Overflow::kFail;
};

class Subscription {
 public:
  // `kernel`: nullptr for the host, which receives through port().
  Subscription(std::string pattern, const SubscriptionOptions& options, std::shared_ptr<Kernel> kernel,
               const std::shared_ptr<MemorySource>& memory);

  // kOk: it is in the ring, or dropped by policy. kFull, kClosed, kTooLarge.
  Status offer(const MessageHeader& header, const std::byte* payload);
  void count_refused() { refused_.fetch_add(1, std::memory_order_relaxed); }

  void close();
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  const std::string& pattern() const { return pattern_; }
  const SubscriptionOptions& options() const { return options_; }
  HostPort& port() { return *port_; }  // of a host subscription
  Kernel* kernel() const { return kernel_.get(); }
  RingStats stats();  // dead-lettered: had no room, or did not fit

 private:
  Lane* lane_to(std::uint32_t instance);

  std::string pattern_;
  SubscriptionOptions options_;
  std::shared_ptr<Kernel> kernel_;
  std::unique_ptr<HostPort> port_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Lane>> lanes_;  // by instance
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> closed_{false};
};

struct TopicInfo {
  std::string topic;
  std::uint64_t published = 0;
  bool retained = false;
};

class Topics {
 public:
  static constexpr std::size_t kMaxKnown = 65536;  // topics that are counted by name

  // `refused` is told what was not delivered. Returns how many subscribers got it. `poll` is called at least every 50
  // ms of waiting and may throw to stop waiting.
  using Refused = std::function<void(Subscription&, Status, const MessageHeader&, const std::byte*)>;
  using Poll = std::function<void()>;
  std::uint32_t publish(std::string_view topic, const MessageHeader& header, const std::byte* payload, bool retain,
                        std::uint64_t deadline_ns, const Refused& refused, const Poll& poll);

  // Throws Error("TopicError"), Lane::GeometryFailure, std::bad_alloc. Retained messages are there when it returns.
  std::shared_ptr<Subscription> subscribe(std::string pattern, const SubscriptionOptions& options,
                                          std::shared_ptr<Kernel> kernel, const std::shared_ptr<MemorySource>& memory,
                                          const Refused& refused);
  void unsubscribe(const std::shared_ptr<Subscription>& subscription);
  void forget(const Kernel& kernel);  // it has ended
  void close();

  std::vector<TopicInfo> topics();
  bool clear_retained(std::string_view topic);
  RingStats host_stats();  // of all host subscriptions, ended ones too

 private:
  struct Retained {
    std::uint64_t order;
    Frame frame;
  };

  void retain_and_count(std::string_view topic, const MessageHeader& header, const std::byte* payload, bool retain);
  Status offer_until(Subscription& subscription, const MessageHeader& header, const std::byte* payload,
                     std::uint64_t deadline_ns, const Poll& poll);

  std::shared_mutex mutex_;
  TopicTrie<std::shared_ptr<Subscription>> trie_;
  std::vector<std::shared_ptr<Subscription>> all_;
  RingStats ended_;
  std::mutex facts_;
  RetainedTrie<std::shared_ptr<const Retained>> retained_;
  std::map<std::string, TopicInfo, std::less<>> known_;
  std::uint64_t retained_count_ = 0;
};

}  // namespace rk
