// The format of a snapshot: both directions in one file, so that each write_ stands above its read_. It is written byte
// by byte, so it is little-endian on every machine; states and payloads are wire bytes already.
#include "ringkernel/runtime/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "ringkernel/core/crc32c.h"

namespace rk {
namespace {

// A header, then sections, each {u32 kind, u64 length, u32 crc} and its payload.

constexpr unsigned char kMagic[8] = {'R', 'K', 'C', 'K', 'P', 'T', '\r', '\n'};  // \r\n: seen when a copy "mends" text
constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kHeaderCrcAt = 60;  // magic, version and this stay where they are in every major version
constexpr std::size_t kTotalSizeAt = 16;
constexpr std::size_t kSectionHead = 12;  // the part before the crc, which covers it too
constexpr std::size_t kSectionHeader = 16;

enum Section : u32 { kKernel = 1, kMessageLayouts = 2, kState = 3, kMessages = 4, kLastSection = kMessages };
constexpr u32 kRequired = 1u << kKernel | 1u << kMessageLayouts | 1u << kMessages;

std::string quoted(const std::string& name) { return "'" + name + "'"; }

[[noreturn]] void damaged(const std::string& what) {
  throw Error("CheckpointCorruptError",
              "damaged snapshot: " + what + "; use another copy of it, or take a new snapshot");
}

void require(bool holds, const std::string& what, u64 found, u64 needed) {
  if (!holds) damaged(what + ": found " + std::to_string(found) + ", need " + std::to_string(needed));
}

// -- primitives

class Writer {
 public:
  template <class T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out_.push_back(static_cast<std::byte>(u64{value} >> (8 * i)));
  }
  template <class T>
  void put_at(std::size_t at, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out_[at + i] = static_cast<std::byte>(u64{value} >> (8 * i));
  }
  void raw(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void count(std::size_t n) {
    if (n > std::numeric_limits<u32>::max()) {
      throw Error("InvalidArgumentError", "found " + std::to_string(n) + " parts in a snapshot, need less than 2**32");
    }
    put(static_cast<u32>(n));
  }
  void text(const std::string& text) {
    count(text.size());
    raw(std::as_bytes(std::span(text)));
  }
  template <class Fill>
  void section(u32 kind, Fill fill) {
    const std::size_t start = out_.size();
    put(kind);
    put(u64{0});
    put(u32{0});
    fill();
    const std::size_t length = out_.size() - start - kSectionHeader;
    put_at(start + 4, u64{length});
    const u32 crc = crc32c(0, out_.data() + start, kSectionHead);
    put_at(start + kSectionHead, crc32c(crc, out_.data() + start + kSectionHeader, length));
    ++sections_;
  }

  u32 sections() const { return sections_; }
  std::size_t size() const { return out_.size(); }
  u32 crc(std::size_t bytes) const { return crc32c(0, out_.data(), bytes); }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
  u32 sections_ = 0;
};

// Every length is compared with what is left before it is used.
class Reader {
 public:
  Reader(std::span<const std::byte> left, const char* where) : left_(left), where_(where) {}

