// The host's half of a launched kernel: life cycle, sending, receiving, calling. The same for every backend.
//
// Protection: options_, self_, records_, outbox_, resident_, clock_: constant after launch. state_, epoch: mutex_.
// round_robin_, hung_, ...: atomic (S).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ringkernel/core/histogram.h"
#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/checkpoint.h"
#include "ringkernel/runtime/error.h"
#include "ringkernel/runtime/host_port.h"
#include "ringkernel/runtime/supervision.h"

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

// Messages of `type_id` with equal bytes at [offset, offset + size) go to the same instance.
struct KeyField {
  std::uint32_t type_id = 0, offset = 0, size = 0;
};

struct KernelOptions {
  std::string name{};
  std::uint32_t instances = 1;
  std::uint64_t capacity = 1024;    // messages for each sender, and of the outbox
  std::uint32_t max_payload = 256;  // bytes of the largest message in either direction
  std::uint32_t max_failures = 3;   // without a supervisor
  std::uint64_t failure_window_ns = 5'000'000'000;
  std::vector<KeyField> route_by{};  // empty: round robin
  std::uint32_t dedup_window = 0;    // message ids remembered by each instance; 0: none
  std::int32_t worker = -1;          // the scheduler's worker that runs it; -1: any
  std::uint64_t watchdog_ns = 0;     // a handler that takes longer is hung; 0: never
  std::vector<std::string> publishes_to{};
  std::uint32_t supervisor = 0;  // of Runtime::add_supervisor; 0: none
  Restart restart = Restart::kPermanent;
  LayoutInfo state_layout{};                  // for checkpoints
  std::vector<LayoutInfo> message_layouts{};  // of what it accepts, for checkpoints
};

// What became of its messages, in all instances, and how long that took. Latencies in ns.
struct KernelTelemetry {
  RingStats inbox, outbox;
  std::uint64_t processed = 0, failed = 0, refused = 0, expired = 0, left_over = 0, duplicates = 0, reported = 0;
  std::uint32_t last_error = 0;
  std::uint64_t restarts = 0;
  std::uint64_t linked = 0;  // of those in the inbox that are over: came in the memory of a device, not by the host
  HistogramCopy handler, queueing;
};

// A handler that does not return.
struct StuckHandler {
  std::uint32_t instance = 0, message_type = 0;
  std::uint64_t message_id = 0, busy_ns = 0;
};

class Kernel : public std::enable_shared_from_this<Kernel> {
 public:
  // Throws Error, Lane::GeometryFailure, std::bad_alloc.
  Kernel(std::shared_ptr<Backend> backend, std::shared_ptr<Handler> handler, const KernelOptions& options,
         Address self);
  ~Kernel();

  void launch(Hlc& clock, Switchboard& switchboard, std::shared_ptr<void> keep_alive);  // Created -> Launched

  // Moves; illegal ones throw Error("InvalidStateTransition"). A device that does not answer throws "KernelHungError".
  // `poll` is called at least every 50 ms of waiting and may throw to stop waiting.
  using Poll = std::function<void()>;
  void activate(std::uint64_t deadline_ns, const Poll& poll);
  void deactivate(std::uint64_t deadline_ns, const Poll& poll);  // returns when the handler rests; messages stay
  void terminate(std::uint64_t deadline_ns, const Poll& poll);   // drains, then stops; forced in the last tenth

  // terminate() in steps, for several kernels at once. begin and conclude do not wait.
  void begin_terminate();
  bool join(std::uint64_t deadline_ns, const Poll& poll);  // true: the loop is over; looks at least once
  void force_terminate();
  bool conclude_terminate();     // false: the handler did not return, and the kernel is given up as hung
  void end_now(KernelState as);  // for its supervisor: at once; kFailed or kTerminated
  // Ends the handler of `stuck` from outside, if it still is in that message. False: such code cannot be stopped, or
  // has been told a second ago. By one thread, the watchdogs'.
  bool stop_stuck(const StuckHandler& stuck);
  bool stop_handlers();  // whatever runs now, where it can be stopped; true: something was
  // `first` runs before anybody can see that it is hung; not at all when it has ended meanwhile.
  void give_up_as_hung(const StuckHandler& stuck, const std::function<void()>& first = {});

  KernelState state() const;
  bool hung() const { return hung_.load(std::memory_order_acquire); }
  StuckHandler stuck() const;
  // A handler that has been inside for longer than `limit_ns`.
  std::optional<StuckHandler> find_stuck(std::uint64_t limit_ns) const;
  bool busy() const;

  // -- messages. Frames are complete but for message_id, source, dest and hlc, which send fills in.
  std::uint32_t instances() const { return options_.instances; }
  std::uint32_t choose_instance(std::uint32_t type_id, std::span<const std::byte> payload);
  // `reply_to`: a port of the host; without one, replies come to receive().
  Status try_send(MessageHeader& header, const std::byte* payload, std::uint32_t instance, Address reply_to = {0});
  bool wait_for_room(std::uint32_t instance, std::uint8_t priority, std::uint64_t deadline_ns);
  // In order, as many as fit; returns how many. Without an instance they are dealt out by the routing.
  std::uint64_t send_many(const MessageHeader& like, const std::byte* payloads, std::uint64_t count,
                          std::optional<std::uint32_t> instance = std::nullopt);

