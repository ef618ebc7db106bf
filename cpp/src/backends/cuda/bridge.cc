#include "bridge.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include "ringkernel/runtime/error.h"

namespace rk::cuda {
namespace {

constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
constexpr std::uint64_t kTellTimeNs = 50'000;
constexpr int kMostRecords = 256;  // of one turn; then it is the messages' turn again

}  // namespace

Bridge::Bridge(ResidentSpec spec, const DeviceCode& code, const GridLines& lines, GridKeeper& keeper, WaitGraph& graph,
               std::shared_ptr<LinkHub> hub)
    : spec_(std::move(spec)),
      code_(code),
      lines_(lines),
      keeper_(keeper),
      graph_(graph),
      keep_alive_(std::exchange(spec_.keep_alive, nullptr)),
      down_(lines.down, lines.shape.down, lines.shape.max_body, *lines.device),
      up_(lines.up, lines.shape.up, lines.shape.max_body, *lines.host),
      targets_(code.targets.size(), kNowhere),
      hub_(std::move(hub)),
      tables_(code.targets.size()),
      living_(lines.shape.instances) {
  const Address first = spec_.self;
  std::uint32_t index = 0;
  for (InstanceRecord& record : *spec_.instances) {
    peers_.emplace_back(*this, record, Address::make(first.node(), first.kernel(), index++));
  }
  if (spec_.outbox != nullptr) spec_.outbox->set_helper(*this);
  if (hub_) hub_->add(*spec_.switchboard, spec_.self, *this);
}

Bridge::~Bridge() {
  if (hub_) hub_->remove(*spec_.switchboard, spec_.self);
  for (Peer& peer : peers_) peer.leave_links();
}

// -- notes ------------------------------------------------------------------------------------------------------------

void Bridge::notify() {
  (void)asked_.fetch_add_acq_rel(1);  // C1
  keeper_.wake();
}

void Bridge::hold(bool on) {
  held_.store_release(on ? 1 : 0);  // C1
  notify();
}

bool Bridge::rests() const {
  return over() || rested_.load_acquire() == asked_.load_acquire();  // E1 C1
}

bool Bridge::obeyed() const {
  return over() || obeyed_.load_acquire() == asked_.load_acquire();  // E1 C1
}

bool Bridge::join(std::uint64_t deadline_ns) {
  std::unique_lock lock(mutex_);
  while (!ended_) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    if (now >= deadline_ns) return false;
    const auto patience = std::min<std::uint64_t>(deadline_ns - now, 50'000'000);
    changed_.wait_for(lock, std::chrono::nanoseconds(patience));
  }
  return true;
}

// What another one left a note for meanwhile is anybody's.
void Bridge::send_down(Peer& peer) {
  bool first = true;
  lock_.run([&] {
    if (over() || !takes_messages()) return;
    if (std::exchange(first, false)) {
      peer.send_down(false);
      return;
    }
    for (Peer& other : peers_) other.send_down(false);
  });
  keeper_.wake();
}

// -- records to the device --------------------------------------------------------------------------------------------

void Bridge::need_device() {
  quiet_.store_relaxed(0);  // S
  keeper_.want();
}

bool Bridge::flush_controls() {
  while (!controls_.empty()) {
    const Control& next = controls_.front();
    if (!down_.try_put(next.kind, next.instance, {std::span(next.body.data(), next.bytes)})) return false;
    controls_.pop_front();
  }
  return true;
}

void Bridge::put(std::uint32_t kind, std::uint32_t instance, std::span<const std::byte> body) {
  need_device();
  if (flush_controls() && down_.try_put(kind, instance, {body})) return;
  Control control{kind, instance, static_cast<std::uint32_t>(body.size()), {}};
  std::copy(body.begin(), body.end(), control.body.begin());
  controls_.push_back(control);
}

bool Bridge::has_room(const MessageHeader& header) {
  return flush_controls() && down_.has_room_for(sizeof(header) + header.payload_size);
}

void Bridge::put_message(std::uint32_t instance, const MessageHeader& header, const std::byte* payload) {
  need_device();
  down_.try_put(kDownMessage, instance, {bytes_of(header), std::span(payload, header.payload_size)});
}

std::uint64_t Bridge::next_command() {
  command_wanted_ = true;
  return epoch_ + 1;
}

bool Bridge::heard(const Peer& peer, std::uint64_t command) {
  return peer.answered_epoch() >= command || (epoch_ >= command && keeper_.away());
}

// -- tables of ways ---------------------------------------------------------------------------------------------------

bool Bridge::has_table(std::uint32_t target, std::uint32_t count) {
  Table& table = tables_[target];
  if (table.cleared_with != 0) return false;
  if (table.memory && table.count == count) return true;
  if (table.memory) {  // the kernel of this name is another one now
    const bool used = std::any_of(peers_.begin(), peers_.end(), [&](const Peer& one) { return one.has_way(target); });
    if (!used) clear_table(target);
    return false;
  }
  constexpr std::size_t kCounter = 256;
  DeviceMemory memory = hub_->take(kCounter + std::size_t{lines_.shape.instances} * count * sizeof(LinkEntry));
  if (memory.size() == 0) return false;
  table = {std::make_shared<DeviceMemory>(std::move(memory)), count, 0};
  const DeviceAddress counter = table.memory->address();
  put(kDownLink, 0, bytes_of(LinkBody{target, kAllOfTarget, count, 0, counter + kCounter, counter}));
  return true;
}

