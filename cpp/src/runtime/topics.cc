#include "ringkernel/runtime/topics.h"

#include <algorithm>
#include <cstring>

#include "ringkernel/runtime/error.h"

namespace rk {

// -- one subscription -------------------------------------------------------------------------------------------------

Subscription::Subscription(std::string pattern, const SubscriptionOptions& options, std::shared_ptr<Kernel> kernel,
                           const std::shared_ptr<MemorySource>& memory)
    : pattern_(std::move(pattern)), options_(options), kernel_(std::move(kernel)) {
  if (!kernel_) port_ = std::make_unique<HostPort>(memory);
  lanes_.resize(kernel_ ? kernel_->instances() : 1);
  lane_to(0);  // what cannot be made is told now
}

Lane* Subscription::lane_to(std::uint32_t instance) {
  std::shared_ptr<Lane>& lane = lanes_[instance];
  if (lane) return lane.get();
  LaneOptions wanted = kernel_ ? kernel_->lane_options() : LaneOptions{};
  if (!kernel_) wanted.slot_size = lane_slot_size(options_.max_payload);
  wanted.capacity = options_.capacity;
  wanted.overflow = options_.overflow;
  lane = kernel_ ? kernel_->open_lane(instance, wanted, nullptr) : port_->inbox().open(wanted);
  return lane.get();
}

Status Subscription::offer(const MessageHeader& header, const std::byte* payload) {
  const std::lock_guard lock(mutex_);
  if (closed()) return Status::kClosed;
  const std::uint32_t to = kernel_ ? kernel_->choose_instance(header.type_id, {payload, header.payload_size}) : 0;
  Lane* lane = lane_to(to);
  if (lane == nullptr) return Status::kClosed;
  MessageHeader addressed = header;
  addressed.dest = kernel_ ? Address::make(kernel_->address().node(), kernel_->address().kernel(), to).word : 0;
  const Status status = lane->put(addressed, payload);
  if (status == Status::kOk) lane->publish();
  return status;
}

void Subscription::close() {
  const std::lock_guard lock(mutex_);
  if (closed_.exchange(true)) return;
  for (const auto& lane : lanes_) {
    if (lane) lane->close();
    if (lane) lane->abandon();
  }
  if (port_) port_->kick();
}

RingStats Subscription::stats() {
  const std::lock_guard lock(mutex_);
  RingStats sum;
  for (const auto& lane : lanes_) {
    if (lane) sum += lane->stats();
  }
  sum.dead_lettered = refused_.load(std::memory_order_relaxed);
  sum.accepted += sum.dead_lettered;
  return sum;
}

// -- all of them ------------------------------------------------------------------------------------------------------

std::uint32_t Topics::publish(std::string_view topic, const MessageHeader& header, const std::byte* payload,
                              bool retain, std::uint64_t deadline_ns, const Refused& refused, const Poll& poll) {
  if (const std::string problem = check_topic(topic); !problem.empty()) throw Error("TopicError", problem);
  std::vector<std::shared_ptr<Subscription>> receivers;
  {
    // Counted under the same lock: who subscribes meanwhile gets the message once, as retained or as published.
    const std::shared_lock lock(mutex_);
    trie_.match(topic, [&](const std::shared_ptr<Subscription>& one) { receivers.push_back(one); });
    retain_and_count(topic, header, payload, retain);
  }
  std::uint32_t delivered = 0;
  for (const auto& one : receivers) {
    const Status status = offer_until(*one, header, payload, deadline_ns, poll);
    if (status == Status::kOk) {
      ++delivered;
    } else if (status != Status::kClosed) {
      one->count_refused();
      refused(*one, status, header, payload);
    }
  }
  return delivered;
}

Status Topics::offer_until(Subscription& subscription, const MessageHeader& header, const std::byte* payload,
                           std::uint64_t deadline_ns, const Poll& poll) {
  for (unsigned tries = 1;; ++tries) {
    const Status status = subscription.offer(header, payload);
    if (status != Status::kFull || subscription.options().overflow != Overflow::kBlock) return status;
    if (HostAtomics::monotonic_ns() >= deadline_ns) return status;
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, 100'000);
    if (tries % 128 == 0) poll();
  }
}

void Topics::retain_and_count(std::string_view topic, const MessageHeader& header, const std::byte* payload,
                              bool retain) {
  const std::lock_guard lock(facts_);
  auto known = known_.find(topic);
  if (known == known_.end() && known_.size() < kMaxKnown) {
    known = known_.emplace(std::string(topic), TopicInfo{std::string(topic), 0, false}).first;
  }
  if (known != known_.end()) {
    ++known->second.published;
    known->second.retained |= retain;
  }
  if (!retain) return;
  auto kept = std::make_shared<Retained>();
  kept->order = ++retained_count_;
  kept->frame.resize(sizeof(header) + header.payload_size);
  std::memcpy(kept->frame.data(), &header, sizeof(header));
  if (header.payload_size != 0) std::memcpy(kept->frame.data() + sizeof(header), payload, header.payload_size);
  retained_.put(topic, std::move(kept));
}

std::shared_ptr<Subscription> Topics::subscribe(std::string pattern, const SubscriptionOptions& options,
                                                std::shared_ptr<Kernel> kernel,
                                                const std::shared_ptr<MemorySource>& memory, const Refused& refused) {
  if (const std::string problem = check_pattern(pattern); !problem.empty()) throw Error("TopicError", problem);
  auto made = std::make_shared<Subscription>(pattern, options, std::move(kernel), memory);
  std::vector<std::shared_ptr<const Retained>> kept;
  const std::unique_lock lock(mutex_);
  retained_.match_pattern(pattern, [&](const std::shared_ptr<const Retained>& one) { kept.push_back(one); });
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a->order < b->order; });
  for (const auto& one : kept) {
    const MessageHeader header = header_of(one->frame);
    const Status status = made->offer(header, one->frame.data() + sizeof(header));
    if (status == Status::kOk || status == Status::kClosed) continue;
    made->count_refused();
    refused(*made, status, header, one->frame.data() + sizeof(header));
  }
  trie_.add(pattern, made);
  all_.push_back(made);
  return made;
}

