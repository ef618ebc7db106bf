// The CPU backend: one worker thread a kernel, rings in process memory, an unlimited lease. The reference for others.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/control.h"

namespace rk {
namespace {

constexpr std::uint64_t kBatchMessages = 256;
constexpr std::uint64_t kIdleSpinNs = 50'000;  // stay awake for the next message of a conversation, then sleep

// Failures within a window; the newest max_failures times decide.
class FailureWindow {
 public:
  FailureWindow(std::uint32_t max, std::uint64_t window_ns)
      : max_(std::min<std::uint32_t>(max, 64)), window_ns_(window_ns) {}

  // True when this failure is one too many.
  bool add(std::uint64_t now_ns) {
    const std::uint64_t oldest = times_[count_ % std::max<std::uint32_t>(max_, 1)];
    const bool too_many = count_ >= max_ && (max_ == 0 || now_ns - oldest <= window_ns_);
    if (max_ != 0) times_[count_ % max_] = now_ns;
    ++count_;
    return too_many;
  }

 private:
  std::array<std::uint64_t, 64> times_{};
  std::uint64_t count_ = 0;
  std::uint32_t max_;
  std::uint64_t window_ns_;
};

// The loop of one kernel. Everything here belongs to the worker thread.
class ResidentLoop final : public KernelContext {
 public:
  explicit ResidentLoop(ResidentSpec spec)
      : spec_(std::move(spec)),
        shard_(*spec_.clock, spec_.self.kernel()),
        failures_(spec_.max_failures, spec_.failure_window_ns) {}

  void run() {
    spec_.handler->worker_begins(*this);
    store_relaxed(spec_.telemetry->min_latency_ns, ~u64{0});  // S
    while (turn()) continue;
    if (state_ != kDeviceFailed) set_state(kDeviceTerminated);
    spec_.handler->worker_ends();
    spec_.inbox->close();  // whatever ended the loop: nothing sent from now on would be handled
    store_release(spec_.control->has_terminated, u32{1});  // K2
    spec_.outbox->wake_consumer();
  }

  // -- KernelContext
  Status reply(std::uint32_t type_id, std::span<const std::byte> payload, std::uint8_t priority) override {
    MessageHeader header = make_header(Address{header_.source}, type_id, payload.size(), priority);
    header.flags = kFlagReply;
    header.correlation_id = header_.message_id;
    header.hops = static_cast<u8>(header_.hops + 1);
    return post(header, payload.data());
  }
  Status send(Address to, std::uint32_t type_id, std::span<const std::byte> payload, std::uint8_t priority) override {
    return post(make_header(to, type_id, payload.size(), priority), payload.data());
  }
  HlcTimestamp now() override { return shard_.now(); }
  HlcTimestamp tick() override { return shard_.tick(); }
  Address self() const override { return spec_.self; }
  const MessageHeader& header() const override { return header_; }
  void request_termination() override { own_request_ = true; }
  bool is_terminating() const override {
    return own_request_ ||
           load_relaxed(spec_.control->should_terminate) != kTerminateNo;  // K1 a late look is a late stop
  }

 private:
  // One look at the requests and one run of messages. False: the loop ends.
  bool turn() {
    const u64 epoch = load_acquire(spec_.control->epoch);             // K1
    const u32 stop = load_acquire(spec_.control->should_terminate);   // K1
    const bool active = load_acquire(spec_.control->is_active) != 0;  // K1
    const bool draining = stop != kTerminateNo || own_request_;
    set_state(draining ? kDeviceDraining : active ? kDeviceActive : kDevicePaused);
    store_release(spec_.control->epoch_seen, epoch);  // K2
    if (stop == kTerminateNow || state_ == kDeviceFailed) return false;
    if (active && spec_.inbox->try_peek() != nullptr) return run_batch();
    if (draining) return false;
    idle(epoch, active);
    return true;
  }

  bool run_batch() {
    Handler& handler = *spec_.handler;
    handler.batch_begins();
    bool ok = true;
    for (std::uint64_t n = 0; n < kBatchMessages && ok; ++n) {
      const std::byte* slot = spec_.inbox->try_peek();
      if (slot == nullptr) break;
      ok = run_one(slot);
      spec_.inbox->release();
      const bool asked = load_relaxed(spec_.control->epoch) != load_relaxed(spec_.control->epoch_seen);  // K1
      if (asked) break;  // turn() looks properly
    }
    handler.batch_ends();
    publish_staged();
    beat();
    return ok;
  }

