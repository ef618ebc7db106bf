#include "ringkernel/runtime/kernel.h"

#include <algorithm>
#include <cstring>

#include "ringkernel/runtime/control.h"

namespace rk {
namespace {

HostRingOptions ring_options(const KernelOptions& options, std::uint32_t producers) {
  HostRingOptions ring;
  ring.capacity = options.capacity;
  ring.slot_size = round_up(static_cast<std::uint32_t>(sizeof(MessageHeader)) + options.max_payload, 64);
  ring.max_producers = producers;
  ring.one_producer = producers == 1;
  ring.one_consumer = false;
  ring.wait = Wait::kLatency;
  return ring;
}

}  // namespace

const char* to_string(KernelState state) {
  static constexpr const char* kNames[] = {"Created",     "Launched",   "Active", "Deactivated",
                                           "Terminating", "Terminated", "Failed"};
  return kNames[static_cast<int>(state)];
}

Kernel::Kernel(std::shared_ptr<Backend> backend, std::shared_ptr<Handler> handler, const KernelOptions& options,
               Address self)
    : backend_(std::move(backend)),
      handler_(std::move(handler)),
      options_(options),
      self_(self),
      blocks_(backend_->allocate(sizeof(ControlBlock) + sizeof(TelemetryBlock))),
      inbox_(ring_options(options, options.max_senders), *backend_),
      outbox_(ring_options(options, 1), *backend_),
      mailbox_(outbox_) {
  ControlBlock& block = control();
  block.magic = kControlMagic;
  block.abi_version = kAbiVersion;
  block.kernel_id = self.word;
}

TelemetryBlock& Kernel::telemetry_block() const {
  return *reinterpret_cast<TelemetryBlock*>(blocks_.data() + sizeof(ControlBlock));
}

// -- life cycle -------------------------------------------------------------------------------------------------------

void Kernel::refuse(KernelState to) const {
  throw Error("InvalidStateTransition",
              "kernel '" + options_.name + "' cannot go from " + to_string(state()) + " to " + to_string(to));
}

void Kernel::launch(Hlc& clock, InboxOf inbox_of) {
  const std::lock_guard lock(mutex_);
  if (state_ != KernelState::kCreated) refuse(KernelState::kLaunched);
  clock_ = &clock;
  ResidentSpec spec;
  spec.self = self_;
  spec.control = &control();
  spec.telemetry = &telemetry_block();
  spec.inbox = &inbox_;
  spec.outbox = &outbox_;
  spec.handler = handler_.get();
  spec.clock = &clock;
  spec.max_failures = options_.max_failures;
  spec.failure_window_ns = options_.failure_window_ns;
  spec.inbox_of = std::move(inbox_of);
  spec.keep_alive = shared_from_this();
  resident_ = backend_->launch(std::move(spec));
  state_ = KernelState::kLaunched;
}

// The host line: requests first, then the epoch that announces them.
void Kernel::request(std::uint32_t is_active, std::uint32_t should_terminate) {
  ControlBlock& block = control();
  store_release(block.is_active, is_active);                  // K1
  store_release(block.should_terminate, should_terminate);    // K1
  store_release(block.epoch, load_relaxed(block.epoch) + 1);  // K1 the host is the only writer, under mutex_
  resident_->notify();
}

// A device that has ended counts as an answer.
bool Kernel::await_device_state(std::uint32_t wanted, std::uint64_t deadline_ns, const Poll& poll) {
  const ControlBlock& block = control();
  const auto answered = [&] {
    const bool seen = load_acquire(block.epoch_seen) == load_relaxed(block.epoch);                    // K2
    return (seen && load_acquire(block.state) == wanted) || load_acquire(block.has_terminated) != 0;  // K2
  };
  for (unsigned tries = 0; !answered(); ++tries) {
    if (HostAtomics::monotonic_ns() >= deadline_ns) return false;
    if (tries < 1000) {
      HostAtomics::pause();
      continue;
    }
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, 50'000);
    if (tries % 256 == 0) poll();
  }
  return true;
}

bool Kernel::join(std::uint64_t deadline_ns, const Poll& poll) {
  while (resident_) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    if (resident_->join(std::min(deadline_ns, now + 50'000'000))) return true;
    if (now >= deadline_ns) return false;
    poll();
  }
  return true;
}

