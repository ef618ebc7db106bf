// Sending to and receiving from a kernel; its checkpoints.
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "ringkernel/runtime/control.h"
#include "ringkernel/runtime/kernel.h"

namespace rk {
namespace {

// Finalizer of MurmurHash3 (A. Appleby, public domain): every bit of a key decides.
std::uint64_t mix(std::uint64_t key) {
  key = (key ^ (key >> 33)) * 0xFF51AFD7ED558CCDu;
  key = (key ^ (key >> 33)) * 0xC4CEB9FE1A85EC53u;
  return key ^ (key >> 33);
}

std::uint64_t hash_of(std::span<const std::byte> bytes) {
  std::uint64_t hash = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
    hash = mix(hash ^ word);
  }
  return hash;
}

}  // namespace

std::uint32_t Kernel::choose_instance(std::uint32_t type_id, std::span<const std::byte> payload) {
  if (instances() == 1) return 0;
  for (const KeyField& field : options_.route_by) {
    if (field.type_id != type_id || field.offset + field.size > payload.size()) continue;
    return static_cast<std::uint32_t>(hash_of(payload.subspan(field.offset, field.size)) % instances());
  }
  return round_robin_.fetch_add(1, std::memory_order_relaxed) % instances();
}

Status Kernel::try_send(MessageHeader& header, const std::byte* payload, std::uint32_t instance, Address reply_to) {
  header.source = reply_to.word != 0 ? reply_to.word : Address::make(self_.node(), 0).word;
  header.dest = Address::make(self_.node(), self_.kernel(), instance, generation(instance)).word;
  header.hlc = clock_->tick().time;
  try {
    Lane* lane = records_[instance].inbox.lane_of_thread(lane_options_of(instance, header.priority));
    if (lane == nullptr) return Status::kClosed;
    const Status status = lane->put(header, payload);
    if (status == Status::kOk) lane->publish();
    return status;
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  }
}

bool Kernel::wait_for_room(std::uint32_t instance, std::uint8_t priority, std::uint64_t deadline_ns) {
  Lane* lane = records_[instance].inbox.lane_of_thread(lane_options_of(instance, priority));
  return lane == nullptr || lane->wait_for_room(deadline_ns);
}

std::uint64_t Kernel::send_many(const MessageHeader& like, const std::byte* payloads, std::uint64_t count,
                                std::optional<std::uint32_t> instance) {
  if (count == 0) return 0;
  MessageHeader header = like;
  header.source = Address::make(self_.node(), 0).word;
  const std::uint64_t first_id = message_ids_->fetch_add(count, std::memory_order_relaxed) + 1;
  const std::uint64_t first_time = clock_->tick_many(count).time;
  const Inbox::KeepsLanes keeps;
  std::vector<Lane*> touched;
  std::uint64_t sent = 0;
  for (; sent < count; ++sent) {
    const std::byte* payload = payloads + sent * header.payload_size;
    const std::uint32_t to = instance ? *instance : choose_instance(header.type_id, {payload, header.payload_size});
    header.dest = Address::make(self_.node(), self_.kernel(), to, generation(to)).word;
    header.message_id = first_id + sent;
    header.hlc = first_time + sent;
    Lane* lane = records_[to].inbox.lane_of_thread(lane_options_of(to, header.priority));
    if (lane == nullptr || lane->put(header, payload) != Status::kOk) break;
    if (touched.empty() || touched.back() != lane) touched.push_back(lane);
  }
  for (Lane* lane : touched) lane->publish();
  return sent;
}

bool Kernel::receive(std::uint64_t message_id, Frame* out, std::uint64_t deadline_ns) {
  if (!outbox_.take(message_id, out, deadline_ns, [this] { return silent(); })) return false;
  clock_->merge(header_of(*out).hlc);
  return true;
}

std::shared_ptr<Lane> Kernel::open_lane(std::uint32_t instance, const LaneOptions& options,
                                        std::shared_ptr<LaneSender> sender) {
  LaneOptions complete = options;
  complete.late_mail = records_[instance].late_mail;
  return records_[instance].inbox.open(complete, std::move(sender));
}

// -- checkpoints ------------------------------------------------------------------------------------------------------

