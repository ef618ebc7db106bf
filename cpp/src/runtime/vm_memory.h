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

  // `bytes` at an address, when the message in hand refers to them; else nullptr.
  std::uint8_t* far(const rk_call& call, std::uint64_t address, std::uint32_t bytes) {
    if (!is_in(last, address, bytes)) {
      const rk_range* found = call.ranges;
      const rk_range* const end = found + call.range_count;
      while (found != end && !is_in(*found, address, bytes)) ++found;
      if (found == end) return nullptr;
      last = *found;
    }
    return reinterpret_cast<std::uint8_t*>(address);
  }
  static bool is_in(const rk_range& range, std::uint64_t address, std::uint32_t bytes) {
    return bytes <= range.bytes && address - range.begin <= range.bytes - bytes;
  }

  std::uint8_t* base[kVmRoots];
  std::uint32_t size[kVmRoots];
  bool copies;
  rk_range last = {0, 0};  // where the last such address was
};

// Others may be at the same place, also of the host: these are real atomic operations. Relaxed.
template <class T>
T atomically(T* place, std::uint32_t op, T value, T expected) {
  T old = __atomic_load_n(place, __ATOMIC_RELAXED);
  switch (op) {
    case 0:
      return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
    case 1:
      return __atomic_fetch_sub(place, value, __ATOMIC_RELAXED);
    case 4:
      return __atomic_fetch_and(place, value, __ATOMIC_RELAXED);
    case 5:
      return __atomic_fetch_or(place, value, __ATOMIC_RELAXED);
    case 6:
      return __atomic_fetch_xor(place, value, __ATOMIC_RELAXED);
    case 7:
      return __atomic_exchange_n(place, value, __ATOMIC_RELAXED);
    case 8:
      __atomic_compare_exchange_n(place, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
      return expected;
    default:
      break;
  }
  while (op == 2 || op == 3) {  // min, max
    const T joined = (op == 2) == (value < old) ? value : old;
    if (__atomic_compare_exchange_n(place, &old, joined, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) break;
  }
  return old;
}

template <class T>
std::uint64_t far_atomic_of(std::uint8_t* place, std::uint32_t op, std::uint64_t value, std::uint64_t expected) {
  if (place == nullptr || reinterpret_cast<std::uintptr_t>(place) % sizeof(T) != 0) return 0;
  const T old = atomically(reinterpret_cast<T*>(place), op, static_cast<T>(value), static_cast<T>(expected));
  return static_cast<std::uint64_t>(old);  // with its sign
}

// `what`: the operation, in the order of ir.AtomicOp, times 4, and 0 for i32, 1 for u32, 2 for i64, 3 for u64.
inline std::uint64_t far_atomic(VmMemory& memory, const rk_call& call, std::uint32_t what, std::uint64_t address,
                                std::uint64_t value, std::uint64_t expected) {
  const std::uint32_t op = what / 4;
  std::uint8_t* const place = memory.far(call, address, what % 4 < 2 ? 4 : 8);
  switch (what % 4) {
    case 0:
      return far_atomic_of<std::int32_t>(place, op, value, expected);
    case 1:
      return far_atomic_of<std::uint32_t>(place, op, value, expected);
    case 2:
      return far_atomic_of<std::int64_t>(place, op, value, expected);
    default:
      return far_atomic_of<std::uint64_t>(place, op, value, expected);
  }
}

}  // namespace rk::vm
