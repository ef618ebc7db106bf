// Every operation of the bytecode machine, once: its name, its operands, and what most of them compute.
//
// Operands, one letter each, in the order in which they follow the opcode, packed little-endian into words of 8 bytes:
//   d s   register that is written, that is read                16 bits
//   r w   memory (VmRoot) that is read, that is written         16
//   h     a number                                              16
//   j     jump target, forward, in words from the begin of this operation   16
//   L M   function of one operand, of two (vm_functions.h)      16
//   T P   index of a target, of a topic                         16
//   _     nothing                                               16
//   i     a number                                              32
//   o     offset in the memory that is in the operation's name  32
//   J F   jump target in words, index of a function             32
// Jumps go forward, but for LOOP and NEXT_*, which poll for cancellation.
#pragma once

#include "ringkernel/runtime/vm.h"

// X(name, type of the operands, result), from `l` and `r`; helpers are in vm_scalar.h.
#define RK_VM_BINARY(X)                                      \
  X(ADD_I32, std::uint32_t, as<std::int32_t>(l + r))         \
  X(ADD_U32, std::uint32_t, l + r)                           \
  X(ADD_64, std::uint64_t, l + r)                            \
  X(ADD_F32, float, l + r)                                   \
  X(ADD_F64, double, l + r)                                  \
  X(SUB_I32, std::uint32_t, as<std::int32_t>(l - r))         \
  X(SUB_U32, std::uint32_t, l - r)                           \
  X(SUB_64, std::uint64_t, l - r)                            \
  X(SUB_F32, float, l - r)                                   \
  X(SUB_F64, double, l - r)                                  \
  X(MUL_I32, std::uint32_t, as<std::int32_t>(l * r))         \
  X(MUL_U32, std::uint32_t, l* r)                            \
  X(MUL_64, std::uint64_t, l* r)                             \
  X(MUL_F32, float, l* r)                                    \
  X(MUL_F64, double, l* r)                                   \
  X(DIV_I32, std::int32_t, floor_divide(l, r))               \
  X(DIV_U32, std::uint32_t, r == 0 ? 0 : l / r)              \
  X(DIV_I64, std::int64_t, floor_divide(l, r))               \
  X(DIV_U64, std::uint64_t, r == 0 ? 0 : l / r)              \
  X(DIV_F32, float, l / r)                                   \
  X(DIV_F64, double, l / r)                                  \
  X(MOD_I32, std::int32_t, floor_modulo(l, r))               \
  X(MOD_U32, std::uint32_t, r == 0 ? 0 : l % r)              \
  X(MOD_I64, std::int64_t, floor_modulo(l, r))               \
  X(MOD_U64, std::uint64_t, r == 0 ? 0 : l % r)              \
  X(AND, std::uint64_t, l& r)                                \
  X(OR, std::uint64_t, l | r)                                \
  X(XOR, std::uint64_t, l ^ r)                               \
  X(SHL_I32, std::uint32_t, as<std::int32_t>(l << (r & 31))) \
  X(SHL_U32, std::uint32_t, l << (r & 31))                   \
  X(SHL_64, std::uint64_t, l << (r & 63))                    \
  X(SHR_I32, std::int32_t, l >> (r & 31))                    \
  X(SHR_U32, std::uint32_t, l >> (r & 31))                   \
  X(SHR_I64, std::int64_t, l >> (r & 63))                    \
  X(SHR_U64, std::uint64_t, l >> (r & 63))                   \
  X(MIN_I64, std::int64_t, r < l ? r : l)                    \
  X(MIN_U64, std::uint64_t, r < l ? r : l)                   \
  X(MIN_F32, float, r < l ? r : l)                           \
  X(MIN_F64, double, r < l ? r : l)                          \
  X(MAX_I64, std::int64_t, r > l ? r : l)                    \
  X(MAX_U64, std::uint64_t, r > l ? r : l)                   \
  X(MAX_F32, float, r > l ? r : l)                           \
  X(MAX_F64, double, r > l ? r : l)                          \
  X(COPYSIGN_F32, float, copy_sign(l, r))                    \
  X(COPYSIGN_F64, double, copy_sign(l, r))                   \
  X(EQ_64, std::uint64_t, flag(l == r))                      \
  X(NE_64, std::uint64_t, flag(l != r))                      \
  X(LT_I64, std::int64_t, flag(l < r))                       \
  X(LE_I64, std::int64_t, flag(l <= r))                      \
  X(LT_U64, std::uint64_t, flag(l < r))                      \
  X(LE_U64, std::uint64_t, flag(l <= r))                     \
  X(EQ_F32, float, flag(l == r))                             \
  X(NE_F32, float, flag(l != r))                             \
  X(LT_F32, float, flag(l < r))                              \
  X(LE_F32, float, flag(l <= r))                             \
  X(EQ_F64, double, flag(l == r))                            \
  X(NE_F64, double, flag(l != r))                            \
  X(LT_F64, double, flag(l < r))                             \
  X(LE_F64, double, flag(l <= r))