  std::span<const std::byte> take(u64 size) {
    require(size <= left_.size(), std::string("bytes left in ") + where_, left_.size(), size);
    const auto taken = left_.first(static_cast<std::size_t>(size));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  template <class T>
  T get() {
    const auto bytes = take(sizeof(T));
    u64 value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::to_integer<u64>(bytes[i]) << (8 * i);
    return static_cast<T>(value);
  }
  // The number of parts that follow, each of at least `smallest` bytes: a vector of so many may be made.
  u32 count(std::size_t smallest) {
    const u32 n = get<u32>();
    require(n <= left_.size() / smallest, std::string("parts in ") + where_, left_.size() / smallest, n);
    return n;
  }
  std::string text() {
    const auto bytes = take(get<u32>());
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::vector<std::byte> blob() {
    const auto bytes = take(get<u64>());
    return {bytes.begin(), bytes.end()};
  }
  void expect_end() const { require(left_.empty(), std::string("bytes after the end of ") + where_, left_.size(), 0); }

 private:
  std::span<const std::byte> left_;
  const char* where_;
};

// -- what makes a checkpoint consistent, in both directions

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Python could not show such names.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const u32 lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return false;
    const std::size_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (more > text.size() - i) return false;
    u32 code = lead & (0x3Fu >> more);
    for (std::size_t end = i + more; i < end; ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return false;
      code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
    }
    const u32 least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  }
  return true;
}

std::string layout_problem(const LayoutInfo& layout) {
  if (!is_utf8(layout.class_name)) return "the name of a class is not UTF-8";
  for (const FieldInfo& field : layout.fields) {
    if (!is_utf8(field.name) || !is_utf8(field.type)) return "a field of " + layout.class_name + " is not UTF-8";
    if (u64{field.offset} + field.size > layout.size) {
      return "field " + quoted(field.name) + " of " + layout.class_name + ": found its end at " +
             std::to_string(u64{field.offset} + field.size) + ", need at most " + std::to_string(layout.size);
    }
  }
  return "";
}

std::string layouts_problem(const Checkpoint& c) {
  std::string problem = layout_problem(c.state_layout);
  std::vector<u32> ids;
  for (const LayoutInfo& layout : c.message_layouts) {
    if (problem.empty()) problem = layout_problem(layout);
    ids.push_back(layout.type_id);
  }
  std::sort(ids.begin(), ids.end());
  if (problem.empty() && std::adjacent_find(ids.begin(), ids.end()) != ids.end()) {
    problem = "two message classes have one type id";
  }
  return problem;
}

std::string states_problem(const Checkpoint& c) {
  const u32 needed = c.state_layout.empty() ? 0 : c.instances;
  if (c.states.size() != needed) {
    return "found " + std::to_string(c.states.size()) + " states, need " + std::to_string(needed);
  }
  for (const auto& state : c.states) {
    if (state.size() != c.state_layout.size) {
      return "found a state of " + std::to_string(state.size()) + " bytes, need " + std::to_string(c.state_layout.size);
    }
  }
  return "";
}

std::string message_problem(const InFlight& message, u32 instances) {
  const MessageHeader& header = message.header;
  const auto found = [](const char* what, u64 value) {
    return std::string("message in flight: found ") + what + " " + std::to_string(value) + ", which cannot be";
  };
  if (message.instance >= instances) return found("instance", message.instance);
  if (header.version != kMessageVersion) return found("version", header.version);
  if (header.priority >= kPriorityCount) return found("priority", header.priority);
  if ((header.flags & ~kFlagsKnown) != 0) return found("flags", header.flags);
  if (header.payload_size != message.payload.size()) return found("payload size", header.payload_size);
  return "";
}

std::string problem_of(const Checkpoint& c) {
  if (c.instances == 0) return "found 0 instances, need at least 1";
  if (!is_utf8(c.kernel)) return "the name of the kernel is not UTF-8";
  std::string problem = layouts_problem(c);
  if (problem.empty()) problem = states_problem(c);
  for (const InFlight& message : c.messages) {
    if (!problem.empty()) break;
    problem = message_problem(message, c.instances);
  }
  return problem;
}

// -- sections. The smallest sizes are what count() divides by.

constexpr std::size_t kSmallestField = 16;
constexpr std::size_t kSmallestLayout = 16;
constexpr std::size_t kSmallestState = 8;
constexpr std::size_t kSmallestMessage = 4 + sizeof(MessageHeader);

void write_layout(Writer& out, const LayoutInfo& layout) {
  out.text(layout.class_name);
  out.put(layout.type_id);
  out.put(layout.size);
  out.count(layout.fields.size());
  for (const FieldInfo& field : layout.fields) {
    out.text(field.name);
    out.text(field.type);
    out.put(field.offset);
    out.put(field.size);
  }
}

LayoutInfo read_layout(Reader& in) {
  LayoutInfo layout;
  layout.class_name = in.text();
  layout.type_id = in.get<u32>();
  layout.size = in.get<u32>();
  layout.fields.resize(in.count(kSmallestField));
  for (FieldInfo& field : layout.fields) {
    field.name = in.text();
    field.type = in.text();
    field.offset = in.get<u32>();
    field.size = in.get<u32>();
  }
  return layout;
}

void write_message(Writer& out, const InFlight& message) {
  out.put(message.instance);
#define RK_WRITE(S, type, name, offset) out.put(message.header.name);
  RK_MESSAGE_HEADER_FIELDS(RK_WRITE)
#undef RK_WRITE
  out.raw(message.payload);  // its length is in the header
}

InFlight read_message(Reader& in) {
  InFlight message;
  message.instance = in.get<u32>();
#define RK_READ(S, type, name, offset) message.header.name = in.get<type>();
  RK_MESSAGE_HEADER_FIELDS(RK_READ)
#undef RK_READ
  const auto payload = in.take(message.header.payload_size);
  message.payload.assign(payload.begin(), payload.end());
  return message;
}

void write_kernel(Writer& out, const Checkpoint& c) {
  out.text(c.kernel);
  out.put(c.instances);
  out.put(c.node_id);
  out.put(c.hlc);
  out.put(c.round_robin);
}

void read_kernel(Reader& in, Checkpoint* c) {
  c->kernel = in.text();
  c->instances = in.get<u32>();
  c->node_id = in.get<u32>();
  c->hlc = in.get<u64>();
  c->round_robin = in.get<u64>();
}

void write_state(Writer& out, const Checkpoint& c) {
  write_layout(out, c.state_layout);
  out.count(c.states.size());
  for (const auto& state : c.states) {
    out.put(u64{state.size()});
    out.raw(state);
  }
}

void read_state(Reader& in, Checkpoint* c) {
  c->state_layout = read_layout(in);
  if (c->state_layout.empty()) damaged("the section of the state describes none");
  c->states.resize(in.count(kSmallestState));
  for (auto& state : c->states) state = in.blob();
}

void read_section(u32 kind, std::span<const std::byte> payload, Checkpoint* c) {
  static constexpr const char* kNames[] = {"", "the kernel", "the message classes", "the state", "the messages"};
  Reader in(payload, kNames[kind]);
  if (kind == kKernel) read_kernel(in, c);
  if (kind == kState) read_state(in, c);
  if (kind == kMessageLayouts) {
    c->message_layouts.resize(in.count(kSmallestLayout));
    for (LayoutInfo& layout : c->message_layouts) layout = read_layout(in);
  }
  if (kind == kMessages) {
    c->messages.resize(in.count(kSmallestMessage));
    for (InFlight& message : c->messages) message = read_message(in);
  }
  in.expect_end();
}

struct Header {
  u16 minor;
  u32 sections;
  u64 layout_hash;
};

// Damage is told from a later version by the checksum, which every version has in the same place.
Header read_header(std::span<const std::byte> bytes) {
  require(bytes.size() >= kHeaderSize, "bytes", bytes.size(), kHeaderSize);
  if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    damaged("found a beginning that no snapshot has, need 'RKCKPT'");
  }
  Reader in(bytes.subspan(sizeof(kMagic), kHeaderSize - sizeof(kMagic)), "the header");
  const u16 major = in.get<u16>();
  const u16 minor = in.get<u16>();
  const u32 header_size = in.get<u32>();
  const u64 total = in.get<u64>();
  const u32 sections = in.get<u32>();
  const u32 flags = in.get<u32>();
  const u64 hash = in.get<u64>();
  const auto reserved = in.take(kHeaderCrcAt - 40);
  const u32 crc = crc32c(0, bytes.data(), kHeaderCrcAt);
  const u32 stored = in.get<u32>();
  require(stored == crc, "checksum of the header", stored, crc);
  if (major != kCheckpointMajor) {
    throw Error("CheckpointVersionError", "found snapshot format " + std::to_string(major) + "." +
                                              std::to_string(minor) + ", need " + std::to_string(kCheckpointMajor) +
                                              ".x; use the release of pyringkernel that wrote it, or a later one");
  }
  require(header_size == kHeaderSize, "size of the header", header_size, kHeaderSize);
  require(total == bytes.size(), "bytes", bytes.size(), total);
  const bool plain =
      flags == 0 && std::all_of(reserved.begin(), reserved.end(), [](auto b) { return b == std::byte{}; });
  if (minor <= kCheckpointMinor && !plain) damaged("found reserved bytes in use, need zeros");
  return {minor, sections, hash};
}

void read_sections(Reader& file, const Header& header, Checkpoint* c) {
  u32 last = 0, seen = 0;
  for (u32 i = 0; i < header.sections; ++i) {
    const auto head = file.take(kSectionHeader);
    Reader in(head, "a section");
    const u32 kind = in.get<u32>();
    const u64 length = in.get<u64>();
    const u32 stored = in.get<u32>();
    const auto payload = file.take(length);
    const u32 crc = crc32c(crc32c(0, head.data(), kSectionHead), payload.data(), payload.size());
    require(stored == crc, "checksum of section " + std::to_string(kind), stored, crc);
    const bool known = kind >= kKernel && kind <= kLastSection;
    if (!known && header.minor > kCheckpointMinor) continue;
    require(known, "kind of section", kind, last + 1);
    require(kind > last, "order of sections", kind, last + 1);
    last = kind;
    seen |= 1u << kind;
    read_section(kind, payload, c);
  }
  file.expect_end();
  require((seen & kRequired) == kRequired, "sections, as bits", seen, kRequired);
}

}  // namespace

