// The message passing patterns of the protocol between blocks, through the primitives that the protocol uses, many
// times. litmus_host.cuh has those with the host, litmus_block.cuh those inside a block.
//
// A writer and a reader block share cells. A reader waits, within bounds, until it sees the flag of a cell, and looks
// at once at what the flag published. Seen with old data is a forbidden outcome. Counts are added to out[0] (seen) and
// out[1] (forbidden). Few threads write and many wait, each at a cell that is not written yet: only who waits at the
// moment of the writing is a test.
#include "planting.cuh"

// Tagged units: whoever sees a tag has the twelve bytes beside it. Whatever tag is there while the reader waits, the
// bytes must be of that round.
RK_KERNEL(tagged_unit)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) put_unit(unit_at(cells, i), unit_of(i, round), i);
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    rk_unit unit;
    do {
      unit = take_unit(unit_at(cells, i));
      forbidden += unit.tag != 0 && wrong_unit(unit, i) != 0;
    } while (unit.tag != round && !patience.over());
    seen += unit.tag == round;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(tagged_unit)

// Payload, then st.release.gpu of the flag; ld.acquire.gpu of the flag, then the payload: an inbox's turn.
RK_KERNEL(message)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) {
      u32* cell = cell_at(cells, i);
      publish(i, [&] { write_payload(cell, i, round); }, [&] { release_gpu(cell, round); });
    }
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    const u32* cell = cell_at(cells, i);
    const auto came = [&] { return await([&] { return acquire_gpu(cell) == round; }, patience); };
    if (!observe(came, [&] { return wrong_payload(cell, i, round); }, seen, forbidden)) break;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(message)

// Block 0 writes and tells block 1, which tells block 2: what 0 wrote must be there. The router passes commands on so.
RK_KERNEL(passed_on)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  if (blockIdx.x == 0) {
    wait_for_readers(out, round, patience_ns);
    RK_FOR_WRITER(i, count) {
      u32* cell = cell_at(cells, i);
      publish(i, [&] { write_payload(cell, i, round); }, [&] { release_gpu(cell, round); });
    }
    return;
  }
  here(out);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    u32 *cell = cell_at(cells, i), *second = cell + 16;
    const u32* flag = blockIdx.x == 1 ? cell : second;
    const auto came = [&] { return await([&] { return acquire_gpu(flag) == round; }, patience); };
    if (blockIdx.x == 1) {
      if (!came()) break;
      release_gpu(second, round);
    } else if (!observe(came, [&] { return wrong_payload(cell, i, round); }, seen, forbidden)) {
      break;
    }
  }
  if (blockIdx.x == 2) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(passed_on)

// A slot is read before it is overwritten: who has read it releases `read`, who writes next acquires that. Each cell
// has two messages in a round; the first must not be seen as the second.
RK_KERNEL(slot_reuse)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 first = 2 * static_cast<u32>(round64) - 1, second = first + 1;
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  if (blockIdx.x == 0) wait_for_readers(out, static_cast<u32>(round64), patience_ns);
  if (blockIdx.x != 0) here(out);
  for (u64 i = threadIdx.x; i < count; i += blockDim.x) {
    u32 *cell = cell_at(cells, i), *read = cell + 16;
    const auto has_read = [&] { return await([&] { return acquire_gpu(read) == first; }, patience); };
    if (blockIdx.x == 0) {
      write_payload(cell, i, first);
      rk_st_release_gpu(cell, first);
      if (!kEarly && !has_read()) break;
      write_payload(cell, i, second);
      if (kEarly && !has_read()) break;
      rk_st_release_gpu(cell, second);
    } else {
      if (!await([&] { return rk_ld_acquire_gpu(cell) == first; }, patience)) break;
      ++seen;
      if (kEarly) dawdle(0);
      publish(0, [&] { forbidden += wrong_payload(cell, i, first) != 0; }, [&] { release_gpu(read, first); });
      if (!await([&] { return rk_ld_acquire_gpu(cell) == second; }, patience)) break;
    }
  }
  if (blockIdx.x != 0) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(slot_reuse)

