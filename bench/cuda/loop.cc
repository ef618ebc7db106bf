// What the CUDA benchmark needs a loop in C for: round trips of 64 bytes by several ways, in turn, and the host's side
// of the litmus tests. Opens the driver by itself; Python makes streams, functions and memory and passes them in.
//
// Protection: a Loop belongs to the thread that calls. Memory that the device writes is read by tagged units alone.
//
// Edges: UD  a unit's store, by the device -> its tag here, then its bytes
//        UH  a unit's bytes here -> its tag, by the device
//        RC  release and acquire of the litmus tests' flags
#include <dlfcn.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 kWords = 16, kUnits = 6, kVariants = 6;
constexpr u64 kArmedNs = 20'000;
constexpr u64 kPatienceNs = 2'000'000'000;
constexpr u32 kCellWords = 32;

u64 now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec);
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Bounds a wait without reading the clock in every turn.
class Patience {
 public:
  bool over() {
    relax();
    if (++turns_ % 4096 != 0) return false;
    const u64 now = now_ns();
    if (end_ == 0) end_ = now + kPatienceNs;
    return now > end_;
  }

 private:
  u64 turns_ = 0, end_ = 0;
};

struct Unit {
  u64 low, high;  // the tag is the upper half of `high`
};

u64 load_acquire(const u64* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
u64 load_relaxed(const u64* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
u32 tag_of(u64 high) { return static_cast<u32>(high >> 32); }

// Waits for all units of an answer. False: they did not come.
bool take_units(const Unit* from, u32 tag, u32* words) {
  Patience patience;
  for (u32 i = 0; i < kUnits; ++i) {
    u64 high;
    while (tag_of(high = load_acquire(&from[i].high)) != tag) {  // UD
      if (patience.over()) return false;
    }
    const u64 low = load_relaxed(&from[i].low);
    words[3 * i] = static_cast<u32>(low);
    words[3 * i + 1] = static_cast<u32>(low >> 32);
    words[3 * i + 2] = static_cast<u32>(high);
  }
  return true;
}

u32 checksum(const u32* words) {
  u32 sum = 0;
  for (u32 i = 0; i < kWords; ++i) sum += words[i] * (2 * i + 1);
  return sum;
}

u32 content(u64 i, u32 round, u32 k) { return static_cast<u32>(i) * 2654435761u + round * 40503u + k + 1; }

struct Driver {
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  int (*synchronize)(void*);
  int (*begin_capture)(void*, int);
  int (*end_capture)(void*, void**);
  int (*instantiate)(void**, void*, unsigned long long);
  int (*launch_graph)(void*, void*);
  int (*wait_value)(void*, unsigned long long, u32, unsigned);
};

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
}

}  // namespace

