#include "wire.h"

#include <cstring>
#include <string>

#include "ringkernel/runtime/control.h"
#include "ringkernel/runtime/error.h"

namespace rk::cuda {
namespace {

std::size_t padded(std::size_t bytes) { return (bytes + kUnitPayload - 1) / kUnitPayload * kUnitPayload; }

}  // namespace

DownWriter::DownWriter(Unit* ring, WireShape shape, std::uint32_t max_body, const DeviceLine& line)
    : ring_(ring), shape_(shape), line_(line), body_(padded(max_body)) {}

bool DownWriter::has_room(std::uint64_t slots) {
  if (slot_ + slots - read_seen_ <= shape_.slots) return true;
  read_seen_ = load_acquire(line_.down_read);  // D2
  return slot_ + slots - read_seen_ <= shape_.slots;
}

bool DownWriter::drained() const { return load_acquire(line_.down_read) >= slot_; }  // D2

void DownWriter::store(std::uint64_t slot, std::uint32_t unit, const std::byte* twelve) {
  Unit& to = ring_[shape_.unit_at(slot, unit)];
  std::uint64_t low = 0;
  std::uint32_t last = 0;
  std::memcpy(&low, twelve, sizeof(low));
  std::memcpy(&last, twelve + sizeof(low), sizeof(last));
  store_relaxed(to.low, low);                                                            // D1
  store_release(to.high, last | static_cast<std::uint64_t>(shape_.tag_of(slot)) << 32);  // D1
}

// From the last unit to the first: who polls the head finds the rest there, most often.
bool DownWriter::try_put(std::uint32_t kind, std::uint32_t instance, const BodyParts& body) {
  std::size_t bytes = 0;
  for (const auto& part : body) bytes += part.size();
  const std::uint64_t slots = slots_of_record(static_cast<u32>(bytes), shape_.units);
  if (!has_room(slots)) return false;
  std::size_t at = 0;
  for (const auto& part : body) {
    if (!part.empty()) std::memcpy(body_.data() + at, part.data(), part.size());
    at += part.size();
  }
  std::memset(body_.data() + bytes, 0, padded(bytes) - bytes);
  for (std::size_t unit = padded(bytes) / kUnitPayload; unit-- > 0;) {
    const std::size_t place = unit + 1;  // behind the head
    store(slot_ + place / shape_.units, static_cast<std::uint32_t>(place % shape_.units),
          body_.data() + unit * kUnitPayload);
  }
  const RecordHead head{kind, instance, static_cast<u32>(bytes)};
  store(slot_, 0, reinterpret_cast<const std::byte*>(&head));
  slot_ += slots;
  return true;
}

UpReader::UpReader(const Unit* ring, WireShape shape, std::uint32_t max_body, HostLine& line)
    : ring_(ring), shape_(shape), max_body_(max_body), line_(line), bytes_(padded(sizeof(RecordHead) + max_body)) {}

bool UpReader::load(std::uint64_t slot, std::uint32_t unit, std::byte* twelve) const {
  const Unit& from = ring_[shape_.unit_at(slot, unit)];
  const std::uint64_t high = load_acquire(from.high);  // U1
  if (static_cast<std::uint32_t>(high >> 32) != shape_.tag_of(slot)) return false;
  const std::uint64_t low = load_relaxed(from.low);  // U1
  const auto last = static_cast<std::uint32_t>(high);
  std::memcpy(twelve, &low, sizeof(low));
  std::memcpy(twelve + sizeof(low), &last, sizeof(last));
  return true;
}

const UpReader::Record* UpReader::try_peek() {
  if (whole_) return &record_;
  if (there_ == 0) {
    if (!load(slot_, 0, bytes_.data())) return nullptr;
    std::memcpy(&record_.head, bytes_.data(), sizeof(RecordHead));
    if (record_.head.bytes > max_body_) {
      throw Error("DeviceError", "a record of kind " + std::to_string(record_.head.kind) + " with " +
                                     std::to_string(record_.head.bytes) +
                                     " bytes came from the device: its memory was overwritten, or the library is "
                                     "broken; please report it");
    }
    there_ = 1;
  }
  const std::size_t needed = 1 + padded(record_.head.bytes) / kUnitPayload;
  for (; there_ < needed; ++there_) {
    const auto unit = static_cast<std::uint32_t>(there_ % shape_.units);
    if (!load(slot_ + there_ / shape_.units, unit, bytes_.data() + there_ * kUnitPayload)) return nullptr;
  }
  record_.body = std::span(bytes_).subspan(sizeof(RecordHead), record_.head.bytes);
  whole_ = true;
  return &record_;
}

void UpReader::release() {
  slot_ += slots_of_record(record_.head.bytes, shape_.units);
  whole_ = false;
  there_ = 0;
  if (slot_ - published_ >= shape_.slots / 4) publish();
}

void UpReader::publish() {
  if (published_ == slot_) return;
  published_ = slot_;
  store_release(line_.up_read, u64{published_});  // U2
}

}  // namespace rk::cuda
