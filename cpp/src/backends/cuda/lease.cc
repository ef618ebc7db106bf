#include "lease.h"

#include <algorithm>
#include <utility>

#include "ringkernel/runtime/control.h"

namespace rk::cuda {

LeaseRunner::LeaseRunner(std::shared_ptr<Device> device, LeaseSpec spec)
    : device_(std::move(device)), spec_(std::move(spec)) {
  const std::uint32_t per_sm = spec_.resident->blocks_per_sm(spec_.block_size, spec_.shared_bytes);
  share_ = device_->sms().reserve(spec_.label, spec_.blocks, per_sm);
  launched_ = std::max(load_acquire(spec_.device_line->lease_ended), load_relaxed(spec_.host_line->leave));  // V2
  left_ = settled_ = launched_;
  int lowest = 0, highest = 0;
  const DriverApi& api = device_->api();
  device_->call("making a stream", api.ctx_get_stream_priority_range, &lowest, &highest);
  device_->call("making a stream", api.stream_create_with_priority, &stream_, kStreamNonBlocking, lowest);
  device_->add(*this);
}

LeaseRunner::~LeaseRunner() {
  device_->remove(*this);
  if (LeaseRunner::idle()) {
    device_->try_call(device_->api().stream_destroy, stream_);
  } else {
    device_->abandon(stream_, std::move(share_), spec_.label);
  }
}

void LeaseRunner::want(bool wanted) {
  const std::lock_guard lock(mutex_);
  wanted_ = wanted;
  obey();
}

void LeaseRunner::hold(bool on) {
  const std::lock_guard lock(mutex_);
  holds_ = on ? holds_ + 1 : holds_ - 1;
  obey();
}

// Leases that are enqueued too: each begins, sees that it is to leave, and is over.
void LeaseRunner::obey() {
  if (active() || left_ == launched_) return;
  left_ = launched_;
  store_release(spec_.host_line->leave, left_);  // V3
}

void LeaseRunner::tick() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (launched_ != settled_ && !failure_) look_when_due(now);
  if (!failure_ && device_->lost()) note_failure(Error("DeviceLostError", device_->why_lost()));
  if (active() && !supplied()) launch(now);
  if (!failure_ || told_) return;
  told_ = true;
  throw Error(*failure_);
}

bool LeaseRunner::supplied() const {
  if (load_acquire(spec_.device_line->lease_begun) < launched_) return true;  // V2 one waits to begin
  if (spec_.lease_ns != 0 || left_ == launched_) return false;
  return load_acquire(spec_.device_line->lease_ended) < launched_;  // V2 it runs without end
}

void LeaseRunner::launch(std::uint64_t now) {
  const bool runs = load_acquire(spec_.device_line->lease_ended) < launched_;  // V2
  std::uint64_t grid = spec_.grid, lease = launched_ + 1, lease_ns = spec_.lease_ns;
  void* arguments[] = {&grid, &lease, &lease_ns};
  const DriverApi& api = device_->api();
  const std::string doing = "launching kernel '" + spec_.label + "'";
  FunctionHandle kernel = spec_.resident->handle();
  try {
    if (spec_.cooperative) {
      device_->call(doing, api.launch_cooperative, kernel, spec_.blocks, 1u, 1u, spec_.block_size, 1u, 1u,
                    spec_.shared_bytes, stream_, arguments);
    } else {
      device_->call(doing, api.launch_kernel, kernel, spec_.blocks, 1u, 1u, spec_.block_size, 1u, 1u,
                    spec_.shared_bytes, stream_, arguments, nullptr);
    }
  } catch (const Error& error) {
    return note_failure(error);
  }
  if (!runs && left_ < launched_) gaps_.fetch_add_relaxed(1);  // S
  if (runs) renewals_.fetch_add_relaxed(1);                    // S
  launches_.fetch_add_relaxed(1);                              // S
  launched_ = lease;
  starting_since_ = 0;
  looked_at_ = now;
  look();  // a launch may stay in a buffer of the driver until the next call
}

// A lease that is about to begin is kicked each time; one that runs is looked at now and then.
void LeaseRunner::look_when_due(std::uint64_t now) {
  const std::uint64_t begun = load_acquire(spec_.device_line->lease_begun);  // V2
  const std::uint64_t ended = load_acquire(spec_.device_line->lease_ended);  // V2
  const bool starting = ended >= begun;
  if (!starting) {
    starting_since_ = 0;
    if (now - looked_at_ < spec_.check_interval_ns) return;
  }
  looked_at_ = now;
  look();
  if (!starting || launched_ == settled_ || failure_) return;
  if (starting_since_ == 0) starting_since_ = now;
  if (now - starting_since_ < spec_.start_patience_ns) return;
  note_failure(Error("DeviceError", "kernel '" + spec_.label + "' was launched on " + device_->description() +
                                        ", but did not begin within " +
                                        std::to_string(spec_.start_patience_ns / 1'000'000) +
                                        " ms: other work, of this process or another, fills the device or its queues "
                                        "(CUDA_DEVICE_MAX_CONNECTIONS)"));
}

void LeaseRunner::look() {
  const auto& query = device_->api().stream_query;
  const Result result = device_->try_call(query, stream_);
  if (result == kNotReady) return;
  if (result == kSuccess) return settle();
  try {
    device_->check(result, query.name, "running kernel '" + spec_.label + "'");
  } catch (const Error& error) {
    note_failure(error);
  }
}

// The stream is empty, so all that its grids wrote is there.
void LeaseRunner::settle() {
  const DeviceLine& line = *spec_.device_line;
  settled_ = launched_;
  if (load_acquire(line.lease_ended) == launched_) return;                                         // V2
  const std::uint32_t fault = load_relaxed(line.fault), detail = load_relaxed(line.fault_detail);  // V2
  note_failure(Error("DeviceError", "kernel '" + spec_.label + "' left the device without saying so (fault " +
                                        std::to_string(fault) + ", " + std::to_string(detail) +
                                        "): its memory was overwritten, or the library is broken; please report it"));
}

void LeaseRunner::note_failure(const Error& error) {
  if (!failure_) failure_ = error;
  obey();
}

bool LeaseRunner::idle() {
  const std::lock_guard lock(mutex_);
  if (launched_ != settled_) look();
  return launched_ == settled_ || device_->lost();
}

bool LeaseRunner::wait_idle(std::uint64_t deadline_ns) {
  const std::uint64_t now = HostAtomics::monotonic_ns();
  return poll_until(deadline_ns > now ? deadline_ns - now : 0, [this] { return idle(); });
}

bool LeaseRunner::wanted() const {
  const std::lock_guard lock(mutex_);
  return wanted_;
}

bool LeaseRunner::failed() const {
  const std::lock_guard lock(mutex_);
  return failure_.has_value();
}

std::uint64_t LeaseRunner::newest() const {
  const std::lock_guard lock(mutex_);
  return launched_;
}

LeaseCounts LeaseRunner::counts() const {
  return {launches_.load_relaxed(), renewals_.load_relaxed(), gaps_.load_relaxed()};  // S
}

}  // namespace rk::cuda
