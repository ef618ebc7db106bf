// Records on the rings over the bus: a slot as a warp of the router reads it, and the writer of the ring to the host.
//
// Protection: Slot: the registers of one warp. UpWriter: one thread's; the slots between its ticket and the next one
// are its own until it is done.
#pragma once

#include "kernels/cuda/block.cuh"

namespace rk {
namespace device {

constexpr u32 kUnitsOfLane = (kMaxUnits + RK_LANES - 1) / RK_LANES;

// -- host to device ---------------------------------------------------------------------------------------------------

// Unit u is in lane u % RK_LANES. `there`: which units have the tag of the lap.
struct Slot {
  rk_unit units[kUnitsOfLane];
  u32 there;
};

RK_OP u32 log2_of(u32 power) { return 31 - rk_clz_u32(power); }
RK_OP u32 tag_of(u64 slot, u32 slots) { return static_cast<u32>(slot >> log2_of(slots)) + 1; }

RK_COLD void read_slot(Slot& into, const rk_unit* ring, u64 slot, u32 slots, u32 units, u32 lane) {
  const rk_unit* first = ring + (slot & (slots - 1)) * units;
  const u32 tag = tag_of(slot, slots);
  u32 there = 0;
  RK_UNROLL(32)
  for (u32 i = 0; i < kUnitsOfLane; ++i) {
    const u32 unit = lane + i * RK_LANES;
    bool fresh = false;
    if (unit < units) {
      into.units[i] = rk_ld_unit_sys(first + unit);  // D1: the tag of this lap comes with the bytes
      fresh = into.units[i].tag == tag;
    }
    there |= rk_router_ballot(fresh) << (i * RK_LANES);
  }
  into.there = there;
}

// Word `n` of unit `UNIT`, for all lanes.
template <u32 UNIT>
RK_OP u32 word_of(const Slot& slot, u32 n) {
  return rk_router_shfl(slot.units[UNIT / RK_LANES].word[n], UNIT % RK_LANES);
}
template <u32 N>
RK_OP u32 body_word(const Slot& slot) {
  return word_of<1 + N / 3>(slot, N % 3);
}
template <u32 N>
RK_OP u64 body_long(const Slot& slot) {
  return body_word<N>(slot) | static_cast<u64>(body_word<N + 1>(slot)) << 32;
}

// The units that `bytes` bytes of body take, as a mask; `head`: behind a head.
RK_OP u32 units_of(u32 bytes, u32 units, bool head) {
  u64 count = (static_cast<u64>(bytes) + kUnitPayload - 1) / kUnitPayload + (head ? 1 : 0);
  if (count > units) count = units;
  return static_cast<u32>((u64{1} << count) - 1);
}

// Stores the body bytes in the slot's units from `first` on: to[0] is the body's byte in unit `first`. Whole words: the
// bytes behind an odd end are the ring's padding, and there is room for them.
RK_OP void copy_units(const Slot& slot, u32 first, u8* to, u32 bytes, u32 units, u32 lane) {
  RK_UNROLL(32)
  for (u32 i = 0; i < kUnitsOfLane; ++i) {
    const u32 unit = lane + i * RK_LANES;
    if (unit < first || unit >= units) continue;
    const u32 begin = (unit - first) * kUnitPayload;
    RK_UNROLL(32)
    for (u32 n = 0; n < 3; ++n) {
      if (begin + n * 4 < bytes) rk_store_u32(to + begin + n * 4, slot.units[i].word[n]);
    }
  }
}

// -- device to host ---------------------------------------------------------------------------------------------------

struct UpWriter {
  rk_unit* ring;
  u64 slot;
  u32 slots, units, at, filled;
  rk_unit unit;
};

RK_OP bool has_room(u64 end, u64 read, u32 slots) { return end - read <= slots; }

// False: the host has given up.
RK_COLD bool wait_for_room(Block& block, u64 end) {
  const GridBlock& grid = *block.grid;
  const HostLine& host = *at<HostLine>(grid.host_line);
  Rest mine;
  for (u32 turn = 0;; ++turn) {
    if (has_room(end, rk_ld_acquire_gpu(&grid.up_read), grid.up_slots)) return true;  // U2: the host is done with them
    const bool look = turn % 64 == 63;                                                // the router may be away
    if (look && has_room(end, rk_ld_acquire_sys(&host.up_read), grid.up_slots)) return true;  // U2: the same, at once
    if (given_up(block)) return false;
    rest(mine);
  }
}

RK_OP void flush_unit(UpWriter& up) {
  up.unit.tag = tag_of(up.slot, up.slots);
  rk_st_unit_sys(up.ring + (up.slot & (up.slots - 1)) * up.units + up.at, up.unit);  // U1: bytes and tag at once
  up.unit = rk_unit{};
  up.filled = 0;
  if (++up.at < up.units) return;
  up.at = 0;
  ++up.slot;
}

RK_OP void put(UpWriter& up, u32 word) {
  if (up.filled == 0) up.unit.word[0] = word;
  if (up.filled == 1) up.unit.word[1] = word;
  if (up.filled == 2) up.unit.word[2] = word;
  if (++up.filled == 3) flush_unit(up);
}

// The word at `bytes`, of which `left` bytes are there.
RK_OP u32 word_from(const u8* bytes, u32 left) {
  if (left >= 4 && (reinterpret_cast<u64>(bytes) & 3) == 0) return rk_load_u32(bytes);
  u32 word = 0;
  RK_UNROLL(1)
  for (u32 n = 0; n < 4 && n < left; ++n) word |= static_cast<u32>(bytes[n]) << (8 * n);
  return word;
}

// Several units' words are loaded before the first unit is stored: the loads would wait for each other behind stores.
constexpr u32 kUnitsAtOnce = 4;
RK_OP void put_units(UpWriter& up, const u8* bytes) {
  u32 words[kUnitsAtOnce * 3];
  RK_UNROLL(32)
  for (u32 n = 0; n < kUnitsAtOnce * 3; ++n) words[n] = rk_load_u32(bytes + n * 4);
  RK_UNROLL(32)
  for (u32 n = 0; n < kUnitsAtOnce; ++n) {
    RK_UNROLL(32)
    for (u32 word = 0; word < 3; ++word) up.unit.word[word] = words[n * 3 + word];
    flush_unit(up);
  }
}

RK_OP void put_all(UpWriter& up, const u8* bytes, u32 size) {
  constexpr u32 kAtOnce = kUnitsAtOnce * kUnitPayload;
  const bool aligned = (reinterpret_cast<u64>(bytes) & 3) == 0;
  u32 done = 0;
  RK_UNROLL(1)
  while (done < size) {
    if (aligned && up.filled == 0 && size - done >= kAtOnce) {
      put_units(up, bytes + done);
      done += kAtOnce;
    } else {
      put(up, word_from(bytes + done, size - done));
      done += 4;
    }
  }
}

// A record: `lead` (a body struct, whole words), then header and payload where there are. False: the host has given up.
RK_COLD bool send_up(Block& block, u32 kind, const void* lead, u32 lead_bytes, const MessageHeader* header,
                     const u8* payload) {
  const GridBlock& grid = *block.grid;
  const u32 header_bytes = header == nullptr ? 0 : static_cast<u32>(sizeof(MessageHeader));
  const u32 payload_bytes = header == nullptr ? 0 : header->payload_size;
  const RecordHead head{kind, block.instance, lead_bytes + header_bytes + payload_bytes};
  const u64 needed = slots_of_record(head.bytes, grid.unit_count);
  UpWriter up{};
  up.slot = rk_add_relaxed_gpu(&block.grid->up_write, needed);  // U3: a ticket; nothing is read by it
  if (!wait_for_room(block, up.slot + needed)) return false;
  up.ring = at<rk_unit>(grid.up);
  up.slots = grid.up_slots;
  up.units = grid.unit_count;
  if (RK_REFERENCES) rk_fence_sys();  // U5: what was written to memory that the message may refer to
  RK_UNROLL(1)
  for (u32 part = 0; part < 4; ++part) {
    const void* from = part == 0   ? static_cast<const void*>(&head)
                       : part == 1 ? lead
                       : part == 2 ? static_cast<const void*>(header)
                                   : static_cast<const void*>(payload);
    const u32 size = part == 0   ? static_cast<u32>(sizeof(head))
                     : part == 1 ? lead_bytes
                     : part == 2 ? header_bytes
                                 : payload_bytes;
    put_all(up, static_cast<const u8*>(from), size);
  }
  if (up.filled != 0) flush_unit(up);
  return true;
}

}  // namespace device
}  // namespace rk
