// Protection: running, nap_*: their thread's. before_*: written once, before any grid runs.
#include "faults.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "world.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RK_DOUBLE_SANITIZED 1
#else
#define RK_DOUBLE_SANITIZED 0
#endif

namespace rk_double {
namespace {

struct Running {
  Device* device;
  Result fault;
  sigjmp_buf back;
};
// Read by a signal handler, so it must not be allocated when it is first looked at.
__attribute__((tls_model("initial-exec"))) thread_local Running* running = nullptr;
std::atomic<unsigned> threads_alive{0};

unsigned long long now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<unsigned long long>(t.tv_sec) * 1'000'000'000u + static_cast<unsigned long long>(t.tv_nsec);
}

// Where each thread comes by often: here grids freeze, and end with their device.
void look_alive() {
  if (running == nullptr) return;
  const World& w = world();
  while (w.frozen.load(std::memory_order_relaxed) && !running->device->dead()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (running->device->dead()) throw Gone{};
}

void barrier(void* block) {
  look_alive();
  auto& here = *static_cast<Block*>(block);
  if (here.threads() != 1) here.turn.wait(1);
}

int barrier_and(void* block, int vote) {
  look_alive();
  auto& here = *static_cast<Block*>(block);
  return here.threads() == 1 ? vote != 0 : here.turn.wait(vote);
}

unsigned exchange(void* block, unsigned warp, unsigned mask, unsigned own_lane, unsigned value, unsigned lane) {
  look_alive();
  return static_cast<Block*>(block)->exchange(warp).run(mask, own_lane, value, lane);
}

void* shared(void* block, unsigned long long bytes, unsigned long long align, unsigned long long* used) {
  return static_cast<Block*>(block)->shared(bytes, align, used);
}

// %globaltimer: the system's time when the device was first asked, and from then on a clock of its own.
// RK_DOUBLE_AHEAD_MS and RK_DOUBLE_FAST_PPM: by how much it is ahead, and how much faster it is; also negative.
unsigned long long time() {
  look_alive();
  static const long long ppm = setting("RK_DOUBLE_FAST_PPM", 0), ahead = setting("RK_DOUBLE_AHEAD_MS", 0);
  static const auto begin = static_cast<long long>(now_ns());
  static const long long first = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  const long long since = static_cast<long long>(now_ns()) - begin;
  return static_cast<unsigned long long>(first + ahead * 1'000'000 + since + since / 1'000'000 * ppm);
}

// A GPU's nap costs nothing. Here a thread that naps shall not keep a core busy: the longer it has done nothing but
// nap, the longer it sleeps; all of them together wake up about 20000 times a second at most. A nap that is shorter
// than the one before, or work in between, say that there is something to do again.
struct Naps {
  unsigned in_a_row = 0, last_ns = 0;
  unsigned long long woke = 0;
};
thread_local Naps naps;

long sleep_ns(unsigned ns) {
  constexpr long kMillisecond = 1'000'000;
  if (ns < 10'000) return naps.in_a_row < 3000 ? 0 : 100'000;
  if (naps.in_a_row < 50) return static_cast<long>(ns);
  if (naps.in_a_row < 300) return 200'000;
  const long all = 50'000 * static_cast<long>(threads_alive.load(std::memory_order_relaxed));
  return std::clamp(all, kMillisecond, 8 * kMillisecond);
}

void nap(unsigned ns) {
  look_alive();
  if (ns == 0) return;
  if (ns < naps.last_ns || now_ns() - naps.woke > 20'000) naps.in_a_row = 0;
  ++naps.in_a_row;
  naps.last_ns = ns;
  const long sleep = sleep_ns(ns);
  if (sleep == 0) {
    sched_yield();
  } else {
    const timespec t{0, sleep};
    nanosleep(&t, nullptr);
  }
  naps.woke = now_ns();
}

void trap() {
  if (running != nullptr) running->fault = kLaunchFailed;
  throw Gone{};
}

struct sigaction before_segv, before_bus;

void on_bad_access(int signal, siginfo_t* info, void* context) {
  if (running != nullptr) siglongjmp(running->back, 1);
  const struct sigaction& before = signal == SIGSEGV ? before_segv : before_bus;
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  sigaction(signal, &before, nullptr);  // and the access is tried again
}

Result run_and_catch(Running& mine, Run kernel, const Thread& self, void** values) {
  try {
    if (sigsetjmp(mine.back, 1) != 0) return kIllegalAddress;  // nothing in the frames of device code has a destructor
    kernel(&self, values);
  } catch (const Gone&) {
  }
  return mine.fault;
}

}  // namespace

const Table kTable{&barrier, &barrier_and, &exchange, &shared, &time, &nap, &trap};

void watch_faults() {
  if (RK_DOUBLE_SANITIZED) return;  // sanitizers say more about a bad access
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction mine{};
    mine.sa_sigaction = &on_bad_access;
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &mine, &before_segv);
    sigaction(SIGBUS, &mine, &before_bus);
  });
}

Result run_guarded(Device& device, Run kernel, const Thread& self, void** values) {
  Running mine{};
  mine.device = &device;
  running = &mine;
  threads_alive.fetch_add(1, std::memory_order_relaxed);
  const Result fault = run_and_catch(mine, kernel, self, values);
  threads_alive.fetch_sub(1, std::memory_order_relaxed);
  running = nullptr;
  return fault;
}

}  // namespace rk_double
