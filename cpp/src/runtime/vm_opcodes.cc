#include "vm_opcodes.h"

#include "vm_functions.h"

namespace rk {
namespace {

#define RK_VM_BINARY_ROW(name, ...) {#name, "dss"},
#define RK_VM_UNARY_ROW(name, ...) {#name, "ds"},
#define RK_VM_JUMP_ROW(name, ...) {#name, "ssj"},
#define RK_VM_LOAD_ROW(name, ...) {#name, "do"},
#define RK_VM_STORE_ROW(name, ...) {#name, "so"},
#define RK_VM_INDEXED_LOAD_ROW(name, ...) {#name, "dshr_i"},  // register, index, stride, memory, offset
#define RK_VM_INDEXED_STORE_ROW(name, ...) {#name, "sshw_i"},
#define RK_VM_FAR_LOAD_ROW(name, ...) {#name, "dshs_i"},  // register, index, stride, address, offset
#define RK_VM_FAR_STORE_ROW(name, ...) {#name, "sshs_i"},
#define RK_VM_OTHER_ROW(name, operands) {#name, operands},
constexpr VmOpcode kOpcodes[] = {
    RK_VM_BINARY(RK_VM_BINARY_ROW) RK_VM_UNARY(RK_VM_UNARY_ROW) RK_VM_JUMPS(RK_VM_JUMP_ROW) RK_VM_LOADS(RK_VM_LOAD_ROW)
        RK_VM_STORES(RK_VM_STORE_ROW) RK_VM_ADDS(RK_VM_STORE_ROW) RK_VM_INDEXED_LOADS(RK_VM_INDEXED_LOAD_ROW)
            RK_VM_INDEXED_STORES(RK_VM_INDEXED_STORE_ROW) RK_VM_FAR_LOADS(RK_VM_FAR_LOAD_ROW)
                RK_VM_FAR_STORES(RK_VM_FAR_STORE_ROW) RK_VM_OTHERS(RK_VM_OTHER_ROW)};
static_assert(sizeof(kOpcodes) / sizeof(kOpcodes[0]) == kVmOps);

#define RK_VM_NAME(name) #name,
constexpr const char* kFunctionNames1[] = {RK_VM_FUNCTIONS_1(RK_VM_NAME)};
constexpr const char* kFunctionNames2[] = {RK_VM_FUNCTIONS_2(RK_VM_NAME)};
#undef RK_VM_NAME

}  // namespace

#define RK_VM_NONE(...) {kVmState, 0, false},
#define RK_VM_READ(name, root, type, ...) {root, sizeof(type), false},
#define RK_VM_WRITTEN(name, root, type) {root, sizeof(type), true},
constexpr VmOpDetail kVmOpDetails[kVmOps] = {RK_VM_BINARY(RK_VM_NONE) RK_VM_UNARY(RK_VM_NONE) RK_VM_JUMPS(RK_VM_NONE)
                                                 RK_VM_LOADS(RK_VM_READ) RK_VM_STORES(RK_VM_WRITTEN)
                                                     RK_VM_ADDS(RK_VM_WRITTEN) RK_VM_INDEXED_LOADS(RK_VM_NONE)
                                                         RK_VM_INDEXED_STORES(RK_VM_NONE) RK_VM_FAR_LOADS(RK_VM_NONE)
                                                             RK_VM_FAR_STORES(RK_VM_NONE) RK_VM_OTHERS(RK_VM_NONE)};

std::span<const VmOpcode> vm_opcodes() { return kOpcodes; }

std::span<const char* const> vm_functions(int operands) {
  if (operands == 1) return kFunctionNames1;
  return kFunctionNames2;
}

}  // namespace rk