  // False: failed once too often.
  bool run_one(const std::byte* slot) {
    std::memcpy(&header_, slot, sizeof(header_));
    shard_.merge(header_.hlc);
    store_relaxed(spec_.control->messages_in_flight, u64{1});  // S
    const std::uint64_t start = HostAtomics::monotonic_ns();
    const Outcome outcome = spec_.handler->handle(*this, header_, slot + sizeof(MessageHeader));
    const std::uint64_t end = HostAtomics::monotonic_ns();
    store_relaxed(spec_.control->messages_in_flight, u64{0});  // S
    count(end - start);
    return outcome == Outcome::kHandled || after_failure(outcome, end);
  }

  bool after_failure(Outcome outcome, std::uint64_t now_ns) {
    add(spec_.control->error_count, u32{1});
    if ((header_.flags & kFlagWantsReply) != 0) {
      MessageHeader header = make_header(Address{header_.source}, 0, 0, kPriorityNormal);
      header.flags = kFlagReply | kFlagError;
      header.correlation_id = header_.message_id;
      post(header, reinterpret_cast<const std::byte*>(&header));
    }
    if (outcome == Outcome::kRefused || !failures_.add(now_ns)) return true;
    set_state(kDeviceFailed);
    return false;
  }

  MessageHeader make_header(Address to, std::uint32_t type_id, std::size_t size, std::uint8_t priority) {
    MessageHeader header{};
    header.version = kMessageVersion;
    header.priority = priority;
    header.type_id = type_id;
    header.payload_size = static_cast<u32>(size);
    header.hlc = shard_.tick().time;
    header.message_id = (static_cast<u64>(spec_.self.kernel()) << 48) | ++sent_;
    header.source = spec_.self.word;
    header.dest = to.word;
    return header;
  }

  // What a handler sends becomes visible when its batch ends, after the handler's world is unlocked: a receiver that
  // wakes earlier would only run into the lock.
  Status post(const MessageHeader& header, const std::byte* payload) {
    const Address to{header.dest};
    if (to.kernel() == 0) return fill(*spec_.outbox, header, payload);
    const std::shared_ptr<HostRing> inbox = spec_.inbox_of(to);
    if (inbox == nullptr) return Status::kClosed;
    const Status status = fill(*inbox, header, payload);
    const bool known = std::find(touched_.begin(), touched_.end(), inbox) != touched_.end();
    if (status == Status::kOk && !known) touched_.push_back(inbox);
    return status;
  }

  Status fill(HostRing& ring, const MessageHeader& header, const std::byte* payload) {
    if (ring.closed()) return Status::kClosed;
    if (header.payload_size + sizeof(header) > ring.options().slot_size) return Status::kTooLarge;
    if (!ring.can_claim()) return push_now(ring, header, payload);
    std::byte* slot = ring.try_stage();
    if (slot == nullptr) {
      publish_staged();  // the receiver may be able to make room once it sees them
      slot = &ring == spec_.outbox ? wait_for_outbox() : ring.try_stage();
    }
    if (slot == nullptr) return ring.closed() || &ring == spec_.outbox ? Status::kClosed : Status::kFull;
    std::memcpy(slot, &header, sizeof(header));
    if (header.payload_size != 0) std::memcpy(slot + sizeof(header), payload, header.payload_size);
    return Status::kOk;
  }

  // A lane that this worker shares with others knows no claims.
  Status push_now(HostRing& ring, const MessageHeader& header, const std::byte* payload) {
    frame_.resize(sizeof(header) + header.payload_size);
    std::memcpy(frame_.data(), &header, sizeof(header));
    std::memcpy(frame_.data() + sizeof(header), payload, header.payload_size);
    return ring.try_push(frame_.data(), frame_.size());
  }

