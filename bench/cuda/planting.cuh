// What the litmus tests share: cells, counts, and what is planted into them to see that it is noticed.
//
// RK_PLANT 1, weak: orders that publish are relaxed, and units are a word at a time. Only a machine that makes use of
// it shows that; a processor of the x86 family hardly does. RK_PLANT 2, late: what a machine may make of a release that
// is none, done on purpose: the flag comes before the data. RK_PLANT 3, early: what it may make of an acquire that is
// none: the data was read before the flag. Who notices 2 and 3 would notice a machine that does it.
#pragma once

#include "waiting.cuh"

#ifndef RK_PLANT
#define RK_PLANT 0
#endif
constexpr bool kWeak = RK_PLANT == 1, kLate = RK_PLANT == 2, kEarly = RK_PLANT == 3;
constexpr u32 kCellWords = 32;  // a line of 128 bytes: eight units of payload, or a flag and its data
constexpr u32 kWriters = 32;

__device__ u32* cell_at(u64 cells, u64 i) { return reinterpret_cast<u32*>(cells) + i * kCellWords; }
__device__ u64* long_at(u64 address, u64 n) { return reinterpret_cast<u64*>(address) + n; }
__device__ rk_unit* unit_at(u64 cells, u64 i) { return reinterpret_cast<rk_unit*>(cell_at(cells, i)); }
__device__ u32 content(u64 i, u32 round, u32 k) { return static_cast<u32>(i) * 2654435761u + round * 40503u + k + 1; }

__device__ void report(u64 out, u32 seen, u32 forbidden) {
  rk_add_relaxed_gpu(long_at(out, 0), static_cast<u64>(seen));
  rk_add_relaxed_gpu(long_at(out, 1), static_cast<u64>(forbidden));
}

// Long enough for the others to act upon what they see; not at each cell.
__device__ void dawdle(u64 i, u32 ns = 20000) {
  if (i % 64 == 0) rk_nanosleep(ns);
}

template <class Data, class Flag>
__device__ void publish(u64 i, Data data, Flag flag, u32 pause_ns = 20000) {
  if (kLate) {
    flag();
    dawdle(i, pause_ns);
    data();
    return;
  }
  data();
  flag();
}

// flag: whether it came in time. data: what was wrong.
template <class Flag, class Data>
__device__ bool observe(Flag flag, Data data, u32& seen, u32& forbidden) {
  const u32 before = kEarly ? data() : 0;
  if (!flag()) return false;
  ++seen;
  forbidden += (kEarly ? before : data()) != 0;
  return true;
}

__device__ void release_gpu(u32* p, u32 v) { kWeak ? rk_st_relaxed_gpu(p, v) : rk_st_release_gpu(p, v); }
__device__ void release_sys(u32* p, u32 v) { kWeak ? rk_st_relaxed_sys(p, v) : rk_st_release_sys(p, v); }
__device__ u32 acquire_gpu(const u32* p) { return kWeak ? rk_ld_relaxed_gpu(p) : rk_ld_acquire_gpu(p); }
__device__ u32 acquire_sys(const u32* p) { return kWeak ? rk_ld_relaxed_sys(p) : rk_ld_acquire_sys(p); }
__device__ u64 add_release(u64* p, u64 v) { return kWeak ? rk_add_relaxed_gpu(p, v) : rk_add_release_gpu(p, v); }

// Of a unit that is not one access: its words one by one.
__device__ void put_unit(rk_unit* to, const rk_unit& unit, u64 i) {
  if (!kWeak && !kLate) {
    rk_st_unit_sys(to, unit);
    return;
  }
  const auto words = [&] {
    for (u32 n = 0; n < 3; ++n) rk_st_relaxed_sys(&to->word[n], unit.word[n]);
  };
  publish(i, words, [&] { rk_st_relaxed_sys(&to->tag, unit.tag); });
}
__device__ rk_unit take_unit(const rk_unit* from) {
  if (!kWeak && !kEarly) return rk_ld_unit_sys(from);
  rk_unit unit;
  for (u32 n = 0; n < 3; ++n) unit.word[n] = rk_ld_relaxed_sys(&from->word[n]);
  if (kEarly) rk_nanosleep(500);
  unit.tag = rk_ld_relaxed_sys(&from->tag);
  return unit;
}

template <class Look>
__device__ bool await(Look look, Patience& patience) {
  while (!look()) {
    if (patience.over()) return false;
  }
  return true;
}

// Readers say that they are here; the writer does not begin before. Rounds count from 1, and out[2] is 0 before them.
__device__ void here(u64 out) { rk_add_relaxed_gpu(long_at(out, 2), u64{1}); }

__device__ void wait_for_readers(u64 out, u32 round, u64 patience_ns) {
  Patience patience = patience_of(patience_ns);
  const u64 wanted = static_cast<u64>(gridDim.x - 1) * blockDim.x * round;
  await([&] { return rk_ld_relaxed_gpu(long_at(out, 2)) >= wanted; }, patience);
}

// Of a writer: the first threads of its block share the cells. Of a reader: all threads.
__device__ u64 writers() { return blockDim.x < kWriters ? blockDim.x : kWriters; }
#define RK_FOR_WRITER(i, cells) for (u64 i = threadIdx.x; threadIdx.x < writers() && i < (cells); i += writers())
#define RK_FOR_READER(i, cells) for (u64 i = threadIdx.x; i < (cells); i += blockDim.x)

__device__ void write_payload(u32* cell, u64 i, u32 round) {
  for (u32 k = 1; k < 9; ++k) cell[k] = content(i, round, k);
}
__device__ u32 wrong_payload(const u32* cell, u64 i, u32 round) {
  u32 wrong = 0;
  for (u32 k = 1; k < 9; ++k) wrong |= rk_ld_relaxed_sys(cell + k) != content(i, round, k);
  return wrong;
}

__device__ rk_unit unit_of(u64 i, u32 round) {
  return rk_unit{{content(i, round, 0), content(i, round, 1), content(i, round, 2)}, round};
}
__device__ u32 wrong_unit(const rk_unit& unit, u64 i) {
  u32 wrong = 0;
  for (u32 k = 0; k < 3; ++k) wrong |= unit.word[k] != content(i, unit.tag, k);
  return wrong;
}