// X(name, type of the operand, result), from `x`.
#define RK_VM_UNARY(X)                                            \
  X(MOVE, std::uint64_t, x)                                       \
  X(SIGN_8, std::uint64_t, as<std::int8_t>(x))                    \
  X(SIGN_16, std::uint64_t, as<std::int16_t>(x))                  \
  X(SIGN_32, std::uint64_t, as<std::int32_t>(x))                  \
  X(ZERO_8, std::uint64_t, as<std::uint8_t>(x))                   \
  X(ZERO_16, std::uint64_t, as<std::uint16_t>(x))                 \
  X(ZERO_32, std::uint64_t, as<std::uint32_t>(x))                 \
  X(POPCOUNT, std::uint64_t, as<std::uint64_t>(std::popcount(x))) \
  X(SQRT_F32, float, std::sqrt(x))                                \
  X(SQRT_F64, double, std::sqrt(x))                               \
  X(IS_NAN_F32, float, flag(x != x))                              \
  X(IS_NAN_F64, double, flag(x != x))                             \
  X(IS_INF_F32, float, flag(magnitude(x) == infinity<float>))     \
  X(IS_INF_F64, double, flag(magnitude(x) == infinity<double>))   \
  X(IS_FINITE_F32, float, flag(magnitude(x) < infinity<float>))   \
  X(IS_FINITE_F64, double, flag(magnitude(x) < infinity<double>)) \
  X(F32_TO_I32, float, saturate<std::int32_t>(x))                 \
  X(F32_TO_U32, float, saturate<std::uint32_t>(x))                \
  X(F32_TO_I64, float, saturate<std::int64_t>(x))                 \
  X(F32_TO_U64, float, saturate<std::uint64_t>(x))                \
  X(F64_TO_I32, double, saturate<std::int32_t>(x))                \
  X(F64_TO_U32, double, saturate<std::uint32_t>(x))               \
  X(F64_TO_I64, double, saturate<std::int64_t>(x))                \
  X(F64_TO_U64, double, saturate<std::uint64_t>(x))               \
  X(I64_TO_F32, std::int64_t, static_cast<float>(x))              \
  X(U64_TO_F32, std::uint64_t, static_cast<float>(x))             \
  X(I64_TO_F64, std::int64_t, static_cast<double>(x))             \
  X(U64_TO_F64, std::uint64_t, static_cast<double>(x))            \
  X(I64_TO_F16, std::int64_t, half_from_integer(x))               \
  X(U64_TO_F16, std::uint64_t, half_from_integer(x))              \
  X(F32_TO_F64, float, static_cast<double>(x))                    \
  X(F64_TO_F32, double, static_cast<float>(x))                    \
  X(F16_TO_F32, std::uint16_t, float_from_half(x))                \
  X(F32_TO_F16, float, half_from_double(static_cast<double>(x)))  \
  X(F64_TO_F16, double, half_from_double(x))

// X(name, type of the operands, condition of `l` and `r`): jumps.
#define RK_VM_JUMPS(X)                  \
  X(JUMP_EQ_64, std::uint64_t, l == r)  \
  X(JUMP_NE_64, std::uint64_t, l != r)  \
  X(JUMP_LT_I64, std::int64_t, l < r)   \
  X(JUMP_LE_I64, std::int64_t, l <= r)  \
  X(JUMP_LT_U64, std::uint64_t, l < r)  \
  X(JUMP_LE_U64, std::uint64_t, l <= r) \
  X(JUMP_EQ_F32, float, l == r)         \
  X(JUMP_NE_F32, float, l != r)         \
  X(JUMP_LT_F32, float, l < r)          \
  X(JUMP_LE_F32, float, l <= r)         \
  X(JUMP_NOT_LT_F32, float, !(l < r))   \
  X(JUMP_NOT_LE_F32, float, !(l <= r))  \
  X(JUMP_EQ_F64, double, l == r)        \
  X(JUMP_NE_F64, double, l != r)        \
  X(JUMP_LT_F64, double, l < r)         \
  X(JUMP_LE_F64, double, l <= r)        \
  X(JUMP_NOT_LT_F64, double, !(l < r))  \
  X(JUMP_NOT_LE_F64, double, !(l <= r))

