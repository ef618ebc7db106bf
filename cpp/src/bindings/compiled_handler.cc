#include "compiled_handler.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "failure_text.h"

namespace rk::py {

namespace {

constexpr std::size_t kBlock = 64;
constexpr double kLongestDeadline = 2e9;  // seconds: the sum with the present time stays below 2^32 until 2042
constexpr std::size_t blocks(std::size_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

MessageHeader header_at(const std::byte* slot) {
  MessageHeader header;
  std::memcpy(&header, slot, sizeof(header));
  return header;
}

std::uint32_t failure_of(Status status) {
  switch (status) {
    case Status::kOk:
      return 0;
    case Status::kFull:
      return RK_FAIL_SEND_FULL;
    case Status::kClosed:
      return RK_FAIL_SEND_CLOSED;
    case Status::kTooLarge:
      return RK_FAIL_SEND_TOO_LARGE;
    case Status::kUndeclared:
      return RK_FAIL_SEND_UNDECLARED;
    default:
      return RK_FAIL_SEND_FAILED;
  }
}

}  // namespace

// What an instance has besides its state.
//   S  stop: a hint: nothing is read because of it, and who polls it late stops late
struct alignas(kBlock) CompiledHandler::Machine {
  rk_call call{};
  CompiledHandler* handler = nullptr;
  KernelContext* context = nullptr;
  Run run;                                     // in hand; its messages leave the inbox when it is over
  HostAtomics::Atomic<std::uint64_t> stop{0};  // S the message that shall end; a later one has another id
};

// -- what the code may ask for. Nothing may be thrown through it ------------------------------------------------------

struct CompiledHandler::Services {
  static Machine& of(rk_call* call) { return *static_cast<Machine*>(call->self); }

  // A reply answers, and a send is counted after, the message in hand.
  template <class Act>
  static std::uint32_t send_by(rk_call* call, std::uint32_t type_id, const void* payload, std::uint32_t size,
                               const Act& act) noexcept {
    Machine& mine = of(call);
    Outgoing message;
    message.type_id = type_id;
    message.payload = {static_cast<const std::byte*>(payload), size};
    Status status = Status::kNoMemory;
    try {
      mine.context->take_in_hand(reinterpret_cast<const std::byte*>(call->slot));
      status = act(mine, message);
    } catch (...) {
      status = Status::kNoMemory;
    }
    if (mine.context->must_leave()) call->leave = 1;
    return call->failed = failure_of(status);
  }

  static std::uint32_t reply(rk_call* call, std::uint32_t type_id, const void* payload, std::uint32_t size) {
    return send_by(call, type_id, payload, size, [](Machine& mine, Outgoing& message) {
      message.priority = mine.context->header().priority;
      const Status status = mine.context->reply(message);
      return status == Status::kClosed ? Status::kOk : status;  // who asked is gone
    });
  }

  static std::uint32_t send(rk_call* call, std::uint32_t target, std::uint32_t type_id, const void* payload,
                            std::uint32_t size, std::uint32_t instance, std::uint32_t priority, double deadline) {
    return send_by(call, type_id, payload, size, [&](Machine& mine, Outgoing& message) {
      if (priority != RK_DEFAULT_PRIORITY) {
        message.priority = static_cast<std::uint8_t>(std::min<std::uint32_t>(priority, kPriorityCount - 1));
      }
      if (deadline > 0) {
        const double ntp64 = std::min(deadline, kLongestDeadline) * 4294967296.0;
        message.deadline = mine.context->now().time + static_cast<std::uint64_t>(ntp64);
      }
      const std::uint32_t to = instance >= KernelContext::kAnyInstance ? KernelContext::kAnyInstance : instance;
      if (instance != RK_ANY_INSTANCE && to != instance) return Status::kClosed;  // nobody has that many
      return mine.handler->send_to(*mine.context, target, to, message);
    });
  }

  static std::uint32_t publish(rk_call* call, std::uint32_t topic, std::uint32_t type_id, const void* payload,
                               std::uint32_t size, std::uint32_t retain) {
    std::uint32_t delivered = 0;
    send_by(call, type_id, payload, size, [&](Machine& mine, const Outgoing& message) {
      if (topic >= mine.handler->code_.topics.size()) return Status::kNoMemory;
      delivered = mine.context->publish(mine.handler->code_.topics[topic], message, retain != 0);
      return Status::kOk;
    });
    return delivered;
  }

  static std::uint64_t now(rk_call* call) { return of(call).context->now().time; }
  static std::uint64_t tick(rk_call* call) { return of(call).context->tick().time; }
  static std::uint32_t update_clock(rk_call* call, std::uint64_t time) {
    return of(call).context->update_clock(time) == HlcUpdate::kMerged ? 1 : 0;
  }
  static std::uint64_t pending(rk_call* call) {
    const Machine& mine = of(call);
    const auto behind = static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(call->slot) - mine.run.first);
    const std::uint64_t handled = mine.run.stride == 0 ? 0 : behind / mine.run.stride;
    const std::uint64_t there = mine.context->pending();
    return there < handled ? 0 : there - handled;
  }
  static std::uint64_t free_slots(rk_call* call, std::uint32_t target) {
    Machine& mine = of(call);
    return mine.handler->free_slots_to(*mine.context, target);
  }
  static void request_termination(rk_call* call) {
    of(call).context->request_termination();
    call->leave = 1;
  }
  static std::uint32_t is_terminating(rk_call* call) { return of(call).context->is_terminating() ? 1 : 0; }

