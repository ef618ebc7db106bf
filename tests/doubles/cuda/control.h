// How tests make the double of the driver fail, and ask what it was used for: exported by librk_double_cuda.so, for C
// and ctypes. Results are numbers of CUresult. Any thread may call any of them at any time.
//
// The same by environment variables, read when the library is loaded:
//   RK_DOUBLE_FAIL    "cuMemAlloc_v2=2,cuInit=100@1*3": these entry points fail with these results, here after 1 call,
//                     3 times; without @ from the first call, without * from then on; 719! is as rk_double_sticky(719)
//                     from that call, 999! as rk_double_lose_device()
//   RK_DOUBLE_HIDE    "cuFuncLoad,cuInit": dlsym() finds no such symbols, as in an older driver
//   RK_DOUBLE_HANG    1: as rk_double_hang(1)
//   RK_DOUBLE_STICKY  719: as rk_double_sticky(719)
// and what the devices are:
//   RK_DOUBLE_DEVICES (1), RK_DOUBLE_SMS (64), RK_DOUBLE_BLOCKS_PER_SM (16), RK_DOUBLE_COMPUTE (90),
//   RK_DOUBLE_DRIVER (13000), RK_DOUBLE_MEMORY (bytes, 16 GiB), RK_DOUBLE_PEER (0; 1: they can access each other),
//   RK_DOUBLE_KERNEL_TIMEOUT (0; 1: a watchdog ends long kernels, says the device; none does)
//   RK_DOUBLE_VISIBLE "2,0": this process sees these of them, in this order, as by CUDA_VISIBLE_DEVICES
//   RK_DOUBLE_SYNC    1: freeing memory and unloading wait until no grid runs on the device, as drivers may do
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// -- failing
// -----------------------------------------------------------------------------------------------------------

// After `after` more calls, `entry` fails `times` times with `result`; times < 0: from then on.
void rk_double_fail(const char* entry, int result, int after, int times);
// Each call of `entry` takes so many milliseconds longer.
void rk_double_delay(const char* entry, int milliseconds);
// Undoes rk_double_fail() and rk_double_delay().
void rk_double_forget_failures(void);
// All calls that need a context fail with `result`, and all grids end, as after a fault of a kernel. 0: well again.
void rk_double_sticky(int result);
// The same for one device; the others go on.
void rk_double_sticky_on(int device, int result);
// As rk_double_sticky() with CUDA_ERROR_UNKNOWN, but questions about devices and cuDevicePrimaryCtxRetain fail too.
void rk_double_lose_device(void);
// Grids that are launched from now on wait in their stream without running, until it is off again.
void rk_double_hang(int on);
// Grids that run stop at their next nap, barrier or look at the clock, and go on when it is off again.
void rk_double_freeze(int on);
// All of the above undone.
void rk_double_recover(void);

// -- asking
// ------------------------------------------------------------------------------------------------------------

// Names of the entry points, by numbers from 0; null behind the last one.
const char* rk_double_entry(int number);
int rk_double_calls(const char* entry);
// What is held: "memory", "host_memory", "streams", "events", "modules", "contexts", and "grids", which run.
int rk_double_living(const char* what);

#ifdef __cplusplus
}
#endif
