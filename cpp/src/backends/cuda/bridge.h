// The host's half of a grid: what it does for the instances on the device, message by message.
//
// Messages leave the host's lanes for the down ring, as many as the device has room for; records of the up ring are
// acted upon as if the instance were here: it sends, answers, fails and ends. turn() does all of that, by whoever has
// time for it. Nothing here waits, and what others call with their locks leaves a note only.
//
// Edges (host <-> device, so the scope is the system)
//   C1  notes -> turn       what the host asked for; TurnLock orders the rest
//   C2  host -> router      a command, and where the records end that come before it
//   C3  device -> host      epoch_seen: the rest of the status, and the records of before
//   C4  host -> device      the time: nothing is read because of it
//   K1, K2  control block: control.h
//   E1  turn -> anybody     it is over; how the device answered
//   S1  device -> host      status: single words, of which a late look is a late answer
//   S   counters
//
// Protection: spec_ to units: constant after init; keep_alive_: the turn. Notes (asked_, held_, refresh_asked_): atomic
// (C1). over_, obeyed_, rested_, refreshed_: atomic (E1). Everything else: the turn.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grid_memory.h"
#include "link.h"
#include "peer.h"
#include "ringkernel/runtime/control.h"
#include "turn_lock.h"

namespace rk::cuda {

// Who keeps the grid on its device. Calls come from turns.
class GridKeeper {
 public:
  virtual ~GridKeeper() = default;
  virtual void want() = 0;  // there is something for it to do
  virtual bool away() = 0;  // nothing of it is on the device, or will be before want()
  virtual void wake() = 0;  // any thread, any lock: a turn has to come soon
  // What kept the kernel: it may end with this, but not on a thread that serves grids.
  virtual void let_go(std::shared_ptr<void> kept) = 0;
};

class Bridge final : public PortHelper {
 public:
  // `hub`: of the other grids of the device; nullptr: there are no links.
  Bridge(ResidentSpec spec, const DeviceCode& code, const GridLines& lines, GridKeeper& keeper, WaitGraph& graph,
         std::shared_ptr<LinkHub> hub = nullptr);
  ~Bridge() override;

  // -- any thread, with any lock
  void notify();  // the control block has changed
  void hold(bool on);
  bool obeyed() const;  // what was asked for last, every instance has heard
  bool rests() const;   // what was asked for last is the case, and no handler runs
  void resume(std::uint32_t instance) { peers_[instance].restart(); }
  bool stop(std::uint32_t instance, std::uint64_t message_id) { return peers_[instance].stop(message_id); }
  bool over() const { return over_.load_acquire() != 0; }  // E1
  bool join(std::uint64_t deadline_ns);
  void wake() { keeper_.wake(); }
  void send_down(Peer& peer);  // a message came for it

  // -- any thread, without locks of the runtime
  bool turn();  // true: something was done
  void help() override { turn(); }
  void refresh(std::uint64_t deadline_ns);
  void fail(const std::string& why);  // the device will not answer any more
  std::string failure();

  // -- in a paused kernel
  void for_each_aboard(std::uint32_t instance, const MessageUse& use);

  // -- for who keeps the grid
  // Nothing is under way between host and device. A hint; within `exclusively` it is exact.
  bool quiet() const { return quiet_.load_relaxed() != 0; }  // S
  // When it is over, and nothing of it runs on the device: the buffers that its messages refer to are not used any
  // more.
  void drop_holds();
  void abandon_holds();  // a handler may run on for ever
  // As a turn of its own. Waits for one that is under way.
  template <class Work>
  void exclusively(Work&& work) {
    while (!lock_.run(work)) HostAtomics::pause();
  }

