// Hostile bytecode: it is refused, or it stays within its memories and ends when it is told to.
//
// An input is tried as it is, and as operations: a byte each for what to do and with what, taken modulo what there is,
// so that most of them are accepted.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "../unit/vm_assembler.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// Sets the cancel word again and again: a run takes as long as it pleases otherwise.
class Watchdog {
 public:
  Watchdog() : thread_([this] { watch(); }) { thread_.detach(); }
  void start(std::uint64_t* cancel) {
    std::atomic_ref(*cancel).store(0, std::memory_order_relaxed);
    word_.store(cancel);
  }
  void stop() {
    word_.store(nullptr);
    while (is_busy_.load()) std::this_thread::yield();
  }

 private:
  void watch() {
    for (;; std::this_thread::sleep_for(std::chrono::microseconds(300))) {
      is_busy_.store(true);
      if (std::uint64_t* cancel = word_.load()) std::atomic_ref(*cancel).store(1, std::memory_order_relaxed);
      is_busy_.store(false);
    }
  }

  std::atomic<std::uint64_t*> word_{nullptr};
  std::atomic<bool> is_busy_{false};
  std::thread thread_;
};

// Memories of exactly the sizes that the program has, so that a sanitizer sees the byte behind them.
void run(const rk::VmProgram& program, Watchdog& watchdog) {
  constexpr std::uint32_t kLarge = 1u << 16;
  if (program.state_size() > kLarge || program.frame_size() > kLarge || program.shared_size() > kLarge) return;
  for (std::size_t entry = 0; entry < program.entries().size() && entry < 4; ++entry) {
    const std::uint32_t message_size = program.entries()[entry].message_size;
    if (message_size > kLarge) continue;
    rk::VmWorld world;
    const auto memory = [](std::size_t size) { return std::make_unique<std::uint8_t[]>(size); };
    const auto state = memory(program.state_size()), frame = memory(program.frame_size());
    const auto shared = memory(program.shared_size()), message = memory(message_size);
    const std::size_t slot_bytes = 64 + message_size;
    const auto slots = memory(2 * slot_bytes);
    for (std::size_t i = 0; i < 2 * slot_bytes; ++i) slots[i] = static_cast<std::uint8_t>(i * 37);
    const std::vector<std::uint8_t> before(slots.get(), slots.get() + 2 * slot_bytes);
    world.call.state = state.get();
    world.call.frame = frame.get();
    world.call.shared = shared.get();
    world.call.message = message.get();
    const auto far = memory(24);  // what messages refer to; the state begins with its address
    const rk_range range = {reinterpret_cast<std::uintptr_t>(far.get()), 24};
    world.call.ranges = &range;
    world.call.range_count = 1;
    std::memcpy(state.get(), &range.begin, std::min<std::size_t>(program.state_size(), sizeof(range.begin)));
    watchdog.start(&world.cancel);
    const std::uint32_t handled = rk::vm_run(&program.entries()[entry], &world.call, slots.get(), slot_bytes, 2);
    watchdog.stop();
    require(handled == 2 || (handled == 1 && (world.call.failed | world.call.errors | world.call.leave) != 0));
    require(before.empty() || std::memcmp(slots.get(), before.data(), before.size()) == 0);
  }
}

void try_bytes(std::span<const std::byte> bytes, Watchdog& watchdog) {
  std::string why;
  const auto program = rk::VmProgram::load(bytes, &why);
  require((program == nullptr) == !why.empty());
  if (program != nullptr) run(*program, watchdog);
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool is_empty() const { return size_ == 0; }
  std::uint8_t next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

std::int64_t operand(char letter, Input& input, std::uint32_t begin, std::uint32_t words, std::uint32_t functions) {
  const std::uint8_t byte = input.next();
  switch (letter) {
    case 'd':
    case 's':
      return byte % 16;
    case 'r':
    case 'w':
      return byte % rk::kVmRoots;
    case 'j':
      return byte % 8;
    case 'J':
      return byte % 2 != 0 ? words + byte % 8 : begin + byte % (words - begin + 1);
    case 'F':
      return functions < 2 ? byte : byte % (functions - 1);
    case 'L':
      return byte % 20;
    case 'M':
      return byte % 4;
    case 'T':
    case 'P':
      return byte % 2;
    default:
      return byte % 16 == 0 ? byte * 0x1000100ll : byte % 72;
  }
}

void try_operations(Input input, Watchdog& watchdog) {
  rk::VmAssembler a;
  a.head.state = input.next() % 65;
  a.head.frame = input.next() % 65;
  a.head.shared = input.next() % 65;
  a.rows[0].message = input.next() % 33;
  a.rows[0].writes_message = input.next() % 2;
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t byte = input.next();
    a.constants.push_back(byte % 4 == 0 ? byte << 56 | 0x7FF00000 : byte % 4 == 1 ? ~byte : byte);
  }
  std::uint32_t functions = 1, begin = 0;
  while (!input.is_empty()) {
    const std::size_t number = input.next() % rk::vm_opcodes().size();
    std::vector<std::int64_t> operands;
    for (const char* letter = rk::vm_opcodes()[number].operands; *letter != 0; ++letter) {
      if (*letter != '_') operands.push_back(operand(*letter, input, begin, a.words(), functions));
    }
    a.op(number, operands.begin(), operands.end());
    if (input.next() % 16 == 0) {
      a.op("RETURN").begin_function();
      ++functions;
      begin = a.words();
    }
  }
  a.op("RETURN").op("RETURN").op("RETURN").op("RETURN");  // short jumps over the end have somewhere to go
  a.rows[0].function = functions - 1;
  try_bytes(a.bytes(), watchdog);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Watchdog watchdog;
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  try_bytes(bytes, watchdog);
  try_operations(Input(data, size), watchdog);
  return 0;
}
