// A device that is played by a thread: router and instances over the lines and rings of a grid, as device_grid.h says.
// And a backend that launches kernels on it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "actors.h"
#include "cuda/bridge.h"
#include "ringkernel/compiled.h"
#include "ringkernel/runtime/control.h"
#include "ringkernel/runtime/device_code.h"

namespace rk::cuda::test {

class FakeInstance;

// Returns 0, or why it failed.
using DeviceBody = std::function<u32(FakeInstance&, const MessageHeader&, const std::byte*)>;

struct FakeMessage {
  MessageHeader header;
  std::vector<std::byte> payload;
  std::uint32_t from = 0;  // inbox
};

class FakeDevice;

class FakeInstance {
 public:
  FakeInstance(FakeDevice& device, u32 index) : device_(device), index_(index) {}

  // -- for bodies
  u32 index() const { return index_; }
  template <class T>
  void reply(const T& payload);
  template <class T>
  u32 send(u32 target, const T& payload, u32 instance = RK_ANY_INSTANCE);  // rk::Status
  template <class T>
  u64 publish(u32 topic, const T& payload);
  u64 free_slots(u32 target);
  void stop_kernel();
  void exit() { exits = true; }
  bool cancelled();
  std::uint64_t state = 0;
  u32 reported = 0;

 private:
  friend class FakeDevice;
  MessageHeader header_to(u64 dest, u32 type, std::size_t bytes);
  u64 ask(u32 kind, std::span<const std::byte> lead, const MessageHeader* header, const std::byte* payload,
          u64 request);
  void step();
  bool take(FakeMessage* out);
  void handle(FakeMessage& message);
  void fail_up(const FakeMessage& message, FailedBody body);
  void end(bool failed);
  void tell();

  FakeDevice& device_;
  u32 index_;
  std::array<std::deque<FakeMessage>, kPriorityCount> inboxes_;
  std::array<u32, kPriorityCount> taken_{};
  MessageHeader in_hand_{};
  u64 command_ = 0, told_ = 0, requests_ = 0, answered_ = 0, handled_ = 0, ids_ = 0;
  AnswerBody answer_{};
  u32 task_ = 0, cancel_ = 0, verdict_ = 0, generation_ = 0, failures_ = 0, last_error_ = 0;
  bool finish_ = false, hold_ = false, exits = false, waits_ = false, ended_ = false, failed_ = false;
};

class FakeDevice {
 public:
  FakeDevice(const ResidentSpec& spec, const DeviceCode& code, DeviceBody body)
      : body_(std::move(body)),
        self_(spec.self),
        supervised_(spec.supervised),
        max_failures_(spec.max_failures),
        ids_(spec.switchboard->take_message_ids(std::uint64_t{1} << 40)) {
    lines.shape = GridShape::of(spec, code);
    host_ = std::make_unique<HostLine>();
    device_ = std::make_unique<DeviceLine>();
    status_.resize(lines.shape.instances);
    latencies_.resize(std::size_t{2} * kLatencyWords * lines.shape.instances);
    down_.resize(lines.shape.down.units_of_ring());
    up_.resize(lines.shape.up.units_of_ring());
    lines.host = host_.get();
    lines.device = device_.get();
    lines.status = status_.data();
    lines.latencies = latencies_.data();
    lines.down = down_.data();
    lines.up = up_.data();
    reader_ = std::make_unique<UpReader>(down_.data(), lines.shape.down, lines.shape.max_body, read_line_);
    writer_ = std::make_unique<DownWriter>(up_.data(), lines.shape.up, lines.shape.max_body, write_line_);
    for (u32 i = 0; i < lines.shape.instances; ++i) instances_.emplace_back(*this, i);
  }
  ~FakeDevice() { stop(); }

  void start() {
    thread_ = std::thread([this] {
      while (!stopping_.load()) {
        if (!frozen.load()) step();
        std::this_thread::yield();
      }
    });
  }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

  GridLines lines;
  std::atomic<bool> frozen{false};

 private:
  friend class FakeInstance;

  void step() {
    route();
    for (FakeInstance& one : instances_) one.step();
  }

  void route() {
    const u64 command = load_acquire(host_->command);
    const u64 after = load_acquire(host_->after);
    while (const UpReader::Record* record = reader_->try_peek()) {
      take(*record);
      reader_->release();
      reader_->publish();
      store_release(device_->down_read, load_relaxed(read_line_.up_read));
    }
    if (load_relaxed(device_->down_read) >= after) {
      for (FakeInstance& one : instances_) one.command_ = command;
    }
  }