std::vector<std::byte> encode(const Checkpoint& c) {
  const std::string problem = problem_of(c);
  if (!problem.empty()) throw Error("InvalidArgumentError", "cannot write this snapshot: " + problem);
  Writer out;
  out.raw(std::as_bytes(std::span(kMagic)));
  out.put(kCheckpointMajor);
  out.put(kCheckpointMinor);
  out.put(u32{kHeaderSize});
  for (std::size_t i = kTotalSizeAt; i < kHeaderSize; ++i) out.put(u8{0});
  out.section(kKernel, [&] { write_kernel(out, c); });
  out.section(kMessageLayouts, [&] {
    out.count(c.message_layouts.size());
    for (const LayoutInfo& layout : c.message_layouts) write_layout(out, layout);
  });
  if (!c.state_layout.empty()) out.section(kState, [&] { write_state(out, c); });
  out.section(kMessages, [&] {
    out.count(c.messages.size());
    for (const InFlight& message : c.messages) write_message(out, message);
  });
  out.put_at(kTotalSizeAt, u64{out.size()});
  out.put_at(24, out.sections());
  out.put_at(32, c.state_layout.hash());
  out.put_at(kHeaderCrcAt, out.crc(kHeaderCrcAt));
  return out.take();
}

Checkpoint decode(std::span<const std::byte> bytes) {
  const Header header = read_header(bytes);
  Checkpoint made;
  made.version = (u32{kCheckpointMajor} << 16) | header.minor;
  Reader file(bytes.subspan(kHeaderSize), "the file");
  read_sections(file, header, &made);
  require(header.layout_hash == made.state_layout.hash(), "hash of the layout", header.layout_hash,
          made.state_layout.hash());
  const std::string problem = problem_of(made);
  if (!problem.empty()) damaged(problem);
  return made;
}

}  // namespace rk
