// What a launch a message would do, as fast as it can: read 64 bytes, answer with 64 bytes and a checksum of what was
// read. The answer is six tagged units, as the resident kernel's are, so that a host that spins needs no other flag.
//
// Edges: the host's request -> the launch that follows it, or the value that an armed launch waits for.
//        a unit's store -> the host that sees its tag.
#include "waiting.cuh"

constexpr u32 kRequestWords = 16, kReplyUnits = 6;

// Weights that differ, so that words in a wrong place are noticed; no chain, so that it costs little.
__device__ u32 checksum(const u64* words) {
  u32 sum = 0;
  for (u32 i = 0; i < kRequestWords / 2; ++i) {
    sum += static_cast<u32>(words[i]) * (4u * i + 1u) + static_cast<u32>(words[i] >> 32) * (4u * i + 3u);
  }
  return sum;
}

// Unit `lane` of the answer: three words of the request each; the last one has word 15, the checksum, and nothing.
__device__ void answer(const u64* words, u64 reply, u32 tag, u32 lane) {
  rk_unit unit;
  for (u32 i = 0; i < 3; ++i) {
    const u32 at = 3 * lane + i;
    unit.word[i] = at < kRequestWords ? static_cast<u32>(words[at / 2] >> (at % 2 * 32)) : 0u;
  }
  if (lane == kReplyUnits - 1) unit.word[1] = checksum(words);
  unit.tag = tag;
  rk_st_unit_sys(reinterpret_cast<rk_unit*>(reply) + lane, unit);
}

__device__ void read_request(u64 request, u64* words) {
  const u64* from = reinterpret_cast<const u64*>(request);
  for (u32 i = 0; i < kRequestWords / 2; ++i) words[i] = rk_ld_relaxed_sys(from + i);
}

// The request comes as arguments: the launch itself carries it.
RK_KERNEL(echo_arguments)
(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h, u64 reply, u64 tag) {
  const u64 words[] = {a, b, c, d, e, f, g, h};
  answer(words, reply, static_cast<u32>(tag), threadIdx.x);
}
RK_EXPORT_KERNEL(echo_arguments)

// The request is in the host's memory, its tag behind it: what a graph and an armed launch can do.
RK_KERNEL(echo_memory)(u64 request, u64 reply) {
  u64 words[kRequestWords / 2];
  read_request(request, words);
  const u64 tag = rk_ld_relaxed_sys(reinterpret_cast<const u64*>(request) + kRequestWords / 2);
  answer(words, reply, static_cast<u32>(tag), threadIdx.x);
}
RK_EXPORT_KERNEL(echo_memory)

RK_KERNEL(nothing)(u64) {}
RK_EXPORT_KERNEL(nothing)