  static constexpr rk_services kTable = {
      reply, send, publish, now, tick, update_clock, pending, free_slots, request_termination, is_terminating};
};

// -- instances --------------------------------------------------------------------------------------------------------

CompiledHandler::CompiledHandler(Code code, Given given)
    : MachineHandler(std::move(given), bytes_of(code)), code_(std::move(code)) {}

std::size_t CompiledHandler::bytes_of(const Code& code) {
  return sizeof(Machine) + blocks(code.frame_bytes) + blocks(code.shared_bytes) + blocks(code.message_bytes);
}

CompiledHandler::Machine& CompiledHandler::machine_of(Instance& one) const {
  return *std::launder(reinterpret_cast<Machine*>(extra_of(one)));
}

void CompiledHandler::prepare(Instance& made, std::byte* extra, std::uint32_t index) {
  auto* mine = new (extra) Machine;
  auto* memory = reinterpret_cast<std::uint8_t*>(extra + sizeof(Machine));
  static_assert(sizeof(mine->stop) == sizeof(std::uint64_t));
  mine->handler = this;
  mine->call.services = &Services::kTable;
  mine->call.self = mine;
  mine->call.state = reinterpret_cast<std::uint8_t*>(state_in(made));
  mine->call.frame = memory;
  mine->call.shared = memory + blocks(code_.frame_bytes);
  mine->call.message = memory + blocks(code_.frame_bytes) + blocks(code_.shared_bytes);
  mine->call.cancel = reinterpret_cast<const std::uint64_t*>(&mine->stop);
  mine->call.instance = index;
}

bool CompiledHandler::stop(std::uint32_t index, std::uint64_t message_id) {
  Instance* mine = instance(index);
  if (mine == nullptr) return false;
  machine_of(*mine).stop.store_relaxed(message_id);  // S
  return true;
}

// -- messages ---------------------------------------------------------------------------------------------------------

Outcome CompiledHandler::handle(KernelContext& context, const MessageHeader&, const std::byte* payload) {
  Outcome outcome = Outcome::kHandled;
  handle_run(context, Run{payload - sizeof(MessageHeader), 0, 1}, &outcome);
  return outcome;
}

// How many messages at the begin of the run are as the first one.
std::uint32_t CompiledHandler::same_type(const Run& run, const MessageHeader& first) const {
  std::uint32_t count = 1;
  for (; count < run.count; ++count) {
    const MessageHeader other = header_at(run.first + count * run.stride);
    if (other.type_id != first.type_id || other.payload_size != first.payload_size) break;
  }
  return count;
}

std::uint32_t CompiledHandler::run_entry(Machine& machine, std::size_t entry, const Run& run,
                                         std::uint32_t count) const {
  const Entry& code = code_.entries[entry];
  return code.run(code.program, &machine.call, reinterpret_cast<const std::uint8_t*>(run.first), run.stride, count);
}

// One message, while nobody can take away what it refers to; 0: it is refused.
std::uint32_t CompiledHandler::run_holding(Instance& mine, std::size_t entry, const Run& run) const {
  BufferHolds holds;
  if (!hold(mine, entry, run.first + sizeof(MessageHeader), &holds)) return 0;
  rk_range ranges[kMostReferences];
  std::uint32_t count = 0;
  for (const BufferHolds::Held& one : holds.held()) ranges[count++] = {one.address, one.bytes};
  Machine& machine = machine_of(mine);
  machine.call.ranges = ranges;
  machine.call.range_count = count;
  const std::uint32_t done = run_entry(machine, entry, run, 1);
  machine.call.range_count = 0;
  return done;
}

std::uint32_t CompiledHandler::handle_run(KernelContext& context, const Run& run, Outcome* outcome) {
  const Address self = context.self();
  const std::uint32_t index = self.instance();
  const MessageHeader first = header_at(run.first);
  Instance* mine = instance(index);
  const int entry = mine == nullptr ? -1 : accepts(*mine, first);
  if (entry < 0) {
    *outcome = fail(mine == nullptr ? Outcome::kFailed : Outcome::kRefused, first.message_id, index);
    return 1;
  }
  Machine& machine = machine_of(*mine);
  rk_call& call = machine.call;
  machine.context = &context;
  machine.run = run;
  call.kernel = self.kernel();
  call.failed = call.errors = call.leave = 0;
  call.task = first.message_id;
  const auto number = static_cast<std::size_t>(entry);
  const bool refers = !references(number).empty();
  const std::uint32_t done =
      refers ? run_holding(*mine, number, run) : run_entry(machine, number, run, same_type(run, first));
  if (done == 0) {
    *outcome = fail(Outcome::kRefused, first.message_id, index);
    return 1;
  }
  if (machine.stop.load_relaxed() != 0) machine.stop.store_relaxed(0);  // S ids that users give may come again
  if (call.errors != 0) context.report_error(call.last_error, call.errors);
  if (call.failed == 0) return done;
  mine->code = static_cast<std::int32_t>(call.failed);
  const std::byte* last = run.first + (done - 1) * run.stride;
  const bool stopped = call.failed == RK_FAIL_CANCELLED;
  *outcome = fail(stopped ? Outcome::kStopped : Outcome::kFailed, header_at(last).message_id, index);
  return done;
}

std::string CompiledHandler::explain(Instance& failed) const {
  const std::uint32_t line = machine_of(failed).call.fail_line;
  return failure_text(static_cast<std::uint32_t>(failed.code), line, code_.file, code_.assertions);
}

}  // namespace rk::py