  // The host does not receive: that is back-pressure. Let go of the handler's world meanwhile, and obey a stop.
  std::byte* wait_for_outbox() {
    spec_.handler->batch_ends();
    std::byte* slot = nullptr;
    while (slot == nullptr && load_acquire(spec_.control->should_terminate) == kTerminateNo) {  // K1
      spec_.outbox->wait_for_room(HostAtomics::monotonic_ns() + 10'000'000);
      slot = spec_.outbox->try_stage();
    }
    spec_.handler->batch_begins();
    return slot;
  }

  void publish_staged() {
    for (const auto& inbox : touched_) inbox->publish_staged();
    touched_.clear();
    spec_.outbox->publish_staged();
  }

  void idle(u64 epoch, bool active) {
    beat();
    spec_.inbox->wait_consumer(
        [&] {
          return load_acquire(spec_.control->epoch) != epoch ||  // K1
                 (active && spec_.inbox->try_peek() != nullptr);
        },
        kNoDeadline, kIdleSpinNs);
  }

  void set_state(u32 state) {
    if (state == state_) return;
    state_ = state;
    store_release(spec_.control->state, state);  // K2
  }

  void count(std::uint64_t latency_ns) {
    TelemetryBlock& t = *spec_.telemetry;
    add(t.messages_processed, u64{1});
    add(t.total_latency_ns, u64{latency_ns});
    add(spec_.control->messages_processed, u64{1});
    if (latency_ns < load_relaxed(t.min_latency_ns)) store_relaxed(t.min_latency_ns, u64{latency_ns});  // S
    if (latency_ns > load_relaxed(t.max_latency_ns)) store_relaxed(t.max_latency_ns, u64{latency_ns});  // S
  }

  template <class T>
  static void add(T& word, T amount) {
    store_relaxed(word, static_cast<T>(load_relaxed(word) + amount));  // S one writer
  }

  void beat() {
    add(spec_.control->heartbeat, u64{1});
    store_relaxed(spec_.control->hlc_state, shard_.last());  // S
  }

  ResidentSpec spec_;
  HlcHostShard shard_;
  FailureWindow failures_;
  MessageHeader header_{};
  std::vector<std::shared_ptr<HostRing>> touched_;  // inboxes with messages of this batch
  std::vector<std::byte> frame_;
  std::uint64_t sent_ = 0;
  u32 state_ = kDeviceNotStarted;
  bool own_request_ = false;
};

// A thread that can be waited for with a deadline, and abandoned when a handler never returns.
class CpuResident final : public Resident {
 public:
  explicit CpuResident(ResidentSpec spec) : inbox_(spec.inbox), end_(std::make_shared<End>()) {
    std::shared_ptr<void> keep_alive = spec.keep_alive;
    auto loop = std::make_shared<ResidentLoop>(std::move(spec));
    std::thread([loop, end = end_, keep_alive]() mutable {
      loop->run();
      loop.reset();
      keep_alive.reset();  // before the end is told: whoever joined may end the process
      {
        const std::lock_guard lock(end->mutex);
        end->ended = true;
      }
      end->changed.notify_all();
    }).detach();  // joined through `end_`: a thread that hangs must not hang its joiner
  }

  void notify() override { inbox_->wake_consumer(); }

  bool join(std::uint64_t deadline_ns) override {
    std::unique_lock lock(end_->mutex);
    while (!end_->ended) {
      const std::uint64_t now = HostAtomics::monotonic_ns();
      if (now >= deadline_ns) return false;
      end_->changed.wait_for(lock, std::chrono::nanoseconds(std::min<std::uint64_t>(deadline_ns - now, 50'000'000)));
    }
    return true;
  }

 private:
  struct End {
    std::mutex mutex;
    std::condition_variable changed;
    bool ended = false;
  };
  HostRing* inbox_;
  std::shared_ptr<End> end_;
};

class CpuBackend final : public Backend {
 public:
  const char* name() const override { return "cpu"; }
  std::string description() const override {
    return "CPU, " + std::to_string(std::thread::hardware_concurrency()) + " hardware threads";
  }
  bool persistent() const override { return true; }
  std::unique_ptr<Resident> launch(ResidentSpec spec) override {
    return std::make_unique<CpuResident>(std::move(spec));
  }

 protected:
  void* do_alloc(std::size_t bytes) override { return map_pages(bytes); }
  void do_free(void* data, std::size_t bytes) override { unmap_pages(data, bytes); }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace rk
