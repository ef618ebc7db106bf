// What a block keeps in its shared memory, and how its threads wait.
//
// Protection: Block: its first thread's, but for what is marked. `order` to `size` are read by the other threads behind
// the barrier that follows the order. clock (H1), next_id (N2), requests, lock (Q1): any thread of the block, atomic or
// under the lock. blocked to more_blocked: under the lock, and the first thread's between messages. failed to errors:
// added to by all threads (X1), read behind rk_finish().
#pragma once

#include "kernels/cuda/device.cuh"
#include "ringkernel/abi/address.h"
#include "ringkernel/abi/device_grid.h"
#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/version.h"

// Whether the handler takes messages that refer to other memory than theirs: D3, U5.
#ifndef RK_REFERENCES
#define RK_REFERENCES 0
#endif

namespace rk {
namespace device {

enum : u32 { kOrderHandle, kOrderRestore, kOrderReport, kOrderLeave };
constexpr u32 kFromLink = kPriorityCount;  // Block::from: 0 to 3 are inboxes
constexpr u32 kTurns = 64;                 // messages in a row of those with higher priority, or of one link

// Of one histogram; its counts lie in the memory of the device.
struct Latency {
  u64 count, sum, min, max;
};

struct Block {
  GridBlock* grid;
  InstanceWork* work;
  InstanceStatus* status;
  u32 instance, restless;
  u64 lease, offset, max_drift;
  u64 clock, next_id, requests;
  u32 lock, task;

  u32 order, handles;  // handles: the type and size are such that the handler runs
  u8* slot;            // the message in hand: lead, header, payload
  u8* message;
  u32 type_id, size;
  u64 failed, failed_line, errors_by;  // of the lowest thread: ~thread << 32 | value
  u32 errors, from;
  u64 link;  // the LinkRing of the message in hand, if it is of one

  u8* inboxes;
  u32 window, stride;
  u64 read[kPriorityCount];
  u32 told[kPriorityCount];
  u32 passed[kPriorityCount];  // messages that others were given first, in a row
  u32 row, link_row, next_link, links_waiting;
  u64 bell, command, told_epoch;
  u64 handled, reported, linked, failures;
  u32 last_error, phase, exits, told_phase;
  u32 finish, hold, leaves, dirty;
  u32 came_back, rests;  // counted in GridBlock::returned, in resting
  u64 rest_until, serve_until, patience, handled_before;
  u64 moment, idle_since;
  u32 nap, busy_told;
  // The way that is over its limit, and whether there are others; see LinkRing::limit. Written under the lock.
  u64 blocked, blocked_at;
  u32 blocked_target, blocked_to, more_blocked;
  u32 told_blocked;  // the host has said that it waits
  Latency handler, queueing;
};

RK_OP u64* word_at(u64 address, u64 index = 0) { return reinterpret_cast<u64*>(address) + index; }
template <class T>
RK_OP T* at(u64 address, u64 index = 0) {
  return reinterpret_cast<T*>(address) + index;
}
// The nth of words that lie in a row and have names of their own.
RK_OP u64* nth(u64* first, u32 n) { return reinterpret_cast<u64*>(reinterpret_cast<u8*>(first) + n * sizeof(u64)); }
RK_OP u32* nth(u32* first, u32 n) { return reinterpret_cast<u32*>(reinterpret_cast<u8*>(first) + n * sizeof(u32)); }

RK_OP MessageHeader& header_of(u8* slot) { return *reinterpret_cast<MessageHeader*>(slot + kInboxLead); }
RK_OP u8* payload_of(u8* slot) { return slot + kInboxLead + sizeof(MessageHeader); }
RK_OP u64* turn_of(u8* slot) { return reinterpret_cast<u64*>(slot); }

RK_OP bool given_up(const Block& block) {
  return (rk_ld_relaxed_gpu(&block.work->command) & kCommandAbort) != 0;  // C2: a hint to leave; nothing is read by it
}

// `to` is aligned to 8. Payloads may lie anywhere.
RK_COLD void copy_bytes(u8* to, const u8* from, u32 size) {
  u32 done = 0;
  if ((reinterpret_cast<u64>(from) & 7) == 0) {
    for (; done + 8 <= size; done += 8) rk_store_u64(to + done, rk_load_u64(from + done));
  }
  for (; done < size; ++done) to[done] = from[done];
}

// Hot for about 2 us, then naps of 20 ns that double up to 1 us, and to 10 us after 100 ms: who calls a hundred times a
// second does not wait for more than a nap of 1 us (which may take two).
struct Rest {
  u64 since = 0;
  u32 nap = 20;
};
RK_COLD void rest(Rest& mine) {
  const u64 now = rk_globaltimer();
  if (mine.since == 0) mine.since = now;
  const u64 idle = now - mine.since;
  if (idle < 2000) return;
  rk_nanosleep(mine.nap);
  const u32 most = idle > 100000000 ? 10000 : 1000;
  mine.nap = mine.nap * 2 < most ? mine.nap * 2 : most;
}

}  // namespace device
}  // namespace rk
