#include "link.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "bridge.h"
#include "ringkernel/runtime/error.h"
#include "ringkernel/runtime/scheduler.h"

namespace rk::cuda {

// -- counts -----------------------------------------------------------------------------------------------------------

void LinkCounts::told(std::uint64_t accepted, std::uint64_t refused, std::uint64_t read, std::uint64_t waits) {
  read = std::max(read, read_.load_relaxed());                           // S
  accepted = std::max({accepted, read, accepted_.load_relaxed()});       // S half a look at them is no news
  accepted_.store_relaxed(accepted);                                     // S
  refused_.store_relaxed(std::max(refused, refused_.load_relaxed()));    // S
  read_.store_relaxed(read);                                             // S
  waits_.store_relaxed(std::max(waits, waits_.load_relaxed()));          // S
  most_.store_relaxed(std::max(most_.load_relaxed(), accepted - read));  // S
}

RingStats LinkCounts::stats() const {
  RingStats stats;
  const std::uint64_t read = read_.load_relaxed();                          // S
  const std::uint64_t accepted = std::max(accepted_.load_relaxed(), read);  // S
  if (shape_.drops) stats.dropped = refused_.load_relaxed();                // S
  stats.accepted = accepted + stats.dropped;
  stats.delivered = read;
  stats.in_flight = accepted - read;
  stats.high_water = std::max(most_.load_relaxed(), stats.in_flight);  // S
  return stats;
}

void LinkCounts::refresh(std::uint64_t deadline_ns) {
  if (const std::shared_ptr<void> there = receiver_.lock()) of_receiver_.refresh(deadline_ns);
}

// -- the end of a way -------------------------------------------------------------------------------------------------

void Link::shut() {
  if (shut_.load_relaxed() != 0) return;  // N1 the receiver's own
  shut_.store_release(1);                 // N1
  counts_->closed();
  const std::lock_guard lock(mutex_);
  if (sender_ != nullptr) sender_->wake();
}

bool Link::receiver_over() {
  shut();
  const std::lock_guard lock(mutex_);
  over_ = true;
  return silent();
}

void Link::leave() {
  const std::lock_guard lock(mutex_);
  sender_ = nullptr;
}

bool Link::fall_silent() {
  const std::lock_guard lock(mutex_);
  sender_ = nullptr;
  silent_.store_release(1);  // N2
  return over_;
}

// Twice: what the first look finds published is whole in the second one.
LinkRing Link::for_each(Heap& heap, const Use& use) const {
  LinkRing ring{};
  heap.read(&ring, memory_->address(), sizeof(ring));
  const std::uint64_t wanted = std::min<std::uint64_t>(ring.accepted - ring.read, shape_.slots);
  if (wanted == 0) return ring;
  std::vector<std::byte> first(std::size_t{shape_.slots} * shape_.stride), second(first.size());
  heap.read(first.data(), ring.slots_address, first.size());
  heap.read(second.data(), ring.slots_address, second.size());
  for (std::uint64_t n = ring.read; n != ring.read + wanted; ++n) {
    const std::size_t at = static_cast<std::size_t>(n % shape_.slots) * shape_.stride;
    std::uint64_t turn = 0;
    std::memcpy(&turn, first.data() + at, sizeof(turn));
    if (turn != n + 1) break;
    MessageHeader header;
    std::memcpy(&header, second.data() + at + kInboxLead, sizeof(header));
    if (header.payload_size > shape_.max_payload) break;
    use(header, second.data() + at + kInboxLead + sizeof(header));
  }
  return ring;
}

// -- the device -------------------------------------------------------------------------------------------------------

void LinkHub::add(const Switchboard& of, Address kernel, Bridge& bridge) {
  const std::lock_guard lock(mutex_);
  bridges_[{&of, kernel.kernel()}] = &bridge;
}

void LinkHub::remove(const Switchboard& of, Address kernel) {
  const std::lock_guard lock(mutex_);
  bridges_.erase({&of, kernel.kernel()});
}

Bridge* LinkHub::find(const Switchboard& of, Address kernel) {
  const std::lock_guard lock(mutex_);
  const auto found = bridges_.find({&of, kernel.kernel()});
  return found == bridges_.end() ? nullptr : found->second;
}

// How many instances the others have, and their capacity, is not known yet: they are taken for its like.
void LinkHub::expect(const ResidentSpec& spec, const DeviceCode& code) {
  const auto hosts = std::count(code.targets.begin(), code.targets.end(), "host");
  const std::size_t targets = code.targets.size() - static_cast<std::size_t>(hosts);
  const std::size_t ring = std::size_t{spec.capacity} * (sizeof(MessageHeader) + 2 * spec.max_payload);
  if (targets == 0 || ring > kMostExpected) return;
  try {
    heap_->have_at_hand(std::min(targets * spec.instances->size() * ring, kMostExpected));
  } catch (const Error&) {
    // By the host, then.
  }
}

DeviceMemory LinkHub::take(std::size_t bytes) {
  DeviceMemory piece = heap_->device_memory_at_hand(bytes);
  if (piece.size() != 0) return piece;
  {
    const std::lock_guard lock(mutex_);
    if (reserving_ || reserved_ + bytes > kMostBytes) return piece;
    reserving_ = true;
    reserved_ += bytes;
  }
  scheduler_.later([self = shared_from_this(), bytes] {
    try {
      [[maybe_unused]] const DeviceMemory made = self->heap_->device_memory(bytes);  // for whoever asks next
    } catch (const Error&) {
      // By the host, then.
    }
    const std::lock_guard lock(self->mutex_);
    self->reserving_ = false;
  });
  return piece;
}

}  // namespace rk::cuda
