// Who owns a backend and its runtime, for programs without Python, and typed sending from the host.
//
//   rk::ActorSystem system({.workers = 2});
//   auto account = system.launch("account", rk::make_handler<Account>(rk::on<Add>(add)));
//   const Sum sum = rk::call<Sum>(*account, Add{5});
//
// Waits end with a value where it is expected (send, receive), and with an Error where the caller has nothing to go on
// with (call).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringkernel/runtime/function_handler.h"
#include "ringkernel/runtime/runtime.h"

namespace rk {

using Nanoseconds = std::chrono::nanoseconds;
constexpr Nanoseconds kPatience = std::chrono::seconds(5);

// The absolute time of the runtime's waits.
inline std::uint64_t deadline_after(Nanoseconds timeout) {
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (timeout == Nanoseconds::max()) return kNoDeadline;
  return timeout.count() > 0 ? now + static_cast<std::uint64_t>(timeout.count()) : now;
}

struct ActorSystemOptions {
  std::uint32_t workers = 0;  // 0: as many as there are hardware threads, at least 2
  bool pin_workers = false;
  std::uint32_t node_id = 0;
  std::size_t dead_letters = 1024;        // how many are kept
  Nanoseconds close_timeout = kPatience;  // of the destructor
};

class ActorSystem {
 public:
  explicit ActorSystem(const ActorSystemOptions& options = {}) : options_(options) {
    RuntimeOptions of_runtime;
    of_runtime.node_id = options.node_id;
    of_runtime.dead_letters = options.dead_letters;
    std::shared_ptr<Backend> backend = make_cpu_backend({options.workers, options.pin_workers});
    runtime_ = std::make_shared<Runtime>(std::move(backend), of_runtime);
  }
  ~ActorSystem() { close(options_.close_timeout); }
  ActorSystem(const ActorSystem&) = delete;
  ActorSystem& operator=(const ActorSystem&) = delete;

  // Launched and active; `started = false`: only launched, so that kernels of a cycle can find each other first.
  std::shared_ptr<Kernel> launch(const std::string& name, std::shared_ptr<Handler> handler, KernelOptions options = {},
                                 bool started = true) {
    options.name = name;
    if (const auto* typed = dynamic_cast<const TypedHandler*>(handler.get())) {
      options.max_payload = std::max(options.max_payload, typed->largest_message());
    }
    check(options);
    std::shared_ptr<Kernel> kernel = runtime_->launch(std::move(handler), options);
    if (started) activate(*kernel);
    return kernel;
  }

  void activate(Kernel& kernel, Nanoseconds timeout = kPatience) {
    runtime_->activate(kernel, deadline_after(timeout), [] {});
  }

  std::shared_ptr<Edge> connect(const Kernel& from, const Kernel& to, const EdgeOptions& options = {}) {
    return runtime_->connect(from.name(), to.name(), options);
  }

  // The names of kernels whose handlers do not return; their threads are abandoned.
  std::vector<std::string> close(Nanoseconds timeout) {
    return runtime_->close(deadline_after(timeout), [] {});
  }

  // For SendOptions::deadline.
  std::uint64_t deadline_in(Nanoseconds time) {
    return runtime_->clock().clock().now() + ntp64_from_ns(static_cast<std::uint64_t>(time.count()));
  }

  Runtime& runtime() { return *runtime_; }
  Runtime* operator->() { return runtime_.get(); }

 private:
  static void check(const KernelOptions& options) {
    const auto refuse = [](const char* kind, const char* what, std::uint64_t found, const char* need) {
      throw Error(kind, std::string("launch: ") + what + ": found " + std::to_string(found) + ", need " + need);
    };
    if (options.name.empty()) throw Error("InvalidArgumentError", "launch: a kernel needs a name");
    if (!is_power_of_two(options.capacity)) refuse("CapacityError", "capacity", options.capacity, "a power of two");
    if (options.instances == 0 || options.instances >= KernelContext::kAnyInstance)
      refuse("InvalidArgumentError", "instances", options.instances, "1 to 1048574");
  }

