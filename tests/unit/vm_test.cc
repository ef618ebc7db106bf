// The bytecode machine: what every operation gives at the edges, and what ends a run.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "vm_assembler.h"

namespace rk {
namespace {

using u64 = std::uint64_t;
constexpr u64 kMin64 = u64{1} << 63;
constexpr u64 kMin32 = 0xFFFFFFFF80000000u;  // extended by its sign
constexpr u64 kAll = ~u64{0};
constexpr u64 minus(u64 x) { return u64{0} - x; }

u64 bits(float x) { return std::bit_cast<std::uint32_t>(x); }
u64 bits(double x) { return std::bit_cast<u64>(x); }
constexpr float kNanF = std::numeric_limits<float>::quiet_NaN(), kInfF = std::numeric_limits<float>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

std::unique_ptr<const VmProgram> load(const VmAssembler& assembler) {
  std::string why;
  auto program = VmProgram::load(assembler.bytes(), &why);
  EXPECT_NE(program, nullptr) << why;
  return program;
}

// The register 8 after the operations, from the state; registers 0 to 2 have these values.
u64 result_of(std::initializer_list<u64> values, const std::function<void(VmAssembler&)>& operations) {
  VmAssembler a;
  a.constants = values;
  operations(a);
  a.op("STORE_64_STATE", {8, 0}).op("RETURN");
  VmWorld world;
  const auto program = load(a);
  EXPECT_EQ(world.run(*program), 1u);
  return world.get();
}

u64 binary(const std::string& name, u64 l, u64 r) {
  return result_of({l, r}, [&](VmAssembler& a) { a.op(name, {8, 0, 1}); });
}
u64 unary(const std::string& name, u64 x) {
  return result_of({x}, [&](VmAssembler& a) { a.op(name, {8, 0}); });
}

TEST(Vm, integers_wrap_at_their_width) {
  EXPECT_EQ(binary("ADD_I32", 0x7FFFFFFF, 1), kMin32);
  EXPECT_EQ(binary("ADD_U32", 0xFFFFFFFF, 1), 0u);
  EXPECT_EQ(binary("ADD_64", kAll, 2), 1u);
  EXPECT_EQ(binary("SUB_I32", kMin32, 1), 0x7FFFFFFFu);
  EXPECT_EQ(binary("SUB_U32", 0, 1), 0xFFFFFFFFu);
  EXPECT_EQ(binary("SUB_64", 0, 1), kAll);
  EXPECT_EQ(binary("MUL_I32", 0x10001, 0x10001), 0x20001u);
  EXPECT_EQ(binary("MUL_I32", 0x8000, 0x10000), kMin32);
  EXPECT_EQ(binary("MUL_U32", 0xFFFFFFFF, 0xFFFFFFFF), 1u);
  EXPECT_EQ(binary("MUL_64", kAll, kAll), 1u);
}

TEST(Vm, division_rounds_down_and_never_traps) {
  struct Case {
    std::int64_t l, r, quotient, rest;
  };
  for (const Case c : {Case{7, 2, 3, 1}, Case{-7, 2, -4, 1}, Case{7, -2, -4, -1}, Case{-7, -2, 3, -1},
                       Case{6, -3, -2, 0}, Case{5, 0, 0, 0}, Case{-1, 3, -1, 2}, Case{0, -5, 0, 0}}) {
    for (const char* width : {"_I32", "_I64"}) {
      const auto l = static_cast<u64>(c.l), r = static_cast<u64>(c.r);
      EXPECT_EQ(binary(std::string("DIV") + width, l, r), static_cast<u64>(c.quotient)) << c.l << " // " << c.r;
      EXPECT_EQ(binary(std::string("MOD") + width, l, r), static_cast<u64>(c.rest)) << c.l << " % " << c.r;
    }
  }
  EXPECT_EQ(binary("DIV_I32", kMin32, kAll), kMin32);
  EXPECT_EQ(binary("MOD_I32", kMin32, kAll), 0u);
  EXPECT_EQ(binary("DIV_I64", kMin64, kAll), kMin64);
  EXPECT_EQ(binary("MOD_I64", kMin64, kAll), 0u);
  EXPECT_EQ(binary("DIV_U32", 0xFFFFFFFF, 2), 0x7FFFFFFFu);
  EXPECT_EQ(binary("DIV_U64", kAll, 0), 0u);
  EXPECT_EQ(binary("MOD_U32", 5, 0), 0u);
  EXPECT_EQ(binary("MOD_U64", kAll, 10), 5u);
}

TEST(Vm, shifts_use_the_low_bits_of_the_amount) {
  EXPECT_EQ(binary("SHL_I32", 1, 31), kMin32);
  EXPECT_EQ(binary("SHL_I32", 1, 33), 2u);
  EXPECT_EQ(binary("SHL_U32", 3, minus(1)), 0x80000000u);
  EXPECT_EQ(binary("SHL_64", 1, 64 + 63), kMin64);
  EXPECT_EQ(binary("SHR_I32", kMin32, 31), kAll);
  EXPECT_EQ(binary("SHR_U32", 0x80000000, 63), 1u);
  EXPECT_EQ(binary("SHR_I64", kMin64, 63), kAll);
  EXPECT_EQ(binary("SHR_U64", kMin64, 127), 1u);
}

TEST(Vm, comparisons_know_signs_and_nan) {
  EXPECT_EQ(binary("LT_I64", kAll, 0), 1u);
  EXPECT_EQ(binary("LT_U64", kAll, 0), 0u);
  EXPECT_EQ(binary("LE_I64", 4, 4), 1u);
  EXPECT_EQ(binary("LE_U64", 4, 3), 0u);
  EXPECT_EQ(binary("EQ_64", 4, 4), 1u);
  EXPECT_EQ(binary("NE_64", 4, 4), 0u);
  for (const char* op : {"EQ", "LT", "LE"}) {
    EXPECT_EQ(binary(std::string(op) + "_F32", bits(kNanF), bits(kNanF)), 0u);
    EXPECT_EQ(binary(std::string(op) + "_F64", bits(1.0), bits(kNan)), 0u);
  }
  EXPECT_EQ(binary("NE_F32", bits(kNanF), bits(kNanF)), 1u);
  EXPECT_EQ(binary("EQ_F64", bits(0.0), bits(-0.0)), 1u);
  EXPECT_EQ(binary("LE_F32", bits(-kInfF), bits(1.0f)), 1u);
}

TEST(Vm, min_and_max_choose_as_python_does) {
  EXPECT_EQ(binary("MIN_I64", kAll, 1), kAll);
  EXPECT_EQ(binary("MIN_U64", kAll, 1), 1u);
  EXPECT_EQ(binary("MAX_I64", kAll, 1), 1u);
  EXPECT_EQ(binary("MAX_U64", kAll, 1), kAll);
  EXPECT_EQ(binary("MIN_F32", bits(0.0f), bits(-0.0f)), bits(0.0f));
  EXPECT_EQ(binary("MAX_F64", bits(-0.0), bits(0.0)), bits(-0.0));
  EXPECT_EQ(binary("MIN_F64", bits(kNan), bits(1.0)), bits(kNan));
  EXPECT_EQ(binary("MIN_F64", bits(1.0), bits(kNan)), bits(1.0));
}

TEST(Vm, floats_are_rounded_one_operation_at_a_time) {
  EXPECT_EQ(binary("ADD_F32", bits(16777216.0f), bits(1.0f)), bits(16777216.0f));
  EXPECT_EQ(binary("SUB_F64", bits(kInf), bits(kInf)) & ~kMin64, bits(kNan));
  EXPECT_EQ(binary("DIV_F32", bits(1.0f), bits(-0.0f)), bits(-kInfF));
  EXPECT_EQ(binary("MUL_F64", bits(5e-324), bits(0.5)), bits(0.0));
  EXPECT_EQ(binary("COPYSIGN_F32", bits(2.0f), bits(-0.0f)), bits(-2.0f));
  EXPECT_EQ(binary("COPYSIGN_F64", bits(-kInf), bits(1.0)), bits(kInf));
  const float third = 1.0f + 0x1p-12f;
  const u64 sum = result_of({bits(third), bits(third), bits(-1.0f)},
                            [](VmAssembler& a) { a.op("MUL_F32", {7, 0, 1}).op("ADD_F32", {8, 7, 2}); });
  EXPECT_EQ(sum, bits(0x1p-11f));  // contracted: a little more
}

TEST(Vm, conversions_saturate_and_extend) {
  EXPECT_EQ(unary("SIGN_8", 0x180), minus(128));
  EXPECT_EQ(unary("SIGN_16", 0x7FFF), 0x7FFFu);
  EXPECT_EQ(unary("SIGN_32", 0x80000000), kMin32);
  EXPECT_EQ(unary("ZERO_8", kAll), 0xFFu);
  EXPECT_EQ(unary("ZERO_16", kAll), 0xFFFFu);
  EXPECT_EQ(unary("ZERO_32", kAll), 0xFFFFFFFFu);
  EXPECT_EQ(unary("F32_TO_I32", bits(2147483648.0f)), 0x7FFFFFFFu);
  EXPECT_EQ(unary("F64_TO_I32", bits(-2147483648.9)), kMin32);
  EXPECT_EQ(unary("F64_TO_I32", bits(2147483647.9)), 0x7FFFFFFFu);
  EXPECT_EQ(unary("F32_TO_U32", bits(-0.99f)), 0u);
  EXPECT_EQ(unary("F32_TO_U32", bits(4294967296.0f)), 0xFFFFFFFFu);
  EXPECT_EQ(unary("F64_TO_U32", bits(kNan)), 0u);
  EXPECT_EQ(unary("F32_TO_I64", bits(-kInfF)), kMin64);
  EXPECT_EQ(unary("F64_TO_I64", bits(0x1p63)), kMin64 - 1);
  EXPECT_EQ(unary("F32_TO_U64", bits(0x1p64f)), kAll);
  EXPECT_EQ(unary("F64_TO_U64", bits(0x1p63)), kMin64);
  EXPECT_EQ(unary("I64_TO_F32", minus(16777217)), bits(-16777216.0f));
  EXPECT_EQ(unary("U64_TO_F64", kAll), bits(0x1p64));
  EXPECT_EQ(unary("I64_TO_F64", kAll), bits(-1.0));
  EXPECT_EQ(unary("U64_TO_F32", kAll), bits(0x1p64f));
  EXPECT_EQ(unary("F64_TO_F32", bits(1e300)), bits(kInfF));
  EXPECT_EQ(unary("F32_TO_F64", bits(0.5f)), bits(0.5));
}

TEST(Vm, every_half_is_itself_after_a_detour_through_float) {
  for (std::uint32_t half = 0; half < 0x10000; half += 1 + (half % 7) * 3) {
    const u64 wide = unary("F16_TO_F32", half);
    const bool is_nan = (half & 0x7FFF) > 0x7C00;
    EXPECT_EQ(std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(wide))), is_nan);
    const u64 back = unary("F32_TO_F16", wide);
    if (is_nan) {
      EXPECT_GT(back & 0x7FFF, 0x7C00u);
    } else {
      EXPECT_EQ(back, half);
    }
  }
}

