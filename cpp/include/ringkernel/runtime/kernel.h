// The host's half of a launched kernel: life cycle, sending, receiving, calling. The same for every backend.
//
// Protection: name_, address_, limits, memory, inbox_, outbox_, resident_: constant after launch. state_, epoch:
// mutex_. mailbox_: itself. Counters of dead letters: atomic (S).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/error.h"
#include "ringkernel/runtime/mailbox.h"

namespace rk {

enum class KernelState : std::uint8_t {
  kCreated,
  kLaunched,
  kActive,
  kDeactivated,
  kTerminating,
  kTerminated,
  kFailed
};

const char* to_string(KernelState state);

struct KernelOptions {
  std::string name;
  std::uint64_t capacity = 1024;    // messages per sending thread, and of the outbox
  std::uint32_t max_payload = 256;  // bytes of the largest message in either direction
  std::uint32_t max_senders = 64;   // threads with a lane of their own
  std::uint32_t max_failures = 3;
  std::uint64_t failure_window_ns = 5'000'000'000;
};

class Kernel : public std::enable_shared_from_this<Kernel> {
 public:
  using InboxOf = std::function<std::shared_ptr<HostRing>(Address)>;

  // `handler` runs on the device; it must outlive the kernel, as `keep_alive` sees to. Throws Error, std::bad_alloc.
  Kernel(std::shared_ptr<Backend> backend, std::shared_ptr<Handler> handler, const KernelOptions& options,
         Address self);

  void launch(Hlc& clock, InboxOf inbox_of);  // Created -> Launched

  // Moves; illegal ones throw Error("InvalidStateTransition"). A device that does not answer throws "KernelHungError".
  // `poll` is called at least every 50 ms of waiting and may throw to stop waiting.
  using Poll = std::function<void()>;
  void activate(std::uint64_t deadline_ns, const Poll& poll);
  void deactivate(std::uint64_t deadline_ns,
                  const Poll& poll);  // returns when the handler rests; state and messages stay
  void terminate(std::uint64_t deadline_ns,
                 const Poll& poll);  // drains, then stops; forced in the last tenth of the time

  // terminate() in steps, for several kernels at once. begin and conclude do not wait.
  void begin_terminate();
  bool join(std::uint64_t deadline_ns, const Poll& poll);  // true: the loop is over; looks at least once
  void force_terminate();
  bool conclude_terminate();  // false: the handler did not return, and the kernel is given up as hung

  KernelState state() const;
  bool hung() const { return hung_.load(std::memory_order_relaxed); }

  // -- messages. Frames are complete but for message_id, source, dest and hlc, which send fills in.
  Status try_send(MessageHeader& header, const std::byte* payload);
  bool wait_for_room(std::uint64_t deadline_ns) { return inbox_.wait_for_room(deadline_ns); }
  // In order, as many as fit; returns how many.
  std::uint64_t send_many(const MessageHeader& like, const std::byte* payloads, std::uint64_t count);

  // The reply to `message_id`, or (0) whatever the kernel sent to the host that nobody waits for. False: none until the
  // deadline. Throws Error when the kernel can send no more.
  bool receive(std::uint64_t message_id, Frame* out, std::uint64_t deadline_ns);
  // Up to `max` further messages of one type that nobody expects, without waiting; `use(payload, size)` for each.
  std::uint64_t receive_more(std::uint32_t type_id, std::uint64_t max,
                             const std::function<void(const std::byte*, std::size_t)>& use) {
    return mailbox_.take_more(type_id, max, use);
  }
  bool ended() const;                                // the resident loop is over
  bool silent() const { return ended() || hung(); }  // nothing more will come from it
  bool closed_for_sending() const { return inbox_.closed(); }
  void expect_reply(std::uint64_t message_id) { mailbox_.expect(message_id); }
  void forget_reply(std::uint64_t message_id) { mailbox_.forget(message_id); }
  std::uint64_t next_message_id() { return ++*message_ids_; }
  void use_message_ids(std::atomic<std::uint64_t>* ids) { message_ids_ = ids; }

  // Keeps the kernel while somebody sends to it.
  std::shared_ptr<HostRing> inbox() { return {shared_from_this(), &inbox_}; }

  // -- reading
  const std::string& name() const { return options_.name; }
  Address address() const { return self_; }
  const KernelOptions& options() const { return options_; }
  const Backend& backend() const { return *backend_; }
  Handler& handler() { return *handler_; }
  RingStats inbox_stats() const;  // dead-lettered: failed in the handler, or left over at the end
  RingStats outbox_stats() const { return outbox_.stats(); }
  TelemetryBlock telemetry() const;
  std::uint32_t error_count() const;

 private:
  Status accept(const MessageHeader& header, const std::byte* payload);
  void request(std::uint32_t is_active, std::uint32_t should_terminate);
  bool await_device_state(std::uint32_t wanted, std::uint64_t deadline_ns, const Poll& poll);
  void refuse(KernelState to) const;
  void bury_leftovers();
  ControlBlock& control() const { return *blocks_.data<ControlBlock>(); }
  TelemetryBlock& telemetry_block() const;

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Handler> handler_;
  KernelOptions options_;
  Address self_;
  Memory blocks_;
  HostRing inbox_;
  HostRing outbox_;
  Mailbox mailbox_;
  std::unique_ptr<Resident> resident_;
  Hlc* clock_ = nullptr;
  std::atomic<std::uint64_t>* message_ids_ = nullptr;
  std::mutex mutex_;
  std::atomic<KernelState> state_{KernelState::kCreated};
  std::atomic<std::uint64_t> leftovers_{0};
  std::atomic<bool> hung_{false};
};

}  // namespace rk
