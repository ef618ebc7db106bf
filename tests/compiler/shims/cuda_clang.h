// What NVRTC has built in, declared for clang's syntax check.
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __forceinline__ __inline__ __attribute__((always_inline))
struct rk_shim_index {
  unsigned x, y, z;
};
extern const __device__ rk_shim_index threadIdx, blockIdx, blockDim, gridDim;
__device__ void __syncthreads();
__device__ int __syncthreads_and(int);
__device__ void __syncwarp(unsigned);
__device__ void __threadfence_block();
__device__ void __threadfence();
__device__ void __threadfence_system();
__device__ unsigned __float_as_uint(float);
__device__ float __uint_as_float(unsigned);
__device__ long long __double_as_longlong(double);
__device__ double __longlong_as_double(long long);
__device__ int __popc(unsigned);
__device__ int __popcll(unsigned long long);
__device__ int __clz(int);
__device__ int __clzll(long long);
__device__ int __ffs(int);
__device__ int __ffsll(long long);
__device__ unsigned __shfl_sync(unsigned, unsigned, int);
__device__ unsigned __ballot_sync(unsigned, int);
__device__ int __all_sync(unsigned, int);
__device__ int __any_sync(unsigned, int);
#define RK_SHIM_ATOMIC(NAME)                     \
  __device__ int NAME(int*, int);                \
  __device__ unsigned NAME(unsigned*, unsigned); \
  __device__ unsigned long long NAME(unsigned long long*, unsigned long long);
RK_SHIM_ATOMIC(atomicAdd)
RK_SHIM_ATOMIC(atomicAnd)
RK_SHIM_ATOMIC(atomicOr)
RK_SHIM_ATOMIC(atomicXor)
RK_SHIM_ATOMIC(atomicExch)
RK_SHIM_ATOMIC(atomicMin)
RK_SHIM_ATOMIC(atomicMax)
__device__ long long atomicMin(long long*, long long);
__device__ long long atomicMax(long long*, long long);
__device__ unsigned atomicCAS(unsigned*, unsigned, unsigned);
__device__ unsigned long long atomicCAS(unsigned long long*, unsigned long long, unsigned long long);
#define RK_SHIM_ONE(NAME)          \
  __device__ float NAME##f(float); \
  __device__ double NAME(double);
#define RK_SHIM_TWO(NAME)                 \
  __device__ float NAME##f(float, float); \
  __device__ double NAME(double, double);
RK_SHIM_ONE(floor)
RK_SHIM_ONE(ceil)
RK_SHIM_ONE(trunc)
RK_SHIM_ONE(sqrt)
RK_SHIM_ONE(sin)
RK_SHIM_ONE(cos)
RK_SHIM_ONE(tan)
RK_SHIM_ONE(asin)
RK_SHIM_ONE(acos)
RK_SHIM_ONE(atan)
RK_SHIM_ONE(sinh)
RK_SHIM_ONE(cosh)
RK_SHIM_ONE(tanh)
RK_SHIM_ONE(exp)
RK_SHIM_ONE(exp2)
RK_SHIM_ONE(expm1)
RK_SHIM_ONE(log)
RK_SHIM_ONE(log2)
RK_SHIM_ONE(log10)
RK_SHIM_ONE(log1p)
RK_SHIM_ONE(cbrt)
RK_SHIM_TWO(fmod)
RK_SHIM_TWO(atan2)
RK_SHIM_TWO(pow)
RK_SHIM_TWO(hypot)
