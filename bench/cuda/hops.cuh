// Messages between blocks without handlers, routers or leases: what the device code could do at best.
//
// A message of 64 bytes is six tagged units, one a lane, or its words and a flag behind them. On a double, where a warp
// has one lane, it is one unit.
#include "waiting.cuh"

#define RK_IS_WARP (RK_LANES == 32)
constexpr u32 kUnits = RK_IS_WARP ? 6 : 1;
constexpr u32 kAtOnce = RK_IS_WARP ? 5 : 1;  // messages that a warp writes, or reads, at once
constexpr u32 kWords = 8;                    // of 8 bytes
constexpr u32 kRing = 64 * kAtOnce;          // messages

__device__ rk_unit* unit_at(u64 address, u64 n) { return reinterpret_cast<rk_unit*>(address) + n; }
__device__ u64* word_at(u64 address, u64 n) { return reinterpret_cast<u64*>(address) + n; }
__device__ rk_unit made(u32 number, u32 part) { return rk_unit{{number, ~number, number * 3u + part}, number}; }

__device__ bool await_unit(const rk_unit* from, u32 tag, u32 part, Patience& patience, u32& wrong) {
  rk_unit unit;
  do {
    unit = rk_ld_unit_sys(from);
    if (patience.over()) return false;
  } while (unit.tag != tag);
  const rk_unit right = made(tag, part);
  wrong += unit.word[0] != right.word[0] || unit.word[1] != right.word[1] || unit.word[2] != right.word[2];
  return true;
}

__device__ void tell(u64 out, u64 ns, u32 wrong) {
  rk_add_relaxed_gpu(word_at(out, 1), static_cast<u64>(wrong));
  if (ns != 0) rk_st_release_sys(word_at(out, 0), ns);
}

// Two players of a game: `first` begins. One lane each carries a unit; all lanes of the warp come to the barriers.
__device__ void play_units(bool first, u64 mine, u64 theirs, u64 rounds, u64 patience_ns, u64 out) {
  Patience patience = patience_of(patience_ns);
  const u32 lane = threadIdx.x % RK_LANES;
  const bool plays = lane < kUnits;
  u32 wrong = 0;
  const u64 begun = rk_globaltimer();
  for (u32 number = 1; number <= rounds; ++number) {
    if (first && plays) rk_st_unit_sys(unit_at(mine, lane), made(number, lane));
    const bool came = !plays || await_unit(unit_at(theirs, lane), number, lane, patience, wrong);
    if (rk_router_ballot(came) != (RK_IS_WARP ? ~0u : 1u)) return;  // the message is whole when all lanes have it
    if (!first && plays) rk_st_unit_sys(unit_at(mine, lane), made(number, lane));
  }
  tell(out, first && lane == 0 ? rk_globaltimer() - begun : 0, wrong);
}

// Blocks 0 and `other` play; the rest leave. All are launched, so that `other` may be any multiprocessor.
RK_KERNEL(hop_units)(u64 memory, u64 other, u64 rounds, u64 patience_ns, u64 out) {
  if (blockIdx.x != 0 && blockIdx.x != other) return;
  const bool first = blockIdx.x == 0;
  play_units(first, memory + (first ? 0 : 1024), memory + (first ? 1024 : 0), rounds, patience_ns, out);
}
RK_EXPORT_KERNEL(hop_units)

