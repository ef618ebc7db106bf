// Litmus tests inside a block: as in litmus.cuh, at the scope of the block, mostly in its shared memory.
#include "planting.cuh"

constexpr u32 kPlaces = 64;

struct Shared {
  u32 payload[kPlaces][8];
  u32 flag[kPlaces];
  u64 word, count;
  u32 lock, pieces;
};

__device__ void release_cta(u32* p, u32 v) { kWeak ? rk_st_relaxed_cta(p, v) : rk_st_release_cta(p, v); }
__device__ u32 acquire_cta(const u32* p) { return kWeak ? rk_ld_relaxed_cta(p) : rk_ld_acquire_cta(p); }

__device__ void clear(Shared& shared) {
  if (threadIdx.x == 0) {
    for (u32 n = 0; n < kPlaces; ++n) shared.flag[n] = 0;
    shared.word = shared.count = 0;
    shared.lock = shared.pieces = 0;
  }
  rk_barrier();
}

// The router's turn: thread 0 writes and releases, thread `last` acquires and reads. They are of different warps.
RK_KERNEL(turn)(u64, u64 count, u64, u64 patience_ns, u64 out) {
  RK_SHARED(Shared, shared);
  clear(shared);
  const u32 last = blockDim.x - 1;
  if (threadIdx.x != 0 && threadIdx.x != last) return;
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  for (u32 n = 1; n <= count; ++n) {
    u32 *payload = shared.payload[n % kPlaces], *flag = &shared.flag[n % kPlaces];
    if (threadIdx.x == 0) {
      // The one before must have been read; 0 stands for that.
      if (!await([&] { return rk_ld_acquire_cta(flag) == 0; }, patience)) break;
      const auto words = [&] {
        for (u32 k = 0; k < 8; ++k) rk_st_relaxed_cta(payload + k, content(n, 1, k));
      };
      publish(n, words, [&] { release_cta(flag, n); });
    } else {
      const auto wrong = [&] {
        u32 found = 0;
        for (u32 k = 0; k < 8; ++k) found |= rk_ld_relaxed_cta(payload + k) != content(n, 1, k);
        return found;
      };
      const auto came = [&] { return await([&] { return acquire_cta(flag) == n; }, patience); };
      if (!observe(came, wrong, seen, forbidden)) break;
      if (kLate) rk_nanosleep(100);
      rk_st_release_cta(flag, 0u);
    }
  }
  if (threadIdx.x == last) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(turn)

// The block's lock: what is counted under it is not lost.
RK_KERNEL(lock)(u64, u64 count, u64, u64, u64 out) {
  RK_SHARED(Shared, shared);
  clear(shared);
  for (u64 n = 0; n < count; ++n) {
    while (!kEarly && rk_cas_relaxed_cta(&shared.lock, 0u, 1u) != 0) rk_nanosleep(20);
    acquire_cta(&shared.lock);
    const u64 found = rk_ld_relaxed_cta(&shared.count);
    if (kEarly) dawdle(n);
    const auto counted = [&] { rk_st_relaxed_cta(&shared.count, found + 1); };
    publish(n, counted, [&] { release_cta(&shared.lock, 0u); });
  }
  rk_barrier();
  if (threadIdx.x != 0) return;
  const u64 wanted = count * blockDim.x;
  report(out, static_cast<u32>(wanted), static_cast<u32>(wanted - shared.count));
}
RK_EXPORT_KERNEL(lock)

// Numbers that the threads of a block draw are all different: cells of what was drawn twice say so.
RK_KERNEL(numbers)(u64 cells, u64 count, u64, u64, u64 out) {
  RK_SHARED(Shared, shared);
  clear(shared);
  u32 seen = 0, forbidden = 0;
  for (;;) {
    u64 drawn;
    if (kLate || kEarly) {  // what is not one access
      drawn = rk_ld_relaxed_cta(&shared.word);
      dawdle(drawn);
      rk_st_relaxed_cta(&shared.word, drawn + 1);
    } else {
      drawn = rk_add_relaxed_cta(&shared.word, u64{1});
    }
    if (drawn >= count) break;
    ++seen;
    forbidden += rk_add_relaxed_gpu(cell_at(cells, drawn), 1u) != 0;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(numbers)

// Pieces of a long record: each thread writes one into the device's memory and counts down; who is last has them all.
RK_KERNEL(pieces)(u64 cells, u64 count, u64, u64, u64 out) {
  RK_SHARED(Shared, shared);
  clear(shared);
  const u32 threads = blockDim.x;
  u32 seen = 0, forbidden = 0;
  for (u64 record = 0; record < count / threads; ++record) {
    if (threadIdx.x == 0) shared.pieces = threads;
    rk_barrier();
    u32* mine = cell_at(cells, record * threads + threadIdx.x);
    u32 before = 0;
    const auto written = [&] { write_payload(mine, record, threadIdx.x); };
    publish(record + threadIdx.x, written, [&] {
      before = kWeak ? rk_add_relaxed_gpu(&shared.pieces, ~0u) : rk_add_release_gpu(&shared.pieces, ~0u);
    });
    if (before == 1) {
      if (!kWeak) rk_ld_acquire_gpu(&shared.pieces);
      ++seen;
      u32 wrong = 0;
      for (u32 n = 0; n < threads; ++n) wrong |= wrong_payload(cell_at(cells, record * threads + n), record, n);
      forbidden += wrong;
    }
    rk_barrier();
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(pieces)

// A barrier: what the leader wrote before it is there for all threads, and what they read before the next one is read.
RK_KERNEL(barrier)(u64 cells, u64 count, u64, u64, u64 out) {
  u32 seen = 0, forbidden = 0;
  for (u64 n = 0; n < count / 8; ++n) {
    u32* cell = cell_at(cells, n % 8);
    const auto order = [&] {
      if (threadIdx.x == 0) write_payload(cell, n, 1);
    };
    if (kLate) rk_barrier();
    if ((kLate || kEarly) && threadIdx.x == 0) dawdle(0);
    order();
    u32 wrong = 0;
    if (kEarly) wrong = wrong_payload(cell, n, 1);
    if (!kLate) rk_barrier();
    if (!kEarly) wrong = wrong_payload(cell, n, 1);
    if (threadIdx.x != 0) ++seen, forbidden += wrong;
    rk_barrier();
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(barrier)
