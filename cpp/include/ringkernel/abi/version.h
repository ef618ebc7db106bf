// The version of everything in abi/. It is written into each shared block and checked on attach.
#pragma once

#include "ringkernel/abi/types.h"

namespace rk {

constexpr u32 kAbiMajor = 1;  // a field moved, changed its size or its meaning
constexpr u32 kAbiMinor = 0;  // a reserved field got a meaning that old readers may ignore
constexpr u32 kAbiVersion = (kAbiMajor << 16) | kAbiMinor;

}  // namespace rk
