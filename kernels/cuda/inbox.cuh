// Where an instance's messages lie, which one is next, and what is sent back when it is done with one.
//
// Protection: inbox slots: the router's until `turn` says so (I1), then the instance's until the host has learned that
// it is done (I3). LinkRing: as its comment says (L1, L2). Everything else is the block's first thread's.
#pragma once

#include "kernels/cuda/block.cuh"

namespace rk {
namespace device {

RK_OP u8* inbox_slot(const Block& block, u32 priority, u64 n) {
  return block.inboxes + (static_cast<u64>(priority) * block.window + (n & (block.window - 1))) * block.stride;
}
RK_OP u8* link_slot(const LinkRing& ring, u64 n) { return at<u8>(ring.slots_address) + n % ring.slots * ring.stride; }

// -- which message is next --------------------------------------------------------------------------------------------

RK_OP bool looks_ready(const Block& block, u32 priority) {
  const u64 n = block.read[priority];
  return rk_ld_relaxed_gpu(turn_of(inbox_slot(block, priority, n))) == n + 1;  // I1: a look; take_from() acquires
}

RK_OP bool take_from(Block& block, u32 priority) {
  const u64 n = block.read[priority];
  u8* slot = inbox_slot(block, priority, n);
  if (rk_ld_acquire_gpu(turn_of(slot)) != n + 1) return false;  // I1: the slot's bytes
  block.slot = slot;
  block.from = priority;
  return true;
}

RK_OP LinkRing* link_at(const Block& block, u32 place) {
  return at<LinkRing>(rk_ld_acquire_gpu(word_at(block.work->links, place)));  // E2: the ring that it names
}

RK_OP bool take_from_link(Block& block, u32 place) {
  LinkRing* ring = link_at(block, place);
  if (ring == nullptr) return false;
  const u64 n = ring->read;  // own
  u8* slot = link_slot(*ring, n);
  if (rk_ld_acquire_gpu(turn_of(slot)) != n + 1) return false;  // L1: the slot's bytes
  block.slot = slot;
  block.from = kFromLink;
  block.link = reinterpret_cast<u64>(ring);
  return true;
}

// One link for kTurns messages, then the next one. The bell is rung for each message of a link, so that none is looked
// for while it is silent and a look found all of them empty.
RK_COLD bool take_from_links(Block& block) {
  const u32 count = rk_ld_relaxed_gpu(&block.work->link_count);  // E2: links are there before they are counted
  RK_UNROLL(1)
  for (u32 looked = 0; looked < count; ++looked) {
    if (block.next_link >= count) block.next_link = 0;
    if (block.link_row < kTurns && take_from_link(block, block.next_link)) {
      ++block.link_row;
      return true;
    }
    block.link_row = 0;
    ++block.next_link;
  }
  if (count == 1 && take_from_link(block, 0)) return true;  // its turn is over, and nobody else waits
  block.links_waiting = 0;
  return false;
}

// What comes by links has normal priority, and takes turns with the inbox of that.
RK_OP bool take_normal(Block& block, bool inbox) {
  const bool links_first = !inbox || (block.row & kTurns) == 0;
  if (block.links_waiting != 0 && links_first && take_from_links(block)) return true;
  return inbox && take_from(block, kPriorityNormal);
}

RK_OP bool take_priority(Block& block, u32 priority, bool inbox) {
  return priority == kPriorityNormal ? take_normal(block, inbox) : take_from(block, priority);
}

// Those that wait and have been passed over kTurns times in a row.
RK_OP u32 starving_of(Block& block, u32 waiting) {
  u32 starving = 0;
  RK_UNROLL(1)
  for (u32 p = 0; p < kPriorityCount; ++p) {
    if ((waiting >> p & 1) == 0) block.passed[p] = 0;
    if (block.passed[p] >= kTurns) starving |= 1u << p;
  }
  return starving;
}

// Higher priorities first, but those that starve before them, the lowest first.
RK_COLD bool take(Block& block) {
  u32 ready = 0;
  RK_UNROLL(32)
  for (u32 p = 0; p < kPriorityCount; ++p) ready |= looks_ready(block, p) ? 1u << p : 0;
  const u32 waiting = ready | (block.links_waiting != 0 ? 1u << kPriorityNormal : 0);
  if (waiting == 0) return false;
  ++block.row;
  const u32 starving = starving_of(block, waiting);
  RK_UNROLL(1)
  for (u32 n = 0; n < 2 * kPriorityCount; ++n) {
    const bool early = n < kPriorityCount;
    const u32 p = early ? n : 2 * kPriorityCount - 1 - n;
    if (((early ? starving : waiting) >> p & 1) == 0) continue;
    if (!take_priority(block, p, (ready >> p & 1) != 0)) continue;
    block.passed[p] = 0;
    for (u32 lower = 0; lower < p; ++lower) block.passed[lower] += waiting >> lower & 1;
    return true;
  }
  return false;
}

// -- when it is over --------------------------------------------------------------------------------------------------

RK_OP void tell_taken(Block& block, u32 priority) {
  const u32 taken = static_cast<u32>(block.read[priority]);
  block.told[priority] = taken;
  rk_st_release_sys(nth(&block.status->taken0, priority), taken);  // I3: the slots before are free again
}

RK_OP void release(Block& block) {
  block.dirty = 1;
  if (block.from == kFromLink) {
    LinkRing* ring = at<LinkRing>(block.link);
    rk_st_release_gpu(&ring->read, ring->read + 1);  // L2: the sender may use the slot again
    ++block.linked;
    return;
  }
  const u64 read = ++block.read[block.from];
  rk_st_relaxed_gpu(nth(&block.work->read0, block.from), read);  // I2: what the host keeps to is only checked by it
  if (static_cast<u32>(read) - block.told[block.from] >= (block.window + 3) / 4) tell_taken(block, block.from);
}

// Messages that wait, the one in hand among them.
RK_COLD u64 waiting(const Block& block) {
  u64 count = 0;
  RK_UNROLL(1)
  for (u32 p = 0; p < kPriorityCount; ++p) {
    count += rk_ld_relaxed_gpu(nth(&block.work->written0, p)) - block.read[p];  // W1: a number to look at
  }
  const u32 links = rk_ld_relaxed_gpu(&block.work->link_count);  // E2
  RK_UNROLL(1)
  for (u32 place = 0; place < links; ++place) {
    const LinkRing* ring = link_at(block, place);
    if (ring != nullptr) count += rk_ld_relaxed_gpu(&ring->accepted) - ring->read;  // L3: a number to look at
  }
  return count;
}

}  // namespace device
}  // namespace rk