void Bridge::clear_table(std::uint32_t target) {
  put(kDownLink, 0, bytes_of(LinkBody{target, kAllOfTarget, 0, 0, 0, 0}));
  tables_[target].cleared_with = next_command();
}

void Bridge::look_at_tables() {
  for (Table& table : tables_) {
    if (table.cleared_with == 0) continue;
    const auto knows = [&](const Peer& one) { return heard(one, table.cleared_with); };
    if (std::all_of(peers_.begin(), peers_.end(), knows)) table = {};
  }
}

void Bridge::abandon_links() {
  for (const Table& table : tables_) {
    if (table.memory) kept_.push_back(table.memory);
  }
  for (Peer& peer : peers_) peer.collect_memory(kept_);
  for (const auto& memory : kept_) memory->abandon();
}

std::optional<Address> Bridge::target(std::uint32_t index, bool anew) {
  std::uint64_t& known = targets_[index];
  if (known == kNowhere || anew) {
    const std::optional<Address> found = spec_.switchboard->find_receiver(code_.targets[index]);
    if (!found) return std::nullopt;
    known = found->word;
  }
  return Address{known};
}

// -- what the host asks for -------------------------------------------------------------------------------------------

u32 Bridge::asked_to_stop() const {
  const u32 asked = load_acquire(spec_.control->should_terminate);  // K1
  return asked == kTerminateNo && own_stop_ ? u32{kTerminateAfterDrain} : asked;
}

// A kernel that is paused or held ends without handling.
bool Bridge::obey() {
  const std::uint64_t asked = asked_.load_acquire();                                             // C1
  const std::uint64_t refresh = refresh_asked_.load_acquire();                                   // C1
  const bool active = load_acquire(spec_.control->is_active) != 0 && held_.load_acquire() == 0;  // K1 C1
  const u32 stop = asked_to_stop();
  u32 flags = active ? u32{kCommandActive} : 0;
  if (stop != kTerminateNo) flags |= kCommandDraining;
  if (failed_ || stop == kTerminateNow || (stop != kTerminateNo && !active)) {
    flags = kCommandStopNow | kCommandDraining;
  }
  seen_asked_ = asked;
  if (flags == flags_ && refresh == seen_refresh_ && !command_wanted_) return false;
  if (!flush_controls()) return false;
  seen_refresh_ = refresh;
  command_wanted_ = false;
  write_command(flags);
  return true;
}

void Bridge::write_command(u32 flags) {
  const bool newly_active = (flags & ~flags_ & kCommandActive) != 0;
  flags_ = flags;
  answered_ = false;
  ++epoch_;
  store_relaxed(lines_.host->after, u64{down_.written()});                         // C2
  store_release(lines_.host->command, u64{epoch_ << kCommandEpochShift | flags});  // C2
  if (newly_active) need_device();
}

bool Bridge::all_answered() {
  if (keeper_.away()) return true;
  return std::all_of(peers_.begin(), peers_.end(), [this](const Peer& one) { return one.answered_epoch() >= epoch_; });
}

bool Bridge::nothing_comes() {
  if (!keeper_.away() || up_.try_peek() != nullptr) return false;
  return up_empty_;
}

void Bridge::fail_kernel() { failed_ = true; }

void Bridge::stop_after_drain() { own_stop_ = true; }

// -- turns ------------------------------------------------------------------------------------------------------------

bool Bridge::turn() {
  bool any = false;
  lock_.run([&] {
    if (over()) return;
    try {
      any |= work();
    } catch (const std::exception& error) {
      give_up(error.what());
    }
  });
  return any;
}

// The status is looked at before the records that came before it are acted upon, so that what they cause is there when
// somebody concludes from the status that nothing is left.
bool Bridge::work() {
  const std::uint64_t now = HostAtomics::monotonic_ns();
  if (now - time_told_ >= kTellTimeNs) {  // the device polls that line: it is written no more often than is of use
    time_told_ = now;
    store_relaxed(lines_.host->host_time, u64{spec_.clock->clock().now()});  // C4
  }
  bool any = false;
  bool linked = false;
  for (Peer& peer : peers_) {
    any |= peer.look_at_links();
    linked |= peer.is_linked();
  }
  look_at_tables();
  any |= obey();
  const bool now_answered = !answered_ && all_answered();
  for (Peer& peer : peers_) {
    if (!peer.over() && (now_answered || peer.busy())) peer.look();
  }
  if (refreshed_.load_relaxed() != seen_refresh_) load_latencies(false);  // E1 own
  any |= flush_controls() && read_up();
  for (Peer& peer : peers_) any |= peer.serve();
  if (now_answered && up_empty_) answered_ = true;
  if (any || now_answered || linked) note_heartbeat();
  settle();
  if (living_ == 0) conclude();
  return any;
}

