// Litmus tests with the host, whose side is in loop.cc: as in litmus.cuh, at the scope of the system.
#include "planting.cuh"

// To the host: payload, then st.release.sys of the flag; the host checks. One thread, so that the host keeps up.
RK_KERNEL(to_host)(u64 cells, u64 count, u64 round64, u64, u64) {
  const u32 round = static_cast<u32>(round64);
  if (threadIdx.x != 0) return;
  for (u64 i = 0; i < count; ++i) {
    u32* cell = cell_at(cells, i);
    publish(i, [&] { write_payload(cell, i, round); }, [&] { release_sys(cell, round); });
  }
}
RK_EXPORT_KERNEL(to_host)

// From the host: its release store of the flag, ld.acquire.sys here, then the payload.
RK_KERNEL(from_host)(u64 cells, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    const u32* cell = cell_at(cells, i);
    const auto came = [&] { return await([&] { return acquire_sys(cell) == round; }, patience); };
    if (!observe(came, [&] { return wrong_payload(cell, i, round); }, seen, forbidden)) break;
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(from_host)

// Units to the host, without any order between them: each is whole by itself. The host checks. Slowly, so that it
// waits.
RK_KERNEL(units_to_host)(u64 units, u64 count, u64 round64, u64, u64) {
  if (threadIdx.x != 0) return;
  for (u64 i = 0; i < count; ++i) {
    put_unit(reinterpret_cast<rk_unit*>(units) + i, unit_of(i, static_cast<u32>(round64)), i);
    rk_nanosleep(100);
  }
}
RK_EXPORT_KERNEL(units_to_host)

// The last status, a fence, and then a unit that says that there is no more: the host sees the unit and looks at the
// status. One thread; `cells` and `units` are the host's.
RK_KERNEL(ended)(u64 cells, u64 units, u64 count, u64 round64, u64, u64) {
  const u32 round = static_cast<u32>(round64);
  if (threadIdx.x != 0) return;
  for (u64 i = 0; i < count; ++i) {
    const auto record = [&] {
      if (!kWeak) rk_fence_sys();
      rk_st_unit_sys(reinterpret_cast<rk_unit*>(units) + i, unit_of(i, round));
    };
    publish(i, [&] { write_payload(cell_at(cells, i), i, round); }, record);
  }
}
RK_EXPORT_KERNEL(ended)

// Units from the host, which stores their halves one after the other, the one with the tag last.
RK_KERNEL(units_from_host)(u64 units, u64 count, u64 round64, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    rk_unit unit;
    do {
      unit = take_unit(reinterpret_cast<const rk_unit*>(units) + i);
    } while (unit.tag != round && !patience.over());
    if (unit.tag != round) break;
    ++seen;
    forbidden += wrong_unit(unit, i);
  }
  report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(units_from_host)

// Blocks leave a lease: each writes and adds to `left`, block 0 counts them and tells the host, which looks at all. A
// cell's first word is the host's flag, the others are the blocks'; `left` is the device's.
RK_KERNEL(left_to_host)(u64 cells, u64 count, u64 round64, u64 left, u64 patience_ns, u64) {
  const u32 round = static_cast<u32>(round64);
  if (threadIdx.x != 0) return;
  Patience patience = patience_of(patience_ns);
  for (u64 i = 0; i < count; ++i) {
    u64* counted = long_at(left, i);
    if (blockIdx.x != 0) {
      const auto word = [&] {
        for (u32 k = blockIdx.x; k < 9; k += gridDim.x - 1) cell_at(cells, i)[k] = content(i, round, k);
      };
      publish(i, word, [&] { add_release(counted, u64{1}); });
      continue;
    }
    const u64 wanted = static_cast<u64>(gridDim.x - 1) * round;
    const auto all = [&] { return (kWeak ? rk_ld_relaxed_gpu(counted) : rk_ld_acquire_gpu(counted)) >= wanted; };
    if (!kEarly && !await(all, patience)) return;
    release_sys(cell_at(cells, i), round);
  }
}
RK_EXPORT_KERNEL(left_to_host)

// A way: the host writes a ring, then a unit that names it; block 0 takes the unit and passes it on behind a fence, and
// block 1 finds the ring written. `cells` is the host's: payload of the rings, and `units` behind it; `flags` the
// device's.
RK_KERNEL(way)(u64 cells, u64 units, u64 count, u64 round64, u64 flags, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    u32* flag = cell_at(flags, i);
    if (blockIdx.x == 0) {
      const rk_unit* unit = reinterpret_cast<const rk_unit*>(units) + i;
      if (!await([&] { return rk_ld_unit_sys(unit).tag == round; }, patience)) break;
      if (!kWeak) rk_fence_sys();
      release_gpu(flag, round);
    } else {
      const auto came = [&] { return await([&] { return acquire_gpu(flag) == round; }, patience); };
      if (!observe(came, [&] { return wrong_payload(cell_at(cells, i), i, round); }, seen, forbidden)) break;
    }
  }
  if (blockIdx.x != 0) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(way)

// The circle of an inbox slot: block 1 reads a payload and tells the host, which sends a unit; block 0 takes that and
// overwrites the payload with it. What block 1 read must be the old one.
RK_KERNEL(circle)(u64 taken, u64 units, u64 count, u64 round64, u64 payloads, u64 patience_ns, u64 out) {
  const u32 round = static_cast<u32>(round64);
  Patience patience = patience_of(patience_ns);
  u32 seen = 0, forbidden = 0;
  RK_FOR_READER(i, count) {
    u32* payload = cell_at(payloads, i);
    if (blockIdx.x == 0) {
      const rk_unit* unit = reinterpret_cast<const rk_unit*>(units) + i;
      rk_unit found{};
      if (kEarly) found.tag = round;
      if (!kEarly && !await([&] { return (found = rk_ld_unit_sys(unit)).tag == round; }, patience)) break;
      for (u32 k = 0; k < 8; ++k) payload[k] = found.tag;  // its bytes come from the unit: no order is needed
    } else {
      const auto read = [&] {
        for (u32 k = 0; k < 8; ++k) forbidden += rk_ld_relaxed_gpu(payload + k) != round - 1;
      };
      if (kEarly) dawdle(i);
      ++seen;
      publish(i, read, [&] { release_sys(reinterpret_cast<u32*>(taken) + i, round); }, 1000000);
    }
  }
  if (blockIdx.x != 0) report(out, seen, forbidden);
}
RK_EXPORT_KERNEL(circle)