TEST(Vm, halves_are_rounded_once) {
  EXPECT_EQ(unary("F64_TO_F16", bits(1.0 + 0x1p-11)), 0x3C00u);            // a tie, to even
  EXPECT_EQ(unary("F64_TO_F16", bits(1.0 + 0x1p-11 + 0x1p-40)), 0x3C01u);  // through f32 it would look like that tie
  EXPECT_EQ(unary("F64_TO_F16", bits(65519.99)), 0x7BFFu);
  EXPECT_EQ(unary("F64_TO_F16", bits(-65520.0)), 0xFC00u);
  EXPECT_EQ(unary("F64_TO_F16", bits(0x1p-25)), 0u);
  EXPECT_EQ(unary("F64_TO_F16", bits(0x1.0001p-25)), 1u);
  EXPECT_EQ(unary("F64_TO_F16", bits(-0x1.8p-24)), 0x8002u);
  EXPECT_EQ(unary("F32_TO_F16", bits(0x1.ffep-15f)),
            0x0400u);  // the largest subnormal is carried to the smallest normal
  EXPECT_EQ(unary("I64_TO_F16", minus(2049)), 0xE800u);
  EXPECT_EQ(unary("U64_TO_F16", kAll), 0x7C00u);
  EXPECT_EQ(unary("I64_TO_F16", kMin64), 0xFC00u);
}

