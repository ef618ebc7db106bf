// What handlers may ask for: the functions that the prelude declares.
//
// Any thread of the block may call them. What waits for an answer of the host, or pushes into a link, does so under
// the block's lock (Q1), because there is one answer at a time and one sender to a link. Requests are numbered: an
// answer that comes after its request was given up is nobody's.
//
// Protection: Answer: the thread's own. LinkRing::accepted, read_cache, refused: under the lock.
#pragma once

#include "kernels/cuda/clock.cuh"
#include "kernels/cuda/inbox.cuh"
#include "kernels/cuda/wire.cuh"

namespace rk {
namespace device {

constexpr u32 kSentFull = 0xFFFF0102u, kSentClosed = 0xFFFF0103u, kSentTooLarge = 0xFFFF0104u;
constexpr u32 kSentUndeclared = 0xFFFF0105u, kSentFailed = 0xFFFF0106u;
enum : u32 { kStatusOk = 0, kStatusFull = 1, kStatusClosed = 3, kStatusTooLarge = 5, kStatusUndeclared = 6 };
constexpr u32 kStatusGivenUp = 0xFFFFFFFFu;  // the host has given up, or the handler was cancelled
constexpr double kLongestDeadline = 2e9;     // as on the host

struct Answer {
  u32 status;
  u64 value;
};

RK_OP u32 failure_of(u32 status) {
  return status == kStatusOk           ? 0
         : status == kStatusFull       ? kSentFull
         : status == kStatusClosed     ? kSentClosed
         : status == kStatusTooLarge   ? kSentTooLarge
         : status == kStatusUndeclared ? kSentUndeclared
                                       : kSentFailed;
}

RK_OP Block& block_of(rk_call* call) { return *static_cast<Block*>(call->self); }

RK_OP void lock(Block& block) {
  const bool alone = RK_BLOCK_SIZE == 1;
  while (!alone && rk_cas_relaxed_cta(&block.lock, u32{0}, u32{1}) != 0) rk_nanosleep(20);  // Q1: as below
  if (!alone) rk_ld_acquire_cta(&block.lock);  // Q1: own value, of the sequence that the last unlock heads
}
RK_OP void unlock(Block& block) {
  if (RK_BLOCK_SIZE > 1) rk_st_release_cta(&block.lock, u32{0});  // Q1: requests and links are the next one's
}

// -- headers ----------------------------------------------------------------------------------------------------------

RK_OP Address self_of(const Block& block) {
  const u32 generation = rk_ld_relaxed_gpu(&block.work->generation);  // V1: as it was when the state began
  const Address grid{block.grid->self};
  return Address::make(grid.node(), grid.kernel(), block.instance, generation);
}

RK_COLD MessageHeader make_header(Block& block, u32 type_id, u32 size) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = kPriorityNormal;
  header.type_id = type_id;
  header.payload_size = size;
  header.hlc = clock_tick(block);
  const u64 count = rk_add_relaxed_cta(&block.next_id, u64{1});  // N2: unique among the threads of the block
  header.message_id = block.grid->id_base + (static_cast<u64>(block.instance) << 32) + count;
  header.source = self_of(block).word;
  return header;
}

// -- requests ---------------------------------------------------------------------------------------------------------

RK_COLD Answer wait_for_answer(rk_call* call, u64 request) {
  Block& block = block_of(call);
  InstanceWork& work = *block.work;
  Rest mine;
  while (rk_ld_acquire_gpu(&work.answered) != request) {  // A1: the answer's words
    if (given_up(block)) return Answer{kStatusGivenUp, 0};
    if (rk_load_cancel(call->cancel) == call->task) {  // K1
      rk_fail(call, RK_FAIL_CANCELLED, call->fail_line);
      return Answer{kStatusGivenUp, 0};
    }
    rest(mine);
  }
  return Answer{work.answer_status, work.answer_value};
}

// A body begins with the number of the request.
template <class Body>
RK_OP Answer ask(rk_call* call, u32 kind, Body body, const MessageHeader* header, const u8* payload) {
  Block& block = block_of(call);
  lock(block);
  const u64 request = ++block.requests;
  body.request = request;
  const bool sent = send_up(block, kind, &body, sizeof(body), header, payload);
  const Answer answer = sent ? wait_for_answer(call, request) : Answer{kStatusGivenUp, 0};
  unlock(block);
  return answer;
}

RK_OP u32 finish_send(rk_call* call, u32 status) {
  if (call->failed != 0) return call->failed;
  return call->failed = failure_of(status);
}

RK_OP u32 send_to_host(Block& block, const MessageHeader& header, const u8* payload) {
  return send_up(block, kUpMessage, nullptr, 0, &header, payload) ? kStatusOk : kStatusGivenUp;
}

// -- links ------------------------------------------------------------------------------------------------------------

RK_OP u32 count_of(const LinkTarget& target) {
  return rk_ld_acquire_gpu(&target.count);  // E1: the table
}

// Round robin as the routing of the target wants it; RK_ANY_INSTANCE: the host has to choose.
RK_OP u32 choose_instance(const LinkTarget& target, u32 count, u32 instance) {
  if (instance != RK_ANY_INSTANCE || count == 0) return instance;
  if (count == 1) return kChosenHere;
  if (target.key_count != 0 || target.round_robin == 0) return instance;
  const u64 n = rk_add_relaxed_gpu(word_at(target.round_robin), u64{1});  // N1: a count
  return kChosenHere | static_cast<u32>(n % count);
}

RK_OP const LinkEntry* entry_of(const Block& block, const LinkTarget& target, u32 count, u32 to) {
  return to < count ? at<LinkEntry>(target.entries, static_cast<u64>(block.instance) * count + to) : nullptr;
}

// Under the lock: the message that was pushed is more than the limit. Others that go there may follow.
RK_COLD void note_blocked(Block& block, const LinkEntry& entry, u32 target, u32 to) {
  const u64 address = reinterpret_cast<u64>(&entry);
  if (block.blocked == address) return;
  LinkRing& ring = *at<LinkRing>(entry.ring);
  rk_st_relaxed_gpu(&ring.waits, ring.waits + 1);  // L3: for those who count
  if (block.blocked != 0) {
    block.more_blocked = 1;
    return;
  }
  block.blocked = address;
  block.blocked_target = target;
  block.blocked_to = to;
  block.blocked_at = rk_globaltimer();
}

// Messages in it, as many as the sender knows to be there.
RK_OP u64 depth_of(const LinkRing& ring) {
  return ring.accepted - rk_ld_relaxed_gpu(&ring.read);  // L2: only counted
}

// Under the lock.
RK_COLD u32 push(const LinkEntry& entry, MessageHeader& header, const u8* payload) {
  LinkRing& ring = *at<LinkRing>(entry.ring);
  if (header.payload_size > ring.max_payload) return kStatusTooLarge;
  const u64 n = ring.accepted;
  if (n - ring.read_cache >= ring.slots) {
    ring.read_cache = rk_ld_acquire_gpu(&ring.read);  // L2: the receiver is done with the slots before
    if (n - ring.read_cache >= ring.slots) {
      rk_st_relaxed_gpu(&ring.refused, ring.refused + 1);  // L3: for those who count
      return ring.drops != 0 ? kStatusOk : kStatusFull;
    }
  }
  header.dest = ring.dest;
  u8* slot = link_slot(ring, n);
  header_of(slot) = header;
  copy_bytes(payload_of(slot), payload, header.payload_size);
  rk_st_relaxed_gpu(&ring.accepted, n + 1);             // L3: for those who count
  rk_st_release_gpu(turn_of(slot), n + 1);              // L1: the slot's bytes
  rk_add_release_gpu(word_at(entry.doorbell), u64{1});  // B1: the message that it is rung for
  return kStatusOk;
}

RK_OP void mind_limit(Block& block, const LinkEntry& entry, u32 target, u32 to) {
  const LinkRing& ring = *at<LinkRing>(entry.ring);
  if (ring.limit == 0 || ring.accepted - ring.read_cache <= ring.limit) return;
  if (depth_of(ring) > ring.limit) note_blocked(block, entry, target, to);
}

// kLinkByHost: not by a link. A link may change at any message: the host waits for the instance's answer to a command
// before it takes a ring away.
RK_OP u32 state_of(const LinkEntry* entry) {
  return entry == nullptr ? static_cast<u32>(kLinkByHost) : rk_ld_acquire_gpu(&entry->state);  // E1: ring and doorbell
}

RK_COLD u32 send_to(rk_call* call, u32 index, u32 instance, MessageHeader& header, const u8* payload) {
  Block& block = block_of(call);
  if (index == block.grid->host_target) {
    header.dest = Address::make(Address{block.grid->self}.node(), 0).word;
    return send_to_host(block, header, payload);
  }
  for (;;) {
    if (index < block.grid->target_count && header.priority == kPriorityNormal) {
      const LinkTarget& target = at<LinkTarget>(block.grid->targets)[index];
      const u32 count = count_of(target);
      instance = choose_instance(target, count, instance);
      const u32 to = instance == RK_ANY_INSTANCE ? instance : instance & ~static_cast<u32>(kChosenHere);
      lock(block);
      const LinkEntry* entry = entry_of(block, target, count, to);
      const u32 state = state_of(entry);
      const u32 status = state == kLinkOpen ? push(*entry, header, payload) : static_cast<u32>(kStatusClosed);
      if (state == kLinkOpen) mind_limit(block, *entry, index, to);
      unlock(block);
      if (state != kLinkByHost) return status;
    }
    const Answer answer = ask(call, kUpSend, SendBody{0, index, instance}, &header, payload);
    if (answer.status != kAnswerByLink) return answer.status;
    instance = static_cast<u32>(answer.value);  // it was before the answer that the way was opened
  }
}

RK_OP bool too_large(rk_call* call, u32 size) {
  if (size <= block_of(call).grid->max_payload) return false;
  call->failed = kSentTooLarge;
  return true;
}

}  // namespace device
}  // namespace rk

