#include "device.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <utility>

namespace rk::cuda {
namespace {

constexpr int kNeededCompute = 75;  // Turing: what resident grids rely on, and the oldest that NVRTC 13 compiles for

constexpr std::uint64_t kAtOnce = 0;

}  // namespace

bool poll_until(std::uint64_t patience_ns, const std::function<bool()>& done) {
  constexpr int kSpins = 64;
  constexpr std::uint64_t kLongest = 1'000'000;
  if (done()) return true;
  const std::uint64_t begin = HostAtomics::monotonic_ns();
  std::uint64_t nap = 10'000;
  for (int turn = 0;; ++turn) {
    if (HostAtomics::monotonic_ns() - begin >= patience_ns) return done();
    if (turn < kSpins) {
      HostAtomics::pause();
    } else {
      std::this_thread::sleep_for(std::chrono::nanoseconds(nap));
      nap = std::min(nap * 2, kLongest);
    }
    if (done()) return true;
  }
}

InContext::InContext(const DriverApi& api, ContextHandle context)
    : api_(api), result_(api.ctx_get_current(&before_)), entry_(api.ctx_get_current.name) {
  if (result_ != kSuccess || before_ == context) return;
  result_ = api_.ctx_set_current(context);
  entry_ = api_.ctx_set_current.name;
  changed_ = result_ == kSuccess;
}

InContext::~InContext() {
  if (changed_) api_.ctx_set_current(before_);
}

// -- the device -------------------------------------------------------------------------------------------------------

std::shared_ptr<Device> Device::open(int index) {
  static std::mutex mutex;
  static auto& devices = *new std::map<int, std::weak_ptr<Device>>;  // never destroyed: threads may outlive statics
  const std::lock_guard lock(mutex);
  std::shared_ptr<Device> device = devices[index].lock();
  if (device == nullptr) {
    device = std::make_shared<Device>(Driver::get(), index);
    devices[index] = device;
  }
  device->throw_if_lost();
  return device;
}

Device::Device(const Driver& driver, int index) : driver_(driver), index_(index) {
  const int count = driver_.device_count();
  if (index < 0 || index >= count) {
    throw Error("BackendUnavailableError", "there is no CUDA device " + std::to_string(index) + ": the driver shows " +
                                               std::to_string(count) + " to this process. " +
                                               advice_for(kInvalidDevice));
  }
  check(api().device_get(&handle_, index), api().device_get.name, "looking for CUDA device " + std::to_string(index));
  read_traits();
  check_requirements();
  check(api().primary_ctx_retain(&context_, handle_), api().primary_ctx_retain.name,
        "making a context on " + description());
  sms_ = std::make_shared<SmBudget>(traits_.sm_count);
}

Device::~Device() {
  if (abandoned()) return;  // the driver would wait for the grid
  api().primary_ctx_release(handle_);
}

int Device::ask(Attribute attribute) {
  int value = 0;
  check(api().device_get_attribute(&value, attribute, handle_), api().device_get_attribute.name,
        "asking CUDA device " + std::to_string(index_) + " what it can do");
  return value;
}

void Device::read_traits() {
  std::array<char, 256> name{};
  const std::string doing = "asking CUDA device " + std::to_string(index_) + " what it can do";
  check(api().device_get_name(name.data(), static_cast<int>(name.size()) - 1, handle_), api().device_get_name.name,
        doing);
  std::size_t memory = 0;
  check(api().device_total_mem(&memory, handle_), api().device_total_mem.name, doing);
  const auto count = [this](Attribute attribute) { return static_cast<std::uint32_t>(std::max(ask(attribute), 0)); };
  traits_ = {.name = name.data(),
             .compute_major = ask(Attribute::kComputeMajor),
             .compute_minor = ask(Attribute::kComputeMinor),
             .sm_count = count(Attribute::kSmCount),
             .max_threads_per_block = count(Attribute::kMaxThreadsPerBlock),
             .max_threads_per_sm = count(Attribute::kMaxThreadsPerSm),
             .max_shared_per_block = count(Attribute::kMaxSharedPerBlock),
             .clock_khz = count(Attribute::kClockKhz),
             .pci_domain = ask(Attribute::kPciDomain),
             .pci_bus = ask(Attribute::kPciBus),
             .pci_device = ask(Attribute::kPciDevice),
             .memory_bytes = memory,
             .cooperative_launch = ask(Attribute::kCooperativeLaunch) != 0,
             .cluster_launch = ask(Attribute::kClusterLaunch) != 0,
             .unified_addressing = ask(Attribute::kUnifiedAddressing) != 0,
             .maps_host_memory = ask(Attribute::kMapsHostMemory) != 0,
             .integrated = ask(Attribute::kIntegrated) != 0,
             .kernel_timeout = ask(Attribute::kKernelTimeout) != 0};
}

void Device::check_requirements() const {
  const auto need = [this](bool is_so, const std::string& what) {
    if (is_so) return;
    throw Error("BackendUnavailableError", "CUDA device " + std::to_string(index_) + " (" + traits_.name +
                                               ") cannot be used: " + what + ". Use another device or backend=\"cpu\"");
  };
  const int compute = traits_.compute_major * 10 + traits_.compute_minor;
  need(compute >= kNeededCompute, "found compute capability " + std::to_string(traits_.compute_major) + "." +
                                      std::to_string(traits_.compute_minor) + ", needed is 7.5 or newer");
  need(traits_.cooperative_launch, "it has no cooperative launches, so the blocks of a grid might wait for each other");
  need(traits_.maps_host_memory, "it cannot map memory of the host");
}

std::string Device::arch() const { return "sm_" + std::to_string(traits_.compute_major * 10 + traits_.compute_minor); }

std::string Device::pci_address() const {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.0", static_cast<unsigned>(traits_.pci_domain),
                static_cast<unsigned>(traits_.pci_bus), static_cast<unsigned>(traits_.pci_device));
  return text.data();
}