  void take(const UpReader::Record& record) {
    FakeInstance& one = instances_[record.head.instance];
    const auto read = [&](auto& into) { std::memcpy(&into, record.body.data(), sizeof(into)); };
    switch (record.head.kind) {
      case kDownMessage: {
        FakeMessage message;
        read(message.header);
        message.payload.assign(record.body.begin() + sizeof(MessageHeader), record.body.end());
        message.from = message.header.priority;
        ASSERT_LT(one.inboxes_[message.from].size(), lines.shape.window) << "more than the window";
        one.inboxes_[message.from].push_back(std::move(message));
        break;
      }
      case kDownAnswer:
        read(one.answer_);
        one.answered_ = one.answer_.request;
        if (one.answer_.hold != 0) one.hold_ = true;
        break;
      case kDownRestart: {
        RestartBody body;
        read(body);
        one.generation_ = body.generation;
        one.verdict_ = 2;
        break;
      }
      case kDownResume:
        one.verdict_ = 1;
        break;
      case kDownFinish:
        one.finish_ = true;
        break;
      case kDownCancel: {
        CancelBody body;
        read(body);
        one.cancel_ = body.task;
        break;
      }
      case kDownHold: {
        HoldBody body;
        read(body);
        one.hold_ = body.on != 0;
        break;
      }
      default:
        FAIL() << "a record of kind " << record.head.kind;
    }
  }

  void send_up(u32 kind, u32 instance, std::span<const std::byte> lead, const MessageHeader* header,
               const std::byte* payload) {
    BodyParts parts{lead};
    if (header != nullptr) {
      parts[1] = bytes_of(*header);
      parts[2] = {payload, header->payload_size};
    }
    while (!writer_->try_put(kind, instance, parts)) {
      store_release(write_line_.down_read, load_acquire(host_->up_read));
      if (stopping_.load()) return;
      std::this_thread::yield();
    }
    store_release(write_line_.down_read, load_acquire(host_->up_read));
  }