// -- as the prelude declares them -------------------------------------------------------------------------------------

// A message is answered once for each reply statement that the first thread comes to.
__device__ u32 rk_device_reply(rk_call* call, u32 type_id, const u8* payload, u32 size) {
  using namespace rk::device;
  if (threadIdx.x != 0) return 0;
  if (too_large(call, size)) return call->failed;
  Block& block = block_of(call);
  const rk::MessageHeader& asked = header_of(block.slot);
  rk::MessageHeader header = make_header(block, type_id, size);
  header.priority = asked.priority;
  header.flags = rk::kFlagReply;
  header.hops = asked.hops == 255 ? asked.hops : static_cast<u8>(asked.hops + 1);
  header.correlation_id = asked.message_id;
  header.dest = asked.source;
  if (rk::Address{header.dest}.kernel() == 0) return finish_send(call, send_to_host(block, header, payload));
  const u32 status = ask(call, rk::kUpReply, rk::SendBody{0, 0, 0}, &header, payload).status;
  return finish_send(call, status == kStatusClosed ? static_cast<u32>(kStatusOk) : status);  // who asked is gone
}

__device__ u32 rk_device_send(rk_call* call, u32 target, u32 type_id, const u8* payload, u32 size, u32 instance,
                              u32 priority, f64 deadline) {
  using namespace rk::device;
  if (too_large(call, size)) return call->failed;
  Block& block = block_of(call);
  rk::MessageHeader header = make_header(block, type_id, size);
  if (priority != RK_DEFAULT_PRIORITY) header.priority = static_cast<u8>(priority < 3 ? priority : 3);
  if (deadline > 0) {
    const f64 seconds = deadline < kLongestDeadline ? deadline : kLongestDeadline;
    header.deadline = clock_now(block) + static_cast<u64>(seconds * 4294967296.0);
  }
  if (instance != RK_ANY_INSTANCE && instance >= 0xFFFFFu) return finish_send(call, kStatusClosed);
  return finish_send(call, send_to(call, target, instance, header, payload));
}

