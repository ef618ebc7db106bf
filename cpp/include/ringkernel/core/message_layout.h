// What a message's payload looks like, and the check that untrusted bytes really look like it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "ringkernel/abi/message_header.h"
#include "ringkernel/core/crc32c.h"

namespace rk {

enum class Scalar : std::uint8_t {
  kBool,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kF16,
  kF32,
  kF64,
  kBytes,
  kStruct
};

enum class Shape : std::uint8_t {
  kOne,    // a scalar, kBytes of `count` bytes, or a nested struct
  kArray,  // `count` elements
  kVec,    // a u32 length at `offset`, then up to `count` elements at `elements_offset`
  kRef,    // 16 bytes that refer to memory with elements of this scalar: runtime/buffer_table.h. Any bytes will do
};

struct MessageLayout;

struct FieldLayout {
  std::uint32_t offset = 0;
  std::uint32_t elements_offset = 0;  // where the first element is; `offset` unless kVec
  std::uint32_t element_size = 0;
  std::uint32_t count = 1;
  Scalar scalar = Scalar::kU8;
  Shape shape = Shape::kOne;
  std::shared_ptr<const MessageLayout> nested;  // kStruct
};

struct MessageLayout {
  std::uint32_t size = 0;
  std::uint32_t align = 1;
  std::uint32_t type_id = 0;
  std::vector<FieldLayout> fields;
};

enum class PayloadError : std::uint8_t { kNone, kWrongSize, kBadBool, kVecTooLong, kPaddingNotZero };

struct PayloadProblem {
  PayloadError error = PayloadError::kNone;
  std::uint32_t field = 0;  // index in MessageLayout::fields
  std::uint64_t found = 0;
};

namespace detail {

inline std::uint32_t vec_length(const std::byte* payload, const FieldLayout& field) {
  std::uint32_t length;
  std::memcpy(&length, payload + field.offset, sizeof(length));
  return length;
}

inline bool all_zero(const std::byte* from, const std::byte* to) {
  for (; from != to; ++from) {
    if (*from != std::byte{0}) return false;
  }
  return true;
}

PayloadProblem check_struct(const MessageLayout& layout, const std::byte* payload);

inline PayloadError check_element(const FieldLayout& field, const std::byte* element) {
  if (field.scalar == Scalar::kBool)
    return std::to_integer<unsigned>(*element) > 1 ? PayloadError::kBadBool : PayloadError::kNone;
  if (field.scalar == Scalar::kStruct) return check_struct(*field.nested, element).error;
  return PayloadError::kNone;
}

inline PayloadProblem check_field(const FieldLayout& field, std::uint32_t index, const std::byte* payload) {
  std::uint32_t elements = field.scalar == Scalar::kBytes || field.shape == Shape::kRef ? 0 : field.count;
  if (field.shape == Shape::kVec) {
    elements = vec_length(payload, field);
    if (elements > field.count) return {PayloadError::kVecTooLong, index, elements};
    const std::byte* length_end = payload + field.offset + sizeof(std::uint32_t);
    if (!all_zero(length_end, payload + field.elements_offset)) return {PayloadError::kPaddingNotZero, index, 0};
  }
  if (field.scalar != Scalar::kBool && field.scalar != Scalar::kStruct) return {};
  for (std::uint32_t n = 0; n < elements; ++n) {
    const std::byte* element = payload + field.elements_offset + std::size_t{n} * field.element_size;
    const PayloadError error = check_element(field, element);
    if (error != PayloadError::kNone) return {error, index, std::to_integer<std::uint64_t>(*element)};
  }
  return {};
}

inline PayloadProblem check_struct(const MessageLayout& layout, const std::byte* payload) {
  const std::byte* end = payload;
  for (std::uint32_t i = 0; i < layout.fields.size(); ++i) {
    const FieldLayout& field = layout.fields[i];
    if (!all_zero(end, payload + field.offset)) return {PayloadError::kPaddingNotZero, i, 0};
    const PayloadProblem problem = check_field(field, i, payload);
    if (problem.error != PayloadError::kNone) return problem;
    end = payload + field.elements_offset + std::size_t{field.count} * field.element_size;
  }
  if (!all_zero(end, payload + layout.size)) {
    return {PayloadError::kPaddingNotZero, static_cast<std::uint32_t>(layout.fields.size()), 0};
  }
  return {};
}

}  // namespace detail

// True bools, bounded lengths, zero padding, all the way down. `payload` may be hostile; nothing outside is read.
inline PayloadProblem check_payload(const MessageLayout& layout, const std::byte* payload, std::size_t size) {
  if (size != layout.size) return {PayloadError::kWrongSize, 0, size};
  return detail::check_struct(layout, payload);
}

enum class FrameError : std::uint8_t {
  kNone,
  kTruncated,
  kOversized,
  kBadVersion,
  kBadFlags,
  kBadPriority,
  kBadChecksum
};

// A frame is a header and its payload. The header is copied once and only the copy is believed.
inline FrameError check_frame(const std::byte* frame, std::size_t size, MessageHeader* header) {
  if (size < sizeof(MessageHeader)) return FrameError::kTruncated;
  std::memcpy(header, frame, sizeof(MessageHeader));
  if (header->version != kMessageVersion) return FrameError::kBadVersion;
  if ((header->flags & ~kFlagsKnown) != 0) return FrameError::kBadFlags;
  if (header->priority >= kPriorityCount) return FrameError::kBadPriority;
  if (header->payload_size > size - sizeof(MessageHeader)) return FrameError::kTruncated;
  if (header->payload_size < size - sizeof(MessageHeader)) return FrameError::kOversized;
  if ((header->flags & kFlagChecksum) == 0) return FrameError::kBadChecksum;
  MessageHeader plain = *header;
  plain.crc32c = 0;
  std::uint32_t crc = crc32c(0, &plain, sizeof(plain));
  crc = crc32c(crc, frame + sizeof(MessageHeader), header->payload_size);
  return crc == header->crc32c ? FrameError::kNone : FrameError::kBadChecksum;
}

// Writes the checksum of header and payload into the header.
inline void seal_frame(std::byte* frame) {
  MessageHeader header;
  std::memcpy(&header, frame, sizeof(header));
  header.flags |= kFlagChecksum;
  header.crc32c = 0;
  const std::uint32_t crc = crc32c(0, &header, sizeof(header));
  header.crc32c = crc32c(crc, frame + sizeof(header), header.payload_size);
  std::memcpy(frame, &header, sizeof(header));
}

}  // namespace rk
