// The bytecode machine: runs compiled handlers anywhere, without a compiler.
//
// A program is data that may come from anywhere: load() refuses what does not hold together, and what it accepts stays
// within its registers, its code and its memories whatever it computes; of all other memory it reaches only what the
// message in hand refers to (rk_call::ranges). Registers are 64 bits without a type; integers
// lie in them extended to 64 bits by their sign, or with zeros when they are unsigned.
//
// A VmProgram is constant after load(): any number of threads may run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ringkernel/compiled.h"

namespace rk {

constexpr std::uint32_t kVmMagic = 0x4D564B52;  // "RKVM"
constexpr std::uint32_t kVmVersion = 2;         // increase it when an operation or the encoding changes

constexpr std::uint32_t kVmMaxRegisters = 8192;  // they lie on the stack of the worker
constexpr std::uint32_t kVmMaxCallDepth = 64;
constexpr std::uint32_t kVmMaxMemoryBytes = 1u << 30;  // of each root: offsets are computed in 64 bits and never wrap

// The memories, numbered as in the encoding.
enum VmRoot : std::uint16_t { kVmState, kVmMessage, kVmHeader, kVmFrame, kVmShared, kVmRoots };

// 8 bytes; operands of longer operations follow in the next words, packed in the same way.
struct VmWord {
  std::uint16_t op, a, b, c;
};
static_assert(sizeof(VmWord) == 8);

class VmProgram;

// What handles one class of messages: the first argument of vm_run().
struct VmEntry {
  const VmProgram* program;
  std::uint32_t begin;         // in words of the code
  std::uint32_t message_size;  // the payload's
  bool writes_message;
};

class VmProgram {
 public:
  // nullptr when `bytes` are no program, with the reason in `refusal`.
  static std::unique_ptr<const VmProgram> load(std::span<const std::byte> bytes, std::string* refusal);

  VmProgram(const VmProgram&) = delete;
  VmProgram& operator=(const VmProgram&) = delete;

  // In the order of the encoding. Their addresses are good as long as this program lives.
  const std::vector<VmEntry>& entries() const { return entries_; }
  std::uint32_t state_size() const { return sizes_[kVmState]; }
  std::uint32_t frame_size() const { return sizes_[kVmFrame]; }
  std::uint32_t shared_size() const { return sizes_[kVmShared]; }

 private:
  friend class VmLoader;
  friend struct VmAccess;
  VmProgram() = default;

  std::vector<VmWord> code_;
  std::vector<std::uint64_t> constants_;  // of the first registers
  std::vector<VmEntry> entries_;
  std::uint32_t registers_ = 0;
  std::uint32_t targets_ = 0;
  std::uint32_t topics_ = 0;
  std::uint32_t sizes_[kVmRoots] = {};  // kVmMessage: unused, the entry has it
};

// An operation's name, and its operands as vm_opcodes.h describes them.
struct VmOpcode {
  const char* name;
  const char* operands;
};
std::span<const VmOpcode> vm_opcodes();

// The functions of `operands` operands, 1 or 2, by the numbers that CALL_1_* and CALL_2_* have for them.
std::span<const char* const> vm_functions(int operands);

// An rk_run: see compiled.h. `entry` is a VmEntry.
extern "C" std::uint32_t vm_run(const void* entry, rk_call* call, const std::uint8_t* first, std::uint64_t stride,
                                std::uint32_t count);

}  // namespace rk
