// One thread at a time does the work; who comes meanwhile leaves a note and goes, and the work is done once more.
//
// Edges
//   T1  note -> work     what was done before the note
//   T2  leave -> enter   what the one who did it last has done; and who found it taken left its note before
//
// Protection: noted_: atomic (T1). inside_: atomic (T2).
#pragma once

#include <cstdint>

#include "ringkernel/runtime/host_atomics.h"

namespace rk::cuda {

class TurnLock {
 public:
  // False: another thread is at it and will do its own work once more.
  template <class Work>
  bool run(Work&& work) {
    (void)noted_.exchange_release(1);                    // T1
    if (inside_.exchange_acq_rel(1) != 0) return false;  // T2
    do {
      (void)noted_.exchange_acquire(0);  // T1
      work();
      (void)inside_.exchange_acq_rel(0);  // T2
    } while (noted_.load_relaxed() != 0 && inside_.exchange_acq_rel(1) == 0);  // T1 T2
    return true;
  }

 private:
  HostAtomics::Atomic<std::uint32_t> noted_{0};
  HostAtomics::Atomic<std::uint32_t> inside_{0};
};

}  // namespace rk::cuda