  DeviceBody body_;
  Address self_;
  bool supervised_;
  u32 max_failures_;
  u64 ids_;
  std::unique_ptr<HostLine> host_;
  std::unique_ptr<DeviceLine> device_;
  std::vector<InstanceStatus> status_;
  std::vector<u64> latencies_;
  std::vector<Unit> down_, up_;
  HostLine read_line_{};
  DeviceLine write_line_{};
  std::unique_ptr<UpReader> reader_;
  std::unique_ptr<DownWriter> writer_;
  std::deque<FakeInstance> instances_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// -- an instance ------------------------------------------------------------------------------------------------------

inline MessageHeader FakeInstance::header_to(u64 dest, u32 type, std::size_t bytes) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = kPriorityNormal;
  header.type_id = type;
  header.payload_size = static_cast<u32>(bytes);
  header.message_id = device_.ids_ + (u64{index_} << 32) + ids_++;
  header.hlc = load_relaxed(device_.host_->host_time);
  header.source = Address::make(device_.self_.node(), device_.self_.kernel(), index_, generation_).word;
  header.dest = dest;
  return header;
}

template <class T>
void FakeInstance::reply(const T& payload) {
  MessageHeader header = header_to(in_hand_.source, T::kTypeId, sizeof(T));
  header.flags = kFlagReply;
  header.priority = in_hand_.priority;
  header.correlation_id = in_hand_.message_id;
  const auto* bytes = reinterpret_cast<const std::byte*>(&payload);
  if (Address{header.dest}.kernel() == 0) return device_.send_up(kUpMessage, index_, {}, &header, bytes);
  const SendBody body{++requests_, 0, 0};
  ask(kUpReply, bytes_of(body), &header, bytes, body.request);
}

template <class T>
u32 FakeInstance::send(u32 target, const T& payload, u32 instance) {
  const MessageHeader header = header_to(0, T::kTypeId, sizeof(T));
  const SendBody body{++requests_, target, instance};
  ask(kUpSend, bytes_of(body), &header, reinterpret_cast<const std::byte*>(&payload), body.request);
  return answer_.status;
}

template <class T>
u64 FakeInstance::publish(u32 topic, const T& payload) {
  const MessageHeader header = header_to(0, T::kTypeId, sizeof(T));
  const PublishBody body{++requests_, topic, 0};
  return ask(kUpPublish, bytes_of(body), &header, reinterpret_cast<const std::byte*>(&payload), body.request);
}

inline u64 FakeInstance::free_slots(u32 target) {
  const SendBody body{++requests_, target, RK_ANY_INSTANCE};
  return ask(kUpFreeSlots, bytes_of(body), nullptr, nullptr, body.request);
}

inline u64 FakeInstance::ask(u32 kind, std::span<const std::byte> lead, const MessageHeader* header,
                             const std::byte* payload, u64 request) {
  device_.send_up(kind, index_, lead, header, payload);
  while (answered_ != request && !device_.stopping_.load()) {
    device_.route();
    if ((load_acquire(device_.host_->command) & kCommandAbort) != 0) break;
    std::this_thread::yield();
  }
  return answer_.value;
}

inline void FakeInstance::stop_kernel() { device_.send_up(kUpStop, index_, {}, nullptr, nullptr); }

inline bool FakeInstance::cancelled() {
  device_.route();
  return cancel_ == task_ || device_.stopping_.load();
}

inline bool FakeInstance::take(FakeMessage* out) {
  for (u32 p = kPriorityCount; p-- > 0;) {
    if (inboxes_[p].empty()) continue;
    *out = std::move(inboxes_[p].front());
    inboxes_[p].pop_front();
    return true;
  }
  return false;
}

inline void FakeInstance::fail_up(const FakeMessage& message, FailedBody body) {
  device_.send_up(kUpFailed, index_, bytes_of(body), &message.header, message.payload.data());
}

inline void FakeInstance::tell() {
  InstanceStatus& status = device_.status_[index_];
  store_relaxed(status.handled, handled_);
  store_relaxed(status.reported, u64{reported});
  store_relaxed(status.last_error, last_error_);
  store_release(status.taken0, taken_[0]);
  store_release(status.taken1, taken_[1]);
  store_release(status.taken2, taken_[2]);
  store_release(status.taken3, taken_[3]);
}

inline void FakeInstance::end(bool failed) {
  ended_ = true;
  tell();
  const EndedBody body{failed ? 1u : 0u, 0};
  device_.send_up(kUpEnded, index_, bytes_of(body), nullptr, nullptr);
}

inline void FakeInstance::handle(FakeMessage& message) {
  InstanceStatus& status = device_.status_[index_];
  const u64 now = load_relaxed(device_.host_->host_time);
  if (message.header.deadline != 0 && message.header.deadline < now) {
    return fail_up(message, {kFailExpired, 0, 0, 0, 0, 0, 0});
  }
  if (message.header.type_id != rk::test::Number::kTypeId) {
    ++handled_;
    return fail_up(message, {kFailRefused, 0, 0, 0, 0, 0, 0});
  }
  store_relaxed(status.message_id, message.header.message_id);
  store_relaxed(status.message_type, message.header.type_id);
  store_relaxed(status.task, ++task_);
  store_relaxed(status.busy_since, now);
  in_hand_ = message.header;
  const u32 failed = device_.body_(*this, message.header, message.payload.data());
  store_relaxed(status.busy_since, u64{0});
  u64* words = device_.latencies_.data() + std::size_t{index_} * 2 * kLatencyWords;
  store_relaxed(words[1], ++handled_);
  store_relaxed(words[kLatencyBuckets], handled_);
  if (failed == 0) return;
  last_error_ = 1;
  FailedBody body{failed == RK_FAIL_CANCELLED ? u32{kFailStopped} : u32{kFailHandler}, failed, 42, 0, 0, 0, 0};
  waits_ = device_.supervised_;
  body.waits = waits_ ? 1 : 0;
  failed_ = !waits_ && ++failures_ > device_.max_failures_;
  body.last = failed_ ? 1 : 0;
  fail_up(message, body);
}

inline void FakeInstance::step() {
  if (ended_) return;
  const bool active = (command_ & kCommandActive) != 0, draining = (command_ & kCommandDraining) != 0;
  const bool stop = (command_ & kCommandStopNow) != 0;
  if (verdict_ != 0) {
    if (verdict_ == 2) state = 0;
    verdict_ = 0;
    waits_ = exits = false;
  }
  FakeMessage message;
  if (stop || failed_ || ((finish_ || draining) && (waits_ || !active))) {
    while (take(&message)) {
      fail_up(message, {kFailLeftOver, 0, 0, 0, 0, 0, 0});
      ++taken_[message.from];
    }
    if (stop || finish_) end(failed_);
  }
  if (command_ >> kCommandEpochShift != told_) {
    told_ = command_ >> kCommandEpochShift;
    tell();
    store_release(device_.status_[index_].epoch_seen, u64{told_});
  }
  if (ended_ || !active || hold_ || waits_ || failed_) return tell();
  if (take(&message)) {
    handle(message);
    ++taken_[message.from];
    return;
  }
  tell();
  if (finish_) return end(false);
  if (!exits) return;
  exits = false;
  waits_ = true;
  device_.send_up(kUpExit, index_, {}, nullptr, nullptr);
}

// -- a backend --------------------------------------------------------------------------------------------------------

class FakeHandler final : public Handler {
 public:
  explicit FakeHandler(DeviceBody given) : body(std::move(given)) {
    code.image = std::make_shared<std::vector<std::byte>>();
    code.accepts = {{rk::test::Number::kTypeId, sizeof(rk::test::Number)}};
  }
  const DeviceCode* device_code() const override { return &code; }
  Outcome handle(KernelContext&, const MessageHeader&, const std::byte*) override { return Outcome::kRefused; }

