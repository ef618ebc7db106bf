// Edges
//   N1  make -> use   the initial bytes of an instance's state, before anybody finds them
#include "native_handler.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "ringkernel/runtime/name_pattern.h"
#include "ringkernel/runtime/topic_trie.h"

namespace rk::py {

namespace {

constexpr std::size_t kStateAlign = 64;  // whole cache lines: instances run side by side
constexpr std::size_t kErrorsKept = 256;

static_assert(RK_OK == static_cast<int>(Status::kOk) && RK_FULL == static_cast<int>(Status::kFull));
static_assert(RK_CLOSED == static_cast<int>(Status::kClosed) && RK_TOO_LARGE == static_cast<int>(Status::kTooLarge));
static_assert(RK_UNDECLARED == static_cast<int>(Status::kUndeclared));
static_assert(RK_LOW == int{kPriorityLow} && RK_NORMAL == int{kPriorityNormal} && RK_HIGH == int{kPriorityHigh} &&
              RK_CRITICAL == int{kPriorityCritical});
static_assert(alignof(MessageHeader) >= 8 && kStateAlign >= alignof(std::max_align_t));

// -- the functions of rk_context --------------------------------------------------------------------------------------

// What rk_context::self is while a handler runs.
struct Call {
  NativeHandler& handler;
  KernelContext& context;
};

Call& call_of(const rk_context* given) { return *static_cast<Call*>(given->self); }
KernelContext& context_of(const rk_context* given) { return call_of(given).context; }

// Nothing may be thrown through a C function.
template <class Act>
int guarded(const Act& act) noexcept {
  try {
    return act();
  } catch (const std::bad_alloc&) {
    return static_cast<int>(Status::kNoMemory);
  } catch (...) {
    return RK_INVALID;
  }
}

bool fill(Outgoing* message, std::uint32_t type_id, const void* payload, std::uint32_t size, std::uint32_t priority) {
  if (type_id == 0 || (payload == nullptr && size != 0) || priority >= kPriorityCount) return false;
  message->type_id = type_id;
  message->payload = {static_cast<const std::byte*>(payload), size};
  message->priority = static_cast<std::uint8_t>(priority);
  return true;
}

int reply(const rk_context* given, std::uint32_t type_id, const void* payload, std::uint32_t size,
          std::uint32_t priority) {
  return guarded([&] {
    Outgoing message;
    if (!fill(&message, type_id, payload, size, priority)) return int{RK_INVALID};
    return static_cast<int>(context_of(given).reply(message));
  });
}

int send(const rk_context* given, std::uint32_t target, std::uint32_t type_id, const void* payload, std::uint32_t size,
         std::uint32_t priority) {
  return guarded([&] {
    Outgoing message;
    if (!fill(&message, type_id, payload, size, priority)) return int{RK_INVALID};
    return static_cast<int>(call_of(given).handler.send(context_of(given), target, message));
  });
}

int publish(const rk_context* given, const char* topic, std::uint32_t type_id, const void* payload, std::uint32_t size,
            int retain, std::uint32_t* delivered) {
  if (delivered != nullptr) *delivered = 0;
  return guarded([&] {
    Outgoing message;
    if (topic == nullptr || !fill(&message, type_id, payload, size, kPriorityNormal)) return int{RK_INVALID};
    const std::string_view name(topic, strnlen(topic, kMaxPatternBytes + 1));
    if (!check_topic(name).empty()) return int{RK_INVALID};
    const std::uint32_t reached = context_of(given).publish(name, message, retain != 0);
    if (delivered != nullptr) *delivered = reached;
    return int{RK_OK};
  });
}

std::uint64_t now(const rk_context* given) { return context_of(given).now().time; }
void request_termination(const rk_context* given) { context_of(given).request_termination(); }
int is_terminating(const rk_context* given) { return context_of(given).is_terminating() ? 1 : 0; }
void report_error(const rk_context* given, std::uint32_t code) { context_of(given).report_error(code); }

constexpr rk_context kContext = {sizeof(rk_context),  RK_NATIVE_VERSION, nullptr, reply, send,        publish, now,
                                 request_termination, is_terminating,    0,       0,     report_error};

template <class... Arguments>
std::string text(const char* format, Arguments... arguments) {
  char line[128];
  std::snprintf(line, sizeof(line), format, arguments...);
  return line;
}

}  // namespace

// -- instances --------------------------------------------------------------------------------------------------------

// In front of the bytes of its state, in one block.
struct alignas(kStateAlign) NativeHandler::Instance {
  std::int32_t code = 0;                                       // what the function returned last
  std::uint32_t type_id = 0, size_found = 0, size_needed = 0;  // of what was refused; size_needed 0: the type was

