// What the bytecode machine refuses to load, and that it can do no harm with what it accepts.
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <memory>
#include <span>

#include "vm_assembler.h"

namespace rk {
namespace {

std::unique_ptr<const VmProgram> load(const VmAssembler& assembler) {
  std::string why;
  auto program = VmProgram::load(assembler.bytes(), &why);
  EXPECT_NE(program, nullptr) << why;
  return program;
}

std::string refusal(const VmAssembler& assembler) {
  std::string why;
  EXPECT_EQ(VmProgram::load(assembler.bytes(), &why), nullptr);
  return why;
}

TEST(VmLoad, what_does_not_hold_together_is_refused_with_the_reason) {
  const auto why = [](const std::function<void(VmAssembler&)>& change) {
    VmAssembler a;
    change(a);
    if (a.words() == 0) a.op("RETURN");
    return refusal(a);
  };
  const auto code = [&](const char* name, std::initializer_list<std::int64_t> operands) {
    return why([&](VmAssembler& a) { a.op(name, operands).op("RETURN"); });
  };
  EXPECT_NE(why([](VmAssembler& a) { a.head.magic = 1; }).find("no bytecode"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.head.version = 99; }).find("version 99"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.head.registers = kVmMaxRegisters + 1; }).find("registers"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.head.frame = kVmMaxMemoryBytes + 1; }).find("memory"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.rows.clear(); }).find("no entry"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.rows[0].function = 1; }).find("entry"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.constants.assign(17, 0); }).find("constants"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) { a.op("MOVE", {1, 2}); }).find("does not end"), std::string::npos);
  EXPECT_NE(code("MOVE", {16, 0}).find("register 16"), std::string::npos);
  EXPECT_NE(code("LOAD_64_STATE", {0, 57}).find("offset 57"), std::string::npos);
  EXPECT_NE(code("LOAD_U8_HEADER", {0, 64}).find("offset 64"), std::string::npos);
  EXPECT_NE(code("LOAD_U16_MESSAGE", {0, 31}).find("offset 31"), std::string::npos);
  EXPECT_NE(code("STORE_8_MESSAGE", {0, 0}).find("read-only"), std::string::npos);
  EXPECT_NE(code("ZERO", {kVmMessage, 0, 1}).find("read-only"), std::string::npos);
  EXPECT_NE(code("INDEX_STORE_8", {0, 0, 1, kVmMessage, 0}).find("read-only"), std::string::npos);
  EXPECT_NE(code("COPY", {kVmHeader, 0, kVmState, 0, 1}).find("writable memory"), std::string::npos);
  EXPECT_NE(code("INDEX_LOAD_U8", {0, 0, 1, kVmRoots, 0}).find("memory 5"), std::string::npos);
  EXPECT_NE(code("JUMP", {0}).find("jump to word 0"), std::string::npos);  // back, without a poll
  EXPECT_NE(code("JUMP_EQ_64", {0, 0, 0}).find("jump to word 0"), std::string::npos);
  EXPECT_NE(code("JUMP_EQ_64", {0, 0, -1}).find("jump to word"), std::string::npos);
  EXPECT_NE(code("LOOP", {1, 0}).find("jump to word 1"), std::string::npos);  // its second word
  EXPECT_NE(code("JUMP", {2}).find("jump to word 2"), std::string::npos);     // behind the end
  EXPECT_NE(code("CALL", {0}).find("function 0"), std::string::npos);         // itself
  EXPECT_NE(code("CALL_1_F32", {0, 0, 99}).find("function of one number"), std::string::npos);
  EXPECT_NE(code("CALL_2_F64", {0, 0, 0, 4}).find("function of two numbers"), std::string::npos);
  EXPECT_NE(code("FREE_SLOTS", {0, 2}).find("target 2"), std::string::npos);
  EXPECT_NE(code("PUBLISH", {0, 0, 0, 2, 0, 1, 1}).find("topic 2"), std::string::npos);
  EXPECT_NE(why([](VmAssembler& a) {
              const std::int64_t none[] = {0};
              a.op(0, none, none).op("RETURN").op("RETURN");
              a.begin_function();
            }).find("functions"),
            std::string::npos);
}

TEST(VmLoad, a_function_has_what_all_entries_that_reach_it_have) {
  VmAssembler a;
  a.op("LOAD_U8_MESSAGE", {0, 20}).op("RETURN");
  a.begin_function().op("CALL", {0}).op("RETURN");
  a.rows = {VmRow{0, 32, 0, 0}, VmRow{1, 20, 0, 0}};
  EXPECT_NE(refusal(a).find("offset 20"), std::string::npos);
  a.rows[1].message = 21;
  EXPECT_NE(load(a), nullptr);
}

TEST(VmLoad, every_prefix_is_refused_and_no_changed_byte_does_harm) {
  VmAssembler a;
  a.constants = {3, 57, std::bit_cast<std::uint64_t>(1.0)};
  a.op("MOVE", {8, 0})
      .op("INDEX_LOAD_I16", {9, 8, 2, kVmMessage, 4})
      .op("JUMP_LT_I64", {9, 0, 2})
      .op("ADD_STATE_F32", {2, 8});
  a.op("COPY", {kVmState, 0, kVmHeader, 1, 5})
      .op("NEXT_U32", {8, 9, 0, 1, 7})
      .op("REPLY", {kVmFrame, 0, 5, 8, 3})
      .op("RETURN");
  a.begin_function()
      .op("CALL", {0})
      .op("SELECT", {8, 0, 1, 2})
      .op("PUBLISH", {8, kVmState, 0, 1, 1, 2, 3})
      .op("RETURN");
  a.rows[0].function = 1;
  const std::vector<std::byte> good = a.bytes();
  std::string why;
  ASSERT_NE(VmProgram::load(good, &why), nullptr) << why;
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(VmProgram::load(std::span(good).first(size), &why), nullptr) << size;
  }
  int accepted = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int value : {0, 1, 2, 5, 31, 63, 127, 128, 200, 255}) {
      std::vector<std::byte> changed = good;
      changed[at] = static_cast<std::byte>(value);
      VmHead head;
      std::memcpy(&head, changed.data(), sizeof(head));
      VmWorld world;
      world.cancel = 1;
      const auto program = VmProgram::load(changed, &why);
      if (program == nullptr || head.state > 64 || head.frame > 64 || head.shared > 64) continue;
      if (program->entries()[0].message_size > 32) continue;
      ++accepted;
      EXPECT_EQ(world.run(*program, 0, 1), 1u);
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace rk
