// From bytes to a program that vm_run() can trust.
//
// A program is little-endian: a Head, the constants (u64), where each function begins in the code (u32, padded to 8
// bytes), the entries (16 bytes), the code (words of 8 bytes). Functions come after the functions that they call, so
// there is no recursion, and how deep calls go is known.
#include <algorithm>
#include <cstring>

#include "vm_functions.h"
#include "vm_opcodes.h"

namespace rk {
namespace {

struct Head {
  std::uint32_t magic, version;
  std::uint32_t registers, constants, functions, entries, words;
  std::uint32_t state_size, frame_size, shared_size;
  std::uint32_t targets, topics;
};
static_assert(sizeof(Head) == 48);

struct EntryRow {
  std::uint32_t function, message_size, writes_message, reserved;
};
static_assert(sizeof(EntryRow) == 16);

// What a function may do, from the entries that it is reached from.
struct Function {
  std::uint32_t begin, end;
  std::uint32_t message_size = kVmMaxMemoryBytes;  // the smallest
  bool writes_message = true;                      // all of them have a copy to write to
  std::uint32_t depth = 0;                         // of calls
  std::vector<std::uint32_t> callees;
};

std::uint32_t bytes_of(char operand) { return std::strchr("ioJF", operand) != nullptr ? 4 : 2; }

std::uint32_t words_of(const char* operands) {
  std::uint32_t bytes = 2;
  for (; *operands != 0; ++operands) bytes += bytes_of(*operands);
  return (bytes + 7) / 8;
}

bool ends_code(std::uint16_t op) { return op == kOp_JUMP || op == kOp_LOOP || op == kOp_RETURN || op == kOp_FAIL; }

}  // namespace

// One program being loaded. Methods return false with the reason in `why`.
class VmLoader {
 public:
  explicit VmLoader(std::span<const std::byte> bytes) : bytes_(bytes), program_(new VmProgram()) {}

  bool load() { return read_all() && check_functions() && check_entries(); }
  std::unique_ptr<VmProgram> take() { return std::move(program_); }

  std::string why;

 private:
  bool refuse(std::string text) {
    why = std::move(text);
    return false;
  }
  bool refuse_at(std::uint32_t word, const std::string& text) {
    return refuse("bytecode, word " + std::to_string(word) + ": " + text);
  }