std::string Device::description() const {
  return "cuda:" + std::to_string(index_) + " " + traits_.name + ", " + arch() + ", " +
         std::to_string(traits_.sm_count) + " SMs, " + std::to_string(traits_.memory_bytes >> 20) +
         " MiB, driver for CUDA " + version_text(driver_.version()) + ", PCI " + pci_address();
}

bool Device::reaches(const Device& other) const {
  int can = 0;
  if (handle_ == other.handle_) return true;
  return api().device_can_access_peer(&can, handle_, other.handle_) == kSuccess && can != 0;
}

// Unknown to the driver is ordinary memory of the host: "invalid value", which is no error here.
MemoryPlace Device::place_of(DeviceAddress address) {
  const std::string doing = "asking whose memory is at an address";
  const auto& entry = api().pointer_get_attribute;
  const auto ask = [&](PointerAttribute what, void* out) {
    const Result result = try_call(entry, out, what, address);
    if (result == kInvalidValue) return false;
    check(result, entry.name, doing);
    return true;
  };
  constexpr unsigned kOfHost = 1;
  unsigned type = 0, managed = 0;
  DeviceAddress there = 0;
  MemoryPlace place;
  if (!ask(PointerAttribute::kMemoryType, &type)) return place;
  place.known = true;
  ask(PointerAttribute::kIsManaged, &managed);
  if (type == kOfHost || managed != 0) {
    const bool concurrent = managed == 0 || this->ask(Attribute::kConcurrentManagedAccess) != 0;
    place.everywhere = concurrent && ask(PointerAttribute::kDevicePointer, &there) && there == address;
  }
  if (type != kOfHost && !ask(PointerAttribute::kDeviceOrdinal, &place.device)) place.known = false;
  return place;
}

void Device::check(Result result, const char* entry, const std::string& doing) {
  if (result == kSuccess) return;
  try {
    driver_.check(result, entry, doing);
  } catch (const Error& error) {
    if (is_sticky(result) && !lost()) {
      const std::lock_guard lock(mutex_);
      why_lost_ = error.what();
      lost_.store_release(1);  // V1
    }
    throw;
  }
}