TEST(Vm, bits_are_counted) {
  EXPECT_EQ(unary("POPCOUNT", kAll), 64u);
  const auto counted = [](const char* name, u64 x, int width) {
    return result_of({x}, [&](VmAssembler& a) { a.op(name, {8, 0, width}); });
  };
  EXPECT_EQ(counted("CLZ", 0, 64 - 32), 32u);
  EXPECT_EQ(counted("CLZ", 1, 64 - 8), 7u);
  EXPECT_EQ(counted("CLZ", kAll, 0), 0u);
  EXPECT_EQ(counted("CTZ", 0, 16), 16u);
  EXPECT_EQ(counted("CTZ", kMin64, 64), 63u);
}

TEST(Vm, tests_roots_and_functions_of_floats) {
  EXPECT_EQ(unary("IS_NAN_F32", bits(-kNanF)), 1u);
  EXPECT_EQ(unary("IS_NAN_F64", bits(kInf)), 0u);
  EXPECT_EQ(unary("IS_INF_F32", bits(-kInfF)), 1u);
  EXPECT_EQ(unary("IS_INF_F64", bits(kNan)), 0u);
  EXPECT_EQ(unary("IS_FINITE_F32", bits(kNanF)), 0u);
  EXPECT_EQ(unary("IS_FINITE_F64", bits(-1.0)), 1u);
  EXPECT_EQ(unary("SQRT_F64", bits(-0.0)), bits(-0.0));
  EXPECT_TRUE(std::isnan(std::bit_cast<double>(unary("SQRT_F64", bits(-1.0)))));
  EXPECT_EQ(unary("SQRT_F32", bits(2.0f)), bits(std::sqrt(2.0f)));
  const auto names = vm_functions(1);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const u64 got =
        result_of({bits(0.5)}, [&](VmAssembler& a) { a.op("CALL_1_F64", {8, 0, static_cast<std::int64_t>(i)}); });
    const std::string name = names[i];
    const double want = name == "floor" ? 0.0 : name == "sin" ? std::sin(0.5) : name == "cbrt" ? std::cbrt(0.5) : kNan;
    if (want == want) {
      EXPECT_EQ(got, bits(want)) << name;
    }
  }
  ASSERT_STREQ(vm_functions(2)[0], "fmod");
  EXPECT_EQ(result_of({bits(-5.5f), bits(2.0f)}, [](VmAssembler& a) { a.op("CALL_2_F32", {8, 0, 1, 0}); }),
            bits(-1.5f));
}