Checkpoint Kernel::snapshot(std::uint64_t deadline_ns, const Poll& poll) {
  const std::lock_guard lock(mutex_);
  const bool was_active = state() == KernelState::kActive;
  if (hung() || (state() == KernelState::kTerminating)) {
    throw Error("InvalidStateTransition", "kernel '" + options_.name + "' is " + to_string(state()) +
                                              ": a snapshot needs one that rests or can be paused");
  }
  struct GoesOn {  // whatever becomes of the snapshot
    Kernel& kernel;
    bool paused;
    ~GoesOn() { now(); }
    void now() {
      if (std::exchange(paused, false) && !kernel.ended()) kernel.request(1, kTerminateNo);
    }
  } goes_on{*this, was_active};
  if (was_active) {
    request(0, kTerminateNo);
    if (!await_obeyed(deadline_ns, poll)) {
      throw Error("KernelHungError", "the handler of kernel '" + options_.name + "' did not return in time");
    }
  }
  if (!resident_->fetch(deadline_ns)) {
    throw Error("KernelHungError", "kernel '" + options_.name + "' did not leave its device in time");
  }
  Checkpoint made;
  made.kernel = options_.name;
  made.instances = instances();
  made.hlc = clock_->tick().time;
  made.node_id = self_.node();
  made.state_layout = options_.state_layout;
  made.message_layouts = options_.message_layouts;
  made.round_robin = round_robin_.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < instances(); ++i) {
    const std::lock_guard no_restart(states_mutex_);
    const std::span<std::byte> state = handler_->state_of(i);
    if (!made.state_layout.empty()) made.states.emplace_back(state.begin(), state.end());
    if (ended()) continue;
    const auto add = [&](const MessageHeader& header, const std::byte* payload) {
      made.messages.push_back({i, header, {payload, payload + header.payload_size}});
    };
    resident_->for_each_aboard(i, add);
    records_[i].inbox.for_each(add);
  }
  if (was_active && !ended()) {
    goes_on.now();
    await_obeyed(deadline_ns, poll);  // so that it gets somewhere between two snapshots
  }
  return made;
}

bool Kernel::fetch_states(std::uint64_t deadline_ns) {
  const std::lock_guard lock(mutex_);
  return !resident_ || resident_->fetch(deadline_ns);
}

// As it waits here. Who sent it is not of this runtime: an address would lead a reply to a stranger. Nor may a new
// message have its id: a receiver that remembers ids would take one for the other, a caller the reply.
MessageHeader Kernel::adopt(const InFlight& message) {
  MessageHeader header = message.header;
  header.flags &= static_cast<u8>(~kFlagWantsReply);
  header.source = Address::make(self_.node(), 0).word;
  header.dest = Address::make(self_.node(), self_.kernel(), message.instance).word;
  std::uint64_t last = message_ids_->load(std::memory_order_relaxed);
  while (last < header.message_id &&  // never one of the user's: they are below kOwnMessageIds
         !message_ids_->compare_exchange_weak(last, header.message_id, std::memory_order_relaxed)) {
  }
  return header;
}

void Kernel::restore(const Checkpoint& checkpoint) {
  for (std::uint32_t i = 0; i < checkpoint.states.size(); ++i) {
    const std::span<std::byte> state = handler_->state_of(i);
    std::memcpy(state.data(), checkpoint.states[i].data(), std::min(state.size(), checkpoint.states[i].size()));
  }
  if (!checkpoint.states.empty()) resident_->store();
  round_robin_.store(static_cast<std::uint32_t>(checkpoint.round_robin), std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < instances(); ++i) {
    for (std::uint8_t priority = 0; priority < kPriorityCount; ++priority) {
      std::vector<const InFlight*> mine;
      for (const InFlight& one : checkpoint.messages) {
        if (one.instance == i && one.header.priority == priority) mine.push_back(&one);
      }
      if (mine.empty()) continue;
      LaneOptions options = lane_options(priority);
      while (options.capacity < mine.size()) options.capacity *= 2;
      const std::shared_ptr<Lane> lane = open_lane(i, options, nullptr);
      for (const InFlight* one : mine) lane->put(adopt(*one), one->payload.data());
      lane->publish();
      lane->abandon();
    }
  }
}

}  // namespace rk
