// The few instructions that order and scope matter for, each under a name that says both. Stands alone.
//
// A word may lie in the memory of the device, of the host, or of the block: addresses are generic. Units lie in
// global memory, and are one access: `.b128` is single-copy atomic, `.v4` would be four (PTX ISA, "Vector Data-types").
// A host that compiles this text (RK_ON_HOST) brings the same names.
//
// Protection: nothing here has a state. Which edge an access belongs to stands where it is called; see EDGES.md.
#pragma once

#ifndef RK_ON_HOST

#ifndef RK_ROUTER_WARPS
#define RK_ROUTER_WARPS 4
#endif
#define RK_LANES 32

#define RK_KERNEL(name) extern "C" __global__ void name
#define RK_EXPORT_KERNEL(name)
#define RK_SHARED(T, name) __shared__ T name
#define RK_OP __device__ __forceinline__
#define RK_COLD static __device__ __noinline__
#define RK_PRAGMA(text) _Pragma(#text)
#define RK_UNROLL(n) RK_PRAGMA(unroll n)

#define RK_LOAD(NAME, FORM, T, BITS, REGISTER)                                                 \
  RK_OP T NAME(const T* p) {                                                                   \
    T value;                                                                                   \
    asm volatile("ld." FORM ".u" BITS " %0, [%1];" : "=" REGISTER(value) : "l"(p) : "memory"); \
    return value;                                                                              \
  }
#define RK_STORE(NAME, FORM, T, BITS, REGISTER)                                             \
  RK_OP void NAME(T* p, T value) {                                                          \
    asm volatile("st." FORM ".u" BITS " [%0], %1;" : : "l"(p), REGISTER(value) : "memory"); \
  }
#define RK_ADD(NAME, FORM, T, BITS, REGISTER)                \
  RK_OP T NAME(T* p, T value) {                              \
    T old;                                                   \
    asm volatile("atom." FORM ".add.u" BITS " %0, [%1], %2;" \
                 : "=" REGISTER(old)                         \
                 : "l"(p), REGISTER(value)                   \
                 : "memory");                                \
    return old;                                              \
  }
#define RK_CAS(NAME, FORM, T, BITS, REGISTER)                    \
  RK_OP T NAME(T* p, T expected, T value) {                      \
    T old;                                                       \
    asm volatile("atom." FORM ".cas.b" BITS " %0, [%1], %2, %3;" \
                 : "=" REGISTER(old)                             \
                 : "l"(p), REGISTER(expected), REGISTER(value)   \
                 : "memory");                                    \
    return old;                                                  \
  }
#define RK_BOTH(MACRO, NAME, FORM)           \
  MACRO(NAME, FORM, unsigned int, "32", "r") \
  MACRO(NAME, FORM, unsigned long long, "64", "l")

RK_BOTH(RK_LOAD, rk_ld_relaxed_sys, "relaxed.sys")
RK_BOTH(RK_LOAD, rk_ld_acquire_sys, "acquire.sys")
RK_BOTH(RK_LOAD, rk_ld_relaxed_gpu, "relaxed.gpu")
RK_BOTH(RK_LOAD, rk_ld_acquire_gpu, "acquire.gpu")
RK_BOTH(RK_LOAD, rk_ld_relaxed_cta, "relaxed.cta")
RK_BOTH(RK_LOAD, rk_ld_acquire_cta, "acquire.cta")
RK_BOTH(RK_STORE, rk_st_relaxed_sys, "relaxed.sys")
RK_BOTH(RK_STORE, rk_st_release_sys, "release.sys")
RK_BOTH(RK_STORE, rk_st_relaxed_gpu, "relaxed.gpu")
RK_BOTH(RK_STORE, rk_st_release_gpu, "release.gpu")
RK_BOTH(RK_STORE, rk_st_relaxed_cta, "relaxed.cta")
RK_BOTH(RK_STORE, rk_st_release_cta, "release.cta")
RK_BOTH(RK_ADD, rk_add_relaxed_gpu, "relaxed.gpu")
RK_BOTH(RK_ADD, rk_add_release_gpu, "release.gpu")
RK_BOTH(RK_ADD, rk_add_relaxed_cta, "relaxed.cta")
RK_BOTH(RK_CAS, rk_cas_relaxed_gpu, "relaxed.gpu")
RK_BOTH(RK_CAS, rk_cas_relaxed_cta, "relaxed.cta")