// X(name, memory, type there, result): registers from constant offsets, from `x`.
#define RK_VM_LOADS_OF(X, NAME, root)                   \
  X(LOAD_BOOL_##NAME, root, std::uint8_t, flag(x != 0)) \
  X(LOAD_I8_##NAME, root, std::int8_t, x)               \
  X(LOAD_U8_##NAME, root, std::uint8_t, x)              \
  X(LOAD_I16_##NAME, root, std::int16_t, x)             \
  X(LOAD_U16_##NAME, root, std::uint16_t, x)            \
  X(LOAD_I32_##NAME, root, std::int32_t, x)             \
  X(LOAD_U32_##NAME, root, std::uint32_t, x)            \
  X(LOAD_64_##NAME, root, std::uint64_t, x)
#define RK_VM_LOADS(X)                   \
  RK_VM_LOADS_OF(X, STATE, kVmState)     \
  RK_VM_LOADS_OF(X, MESSAGE, kVmMessage) \
  RK_VM_LOADS_OF(X, HEADER, kVmHeader)   \
  RK_VM_LOADS_OF(X, FRAME, kVmFrame)     \
  RK_VM_LOADS_OF(X, SHARED, kVmShared)

// X(name, memory, type there): registers to constant offsets.
#define RK_VM_STORES_OF(X, NAME, root)    \
  X(STORE_8_##NAME, root, std::uint8_t)   \
  X(STORE_16_##NAME, root, std::uint16_t) \
  X(STORE_32_##NAME, root, std::uint32_t) \
  X(STORE_64_##NAME, root, std::uint64_t)
#define RK_VM_STORES(X)                   \
  RK_VM_STORES_OF(X, STATE, kVmState)     \
  RK_VM_STORES_OF(X, MESSAGE, kVmMessage) \
  RK_VM_STORES_OF(X, FRAME, kVmFrame)     \
  RK_VM_STORES_OF(X, SHARED, kVmShared)

// X(name, memory, type there): place += register. What most handlers do most.
#define RK_VM_ADDS(X)                      \
  X(ADD_STATE_32, kVmState, std::uint32_t) \
  X(ADD_STATE_64, kVmState, std::uint64_t) \
  X(ADD_STATE_F32, kVmState, float)        \
  X(ADD_STATE_F64, kVmState, double)

// X(name, type there, result): from places that are computed: offset + index * stride.
#define RK_VM_INDEXED_LOADS(X)                   \
  X(INDEX_LOAD_BOOL, std::uint8_t, flag(x != 0)) \
  X(INDEX_LOAD_I8, std::int8_t, x)               \
  X(INDEX_LOAD_U8, std::uint8_t, x)              \
  X(INDEX_LOAD_I16, std::int16_t, x)             \
  X(INDEX_LOAD_U16, std::uint16_t, x)            \
  X(INDEX_LOAD_I32, std::int32_t, x)             \
  X(INDEX_LOAD_U32, std::uint32_t, x)            \
  X(INDEX_LOAD_64, std::uint64_t, x)
#define RK_VM_INDEXED_STORES(X)    \
  X(INDEX_STORE_8, std::uint8_t)   \
  X(INDEX_STORE_16, std::uint16_t) \
  X(INDEX_STORE_32, std::uint32_t) \
  X(INDEX_STORE_64, std::uint64_t)

// As these, of memory that the message in hand refers to: address in a register + offset + index * stride.
#define RK_VM_FAR_LOADS(X)          \
  X(FAR_LOAD_I8, std::int8_t, x)    \
  X(FAR_LOAD_U8, std::uint8_t, x)   \
  X(FAR_LOAD_I16, std::int16_t, x)  \
  X(FAR_LOAD_U16, std::uint16_t, x) \
  X(FAR_LOAD_I32, std::int32_t, x)  \
  X(FAR_LOAD_U32, std::uint32_t, x) \
  X(FAR_LOAD_64, std::uint64_t, x)
#define RK_VM_FAR_STORES(X)      \
  X(FAR_STORE_8, std::uint8_t)   \
  X(FAR_STORE_16, std::uint16_t) \
  X(FAR_STORE_32, std::uint32_t) \
  X(FAR_STORE_64, std::uint64_t)

// X(name, operands)
#define RK_VM_OTHERS(X)                                                                                 \
  X(CLZ, "dsh")                                                                                         \
  X(CTZ, "dsh")                                                                                         \
  X(CALL_1_F32, "dsL")                                                                                  \
  X(CALL_1_F64, "dsL")                                                                                  \
  X(CALL_2_F32, "dssM")                                                                                 \
  X(CALL_2_F64, "dssM")                                                                                 \
  X(SELECT, "dsss")                                                                                     \
  X(TRIP_I64, "dsss")                                                                                   \
  X(TRIP_U64, "dsss")                                                                                   \
  X(SCALE_ADD, "dsss") /* b * c + d, b and d taken as U32 */                                            \
  X(GET_INSTANCE, "d")                                                                                  \
  X(GET_KERNEL, "d")                                                                                    \
  X(JUMP, "_J")                                                                                         \
  X(LOOP, "_Ji")       /* target, line: a jump back, polls */                                           \
  X(NEXT_I32, "dssJi") /* counter, item, step, target, line */                                          \
  X(NEXT_U32, "dssJi")                                                                                  \
  X(NEXT_64, "dssJi")                                                                                   \
  X(CALL, "_F")                                                                                         \
  X(RETURN, "")                                                                                         \
  X(FAR_ATOMIC, "dshssshi") /* old, index, stride, base, value, expected, what (vm_memory.h), offset */ \
  X(COPY, "wsrs_i")         /* target, offset, source, offset, size */                                  \
  X(ZERO, "ws_i")                                                                                       \
  X(COUNT_ERROR, "si")  /* code, line */                                                                \
  X(FAIL, "_ii")        /* line, code */                                                                \
  X(REPLY, "rs_iii")    /* memory, offset, type id, size, line */                                       \
  X(SEND, "rssssT_iii") /* memory, offset, instance, priority, deadline, target, type id, size, line */ \
  X(PUBLISH, "drsPhii") /* how many, memory, offset, topic, retain, type id, size */                    \
  X(NOW, "d")                                                                                           \
  X(TICK, "d")                                                                                          \
  X(UPDATE_CLOCK, "ds")                                                                                 \
  X(PENDING, "d")                                                                                       \
  X(FREE_SLOTS, "dT")                                                                                   \
  X(REQUEST_TERMINATION, "")                                                                            \
  X(IS_TERMINATING, "d")

namespace rk {

enum VmOp : std::uint16_t {
#define RK_VM_NAME(name, ...) kOp_##name,
  RK_VM_BINARY(RK_VM_NAME) RK_VM_UNARY(RK_VM_NAME) RK_VM_JUMPS(RK_VM_NAME) RK_VM_LOADS(RK_VM_NAME)
      RK_VM_STORES(RK_VM_NAME) RK_VM_ADDS(RK_VM_NAME) RK_VM_INDEXED_LOADS(RK_VM_NAME) RK_VM_INDEXED_STORES(RK_VM_NAME)
          RK_VM_FAR_LOADS(RK_VM_NAME) RK_VM_FAR_STORES(RK_VM_NAME) RK_VM_OTHERS(RK_VM_NAME)
#undef RK_VM_NAME
              kVmOps
};

// What the verifier has to know beyond the operands.
struct VmOpDetail {
  VmRoot root;         // of "o"
  std::uint8_t width;  // bytes at "o"
  bool writes;         // at "o"
};
extern const VmOpDetail kVmOpDetails[kVmOps];

struct VmAccess {
  static const VmWord* code(const VmProgram& p) { return p.code_.data(); }
  static const std::vector<std::uint64_t>& constants(const VmProgram& p) { return p.constants_; }
  static std::uint32_t registers(const VmProgram& p) { return p.registers_; }
  static const std::uint32_t* sizes(const VmProgram& p) { return p.sizes_; }
};

}  // namespace rk