__device__ u32 rk_device_publish(rk_call* call, u32 topic, u32 type_id, const u8* payload, u32 size, u32 retain) {
  using namespace rk::device;
  if (too_large(call, size)) return 0;
  const rk::MessageHeader header = make_header(block_of(call), type_id, size);
  const Answer answer = ask(call, rk::kUpPublish, rk::PublishBody{0, topic, retain}, &header, payload);
  finish_send(call, answer.status);
  return static_cast<u32>(answer.value);
}

__device__ u64 rk_device_now(rk_call* call) { return rk::device::clock_now(rk::device::block_of(call)); }
__device__ u64 rk_device_tick(rk_call* call) { return rk::device::clock_tick(rk::device::block_of(call)); }
__device__ bool rk_device_update_clock(rk_call* call, u64 time) {
  return rk::device::clock_update(rk::device::block_of(call), time);
}
__device__ u64 rk_device_pending(rk_call* call) {
  const u64 there = rk::device::waiting(rk::device::block_of(call));
  return there == 0 ? 0 : there - 1;
}

__device__ u64 rk_device_free_slots(rk_call* call, u32 index) {
  using namespace rk::device;
  Block& block = block_of(call);
  if (index < block.grid->target_count) {
    const rk::LinkTarget& target = at<rk::LinkTarget>(block.grid->targets)[index];
    const rk::LinkEntry* entry = entry_of(block, target, count_of(target), 0);
    if (state_of(entry) == rk::kLinkOpen) {
      const rk::LinkRing& ring = *at<rk::LinkRing>(entry->ring);
      const u64 room = ring.limit != 0 ? ring.limit : ring.slots, depth = depth_of(ring);
      return depth < room ? room - depth : 0;
    }
  }
  return ask(call, rk::kUpFreeSlots, rk::SendBody{0, index, RK_ANY_INSTANCE}, nullptr, nullptr).value;
}

