// Handlers from functions, and messages that are structs: what a C++ user writes.
//
//   struct Add { static constexpr std::uint32_t kTypeId = 1; std::int64_t amount; };
//   struct Sum { static constexpr std::uint32_t kTypeId = 2; std::int64_t total; };
//   struct Account { std::int64_t total = 0; };
//
//   auto handler = rk::make_handler<Account>(rk::on<Add>([](rk::KernelContext&, Account& mine, const Add& message) {
//     return Sum{mine.total += message.amount};  // what is returned is the reply
//   }));
//
// A function takes (context, message) or (context, state, message). One that throws a std::exception fails: its text is
// the error of the dead letter.
//
// Protection: entries_, initial_: constant after init; states_, errors_: made by begins(), each element is its
// instance's.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "ringkernel/runtime/error.h"
#include "ringkernel/runtime/handler.h"

namespace rk {

// Copied as bytes, so it may hold no pointer that the receiver follows, and needs no alignment beyond a word's.
template <class M>
concept MessageType = std::is_trivially_copyable_v<M> && std::is_standard_layout_v<M> && alignof(M) <= 8 && requires {
  requires std::is_same_v<std::remove_cv_t<decltype(M::kTypeId)>, std::uint32_t>;
  requires M::kTypeId != 0;
};

template <MessageType M>
M read_message(const std::byte* payload) {
  std::array<std::byte, sizeof(M)> bytes;
  std::memcpy(bytes.data(), payload, sizeof(M));
  return std::bit_cast<M>(bytes);
}

struct SendOptions {
  std::uint8_t priority = kPriorityNormal;
  std::uint64_t deadline = 0;                            // NTP64; 0: none
  std::uint32_t instance = KernelContext::kAnyInstance;  // of a kernel that the host sends to
  std::uint64_t message_id = 0;                          // 0: a new one
};

// Valid as long as `message` is.
template <MessageType M>
Outgoing outgoing(const M& message, const SendOptions& options = {}) {
  return {M::kTypeId, std::as_bytes(std::span(&message, 1)), options.priority, options.deadline};
}

// -- within a handler: values, never exceptions -----------------------------------------------------------------------

// `to` without an instance in mind: any_instance(address).
template <MessageType M>
Status send(KernelContext& context, Address to, const M& message, const SendOptions& options = {}) {
  return context.send(to, outgoing(message, options));
}

template <MessageType M>
Status reply(KernelContext& context, const M& message, std::uint8_t priority = kPriorityNormal) {
  return context.reply(outgoing(message, {.priority = priority}));
}

template <MessageType M>
std::uint32_t publish(KernelContext& context, std::string_view topic, const M& message, bool retain = false) {
  return context.publish(topic, outgoing(message), retain);
}

inline Address any_instance(Address kernel) {
  return Address::make(kernel.node(), kernel.kernel(), KernelContext::kAnyInstance);
}

inline Address host_of(const KernelContext& context) { return Address::make(context.self().node(), 0); }

// -- handlers ---------------------------------------------------------------------------------------------------------

struct NoState {};

template <MessageType M, class F>
struct On {
  using Message = M;
  F function;
};

template <MessageType M, class F>
On<M, std::decay_t<F>> on(F&& function) {
  return {std::forward<F>(function)};
}

// Knows how large its messages are, so that a launch need not be told.
class TypedHandler : public Handler {
 public:
  virtual std::uint32_t largest_message() const = 0;
};

template <class State, class... Entries>
class FunctionHandler final : public TypedHandler {
 public:
  explicit FunctionHandler(State initial, Entries... entries)
      : initial_(std::move(initial)), entries_(std::move(entries)...) {}

  void begins(std::uint32_t instances) override {
    if (!errors_.empty()) throw Error("InvalidArgumentError", "this handler serves a kernel already: make another");
    errors_.resize(instances);
    states_.assign(instances, Slot{initial_});
  }

  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override {
    Outcome outcome = Outcome::kRefused;
    std::string& error = errors_[context.self().instance()];
    try {
      const auto try_entry = [&](auto& entry) { return run_if_its(entry, context, header, payload, &outcome, &error); };
      if (!std::apply([&](auto&... entry) { return (try_entry(entry) || ...); }, entries_)) {
        error = "messages of type " + std::to_string(header.type_id) + " are not handled here";
      }
    } catch (const std::exception& failure) {
      error = failure.what();
      outcome = Outcome::kFailed;
    }
    return outcome;
  }