// Words, and a flag that publishes them: st.release.gpu and ld.acquire.gpu.
RK_KERNEL(hop_release)(u64 memory, u64 other, u64 rounds, u64 patience_ns, u64 out) {
  if ((blockIdx.x != 0 && blockIdx.x != other) || threadIdx.x != 0) return;
  const bool first = blockIdx.x == 0;
  const u64 mine = memory + (first ? 0 : 1024), theirs = memory + (first ? 1024 : 0);
  Patience patience = patience_of(patience_ns);
  u32 wrong = 0;
  const u64 begun = rk_globaltimer();
  for (u64 number = 1; number <= rounds; ++number) {
    for (u32 turn = 0; turn < 2; ++turn) {
      if ((turn == 0) == first) {
        for (u32 n = 1; n <= kWords; ++n) *word_at(mine, n) = number * n;
        rk_st_release_gpu(word_at(mine, 0), number);
        continue;
      }
      while (rk_ld_acquire_gpu(word_at(theirs, 0)) != number) {
        if (patience.over()) return;
      }
      for (u32 n = 1; n <= kWords; ++n) wrong += *word_at(theirs, n) != number * n;
    }
  }
  tell(out, first ? rk_globaltimer() - begun : 0, wrong);
}
RK_EXPORT_KERNEL(hop_release)

struct Table {
  u64 words[2][kWords + 1];
};

// Two threads of one block, of different warps where there are any, through its shared memory.
RK_KERNEL(hop_block)(u64 rounds, u64 patience_ns, u64 out) {
  RK_SHARED(Table, table);
  if (threadIdx.x == 0) table.words[0][0] = table.words[1][0] = 0;
  rk_barrier();
  if (threadIdx.x % RK_LANES != 0) return;
  const u32 who = threadIdx.x / RK_LANES;
  u64 *mine = table.words[who], *theirs = table.words[1 - who];
  Patience patience = patience_of(patience_ns);
  u32 wrong = 0;
  const u64 begun = rk_globaltimer();
  for (u64 number = 1; number <= rounds; ++number) {
    for (u32 turn = 0; turn < 2; ++turn) {
      if (turn == who) {
        for (u32 n = 1; n <= kWords; ++n) mine[n] = number * n;
        rk_st_release_cta(&mine[0], number);
        continue;
      }
      while (rk_ld_acquire_cta(&theirs[0]) != number) {
        if (patience.over()) return;
      }
      for (u32 n = 1; n <= kWords; ++n) wrong += theirs[n] != number * n;
    }
  }
  tell(out, who == 0 ? rk_globaltimer() - begun : 0, wrong);
}
RK_EXPORT_KERNEL(hop_block)

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
// Two blocks of one cluster: each writes into the other's shared memory, and polls its own.
extern "C" __global__ void __cluster_dims__(2, 1, 1) hop_cluster(u64 rounds, u64 patience_ns, u64 out) {
  __shared__ u64 box[kWords + 1];
  const u32 who = blockIdx.x % 2, here = static_cast<u32>(__cvta_generic_to_shared(box));
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(1 - who));
  if (threadIdx.x == 0) box[0] = 0;
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  u32 wrong = 0;
  if (threadIdx.x == 0) {
    Patience patience = patience_of(patience_ns);
    const u64 begun = rk_globaltimer();
    bool over = false;
    for (u64 number = 1; number <= rounds && !over; ++number) {
      for (u32 turn = 0; turn < 2 && !over; ++turn) {
        if (turn == who) {
          for (u32 n = 1; n <= kWords; ++n) {
            asm volatile("st.shared::cluster.u64 [%0], %1;" ::"r"(there + 8 * n), "l"(number * n) : "memory");
          }
          asm volatile("st.release.cluster.shared::cluster.u64 [%0], %1;" ::"r"(there), "l"(number) : "memory");
          continue;
        }
        for (u64 flag = 0; flag != number && !over; over = patience.over()) {
          asm volatile("ld.acquire.cluster.shared::cta.u64 %0, [%1];" : "=l"(flag) : "r"(here) : "memory");
        }
        for (u32 n = 1; n <= kWords; ++n) wrong += *static_cast<volatile u64*>(&box[n]) != number * n;
      }
    }
    tell(out, who == 0 && !over ? rk_globaltimer() - begun : 0, wrong);
  }
  __syncwarp();  // the barrier wants all lanes at once; nobody leaves while another may write to it
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
#endif

