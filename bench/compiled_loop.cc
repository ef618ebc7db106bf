// Handlers alone, without rings and threads: what a message costs in code of each kind, called as the resident loop
// calls it. Each sends through the same table of services.
#include <chrono>
#include <cstdint>
#include <cstring>

#include "ringkernel/compiled.h"

#pragma GCC visibility push(default)
extern "C" {

struct bench_sample {
  std::uint32_t kind, dest;
  std::int32_t amount;
  float value;
};
struct bench_tally {
  std::uint32_t count;
  std::int32_t sum;
  float mean;
};
// What a compiler makes of a handler by itself: one call a message.
using bench_each = void (*)(rk_call* call, bench_tally* state, const bench_sample* message);

volatile std::uint32_t bench_sent_bytes;  // so that no compiler may leave a send out

static std::uint32_t take(rk_call*, std::uint32_t, std::uint32_t, const void* payload, std::uint32_t size,
                          std::uint32_t, std::uint32_t, double) {
  std::uint32_t first = 0;
  std::memcpy(&first, payload, sizeof(first));
  bench_sent_bytes = first + size;
  return 0;
}

// The rest of the table; no benchmark calls it.
static const rk_services kServices = {nullptr, take,    nullptr, nullptr, nullptr,
                                      nullptr, nullptr, nullptr, nullptr, nullptr};

void bench_send(rk_call* call, std::uint32_t kind, std::uint32_t dest, std::int32_t amount, float value) {
  const bench_sample sample{kind, dest, amount, value};
  call->services->send(call, 0, 7, &sample, sizeof(sample), RK_ANY_INSTANCE, RK_DEFAULT_PRIORITY, 0.0);
}

// The handler of bench/compiled_python.py in C++.
void bench_handler(rk_call* call, bench_tally* state, const bench_sample* message) {
  state->count += 1;
  state->sum += message->amount;
  state->mean = state->mean * 0.9f + message->value * 0.1f;
  if (message->kind == 1 && (state->count & 1) == 0) bench_send(call, 2, message->dest, state->sum, state->mean);
}

static rk_call make_call(std::uint8_t* state, std::uint8_t* memory) {
  static const std::uint64_t never = 0;
  rk_call call{};
  call.services = &kServices;
  call.state = state;
  call.frame = memory;
  call.shared = memory + (1 << 16);
  call.message = memory + (2 << 16);
  call.cancel = &never;
  call.task = 1;
  return call;
}

using Clock = std::chrono::steady_clock;

// Seconds for `times` rounds over `count` messages, 64 of them a call.
double bench_run(rk_run run, const void* program, std::uint8_t* state, std::uint8_t* memory, const std::uint8_t* slots,
                 std::uint64_t stride, std::uint32_t count, std::uint64_t times) {
  rk_call call = make_call(state, memory);
  const auto start = Clock::now();
  for (std::uint64_t round = 0; round < times; ++round) {
    for (std::uint32_t at = 0; at < count;) {
      const std::uint32_t most = count - at < 64 ? count - at : 64;
      at += run(program, &call, slots + at * stride, stride, most);
    }
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double bench_run_each(bench_each each, std::uint8_t* state, std::uint8_t* memory, const std::uint8_t* slots,
                      std::uint64_t stride, std::uint32_t count, std::uint64_t times) {
  rk_call call = make_call(state, memory);
  const auto start = Clock::now();
  for (std::uint64_t round = 0; round < times; ++round) {
    for (std::uint32_t at = 0; at < count; ++at) {
      const std::uint8_t* slot = slots + at * stride;
      call.slot = slot;
      each(&call, reinterpret_cast<bench_tally*>(state), reinterpret_cast<const bench_sample*>(slot + 64));
    }
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // extern "C"
#pragma GCC visibility pop