std::string Device::why_lost() const {
  const std::lock_guard lock(mutex_);
  return why_lost_;
}

void Device::throw_if_lost() const {
  if (lost()) throw Error("DeviceLostError", "CUDA device " + std::to_string(index_) + " is lost: " + why_lost());
}

// -- quiet ------------------------------------------------------------------------------------------------------------

void Device::add(Resting& grid) {
  const std::lock_guard lock(grids_mutex_);
  grids_.push_back(&grid);
  if (held_) grid.hold(true);
}

void Device::remove(Resting& grid) {
  const std::lock_guard lock(grids_mutex_);
  std::erase(grids_, &grid);
}

void Device::abandon(StreamHandle stream, SmShare share, std::string label) {
  const std::lock_guard lock(grids_mutex_);
  stragglers_.push_back({stream, std::move(share), std::move(label)});
}

bool Device::abandoned() {
  const std::lock_guard lock(grids_mutex_);
  std::erase_if(stragglers_, [this](const Straggler& straggler) {
    if (try_call(api().stream_query, straggler.stream) == kNotReady) return false;
    try_call(api().stream_destroy, straggler.stream);
    return true;
  });
  return !stragglers_.empty();
}

void Device::hold_all(bool on) {
  const std::lock_guard lock(grids_mutex_);
  held_ = on;
  for (Resting* grid : grids_) grid->hold(on);
}

std::string Device::busy_grid() {
  if (abandoned()) {
    const std::lock_guard lock(grids_mutex_);
    return stragglers_.empty() ? "" : stragglers_.front().label;
  }
  const std::lock_guard lock(grids_mutex_);
  const auto busy = std::find_if(grids_.begin(), grids_.end(), [](Resting* grid) { return !grid->idle(); });
  return busy == grids_.end() ? "" : (*busy)->label();
}

void Device::make_quiet(const char* kind, const std::string& doing, std::uint64_t patience_ns) {
  std::function<void()> meanwhile;
  {
    const std::lock_guard lock(mutex_);
    meanwhile = while_waiting_;
  }
  std::string busy;
  const auto all_left = [&] {
    busy = busy_grid();
    if (!busy.empty() && meanwhile) meanwhile();
    return busy.empty();
  };
  if (poll_until(abandoned() ? kAtOnce : patience_ns, all_left)) return;
  throw Error(kind, doing + " needs the device for itself for a moment, but kernel '" + busy +
                        "' did not leave it within " + std::to_string(patience_ns / 1'000'000) +
                        " ms: a handler is still running. Do this before such handlers run, let them end sooner, or "
                        "restart the process if they never end");
}

void Device::quiet(const char* kind, const std::string& doing, std::uint64_t patience_ns,
                   const std::function<void()>& work) {
  const auto set_owner = [this](std::thread::id owner) {
    const std::lock_guard lock(mutex_);
    quiet_owner_ = owner;
  };
  {
    std::unique_lock lock(mutex_);
    const bool mine = quiet_owner_ == std::this_thread::get_id();
    lock.unlock();
    if (mine) return work();
  }
  if (!poll_until(patience_ns, [this] { return quiet_.try_lock(); })) {
    throw Error(kind, doing + " waits for other work on CUDA device " + std::to_string(index_) +
                          " that did not end within " + std::to_string(patience_ns / 1'000'000) + " ms");
  }
  const std::lock_guard one(quiet_, std::adopt_lock);
  struct Rest {
    Device& device;
    const decltype(set_owner)& own;
    ~Rest() {
      own({});
      device.hold_all(false);
    }
  };
  hold_all(true);
  const Rest until_done{*this, set_owner};
  make_quiet(kind, doing, patience_ns);
  set_owner(std::this_thread::get_id());
  work();
}

void Device::while_waiting(std::function<void()> step) {
  const std::lock_guard lock(mutex_);
  while_waiting_ = std::move(step);
}

}  // namespace rk::cuda
