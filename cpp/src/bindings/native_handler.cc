#include "native_handler.h"

#include <cstring>
#include <new>

#include "ringkernel/runtime/name_pattern.h"
#include "ringkernel/runtime/topic_trie.h"

namespace rk::py {

namespace {

static_assert(RK_OK == static_cast<int>(Status::kOk) && RK_FULL == static_cast<int>(Status::kFull));
static_assert(RK_CLOSED == static_cast<int>(Status::kClosed) && RK_TOO_LARGE == static_cast<int>(Status::kTooLarge));
static_assert(RK_UNDECLARED == static_cast<int>(Status::kUndeclared));
static_assert(RK_LOW == int{kPriorityLow} && RK_NORMAL == int{kPriorityNormal} && RK_HIGH == int{kPriorityHigh} &&
              RK_CRITICAL == int{kPriorityCritical});

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

}  // namespace

NativeHandler::NativeHandler(rk_handler function, Given given)
    : MachineHandler(std::move(given), 0), function_(function) {}

Outcome NativeHandler::handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) {
  const std::uint32_t index = context.self().instance();
  Instance* mine = instance(index);
  if (mine == nullptr) return fail(Outcome::kFailed, header.message_id, index);
  const int entry = accepts(*mine, header);
  BufferHolds holds;
  if (entry < 0 || !hold(*mine, static_cast<std::size_t>(entry), payload, &holds)) {
    return fail(Outcome::kRefused, header.message_id, index);
  }
  Call call{*this, context};
  rk_context given = kContext;
  given.self = &call;
  given.instance = index;
  const rk_message message{&header, payload, header.payload_size, header.type_id};
  mine->code = function_(&given, state_in(*mine), &message);
  return mine->code == 0 ? Outcome::kHandled : fail(Outcome::kFailed, header.message_id, index);
}

std::string NativeHandler::explain(Instance& failed) const {
  return "native handler returned " + std::to_string(failed.code);
}

Status NativeHandler::send(KernelContext& context, std::uint32_t target, const Outgoing& message) {
  return send_to(context, target, KernelContext::kAnyInstance, message);
}

}  // namespace rk::py
