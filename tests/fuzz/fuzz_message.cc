// Hostile bytes against the frame and payload checks: nothing outside the input is read, and what passes is sound.
#include <cstdlib>
#include <memory>
#include <vector>

#include "ringkernel/core/message_layout.h"

namespace {

using rk::FieldLayout;
using rk::MessageLayout;
using rk::Scalar;
using rk::Shape;

FieldLayout field(std::uint32_t offset, Scalar scalar, std::uint32_t size, Shape shape = Shape::kOne,
                  std::uint32_t count = 1, std::uint32_t elements_offset = 0) {
  FieldLayout made;
  made.offset = offset;
  made.scalar = scalar;
  made.element_size = size;
  made.shape = shape;
  made.count = count;
  made.elements_offset = shape == Shape::kVec ? elements_offset : offset;
  return made;
}

// {bool; pad; u32; Vec<Inner, 3>; Bytes[5]; Array<bool, 4>; pad} with Inner {bool; pad; f32}.
MessageLayout make_layout() {
  auto inner = std::make_shared<MessageLayout>();
  inner->size = 8;
  inner->fields = {field(0, Scalar::kBool, 1), field(4, Scalar::kF32, 4)};
  MessageLayout layout;
  layout.size = 48;
  layout.fields = {field(0, Scalar::kBool, 1), field(4, Scalar::kU32, 4),
                   field(8, Scalar::kStruct, 8, Shape::kVec, 3, 12), field(36, Scalar::kBytes, 5),
                   field(41, Scalar::kBool, 1, Shape::kArray, 4)};
  layout.fields[2].nested = inner;
  return layout;
}

void require(bool condition) {
  if (!condition) std::abort();
}

// What the check let through must be what it promises.
void check_promises(const std::byte* payload) {
  std::uint32_t length;
  std::memcpy(&length, payload + 8, sizeof(length));
  require(length <= 3);
  require(std::to_integer<int>(payload[0]) <= 1);
  for (std::uint32_t i = 0; i < length; ++i) require(std::to_integer<int>(payload[12 + i * 8]) <= 1);
  for (std::size_t i = 41; i < 45; ++i) require(std::to_integer<int>(payload[i]) <= 1);
  for (std::size_t i = 45; i < 48; ++i) require(payload[i] == std::byte{0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MessageLayout layout = make_layout();
  // An allocation of exactly this size, so that reading one byte too many is seen.
  const std::unique_ptr<std::byte[]> input(new std::byte[size]);
  if (size != 0) std::memcpy(input.get(), data, size);

  if (rk::check_payload(layout, input.get(), size).error == rk::PayloadError::kNone) check_promises(input.get());

  rk::MessageHeader header;
  if (rk::check_frame(input.get(), size, &header) == rk::FrameError::kNone) {
    require(size == sizeof(header) + header.payload_size);
  }

  // The same bytes as the payload of a frame that is sealed properly must pass, whatever they are.
  std::vector<std::byte> frame(sizeof(header) + size);
  header = rk::MessageHeader{};
  header.version = rk::kMessageVersion;
  header.payload_size = static_cast<std::uint32_t>(size);
  std::memcpy(frame.data(), &header, sizeof(header));
  if (size != 0) std::memcpy(frame.data() + sizeof(header), input.get(), size);
  rk::seal_frame(frame.data());
  require(rk::check_frame(frame.data(), frame.size(), &header) == rk::FrameError::kNone);
  return 0;
}