void Kernel::activate(std::uint64_t deadline_ns, const Poll& poll) {
  const std::lock_guard lock(mutex_);
  if (state() != KernelState::kLaunched && state() != KernelState::kDeactivated) refuse(KernelState::kActive);
  request(1, kTerminateNo);
  state_ = KernelState::kActive;
  if (!await_device_state(kDeviceActive, deadline_ns, poll)) {
    throw Error("KernelHungError", "kernel '" + options_.name + "' did not become active in time");
  }
}

void Kernel::deactivate(std::uint64_t deadline_ns, const Poll& poll) {
  const std::lock_guard lock(mutex_);
  if (state() != KernelState::kActive) refuse(KernelState::kDeactivated);
  request(0, kTerminateNo);
  const bool rests = await_device_state(kDevicePaused, deadline_ns, poll);
  state_ = KernelState::kDeactivated;
  if (!rests) {
    throw Error("KernelHungError",
                "the handler of kernel '" + options_.name + "' did not return in time: it pauses when it does");
  }
}

void Kernel::terminate(std::uint64_t deadline_ns, const Poll& poll) {
  if (state() == KernelState::kTerminated) refuse(KernelState::kTerminating);
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const std::uint64_t patience = deadline_ns > now ? (deadline_ns - now) / 10 * 9 : 0;
  begin_terminate();
  if (!join(now + patience, poll)) {
    force_terminate();
    join(deadline_ns, poll);
  }
  if (conclude_terminate()) return;
  throw Error("KernelHungError",
              "the handler of kernel '" + options_.name +
                  "' does not return; its thread is abandoned and its messages are lost. Python code "
                  "cannot be stopped from outside: bound its loops");
}

void Kernel::begin_terminate() {
  const std::lock_guard lock(mutex_);
  // Already over, or told before by a wait that was interrupted.
  if (state_ == KernelState::kTerminated || state_ == KernelState::kTerminating) return;
  inbox_.close();
  if (resident_) request(load_relaxed(control().is_active), kTerminateAfterDrain);  // K1 a paused kernel stays paused
  state_ = KernelState::kTerminating;
}

void Kernel::force_terminate() {
  const std::lock_guard lock(mutex_);
  if (resident_) request(load_relaxed(control().is_active), kTerminateNow);  // K1 own line
}

bool Kernel::conclude_terminate() {
  const std::lock_guard lock(mutex_);
  if (resident_ && !resident_->join(0)) {
    hung_ = true;
    state_ = KernelState::kFailed;
    outbox_.wake_consumer();
    return false;
  }
  state_ = KernelState::kTerminated;
  bury_leftovers();
  return true;
}

void Kernel::bury_leftovers() {
  while (inbox_.try_peek() != nullptr) {
    inbox_.release();
    leftovers_.fetch_add(1, std::memory_order_relaxed);
  }
}

// What the host asked for, corrected by what the device did on its own: fail, or end by its handler's request.
KernelState Kernel::state() const {
  const KernelState asked = state_;
  const bool may_end =
      asked == KernelState::kLaunched || asked == KernelState::kActive || asked == KernelState::kDeactivated;
  if (!may_end || !ended()) return asked;
  return load_acquire(control().state) == kDeviceFailed ? KernelState::kFailed : KernelState::kTerminated;  // K2
}

// -- messages ---------------------------------------------------------------------------------------------------------

Status Kernel::try_send(MessageHeader& header, const std::byte* payload) {
  header.source = Address::make(self_.node(), 0).word;
  header.dest = self_.word;
  header.hlc = clock_->tick().time;
  return accept(header, payload);
}