TEST(Vm, trip_counts_are_those_of_range) {
  const auto trips = [](const char* name, u64 start, u64 stop, u64 step) {
    return result_of({start, stop, step}, [&](VmAssembler& a) { a.op(name, {8, 0, 1, 2}); });
  };
  EXPECT_EQ(trips("TRIP_I64", 0, 10, 3), 4u);
  EXPECT_EQ(trips("TRIP_I64", 10, 0, minus(3)), 4u);
  EXPECT_EQ(trips("TRIP_I64", 0, 10, minus(1)), 0u);
  EXPECT_EQ(trips("TRIP_I64", 0, 10, 0), 0u);
  EXPECT_EQ(trips("TRIP_I64", kMin64, kMin64 - 1, 1), kAll);
  EXPECT_EQ(trips("TRIP_I64", kMin64 - 1, kMin64, kMin64), 2u);
  EXPECT_EQ(trips("TRIP_U64", 0, kAll, kAll), 1u);
  EXPECT_EQ(trips("TRIP_U64", 5, 5, 1), 0u);
}

TEST(Vm, jumps_are_taken_when_their_condition_holds) {
  struct Case {
    const char* name;
    u64 l, r;
    bool taken;
  };
  for (const Case& c :
       {Case{"JUMP_EQ_64", 1, 1, true}, Case{"JUMP_NE_64", 1, 1, false}, Case{"JUMP_LT_I64", kAll, 0, true},
        Case{"JUMP_LE_I64", 0, kAll, false}, Case{"JUMP_LT_U64", kAll, 0, false}, Case{"JUMP_LE_U64", 0, kAll, true},
        Case{"JUMP_EQ_F32", bits(kNanF), bits(kNanF), false}, Case{"JUMP_NE_F32", bits(kNanF), bits(kNanF), true},
        Case{"JUMP_LT_F32", bits(1.f), bits(2.f), true}, Case{"JUMP_NOT_LT_F32", bits(1.f), bits(kNanF), true},
        Case{"JUMP_LE_F32", bits(2.f), bits(2.f), true}, Case{"JUMP_NOT_LE_F32", bits(2.f), bits(2.f), false},
        Case{"JUMP_EQ_F64", bits(0.), bits(-0.), true}, Case{"JUMP_NE_F64", bits(0.), bits(-0.), false},
        Case{"JUMP_LT_F64", bits(2.), bits(2.), false}, Case{"JUMP_NOT_LT_F64", bits(2.), bits(2.), true},
        Case{"JUMP_LE_F64", bits(kNan), bits(2.), false}, Case{"JUMP_NOT_LE_F64", bits(kNan), bits(2.), true}}) {
    const u64 got = result_of({c.l, c.r, 7}, [&](VmAssembler& a) { a.op(c.name, {0, 1, 2}).op("MOVE", {8, 2}); });
    EXPECT_EQ(got, c.taken ? 0u : 7u) << c.name;
  }
}

