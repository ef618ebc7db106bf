// Bytecode made by hand, from the machine's own table of operations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "ringkernel/runtime/vm.h"

namespace rk {

struct VmHead {
  std::uint32_t magic = kVmMagic, version = kVmVersion, registers = 16, constants = 0, functions = 1, entries = 1,
                words = 0, state = 64, frame = 64, shared = 64, targets = 2, topics = 2;
};

struct VmRow {
  std::uint32_t function = 0, message = 32, writes_message = 0, reserved = 0;
};

class VmAssembler {
 public:
  VmHead head;
  std::vector<std::uint64_t> constants;
  std::vector<VmRow> rows{VmRow{}};

  // `operands` without the empty ones.
  VmAssembler& op(const std::string& name, std::initializer_list<std::int64_t> operands = {}) {
    const auto table = vm_opcodes();
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (name == table[i].name) return op(i, operands.begin(), operands.end());
    }
    throw std::logic_error(name);
  }

  template <class Iterator>
  VmAssembler& op(std::size_t number, Iterator next, Iterator end) {
    std::vector<std::uint16_t> halves{static_cast<std::uint16_t>(number)};
    for (const char* letter = vm_opcodes()[number].operands; *letter != 0; ++letter) {
      const std::int64_t value = *letter == '_' || next == end ? 0 : *next++;
      halves.push_back(static_cast<std::uint16_t>(value));
      if (std::strchr("ioJF", *letter) != nullptr) halves.push_back(static_cast<std::uint16_t>(value >> 16));
    }
    halves.resize((halves.size() + 3) / 4 * 4);
    code_.insert(code_.end(), halves.begin(), halves.end());
    return *this;
  }

  VmAssembler& begin_function() {
    begins_.push_back(words());
    return *this;
  }
  std::uint32_t words() const { return static_cast<std::uint32_t>(code_.size() / 4); }

  std::vector<std::byte> bytes() const {
    VmHead whole = head;
    whole.constants = static_cast<std::uint32_t>(constants.size());
    whole.functions = static_cast<std::uint32_t>(begins_.size());
    whole.entries = static_cast<std::uint32_t>(rows.size());
    whole.words = words();
    std::vector<std::byte> made;
    append(&made, &whole, sizeof(whole));
    append(&made, constants.data(), constants.size() * 8);
    append(&made, begins_.data(), begins_.size() * 4);
    made.resize((made.size() + 7) / 8 * 8);
    append(&made, rows.data(), rows.size() * sizeof(VmRow));
    append(&made, code_.data(), code_.size() * 2);
    return made;
  }

 private:
  static void append(std::vector<std::byte>* to, const void* from, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(from);
    to->insert(to->end(), bytes, bytes + size);
  }

  std::vector<std::uint16_t> code_;
  std::vector<std::uint32_t> begins_{0};
};

// The memories of an instance, and services that note what they were asked.
struct VmWorld {
  VmWorld() {
    static const rk_services kServices = make_services();
    call.services = &kServices;
    call.self = this;
    call.state = state;
    call.frame = frame;
    call.shared = shared;
    call.message = message;
    call.cancel = &cancel;
    call.task = 1;
  }
  VmWorld(const VmWorld&) = delete;
  VmWorld& operator=(const VmWorld&) = delete;

  static rk_services make_services() {
    static const auto self = [](rk_call* c) -> VmWorld& { return *static_cast<VmWorld*>(c->self); };
    rk_services made{};
    made.reply = [](rk_call* c, std::uint32_t type, const void* payload, std::uint32_t size) {
      return self(c).note("reply " + std::to_string(type), payload, size);
    };
    made.send = [](rk_call* c, std::uint32_t target, std::uint32_t type, const void* payload, std::uint32_t size,
                   std::uint32_t instance, std::uint32_t priority, double deadline) {
      return self(c).note("send " + std::to_string(target) + " " + std::to_string(type) + " " +
                              std::to_string(instance) + " " + std::to_string(priority) + " " +
                              std::to_string(deadline),
                          payload, size);
    };
    made.publish = [](rk_call* c, std::uint32_t topic, std::uint32_t type, const void* payload, std::uint32_t size,
                      std::uint32_t retain) {
      self(c).note("publish " + std::to_string(topic) + " " + std::to_string(type) + " " + std::to_string(retain),
                   payload, size);
      return std::uint32_t{7};
    };
    made.now = [](rk_call*) { return std::uint64_t{100}; };
    made.tick = [](rk_call*) { return std::uint64_t{101}; };
    made.update_clock = [](rk_call*, std::uint64_t time) { return static_cast<std::uint32_t>(time & 2); };
    made.pending = [](rk_call*) { return std::uint64_t{102}; };
    made.free_slots = [](rk_call*, std::uint32_t target) { return std::uint64_t{200} + target; };
    made.request_termination = [](rk_call* c) { c->leave = 1; };
    made.is_terminating = [](rk_call* c) { return c->leave * 4; };
    return made;
  }

  // Every byte is read, so that a sanitizer sees whether it may be.
  std::uint32_t note(const std::string& what, const void* payload, std::uint32_t size) {
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < size; ++i) sum += static_cast<const std::uint8_t*>(payload)[i];
    if (notes.size() < 100) notes.push_back(what + ": " + std::to_string(size) + " " + std::to_string(sum));
    return answer;
  }

  std::uint32_t run(const VmProgram& program, std::size_t entry = 0, std::uint32_t count = 1) {
    return vm_run(&program.entries()[entry], &call, slots, kSlotBytes, count);
  }

  template <class T = std::uint64_t>
  T get(std::size_t offset = 0) const {
    T value;
    std::memcpy(&value, state + offset, sizeof(T));
    return value;
  }

  static constexpr std::size_t kSlotBytes = 96;
  alignas(64) std::uint8_t state[64] = {};
  alignas(64) std::uint8_t frame[64] = {};
  alignas(64) std::uint8_t shared[64] = {};
  alignas(64) std::uint8_t message[32] = {};
  alignas(64) std::uint8_t slots[4 * kSlotBytes] = {};
  std::uint64_t cancel = 0;
  std::uint32_t answer = 0;
  std::vector<std::string> notes;
  rk_call call{};
};

}  // namespace rk