  // -- for its peers, within a turn
  const ResidentSpec& spec() const { return spec_; }
  const DeviceCode& code() const { return code_; }
  const GridShape& shape() const { return lines_.shape; }
  const InstanceStatus& status(std::uint32_t instance) const { return lines_.status[instance]; }
  std::int32_t device_index() const { return lines_.device_index; }
  const std::shared_ptr<void>& kept() const { return keep_alive_; }
  WaitGraph& graph() { return graph_; }
  GridKeeper& keeper() { return keeper_; }
  const GridLines& lines() const { return lines_; }
  LinkHub* hub() { return hub_.get(); }
  Peer& peer(std::uint32_t instance) { return peers_[instance]; }
  std::uint64_t next_command();                         // one is given soon: its number
  bool heard(const Peer& peer, std::uint64_t command);  // it was obeyed, and all records before it
  // A table of ways to so many instances. False: not now.
  bool has_table(std::uint32_t target, std::uint32_t count);
  void keep(std::shared_ptr<DeviceMemory> memory) { kept_.push_back(std::move(memory)); }  // until the device is done
  void abandon_links();                                                                    // it never will be
  u32 asked_to_stop() const;  // kTerminate..., by the host or by a handler
  bool failed() const { return failed_; }
  bool takes_messages() const { return (flags_ & kCommandActive) != 0 && (flags_ & kCommandStopNow) == 0; }
  bool nothing_comes();                        // the device has nothing of it, and is not about to
  bool has_room(const MessageHeader& header);  // in the down ring
  void put_message(std::uint32_t instance, const MessageHeader& header, const std::byte* payload);
  void put(std::uint32_t kind, std::uint32_t instance, std::span<const std::byte> body = {});  // waits in order
  void fail_kernel();       // its handlers failed too often
  void stop_after_drain();  // a handler's request
  void peer_ended();
  std::optional<Address> target(std::uint32_t index, bool anew);

 private:
  struct Control {
    std::uint32_t kind, instance, bytes;
    std::array<std::byte, 32> body;
  };

  bool work();
  bool obey();
  void write_command(u32 flags);
  bool all_answered();
  bool read_up();
  void need_device();
  bool flush_controls();
  void settle();
  void note_heartbeat();
  void load_latencies(bool all);
  void give_up(const std::string& why);
  void conclude();
  void look_at_tables();
  void clear_table(std::uint32_t target);

  // LinkTarget of a target, as the device was told. cleared_with: command behind the record that took it away.
  struct Table {
    std::shared_ptr<DeviceMemory> memory;
    std::uint32_t count = 0;
    std::uint64_t cleared_with = 0;
  };

  ResidentSpec spec_;
  const DeviceCode& code_;
  GridLines lines_;
  GridKeeper& keeper_;
  WaitGraph& graph_;
  std::shared_ptr<void> keep_alive_;
  DownWriter down_;
  UpReader up_;
  std::deque<Peer> peers_;
  std::deque<Control> controls_;
  std::vector<std::uint64_t> targets_;  // address words, as found last; kNowhere
  const std::shared_ptr<LinkHub> hub_;
  std::vector<Table> tables_;  // one for each target
  std::vector<std::shared_ptr<DeviceMemory>> kept_;
  bool command_wanted_ = false;
  TurnLock lock_;

  HostAtomics::Atomic<std::uint64_t> asked_{0};          // C1 counts requests of the host
  HostAtomics::Atomic<std::uint64_t> refresh_asked_{0};  // C1
  HostAtomics::Atomic<std::uint32_t> held_{0};           // C1
  HostAtomics::Atomic<std::uint64_t> rested_{0};         // E1 newest request that was for a rest and is obeyed
  HostAtomics::Atomic<std::uint64_t> obeyed_{0};         // E1 newest request that all instances have heard
  HostAtomics::Atomic<std::uint64_t> refreshed_{0};      // E1
  HostAtomics::Atomic<std::uint32_t> over_{0};           // E1
  HostAtomics::Atomic<std::uint32_t> quiet_{0};          // S

  u32 flags_ = 0;  // of the newest command
  std::uint64_t time_told_ = 0, epoch_ = 0, seen_asked_ = 0, seen_refresh_ = 0;
  bool answered_ = true, up_empty_ = true, own_stop_ = false, failed_ = false;
  std::uint32_t living_ = 0;

  std::mutex mutex_;  // of the end
  std::condition_variable changed_;
  bool ended_ = false;
  std::string failure_;
};

}  // namespace rk::cuda
