// What the host and a resident grid on a GPU tell each other: memory of one launched kernel, whatever its handler.
//
// A grid is one router block (block 0) and one block for each instance. Two rings of 16-byte units cross the bus, in
// the host's memory: host -> device ("down"), read by the router alone, and device -> host ("up"), written by every
// block behind tickets. Everything else lies on the device.
//
// A unit is 12 bytes of a record and a tag, stored and loaded as one 16-byte access: whoever sees the tag of this lap
// has the bytes, so that a poll is the read and nothing needs a fence. A record is a RecordHead and its body; it takes
// one slot, or several in a row where the body is longer. The tag of slot n is n / slots + 1, cut to 32 bits.
//
// Protection: each line has the one writer that its comment names. Words are written by single stores; nobody does a
// read-modify-write on a word that the other side writes.
#pragma once

#include "ringkernel/abi/control_block.h"
#include "ringkernel/abi/freeze.h"
#include "ringkernel/abi/message_header.h"

namespace rk {

// Words that nobody uses yet.
template <u32 N>
struct Reserved {
  u64 words[N];
};

constexpr u32 kGridMagic = 0x44474B52;  // "RKGD"
constexpr u32 kUnitBytes = 16, kUnitPayload = 12;
constexpr u32 kMinUnits = 8, kMaxUnits = 32;  // of a slot. Only those that a record needs are written, and looked at

// Of a record of `body` bytes: how many slots of `units` units it takes. The head is the first unit of the first slot.
RK_HOST_DEVICE constexpr u32 slots_of_record(u32 body, u32 units) {
  return 1u + (body + units * kUnitPayload - 1u - (units - 1u) * kUnitPayload) / (units * kUnitPayload);
}

#define RK_RECORD_HEAD_FIELDS(F)  \
  F(RecordHead, u32, kind, 0)     \
  F(RecordHead, u32, instance, 4) \
  F(RecordHead, u32, bytes, 8)

struct RecordHead {
  RK_RECORD_HEAD_FIELDS(RK_ABI_MEMBER)
};
static_assert(sizeof(RecordHead) == kUnitPayload, "a head is what one unit carries");

// RecordHead::kind, host to device. `instance`: of whom. Bodies:
enum : u32 {
  kDownMessage = 1,  // MessageHeader, payload. Into the instance's inbox of the header's priority
  kDownAnswer = 2,   // AnswerBody: what the request that the instance waits with came to
  kDownRestart = 3,  // RestartBody: after a failure or exit that was reported, or while held: the state begins anew
  kDownResume = 4,   // nothing: nobody supervises it; it goes on as it is
  kDownFinish = 5,   // nothing: no message will follow; the instance ends when it has none any more
  kDownCancel = 6,   // CancelBody: ends the handler of this task, if it is still the one in hand
  kDownHold = 7,     // HoldBody: takes no message meanwhile: what it sent waits for room
  kDownLink = 8,     // LinkBody: a way to another kernel of this device changes
};

// RecordHead::kind, device to host.
enum : u32 {
  kUpMessage = 1,  // MessageHeader, payload: to the host, dest says where. Nobody waits
  kUpSend = 2,   // SendBody, MessageHeader, payload: to a kernel by way of the host. The instance waits for the answer
  kUpReply = 3,  // SendBody (the request alone), MessageHeader, payload: a reply to a kernel. The instance waits
  kUpPublish = 4,    // PublishBody, MessageHeader, payload. The instance waits for the answer: how many got it
  kUpFreeSlots = 5,  // SendBody: the instance waits for the answer: credits towards a target
  kUpFailed = 6,     // FailedBody, MessageHeader, payload of a message that is over, and why
  kUpExit = 7,  // nothing: the handler asked for the end, and all is handled (a supervised kernel: waits for a verdict)
  kUpStop = 8,  // nothing: the handler asked for the end of the kernel: drain, then stop
  kUpEnded = 9,  // EndedBody: the last of this instance
  // SendBody: a way is over its limit, and messages wait for the instance, which waits for the answer: value 1: take one
  // all the same, because the others wait for that; 0: do not. Then, with request 0, for no answer: there is room again.
  kUpBlocked = 10,
};

// FailedBody::outcome
enum : u32 {
  kFailHandler = 1,   // the handler failed; code and line say why
  kFailRefused = 2,   // of no type, or of another size, than what the handler takes
  kFailStopped = 3,   // cancelled
  kFailExpired = 4,   // its deadline had passed; no handler ran
  kFailLeftOver = 5,  // the instance ended first
};

#define RK_ANSWER_BODY_FIELDS(F) \
  F(AnswerBody, u64, request, 0) \
  F(AnswerBody, u64, value, 8)   \
  F(AnswerBody, u32, status, 16) \
  F(AnswerBody, u32, hold, 20)   \
  F(AnswerBody, u64, reserved24, 24)
// status: rk::Status, or kAnswerByLink. hold: 1: what was sent waits beside a full ring; take no further message until
// kDownHold says so.
// kAnswerByLink: nothing was sent; there is a way to instance `value` of the target that needs no host.
constexpr u32 kAnswerByLink = 0x100;
RK_DEFINE_ABI_STRUCT(AnswerBody, 32, RK_ANSWER_BODY_FIELDS)

#define RK_RESTART_BODY_FIELDS(F)    \
  F(RestartBody, u32, generation, 0) \
  F(RestartBody, u32, reserved, 4)
RK_DEFINE_ABI_STRUCT(RestartBody, 8, RK_RESTART_BODY_FIELDS)

#define RK_CANCEL_BODY_FIELDS(F) \
  F(CancelBody, u32, task, 0)    \
  F(CancelBody, u32, reserved, 4)
RK_DEFINE_ABI_STRUCT(CancelBody, 8, RK_CANCEL_BODY_FIELDS)

#define RK_HOLD_BODY_FIELDS(F) \
  F(HoldBody, u32, on, 0)      \
  F(HoldBody, u32, reserved, 4)
RK_DEFINE_ABI_STRUCT(HoldBody, 8, RK_HOLD_BODY_FIELDS)

// Way of instance RecordHead::instance to `target`'s instance `to`.
// state: kLink...; ring: device address of a LinkRing; doorbell: of the receiver's InstanceWork::doorbell
// target kIncoming: a ring that leads to this instance; `to`: its place in InstanceWork::links; state kLinkOpen, or
// another when it leads there no more.
// to kAllOfTarget: LinkTarget of `target`, for all instances: ring: entries, doorbell: round_robin, state: count.
constexpr u32 kIncoming = 0xFFFFFFFF;
constexpr u32 kAllOfTarget = 0xFFFFFFFF;
constexpr u32 kMaxIncoming = 256;  // places of InstanceWork::links
#define RK_LINK_BODY_FIELDS(F)   \
  F(LinkBody, u32, target, 0)    \
  F(LinkBody, u32, to, 4)        \
  F(LinkBody, u32, state, 8)     \
  F(LinkBody, u32, reserved, 12) \
  F(LinkBody, u64, ring, 16)     \
  F(LinkBody, u64, doorbell, 24)
RK_DEFINE_ABI_STRUCT(LinkBody, 32, RK_LINK_BODY_FIELDS)
enum : u32 {
  kLinkByHost = 0,  // ask the host: kUpSend
  kLinkOpen = 1,    // push into `ring`
  kLinkClosed = 2,  // the receiver takes no more
};

// request: number of the instance's request, for the answer. target: index of the handler's name. instance: index, or
// RK_ANY_INSTANCE; with kChosenHere: the device's choice, for a message that any may have. deadline, HLC, ids are in
// the header.
constexpr u32 kChosenHere = 0x80000000;
#define RK_SEND_BODY_FIELDS(F) \
  F(SendBody, u64, request, 0) \
  F(SendBody, u32, target, 8)  \
  F(SendBody, u32, instance, 12)
RK_DEFINE_ABI_STRUCT(SendBody, 16, RK_SEND_BODY_FIELDS)

#define RK_PUBLISH_BODY_FIELDS(F) \
  F(PublishBody, u64, request, 0) \
  F(PublishBody, u32, topic, 8)   \
  F(PublishBody, u32, retain, 12)
RK_DEFINE_ABI_STRUCT(PublishBody, 16, RK_PUBLISH_BODY_FIELDS)

// code: RK_FAIL_... ; line: of the handler's file; waits: 1: the instance rests until a verdict; last: 1: it failed
// once too often, and the kernel is to fail
#define RK_FAILED_BODY_FIELDS(F)    \
  F(FailedBody, u32, outcome, 0)    \
  F(FailedBody, u32, code, 4)       \
  F(FailedBody, u32, line, 8)       \
  F(FailedBody, u32, waits, 12)     \
  F(FailedBody, u32, last, 16)      \
  F(FailedBody, u32, reserved0, 20) \
  F(FailedBody, u64, reserved24, 24)
RK_DEFINE_ABI_STRUCT(FailedBody, 32, RK_FAILED_BODY_FIELDS)

#define RK_ENDED_BODY_FIELDS(F) \
  F(EndedBody, u32, failed, 0)  \
  F(EndedBody, u32, reserved, 4)
RK_DEFINE_ABI_STRUCT(EndedBody, 8, RK_ENDED_BODY_FIELDS)

// -- lines in the host's memory ---------------------------------------------------------------------------------------

// HostLine::command, low bits; the rest of the word counts commands (kCommandEpoch each).
enum : u32 {
  kCommandActive = 1,    // take messages
  kCommandStopNow = 2,   // end after the message in hand; what is left comes back as kFailLeftOver
  kCommandDraining = 8,  // the kernel is to end: what handlers see as is_terminating
  kCommandAbort = 4,     // the host has given up: leave every wait, at once
  kCommandEpochShift = 8,
};

// Written by the host.
//   command     what all instances are to do; each answers with InstanceStatus::epoch_seen
//   after       records of the down ring that come before this command: it is passed on when they have been taken
//   up_read     slots of the up ring that are free again
//   host_time   NTP64, renewed whenever the host looks
//   leave       leases up to this number end as soon as no handler runs
#define RK_HOST_LINE_FIELDS(F)    \
  F(HostLine, u64, command, 0)    \
  F(HostLine, u64, after, 8)      \
  F(HostLine, u64, up_read, 16)   \
  F(HostLine, u64, host_time, 24) \
  F(HostLine, u64, leave, 32)     \
  F(HostLine, Reserved<11>, reserved40, 40)
RK_DEFINE_ABI_STRUCT(HostLine, 128, RK_HOST_LINE_FIELDS)

// Written by the router.
//   down_read    slots of the down ring that are free again
//   lease_begun  number of the lease that runs, once its router turns
//   lease_ended  number of the last lease that is over: its router left last
//   heartbeat    moves while the router turns
//   device_time  %globaltimer when the heartbeat moved
#define RK_DEVICE_LINE_FIELDS(F)       \
  F(DeviceLine, u64, down_read, 0)     \
  F(DeviceLine, u64, lease_begun, 8)   \
  F(DeviceLine, u64, lease_ended, 16)  \
  F(DeviceLine, u64, heartbeat, 24)    \
  F(DeviceLine, u64, device_time, 32)  \
  F(DeviceLine, u32, fault, 40)        \
  F(DeviceLine, u32, fault_detail, 44) \
  F(DeviceLine, Reserved<10>, reserved48, 48)
RK_DEFINE_ABI_STRUCT(DeviceLine, 128, RK_DEVICE_LINE_FIELDS)

enum : u32 {
  kFaultNone = 0,
  kFaultMagic = 1,      // the grid's memory is not what the device takes it for
  kFaultRecord = 2,     // a record of no known kind, or for no instance; detail: the kind
  kFaultInboxFull = 3,  // the host sent more than the window allows; detail: the instance
};

// InstanceStatus::phase
enum : u32 {
  kPhaseIdle = 0,    // nothing to do
  kPhasePaused = 1,  // by command
  kPhaseBusy = 2,    // in a handler
  kPhaseHeld = 3,    // kDownHold
  kPhaseWaits = 4,   // for a verdict
  kPhaseEnded = 5,
};

// Written by the instance's first thread; one for each instance.
// First line, stored whenever a quarter of the window was taken, when the instance goes idle, and for each command:
//   epoch_seen  number of the newest command obeyed: everything else in this line is at least as new
//   taken0..3   messages of each priority that came by the down ring and whose slots are free again
//   handled     a handler ran, whatever came of it; reported: errors counted by it; linked: messages taken from links
// Second line, stored when a handler begins, and when the instance goes idle (busy_since 0):
//   busy_since  NTP64; task: number for kDownCancel
#define RK_INSTANCE_STATUS_FIELDS(F)       \
  F(InstanceStatus, u64, epoch_seen, 0)    \
  F(InstanceStatus, u64, handled, 8)       \
  F(InstanceStatus, u64, reported, 16)     \
  F(InstanceStatus, u64, linked, 24)       \
  F(InstanceStatus, u32, taken0, 32)       \
  F(InstanceStatus, u32, taken1, 36)       \
  F(InstanceStatus, u32, taken2, 40)       \
  F(InstanceStatus, u32, taken3, 44)       \
  F(InstanceStatus, u32, last_error, 48)   \
  F(InstanceStatus, u32, phase, 52)        \
  F(InstanceStatus, u64, clock, 56)        \
  F(InstanceStatus, u64, busy_since, 64)   \
  F(InstanceStatus, u64, message_id, 72)   \
  F(InstanceStatus, u32, message_type, 80) \
  F(InstanceStatus, u32, task, 84)         \
  F(InstanceStatus, Reserved<5>, reserved88, 88)
RK_DEFINE_ABI_STRUCT(InstanceStatus, 128, RK_INSTANCE_STATUS_FIELDS)

// Latencies in ns as HistogramCopy (core/histogram.h) counts them: kLatencyBuckets counts, then count, sum, min, max.
// Two of them for each instance, handler and queueing; brought up to date for each command.
constexpr u32 kLatencyBuckets = 592;
constexpr u32 kLatencyWords = 596;

// -- memory of the device ---------------------------------------------------------------------------------------------

// An inbox slot: 64 bytes of lead, MessageHeader, payload; its stride is a multiple of 128. `turn` n + 1 publishes
// message n of the ring. An instance has four inboxes in a row, by priority, of `window` slots each.
constexpr u32 kInboxLead = 64;

// One receiver, one sender, both on this device. `turn` publishes as in an inbox.
//   slots     messages that it has room for; drops: 1: one that finds no room is dropped, which is no failure
//   limit     0, or: while there are more, the sender takes no message of its own
//   dest      MessageHeader::dest of what goes this way
//   read      written by the receiver: messages that it is done with
//   accepted, refused  written by the sender: pushed; not pushed because full. waits: times that it came to the limit
#define RK_LINK_RING_FIELDS(F)                \
  F(LinkRing, u64, slots_address, 0)          \
  F(LinkRing, u32, slots, 8)                  \
  F(LinkRing, u32, stride, 12)                \
  F(LinkRing, u32, max_payload, 16)           \
  F(LinkRing, u32, drops, 20)                 \
  F(LinkRing, u64, dest, 24)                  \
  F(LinkRing, u32, limit, 32)                 \
  F(LinkRing, u32, reserved36, 36)            \
  F(LinkRing, Reserved<11>, reserved40, 40)   \
  F(LinkRing, u64, accepted, 128)             \
  F(LinkRing, u64, refused, 136)              \
  F(LinkRing, u64, read_cache, 144)           \
  F(LinkRing, u64, waits, 152)                \
  F(LinkRing, Reserved<12>, reserved160, 160) \
  F(LinkRing, u64, read, 256)                 \
  F(LinkRing, Reserved<15>, reserved264, 264)
RK_DEFINE_ABI_STRUCT(LinkRing, 384, RK_LINK_RING_FIELDS)

// What the host is told of the rings that lead to an instance, for each of its places in a row: accepted, refused, read,
// waits.
// Brought up to date with the latencies.
constexpr u32 kLinkWords = 4;

// Of one instance, one target and one instance of that target. Written by the router, read by the instance.
#define RK_LINK_ENTRY_FIELDS(F)    \
  F(LinkEntry, u64, ring, 0)       \
  F(LinkEntry, u64, doorbell, 8)   \
  F(LinkEntry, u32, state, 16)     \
  F(LinkEntry, u32, reserved0, 20) \
  F(LinkEntry, u64, reserved24, 24)
RK_DEFINE_ABI_STRUCT(LinkEntry, 32, RK_LINK_ENTRY_FIELDS)

// InstanceWork::exits
enum : u32 {
  kExitsWhenHandled = 1,  // the handler asked for the end, for a new beginning
  kExitsStopAsked = 2,    // kUpStop was sent
  kExitsFailed = 4,       // FailedBody::last was sent: all that comes is left over, until kCommandStopNow or kDownFinish
};

// What the router and other kernels tell an instance, and what it keeps from lease to lease.
//   doorbell   rung (added to, atomically, by anybody on the device) after anything for the instance but a message in
//              an inbox: those the instance looks for itself
//   command    HostLine::command, as the router read it
//   cancel     task that shall end
//   finish, hold, verdict, generation   of kDownFinish, kDownHold, kDownRestart (2) and kDownResume (1), kDownRestart
//   answered, status, value, answer_hold   of the last kDownAnswer; `answered` last
//   verdict    is set to 0 again by the instance, which takes it
//   written, seen   messages that the router has put into each inbox; how many of them it knows to be over
//   exits      kExits...
//   Everything from 256 on is the instance's own; from 128 on it is written by the router.
#define RK_INSTANCE_WORK_FIELDS(F)               \
  F(InstanceWork, u64, doorbell, 0)              \
  F(InstanceWork, Reserved<15>, reserved8, 8)    \
  F(InstanceWork, u64, command, 128)             \
  F(InstanceWork, u64, answered, 136)            \
  F(InstanceWork, u64, answer_value, 144)        \
  F(InstanceWork, u32, answer_status, 152)       \
  F(InstanceWork, u32, answer_hold, 156)         \
  F(InstanceWork, u32, cancel, 160)              \
  F(InstanceWork, u32, finish, 164)              \
  F(InstanceWork, u32, hold, 168)                \
  F(InstanceWork, u32, verdict, 172)             \
  F(InstanceWork, u32, generation, 176)          \
  F(InstanceWork, u32, reserved180, 180)         \
  F(InstanceWork, u64, links, 184)               \
  F(InstanceWork, u32, link_count, 192)          \
  F(InstanceWork, u32, reserved196, 196)         \
  F(InstanceWork, u64, written0, 200)            \
  F(InstanceWork, u64, written1, 208)            \
  F(InstanceWork, u64, written2, 216)            \
  F(InstanceWork, u64, written3, 224)            \
  F(InstanceWork, u32, seen0, 232)               \
  F(InstanceWork, u32, seen1, 236)               \
  F(InstanceWork, u32, seen2, 240)               \
  F(InstanceWork, u32, seen3, 244)               \
  F(InstanceWork, u64, reserved248, 248)         \
  F(InstanceWork, u64, clock, 256)               \
  F(InstanceWork, u64, next_id, 264)             \
  F(InstanceWork, u64, requests, 272)            \
  F(InstanceWork, u64, handled, 280)             \
  F(InstanceWork, u64, reported, 288)            \
  F(InstanceWork, u64, linked, 296)              \
  F(InstanceWork, u64, read0, 304)               \
  F(InstanceWork, u64, read1, 312)               \
  F(InstanceWork, u64, read2, 320)               \
  F(InstanceWork, u64, read3, 328)               \
  F(InstanceWork, u32, task, 336)                \
  F(InstanceWork, u32, last_error, 340)          \
  F(InstanceWork, u32, phase, 344)               \
  F(InstanceWork, u32, exits, 348)               \
  F(InstanceWork, u64, failures, 352)            \
  F(InstanceWork, Reserved<19>, reserved360, 360)
RK_DEFINE_ABI_STRUCT(InstanceWork, 512, RK_INSTANCE_WORK_FIELDS)

// One target of the handler: the ways of every instance to each of its instances, entries[instance * count + to].
//   count        0: there is no way that needs no host
//   round_robin  a count, added to by all instances; 0, or with keys: the host says who gets what any may have
#define RK_LINK_TARGET_FIELDS(F)     \
  F(LinkTarget, u64, entries, 0)     \
  F(LinkTarget, u64, round_robin, 8) \
  F(LinkTarget, u64, keys, 16)       \
  F(LinkTarget, u32, key_count, 24)  \
  F(LinkTarget, u32, count, 28)
RK_DEFINE_ABI_STRUCT(LinkTarget, 32, RK_LINK_TARGET_FIELDS)

// The root of a grid, in the memory of the device. Written by the host before the first lease; the last two lines by
// the device. `control` is the ControlBlock in the host's memory; other addresses are of what their names say.
//   id_base       instance i counts its message ids from id_base + (i << 32)
//   window        slots of an inbox, a power of two; inbox_stride: bytes of each
//   state_stride, copy_stride, state_bytes   bytes; 0: there is none
//   max_failures  within failure_window ns, without a supervisor
//   up_write      ticket of the next slot of the up ring; up_read: HostLine::up_read, as the router read it
//   begun         lease whose router has taken everything that was sent before it
//   links_host    kLinkWords of each place of each instance, in the host's memory; 0: there are no links
//   offset        NTP64 of the host minus that of %globaltimer, which may be ahead; offset_at: when it was set, NTP64
//   failure_times max_failures words of each instance
//   gathered      blocks that came to a barrier of all instances
//   ended         instances that are over; left: blocks that have left this lease
//   returned      blocks that have seen the lease's end; resting: those that take no message because of it
#define RK_GRID_BLOCK_FIELDS(F)                \
  F(GridBlock, u32, magic, 0)                  \
  F(GridBlock, u32, abi_version, 4)            \
  F(GridBlock, u32, instances, 8)              \
  F(GridBlock, u32, unit_count, 12)            \
  F(GridBlock, u32, down_slots, 16)            \
  F(GridBlock, u32, up_slots, 20)              \
  F(GridBlock, u32, window, 24)                \
  F(GridBlock, u32, inbox_stride, 28)          \
  F(GridBlock, u32, max_payload, 32)           \
  F(GridBlock, u32, state_bytes, 36)           \
  F(GridBlock, u32, state_stride, 40)          \
  F(GridBlock, u32, copy_stride, 44)           \
  F(GridBlock, u64, host_line, 48)             \
  F(GridBlock, u64, device_line, 56)           \
  F(GridBlock, u64, status, 64)                \
  F(GridBlock, u64, latencies, 72)             \
  F(GridBlock, u64, latencies_host, 80)        \
  F(GridBlock, u64, down, 88)                  \
  F(GridBlock, u64, up, 96)                    \
  F(GridBlock, u64, inboxes, 104)              \
  F(GridBlock, u64, states, 112)               \
  F(GridBlock, u64, initial_state, 120)        \
  F(GridBlock, u64, copies, 128)               \
  F(GridBlock, u64, works, 136)                \
  F(GridBlock, u64, failure_times, 144)        \
  F(GridBlock, u64, targets, 152)              \
  F(GridBlock, u64, control, 160)              \
  F(GridBlock, u64, self, 168)                 \
  F(GridBlock, u64, id_base, 176)              \
  F(GridBlock, u64, max_drift, 184)            \
  F(GridBlock, u64, failure_window, 192)       \
  F(GridBlock, u32, max_failures, 200)         \
  F(GridBlock, u32, supervised, 204)           \
  F(GridBlock, u32, restarts_on_exit, 208)     \
  F(GridBlock, u32, target_count, 212)         \
  F(GridBlock, u32, host_target, 216)          \
  F(GridBlock, u32, reserved220, 220)          \
  F(GridBlock, u64, links_host, 224)           \
  F(GridBlock, Reserved<3>, reserved232, 232)  \
  F(GridBlock, u64, up_write, 256)             \
  F(GridBlock, Reserved<15>, reserved264, 264) \
  F(GridBlock, u64, up_read, 384)              \
  F(GridBlock, u64, begun, 392)                \
  F(GridBlock, u64, down_read, 400)            \
  F(GridBlock, u64, offset, 408)               \
  F(GridBlock, u64, command, 416)              \
  F(GridBlock, u64, leave, 424)                \
  F(GridBlock, u32, ended, 432)                \
  F(GridBlock, u32, left, 436)                 \
  F(GridBlock, u64, heartbeat, 440)            \
  F(GridBlock, u64, gathered, 448)             \
  F(GridBlock, u64, offset_at, 456)            \
  F(GridBlock, u32, returned, 464)             \
  F(GridBlock, u32, resting, 468)              \
  F(GridBlock, Reserved<5>, reserved472, 472)
RK_DEFINE_ABI_STRUCT(GridBlock, 512, RK_GRID_BLOCK_FIELDS)

// What is frozen between host and device: F(Struct, FIELD_LIST). A grid reports the sizes and offsets that its compiler
// made of them, in this order, before it is first launched.
#define RK_GRID_STRUCTS(F)                     \
  F(MessageHeader, RK_MESSAGE_HEADER_FIELDS)   \
  F(RecordHead, RK_RECORD_HEAD_FIELDS)         \
  F(AnswerBody, RK_ANSWER_BODY_FIELDS)         \
  F(RestartBody, RK_RESTART_BODY_FIELDS)       \
  F(CancelBody, RK_CANCEL_BODY_FIELDS)         \
  F(HoldBody, RK_HOLD_BODY_FIELDS)             \
  F(LinkBody, RK_LINK_BODY_FIELDS)             \
  F(SendBody, RK_SEND_BODY_FIELDS)             \
  F(PublishBody, RK_PUBLISH_BODY_FIELDS)       \
  F(FailedBody, RK_FAILED_BODY_FIELDS)         \
  F(EndedBody, RK_ENDED_BODY_FIELDS)           \
  F(HostLine, RK_HOST_LINE_FIELDS)             \
  F(DeviceLine, RK_DEVICE_LINE_FIELDS)         \
  F(InstanceStatus, RK_INSTANCE_STATUS_FIELDS) \
  F(LinkRing, RK_LINK_RING_FIELDS)             \
  F(LinkEntry, RK_LINK_ENTRY_FIELDS)           \
  F(LinkTarget, RK_LINK_TARGET_FIELDS)         \
  F(InstanceWork, RK_INSTANCE_WORK_FIELDS)     \
  F(ControlBlock, RK_CONTROL_BLOCK_FIELDS)     \
  F(GridBlock, RK_GRID_BLOCK_FIELDS)

}  // namespace rk