  ActorSystemOptions options_;
  std::shared_ptr<Runtime> runtime_;
};

// -- from the host ----------------------------------------------------------------------------------------------------

namespace detail {

template <MessageType M>
MessageHeader header_for(Kernel& kernel, const SendOptions& options, std::uint8_t flags) {
  if (options.priority >= kPriorityCount) {
    throw Error("InvalidArgumentError", "send: priority: found " + std::to_string(options.priority) + ", need 0 to 3");
  }
  if (options.instance != KernelContext::kAnyInstance && options.instance >= kernel.instances()) {
    throw Error("InvalidArgumentError", "send: kernel '" + kernel.name() + "' has no instance " +
                                            std::to_string(options.instance) + ", only " +
                                            std::to_string(kernel.instances()));
  }
  if (options.message_id >= kOwnMessageIds) {
    throw Error("InvalidArgumentError", "send: message_id: found " + std::to_string(options.message_id) +
                                            ", need one below 2^63, or 0: the others are the runtime's");
  }
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = options.priority;
  header.flags = flags;
  header.type_id = M::kTypeId;
  header.payload_size = sizeof(M);
  header.message_id = options.message_id != 0 ? options.message_id : kernel.next_message_id();
  header.deadline = options.deadline;
  return header;
}

inline Status send_until(Kernel& kernel, MessageHeader& header, const std::byte* payload, std::uint32_t instance,
                         std::uint64_t deadline_ns) {
  const std::uint32_t to = instance != KernelContext::kAnyInstance
                               ? instance
                               : kernel.choose_instance(header.type_id, {payload, header.payload_size});
  for (;;) {
    const Status status = kernel.try_send(header, payload, to);
    if (status == Status::kNoMemory) throw std::bad_alloc();
    if (status == Status::kTooLarge) {
      throw Error("MessageTooLargeError", "send: kernel '" + kernel.name() + "' takes " +
                                              std::to_string(kernel.options().max_payload) +
                                              " bytes, the message has " + std::to_string(header.payload_size));
    }
    if (status != Status::kFull) return status;
    if (HostAtomics::monotonic_ns() >= deadline_ns) return Status::kTimedOut;
    kernel.wait_for_room(to, header.priority, deadline_ns);
  }
}

template <MessageType M>
M message_in(const Frame& frame, const char* verb, const std::string& from) {
  const MessageHeader header = header_of(frame);
  if (header.type_id == M::kTypeId && header.payload_size == sizeof(M)) {
    return read_message<M>(frame.data() + sizeof(header));
  }
  throw Error("WrongMessageError", std::string(verb) + ": " + from + " sent type " + std::to_string(header.type_id) +
                                       " (" + std::to_string(header.payload_size) + " bytes), not type " +
                                       std::to_string(M::kTypeId) + " (" + std::to_string(sizeof(M)) + " bytes)");
}

[[noreturn]] inline void fail_call(const Kernel& kernel, std::uint64_t message_id) {
  const std::string who = "call: kernel '" + kernel.name() + "'";
  if (kernel.hung()) throw Error("KernelHungError", who + " hangs: its handler does not return");
  if (!kernel.silent() && !kernel.closed_for_sending())
    throw Error("CallTimeoutError", who + " did not answer message " + std::to_string(message_id) + " in time");
  if (kernel.state() == KernelState::kFailed) throw Error("KernelFailedError", who + " has failed");
  throw Error("KernelTerminatedError", who + " has ended");
}

[[noreturn]] inline void throw_error_reply(const Kernel& kernel, const Frame& frame) {
  std::uint32_t reason = 0;
  if (frame.size() >= sizeof(MessageHeader) + sizeof(reason))
    std::memcpy(&reason, frame.data() + sizeof(MessageHeader), sizeof(reason));
  const std::string id = std::to_string(header_of(frame).correlation_id);
  if (reason == static_cast<std::uint32_t>(DeadLetterReason::kExpired))
    throw Error("DeadlineExpiredError", "call: the deadline of message " + id + " passed before a handler began");
  if (reason == static_cast<std::uint32_t>(DeadLetterReason::kWrongType))
    throw Error("WrongMessageError", "call: kernel '" + kernel.name() + "' does not take messages of this type");
  throw Error("HandlerError", "call: the handler of kernel '" + kernel.name() + "' failed on message " + id +
                                  ": its dead letter says why");
}

}  // namespace detail

// kOk, kTimedOut (no room), kClosed (it is over). Throws Error for a message that can never fit.
template <MessageType M>
Status send(Kernel& kernel, const M& message, Nanoseconds timeout = kPatience, const SendOptions& options = {}) {
  MessageHeader header = detail::header_for<M>(kernel, options, 0);
  return detail::send_until(kernel, header, std::as_bytes(std::span(&message, 1)).data(), options.instance,
                            deadline_after(timeout));
}

// The reply. Throws Error: CallTimeoutError, HandlerError, DeadlineExpiredError, WrongMessageError,
// KernelTerminatedError, KernelFailedError, KernelHungError.
template <MessageType R, MessageType M>
R call(Kernel& kernel, const M& message, Nanoseconds timeout = kPatience, const SendOptions& options = {}) {
  MessageHeader header = detail::header_for<M>(kernel, options, kFlagWantsReply);
  const std::uint64_t id = header.message_id, deadline = deadline_after(timeout);
  kernel.expect_reply(id);
  struct Forget {
    Kernel& kernel;
    std::uint64_t id;
    ~Forget() { kernel.forget_reply(id); }
  } const forget{kernel, id};
  Frame frame;
  const Status status =
      detail::send_until(kernel, header, std::as_bytes(std::span(&message, 1)).data(), options.instance, deadline);
  if (status != Status::kOk || !kernel.receive(id, &frame, deadline)) detail::fail_call(kernel, id);
  if ((header_of(frame).flags & kFlagError) != 0) detail::throw_error_reply(kernel, frame);
  return detail::message_in<R>(frame, "call", "kernel '" + kernel.name() + "'");
}

// What the kernel sent to the host and nobody waits for. Nothing: none in time, or it can send no more.
template <MessageType M>
std::optional<M> receive(Kernel& kernel, Nanoseconds timeout = kPatience) {
  Frame frame;
  if (!kernel.receive(0, &frame, deadline_after(timeout))) return std::nullopt;
  return detail::message_in<M>(frame, "receive", "kernel '" + kernel.name() + "'");
}

template <MessageType M>
std::optional<M> receive(Subscription& subscription, Nanoseconds timeout = kPatience) {
  Frame frame;
  const auto over = [&] { return subscription.closed(); };
  if (!subscription.port().take(0, &frame, deadline_after(timeout), over)) return std::nullopt;
  return detail::message_in<M>(frame, "receive", "topic '" + subscription.pattern() + "'");
}

// To all subscribers of the topic; returns how many got it.
template <MessageType M>
std::uint32_t publish(ActorSystem& system, std::string_view topic, const M& message, bool retain = false,
                      Nanoseconds timeout = kPatience) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = kPriorityNormal;
  header.type_id = M::kTypeId;
  header.payload_size = sizeof(M);
  return system->publish_from_host(topic, header, std::as_bytes(std::span(&message, 1)).data(), retain,
                                   deadline_after(timeout));
}

}  // namespace rk
