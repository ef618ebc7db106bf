// The memories of a run, by their numbers.
#pragma once

#include <cstring>

#include "vm_opcodes.h"

namespace rk::vm {

constexpr std::size_t kHeaderBytes = 64;

struct VmMemory {
  VmMemory(const VmProgram& program, const VmEntry& entry, const rk_call& call)
      : base{call.state, nullptr, nullptr, call.frame, call.shared}, copies(entry.writes_message) {
    std::memcpy(size, VmAccess::sizes(program), sizeof(size));
    size[kVmMessage] = entry.message_size;
  }

  void load_registers(const VmProgram& program, std::uint64_t* registers) const {
    const auto& constants = VmAccess::constants(program);
    const std::size_t bytes = constants.size() * sizeof(std::uint64_t);
    if (bytes != 0) std::memcpy(registers, constants.data(), bytes);
    std::memset(registers + constants.size(), 0, VmAccess::registers(program) * sizeof(std::uint64_t) - bytes);
  }

  void begin_message(rk_call& call, const std::uint8_t* slot) {
    call.slot = slot;
    // Nothing writes to these: load() refuses programs that do.
    base[kVmHeader] = const_cast<std::uint8_t*>(slot);
    base[kVmMessage] = const_cast<std::uint8_t*>(slot) + kHeaderBytes;
    if (copies) {
      if (size[kVmMessage] != 0) std::memcpy(call.message, slot + kHeaderBytes, size[kVmMessage]);
      base[kVmMessage] = call.message;
    }
    if (size[kVmShared] != 0) std::memset(base[kVmShared], 0, size[kVmShared]);
  }

  // `bytes` at `offset`, of which the low 32 bits count, are inside of the memory.
  bool holds(std::uint32_t root, std::uint64_t offset, std::uint32_t bytes) const {
    return (offset & 0xFFFFFFFFu) + bytes <= size[root];
  }
  std::uint8_t* at(std::uint32_t root, std::uint64_t offset) const { return base[root] + (offset & 0xFFFFFFFFu); }

  void copy(std::uint32_t to, std::uint64_t to_offset, std::uint32_t from, std::uint64_t from_offset,
            std::uint32_t bytes) const {
    if (bytes == 0 || !holds(to, to_offset, bytes) || !holds(from, from_offset, bytes)) return;
    std::memmove(at(to, to_offset), at(from, from_offset), bytes);
  }

  void zero(std::uint32_t root, std::uint64_t offset, std::uint32_t bytes) const {
    if (bytes != 0 && holds(root, offset, bytes)) std::memset(at(root, offset), 0, bytes);
  }

  std::uint8_t* base[kVmRoots];
  std::uint32_t size[kVmRoots];
  bool copies;
};

}  // namespace rk::vm