TEST(Vm, places_are_read_and_written_in_their_width) {
  VmAssembler a;
  a.constants = {0xFFFFFFFFFFFF80FFu, 2, bits(1.5f), bits(2.5)};
  a.op("STORE_8_STATE", {0, 0}).op("STORE_16_STATE", {0, 2}).op("STORE_32_STATE", {0, 4}).op("STORE_64_STATE", {0, 8});
  a.op("LOAD_I8_STATE", {8, 0}).op("STORE_64_FRAME", {8, 0}).op("LOAD_64_FRAME", {9, 0}).op("STORE_64_STATE", {9, 16});
  a.op("LOAD_I16_STATE", {8, 2})
      .op("STORE_64_SHARED", {8, 8})
      .op("LOAD_64_SHARED", {9, 8})
      .op("STORE_64_STATE", {9, 24});
  a.op("LOAD_BOOL_STATE", {8, 1}).op("INDEX_STORE_16", {8, 1, 8, kVmState, 16}).op("ADD_STATE_32", {1, 36});
  a.op("ADD_STATE_64", {0, 40}).op("ADD_STATE_F32", {2, 48}).op("ADD_STATE_F32", {2, 48}).op("ADD_STATE_F64", {3, 56});
  a.op("RETURN");
  VmWorld world;
  world.run(*load(a));
  EXPECT_EQ(world.get<std::uint8_t>(0), 0xFF);
  EXPECT_EQ(world.get<std::uint16_t>(2), 0x80FF);
  EXPECT_EQ(world.get<std::uint32_t>(4), 0xFFFF80FFu);
  EXPECT_EQ(world.get(8), 0xFFFFFFFFFFFF80FFu);
  EXPECT_EQ(world.get(16), kAll);
  EXPECT_EQ(world.get(24), 0xFFFFFFFFFFFF80FFu);
  EXPECT_EQ(world.get<std::uint32_t>(32), 0u);
  EXPECT_EQ(world.get<std::uint32_t>(36), 2u);
  EXPECT_EQ(world.get(40), 0xFFFFFFFFFFFF80FFu);
  EXPECT_EQ(world.get<float>(48), 3.0f);
  EXPECT_EQ(world.get<double>(56), 2.5);
}

TEST(Vm, computed_places_outside_of_a_memory_give_0_and_take_nothing) {
  VmAssembler a;
  a.constants = {0xFFFFFFFF, 57, 56, kAll};
  a.op("INDEX_STORE_64", {3, 1, 1, kVmState, 0})
      .op("INDEX_LOAD_64", {8, 1, 1, kVmState, 0})
      .op("STORE_64_STATE", {8, 0});
  a.op("INDEX_STORE_64", {3, 0, 65535, kVmState, 0xFFFFFFFF})
      .op("INDEX_LOAD_U8", {9, 0, 65535, kVmMessage, 0xFFFFFFFF});
  a.op("STORE_64_STATE", {9, 8}).op("INDEX_STORE_64", {3, 2, 1, kVmState, 0});
  a.op("ZERO", {kVmState, 1, 8}).op("COPY", {kVmState, 1, kVmFrame, 1, 8}).op("COPY", {kVmState, 2, kVmFrame, 0, 8});
  a.op("RETURN");
  VmWorld world;
  world.run(*load(a));
  EXPECT_EQ(world.get(0), 0u);
  EXPECT_EQ(world.get(8), 0u);
  EXPECT_EQ(world.get(56), kAll);
}

