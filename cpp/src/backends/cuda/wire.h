// The host's half of the two rings of a grid: it writes the one to the device, and reads the one from there.
//
// Edges (host <-> device, so the scope is the system)
//   D1  host -> router   a unit: its tag is stored last, in one store with its last word
//   D2  router -> host   slots that the router is done with
//   U1  device -> host   a unit: its tag is loaded first, in one load with its last word
//   U2  host -> device   slots that the host is done with
//
// Protection: both: one thread at a time. The rings: device_grid.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ringkernel/abi/device_grid.h"

namespace rk::cuda {

// 12 bytes of a record and the tag of the lap, as two words.
struct alignas(kUnitBytes) Unit {
  std::uint64_t low, high;
};
static_assert(sizeof(Unit) == kUnitBytes);

// slots: a power of two.
struct WireShape {
  std::uint32_t slots = 0, units = 0;

  std::uint32_t tag_of(std::uint64_t slot) const { return static_cast<std::uint32_t>(slot / slots + 1); }
  std::size_t units_of_ring() const { return std::size_t{slots} * units; }
  std::size_t unit_at(std::uint64_t slot, std::uint32_t unit) const {
    return static_cast<std::size_t>(slot % slots) * units + unit;
  }
};

// What the body of a record is put together from.
using BodyParts = std::array<std::span<const std::byte>, 3>;

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

class DownWriter {
 public:
  // `max_body`: bytes of the longest; two records of it fit into the ring. `line`: whose reader takes from it.
  DownWriter(Unit* ring, WireShape shape, std::uint32_t max_body, const DeviceLine& line);

  bool has_room_for(std::size_t body_bytes) {
    return has_room(slots_of_record(static_cast<u32>(body_bytes), shape_.units));
  }
  // False: there is no room.
  bool try_put(std::uint32_t kind, std::uint32_t instance, const BodyParts& body = {});
  std::uint64_t written() const { return slot_; }  // slots
  bool drained() const;                            // the router has taken everything

 private:
  bool has_room(std::uint64_t slots);
  void store(std::uint64_t slot, std::uint32_t unit, const std::byte* twelve);

  Unit* ring_;
  WireShape shape_;
  const DeviceLine& line_;
  std::uint64_t slot_ = 0, read_seen_ = 0;
  std::vector<std::byte> body_;
};

class UpReader {
 public:
  UpReader(const Unit* ring, WireShape shape, std::uint32_t max_body, HostLine& line);

  struct Record {
    RecordHead head;
    std::span<const std::byte> body;
  };
  // The same record until it is released. nullptr: none is complete. Throws Error when there is one that cannot be.
  const Record* try_peek();
  void release();
  void publish();  // that the slots of what was released are free

 private:
  bool load(std::uint64_t slot, std::uint32_t unit, std::byte* twelve) const;

  const Unit* ring_;
  WireShape shape_;
  std::uint32_t max_body_;
  HostLine& line_;
  std::uint64_t slot_ = 0, published_ = 0;
  std::size_t there_ = 0;  // units of the record that were read
  bool whole_ = false;
  std::vector<std::byte> bytes_;  // head and body
  Record record_{};
};

}  // namespace rk::cuda