  // The next `count` rows, or false when the bytes end before.
  template <class T>
  bool read_rows(std::vector<T>* rows, std::uint64_t count) {
    if (count > (bytes_.size() - at_) / sizeof(T)) return refuse("bytecode: cut off");
    rows->resize(count);
    if (count != 0) std::memcpy(rows->data(), bytes_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
    return true;
  }

  bool read_all();
  bool check_head();
  bool check_functions();
  bool check_function(std::uint32_t index);
  bool check_operands(Function& function, std::uint32_t index, std::uint32_t word);
  bool check_jump(const Function& function, std::uint32_t target, std::uint32_t word);
  bool check_number(char operand, std::uint32_t value, Function& function, std::uint32_t index, std::uint32_t word);
  bool check_entries();
  bool check_accesses(const Function& function);

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  Head head_{};
  std::vector<Function> functions_;
  std::vector<EntryRow> entries_;
  std::vector<bool> starts_;  // an operation begins at this word
  std::unique_ptr<VmProgram> program_;
};

bool VmLoader::read_all() {
  std::vector<Head> head;
  std::vector<std::uint32_t> begins;
  if (!read_rows(&head, 1)) return false;
  head_ = head[0];
  if (!check_head() || !read_rows(&program_->constants_, head_.constants) || !read_rows(&begins, head_.functions)) {
    return false;
  }
  at_ = std::min(bytes_.size(), (at_ + 7) & ~std::size_t{7});
  if (!read_rows(&entries_, head_.entries) || !read_rows(&program_->code_, head_.words)) return false;
  if (at_ != bytes_.size()) return refuse("bytecode: bytes after its end");
  for (std::uint32_t i = 0; i < head_.functions; ++i) {
    const std::uint32_t end = i + 1 < head_.functions ? begins[i + 1] : head_.words;
    if (begins[i] >= end || end > head_.words || (i == 0 && begins[i] != 0)) {
      return refuse("bytecode: functions are not one after the other");
    }
    functions_.push_back({.begin = begins[i], .end = end, .callees = {}});
  }
  return true;
}

bool VmLoader::check_head() {
  if (head_.magic != kVmMagic) return refuse("no bytecode: found a magic number " + std::to_string(head_.magic));
  if (head_.version != kVmVersion) {
    return refuse("bytecode of version " + std::to_string(head_.version) + ", this machine runs version " +
                  std::to_string(kVmVersion) + ": compile the handler again");
  }
  if (head_.registers > kVmMaxRegisters || head_.constants > head_.registers) {
    return refuse("bytecode: found " + std::to_string(head_.registers) + " registers with " +
                  std::to_string(head_.constants) + " constants, at most " + std::to_string(kVmMaxRegisters) +
                  " are possible");
  }
  if (std::max({head_.state_size, head_.frame_size, head_.shared_size}) > kVmMaxMemoryBytes) {
    return refuse("bytecode: a memory is larger than " + std::to_string(kVmMaxMemoryBytes) + " bytes");
  }
  if (head_.functions == 0 || head_.entries == 0) return refuse("bytecode: no function or no entry");
  program_->registers_ = head_.registers;
  program_->targets_ = head_.targets;
  program_->topics_ = head_.topics;
  program_->sizes_[kVmState] = head_.state_size;
  program_->sizes_[kVmHeader] = 64;
  program_->sizes_[kVmFrame] = head_.frame_size;
  program_->sizes_[kVmShared] = head_.shared_size;
  return true;
}

bool VmLoader::check_functions() {
  starts_.assign(head_.words, false);
  for (std::uint32_t i = 0; i < functions_.size(); ++i) {
    if (!check_function(i)) return false;
  }
  return true;
}

bool VmLoader::check_function(std::uint32_t index) {
  Function& function = functions_[index];
  std::uint16_t op = 0;
  for (std::uint32_t word = function.begin; word < function.end; word += words_of(vm_opcodes()[op].operands)) {
    op = program_->code_[word].op;
    if (op >= kVmOps) return refuse_at(word, "operation " + std::to_string(op) + " is unknown");
    if (words_of(vm_opcodes()[op].operands) > function.end - word) return refuse_at(word, "operation is cut off");
    starts_[word] = true;
  }
  if (!ends_code(op)) return refuse_at(function.end - 1, "the function does not end");
  for (std::uint32_t word = function.begin; word < function.end;) {
    if (!check_operands(function, index, word)) return false;
    word += words_of(vm_opcodes()[program_->code_[word].op].operands);
  }
  for (const std::uint32_t callee : function.callees) {
    function.depth = std::max(function.depth, functions_[callee].depth + 1);
  }
  return function.depth <= kVmMaxCallDepth || refuse_at(function.begin, "calls are nested too deeply");
}

bool VmLoader::check_operands(Function& function, std::uint32_t index, std::uint32_t word) {
  const VmWord* code = &program_->code_[word];
  std::size_t half = 1;  // of the operation: 16 bits each
  const auto number = [&](std::size_t at) -> std::uint32_t {
    const VmWord& w = code[at / 4];
    const std::uint16_t halves[] = {w.op, w.a, w.b, w.c};
    return halves[at % 4];
  };
  for (const char* operand = vm_opcodes()[code->op].operands; *operand != 0; ++operand) {
    std::uint32_t value = number(half++);
    if (bytes_of(*operand) == 4) value |= number(half++) << 16;
    if (!check_number(*operand, value, function, index, word)) return false;
  }
  return true;
}

bool VmLoader::check_number(char operand, std::uint32_t value, Function& function, std::uint32_t index,
                            std::uint32_t word) {
  const auto is = [&](bool good, const char* what) {
    return good || refuse_at(word, std::string(what) + " " + std::to_string(value) + " does not exist");
  };
  switch (operand) {
    case 'd':
    case 's':
      return is(value < head_.registers, "register");
    case 'r':
      return is(value < kVmRoots, "memory");
    case 'w':
      return is(value < kVmRoots && value != kVmHeader, "writable memory");
    case 'j':
      return check_jump(function, word + static_cast<std::uint32_t>(static_cast<std::int16_t>(value)), word);
    case 'J':
      return check_jump(function, value, word);
    case 'F': {
      if (!is(value < index, "function")) return false;
      function.callees.push_back(value);
      const std::uint32_t begin = functions_[value].begin;  // what the machine jumps to
      program_->code_[word].b = static_cast<std::uint16_t>(begin);
      program_->code_[word].c = static_cast<std::uint16_t>(begin >> 16);
      return true;
    }
    case 'L':
      return is(value < vm::kFunctions1, "function of one number");
    case 'M':
      return is(value < vm::kFunctions2, "function of two numbers");
    case 'T':
      return is(value < head_.targets, "target");
    case 'P':
      return is(value < head_.topics, "topic");
    default:
      return true;
  }
}

// Only what polls for cancellation jumps back.
bool VmLoader::check_jump(const Function& function, std::uint32_t target, std::uint32_t word) {
  const std::uint16_t op = program_->code_[word].op;
  const bool polls = op == kOp_LOOP || op == kOp_NEXT_I32 || op == kOp_NEXT_U32 || op == kOp_NEXT_64;
  if (target >= function.begin && target < function.end && starts_[target] && (polls || target > word)) return true;
  return refuse_at(word, "jump to word " + std::to_string(target));
}

// Callers come last, so one pass from there tells each function what its messages have.
bool VmLoader::check_entries() {
  program_->entries_.reserve(entries_.size());
  for (const EntryRow& row : entries_) {
    if (row.function >= functions_.size() || row.message_size > kVmMaxMemoryBytes || row.writes_message > 1) {
      return refuse("bytecode: an entry is malformed");
    }
    Function& function = functions_[row.function];
    function.message_size = std::min(function.message_size, row.message_size);
    function.writes_message = function.writes_message && row.writes_message != 0;
    program_->entries_.push_back({program_.get(), function.begin, row.message_size, row.writes_message != 0});
  }
  for (std::size_t i = functions_.size(); i-- > 0;) {
    const Function& caller = functions_[i];
    if (!check_accesses(caller)) return false;
    for (const std::uint32_t callee : caller.callees) {
      functions_[callee].message_size = std::min(functions_[callee].message_size, caller.message_size);
      functions_[callee].writes_message = functions_[callee].writes_message && caller.writes_message;
    }
  }
  return true;
}

// Constant offsets are checked here and not when they are used; so is who writes to messages.
bool VmLoader::check_accesses(const Function& function) {
  for (std::uint32_t word = function.begin; word < function.end;) {
    const VmWord& w = program_->code_[word];
    const VmOpDetail& detail = kVmOpDetails[w.op];
    const char* operands = vm_opcodes()[w.op].operands;
    if (detail.width != 0) {
      const std::uint32_t size = detail.root == kVmMessage ? function.message_size : program_->sizes_[detail.root];
      const std::uint64_t offset = w.b | static_cast<std::uint64_t>(w.c) << 16;
      if (offset + detail.width > size) return refuse_at(word, "offset " + std::to_string(offset) + " is outside");
    }
    const bool indexed = std::strcmp(operands, "sshw_i") == 0;
    std::uint32_t root = detail.root;
    if (indexed) root = program_->code_[word + 1].op;
    if (operands[0] == 'w') root = w.a;
    const bool writes = indexed || operands[0] == 'w' || detail.writes;
    if (writes && root == kVmMessage && !function.writes_message) return refuse_at(word, "messages are read-only");
    word += words_of(operands);
  }
  return true;
}

std::unique_ptr<const VmProgram> VmProgram::load(std::span<const std::byte> bytes, std::string* refusal) {
  VmLoader loader(bytes);
  if (loader.load()) return loader.take();
  *refusal = loader.why;
  return nullptr;
}

}  // namespace rk