__device__ void rk_device_request_termination(rk_call* call) {
  using namespace rk::device;
  Block& block = block_of(call);
  lock(block);
  const u32 wanted = block.grid->restarts_on_exit != 0 ? rk::kExitsWhenHandled : rk::kExitsStopAsked;
  const u32 before = rk_ld_relaxed_cta(&block.exits);  // X2
  const bool first = (before & wanted) == 0;
  rk_st_relaxed_cta(&block.exits, before | wanted);  // X2: under the lock; read by all
  if (first && wanted == rk::kExitsStopAsked) send_up(block, rk::kUpStop, nullptr, 0, nullptr, nullptr);
  unlock(block);
}

__device__ bool rk_device_is_terminating(rk_call* call) {
  using namespace rk::device;
  const Block& block = block_of(call);
  const u64 command = rk_ld_relaxed_gpu(&block.work->command);  // C2: looked at, nothing is read by it
  const u32 exits = rk_ld_relaxed_cta(&block.exits);            // X2: of any thread of the block
  return exits != 0 || (command & (rk::kCommandDraining | rk::kCommandStopNow)) != 0 ||
         rk_ld_relaxed_gpu(&block.work->finish) != 0;  // C2: the same
}

// A barrier of all instances: each has a message in hand that comes to it, or it waits until the watchdog acts.
__device__ void rk_device_sync_grid(rk_call* call) {
  using namespace rk::device;
  Block& block = block_of(call);
  rk_sync_block(call);
  if (threadIdx.x == 0) {
    const rk::u64 count = block.grid->instances;
    const rk::u64 mine = rk_add_release_gpu(&block.grid->gathered, rk::u64{1});  // Y1: what the block did before
    Rest nap;
    while (rk_ld_acquire_gpu(&block.grid->gathered) < (mine / count + 1) * count) {  // Y1: what the others did
      if (given_up(block) || rk_load_cancel(call->cancel) == call->task) {           // K1
        rk_fail(call, RK_FAIL_CANCELLED, call->fail_line);
        break;
      }
      rest(nap);
    }
  }
  rk_sync_block(call);
}
