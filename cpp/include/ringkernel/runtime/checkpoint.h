// A kernel at rest as bytes: its states, the messages that wait for it, and the layouts that both were written with.
//
// Everything here is a plain value: no locks, no threads. docs/checkpoints.md has the file format as a table.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "ringkernel/abi/message_header.h"
#include "ringkernel/runtime/error.h"

namespace rk {

constexpr u16 kCheckpointMajor = 1;  // a section changed its meaning: older readers must refuse
constexpr u16 kCheckpointMinor = 0;  // a section was added that older readers may skip
constexpr u32 kCheckpointVersion = (u32{kCheckpointMajor} << 16) | kCheckpointMinor;

// `type` is the text of the annotation, nested fields included. `size`: all its bytes, of a Vec also the length.
struct FieldInfo {
  std::string name;
  std::string type;
  u32 offset = 0;
  u32 size = 0;

  bool operator==(const FieldInfo&) const = default;
};

struct LayoutInfo {
  std::string class_name;
  u32 size = 0;
  std::vector<FieldInfo> fields;
  u32 type_id = 0;

  bool empty() const { return class_name.empty() && size == 0 && fields.empty(); }
  // The same in every process and release: 64-bit FNV-1a (RFC 9923) over, little-endian, u32 size and for each field
  // u32 length and bytes of its name, the same of its type, u32 offset, u32 size. 0 only without size and fields. The
  // class's own name and type_id do not count: state of a renamed class still fits.
  u64 hash() const;

  bool operator==(const LayoutInfo&) const = default;
};

// What keeps bytes of `found` from being read as `needed`: "" or a text such as "field 'total': found f32 at 8, need
// u64 at 8". "" means equal hashes, and the other way round.
std::string first_difference(const LayoutInfo& found, const LayoutInfo& needed);

struct InFlight {
  u32 instance = 0;
  MessageHeader header{};
  std::vector<std::byte> payload;
};

struct Checkpoint {
  u32 version = kCheckpointVersion;  // of the bytes it was decoded from; encode() writes kCheckpointVersion
  std::string kernel;
  u32 instances = 1;
  u64 hlc = 0;  // NTP64, as HlcTimestamp::time
  u32 node_id = 0;
  LayoutInfo state_layout;  // empty(): the kernel has no state
  std::vector<LayoutInfo> message_layouts;
  std::vector<std::vector<std::byte>> states;  // one an instance, of state_layout.size bytes; none without state
  std::vector<InFlight> messages;              // in the order of delivery within an instance
  u64 round_robin = 0;
};

// Throws Error("InvalidArgumentError") for what decode() would refuse. The same checkpoint always makes the same bytes.
std::vector<std::byte> encode(const Checkpoint& checkpoint);

// `bytes` may be hostile: nothing outside is read, what is allocated is at most a few times their size, and what comes
// back is consistent in itself. Whether layouts, types and payloads are those of a kernel is for the launch to check.
// Throws Error("CheckpointCorruptError") and, when a later release wrote them, Error("CheckpointVersionError").
Checkpoint decode(std::span<const std::byte> bytes);

// The file at `path` is the old one or the new one at any moment, and after the return the new one even if the power
// fails. Throws std::system_error with errno and the path; then the old file is untouched and nothing is left behind,
// unless it was the last step that failed (sync of the directory): then the new file is there but may not survive
// a loss of power. A killed process may leave `.ringkernel-<pid>-<n>.tmp` beside it, which is in nobody's way.
void save_atomically(const std::string& path, std::span<const std::byte> bytes);

// Regular files only. Throws std::system_error with errno and the path.
std::vector<std::byte> load_file(const std::string& path);

}  // namespace rk