TEST(Vm, addresses_lead_only_to_what_the_message_refers_to) {
  alignas(8) std::uint64_t near[4] = {1, 2, 3, 4};
  const auto address = reinterpret_cast<std::uintptr_t>(near);
  const rk_range ranges[] = {{address, 8}, {address + 16, 8}};
  VmAssembler a;
  a.constants = {address, 0, 1, 2, 0xFFFFFFFF, kAll};
  a.op("FAR_LOAD_64", {8, 1, 8, 0, 0}).op("STORE_64_STATE", {8, 0});
  a.op("FAR_LOAD_64", {8, 2, 8, 0, 0}).op("STORE_64_STATE", {8, 8});  // between the two
  a.op("FAR_LOAD_64", {8, 3, 8, 0, 0}).op("STORE_64_STATE", {8, 16});
  a.op("FAR_LOAD_64", {8, 2, 4, 0, 0}).op("STORE_64_STATE", {8, 24});  // over an end
  a.op("FAR_LOAD_U8", {8, 1, 1, 0, 7}).op("STORE_64_STATE", {8, 32});
  a.op("FAR_LOAD_64", {8, 1, 1, 5, 0}).op("STORE_64_STATE", {8, 40});  // an address that wraps
  a.op("FAR_LOAD_64", {8, 4, 8, 0, 0xFFFFFFFF}).op("STORE_64_STATE", {8, 48});
  a.op("FAR_STORE_64", {5, 2, 8, 0, 0}).op("FAR_STORE_64", {5, 1, 1, 0, 1}).op("FAR_STORE_16", {5, 3, 8, 0, 0});
  a.op("FAR_ATOMIC", {8, 2, 8, 0, 5, 5, 7 * 4 + 3, 0}).op("FAR_ATOMIC", {8, 3, 8, 0, 5, 5, 7 * 4 + 3, 1});
  a.op("RETURN");
  VmWorld world;
  world.call.ranges = ranges;
  world.call.range_count = 2;
  const auto program = load(a);
  world.run(*program);
  const std::uint64_t expected[] = {1, 0, 3, 0, 0, 0, 0};
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(world.get(8 * i), expected[i]) << i;
  EXPECT_EQ(near[0], 1u);
  EXPECT_EQ(near[1], 2u);
  EXPECT_EQ(near[2], 0xFFFFu);
  world.call.range_count = 0;
  world.run(*program);
  EXPECT_EQ(world.get(0), 0u);
}

TEST(Vm, atomic_operations_on_addresses_give_the_old_value) {
  const auto after = [](std::int64_t what, std::uint64_t before, std::uint64_t value, std::uint64_t expected) {
    alignas(8) std::uint64_t place = before;
    const rk_range range = {reinterpret_cast<std::uintptr_t>(&place), 8};
    VmAssembler a;
    a.constants = {range.begin, 0, value, expected};
    a.op("FAR_ATOMIC", {8, 1, 8, 0, 2, 3, what, 0}).op("STORE_64_STATE", {8, 0}).op("RETURN");
    VmWorld world;
    world.call.ranges = &range;
    world.call.range_count = 1;
    world.run(*load(a));
    EXPECT_EQ(world.get(0), before) << what;
    return place;
  };
  constexpr u64 kMinusTwo = kAll - 1;
  for (std::int64_t type = 2; type < 4; ++type) {  // 64 bits
    EXPECT_EQ(after(0 * 4 + type, 5, kAll, 0), 4u);
    EXPECT_EQ(after(1 * 4 + type, 5, 6, 0), kAll);
    EXPECT_EQ(after(2 * 4 + type, 5, kMinusTwo, 0), type == 2 ? kMinusTwo : 5u);
    EXPECT_EQ(after(3 * 4 + type, 5, kMinusTwo, 0), type == 2 ? 5u : kMinusTwo);
    EXPECT_EQ(after(4 * 4 + type, 6, 3, 0), 2u);
    EXPECT_EQ(after(5 * 4 + type, 6, 3, 0), 7u);
    EXPECT_EQ(after(6 * 4 + type, 6, 3, 0), 5u);
    EXPECT_EQ(after(7 * 4 + type, 6, 3, 0), 3u);
    EXPECT_EQ(after(8 * 4 + type, 6, 3, 6), 3u);
    EXPECT_EQ(after(8 * 4 + type, 6, 3, 7), 6u);
    EXPECT_EQ(after(9 * 4 + type, 6, 3, 7), 6u);  // no such operation
  }
  EXPECT_EQ(after(2 * 4 + 1, 5, 4, 0), 4u);
  EXPECT_EQ(after(3 * 4 + 0, 5, 0xFFFFFFFF, 0), 5u);
}

