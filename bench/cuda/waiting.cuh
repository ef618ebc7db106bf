// Types, and waits that end: of a device that waits for what never comes nothing else can be had.
#pragma once

#include "device.cuh"

typedef int i32;
typedef unsigned int u32;
typedef unsigned long long u64;

struct Patience {
  u64 end;
  u32 polls;

  // Looks at the clock now and then only. Where threads of a double share a core, that is also when others get it.
  __device__ bool over() {
    if (++polls % 1024u != 0) return false;
    rk_nanosleep(20);
    return rk_globaltimer() > end;
  }
};

__device__ Patience patience_of(u64 ns) { return Patience{rk_globaltimer() + ns, 0}; }
