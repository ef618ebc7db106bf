#include "instance_sender.h"

#include <algorithm>
#include <cstring>

namespace rk {
namespace {

// Receiver, priority and whether it is a reply, which needs no edge. The generation of an address does not matter. The
// host gets one stream: what is sent to it needs no edge either.
std::uint64_t key_of(Address to, std::uint8_t priority, bool reply) {
  const bool apart = reply && to.kernel() != 0;
  return (to.word & ~std::uint64_t{0xFFFF}) | (static_cast<std::uint64_t>(priority) << 1) | (apart ? 1 : 0);
}

bool blocks(const Route& route) { return !route.edge || route.edge->options().overflow == Overflow::kBlock; }

}  // namespace

bool WaitGraph::enter(const void* waiter, const void* receiver) {
  const std::lock_guard lock(mutex_);
  for (const void* at = receiver; at != nullptr;) {
    if (at == waiter) return false;
    const auto next = waits_for_.find(at);
    at = next != waits_for_.end() ? next->second : nullptr;
  }
  waits_for_[waiter] = receiver;
  return true;
}

void WaitGraph::leave(const void* waiter) {
  const std::lock_guard lock(mutex_);
  waits_for_.erase(waiter);
}

InstanceSender::Way* InstanceSender::way_to(const MessageHeader& header, bool reply, Status* status) {
  const Address to{header.dest};
  const std::uint64_t key = key_of(to, header.priority, reply);
  if (key == last_key_) return last_;
  auto found = ways_.find(key);
  if (found == ways_.end()) {
    if (to.kernel() == 0) forget_closed_ports();
    Route route = switchboard_.open_route({self_, to, header.priority, reply}, me_.keep());
    *status = route.status;
    if (route.status != Status::kOk) return nullptr;
    auto way = std::make_unique<Way>();
    way->route = std::move(route);
    found = ways_.emplace(key, std::move(way)).first;
  }
  last_key_ = key;
  return last_ = found->second.get();
}

Status InstanceSender::send(const MessageHeader& header, const std::byte* payload, bool reply) {
  Status status = Status::kClosed;
  Way* way = way_to(header, reply, &status);
  if (way == nullptr) return status;
  if (way->spilled != 0) return spill(*way, header, payload);
  Lane& lane = *way->route.lane;
  status = lane.put(header, payload);
  if (status == Status::kFull) {
    lane.publish();  // the receiver may be able to make room once it sees them
    if (!blocks(way->route)) return status;
    lane.count_blocked();
    return spill(*way, header, payload);
  }
  if (status == Status::kClosed) forget(header, reply);
  if (status != Status::kOk) return status;
  if (way->route.edge) way->route.edge->note_send(lane);
  touch(*way);
  return status;
}

// A receiver that is gone does not come back: its memory must not wait for us.
void InstanceSender::forget(const MessageHeader& header, bool reply) {
  const auto found = ways_.find(key_of(Address{header.dest}, header.priority, reply));
  if (found == ways_.end() || found->second->touched || found->second->spilled != 0) return;
  ways_.erase(found);
  last_key_ = ~std::uint64_t{0};
}

// Each event loop that ever asked us had a port. Few handlers find a new one often.
void InstanceSender::forget_closed_ports() {
  std::erase_if(ways_, [](const auto& entry) {
    const Way& way = *entry.second;
    return way.route.waits_for == nullptr && !way.touched && way.spilled == 0 && way.route.lane->closed();
  });
  last_key_ = ~std::uint64_t{0};
}

Status InstanceSender::spill(Way& way, const MessageHeader& header, const std::byte* payload) {
  if (way.route.lane->closed()) return Status::kClosed;
  const bool to_host = way.route.waits_for == nullptr;
  if ((to_host ? way.spilled : spilled_.size()) >= spill_limit_) {
    if (!to_host) return Status::kFull;
    // The host cannot wait for itself through us: a handler that sends it a flood waits where it is. Only for the host:
    // what waits for other kernels, or for room in our own inbox, may need us to go on.
    const auto has_room = [&] {
      flush();
      return way.spilled < spill_limit_;
    };
    if (!me_.wait_for_host(has_room)) return Status::kClosed;
    if (way.spilled == 0) return send(header, payload, (header.flags & kFlagReply) != 0);
  }
  if (sizeof(header) + header.payload_size > way.route.lane->options().slot_size) return Status::kTooLarge;
  Frame frame(sizeof(header) + header.payload_size);
  std::memcpy(frame.data(), &header, sizeof(header));
  if (header.payload_size != 0) std::memcpy(frame.data() + sizeof(header), payload, header.payload_size);
  spilled_.push_back({&way, std::move(frame)});
  ++way.spilled;
  return Status::kOk;
}

void InstanceSender::touch(Way& way) {
  if (way.touched) return;
  way.touched = true;
  touched_.push_back(&way);
}

void InstanceSender::publish() {
  for (Way* way : touched_) {
    way->touched = false;
    way->route.lane->publish();
  }
  touched_.clear();
}

// In order for each lane: behind one that does not fit, the others of its lane wait too.
bool InstanceSender::flush() {
  std::vector<Way*> full;
  std::erase_if(spilled_, [&](Spilled& one) {
    if (std::find(full.begin(), full.end(), one.way) != full.end()) return false;
    if (retry(one)) return true;
    full.push_back(one.way);
    return false;
  });
  publish();
  return spilled_.empty();
}

bool InstanceSender::retry(Spilled& one) {
  const MessageHeader header = header_of(one.frame);
  const Status status = one.way->route.lane->put(header, one.frame.data() + sizeof(header));
  if (status == Status::kFull) return false;
  --one.way->spilled;
  if (status == Status::kOk) {
    touch(*one.way);
  } else {
    switchboard_.bury(DeadLetterReason::kUndeliverable, Address{header.dest}, header, one.frame.data() + sizeof(header),
                      "the receiver ended before there was room");
  }
  return true;
}

std::uint64_t InstanceSender::free_slots(Address to) {
  MessageHeader header{};
  header.dest = to.word;
  header.priority = kPriorityNormal;
  Status status = Status::kClosed;
  Way* way = way_to(header, false, &status);
  return way != nullptr && way->spilled == 0 ? way->route.lane->free_slots() : 0;
}

const Route* InstanceSender::route_of(const MessageHeader& header) {
  Status status = Status::kClosed;
  const Way* way = way_to(header, false, &status);
  return way != nullptr && way->spilled == 0 ? &way->route : nullptr;
}

void InstanceSender::end() {
  for (const Spilled& one : spilled_) {
    const MessageHeader header = header_of(one.frame);
    switchboard_.bury(DeadLetterReason::kBackPressure, Address{header.dest}, header, one.frame.data() + sizeof(header),
                      "the sender ended before there was room");
  }
  spilled_.clear();
  publish();
  for (auto& [key, way] : ways_) way->route.lane->abandon();
  ways_.clear();
  last_key_ = ~std::uint64_t{0};
  last_ = nullptr;
}

}  // namespace rk
