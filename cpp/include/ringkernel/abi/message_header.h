// The 64 bytes in front of each message payload.
#pragma once

#include "ringkernel/abi/freeze.h"

namespace rk {

constexpr u8 kMessageVersion = 1;

// message_id: those below are for users to give, those above are counted by the runtime. One set of ids for both would
// give a caller the reply to another message, and drop a new message as a duplicate.
constexpr u64 kOwnMessageIds = u64{1} << 63;

// MessageHeader::priority
enum : u8 { kPriorityLow = 0, kPriorityNormal = 1, kPriorityHigh = 2, kPriorityCritical = 3, kPriorityCount = 4 };

// MessageHeader::flags
enum : u8 {
  kFlagReply = 1,       // correlation_id names the message that this one answers
  kFlagError = 2,       // the request was not handled; the payload says why in four bytes
  kFlagChecksum = 4,    // crc32c covers header (with crc32c = 0) and payload
  kFlagWantsReply = 8,  // the sender waits; a failure is reported to it
  kFlagsKnown = 15,
};

// version         kMessageVersion
// priority, hops  0..3; how many kernels forwarded it
// type_id         stable id of the payload's schema, never 0
// correlation_id  0 = none, else the message_id this message belongs to
// source, dest    Address words; the stamp's node and shard follow from `source`
// hlc             HlcTimestamp::time of the sender at send
// deadline        NTP64; 0 = none
#define RK_MESSAGE_HEADER_FIELDS(F)         \
  F(MessageHeader, u8, version, 0)          \
  F(MessageHeader, u8, priority, 1)         \
  F(MessageHeader, u8, hops, 2)             \
  F(MessageHeader, u8, flags, 3)            \
  F(MessageHeader, u32, type_id, 4)         \
  F(MessageHeader, u32, payload_size, 8)    \
  F(MessageHeader, u32, crc32c, 12)         \
  F(MessageHeader, u64, message_id, 16)     \
  F(MessageHeader, u64, correlation_id, 24) \
  F(MessageHeader, u64, source, 32)         \
  F(MessageHeader, u64, dest, 40)           \
  F(MessageHeader, u64, hlc, 48)            \
  F(MessageHeader, u64, deadline, 56)

RK_DEFINE_ABI_STRUCT(MessageHeader, 64, RK_MESSAGE_HEADER_FIELDS)

}  // namespace rk