#define RK_MAX(NAME, FORM)                                                                           \
  RK_OP unsigned long long NAME(unsigned long long* p, unsigned long long value) {                   \
    unsigned long long old;                                                                          \
    asm volatile("atom." FORM ".max.u64 %0, [%1], %2;" : "=l"(old) : "l"(p), "l"(value) : "memory"); \
    return old;                                                                                      \
  }
RK_MAX(rk_max_relaxed_gpu, "relaxed.gpu")
RK_MAX(rk_max_relaxed_cta, "relaxed.cta")

struct __align__(16) rk_unit {
  unsigned int word[3];
  unsigned int tag;
};

RK_OP rk_unit rk_ld_unit_sys(const rk_unit* p) {
  unsigned long long low, high;
  asm volatile("{\n\t.reg .b128 unit;\n\tld.relaxed.sys.global.b128 unit, [%2];\n\tmov.b128 {%0, %1}, unit;\n\t}"
               : "=l"(low), "=l"(high)
               : "l"(p)
               : "memory");
  return rk_unit{{static_cast<unsigned>(low), static_cast<unsigned>(low >> 32), static_cast<unsigned>(high)},
                 static_cast<unsigned>(high >> 32)};
}
RK_OP void rk_st_unit_sys(rk_unit* p, rk_unit unit) {
  const unsigned long long low = unit.word[0] | static_cast<unsigned long long>(unit.word[1]) << 32;
  const unsigned long long high = unit.word[2] | static_cast<unsigned long long>(unit.tag) << 32;
  asm volatile("{\n\t.reg .b128 unit;\n\tmov.b128 unit, {%1, %2};\n\tst.relaxed.sys.global.b128 [%0], unit;\n\t}"
               :
               : "l"(p), "l"(low), "l"(high)
               : "memory");
}

RK_OP void rk_fence_gpu() { asm volatile("fence.acq_rel.gpu;" : : : "memory"); }
RK_OP void rk_fence_sys() { asm volatile("fence.acq_rel.sys;" : : : "memory"); }
RK_OP unsigned long long rk_globaltimer() {
  unsigned long long ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns) : : "memory");
  return ns;
}
RK_OP void rk_nanosleep(unsigned ns) { asm volatile("nanosleep.u32 %0;" : : "r"(ns) : "memory"); }
// Not __syncthreads(), which all threads of a warp have to reach in one place: the first thread of a block comes from
// elsewhere than those that follow it (PTX ISA, barrier.sync without .aligned).
RK_OP void rk_barrier() { asm volatile("barrier.sync 0;" : : : "memory"); }
// The lanes of a warp, which came from different places, go on together: for speed only.
RK_OP void rk_converge(unsigned threads) {
  const unsigned left = threads - (threadIdx.x & ~31u);
  __syncwarp(0xFFFFFFFFu >> (32u - (left < 32u ? left : 32u)));
}
RK_OP void rk_trap() { asm volatile("trap;"); }

// All lanes of a warp of the router take part.
RK_OP unsigned rk_router_ballot(bool value) { return __ballot_sync(0xFFFFFFFFu, value); }
RK_OP unsigned rk_router_shfl(unsigned value, unsigned lane) {
  return __shfl_sync(0xFFFFFFFFu, value, static_cast<int>(lane));
}
RK_OP void rk_router_sync() { __syncwarp(0xFFFFFFFFu); }

#else  // the host has one scope

#define RK_OP inline
#define RK_COLD static __attribute__((noinline))
#define RK_UNROLL(n)
RK_OP void rk_converge(unsigned) {}
#define rk_ld_relaxed_cta rk_ld_relaxed_gpu
#define rk_ld_acquire_cta rk_ld_acquire_gpu
#define rk_st_relaxed_cta rk_st_relaxed_gpu
#define rk_st_release_cta rk_st_release_gpu
#define rk_add_relaxed_cta rk_add_relaxed_gpu
#define rk_cas_relaxed_cta rk_cas_relaxed_gpu
#define rk_max_relaxed_cta rk_max_relaxed_gpu

#endif
