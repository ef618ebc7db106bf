#include "ringkernel/runtime/kernel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ringkernel/runtime/control.h"

namespace rk {

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
      block_(backend_->allocate(sizeof(ControlBlock))),
      outbox_(backend_->inbox_memory()) {
  const GeometryError error = Lane::check(lane_options());
  if (error != GeometryError::kNone) throw Lane::GeometryFailure{error};
  if (options.capacity * lane_options().slot_size > physical_memory()) throw std::bad_alloc();
  for (std::uint32_t i = 0; i < options.instances; ++i) records_.emplace_back(backend_->inbox_memory());
  ControlBlock& block = control();
  block.magic = kControlMagic;
  block.abi_version = kAbiVersion;
  block.kernel_id = self.word;
  handler_->begins(options.instances);
}

// What nobody received until now is received by nobody.
Kernel::~Kernel() {
  if (!last_words_) return;
  RingStats outbox = outbox_stats();
  outbox.dead_lettered += std::exchange(outbox.in_flight, 0);
  last_words_(inbox_stats(), outbox);
}

LaneOptions Kernel::lane_options(std::uint8_t priority) const {
  LaneOptions lane;
  lane.capacity = options_.capacity;
  lane.slot_size = lane_slot_size(options_.max_payload);
  lane.priority = priority;
  return lane;
}

LaneOptions Kernel::lane_options_of(std::uint32_t instance, std::uint8_t priority) const {
  LaneOptions lane = lane_options(priority);
  lane.late_mail = records_[instance].late_mail;
  return lane;
}

// -- life cycle -------------------------------------------------------------------------------------------------------

void Kernel::refuse(KernelState to) const {
  const std::string why = failure();
  throw Error("InvalidStateTransition", "kernel '" + options_.name + "' cannot go from " + to_string(state()) + " to " +
                                            to_string(to) + (why.empty() ? "" : ": " + why));
}

void Kernel::launch(Hlc& clock, Switchboard& switchboard, std::shared_ptr<void> keep_alive) {
  const std::lock_guard lock(mutex_);
  if (state_ != KernelState::kCreated) refuse(KernelState::kLaunched);
  clock_ = &clock;
  ResidentSpec spec;
  spec.name = options_.name;
  spec.self = self_;
  spec.control = &control();
  spec.instances = &records_;
  spec.handler = handler_.get();
  spec.clock = &clock;
  spec.switchboard = &switchboard;
  spec.outbox = &outbox_;
  spec.capacity = options_.capacity;
  spec.max_payload = options_.max_payload;
  spec.max_failures = options_.max_failures;
  spec.failure_window_ns = options_.failure_window_ns;
  spec.spill_limit = options_.capacity;
  spec.dedup_window = options_.dedup_window;
  spec.worker = options_.worker;
  spec.supervised = options_.supervisor != 0;
  spec.restarts_on_exit = options_.supervisor != 0 && options_.restart == Restart::kPermanent;
  spec.routes_by_key = !options_.route_by.empty() && options_.instances > 1;
  spec.keep_alive = std::move(keep_alive);
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
bool Kernel::await_obeyed(std::uint64_t deadline_ns, const Poll& poll) {
  for (unsigned tries = 0; !resident_->obeyed() && !ended(); ++tries) {
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
    if (forced_) stop_handlers();  // again: a message may have been about to begin
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
  if (!await_obeyed(deadline_ns, poll)) {
    throw Error("KernelHungError", "kernel '" + options_.name + "' did not become active in time");
  }
}

void Kernel::deactivate(std::uint64_t deadline_ns, const Poll& poll) {
  const std::lock_guard lock(mutex_);
  if (state() != KernelState::kActive) refuse(KernelState::kDeactivated);
  request(0, kTerminateNo);
  const bool rests = await_obeyed(deadline_ns, poll);
  state_ = KernelState::kDeactivated;
  if (!rests) {
    throw Error("KernelHungError",
                "the handler of kernel '" + options_.name + "' did not return in time: it pauses when it does");
  }
}

void Kernel::terminate(std::uint64_t deadline_ns, const Poll& poll) {
  if (state() == KernelState::kTerminated) refuse(KernelState::kTerminating);
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const std::uint64_t patience = deadline_ns > now ? (deadline_ns - now) / 4 * 3 : 0;
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
  for (InstanceRecord& record : records_) record.inbox.close();
  state_ = KernelState::kTerminating;  // first: who sees the end sees that it was asked for
  if (resident_) request(load_relaxed(control().is_active), kTerminateAfterDrain);  // K1 a paused kernel stays paused
}

void Kernel::force_terminate() {
  {
    const std::lock_guard lock(mutex_);
    if (resident_) request(load_relaxed(control().is_active), kTerminateNow);  // K1 own line
  }
  forced_ = true;
  stop_handlers();
}

bool Kernel::stop_stuck(const StuckHandler& stuck) {
  constexpr std::uint64_t kObeysWithinNs = 1'000'000'000;
  const std::uint64_t now = HostAtomics::monotonic_ns();
  const bool told = told_ns_ != 0 && told_.instance == stuck.instance && told_.message_id == stuck.message_id;
  if (!resident_->can_stop() || (told && now - told_ns_ > kObeysWithinNs)) return false;
  resident_->stop(stuck.instance, stuck.message_id);
  if (!told) told_ns_ = now;
  told_ = stuck;
  return true;
}

bool Kernel::stop_handlers() {
  if (!resident_ || !resident_->can_stop()) return false;
  bool any = false;
  for (std::uint32_t i = 0; i < instances(); ++i) {
    if (records_[i].busy_since.load_acquire() == 0) continue;          // S
    any |= resident_->stop(i, records_[i].message_id.load_relaxed());  // S
  }
  return any;
}

bool Kernel::conclude_terminate() {
  const std::lock_guard lock(mutex_);
  if (resident_ && !resident_->join(0)) {
    hung_ = true;
    state_ = KernelState::kFailed;
    outbox_.kick();
    return false;
  }
  state_ = KernelState::kTerminated;
  return true;
}

void Kernel::end_now(KernelState as) {
  const std::lock_guard lock(mutex_);
  if (state_ == KernelState::kTerminated || state_ == KernelState::kFailed) return;
  for (InstanceRecord& record : records_) record.inbox.close();
  state_ = as;
  request(load_relaxed(control().is_active), kTerminateNow);  // K1 own line
}

void Kernel::give_up_as_hung(const StuckHandler& stuck, const std::function<void()>& first) {
  {
    const std::lock_guard lock(mutex_);
    if (hung() || ended()) return;
    if (first) first();
    stuck_ = stuck;
    hung_ = true;
    state_ = KernelState::kFailed;
    for (InstanceRecord& record : records_) record.inbox.close();
    request(load_relaxed(control().is_active), kTerminateNow);  // K1 should it return after all
  }
  outbox_.kick();
}

// What the host asked for, corrected by what the device did on its own: fail, or end by its handler's request.
KernelState Kernel::state() const {
  const KernelState asked = state_;
  const bool may_end =
      asked == KernelState::kLaunched || asked == KernelState::kActive || asked == KernelState::kDeactivated;
  if (!may_end || !ended()) return asked;
  return load_acquire(control().state) == kDeviceFailed ? KernelState::kFailed : KernelState::kTerminated;  // K2
}

bool Kernel::ended() const { return load_acquire(control().has_terminated) != 0; }  // K2

StuckHandler Kernel::stuck() const { return hung() ? stuck_ : StuckHandler{}; }

std::optional<StuckHandler> Kernel::find_stuck(std::uint64_t limit_ns) const {
  const std::uint64_t now = clock_->clock().now();
  for (std::uint32_t i = 0; i < instances(); ++i) {
    const std::uint64_t since = records_[i].busy_since.load_acquire();  // S
    if (since == 0 || now <= since) continue;
    const double busy_ns = static_cast<double>(now - since) * (1e9 / 4294967296.0);
    if (busy_ns < static_cast<double>(limit_ns)) continue;
    return StuckHandler{i, records_[i].message_type.load_relaxed(), records_[i].message_id.load_relaxed(),  // S
                        static_cast<std::uint64_t>(busy_ns)};
  }
  return std::nullopt;
}

bool Kernel::busy() const { return find_stuck(0).has_value(); }

void Kernel::restart(std::uint32_t instance) {
  {
    const std::lock_guard lock(states_mutex_);
    handler_->restart(instance);
  }
  InstanceRecord& record = records_[instance];
  record.generation.store_relaxed(record.generation.load_relaxed() + 1);  // S the supervisor alone
  restarts_.fetch_add(1, std::memory_order_relaxed);
  resident_->resume(instance);
}

std::uint32_t Kernel::generation(std::uint32_t instance) const {
  return records_[instance].generation.load_relaxed();  // S
}

// -- reading ----------------------------------------------------------------------------------------------------------

// What is released and not counted otherwise was handled. The counters are read first: a message is counted before it
// is released, so that none is missed in between.
RingStats Kernel::inbox_stats_of(const InstanceRecord& record) const {
  const std::uint64_t dead = record.dead_lettered();
  const std::uint64_t duplicates = record.duplicates.load_relaxed();  // S
  const std::uint64_t over = record.linked_delivered.load_relaxed();  // S
  RingStats stats = record.inbox.stats();
  const std::uint64_t aboard = std::min(record.aboard.load_relaxed(), stats.delivered);  // S
  const std::uint64_t linked = std::max(record.linked.load_relaxed(), over);             // S
  const std::uint64_t unheard = record.linked_dropped.load_relaxed();                    // S
  stats.accepted += linked + unheard;
  stats.dropped += unheard;
  stats.delivered = stats.delivered - aboard + over;
  stats.in_flight += aboard + (linked - over);
  stats.dead_lettered = std::min(dead, stats.delivered);
  stats.delivered -= stats.dead_lettered;
  const std::uint64_t dropped = std::min(duplicates, stats.delivered);
  stats.delivered -= dropped;
  stats.dropped += dropped;
  if (silent()) {  // nobody will handle what is left
    stats.dead_lettered += stats.in_flight;
    stats.in_flight = 0;
  }
  return stats;
}

RingStats Kernel::inbox_stats() const {
  RingStats sum;
  for (const InstanceRecord& record : records_) sum += inbox_stats_of(record);
  return sum;
}

std::uint64_t Kernel::error_count() const {
  std::uint64_t sum = 0;
  for (const InstanceRecord& record : records_) {
    sum += record.failed.load_relaxed() + record.refused.load_relaxed() + record.reported.load_relaxed();  // S
  }
  return sum;
}

void Kernel::refresh() const {
  constexpr std::uint64_t kPatienceNs = 20'000'000;
  if (resident_ && !silent()) resident_->refresh(HostAtomics::monotonic_ns() + kPatienceNs);
}

std::uint64_t Kernel::handled() const {
  std::uint64_t sum = 0;
  for (const InstanceRecord& record : records_) sum += record.handled.load_relaxed();  // S
  return sum;
}

bool Kernel::linked() const {
  const auto any = [](const InstanceRecord& record) { return record.linked.load_relaxed() != 0; };  // S
  return std::any_of(records_.begin(), records_.end(), any);
}

KernelTelemetry Kernel::telemetry(std::optional<std::uint32_t> instance) const {
  refresh();
  KernelTelemetry sum;
  for (std::uint32_t i = instance.value_or(0); i < (instance ? *instance + 1 : instances()); ++i) {
    const InstanceRecord& record = records_[i];
    sum.processed += record.handled.load_relaxed();                                                     // S
    sum.failed += record.failed.load_relaxed();                                                         // S
    sum.refused += record.refused.load_relaxed();                                                       // S
    sum.expired += record.expired.load_relaxed();                                                       // S
    sum.left_over += record.left_over.load_relaxed();                                                   // S
    sum.duplicates += record.duplicates.load_relaxed();                                                 // S
    sum.reported += record.reported.load_relaxed();                                                     // S
    sum.linked += record.linked_delivered.load_relaxed();                                               // S
    sum.restarts += record.generation.load_relaxed();                                                   // S
    if (const std::uint32_t code = record.last_error.load_relaxed(); code != 0) sum.last_error = code;  // S
    if (const InstanceLatencies* latencies = record.latencies.load_acquire()) {                         // S
      sum.handler += latencies->handler.read();
      sum.queueing += latencies->queueing.read();
    }
    sum.inbox += inbox_stats_of(record);  // last: what is handled above is accepted here
  }
  sum.outbox = outbox_stats();
  return sum;
}

}  // namespace rk
