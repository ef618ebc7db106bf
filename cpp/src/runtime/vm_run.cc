// The machine's loop: one jump per operation, from the table of labels.
//
// A handler that does not end is stopped by the cancel word, which is read at the first jump back of a run and then at
// every kFuel-th. So it is in calls, less often: functions that call others twice each make a program that takes for
// ever without a loop.
//
// Edges
//   C1  cancel  the watchdog's wish, late or not: nothing is read because of it
#include <cstring>

#include "vm_functions.h"
#include "vm_memory.h"
#include "vm_opcodes.h"
#include "vm_scalar.h"

// 0 for a compiler that has no addresses of labels.
#if !defined(RK_VM_THREADED)
#define RK_VM_THREADED 1
#endif

namespace rk {
namespace {

using namespace vm;

constexpr std::uint32_t kFuel = 256;
constexpr std::uint32_t kCalls = 1u << 16;

std::uint32_t low(const VmWord& w) { return w.op | static_cast<std::uint32_t>(w.a) << 16; }
std::uint32_t high(const VmWord& w) { return w.b | static_cast<std::uint32_t>(w.c) << 16; }

}  // namespace

// An operation is OP(name) { ... } with NEXT(words), or GO for one that has set `ip`.
#if RK_VM_THREADED
#define OP(name) label_##name:
#define GO goto* kLabels[ip->op]
#else
#define OP(name) case kOp_##name:
#define GO goto again
#endif
#define NEXT(words) \
  ip += words;      \
  GO

extern "C" std::uint32_t vm_run(const void* entry_of_program, rk_call* call, const std::uint8_t* first,
                                std::uint64_t stride, std::uint32_t count) {
#if RK_VM_THREADED
#define RK_VM_LABEL(name, ...) &&label_##name,
  static const void* const kLabels[] = {RK_VM_BINARY(RK_VM_LABEL) RK_VM_UNARY(RK_VM_LABEL) RK_VM_JUMPS(RK_VM_LABEL)
                                            RK_VM_LOADS(RK_VM_LABEL) RK_VM_STORES(RK_VM_LABEL) RK_VM_ADDS(RK_VM_LABEL)
                                                RK_VM_INDEXED_LOADS(RK_VM_LABEL) RK_VM_INDEXED_STORES(RK_VM_LABEL)
                                                    RK_VM_FAR_LOADS(RK_VM_LABEL) RK_VM_FAR_STORES(RK_VM_LABEL)
                                                        RK_VM_OTHERS(RK_VM_LABEL)};
#undef RK_VM_LABEL
#endif
  const VmEntry& entry = *static_cast<const VmEntry*>(entry_of_program);
  const VmProgram& program = *entry.program;
  const VmWord* const code = VmAccess::code(program);
  VmMemory memory(program, entry, *call);
  const VmWord* returns[kVmMaxCallDepth + 1];

  // Registers keep their values from message to message; a program sets what it reads.
  const std::size_t registers_bytes = std::size_t{VmAccess::registers(program)} * sizeof(std::uint64_t);
  auto* const R = static_cast<std::uint64_t*>(__builtin_alloca(registers_bytes + sizeof(std::uint64_t)));
  memory.load_registers(program, R);
  std::uint32_t fuel = 1, calls = kCalls;

  for (std::uint32_t handled = 0; handled < count;) {
    memory.begin_message(*call, first + handled * stride);
    const std::uint8_t* const message = memory.base[kVmMessage];
    const VmWord* ip = code + entry.begin;
    std::uint32_t depth = 0;
#if RK_VM_THREADED
    GO;
#else
  again:
    switch (ip->op)
#endif
    {
#include "vm_operations.inc"
    }
  cancelled:
    call->failed = RK_FAIL_CANCELLED;
  done:
    ++handled;
    if ((call->failed | call->leave | call->errors) != 0) return handled;
  }
  return count;
}

}  // namespace rk
