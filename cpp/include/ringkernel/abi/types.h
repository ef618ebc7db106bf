// Fixed-width names for the shared structs. Compiles as C++14 on the host and through NVRTC, which has no <cstdint>.
#pragma once

#if defined(__CUDACC_RTC__)
namespace rk {
using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
}  // namespace rk
#define RK_OFFSETOF(type, member) __builtin_offsetof(type, member)
#else
#include <cstddef>
#include <cstdint>
namespace rk {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
}  // namespace rk
#define RK_OFFSETOF(type, member) offsetof(type, member)
#endif

// On both sides of a device compiler.
#if defined(__CUDACC__)
#define RK_HOST_DEVICE __host__ __device__
#else
#define RK_HOST_DEVICE
#endif
