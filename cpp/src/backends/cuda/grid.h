// One launched kernel on the device: its memory, its leases and its bridge; and what the runtime sees of it.
//
// Edges
//   A1  want, park -> anybody   whether the grid is to be on the device; and that it is not
// and those of bridge.h.
//
// Protection: backend_ to memory_: constant after init. bridge_: itself. lease_: lease_mutex_, written by the pump.
// wanted_, away_: atomic, written in turns of the bridge (A1). The rest: the pump.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "bridge.h"
#include "grid_memory.h"
#include "lease.h"
#include "module.h"
#include "pump.h"
#include "ringkernel/runtime/backend.h"

namespace rk::cuda {

struct GridParts {
  std::shared_ptr<Heap> heap;
  std::shared_ptr<Module> module;
  std::uint64_t lease_ns = 0;
  std::shared_ptr<Pump> pump;
  std::shared_ptr<WaitGraph> graph;
  std::shared_ptr<LinkHub> hub;
  Scheduler* scheduler = nullptr;  // for what must not be done by the pump
};

class Grid final : public Pumped, public GridKeeper {
 public:
  // Throws what memory and leases do. Nothing runs before want().
  Grid(ResidentSpec spec, const DeviceCode& code, GridParts parts);
  ~Grid() override;

  Bridge& bridge() { return bridge_; }
  const GridMemory& memory() const { return memory_; }
  Device& device() { return parts_.heap->device(); }
  LeaseCounts lease_counts() const;

  // False: it did not leave the device in time. Throw Error.
  bool fetch(Handler& handler, std::uint64_t deadline_ns);
  void store(Handler& handler);

  // -- Pumped
  Need look() override;
  bool done() override { return done_; }

  // -- GridKeeper
  void want() override;
  bool away() override { return away_.load_acquire() != 0; }  // A1
  void wake() override { parts_.pump->wake(); }
  void let_go(std::shared_ptr<void> kept) override;

 private:
  static LeaseSpec lease_spec(const ResidentSpec& spec, const DeviceCode& code, const GridParts& parts,
                              const GridMemory& memory);
  std::shared_ptr<LeaseRunner> lease() const;
  bool look_after_lease();  // true: it is about to begin
  void park_when_quiet(bool active);
  void abandon();

  const GridParts parts_;
  GridMemory memory_;
  mutable std::mutex lease_mutex_;
  std::shared_ptr<LeaseRunner> lease_;
  LeaseCounts last_counts_{};
  HostAtomics::Atomic<std::uint32_t> wanted_{0};  // A1
  HostAtomics::Atomic<std::uint32_t> away_{1};    // A1
  Bridge bridge_;
  bool lease_wanted_ = false;
  std::uint64_t ticked_ = 0, quiet_since_ = 0;
  bool done_ = false;
};

class GridResident final : public Resident {
 public:
  GridResident(const Backend& backend, std::shared_ptr<Grid> grid, ControlBlock& control, Handler& handler)
      : backend_(backend), grid_(std::move(grid)), control_(control), handler_(handler) {}

  const Backend& backend() const override { return backend_; }
  std::string placement() const override;
  void notify() override { grid_->bridge().notify(); }
  bool obeyed() const override;
  bool join(std::uint64_t deadline_ns) override { return grid_->bridge().join(deadline_ns); }
  void hold(bool on) override { grid_->bridge().hold(on); }
  bool resting() const override { return grid_->bridge().rests(); }
  void resume(std::uint32_t instance) override { grid_->bridge().resume(instance); }
  bool can_stop() const override { return true; }
  bool stop(std::uint32_t instance, std::uint64_t message_id) override {
    return grid_->bridge().stop(instance, message_id);
  }
  std::string failure() const override { return grid_->bridge().failure(); }
  void refresh(std::uint64_t deadline_ns) override { grid_->bridge().refresh(deadline_ns); }
  StatePlace state_place(std::uint32_t instance) const override;
  bool fetch(std::uint64_t deadline_ns) override;
  void store() override { grid_->store(handler_); }
  void for_each_aboard(std::uint32_t instance, const MessageUse& use) override {
    grid_->bridge().for_each_aboard(instance, use);
  }

 private:
  const Backend& backend_;
  const std::shared_ptr<Grid> grid_;
  ControlBlock& control_;
  Handler& handler_;
};

}  // namespace rk::cuda
