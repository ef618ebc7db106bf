// Block 0: takes records from the host's ring and brings them to the instances, and keeps the lease.
//
// Warp w has the slots w, w + RK_ROUTER_WARPS, ...: it reads its next one until it is there, so that as many reads of
// the host's memory are under way as there are warps. `turn` goes round: who has it looks what its slot is, takes a
// place in an inbox, passes the turn on, and copies while the next one has it. So places are taken in the order of the
// ring, and copies overlap. A record of several slots is copied by the warps that come to its slots; who is last
// publishes it.
//
// The last warp is the clerk too: it looks at the host's line, passes commands on, and ends the lease.
//
// Protection: Router: turn (R1), copying (R2), over (R3), pieces (R4): atomic. long_*: who has the turn, and only while
// no piece is left. InstanceWork 128 to 255: who has the turn; `command`, GridBlock's router words and DeviceLine: the
// clerk's first lane. Warp, Clerk: registers.
#pragma once

#include "kernels/cuda/clock.cuh"
#include "kernels/cuda/wire.cuh"

namespace rk {
namespace device {

struct Router {
  u64 turn;                      // the slot that is looked at next
  u64 copying[RK_ROUTER_WARPS];  // 1 + the slot that the warp copies, or 0
  u32 over, pieces;              // pieces of the long record that are not copied yet
  u64 long_begin, long_end;      // its slots
  u8* long_slot;                 // in the inbox; nullptr: nobody wants it
  u64 long_turn;
  u32 long_bytes, unused;
};

struct Warp {
  GridBlock* grid;
  Router* router;
  u64 slot, turn;  // its own, and the one that was looked at last
  u32 index, lane;
  Slot held;
};

RK_OP bool is_leader(const Warp& warp) { return warp.lane == 0; }
RK_OP bool is_clerk(const Warp& warp) { return warp.index == RK_ROUTER_WARPS - 1; }
RK_OP InstanceWork& work_of(const GridBlock& grid, u32 instance) { return at<InstanceWork>(grid.works)[instance]; }
RK_OP u64 for_all(u64 value) {
  const u32 low = rk_router_shfl(static_cast<u32>(value), 0);
  return low | static_cast<u64>(rk_router_shfl(static_cast<u32>(value >> 32), 0)) << 32;
}
RK_OP void ring_bell(InstanceWork& work) {
  rk_add_release_gpu(&work.doorbell, u64{1});  // B1: everything before it
}
RK_COLD void report_fault(const GridBlock& grid, u32 fault, u32 detail) {
  DeviceLine& line = *at<DeviceLine>(grid.device_line);
  rk_st_relaxed_sys(&line.fault_detail, detail);  // F1
  rk_st_release_sys(&line.fault, fault);          // F1: its detail
}

// -- whose turn it is -------------------------------------------------------------------------------------------------

enum : u32 { kTurnIsMine = 1, kTurnMoved = 2 };
RK_OP u32 look_at_turn(Warp& warp) {
  u32 found = 0;
  if (is_leader(warp)) {
    const u64 turn = rk_ld_acquire_cta(&warp.router->turn);  // R1: places, long record
    found = (turn == warp.slot ? u32{kTurnIsMine} : 0) | (turn != warp.turn ? u32{kTurnMoved} : 0);
    warp.turn = turn;
  }
  rk_router_sync();
  return rk_router_shfl(found, 0);
}
RK_OP void pass_turn(const Warp& warp) {
  rk_router_sync();
  if (!is_leader(warp)) return;
  rk_st_relaxed_cta(&warp.router->copying[warp.index], warp.slot + 1);  // R2: before the turn goes on
  rk_st_release_cta(&warp.router->turn, warp.slot + 1);                 // R1
}
RK_OP void done_copying(const Warp& warp) {
  rk_router_sync();
  if (is_leader(warp)) rk_st_release_cta(&warp.router->copying[warp.index], u64{0});  // R2: what it published
}

// All records before `slot` are where they belong.
RK_OP bool copied_until(const Router& router, u64 slot) {
  RK_UNROLL(1)
  for (u32 n = 0; n < RK_ROUTER_WARPS; ++n) {
    const u64 busy = rk_ld_acquire_cta(&router.copying[n]);  // R2
    if (busy != 0 && busy <= slot) return false;
  }
  return rk_ld_acquire_cta(&router.pieces) == 0;  // R4
}
RK_OP void wait_for_copies(const Warp& warp) {
  if (is_leader(warp)) {
    while (!copied_until(*warp.router, warp.slot)) rk_nanosleep(20);  // the others need no turn for it
  }
  rk_router_sync();
}

// -- messages ---------------------------------------------------------------------------------------------------------

// Under the turn, by the first lane: a place in the inbox. nullptr: there is none.
RK_COLD u8* take_place(const GridBlock& grid, u32 instance, u32 priority, u64* n) {
  InstanceWork& work = work_of(grid, instance);
  u64* written = nth(&work.written0, priority);
  u32* seen = nth(&work.seen0, priority);
  *n = rk_ld_relaxed_gpu(written);  // W1: own
  if (static_cast<u32>(*n) - *seen >= grid.window) {
    *seen = static_cast<u32>(rk_ld_relaxed_gpu(nth(&work.read0, priority)));  // I2: a check; the host kept to I3
    if (static_cast<u32>(*n) - *seen >= grid.window) {
      report_fault(grid, kFaultInboxFull, instance);
      return nullptr;
    }
  }
  rk_st_relaxed_gpu(written, *n + 1);  // W1: for those who count
  const u64 ring = static_cast<u64>(instance) * kPriorityCount + priority;
  return at<u8>(grid.inboxes) + (ring * grid.window + (*n & (grid.window - 1))) * grid.inbox_stride;
}

// By the first lane, behind the copies of its warp.
RK_OP void publish(u8* slot, u64 turn) {
  if (RK_REFERENCES) rk_fence_sys();       // D3: memory that the message may refer to; its units order nothing else
  rk_st_release_gpu(turn_of(slot), turn);  // I1: the slot's bytes
}

RK_OP u32 first_bytes(const GridBlock& grid) { return (grid.unit_count - 1) * kUnitPayload; }
RK_OP u32 bytes_before(const Warp& warp) {
  const GridBlock& grid = *warp.grid;
  const u32 piece = static_cast<u32>(warp.slot - warp.router->long_begin);
  return piece == 0 ? 0 : first_bytes(grid) + (piece - 1) * grid.unit_count * kUnitPayload;
}

// The slot's piece of the long record.
RK_COLD void copy_piece(Warp& warp) {
  const Router& router = *warp.router;
  u8* slot = router.long_slot;
  const u64 turn = router.long_turn;
  const u32 before = bytes_before(warp), left = router.long_bytes - before;
  const u32 first = warp.slot == router.long_begin ? 1 : 0;
  pass_turn(warp);
  if (slot != nullptr) copy_units(warp.held, first, slot + kInboxLead + before, left, warp.grid->unit_count, warp.lane);
  rk_router_sync();
  if (is_leader(warp) && rk_add_release_gpu(&warp.router->pieces, ~u32{0}) == 1) {  // R4: its piece
    rk_ld_acquire_gpu(&warp.router->pieces);                                        // R4: all others
    if (slot != nullptr) publish(slot, turn);
  }
  done_copying(warp);
}

// Under the turn: the record of `bytes` bytes takes several slots from this one on.
RK_OP void begin_long(Warp& warp, u8* slot, u64 turn, u32 bytes) {
  wait_for_copies(warp);
  if (is_leader(warp)) {
    Router& router = *warp.router;
    const u32 slots = slots_of_record(bytes, warp.grid->unit_count);
    router.long_begin = warp.slot;
    router.long_end = warp.slot + slots;
    router.long_slot = slot;
    router.long_turn = turn;
    router.long_bytes = bytes;
    rk_st_relaxed_gpu(&router.pieces, slots);  // R4: the turn publishes it
  }
  rk_router_sync();
}

// A message, or (kind: another) a record that nobody can do anything with.
RK_OP void deliver_message(Warp& warp, bool known, u32 instance, u32 bytes) {
  const GridBlock& grid = *warp.grid;
  const u32 given = body_word<0>(warp.held) >> 8 & 0xFF;
  const u32 priority = given < kPriorityCount ? given : kPriorityCount - 1;
  u64 place = 0, turn = 0;
  if (is_leader(warp) && known) place = reinterpret_cast<u64>(take_place(grid, instance, priority, &turn));
  u8* slot = at<u8>(for_all(place));
  turn = for_all(turn) + 1;
  if (bytes > first_bytes(grid)) {
    begin_long(warp, slot, turn, bytes);
    copy_piece(warp);
    return;
  }
  pass_turn(warp);
  if (slot != nullptr) copy_units(warp.held, 1, slot + kInboxLead, bytes, grid.unit_count, warp.lane);
  rk_router_sync();
  if (is_leader(warp) && slot != nullptr) publish(slot, turn);
  done_copying(warp);
}

// -- everything else --------------------------------------------------------------------------------------------------

RK_OP void take_answer(InstanceWork& work, u64 request, u64 value, u32 status, u32 hold) {
  work.answer_value = value;
  work.answer_status = status;
  work.answer_hold = hold;
  if (hold != 0) {
    rk_st_release_gpu(&work.hold, u32{1});  // C2: before the answer, so that no message is taken in between
    ring_bell(work);
  }
  rk_st_release_gpu(&work.answered, request);  // A1: the answer's words
}

RK_OP void take_verdict(InstanceWork& work, u32 verdict, u32 generation) {
  if (verdict == 2) rk_st_relaxed_gpu(&work.generation, generation);  // V1: before the verdict
  rk_st_release_gpu(&work.verdict, verdict);                          // V1: the generation
  ring_bell(work);
}

RK_OP void take_link(const GridBlock& grid, u32 instance, const LinkBody& body) {
  InstanceWork& work = work_of(grid, instance);
  rk_fence_sys();  // E1, E2: the record speaks of memory that the host wrote before; its units order nothing else
  if (body.target == kIncoming) {
    if (body.to >= kMaxIncoming) return;
    rk_st_release_gpu(word_at(work.links, body.to), body.state == kLinkOpen ? body.ring : u64{0});  // E2: the ring
    if (body.to >= work.link_count) rk_st_release_gpu(&work.link_count, body.to + 1);               // E2: its place
  } else if (body.target < grid.target_count) {
    LinkTarget& target = at<LinkTarget>(grid.targets)[body.target];
    if (body.to == kAllOfTarget) {
      if (body.state != 0) {
        target.entries = body.ring;
        target.round_robin = body.doorbell;
      }
      rk_st_release_gpu(&target.count, body.state);  // E1: the table
      return;
    }
    if (body.to >= target.count) return;
    LinkEntry& entry = *at<LinkEntry>(target.entries, static_cast<u64>(instance) * target.count + body.to);
    if (body.state == kLinkOpen) {
      entry.ring = body.ring;
      entry.doorbell = body.doorbell;
    }
    rk_st_release_gpu(&entry.state, body.state);  // E1: ring and doorbell
  }
  ring_bell(work);
}

// Under the turn. Messages before it are in their inboxes; answers and cancellations overtake them.
RK_COLD void deliver_word(Warp& warp, u32 kind, u32 instance) {
  const Slot& held = warp.held;
  if (kind != kDownAnswer && kind != kDownCancel) wait_for_copies(warp);
  LinkBody body{};  // the longest
  body.target = body_word<0>(held);
  body.to = body_word<1>(held);
  body.state = body_word<2>(held);
  body.reserved = body_word<3>(held);
  body.ring = body_long<4>(held);
  body.doorbell = body_long<6>(held);
  if (!is_leader(warp)) return;
  InstanceWork& work = work_of(*warp.grid, instance);
  const u64 first = body.target | static_cast<u64>(body.to) << 32;
  const u64 second = body.state | static_cast<u64>(body.reserved) << 32;
  if (kind == kDownAnswer) {
    take_answer(work, first, second, static_cast<u32>(body.ring), static_cast<u32>(body.ring >> 32));
  }
  if (kind == kDownCancel) rk_st_relaxed_gpu(&work.cancel, body.target);  // K1
  if (kind == kDownRestart) take_verdict(work, 2, body.target);
  if (kind == kDownResume) take_verdict(work, 1, 0);
  if (kind == kDownLink) take_link(*warp.grid, instance, body);
  if (kind == kDownFinish) rk_st_release_gpu(&work.finish, u32{1});   // C2: messages before it
  if (kind == kDownHold) rk_st_release_gpu(&work.hold, body.target);  // C2: the same
  if (kind == kDownFinish || kind == kDownHold) ring_bell(work);
}

// With the turn. False: the slot is not all there yet.
RK_COLD bool deliver(Warp& warp) {
  const GridBlock& grid = *warp.grid;
  const Router& router = *warp.router;
  const u32 there = warp.held.there, units = grid.unit_count;
  if (warp.slot > router.long_begin && warp.slot < router.long_end) {
    const u32 needed = units_of(router.long_bytes - bytes_before(warp), units, false);
    if ((there & needed) != needed) return false;
    copy_piece(warp);
    return true;
  }
  const u32 kind = word_of<0>(warp.held, 0), instance = word_of<0>(warp.held, 1), bytes = word_of<0>(warp.held, 2);
  const u32 needed = units_of(bytes, units, true);
  if ((there & 1) == 0 || (there & needed) != needed) return false;
  const bool message = kind == kDownMessage;
  const bool sound = message ? bytes >= sizeof(MessageHeader) && bytes <= sizeof(MessageHeader) + grid.max_payload
                             : kind >= kDownAnswer && kind <= kDownLink && bytes <= sizeof(LinkBody);
  const bool known = sound && instance < grid.instances;
  if (!known && is_leader(warp)) report_fault(grid, kFaultRecord, kind);
  if (known && !message) {
    deliver_word(warp, kind, instance);
    pass_turn(warp);
    done_copying(warp);
  } else {
    deliver_message(warp, known, instance, bytes);
  }
  return true;
}

RK_OP void read_next(Warp& warp) {
  const GridBlock& grid = *warp.grid;
  read_slot(warp.held, at<rk_unit>(grid.down), warp.slot, grid.down_slots, grid.unit_count, warp.lane);
}

// True: this warp or another one is done with a slot.
RK_OP bool route(Warp& warp) {
  if ((warp.held.there & 1) == 0) read_next(warp);
  const u32 turn = look_at_turn(warp);
  if ((turn & kTurnIsMine) == 0) return (turn & kTurnMoved) != 0;
  if (!deliver(warp)) {
    warp.held.there = 0;
    return (turn & kTurnMoved) != 0;
  }
  warp.slot += RK_ROUTER_WARPS;
  warp.held.there = 0;
  return true;
}

// -- the clerk --------------------------------------------------------------------------------------------------------

// In the registers of the clerk's first lane.
struct Clerk {
  u64 lease, ends, seen, after, told_read, last_turn, beat, time;
  u32 rounds;
  bool first, pending, leaving;
};

enum : u32 { kPassOn = 1, kLeave = 2 };

// What the host's clock said at some time before now is a bound of the offset from below, and the highest of them is
// the nearest one. It leaks by 244 ppm, more than clocks drift apart, and is left behind when a clock was set.
RK_OP void keep_offset(GridBlock& grid, u64 time) {
  constexpr u64 kQuarterSecond = u64{1} << 30;
  const u64 device = ntp64_of(rk_globaltimer());
  const u64 sample = time - device, leaked = grid.offset - ((device - grid.offset_at) >> 12);
  const bool above = sample - leaked < u64{1} << 63;
  const bool far = leaked - sample > kQuarterSecond;
  const bool first = grid.offset_at == 0;
  rk_st_relaxed_gpu(&grid.offset, above || far || first ? sample : leaked);  // H2
  grid.offset_at = device;
}

// The host's line: four loads at once, and those that order anything again, when something is new.
RK_OP void look_at_host(GridBlock& grid, Clerk& clerk) {
  const HostLine& host = *at<HostLine>(grid.host_line);
  const u64 command = rk_ld_relaxed_sys(&host.command);  // C1: a look
  const u64 read = rk_ld_relaxed_sys(&host.up_read);     // U2: a look
  const u64 leave = rk_ld_relaxed_sys(&host.leave);      // G2
  const u64 time = rk_ld_relaxed_sys(&host.host_time);   // H2
  if (read != grid.up_read) {
    rk_st_release_gpu(&grid.up_read, rk_ld_acquire_sys(&host.up_read));  // U2: the host is done with the slots before
  }
  if (command != clerk.seen || clerk.first) {
    clerk.seen = rk_ld_acquire_sys(&host.command);  // C1: `after` came before
    clerk.after = rk_ld_relaxed_sys(&host.after);   // C1
    clerk.pending = true;
    clerk.first = false;
  }
  if (leave >= clerk.lease) clerk.leaving = true;
  if (time == clerk.time) return;
  clerk.time = time;
  keep_offset(grid, time);
}

RK_OP void tell_host(GridBlock& grid, const Router& router, Clerk& clerk, u64 now) {
  DeviceLine& line = *at<DeviceLine>(grid.device_line);
  const u64 turn = rk_ld_acquire_cta(&router.turn);  // R1: the warps have read the slots before
  if (turn != clerk.told_read && (turn - clerk.told_read >= grid.down_slots / 8 || turn == clerk.last_turn)) {
    rk_st_release_sys(&line.down_read, turn);  // D2: the slots before are free
    clerk.told_read = turn;
  }
  clerk.last_turn = turn;
  if (now - clerk.beat < 20000) return;
  clerk.beat = now;
  rk_st_relaxed_sys(&line.device_time, now);                 // T1
  const u64 beats = rk_ld_relaxed_gpu(&grid.heartbeat) + 1;  // T1: own
  rk_st_relaxed_gpu(&grid.heartbeat, beats);                 // T1: own
  rk_st_relaxed_sys(&line.heartbeat, beats);                 // T1
}

// What the clerk is to do for all instances: kPassOn, kLeave. `over`: the lease is.
RK_COLD u32 look(Warp& warp, Clerk& clerk) {
  GridBlock& grid = *warp.grid;
  Router& router = *warp.router;
  look_at_host(grid, clerk);
  const u64 now = rk_globaltimer();
  tell_host(grid, router, clerk, now);
  const bool given_up = (clerk.seen & kCommandAbort) != 0;
  u32 todo = 0;
  const bool taken = rk_ld_acquire_cta(&router.turn) >= clerk.after && copied_until(router, clerk.after);  // R1
  if (clerk.pending && (given_up || taken)) todo |= kPassOn;
  if (now >= clerk.ends && rk_ld_relaxed_gpu(&grid.begun) == clerk.lease) clerk.leaving = true;  // G1: own
  if (rk_ld_acquire_gpu(&grid.ended) == grid.instances) clerk.leaving = true;                    // G4
  if (clerk.leaving && grid.leave < clerk.lease) todo |= kLeave;
  if (rk_ld_acquire_gpu(&grid.left) == grid.instances) rk_st_release_cta(&router.over, u32{1});  // G3, R3
  return todo;
}

RK_COLD void tell_all(Warp& warp, Clerk& clerk, u32 todo) {
  GridBlock& grid = *warp.grid;
  const u64 command = for_all(clerk.seen);
  if (is_leader(warp) && (todo & kLeave) != 0) rk_st_release_gpu(&grid.leave, clerk.lease);  // G2
  rk_router_sync();
  RK_UNROLL(1)
  for (u32 n = warp.lane; n < grid.instances; n += RK_LANES) {
    InstanceWork& work = work_of(grid, n);
    if ((todo & kPassOn) != 0) rk_st_release_gpu(&work.command, command);  // C2: messages before it
    ring_bell(work);
  }
  rk_router_sync();
  if (!is_leader(warp) || (todo & kPassOn) == 0) return;
  clerk.pending = false;
  grid.command = command;
  rk_st_release_gpu(&grid.begun, clerk.lease);  // G1: everything that was sent before
}

RK_OP void keep_lease(Warp& warp, Clerk& clerk) {
  u32 todo = 0;
  if (is_leader(warp)) todo = look(warp, clerk);
  todo = rk_router_shfl(todo, 0);
  if (todo != 0) tell_all(warp, clerk, todo);
}

// -- a lease ----------------------------------------------------------------------------------------------------------

RK_OP bool is_over(const Warp& warp) {
  u32 over = 0;
  if (is_leader(warp)) over = rk_ld_acquire_cta(&warp.router->over);  // R3
  return rk_router_shfl(over, 0) != 0;
}

// The lease is over in the middle of a long record: the first warp brings the rest of it, which the host has begun.
RK_OP void finish_long(Warp& warp) {
  const HostLine& host = *at<HostLine>(warp.grid->host_line);
  Rest nap;
  for (;;) {
    warp.slot = for_all(warp.router->turn);
    if (warp.slot >= warp.router->long_end) return;
    read_next(warp);
    if (deliver(warp)) continue;
    const u32 command = static_cast<u32>(rk_ld_relaxed_sys(&host.command));  // C1: a hint to leave
    if (rk_router_ballot((command & kCommandAbort) != 0) != 0) return;
    rest(nap);
  }
}

RK_OP void begin_lease(GridBlock& grid, Router& router, u64 lease) {
  router = Router{};
  router.turn = grid.down_read;
  rk_st_release_sys(&at<DeviceLine>(grid.device_line)->lease_begun, lease);  // G5
}

RK_OP void end_lease(GridBlock& grid, const Router& router, u64 lease) {
  DeviceLine& line = *at<DeviceLine>(grid.device_line);
  grid.down_read = router.turn;
  rk_st_relaxed_gpu(&grid.left, u32{0});            // G3: for the next lease, behind the end of this kernel
  rk_st_relaxed_gpu(&grid.returned, u32{0});        // G7: the same
  rk_st_relaxed_gpu(&grid.resting, u32{0});         // G7: the same
  rk_st_release_sys(&line.down_read, router.turn);  // D2
  rk_st_release_sys(&line.lease_ended, lease);      // G5: everything that the lease did
}

RK_OP void run_warp(Warp& warp, u64 lease, u64 lease_ns) {
  Clerk clerk{};
  clerk.lease = lease;
  clerk.ends = lease_ns == 0 ? ~u64{0} : rk_globaltimer() + lease_ns;
  clerk.first = true;
  clerk.told_read = warp.grid->down_read;
  Rest nap;
  while (!is_over(warp)) {
    // A look at the host's line takes as long as one at a slot, which a message that comes now would wait for.
    if (is_clerk(warp) && (nap.nap > Rest{}.nap || clerk.rounds++ % 4 == 0)) keep_lease(warp, clerk);
    if (route(warp)) {
      nap = Rest{};
    } else {
      rest(nap);
    }
  }
}

RK_OP void run_router(Router& router, GridBlock* grid, u64 lease, u64 lease_ns) {
  if (threadIdx.x >= RK_ROUTER_WARPS * RK_LANES) return;
  if (threadIdx.x == 0) begin_lease(*grid, router, lease);
  rk_barrier();
  Warp warp{};
  warp.grid = grid;
  warp.router = &router;
  warp.index = threadIdx.x / RK_LANES;
  warp.lane = threadIdx.x % RK_LANES;
  warp.slot = router.turn;
  // The first slot at or behind `turn` that is this warp's.
  warp.slot += (warp.index + RK_ROUTER_WARPS - warp.slot % RK_ROUTER_WARPS) % RK_ROUTER_WARPS;
  rk_barrier();
  run_warp(warp, lease, lease_ns);
  rk_barrier();
  if (warp.index == 0) finish_long(warp);
  if (threadIdx.x == 0) end_lease(*grid, router, lease);
}

}  // namespace device
}  // namespace rk