  std::string error_text(std::uint32_t instance) override { return errors_[instance]; }
  void restart(std::uint32_t instance) override { states_[instance].state = initial_; }
  std::uint32_t largest_message() const override { return largest_; }

  std::span<std::byte> state_of(std::uint32_t instance) override {
    if constexpr (std::is_trivially_copyable_v<State> && !std::is_same_v<State, NoState>) {
      return std::as_writable_bytes(std::span(&states_[instance].state, 1));
    } else {
      return {};
    }
  }

  // While the kernel rests: paused, or ended.
  const State& state(std::uint32_t instance = 0) const { return states_.at(instance).state; }

 private:
  static constexpr std::size_t kLine = std::is_same_v<State, NoState> ? alignof(State) : 64;  // no two share a line
  struct alignas(kLine < alignof(State) ? alignof(State) : kLine) Slot {
    State state;
  };

  template <class M, class F>
  static decltype(auto) call(F& function, KernelContext& context, State& state, const M& message) {
    if constexpr (std::is_invocable_v<F&, KernelContext&, State&, const M&>) {
      return function(context, state, message);
    } else {
      static_assert(std::is_invocable_v<F&, KernelContext&, const M&>,
                    "a handler takes (KernelContext&, const Message&) or (KernelContext&, State&, const Message&)");
      return function(context, message);
    }
  }

  template <class M, class F>
  using Result = decltype(call<M>(std::declval<F&>(), std::declval<KernelContext&>(), std::declval<State&>(),
                                  std::declval<const M&>()));

  template <class M, class F>
  static constexpr std::uint32_t size_of() {
    if constexpr (std::is_void_v<Result<M, F>>) {
      return sizeof(M);
    } else {
      return static_cast<std::uint32_t>(std::max(sizeof(M), sizeof(Result<M, F>)));
    }
  }

  template <class M, class F>
  bool run_if_its(On<M, F>& entry, KernelContext& context, const MessageHeader& header, const std::byte* payload,
                  Outcome* outcome, std::string* error) {
    if (header.type_id != M::kTypeId) return false;
    if (header.payload_size != sizeof(M)) {
      *error = "a message of type " + std::to_string(M::kTypeId) + ": found " + std::to_string(header.payload_size) +
               " bytes, need " + std::to_string(sizeof(M));
      return true;
    }
    *outcome = Outcome::kHandled;
    const M message = read_message<M>(payload);
    State& mine = states_[context.self().instance()].state;
    if constexpr (std::is_void_v<Result<M, F>>) {
      call<M>(entry.function, context, mine, message);
    } else {
      static_assert(MessageType<std::remove_cvref_t<Result<M, F>>>, "what a handler returns is a message");
      answer(rk::reply(context, call<M>(entry.function, context, mine, message), header.priority), outcome, error);
    }
    return true;
  }

  // Who asked may be gone; that is no fault of ours.
  static void answer(Status status, Outcome* outcome, std::string* error) {
    if (status == Status::kOk || status == Status::kClosed) return;
    *outcome = Outcome::kFailed;
    *error = std::string("the reply could not be sent: ") + to_string(status);
  }

  template <class M, class F>
  static constexpr std::uint32_t size_of_entry(const On<M, F>*) {
    return size_of<M, F>();
  }
  static constexpr std::uint32_t largest_ = std::max({size_of_entry(static_cast<const Entries*>(nullptr))...});

  State initial_;
  std::tuple<Entries...> entries_;
  std::vector<Slot> states_;
  std::vector<std::string> errors_;
};

// Each instance begins with a copy of `initial`; a restart goes back to it.
template <class State = NoState, class... M, class... F>
auto make_handler_from(State initial, On<M, F>... entries) {
  static_assert(sizeof...(M) != 0, "a handler handles at least one type: rk::on<Message>(function)");
  return std::make_shared<FunctionHandler<State, On<M, F>...>>(std::move(initial), std::move(entries)...);
}

template <class State = NoState, class... M, class... F>
auto make_handler(On<M, F>... entries) {
  return make_handler_from<State>(State{}, std::move(entries)...);
}

}  // namespace rk