Status Kernel::accept(const MessageHeader& header, const std::byte* payload) {
  std::byte* slot = inbox_.can_claim() ? inbox_.try_claim() : nullptr;
  if (slot != nullptr) {
    std::memcpy(slot, &header, sizeof(header));
    std::memcpy(slot + sizeof(header), payload, header.payload_size);
    inbox_.publish(sizeof(header) + header.payload_size);
    return Status::kOk;
  }
  if (inbox_.closed()) return Status::kClosed;
  if (inbox_.can_claim()) return Status::kFull;
  Frame frame(sizeof(header) + header.payload_size);
  std::memcpy(frame.data(), &header, sizeof(header));
  std::memcpy(frame.data() + sizeof(header), payload, header.payload_size);
  return inbox_.try_push(frame.data(), frame.size());
}

std::uint64_t Kernel::send_many(const MessageHeader& like, const std::byte* payloads, std::uint64_t count) {
  MessageHeader header = like;
  header.source = Address::make(self_.node(), 0).word;
  header.dest = self_.word;
  const std::uint64_t first_id = message_ids_->fetch_add(count, std::memory_order_relaxed) + 1;
  const std::uint64_t first_time = clock_->tick_many(std::max<std::uint64_t>(count, 1)).time;
  const bool stages = inbox_.can_claim();  // else the lane is shared with other threads
  std::uint64_t sent = 0;
  for (; sent < count; ++sent) {
    const std::byte* payload = payloads + sent * header.payload_size;
    header.message_id = first_id + sent;
    header.hlc = first_time + sent;
    if (stages) {
      std::byte* slot = inbox_.try_stage();
      if (slot == nullptr) break;
      std::memcpy(slot, &header, sizeof(header));
      std::memcpy(slot + sizeof(header), payload, header.payload_size);
    } else if (accept(header, payload) != Status::kOk) {
      break;
    }
  }
  if (stages) inbox_.publish_staged();
  return sent;
}

bool Kernel::receive(std::uint64_t message_id, Frame* out, std::uint64_t deadline_ns) {
  if (!mailbox_.take(message_id, out, deadline_ns, [this] { return silent(); })) return false;
  clock_->merge(header_of(*out).hlc);
  return true;
}

bool Kernel::ended() const { return load_acquire(control().has_terminated) != 0; }  // K2

// -- reading ----------------------------------------------------------------------------------------------------------

RingStats Kernel::inbox_stats() const {
  RingStats stats = inbox_.stats();
  const std::uint64_t leftovers = leftovers_.load(std::memory_order_relaxed);
  const std::uint64_t failed = std::min<std::uint64_t>(error_count(), stats.delivered - leftovers);
  stats.dead_lettered = leftovers + failed;
  stats.delivered -= stats.dead_lettered;
  if (silent()) {  // nobody will handle what is left
    stats.dead_lettered += stats.in_flight;
    stats.in_flight = 0;
  }
  return stats;
}

std::uint32_t Kernel::error_count() const { return load_relaxed(control().error_count); }  // S

TelemetryBlock Kernel::telemetry() const {
  const TelemetryBlock& live = telemetry_block();
  TelemetryBlock copy{};
  copy.messages_processed = load_relaxed(live.messages_processed);  // S
  copy.messages_dropped = inbox_.stats().dropped;
  copy.total_latency_ns = load_relaxed(live.total_latency_ns);  // S
  copy.min_latency_ns = load_relaxed(live.min_latency_ns);      // S
  copy.max_latency_ns = load_relaxed(live.max_latency_ns);      // S
  copy.inbox_depth = static_cast<u32>(inbox_.stats().in_flight);
  copy.outbox_depth = static_cast<u32>(outbox_.stats().in_flight);
  copy.last_error = error_count() != 0 ? 1 : 0;
  return copy;
}

}  // namespace rk
