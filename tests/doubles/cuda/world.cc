#include "world.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace rk_double {
namespace {

constexpr std::uint64_t kSmRoom = 27720;  // every number up to 12, and 14 to 16, divides it or nearly so

int number(const char* name, int otherwise) { return static_cast<int>(setting(name, otherwise)); }

std::uint64_t room_of(unsigned blocks, int occupancy) { return blocks * (kSmRoom / static_cast<unsigned>(occupancy)); }

int number_in(const std::string& text, char mark, int otherwise) {
  const std::size_t at = text.find(mark);
  return at == std::string::npos ? otherwise : std::atoi(text.c_str() + at + 1);
}

}  // namespace

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != 0 ? std::strtol(text, nullptr, 10) : otherwise;
}

std::vector<std::string> listed(const char* variable) {
  const char* text = std::getenv(variable);
  const std::string list = text != nullptr ? text : "";
  std::vector<std::string> all;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end != at) all.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return all;
}

Config::Config()
    : devices(number("RK_DOUBLE_DEVICES", 1)),
      sms(number("RK_DOUBLE_SMS", 64)),
      blocks_per_sm(number("RK_DOUBLE_BLOCKS_PER_SM", 16)),
      compute(number("RK_DOUBLE_COMPUTE", 90)),
      driver(number("RK_DOUBLE_DRIVER", 13000)),
      memory(static_cast<std::size_t>(setting("RK_DOUBLE_MEMORY", 16l << 30))),
      peer(number("RK_DOUBLE_PEER", 0) != 0),
      kernel_timeout(number("RK_DOUBLE_KERNEL_TIMEOUT", 0) != 0),
      sync(number("RK_DOUBLE_SYNC", 0) != 0) {}

// -- Device
// ------------------------------------------------------------------------------------------------------------

Device::Device(const Config& given, int number, int place)
    : config(given), index(number), slot(place), room_(static_cast<std::uint64_t>(given.sms) * kSmRoom) {}

int Device::occupancy(int threads, std::size_t shared_bytes) const {
  if (threads <= 0 || threads > kMaxThreads || shared_bytes > kMostShared) return 0;
  const int warps = (threads + 31) / 32 * 32;
  int blocks = std::min(config.blocks_per_sm, kThreadsPerSm / warps);
  if (shared_bytes != 0) blocks = std::min(blocks, static_cast<int>((kMostShared + 1024) / (shared_bytes + 1024)));
  return blocks;
}

void Device::fault(Result result, bool planted) {
  const std::lock_guard lock(mutex_);
  planted_ = planted_ || planted;
  if (sticky_.load(std::memory_order_relaxed) == kOk || planted) sticky_.store(result, std::memory_order_release);
  for (Grid* grid : grids_) grid->kill();
  changed_.notify_all();
}

void Device::recover() {
  const std::lock_guard lock(mutex_);
  planted_ = false;
  sticky_.store(kOk, std::memory_order_release);
}

void Device::context_ended() {
  const std::lock_guard lock(mutex_);
  if (!planted_ && grids_.empty()) sticky_.store(kOk, std::memory_order_release);
}

bool Device::take_room(unsigned blocks, int occupancy) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return room_ >= room_of(blocks, occupancy) || dead(); });
  if (dead()) return false;
  room_ -= room_of(blocks, occupancy);
  return true;
}

unsigned Device::take_some_room(unsigned blocks, int occupancy) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return room_ >= room_of(1, occupancy) || dead(); });
  if (dead()) return 0;
  const unsigned taken = static_cast<unsigned>(std::min<std::uint64_t>(blocks, room_ / room_of(1, occupancy)));
  room_ -= room_of(taken, occupancy);
  return taken;
}

void Device::give_room(unsigned blocks, int occupancy) {
  const std::lock_guard lock(mutex_);
  room_ += room_of(blocks, occupancy);
  changed_.notify_all();
}

void Device::add(Grid* grid) {
  const std::lock_guard lock(mutex_);
  grids_.insert(grid);
  if (dead()) grid->kill();
}