// Block i sends `count` messages to block i + pairs, through a ring of tagged units; what has been read comes back. A
// warp carries several messages at once. Content and order are checked.
RK_KERNEL(streams)(u64 rings, u64 reads, u64 pairs, u64 count, u64 patience_ns, u64 out) {
  const u64 warps = blockDim.x / RK_LANES, warp = threadIdx.x / RK_LANES;
  const u32 lane = threadIdx.x % RK_LANES;
  const bool sends = blockIdx.x < pairs;
  const u64 pair = (sends ? blockIdx.x : blockIdx.x - pairs) * warps + warp;
  const u64 ring = rings + pair * kRing * kUnits * sizeof(rk_unit);
  u64* read = word_at(reads, pair * 16);
  Patience patience = patience_of(patience_ns);
  const u32 which = lane / kUnits, part = lane % kUnits;
  u32 wrong = 0;
  const u64 begun = rk_globaltimer();
  u64 known = 0;  // read, as far as the sender knows
  for (u64 first = 0; first < count; first += kAtOnce) {
    const u64 n = first + which;
    const bool mine = which < kAtOnce && n < count;
    rk_unit* unit = unit_at(ring, n % kRing * kUnits + part);
    const u32 tag = static_cast<u32>(n / kRing) + 1;
    const u32 number = static_cast<u32>(n) * 8u + part;
    while (sends && first + kAtOnce - known > kRing) {
      known = rk_ld_acquire_gpu(read);
      if (patience.over()) return;
    }
    if (sends && mine) rk_st_unit_sys(unit, rk_unit{{number, ~number, number * 3u}, tag});
    if (!sends) {
      rk_unit found{};
      bool over = false;
      while (mine && !over && (found = rk_ld_unit_sys(unit)).tag != tag) over = patience.over();
      if (rk_router_ballot(!over) != (RK_IS_WARP ? ~0u : 1u)) return;
      wrong += mine && (found.word[0] != number || found.word[1] != ~number || found.word[2] != number * 3u);
      rk_router_sync();  // all lanes have read
      if (lane == 0) rk_st_release_gpu(read, first + kAtOnce);
    }
  }
  if (!sends) {
    rk_add_relaxed_gpu(word_at(out, 1), static_cast<u64>(wrong));
    if (lane == 0) rk_add_relaxed_gpu(word_at(out, 2), count);
    if (lane == 0) rk_max_relaxed_gpu(word_at(out, 0), rk_globaltimer() - begun);
  }
}
RK_EXPORT_KERNEL(streams)

// Block 0 writes a unit to each other block, and waits until each has answered with one.
RK_KERNEL(gather)(u64 memory, u64 rounds, u64 patience_ns, u64 out) {
  const u32 others = gridDim.x - 1, lanes = blockDim.x;
  const u64 acks = memory + 128u * (others + 1);
  Patience patience = patience_of(patience_ns);
  u32 wrong = 0;
  if (blockIdx.x != 0) {
    if (threadIdx.x != 0) return;
    const u64 box = memory + 128u * blockIdx.x, ack = acks + 128u * blockIdx.x;
    for (u32 number = 1; number <= rounds; ++number) {
      if (!await_unit(unit_at(box, 0), number, blockIdx.x, patience, wrong)) return;
      rk_st_unit_sys(unit_at(ack, 0), made(number, blockIdx.x));
    }
    tell(out, 0, wrong);
    return;
  }
  const u64 begun = rk_globaltimer();
  for (u32 number = 1; number <= rounds; ++number) {
    for (u32 n = threadIdx.x + 1; n <= others; n += lanes) {
      rk_st_unit_sys(unit_at(memory + 128u * n, 0), made(number, n));
    }
    bool came = true;
    for (u32 n = threadIdx.x + 1; n <= others && came; n += lanes) {
      came = await_unit(unit_at(acks + 128u * n, 0), number, n, patience, wrong);
    }
    if (rk_router_ballot(came) != (RK_IS_WARP ? ~0u : 1u)) return;
  }
  tell(out, threadIdx.x == 0 ? rk_globaltimer() - begun : 0, wrong);
}
RK_EXPORT_KERNEL(gather)