// Many senders ring one doorbell after each message; whoever hears it n times finds n messages. `cells` has one line
// for each message, the doorbell lies at `bell`, the tickets behind it. Block 0 receives, the others send.
RK_KERNEL(doorbell)(u64 cells, u64 count, u64 bell, u64 patience_ns, u64 out) {
  u64* rung = long_at(bell, 0);
  if (blockIdx.x != 0) {
    for (;;) {
      const u64 ticket = rk_add_relaxed_gpu(rung + 1, u64{1});
      if (ticket >= count) return;
      u32* cell = cell_at(cells, ticket);
      const auto message = [&] {
        write_payload(cell, ticket, 1);
        rk_st_release_gpu(cell, 1u);
      };
      publish(ticket, message, [&] { add_release(rung, u64{1}); });
    }
  }
  if (threadIdx.x != 0) return;
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  u64 heard = 0, first = 0;
  while (heard < count && !patience.over()) {
    const u64 now = kWeak ? rk_ld_relaxed_gpu(rung) : rk_ld_acquire_gpu(rung);
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
  u64* next = long_at(ticket, 0);
  for (;;) {
    u64 drawn;
    if (kLate || kEarly) {  // what is not one access
      drawn = rk_ld_relaxed_gpu(next);
      dawdle(drawn);
      rk_st_relaxed_gpu(next, drawn + 1);
    } else {
      drawn = rk_add_relaxed_gpu(next, u64{1});
    }
    if (drawn >= count) break;
    ++seen;
    forbidden += rk_add_relaxed_gpu(cell_at(cells, drawn), 1u) != 0;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(tickets)

// A clock of several threads: stamps by compare-and-swap are all different, and each thread's grow.
RK_KERNEL(clock_word)(u64 cells, u64 count, u64 word, u64, u64 out) {
  u64* clock = long_at(word, 0);
  u32 seen = 0, forbidden = 0;
  u64 last = 0;
  for (;;) {
    u64 found = rk_ld_relaxed_gpu(clock), old;
    if (kLate || kEarly) {  // what is not one access
      dawdle(found);
      rk_st_relaxed_gpu(clock, found + 1);
    } else {
      while ((old = rk_cas_relaxed_gpu(clock, found, found + 1)) != found) found = old;
    }
    if (found >= count) break;
    forbidden += (seen != 0 && found <= last) || rk_add_relaxed_gpu(cell_at(cells, found), 1u) != 0;
    last = found;
    ++seen;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(clock_word)

// A barrier of all blocks: what each did before is there for all behind it. Each `step` has a word of each block.
RK_KERNEL(grid_barrier)(u64 cells, u64 count, u64 word, u64 patience_ns, u64 out) {
  if (threadIdx.x != 0) return;
  u64* gathered = long_at(word, 0);
  const u64 blocks = gridDim.x;
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  for (u64 step = 0; step < count / blocks; ++step) {
    u32* line = cell_at(cells, step);
    const auto arrive = [&] { add_release(gathered, u64{1}); };
    publish(step + 1 + blockIdx.x, [&] { line[blockIdx.x] = content(step, 1, blockIdx.x); }, arrive);
    const auto all = [&] {
      return await(
          [&] { return (kWeak ? rk_ld_relaxed_gpu(gathered) : rk_ld_acquire_gpu(gathered)) >= (step + 1) * blocks; },
          patience);
    };
    const auto others = [&] {
      u32 wrong = 0;
      for (u32 n = 0; n < blocks; ++n) wrong |= rk_ld_relaxed_gpu(line + n) != content(step, 1, n);
      return wrong;
    };
    if (!observe(all, others, seen, forbidden)) break;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(grid_barrier)

// One word that only grows, relaxed: who has seen a number sees no smaller one after it. A task stays cancelled so.
RK_KERNEL(growing_word)(u64, u64 count, u64 word, u64 patience_ns, u64 out) {
  u32* growing = reinterpret_cast<u32*>(word);
  u64* readers = long_at(word, 16);
  Patience patience = patience_of(patience_ns);
  if (blockIdx.x == 0) {
    if (threadIdx.x != 0) return;
    await([&] { return rk_ld_relaxed_gpu(readers) == (gridDim.x - 1) * blockDim.x; }, patience);
    for (u32 n = 1; n <= count * 16; ++n) {
      if (kEarly) dawdle(n, 1000);
      rk_st_relaxed_gpu(growing, n);
    }
    return;
  }
  rk_add_relaxed_gpu(readers, u64{1});
  u32 seen = 0, forbidden = 0, first = 0;
  while (first < count * 16 && !patience.over()) {
    const u32 ahead = kEarly ? rk_ld_relaxed_sys(growing) : 0;  // the second look, before the first
    if (kEarly) rk_nanosleep(1000);
    first = rk_ld_relaxed_sys(growing);
    const u32 second = kEarly ? ahead : rk_ld_relaxed_sys(growing);
    ++seen;
    forbidden += second < first;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(growing_word)

// What one kernel wrote is there for the next one in its stream, without any order of its own: leases hand over so.
RK_KERNEL(one_lease)(u64 cells, u64 count, u64 round64, u64, u64) {
  const u32 round = static_cast<u32>(round64);
  RK_FOR_READER(i, count) write_payload(cell_at(cells, i), i, round);
}
RK_EXPORT_KERNEL(one_lease)

RK_KERNEL(next_lease)(u64 cells, u64 count, u64 round64, u64, u64 out) {
  const u32 round = static_cast<u32>(round64);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    u32 wrong = 0;
    for (u32 k = 1; k < 9; ++k) wrong |= cell_at(cells, i)[k] != content(i, round, k);
    ++seen;
    forbidden += wrong;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(next_lease)