void Device::remove(Grid* grid) {
  const std::lock_guard lock(mutex_);
  grids_.erase(grid);
  changed_.notify_all();
}

void Device::wait_without_grids() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return grids_.empty() || dead(); });
}

// -- World
// -------------------------------------------------------------------------------------------------------------

const char* const kEntryNames[kEntries] = {
#define RK_DOUBLE_NAME(name) #name,
    RK_DOUBLE_ENTRIES(RK_DOUBLE_NAME)
#undef RK_DOUBLE_NAME
};

int entry_number(const std::string& name) {
  const auto* found = std::find(std::begin(kEntryNames), std::end(kEntryNames), name);
  return found == std::end(kEntryNames) ? -1 : static_cast<int>(found - std::begin(kEntryNames));
}

World::World() {
  const auto add = [this](int slot) {
    devices.push_back(std::make_unique<Device>(config, static_cast<int>(devices.size()), slot));
  };
  const std::vector<std::string> visible = listed("RK_DOUBLE_VISIBLE");
  for (const std::string& one : visible) {
    const int slot = std::atoi(one.c_str());
    if (slot < 0 || slot >= config.devices) break;  // as the driver: what comes after it is not seen
    add(slot);
  }
  for (int i = 0; visible.empty() && i < config.devices; ++i) add(i);
  for (const std::string& one : listed("RK_DOUBLE_FAIL")) {
    const int entry = entry_number(one.substr(0, one.find('=')));
    if (entry < 0) continue;
    Plan& plan = plans[static_cast<std::size_t>(entry)];
    plan = {number_in(one, '=', kUnknown), number_in(one, '@', 0), number_in(one, '*', -1), 0,
            one.find('!') != std::string::npos};
  }
  hang = number("RK_DOUBLE_HANG", 0) != 0;
  const int sticky = number("RK_DOUBLE_STICKY", 0);
  for (auto& device : devices) {
    if (sticky != 0) device->fault(sticky, true);
  }
}

World& world() {
  static auto* made = new World;  // never destroyed: streams may outlive main()
  return *made;
}

void World::count(const char* what, int by) {
  const std::lock_guard lock(mutex);
  living[what] += by;
}

const std::pair<const std::uintptr_t, Piece>* World::piece_at(std::uintptr_t address) const {
  auto found = memory.upper_bound(address);
  if (found == memory.begin()) return nullptr;
  --found;
  return address - found->first < found->second.bytes ? &*found : nullptr;
}

thread_local Device* current_device = nullptr;

Device* device_of(int index) {
  const auto& devices = world().devices;
  return index >= 0 && static_cast<std::size_t>(index) < devices.size() ? devices[static_cast<std::size_t>(index)].get()
                                                                        : nullptr;
}

namespace {
Result planned(Entry entry, int& delay_ms, bool& stays) {
  World& w = world();
  const std::lock_guard lock(w.mutex);
  const auto at = static_cast<std::size_t>(entry);
  ++w.calls[at];
  Plan& plan = w.plans[at];
  delay_ms = plan.delay_ms;
  if (plan.after > 0) {
    --plan.after;
    return kOk;
  }
  if (plan.times == 0) return kOk;
  if (plan.times > 0) --plan.times;
  stays = plan.stays;
  return plan.result;
}
void make_stay(Result result) {
  if (result == kUnknown) world().lost = true;
  for (auto& device : world().devices) device->fault(result, true);
}
bool initialised() {
  const std::lock_guard lock(world().mutex);
  return world().initialised;
}
}  // namespace

Result enter(Entry entry, Needs needs) {
  int delay_ms = 0;
  bool stays = false;
  const Result planted = planned(entry, delay_ms, stays);
  if (delay_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
  if (stays) make_stay(planted);
  if (planted != kOk) return planted;
  if (needs == Needs::kNothing) return kOk;
  if (!initialised()) return kNotInitialized;
  if (world().lost) return kUnknown;
  if (needs == Needs::kInit) return kOk;
  return current_device == nullptr ? kInvalidContext : current_device->sticky();
}

}  // namespace rk_double