void Topics::unsubscribe(const std::shared_ptr<Subscription>& subscription) {
  subscription->close();
  const std::unique_lock lock(mutex_);
  if (!trie_.remove(subscription->pattern(), subscription)) return;
  std::erase(all_, subscription);
  if (subscription->kernel() == nullptr) ended_ += subscription->stats();
}

void Topics::forget(const Kernel& kernel) {
  std::vector<std::shared_ptr<Subscription>> gone;
  {
    const std::shared_lock lock(mutex_);
    std::copy_if(all_.begin(), all_.end(), std::back_inserter(gone),
                 [&](const auto& one) { return one->kernel() == &kernel; });
  }
  for (const auto& one : gone) unsubscribe(one);
}

void Topics::close() {
  const std::shared_lock lock(mutex_);
  for (const auto& one : all_) one->close();
}

std::vector<TopicInfo> Topics::topics() {
  const std::lock_guard lock(facts_);
  std::vector<TopicInfo> list;
  for (const auto& [name, info] : known_) list.push_back(info);
  return list;
}

bool Topics::clear_retained(std::string_view topic) {
  const std::unique_lock lock(mutex_);
  const std::lock_guard facts(facts_);
  const auto known = known_.find(topic);
  if (known != known_.end()) known->second.retained = false;
  return retained_.erase(topic);
}

RingStats Topics::host_stats() {
  const std::shared_lock lock(mutex_);
  RingStats sum = ended_;
  for (const auto& one : all_) {
    if (one->kernel() == nullptr) sum += one->stats();
  }
  return sum;
}

}  // namespace rk
