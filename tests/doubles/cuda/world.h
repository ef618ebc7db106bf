// What the double knows: its devices, what is planted to fail, what has been handed out.
//
// Protection: World: `mutex`, but for what is atomic and what is constant. Device: its own mutex, but for `sticky_`.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "blocks.h"
#include "entries.h"
#include "results.h"

#define RK_API extern "C" __attribute__((visibility("default")))

namespace rk_double {

class Stream;

struct Config {
  const int devices, sms, blocks_per_sm, compute, driver;
  const std::size_t memory;
  const bool peer, kernel_timeout, sync;
  Config();
};

constexpr int kMaxThreads = 1024, kThreadsPerSm = 2048;
constexpr std::size_t kStaticShared = 49152, kMostShared = 232448;

class Device {
 public:
  Device(const Config& config, int index, int slot);

  // Blocks of this shape that a multiprocessor can hold at once.
  int occupancy(int threads, std::size_t shared_bytes) const;

  bool dead() const { return sticky_.load(std::memory_order_relaxed) != kOk; }
  Result sticky() const { return sticky_.load(std::memory_order_acquire); }
  void fault(Result result, bool planted = false);  // the first one counts
  void recover();
  void context_ended();  // a fault of a kernel ends with its context, one that a test planted does not

  // Room on the multiprocessors. false: the device died meanwhile.
  bool take_room(unsigned blocks, int occupancy);
  // As many blocks as fit, one at least.
  unsigned take_some_room(unsigned blocks, int occupancy);
  void give_room(unsigned blocks, int occupancy);

  void add(Grid* grid);
  void remove(Grid* grid);
  void wait_without_grids();  // or until it is dead

  const Config& config;
  const int index;  // as this process sees it
  const int slot;   // where it is in the machine
  std::atomic<int> retained{0};
  std::set<int> peers;     // World's mutex
  std::size_t memory = 0;  // World's mutex

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<Result> sticky_{kOk};
  bool planted_ = false;
  std::uint64_t room_;
  std::set<Grid*> grids_;
};

struct Piece {
  std::size_t bytes;
  Device* device;
  bool host;
};

struct Plan {
  Result result = kOk;
  int after = 0, times = 0, delay_ms = 0;
  bool stays = false;  // the device is faulted with it, or lost (kUnknown)
};

constexpr auto kEntries = static_cast<std::size_t>(Entry::count);

struct World {
  World();

  const Config config;
  std::vector<std::unique_ptr<Device>> devices;
  std::atomic<bool> hang{false}, frozen{false}, lost{false};

  std::mutex mutex;
  bool initialised = false;
  std::array<Plan, kEntries> plans;
  std::array<int, kEntries> calls{};
  std::map<std::string, int> living;
  std::map<std::uintptr_t, Piece> memory;

  void count(const char* what, int by);
  // The piece of memory that an address is in, or null. Under the mutex.
  const std::pair<const std::uintptr_t, Piece>* piece_at(std::uintptr_t address) const;
};

World& world();
extern const char* const kEntryNames[kEntries];
int entry_number(const std::string& name);  // -1: none

extern thread_local Device* current_device;

enum class Needs { kNothing, kInit, kContext };
// What every entry point begins with: counts, planted failures, what a fault left behind.
Result enter(Entry entry, Needs needs);

#define RK_ENTER(name, needs)                                                                            \
  do {                                                                                                   \
    const rk_double::Result entered = rk_double::enter(rk_double::Entry::name, rk_double::Needs::needs); \
    if (entered != rk_double::kOk) return entered;                                                       \
  } while (0)
Device* device_of(int index);  // null: there is none

long setting(const char* variable, long otherwise);     // of the environment
std::vector<std::string> listed(const char* variable);  // its text, between commas
void* own_library();                                    // of dlopen(): close it again

}  // namespace rk_double
