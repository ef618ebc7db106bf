// An instance that has sent more than a link should hold takes no message before there is room; and what the host is
// told of links.
//
// Whom it waits for may wait for it: the host knows who waits for whom, and is asked when a receiver takes long.
//
// Protection: Block::blocked to told_blocked: the first thread's, between messages.
#pragma once

#include "kernels/cuda/services.cuh"

namespace rk {
namespace device {

constexpr u64 kPatience = 50000;  // ns that a receiver has to make room before the host is asked

RK_OP bool is_over_limit(const LinkEntry& entry) {
  if (state_of(&entry) != kLinkOpen) return false;
  const LinkRing& ring = *at<LinkRing>(entry.ring);
  return ring.limit != 0 && depth_of(ring) > ring.limit;
}

// Any other one.
RK_COLD void find_blocked(Block& block) {
  block.more_blocked = 0;
  RK_UNROLL(1)
  for (u32 index = 0; index < block.grid->target_count; ++index) {
    const LinkTarget& target = at<LinkTarget>(block.grid->targets)[index];
    const u32 count = count_of(target);
    RK_UNROLL(1)
    for (u32 to = 0; to < count; ++to) {
      const LinkEntry& entry = *entry_of(block, target, count, to);
      if (!is_over_limit(entry)) continue;
      block.more_blocked = block.blocked != 0 ? 1 : 0;
      if (block.blocked != 0) return;
      block.blocked = reinterpret_cast<u64>(&entry);
      block.blocked_target = index;
      block.blocked_to = to;
      block.blocked_at = rk_globaltimer();
    }
  }
}

RK_COLD void tell_unblocked(Block& block) {
  if (block.told_blocked == 0) return;
  block.told_blocked = 0;
  const SendBody body{0, block.blocked_target, block.blocked_to};
  send_up(block, kUpBlocked, &body, sizeof(body), nullptr, nullptr);
}

// Before a command is answered: a way that was closed before it is not looked at afterwards.
RK_COLD void look_for_room(Block& block) {
  if (block.blocked != 0) {
    if (is_over_limit(*at<LinkEntry>(block.blocked))) return;
    tell_unblocked(block);
    block.blocked = 0;
  }
  if (block.more_blocked != 0) find_blocked(block);
}

// The host knows who waits for whom. True: to take a message is what the others wait for.
RK_COLD bool ask_to_go_on(Block& block) {
  SendBody body{++block.requests, block.blocked_target, block.blocked_to};
  if (!send_up(block, kUpBlocked, &body, sizeof(body), nullptr, nullptr)) return false;
  Rest mine;
  while (rk_ld_acquire_gpu(&block.work->answered) != body.request) {  // A1: the answer's words
    if (given_up(block)) return false;
    rest(mine);
  }
  if (block.work->answer_value != 0) return true;
  block.told_blocked = 1;
  return false;
}

RK_OP bool may_take(Block& block) {
  if (block.blocked == 0) return true;
  if (block.told_blocked != 0 || rk_globaltimer() - block.blocked_at < kPatience) return false;
  return waiting(block) != 0 && ask_to_go_on(block);
}

// What senders gave it beside the host, and what of that is over.
RK_COLD void report_links(const Block& block) {
  const u32 count = rk_ld_relaxed_gpu(&block.work->link_count);  // E2: links are there before they are counted
  if (count == 0 || block.grid->links_host == 0) return;
  u64* lines = word_at(block.grid->links_host, static_cast<u64>(block.instance) * kMaxIncoming * kLinkWords);
  RK_UNROLL(1)
  for (u32 place = threadIdx.x; place < count; place += RK_BLOCK_SIZE) {
    const LinkRing* ring = link_at(block, place);
    if (ring == nullptr) continue;
    u64* line = lines + static_cast<u64>(place) * kLinkWords;
    rk_st_relaxed_sys(line + 2, rk_ld_relaxed_gpu(&ring->read));     // S1: read first, it is not more than accepted
    rk_st_relaxed_sys(line + 3, rk_ld_relaxed_gpu(&ring->waits));    // S1: the same
    rk_st_relaxed_sys(line + 1, rk_ld_relaxed_gpu(&ring->refused));  // S1: the same
    rk_st_relaxed_sys(line, rk_ld_relaxed_gpu(&ring->accepted));     // S1: the same
  }
}

}  // namespace device
}  // namespace rk