  DeviceCode code;
  DeviceBody body;
};

class FakeGrid final : public GridKeeper {
 public:
  FakeGrid(ResidentSpec spec, std::shared_ptr<WaitGraph> graph)
      : graph_(std::move(graph)),
        device(spec, *spec.handler->device_code(), static_cast<FakeHandler*>(spec.handler)->body),
        bridge(ResidentSpec(spec), *spec.handler->device_code(), device.lines, *this, *graph_) {
    pump_ = std::thread([this] {
      while (!stopping_.load()) {
        if (!bridge.turn()) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    });
  }
  ~FakeGrid() override {
    stopping_ = true;
    pump_.join();
    device.stop();
  }

  void want() override {
    if (!std::exchange(started_, true)) device.start();
  }
  bool away() override { return !started_; }
  void wake() override {}
  // It may be the last that has this grid, and a scheduler that was stopped drops it at once: on our own thread.
  void let_go(std::shared_ptr<void> kept) override {
    std::thread([last = std::move(kept)]() mutable { last.reset(); }).detach();
  }

 private:
  std::shared_ptr<WaitGraph> graph_;
  bool started_ = false;  // in turns

 public:
  FakeDevice device;
  Bridge bridge;

 private:
  std::atomic<bool> stopping_{false};
  std::thread pump_;
};

class FakeResident final : public Resident {
 public:
  FakeResident(const Backend& backend, std::shared_ptr<FakeGrid> grid, ControlBlock& control)
      : grid(std::move(grid)), backend_(backend), control_(control) {}
  const Backend& backend() const override { return backend_; }
  void notify() override { grid->bridge.notify(); }
  bool obeyed() const override { return load_relaxed(control_.is_active) != 0 || grid->bridge.rests(); }
  bool join(std::uint64_t deadline_ns) override { return grid->bridge.join(deadline_ns); }
  void hold(bool on) override { grid->bridge.hold(on); }
  bool resting() const override { return grid->bridge.rests(); }
  void resume(std::uint32_t instance) override { grid->bridge.resume(instance); }
  bool can_stop() const override { return true; }
  bool stop(std::uint32_t i, std::uint64_t id) override { return grid->bridge.stop(i, id); }
  void refresh(std::uint64_t deadline_ns) override { grid->bridge.refresh(deadline_ns); }
  std::string failure() const override { return grid->bridge.failure(); }
  void for_each_aboard(std::uint32_t instance, const MessageUse& use) override {
    grid->bridge.for_each_aboard(instance, use);
  }

  std::shared_ptr<FakeGrid> grid;

 private:
  const Backend& backend_;
  ControlBlock& control_;
};

class FakeBackend final : public Backend {
 public:
  FakeBackend() : graph_(std::make_shared<WaitGraph>()), cpu_(make_cpu_backend({.workers = 2}, graph_)) {}
  ~FakeBackend() override {
    last.reset();
    cpu_->scheduler().stop(0);
  }
  const char* name() const override { return "fake"; }
  std::string description() const override { return "a thread"; }
  bool persistent() const override { return true; }
  Scheduler& scheduler() override { return cpu_->scheduler(); }
  std::unique_ptr<Resident> launch(ResidentSpec spec) override {
    if (spec.handler->device_code() == nullptr) return cpu_->launch(std::move(spec));
    ControlBlock& control = *spec.control;
    last = std::make_shared<FakeGrid>(std::move(spec), graph_);
    return std::make_unique<FakeResident>(*this, last, control);
  }

  std::shared_ptr<FakeGrid> last;  // that was launched

 protected:
  void* do_alloc(std::size_t bytes) override { return take_memory(bytes); }
  void do_free(void* data, std::size_t bytes) override { give_memory(data, bytes); }

 private:
  std::shared_ptr<WaitGraph> graph_;
  std::unique_ptr<Backend> cpu_;
};

}  // namespace rk::cuda::test