extern "C" {

// Ours: sends 16 words and waits for the answer; 0 when it came. Made by whoever has the runtime.
typedef int (*RoundTrip)(void* context, const u32* words, u32* answer);

struct Loop {
  Driver driver;
  void *stream, *echo_arguments, *echo_memory, *graph;
  u64 request_device, reply_device, gate_device;
  u64* request;  // 8 words, then the tag
  Unit* reply;
  u64* gate;
  RoundTrip ours;
  void* ours_context;
  u32 tag;
  int error;  // of the driver, from the last call that failed
};

// The variants, by index: 0 ours, 1 launch + sync, 2 launch + flag, 3 graph + sync, 4 graph + flag, 5 armed launch.

__attribute__((visibility("default"))) int rk_loop_open(Loop* loop, const char* driver_library) {
  void* library = dlopen(driver_library, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return -1;
  find(library, "cuLaunchKernel", loop->driver.launch);
  find(library, "cuStreamSynchronize", loop->driver.synchronize);
  find(library, "cuStreamBeginCapture_v2", loop->driver.begin_capture);
  find(library, "cuStreamEndCapture", loop->driver.end_capture);
  find(library, "cuGraphInstantiateWithFlags", loop->driver.instantiate);
  find(library, "cuGraphLaunch", loop->driver.launch_graph);
  find(library, "cuStreamWaitValue32_v2", loop->driver.wait_value);
  return loop->driver.launch == nullptr || loop->driver.synchronize == nullptr ? -2 : 0;
}

}  // extern "C"

namespace {

bool ok(Loop* loop, int result) {
  if (result != 0) loop->error = result;
  return result == 0;
}

bool launch(Loop* loop, void* function, void** parameters) {
  return ok(loop, loop->driver.launch(function, 1, 1, 1, kUnits, 1, 1, 0, loop->stream, parameters, nullptr));
}

bool launch_arguments(Loop* loop, const u32* words, u64 tag) {
  u64 values[10];
  std::memcpy(values, words, kWords * sizeof(u32));
  values[8] = loop->reply_device;
  values[9] = tag;
  void* parameters[10];
  for (u32 i = 0; i < 10; ++i) parameters[i] = &values[i];
  return launch(loop, loop->echo_arguments, parameters);
}

bool launch_memory(Loop* loop) {
  void* parameters[] = {&loop->request_device, &loop->reply_device};
  return launch(loop, loop->echo_memory, parameters);
}

void write_request(Loop* loop, const u32* words, u64 tag) {
  std::memcpy(loop->request, words, kWords * sizeof(u32));
  __atomic_store_n(&loop->request[8], tag, __ATOMIC_RELEASE);
}

bool make_graph(Loop* loop) {
  void* graph = nullptr;
  Driver& driver = loop->driver;
  if (driver.begin_capture == nullptr || driver.end_capture == nullptr || driver.instantiate == nullptr) return false;
  if (!ok(loop, driver.begin_capture(loop->stream, 1))) return false;
  const bool launched = launch_memory(loop);
  return ok(loop, driver.end_capture(loop->stream, &graph)) && launched &&
         ok(loop, driver.instantiate(&loop->graph, graph, 0));
}

bool arm(Loop* loop, u32 tag) {
  constexpr unsigned kGreaterOrEqual = 0;
  return ok(loop, loop->driver.wait_value(loop->stream, loop->gate_device, tag, kGreaterOrEqual)) &&
         launch_memory(loop);
}

enum Variant : u32 { kOurs, kLaunchSync, kLaunchFlag, kGraphSync, kGraphFlag, kArmed };

bool synchronized(Loop* loop) { return ok(loop, loop->driver.synchronize(loop->stream)); }

// From the first thing that the host does to when it has the answer's bytes. 0: it did not come.
u64 timed(Loop* loop, u32 variant, const u32* words, u32 tag, u32* answer) {
  if (variant == kArmed) {
    if (!arm(loop, tag)) return 0;
    const u64 there = now_ns() + kArmedNs;  // what was enqueued is on the device by then
    while (now_ns() < there) relax();
  }
  const u64 begin = now_ns();
  bool done = true;
  switch (variant) {
    case kOurs:
      return loop->ours(loop->ours_context, words, answer) == 0 ? now_ns() - begin : 0;
    case kLaunchSync:
      done = launch_arguments(loop, words, tag) && synchronized(loop);
      break;
    case kLaunchFlag:
      done = launch_arguments(loop, words, tag);
      break;
    case kGraphSync:
    case kGraphFlag:
      write_request(loop, words, tag);
      done = ok(loop, loop->driver.launch_graph(loop->graph, loop->stream));
      if (variant == kGraphSync) done = done && synchronized(loop);
      break;
    default:
      write_request(loop, words, tag);
      __atomic_store_n(reinterpret_cast<u32*>(loop->gate), tag, __ATOMIC_RELEASE);
  }
  if (!done || !take_units(loop->reply, tag, answer)) return 0;
  const u64 took = now_ns() - begin;
  // What ended with the flag has a launch behind it that is not over; the next sample must not wait for it.
  return variant == kLaunchSync || variant == kGraphSync || synchronized(loop) ? took : 0;
}

bool right(const u32* words, const u32* answer) {
  return std::memcmp(words, answer, kWords * sizeof(u32)) == 0 && answer[kWords] == checksum(words);
}

}  // namespace

extern "C" {

// Which of the variants can be run here, as bits.
__attribute__((visibility("default"))) u32 rk_loop_variants(Loop* loop) {
  u32 found = 1u << kLaunchSync | 1u << kLaunchFlag;
  if (loop->ours != nullptr) found |= 1u << kOurs;
  if (loop->driver.launch_graph != nullptr && (loop->graph != nullptr || make_graph(loop)))
    found |= 1u << kGraphSync | 1u << kGraphFlag;
  if (loop->driver.wait_value != nullptr && loop->gate != nullptr) found |= 1u << kArmed;
  return found;
}

// `samples` of each variant in `variants`, in a new random order each time. times: samples x 6, in ns, 0 where none.
// wrong: 6 counts of answers that were not the request with its checksum. Returns the samples made: fewer when an
// answer did not come within two seconds, or the driver failed (Loop::error).
__attribute__((visibility("default"))) u64 rk_loop_run(Loop* loop, u32 variants, u64 samples, u64 seed, u32* times,
                                                       u64* wrong) {
  std::mt19937_64 random(seed);
  for (u64 n = 0; n < samples; ++n) {
    u32 order[kVariants];
    for (u32 i = 0; i < kVariants; ++i) order[i] = i;
    for (u32 i = kVariants - 1; i > 0; --i) std::swap(order[i], order[random() % (i + 1)]);
    for (const u32 variant : order) {
      if ((variants >> variant & 1) == 0) continue;
      u32 words[kWords], answer[kUnits * 3] = {};
      for (u32& word : words) word = static_cast<u32>(random());
      const u64 took = timed(loop, variant, words, ++loop->tag, answer);
      if (took == 0) return n;
      times[n * kVariants + variant] = static_cast<u32>(took);
      if (!right(words, answer)) ++wrong[variant];
    }
  }
  return samples;
}

// Round trips with the bare kernel `bounce`, which is running. Returns how many came.
__attribute__((visibility("default"))) u64 rk_loop_bounce(Unit* request, const Unit* reply, u64 rounds, u32* times) {
  for (u32 round = 1; round <= rounds; ++round) {
    u32 answer[kUnits * 3];
    const u64 begin = now_ns();
    for (u32 i = 0; i < kUnits; ++i) {
      __atomic_store_n(&request[i].low, u64{round} << 32 | i, __ATOMIC_RELAXED);
      __atomic_store_n(&request[i].high, u64{round} << 32 | round, __ATOMIC_RELEASE);  // UH
    }
    if (!take_units(reply, round, answer)) return round - 1;
    times[round - 1] = static_cast<u32>(now_ns() - begin);
    for (u32 i = 0; i < kUnits; ++i) {
      if (answer[3 * i] != i || answer[3 * i + 1] != round || answer[3 * i + 2] != round) return round - 1;
    }
  }
  return rounds;
}

// How long the call that enqueues a launch of `function` takes, without waiting for it. 64 at a time.
__attribute__((visibility("default"))) u64 rk_loop_enqueue(Loop* loop, void* function, u64 samples, u32* times) {
  u64 argument = 0;
  void* parameters[] = {&argument};
  for (u64 n = 0; n < samples; ++n) {
    const u64 begin = now_ns();
    if (!launch(loop, function, parameters)) return n;
    times[n] = static_cast<u32>(now_ns() - begin);
    if (n % 64 == 63 && !synchronized(loop)) return n;
  }
  return synchronized(loop) ? samples : 0;
}

// -- the host's side of the litmus tests; counts: seen, forbidden
// ------------------------------------------------------

// Gives who is launched time to wait for what comes.
__attribute__((visibility("default"))) void rk_loop_settle(u64 ns) {
  const u64 end = now_ns() + ns;
  while (now_ns() < end) relax();
}

__attribute__((visibility("default"))) void rk_loop_fill_cells(u32* cells, u64 count, u32 round) {
  for (u64 i = 0; i < count; ++i) {
    u32* cell = cells + i * kCellWords;
    for (u32 k = 1; k < 9; ++k) __atomic_store_n(cell + k, content(i, round, k), __ATOMIC_RELAXED);
    __atomic_store_n(cell, round, __ATOMIC_RELEASE);  // RC
  }
}

__attribute__((visibility("default"))) void rk_loop_check_cells(const u32* cells, u64 count, u32 round, u64* counts) {
  Patience patience;
  for (u64 i = 0; i < count; ++i) {
    const u32* cell = cells + i * kCellWords;
    while (__atomic_load_n(cell, __ATOMIC_ACQUIRE) != round) {  // RC
      if (patience.over()) return;
    }
    ++counts[0];
    bool wrong = false;
    for (u32 k = 1; k < 9; ++k) wrong |= __atomic_load_n(cell + k, __ATOMIC_RELAXED) != content(i, round, k);
    counts[1] += wrong;
  }
}

// A cell is looked at when the unit beside it is there.
__attribute__((visibility("default"))) void rk_loop_check_ended(const u32* cells, const Unit* units, u64 count,
                                                                u32 round, u64* counts) {
  Patience patience;
  for (u64 i = 0; i < count; ++i) {
    while (tag_of(load_acquire(&units[i].high)) != round) {  // UD
      if (patience.over()) return;
    }
    ++counts[0];
    bool wrong = false;
    for (u32 k = 1; k < 9; ++k) {
      wrong |= __atomic_load_n(cells + i * kCellWords + k, __ATOMIC_RELAXED) != content(i, round, k);
    }
    counts[1] += wrong;
  }
}

__attribute__((visibility("default"))) void rk_loop_fill_units(Unit* units, u64 count, u32 round) {
  for (u64 n = 0; n < count; ++n) {
    const u64 low = u64{content(n, round, 1)} << 32 | content(n, round, 0);
    __atomic_store_n(&units[n].low, low, __ATOMIC_RELAXED);
    __atomic_store_n(&units[n].high, u64{round} << 32 | content(n, round, 2), __ATOMIC_RELEASE);  // UH
  }
}

// Payload of a ring, and then a unit that names it.
__attribute__((visibility("default"))) void rk_loop_fill_ways(u32* cells, Unit* units, u64 count, u32 round) {
  for (u64 i = 0; i < count; ++i) {
    for (u32 k = 1; k < 9; ++k) __atomic_store_n(cells + i * kCellWords + k, content(i, round, k), __ATOMIC_RELAXED);
    __atomic_store_n(&units[i].low, u64{round}, __ATOMIC_RELAXED);
    __atomic_store_n(&units[i].high, u64{round} << 32, __ATOMIC_RELEASE);  // UH
  }
}

// A unit for each word that says that something was taken.
__attribute__((visibility("default"))) void rk_loop_answer_taken(const u32* taken, Unit* units, u64 count, u32 round) {
  Patience patience;
  for (u64 i = 0; i < count; ++i) {
    while (__atomic_load_n(taken + i, __ATOMIC_ACQUIRE) != round) {  // RC
      if (patience.over()) return;
    }
    __atomic_store_n(&units[i].low, u64{round}, __ATOMIC_RELAXED);
    __atomic_store_n(&units[i].high, u64{round} << 32, __ATOMIC_RELEASE);  // UH
  }
}

__attribute__((visibility("default"))) void rk_loop_check_units(const Unit* units, u64 count, u32 round, u64* counts) {
  Patience patience;
  for (u64 n = 0; n < count; ++n) {
    u64 high;
    while (tag_of(high = load_acquire(&units[n].high)) != round) {  // UD
      if (patience.over()) return;
    }
    ++counts[0];
    const u64 low = load_relaxed(&units[n].low);
    counts[1] += low != (u64{content(n, round, 1)} << 32 | content(n, round, 0)) ||
                 static_cast<u32>(high) != content(n, round, 2);
  }
}

}  // extern "C"