  std::byte* state() { return reinterpret_cast<std::byte*>(this + 1); }
};

NativeHandler::NativeHandler(Options options)
    : options_(std::move(options)), instances_(options_.instances), targets_(options_.targets) {
  for (auto& target : targets_) target.store_relaxed(kNowhere);  // S
}

NativeHandler::~NativeHandler() {
  for (Place& place : instances_) ::operator delete(place.load_relaxed(), std::align_val_t{kStateAlign});  // N1 alone
}

NativeHandler::Instance* NativeHandler::instance(std::uint32_t index) {
  Instance* made = instances_[index].load_acquire();  // N1
  return made != nullptr ? made : make(instances_[index]);
}

// A worker and somebody who looks at the state may both be the first: one of them wins.
NativeHandler::Instance* NativeHandler::make(Place& place) {
  const std::vector<std::byte>& initial = options_.initial_state;
  constexpr std::align_val_t kAlign{kStateAlign};
  const std::size_t bytes = sizeof(Instance) + (initial.size() + kStateAlign - 1) / kStateAlign * kStateAlign;
  void* memory = ::operator new(bytes, kAlign, std::nothrow);
  if (memory == nullptr) return nullptr;
  auto* made = new (memory) Instance;
  if (!initial.empty()) std::memcpy(made->state(), initial.data(), initial.size());
  Instance* there = nullptr;
  while (!place.cas_acq_rel(there, made)) {  // N1
    if (there == nullptr) continue;
    ::operator delete(memory, kAlign);
    return place.load_acquire();  // N1
  }
  return made;
}

std::span<std::byte> NativeHandler::state_of(std::uint32_t index) {
  if (options_.initial_state.empty()) return {};
  Instance* mine = instance(index);
  if (mine == nullptr) throw std::bad_alloc();
  return {mine->state(), options_.initial_state.size()};
}

void NativeHandler::restart(std::uint32_t index) {
  const std::vector<std::byte>& initial = options_.initial_state;
  Instance* mine = instances_[index].load_acquire();  // N1
  if (mine != nullptr && !initial.empty()) std::memcpy(mine->state(), initial.data(), initial.size());
}

// What these refer to may refer to the runtime, which holds this handler.
void NativeHandler::ends() {
  options_.resolve = nullptr;
  options_.keep_alive = nullptr;
}

// -- messages ---------------------------------------------------------------------------------------------------------

Outcome NativeHandler::handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) {
  const std::uint32_t index = context.self().instance();
  Instance* mine = instance(index);
  if (mine == nullptr) return fail(Outcome::kFailed, header.message_id, index);
  if (!accepts(*mine, header)) return fail(Outcome::kRefused, header.message_id, index);
  Call call{*this, context};
  rk_context given = kContext;
  given.self = &call;
  given.instance = index;
  const rk_message message{&header, payload, header.payload_size, header.type_id};
  mine->code = options_.function(&given, options_.initial_state.empty() ? nullptr : mine->state(), &message);
  return mine->code == 0 ? Outcome::kHandled : fail(Outcome::kFailed, header.message_id, index);
}

// Another native handler may have sent anything under a type's id: a size that is not the type's would be read over.
bool NativeHandler::accepts(Instance& mine, const MessageHeader& header) const {
  const auto same_type = [&](const Accepted& one) { return one.type_id == header.type_id; };
  const auto found = std::find_if(options_.accepts.begin(), options_.accepts.end(), same_type);
  if (found != options_.accepts.end() && found->size == header.payload_size) return true;
  mine.code = 0;
  mine.type_id = header.type_id;
  mine.size_found = header.payload_size;
  mine.size_needed = found != options_.accepts.end() ? found->size : 0;
  return false;
}

std::string NativeHandler::error_text(std::uint32_t index) {
  const Instance* mine = instances_[index].load_acquire();  // N1
  if (mine == nullptr) return "no memory for the state of this instance";
  if (mine->code != 0) return text("native handler returned %d", int{mine->code});
  if (mine->size_needed == 0) return text("native handler does not accept type id 0x%08x", mine->type_id);
  return text("found %u payload bytes of type id 0x%08x, need %u", mine->size_found, mine->type_id, mine->size_needed);
}

// Without memory for its text a failure is still one.
Outcome NativeHandler::fail(Outcome outcome, std::uint64_t message_id, std::uint32_t index) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    errors_.emplace_back(message_id, error_text(index));
    if (errors_.size() > kErrorsKept) errors_.pop_front();
  } catch (const std::bad_alloc&) {
    return outcome;
  }
  return outcome;
}

std::string NativeHandler::take_error(std::uint64_t message_id) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(errors_.begin(), errors_.end(), [&](const auto& entry) { return entry.first == message_id; });
  if (found == errors_.end()) return {};
  std::string error = std::move(found->second);
  errors_.erase(found);
  return error;
}

// A name is looked up at its first use, and again when what had it is gone: another kernel may have it by now.
Status NativeHandler::send(KernelContext& context, std::uint32_t target, const Outgoing& message) {
  if (target >= targets_.size()) return Status::kUndeclared;
  const std::uint64_t known = targets_[target].load_relaxed();  // S
  if (known != kNowhere) {
    const Status status = context.send(Address{known}, message);
    if (status != Status::kClosed) return status;
  }
  const std::uint64_t word = options_.resolve(target);
  if (word == kNowhere) return Status::kClosed;
  Address to{word};
  if (to.kernel() != 0) to = Address::make(to.node(), to.kernel(), KernelContext::kAnyInstance);
  if (to.word == known) return Status::kClosed;
  targets_[target].store_relaxed(to.word);  // S
  return context.send(to, message);
}

}  // namespace rk::py