TEST(Vm, shared_memory_is_zero_and_a_written_message_a_copy_in_each_message) {
  VmAssembler a;
  a.constants = {1};
  a.rows[0].writes_message = 1;
  a.op("LOAD_64_SHARED", {8, 56}).op("ADD_64", {8, 8, 0}).op("STORE_64_SHARED", {8, 56}).op("ADD_STATE_64", {8, 0});
  a.op("LOAD_64_MESSAGE", {9, 24}).op("ADD_64", {9, 9, 0}).op("STORE_64_MESSAGE", {9, 24});
  a.op("LOAD_64_MESSAGE", {9, 24})
      .op("ADD_STATE_64", {9, 8})
      .op("LOAD_U8_HEADER", {9, 63})
      .op("STORE_8_STATE", {9, 16})
      .op("RETURN");
  VmWorld world;
  world.slots[63] = 5;
  std::memset(world.shared, 0x5A, sizeof(world.shared));
  const auto program = load(a);
  EXPECT_EQ(world.run(*program, 0, 1), 1u);
  EXPECT_EQ(world.get<std::uint8_t>(16), 5);
  EXPECT_EQ(world.run(*program, 0, 4), 4u);
  EXPECT_EQ(world.get(0), 5u);
  EXPECT_EQ(world.get(8), 5u);
  EXPECT_EQ(world.slots[64 + 24], 0);
}

TEST(Vm, loops_count_and_calls_come_back) {
  VmAssembler a;
  a.constants = {1, 2, 1000};
  a.op("ADD_STATE_64", {1, 0}).op("RETURN");
  a.begin_function().op("CALL", {0}).op("CALL", {0}).op("RETURN");
  a.begin_function().op("MOVE", {8, 2});
  const std::uint32_t again = a.words();
  a.op("CALL", {1}).op("NEXT_I32", {8, 9, 0, again, 3}).op("STORE_64_STATE", {9, 8}).op("RETURN");
  a.rows[0].function = 2;
  VmWorld world;
  world.run(*load(a));
  EXPECT_EQ(world.get(0), 4000u);
  EXPECT_EQ(world.get(8), 999u);
}

TEST(Vm, loop_items_wrap_at_their_width) {
  const auto last = [](const char* next, u64 start) {
    return result_of({start, 1, 2},
                     [&](VmAssembler& a) { a.op("MOVE", {8, 0}).op("MOVE", {9, 2}).op(next, {9, 8, 1, 2, 0}); });
  };
  EXPECT_EQ(last("NEXT_I32", 0x7FFFFFFF), kMin32);
  EXPECT_EQ(last("NEXT_U32", 0xFFFFFFFF), 0u);
  EXPECT_EQ(last("NEXT_64", kAll), 0u);
}

TEST(Vm, a_loop_without_end_is_cancelled_and_so_are_calls_without_end) {
  VmAssembler loop;
  loop.op("LOOP", {0, 42});
  VmWorld world;
  world.cancel = 1;
  EXPECT_EQ(world.run(*load(loop), 0, 4), 1u);
  EXPECT_EQ(world.call.failed, RK_FAIL_CANCELLED);
  EXPECT_EQ(world.call.fail_line, 42u);

  VmAssembler calls;  // 2**60 of them
  calls.op("RETURN");
  for (int i = 0; i < 60; ++i) calls.begin_function().op("CALL", {i}).op("CALL", {i}).op("RETURN");
  calls.rows[0].function = 60;
  world.call.failed = 0;
  EXPECT_EQ(world.run(*load(calls), 0, 4), 1u);
  EXPECT_EQ(world.call.failed, RK_FAIL_CANCELLED);
}

