// The message passing patterns of the protocol, through the primitives that the protocol uses, many times.
//
// A writer and a reader block, or the host and a block, share cells. A reader waits, within bounds, until it sees the
// flag of a cell, and looks at once at what the flag published. Seen with old data is a forbidden outcome. Counts are
// added to out[0] (seen) and out[1] (forbidden). Few threads write and many wait, each at a cell that is not written
// yet: only who waits at the moment of the writing is a test.
#include "waiting.cuh"

constexpr u32 kCellWords = 32;  // a line of 128 bytes: eight units of payload, or a flag and its data
constexpr u32 kWriters = 32;

__device__ u32* cell_at(u64 cells, u64 i) { return reinterpret_cast<u32*>(cells) + i * kCellWords; }
__device__ rk_unit* unit_at(u64 cells, u64 i) { return reinterpret_cast<rk_unit*>(cell_at(cells, i)); }
__device__ u32 content(u64 i, u32 round, u32 k) { return static_cast<u32>(i) * 2654435761u + round * 40503u + k + 1; }

__device__ void report(u64 out, u32 seen, u32 forbidden) {
  u64* counts = reinterpret_cast<u64*>(out);
  rk_add_relaxed_gpu(counts, static_cast<u64>(seen));
  rk_add_relaxed_gpu(counts + 1, static_cast<u64>(forbidden));
}

// False: it did not come.
__device__ bool wait_gpu(const u32* flag, u32 wanted, Patience& patience) {
  while (rk_ld_acquire_gpu(flag) != wanted) {
    if (patience.over()) return false;
  }
  return true;
}

__device__ bool wait_sys(const u32* flag, u32 wanted, Patience& patience) {
  while (rk_ld_acquire_sys(flag) != wanted) {
    if (patience.over()) return false;
  }
  return true;
}

// Readers say that they are here; the writer does not begin before. Rounds count from 1, and out[2] is 0 before them.
__device__ void here(u64 out) { rk_add_relaxed_gpu(reinterpret_cast<u64*>(out) + 2, u64{1}); }

__device__ void wait_for_readers(u64 out, u32 round, u64 patience_ns) {
  Patience patience = patience_of(patience_ns);
  const u64 wanted = static_cast<u64>(gridDim.x - 1) * blockDim.x * round;
  while (rk_ld_relaxed_gpu(reinterpret_cast<u64*>(out) + 2) < wanted && !patience.over()) continue;
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
  for (u32 k = 1; k < 9; ++k) wrong |= rk_ld_relaxed_gpu(cell + k) != content(i, round, k);
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

// Tagged units: whoever sees a tag has the twelve bytes beside it. Whatever tag is there while the reader waits, the
// bytes must be of that round.
RK_KERNEL(tagged_unit)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) rk_st_unit_sys(unit_at(cells, i), unit_of(i, round));
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    rk_unit unit;
    do {
      unit = rk_ld_unit_sys(unit_at(cells, i));
      forbidden += unit.tag != 0 && wrong_unit(unit, i) != 0;
    } while (unit.tag != round && !patience.over());
    seen += unit.tag == round;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(tagged_unit)

// Payload, then st.release.gpu of the flag; ld.acquire.gpu of the flag, then the payload: an inbox's turn.
RK_KERNEL(release_acquire_gpu)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) {
      write_payload(cell_at(cells, i), i, round);
      rk_st_release_gpu(cell_at(cells, i), round);
    }
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    if (!wait_gpu(cell_at(cells, i), round, patience)) break;
    ++seen;
    forbidden += wrong_payload(cell_at(cells, i), i, round);
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(release_acquire_gpu)

// Block 0 writes and tells block 1, which tells block 2: what 0 wrote must be there. The router passes commands on so.
RK_KERNEL(passed_on)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) {
      write_payload(cell_at(cells, i), i, round);
      rk_st_release_gpu(cell_at(cells, i), round);
    }
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    u32* cell = cell_at(cells, i);
    u32* second = cell + 16;
    if (!wait_gpu(blockIdx.x == 1 ? cell : second, round, patience)) break;
    if (blockIdx.x == 1) {
      rk_st_release_gpu(second, round);
    } else {
      ++seen;
      forbidden += wrong_payload(cell, i, round);
    }
  }
  if (blockIdx.x == 2) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(passed_on)