  // The reply to `message_id`, or (0) whatever the kernel sent to the host that nobody waits for. False: none until the
  // deadline, or the kernel can send no more.
  bool receive(std::uint64_t message_id, Frame* out, std::uint64_t deadline_ns);
  std::uint64_t receive_more(std::uint32_t type_id, std::uint32_t size, std::uint64_t max,
                             const std::function<void(const std::byte*, std::size_t)>& use) {
    return outbox_.take_more(type_id, size, max, use);
  }
  bool ended() const;                                // the resident loop is over
  bool silent() const { return ended() || hung(); }  // nothing more will come from it
  bool closed_for_sending() const { return records_.front().inbox.closed(); }
  void expect_reply(std::uint64_t message_id) { outbox_.expect(message_id); }
  void forget_reply(std::uint64_t message_id) { outbox_.forget(message_id); }
  std::uint64_t next_message_id() { return ++*message_ids_; }
  // Told the final counts of inbox and outbox when the kernel goes.
  using LastWords = std::function<void(const RingStats& inbox, const RingStats& outbox)>;
  void set_last_words(LastWords last_words) { last_words_ = std::move(last_words); }
  void use_message_ids(std::atomic<std::uint64_t>* ids) { message_ids_ = ids; }
  HostPort& outbox() { return outbox_; }
  // A lane into an instance for a sender that is no thread. nullptr: closed.
  std::shared_ptr<Lane> open_lane(std::uint32_t instance, const LaneOptions& options,
                                  std::shared_ptr<LaneSender> sender);
  LaneOptions lane_options(std::uint8_t priority = kPriorityNormal) const;
  LaneOptions lane_options_of(std::uint32_t instance, std::uint8_t priority) const;
  Inbox& inbox(std::uint32_t instance) { return records_[instance].inbox; }

  // -- supervision, by the runtime's chores
  void hold(bool on) { resident_->hold(on); }
  bool resting() const { return resident_->resting(); }
  void restart(std::uint32_t instance);  // while it rests, or waits for the verdict
  std::uint32_t generation(std::uint32_t instance) const;
  std::uint64_t restarts() const { return restarts_.load(std::memory_order_relaxed); }
  std::uint32_t supervised_as() const { return supervised_as_; }
  void set_supervised_as(std::uint32_t id) { supervised_as_ = id; }

  // -- checkpoints. snapshot() pauses an active kernel meanwhile; restore() comes before the first activation.
  Checkpoint snapshot(std::uint64_t deadline_ns, const Poll& poll);
  void restore(const Checkpoint& checkpoint);

  // -- reading
  const std::string& name() const { return options_.name; }
  Address address() const { return self_; }
  const KernelOptions& options() const { return options_; }
  const Backend& backend() const { return resident_ ? resident_->backend() : *backend_; }  // where it runs
  Resident::StatePlace state_place(std::uint32_t instance) const {
    return resident_ ? resident_->state_place(instance) : Resident::StatePlace{};
  }
  std::string failure() const { return resident_ ? resident_->failure() : std::string(); }  // of its device
  std::string placement() const { return resident_ ? resident_->placement() : std::string(); }
  Handler& handler() { return *handler_; }
  // The state's bytes as they are: of a kernel that rests, or is over. False: the device did not answer in time.
  bool fetch_states(std::uint64_t deadline_ns);
  // What is on a device is counted as of the last refresh(), which telemetry() does itself.
  void refresh() const;
  std::uint64_t handled() const;  // as of that
  bool linked() const;            // it has had messages that the host did not see
  RingStats inbox_stats() const;  // dead-lettered: failed, expired, or left over at the end
  RingStats outbox_stats() const { return outbox_.inbox().stats(); }
  KernelTelemetry telemetry(std::optional<std::uint32_t> instance = std::nullopt) const;
  std::uint64_t error_count() const;

 private:
  void request(std::uint32_t is_active, std::uint32_t should_terminate);
  bool await_obeyed(std::uint64_t deadline_ns, const Poll& poll);
  [[noreturn]] void refuse(KernelState to) const;
  RingStats inbox_stats_of(const InstanceRecord& record) const;
  MessageHeader adopt(const InFlight& message);
  ControlBlock& control() const { return *block_.data<ControlBlock>(); }

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Handler> handler_;
  KernelOptions options_;
  Address self_;
  Memory block_;
  std::deque<InstanceRecord> records_;
  HostPort outbox_;
  std::unique_ptr<Resident> resident_;
  Hlc* clock_ = nullptr;
  std::atomic<std::uint64_t>* message_ids_ = nullptr;
  LastWords last_words_;
  std::uint32_t supervised_as_ = 0;
  std::mutex mutex_;
  std::mutex states_mutex_;    // the handlers' states, between a restart and a snapshot
  StuckHandler told_;          // the watchdogs' thread: whom it told to stop last, and
  std::uint64_t told_ns_ = 0;  // when
  std::atomic<KernelState> state_{KernelState::kCreated};
  std::atomic<std::uint32_t> round_robin_{0};
  std::atomic<std::uint64_t> restarts_{0};
  std::atomic<bool> hung_{false};
  std::atomic<bool> forced_{false};  // to terminate, and no handler may delay it
  StuckHandler stuck_;               // written before hung_
};

}  // namespace rk
