// What physics allows on this machine: no rings, no handlers, no checks.
#include "waiting.cuh"

__device__ rk_unit* units_at(u64 address) { return reinterpret_cast<rk_unit*>(address); }

// Each line of the host's memory says where the next one is: how long one read over the bus takes. ns of all hops.
RK_KERNEL(chase)(u64 start, u64 hops, u64 out) {
  u64 at = start;
  const u64 begun = rk_globaltimer();
  for (u64 i = 0; i < hops; ++i) at = rk_ld_relaxed_sys(reinterpret_cast<const u64*>(at));
  const u64 ended = rk_globaltimer();
  u64* result = reinterpret_cast<u64*>(out);
  rk_st_relaxed_sys(result + 1, at);
  rk_st_release_sys(result, ended - begun);
}
RK_EXPORT_KERNEL(chase)

// 64 B there and back with one flag in each unit: the least that any mailbox over the bus can do. Each thread of the
// first six of a warp carries one unit; warps poll the same request, and all of them answer what they see: the same.
RK_KERNEL(bounce)(u64 request, u64 reply, u64 rounds, u64 patience_ns) {
  const u32 lane = threadIdx.x % 32;
  if (lane >= 6) return;
  Patience patience = patience_of(patience_ns);
  for (u32 tag = 1; tag <= rounds; ++tag) {
    rk_unit unit;
    do {
      unit = rk_ld_unit_sys(units_at(request) + lane);
      if (patience.over()) return;
    } while (static_cast<i32>(unit.tag - tag) < 0);
    tag = unit.tag;  // another warp may have been faster
    rk_st_unit_sys(units_at(reply) + lane, unit);
  }
}
RK_EXPORT_KERNEL(bounce)

// Blocks 0 and 1 pass one unit to and fro through the device's memory. ns of all rounds; a round is two hops.
RK_KERNEL(hop)(u64 there, u64 back, u64 rounds, u64 patience_ns, u64 out) {
  if (threadIdx.x != 0) return;
  rk_unit* mine = units_at(blockIdx.x == 0 ? there : back);
  rk_unit* theirs = units_at(blockIdx.x == 0 ? back : there);
  Patience patience = patience_of(patience_ns);
  const u64 begun = rk_globaltimer();
  for (u32 tag = 1; tag <= rounds; ++tag) {
    rk_unit unit = {{tag, ~tag, tag * 3u}, tag};
    if (blockIdx.x == 0) rk_st_unit_sys(mine, unit);
    while (rk_ld_unit_sys(theirs).tag != tag) {
      if (patience.over()) return;
    }
    if (blockIdx.x != 0) rk_st_unit_sys(mine, unit);
  }
  if (blockIdx.x == 0) rk_st_release_sys(reinterpret_cast<u64*>(out), rk_globaltimer() - begun);
}
RK_EXPORT_KERNEL(hop)

// All blocks read, or write, memory of the host; 16 bytes a thread at a time.
RK_KERNEL(read_host)(u64 from, u64 units, u64 out) {
  u32 sum = 0;
  for (u64 i = blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; i < units; i += gridDim.x * blockDim.x) {
    const rk_unit unit = rk_ld_unit_sys(units_at(from) + i);
    sum += unit.word[0] ^ unit.word[1] ^ unit.word[2] ^ unit.tag;
  }
  rk_add_relaxed_gpu(reinterpret_cast<u32*>(out), sum);
}
RK_EXPORT_KERNEL(read_host)

RK_KERNEL(write_host)(u64 to, u64 units, u64 value) {
  const u32 word = static_cast<u32>(value);
  for (u64 i = blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; i < units; i += gridDim.x * blockDim.x) {
    const rk_unit unit = {{word, word + 1, static_cast<u32>(i)}, word};
    rk_st_unit_sys(units_at(to) + i, unit);
  }
}
RK_EXPORT_KERNEL(write_host)
