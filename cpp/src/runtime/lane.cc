#include "ringkernel/runtime/lane.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "ringkernel/runtime/inbox.h"

namespace rk {
namespace {

GeometryError geometry_of(const LaneOptions& options, RingGeometry* out) {
  return options.overflow == Overflow::kDropOldest
             ? Lane::Dropping::geometry(options.capacity, options.slot_size, out)
             : make_geometry(options.capacity, options.slot_size, kLayoutTurn, out);
}

}  // namespace

GeometryError Lane::check(const LaneOptions& options) {
  RingGeometry ignored;
  return geometry_of(options, &ignored);
}

Lane::Lane(Inbox& inbox, const LaneOptions& options, std::shared_ptr<MemorySource> memory,
           const std::shared_ptr<LaneSender>& sender)
    : inbox_(inbox),
      options_(options),
      source_(std::move(memory)),
      sender_(sender),
      sender_is_thread_(sender == nullptr) {
  RingGeometry geometry{};
  const GeometryError error = geometry_of(options, &geometry);
  if (error != GeometryError::kNone) throw GeometryFailure{error};
  if (geometry.total_bytes > physical_memory()) throw std::bad_alloc();
  memory_ = source_->allocate(geometry.total_bytes);
  auto& lines = *create_ring<HostAtomics>(memory_.data(), geometry);
  if (options.overflow == Overflow::kDropOldest) {
    dropping_ = std::make_unique<Dropping>(lines);
    frame_.resize(options.slot_size);
  } else {
    fifo_ = std::make_unique<Fifo>(lines, SpscOptions{Wait::kLatency, 1});
  }
}

Status Lane::put(const MessageHeader& header, const std::byte* payload) {
  if (sizeof(header) + header.payload_size > options_.slot_size) return Status::kTooLarge;
  if (!fifo_) return put_now(header, payload);
  std::byte* slot = try_stage();
  if (slot == nullptr) {
    if (closed()) return Status::kClosed;
    if (options_.overflow != Overflow::kDropNewest) return Status::kFull;
    fifo_->producer().count_dropped(1);
    return Status::kOk;
  }
  std::memcpy(slot, &header, sizeof(header));
  if (header.payload_size != 0) std::memcpy(slot + sizeof(header), payload, header.payload_size);
  return Status::kOk;
}

Status Lane::put_now(const MessageHeader& header, const std::byte* payload) {
  std::memcpy(frame_.data(), &header, sizeof(header));
  if (header.payload_size != 0) std::memcpy(frame_.data() + sizeof(header), payload, header.payload_size);
  const Status status = dropping_->producer().try_push(frame_.data(), sizeof(header) + header.payload_size);
  if (status == Status::kOk) staged_ = 1;
  return status;
}

std::byte* Lane::try_stage() {
  std::byte* slot = fifo_->producer().try_claim(staged_);
  if (slot != nullptr) ++staged_;
  return slot;
}

void Lane::publish() {
  const std::uint64_t count = std::exchange(staged_, 0);
  if (count == 0) return;
  if (fifo_) fifo_->producer().publish(count);
  inbox_.announce(*this);
  HostAtomics::fence_light();  // L2
  if (options_.late_mail != nullptr && closed()) options_.late_mail->take_late(*this);
}

bool Lane::has_room() {
  return closed() || !fifo_ || options_.overflow == Overflow::kDropNewest || fifo_->producer().has_room_exact();
}

bool Lane::wait_for_room(std::uint64_t deadline_ns) {
  return room_.wait([this] { return has_room(); }, deadline_ns);
}

bool Lane::sleep_until_room() {
  return room_.arm([this] { return has_room(); });
}

void Lane::wake_sender() {
  if (sender_is_thread_) {
    room_.unpark();
  } else if (const std::shared_ptr<LaneSender> sender = sender_.lock()) {
    sender->room_appeared();
  }
}

std::uint64_t Lane::free_slots() {
  if (closed()) return 0;
  if (!fifo_) return options_.capacity;
  const std::uint64_t used = fifo_->stats().in_flight + staged_;
  return options_.capacity - std::min(used, options_.capacity);
}

void Lane::close() {
  if (fifo_) {
    fifo_->close();
  } else {
    dropping_->close();
  }
  if (room_.ring()) wake_sender();
}

}  // namespace rk
