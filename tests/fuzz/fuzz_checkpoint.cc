// Hostile snapshots: nothing outside the input is read, no more is allocated than the input justifies, and what is
// accepted is consistent and has one form only.
//
// An input is tried as it is, with its checksums mended (no fuzzer guesses those), and as edits of a snapshot that is
// good (nor does it guess the hash of a layout).
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "ringkernel/core/crc32c.h"
#include "ringkernel/runtime/checkpoint.h"

namespace {

using Bytes = std::vector<std::byte>;

std::size_t largest_allocation = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  if (size > largest_allocation) largest_allocation = size;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, size == 0 ? 1 : size) != 0) std::abort();
  return data;
}

void require(bool condition) {
  if (!condition) std::abort();
}

void put(Bytes* bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) (*bytes)[at + i] = static_cast<std::byte>(value >> (8 * i));
}

// Every checksum, the total size and the number of sections made right, as far as the bytes can be walked.
void reseal(Bytes* bytes) {
  if (bytes->size() < 64) return;
  std::uint32_t sections = 0;
  for (std::size_t at = 64; bytes->size() - at >= 16; ++sections) {
    std::uint64_t length;
    std::memcpy(&length, bytes->data() + at + 4, sizeof(length));
    if (length > bytes->size() - at - 16) break;
    const std::uint32_t crc = rk::crc32c(0, bytes->data() + at, 12);
    put(bytes, at + 12, rk::crc32c(crc, bytes->data() + at + 16, length), 4);
    at += 16 + length;
  }
  put(bytes, 16, bytes->size(), 8);
  put(bytes, 24, sections, 4);
  put(bytes, 60, rk::crc32c(0, bytes->data(), 60), 4);
}

void check(const Bytes& bytes) {
  largest_allocation = 0;
  try {
    const rk::Checkpoint c = rk::decode(bytes);
    require(largest_allocation <= 8 * bytes.size());
    require(c.states.size() == (c.state_layout.empty() ? 0 : c.instances));
    for (const auto& state : c.states) require(state.size() == c.state_layout.size);
    for (const auto& message : c.messages) {
      require(message.instance < c.instances && message.header.priority < rk::kPriorityCount);
      require(message.payload.size() == message.header.payload_size);
    }
    require(rk::first_difference(c.state_layout, c.state_layout).empty());
    const Bytes again = rk::encode(c);
    if (c.version == rk::kCheckpointVersion) require(again == bytes);
  } catch (const rk::Error& error) {
    require(std::strcmp(error.kind(), "CheckpointCorruptError") == 0 ||
            std::strcmp(error.kind(), "CheckpointVersionError") == 0);
    require(largest_allocation <= 8 * bytes.size() + 4096);  // and the text
  }
}

Bytes make_sample() {
  rk::Checkpoint c;
  c.kernel = "k";
  c.instances = 2;
  c.state_layout = {"S", 8, {{"a", "u32", 0, 4}, {"b", "f32", 4, 4}}, 5};
  c.message_layouts = {{"M", 4, {{"x", "u32", 0, 4}}, 7}, {"N", 0, {}, 8}};
  c.states = {Bytes(8), Bytes(8)};
  c.messages.resize(2);
  for (auto& message : c.messages) message.header.version = rk::kMessageVersion;
  c.messages[1].payload = Bytes(4);
  c.messages[1].header.payload_size = 4;
  return rk::encode(c);
}

// Three bytes of input are one edit: where (two) and the new value.
Bytes edited(Bytes bytes, const std::uint8_t* data, std::size_t size) {
  for (; size >= 3; data += 3, size -= 3) {
    bytes[(data[0] | std::size_t{data[1]} << 8) % bytes.size()] = static_cast<std::byte>(data[2]);
  }
  reseal(&bytes);
  return bytes;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Bytes sample = make_sample();
  check(sample);
  Bytes input(size);
  if (size != 0) std::memcpy(input.data(), data, size);
  check(input);
  reseal(&input);
  check(input);
  check(edited(sample, data, size));
  return 0;
}
