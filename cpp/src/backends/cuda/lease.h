// Keeps a grid on its device, lease by lease.
//
// A lease is one launch, cooperative as a rule. While the grid is wanted, the next lease is enqueued as soon as one has
// begun, on the same stream: the device starts it when the last block of the former has left, without the host. Nothing
// here waits, except wait_idle(), which has a deadline.
//
// Edges
//   V2  device -> host  DeviceLine: a lease has begun; one is over, and its blocks touch nothing any more
//   V3  host -> device  HostLine::leave: a late look is a late leave
//   S   counters
//
// Protection: device_, spec_, share_, stream_: constant after init. wanted_ to told_: mutex_. Counters:
// atomic (S). HostLine::leave is written here alone, with mutex_.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "module.h"
#include "ringkernel/abi/device_grid.h"

namespace rk::cuda {

struct LeaseSpec {
  std::string label;  // the kernel's name, for people
  Function* resident = nullptr;
  DeviceAddress grid = 0;  // of the GridBlock
  HostLine* host_line = nullptr;
  const DeviceLine* device_line = nullptr;
  std::uint32_t blocks = 0;  // the router's too
  std::uint32_t block_size = 0;
  std::uint32_t shared_bytes = 0;                    // dynamic, of each block
  std::uint64_t lease_ns = 0;                        // 0: without end; nothing is enqueued behind it
  std::uint64_t check_interval_ns = 10'000'000;      // how often a running grid is looked at for failures
  std::uint64_t start_patience_ns = 10'000'000'000;  // after that a grid that did not begin is an error
  bool cooperative = true;  // false: that all blocks are resident at once rests on the budget of SMs alone
};

struct LeaseCounts {
  std::uint64_t launches;  // leases enqueued
  std::uint64_t renewals;  // of these, behind one that ran
  std::uint64_t gaps;      // times that the grid was wanted, but the device had no lease to go on with
};

class LeaseRunner final : public Resting {
 public:
  // The lines are pinned; they and the grid outlive this, and HostLine::leave and both lease words are 0 or as the
  // last runner of this grid left them. Throws InsufficientSmsError when the grid does not fit beside the others.
  LeaseRunner(std::shared_ptr<Device> device, LeaseSpec spec);
  // The owner has waited until it was idle; if not, the device is abandoned: see Device::abandon().
  ~LeaseRunner() override;

  // Begin, or go on, or leave as soon as no handler runs. Not wanted at first. A grid all of whose instances have ended
  // leaves by itself and would be launched again: it is not wanted any more.
  void want(bool wanted);
  bool wanted() const;

  // To be called again and again by whoever serves the grid: every ~50 us while it starts, each ms at least while it
  // runs. Throws what became of the grid, once: InsufficientSmsError, DeviceLostError, DeviceError. It is failed then.
  void tick();
  bool failed() const;

  bool idle() override;
  // True: idle. False: the deadline (HostAtomics::monotonic_ns) has passed.
  bool wait_idle(std::uint64_t deadline_ns);

  void hold(bool on) override;
  std::string label() const override { return spec_.label; }
  std::uint64_t newest() const;  // number of the newest lease
  LeaseCounts counts() const;

 private:
  bool active() const { return wanted_ && holds_ == 0 && !failure_; }
  bool supplied() const;           // there are leases enough
  void obey();                     // leave, where it is not active
  void launch(std::uint64_t now);  // one more lease
  void look();                     // asks the stream
  void look_when_due(std::uint64_t now);
  void settle();  // the stream is empty
  void note_failure(const Error& error);

  const std::shared_ptr<Device> device_;
  const LeaseSpec spec_;
  SmShare share_;
  StreamHandle stream_ = nullptr;

  mutable std::mutex mutex_;
  bool wanted_ = false;
  std::uint32_t holds_ = 0;
  std::uint64_t launched_ = 0;        // number of the newest lease
  std::uint64_t left_ = 0;            // newest lease that was told to leave
  std::uint64_t settled_ = 0;         // newest lease that the stream was seen empty after
  std::uint64_t looked_at_ = 0;       // ns
  std::uint64_t starting_since_ = 0;  // ns; 0: none is about to begin
  std::optional<Error> failure_;
  bool told_ = false;  // tick() has thrown failure_

  HostAtomics::Atomic<std::uint64_t> launches_{0}, renewals_{0}, gaps_{0};  // S
};

}  // namespace rk::cuda