// Many senders ring one doorbell after each message; whoever hears it n times finds n messages. `cells` has one line
// for each message, the doorbell lies at `bell`, the tickets behind it. Block 0 receives, the others send.
RK_KERNEL(doorbell)(u64 cells, u64 count, u64 bell, u64 patience_ns, u64 out) {
  u64* rung = reinterpret_cast<u64*>(bell);
  if (blockIdx.x != 0) {
    for (;;) {
      const u64 ticket = rk_add_relaxed_gpu(rung + 1, u64{1});
      if (ticket >= count) return;
      u32* cell = cell_at(cells, ticket);
      write_payload(cell, ticket, 1);
      rk_st_release_gpu(cell, 1u);
      rk_add_release_gpu(rung, u64{1});
    }
  }
  if (threadIdx.x != 0) return;
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  u64 heard = 0, first = 0;
  while (heard < count && !patience.over()) {
    const u64 now = rk_ld_acquire_gpu(rung);
    if (now == heard) continue;
    heard = now;
    // Tickets are published out of order: of the first cells some may be empty, but so many must be full.
    while (first < count && rk_ld_relaxed_gpu(cell_at(cells, first)) == 1u) ++first;
    u64 full = first;
    for (u64 i = first; i < count && full < now; ++i) full += rk_ld_relaxed_gpu(cell_at(cells, i)) == 1u;
    ++seen;
    forbidden += full < now;
  }
  for (u64 i = 0; i < heard; ++i) forbidden += heard == count && wrong_payload(cell_at(cells, i), i, 1) != 0;
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(doorbell)

// Tickets: each number is drawn once. Each drawing adds one to the cell of its number, which must have been 0.
RK_KERNEL(tickets)(u64 cells, u64 count, u64 ticket, u64, u64 out) {
  u32 seen = 0, forbidden = 0;
  for (;;) {
    const u64 drawn = rk_add_relaxed_gpu(reinterpret_cast<u64*>(ticket), u64{1});
    if (drawn >= count) break;
    ++seen;
    forbidden += rk_add_relaxed_gpu(cell_at(cells, drawn), 1u) != 0;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(tickets)

// A clock of several threads: stamps by compare-and-swap are all different, and each thread's grow.
RK_KERNEL(clock_word)(u64 cells, u64 count, u64 word, u64, u64 out) {
  u64* clock = reinterpret_cast<u64*>(word);
  u32 seen = 0, forbidden = 0;
  u64 last = 0;
  for (;;) {
    u64 found = rk_ld_relaxed_gpu(clock), old;
    while ((old = rk_cas_relaxed_gpu(clock, found, found + 1)) != found) found = old;
    if (found >= count) break;
    forbidden += (seen != 0 && found <= last) || rk_add_relaxed_gpu(cell_at(cells, found), 1u) != 0;
    last = found;
    ++seen;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(clock_word)

// To the host: payload, then st.release.sys of the flag; the host checks. One thread, so that the host keeps up.
RK_KERNEL(release_sys)(u64 cells, u64 count, u64 round64, u64, u64) {
  const u32 round = static_cast<u32>(round64);
  if (threadIdx.x != 0) return;
  for (u64 i = 0; i < count; ++i) {
    write_payload(cell_at(cells, i), i, round);
    rk_st_release_sys(cell_at(cells, i), round);
  }
}
RK_EXPORT_KERNEL(release_sys)

// From the host: its release store of the flag, ld.acquire.sys here, then the payload.
RK_KERNEL(acquire_sys)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    const u32* cell = cell_at(cells, i);
    if (!wait_sys(cell, round, patience)) break;
    ++seen;
    u32 wrong = 0;
    for (u32 k = 1; k < 9; ++k) wrong |= rk_ld_relaxed_sys(cell + k) != content(i, round, k);
    forbidden += wrong;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(acquire_sys)

// Units to the host, without any order between them: each is whole by itself. The host checks. Slowly, so that it
// waits.
RK_KERNEL(units_to_host)(u64 units, u64 count, u64 round64, u64, u64) {
  if (threadIdx.x != 0) return;
  for (u64 i = 0; i < count; ++i) {
    rk_st_unit_sys(reinterpret_cast<rk_unit*>(units) + i, unit_of(i, static_cast<u32>(round64)));
    rk_nanosleep(100);
  }
}
RK_EXPORT_KERNEL(units_to_host)

// Units from the host, which stores their halves one after the other, the one with the tag last.
RK_KERNEL(units_from_host)(u64 units, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    rk_unit unit;
    do {
      unit = rk_ld_unit_sys(reinterpret_cast<const rk_unit*>(units) + i);
    } while (unit.tag != round && !patience.over());
    if (unit.tag != round) break;
    ++seen;
    forbidden += wrong_unit(unit, i);
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(units_from_host)