bool Bridge::read_up() {
  bool any = false;
  up_empty_ = false;
  for (int n = 0; n < kMostRecords; ++n) {
    const UpReader::Record* record = up_.try_peek();
    if (record == nullptr) {
      up_empty_ = true;
      break;
    }
    if (record->head.instance >= peers_.size()) {
      throw Error("DeviceError", "a record of instance " + std::to_string(record->head.instance) +
                                     " came from the device: its memory was overwritten, or the library is broken; "
                                     "please report it");
    }
    Peer& peer = peers_[record->head.instance];
    if (!peer.act(*record)) break;
    peer.publish();
    up_.release();
    any = true;
  }
  up_.publish();
  return any;
}

void Bridge::settle() {
  const bool all = answered_ && controls_.empty() && !command_wanted_;
  if (all) obeyed_.store_release(seen_asked_);                                    // E1
  if (all && (flags_ & kCommandActive) == 0) rested_.store_release(seen_asked_);  // E1
  if (all && refreshed_.load_relaxed() != seen_refresh_) {                        // E1 own
    if (keeper_.away()) load_latencies(true);                                     // it has left them as they are
    refreshed_.store_release(seen_refresh_);                                      // E1
  }
  const bool busy = std::any_of(peers_.begin(), peers_.end(), [](const Peer& one) { return one.busy(); });
  quiet_.store_relaxed(all && !busy && up_empty_ && down_.drained() ? 1 : 0);  // S
}

void Bridge::note_heartbeat() {
  u64 handled = 0, failed = 0;
  for (const InstanceRecord& record : *spec_.instances) failed += record.failed.load_relaxed();  // S
  for (const Peer& peer : peers_) handled += peer.handled();
  ControlBlock& control = *spec_.control;
  if (handled == load_relaxed(control.messages_processed)) return;        // S
  store_relaxed(control.messages_processed, handled);                     // S
  store_relaxed(control.error_count, static_cast<u32>(failed));           // S
  store_relaxed(control.heartbeat, load_relaxed(control.heartbeat) + 1);  // S
}

// Of each instance that has answered: one that has not, because its handler still runs, keeps nobody waiting.
void Bridge::load_latencies(bool all) {
  std::size_t at = 0;
  for (Peer& peer : peers_) {
    const u64* words = lines_.latencies + at++ * 2 * kLatencyWords;
    if (!all && !peer.loads_for(epoch_)) continue;
    peer.look();
    peer.load_latencies(words);
  }
}

void Bridge::for_each_aboard(std::uint32_t instance, const MessageUse& use) {
  bool done = false;
  exclusively([&] {
    if (std::exchange(done, true)) return;
    peers_[instance].for_each_aboard(use);
    peers_[instance].for_each_linked(use);
  });
}

void Bridge::refresh(std::uint64_t deadline_ns) {
  const std::uint64_t mine = refresh_asked_.fetch_add_acq_rel(1) + 1;  // C1
  keeper_.wake();
  for (unsigned tries = 0; refreshed_.load_acquire() < mine && !over(); ++tries) {  // E1
    if (HostAtomics::monotonic_ns() >= deadline_ns) return;
    turn();
    if (tries < 256) {
      HostAtomics::pause();
      continue;
    }
    const HostAtomics::Atomic<std::uint32_t> nobody{0};
    HostAtomics::park(nobody, 0, 50'000);
  }
}

// -- the end ----------------------------------------------------------------------------------------------------------

void Bridge::peer_ended() { --living_; }

void Bridge::fail(const std::string& why) {
  exclusively([&] {
    if (!over()) give_up(why);
  });
}

std::string Bridge::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Bridge::give_up(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = why;
  }
  failed_ = true;
  ++epoch_;
  const u64 end = epoch_ << kCommandEpochShift | kCommandAbort | kCommandStopNow | kCommandDraining;
  store_release(lines_.host->command, end);  // C2
  for (Peer& peer : peers_) peer.give_up(why);
  conclude();
}

void Bridge::drop_holds() {
  exclusively([this] {
    for (Peer& peer : peers_) peer.drop_holds();
  });
}

void Bridge::abandon_holds() {
  exclusively([this] {
    for (Peer& peer : peers_) peer.abandon_holds();
  });
}

// Whoever joined may end the process: nothing of the kernel is touched afterwards.
void Bridge::conclude() {
  load_latencies(true);
  for (Peer& peer : peers_) peer.count_handled();
  spec_.handler->ends();
  store_release(spec_.control->state, u32{failed_ ? kDeviceFailed : kDeviceTerminated});  // K2
  store_release(spec_.control->has_terminated, u32{1});                                   // K2
  spec_.switchboard->on_end(spec_.self);
  over_.store_release(1);  // E1
  keeper_.wake();          // it may sleep until somebody says that there is something to look at
  keeper_.let_go(std::move(keep_alive_));
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace rk::cuda
