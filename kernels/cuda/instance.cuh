// One instance of the handler: its block's loop. The first thread leads; the others wait at a barrier for its orders.
//
// Protection: Block: see block.cuh. state, the message's copy, shared memory: all threads of the block between the two
// barriers of an order, by the rules of the language. InstanceWork from 256 on: the first thread's, at both ends of a
// lease. InstanceStatus: the first thread's.
#pragma once

#include "kernels/cuda/room.cuh"

namespace rk {
namespace device {

struct alignas(64) SharedBytes {
  u8 bytes[RK_SHARED_SIZE == 0 ? 64u : static_cast<u32>(RK_SHARED_SIZE)];
};

RK_OP u8* state_of_instance(const Block& block) {
  const GridBlock& grid = *block.grid;
  return at<u8>(grid.states) + static_cast<u64>(block.instance) * grid.state_stride;
}

// -- what all threads do ----------------------------------------------------------------------------------------------

RK_OP void copy_by_all(u8* to, const u8* from, u32 size) {
  const u32 words = size / 4;
  RK_UNROLL(1)
  for (u32 n = threadIdx.x; n < words; n += RK_BLOCK_SIZE) rk_store_u32(to + n * 4, rk_load_u32(from + n * 4));
  RK_UNROLL(1)
  for (u32 n = words * 4 + threadIdx.x; n < size; n += RK_BLOCK_SIZE) to[n] = from[n];
}

RK_OP void prepare(const Block& block, SharedBytes& shared) {
  if (rk_writes_message(block.type_id)) copy_by_all(block.message, payload_of(block.slot), block.size);
  RK_UNROLL(1)
  for (u32 n = threadIdx.x * 4; n + 1 < static_cast<u32>(RK_SHARED_SIZE) + 1; n += RK_BLOCK_SIZE * 4)
    rk_store_u32(shared.bytes + n, 0);
}

RK_OP u64 of_thread(u32 value) { return static_cast<u64>(~threadIdx.x) << 32 | value; }

// The lowest thread that failed says why; errors add up.
RK_OP void gather(Block& block, const rk_call& call) {
  if (call.failed != 0) {
    rk_max_relaxed_cta(&block.failed, of_thread(call.failed));          // X1
    rk_max_relaxed_cta(&block.failed_line, of_thread(call.fail_line));  // X1
  }
  if (call.errors == 0) return;
  rk_add_relaxed_cta(&block.errors, call.errors);                    // X1
  rk_max_relaxed_cta(&block.errors_by, of_thread(call.last_error));  // X1
}

RK_OP void run_handler(Block& block, SharedBytes& shared) {
  prepare(block, shared);
  if (RK_BLOCK_SIZE > 1) rk_barrier();
  rk_call call{};
  call.self = &block;
  call.cancel = &block.work->cancel;
  call.task = block.task;
  call.instance_id = block.instance;
  call.kernel_id = Address{block.grid->self}.kernel();
  u8* state = state_of_instance(block);
  rk_dispatch(&call, block.type_id, state, block.slot + kInboxLead, block.message, shared.bytes);
  gather(block, call);
  rk_finish(&call);
}

RK_COLD void restore(const Block& block) {
  copy_by_all(state_of_instance(block), at<u8>(block.grid->initial_state), block.grid->state_bytes);
}

// Of one histogram: the counts between the least and the greatest value, and the sums.
RK_OP u32 bucket_of(u64 ns) {
  const u32 shift = 63 - static_cast<u32>(rk_clz_u64(ns | 16)) - 4;
  const u64 bucket = (static_cast<u64>(shift) << 4) + (ns >> shift);
  return bucket < kLatencyBuckets ? static_cast<u32>(bucket) : kLatencyBuckets - 1;
}
RK_OP void report_latency(const Latency& latency, const u64* from, u64* to) {
  if (latency.count == 0) return;
  const u32 last = bucket_of(latency.max);
  RK_UNROLL(1)
  for (u32 n = bucket_of(latency.min) + threadIdx.x; n <= last; n += RK_BLOCK_SIZE) {
    rk_st_relaxed_sys(to + n, rk_ld_relaxed_gpu(from + n));  // S1: its count
  }
  if (threadIdx.x != 0) return;
  rk_st_relaxed_sys(to + kLatencyBuckets, latency.count);    // S1: count
  rk_st_relaxed_sys(to + kLatencyBuckets + 1, latency.sum);  // S1: sum
  rk_st_relaxed_sys(to + kLatencyBuckets + 2, latency.min);  // S1: min
  rk_st_relaxed_sys(to + kLatencyBuckets + 3, latency.max);  // S1: max
}
RK_OP u64* latencies_of(const Block& block, u64 base, u32 which) {
  return word_at(base, (static_cast<u64>(block.instance) * 2 + which) * kLatencyWords);
}
RK_COLD void report_latencies(const Block& block) {
  const GridBlock& grid = *block.grid;
  RK_UNROLL(1)
  for (u32 which = 0; which < 2; ++which) {
    const Latency& latency = which == 0 ? block.handler : block.queueing;
    report_latency(latency, latencies_of(block, grid.latencies, which),
                   latencies_of(block, grid.latencies_host, which));
  }
}

// A function of its own, so that the handler's code is there once.
RK_COLD void obey(Block& block, SharedBytes& shared, u32 order) {
  if (RK_BLOCK_SIZE > 1) rk_converge(RK_BLOCK_SIZE);
  if (order == kOrderHandle) run_handler(block, shared);
  if (order == kOrderRestore) restore(block);
  if (order != kOrderReport) return;
  report_latencies(block);
  report_links(block);
}

// The first thread's: has all threads obey, and waits until they have.
RK_OP void order_all(Block& block, SharedBytes& shared, u32 order) {
  block.order = order;
  if (RK_BLOCK_SIZE > 1) rk_barrier();
  obey(block, shared, order);
  if (RK_BLOCK_SIZE > 1) rk_barrier();
}

RK_OP void follow(Block& block, SharedBytes& shared) {
  for (;;) {
    rk_barrier();
    const u32 order = block.order;
    if (order == kOrderLeave) return;
    obey(block, shared, order);
    rk_barrier();
  }
}

// -- what the host is told --------------------------------------------------------------------------------------------

RK_COLD void tell_busy(Block& block, u64 since) {
  InstanceStatus& status = *block.status;
  if (since == 0) {
    if (block.busy_told != 0) rk_st_relaxed_sys(&status.busy_since, u64{0});  // S1: no handler runs
    block.busy_told = 0;
    return;
  }
  const MessageHeader& header = header_of(block.slot);
  rk_st_relaxed_sys(&status.message_id, header.message_id);  // S1: what the watchdog looks at
  rk_st_relaxed_sys(&status.message_type, header.type_id);   // S1: the same
  rk_st_relaxed_sys(&status.task, block.task);               // S1: the same
  rk_st_relaxed_sys(&status.busy_since, since);              // S1: the same
  block.busy_told = 1;
}

RK_COLD void tell_status(Block& block) {
  InstanceStatus& status = *block.status;
  block.dirty = 0;
  block.told_phase = block.phase;
  rk_st_relaxed_sys(&status.handled, block.handled);        // S1: telemetry; exact once epoch_seen says so
  rk_st_relaxed_sys(&status.reported, block.reported);      // S1: the same
  rk_st_relaxed_sys(&status.linked, block.linked);          // S1: the same
  rk_st_relaxed_sys(&status.last_error, block.last_error);  // S1: the same
  rk_st_relaxed_sys(&status.phase, block.phase);            // S1: the same
  const u64 clock = rk_ld_relaxed_cta(&block.clock);        // H1
  rk_st_relaxed_sys(&status.clock, clock);                  // S1: the same
  RK_UNROLL(1)
  for (u32 p = 0; p < kPriorityCount; ++p) {
    if (static_cast<u32>(block.read[p]) != block.told[p]) tell_taken(block, p);
  }
}

// -- one message ------------------------------------------------------------------------------------------------------

RK_COLD void record(Latency& latency, u64* counts, u64 ns) {
  const u64 most = u64{1} << 40;
  if (ns > most) ns = most;
  rk_add_relaxed_gpu(counts + bucket_of(ns), u64{1});  // S2: own; an add that nobody waits for
  if (latency.count == 0 || ns < latency.min) latency.min = ns;
  if (ns > latency.max) latency.max = ns;
  ++latency.count;
  latency.sum += ns;
}

RK_OP u64 ns_between(u64 begin, u64 end) { return end > begin ? ns_of(end - begin) : 0; }

RK_COLD void fail_up(Block& block, u32 outcome, u32 code, u32 line, u32 waits, u32 last) {
  FailedBody body{};
  body.outcome = outcome;
  body.code = code;
  body.line = line;
  body.waits = waits;
  body.last = last;
  send_up(block, kUpFailed, &body, sizeof(body), &header_of(block.slot), payload_of(block.slot));
}

// As FailureWindow of the CPU backend. True: one too many.
RK_COLD bool fails_too_often(Block& block) {
  const GridBlock& grid = *block.grid;
  if (grid.max_failures == 0) return true;
  u64& oldest = *word_at(grid.failure_times,
                         static_cast<u64>(block.instance) * grid.max_failures + block.failures % grid.max_failures);
  const u64 now = rk_globaltimer();
  const bool too_many = block.failures >= grid.max_failures && now - oldest <= grid.failure_window;
  oldest = now;
  ++block.failures;
  return too_many;
}

RK_COLD void after_failure(Block& block) {
  const u32 code = static_cast<u32>(block.failed);
  const u32 outcome = code == RK_FAIL_CANCELLED ? kFailStopped : kFailHandler;
  block.last_error = 1;
  const bool waits = block.grid->supervised != 0;
  const bool last = !waits && fails_too_often(block);
  if (waits) block.phase = kPhaseWaits;
  if (last) rk_st_relaxed_cta(&block.exits, block.exits | kExitsFailed);  // X2
  fail_up(block, outcome, code, static_cast<u32>(block.failed_line), waits ? 1 : 0, last ? 1 : 0);
}

RK_OP void begin_message(Block& block, const MessageHeader& header) {
  clock_merge(block, header.hlc);
  block.type_id = header.type_id;
  block.size = header.payload_size;
  block.handles = rk_accepts(header.type_id, header.payload_size) ? 1 : 0;
  const bool copied = rk_writes_message(header.type_id);
  const GridBlock& grid = *block.grid;
  block.message =
      copied ? at<u8>(grid.copies) + static_cast<u64>(block.instance) * grid.copy_stride : payload_of(block.slot);
  block.failed = block.failed_line = block.errors_by = 0;
  block.errors = 0;
  if (++block.task == 0) block.task = 1;
}

RK_OP void end_message(Block& block, u64 begun, u64 sent) {
  block.moment = wall_clock(block);
  record(block.handler, latencies_of(block, block.grid->latencies, 0), ns_between(begun, block.moment));
  record(block.queueing, latencies_of(block, block.grid->latencies, 1), ns_between(sent, begun));
  ++block.handled;
  if (block.errors == 0) return;
  block.last_error = static_cast<u32>(block.errors_by);
  block.reported += block.errors;
}

RK_COLD void handle(Block& block, SharedBytes& shared) {
  const MessageHeader& header = header_of(block.slot);
  if (block.moment == 0) block.moment = wall_clock(block);
  if (header.deadline != 0 && header.deadline < block.moment) {
    fail_up(block, kFailExpired, 0, 0, 0, 0);
    return;
  }
  const u64 begun = block.moment;
  begin_message(block, header);
  tell_busy(block, begun);
  if (block.handles != 0) order_all(block, shared, kOrderHandle);
  end_message(block, begun, header.hlc);
  if (block.handles == 0) fail_up(block, kFailRefused, 0, 0, 0, 0);
  if (block.failed != 0) after_failure(block);
}

// -- between messages -------------------------------------------------------------------------------------------------

RK_COLD void take_verdict(Block& block, SharedBytes& shared, u32 verdict) {
  rk_cas_relaxed_gpu(&block.work->verdict, verdict, u32{0});  // V1: taken; the host gives one at a time
  if (verdict == 2) order_all(block, shared, kOrderRestore);
  rk_st_relaxed_cta(&block.exits, block.exits & ~static_cast<u32>(kExitsWhenHandled));  // X2
  if (block.phase == kPhaseWaits) block.phase = kPhaseIdle;
}

// What the router has for this instance since it last listened.
RK_COLD void listen(Block& block, SharedBytes& shared) {
  if (rk_ld_relaxed_gpu(&block.work->doorbell) == block.bell) return;  // B1: a look; the next line acquires
  InstanceWork& work = *block.work;
  block.bell = rk_ld_acquire_gpu(&work.doorbell);  // B1: everything that it was rung for
  // The words acquire for themselves: one of them may be newer than the bell that was heard.
  block.command = rk_ld_acquire_gpu(&work.command);                     // C2: messages before it
  block.finish = rk_ld_acquire_gpu(&work.finish);                       // C2: the same
  block.hold = rk_ld_acquire_gpu(&work.hold);                           // C2: the same
  block.leaves = rk_ld_relaxed_gpu(&block.grid->leave) >= block.lease;  // G2
  block.offset = rk_ld_relaxed_gpu(&block.grid->offset);                // H2
  block.links_waiting = rk_ld_relaxed_gpu(&work.link_count);            // E2: look at all of them
  const u32 verdict = rk_ld_acquire_gpu(&work.verdict);                 // V1: the generation
  if (verdict != 0) take_verdict(block, shared, verdict);
}

RK_OP bool is_active(const Block& block) { return (block.command & kCommandActive) != 0; }
RK_OP bool stops_now(const Block& block) { return (block.command & kCommandStopNow) != 0; }
RK_OP bool has_failed(const Block& block) { return (block.exits & kExitsFailed) != 0; }

// It would handle nothing any more: what it has and what comes is left over.
RK_OP bool discards(const Block& block) {
  const bool ending = block.finish != 0 || (block.command & kCommandDraining) != 0;
  const bool rests = block.phase == kPhaseWaits || !is_active(block);
  return stops_now(block) || has_failed(block) || (ending && rests);
}

RK_COLD void discard_all(Block& block) {
  while (!given_up(block) && take(block)) {
    fail_up(block, kFailLeftOver, 0, 0, 0, 0);
    release(block);
  }
}

RK_COLD void end(Block& block, SharedBytes& shared) {
  block.phase = kPhaseEnded;
  order_all(block, shared, kOrderReport);
  tell_status(block);
  rk_fence_sys();  // U4
  EndedBody body{};
  body.failed = has_failed(block) ? 1 : 0;
  send_up(block, kUpEnded, &body, sizeof(body), nullptr, nullptr);
  rk_add_release_gpu(&block.grid->ended, u32{1});  // G4: its last record has its place in the ring
}

RK_COLD void answer_command(Block& block, SharedBytes& shared) {
  const u64 epoch = block.command >> kCommandEpochShift;
  if (epoch == block.told_epoch) return;
  block.told_epoch = epoch;
  order_all(block, shared, kOrderReport);
  tell_status(block);
  rk_st_release_sys(&block.status->epoch_seen, epoch);  // C3: the status is as new as this
}

RK_OP u32 resting_phase(const Block& block) {
  if (block.phase == kPhaseEnded || block.phase == kPhaseWaits) return block.phase;
  if (!is_active(block)) return kPhasePaused;
  return block.hold != 0 || block.blocked != 0 ? kPhaseHeld : kPhaseIdle;
}

RK_COLD void report_exit(Block& block) {
  rk_st_relaxed_cta(&block.exits, block.exits & ~static_cast<u32>(kExitsWhenHandled));  // X2
  block.phase = kPhaseWaits;
  send_up(block, kUpExit, nullptr, 0, nullptr, nullptr);
}

// A look at the requests. True: it may take a message.
RK_OP bool attend(Block& block, SharedBytes& shared) {
  listen(block, shared);
  if (block.blocked != 0 || block.more_blocked != 0) look_for_room(block);
  if (discards(block)) {
    discard_all(block);
    if (stops_now(block) || block.finish != 0) end(block, shared);
  }
  block.phase = resting_phase(block);
  answer_command(block, shared);
  return (block.phase == kPhaseIdle || block.phase == kPhaseHeld) && block.hold == 0 && !has_failed(block);
}

RK_OP void idle(Block& block, Rest& nap) {
  tell_busy(block, 0);
  if (block.dirty != 0 || block.phase != block.told_phase) tell_status(block);
  block.moment = 0;
  rest(nap);
}

// Nothing to take, and it might. True: something came of it.
RK_OP bool without_messages(Block& block, SharedBytes& shared) {
  if (block.blocked != 0 && waiting(block) != 0) return false;
  if (block.finish != 0 && rk_ld_relaxed_gpu(&block.work->doorbell) == block.bell) {  // B1: nothing new either
    end(block, shared);
    return true;
  }
  if ((block.exits & kExitsWhenHandled) == 0) return false;
  report_exit(block);
  return true;
}

// -- the end of a lease -----------------------------------------------------------------------------------------------

// Nobody leaves before all do: the next lease begins when the last one has left, and a handler may take long. Messages
// are taken as ever until each block has come back from the handler that the end found it in; then all rest, and leave
// together. Who has messages rests for a while only, since another handler may have begun that does not return. A
// barrier of all instances must not lose one of them: see rk_device_sync_grid.
constexpr u64 kRest = 1000000, kMostRest = 50000000;  // ns

RK_COLD void come_back(Block& block) {
  if (block.came_back != 0) return;
  block.came_back = 1;
  block.patience = kRest;
  rk_add_relaxed_gpu(&block.grid->returned, u32{1});  // G7
}

RK_COLD void begin_rest(Block& block) {
  if (block.rests != 0) return;
  block.rests = 1;
  block.rest_until = rk_globaltimer() + block.patience;
  rk_add_relaxed_gpu(&block.grid->resting, u32{1});  // G7
}

// False: all rest, which is the end.
RK_COLD bool end_rest(Block& block) {
  u32* resting = &block.grid->resting;
  for (;;) {
    const u32 count = rk_ld_relaxed_gpu(resting);  // G7
    if (count == block.grid->instances) return false;
    if (rk_cas_relaxed_gpu(resting, count, count - 1) == count) break;  // G7
  }
  block.rests = 0;
  block.serve_until = rk_globaltimer() + block.patience / 4;
  block.patience = block.patience * 2 < kMostRest ? block.patience * 2 : kMostRest;
  return true;
}

// When the lease is over: whether to take no message. `able`: it might. Each lease is good for one message at least.
RK_COLD bool stays_at_rest(Block& block, bool able) {
  const GridBlock& grid = *block.grid;
  come_back(block);
  const bool together = rk_ld_relaxed_gpu(&grid.returned) == grid.instances &&    // G7
                        rk_ld_relaxed_gpu(&grid.gathered) % grid.instances == 0;  // Y1: a number
  const bool wants = able && waiting(block) != 0;
  const u64 now = rk_globaltimer();
  if (block.rests == 0) {
    const bool serves = block.handled == block.handled_before || now < block.serve_until;
    if (!together || (wants && serves)) return false;
    begin_rest(block);
    return true;
  }
  if (together && (!wants || now < block.rest_until)) return true;
  return !end_rest(block);
}

RK_OP bool may_leave(const Block& block) {
  if (given_up(block)) return true;
  return block.rests != 0 && rk_ld_relaxed_gpu(&block.grid->resting) == block.grid->instances;  // G7
}

RK_OP void lead(Block& block, SharedBytes& shared) {
  Rest nap;
  while (block.phase != kPhaseEnded && !may_leave(block)) {
    const bool ready = attend(block, shared);
    const bool rests = block.leaves != 0 && stays_at_rest(block, ready && block.blocked == 0);
    if (ready && !rests && may_take(block) && take(block)) {
      handle(block, shared);
      release(block);
      nap = Rest{};
      continue;
    }
    if (ready && (!rests || waiting(block) == 0) && without_messages(block, shared)) continue;
    idle(block, nap);
  }
}

// -- a lease ----------------------------------------------------------------------------------------------------------

RK_COLD void load_block(Block& block, GridBlock* grid, u32 instance, u64 lease) {
  InstanceWork& work = at<InstanceWork>(grid->works)[instance];
  block = Block{};
  block.grid = grid;
  block.work = &work;
  block.status = at<InstanceStatus>(grid->status) + instance;
  block.instance = instance;
  block.lease = lease;
  block.max_drift = grid->max_drift;
  block.clock = work.clock;
  block.next_id = work.next_id;
  block.requests = work.requests;
  block.task = work.task;
  block.inboxes = at<u8>(grid->inboxes) +
                  static_cast<u64>(instance) * kPriorityCount * grid->window * static_cast<u64>(grid->inbox_stride);
  block.window = grid->window;
  block.stride = grid->inbox_stride;
  RK_UNROLL(1)
  for (u32 p = 0; p < kPriorityCount; ++p) {
    block.read[p] = rk_ld_relaxed_gpu(nth(&work.read0, p));  // I2: own, of the lease before
    block.told[p] = static_cast<u32>(block.read[p]);
  }
  block.handled = block.handled_before = work.handled;
  block.reported = work.reported;
  block.linked = work.linked;
  block.failures = work.failures;
  block.last_error = work.last_error;
  block.phase = work.phase;
  block.exits = work.exits;
  block.bell = ~u64{0};
  block.told_epoch = ~u64{0};
  block.dirty = 1;
  block.more_blocked = 1;  // as the last lease left it
}

RK_OP void load_latency(Latency& latency, const u64* words) {
  latency = Latency{words[kLatencyBuckets], words[kLatencyBuckets + 1], words[kLatencyBuckets + 2],
                    words[kLatencyBuckets + 3]};
}
RK_OP void store_latency(const Latency& latency, u64* words) {
  words[kLatencyBuckets] = latency.count;
  words[kLatencyBuckets + 1] = latency.sum;
  words[kLatencyBuckets + 2] = latency.min;
  words[kLatencyBuckets + 3] = latency.max;
}

RK_COLD void store_block(const Block& block) {
  InstanceWork& work = *block.work;
  work.clock = block.clock;
  work.next_id = block.next_id;
  work.requests = block.requests;
  work.handled = block.handled;
  work.reported = block.reported;
  work.linked = block.linked;
  work.task = block.task;
  work.last_error = block.last_error;
  work.phase = block.phase;
  work.exits = block.exits;
  work.failures = block.failures;
  store_latency(block.handler, latencies_of(block, block.grid->latencies, 0));
  store_latency(block.queueing, latencies_of(block, block.grid->latencies, 1));
}

// False: the lease is over before it began.
RK_OP bool await_begin(Block& block) {
  Rest nap;
  while (rk_ld_acquire_gpu(&block.grid->begun) != block.lease) {  // G1: everything that was sent before this lease
    if (rk_ld_relaxed_gpu(&block.grid->leave) >= block.lease || given_up(block)) return false;  // G2
    rest(nap);
  }
  return true;
}

RK_OP void run_lease(Block& block, SharedBytes& shared) {
  load_latency(block.handler, latencies_of(block, block.grid->latencies, 0));
  load_latency(block.queueing, latencies_of(block, block.grid->latencies, 1));
  if (await_begin(block)) lead(block, shared);
  come_back(block);
  begin_rest(block);
  tell_unblocked(block);
  tell_busy(block, 0);
  order_all(block, shared, kOrderReport);
  tell_status(block);
  store_block(block);
}

RK_OP void run_instance(Block& block, SharedBytes& shared, GridBlock* grid, u64 lease) {
  if (threadIdx.x >= RK_BLOCK_SIZE) return;
  if (threadIdx.x != 0) {
    follow(block, shared);
    return;
  }
  load_block(block, grid, blockIdx.x - 1, lease);
  run_lease(block, shared);
  block.order = kOrderLeave;
  if (RK_BLOCK_SIZE > 1) rk_barrier();
  rk_add_release_gpu(&grid->left, u32{1});  // G3: everything that the block did
}

}  // namespace device
}  // namespace rk