TEST(Vm, a_run_ends_after_an_error_a_failure_and_when_it_is_asked_to) {
  VmAssembler a;
  a.constants = {77};
  a.op("LOAD_U8_MESSAGE", {8, 0}).op("LOAD_U8_STATE", {9, 0}).op("JUMP_EQ_64", {8, 1, 3}).op("COUNT_ERROR", {0, 5});
  a.op("COUNT_ERROR", {8, 6}).op("LOAD_U8_MESSAGE", {8, 1}).op("JUMP_EQ_64", {8, 1, 3}).op("FAIL", {9, 99});
  a.op("LOAD_U8_MESSAGE", {8, 2}).op("JUMP_EQ_64", {8, 1, 2}).op("REQUEST_TERMINATION").op("RETURN");
  const auto program = load(a);
  VmWorld world;
  EXPECT_EQ(world.run(*program, 0, 4), 4u);
  world.slots[64 + VmWorld::kSlotBytes] = 8;
  EXPECT_EQ(world.run(*program, 0, 4), 2u);
  EXPECT_EQ(world.call.errors, 2u);
  EXPECT_EQ(world.call.last_error, 8u);
  EXPECT_EQ(world.call.error_line, 6u);
  EXPECT_EQ(world.call.slot, world.slots + VmWorld::kSlotBytes);
  world.call.errors = 0;
  world.slots[64 + VmWorld::kSlotBytes] = 0;
  world.slots[64 + 2 * VmWorld::kSlotBytes + 1] = 1;
  EXPECT_EQ(world.run(*program, 0, 4), 3u);
  EXPECT_EQ(world.call.failed, 99u);
  EXPECT_EQ(world.call.fail_line, 9u);
  world.call.failed = 0;
  world.slots[64 + 2] = 1;
  EXPECT_EQ(world.run(*program, 0, 4), 1u);
  EXPECT_EQ(world.run(*program, 0, 0), 0u);
}

TEST(Vm, services_get_their_arguments) {
  VmAssembler a;
  a.constants = {60, 3, 2, bits(0.25), 8};
  a.op("STORE_8_STATE", {1, 60});
  a.op("REPLY", {kVmState, 0, 4000000000, 4, 9}).op("SEND", {kVmState, 4, 1, 2, 3, 1, 11, 8, 9});
  a.op("PUBLISH", {8, kVmState, 0, 1, 1, 12, 4}).op("STORE_64_STATE", {8, 0});
  a.op("NOW", {8}).op("STORE_64_STATE", {8, 8}).op("TICK", {8}).op("STORE_8_STATE", {8, 9}).op("PENDING", {8});
  a.op("STORE_8_STATE", {8, 10}).op("UPDATE_CLOCK", {8, 2}).op("STORE_8_STATE", {8, 11}).op("FREE_SLOTS", {8, 1});
  a.op("STORE_8_STATE", {8, 12}).op("REQUEST_TERMINATION").op("IS_TERMINATING", {8}).op("STORE_8_STATE", {8, 13});
  a.op("GET_INSTANCE", {8})
      .op("STORE_8_STATE", {8, 14})
      .op("GET_KERNEL", {8})
      .op("STORE_8_STATE", {8, 15})
      .op("RETURN");
  VmWorld world;
  world.call.instance = 4;
  world.call.kernel = 9;
  world.run(*load(a));
  EXPECT_EQ(world.notes,
            (std::vector<std::string>{"reply 4000000000: 4 3", "send 1 11 3 2 0.250000: 8 0", "publish 1 12 1: 4 3"}));
  EXPECT_EQ(world.get(0), 7u);
  EXPECT_EQ(world.get(8), 0x09'04'01'C9'01'66'65'64u);
}

TEST(Vm, a_message_that_is_refused_ends_with_the_line) {
  VmAssembler a;
  a.constants = {0};
  a.op("REPLY", {kVmState, 0, 1, 8, 31}).op("ADD_STATE_64", {0, 0}).op("RETURN");
  VmWorld world;
  world.answer = RK_FAIL_SEND_FULL;
  EXPECT_EQ(world.run(*load(a), 0, 4), 1u);
  EXPECT_EQ(world.call.failed, RK_FAIL_SEND_FULL);
  EXPECT_EQ(world.call.fail_line, 31u);

  VmAssembler outside;  // its payload is not all in the state
  outside.constants = {60};
  outside.op("SEND", {kVmState, 0, 0, 0, 0, 0, 1, 5, 32}).op("RETURN");
  world.call.failed = 0;
  EXPECT_EQ(world.run(*load(outside)), 1u);
  EXPECT_EQ(world.call.failed, RK_FAIL_SEND_FAILED);
  EXPECT_EQ(world.notes.size(), 1u);
}

}  // namespace
}  // namespace rk
